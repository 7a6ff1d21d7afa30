"""Whose last number is a final one: divergence in the last step, weighted targets, readings that are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import phasescope as ps
from phasescope.ensemble.streams import streams
from phasescope.instruments import LEARNING
from phasescope.vocabulary import Draw, Grid, Reading, Recipe


class Line(nn.Module):
    """Logits that are linear in the inputs."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.out = nn.Linear(3, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, outputs)."""
        found: torch.Tensor = self.out(x)
        return found


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_last_update_can_diverge_too(steps: int) -> None:
    """No step follows it whose loss would show it: weights and loss are looked at in the end."""
    recipe = Recipe(optimizer="sgd", steps=steps, records=max(steps, 2), lr=151.0)
    blown = ps.train(ps.learners.PowerMLP(5, 8), ps.tasks.addition(5), Grid(seeds=4), recipe, LEARNING)
    network, table = ps.learners.PowerMLP(5, 8), ps.tasks.addition(5)
    for seed, fate in enumerate(blown.fate.values):
        rows = table.draw(ps.Member({}, seed), streams(seed)).train
        network.load_state_dict(
            {k: torch.from_numpy(v.copy()) for k, v in ps.final(blown, seed=seed).items()}, strict=False
        )
        answers = network(torch.from_numpy(table.inputs[rows])).detach()
        squares = (answers - nn.functional.one_hot(torch.from_numpy(table.labels[rows]).long(), 5)).square()
        assert (fate == "diverged") == (not bool(squares.mean().isfinite()))
    assert np.isnan(ps.last(blown.train_loss).values[blown.fate.values == "diverged"]).all()
    rows = np.random.default_rng(0).normal(size=(200, 3)) * 50
    task = ps.tasks.Table("rare", rows.astype(np.float32), np.arange(200) % 200 == 0, 2)
    recipe = Recipe(optimizer="sgd", steps=1, lr=3e38, records=2, level=0.9)
    broken = ps.train(Line(), task, Grid(), recipe, LEARNING)
    assert not np.isfinite(broken["final.out.weight"].values).all()
    assert broken.fate.item() == "diverged" and np.isnan(ps.last(broken.test_loss).item())


def test_what_is_explained_is_weighted_as_the_loss_is() -> None:
    class Weighted:
        name, knobs, classes = "weighted", {}, 1

        def draw(self, member: Any, generators: Any) -> Draw:
            """Return targets of which every tenth is far out and counts for nothing."""
            y = np.random.default_rng(0).normal(size=(200, 1))
            y[::10] = 1000
            rows = np.arange(200, dtype=np.int32)
            return Draw(np.zeros((200, 3)), y, y, rows[:100], rows[100:], np.where(rows % 10, 1.0, 0.0))

        def describe(self) -> dict[str, Any]:
            """Return nothing more."""
            return {}

    found = ps.train(Line(1), Weighted(), Grid(), Recipe(steps=5), LEARNING)
    assert found.fate.item() == "out of steps", "the mean of the targets explains nothing"


def test_a_last_reading_that_is_missing_stays_missing() -> None:
    @ps.instrument(unit="1", source="here")
    def early(s: Any) -> Reading:
        size = s.parameters["out.weight"].flatten(1).norm(dim=1)
        return Reading(size, valid=size < 0.5)

    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    task = ps.tasks.Table("line", rows, rows[:, 0] * 10, 1)
    found = ps.train(Line(1), task, Grid(seeds=[3]), Recipe(steps=200, lr=0.05, records=6), [early])
    assert np.isfinite(found.early.values[0, 0]) and np.isnan(found.early.values[0, -1])
    assert np.isnan(ps.last(found.early).item()) and ps.last(found.early).attrs["missing"] == 1
    assert ps.last(found.early).name == "early", "what a plot is labelled by"
    window = ps.last(found.early.isel(step=slice(0, 2)))
    assert window.item() == found.early.values[0, 1], "in a window, the last reading of the window"


@pytest.mark.parametrize(("rows", "corruption", "redrawn"), [(100, 0.29, 29), (100, 0.57, 57), (50, 0.58, 29)])
def test_the_count_of_corrupted_labels_is_no_float_product(rows: int, corruption: float, redrawn: int) -> None:
    task = ps.tasks.Table("t", np.zeros((2 * rows, 1)), np.zeros(2 * rows, int), 7, 0.5, corruption)
    assert len(task.draw(ps.Member({}, 0), streams(0)).corrupted) == redrawn


