"""Networks and data that share what changes: refused, or copied in time; and networks that change themselves."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.instruments import LEARNING
from phasescope.store import Store
from phasescope.vocabulary import BadInput, Draw, Grid, Member, Recipe

X = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
TASK = ps.tasks.Table("t", X, Y, 2)
SCALES = Grid({"s": [0.01, 1.0, 10.0]})


def losses(learner: Any, task: Any = TASK, grid: Grid | None = None, **how: Any) -> list[float]:
    """Return the last training loss of every member."""
    own = {name: how.pop(name) for name in ("engine", "workers") if name in how}
    recipe = Recipe(**{"steps": 20, "lr": 0.05, "records": 4, **how})
    data = ps.train(learner, task, grid or Grid(), recipe, LEARNING, **own)
    return list(np.ravel(ps.last(data.train_loss).values))


class Scaled(nn.Module):
    """A network with a number in a buffer."""

    def __init__(self, scale: Any = None) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1) if scale is None else scale)
        self.out = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        found: torch.Tensor = self.out(x) * self.scale
        return found


class Drawing:
    """A task that fills one array for every member, or copies of it."""

    name, classes, knobs, scale = "mine", 2, {"s": 1.0}, 1.0

    def __init__(self, copied: bool = True) -> None:
        self.copied, self.x = copied, np.empty_like(X)

    def draw(self, member: Member, generators: Any) -> Draw:
        """Return rows scaled by the member's knob."""
        self.x[:] = X * float(member.get("s", 1.0)) * self.scale
        rows = np.arange(40, dtype=np.int32)
        return Draw(self.x.copy() if self.copied else self.x, Y, Y, rows[:20], rows[20:], np.ones(40))

    def describe(self) -> dict[str, Any]:
        """Return nothing more."""
        return {}


def test_a_number_that_is_set_on_what_members_share() -> None:
    base, shared, task = Scaled(), torch.ones(1), Drawing()

    def one_network(member: Member) -> nn.Module:
        base.scale.fill_(float(member["s"]))
        return base

    def one_task(member: Member) -> Drawing:
        task.scale = float(member["s"])
        return task

    with pytest.raises(BadInput, match="gives out one network for several members"):
        losses(one_network, grid=SCALES)
    with pytest.raises(BadInput, match="changed when another's was made"):
        losses(lambda member: nn.Linear(8, 2), one_task, SCALES)
    # networks of their own that share a buffer: each is copied while it has its member's number
    found = losses(lambda member: Scaled(shared.fill_(float(member["s"]))), grid=SCALES)
    assert found == losses(lambda member: Scaled(torch.tensor([float(member["s"])])), grid=SCALES)
    assert len(set(found)) == 3


def test_arrays_that_are_filled_anew() -> None:
    assert losses(nn.Linear(8, 2), Drawing(False), SCALES) == losses(nn.Linear(8, 2), Drawing(), SCALES)

    def sampler(copied: bool) -> ps.tasks.Sampler:
        kept = np.empty((200, 8), np.float32)

        def sample(generator: np.random.Generator, n: int) -> Any:
            kept[:n] = generator.standard_normal((n, 8))
            x = kept[:n].copy() if copied else kept[:n]
            return x, (x[:, 0] > 0).astype(np.int32)

        return ps.tasks.Sampler("s", sample, 2, 64)

    found = [losses(nn.Linear(8, 2), sampler(copied), Grid(seeds=3), batch=16) for copied in (True, False)]
    assert found[0] == found[1]


