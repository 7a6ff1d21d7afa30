"""What a stored record is found by: a task's own numbers as much as those that a grid sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasescope.ensemble import train
from phasescope.instruments import LEARNING
from phasescope.learners import PowerMLP
from phasescope.store import Store
from phasescope.tasks import addition
from phasescope.vocabulary import Grid, Recipe

RECIPE = Recipe(steps=12, records=3)


def trained(store: Store, task: Any, **axes: Any) -> Any:
    data = train(PowerMLP(7, 8), task, Grid({k: (v,) for k, v in axes.items()}), RECIPE, LEARNING, keeper=store)
    return data.train_loss.values.ravel()


@pytest.mark.parametrize("changed", [{"train_fraction": 0.7}, {"corruption": 0.4}])
def test_a_task_of_other_numbers_is_another_record(tmp_path: Path, changed: dict[str, float]) -> None:
    """Found by the table alone, the second experiment of a study would be handed the first one's networks."""
    with Store(tmp_path / "run") as store:
        first, second = trained(store, addition(7)), trained(store, addition(7, **changed))
        assert (first != second).any()
        assert len(store.records()) == 2


def test_a_number_is_the_same_in_the_task_and_in_the_grid(tmp_path: Path) -> None:
    with Store(tmp_path / "run") as store:
        own = trained(store, addition(7, corruption=0.4))
        assert (trained(store, addition(7), corruption=0.4) == own).all()
        assert len(store.records()) == 1
