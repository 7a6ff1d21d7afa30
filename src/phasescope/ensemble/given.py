"""Weights that were given with a network, and would be lost: a given network is drawn anew for every seed."""

from __future__ import annotations

import math

import torch
from scipy.stats import ks_2samp
from torch import Tensor, nn

from phasescope.ensemble.streams import initialized
from phasescope.vocabulary import BadInput, Drawn

LEAST, MOST = 64, 100_000  # how many fresh draws of a parameter are looked at, at least; of how many of its numbers
MEND = (
    "Give a function of the member instead, lambda member: Net(...): its networks keep the weights that they come with."
)


def check_given(module: nn.Module, *, several: bool) -> None:
    """Raise ``BadInput`` where training a given network would silently begin from other weights than a user thinks.

    That is where it comes with weights which its ``reset_parameters`` would not draw (pretrained, scaled, set to zero),
    and, where there are ``several`` seeds, where random weights are not drawn by any: all seeds would share them. What
    a ``Drawn`` network does is said by its ``initialize``.
    """
    if isinstance(module, Drawn):
        return
    learnt = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad and p.numel()}
    if not learnt or any(p.is_meta or p.is_complex() for p in learnt.values()):  # the door for networks says so
        return
    smallest = min(p.numel() for p in learnt.values())
    times = max(4, math.ceil(LEAST / smallest))
    draws = [dict(initialized(module, seed).named_parameters()) for seed in range(times)]
    for name, own in learnt.items():
        fresh = torch.stack([draw[name].detach() for draw in draws])
        drawn = not torch.allclose(fresh, fresh[:1].expand_as(fresh), 0, 0, equal_nan=True)
        if _unlike(own, fresh) if drawn else not torch.allclose(own, fresh[0], 0, 0, equal_nan=True):
            raise BadInput(
                f"{name} of {type(module).__name__} comes with weights (root mean square {_size(own):.3g}) that its "
                f"reset_parameters does not draw ({_size(fresh):.3g}), and a given network is drawn anew for each "
                f"seed. {MEND}"
            )
        if several and not drawn and bool((own != own.flatten()[0]).any()):
            raise BadInput(
                f"{name} of {type(module).__name__} is drawn by no reset_parameters, so that all seeds would begin "
                f"with the same weights. {MEND}"
            )


def _unlike(own: Tensor, fresh: Tensor) -> bool:
    """Return whether weights can not be one more of the draws ``fresh``: by chance in fewer than one in a million."""
    count = own.numel()
    one, pool = (x.double().flatten()[:: max(1, x.numel() // MOST)] for x in (own, fresh))
    zeros = [float((x == 0).double().mean()) for x in (one, pool)]
    if zeros[0] > zeros[1] + 0.01 and int((one == 0).sum()) > (0 if count <= 10 else 1):
        return True
    if float(one.abs().max()) > 3 * float(pool.abs().max()) or not bool(one.isfinite().all()):
        return True
    if count >= 16 and abs(math.log(max(_size(own), 1e-300) / max(_size(fresh), 1e-300))) > 6 / math.sqrt(count):
        return True
    return count >= LEAST and float(ks_2samp(one, pool).pvalue) < 1e-10


def _size(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())
