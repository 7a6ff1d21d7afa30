"""Two-layer ReLU students of the study ``rich-and-lazy``, as the code of arXiv:2406.06158 trains those of its Fig. 1.

f(x) = sum_j a_j relu(w_j . x) in pairs that cancel at the start: |w_j| = tau alpha and a_j = +-tau / alpha, so that
tau^2 = |a_j||w_j| and delta = a_j^2 - |w_j|^2. The teacher has three neurons with unit weights and readouts +-1; inputs
are uniform on the unit sphere. Full-batch descent on the mean squared error with rate ``rate`` / tau^2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.instruments.neural_tangent_kernel import kernel_distance, pattern_distance, tangent_kernel
from phasescope.vocabulary import Array, Generators, Member

Weights = tuple[Array, Array]  # w (H, D), a (H,)
TEACHERS = 3
UNSEEN = 1000  # test samples


class ReLUStudent(nn.Module):
    """f(x) = sum_j a_j relu(w_j . x) with parameters ``w`` (H, D) and ``a`` (H,) in float64."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.w, self.a = (nn.Parameter(torch.from_numpy(np.array(part, dtype=np.float64))) for part in weights)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N,)."""
        out: Tensor = torch.relu(inputs @ self.w.T) @ self.a
        return out


def sphere(generator: np.random.Generator, count: int, dimension: int) -> Array:
    """Return ``count`` unit vectors (count, dimension), uniform on the sphere."""
    drawn = generator.standard_normal((count, dimension))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def start(generator: np.random.Generator, dimension: int, width: int, scale: float, balance: float) -> Weights:
    """Return first weights with scale tau and difference delta = ``balance``; the second half cancels the first."""
    ratio = balance / scale**2
    alpha = math.sqrt((math.hypot(2, ratio) - ratio) / 2)
    w = scale * alpha * sphere(generator, width // 2, dimension)
    a = np.where(generator.random(width // 2) < 0.5, -1.0, 1.0) * scale / alpha
    return np.concatenate([w, w]), np.concatenate([a, -a])


def step(weights: Weights, x: Array, y: Array, rate: float) -> tuple[float, Weights]:
    """Return the mean squared error on x (N, D), y (N,) and the weights after one step of descent."""
    w, a = weights
    active = np.maximum(x @ w.T, 0)
    error = active @ a - y
    c = (2 * rate / len(y)) * error
    slope_w = ((active > 0) * c[:, None]).T @ x * a[:, None]
    return float(error @ error) / len(y), (w - slope_w, a - active.T @ c)


def measure_relu(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Train one student and measure it at the steps ``at``.

    ``train_loss``, ``test_loss``; from the start ``kernel_distance``, ``flips`` (neurons) and ``moved``, the distance
    of the parameters. At the end ``drift``: the largest change of any neuron's a^2 - |w|^2, and ``grown``: that of its
    a^2 + |w|^2.
    """
    d, width, scale = int(member["dimension"]), int(member["width"]), float(member["scale"])
    teachers, data, at = generators("teacher"), generators("data"), [int(t) for t in member["at"]]  # type: ignore[union-attr]
    rows, signs = sphere(teachers, TEACHERS, d), np.where(teachers.random(TEACHERS) < 0.5, -1.0, 1.0)
    x, unseen = sphere(data, int(member["samples"]), d), sphere(data, UNSEEN, d)
    y, truth = (np.maximum(part @ rows.T, 0) @ signs for part in (x, unseen))
    first = now = start(generators("init"), d, width, scale, float(member["balance"]))
    found: dict[str, list[float]] = {}
    before = Reference(first, x)
    for k in range(max(at) + 1):
        loss, later = step(now, x, y, float(member["rate"]) / scale**2)
        if k in at:
            wrong = np.maximum(unseen @ now[0].T, 0) @ now[1] - truth
            seen = {"train_loss": loss, "test_loss": float(wrong @ wrong) / len(truth), **before.changes(now)}
            for name, value in seen.items():
                found.setdefault(name, []).append(value)
        now = later if k < max(at) else now
    squares = [(a**2, (w**2).sum(1)) for w, a in (first, now)]
    return {
        **found,
        "drift": np.abs(np.subtract(*squares[1]) - np.subtract(*squares[0])).max(),
        "grown": np.abs(np.add(*squares[1]) - np.add(*squares[0])).max(),
    }


class Reference:
    """The student at its start, which later ones are compared with on the training inputs."""

    def __init__(self, weights: Weights, x: Array) -> None:
        self.weights, self.x = weights, torch.from_numpy(x)
        self.kernel = tangent_kernel(ReLUStudent(weights), self.x)

    def changes(self, now: Weights) -> dict[str, float]:
        """Return kernel distance, flips and the distance of the parameters from the start."""
        kernel = tangent_kernel(ReLUStudent(now), self.x)
        patterns = [self.x @ torch.from_numpy(w).T for w in (self.weights[0], now[0])]
        moved = [np.sum((new - old) ** 2) for new, old in zip(now, self.weights, strict=True)]
        return {
            "kernel_distance": float(kernel_distance(kernel, self.kernel)),
            "flips": float(pattern_distance(patterns[0], patterns[1])),
            "moved": math.sqrt(sum(moved)),
        }
