"""Phase maps at their edges: odd order parameters and axes, divergence, knobs of other kinds, and what is told of them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasescope import lab
from phasescope.commands import cli
from phasescope.commands.telling import report_of
from phasescope.ensemble import Refinement, Span, last
from phasescope.instruments import LEARNING
from phasescope.lab import Experiment, MapResults, OrderParameter, phase_map
from phasescope.lab.maps.plan import default_directory, plan_of
from phasescope.learners import PowerMLP
from phasescope.tasks import addition
from phasescope.vocabulary import BadInput, Fate, Grid, Recipe

X, Y = "train_fraction=0.2:0.9", "lr=0.0003:0.03:log"
MINE = Experiment("mine", PowerMLP(5, 8), addition(5), Grid(), Recipe(steps=20, lr=0.03, records=4), LEARNING)
SMALL: dict[str, Any] = {"x": X, "y": Y, "tolerance": 1 / 2, "seeds": 1}
BROKEN = replace(MINE, recipe=Recipe(optimizer="sgd", steps=100, records=8))  # diverges from a rate of about 5 on


def every(value: Any) -> Any:
    return lambda data: np.full(data.sizes["member"], value)


# -- order parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (OrderParameter("o", every(np.nan), phases=("a", "b")), "gives nan: give the index of one of its phases"),
        (OrderParameter("o", every(2), phases=("a", "b")), "gives 2: .* a whole number from 0 to 1"),
        (OrderParameter("o", every(-1), phases=("a", "b")), "gives -1: "),
        (OrderParameter("o", every(0.7), phases=("a", "b")), "gives 0.7: "),
        (OrderParameter("o", lambda d: d.fate.values), "gives <U.* values of shape .*: give one number for each"),
        (OrderParameter("o", every(1j)), "gives complex128 values"),
        (OrderParameter("o", lambda d: None), "gives object values"),
        (OrderParameter("o", lambda d: d.train_accuracy), r"of shape \(9, 5\) for 9 networks"),
        (OrderParameter("o", every(0), phases=("a",)), r"has the phases \['a'\]: give two or more"),
        (OrderParameter("o", every(0), phases=("a", "a")), "each name once"),
    ],
)
def test_what_an_order_parameter_can_not_give_is_refused(order: OrderParameter, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        phase_map(MINE, by=order, **SMALL)


def test_a_diverged_network_has_no_value() -> None:
    """Its last reading is from before: a training accuracy of 0.58, then weights that are no numbers, is no memory."""
    changes = {**SMALL, "y": "lr=1:1000:log"}
    fates = phase_map(BROKEN, by="fate", **changes).data
    diverged = fates.phase.values == list(Fate).index(Fate.DIVERGED)
    assert diverged.any() and not diverged.all()
    for name in ("train_accuracy", "train_loss"):
        found = phase_map(BROKEN, by=name, **changes)
        assert ((found.data.phase.values == 2) == diverged).all()
        assert np.isnan(found.data.value.values[diverged]).all() and "no value" in found.shares()
        *_, values, _ = found.figures()[0].panels
        assert values.missing == "not trained, or no finite value"  # type: ignore[union-attr]


def test_an_order_parameter_may_reckon_with_divergence_itself() -> None:
    order = OrderParameter("burst", lambda d: (d.fate == "diverged").values, diverged=True)
    found = phase_map(BROKEN, by=order, **{**SMALL, "y": "lr=1:1000:log"})
    assert set(found.shares()) == {"burst < 0.5", "burst ≥ 0.5"}


def test_the_value_of_a_place_is_that_of_the_networks_that_have_one() -> None:
    def read(data: xr.Dataset) -> Any:
        return np.where(data.seed == 1, np.nan, last(data.train_accuracy))

    found = phase_map(MINE, by=OrderParameter("o", read), **{**SMALL, "seeds": 3}).data
    assert (found["count"].sel(of_phase="no value") == 1).all()
    assert np.isfinite(found.value.values).all()


# -- axes and knobs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "sentence"),
    [
        ("batch=1:1e300:int", r"axis batch=1.0:1e\+300 is of whole numbers: they must lie between"),
        ("weight_decay=-1e308:1e308", "by a finite number"),
        ("weight_decay=1:1.0000000000001", "must differ by 1e-08 of their size or more"),
        ("phase=0:1", "is called 'phase', a name of the map's own data"),
        ("seed=0:4:int", "is called 'seed'"),
        ("network_row=0:4:int", "is called 'network_row'"),
        ("batch=4:11", "batch is 7.5: .*; for an axis of whole numbers write batch=4:11:int"),
    ],
)
def test_axes_that_can_not_be_walked_are_refused_before_anything_is_written(
    axis: str, sentence: str, tmp_path: Path
) -> None:
    """The ends of the last one are whole and would pass; the place between them is not."""
    with pytest.raises(BadInput, match=sentence):
        phase_map(replace(MINE, learner=lambda member: PowerMLP(5, 8)), out=tmp_path / "run", **{**SMALL, "x": axis})
    assert not list(tmp_path.iterdir())


def test_an_axis_ends_where_it_was_said_to_end() -> None:
    """Twelve digits are for the places between."""
    span = Span("f", 0.1234567890123, 0.9999999999999)
    assert span.values(5)[[0, -1]].tolist() == [span.low, span.high]
    assert Span("lr", 1e-300, 1e300, "log").values(3).tolist() == [1e-300, 1.0, 1e300]


def test_a_boundary_on_an_enormous_logarithmic_axis_has_a_length() -> None:
    read = OrderParameter("large", lambda data: data.weight_decay.values > 1e10)
    found = phase_map(MINE, by=read, **{**SMALL, "y": "weight_decay=1e-300:1e30:log", "seeds": 3})
    assert found.width() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": 0}, "seeds is 0: give a whole number from 1"),
        ({"seeds": 3.5}, "seeds is 3.5: give a whole number"),
        ({"cells": 25.5}, "cells is 25.5: give a whole number"),
    ],
)
def test_numbers_of_networks_and_places_are_whole(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        phase_map(MINE, **{**SMALL, **changes})


@pytest.mark.parametrize("given, points", [(1 / 3, 4), (0.333333, 4), (1 / 512, 513), (0.00195312, 513), (1 / 32, 33)])
def test_a_tolerance_of_six_digits_is_the_fraction_that_it_says(given: float, points: int) -> None:
    assert plan_of(MINE, X, Y, None, "", {}, given).points == points


def test_knobs_that_stay_may_be_words_and_numpys_numbers(tmp_path: Path) -> None:
    """They are told, kept, and read again; an axis of the experiment's own grid gives way to the map's."""
    axes: dict[str, Any] = {"optimizer": ("sgd",), "batch": np.array([8]), "lr": (0.1, 0.2)}
    found = phase_map(
        replace(MINE, grid=Grid(axes)), **{**SMALL, "seeds": np.int64(1), "cells": np.int64(9)}, out=tmp_path / "run"
    )
    assert found.map["held"] == {"optimizer": "sgd", "batch": 8}
    assert json.dumps(found.findings(), allow_nan=False)
    again = lab.load(tmp_path / "run")
    assert isinstance(again, MapResults) and "Held: batch 8, optimizer sgd." in again.figures()[0].caption
    assert "Held: batch 8, optimizer sgd." in Path(report_of(again)[1]["report"]).read_text()


# -- what is told ---------------------------------------------------------------------------------------------------------


def test_a_map_says_what_it_does_not_know() -> None:
    """No confidence beyond what the networks can give, no boundary that is nan wide, no share of 1e+02 %."""
    one = phase_map(MINE, by="train_accuracy", **SMALL)
    assert "0 of 9 trained places with 90 % confidence: 1 network is worth 75 %, so give more seeds" in one.summary()
    assert "so 100 % of their steps" in one.cost() and "1 network each" in one.cost()
    same = phase_map(MINE, by=OrderParameter("o", every(1.0)), **SMALL)
    assert "boundary none found" in same.summary() and "nan" not in same.figures()[0].caption
    few = OrderParameter("side", lambda data: (data.lr > 0.003).values)
    coarse = phase_map(MINE, by=few, **{**SMALL, "tolerance": 1 / 16, "cells": 25, "seeds": 3})
    assert "not followed down to neighbouring places: give more cells" in coarse.summary()
    assert "25 of 25 trained places with 90 % confidence" in coarse.summary()


GROKKING: dict[str, Any] = {"what": "grokking", "by": None, "scale": "pocket", "changes": {}, "tolerance": 1 / 32}


def test_maps_that_differ_have_folders_that_differ() -> None:
    """A linear and a logarithmic axis, and ends that agree in six digits, are other maps."""
    pairs = [("lr=0.001:1", Y), ("lr=0.001:1:log", Y), ("lr=0.0010000001:1", Y), ("lr=0.001:1", "batch=1:9:int")]
    plans = [plan_of(x=x, y=y.replace("lr", "weight_decay"), **GROKKING) for x, y in pairs]
    assert len({default_directory(plan, None, 7, 0.9) for plan in plans}) == 4


def test_a_folder_has_a_name_that_file_systems_take() -> None:
    many = {"changes": {"fractions": [round(0.3 + k / 100, 2) for k in range(60)]}}
    a, b = (
        default_directory(plan_of(x=x, y="weight_decay=0:1", **{**GROKKING, **many}), None, 7, 0.9)
        for x in ("lr=0.001:1", "lr=0.001:2")
    )
    assert a != b and max(len(str(path)) for path in (a, b)) < 255


def test_the_printed_command_draws_the_same_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with ends of many digits, and a tolerance that is no round number."""
    monkeypatch.chdir(tmp_path)
    first = phase_map(
        "grokking", x="lr=0.00012345678:0.1:log", y="weight_decay=1e-05:1", seeds=2, tolerance=1 / 3, p=5, width=8,
        confidence=0.8765432, settings={"adam_steps": 20, "fractions": [0.5, 0.7]},
    )  # fmt: skip
    cli.app(shlex.split(first.command)[1:], standalone_mode=False)
    assert [folder.name for folder in Path("runs").iterdir()] == [first.directory and first.directory.name]
    again = lab.load(first.directory or "")
    assert isinstance(again, MapResults) and again.map == first.map
    xr.testing.assert_identical(again.data, first.data)