def test_threads_ask_a_task_one_after_the_other() -> None:
    """A sampler that pauses between filling its one array and giving it out; a task that trains a teacher is no knot."""
    kept = np.empty((200, 8), np.float32)

    def sample(generator: np.random.Generator, n: int, pause: bool = True) -> Any:
        x = kept[:n] if pause else np.empty((n, 8), np.float32)
        x[:] = generator.standard_normal((n, 8))
        time.sleep(0.002 * pause)
        return x, (x[:, 0] > 0).astype(np.int32)

    for engine in ("looped", "stacked"):
        found = [
            losses(
                nn.Linear(8, 2), ps.tasks.Sampler("s", one, 2, 64), Grid(seeds=4), batch=16, engine=engine, workers=2
            )
            for one in (sample, lambda generator, n: sample(generator, n, False))
        ]
        assert found[0] == found[1], engine

    def taught(generator: np.random.Generator, n: int) -> Any:
        losses(nn.Linear(8, 2), grid=Grid(seeds=2), steps=2, records=2)
        x = generator.standard_normal((n, 8)).astype(np.float32)
        return x, (x[:, 0] > 0).astype(np.int32)

    assert losses(nn.Linear(8, 2), ps.tasks.Sampler("taught", taught, 2, 64), steps=1, records=2, batch=16)


def test_a_function_that_makes_networks_is_asked_by_one_thread_at_a_time() -> None:
    """One that pauses after it filled what all share; one that trains a teacher of its own is no knot."""
    shared = torch.ones(1)

    def slowly(member: Member) -> nn.Module:
        shared.fill_(float(member["s"]))
        time.sleep(0.002)
        return Scaled(shared)

    def own(member: Member) -> nn.Module:
        return Scaled(torch.tensor([float(member["s"])]))

    many = Grid({"s": [0.01, 0.1, 1.0, 10.0]}, seeds=2)
    assert losses(slowly, grid=many, workers=2) == losses(own, grid=many, workers=2)

    def taught(member: Member) -> nn.Module:
        losses(own, grid=SCALES, steps=2, records=2, workers=2)
        return nn.Linear(8, 2)

    found = losses(taught, grid=Grid(seeds=4), steps=3, records=2, workers=2)
    assert found == losses(lambda member: nn.Linear(8, 2), grid=Grid(seeds=4), steps=3, records=2)


def test_several_trainings_in_threads_of_the_users_own() -> None:
    """Each gets what it gets alone, and none is refused for what another one draws."""
    net = nn.Linear(8, 2)

    def one(made: bool) -> list[float]:
        learner = (lambda member: nn.Linear(8, 2)) if made else net
        return losses(learner, grid=Grid(seeds=3), steps=3, records=2, workers=2)

    with ThreadPoolExecutor(4) as pool:
        found = set(map(tuple, pool.map(one, [False, True] * 10)))
    assert found == {tuple(one(False))}


def test_an_axis_that_changes_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'weigth_decay' changes neither networks nor data.*mean 'weight_decay'"):
        losses(lambda member: nn.Linear(8, 2), grid=Grid({"weigth_decay": [0.0, 50.0]}))
    with pytest.raises(BadInput, match="'scale' changes neither networks nor data"):
        losses(nn.Linear(8, 2), lambda member: TASK, Grid({"scale": [1, 2], "lr": [0.1, 0.2]}))
    read = losses(lambda member: Scaled(torch.tensor([float(member["s"])])), grid=Grid({"s": [1.0, 2.0], "lr": [0.1]}))
    assert read[0] != read[1]


