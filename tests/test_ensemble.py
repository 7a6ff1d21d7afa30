"""The ensemble: fast engines against the plain loop, and the promise that a member is the member trained alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phasescope.ensemble.plan as plan
from phasescope.ensemble import Progress, final, last, measure, streams, train
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.measure import measured, to_measure
from phasescope.ensemble.reference import train_reference
from phasescope.ensemble.schedule import GROUP, Watcher, groups, record_steps
from phasescope.ensemble.streams import initialized
from phasescope.instruments import LEARNING
from phasescope.instruments.fourier import mean_participation, participation
from phasescope.instruments.logits import table_accuracy, train_loss
from phasescope.instruments.norms import gradient_norm, weight_norm
from phasescope.learners import ExactMLP, KeyedDropout, PowerMLP
from phasescope.store import Store
from phasescope.tasks import Sampler, Table, addition
from phasescope.theory import modular_addition
from phasescope.vocabulary import BadInput, Fate, Grid, Interrupted, Member, Recipe

WATCH = (*LEARNING, mean_participation, participation, weight_norm, gradient_norm)
CPU: dict[str, Any] = {"device": "cpu"}
quick = settings(deadline=None, max_examples=60)


def grid_of(axes: Mapping[str, Any], seeds: Any = 2) -> Grid:
    return Grid({name: tuple(values) for name, values in axes.items()}, seeds=seeds)


def member_of(data: xr.Dataset, member: Member) -> xr.Dataset:
    return data.sel({**member.knobs, "seed": member.seed})


def law_same_bits(found: xr.Dataset, expected: xr.Dataset, where: str = "") -> None:
    """Every reading, final parameter and fate is the same to the last bit; only the seconds spent may differ."""
    steps = min(found.sizes["step"], expected.sizes["step"])
    assert (found["step"].values[:steps] == expected["step"].values[:steps]).all()
    for data in (found, expected):
        rest = [v for v in data.data_vars.values() if "step" in v.dims]
        assert all(np.isnan(v.isel(step=slice(steps, None))).all() for v in rest), f"{where}: one goes on longer"
    assert set(found.data_vars) == set(expected.data_vars)
    for name in set(found.data_vars) - {"seconds"}:
        a, b = (d[name].isel(step=slice(steps)) if "step" in d[name].dims else d[name] for d in (found, expected))
        assert a.shape == b.shape, f"{where}: {name} has shape {a.shape}, not {b.shape}"
        same = a.values.tobytes() == b.values.tobytes() if a.dtype.kind != "U" else (a.values == b.values).all()
        assert same, f"{where}: {name} has other bits"


# -- (1) the fast engines are the plain loop ------------------------------------------------------------------------------

STEPS = 20
LOOPS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "sgd": (
        {}, {"optimizer": "sgd", "lr": 0.3},
        {"momentum": [0.0, 0.9], "weight_decay": [0.0, 0.2], "lr": [0.1, 0.3]},
    ),
    "adam": ({}, {"optimizer": "adam"}, {"lr": [0.01, 0.02], "weight_decay": [0.0, 0.1], "eps": [1e-8, 1e-3]}),
    "adamw": ({}, {"optimizer": "adamw", "weight_decay": 1.0}, {"beta1": [0.0, 0.9], "beta2": [0.9, 0.999]}),
    "adamw decay": ({}, {"optimizer": "adamw"}, {"weight_decay": [0.0, 5.0], "lr": [0.01, 0.03]}),
    "batches": ({}, {"optimizer": "adamw", "batch": 7}, {"train_fraction": [0.5, 0.8], "corruption": [0.0, 0.5]}),
    "dropout": ({"activation": "gelu"}, {"optimizer": "sgd", "lr": 0.1, "batch": 9}, {"dropout": [0.0, 0.2, 0.6]}),
    "batch norm": ({"batch_norm": True}, {"optimizer": "adamw", "batch": 10, "weight_decay": 0.5}, {"lr": [0.01, 0.1]}),
    "cross-entropy": ({"activation": "relu"}, {"optimizer": "adamw", "loss": "cross_entropy"}, {"lr": [0.01, 0.05]}),
    "batch norm, dropout, cross-entropy": (
        {"batch_norm": True, "dropout": 0.3}, {"optimizer": "sgd", "lr": 0.2, "momentum": 0.5, "loss": "cross_entropy"},
        {"weight_decay": [0.0, 0.1]},
    ),
    "mean field": ({"parametrization": "mean-field"}, {"optimizer": "sgd", "lr": 2.0}, {"momentum": [0.0, 0.8]}),
}  # fmt: skip


def law_plain_loop(name: str, engine: Any) -> None:
    """Twenty steps in float64 are those of torch.optim, one network at a time, to 1e-10: only rounding may differ.

    Further on the two part exponentially at the edge of stability, so only the first steps are compared.
    """
    learner, recipe, axes = LOOPS[name]
    grid, task = grid_of(axes), addition(5, train_fraction=0.7)
    full = Recipe(**{**recipe, "steps": STEPS, "records": 4, "dtype": "float64"})
    module = PowerMLP(5, 8, **learner)
    found = train(module, task, grid, full, (train_loss,), engine=engine, **CPU)
    for job in jobs(module, task, grid, full):
        mine, reference = member_of(found, job.member), train_reference(job, STEPS)
        names = [n for n in reference if f"final.{n}" in found]
        assert {"embed", "readout"} <= set(names)
        for n in names:
            gap = np.abs(mine[f"final.{n}"].values - reference[n]).max()
            assert gap <= 1e-10 * max(1.0, np.abs(reference[n]).max()), f"{engine}, {job.member}: {n} is off by {gap}"


@pytest.mark.parametrize("engine", ["fused", "stacked"])
@pytest.mark.parametrize("name", LOOPS)
def test_plain_loop(name: str, engine: str) -> None:
    law_plain_loop(name, engine)


class Linear(nn.Module):
    """One linear layer without bias, started at one half: its descent has a closed form."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, inputs), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


