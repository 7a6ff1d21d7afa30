"""The networks that a page trains again: which they are, and that a browser trains them as the run did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from browsing import Seen
from phasescope.ensemble import train
from phasescope.ensemble.streams import initialized
from phasescope.figures import Page
from phasescope.instruments import LEARNING
from phasescope.lab.diagrams import diagrams
from phasescope.lab.live import live
from phasescope.lab.study import Experiment
from phasescope.learners import PowerMLP
from phasescope.report import page
from phasescope.report.explorer import WEIGHTS, packed
from phasescope.tasks import addition
from phasescope.vocabulary import Grid, Recipe

GRID = Grid({"train_fraction": (0.5, 0.8)}, seeds=2)
RECIPES = {
    "sgd": Recipe(optimizer="sgd", lr=0.3, momentum=0.9, weight_decay=1e-3, steps=60, records=20),
    "adam": Recipe(optimizer="adam", lr=0.01, weight_decay=1e-3, steps=60, records=20, loss="cross_entropy"),
    "adamw": Recipe(lr=0.01, weight_decay=0.5, steps=60, records=20),
}
NETWORKS = {
    "sgd": PowerMLP(7, 16, activation="relu"),
    "adam": PowerMLP(7, 16, activation="cubic"),
    "adamw": PowerMLP(7, 16, parametrization="mean-field"),
}


def experiment(name: str = "adamw", learner: Any = None, **changed: Any) -> Experiment:
    recipe = Recipe(**{**RECIPES[name].model_dump(), **changed})
    return Experiment(name, learner or NETWORKS[name], addition(7), GRID, recipe, LEARNING)


def recorded(e: Experiment) -> xr.Dataset:
    assert e.recipe is not None
    return train(e.learner, e.task, e.grid, e.recipe, e.watch)


def test_every_cell_has_the_first_seeds_network_as_it_began() -> None:
    e = experiment()
    some = xr.Dataset({"train_loss": 0.0})
    found = live(e, some)
    assert [one.place for one in found] == [(0, 0), (1, 0)]
    begun = initialized(NETWORKS["adamw"], 0)
    for one in found:
        np.testing.assert_array_equal(one.embed, begun.embed.detach())  # type: ignore[union-attr, operator]
        seen = (
            one.scale * torch.from_numpy(one.embed[0][one.inputs[:, 0]] + one.embed[1][one.inputs[:, 1]]) ** one.degree
        )
        logits = begun.eval()(torch.from_numpy(one.inputs))
        torch.testing.assert_close(seen @ torch.from_numpy(one.readout).T, logits.detach())
    assert len(found[1].train) == round(0.8 * 49) and live(e, xr.Dataset()) == ()


@pytest.mark.parametrize(
    ("learner", "changed"),
    [
        (PowerMLP(7, 16, dropout=0.1), {}), (PowerMLP(7, 16, batch_norm=True), {}),
        (PowerMLP(7, 16, activation="gelu"), {}), (torch.nn.Linear(2, 7), {}), (PowerMLP(97, 3000), {}),
        (None, {"batch": 4}), (None, {"schedule": "cosine"}), (None, {"warmup": 3}), (None, {"clip_norm": 1.0}),
        (None, {"optimizer": "lion"}), (None, {"sam": 0.1}), (None, {"average": 0.9}), (None, {"decayed": "matrices"}),
        (None, {"loss": lambda outputs, targets: outputs.sum(-1)}),
    ],
)  # fmt: skip
def test_what_the_page_does_not_know_stays_a_recording(learner: Any, changed: dict[str, Any]) -> None:
    e = experiment(learner=learner, **changed)
    if learner is not None and getattr(learner, "p", 7) != 7:
        e = Experiment("large", learner, addition(97), GRID, RECIPES["adamw"], LEARNING)
    assert list(live(e, xr.Dataset({"train_loss": 0.0}))) == []


def test_first_weights_that_networks_share_are_on_the_page_once_and_too_many_are_not() -> None:
    e = experiment()
    (d,) = diagrams({"e": recorded(e)}, {"e": "e"}, live={"e": live(e, recorded(e))})
    text = packed([d])
    one = (2 * 7 + 7) * 16 * 4
    assert text.count('"weights"') == 2 and len(text) < 4 * one + 30_000
    assert WEIGHTS < 1e6


@pytest.mark.browser
def test_a_browser_trains_them_as_the_run_did(browser: Any, tmp_path: Path) -> None:
    experiments = {name: experiment(name) for name in RECIPES}
    data = {name: recorded(e) for name, e in experiments.items()}
    alive = {name: live(e, data[name]) for name, e in experiments.items()}
    shown = diagrams(data, {name: name for name in data}, live=alive)
    (tmp_path / "page.html").write_text(page(Page("", "a study", "", diagrams=shown), []), encoding="utf-8")
    found = Seen(browser, tmp_path / "page.html", viewport={"width": 1100, "height": 900})
    for name, one in data.items():
        found.part("diagram").select_option(label=name)
        assert found.part("live-told").inner_text() == ""
        found.part("train").click()
        found.page.get_by_text("trained to step 60").wait_for()
        words = found.part("live-told").inner_text()
        off = float(words.split("differ by ")[1].split(" at most")[0])
        assert off < 1e-5, words
        assert one.train_loss.isel(seed=0, step=-1).max() < one.train_loss.isel(seed=0, step=0).min()
    found.part("map").focus()
    found.page.keyboard.press("ArrowRight")  # another cell: what was trained is not said of it
    assert found.part("live-told").inner_text() == ""
    found.quiet()
    found.page.context.close()
