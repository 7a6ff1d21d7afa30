"""What a careful reader would ask of a run before its numbers are believed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from phasescope.checks import shown
from phasescope.ensemble.results import last
from phasescope.vocabulary import BadInput, Fate, Recipe

RESOLVED = {"float32": 2.0**-24, "float64": 2.0**-53}  # beside a 1, what is no larger than this is absorbed
COUNTS = ("step", "last_step", "fate_step")
Found = tuple[Mapping[str, xr.DataArray], str]
NOTHING: Found = ({}, "")


@dataclass(frozen=True)
class Diagnosis:
    """What stands out in a run: ``findings``, a sentence each, and the ``table`` of each member's numbers behind them.

    Its ``str`` is the findings, a line each: nothing where there is nothing to say.
    """

    findings: tuple[str, ...]
    table: xr.Dataset

    def __str__(self) -> str:
        return "\n".join(self.findings)

    def __repr__(self) -> str:
        return str(self) or "nothing stands out"


def diagnosis(data: xr.Dataset, recipe: Recipe | None = None) -> Diagnosis:
    """Return what stands out in ``data``, the dataset that ``train`` returned, as sentences and as a table by member.

    ``recipe`` is the one that it was trained by; without it nothing is said of the edge of stability, nor of softmax
    where ``softmax_collapse`` was not watched. The table has, over the dimensions of the grid and NaN where there is
    nothing,

    - ``diverged_at``, ``left_at``: the steps at which members diverged, and at which settled ones left the batch
    - ``zero_losses``: how many of the readings of the training loss are exactly 0
    - ``accuracy_gap``: training accuracy less test accuracy, at the end
    - ``collapsed``: the largest fraction of training samples whose cross-entropy is exactly 0 in training, since
      softmax absorbs the other classes (Prieto et al. 2025, arXiv:2501.04697), and ``collapsed_from``, the first such
      record. As ``softmax_collapse`` reads it, or else the least that follows from ``train_loss``: a mean loss of m
      leaves at most m / 2^-24 of the samples above what float32 resolves beside 1
    - ``edge``: the largest ``sharpness`` over what full-batch gradient descent is stable at, (1 + momentum) (2 / lr -
      weight_decay), and ``edge_from``, the first record at or above it; 1 is the edge of stability (Cohen et al. 2021,
      arXiv:2103.00065). Only for ``sgd`` without mini-batches, and where ``curvature.sharpness`` was watched

    Raises ``BadInput`` for data that ``train`` did not return.
    """
    known = isinstance(data, xr.Dataset) and "fate" in data.coords and data.sizes.get("step")
    if not known or any(name not in data or data[name].dtype.kind not in "iu" for name in COUNTS):
        raise BadInput(
            f"this {type(data).__name__} has no fates with the steps at which they were settled: give the dataset that "
            "ps.train returned, or members of it."
        )
    if recipe is not None and not isinstance(recipe, Recipe):
        raise BadInput(f"recipe is {shown(recipe)}: give the ps.Recipe that the networks were trained by.")
    parts = [_diverged(data), _left(data, recipe), _zeros(data), _gap(data)]
    parts += [_collapse(data, recipe), _edge(data, recipe)]
    table = xr.Dataset({name: values for numbers, _ in parts for name, values in numbers.items()})
    return Diagnosis(tuple(sentence for _, sentence in parts if sentence), table.drop_vars(["fate", "last_step"]))


def _of(chosen: xr.DataArray) -> str:
    count = int(chosen.sum())
    return f"{count:,} of {chosen.size:,} network{'s' if chosen.size > 1 else ''}"


def _steps(values: xr.DataArray) -> str:
    """Return at which steps something happened, from the least to the largest."""
    low, high = int(values.min()), int(values.max())
    return f"at step {low:,}" if low == high else f"at steps {low:,} to {high:,}"


def _first(there: xr.DataArray) -> xr.DataArray:
    """Return the first recorded step of each member at which something is ``there``, NaN where it never is."""
    return there["step"][there.argmax("step")].drop_vars("step").where(there.any("step"))


def _watched(data: xr.Dataset, *names: str) -> bool:
    return all(name in data and "step" in data[name].dims and data[name].dtype.kind in "fiu" for name in names)


def _own(data: xr.Dataset, recipe: Recipe, name: str) -> Any:
    """Return a number or word of the recipe: each member's, where it is an axis of the grid."""
    usual = getattr(recipe, name)
    if name not in data.coords:
        return usual
    if (data.coords[name].dtype.kind in "fiu") == isinstance(usual, str):
        raise BadInput(f"{name} of this data is not what its members were trained by: give the dataset of ps.train.")
    return data.coords[name]