def regression(rows: int = 40, inputs: int = 3) -> Table:
    g = np.random.default_rng(0)
    x = g.standard_normal((rows, inputs))
    return Table("regression", x, x @ g.standard_normal((inputs, 1)) + 0.1 * g.standard_normal((rows, 1)), 1)


def law_closed_form(engine: Any = "stacked") -> None:
    """Descent on a quadratic is linear: w <- (1 - lr wd) w - lr (H w - c), no loop of ours and no torch.optim in it."""
    task, rates, decays = regression(), (0.05, 0.2), (0.0, 0.3)
    grid = Grid({"lr": rates, "weight_decay": decays}, seeds=[1, 4])
    recipe = Recipe(optimizer="sgd", steps=50, records=3, dtype="float64")
    found = train(Linear(3), task, grid, recipe, (train_loss,), engine=engine, **CPU)
    for member in grid:
        rows = task.draw(member, streams(member.seed)).train
        x, y = task.inputs[rows], task.labels[rows]
        hessian, force = 2 * x.T @ x / len(x), 2 * x.T @ y / len(x)
        lr, decay = (float(member[name]) for name in ("lr", "weight_decay"))
        step = (1 - lr * decay) * np.eye(3) - lr * hessian
        fixed = np.linalg.solve(np.eye(3) - step, lr * force)
        expected = fixed + np.linalg.matrix_power(step, 50) @ (np.full((3, 1), 0.5) - fixed)
        mine = member_of(found, member)
        gap = np.abs(mine["final.weight"].values - expected.T).max()
        assert gap < 1e-12, f"{member}: off by {gap}"
        loss = ((x @ expected - y) ** 2).mean()
        assert float(mine["train_loss"].values[-1]) == pytest.approx(loss, rel=1e-9)


def test_closed_form() -> None:
    law_closed_form()


# -- (2) the promise ------------------------------------------------------------------------------------------------------

PROMISES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "descent": (
        {"parametrization": "mean-field"}, {"optimizer": "sgd", "lr": 5.0, "steps": 150, "patience": 2.0},
        {"momentum": [0.0, 0.9], "train_fraction": [0.5, 0.8]},
    ),
    "adamw": ({}, {"steps": 120, "overtime": 1.5}, {"weight_decay": [0.0, 3.0], "corruption": [0.0, 0.4]}),
    "all at once": (
        {"batch_norm": True, "activation": "relu"}, {"steps": 60, "batch": 16, "loss": "cross_entropy"},
        {"dropout": [0.0, 0.3], "lr": [0.003, 0.01]},
    ),
}  # fmt: skip


def promised(name: str, grid: Grid | None = None, **how: Any) -> xr.Dataset:
    learner, recipe, axes = PROMISES[name]
    full = Recipe(**{"records": 12, **recipe})
    module = PowerMLP(7, 20, **learner)
    return train(
        module,
        addition(7, train_fraction=0.8),
        grid or grid_of(axes),
        full,
        WATCH,
        at_end=(table_accuracy,),
        **CPU,
        **how,
    )


def law_company(name: str, **how: Any) -> None:
    """A network in a phase diagram is bit for bit the network trained alone, with any number of workers."""
    whole = promised(name, **how)
    axes = PROMISES[name][2]
    for member in list(grid_of(axes))[::3]:
        alone = promised(name, Grid({axis: (member[axis],) for axis in axes}, seeds=[member.seed]), **how)
        mine = whole.sel({axis: [member[axis]] for axis in axes} | {"seed": [member.seed]})
        law_same_bits(mine, alone, f"{name}, {member}")


@pytest.mark.parametrize("name", PROMISES)
def test_company_fused(name: str) -> None:
    law_company(name, engine="fused", workers=2)


@pytest.mark.parametrize("name", ["descent", "all at once"])
def test_company_stacked_one_by_one(name: str) -> None:
    law_company(name, engine="stacked", tile=1)


