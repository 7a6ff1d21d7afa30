"""When training and test accuracy reach a level, and which of the four phases of learning that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from phasescope.checks import number, shown
from phasescope.vocabulary import Array, BadInput, Fate

READINGS = ("train_accuracy", "test_accuracy")
LIU = "Liu et al. 2022, arXiv:2205.10343, and their code, phase_diagram_plot/simple_phase_diagram.ipynb"


def stages(data: xr.Dataset, levels: Sequence[float] = (0.9, 0.9), *, lag: float = 1000) -> xr.Dataset:
    """Return when each member's training and test accuracy reached ``levels``, the lag between, and its phase.

    ``data`` is what ``train`` returned, with ``train_accuracy`` and ``test_accuracy`` watched. The result has its
    dimensions but ``step``, and the variables

    - ``train_step``, ``test_step``: the first recorded step at or above the level; NaN where no record is
    - ``lag``, ``ratio``: their difference, in steps, and their quotient, test over training
    - ``lag_low``, ``lag_high``: between which the lag is, since a level is reached somewhere between two records
    - ``phase``: *comprehension* where both are reached and the lag is shorter than ``lag``, *grokking* where it is not,
      *memorization* where training alone is, *confusion* where neither is

    Both levels, 0.9, and the lag of 1,000 steps are those of Liu et al. 2022, arXiv:2205.10343, who trained for 100,000
    steps at most; other runs have other scales, and all three are yours to choose. Reached means reached in this run:
    ``data.sel(step=slice(0, 5000))`` judges by 5,000 steps.

    A phase is said where the records tell it. It is *undecided* for a member that left the batch, or had no accuracy
    at some record, before what it had not reached was refuted, and where ``lag`` is between ``lag_low`` and
    ``lag_high``: more records, or linear ones, decide that. A member that diverged is *diverged*, whatever it had
    reached, and one whose test accuracy alone reached its level, which their table does not name, *test only*. Raises
    ``BadInput`` for data without these readings, levels outside (0, 1] and a negative lag.

    >>> steps = [0, 10, 100, 1000]
    >>> curves = {"train_accuracy": [0.1, 0.95, 1.0, 1.0], "test_accuracy": [0.1, 0.2, 0.3, 0.92]}
    >>> run = xr.Dataset({name: ("step", values) for name, values in curves.items()}, {"step": steps})
    >>> found = stages(run, lag=50)
    >>> float(found.lag), float(found.lag_low), float(found.lag_high), str(found.phase.values)
    (990.0, 91.0, 999.0, 'grokking')
    """
    train_level, test_level = _levels(levels)
    limit = number(0)("lag", lag)
    train, test = _curves(data)
    steps = train["step"].values.astype(np.float64)
    one, other = _reached(train.values, steps, train_level), _reached(test.values, steps, test_level)
    low, high = other.earliest - one.latest, other.latest - one.earliest
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = other.latest / one.latest
    coords = train.isel(step=0, drop=True).drop_vars(["fate", "last_step"], errors="ignore").coords
    found = xr.Dataset(
        coords=coords, attrs={**data.attrs, "levels": (train_level, test_level), "lag": limit, "source": LIU}
    )
    steps_of = {"train_step": one.latest, "test_step": other.latest, "lag": other.latest - one.latest}
    for name, values in {**steps_of, "lag_low": low, "lag_high": high, "ratio": ratio}.items():
        found[name] = (train.dims[:-1], values, {"units": "1" if name == "ratio" else "step"})
    found["phase"] = (train.dims[:-1], _phase(one, other, (low, high), limit))
    if "fate" in data.coords:
        diverged = data["fate"] == str(Fate.DIVERGED)
        if "last_step" in data.coords:  # of data that were cut before that, it had not
            diverged = diverged & (data["last_step"] <= steps[-1])
        found["phase"] = found["phase"].where(~diverged.drop_vars(list(diverged.coords)), str(Fate.DIVERGED))
    return found


def _levels(levels: Sequence[float]) -> tuple[float, float]:
    if not isinstance(levels, list | tuple) or len(levels) != 2:
        raise BadInput(f"levels is {shown(levels)}: give two, for training and for test accuracy, such as (0.99, 0.9).")
    one, two = (number(0, 1, open_low=True)("a level", level) for level in levels)
    return one, two


def _curves(data: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return training and test accuracy with the same dimensions, ``step`` last."""
    for name in READINGS:
        curve = data.get(name) if isinstance(data, xr.Dataset) else None
        if (
            curve is None
            or not curve.sizes.get("step")
            or any(x.dtype.kind not in "fiu" for x in (curve, curve["step"]))
        ):
            raise BadInput(
                f"there is no {name} over step in this {type(data).__name__}: give what ps.train returned with "
                "watch=ps.instruments.LEARNING."
            )
    train = data[READINGS[0]].transpose(..., "step")
    return train, data[READINGS[1]].transpose(*train.dims)


@dataclass(frozen=True)
class _Reached:
    """When curves (..., T) reached a level: the ``earliest`` step that can have been it, and the ``latest``, recorded.

    NaN where no record is at the level; ``never`` where every record says so.
    """

    earliest: Array
    latest: Array
    never: Array


def _reached(values: Array, steps: Array, level: float) -> _Reached:
    above, places = values >= level, np.arange(len(steps))
    first = above.argmax(-1)
    below = np.where((values < level) & (places < first[..., None]), places, -1).max(-1)
    latest = np.where(above.any(-1), steps[first], np.nan)
    earliest = np.where(above.any(-1), np.where(below < 0, 0, steps[below] + 1), np.nan)
    return _Reached(np.minimum(earliest, latest), latest, np.asarray((values < level).all(-1)))


def _phase(train: _Reached, test: _Reached, lag: tuple[Array, Array], limit: float) -> Array:
    one, other = ~np.isnan(train.latest), ~np.isnan(test.latest)
    told = {
        "comprehension": one & other & (lag[1] < limit),
        "grokking": one & other & (lag[0] >= limit),
        "memorization": one & test.never,
        "confusion": train.never & test.never,
        "test only": train.never & other,
    }
    return np.select(list(told.values()), list(told), "undecided")
