"""How many random directions an objective needs: the intrinsic dimension of Li et al. 2018, arXiv:1804.08838.

Of D parameters only d are learnt: theta = theta_0 + P z, with z (d,) from 0 and a random P (D, d) whose columns have
the norm 1. The objective dimension is the least d from which learning z alone reaches a level. Where a quadratic has
k flat directions it is D - k, exactly, for almost every P.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from phasescope.checks import function, kind, number, sequence, shown, whole, word
from phasescope.instruments.neighbours import Points
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "ObjectiveDimension",
    "flat_objective",
    "learnt_in_subspaces",
    "objective_dimension",
    "projection",
    "reached",
]

Projection = Literal["dense", "fastfood"]
Method = Literal["adam", "newton"]
Objective = Callable[[Tensor], Tensor]
LARGEST = 1 << 28  # numbers of one projection
BETAS, EPS = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True)
class ObjectiveDimension:
    """The least of ``dims`` from which the mean ``scores`` (dims,) over projections stay at the ``level`` or above.

    ``value`` is inf where the largest of ``dims`` does not reach it: it is above that, D at most.
    """

    value: float
    dims: Array
    scores: Array
    level: float


def projection(kind_of: Projection, size: int, dims: int, generator: np.random.Generator) -> Tensor:
    """Return a random P (size, dims) float64 whose columns have the norm 1: ``dense`` Gaussian, or ``fastfood``.

    Fastfood (Le et al. 2013; Li et al. 2018, App. S7) is H G Pi H B, cut to size rows, with Walsh-Hadamard matrices H
    of the next power of two, signs B, a permutation Pi and Gaussian G; its columns are those of z padded with zeros,
    scaled to the norm 1 here. Its first columns are what a smaller ``dims`` would give, as with dense ones. Raises
    ``BadInput`` for more dims than size.
    """
    word(*get_args(Projection))("the projection", kind_of)
    size, dims = whole(1, 10**9)("size", size), whole(1, 10**9)("dims", dims)
    if dims > size or size * dims > LARGEST:
        raise BadInput(
            f"a projection of {dims:,} to {size:,} numbers: give at most {size:,} dims, {LARGEST:,} numbers."
        )
    if kind_of == "dense":
        columns = generator.standard_normal((dims, size)).T
    else:
        length = 1 << max(0, math.ceil(math.log2(size)))
        signs, order = generator.choice([-1.0, 1.0], length), generator.permutation(length)
        gains = generator.standard_normal(length)
        inner = hadamard(np.eye(length, dims) * signs[:, None])
        columns = hadamard(gains[:, None] * inner[order])[:size]
    return torch.from_numpy(np.ascontiguousarray(columns / np.linalg.norm(columns, axis=0)))


def hadamard(columns: Array) -> Array:
    """Return H times ``columns`` (L, d), the Walsh-Hadamard matrix of L = 2^k rows in Sylvester's order.

    >>> hadamard(np.eye(2)).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    found, length = np.array(columns, dtype=float), len(columns)
    if length & (length - 1) or not length:
        raise BadInput(f"columns have {length} rows: the transform is of a power of two.")
    half = 1
    while half < length:
        parts = found.reshape(length // (2 * half), 2, half, -1)
        first, second = parts[:, 0].copy(), parts[:, 1].copy()
        parts[:, 0], parts[:, 1] = first + second, first - second
        half *= 2
    return found


def learnt_in_subspaces(
    objective: Objective, start: Points, directions: Tensor, dims: Sequence[int], *, steps: int, rate: float,
    method: Method = "adam",
) -> Tensor:  # fmt: skip
    """Return the parameters (dims, R, D) that are found in the first d columns of R projections (R, D, d_max).

    ``objective`` takes parameters (D,) to a loss (), and must be one that ``torch.func`` can take side by side. All
    start at ``start`` (D,), z = 0, and take ``steps`` steps of Adam with ``rate`` and betas (0.9, 0.999), or of Newton
    with the Hessian in z and no rate: one step is exact where the objective is quadratic.
    """
    origin = torch.as_tensor(np.asarray(start)) if not isinstance(start, Tensor) else start
    origin = origin.detach().to(directions.dtype)
    repeats, size, most = directions.shape
    if method == "newton":
        planes = [[p[:, :d] for p in directions] for d in dims]
        return torch.stack([torch.stack([_newton(objective, origin, p, steps) for p in row]) for row in planes])
    masks = torch.stack([(torch.arange(most) < d).to(origin.dtype) for d in dims])  # (dims, most)
    mask = masks[:, None].expand(-1, repeats, -1)
    z, mean, square = (torch.zeros_like(mask).contiguous() for _ in range(3))

    def placed(z: Tensor) -> Tensor:
        return origin + torch.einsum("krd,rsd->krs", z, directions)

    slopes = vmap(grad(objective))
    for step in range(1, steps + 1):
        found = slopes(placed(z).reshape(-1, size)).reshape(len(dims), repeats, size)
        along = torch.einsum("krs,rsd->krd", found, directions) * mask
        mean = BETAS[0] * mean + (1 - BETAS[0]) * along
        square = BETAS[1] * square + (1 - BETAS[1]) * along.square()
        z = z - rate * (mean / (1 - BETAS[0] ** step)) / ((square / (1 - BETAS[1] ** step)).sqrt() + EPS)
    return placed(z).detach()


def _newton(objective: Objective, origin: Tensor, plane: Tensor, steps: int) -> Tensor:
    def inside(z: Tensor) -> Tensor:
        return objective(origin + plane @ z)

    z = torch.zeros(plane.shape[1], dtype=origin.dtype)
    for _ in range(steps):
        z = z - torch.linalg.pinv(jacrev(grad(inside))(z), hermitian=True) @ grad(inside)(z)
    return (origin + plane @ z).detach()


def objective_dimension(
    objective: Objective, start: Points, score: Objective, level: float, dims: Sequence[int],
    generator: np.random.Generator, *, kind_of: Projection = "dense", repeats: int = 1, steps: int = 200,
    rate: float = 0.05, method: Method = "adam",
) -> ObjectiveDimension:  # fmt: skip
    """Return the least of ``dims`` from which learning in a random subspace brings ``score`` (D,) -> () to ``level``.

    ``objective`` and ``score`` take parameters (D,), as ``torch.nn.utils.vector_to_parameters`` lays them, ``start`` is
    where subspaces pass through, the first weights of a network above all; its dtype is that of the computation. The
    usual level is 0.9 of what the whole network reaches (d_int90). Dimensionless, from the least of ``dims`` to D. Null
    value: D - k for a quadratic with k flat directions; 0 is not looked at. Small steps or few find more than there
    are: what is found is a bound for this learner, of which ``learnt_in_subspaces`` tells. Raises ``BadInput`` for dims
    that do not rise or exceed D, and for scores that are not finite.
    """
    function("objective", objective), function("score", score), word(*get_args(Method))("method", method)
    origin = start.detach().flatten() if isinstance(start, Tensor) else torch.as_tensor(np.asarray(start)).flatten()
    if not origin.is_floating_point() or not bool(origin.isfinite().all()) or not len(origin):
        raise BadInput(f"start is {shown(start)}: give finite real numbers, one parameter at least.")
    level, rate = number()("level", level), number(0, 1e6, open_low=True)("rate", rate)
    several = [whole(1, len(origin))("a number of dims", d) for d in sequence("dims", dims, 10_000)]
    if any(b <= a for a, b in pairwise(several)):
        raise BadInput(f"dims are {shown(dims)}: give numbers that rise.")
    kind(np.random.Generator, say="a numpy generator, such as ps.streams(seed)('subspaces')")("generator", generator)
    steps, repeats = whole(1, 10**7)("steps", steps), whole(1, 10_000)("repeats", repeats)
    if repeats * len(origin) * max(several[-1], len(several)) > LARGEST:
        raise BadInput(
            f"{repeats:,} projections of {several[-1]:,} to {len(origin):,} numbers: the most are {LARGEST:,}; give "
            "fewer repeats or smaller dims."
        )
    frames = [projection(kind_of, len(origin), several[-1], generator) for _ in range(repeats)]
    directions = torch.stack(frames).to(origin.dtype)
    found = learnt_in_subspaces(objective, origin, directions, several, steps=steps, rate=rate, method=method)
    with torch.no_grad():
        scores = vmap(score)(found.reshape(-1, len(origin))).reshape(len(several), repeats).double().mean(1)
    if not bool(scores.isfinite().all()):
        raise BadInput(f"scores are {shown(scores.tolist())}: learning diverged; give a smaller rate than {rate:g}.")
    values = scores.cpu().numpy()
    return ObjectiveDimension(reached(several, values, level), np.array(several), values, level)


def reached(dims: Sequence[int], scores: Array, level: float) -> float:
    """Return the least of ``dims`` from which ``scores`` (dims,) are at the ``level`` or above; inf where none is.

    >>> reached([2, 4, 8, 16], np.array([0.1, 0.9, 0.8, 0.95]), 0.9)
    16.0
    """
    short = np.flatnonzero(np.asarray(scores) < level)
    first = int(short[-1]) + 1 if len(short) else 0
    return float(dims[first]) if first < len(dims) else math.inf


def flat_objective(
    module: nn.Module, loss: Callable[[Callable[[Tensor], Tensor]], Tensor]
) -> tuple[Objective, Tensor, Mapping[str, torch.Size]]:
    """Return ``loss`` of a module's outputs as a function of its parameters laid flat (D,), these, and their shapes.

    ``loss`` is told a function of inputs: ``lambda f: cross_entropy(f(x), y)``.
    """
    named = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    if not named:
        raise BadInput("no parameter of this module requires gradients: there is nothing to learn in a subspace.")
    shapes = {name: p.shape for name, p in named.items()}

    def objective(flat: Tensor) -> Tensor:
        parts = torch.split(flat, [shape.numel() for shape in shapes.values()])
        own = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return loss(lambda inputs: functional_call(module, own, (inputs,)))

    return objective, torch.cat([p.flatten() for p in named.values()]), shapes