@pytest.mark.parametrize("name", PROMISES)
def test_workers_change_nothing(name: str) -> None:
    first = promised(name, engine="fused", workers=1)
    for workers in (2, 3):
        law_same_bits(promised(name, engine="fused", workers=workers), first, f"{workers} workers")


def test_order_of_the_grid_changes_nothing() -> None:
    """The same members asked for in another order are the same members."""
    axes = PROMISES["adamw"][2]
    there = promised("adamw", engine="fused")
    back = promised("adamw", grid_of({name: values[::-1] for name, values in axes.items()}, [1, 0]), engine="fused")
    law_same_bits(back.sel({**{name: list(values) for name, values in axes.items()}, "seed": [0, 1]}), there)


class Cut(Exception):
    """Raised by a keeper that fails."""


class CutKeeper:
    """A keeper that checkpoints at every chance and is cut after ``most`` of them, as by a power failure."""

    def __init__(self, most: int) -> None:
        self.most, self.records, self.states = most, {}, {}

    def load(self, identity: Any) -> Any:
        return self.records.get(repr(identity))

    def save(self, identity: Any, arrays: Any, facts: Any) -> None:
        self.records[repr(identity)] = (dict(arrays), dict(facts))

    def load_checkpoint(self, identity: Any) -> Any:
        return self.states.get(repr(identity))

    def save_checkpoint(self, identity: Any, arrays: Any, facts: Any) -> None:
        self.states[repr(identity)] = ({k: v.copy() for k, v in arrays.items()}, dict(facts))
        self.most -= 1
        if self.most == 0:
            raise Cut

    def drop_checkpoint(self, identity: Any) -> None:
        self.states.pop(repr(identity), None)


def law_resume(name: str, **how: Any) -> None:
    """Cut anywhere and go on: the bits of an unbroken run. Momentum, batches and masks are part of the state."""
    member = next(iter(grid_of(PROMISES[name][2])))
    axes = PROMISES[name][2]
    grid = Grid({axis: axes[axis][-1:] for axis in axes}, seeds=[member.seed])
    whole = promised(name, grid, **how)
    cuts = 0
    for most in (1, 2, 4):
        keeper = CutKeeper(most)
        try:
            found = promised(name, grid, keeper=keeper, checkpoint_every=0.0, **how)
        except Cut:
            cuts += 1
            keeper.most = -1
            assert keeper.states
            found = promised(name, grid, keeper=keeper, checkpoint_every=0.0, **how)
        law_same_bits(found, whole, f"{name}, cut at checkpoint {most}")
        assert not keeper.states, "a finished member keeps its checkpoint"
    assert cuts == 3, "the run was too short to be cut"


@pytest.mark.parametrize("name", PROMISES)
def test_resume_fused(name: str) -> None:
    law_resume(name, engine="fused", workers=1)


@pytest.mark.parametrize("name", PROMISES)
def test_resume_stacked(name: str) -> None:
    law_resume(name, engine="stacked", tile=1)


# -- (3) numbers of one's own ---------------------------------------------------------------------------------------------

