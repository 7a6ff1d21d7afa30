"""The study ``stochastic-collapse``: its walks against literal loops and exact laws, and what its readings rest on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from phasescope.ensemble import simulate, streams
from phasescope.instruments.neuron_independence import independent_neurons
from phasescope.lab import run, study_named
from phasescope.studies.stochastic_collapse import networks, walks
from phasescope.studies.stochastic_collapse.claims import slope, slope_error, threshold
from phasescope.testing import check_results
from phasescope.theory import stochastic_collapse
from phasescope.vocabulary import Member

STUDY = study_named("stochastic-collapse")
SMALL = {
    "seeds": 2, "quartic_steps": 60, "quartic_walkers": 20, "neuron_steps": 60, "neuron_walkers": 4, "mode_steps": 60,
    "mode_walkers": 4, "pair_steps": 40, "pair_runs": 2, "network_steps": 16, "width": 8,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products gain nothing from a second thread, and lose much where other processes want the core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def member(seed: int = 5, **knobs: Any) -> Member:
    return Member(knobs, seed)


QUARTIC = {"mu": 1.5, "dt": 0.0025, "walkers": 400, "records": 4, "noise": "vanishing"}


def test_quartic_is_the_literal_walk() -> None:
    """Euler's steps, one walker after the other, on the same draws: the stream's chunks laid end to end."""
    found = walks.quartic(
        member(**{**QUARTIC, "walkers": 5, "zetas": (0.5, 2.0), "steps": 300, "records": 1}), streams(5)
    )
    noise = np.concatenate(
        [streams(5)("noise", 0).standard_normal((250, 5)), streams(5)("noise", 1).standard_normal((50, 5))]
    )
    for row, zeta in enumerate((0.5, 2.0)):
        ends = []
        for walker, x in enumerate(2 * streams(5)("start").standard_normal(5)):
            for step in range(300):
                x += (1.5 * x - x**3) * 0.0025 + zeta * x * np.sqrt(0.0025) * noise[step, walker]
            ends.append(x)
        assert found["log_square"][row, 0] == pytest.approx(np.median(np.log10(np.square(ends))), rel=1e-9)
        assert found["mean_absolute"][row] == pytest.approx(np.mean(np.abs(ends)), rel=1e-9)


def test_quartic_follows_the_exact_solution() -> None:
    """With steps of 1/1000 the median of log x^2 at time 2 is that of the exact paths on the same noise."""
    steps, dt = 2000, 0.001
    found = walks.quartic(
        member(**{**QUARTIC, "dt": dt, "zetas": (1.0, 2.5), "steps": steps, "records": 1}), streams(5)
    )
    noise = np.concatenate([streams(5)("noise", i).standard_normal((250, 400)) for i in range(8)])
    start = 2 * streams(5)("start").standard_normal(400)
    for row, zeta in enumerate((1.0, 2.5)):
        exact = stochastic_collapse.quartic_path(start, np.sqrt(dt) * noise, 1.5, zeta, dt)[-1]
        assert found["log_square"][row, 0] == pytest.approx(np.median(np.log10(exact**2)), abs=0.06)


def law_modes_stay_balanced(modes: Any) -> None:
    """The student's two factors, trained apart by the paper's two updates, stay equal; their product is the walk's x^2."""
    rate, sigma, values = 3 / 1024, 20.0, (0.3, 1.2)
    found = modes(member(values=values, noises=(sigma,), rate=rate, steps=200, walkers=3, records=1), streams(5))
    u = np.ones((2, 3))
    v = np.ones((2, 3))
    for xi in streams(5)("noise", 0).standard_normal((200, 2, 3)):
        error = u * v - np.array(values)[:, None] + sigma * xi
        u, v = u - rate * error * v, v - rate * error * u
    assert np.array_equal(u, v)
    assert found["strength"][0, :, 0] == pytest.approx((u * v).mean(1), rel=1e-9)
    assert found["typical"][0, :, 0] == pytest.approx(np.exp(np.log(u * v).mean(1)), rel=1e-9)


def test_modes() -> None:
    law_modes_stay_balanced(walks.modes)


def test_one_step_of_a_neuron_is_its_gradient() -> None:
    """Without noise the walk is gradient descent on sum (f - y)^2 / (2 N), by torch's own derivative."""
    knobs = {"samples": 6, "levels": (0.0,), "dt": 0.01, "steps": 3, "walkers": 1, "deviation": 1.0, "records": 1}
    found = walks.neuron(member(**knobs), streams(5))
    x, y = (torch.from_numpy(part) for part in walks.neuron_data(member(**knobs), streams(5)))
    w = torch.from_numpy(streams(5)("start").standard_normal((2, 1, 1, 1)).ravel())
    for _ in range(3):
        w.requires_grad_()
        loss = (w[1] * torch.tanh(w[0] * x) - y).square().sum() / 12
        w = (w - 0.01 * torch.autograd.grad(loss, w)[0]).detach()
    assert found["log_size"][0, 0] == pytest.approx(float(w.norm().log()), rel=1e-9)


