"""What the study ``asymmetric-margin`` measures per member: scalings, flows between balls, networks that collapse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from phasescope.instruments.collapse import neural_collapse
from phasescope.tasks import digits
from phasescope.vocabulary import Array, BadInput, Generators, Member

Found = Mapping[str, Any]
Model = Callable[[Sequence[Tensor], Tensor], Tensor]
WIDTH, INPUTS = 7, 5


# -- models and their rates ----------------------------------------------------------------------------------


def _plain(p: Sequence[Tensor], x: Tensor) -> Tensor:
    return torch.relu(torch.relu(x @ p[0]) @ p[1]) @ p[2]


def _biased(p: Sequence[Tensor], x: Tensor) -> Tensor:
    return torch.relu(torch.relu(x @ p[0] + p[3]) @ p[1] + p[4]) @ p[2] + p[5]


def _residual(p: Sequence[Tensor], x: Tensor) -> Tensor:
    h = x @ p[0]
    return torch.relu(h + torch.relu(h @ p[1]) @ p[3]) @ p[2]


def _normalized(p: Sequence[Tensor], x: Tensor) -> Tensor:
    h = x @ p[0]
    h = (h - h.mean(1, keepdim=True)) / h.std(1, correction=0, keepdim=True)
    return torch.relu(h) @ p[2] + p[5]


# parameters: W1, W2, W3, then a second branch or the biases; a rate of 0 leaves the model's scale as it is
SHAPES = ((INPUTS, WIDTH), (WIDTH, WIDTH), (WIDTH, 3), (WIDTH,), (WIDTH,), (3,))
MODELS: dict[str, tuple[Model, tuple[float, ...]]] = {
    "plain": (_plain, (1 / 3, 1 / 3, 1 / 3, 0, 0, 0)),
    "biases": (_biased, (1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 1)),
    "residual": (_residual, (1 / 2, 0, 1 / 2, 0, 0, 0)),
    "normalized": (_normalized, (0, 0, 1, 0, 0, 1)),
}


def measure_scaling(member: Member, generators: Generators) -> Found:
    """Measure how far a model is from f(x; e^(a Lambda) theta) = e^a f and from Euler's <grad f, Lambda theta> = f.

    Relative to the largest output; with the model's ``own`` rates, or with "homogeneous" ones, 1/3 for all parameters,
    as in a network of three layers whose parameters are all used alike.
    """
    g = generators("init")
    model, rates = MODELS[str(member["model"])]
    shapes = [(WIDTH, WIDTH) if i == 3 and member["model"] == "residual" else shape for i, shape in enumerate(SHAPES)]
    theta = [torch.from_numpy(g.standard_normal(shape)).requires_grad_() for shape in shapes]
    x, a = torch.from_numpy(g.standard_normal((20, INPUTS))), float(g.uniform(-1, 1)) or 0.5
    given = [1 / 3] * len(shapes) if member["rates"] == "homogeneous" else list(rates)
    out = model(theta, x)
    scaled = model([float(np.exp(a * rate)) * p for p, rate in zip(theta, given, strict=True)], x)
    size = out.detach().abs().max()
    gap = (scaled - float(np.exp(a)) * out).detach().abs().max() / size
    slopes = torch.autograd.grad(out.sum(), theta, allow_unused=True)
    pairs = zip(slopes, theta, given, strict=True)
    euler = sum(rate * (s * p.detach()).sum().item() for s, p, rate in pairs if s is not None) - out.sum().item()
    return {"scaling": float(gap), "euler": abs(euler) / float(size)}


# -- two balls -----------------------------------------------------------------------------------------------


def circle(centre: Sequence[float], radius: float, points: int, phase: float) -> Array:
    """Return ``points`` (points, 2) evenly on the circle around ``centre``, from the ``phase`` (turns of a step) on."""
    angle = 2 * np.pi * (np.arange(points) + phase) / points
    return np.asarray(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def slopes(theta: Array, powers: Sequence[int]) -> tuple[Array, Array]:
    """Return beta (n,), each entry a product of ``powers`` parameters in a row, and d beta / d theta (P,)."""
    beta, slope = np.empty(len(powers)), np.empty(len(theta))
    start = 0
    for i, power in enumerate(powers):
        factors = theta[start : start + power]
        beta[i] = factors.prod()
        for j in range(power):
            slope[start + j] = np.delete(factors, j).prod()
        start += power
    return beta, slope


def soft_margin(points: Array, beta: Array) -> tuple[float, Array]:
    """Return -log sum_i exp(-beta . x_i), at most the least margin, and its gradient in beta: a mean of points."""
    margins = points @ beta
    weights = np.exp(margins.min() - margins)
    total = weights.sum()
    return float(margins.min() - np.log(total)), weights @ points / total


def flow(points: Array, powers: Sequence[int], start: Array, size: float, horizon: float) -> tuple[Array, Array]:
    """Return times (T,) and parameters (T, P) of the gradient flow of the soft margin, until |beta| reaches ``size``.

    The flow of an exponential loss, with time counted so that the loss's own size drops out. ``horizon`` is the
    latest time. Raises ``BadInput`` where the integrator gives up.
    """
    spread = np.repeat(np.arange(len(powers)), powers)

    def velocity(time: float, theta: Array) -> Array:
        beta, slope = slopes(theta, powers)
        return np.asarray(soft_margin(points, beta)[1][spread] * slope)

    def reached(time: float, theta: Array) -> float:
        return float(np.linalg.norm(slopes(theta, powers)[0]) - size)

    reached.terminal = True  # type: ignore[attr-defined]
    found = solve_ivp(velocity, (0, horizon), start, method="LSODA", rtol=1e-7, atol=1e-10, events=reached)
    if found.status < 0:
        raise BadInput(f"the flow to |beta| = {size:g} could not be followed: ask for a smaller one.")
    return found.t, found.y.T


def measure_balls(member: Member, generators: Generators) -> Found:
    """Follow the flow between two balls; measure direction, margin, the normalized margin's worst fall, and balance.

    ``powers`` "1 2" is f = w x1 + (u v) x2. The normalized margin is soft margin / ||theta||_Lambda^(1 / lambda_max),
    or with the wrong exponent 1 / lambda_min beside it; falls are relative, from the first separation on.
    """
    powers = tuple(int(k) for k in str(member["powers"]).split())
    g = generators("init")
    centre = (float(member["parallel"]), float(member["transverse"]))
    points = circle(centre, float(member["radius"]), int(member["points"]), g.random())
    start = g.uniform(0.3, 0.9, sum(powers))
    _, path = flow(points, powers, start, float(member["size"]), float(member["horizon"]))
    beta = slopes(path[-1], powers)[0]
    direction = beta / np.linalg.norm(beta)
    rates = np.repeat([1 / k for k in powers], powers)
    soft = np.array([soft_margin(points, slopes(theta, powers)[0])[0] for theta in path])
    norm, apart = np.sqrt((rates * path**2).sum(1)), soft > 0
    balance = path[:, 1] ** 2 - path[:, -1] ** 2 if powers == (1, 2) else np.zeros(len(path))
    return {
        "direction": direction,
        "margin": float(direction @ centre) - float(member["radius"]),
        "fall": worst_fall(soft[apart] / norm[apart] ** (1 / rates.max())),
        "wrong_fall": worst_fall(soft[apart] / norm[apart] ** (1 / rates.min())) if len(set(powers)) > 1 else 0.0,
        "balance": float(np.abs(balance - balance[0]).max() / (path[-1] ** 2).sum()),
    }


def worst_fall(values: Array) -> float:
    """Return the largest relative drop of ``values`` (T,) below an earlier one, 0 where they never fall."""
    if len(values) == 0:
        return float("nan")
    top = np.maximum.accumulate(values)
    return float(((top - values) / top).max())


def measure_cascade(member: Member, generators: Generators) -> Found:
    """Follow f = w x1 + (u v) x2 + (a b c) x3 between balls; measure |w| and |u v| over |a b c|.

    ``apart``: the centre's coordinates over the radius, above 1 where a coordinate alone parts the balls.
    """
    g = generators("init")
    powers, apart = (1, 2, 3), float(member["apart"])
    points = g.standard_normal((int(member["points"]), 3))
    points = apart + points / np.linalg.norm(points, axis=1, keepdims=True)
    _, path = flow(points, powers, g.uniform(0.3, 0.9, 6), float(member["size"]), float(member["horizon"]))
    beta = np.abs(slopes(path[-1], powers)[0])
    return {"first": beta[0] / beta[2], "second": beta[1] / beta[2]}


def measure_descent(member: Member, generators: Generators) -> Found:
    """Train f = w x1 + (u v) x2 by normalized gradient descent; measure direction and margin.

    And ``drift``, of u^2 - v^2, which a flow conserves, and ``balance``, that over |theta|^2 at the end.
    """
    g = generators("init")
    centre, radius = (float(member["parallel"]), float(member["transverse"])), float(member["radius"])
    points = circle(centre, radius, int(member["points"]), g.random())
    theta, rate = g.uniform(0.3, 0.9, 3), float(member["rate"])
    balance = theta[1] ** 2 - theta[2] ** 2
    for _ in range(round(float(member["time"]) / rate)):
        beta, slope = slopes(theta, (1, 2))
        theta = theta + rate * soft_margin(points, beta)[1][[0, 1, 1]] * slope
    beta = slopes(theta, (1, 2))[0]
    direction = beta / np.linalg.norm(beta)
    drift = abs(theta[1] ** 2 - theta[2] ** 2 - balance)
    margin = float(direction @ centre) - radius
    return {"direction": direction, "margin": margin, "drift": drift, "balance": drift / float((theta**2).sum())}


# -- neural collapse -----------------------------------------------------------------------------------------


def measure_collapse(member: Member, generators: Generators) -> Found:
    """Train a three-layer ReLU network on four digits to zero loss; measure neural collapse of its last features.

    With ``norm`` "layer" the features are normalized per sample before the readout; "none" leaves them. Full-batch
    gradient descent with momentum on the cross-entropy; the seed draws weights and samples.
    """
    if member["norm"] not in ("layer", "none"):
        raise BadInput(f"norm is {member['norm']!r}: give 'layer' or 'none'.")
    table, g = digits(), generators("init")
    rows = np.flatnonzero(table.labels < int(member["classes"]))
    rows = generators("data").permutation(rows)[: int(member["samples"])]
    x, labels = torch.from_numpy(table.inputs[rows]), torch.from_numpy(table.labels[rows]).long()
    width = int(member["width"])
    sizes = (x.shape[1], width, width, int(member["classes"]))
    drawn = [g.standard_normal((a, b)) * np.sqrt(2 / a) for a, b in pairwise(sizes)]
    weights = [torch.from_numpy(w.astype(np.float32)).requires_grad_() for w in drawn]

    def features() -> Tensor:
        h = torch.relu(torch.relu(x @ weights[0]) @ weights[1])
        return torch.nn.functional.layer_norm(h, (width,)) if member["norm"] == "layer" else h

    optimizer = torch.optim.SGD(weights, lr=float(member["rate"]), momentum=0.9)
    for _ in range(int(member["steps"])):
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(features() @ weights[2], labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        last = features()
        found = neural_collapse(last, labels, weights[2].T)
        accuracy = ((last @ weights[2]).argmax(1) == labels).double().mean()
    return {**{name: float(value) for name, value in vars(found).items()}, "accuracy": float(accuracy)}
