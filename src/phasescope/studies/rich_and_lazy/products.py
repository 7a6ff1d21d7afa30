"""What the study ``rich-and-lazy`` measures of wide and deep linear networks: what they conserve and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from phasescope.studies.rich_and_lazy.neurons import Found, problem
from phasescope.theory import rich_lazy_wide
from phasescope.vocabulary import Array, BadInput, Generators, Member

EXACT = {"method": "LSODA", "rtol": 1e-9, "atol": 1e-11}


def slopes(weights: Sequence[Array], error: Array) -> list[Array]:
    """Return the loss's gradient in each layer of beta = W_1 ... W_L, where ``error`` is its gradient in beta."""
    before = list(accumulate(weights[:-1], np.matmul, initial=np.eye(len(weights[0]))))
    after = list(accumulate(weights[:0:-1], lambda right, w: w @ right, initial=np.eye(weights[-1].shape[1])))[::-1]
    return [b.T @ error @ a.T for b, a in zip(before, after, strict=True)]


def descend(weights: Sequence[Array], measurements: Array, values: Array, horizon: float) -> tuple[list[Array], float]:
    """Follow the gradient flow of (1/2) sum_i (<M_i, beta> - y_i)^2 until it is solved; return the end and its time.

    Raises ``BadInput`` where that takes longer than ``horizon``.
    """
    shapes = [w.shape for w in weights]
    cuts = np.cumsum([w.size for w in weights])[:-1]

    def layers(z: Array) -> list[Array]:
        return [part.reshape(shape) for part, shape in zip(np.split(z, cuts), shapes, strict=True)]

    def missed(z: Array) -> Array:
        return np.asarray(np.tensordot(measurements, np.linalg.multi_dot(layers(z)), 2) - values)

    def velocity(_: float, z: Array) -> Array:
        error = np.tensordot(missed(z), measurements, 1)
        return -np.concatenate([slope.ravel() for slope in slopes(layers(z), error)])

    def solved(_: float, z: Array) -> float:
        return float(np.abs(missed(z)).max() - 1e-8)

    solved.terminal = True  # type: ignore[attr-defined]
    start = np.concatenate([w.ravel() for w in weights])
    found: Any = solve_ivp(velocity, (0, horizon), start, events=solved, **EXACT)
    if found.status != 1:
        raise BadInput(f"a flow was not at its end at time {horizon:g}: ask for a later horizon.")
    return layers(found.y[:, -1]), float(found.t[-1])


def balanced(beta0: Array, layers: int, width: int) -> list[Array]:
    """Return weights of a balanced network of one output, W_1 ... W_L = beta0, all of one singular value."""
    each = float(np.linalg.norm(beta0)) ** (1 / layers)
    unit = np.zeros((width, 1))
    unit[0] = 1
    first = each * (beta0 / np.linalg.norm(beta0))[:, None] @ unit.T
    return [first, *(each * unit @ unit.T for _ in range(layers - 2)), each * unit]


def measure_deep(member: Member, generators: Generators) -> Found:
    """Return where a balanced network of ``layers`` ends along the null direction, and what the potentials foresee.

    ``foreseen`` by the potential of its own depth, ``shallow`` by that of two layers; ``drift`` of all W^T W - W' W'^T,
    and ``grown`` of the traces of their sums, the least.
    """
    beta0, seen, null, solution = problem("random", generators("data"))
    depth = int(member["layers"])
    start = balanced(beta0, depth, int(member["width"]))
    measured, _ = descend(start, seen[None, :, None], np.array([solution]), float(member["horizon"]))
    beta = np.linalg.multi_dot(measured)[:, 0]
    return {
        "end": beta @ null,
        "foreseen": rich_lazy_wide.deep_null_coordinate(beta0, depth, null, solution),
        "shallow": rich_lazy_wide.deep_null_coordinate(beta0, 2, null, solution),
        "drift": max(np.abs(w.T @ w - v @ v.T).max() for w, v in pairwise(measured)),
        "grown": min(
            abs(np.sum(w**2) + np.sum(v**2) - 2 * float(np.linalg.norm(beta0)) ** (2 / depth))
            for w, v in pairwise(measured)
        ),
    }


def measurements(kind: str, size: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return matrices M (n, size, size) and values y (n,) of a matrix of rank one, 1.5 u v^T.

    "shared": size / 2 matrices with the singular vectors of that matrix; "any": 2 size Gaussian ones.
    """
    u, v = (np.linalg.qr(generator.standard_normal((size, size)))[0] for _ in range(2))
    if kind == "shared":
        m = np.einsum("ai,ni,bi->nab", u, generator.standard_normal((size // 2, size)) / np.sqrt(size), v)
    else:
        m = generator.standard_normal((2 * size, size, size)) / size
    return m, np.tensordot(m, 1.5 * np.outer(u[:, 0], v[:, 0]), 2)


def measure_wide(member: Member, generators: Generators) -> Found:
    """Train beta = A B from B B^T - A^T A = delta I and beta = 0 on measurements of a matrix of rank one.

    ``drift`` of that difference and ``grown`` of the sum. Relative to the end beta: distances ``entropy`` from the
    interpolator of least hyperbolic entropy, ``function`` from the closed flow of beta, ``minimum_norm`` from the
    least-squares solution. ``nuclear``: the nuclear norm over that of the least-squares solution.
    """
    size, delta = int(member["size"]), float(member["delta"])
    m, y = measurements(str(member["measurements"]), size, generators("data"))
    turn = np.sqrt(abs(delta)) * np.linalg.qr(generators("init").standard_normal((size, size)))[0]
    none = np.zeros((size, size))
    (a, b), time = descend([none, turn] if delta > 0 else [turn, none], m, y, float(member["horizon"]))
    beta, closed = a @ b, function_end(m, y, delta, time)
    least = np.linalg.lstsq(m.reshape(len(y), -1), y, rcond=None)[0].reshape(size, size)

    def apart(other: Array) -> float:
        return float(np.linalg.norm(beta - other) / np.linalg.norm(beta))

    return {
        "drift": np.abs(b @ b.T - a.T @ a - delta * np.eye(size)).max(),
        "grown": np.abs(b @ b.T + a.T @ a - abs(delta) * np.eye(size)).max(),
        "entropy": apart(rich_lazy_wide.least_entropy(m, y, delta)),
        "function": apart(closed),
        "minimum_norm": apart(least),
        "nuclear": np.linalg.norm(beta, "nuc") / np.linalg.norm(least, "nuc"),
    }


def function_end(m: Array, y: Array, delta: float, time: float) -> Array:
    """Return beta at ``time`` by ``theory.rich_lazy_wide.product_flow`` from 0."""
    size = m.shape[1:]

    def velocity(_: float, z: Array) -> Array:
        beta = z.reshape(size)
        return rich_lazy_wide.product_flow(beta, delta, np.tensordot(np.tensordot(m, beta, 2) - y, m, 1)).ravel()

    found: Any = solve_ivp(velocity, (0, time), np.zeros(m[0].size), **EXACT)
    return np.asarray(found.y[:, -1].reshape(size))
