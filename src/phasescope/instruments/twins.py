"""What the data give away: test inputs that are the same, for the function to be learnt, as training inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.instruments.logits import mean_over
from phasescope.vocabulary import Instrument, Reading, Subject

__all__ = ["twin_share"]


def _groups(inputs: Tensor, truth: Tensor) -> Tensor:
    """Return one label (N,) per sample: equal where each input value is a twin of the other sample's."""
    size = int(inputs.max()) + 1
    table = torch.full((size,) * inputs.shape[1], -1, dtype=torch.int64, device=inputs.device)
    table[tuple(inputs.long().T)] = truth.long()
    total = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
    for place in range(inputs.shape[1]):
        lines = table.movedim(place, 0).flatten(1)
        group = torch.unique(lines, dim=0, return_inverse=True)[1]
        total = total * size + group[inputs[:, place].long()]
    return total


def _twins(s: Subject) -> Reading:
    nothing = torch.full(s.test.shape[:1], torch.nan, dtype=torch.float64, device=s.test.device)
    if s.inputs.is_floating_point() or s.inputs.ndim != 3 or s.truth.ndim != 2:
        return Reading(nothing, valid=torch.zeros_like(nothing, dtype=torch.bool))
    found = []
    for inputs, truth, train in zip(s.inputs, s.truth, s.train, strict=True):
        group = _groups(inputs, truth)
        found.append(torch.isin(group, group[train]))
    return mean_over(torch.stack(found), s.test, s.weights)


twin_share = Instrument(
    "twin_share", _twins, "1",
    "fraction of test samples with a training sample whose inputs are, one by one, interchangeable with theirs: equal "
    "clean labels whatever the other inputs are; derived here for Doshi et al. 2024, arXiv:2406.03495, App. C",
    "weights", (0.0, 1.0), "0 where all rows and all columns of the table differ", (),
    ("neuron permutation", "weight scale", "sample permutation"),
)  # fmt: skip