OWN: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "lr": ([0.01, 0.02], {}),
    "weight_decay": ([0.0, 1.0], {}),
    "momentum": ([0.0, 0.9], {"optimizer": "sgd"}),
    "beta1": ([0.5, 0.9], {}),
    "beta2": ([0.9, 0.99], {}),
    "eps": ([1e-8, 1e-2], {}),
    "dropout": ([0.0, 0.5], {}),
    "train_fraction": ([0.5, 0.6], {}),
    "corruption": ([0.0, 0.5], {}),
    "batch": ([4, 8], {}),
    "loss": (["mse", "cross_entropy"], {}),
    "optimizer": (["adam", "sgd"], {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("engine", ["fused", "stacked"])
@pytest.mark.parametrize("axis", OWN)
def test_every_number_may_differ_per_member(axis: str, engine: Any) -> None:
    """The member at one value of an axis is the member of a recipe with that value, and not the one at the other."""
    values, recipe = OWN[axis]
    base = {"steps": 6, "records": 2, "dtype": "float64", **recipe}
    found = train(PowerMLP(5, 6), addition(5), Grid({axis: values}), Recipe(**base), engine=engine, **CPU)
    finals = [found["final.embed"].sel({axis: value, "seed": 0}).values for value in values]
    assert np.abs(finals[0] - finals[1]).max() > 1e-6
    for value, ended in zip(values, finals, strict=True):
        module, task = PowerMLP(5, 6), addition(5)
        if axis in Recipe.model_fields:
            base[axis] = value
        elif axis == "dropout":
            module = PowerMLP(5, 6, dropout=value)
        else:
            task = addition(5, **{axis: value})
        alone = train(module, task, Grid(), Recipe(**base), engine=engine, **CPU)
        assert np.abs(alone["final.embed"].values[0] - ended).max() < 1e-12


def test_members_of_other_sizes() -> None:
    """An axis that changes shapes: the learner is a function of the member, final parameters stand in one array, padded."""
    grid = Grid({"width": [4, 9]}, seeds=2)
    for engine in ("fused", "stacked"):
        found = train(
            lambda m: PowerMLP(5, int(m["width"])), addition(5), grid, Recipe(steps=5, records=2),
            (train_loss, participation), engine=engine, **CPU,
        )  # fmt: skip
        assert found["train_loss"].shape == (2, 2, 3)
        assert found["participation"].shape == (2, 2, 3, 9)
        assert np.isnan(found["participation"].sel(width=4).values[..., 4:]).all()
        assert np.isfinite(found["participation"].sel(width=9)).all()
        assert np.isnan(found["final.embed"].sel(width=4).values[..., 4:]).all()
        assert final(found, width=4, seed=1)["embed"].shape == (2, 5, 4)
        alone = train(
            PowerMLP(5, 9), addition(5), Grid(seeds=2), Recipe(steps=5, records=2), (train_loss,), engine=engine
        )
        assert np.allclose(found["train_loss"].sel(width=9), alone["train_loss"], atol=1e-6)


# -- (4) fates ------------------------------------------------------------------------------------------------------------


def fated(engine: Any, **changes: Any) -> xr.Dataset:
    grid = Grid({"weight_decay": [0.0, 3.0], "lr": [0.01, 1e8]}, seeds=2)
    recipe = Recipe(**{"steps": 300, "records": 40, **changes})
    return train(PowerMLP(11, 64), addition(11, train_fraction=0.9), grid, recipe, LEARNING, engine=engine, **CPU)


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_fates(engine: str) -> None:
    """Memorizing, generalizing and diverging members side by side; what diverges harms nobody."""
    found = fated(engine, overtime=1.5, patience=5.0)
    fate = found["fate"]
    assert (fate.sel(lr=1e8) == Fate.DIVERGED).all()
    assert (fate.sel(lr=0.01, weight_decay=3.0) == Fate.GENERALIZED).all()
    assert (fate.sel(lr=0.01, weight_decay=0.0) == Fate.MEMORIZED).all()
    alone = train(
        PowerMLP(11, 64), addition(11, train_fraction=0.9), Grid({"weight_decay": [0.0, 3.0], "lr": [0.01]}, seeds=2),
        Recipe(steps=300, records=40, overtime=1.5, patience=5.0), LEARNING, engine=engine, **CPU,
    )  # fmt: skip
    if engine == "fused":
        law_same_bits(found.sel(lr=[0.01]), alone)
    for place in np.ndindex(2, 2):
        mine = found.sel(lr=0.01).isel(weight_decay=place[0], seed=place[1])
        law_release(mine, 1.5, 5.0)


def law_release(mine: xr.Dataset, overtime: float, patience: float) -> None:
    """A member leaves at the first record at which its time is over; its readings are NaN from there on."""
    steps, test, train_ = (mine[name].values for name in ("step", "test_accuracy", "train_accuracy"))
    final = int(mine["last_step"])
    assert np.isfinite(test[steps <= final]).all()
    assert np.isnan(test[steps > final]).all()
    reached = {name: steps[a >= 0.99] for name, a in (("test", test), ("train", train_))}
    if len(reached["test"]):
        due, fate, settled = overtime * reached["test"][0], Fate.GENERALIZED, reached["test"][0]
    else:
        due, fate, settled = patience * max(reached["train"][0], 1), Fate.MEMORIZED, reached["train"][0]
    assert (str(mine["fate"].values), int(mine["fate_step"])) == (fate, settled)
    late = steps[(steps >= due) & (steps >= settled)]
    assert final == (late[0] if len(late) else steps[-1])


def test_without_release_everybody_stays() -> None:
    found = fated("fused", steps=120)
    assert (found["last_step"].sel(lr=0.01) == 120).all()
    assert np.isfinite(found["test_accuracy"].sel(lr=0.01)).all()


def test_out_of_steps() -> None:
    for engine in ("fused", "stacked"):
        found = train(PowerMLP(7, 8), addition(7), Grid(), Recipe(steps=3, records=2), LEARNING, engine=engine, **CPU)
        assert found["fate"].item() == Fate.OUT_OF_STEPS
        assert found["fate_step"].item() == 3


@settings(deadline=None, max_examples=200)
@given(
    seen=st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12
    ),
    overtime=st.sampled_from([1.0, 1.5, math.inf]),
    patience=st.sampled_from([1.0, 3.0, math.inf]),
)
def test_watcher(seen: list[tuple[float, float]], overtime: float, patience: float) -> None:
    """The rule in one line each: first record at the level; generalizing outranks memorizing."""
    watcher = Watcher(Recipe(steps=1000, overtime=overtime, patience=patience))
    steps = [2**i for i in range(len(seen))]
    for n, (step, (a, b)) in enumerate(zip(steps, seen, strict=True), 1):
        leaves = watcher.see(step, a, b)
        first = {k: next((s for s, v in zip(steps[:n], seen, strict=False) if v[k] >= 0.99), None) for k in (0, 1)}
        if first[1] is not None:
            assert leaves == (step >= overtime * first[1])
            assert watcher.fate() == (Fate.GENERALIZED, first[1])
        elif first[0] is not None:
            assert leaves == (step >= patience * first[0])
            assert watcher.fate() == (Fate.MEMORIZED, first[0])
        else:
            assert not leaves
            assert watcher.fate() == (Fate.OUT_OF_STEPS, 1000)


# -- (5) when members are read --------------------------------------------------------------------------------------------


@quick
@given(
    steps=st.integers(1, 10**6), records=st.integers(2, 300), first=st.integers(1, 1000),
    spacing=st.sampled_from(["log", "linear"]),
)  # fmt: skip
def test_record_steps(steps: int, records: int, first: int, spacing: Any) -> None:
    """0 and the last step are recorded, each step once, in order, no earlier than asked, at most as many as asked."""
    recipe = Recipe(steps=steps, records=records, first_record=min(first, steps), spacing=spacing)
    found = record_steps(recipe)
    assert found[0] == 0
    assert found[-1] == steps
    assert (np.diff(found) > 0).all()
    assert found[1] == min(first, steps)
    assert len(found) <= records + 1
    cut = groups(found)
    assert np.concatenate(cut).tolist() == found[1:].tolist()
    assert all(1 <= len(group) <= GROUP and group[-1] <= 1.05 * group[0] + 8 for group in cut)
    if spacing == "linear" and len(found) > 2:
        assert np.ptp(np.diff(found[1:])) <= 1  # equal but for the rounding


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_linear_records_are_read_in_training(engine: Any) -> None:
    """At the steps that both spacings record, the same network reads the same."""
    task, even = addition(5), Recipe(steps=8, records=8, spacing="linear", dtype="float64")
    linear, log = (
        train(PowerMLP(5, 8), task, Grid(), recipe, (train_loss,), engine=engine, **CPU)
        for recipe in (even, even.model_copy(update={"spacing": "log", "records": 4}))
    )
    assert linear.step.values.tolist() == list(range(9))
    assert log.step.values.tolist() == [0, 1, 2, 4, 8]
    np.testing.assert_allclose(linear.train_loss.sel(step=log.step), log.train_loss, rtol=1e-12)


def test_the_spacing_of_records_is_one_for_all_members() -> None:
    with pytest.raises(BadInput, match="grid axis 'spacing' can not differ within one grid"):
        train(PowerMLP(5, 8), addition(5), Grid({"spacing": ["log", "linear"]}), Recipe(steps=2, records=2))
    with pytest.raises(BadInput, match="spacing is 'even'"):
        Recipe(spacing="even")  # type: ignore[arg-type]


def test_first_record_after_the_end_is_refused() -> None:
    with pytest.raises(BadInput, match="first_record is 20: it must be at most steps = 10"):
        record_steps(Recipe(steps=10, first_record=20))


def test_a_reading_is_that_of_its_step() -> None:
    """What is recorded at step t is read off the weights after t steps: each record equals a run that ends there."""
    long = train(PowerMLP(5, 8), addition(5), Grid(), Recipe(steps=30, records=6), WATCH, engine="fused", **CPU)
    for step in long["step"].values[1:]:
        short = train(
            PowerMLP(5, 8), addition(5), Grid(), Recipe(steps=int(step), records=2), WATCH, engine="fused", **CPU
        )
        for instrument in WATCH:
            a, b = long[instrument.name].sel(step=step), short[instrument.name].sel(step=step)
            assert np.allclose(a, b, rtol=1e-6), (instrument.name, step)
    fresh = measure(PowerMLP(5, 8), addition(5), Grid(), WATCH)
    assert all(np.allclose(long[i.name].sel(step=0), fresh[i.name], rtol=1e-6) for i in WATCH)


# -- (6) bad input --------------------------------------------------------------------------------------------------------


def attempt(
    grid: Grid | None = None, recipe: Mapping[str, Any] | None = None, watch: Any = (), learner: Any = None,
    task: Any = None, **how: Any,
) -> None:  # fmt: skip
    train(
        learner or PowerMLP(5, 4), task or addition(5), grid or Grid(), Recipe(**{"steps": 2, "records": 2, **(recipe or {})}),
        watch, **{**CPU, **how},
    )  # fmt: skip


def noise_task() -> Sampler:
    return Sampler("noise", lambda g, n: (g.integers(0, 5, (n, 2)).astype(np.int32), g.integers(0, 5, n)), 5)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown axis": (
        {"grid": Grid({"weight_decai": [0, 1]})},
        "nobody knows the grid axis 'weight_decai'; did you mean 'weight_decay'?",
    ),
    "steps as an axis": ({"grid": Grid({"steps": [1, 2]})}, "grid axis 'steps' can not differ within one grid"),
    "records as an axis": ({"grid": Grid({"records": [2, 3]})}, "grid axis 'records' can not differ"),
    "sampler without batch": ({"task": noise_task()}, "batch is None: a task that samples fresh data needs a batch size"),
    "sampler in the fused engine": (
        {"task": noise_task(), "recipe": {"batch": 4}, "engine": "fused"}, "engine is 'fused', which needs",
    ),
    "other modulus": (
        {"task": addition(7), "engine": "fused"},
        "the network PowerMLP makes (3, 5) of 3 rows, and 'addition mod 7' has 7 classes: its output must be (N, 7)",
    ),
    "unknown device": ({"device": "tpu"}, "device is 'tpu': choose auto, cpu or cuda."),
    "bad number on an axis": ({"grid": Grid({"lr": [0.1, math.inf]})}, "lr is inf"),
    "negative number on an axis": ({"grid": Grid({"weight_decay": [-1.0]})}, "weight_decay is -1.0"),
    "bad fraction on an axis": ({"grid": Grid({"train_fraction": [1.5]})}, "train_fraction is 1.5: it must lie in (0, 1)"),
    "bad dropout on an axis": ({"grid": Grid({"dropout": [1.0]})}, "dropout is 1.0: a rate must be in [0, 1)."),
    "corrupted targets": (
        {"task": regression(), "learner": Linear(3), "grid": Grid({"corruption": [0.5]})},
        "only class labels can be corrupted",
    ),
    "dropout without keys": (
        {"task": regression(), "learner": nn.Sequential(Linear(3), nn.Dropout(0.5))},
        "1 is Dropout(p=0.5, inplace=False): its masks come from a global generator",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_a_sentence(name: str) -> None:
    what, sentence = REFUSED[name]
    with pytest.raises(BadInput) as error:
        attempt(**what)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ({"lr": math.nan}, "lr"), ({"lr": 0.0}, "lr"), ({"lr": math.inf}, "lr"), ({"momentum": 1.0}, "momentum"),
        ({"beta2": -0.1}, "beta2"), ({"steps": 0}, "steps"), ({"batch": 0}, "batch"), ({"optimizer": "rprop"}, "optimizer"),
        ({"loss": "hinge"}, "loss"), ({"overtime": 0.5}, "overtime"), ({"level": 0.0}, "level"), ({"dtype": "half"}, "dtype"),
    ],
)  # fmt: skip
def test_bad_recipes_are_refused(numbers: dict[str, Any], name: str) -> None:
    with pytest.raises(BadInput, match=rf"^{name} is "):
        Recipe(**numbers)
    with pytest.raises(BadInput, match="there is no setting 'lrr'; did you mean 'lr'"):
        Recipe(lrr=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the refusal needs a machine without a CUDA device")
def test_a_missing_gpu_is_refused() -> None:
    with pytest.raises(BadInput, match="device is 'cuda', but this machine has no CUDA device"):
        attempt(device="cuda")


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_too_much_memory_is_refused_with_the_number(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is allocated: a network of 10^8 units, and a small one on a machine with 100 kB free."""
    with pytest.raises(BadInput, match=r"need[s]? (about )?[\d,.]+ GiB"):
        attempt(learner=PowerMLP(5, 10**9), engine=engine)
    monkeypatch.setattr(plan, "free_memory", lambda device: 100_000)
    with pytest.raises(BadInput, match="this grid of 4 members needs about"):
        attempt(Grid(seeds=4), learner=PowerMLP(11, 200), engine=engine)


def test_grids_are_checked() -> None:
    for axes, seeds in (({"lr": []}, 1), ({"lr": [1, 1]}, 1), ({}, 0), ({}, [1, 1]), ({}, [-1])):
        with pytest.raises(BadInput):
            Grid(axes, seeds=seeds)


# -- (7) any module, any task ---------------------------------------------------------------------------------------------


def digits() -> Table:
    g = np.random.default_rng(0)
    centres = g.standard_normal((4, 3, 3))
    labels = np.arange(120, dtype=np.int32) % 4
    return Table("blobs", centres[labels] + 0.3 * g.standard_normal((120, 3, 3)), labels, 4, train_fraction=0.6)


def law_any_module(module: nn.Module, task: Any, **recipe: Any) -> None:
    """A user's module in tiles of three is that module in the plain loop."""
    full = Recipe(**{"steps": 15, "records": 3, "dtype": "float64", **recipe})
    grid = Grid({"lr": [0.01, 0.1]}, seeds=2)
    found = train(module, task, grid, full, (train_loss,), tile=3, **CPU)
    for job in jobs(module, task, grid, full):
        reference = train_reference(job, 15)
        mine = member_of(found, job.member)
        for name, _ in module.named_parameters():
            assert np.abs(mine[f"final.{name}"].values - reference[name]).max() < 1e-10, name


def test_any_classifier() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4))
    law_any_module(module, digits(), loss="cross_entropy")
    law_any_module(module, digits(), loss="mse", batch=16)


