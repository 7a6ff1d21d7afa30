"""How a network learns, and settings in general: frozen numbers that are checked when they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PlainSerializer, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from phasescope.checks import BadInput, nearest, plain, shown
from phasescope.notebooks import facts

MOST_STEPS = 10**9
HELD = {name: (float(np.finfo(name).tiny), float(np.finfo(name).max)) for name in ("float32", "float64")}
OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw", "rmsprop", "lion", "muon")
Positive = Annotated[FiniteFloat, Field(gt=0)]
Fraction = Annotated[FiniteFloat, Field(ge=0, lt=1)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Limit = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=0, le=MOST_STEPS)]


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
    if error["type"] in ("tuple_type", "list_type"):
        return f"{name} is {shown(error['input'])}: give a list of values, such as [1, 2]."
    return f"{name} is {shown(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}."


def _word_or_function(takes: str, *words: str) -> tuple[PlainValidator, PlainSerializer]:
    """Return how a setting is read that is one of ``words``, or one's own function of what ``takes`` says."""

    def read(value: Any) -> Any:
        if (isinstance(value, str) and value in words) or (callable(value) and not isinstance(value, type)):
            return value
        known = f"Choose {', '.join(words)}, or give a function of {takes}"
        raise PydanticCustomError("word_or_function", "{known}", {"known": known})

    return PlainValidator(read), PlainSerializer(named, when_used="json")


def named(value: Any) -> str:
    """Return a word as it is, and a function by its own name: what it does is told by a fingerprint, beside the job."""
    if isinstance(value, str):
        return value
    return str(getattr(value, "__qualname__", type(value).__qualname__))


class Recipe(Settings):
    """How a network learns. Any number but those named last may differ per member, as an axis of the grid.

    Weight decay is decoupled (``theta *= 1 - lr * weight_decay``) except for ``adam``, where it is torch's L2 term in
    the gradient; ``decayed`` says of which parameters: all, those with two axes or more ("matrices": no biases, no
    norms), or as ``decayed(name, shape)`` says, which returns a factor. ``batch=None`` is full batch, and so is a batch
    larger than the training set. MSE is the mean over samples and outputs of one-hot targets; ``label_smoothing`` is
    torch's, for cross-entropy.

    Step k = 1, 2, ... has the rate ``lr`` times its schedule's factor: with ``warmup`` w, k / w up to step w; then, t
    = (k - w - 1) / (steps - w), 1 (constant), 1 - (1 - lr_floor) t (linear), lr_floor + (1 - lr_floor)
    (1 + cos pi t) / 2 (cosine), ``drop_factor`` to the number of whole ``drop_every`` (step), or ``schedule(k)``.
    Gradients are cut to +-``clip_value``, then scaled to the norm ``clip_norm`` over all parameters where it is larger.

    ``nesterov`` is sgd with Nesterov's momentum, ``rmsprop`` torch's with ``beta2`` for its alpha, ``lion`` Chen et al.
    2023. ``muon`` (Jordan et al. 2024) is for matrices; all other parameters follow adamw at ``lr * lr_others``, by
    default in the ratio of the author's two rates. With ``sam`` > 0, every gradient is taken that far uphill of the
    weights (Foret et al. 2020), whatever the optimizer. With ``average`` b > 0, an average of the weights begins with
    the first ones and becomes b times itself plus 1 - b times the weights after every step; instruments read it beside
    the weights, as ``average.<name>``, and it stands beside the final weights as ``final.average.<name>``. Mini-batches
    are cut from permutations laid end to end, or of rows that are drawn with replacement (``sampling``).

    One's own functions: ``loss(outputs, targets)``, ``optimizer(parameters, gradients, state, step, lr)`` and
    ``stop(steps, readings)``; what they take and give is in ``docs/recipes.md``, and checked on one step.

    Training accuracy ``level`` is *memorized*, test accuracy ``level`` is *generalized*. A generalized member leaves
    the batch at ``overtime`` times the steps it needed, a memorized one at ``patience`` times, and any member once
    ``stop`` says so of what was read of it. ``records`` steps are recorded from ``first_record`` to ``steps``, with
    equal ratios or, for ``spacing="linear"``, equal distances, and step 0. Raises ``BadInput`` for numbers out of
    range, and for those that ``dtype`` can not hold: in float32 an ``eps`` of 1e-300 would be 0. ``steps``,
    ``records``, ``first_record``, ``spacing`` and ``dtype`` are one for all members.
    """

    optimizer: Annotated[
        Literal["sgd", "nesterov", "adam", "adamw", "rmsprop", "lion", "muon"] | Callable[..., Any],
        *_word_or_function("(parameters, gradients, state, step, lr)", *OPTIMIZERS),
    ] = "adamw"
    lr: Positive = 0.01
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    decayed: Annotated[
        Literal["all", "matrices"] | Callable[[str, tuple[int, ...]], float],
        *_word_or_function("(name, shape)", "all", "matrices"),
    ] = "all"
    momentum: Fraction = 0.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    eps: Positive = 1e-8
    lr_others: Positive = 0.015
    sam: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    average: Fraction = 0.0
    schedule: Annotated[
        Literal["constant", "linear", "cosine", "step"] | Callable[[int], float],
        *_word_or_function("(step)", "constant", "linear", "cosine", "step"),
    ] = "constant"
    warmup: Steps = 0
    lr_floor: Share = 0.0
    drop_every: Steps = 0
    drop_factor: Share = 0.1
    clip_norm: Limit = float("inf")
    clip_value: Limit = float("inf")
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 1000
    batch: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    sampling: Literal["epochs", "replacement"] = "epochs"
    loss: Annotated[
        Literal["mse", "cross_entropy"] | Callable[[Any, Any], Any],
        *_word_or_function("(outputs, targets)", "mse", "cross_entropy"),
    ] = "mse"
    label_smoothing: Share = 0.0
    records: Annotated[int, Field(ge=2, le=10_000)] = 60
    first_record: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 1
    spacing: Literal["log", "linear"] = "log"
    level: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.99
    overtime: Annotated[float, Field(ge=1)] = float("inf")
    patience: Annotated[float, Field(ge=1)] = float("inf")
    stop: Annotated[
        Literal["never"] | Callable[[Any, Any], Any],
        *_word_or_function("(steps, readings)", "never"),
    ] = "never"
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
        for name in ("momentum", "beta1", "beta2", "average"):
            if np.dtype(self.dtype).type(getattr(self, name)) == 1:
                raise BadInput(f"{name} is {getattr(self, name)!r}, which is 1 in {self.dtype}: give a smaller one.")
        self._check_together()

    def _check_together(self) -> None:
        """Raise ``BadInput`` for numbers that do nothing, or nothing that can be told, beside the others."""
        if self.schedule == "step" and not self.drop_every:
            raise BadInput("drop_every is 0, and schedule is 'step': give the steps after which the rate drops.")
        if self.label_smoothing and self.loss != "cross_entropy":
            raise BadInput(
                f"label_smoothing is {self.label_smoothing:g}, and loss is {named(self.loss)!r}: it is for "
                "cross_entropy; leave it at 0."
            )

    def _repr_html_(self) -> str:
        usual = type(self)()
        chosen = [(name, named(v) if callable(v) else str(v)) for name, v in self if v != getattr(usual, name)]
        first = [name for name in ("optimizer", "lr", "steps", "loss") if name not in dict(chosen)]
        core = [(name, str(getattr(self, name))) for name in first]
        return facts("Recipe (what is not named is as usual)", [*core, *chosen])

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """One's own functions among the settings, by name."""
        return {name: value for name, value in self if callable(value)}
