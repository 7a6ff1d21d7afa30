"""What the study ``transfer-phase-diagram`` measures without training: solutions in closed form on drawn samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.tasks import LinearTarget
from phasescope.vocabulary import Array, Generators, Member


def solutions(x: Array, right: Array, penalty: float = 0.0) -> Array:
    """Return the minimum-norm (or ridge) solutions (D, R) of x b = right for the columns of ``right`` (N, R)."""
    n, d = x.shape
    if n <= d:
        return np.asarray(x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(n), right))
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(d), x.T @ right))


def kept(null: Array, learnt: Array) -> Array:
    """Return c of ``theory.linear_transfer.kept_share`` for two layers: c^2 = (a + sqrt(a^2 + 4 b)) / 2."""
    return np.asarray(np.sqrt((null + np.sqrt(null**2 + 4 * learnt)) / 2))


class _Span:
    """Inner products of P e1, P e2, X^+ eps, e1, e2 (5, 5): every risk here is a quadratic form in them."""

    def __init__(self, x: Array, noise: Array, penalty: float = 0.0) -> None:
        plane = np.eye(x.shape[1])[:, :2]
        back = solutions(x, np.column_stack([x[:, :2], noise]), penalty)
        vectors = np.concatenate([back, plane], axis=1)
        self.gram = vectors.T @ vectors

    def square(self, *parts: Array | int) -> Array:
        """Return the squared length of the vector with these five coefficients, broadcast."""
        v = np.stack(np.broadcast_arrays(*parts), axis=-1)
        return np.asarray(np.einsum("...i,ij,...j->...", v, self.gram, v))


def closed_form(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return mean risks over ``draws`` of ``gamma`` ``dimension`` samples, each (angles, noises).

    ``scratch``: minimum norm. ``ridge``: the same with penalty ``ridge`` per dimension. ``linear``: a probe on the
    source's feature. ``printed`` and ``balanced``: fine-tuning that keeps the source's part outside the data's span
    as it is, or times the share c that the balance of two layers asks for.
    """
    d, draws = int(member["dimension"]), int(member["draws"])
    n = round(float(member["gamma"]) * d)
    angles, noises = np.array(member["angles"])[:, None], np.array(member["noises"])[None]
    c, s = np.cos(angles), np.sin(angles)
    names = ("scratch", "ridge", "linear", "printed", "balanced")
    total = {name: np.zeros((angles.size, noises.size)) for name in names}
    inputs, errors = generators("data"), generators("noise")
    for _ in range(draws):
        x, noise = inputs.standard_normal((n, d)), errors.standard_normal(n)
        span, damped = _Span(x, noise), _Span(x, noise, float(member["ridge"]) * d)
        share = kept(span.square(-1, 0, 0, 1, 0), span.square(c, s, noises, 0, 0))
        z = x[:, 0]
        total["scratch"] += span.square(c, s, noises, -c, -s)
        total["ridge"] += damped.square(c, s, noises, -c, -s)
        total["linear"] += s**2 + ((s * (z @ x[:, 1]) + noises * (z @ noise)) / (z @ z)) ** 2
        total["printed"] += span.square(c - 1, s, noises, 1 - c, -s)
        total["balanced"] += span.square(c - share, s, noises, share - c, -s)
    return {name: value / draws for name, value in total.items()}


def ridge_probe(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the probe's ``risk`` (penalties) from ``samples`` at ``angle``: only two directions of x matter."""
    n, angle, noise = int(member["samples"]), float(member["angle"]), float(member["noise"])
    z, u = generators("data").standard_normal((2, n))
    y = np.cos(angle) * z + np.sin(angle) * u + noise * generators("noise").standard_normal(n)
    probe = (z @ y) / (z @ z + n * np.array(member["penalties"]))
    return {"risk": np.sin(angle) ** 2 + (probe - np.cos(angle)) ** 2}


def feature_probe(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the mean ``risk`` of least squares on ``features`` that hold 1 - ``outside`` of the target."""
    n, k, outside = int(member["samples"]), int(member["features"]), float(member["outside"])
    inputs, errors, risks = generators("data"), generators("noise"), []
    inside = np.zeros(k)
    inside[0] = np.sqrt(1 - outside)
    for _ in range(int(member["draws"])):
        z, u = inputs.standard_normal((n, k)), inputs.standard_normal(n)
        y = z @ inside + np.sqrt(outside) * u + float(member["noise"]) * errors.standard_normal(n)
        found = np.linalg.solve(z.T @ z, z.T @ y)
        risks.append(outside + np.sum((found - inside) ** 2))
    return {"risk": np.mean(risks)}


def finite_source(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the mean ``transferability`` (angles) of fine-tuning from a source learnt from finite data."""
    d, angles = int(member["dimension"]), np.array(member["angles"])
    n_source, n = (round(float(member[name]) * d) for name in ("source_gamma", "gamma"))
    targets = np.zeros((d, angles.size))
    targets[:2] = np.cos(angles), np.sin(angles)
    inputs, errors, gains = generators("data"), generators("noise"), []
    for _ in range(int(member["draws"])):
        x = inputs.standard_normal((n_source, d))
        labels = x[:, 0] + float(member["source_noise"]) * errors.standard_normal(n_source)
        source = solutions(x, labels[:, None])
        x, noise = inputs.standard_normal((n, d)), errors.standard_normal(n)
        scratch = solutions(x, x @ targets + float(member["noise"]) * noise[:, None])
        tuned = scratch + source - solutions(x, x @ source)
        gains.append(np.sum((scratch - targets) ** 2 - (tuned - targets) ** 2, axis=0))
    return {"transferability": np.mean(gains, axis=0)}


def foreseen(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the risks that theory gives for the very samples of a trained member: scratch, printed, balanced, c."""
    task = LinearTarget(int(member["dimension"]))
    draw = task.draw(member, generators)
    x, y = draw.inputs[draw.train], draw.labels[draw.train]
    source = np.zeros((x.shape[1], 1))
    source[0] = 1.0
    beta = np.zeros_like(source)
    beta[:2, 0] = np.cos(float(member["angle"])), np.sin(float(member["angle"]))
    scratch = solutions(x, y)
    null = source - solutions(x, x @ source)
    share = kept(np.asarray(np.sum(null**2)), np.asarray(np.sum(scratch**2)))
    risks = {"scratch": scratch, "printed": scratch + null, "balanced": scratch + share * null}
    return {**{name: np.sum((found - beta) ** 2) for name, found in risks.items()}, "share": share}
