"""Sizes of weights and gradients, and of the weights that batch normalization gives to neurons."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from phasescope.directions import unit
from phasescope.instruments.fourier import participation
from phasescope.vocabulary import Instrument, Reading, Subject

__all__ = ["gradient_norm", "norm_correlation", "norm_scale", "weight_norm"]


def _norm(s: Subject, tensors: Iterable[Tensor]) -> Reading:
    parts = [value.double().reshape(len(value), -1) for value in tensors if value.numel()]
    if not parts:
        return Reading(torch.zeros(len(s.train), dtype=torch.float64, device=s.train.device))
    squares = torch.stack([part.square().sum(1) for part in parts]).sum(0)
    beyond = (squares < 1e-200) | (squares > 1e200)
    if not bool(beyond.any()):
        return Reading(squares.sqrt())
    # squares left the floats, or nearly so: again, with the largest entry taken out
    largest = torch.stack([part.abs().amax(1) for part in parts]).amax(0)
    scale = torch.where(beyond & largest.isfinite() & (largest > 0), largest, 1.0)
    return Reading(scale * torch.stack([(part / scale[:, None]).square().sum(1) for part in parts]).sum(0).sqrt())


weight_norm = Instrument(
    "weight_norm", lambda s: _norm(s, s.parameters.values()), "1", "Euclidean norm of all parameters together",
    "weights", (0.0, float("inf")), "its value at initialization", (), ("neuron permutation",),
)  # fmt: skip
gradient_norm = Instrument(
    "gradient_norm", lambda s: _norm(s, s.gradients().values()), "loss",
    "Euclidean norm of the training loss's gradient", "backward", (0.0, float("inf")), "0 at a stationary point", (),
    ("neuron permutation", "sample permutation"),
)  # fmt: skip


def _norm_scale(s: Subject) -> Reading:
    if "norm.weight" in s.parameters:
        return Reading(s.parameters["norm.weight"].double().abs())
    nothing = participation(s).value
    return Reading(torch.full_like(nothing, torch.nan), valid=torch.zeros_like(nothing, dtype=torch.bool))


def _norm_correlation(s: Subject) -> Reading:
    ratio, scale = participation(s), _norm_scale(s)
    both = torch.isfinite(ratio.value) & torch.isfinite(scale.value)
    x, y = (torch.where(both, v.value, 0.0) for v in (ratio, scale))
    count = both.sum(-1, keepdim=True)
    x, y = (torch.where(both, v - v.sum(-1, keepdim=True) / count, 0.0) for v in (x, y))
    x, y = unit(x), unit(y)
    return Reading((x * y).sum(-1).clamp(-1, 1), valid=(x != 0).any(-1) & (y != 0).any(-1))


norm_scale = Instrument(
    "norm_scale", _norm_scale, "1",
    "|gamma_k|, the size of the weight that batch normalization gives to neuron k; Doshi et al. 2023, "
    "arXiv:2310.13061, Eq. 5, Fig. 5", "weights", (0.0, float("inf")), "1, its value at initialization", ("neuron",),
    ("neuron permutation",),
)  # fmt: skip
norm_correlation = Instrument(
    "norm_correlation", _norm_correlation, "1",
    "correlation over neurons of |gamma_k| with the participation ratio; Doshi et al. 2023, arXiv:2310.13061, Fig. 5",
    "weights", (-1.0, 1.0), "0 for independent weights, none before training", (), ("neuron permutation",),
)  # fmt: skip