def _diverged(data: xr.Dataset) -> Found:
    here = data["fate"] == str(Fate.DIVERGED)
    at = data["fate_step"].where(here)
    return {"diverged_at": at}, f"{_of(here)} diverged, {_steps(at)}." if here.any() else ""


def _left(data: xr.Dataset, recipe: Recipe | None) -> Found:
    end = recipe.steps if recipe else int(data["step"][-1])
    here = (data["fate"] != str(Fate.DIVERGED)) & (data["last_step"] < end)
    at = data["last_step"].where(here)
    if not here.any():
        return {"left_at": at}, ""
    fates = Counter(data["fate"].where(here, "").values.ravel().tolist())
    why = ", ".join(f"{count:,} {fate}" for fate, count in sorted(fates.items()) if fate)
    return {"left_at": at}, f"{_of(here)} left before step {end:,}, {_steps(at)}: {why}."


def _zeros(data: xr.Dataset) -> Found:
    if not _watched(data, "train_loss"):
        return NOTHING
    zeros = (data["train_loss"] == 0).sum("step")
    total, read = int(zeros.sum()), int(data["train_loss"].notnull().sum())
    said = f"{total:,} of {read:,} readings of the training loss are exactly 0, in {_of(zeros > 0)}." if total else ""
    return {"zero_losses": zeros}, said


def _gap(data: xr.Dataset) -> Found:
    if not _watched(data, "train_accuracy", "test_accuracy"):
        return NOTHING
    gap = last(data["train_accuracy"]) - last(data["test_accuracy"])
    behind = gap > 0
    if not behind.any():
        return {"accuracy_gap": gap}, ""
    middle, most = float(gap.where(behind).median()), float(gap.max())
    said = f"{_of(behind)} end{'' if behind.sum() > 1 else 's'} with a test accuracy below the training accuracy"
    return {"accuracy_gap": gap}, f"{said}, by {middle:.2g} in the median and {most:.2g} in the worst."


def _collapse(data: xr.Dataset, recipe: Recipe | None) -> Found:
    if _watched(data, "softmax_collapse"):
        return _collapsed(data["softmax_collapse"], "")
    if recipe is None or not _watched(data, "train_loss"):
        return NOTHING
    least = (1 - data["train_loss"] / RESOLVED[recipe.dtype]).clip(min=0)
    return _collapsed(least.where(xr.DataArray(_own(data, recipe, "loss") == "cross_entropy")), "at least ")


def _collapsed(fraction: xr.DataArray, least: str) -> Found:
    if not fraction.notnull().any():
        return NOTHING
    most, here = fraction.max("step"), fraction > 0
    numbers = {"collapsed": most, "collapsed_from": _first(here)}
    if not here.any():
        return numbers, ""
    at, part = _steps(numbers["collapsed_from"]), f"{least}{100 * float(most.max()):.3g} %"
    return numbers, (
        f"Softmax absorbs training samples in {_of(most > 0)}, first {at}, in the worst {part} of them: their loss is "
        "exactly 0 and teaches the label no more. A recipe in float64 puts this off, weight decay can prevent it."
    )


def _edge(data: xr.Dataset, recipe: Recipe | None) -> Found:
    if recipe is None or not _watched(data, "sharpness") or recipe.batch is not None or "batch" in data.coords:
        return NOTHING
    if recipe.schedule != "constant" or recipe.warmup or callable(recipe.optimizer) or recipe.decayed != "all":
        return NOTHING  # the edge is known for constant numbers that are the same for all parameters
    if math.isfinite(min(recipe.clip_norm, recipe.clip_value)):
        return NOTHING
    lr, momentum, decay = (_own(data, recipe, name) for name in ("lr", "momentum", "weight_decay"))
    stable = xr.DataArray((1 + momentum) * (2 / lr - decay))  # none where the decay alone is unstable
    descent = xr.DataArray(_own(data, recipe, "optimizer") == "sgd")
    ratio = data["sharpness"] / stable.where(descent & (stable > 0))
    if not ratio.notnull().any():
        return NOTHING
    there = ratio >= 1
    numbers = {"edge": ratio.max("step"), "edge_from": _first(there)}
    here = there.any("step")
    if not here.any():
        return numbers, ""
    said = f"The sharpness of {_of(here)} reaches the edge of stability, first {_steps(numbers['edge_from'])}"
    ends = last(ratio).where(here)
    if ends.notnull().any():
        said += f", and ends at {float(ends.median()):.3g} of it in the median"
    return numbers, f"{said}: there gradient descent turns unstable along the sharpest direction."