def test_any_regression() -> None:
    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    law_any_module(module, regression())


def test_any_module_with_buffers() -> None:
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(9, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), KeyedDropout(0.3), nn.Linear(8, 4)
    )  # no bias before the normalization: its gradient is rounding, which Adam would blow up
    law_any_module(module, digits(), batch=20, loss="cross_entropy")


def test_two_dropouts_have_masks_of_their_own() -> None:
    """The two layers see different masks, and the plain loop sees the same ones."""
    module = nn.Sequential(
        nn.Flatten(), KeyedDropout(0.3), nn.Linear(9, 9), nn.ReLU(), KeyedDropout(0.3), nn.Linear(9, 4)
    )
    law_any_module(module, digits())


def test_a_module_learns() -> None:
    """Not only equal to a loop: it learns four blobs of noise 0.3 that are 3 apart."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 4))
    recipe = Recipe(lr=0.02, steps=150, records=10, loss="cross_entropy")
    found = train(module, digits(), Grid(seeds=3), recipe, LEARNING, **CPU)
    assert (last(found["test_accuracy"]) > 0.95).all()
    assert (found["test_accuracy"].isel(step=0) < 0.7).all()


def test_scikit_learn_digits() -> None:
    """The embedded data set: 1797 images of 8 x 8, real inputs, classes."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    task = Table("digits", data.images[:600] / 16, data.target[:600].astype(np.int32), 10, train_fraction=0.7)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    recipe = Recipe(lr=0.01, steps=100, records=5, loss="cross_entropy", batch=64)
    found = train(module, task, Grid(seeds=2), recipe, LEARNING, **CPU)
    assert (last(found["test_accuracy"]) > 0.85).all()