@pytest.mark.parametrize(
    "learner", [ps.learners.PowerMLP(5, 16), lambda member: nn.Sequential(Residues(), nn.Linear(10, 5))]
)
def test_a_fate_does_not_depend_on_what_is_watched(learner: Any) -> None:
    recipe = Recipe(optimizer="adamw", steps=150, lr=0.05, level=0.6, patience=2.0)
    watched = ((), (ps.instruments.logits.train_loss,), (ps.instruments.logits.test_accuracy,), LEARNING)
    found = [ps.train(learner, ps.tasks.addition(5), Grid(seeds=3), recipe, watch) for watch in watched]
    for data in found[:-1]:
        assert (data.fate == found[-1].fate).all() and (data.fate_step == found[-1].fate_step).all()
    assert (found[-1].fate != "out of steps").any()


class Residues(nn.Module):
    """Two residues as one-hot numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, 10)."""
        return torch.eye(5)[x.long()].flatten(-2)


def test_a_last_reading_is_of_one_variable() -> None:
    data = ps.train(Line(), ps.tasks.Table("t", np.zeros((4, 3)), [0, 1, 0, 1], 2), Grid(), Recipe(steps=2), LEARNING)
    with pytest.raises(ps.BadInput, match=r"takes one reading over the steps.*: got Dataset"):
        ps.last(data)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "dims"), [("fate", ()), ("lr", ()), ("end.x", ()), ("x", ("step",)), ("x", ("lr",))])
def test_no_reading_takes_the_place_of_something_else(name: str, dims: tuple[str, ...]) -> None:
    task = ps.tasks.Table("t", np.zeros((4, 3)), [0, 1, 0, 1], 2)
    mine = ps.Instrument(name, lambda s: Reading(s.logits()[:, 0, 0]), "1", "here", "forward", (0, 1), "0", dims)
    with pytest.raises(ps.BadInput, match="which the dataset has already"):
        ps.train(Line(), task, Grid({"lr": [0.1]}), Recipe(steps=2), [mine])
    with pytest.raises(ps.BadInput, match="two instruments are called 'train_loss'"):
        ps.train(Line(), task, Grid(), Recipe(steps=2), [*LEARNING, ps.instruments.logits.train_loss])


def test_untrained_networks_are_not_read_twice_under_one_name() -> None:
    task = ps.tasks.Table("t", np.zeros((4, 3)), [0, 1, 0, 1], 2)
    with pytest.raises(ps.BadInput, match="two instruments are called 'train_loss'"):
        ps.measure(Line(), task, Grid(), [ps.instruments.logits.train_loss, ps.instruments.logits.train_loss])


def test_a_reading_has_one_name_along_the_way_and_at_the_end() -> None:
    """Watched and read at the end is watched: the last record is the same number. Two of one name are refused."""
    task = ps.tasks.Table("t", np.zeros((4, 3)), [0, 1, 0, 1], 2)

    def norm(factor: float) -> ps.Instrument:
        return ps.instrument(lambda s: factor * s.logits().norm(dim=(1, 2)), unit="1", source="here", name="norm")

    one = norm(1.0)
    both = ps.train(Line(), task, Grid(), Recipe(steps=3), [one], at_end=[one])
    alone = ps.train(Line(), task, Grid(), Recipe(steps=3), [], at_end=[one])
    assert both.norm.dims == ("seed", "step") and alone.norm.dims == ("seed",)
    np.testing.assert_array_equal(ps.last(both.norm), alone.norm)
    with pytest.raises(ps.BadInput, match="two instruments are called 'norm', one watched and one read at the end"):
        ps.train(Line(), task, Grid(), Recipe(steps=3), [one], at_end=[norm(2.0)])


