"""Members off the grid, instruments with places along their own dimensions, networks asked again with other weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasescope.ensemble import last, measure, streams, train
from phasescope.instruments import LEARNING
from phasescope.instruments.logits import table_accuracy
from phasescope.learners import PowerMLP
from phasescope.store import Store
from phasescope.tasks import addition
from phasescope.vocabulary import BadInput, Grid, Instrument, Member, Reading, Recipe, Scatter, Subject

GRID = Grid({"weight_decay": (0.0, 1.0), "train_fraction": (0.4, 0.7)}, seeds=2)
RECIPE = Recipe(steps=20, records=4)
SOME = Scatter(
    [Member({"weight_decay": 1.0, "train_fraction": 0.4}, 1), Member({"train_fraction": 0.7, "weight_decay": 0}, 0)]
)


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_a_scattered_member_is_the_member_of_the_grid(engine: Any) -> None:
    """A refined map rests on it: the cell that it trains alone is the cell of the full diagram."""
    tile = 1 if engine == "stacked" else None
    whole = train(PowerMLP(7, 8), addition(7), GRID, RECIPE, LEARNING, engine=engine, tile=tile)
    some = train(PowerMLP(7, 8), addition(7), SOME, RECIPE, LEARNING, engine=engine, tile=tile)
    assert some.test_loss.dims == ("member", "step")
    assert some.seed.values.tolist() == [1, 0]
    for place, at in enumerate(
        ({"weight_decay": 1.0, "train_fraction": 0.4}, {"weight_decay": 0.0, "train_fraction": 0.7})
    ):
        twin = whole.sel(at).isel(seed=1 - place)
        assert (twin.test_loss.values == some.test_loss.values[place]).all()
        assert (twin["final.embed"].values == some["final.embed"].values[place]).all()


def test_a_scattered_member_is_kept_as_the_member_of_the_grid(tmp_path: Path) -> None:
    """What a full diagram has trained, a map need not train again, and the other way round."""
    with Store(tmp_path / "run") as store:
        train(PowerMLP(7, 8), addition(7), GRID, RECIPE, LEARNING, keeper=store)
        before = len(store.records())
        train(PowerMLP(7, 8), addition(7), SOME, RECIPE, LEARNING, keeper=store)
        assert len(store.records()) == before == len(GRID)


def test_last_works_on_scattered_members() -> None:
    some = train(PowerMLP(7, 8), addition(7), SOME, RECIPE, LEARNING)
    assert last(some.test_accuracy).dims == ("member",)


def test_scattered_members_need_knobs_of_one_kind() -> None:
    with pytest.raises(BadInput, match=r"^members has no values"):
        Scatter([])
    with pytest.raises(BadInput, match="knobs of the same names"):
        Scatter([Member({"lr": 0.1}, 0), Member({"weight_decay": 0.1}, 0)])


def scaled(places: tuple[float, ...]) -> Instrument:
    def read(s: Subject) -> Reading:
        found = [s.answers({**s.parameters, "readout": a * s.parameters["readout"]}).mean((1, 2)) for a in places]
        return Reading(torch.stack(found, 1))

    return Instrument(
        "scaled", read, "logit", "a test", "forward", (-np.inf, np.inf), "0", ("factor",), coords={"factor": places}
    )


def test_networks_answer_again_with_other_weights() -> None:
    """The readout is linear: twice its weights, twice the logits; the networks themselves stay as they were."""
    data = measure(PowerMLP(7, 8), addition(7), Grid(seeds=3), (scaled((0.0, 1.0, 2.0)), table_accuracy))
    assert data.scaled.dims == ("seed", "factor")
    assert data.factor.values.tolist() == [0.0, 1.0, 2.0]
    assert np.allclose(data.scaled.sel(factor=2.0), 2 * data.scaled.sel(factor=1.0))
    assert (data.scaled.sel(factor=0.0) == 0).all()


def test_other_places_are_another_reading(tmp_path: Path) -> None:
    """A record found by the instrument's name alone would hold the curve at the old places."""
    with Store(tmp_path / "run") as store:
        for places in ((0.0, 1.0), (0.0, 1.0), (0.0, 0.5, 1.0)):
            data = train(PowerMLP(7, 8), addition(7), Grid(), RECIPE, LEARNING, at_end=(scaled(places),), keeper=store)
            assert data.sizes["factor"] == len(places)
        assert len(store.records()) == 2


def test_two_sets_of_places_along_one_dimension_are_refused() -> None:
    other = replace(scaled((0.0, 2.0)), name="other")
    with pytest.raises(BadInput, match=r"^other reads along 'factor' at other places"):
        measure(PowerMLP(7, 8), addition(7), Grid(), (scaled((0.0, 1.0)), other))


def test_corrupted_rows_are_named_also_where_the_label_is_right_by_accident() -> None:
    """Accuracy on corrupted samples needs to know who was drawn again; 1/p of them keep a right label."""
    task = addition(11)
    draw = task.draw(Member({"train_fraction": 0.6, "corruption": 0.5}, 3), streams(3))
    assert len(draw.corrupted) == int(0.5 * len(draw.train))
    assert np.isin(draw.corrupted, draw.train).all() and (np.diff(draw.corrupted) > 0).all()
    changed = np.flatnonzero(draw.labels != draw.truth)
    assert np.isin(changed, draw.corrupted).all()
    assert 0 < len(draw.corrupted) - len(changed) < len(draw.corrupted) / 4
    assert len(task.draw(Member({}, 3), streams(3)).corrupted) == 0
