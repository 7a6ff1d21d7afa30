"""What the study ``rich-and-lazy`` measures of one linear neuron f(x) = a w . x: flows, descents and where they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar
from torch import Tensor, nn

from phasescope.instruments.neural_tangent_kernel import kernel_distance, tangent_kernel
from phasescope.theory import rich_lazy
from phasescope.vocabulary import Array, BadInput, Generators, Member

Found = Mapping[str, Any]
FIRST, TARGET = np.array([-1.0, 0.0]), np.array([0.0, 1.0])  # beta(0) and beta* of the paper's figure
X, BETA0, MOMENT = np.array([0.5, 1.0]), np.array([0.4, 0.05]), 1.1  # the published rank-one problem, X^T y = 1.1 X


class Neuron(nn.Module):
    """f(x) = a w . x with parameters ``a`` () and ``w`` (D,)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.w = nn.Parameter(torch.ones(inputs, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, 1)."""
        out: Tensor = self.a * (inputs @ self.w)[:, None]
        return out


def whitened(generator: np.random.Generator, samples: int, inputs: int = 2) -> Array:
    """Return inputs X (samples, inputs) with X^T X = I."""
    return np.asarray(np.linalg.qr(generator.standard_normal((samples, inputs)))[0])


def measure_training(member: Member, generators: Generators) -> Found:
    """Train one neuron per delta of ``deltas`` by descent on ``samples`` whitened inputs, from beta(0) to beta*.

    At each of ``times``: ``loss`` over its first value, and ``kernel_distance`` from the start; ``moved`` is the
    function's distance from its start at the end, ``fitted`` the time at which 0.1 % of the loss is left (inf: never).
    """
    deltas, rate = np.array(member["deltas"]), float(member["rate"])
    times: Any = member["times"]
    x = whitened(generators("data"), int(member["samples"]))
    y = x @ TARGET
    parts = [rich_lazy.split_function(FIRST, float(delta)) for delta in deltas]
    a, w = np.array([p[0] for p in parts]), np.stack([p[1] for p in parts])
    due = {round(float(t) / rate): i for i, t in enumerate(times)}
    path = np.full((len(times), len(deltas), 3), np.nan)
    losses = np.empty((max(due) + 1, len(deltas)))
    for step in range(max(due) + 1):
        error = y - (a[:, None] * w) @ x.T
        losses[step] = (error**2).sum(1)
        if step in due:
            path[due[step]] = np.column_stack([a, w])
        slope = error @ x
        a, w = a + rate * (w * slope).sum(1), w + rate * a[:, None] * slope
    beta = path[-1, :, :1] * path[-1, :, 1:]
    return {
        "loss": (losses[sorted(due)] / losses[0]).T,
        "kernel_distance": distances(x, path).T,
        "moved": np.linalg.norm(beta - FIRST, axis=1),
        "fitted": np.array([rate * first_below(row / row[0], 1e-3) for row in losses.T]),
    }


def distances(x: Array, path: Array) -> Array:
    """Return the kernel distance from the start (T, networks) along ``path`` (T, networks, 1 + D) of a and w."""
    net, inputs = Neuron(x.shape[1]), torch.from_numpy(x)

    def kernel(place: Array) -> Tensor:
        now = {"a": torch.tensor(place[0], dtype=torch.float64), "w": torch.from_numpy(place[1:].copy())}
        return tangent_kernel(net, inputs, parameters=now)

    kernels = torch.stack([torch.stack([kernel(place) for place in row]) for row in path])
    return np.asarray(kernel_distance(kernels, kernels[0]).numpy())


def first_below(values: Array, level: float) -> float:
    """Return where ``values`` (n,) first fall to ``level``, in places, interpolated in the logarithm; inf if never."""
    below = np.flatnonzero(values <= level)
    if len(below) == 0:
        return float("inf")
    i = int(below[0])
    if i == 0:
        return 0.0
    high, low = np.log(values[i - 1]), np.log(max(values[i], 1e-300))
    return float(i - 1 + (high - np.log(level)) / (high - low))


def flow(a: float, w: Array, gram: Array, moment: Array, times: Array, **how: Any) -> Array:
    """Return (a, w) (1 + D, T) at ``times`` of the gradient flow of (1/2)|X beta - y|^2; ``rates`` of a and w."""
    rates = how.pop("rates", (1.0, 1.0))

    def velocity(_: float, z: Array) -> Array:
        error = moment - gram @ (z[0] * z[1:])
        return np.concatenate([[rates[0] * (z[1:] @ error)], rates[1] * z[0] * error])

    found = solve_ivp(velocity, (0, times[-1]), np.concatenate([[a], w]), t_eval=times, **how)
    if found.status < 0:
        raise BadInput(f"the flow to time {times[-1]:g} could not be followed: ask for a shorter one.")
    return np.asarray(found.y)


def measure_flow(member: Member, generators: Generators) -> Found:
    """Integrate the flow of a random neuron in three dimensions on whitened data, with rates ``rates`` ("a w").

    ``drift`` of delta by Runge and Kutta's method to 1e-10; ``deviation`` of a and of the part of w along the target
    from the closed form, and ``balanced``: from the closed form of a balanced neuron with the same function.
    """
    rates = tuple(float(r) for r in str(member["rates"]).split())
    g = generators("init")
    a0, w0, target = float(g.uniform(0.3, 1.5)), g.standard_normal(3), g.standard_normal(3)
    times = np.linspace(0, float(member["horizon"]), 21)
    rough = flow(a0, w0, np.eye(3), target, times, rates=rates, method="RK45", rtol=1e-10, atol=1e-12)
    deltas = [rich_lazy.conserved_delta(float(z[0]), z[1:], *rates) for z in rough.T]
    exact = flow(a0, w0, np.eye(3), target, times, rates=rates, method="DOP853", rtol=1e-13, atol=1e-14)
    ratio, speed = (rates[1] / rates[0]) ** 0.25, np.sqrt(rates[0] * rates[1])

    def against(a: float, w: Array) -> float:
        closed_a, closed_w = rich_lazy.whitened_flow(speed * times, a * ratio, w / ratio, target)
        along = (exact[1:].T - closed_w * ratio) @ target / np.linalg.norm(target)
        return float(max(np.abs(exact[0] - closed_a / ratio).max(), np.abs(along).max()))

    return {
        "drift": np.abs(np.array(deltas) - deltas[0]).max(),
        "deviation": against(a0, w0),
        "balanced": against(*rich_lazy.split_function(a0 * w0, 0.0)),
    }


def measure_descent(member: Member, generators: Generators) -> Found:
    """Return by how much delta = 1 has drifted when descent with ``rate`` has run for ``horizon`` on whitened data."""
    angle, rate = generators("init").uniform(0, 2 * np.pi), float(member["rate"])
    a, w = rich_lazy.split_function(np.array([np.cos(angle), np.sin(angle)]), 1.0)
    target = np.array([-np.sin(angle), np.cos(angle)])
    before = rich_lazy.conserved_delta(a, w)
    for _ in range(round(float(member["horizon"]) / rate)):
        error = target - a * w
        a, w = a + rate * float(w @ error), w + rate * a * error
    return {"drift": rich_lazy.conserved_delta(a, w) - before}


# -- what the closed form foresees ---------------------------------------------------------------------------


def foreseen(delta: float, times: Array) -> tuple[Array, Array]:
    """Return the loss over its first value and the kernel distance (T,) at ``times``, of the exact flow."""
    a0, w0 = rich_lazy.split_function(FIRST, delta)
    a, w = rich_lazy.whitened_flow(times, a0, w0, TARGET)
    loss = np.sum((a[:, None] * w - TARGET) ** 2, axis=1) / np.sum((FIRST - TARGET) ** 2)
    kernels = np.array([rich_lazy.tangent_kernel(np.eye(2), float(p), q) for p, q in zip(a, w, strict=True)])
    first = rich_lazy.tangent_kernel(np.eye(2), a0, w0)
    cosine = (kernels * first).sum((1, 2)) / np.linalg.norm(kernels, axis=(1, 2)) / np.linalg.norm(first)
    return loss, 1 - cosine


def fitting_time(delta: float, left: float = 1e-3) -> float:
    """Return the time at which the exact flow has the fraction ``left`` of its loss left."""

    def above(time: float) -> float:
        return float(foreseen(delta, np.array([time]))[0][0]) - left

    return float(brentq(above, 0.0, 60.0, xtol=1e-9))


def frozen_time(delta: float, left: float = 1e-3) -> float:
    """Return the time at which the fraction ``left`` of the loss would be left if the first kernel stayed.

    The function's error then decays at the rates sqrt(delta^2 + 4 |beta|^2) along the first function, and half the sum
    of it and delta across: ``theory.rich_lazy.function_flow`` with the metric of the start.
    """
    along = float(np.sqrt(delta**2 + 4 * (FIRST @ FIRST)))
    error = FIRST - TARGET
    parallel = (error @ FIRST) ** 2 / (FIRST @ FIRST) / (error @ error)

    def above(time: float) -> float:
        slow = np.exp(-(along + delta) * time)
        return float(parallel * np.exp(-2 * along * time) + (1 - parallel) * slow) - left

    return float(brentq(above, 0.0, 60.0, xtol=1e-9))


# -- data that do not see one direction ----------------------------------------------------------------------


def problem(which: str, generator: np.random.Generator) -> tuple[Array, Array, Array, float]:
    """Return beta0, the data's direction (unit), the null direction and the solution's length, turned at random.

    "published": the one with a printed table. "random": a first function on the solution's side, within 60 degrees.
    """
    angle = generator.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if which == "published":
        seen = turn @ X / np.linalg.norm(X)
        return turn @ BETA0, seen, np.array([-seen[1], seen[0]]), MOMENT / float(np.linalg.norm(X))
    seen, bent = turn[:, 0], generator.uniform(-np.pi / 3, np.pi / 3)
    null = turn[:, 1]
    length, solution = generator.uniform(0.2, 0.8), generator.uniform(0.5, 1.5)
    return length * (np.cos(bent) * seen + np.sin(bent) * null), seen, null, float(solution)


def measure_rank_one(member: Member, generators: Generators) -> Found:
    """Return where the neuron ends along the null direction: by its flow, in closed form, and by the potential."""
    beta0, seen, null, solution = problem(str(member["problem"]), generators("data"))
    delta = float(member["delta"])
    a, w = rich_lazy.split_function(beta0, delta)
    gram, moment = np.outer(seen, seen), solution * seen
    end = flow(a, w, gram, moment, np.array([0.0, float(member["horizon"])]), method="LSODA", rtol=1e-9, atol=1e-11)
    beta = end[0, -1] * end[1:, -1]
    tilt = rich_lazy.bias_tilt(beta0, delta) * beta0 / np.linalg.norm(beta0)

    def height(z: float) -> float:
        place = solution * seen + z * null
        return float(rich_lazy.bias_potential(place, delta) - tilt @ place)

    grid = np.linspace(-5, 5, 2001)
    best = grid[np.argmin([height(z) for z in grid])]
    least = minimize_scalar(height, bounds=(best - 0.01, best + 0.01), method="bounded", options={"xatol": 1e-9}).x
    return {
        "end": beta @ null,
        "closed": rich_lazy.null_coordinate(beta0, delta, null, solution),
        "nearest": beta0 @ null,  # where a network ends whose kernel stays
        "least": least,
    }
