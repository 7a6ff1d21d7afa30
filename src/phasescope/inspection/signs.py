"""What a forecast is made of: a few numbers of an untrained network, in the units in which the record has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble.streams import streams
from phasescope.inspection.forecast import Forecast, beyond, forecast, unread
from phasescope.inspection.readings import Inspection
from phasescope.instruments.calls import tensor_of
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import signs
from phasescope.vocabulary import BadInput

SIGNS: Mapping[str, str] = {
    "grows": "log(1 + log J) over the depth where J is above 1, else 0",
    "shrinks": "log(1 - log J) over the depth where J is below 1, else 0",
    "kernel": "log10 of the kernel at the end",
    "cosine": "mean cosine of the samples at the end",
    "alike": "-log10(1 - cosine), at most 6",
    "dead": "largest share of dead units of a block, 0 where none was seen",
    "normalized": "1 where a module normalizes, else 0",
    "skip": "median of |skip| over the blocks, at most 1.5",
    "depth": "log2 of the number of blocks",
    "tangent": "log10 of the mean of the tangent kernel over pairs of samples and over outputs",
    "output": "log10 of the mean square of the outputs",
    "shared": "what pairs of different samples have of a sample's own tangent kernel, on average",
}
"""The signs of a network by name, and what each is."""
MOST_LOG = 400.0


@dataclass(frozen=True)
class Tangent:
    """The tangent kernel's mean over all ``pairs`` of samples and over each sample with itself (``own``); ``output``:
    the mean square of the outputs."""

    pairs: float = math.nan
    own: float = math.nan
    output: float = math.nan


def signs_of(read: Inspection, normalized: bool, tangent: Tangent) -> dict[str, float]:
    """Return the ``SIGNS`` of what was ``read``, with the ``tangent`` of ``tangent_of``; NaN where there is no reading.

    A network without any activation module of torch's has no dead units to count: 0.
    """
    log = float(np.clip(read.relative, -MOST_LOG, MOST_LOG))
    last = read.rows[-1]
    dead = [row.dead for row in read.rows if not math.isnan(row.dead)]
    skips = [abs(row.skip) for row in read.rows if not math.isnan(row.skip)]
    return {
        "grows": math.log1p(max(log, 0.0)),
        "shrinks": math.log1p(max(-log, 0.0)),
        "kernel": _log10(last.kernel),
        "cosine": last.cosine,
        "alike": math.nan if math.isnan(last.cosine) else -math.log10(max(1 - last.cosine, 1e-6)),
        "dead": max(dead, default=0.0),
        "normalized": float(normalized),
        "skip": min(float(np.median(skips)), 1.5) if skips else math.nan,
        "depth": math.log2(read.depth) if read.depth else math.nan,
        "tangent": _log10(tangent.pairs),
        "output": _log10(tangent.output),
        "shared": tangent.pairs / tangent.own if tangent.own > 0 else math.nan,
    }


def _log10(value: float) -> float:
    return math.log10(min(max(value, 1e-30), 1e30)) if math.isfinite(value) else math.nan


def normalizes(module: nn.Module) -> bool:
    """Say whether a module normalizes: by its class's name, so that RMS norms of other libraries count.

    >>> normalizes(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))), normalizes(nn.Linear(2, 2))
    (True, False)
    """
    return any("norm" in type(part).__name__.lower() for part in module.modules())


def tangent_of(module: nn.Module, batch: Any, generator: np.random.Generator, probes: int = 4) -> Tangent:
    """Return the means of the tangent kernel over pairs of samples and over samples, and the size of the output.

    Theta(x, x') = (1/K) sum over outputs and parameters of df_k(x)/dtheta df_k(x')/dtheta, in the output's unit squared
    per a parameter's squared, each estimated from ``probes`` vectors of random signs: one for all samples, and one for
    each. The first is the largest curvature that a mean loss has along the outputs, so that 2 over it bounds a stable
    rate of gradient descent (Jacot et al. 2018, arXiv:1806.07572; Xiao et al. 2020, arXiv:1912.13053, Sec. 3). All
    parameters count, frozen ones too. The model is left as it was. NaN where the output has no tensor, or no gradient.
    """
    own = {name: p.detach().requires_grad_() for name, p in module.named_parameters() if p.is_floating_point()}
    with passage(module, batch, (), parameters=own) as found:
        out = tensor_of(found.output)
        if out is None or out.dim() == 0 or out.numel() == 0 or not out.requires_grad:
            return Tangent()
        each = out.numel() // len(out)
        both = []
        for shared in (True, False):
            sizes = [_squared(out, own, generator, shared) for _ in range(probes)]
            both.append(float(np.mean(sizes)))
        size = float(out.detach().double().square().mean())
    return Tangent(both[0] / (len(out) ** 2 * each), both[1] / (len(out) * each), size)


def _squared(out: Tensor, own: Mapping[str, Tensor], generator: np.random.Generator, shared: bool) -> float:
    v = signs(out[:1], generator).expand_as(out) if shared else signs(out, generator)
    grads = torch.autograd.grad(out, list(own.values()), v, retain_graph=True, allow_unused=True)
    return float(sum(g.double().square().sum() for g in grads if g is not None))


def foretold(read: Inspection, module: nn.Module, batch: Any) -> Forecast:
    """Return what to expect of a training of ``module``, of which ``read`` was read on ``batch``.

    Of models with several streams, and of such as are a hundred times as large as any of the record, nothing is said.
    """
    if read.parts:
        return unread("a single stream of blocks")
    if beyond(read.parameters):
        return unread(f"networks as large as this one ({read.parameters:,} parameters) in the record")
    try:
        tangent = tangent_of(module, batch, streams(read.seed)("tangent"), max(read.probes // 2, 2))
    except (BadInput, RuntimeError):  # it has no gradients of its weights: the forecast says which reading is missing
        tangent = Tangent()
    return forecast(signs_of(read, normalizes(module), tangent), read.parameters)