def test_an_instrument_changes_nothing_and_says_who_failed() -> None:
    task = ps.tasks.Table("t", np.zeros((4, 3)), [0, 1, 0, 1], 2)

    def train(work: Any) -> None:
        mine = ps.instrument(work, unit="1", source="here", name="mine")
        ps.train(Line(), task, Grid(), Recipe(steps=2), [mine])

    with pytest.raises(ps.BadInput, match="'mine' changes what it looks at"):
        train(lambda s: s.parameters["out.weight"].mul_(0).sum((1, 2)))
    with pytest.raises(ps.BadInput, match="'mine' gives are complex numbers"):
        train(lambda s: torch.fft.fft(s.logits())[:, 0, 0])
    with pytest.raises(KeyError) as failed:
        train(lambda s: s.parameters["nope"])
    assert "raised by the instrument 'mine'" in str(failed.value.__notes__)


def test_answers_have_a_gradient() -> None:
    """As an instrument of sharpness takes it."""
    found = []

    def slope(s: Any) -> torch.Tensor:
        name, weights = "out.weight", {k: v.detach().clone() for k, v in s.parameters.items()}

        def total(own: Any) -> torch.Tensor:
            out: torch.Tensor = s.answers(own).square().sum()
            return out

        up, down = ({**weights, name: weights[name] + step} for step in (1e-2, -1e-2))
        found.append((torch.func.grad(total)(weights)[name].sum().item(), (total(up) - total(down)).item() / 2e-2))
        return torch.zeros(len(s.inputs))

    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    ps.train(Line(), ps.tasks.Table("t", rows, rows[:, 0] > 0, 2), Grid(), Recipe(steps=2),
             [ps.instrument(slope, unit="1", source="here")])  # fmt: skip
    assert len(found) >= 2
    for exact, measured in found:
        assert abs(exact) > 0.1 and abs(exact - measured) < 0.02 * abs(exact) + 0.05


def fell(steps: np.ndarray, readings: dict[str, np.ndarray]) -> Any:
    """Stop once the training loss is a tenth below its first reading."""
    assert all(len(value) == len(steps) for value in readings.values())
    return readings["train_loss"][-1] < 0.9 * readings["train_loss"][0]


STOPPING = [(ps.learners.PowerMLP(5, 16), "fused"), *((Line(), e) for e in ("looped", "stacked", "traced"))]


@pytest.mark.parametrize(("learner", "engine"), STOPPING)
def test_a_rule_of_ones_own_stops_networks(learner: Any, engine: Any, tmp_path: Any) -> None:
    """What it left is the run without it, cut at the first record at which the rule holds."""
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    task = ps.tasks.addition(5) if engine == "fused" else ps.tasks.Table("rows", rows, rows[:, 0] > 0, 2)
    recipe = Recipe(steps=40, records=20, spacing="linear", lr=0.03, level=1.0)
    whole = ps.train(learner, task, Grid(seeds=3), recipe, LEARNING, engine=engine)
    stops = Recipe(**{**recipe.model_dump(), "stop": fell})
    cut = ps.train(learner, task, Grid(seeds=3), stops, LEARNING, engine=engine, out=tmp_path / "run", progress=False)
    below = (whole.train_loss < 0.9 * whole.train_loss.isel(step=0)).values
    assert below.any(-1).all()
    assert (cut.last_step.values == whole.step.values[below.argmax(-1)]).all()
    kept = cut.step <= cut.last_step
    shown = [data.train_loss.sel(step=cut.step).where(kept, 0.0).values for data in (cut, whole)]
    np.testing.assert_allclose(*shown, rtol=1e-5)
    untold = ~np.isin(whole.fate.values, ["generalized", "memorized"])
    assert (cut.fate.values[untold] == "stopped").all() and (cut.fate_step == cut.last_step).values[untold].all()
    again = ps.train(learner, task, Grid(seeds=3), stops, LEARNING, engine=engine, out=tmp_path / "run", progress=False)
    xr.testing.assert_identical(cut.drop_vars("seconds", errors="ignore"), again.drop_vars("seconds", errors="ignore"))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda steps, readings: 1, "stop gives 1 at step 0: it must give True or False"),
        (lambda steps: True, "stop"),
        ("soon", "stop is 'soon'"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule: Any, said: str) -> None:
    rows = ps.tasks.Table("rows", np.eye(6, 3, dtype=np.float32), np.arange(6) % 2, 2)
    for learner, task in ((Line(), rows), (ps.learners.PowerMLP(5, 8), ps.tasks.addition(5))):
        with pytest.raises(ps.BadInput, match=said):
            ps.train(learner, task, Grid(), Recipe(steps=3, records=2, stop=rule), LEARNING)