def test_fresh_batches_are_the_literal_loop() -> None:
    """A sampler gives each member and step its own batch: the loop of a tutorial, written out."""
    task = Sampler("line", lambda g, n: ((x := g.standard_normal((n, 2))), x @ np.array([[1.0], [-2.0]])), 1)
    grid, recipe = Grid(seeds=[0, 5]), Recipe(optimizer="sgd", lr=0.05, steps=25, records=4, batch=8, dtype="float64")
    found = train(nn.Linear(2, 1), task, grid, recipe, (train_loss,), tile=2, **CPU)
    for seed in (0, 5):
        module = initialized(nn.Linear(2, 1), seed).double()
        rule = torch.optim.SGD(module.parameters(), 0.05)
        for step in range(1, 26):
            x, y = (torch.from_numpy(part) for part in task.batch(Member({}, seed), streams(seed), step, 8))
            rule.zero_grad()
            ((module(x) - y) ** 2).mean().backward()
            rule.step()
        for name, value in module.named_parameters():
            assert np.abs(found[f"final.{name}"].sel(seed=seed).values - value.detach().numpy()).max() < 1e-12
    assert (last(found["train_loss"]) < 0.5 * found["train_loss"].isel(step=0)).all()


def test_tiles_agree_to_rounding() -> None:
    """Tiles of any size train the same networks: in float64 the first steps differ by rounding alone."""
    runs = [
        train(PowerMLP(5, 8), addition(5), Grid(seeds=5), Recipe(steps=20, records=3, dtype="float64"), (train_loss,),
              engine="stacked", tile=tile, **CPU)
        for tile in (1, 2, 5)
    ]  # fmt: skip
    for run in runs[1:]:
        assert np.abs(run["final.embed"] - runs[0]["final.embed"]).max() < 1e-10


