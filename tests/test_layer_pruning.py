"""The study of layer pruning at its smallest: decoders that are read exactly, claims that reject the wrong numbers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import phasescope as ps
from phasescope import layers
from phasescope.ensemble import streams
from phasescope.lab import measures, run
from phasescope.lab.speaker import SpeakerConfig, train, windows
from phasescope.studies.layer_pruning import STUDY, claims, readings
from phasescope.studies.layer_pruning import model as models
from phasescope.studies.layer_pruning import small as smalls
from phasescope.studies.layer_pruning.gpt import SmallGPT
from phasescope.studies.layer_pruning.settings import LayerSettings
from phasescope.testing import check_results
from phasescope.vocabulary import BadInput

TINY = {
    "depth": 6, "width": 16, "steps": 6, "samples": 4, "points": 40, "heal_steps": 2, "length": 16, "seeds": 2,
}  # fmt: skip


def decoder(depth: int = 6, seed: int = 1) -> SmallGPT:
    model = SmallGPT(SpeakerConfig(90, depth, 16, 2, 32))
    model.initialize(streams(seed)("init"))
    return model


def some_tokens(rows: int = 5, length: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(90, size=(rows, length)))


# -- the decoder


def test_a_token_sees_only_those_before_it() -> None:
    """A decoder that saw ahead would predict for nothing; the saboteur is the same attention without its mask."""
    model, ids = decoder(), some_tokens()
    other = ids.clone()
    other[:, 9:] = (other[:, 9:] + 1) % 90
    with torch.no_grad():
        same = (model(ids).logits - model(other).logits).abs().amax((0, 2))
    assert float(same[:9].max()) == 0 and float(same[9:].min()) > 0


def test_it_is_a_decoder_like_those_of_transformers() -> None:
    model = decoder()
    assert layers.stack_of(model).depth == 6
    shorter = layers.without(model, 2, 3)
    assert shorter.config.num_hidden_layers == 3 and model.config.num_hidden_layers == 6  # type: ignore[union-attr]
    assert type(shorter)(shorter.config)  # its config builds it


def test_a_pass_is_the_formula() -> None:
    """h + attention(norm h), then h + MLP(norm h), written out by hand for one head at a time."""
    model, ids = decoder(1).double(), some_tokens(2, 7)
    (layer,), base = model.base_model.layers, model.base_model
    h = base.characters(ids) + base.places.weight[:7]
    q, k, v = layer.qkv(layer.norm_1(h)).split(16, dim=-1)
    heads = []
    for one in (slice(0, 8), slice(8, 16)):
        scores = q[..., one] @ k[..., one].mT / 8**0.5 + torch.full((7, 7), -torch.inf).triu(1)
        heads.append(scores.softmax(-1) @ v[..., one])
    h = h + layer.out(torch.cat(heads, -1))
    h = h + layer.down(nn.functional.gelu(layer.up(layer.norm_2(h)), approximate="tanh"))
    assert torch.allclose(model(ids).logits, model.head(base.norm(h)), atol=1e-12)


def test_training_learns_a_text() -> None:
    text = np.tile(np.arange(20, dtype=np.uint8), 60)
    model = decoder(2)
    train(model, text, streams(0), "order", steps=60, batch=8, length=16, rate=1e-2)
    with torch.no_grad():
        logits = model(windows(text, np.array([7]), 16)).logits[0, 4:-1]
    assert logits.argmax(-1).tolist() == [int(c) % 20 for c in range(12, 23)]


# -- the readings


def skip_gap(model: SmallGPT, tokens: torch.Tensor, start: int, n: int, skipped: int) -> float:
    """Return the largest difference of logits between a model without ``n`` layers, and with as many skipped."""

    def through(_part: nn.Module, args: Any, keywords: Any, out: Any) -> Any:
        return args[0]

    stack = layers.stack_of(model)
    handles = [stack.layers[i].register_forward_hook(through, with_kwargs=True) for i in range(skipped, skipped + n)]
    with torch.no_grad():
        there = model(tokens).logits
        for handle in handles:
            handle.remove()
        return float((layers.without(model, start, n)(tokens).logits - there).abs().max())


def test_skipping_is_removing() -> None:
    """Step 3 of the paper's Sec. 3.2: the old input of the block goes into the layer after it, bit for bit."""
    model, ids = decoder(), some_tokens()
    assert skip_gap(model, ids, 2, 3, 2) == 0
    assert skip_gap(model, ids, 2, 3, 1) > 1e-3


def test_every_block_is_left_out() -> None:
    model, ids = decoder(), some_tokens()
    table = readings.losses_without(model, ids, [1, 3])
    assert np.isfinite(table).sum(1).tolist() == [6, 4]
    assert table[1, 2] == layers.losses(layers.without(model, 2, 3), ids).mean


def test_states_are_those_of_a_hand_made_pass() -> None:
    model, ids = decoder(), some_tokens()
    states = readings.states_at(model, ids, (3, 15))
    h = model.base_model.characters(ids) + model.base_model.places.weight[:16]
    assert states.shape == (7, 10, 16)
    assert torch.allclose(states[0], h[:, [3, 15]].flatten(0, 1))
    for layer in model.base_model.layers:
        h = layer(h)
    assert torch.allclose(states[6], h[:, [3, 15]].flatten(0, 1), atol=1e-6)