def test_an_order_parameter_without_a_name_has_no_command() -> None:
    given = {**GROKKING, "by": OrderParameter("mine", every(0.0))}
    assert not plan_of(x="lr=0.001:1", y="weight_decay=0:1", **given).named
    assert plan_of(x="lr=0.001:1", y="weight_decay=0:1", **{**GROKKING, "by": "fate"}).named


# -- a stated confidence is kept ------------------------------------------------------------------------------------------


def judged(share: Any, confidence: float, seeds: int) -> tuple[float, float]:
    """Return which part of the places (n, n) is called known, and which part of those is wrong.

    ``share`` (n, n) of the networks of each place end in the second phase. All places are looked at.
    """
    generator = np.random.default_rng(0)
    found = Refinement(share.shape, 2, seeds=seeds, first=min(3, seeds), confidence=confidence)
    found.asked[:] = found.first
    while asked := found.ask():
        for place, _ in asked:
            found.tell(place, int(generator.random() < share[place]))
    known = ~found.uncertain
    return float(known.mean()), float((found.phase != (share > 0.5))[known].mean())


@pytest.mark.parametrize(("confidence", "seeds"), [(0.9, 7), (0.95, 7), (0.8, 7), (0.9, 3)])
def test_looking_again_and_again_keeps_the_confidence(confidence: float, seeds: int) -> None:
    """Three networks, then two more at a time, until it looks certain: over places of all shares alike, the part of the
    known ones that is wrong stays below what was promised, for a posterior does not mind when one stops."""
    share = np.random.default_rng(1).random((64, 64))
    known, wrong = judged(share, confidence, seeds)
    assert known > 0.4 and wrong < 1 - confidence