def test_what_is_measured_does_not_depend_on_workers() -> None:
    grid = Grid({"train_fraction": (0.4, 0.8)}, seeds=5)
    chosen = to_measure(PowerMLP(7, 9), addition(7), grid)
    alone = measured(chosen, grid, WATCH, workers=1)
    assert measured(chosen, grid, WATCH, workers=3).identical(alone)
    assert measure(PowerMLP(7, 9), addition(7), grid, WATCH).identical(alone)


def test_exact_networks_are_measured() -> None:
    """``measure`` reads members as they are initialized, each seed with phases of its own."""
    found = measure(
        ExactMLP(7, 60, modular_addition.addition_weights), addition(7), Grid(seeds=3), (table_accuracy, participation)
    )
    assert (found["table_accuracy"] > 0.9).all()
    assert (
        len(set(measure(PowerMLP(7, 9), addition(7), Grid(seeds=3), (weight_norm,))["weight_norm"].values.tolist()))
        == 3
    )


def test_dataset_says_what_it_holds() -> None:
    found = promised("adamw")
    assert found["train_accuracy"].dims == ("weight_decay", "corruption", "seed", "step")
    assert found["participation"].dims[-1] == "neuron"
    units = {
        name: found[name].attrs["units"] for name in ("train_loss", "train_accuracy", "seconds", "step", "fate_step")
    }
    assert list(units.values()) == ["squared error", "1", "s", "step", "step"]
    assert found["step"].values[0] == 0
    at_end, final = found["table_accuracy"], found["final.embed"]
    assert at_end.dims == ("weight_decay", "corruption", "seed")
    assert final.shape == (2, 2, 2, 2, 7, 20)
    # the reading at the end is of the final parameters: their norm by hand
    square = (found["final.embed"].values.astype(float) ** 2).sum((-3, -2, -1))
    square += (found["final.readout"].values.astype(float) ** 2).sum((-2, -1))
    assert np.allclose(last(found["weight_norm"]), np.sqrt(square), rtol=1e-6)


