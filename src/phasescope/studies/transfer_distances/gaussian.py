"""Pairs of linear tasks with Gaussian inputs: distances between them, and what a deep linear network carries over.

A task is x ~ N(m, s^2 I), y = b . x + e. The target has m = 0, s = 1, |b| = 1. A source of the pair has a b of its own
at an angle, of another length, another noise, and inputs that lie elsewhere and spread otherwise: all that changes
distances, and the direction alone changes what is worth knowing (arXiv:2410.08194, Sec. 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from phasescope.vocabulary import Array, Generators, Member


@dataclass(frozen=True)
class Tasks:
    """Linear tasks: ``slope`` and ``mean`` (P, D), ``spread`` and ``noise`` (P,), standard deviations."""

    slope: Array
    mean: Array
    spread: Array
    noise: Array

    @property
    def second_moment(self) -> Array:
        """E x x' (P, D, D)."""
        d = self.mean.shape[1]
        found: Array = self.spread[:, None, None] ** 2 * np.eye(d) + self.mean[:, :, None] * self.mean[:, None, :]
        return found

    def joint(self, i: int) -> tuple[Array, Array]:
        """Return mean (D + 1,) and covariance (D + 1, D + 1) of (x, y) of the ``i``-th task."""
        b, s2 = self.slope[i], self.spread[i] ** 2
        across = s2 * b
        corner = np.array([[s2 * b @ b + self.noise[i] ** 2]])
        return np.append(self.mean[i], b @ self.mean[i]), np.block(
            [[s2 * np.eye(len(b)), across[:, None]], [across, corner]]
        )


def directions(generator: np.random.Generator, rows: int, d: int) -> Array:
    """Return directions (rows, D), uniform on the sphere."""
    x = generator.standard_normal((rows, d))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def pairs(member: Member, generators: Generators) -> tuple[Tasks, Tasks]:
    """Return sources and targets of the seed, pair by pair."""
    count, d = int(member["pairs"]), int(member["dimension"])
    draw = generators("pairs")
    target = directions(draw, count, d)
    aside = draw.standard_normal((count, d))
    aside -= (aside * target).sum(1, keepdims=True) * target
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    angle = draw.uniform(0, np.pi / 2, count)[:, None]

    def between(low: float, high: float) -> Array:
        return np.exp(draw.uniform(np.log(low), np.log(high), count))

    slope = between(0.5, 2)[:, None] * (np.cos(angle) * target + np.sin(angle) * aside)
    mean = draw.uniform(0, 2, count)[:, None] * directions(draw, count, d)
    sources = Tasks(slope, mean, between(0.7, 1.4), between(0.05, 1.0))
    return sources, Tasks(target, np.zeros_like(mean), np.ones(count), np.full(count, float(member["noise"])))


def kl(source: Tasks, target: Tasks, i: int) -> float:
    """Return KL(source || target) of (x, y), in nats: that of two Gaussians."""
    (m, c), (m2, c2) = source.joint(i), target.joint(i)
    inverse, off = np.linalg.inv(c2), m - m2
    logs = np.linalg.slogdet(c2)[1] - np.linalg.slogdet(c)[1]
    return float(0.5 * (np.trace(inverse @ c) + off @ inverse @ off - len(m) + logs))


def density(z: Array, mean: Array, covariance: Array) -> Array:
    """Return the log density (N,) of a Gaussian at ``z`` (N, D)."""
    off = np.linalg.solve(np.linalg.cholesky(covariance), (z - mean).T)
    return np.asarray(-0.5 * ((off**2).sum(0) + len(mean) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1]))


def total_variation(source: Tasks, target: Tasks, i: int, z: Array) -> float:
    """Return the total variation distance, E max(0, 1 - q/p) over samples ``z`` (N, D + 1) of p, the source."""
    ratio = density(z, *target.joint(i)) - density(z, *source.joint(i))
    return float(np.maximum(0, -np.expm1(ratio)).mean())


