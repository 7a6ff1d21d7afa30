"""How a network learns, and settings in general: frozen numbers that are checked when they are made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from phasescope.checks import BadInput, nearest, plain, shown

MOST_STEPS = 10**9
HELD = {name: (float(np.finfo(name).tiny), float(np.finfo(name).max)) for name in ("float32", "float64")}
Positive = Annotated[FiniteFloat, Field(gt=0)]
Fraction = Annotated[FiniteFloat, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Frozen, validated numbers; anything out of range raises ``BadInput`` with one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**{name: plain(value) for name, value in values.items()})
        except ValidationError as error:
            raise BadInput(_sentence(error.errors()[0], list(type(self).model_fields))) from None


def _sentence(error: Any, known: list[str]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no setting {name!r}{nearest(name, known)}"
    return f"{name} is {shown(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}."


class Recipe(Settings):
    """How a network learns. Any number but those named last may differ per member, as an axis of the grid.

    Weight decay is decoupled (``theta *= 1 - lr * weight_decay``) except for ``adam``, where it is torch's L2 term in
    the gradient. ``batch=None`` is full batch, and so is a batch larger than the training set. MSE is the mean over
    samples and outputs of one-hot targets. Training accuracy ``level`` is *memorized*, test accuracy ``level`` is
    *generalized*. A generalized member leaves the batch at ``overtime`` times the steps it needed, a memorized one at
    ``patience`` times. ``records`` steps are recorded from ``first_record`` to ``steps``, with equal ratios or, for
    ``spacing="linear"``, equal distances, and step 0. Raises ``BadInput`` for numbers out of range, and for those that
    ``dtype`` can not hold: in float32 an ``eps`` of 1e-300 would be 0. ``steps``, ``records``, ``first_record``,
    ``spacing`` and ``dtype`` are one for all members.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Positive = 0.01
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    momentum: Fraction = 0.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    eps: Positive = 1e-8
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 1000
    batch: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    loss: Literal["mse", "cross_entropy"] = "mse"
    records: Annotated[int, Field(ge=2, le=10_000)] = 60
    first_record: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 1
    spacing: Literal["log", "linear"] = "log"
    level: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.99
    overtime: Annotated[float, Field(ge=1)] = float("inf")
    patience: Annotated[float, Field(ge=1)] = float("inf")
    dtype: Literal["float32", "float64"] = "float32"

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            if isinstance(plain(value), bool):
                raise BadInput(f"{name} is {value}: give a number or a word; no part of a recipe is true or false.")
        super().__init__(**values)
        low, high = HELD[self.dtype]
        for name in ("lr", "weight_decay", "eps"):
            value = getattr(self, name)
            # a weight decay too small to be held is no weight decay, but nothing learns at lr 0, and 0 / eps is NaN
            if value > high or (value < low and name != "weight_decay"):
                raise BadInput(f"{name} is {value:g}: {self.dtype} holds {low:.2g} to {high:.2g}; give another.")
        for name in ("momentum", "beta1", "beta2"):
            if np.dtype(self.dtype).type(getattr(self, name)) == 1:
                raise BadInput(f"{name} is {getattr(self, name)!r}, which is 1 in {self.dtype}: give a smaller one.")
