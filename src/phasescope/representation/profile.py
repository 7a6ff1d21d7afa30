"""``ps.profile``: what shape the cloud of points is at every layer of a model, in one pass."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor, nn

from phasescope.checks import sequence, whole
from phasescope.instruments.intrinsic_dimension import neighbourhood
from phasescope.instruments.neighbours import rows_of
from phasescope.representation.dimension import ESTIMATORS, WIDEST, local, spectral
from phasescope.representation.isotropy import measured
from phasescope.representation.isotropy_spectrum import Spectrum
from phasescope.representation.places import By, layers_of
from phasescope.representation.profile_result import ISOTROPY, SOURCES, Profile
from phasescope.store import Finished
from phasescope.store.finished import Piece
from phasescope.vocabulary import Array, BadInput

Progress = Callable[[str, int, int], object]
Numbers = dict[str, float]
FEWEST = WIDEST + 2


def profile(
    module: Any,
    batch: Any = None,
    *,
    places: Sequence[str] | None = None,
    by: By = "sample",
    points: int = 2000,
    name: str | None = None,
    out: Path | str | None = None,
    on_progress: Progress | None = None,
) -> Profile:
    """Return the shape of the cloud of points at each place of ``module``: its dimension, and how even it is.

    ``module``: one that is run over ``batch``, whose places are read as ``layers_of`` reads them (``places``, ``by``),
    and which is given back bit for bit; or an array (N, D), or a list or a mapping of names to arrays, one per place.
    At most ``points`` rows, evenly spaced. Of each place five dimensions with error and calibration (``dimension``) and
    eight readings of isotropy with error and null (``isotropy``). A place that does not tell its rows apart, or has one
    column or fewer than 18 different rows, has NaN and a note with the mend. ``name`` is what the page calls it.

    ``out``: a folder in which each place that is done is kept: the same call goes on where it was stopped.
    ``on_progress(place, done, total)`` is told of each place. Costs N^2 D for each. Raises ``BadInput`` for fewer than
    18 rows, and what ``ps.inspect`` raises.
    """
    points = whole(FEWEST, 10**6)("points", points)
    tell = on_progress or (lambda what, done, total: None)
    tell("running the model", 0, 1)
    given = _clouds(module, batch, places, by, points)
    names, read, notes, shapes = [], [], [], []
    _enough(given, isinstance(module, nn.Module))
    with Finished(out) as finished:
        for i, (place, rows) in enumerate(given):
            tell(place, i, len(given))
            numbers, note = _kept(finished, rows)
            names.append(place)
            read.append(numbers)
            shapes.append(rows.shape)
            notes += [f"{place}: {note}"] if note else []
    title = name or (type(module).__name__ if isinstance(module, nn.Module) else "arrays")
    return Profile(_dataset(title, names, read, shapes, by if isinstance(module, nn.Module) else "row"), tuple(notes))


def _enough(given: Sequence[tuple[str, Any]], of_module: bool) -> None:
    mend = "give a larger batch, or by='token'" if of_module else "give more points"
    for place, rows in given:
        if len(rows) < FEWEST:
            raise BadInput(
                f"place {place} has {len(rows)} row{'s' * (len(rows) != 1)}: the estimators need at least {FEWEST}, "
                f"and some hundreds to say much; {mend}."
            )


def _clouds(
    module: Any, batch: Any, places: Sequence[str] | None, by: By, points: int
) -> Sequence[tuple[str, Array | Tensor]]:
    if isinstance(module, nn.Module):
        if batch is None:
            raise BadInput("there is a module and no batch: give its inputs, or arrays (N, D) instead of the module.")
        return list(layers_of(module, batch, places=places, by=by, most=points))
    return [(place, _thinned(rows, points)) for place, rows in _named(module)]


def _named(given: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        if not given:
            raise BadInput("there are no arrays: give at least one (N, D).")
        yield from ((str(key), rows) for key, rows in given.items())
    elif isinstance(given, list | tuple) and given and getattr(given[0], "ndim", 0) == 2:
        yield from ((str(i), rows) for i, rows in enumerate(sequence("arrays", given, 10**6)))
    else:
        yield "0", given


def _thinned(rows: Any, most: int) -> Any:
    kind = rows if isinstance(rows, Tensor | np.ndarray) else np.asarray(rows_of(rows, 2))
    rows_of(kind, 1)
    return kind if len(kind) <= most else kind[np.arange(most) * len(kind) // most]


def _kept(finished: Finished, rows: Any) -> tuple[Numbers, str]:
    """Return the readings of a place, from the folder where it is done."""

    def identity() -> dict[str, Any]:
        held = np.ascontiguousarray(rows.detach().cpu().double() if isinstance(rows, Tensor) else rows)
        digest = hashlib.sha256(held.tobytes()).hexdigest()
        return {"profile": 2, "rows": digest, "shape": list(held.shape), "type": str(rows.dtype)}

    def made() -> Piece:
        numbers, note = _read(rows)
        return {}, {"numbers": numbers, "note": note}

    _, facts = finished.piece(identity, made)
    return dict(facts["numbers"]), str(facts["note"])


def _read(rows: Any) -> tuple[Numbers, str]:
    numbers: Numbers = {}
    notes = []
    try:
        spectrum = Spectrum.of(rows)
        found = list(spectral(spectrum).values())
        readings = measured(rows, spectrum)
    except BadInput as error:
        return numbers, str(error)
    try:
        found += local(neighbourhood(rows, WIDEST)).values()
    except BadInput as error:
        notes.append(str(error))
    for one in found:
        numbers |= {
            one.estimator: one.value,
            f"{one.estimator}_error": one.error,
            f"{one.estimator}_calibrated": one.calibrated,
            f"{one.estimator}_calibrated_error": one.calibrated_error,
        }
        if one.estimator == "twonn":
            numbers["duplicates"] = float(one.duplicates)
    for key, reading in readings.items():
        numbers |= {key: reading.value, f"{key}_error": reading.error, f"{key}_null": reading.null}
    return numbers, " ".join(notes)


def _dataset(title: str, names: Sequence[str], read: Sequence[Numbers], shapes: Sequence[Any], by: str) -> xr.Dataset:
    keys = [f"{name}{end}" for name in ESTIMATORS for end in ("", "_error", "_calibrated", "_calibrated_error")]
    keys += [f"{name}{end}" for name in ISOTROPY for end in ("", "_error", "_null")] + ["duplicates"]
    data = xr.Dataset(
        {key: ("place", [numbers.get(key, math.nan) for numbers in read]) for key in keys},
        coords={"place": list(names)},
        attrs={"model": title, "by": by},
    )
    data["points"] = ("place", [int(shape[0]) for shape in shapes])
    data["width"] = ("place", [int(shape[1]) for shape in shapes])
    for key in data.data_vars:
        unit, source = SOURCES[str(key).split("_error")[0].split("_null")[0].split("_calibrated")[0]]
        data[key].attrs = {"units": unit, "source": source}
    return data