def test_rank_correlation() -> None:
    """Spearman's formula for ranks without ties, 1 - 6 sum d^2 / (n (n^2 - 1))."""
    a, b = np.array([0.1, 5.0, -3.0, 2.0]), np.array([1.0, 7.0, 9.0, 3.0])  # ranks 1 3 0 2 and 0 2 3 1
    assert measures.rank_correlation(a, b) == pytest.approx(1 - 6 * (1 + 1 + 9 + 1) / (4 * 15))
    assert measures.rank_correlation(a, np.exp(a)) == pytest.approx(1)
    tied = np.array([1.0, 1.0, 2.0, 3.0])  # ranks 0.5 0.5 2 3, by hand
    assert measures.rank_correlation(tied, np.arange(4.0)) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_weights_drawn_anew_are_those_of_a_beginning() -> None:
    model = decoder()
    fresh = models.drawn_anew(model, streams(4))
    layer = fresh.base_model.layers[2]  # type: ignore[union-attr, index]
    assert layer.up.weight.std().item() == pytest.approx(0.02, rel=0.1) and not layer.up.bias.any()
    assert (layer.norm_1.weight == 1).all() and not layer.norm_1.bias.any()
    assert not torch.equal(layer.up.weight, model.base_model.layers[2].up.weight)  # type: ignore[union-attr]
    again = models.drawn_anew(model, streams(4)).base_model.layers[2]  # type: ignore[union-attr, index]
    assert torch.equal(again.up.weight, layer.up.weight)


def test_no_text_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASESCOPE_DATA", str(tmp_path))
    with pytest.raises(BadInput, match="give a text file, a folder, or a data set"):
        smalls.text_of("nowhere.txt")
    with pytest.raises(BadInput, match="fetch it with `phasescope data english`"):
        smalls.text_of("english")
    (tmp_path / "a.txt").write_text("words of one's own")
    assert smalls.text_of(str(tmp_path / "a.txt")) == "words of one's own"
    before = smalls.text_hash(str(tmp_path / "a.txt"))
    (tmp_path / "a.txt").write_text("words of another's")
    assert smalls.text_of(str(tmp_path / "a.txt")) == "words of another's"
    assert smalls.text_hash(str(tmp_path / "a.txt")) != before