def test_pair_is_torchs_momentum() -> None:
    """Two GELU neurons under torch.optim.SGD with momentum 0.9, label noise from the same stream."""
    conditions = ((0.1, 0.2), (0.3, 0.1))
    chosen = member(conditions=conditions, steps=20, runs=1, gap=1.0, records=1, points="drawn")
    found = walks.pair(chosen, streams(5))
    x, y = torch.from_numpy(walks.points(chosen, streams(5)))
    assert not torch.equal(x, torch.from_numpy(walks.points(chosen, streams(6)))[0])  # each seed has its own
    for row, (rate, sigma) in enumerate(conditions):
        w = torch.tensor([1.0, 0.6], dtype=torch.float64, requires_grad=True)
        a = torch.tensor([-0.6, -0.4], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w, a], lr=rate, momentum=0.9)
        for noise in torch.from_numpy(streams(5)("noise", 0).standard_normal((20, 1, 8))):
            optimizer.zero_grad()
            answer = nn.functional.gelu(x[:, None] * w) @ a
            ((answer - y - sigma * noise[0]).square().sum() / 16).backward()
            optimizer.step()
        distance = 2 * ((w[0] - w[1]) ** 2 + (a[0] - a[1]) ** 2).item() / ((w**2).sum() + (a**2).sum()).item()
        assert found["log_distance"][row, 0] == pytest.approx(np.log10(distance), rel=1e-9)


def test_a_pair_that_diverges_is_far_apart() -> None:
    chosen = member(conditions=((40.0, 0.1),), steps=200, runs=1, gap=1.0, records=2, points="notebook")
    assert walks.pair(chosen, streams(5))["log_distance"][0, -1] == pytest.approx(np.log10(4))


def law_symmetric_stays_symmetric(train: Any) -> None:
    """Equal stays equal, for layers of torch: two equal channels, or a zero one, stay so under any batches, to the last bit."""
    torch_net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(8, 1)).double()
    g = np.random.default_rng(0)
    with torch.no_grad():
        for p in torch_net.parameters():
            p.copy_(torch.from_numpy(g.standard_normal(p.shape) * 0.3))
        first, second = torch_net[0], torch_net[2]
        first.weight[1], first.bias[1], second.weight[:, 1] = first.weight[0], first.bias[0], second.weight[:, 0]
        first.weight[3], first.bias[3], second.weight[:, 3] = 0.0, 0.0, 0.0
    assert independent_neurons(first.weight, second.weight, first.bias) == 2
    train(torch_net, g)
    assert torch.equal(first.weight[1], first.weight[0]) and torch.equal(second.weight[:, 1], second.weight[:, 0])
    assert not first.weight[3].any() and not second.weight[:, 3].any() and first.bias[3] == 0
    assert independent_neurons(first.weight, second.weight, first.bias) == 2


def sgd(net: nn.Module, g: np.random.Generator) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    for _ in range(30):
        batch = torch.from_numpy(g.standard_normal((5, 1, 6, 6)))
        optimizer.zero_grad()
        (net(batch)[:, 0] - torch.from_numpy(g.standard_normal(5))).square().mean().backward()
        optimizer.step()


def test_invariant_sets() -> None:
    law_symmetric_stays_symmetric(sgd)


@pytest.mark.parametrize(("cases", "batch"), [(networks.CASES, 4), (networks.FULL_CASES, 0)])
def test_networks_are_torchs(cases: tuple[str, ...], batch: int) -> None:
    """Every copy of the stack, case by case and drop by drop, is a torch network under torch's SGD on the same batches."""
    knobs: dict[str, Any] = {
        "drops": (0.0, 0.5), "steps": 6, "batch": batch, "width": 5, "depth": 2, "high": 0.1, "low": 0.01, "sigma": 0.3,
        "decay": 0.02, "warmup": 2, "records": 1, "images": 0.2, "cases": cases,
    }  # fmt: skip
    found = networks.schedule(member(**knobs), streams(5))
    assert found["independent"].shape == (len(cases), 2, 2, 2)
    draw = networks.digits(0.2).draw(member(), streams(5))
    x, labels = torch.from_numpy(draw.inputs), torch.from_numpy(draw.labels).long()
    for i, case in enumerate(cases):
        for j, drop in enumerate(knobs["drops"]):
            weights = networks.start([64, 5, 5, 10], 1, streams(5))
            layers = [nn.Linear(64, 5), nn.Linear(5, 5), nn.Linear(5, 10)]
            with torch.no_grad():
                for layer, w in zip(layers, weights[::2], strict=True):
                    layer.weight.copy_(w[0].T)
                    layer.bias.zero_()
            net = nn.Sequential(layers[0], nn.GELU(), layers[1], nn.GELU(), layers[2])
            decay = 0.0 if case == "no weight decay" else 0.02
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
            batches = list(networks._batches(member(**knobs), streams(5), len(draw.train), 10))
            assert batch or all(torch.equal(chosen, torch.arange(len(draw.train))) for chosen, _ in batches)
            for step, (chosen, noise) in enumerate(batches, 1):
                rows = torch.from_numpy(draw.train).long()[chosen]
                target = nn.functional.one_hot(labels[rows], 10) + (0.0 if case == "no label noise" else 0.3) * noise
                optimizer.param_groups[0]["lr"] = (0.1 if step <= drop * 6 else 0.01) * min(step / 2, 1)
                optimizer.zero_grad()
                ((net(x[rows]) - target).square().sum(-1).mean() / 2).backward()
                optimizer.step()
            right = (net(x).argmax(-1) == labels).double()
            assert found["train_accuracy"][i, j, -1] == pytest.approx(right[draw.train].mean().item(), abs=6e-3)
            counts = [independent_neurons(a.weight, b.weight, a.bias) for a, b in pairwise(layers)]
            assert found["independent"][i, j, -1] == pytest.approx(np.array(counts) / 5)


