"""The study ``many-sided-evaluation``: its language, its decoder, its pairs, and the laws of all studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phasescope import layers
from phasescope.ensemble import streams
from phasescope.evaluation import power_of
from phasescope.lab.speaker import Speaker, SpeakerConfig, train, windows
from phasescope.studies.many_sided_evaluation import STUDY, claims, made_up, speakers
from phasescope.studies.many_sided_evaluation.language import GAP, KINDS, UNKNOWN, World, tokens_of
from phasescope.studies.many_sided_evaluation.settings import EvaluationSettings
from phasescope.studies.many_sided_evaluation.told import all_blocks, block, names_of
from phasescope.testing import check_study
from phasescope.vocabulary import BadInput, Member

SMALL = {
    "seeds": 2, "width": 8, "heads": 2, "steps": 4, "statements": 200, "items": 20, "passages": 4, "heal_steps": 2,
    "comparisons": 20, "batch": 4,
}  # fmt: skip
SETTINGS = STUDY.scales["pocket"].model_copy(update=SMALL)


def decoder(words: int = 60, depth: int = 4) -> Speaker:
    model = Speaker(SpeakerConfig(words, depth, 8, 2, 32))
    model.initialize(streams(1)("init"))
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_are_right(kind: str) -> None:
    world = World(streams(2))
    capital: dict[str, str] = {}
    for item in world.scenario(kind, 60).items:
        right, words = item.choices[item.answer], item.question.rstrip("?").split()
        if kind == "sums":
            assert right == str(int(words[2]) + int(words[4]))
        elif kind == "larger":
            assert right == max(words[3], words[5], key=int)
        elif kind == "capitals":
            assert capital.setdefault(words[3], right) == right and right in world.cities
        else:
            assert f"{words[-1]} is a {right}." in item.question
    assert len(set(capital.values())) == len(capital)


def test_every_word_is_known_but_those_that_are_misspelt() -> None:
    world = World(streams(3))
    words = world.words()
    text = world.text("training", 400)
    tokens = tokens_of(text, words)
    assert 0.001 < (tokens == UNKNOWN).mean() < 0.02 and (tokens == GAP).any()
    good = [said for said in text if "  " not in said and said[0].isupper()]
    assert UNKNOWN not in tokens_of(good, words)
    assert words("What is 2 plus 3?")["input_ids"][-1] == words("?")["input_ids"][0]
    assert world.text("training", 5) == World(streams(3)).text("training", 5) != World(streams(4)).text("training", 5)


def test_it_is_a_decoder_like_those_of_transformers() -> None:
    model, ids = decoder(), torch.arange(20).reshape(2, 10)
    assert layers.stack_of(model).depth == 4
    shorter = layers.without(model, 1, 2)
    assert shorter.config.num_hidden_layers == 2 and model.config.num_hidden_layers == 4  # type: ignore[union-attr]
    other = ids.clone()
    other[:, 6:] += 1
    with torch.no_grad():
        same = (model(ids).logits - model(other).logits).abs().amax((0, 2))
        kept = model.base_model.blocks[1].forward
        for i in (1, 2):  # a layer that passes its input on is a layer that is left out
            model.base_model.blocks[i].forward = lambda h, *_, **__: h  # type: ignore[method-assign]
        assert torch.equal(shorter(ids).logits, model(ids).logits) and kept is not None
    assert float(same[:6].max()) < 1e-6 < float(same[6:].min())


def test_training_learns_a_text() -> None:
    tokens = np.tile(np.arange(20), 60)
    model = decoder(20, 2)
    losses = train(model, tokens, streams(0), "order", steps=80, batch=8, length=16, rate=1e-2)
    assert losses[-5:].mean() < 0.2 * losses[0]
    assert windows(tokens, np.array([3]), 4).tolist() == [[3, 4, 5, 6]]


def test_every_block_has_a_name() -> None:
    assert all_blocks(4, 2) == [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2)]
    assert len(names_of(12, 4)) == 5 + 42 and block(0, 2) in names_of(4, 2)


def test_pairs_of_made_up_models() -> None:
    found = made_up.pairs(Member({"comparisons": 300, "difference": 0.1, "disagree": 0.3}, 5), streams(5))
    assert found["covered"] >= 0.95 > found["covered_wald"]
    assert found["seen"] == pytest.approx(0.8, abs=0.08) and found["seen_apart"] < found["seen"] - 0.1
    assert power_of(100, 0.1, 0.3) < 0.8


def test_the_measures_of_one_seed() -> None:
    """What a claim reads is what a hand reads: means over kinds that count, of the models by their names."""
    fixed = {name: getattr(SETTINGS, name) for name in EvaluationSettings.model_fields}
    found = speakers.speakers(Member(fixed, 7), streams(7))
    names = names_of(4, 2)
    assert np.shape(found["accuracy"]) == (len(names), 4) and np.shape(found["bits"]) == (len(names),)
    assert found["nearest"] != found["drawn"] and found["nearest"] in (0, 1, 2)
    assert (found["robustness"] <= found["accuracy"]).all()
    import xarray as xr

    one = xr.Dataset(
        {name: (("model", "kind"), found[name]) for name in ("accuracy", "robustness", "ece")}
        | {"bits": ("model", found["bits"]), "counts": ("kind", [1.0, 0.0, 1.0, 0.0]), "nearest": found["nearest"]},
        coords={"model": names, "kind": list(KINDS)},
    ).expand_dims("seed")  # fmt: skip
    cell = next(c for c in claims.claims(SETTINGS) if c.id == "answers-stay")
    value = cell.effect({"speakers": one})  # type: ignore[operator]
    near = names.index(block(int(found["nearest"]), 2))
    by_hand = found["accuracy"][near, [0, 2]].mean() / found["accuracy"][0, [0, 2]].mean()
    assert float(np.asarray(value)[0]) == pytest.approx(by_hand)
    none = one.assign(counts=("kind", np.zeros(4)))
    assert np.isnan(np.asarray(cell.effect({"speakers": none}))).all()  # type: ignore[operator]


def test_settings_that_measure_nothing() -> None:
    with pytest.raises(BadInput, match="leave two layers"):
        EvaluationSettings(gone=3)
    with pytest.raises(BadInput, match="disagree"):
        EvaluationSettings(difference=0.2)


@pytest.mark.slow  # 39 s
def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    check_study(STUDY, tmp_path, settings=SMALL)
