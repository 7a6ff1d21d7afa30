"""The walks of the study ``stochastic-collapse``: many walkers at once, each with its own noise, in float64.

Conditions that differ only in the size of the noise share its draws: their differences are differences of the size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import ndtr

from phasescope.theory import stochastic_collapse
from phasescope.vocabulary import Array, Generators, Member

CHUNK = 250  # steps whose noise is drawn at once
NOTHING = 1e-30  # a square below it counts as collapsed: Chen et al. 2023, Fig. 1
TINY = np.finfo(np.float64).tiny
# the eight points (x, y) of the authors' notebook, nbs/one_hidden_layer/toy_model.ipynb: N(0, 1) of torch's seed 0
POINTS = (
    (1.5410, -0.5663), (-0.2934, 0.3731), (-2.1788, -0.8920), (0.5684, -1.5091),
    (-1.0845, 0.3704), (-1.3986, 1.4565), (0.4033, 0.9398), (0.8380, 0.7748),
)  # fmt: skip


def record_steps(steps: int, records: int) -> Array:
    """Return ``records`` evenly spaced steps, the last of them ``steps``."""
    return np.unique(np.linspace(0, steps, records + 1).round().astype(np.int64)[1:])


def _draws(generators: Generators, steps: int, *shape: int) -> Iterator[Array]:
    """Yield the standard normal noise (shape) of each step."""
    for chunk in range(-(-steps // CHUNK)):
        yield from generators("noise", chunk).standard_normal((min(CHUNK, steps - chunk * CHUNK), *shape))


def quartic(member: Member, generators: Generators) -> dict[str, Any]:
    """Walk dx = (mu x - x^3) dt + zeta g(x) dB by Euler's steps; g = x where the noise is "vanishing", else 1.

    Returns per zeta and record the median of log10 x^2 and the fraction with x^2 < 1e-30, and E|x| over the later half.
    """
    zeta, mu, dt = np.array(member["zetas"])[:, None], float(member["mu"]), float(member["dt"])
    steps, walkers, vanishing = int(member["steps"]), int(member["walkers"]), member["noise"] == "vanishing"
    x = np.tile(2 * generators("start").standard_normal(walkers), (len(zeta), 1))
    records, size = record_steps(steps, int(member["records"])), zeta * np.sqrt(dt)
    logs: list[Array] = []
    gone: list[Array] = []
    absolute: list[Array] = []
    for step, noise in enumerate(_draws(generators, steps, walkers), 1):
        pull = (mu - x * x) * dt
        x = x * (1 + pull + size * noise) if vanishing else x * (1 + pull) + size * noise
        if step == records[len(logs)]:
            square = np.maximum(x * x, TINY)
            logs.append(np.median(np.log10(square), 1))
            gone.append((square < NOTHING).mean(1))
            absolute.append(np.abs(x).mean(1))
    later = len(logs) // 2
    return {
        "log_square": np.stack(logs, 1),
        "collapsed": np.stack(gone, 1),
        "mean_absolute": np.mean(absolute[later:], 0),
    }


def modes(member: Member, generators: Generators) -> dict[str, Any]:
    """Train the singular modes of a linear student, u = v = x from x = 1: x *= 1 + h (s - x^2 - sigma N).

    Returns E[x^2], exp E[log x^2] and the fraction with x^2 < 1e-3, each (label noise, singular value, record).
    """
    s, sigma = np.array(member["values"])[:, None], np.array(member["noises"])[:, None, None]
    rate, steps, walkers = float(member["rate"]), int(member["steps"]), int(member["walkers"])
    x = np.ones((len(sigma), len(s), walkers))
    records = record_steps(steps, int(member["records"]))
    found: list[tuple[Array, Array, Array]] = []
    for step, noise in enumerate(_draws(generators, steps, len(s), walkers), 1):
        x *= 1 + rate * (s - x * x - sigma * noise)
        if step == records[len(found)]:
            square = np.maximum(x * x, TINY)
            found.append((square.mean(-1), np.exp(np.log(square).mean(-1)), (square < 1e-3).mean(-1)))
    strength, typical, lost = (np.stack(part, -1) for part in zip(*found, strict=True))
    return {"strength": strength, "typical": typical, "lost": lost}


def neuron_data(member: Member, generators: Generators) -> tuple[Array, Array]:
    """Return the inputs (N,) and targets (N,) of one neuron: x ~ N(0, 1), y = x + 0.1 N(0, 1)."""
    x, noise = generators("data").standard_normal((2, int(member["samples"])))
    return x, x + 0.1 * noise


def neuron(member: Member, generators: Generators) -> dict[str, Any]:
    """Walk one neuron f = w2 tanh(w1 x) under label noise, at ``levels`` of the noise relative to the threshold.

    dw = -grad L dt + sqrt(eta) zeta (df/dw)^T dB / sqrt(N), L = sum (f - y)^2 / (2 N), zeta = 1. Returns per level and
    record the fraction of walkers with |w| < 1e-2 and the median of log |w|, and per level the slower rate near w = 0,
    for infinitesimal steps and for steps ``dt``.
    """
    x, y = neuron_data(member, generators)
    threshold, levels = stochastic_collapse.neuron_threshold(x, y), np.array(member["levels"])
    dt, steps, walkers, count = float(member["dt"]), int(member["steps"]), int(member["walkers"]), len(x)
    w = float(member["deviation"]) * generators("start").standard_normal((2, 1, walkers, 1))
    w = np.tile(w, (len(levels), 1, 1))
    eta = 2 * levels[:, None, None] * threshold
    records = record_steps(steps, int(member["records"]))
    near: list[Array] = []
    logs: list[Array] = []
    for step, noise in enumerate(_draws(generators, steps, walkers, count), 1):
        t = np.tanh(w[0] * x)
        slope = x * w[1] * (1 - t * t)
        force = (y - w[1] * t) * (dt / count) + np.sqrt(eta * dt / count) * noise
        w = w + np.stack([(slope * force).sum(-1, keepdims=True), (t * force).sum(-1, keepdims=True)])
        if step == records[len(logs)]:
            size = np.maximum(np.hypot(*w)[..., 0], TINY)
            near.append((size < 1e-2).mean(-1))
            logs.append(np.median(np.log(size), -1))
    rate, step_rate = (
        [stochastic_collapse.neuron_rates(x, y, e, step=h)[0] for e in eta.ravel().tolist()] for h in (0.0, dt)
    )
    return {"near": np.stack(near, -1), "log_size": np.stack(logs, -1), "rate": rate, "step_rate": step_rate}


def points(member: Member, generators: Generators) -> Array:
    """Return eight inputs and targets (2, 8): "drawn" from N(0, 1) for each seed, or those of the "notebook"."""
    return np.array(POINTS).T if member["points"] == "notebook" else generators("data").standard_normal((2, 8))


def pair(member: Member, generators: Generators) -> dict[str, Any]:
    """Train two GELU neurons on eight points with fresh label noise at each step, ``runs`` times per (rate, noise).

    f = sum_j a_j gelu(w_j x), loss sum (f - y - sigma N)^2 / (2 N), momentum 0.9, from the notebook's w = (1, 0.6),
    a = (-0.6, -0.4), or from ``gap`` of this distance. Returns per condition and record the median over runs of log10
    2 |p1 - p2|^2 / (|p1|^2 + |p2|^2), p = (w, a): relative, so that neurons which vanish are not nearer for it. A pair
    that diverged has the largest value, log10 4.
    """
    rate, sigma = np.array(member["conditions"]).T[..., None]
    steps, runs, gap = int(member["steps"]), int(member["runs"]), float(member["gap"])
    x, y = points(member, generators)
    middle, apart = np.array([[0.8], [-0.5]]), gap * np.array([[0.2, -0.2], [-0.1, 0.1]])
    p = np.broadcast_to((middle + apart)[:, :, None, None, None], (2, 2, len(rate), runs, 1)).copy()
    speed = np.zeros_like(p)
    records = record_steps(steps, int(member["records"]))
    logs: list[Array] = []
    with np.errstate(over="ignore", invalid="ignore"):  # where it diverges
        for step, noise in enumerate(_draws(generators, steps, runs, len(x)), 1):
            z = p[0] * x
            gate = ndtr(z)
            hidden = z * gate
            error = ((p[1] * hidden).sum(0) - y - sigma[..., None] * noise) / len(x)
            slope = gate + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
            speed = 0.9 * speed + np.stack([p[1] * error * slope * x, error * hidden]).sum(-1, keepdims=True)
            p = p - rate[..., None] * speed
            if step == records[len(logs)]:
                logs.append(np.median(np.log10(np.maximum(_apart(p), TINY)), -1))
    return {"log_distance": np.stack(logs, -1)}


def _apart(p: Array) -> Array:
    """Return 2 |p1 - p2|^2 / (|p1|^2 + |p2|^2) of pairs (2, 2, ..., 1) of neurons along the second axis; 4 for NaN."""
    square, total = np.square(p[:, 0] - p[:, 1]).sum(0)[..., 0], np.square(p).sum((0, 1))[..., 0]
    found = 2 * square / np.maximum(total, TINY)
    return np.where(np.isfinite(found), found, 4.0)
