"""Sizes of weights and gradients."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from phasescope.vocabulary import Instrument, Reading


def _norm(tensors: Iterable[Tensor]) -> Reading:
    squares = [value.double().square().flatten(1).sum(1) for value in tensors]
    return Reading(torch.stack(squares).sum(0).sqrt())


weight_norm = Instrument(
    "weight_norm", lambda s: _norm(s.parameters.values()), "1", "Euclidean norm of all parameters together",
    "weights", (0.0, float("inf")), "its value at initialization", (), ("neuron permutation",),
)  # fmt: skip
gradient_norm = Instrument(
    "gradient_norm", lambda s: _norm(s.gradients().values()), "loss", "Euclidean norm of the training loss's gradient",
    "backward", (0.0, float("inf")), "0 at a stationary point", (), ("neuron permutation", "sample permutation"),
)  # fmt: skip
