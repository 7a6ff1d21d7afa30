"""What a network still answers without its smallest weights: magnitude pruning, all layers ranked together.

To take a weight out is to set it to zero; nothing is trained again. ``neuron_pruning`` takes out whole neurons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasescope.checks import number, sequence, shown
from phasescope.instruments.calls import batch_of, refusing
from phasescope.instruments.given_back import module_of
from phasescope.instruments.neighbours import Points
from phasescope.vocabulary import Array, BadInput

__all__ = ["Prunability", "prunability", "without_smallest"]

SHARES = tuple(round(0.02 * k, 2) for k in range(51))


@dataclass(frozen=True)
class Prunability:
    """The largest of ``shares`` up to which all ``accuracies`` (shares,) are within the tolerance of the first."""

    value: float
    shares: Array
    accuracies: Array


def without_smallest(parameters: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return matrices without the ``share`` of their entries that is smallest by size, ranked over all of them.

    Tensors with fewer than two axes (biases, scales) stay as they are, and are not counted. The number taken out is
    rounded down; of equal entries the first go first.
    """
    share = number(0, 1)("share", share)
    ranked = [name for name, p in parameters.items() if p.ndim > 1]
    if not ranked:
        raise BadInput(f"parameters are {shown(list(parameters))}: none has two axes or more, so none is pruned.")
    sizes = torch.cat([parameters[name].detach().abs().flatten() for name in ranked])
    gone = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    gone[torch.sort(sizes, stable=True).indices[: int(share * len(sizes) + 1e-9)]] = True
    parts = torch.split(gone, [parameters[name].numel() for name in ranked])
    masks = {name: part.view_as(parameters[name]) for name, part in zip(ranked, parts, strict=True)}
    return {name: p.masked_fill(masks[name], 0) if name in masks else p for name, p in parameters.items()}


def prunability(
    module: nn.Module, inputs: Points, labels: Points, *, within: float = 0.01, shares: Sequence[float] = SHARES
) -> Prunability:
    """Return the largest share of weights that can go with an accuracy on (inputs, labels) within ``within``.

    ``shares`` rise, and begin at 0, where nothing is gone; the share counts up to which accuracy falls by ``within`` at
    most at every smaller one of them, so that what recovers by accident does not. Accuracy that rises counts as kept.
    Dimensionless, from 0 to 1. Null value: 1 for a network that answers without its matrices as with them; for
    one whose weights matter alike, the share that random ones may go. Invariant to neurons in another order, and not
    to their scale: two ReLU networks of one function may differ. ``labels`` (N,) are class numbers. The module is given
    back as it was. Raises ``BadInput`` for shares that do not rise from 0, and for labels that do not match.
    """
    within = number(0, 1)("within", within)
    several = [number(0, 1)("a share", share) for share in sequence("shares", shares, 10_000)]
    if several[0] != 0 or any(b <= a for a, b in pairwise(several)):
        raise BadInput(f"shares are {shown(shares)}: give numbers that rise from 0.")
    module = module_of(module)
    x, y = batch_of(module, inputs), torch.as_tensor(np.asarray(labels))
    if len(x) == 0 or y.shape != (len(x),) or y.is_floating_point():
        raise BadInput(f"inputs {tuple(x.shape)} and labels {tuple(y.shape)}: give one class number for each input.")
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise BadInput(f"inputs are {shown(inputs)}: give finite numbers.")
    own = {name: p.detach() for name, p in module.named_parameters()}
    with refusing(module), torch.no_grad():
        answers = functional_call(module, own, (x,))
        if answers.ndim != 2 or not 0 <= int(y.min()) <= int(y.max()) < answers.shape[1]:
            raise BadInput(
                f"outputs have shape {tuple(answers.shape)} and labels go from {int(y.min())} to {int(y.max())}: give "
                "outputs (N, K) and class numbers from 0 to K - 1."
            )
        found = [
            float((functional_call(module, without_smallest(own, share), (x,)).argmax(-1) == y).double().mean())
            for share in several
        ]
    kept = np.array(found) >= found[0] - within - 1e-12
    last = len(kept) if kept.all() else int(np.argmin(kept))
    return Prunability(several[last - 1], np.array(several), np.array(found))