# -- (8) the keeper -------------------------------------------------------------------------------------------------------


class Told:
    """Remembers the last progress; raises ``KeyboardInterrupt`` once ``after`` members are finished."""

    def __init__(self, after: float = math.inf) -> None:
        self.after, self.latest = after, Progress(0, 0)

    def __call__(self, progress: Progress) -> None:
        self.latest = progress
        if progress.finished - progress.reused >= self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_what_is_kept_is_not_trained_again(engine: str, tmp_path: Path) -> None:
    """The same grid trains nothing; a larger grid trains what is new; a changed number, task or watch trains all."""
    how: dict[str, Any] = {"engine": engine}
    if engine == "stacked":
        how["tile"] = 1
    with Store(tmp_path / "run") as store:
        first, told = promised("adamw", keeper=store, **how), Told()
        again = promised("adamw", keeper=store, on_progress=told, **how)
        law_same_bits(again, first)
        assert store.health()["records"] == 8
        assert store.health()["checkpoints"] == 0
        told = Told()
        wider = Grid({"weight_decay": [0.0, 1.0, 3.0], "corruption": [0.0]}, seeds=3)
        found = promised("adamw", wider, keeper=store, on_progress=told, **how)
        assert (told.latest.reused, told.latest.finished) == (4, 9)
        shared = {"weight_decay": [0.0, 3.0], "corruption": [0.0], "seed": [0, 1]}
        law_same_bits(found.sel(shared), first.sel(shared))


def test_a_changed_number_is_another_member(tmp_path: Path) -> None:
    with Store(tmp_path / "run") as store:

        def reused(recipe: Mapping[str, Any], p: int = 5, watch: Any = (train_loss,), **learner: Any) -> int:
            told, full = Told(), Recipe(**{"steps": 4, "records": 2, **recipe})
            train(PowerMLP(5, 6, **learner), addition(p), Grid(), full, watch, keeper=store, on_progress=told, **CPU)
            return told.latest.reused if told.latest.members else 1

        assert reused({}) == 0
        assert reused({}) == 1
        for recipe in (
            {"lr": 0.011},
            {"steps": 5},
            {"weight_decay": 1e-3},
            {"loss": "cross_entropy"},
            {"dtype": "float64"},
        ):
            assert reused(recipe) == 0
        assert reused({}, watch=(train_loss, weight_norm)) == 0
        assert reused({}, activation="relu") == 0
        assert reused({}, p=3) == 0
        assert reused({}, dropout=0.1) == 0


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_interrupted_and_taken_up_again(engine: str, tmp_path: Path) -> None:
    """Ctrl-C raises Interrupted with what is kept; the same call goes on to the bits of an unbroken run."""
    how: dict[str, Any] = {"engine": engine, "workers": 1} | ({"tile": 1} if engine == "stacked" else {})
    whole = promised("adamw", **how)
    with Store(tmp_path / "run") as store:
        with pytest.raises(Interrupted, match=r"of 8 members finished; they are kept; the same call resumes"):
            promised("adamw", keeper=store, on_progress=Told(1), **how)
        kept = store.health()["records"]
        assert kept >= 1
        told = Told()
        found = promised("adamw", keeper=store, on_progress=told, **how)
        assert store.health()["checkpoints"] == 0
    if kept < 8:
        assert told.latest.reused == kept
    law_same_bits(found, whole)


def test_a_tile_taken_up_again_leaves_nothing_behind(tmp_path: Path) -> None:
    """Members leave a tile before it is cut: the rest go on from their checkpoint, and no state outlives the run."""

    def run(store: Store, after: float) -> xr.Dataset:
        return train(
            PowerMLP(11, 64), addition(11, train_fraction=0.9), Grid({"weight_decay": [0.0, 3.0]}, seeds=2),
            Recipe(steps=150, records=30, overtime=1.0), LEARNING, engine="stacked", tile=4, keeper=store,
            on_progress=Told(after), checkpoint_every=0.0, **CPU,
        )  # fmt: skip

    with Store(tmp_path / "run") as store:
        with pytest.raises(Interrupted):
            run(store, 1)
        assert store.health()["checkpoints"] == 1
        run(store, math.inf)
        assert store.health()["checkpoints"] == 0


def test_interrupted_without_a_keeper_says_so() -> None:
    with pytest.raises(Interrupted, match="nothing is kept without a store"):
        promised("adamw", engine="stacked", tile=1, on_progress=Told(1))


def test_progress_counts() -> None:
    told = Told()
    found = promised("adamw", engine="stacked", tile=1, on_progress=told)
    assert told.latest.finished == told.latest.members == 8
    assert sum(told.latest.fates.values()) == 8
    assert told.latest.steps == told.latest.steps_done == int(found["last_step"].sum())
    assert told.latest.reused == 0