def test_weights_that_differ_at_their_end_are_another_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(1 << 22) + b"1")
    before = models.model_hash(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(bytes(1 << 22) + b"2")
    assert models.model_hash(str(tmp_path)) != before


# -- the study


def test_it_runs(tmp_path: Path) -> None:
    results = run(STUDY, out=tmp_path, settings=TINY)
    check_results(results)
    assert {f.id for f in results.figures()} == {"small-losses", "small-scatter", "small-distances", "small-geometry"}
    small = results["small"]
    assert small.untrained_loss.shape == (2, 6) and small.loss.shape == (2, 3, 6)
    assert np.isfinite(small.untrained_loss).sum().item() == 2 * 5


class Characters:
    """A tokenizer of characters, as far as the study asks one."""

    def __call__(self, text: str, **_: Any) -> Any:
        return SimpleNamespace(input_ids=[ord(c) % 90 for c in text])


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small decoder in the place of a real model, and a quiz of its own."""
    model = SmallGPT(SpeakerConfig(90, 30, 16, 2, 64))
    model.initialize(streams(5)("init"))
    loaded = models.Loaded(model, Characters(), some_tokens(40, 32))
    monkeypatch.setattr(models, "_loaded", lambda *_: loaded)
    (tmp_path / "capitals").mkdir()
    for name in models.QUIZ:
        pairs = [f"{name}{i}:town{i} of {name}" for i in range(4)]
        (tmp_path / "capitals" / name).write_text("\n".join([*pairs, "X|Y:Z:more", "odd:Andorra la V[ell|iej]a"]))
    monkeypatch.setenv("PHASESCOPE_DATA", str(tmp_path))
    models.capitals.cache_clear()


@pytest.mark.slow  # 48 s beside test_it_runs
@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="the extra llm is not installed")
def test_the_real_half_runs(stand_in: None, tmp_path: Path) -> None:
    small = {"real_length": 32, "real_samples": 6, "real_heal_steps": 2, "questions": 4, "rank": 2, "seeds": 2}
    results = ps.run("layer-pruning", "smollm2", out=tmp_path / "run", counts=(1, 2, 15), **small)
    real = results["real"]
    assert float(real.healed.isel(healing=0).max()) < float(real.unhealed.max()) + 1
    assert real.each.shape == (2, 29) and real.accuracy.shape == (2, 4) and real.fresh.shape == real.distance.shape
    assert {v.counts for v in results.verdicts} == {"draws of text"}
    nearest = int(real.start.sel(choice="nearest", count=2)[0])
    assert nearest == int(np.nanargmin(real.distance.sel(n=2)[0]))
    assert {f.id for f in results.figures()} == {"real-losses", "real-distances", "real-geometry"}
    check_results(results)


def test_the_quiz_is_read(stand_in: None) -> None:
    pairs = dict(models.capitals())
    assert len(pairs) == 21 and pairs["X"] == "Z" and "odd" not in pairs


def test_likelihood_of_an_answer_is_its_own(stand_in: None) -> None:
    """One at a time and without padding: the sum over the answer's characters, each given all before it."""
    model = decoder(2)
    found = models.likelihoods(model, Characters(), ["one is", "two"], ["a", "longer answer"])
    for value, prompt, answer in zip(found, ["one is", "two"], ["a", "longer answer"], strict=True):
        ids = torch.tensor([[ord(c) % 90 for c in f"{prompt} {answer}"]])
        with torch.no_grad():
            logs = model(ids).logits.log_softmax(-1)[0]
        each = [float(logs[i - 1, ids[0, i]]) for i in range(len(prompt), ids.shape[1])]
        assert value == pytest.approx(sum(each) / len(answer), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": 0}, "keep the small decoder"),
        ({"depth": 3}, "give 6 layers or more"),
        ({"heads": 3}, "heads that divide the width"),
        ({"counts": (1, 2), "model": "smollm2"}, "at least three counts"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_refusals(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        LayerSettings(**changes)


def test_a_model_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASESCOPE_DATA", str(tmp_path))
    monkeypatch.setattr(models, "find_spec", lambda name: True)
    with pytest.raises(BadInput, match="fetch it with `phasescope data smollm2`"):
        models._loaded("smollm2", "", 32)
    with pytest.raises(BadInput, match="give smollm2 or a folder"):
        models._loaded("nowhere", "", 32)
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'phasescope\[llm\]'"):
        models._loaded("nowhere", "", 32)


# -- what the claims reject


def one_seed(depth: int = 12, dear: float = 0.25) -> xr.Dataset:
    """A decoder as the paper has it: shallow blocks far and dear, deep ones near and cheap, but for the last layers."""
    n, layer = np.arange(1, depth // 2 + 1), np.arange(depth)
    step = 0.3 * 0.7**layer
    step[-2:] = np.maximum(step[-2:], [0.4 * dear, dear])
    far = np.full((len(n), depth), np.nan)
    for i, count in enumerate(n):
        for start in range(depth - count + 1):
            far[i, start] = step[start : start + count].sum()
    place = np.arange(depth + 1)
    ladder = np.concatenate([[0], np.cumsum(step)])
    overlap = 1 - np.abs(ladder[:, None] - ladder)
    return xr.Dataset(
        {
            "distance": (("n", "layer"), far), "untrained": (("n", "layer"), np.where(np.isnan(far), np.nan, 0.1)),
            "loss": (("n", "layer"), 2 + 8 * far), "base": 2.0, "untrained_loss": ("layer", np.full(depth, 4.0)),
            "healed": (("healing",), [2.01, 2.02, 3.0]), "seconds": (("pass",), [1.0, 0.52, 1.0]),
            "overlap": (("place", "other"), overlap),
        },
        {"n": n, "layer": layer, "place": place, "other": place, "healing": list(smalls.HEALED),
         "pass": ["whole", "half", "again"]},
    )  # fmt: skip


def inside(data: xr.Dataset) -> dict[str, bool]:
    results = {"small": data.expand_dims(seed=[0, 1])}
    found = {c.id: (c, c.effect(results)) for c in claims.claims(LayerSettings())}
    return {key: c.expected.contains(float(v.min()), float(v.max())) for key, (c, v) in found.items()}


def test_claims_accept_what_the_paper_says() -> None:
    assert all(inside(one_seed()).values())


@pytest.mark.parametrize(
    ("wrong", "rejected"),
    [
        (lambda d: d.assign(loss=4 - d.loss), "small-distance-predicts"),
        (lambda d: d.assign(loss=4 - d.loss), "small-nearest"),
        (lambda d: d.assign(loss=("n", "layer") and d.loss * 0 + 2.1), "small-first-layer"),
        (lambda d: d.assign(distance=d.distance * 0 + 0.1), "small-deep-alike"),
        (lambda d: d.assign(distance=-d.distance), "small-farther"),
        (lambda d: d.assign(overlap=1 - d.overlap), "small-neighbours"),
        (lambda d: d.assign(healed=d.healed + 0.05), "small-heals"),
        (lambda d: d.assign(healed=d.healed * xr.DataArray([1, 1.1, 1], dims="healing")), "small-heuristic"),
        (lambda d: d.assign(loss=d.loss + 9.0 * (d.layer == 1)), "small-first-worst"),
        (lambda d: d.assign(seconds=d.seconds * xr.DataArray([1, 1.5, 1], dims="pass")), "small-time"),
    ],
)
def test_claims_reject_wrong_numbers(wrong: Any, rejected: str) -> None:
    assert not inside(wrong(one_seed()))[rejected]


def test_where_the_place_says_as_much_distances_predict_nothing_more() -> None:
    """Without dear last layers the place of a block orders the losses as the distance does."""
    found = inside(one_seed(dear=0.0))
    assert [name for name, holds in found.items() if not holds] == ["small-distance-predicts"]
