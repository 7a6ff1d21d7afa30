"""Every installed study obeys the laws of studies, and a study that breaks one is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import phasescope as ps
from phasescope.lab import study_named, study_points
from phasescope.testing import RESULT_LAWS, STUDY_LAWS, check_instrument, check_study


@pytest.mark.parametrize("name", study_points())
def test_a_study_obeys_the_laws(name: str) -> None:
    every(STUDY_LAWS, study_named(name))


def every(laws: Any, thing: Any) -> None:
    for law in laws:
        law(thing)


class Small(ps.Settings):
    width: int = 4
    seeds: int = 2


def task(corruption: float = 0.0) -> ps.tasks.Table:
    draw = ps.streams(0)("points")
    points = draw.normal(size=(24, 2))
    return ps.tasks.Table("halves", points, (points[:, 0] > 0).astype(int), 2, corruption=corruption)


def network(member: ps.Member) -> nn.Module:
    return nn.Linear(2, 2)


def experiments(s: Small) -> dict[str, Any]:
    def trained(title: str, **kind: float) -> ps.Experiment:
        recipe = ps.Recipe(steps=4, loss="cross_entropy")
        grid = ps.Grid({"lr": [0.01, 0.1]}, seeds=s.seeds)
        return ps.Experiment(title, network, task(**kind), grid, recipe, ps.instruments.LEARNING)

    return {"true": trained("true labels"), "random": trained("random labels", corruption=1.0)}


ACCURACY = ps.measures.end("test_accuracy")
TRUE, RANDOM = ps.at("true", lr=0.1), ps.Control("random labels", ps.at("random", lr=0.1))


def claims(s: Small) -> list[ps.Claim]:
    return [ps.Claim("learns", "It learns", ps.Source(ours="ours"), ACCURACY(TRUE), ps.measures.at_least(0.9), RANDOM)]


def figures(data: ps.drawing.Data, s: Small) -> list[ps.Figure]:
    panel = ps.drawing.curves("accuracy", data, ps.drawing.ACCURACY, {"test": ("test_accuracy", TRUE)})
    return [ps.Figure("learning", "It learns", "Median.", [panel], ["learns"])]


STUDY = ps.Study(
    "halves", "Halves", "Are they told apart?", study_named("grokking").paper, {"pocket": Small()}, experiments, claims,
    figures,
)  # fmt: skip


def test_a_study_of_ones_own_obeys_them_and_is_loaded_again(tmp_path: Path) -> None:
    found = check_study(STUDY, tmp_path / "run")
    with pytest.raises(ps.BadInput, match=r"study 'halves', which is not installed.*study="):
        ps.load(tmp_path / "run")
    with pytest.raises(ps.BadInput, match="of the study 'halves', not of 'grokking'"):
        ps.load(tmp_path / "run", study=study_named("grokking"))
    again = ps.load(tmp_path / "run", study=STUDY)
    assert isinstance(again, ps.Results)
    np.testing.assert_array_equal(again["true"].test_accuracy, found["true"].test_accuracy)
    with pytest.raises(ps.BadInput, match=r"no experiment 'tru'.*true"):
        again["tru"]


def claim(name: str, effect: Any, control: Any) -> ps.Claim:
    return ps.Claim(
        name, "It learns", ps.Source(ours="ours"), effect, ps.measures.at_least(0.9), ps.Control("another", control)
    )


SLOW, NOISE = ps.at("true", lr=0.01), ps.at("random", lr=0.1)


LEARNT = ACCURACY(TRUE)


def controlled(control: Any, effect: Any = LEARNT) -> ps.Study:
    """The study with a claim of this effect and control."""
    return replace(STUDY, claims=lambda s: [claim("x", effect, control)])


BROKEN: dict[str, Callable[[], ps.Study]] = {
    "first scale": lambda: replace(STUDY, scales={"paper": Small()}),
    "nothing is done": lambda: replace(STUDY, experiments=lambda s: {}),
    "no identifier": lambda: replace(STUDY, experiments=lambda s: {"a b": experiments(s)["true"]}),
    "one title": lambda: replace(STUDY, experiments=lambda s: {k: experiments(s)["true"] for k in ("true", "random")}),
    "claims nothing": lambda: replace(STUDY, claims=lambda s: []),
    "share an id": lambda: replace(STUDY, claims=lambda s: [*claims(s), *claims(s)]),
    "is its effect": lambda: replace(STUDY, claims=lambda s: [claim("x", ACCURACY(TRUE), TRUE)]),
    "no such experiment": lambda: replace(STUDY, claims=lambda s: [claim("x", ACCURACY(ps.at("tru")), TRUE)]),
    "the grid has lr at": lambda: replace(STUDY, claims=lambda s: [claim("x", ACCURACY(ps.at("true", lr=1)), TRUE)]),
    "is constant, whatever": lambda: controlled(lambda data: np.ones(data["true"].sizes["seed"])),
    "is a function of the effect": lambda: controlled((1 - ACCURACY / 3)(TRUE)),
    "hardly varies": lambda: replace(
        STUDY, claims=lambda s: [replace(claim("x", LEARNT, (ACCURACY / 1000)(NOISE)), range=(0, 1))]
    ),
    "whenever the effect is inside": lambda: controlled(
        0.9 * ACCURACY(SLOW) / ps.measures.most(ACCURACY, [TRUE, NOISE]),
        0.9 * ACCURACY(TRUE) / ps.measures.most(ACCURACY, [SLOW, NOISE]),
    ),
    "needs an order parameter": lambda: replace(STUDY, mapped=lambda s: experiments(s)["true"]),
    "more than one value": lambda: replace(
        STUDY, mapped=lambda s: experiments(s)["true"], orders=[ps.OrderParameter("x", lambda d: ps.last(d.test_loss))]
    ),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_broken_study_is_caught(sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        every(STUDY_LAWS, BROKEN[sentence]())


def pooled(values: Any) -> Any:
    return np.full(len(values), np.mean(np.asarray(values) + np.arange(len(values))))


def test_broken_results_are_caught(tmp_path: Path) -> None:
    def learns(**changes: Any) -> ps.Study:
        return replace(STUDY, claims=lambda s: [replace(claims(s)[0], **changes)])

    found = ps.run(STUDY, out=tmp_path / "run")
    pools = ps.Control("pooled", LEARNT.map(pooled))
    less = found["true"].drop_vars("test_loss")
    other = replace(found, data={**found.data, "random": found["random"] * 2})
    empty = replace(STUDY, figures=lambda data, s: [ps.Figure("f", "t", "c", [], [])])
    wrong = replace(STUDY, figures=lambda data, s: [replace(f, claims=["lerns"]) for f in figures(data, s)])
    twice = replace(STUDY, figures=lambda data, s: [*figures(data, s), *figures(data, s)])
    broken = {
        "no test_loss": replace(found, data={**found.data, "true": less}),
        "data of": replace(found, data={"true": found["true"]}),
        "other data of random when loaded": other,
        "no panel": replace(found, study=empty),
        "claims that there are not": replace(found, study=wrong),
        "share an id": replace(found, study=twice),
        "effect of learns depends on other seeds": replace(found, study=learns(effect=LEARNT.map(pooled))),
        "control of learns depends on other seeds": replace(found, study=learns(control=pools)),
    }
    for sentence, results in broken.items():
        with pytest.raises(AssertionError, match=sentence):
            every(RESULT_LAWS, results)


# -- measures at cells -------------------------------------------------------------------------------------------------


def data(**readings: Any) -> Any:
    """One experiment over widths and seeds, with curves over three steps and units along "layer"."""
    import xarray as xr

    values = np.arange(12.0).reshape(2, 2, 3)
    coords = {"width": [8, 16], "seed": [0, 1], "step": [0, 10, 20]}
    known = {"loss": (("width", "seed", "step"), values), "gain": (("width", "seed"), [[1.0, 2.0], [4.0, 8.0]])}
    return xr.Dataset({**known, **readings}, coords)


def test_measures_compose_like_their_numbers() -> None:
    m, cell, found = ps.measures, ps.at("e", width=16), {"e": data()}
    loss = found["e"].loss.sel(width=16).values
    expected = {
        "loss at the end": (m.end("loss"), loss[:, -1]),
        "1 - loss at the start / 2": (1 - m.start("loss") / 2, 1 - loss[:, 0] / 2),
        "highest loss - loss at the start": (m.highest("loss") - m.start("loss"), [2.0, 2.0]),
        "(loss at the end - loss at the start) / gain": (
            (m.end("loss") - m.start("loss")) / m.value("gain"), [2 / 4, 2 / 8]),
        "1 / (gain * gain)": (1 / (m.value("gain") * m.value("gain")), [1 / 16, 1 / 64]),
        "|-1 * gain|": (abs(m.value("gain") * -1), [4.0, 8.0]),
        "log of gain": (m.value("gain").map(np.log, "log of {}"), np.log([4.0, 8.0])),
        "steps to loss 8": (m.steps_to("loss", 8), [20.0, 0.0]),
        "step of the peak of loss": (m.step_of_peak("loss"), [20.0, 20.0]),
    }  # fmt: skip
    for words, (measure, numbers) in expected.items():
        effect = measure(cell)
        np.testing.assert_allclose(effect(found), numbers, err_msg=words)
        assert words.startswith("|") or str(effect) == f"{words} at e, width 16"


def test_effects_at_several_cells() -> None:
    m, found = ps.measures, {"e": data(), "f": data()}
    gain, small, large = m.value("gain"), ps.at("e", width=8), ps.at("f", width=16)
    np.testing.assert_array_equal((gain(large) / gain(small))(found), [4.0, 4.0])
    np.testing.assert_array_equal(m.least(gain, [small, large])(found), [1.0, 2.0])
    np.testing.assert_array_equal(m.most(gain, [small, large])(found), [4.0, 8.0])
    assert (gain(large) / gain(small)).cells == (large, small)
    assert str(m.most(gain, [ps.at("e", width=w) for w in (8, 16)])) == "the largest of gain at e, width 8 and 16"
    with pytest.raises(ps.BadInput, match="at no cell"):
        m.least(gain, [])
    with pytest.raises(TypeError):
        gain(large) / gain  # a number at a cell is not divided by a measure at none


def test_a_control_may_be_another_cell_or_another_measure() -> None:
    m, found = ps.measures, {"e": data()}
    gain, small, large = m.value("gain"), ps.at("e", width=8), ps.at("e", width=16)
    np.testing.assert_array_equal(claim("x", gain(small), large).control.effect(found), [4.0, 8.0])  # type: ignore[operator]
    np.testing.assert_array_equal(claim("x", gain(small), m.end("loss")).control.effect(found), [2.0, 5.0])  # type: ignore[operator]
    both = claim("x", m.least(gain, [small, large]), m.end("loss"))
    np.testing.assert_array_equal(both.control.effect(found), [2.0, 5.0])  # type: ignore[operator]
    for effect in (gain(small) / gain(large), lambda data: data["e"].gain):
        with pytest.raises(ps.BadInput, match="is not one measure at a cell"):
            claim("x", effect, large)


def test_a_cell_of_one_dataset_and_of_several() -> None:
    gain, one = ps.measures.value("gain"), data()
    np.testing.assert_array_equal(gain(ps.at(width=8))(one), [1.0, 2.0])
    np.testing.assert_array_equal(gain(ps.at(width=8))({"e": one}), [1.0, 2.0])
    with pytest.raises(ps.BadInput, match=r"experiment 'e', and the data are one dataset"):
        gain(ps.at("e", width=8))(one)
    with pytest.raises(KeyError, match=r"no experiment 'ee'.*'e'"):
        gain(ps.at("ee", width=8))({"e": one})
    with pytest.raises(KeyError):
        gain(ps.at("e", width=9))({"e": one})
    single = one.isel(width=[0])
    np.testing.assert_array_equal(gain(ps.at())(single), [1.0, 2.0])  # an axis of one value need not be named
    found = ps.judge([claim("x", gain(ps.at(width=16)), ps.at(width=8))], one)
    assert found.to_json()[0]["measured"] == 6.0


def test_what_was_read_at_the_end_of_a_network_that_diverged_is_missing() -> None:
    grid, recipe = ps.Grid({"lr": [0.01, 1e25]}, seeds=2), ps.Recipe(optimizer="sgd", steps=30)
    found = ps.train(ps.learners.PowerMLP(7, 8), ps.tasks.addition(7), grid, recipe, [],
                     at_end=[ps.instruments.norms.weight_norm, ps.instruments.fourier.frequency_census])  # fmt: skip
    assert (found.fate.sel(lr=1e25) == "diverged").all()
    assert found.weight_norm.sel(lr=1e25).isnull().all() and found.weight_norm.sel(lr=0.01).notnull().all()
    assert found.frequency_census.sel(lr=1e25).isnull().all()


def test_seeds_are_paired_by_their_names() -> None:
    """Of two cells with other seeds, or the same in another order, nothing is subtracted."""
    gain, one = ps.measures.value("gain"), data()
    for other in (one.isel(seed=[1, 0]), one.isel(seed=[0]), one.assign_coords(seed=[5, 6])):
        both = {"e": one, "f": other}
        for effect in (
            gain(ps.at("e", width=8)) - gain(ps.at("f", width=8)),
            ps.measures.most(gain, [ps.at("e", width=8), ps.at("f", width=8)]),
            ps.Measure(lambda a, b: a.gain - b.gain)(ps.at("e", width=8), ps.at("f", width=8)),
        ):
            with pytest.raises(
                ps.BadInput, match=r"cells have other seeds|give both the same seeds|have 2, 1 seeds|numbers for"
            ):
                effect(both)


def test_an_effect_is_one_number_per_seed() -> None:
    one = data()
    wrong = {
        "one number per width": ps.measures.mean("gain", "seed")(ps.at()),
        "several numbers per seed, along width": ps.measures.value("gain")(ps.at()),
        "one number per step": ps.Measure(lambda cell: cell.loss.isel(seed=0))(ps.at(width=8)),
        "numbers for 2 seeds": ps.Measure(lambda cell: np.ones(3))(ps.at(width=8)),
        "complex": ps.Measure(lambda cell: 1j * np.ones(2))(ps.at(width=8)),
        "words": ps.Measure(lambda cell: np.array(["1.0", "2.0"]))(ps.at(width=8)),
    }
    for words, effect in wrong.items():
        with pytest.raises(ps.BadInput, match=words if words.startswith(("one", "numbers", "several")) else "function"):
            effect(one)
    with pytest.raises(ps.BadInput, match=r"claim 'x', effect.*was not read along 'step', but over seed"):
        ps.judge([claim("x", ps.measures.start("gain")(ps.at(width=8)), ps.at(width=16))], one)


def test_a_cell_is_where_it_says() -> None:
    """Floats that differ by rounding are one place; a word is no number; a misspelt axis is told."""
    import xarray as xr

    one = xr.Dataset({"gain": (("lr", "seed"), [[1.0, 2.0], [3.0, 4.0]])}, {"lr": [0.1, 0.3], "seed": [0, 1]})
    gain = ps.measures.value("gain")
    np.testing.assert_array_equal(gain(ps.at(lr=0.1 + 0.2))(one), [3.0, 4.0])
    np.testing.assert_array_equal(gain(ps.at("e", lr=0.1))(xr.DataTree.from_dict({"e": one})), [1.0, 2.0])
    for cell, said in (
        (ps.at(lr=0.2), "no lr = 0.2 in the data: it has 0.1, 0.3"),
        (ps.at(lr="0.1"), "no lr = 0.1"),
        (ps.at(rl=0.1), "no axis 'rl' in the data. Known: lr, seed"),
    ):
        with pytest.raises(KeyError, match=said):
            gain(cell)(one)
    with pytest.raises(KeyError, match="no axis 'lr'"):
        gain(ps.at(lr=1))(one.drop_vars("lr"))  # without places there is nothing to be selected by
    for bad in ({"lr": {1: 2}}, {"lr": None}, {"lr": []}, {"lr": [[1]]}):
        with pytest.raises(ps.BadInput, match="give a number or a word of the axis"):
            ps.at(**bad)  # type: ignore[arg-type]


def test_what_is_missing_stays_missing() -> None:
    m = ps.measures
    one = data(spec=(("width", "seed", "unit"), [[[1.0, np.nan], [3.0, 5.0]], [[1.0, 1.0], [1.0, 1.0]]]))
    np.testing.assert_array_equal(m.mean("spec", "unit")(ps.at(width=8))(one), [np.nan, 4.0])
    nothing = one.assign(loss=one.loss * np.nan)
    for measure in (m.steps_to("loss", 1), m.step_of_peak("loss"), m.highest("loss"), m.end("loss"), m.start("loss")):
        assert np.isnan(measure(ps.at(width=8))(nothing)).all(), measure


@pytest.mark.parametrize(
    ("part", "bad", "said"),
    [
        ("name", "a b", "a study is called 'a b'"), ("title", None, "the title"), ("paper", 3, "ps.Paper"),
        ("scales", {"pocket": 3}, "scales"), ("experiments", 3, "experiments"), ("claims", lambda: [], "claims"),
        ("figures", lambda data: [], "figures"), ("mapped", 3, "mapped"),
    ],
)  # fmt: skip
def test_the_parts_of_a_study_are_looked_at(part: str, bad: Any, said: str) -> None:
    with pytest.raises(ps.BadInput, match=said):
        replace(STUDY, **{part: bad})


def test_what_is_no_number_per_seed_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    wide = ps.Claim(
        "x", "It learns", ps.Source(ours="ours"), ACCURACY(ps.at("true")), ps.measures.at_least(0.0), RANDOM
    )
    for claims_, said in (([wide], "along lr: name a value of each axis"), ([*claims(Small())] * 2, "more than once")):
        with pytest.raises(ps.BadInput, match=said):
            ps.run(replace(STUDY, claims=lambda s, found=claims_: found), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_results_are_a_mapping_of_experiments(tmp_path: Path) -> None:
    found = ps.run(STUDY, out=tmp_path / "run")
    assert list(found) == ["true", "random"] == list(found.keys()) and len(found) == 2 and "true" in found
    assert dict(found)["random"].identical(found["random"]) and len(repr(found)) < 300


def test_an_instrument_that_writes_is_caught_and_blinds_no_law() -> None:
    def writes(subject: ps.Subject) -> Any:
        weights = subject.parameters["embed"]
        found = weights.flatten(1).sum(1).clone()
        weights.mul_(0)
        return found

    def leaks(subject: ps.Subject) -> Any:
        weights = subject.parameters["embed"]
        return weights.flatten(1).sum(1) - 1000 * weights.mean()

    for work, said in ((writes, "writes"), (leaks, "depends on its company")):
        with pytest.raises(AssertionError, match=said):
            check_instrument(ps.instrument(work, unit="1", source="here", name="mine"))
    with pytest.raises(AssertionError, match=r"dims \['layer'\] that no law knows"):
        check_instrument(ps.instrument(leaks, unit="1", source="here", name="mine", dims=("layer",)))