class Running(nn.Module):
    """A network that changes what it keeps in its forward pass, in the way that is asked for."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.count, self.last, self.out = way, 0, None, nn.Linear(8, 2)
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        if self.training and self.way == "a buffer is another":
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        if self.training and self.way == "a buffer in place":
            self.mean.copy_(0.5 * self.mean + 0.5 * x.detach().mean(0))
        if self.way == "a number":
            self.count += 1
        out: torch.Tensor = self.out(x - self.mean)
        if self.way == "a result":
            self.last = out
        return (
            out.detach()
            if self.way == "detached"
            else out.argmax(1)[:, None].expand(-1, 2)
            if self.way == "whole"
            else out
        )


REFUSED = {
    "a buffer is another": "sets mean in its forward pass",
    "a number": "sets count in its forward pass",
    "a result": "sets last in its forward pass",
    "detached": "has no gradient",
    "whole": "must be real numbers",
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_a_forward_pass_keeps_would_be_lost(way: str) -> None:
    net = Running(way)
    with pytest.raises(BadInput, match=REFUSED[way]):
        losses(net)
    assert net.count == 0 and net.last is None and (net.mean == 0).all(), "the user's own network is left alone"


def test_a_buffer_that_is_changed_in_place_is_kept() -> None:
    data = ps.train(Running("a buffer in place"), TASK, Grid(), Recipe(steps=3), LEARNING)
    assert np.isfinite(data.train_loss.values).all()
    net = nn.Sequential(nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 2))
    assert np.isfinite(losses(net)).all()


COUNT = {"calls": 0}


class Moody(nn.Module):
    """A network that does not answer the same twice, or changes what is around it, in the way that is asked for."""

    calls = 0

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.out = way, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        if self.way == "a global":
            COUNT["calls"] += 1
        if self.way == "its class":
            Moody.calls += 1
        if self.way == "its inputs":
            x.mul_(2)
        if self.way == "its weights":
            self.out.weight.data.mul_(0.9)
        if self.way == "the clock":
            x = x * (1 + time.perf_counter() % 1)
        found: torch.Tensor = self.out(x)
        return found


MOODS = {
    "a global": "changes COUNT in its forward pass",
    "its class": "changes its class, a function that it calls, or a default of it, in its forward pass",
    "its inputs": "changes its inputs in place",
    "its weights": "changes its weights out.weight",
    "the clock": "answers otherwise when the same weights are asked",
}


@pytest.mark.parametrize("way", MOODS)
@pytest.mark.parametrize("made", [False, True])
def test_what_a_forward_pass_changes_elsewhere_is_named(way: str, made: bool) -> None:
    with pytest.raises(BadInput, match=MOODS[way]):
        losses((lambda member: Moody(way)) if made else Moody(way))


def test_an_embedding_that_changes_its_weights_is_told_so() -> None:
    task = ps.tasks.Table("t", np.arange(40) % 5, Y, 2)
    net = nn.Sequential(nn.Embedding(5, 4, max_norm=9.0), nn.Linear(4, 2))
    with pytest.raises(
        BadInput, match=r"changes its weights 0\.weight in its forward pass, as an embedding's max_norm"
    ):
        losses(net, task)


def test_numbers_that_are_complex_are_refused_for_what_they_are() -> None:
    for own in ({"weight": nn.Parameter(torch.ones(2, 8, dtype=torch.cfloat))}, {}):
        net = nn.Linear(8, 2)
        net.register_buffer("phase", torch.ones(2, dtype=torch.cfloat) * 1j) if not own else None
        for name, value in own.items():
            setattr(net, name, value)
        with pytest.raises(BadInput, match=r"is torch\.complex64: keep its real and imaginary parts"):
            losses(lambda member, net=net: net)


class Slope(nn.Module):
    """A network that differentiates in its forward pass: by itself, or by what torch has for it."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.hidden, self.out = how, nn.Linear(8, 4), nn.Linear(4, 2)

    def total(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of what is hidden."""
        return torch.tanh(self.hidden(x)).sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        if self.how == "functions":
            slope = torch.func.vmap(torch.func.grad(self.total))(x)
        else:
            x = x.detach().requires_grad_()
            with torch.enable_grad() if self.how == "enabled" else nullcontext():
                (slope,) = torch.autograd.grad(self.total(x), x, create_graph=True)
        found: torch.Tensor = self.out(torch.tanh(self.hidden(x))) + slope.mean(1, keepdim=True)
        return found


def test_networks_that_differentiate() -> None:
    assert losses(Slope("functions")) == pytest.approx(losses(Slope("enabled")), rel=1e-5)
    with pytest.raises(BadInput, match=r"fails when it is read.*under torch\.enable_grad\(\)"):
        losses(Slope("plain"))


class Failing(nn.Module):
    """A network that fails on whole mini-batches, and in the forward pass of the door."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.out = rows, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        if len(x) in (self.rows, 0):
            raise ZeroDivisionError("mine")
        found: torch.Tensor = self.out(x)
        return found


@pytest.mark.parametrize("rows", [3, 7])  # at the door, and in the trial of engines
def test_an_error_of_ones_own_says_whose_it_is(rows: int) -> None:
    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        losses(lambda member: Failing(rows), grid=Grid({"lr": [0.5]}, seeds=[4]), batch=7)
    assert "Member(knobs={'lr': 0.5}, seed=4)" in "".join(raised.value.__notes__)


class Twice(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(8, 8)
        self.other, self.out = self.one, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        found: torch.Tensor = self.out(torch.tanh(self.other(torch.tanh(self.one(x)))))
        return found


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_what_can_not_be_stacked_is_refused() -> None:
    hooked = nn.Linear(8, 2)
    hooked.weight.register_hook(lambda gradient: gradient * 0)  # type: ignore[no-untyped-call]
    with pytest.raises(BadInput, match="has a hook on its gradient"):
        losses(hooked)
    with pytest.raises(BadInput, match="one layer under two names, 'one' and 'other'"):
        ps.train(Twice(), TASK, Grid(), Recipe(steps=2), engine="stacked")
    losses(Twice())  # one at a time it can
    plain = ps.train(Twice(), TASK, Grid(), Recipe(steps=9), LEARNING, engine="looped")
    traced = ps.train(Twice(), TASK, Grid(), Recipe(steps=9), LEARNING, engine="traced", tile=1)
    np.testing.assert_array_equal(plain.train_loss, traced.train_loss)
    with pytest.raises(BadInput, match="can not be copied"):
        losses(nn.utils.weight_norm(nn.Linear(8, 2)))


def test_doors_of_train() -> None:
    for how in ({"keeper": Store}, {"on_progress": 3}):
        with pytest.raises(BadInput, match=f"{next(iter(how))} is"):
            ps.train(nn.Linear(8, 2), TASK, Grid(), Recipe(steps=2), **how)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="axis is called 'fate'"):
        losses(lambda member: Scaled(torch.tensor([float(member["fate"])])), grid=Grid({"fate": [1.0, 2.0]}))
    big = Grid({"n": [2**60, 2**60 + 1]})
    found = losses(lambda member: Scaled(torch.tensor([float(int(member["n"]) % 10 + 1)])), grid=big)
    assert found[0] != found[1]


@pytest.mark.parametrize("wrong", ["shape", "coords"])
def test_readings_fit_what_is_declared(wrong: str) -> None:
    def measure(s: Any) -> Any:
        return s.logits()[:, 0] if wrong == "coords" else s.logits()[:, 0, 0][:, None]

    coords = {"k": [0, 1, 2]} if wrong == "coords" else {}
    mine = ps.Instrument("mine", lambda s: ps.Reading(measure(s)), "1", "here", "forward", (0, 1), "0",
                         ("k",) if coords else (), (), coords)  # fmt: skip
    with pytest.raises(BadInput, match="'mine' gives has shape"):
        ps.train(nn.Linear(8, 2), TASK, Grid(), Recipe(steps=2), [mine])


def test_data_that_float32_can_not_hold_are_not_called_divergence() -> None:
    for rows, targets in ((X.astype(np.float64) * 1e39, Y), (X, X[:, 0].astype(np.float64) * 1e39)):
        task = ps.tasks.Table("wide", rows, targets, 2 if targets is Y else 1)
        with pytest.raises(BadInput, match=r"more than float32 can hold"):
            losses(nn.Linear(8, 2 if targets is Y else 1), task)


def test_an_axis_is_not_called_as_a_dimension_of_a_parameter() -> None:
    made = lambda member: Scaled(torch.tensor([float(member["out.weight_0"])]))  # noqa: E731
    with pytest.raises(BadInput, match=r"as the dataset calls a dimension of 'out.weight'"):
        losses(made, grid=Grid({"out.weight_0": [1.0, 2.0]}))


def test_integers_into_a_network_of_floats_are_told_the_mend() -> None:
    task = ps.tasks.Table("pixels", np.arange(320).reshape(40, 8) % 7, Y, 2)
    with pytest.raises(BadInput, match=r'give inputs.astype\("float32"\)'):
        losses(nn.Linear(8, 2), task)
