"""Pruning: what a network still answers without a fraction of its neurons, taken out in the order of a score.

Doshi et al. 2023, arXiv:2310.13061, Sec. 2.1 and Fig. 6, take out neurons by their participation ratio and see
memorization and understanding go one after the other. To take a neuron out is to set all its weights to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from phasescope.checks import number, sequence, shown, word
from phasescope.instruments.fourier import participation
from phasescope.instruments.logits import answered, mean_over, no_classes, right
from phasescope.vocabulary import BadInput, Instrument, Reading, Subject

__all__ = ["pruning"]

Order = Literal["lowest", "highest", "random"]
ACCURACIES = ("train", "test", "corrupted", "uncorrupted")
SHARES = tuple(round(0.05 * i, 2) for i in range(21))
TWO_LAYER: Mapping[str, int] = {"embed": -1, "readout": -1}


def pruning(
    score: Instrument = participation,
    *,
    order: Order = "lowest",
    shares: Sequence[float] = SHARES,
    neurons: Mapping[str, int] = TWO_LAYER,
    name: str = "",
) -> Instrument:
    """Return the instrument that reads four accuracies after taking out the first ``shares`` of the neurons.

    ``score`` reads one number per neuron; neurons go in ``order`` of it, the lowest or the highest first (NaN counts as
    lowest). ``"random"`` looks at no score: it takes neurons by their place, which is as good as any shuffle because
    neurons are alike when they are drawn (not so for weights that were written down in some order). ``neurons`` names
    the parameters that belong to neurons and the axis along which they lie, counted from the end. A share s of H
    neurons is round(s H) of them. The reading has dims ``accuracy`` (train, test, corrupted, uncorrupted) and
    ``pruned`` (the shares). Two instruments of one order and score but other ``neurons`` need a ``name`` each.

    With batch normalization after the activation a neuron whose readout weights are zero adds nothing either.
    Raises ``BadInput`` for an unknown order, shares outside [0, 1] and a score that is not one number per neuron.
    """
    word(*get_args(Order))("order", order)
    shares = [number(0, 1)("a share", share) for share in sequence("shares", shares, 10_000)]
    if shares != sorted(set(shares)):
        raise BadInput(f"shares is {shown(shares)}: give numbers from 0 to 1, each larger than the one before.")
    neurons = axes_of(neurons)
    if not isinstance(score, Instrument):
        raise BadInput(f"score is {shown(score)}: give an instrument that reads one number per neuron.")
    if order != "random" and score.dims != ("neuron",):
        raise BadInput(f"{score.name} reads {score.dims or 'one number'}: pruning needs a score with dims ('neuron',).")

    def measure(s: Subject) -> Reading:
        last_in = _places(s, score, order, neurons)
        count = last_in.shape[-1]
        readings = [_accuracies(s, _without(s, last_in >= round(share * count), neurons)) for share in shares]
        valid = torch.stack([r.valid for r in readings if r.valid is not None], -1)
        return Reading(torch.stack([r.value for r in readings], -1), valid=valid)

    by = "" if order == "random" else f"_{score.name}"
    return Instrument(
        name or f"pruned_{order}{by}", measure, "1",
        f"accuracies after taking out neurons, {order} {score.name if by else 'order'} first; Doshi et al. 2023, "
        "arXiv:2310.13061, Sec. 2.1, Fig. 6", "forward", (0.0, 1.0), "1/K where all are out", ("accuracy", "pruned"),
        ("sample permutation",) if order == "random" else ("neuron permutation", "sample permutation"),
        coords={"accuracy": ACCURACIES, "pruned": tuple(float(share) for share in shares)},
    )  # fmt: skip


def axes_of(neurons: Mapping[str, int]) -> Mapping[str, int]:
    """Return ``neurons``: parameter name -> the axis of its neurons. Raises ``BadInput`` for anything else."""
    pairs = neurons.items() if isinstance(neurons, Mapping) else ()
    if not pairs or not all(isinstance(name, str) and type(axis) is int for name, axis in pairs):
        raise BadInput(f"neurons is {shown(neurons)}: name the parameters of a layer's neurons with the axis of each.")
    return neurons


def _places(s: Subject, score: Instrument, order: Order, neurons: Mapping[str, int]) -> Tensor:
    """Return each neuron's place (B, H) in the order of removal, 0 first."""
    missing = [name for name in neurons if name not in s.parameters]
    if missing:
        raise BadInput(
            f"the network has parameters {', '.join(s.parameters)}, none called {missing[0]!r}: "
            "say with neurons= where its neurons lie."
        )
    if order == "random":
        name, axis = next(iter(neurons.items()))
        weights = s.parameters[name]
        return torch.arange(weights.shape[axis], device=weights.device).expand(len(weights), -1)
    reading = score(s)
    value = reading.value if reading.valid is None else reading.value.masked_fill(~reading.valid, torch.nan)
    value = torch.nan_to_num(value, nan=-torch.inf)
    # stable in both directions: ties go in the order of place
    return (value if order == "lowest" else -value).argsort(dim=-1, stable=True).argsort(dim=-1)


def _without(s: Subject, kept: Tensor, neurons: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the parameters with the weights of all neurons set to zero that are not ``kept`` (B, H)."""
    found = dict(s.parameters)
    for name, axis in neurons.items():
        weights = s.parameters[name]
        shape = [1] * weights.ndim
        shape[0], shape[axis] = kept.shape
        found[name] = torch.where(kept.reshape(shape), weights, 0)  # also of weights that are not finite
    return found


def _accuracies(s: Subject, parameters: Mapping[str, Tensor]) -> Reading:
    masks = (s.train, s.test, s.train & s.corrupted, s.train & ~s.corrupted)
    if (nothing := no_classes(s)) is not None:
        found = [nothing] * len(masks)
    else:
        answers = right(s, s.labels, s.answers(parameters))
        found = [answered(mean_over(answers, mask, s.weights)) for mask in masks]
    valid = [reading.valid for reading in found if reading.valid is not None]
    return Reading(torch.stack([reading.value for reading in found], -1), valid=torch.stack(valid, -1))
