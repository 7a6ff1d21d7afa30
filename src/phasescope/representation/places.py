"""What every place of a module answers to a batch, as clouds of points: one row per sample, or per token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.inspection.batches import fitted
from phasescope.inspection.blocks import find
from phasescope.instruments.calls import usable
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.given_back import module_of
from phasescope.instruments.graph import checked_names
from phasescope.vocabulary import Array, BadInput, nearest

By = Literal["sample", "token"]
MASK = "attention_mask"


def layers_of(
    module: nn.Module, batch: Any, *, places: Sequence[str] | None = None, by: By = "sample", most: int | None = None
) -> Iterator[tuple[str, Array]]:
    """Yield name and rows (N, D) of each place of ``module``, in the order of the signal, from one forward pass.

    ``places``: names of modules, found as ``ps.inspect`` finds blocks if None; the input of the first comes first.
    ``by`` "sample": one row per sample, the mean over its tokens or its image's positions; "token": one row per token
    or position, without each sequence's first token, whose norm is often hundreds of times that of others. Tokens that
    an ``attention_mask`` hides count for neither. At most ``most`` rows, evenly spaced, the same ones at each place.
    Float32 (float64 stays). The module is given back as it was. Raises what ``ps.inspect`` raises.
    """
    if by not in ("sample", "token"):
        raise BadInput(f"by is {by!r}{nearest(str(by), ('sample', 'token'))}")
    batch = fitted(usable(batch), module_of(module))
    found = find(module, batch, None if places is None else checked_names(module, places))
    mask = batch.get(MASK) if isinstance(batch, Mapping) else None
    for number, part in enumerate(found.parts):
        with torch.no_grad(), passage(module, batch, part) as way:
            for name in list(way.names):
                value = way.values.pop(name).detach()
                label = f"{name} of part {number + 1}" if number else name
                yield label, _thinned(_rows(value, mask, by), most)


def _rows(value: Tensor, mask: Any, by: By) -> Array:
    """Return the rows of a place's value (B, ...): its features are the last axis, or of images mostly the second."""
    value = value.double() if value.dtype == torch.float64 else value.float()
    if value.ndim < 3:
        return np.asarray(value.reshape(len(value), -1).cpu())
    images = value.ndim > 3
    # images are (B, C, H, W), unless the two axes after the samples are the equal ones
    first = images and not (value.shape[1] == value.shape[2] != value.shape[-1])
    places = value.flatten(2).transpose(1, 2) if first else value.flatten(1, -2)
    known = isinstance(mask, Tensor) and mask.shape == places.shape[:2]
    seen = mask.to(places.device).bool() if known else torch.ones(places.shape[:2], dtype=torch.bool)
    if by == "token":
        if not images and places.shape[1] > 1:
            begin = seen.int().argmax(1)  # the first token that is no padding
            seen = seen.clone()
            seen[torch.arange(len(seen)), begin] = False
        return np.asarray(places[seen].cpu())
    weights = seen.to(places.dtype).to(places.device)[..., None]
    return np.asarray(((places * weights).sum(1) / weights.sum(1).clamp(min=1)).cpu())


def _thinned(rows: Array, most: int | None) -> Array:
    if most is None or len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]
