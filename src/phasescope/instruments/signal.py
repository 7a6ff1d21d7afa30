"""What a signal is like at the places of a ``Passage``, and what activations and gradients do along the way.

Each function reads all places of a passage at once, in the order of ``found.names``, and returns float64 (n,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from phasescope.checks import as_points, whole
from phasescope.directions import unit
from phasescope.instruments.calls import tensor_of
from phasescope.instruments.forward_pass import Passage, passage, places
from phasescope.instruments.given_back import module_of
from phasescope.instruments.neighbours import Points
from phasescope.instruments.partial_jacobian import signs
from phasescope.vocabulary import BadInput, Reading

__all__ = [
    "Activity",
    "batch_variances",
    "dead_shares",
    "gradient_norms",
    "kernels",
    "mean_cosine",
    "sample_cosines",
    "token_cosines",
]

INF = math.inf
ALIVE: Mapping[str, tuple[float, float]] = {
    "relu": (0, INF), "relu6": (0, 6), "hardtanh": (-1, 1), "tanh": (-2.993, 2.993), "sigmoid": (-5.99, 5.99),
    "erf": (-2.146, 2.146), "gelu": (-3.05, INF), "silu": (-6.28, INF), "softplus": (-4.6, INF), "elu": (-4.6, INF),
    "hardswish": (-3, INF), "hardsigmoid": (-3, 3), "leaky_relu": (-INF, INF), "mish": (-INF, INF),
}  # fmt: skip
"""Between which inputs an activation passes a gradient on: its slope there is at least 1 % of its largest."""
WEIGHING = ("linear", "matmul", "addmm", "bmm", "baddbmm", "einsum")


def kernels(found: Passage) -> Reading:
    """Return K of each place: the mean of h^2 over samples and units.

    Unit: that of h, squared. Bounds: [0, inf). Null: 0 for no signal; equal from place to place where it neither grows
    nor fades. Source: Doshi, He and Gromov 2023, arXiv:2111.12143, NNGP kernel K^l = E (1/N_l) sum_i (h^l_i)^2.
    """
    return Reading(_each(found, lambda h: h.square().mean()))


def batch_variances(found: Passage) -> Reading:
    """Return V of each place: the variance of a unit over the samples of the batch, averaged over units.

    Unit: that of h, squared. Bounds: [0, K]. Null: 0 where the units do not tell the samples apart. It is the V = K - C
    that batch normalization divides by (there with 1/B, as here). Invalid for one sample.
    """
    value = _each(found, lambda h: h.var(0, unbiased=False).mean() if len(h) > 1 else h.new_tensor(math.nan))
    return Reading(value, valid=value.isfinite())


def mean_cosine(vectors: Points) -> Tensor:
    """Return the mean cosine over all pairs of different vectors: (..., n, d) -> (...), NaN for fewer than two.

    Vectors that are zero have no direction and are left out. Raises ``BadInput`` for values that are not finite.
    """
    return _mean_cosine(as_points("vectors", vectors, axes=()))


def _mean_cosine(vectors: Tensor) -> Tensor:
    directed = unit(vectors)
    n = (directed.detach().norm(dim=-1) > 0).sum(-1)
    pairs = directed.sum(-2).square().sum(-1) - n
    # the divisor is never 0: its gradient would be NaN also where it does not count
    return torch.where(n > 1, pairs / (n * (n - 1)).clamp(min=1), math.nan)


def sample_cosines(found: Passage) -> Reading:
    """Return the mean cosine between the signals of different samples, each with all its units, at each place.

    Dimensionless. Bounds: [-1/(n-1), 1]. Null: 0 for independent directions, 1 where the network no longer tells its
    inputs apart. Source: the correlation C(x, x')/K of mean-field theory (Schoenholz et al. 2017, arXiv:1611.01232).
    Invalid for one sample.
    """
    value = _each(found, lambda h: _mean_cosine(h.flatten(1)))
    return Reading(value, valid=value.isfinite())


def token_cosines(found: Passage) -> Reading:
    """Return the mean cosine between different tokens of one sample, at each place with shape (B, tokens, units).

    Dimensionless. Bounds: [-1/(n-1), 1]. Null: 0 for independent directions, 1 for collapsed tokens. Source: Cowsik et
    al. 2024, arXiv:2403.02579, rho = p/q. Padding counts as tokens. Invalid at places of another shape.
    """
    value = _each(found, lambda h: _mean_cosine(h).nanmean() if h.dim() == 3 else h.new_tensor(math.nan))
    return Reading(value, valid=value.isfinite())


def _each(found: Passage, read: Callable[[Tensor], Tensor]) -> Tensor:
    places(found)
    with torch.no_grad():
        values = [read(found.values[name].detach().double()).cpu() for name in found.names]
    return torch.stack(values)


class Activity(TorchFunctionMode):
    """Counts the units of activation functions that pass no gradient on for any sample, while a passage is made.

    Use it as ``passage(module, batch, blocks, during=Activity)``; ``found.activity`` then answers for each place what
    lies between the place before and it. All calls are seen, also of ``torch.relu`` inside a ``forward``, not only
    modules. A unit is a channel after a convolution, otherwise an entry of the last axis; it is dead when its input
    lies outside ``ALIVE`` at every sample, token and position.
    """

    def __init__(self, found: Passage) -> None:
        super().__init__()
        self.found, self.axis = found, -1
        self.dead: dict[int, int] = {}
        self.units: dict[int, int] = {}
        self.seen: dict[int, int] = {}
        found.activity = self

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Look at a call of torch's, and carry it out."""
        name = getattr(func, "__name__", "").removesuffix("_")
        if name in ALIVE and args and isinstance(args[0], Tensor) and args[0].dim() > 1:
            self._count(args[0].detach(), *ALIVE[name])
        elif name.startswith("conv"):
            self.axis = 1
        elif name in WEIGHING:
            self.axis = -1
        return func(*args, **(kwargs or {}))

    def _count(self, x: Tensor, low: float, high: float) -> None:
        place = len(self.found.names)
        alive = ((x > low) & (x < high)).movedim(self.axis, 0).flatten(1).any(1)
        self.units[place] = self.units.get(place, 0) + len(alive)
        self.dead[place] = self.dead.get(place, 0) + int((~alive).sum())
        self.seen[place] = min(self.seen.get(place, x.numel()), x.numel() // len(alive))


def dead_shares(found: Passage) -> Reading:
    """Return the fraction of activation units between the place before and each place that are dead on this batch.

    Dimensionless. Bounds: [0, 1]. Null: 0; for n independent inputs with random signs 2^-n of ReLU's units are dead by
    chance. Invalid where no known activation was called, and everywhere without ``during=Activity``.
    """
    seen = places(found).activity
    shares = [
        seen.dead[i] / seen.units[i] if seen is not None and seen.units.get(i) else math.nan
        for i in range(len(found.names))
    ]
    value = torch.tensor(shares, dtype=torch.float64)
    return Reading(value, valid=value.isfinite())


def gradient_norms(
    module: nn.Module,
    batch: Any,
    *,
    generator: np.random.Generator,
    probes: int = 8,
    loss: Callable[[Any], Tensor] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return (squared gradient norm, standard error) of each module's own parameters, by the module's name.

    Without ``loss``: of a random readout of the output f, (1/(B K)) sum over samples and outputs of |df/dtheta|^2, the
    layer's part of the trace of the neural tangent kernel; unit f^2/theta^2, by ``probes`` random signs. With ``loss``
    (output -> scalar): of that, exactly, with error 0. Bounds: [0, inf). Null: 0 for parameters without effect.
    Frozen parameters are read like others, tied ones under their first name. Raises ``BadInput`` for fewer than two
    probes, an output without a floating tensor or without entries, and what the model refuses.
    """
    if loss is None:
        probes = whole(2, 10**6)("probes", probes)  # at least 2, so that they have a spread
    module_of(module)
    own = {name: p.detach().requires_grad_() for name, p in module.named_parameters() if p.is_floating_point()}
    with passage(module, batch, (), parameters=own) as found:
        out = tensor_of(found.output)
        if out is not None and out.numel() == 0:
            raise BadInput(f"the model's output has shape {tuple(out.shape)}: give a batch of at least one sample.")
        end = loss(found.output) if loss is not None else out
        if end is None or not end.requires_grad:
            raise BadInput("the model's output has no floating tensor that depends on its parameters.")
        rows = []
        for _ in range(1 if loss is not None else probes):
            v = torch.ones_like(end) if loss is not None else signs(end, generator)
            grads = torch.autograd.grad(end, list(own.values()), v, retain_graph=True, allow_unused=True)
            scale = 1 if loss is not None else end.numel()
            rows.append([0.0 if g is None else float(g.double().square().sum()) / scale for g in grads])
    return _by_module(list(own), np.asarray(rows))


def _by_module(names: Sequence[str], rows: Any) -> dict[str, tuple[float, float]]:
    """Sum the squared norms (probes, parameters) over the parameters of each module."""
    summed: dict[str, Any] = {}
    for name, column in zip(names, rows.T, strict=True):
        owner = name.rpartition(".")[0]
        summed[owner] = summed.get(owner, 0) + column
    n = len(rows)
    return {
        name: (float(column.mean()), float(column.std(ddof=1) / n**0.5) if n > 1 else 0.0)
        for name, column in summed.items()
    }
