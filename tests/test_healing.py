"""The study ``healing``: its small decoder, its real one, what its measures say, and the laws of all studies."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from phasescope import layers
from phasescope.ensemble import streams
from phasescope.lab.speaker import Speaker, SpeakerConfig, train
from phasescope.store.data import content_hash
from phasescope.studies.healing import STUDY, claims, real, small
from phasescope.studies.healing.settings import AFTER, BEFORE, NEAREST, PARTS, READOUT, WHOLE
from phasescope.testing import check_study
from phasescope.vocabulary import BadInput, Member

TINY: dict[str, Any] = {
    "seeds": 2, "depth": 4, "width": 8, "steps": 20, "length": 16, "batch": 2, "tests": 8, "heal_steps": 20,
    "heal_batch": 2,
}  # fmt: skip


def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    run = check_study(STUDY, tmp_path, settings=TINY)["small"]
    before = run.loss.sel(given=BEFORE)
    np.testing.assert_array_equal(before.sel(model=READOUT), before.sel(model=NEAREST))
    assert (run.loss.sel(given=AFTER) != before).all()


def decoder(seed: int = 0) -> Speaker:
    model = Speaker(SpeakerConfig(100, 4, 8, 2, 64))
    model.initialize(streams(seed)("init"))
    return model


def test_the_readout_alone_is_the_last_norm_and_the_readout() -> None:
    model = decoder()
    before = copy.deepcopy(model.state_dict())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(small.LAST))
    tokens = streams(1)("tokens").integers(100, size=400)
    train(model, tokens, streams(1), "healing", steps=3, batch=2, length=8, rate=1e-2)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"base_model.final.weight", "base_model.final.bias", "base_model.readout.weight"}


def told(whole: tuple[float, float], nearest: tuple[float, float]) -> xr.Dataset:
    values = np.array([whole, nearest]).T[:, :, None]
    coords = {"given": [BEFORE, AFTER], "model": [WHOLE, NEAREST]}
    return xr.Dataset({"loss": (("given", "model", "seed"), values)}, coords)


def test_what_is_back_and_what_is_healed() -> None:
    """Of 0.5 nats that were lost 0.6 are back, and 0.4 of these the whole model gains as well: 0.2 are healed."""
    one = told((3.0, 2.6), (3.5, 2.9))
    assert claims.gained(NEAREST).read(one)[0] == pytest.approx(1.2)
    assert claims.gained(WHOLE).read(one)[0] == pytest.approx(0.8)
    assert claims.healed(NEAREST).read(one)[0] == pytest.approx(0.4)
    nothing_lost = told((3.0, 2.6), (3.0, 2.6))
    assert np.isnan(claims.gained(NEAREST).read(nothing_lost)[0])
    assert np.isnan(claims.healed(NEAREST).read(nothing_lost)[0])


@pytest.mark.parametrize("given", [{"gone": 5}, {"heads": 3}, {"model": "smollm2"},
                                   {"model": "m", "text": "a", "elsewhere": "a"}])  # fmt: skip
def test_settings_that_measure_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"leave two layers|name two different texts"):
        type(STUDY.scales["pocket"])(**given)


class Letters:
    """A tokenizer: one token a letter."""

    bos_token_id = eos_token_id = None
    is_fast = False

    def __call__(self, text: str, add_special_tokens: bool = True, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": [min(ord(letter), 127) - 32 if ord(letter) >= 32 else 0 for letter in text]}

    def decode(self, ids: Any) -> str:
        return "".join(chr(int(i) + 32) for i in ids)


KNOBS: dict[str, Any] = {"model": "made up", "text": "a", "elsewhere": "b", "length": 16, "tests": 8, "gone": 1, "heal_steps": 20,
         "heal_batch": 2, "heal_rate": 1e-2, "rank": 2, "questions": 10}  # fmt: skip
MEMBER = Member(KNOBS, seed=0)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> real.Loaded:
    """A real model in small: random weights, random texts, questions that need no data."""
    pytest.importorskip("peft")
    transformers: Any = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=96, max_position_embeddings=512,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    draw = streams(3)("weights")
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.from_numpy(0.1 * draw.standard_normal(tuple(p.shape)) + (p.dim() < 2)))
    texts = [torch.from_numpy(streams(3)("text", i).integers(96, size=(60, 16))) for i in range(2)]
    found = real.Loaded(model.eval(), Letters(), *texts)
    monkeypatch.setattr(real, "_loaded", lambda *names: found)
    monkeypatch.setattr(real, "ASKED", ("arithmetic", "syllogisms"))
    monkeypatch.setenv("PHASESCOPE_DATA", str(tmp_path / "data"))
    return found


def test_both_models_are_given_the_same_samples_that_nobody_is_tested_on(
    loaded: real.Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    heal = layers.heal

    def spied(model: Any, rows: Any, steps: int, **numbers: Any) -> Any:
        seen.append((layers.stack_of(model).depth, rows, {k: v for k, v in numbers.items() if k != "keeper"}))
        return heal(model, rows, steps, **numbers)

    monkeypatch.setattr(layers, "heal", spied)
    found = real.real(MEMBER, streams(1000))
    assert [depth for depth, _, _ in seen] == [4, 3]
    assert torch.equal(seen[0][1], seen[1][1]) and seen[0][2] == seen[1][2]
    assert len(seen[0][1]) == 40
    order = torch.from_numpy(streams(1000)("samples").permutation(60))
    held = loaded.text[order[:8]]
    assert found["loss"][0, 0] == layers.losses(loaded.model, held).mean
    assert found["loss"][0, 1] == layers.losses(layers.without(loaded.model, int(found["start"]), 1), held).mean
    assert not {tuple(row.tolist()) for row in held} & {tuple(row.tolist()) for row in seen[0][1]}
    assert found["curve"].shape == (2, PARTS) and found["accuracy"].shape == (2, 2, 2)
    assert np.isfinite(found["loss_elsewhere"]).all() and (found["loss"][1] != found["loss"][0]).all()


def test_a_folder_whose_files_were_replaced_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    for name in ("a", "b"):
        (tmp_path / name).write_text("one text")
    monkeypatch.setattr(real, "load_tokenizer", lambda folder, what: Letters())
    monkeypatch.setattr(real, "load_folder", lambda folder, kind: torch.nn.Linear(1, 1))
    monkeypatch.setattr(layers, "read_texts", lambda path: read.append(path.name) or [path.read_text()])
    names = [str(tmp_path / name) for name in ("m", "a", "b")]
    first = real._loaded(*names, 4)
    assert real._loaded(*names, 4) is first and read == ["a", "b"]
    before = content_hash(names[1])
    (tmp_path / "a").write_text("two texts")
    assert content_hash(names[1]) != before
    assert not torch.equal(real._loaded(*names, 4).text, first.text)


def test_a_stopped_healing_goes_on_where_it_was(
    loaded: real.Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from phasescope.layers import healing

    expected = real.real(MEMBER, streams(1001))
    assert not list((tmp_path / "healing").rglob("*.safetensors"))
    monkeypatch.setattr(healing, "OFTEN", -1.0)
    step, taken = healing._step, []

    def stopping(*given: Any) -> float:
        taken.append(given[-1])
        if len(taken) == 27:  # in the healing of the shorter model
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(healing, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        real.real(MEMBER, streams(1001))
    found = real.real(MEMBER, streams(1001))
    assert taken[27:] == [*range(7, 21)]
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