def mmd(z: Array, other: Array, labels: tuple[Array, Array] | None = None) -> float:
    """Return the squared maximum mean discrepancy of two samples (N, D), unbiased: near 0, or below, where alike.

    Gretton et al. 2012, JMLR 13, Eq. 3; a Gaussian kernel as wide as the median distance in ``other``. With the
    ``labels`` of both, (N,) each, it is 0 of rows whose labels differ.
    """
    width = 2 * np.median(pdist(other)) ** 2

    def within(rows: Array, named: Array | None) -> float:
        kernel = np.exp(-(pdist(rows) ** 2) / width)
        if named is not None:
            i, j = np.triu_indices(len(rows), 1)  # the order of pdist
            kernel = kernel * (named[i] == named[j])
        return float(kernel.mean())

    across = np.exp(-(cdist(z, other) ** 2) / width)
    if labels is not None:
        across = across * (labels[0][:, None] == labels[1])
    own = [within(rows, named) for rows, named in zip((z, other), labels or (None, None), strict=True)]
    return float(sum(own) - 2 * across.mean())


def drawn(tasks: Tasks, i: int, draw: np.random.Generator, count: int) -> Array:
    """Return samples (count, D + 1) of (x, y) of the ``i``-th task."""
    x = tasks.mean[i] + tasks.spread[i] * draw.standard_normal((count, tasks.mean.shape[1]))
    y = x @ tasks.slope[i] + tasks.noise[i] * draw.standard_normal(count)
    return np.concatenate([x, y[:, None]], 1)


def product(layers: Sequence[Tensor]) -> Tensor:
    """Return the linear map (P, 1, D) of deep linear networks."""
    found = layers[0]
    for layer in layers[1:]:
        found = layer @ found
    return found


def descended(layers: Sequence[Tensor], moment: Array, slope: Array, rates: Array, steps: int) -> list[Tensor]:
    """Return networks after gradient descent on (w - slope)' moment (w - slope) / 2, each at its own rate (P,)."""
    weights = [layer.clone().requires_grad_() for layer in layers]
    c, goal, rate = torch.from_numpy(moment), torch.from_numpy(slope)[:, None], torch.from_numpy(rates)[:, None, None]
    for _ in range(steps):
        off = product(weights) - goal
        grads = torch.autograd.grad((off @ c * off).sum() / 2, weights)
        with torch.no_grad():
            for weight, grad in zip(weights, grads, strict=True):
                weight -= rate * grad
    return [weight.detach() for weight in weights]


def deep(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Learn sources on the population loss, then targets from few samples: risks anew, tuned, and by a probe."""
    source, target = pairs(member, generators)
    count, d = target.slope.shape
    depth, rate, steps = int(member["depth"]), float(member["rate"]), int(member["steps"])
    init, scale = generators("init"), float(member["scale"]) / np.sqrt(d)
    shapes = [(count, d, d)] * (depth - 1) + [(count, 1, d)]
    fresh = [torch.from_numpy(scale * init.standard_normal(shape)) for shape in shapes]
    moment = source.second_moment
    rates = rate / np.linalg.eigvalsh(moment)[:, -1].clip(1) * 2
    known = descended(fresh, moment, source.slope, rates, steps)
    data = [drawn(target, i, generators("samples", i), int(member["samples"])) for i in range(count)]
    x, y = np.stack([z[:, :d] for z in data]), np.stack([z[:, d] for z in data])
    sampled = np.einsum("pni,pnj->pij", x, x) / x.shape[1]
    fit = np.stack([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(x, y, strict=True)])  # the same gradient
    tuned, anew = (
        product(descended(start, sampled, fit, np.full(count, rate), steps))[:, 0].numpy() for start in (known, fresh)
    )
    feature = product(known)[:, 0].numpy()
    feature /= np.linalg.norm(feature, axis=1, keepdims=True)
    seen = np.einsum("pni,pi->pn", x, feature)
    probe = ((seen * y).sum(1) / (seen**2).sum(1))[:, None] * feature
    risk = {name: ((w - target.slope) ** 2).sum(1) for name, w in (("anew", anew), ("tuned", tuned), ("probe", probe))}
    many = int(member["draws"])
    samples = [[drawn(t, i, generators(what, i), many) for what, t in (("source", source), ("target", target))]
               for i in range(count)]  # fmt: skip
    measured = [
        [kl(source, target, i), total_variation(source, target, i, z), mmd(z, other)]
        for i, (z, other) in enumerate(samples)
    ]
    return {
        **risk,
        "overlap": np.abs((feature * target.slope).sum(1)),
        "distance": np.array(measured).T,
        "missed": float(np.abs(product(known)[:, 0].numpy() - source.slope).max()),
    }