def test_slopes_and_threshold_are_read_off() -> None:
    """A ramp has its slope; medians that fall at the theory's rate cross zero at sqrt(3); flat ones never do."""
    time = np.linspace(5, 100, 20)
    ramp = xr.DataArray([3.0 - 0.7 * time, 1.0 + 0 * time], dims=("seed", "time"), coords={"time": time})
    assert slope(ramp, 0.5).values == pytest.approx([-0.7, 0.0], abs=1e-12)
    zetas = np.array([1.9, 2.0, 2.25, 2.5])
    logs = 2 * (1.5 - zetas[:, None] ** 2 / 2) * time / np.log(10)
    data = xr.Dataset(
        {"log_square": (("seed", "zeta", "time"), [logs, 0 * logs])}, {"seed": [0, 1], "zeta": zetas, "time": time}
    )
    assert threshold.read(data) == pytest.approx([np.sqrt(3), np.inf])
    assert slope_error.read(data).values == pytest.approx([0, 1])


def test_records_end_at_the_end() -> None:
    assert walks.record_steps(40, 4).tolist() == [10, 20, 30, 40]
    assert walks.record_steps(10, 3).tolist() == [3, 7, 10]


def test_the_study_runs(tmp_path: Any) -> None:
    """At the smallest sizes; and every claim is shown by a figure."""
    results = run(STUDY, out=tmp_path / "run", settings=SMALL)
    check_results(results)
    shown = {name for figure in results.figures() for name in figure.claims}
    assert shown == {verdict.id for verdict in results.verdicts}


def test_pocket_claims_ask_for_what_is_measured() -> None:
    """The times and levels that claims name are among the records of the pocket scale."""
    s = STUDY.scales["pocket"]
    quartic = STUDY.experiments(s)["quartic"]
    assert 100.0 in [round(t, 9) for t in quartic.quantities[0].coords["time"]]
    assert stochastic_collapse.critical_singular_value(s.learning_rate / s.samples, 20.0) * 0.7 > 0.4


@pytest.mark.slow
def test_walkers_have_the_exact_stationary_law() -> None:
    """zeta = 1 at rest: E|x| and the share below 0.5 within four standard errors."""
    simulation = STUDY.experiments(STUDY.scales["pocket"])["quartic"]
    chosen = type(simulation)(
        "slow", simulation.measure, type(simulation.grid)({"noise": ("vanishing",)}, seeds=(77, 78)), simulation.quantities,
        {**simulation.fixed},
    )  # fmt: skip
    found = simulate(chosen)
    assert float(found.mean_absolute.sel(zeta=1.0).mean()) == pytest.approx(
        stochastic_collapse.quartic_mean_absolute(1.5, 1.0), abs=0.01
    )


@pytest.mark.slow
def test_a_neuron_collapses_at_the_rate_of_its_steps() -> None:
    """Other seeds than the study's: the slope over the rate of finite steps is 1 within 4 %, over the SDE's it is not."""
    simulation = STUDY.experiments(STUDY.scales["pocket"])["neuron"]
    chosen = type(simulation)(
        "slow", simulation.measure, type(simulation.grid)(seeds=(901, 902, 903, 904)), simulation.quantities,
        {**simulation.fixed, "walkers": 400},
    )  # fmt: skip
    found = simulate(chosen).sel(level=2.0)
    fall = slope(found.log_size, 0.3)
    assert float((fall / found.step_rate).mean()) == pytest.approx(1, abs=0.04)
    assert float((fall / found.rate).mean()) > 1.05
