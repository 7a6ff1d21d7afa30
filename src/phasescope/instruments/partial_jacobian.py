"""Averaged partial Jacobian norms (APJN) between places of any network, and the exact Jacobians of small ones.

Doshi, He and Gromov 2023, arXiv:2111.12143: J^{l0,l} = (1/N_l) sum_ij (dh^l_i / dh^l0_j)^2, averaged over the samples
of a batch, summed over pairs of samples where the network couples them (BatchNorm). Estimated as in Hutchinson's trace:
J = E_v |v^T dh^l/dh^l0|^2 / (B N_l) for independent signs v, one vector for the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import kind, shown, whole
from phasescope.instruments.calls import pulled
from phasescope.instruments.forward_pass import Passage, places
from phasescope.vocabulary import BadInput, Reading

__all__ = ["exact_partial_jacobian", "exact_partial_norm", "kernel_slope", "partial_jacobians", "signs", "transfer"]

randomness = kind(np.random.Generator, say="a numpy generator, such as np.random.default_rng(0)")


def signs(like: Tensor, generator: np.random.Generator) -> Tensor:
    """Return independent random signs in the shape, dtype and device of ``like``."""
    kind(Tensor, say="a tensor")("like", like)
    drawn = randomness("generator", generator).integers(0, 2, size=tuple(like.shape), dtype=np.int8) * 2 - 1
    return torch.from_numpy(drawn).to(like.device, like.dtype)


def probe(
    found: Passage, end: str, starts: Sequence[str], generator: np.random.Generator, *, create_graph: bool = False
) -> list[Tensor]:
    """Return one unbiased estimate of J^{start,end} per start, each a float64 scalar, from one backward sweep.

    With ``create_graph`` the estimates can be differentiated. A start that the end does not depend on gives 0.
    """
    h = found.values[end]
    gradients = pulled(h, [found.edges[name] for name in starts], signs(h, generator), create_graph=create_graph)
    zero = torch.zeros((), dtype=torch.float64, device=h.device)  # squares of float32 gradients leave float32
    return [zero if g is None else g.double().square().sum() / h.numel() for g in gradients]


def partial_jacobians(
    found: Passage, pairs: Sequence[tuple[str, str]], *, generator: np.random.Generator, probes: int = 8
) -> Reading:
    """Return J^{start,end} of each (start, end) of ``pairs``: value and standard error (n,), float64, dimensionless.

    One backward sweep per probe serves all pairs with a common end, and reaches back no further than their starts. The
    standard error is that of the mean over ``probes`` for this network and this batch; their spread is exactly zero
    only for Jacobians with orthogonal rows. Raises ``BadInput`` for fewer than two probes or unknown places.
    """
    probes = whole(2, 10**6)("probes", probes)  # at least 2, so that they have a spread
    ends: dict[str, list[int]] = {}
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise BadInput(f"pairs is {shown(pairs)}: give a list of (start, end), names of places.")
    places(found)
    for i, (start, end) in enumerate(pairs):
        places(found, start, end)
        ends.setdefault(end, []).append(i)
    values = torch.zeros(probes, len(pairs), dtype=torch.float64)
    for end, columns in ends.items():
        starts = [pairs[i][0] for i in columns]
        for p in range(probes):
            values[p, columns] = torch.stack(probe(found, end, starts, generator)).double().cpu()
    return Reading(values.mean(0), values.std(0) / probes**0.5)


def transfer(
    found: Passage, start: str, end: str, *, generator: np.random.Generator, probes: int = 8
) -> tuple[Reading, Reading]:
    """Return J^{start,end} and mu, the mean diagonal of the Jacobian, from the same probes: values and errors (1,).

    mu = tr(dh^end/dh^start)/(B N) = E_v v^T (dh^end/dh^start) v / (B N) is the strength of a skip connection, since a
    branch with random weights has a diagonal of mean zero: 1 for ``h + branch(h)``, 0 without a skip. mu^2 is the
    skip's part in J. Invalid where the two places differ in shape. Raises ``BadInput`` for fewer than two probes.
    """
    probes = whole(2, 10**6)("probes", probes)  # at least 2, so that they have a spread
    places(found, start, end)
    h, edge = found.values[end], found.edges[start]
    alike = h.shape == found.values[start].shape
    norms, diagonals = torch.zeros(2, probes, 1, dtype=torch.float64)
    for p in range(probes if h.requires_grad else 0):
        v = signs(h, generator)
        (g,) = pulled(h, [edge], v)
        if g is not None:
            norms[p] = (g.double().square().sum() / h.numel()).cpu()
            diagonals[p] = (g.double() * v).sum().cpu() / h.numel() if alike else torch.nan
    root = probes**0.5
    return (
        Reading(norms.mean(0), norms.std(0) / root),
        Reading(diagonals.mean(0), diagonals.std(0) / root, torch.tensor([alike])),
    )


def kernel_slope(found: Passage, start: str, end: str) -> float:
    """Return d log K^end / d log K^start, the response of the output's kernel when the input is scaled; dimensionless.

    It is (h^end . J h^start) / |h^end|^2: 1 for ReLU and linear layers without biases, 0 where a normalization undoes
    the scale, and at a fixed point of the kernel chi_K* (arXiv:2111.12143). NaN where the output is zero.
    """
    places(found, start, end)
    h = found.values[end]
    (g,) = pulled(h, [found.edges[start]], h.detach())
    length = h.detach().double().square().sum()
    if g is None or not float(length) > 0:
        return 0.0 if g is None else float("nan")
    return float((g.double() * found.values[start].detach().double()).sum() / length)


def exact_partial_jacobian(found: Passage, start: str, end: str) -> Tensor:
    """Return the Jacobian (B N_end, B N_start) of everything at ``end`` by everything at ``start``: small networks."""
    places(found, start, end)
    h, like = found.values[end].flatten(), found.values[start].detach()
    rows = [pulled(h[i], [found.edges[start]], torch.ones_like(h[i]))[0] for i in range(len(h))]
    return torch.stack([torch.zeros_like(like).flatten() if row is None else row.flatten() for row in rows])


def exact_partial_norm(found: Passage, start: str, end: str) -> float:
    """Return the exact J^{start,end}: the squared Frobenius norm of the Jacobian over B N_end."""
    jacobian = exact_partial_jacobian(found, start, end).double()
    return float(jacobian.square().sum() / found.values[end].numel())
