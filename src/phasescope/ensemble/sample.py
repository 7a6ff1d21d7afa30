"""What the data of a member look like: what members must share to be trained side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.vocabulary import Array, BadInput, Draw


@dataclass(frozen=True)
class Sample:
    """What a member's data look like: ``rows`` in all and ``train``, whether targets are ``real``, the ``first`` few.

    ``first`` (n, ...) are up to three training inputs, ``answers`` their labels or targets; ``endless`` where every
    step has fresh data; ``even`` where all training samples count the same.
    """

    rows: int
    train: int
    real: bool
    endless: bool
    first: Array
    answers: Array
    even: bool = False

    @property
    def positions(self) -> bool:
        """Whether the labels are those of the positions of sequences."""
        return self.answers.ndim == 2 and not self.real

    @property
    def shape(self) -> tuple[Any, ...]:
        """What members must share to be trained side by side."""
        parts = (self.rows, self.train, self.real, self.endless, self.even)
        return (*parts, self.first.shape[1:], self.first.dtype.str, self.answers.shape[1:])


def check_float32(draw: Draw, name: str) -> None:
    """Raise ``BadInput`` for numbers that are finite, but not in the precision of training."""
    for what in ("inputs", "labels"):
        values = getattr(draw, what)
        with np.errstate(over="ignore"):
            wide = values.dtype == np.float64 and not np.isfinite(values.astype(np.float32)).all()
        if wide:
            raise BadInput(
                f"the {what} of {name!r} reach {np.abs(values).max():.3g}, more than float32 can hold: scale them, or "
                'give the recipe dtype="float64".'
            )
    weights = draw.weights[draw.train].astype(np.float32)
    if not np.isfinite(weights.sum()) or not weights.max() >= np.finfo(np.float32).tiny:
        raise BadInput(
            f"the weights of {name!r} on training rows are too large or too small for float32: give them mean 1."
        )


def gathered(data: Tensor, index: Tensor) -> Tensor:
    """Return the rows ``index`` (..., B, n) of members' data (B, N, ...): ``data[members, index]``, but row by row."""
    if data.stride(0) == 0:  # the same for all members
        flat = data[0]
    else:
        index = index + len(data[0]) * torch.arange(len(data), device=data.device)[:, None]
        flat = data.reshape(-1, *data.shape[2:])
    return flat.index_select(0, index.reshape(-1)).view(*index.shape, *data.shape[2:])
