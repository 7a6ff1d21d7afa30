"""``ps.encode``: how much of measured responses a model's features explain, and how much there was to explain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.checks import as_points, whole
from phasescope.ensemble import streams
from phasescope.instruments.neighbours import all_same, moderate
from phasescope.representation.encode_ceiling import Measured, correlations, measured
from phasescope.representation.encode_data import arrays_of, read_responses
from phasescope.representation.encode_result import Encoding, encoded
from phasescope.representation.encode_ridge import Ridge
from phasescope.representation.places import By, layers_of
from phasescope.representation.similarity_clouds import GROUPS
from phasescope.vocabulary import Array, BadInput

FEWEST = 20
"""Stimuli below which a ridge that is tested on others says nothing."""
Progress = Callable[[str, int, int], object]


def encode(
    features: Any,
    responses: Any,
    batch: Any = None,
    *,
    baseline: Any = None,
    places: Sequence[str] | None = None,
    by: By = "sample",
    groups: Any = None,
    folds: int = 5,
    draws: int = 20,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Encoding:
    """Return how well ``features`` predict ``responses`` to stimuli that were held out, layer by layer.

    ``features`` (N, D) is one representation of N stimuli; a list of arrays or a mapping of names to arrays are layers,
    and those of a module are its places over ``batch``, as ``ps.compare`` reads them (``places``, ``by``).
    ``responses`` (N, Q), or (R, N, Q) with R repeats, are measured in Q units. Features and responses may be paths
    (``read_responses`` for responses; an .npy or .npz of features, one array per layer). Each unit is predicted by
    ridge regression with ``folds``-fold cross-validation, its penalty chosen on the training stimuli alone. ``groups``
    (N,) are whole numbers: stimuli of one group, such as a film's frames, are held out together.

    For each layer and unit: ``r``, the correlation of predicted and mean response within folds; its ``ceiling`` from
    the repeats, NaN without; and ``normalized`` = r / ceiling. For each layer the medians over units, with standard
    errors over stimuli (left out of the test in turn; fits are held), and mean and spread of the median r over
    ``draws`` shuffles of the stimuli, all fits made anew. ``baseline``, an untrained network or its features, is read
    in the same way: layers of the same names stand side by side, of others the best stands for all.

    r is dimensionless, in [-1, 1], with null 0, and invariant to rotations, shifts and scale of features, and shifts
    and scale of each unit.

    Raises ``BadInput`` for fewer than 20 stimuli, numbers of rows that differ, and units that are constant.
    """
    folds, draws = whole(2, 100)("folds", folds), whole(0, 10**5)("draws", draws)
    seed = whole(0, 2**63 - 1)("seed", seed)
    layers = _layers(features, "features", batch, places, by)
    answers = _answers(responses)
    others = {} if baseline is None else _layers(baseline, "baseline", batch, places, by)
    count = len(answers.mean)
    for what, arrays in (("features", layers), ("baseline", others)):
        for layer, rows in arrays.items():
            if len(rows) != count:
                raise BadInput(
                    f"{what} {layer} have {len(rows)} rows and responses {count} stimuli: give the same stimuli in the "
                    "same order."
                )
    parts = _folds(count, groups, folds, seed)
    tell = on_progress or (lambda what, done, total: None)
    total = len(layers) + len(others)
    found = []
    for number, (kind, layer, rows) in enumerate(
        [("features", *item) for item in layers.items()] + [("baseline", *item) for item in others.items()]
    ):
        tell(f"{kind} {layer}", number, total)
        found.append((kind, layer, _read(rows, answers, parts, draws, seed)))
    return encoded(found, answers, seed, folds, draws)


def _read(rows: Tensor, answers: Measured, parts: list[Tensor], draws: int, seed: int) -> dict[str, Any]:
    """Return what one layer predicts: of each unit, in the median, without groups of stimuli, and of shuffled ones."""
    fits = []
    for test in parts:
        train = torch.ones(len(rows), dtype=torch.bool)
        train[test] = False
        fits.append((train, test, Ridge(rows[train])))

    def predicted(y: Tensor) -> Tensor:
        made = torch.empty_like(y)
        for train, test, ridge in fits:
            made[test] = ridge.fitted(y[train]).predict(rows[test])
        return made

    y = answers.mean
    guess = predicted(y)
    r = correlations(guess, y, parts)
    left = _left_out(guess, y, parts)
    shuffles = []
    for draw in range(draws):
        shuffled = y[torch.from_numpy(streams(seed)("shuffle", draw).permutation(len(y)))]
        shuffles.append(float(correlations(predicted(shuffled), shuffled, parts).median()))
    spread = float(np.std(shuffles, ddof=1)) if draws > 1 else math.nan
    return {
        "r": r, "left": left, "dimensions": rows.shape[1],
        "null_mean": float(np.mean(shuffles)) if draws else math.nan, "null_sd": spread,
    }  # fmt: skip


def _left_out(guess: Tensor, y: Tensor, parts: list[Tensor]) -> Tensor:
    """Return the correlations (G, Q) without each of G groups of neighbouring stimuli."""
    count = len(y)
    groups = min(GROUPS, count // 4)
    found = []
    for g in range(groups):
        kept = torch.ones(count, dtype=torch.bool)
        kept[g * count // groups : (g + 1) * count // groups] = False
        rest = [rows[kept[rows]] for rows in parts]
        found.append(correlations(guess, y, [rows for rows in rest if len(rows) > 1]))
    return torch.stack(found)


def _folds(count: int, groups: Any, folds: int, seed: int) -> list[Tensor]:
    """Return the test stimuli of each fold, whole groups at random."""
    if groups is None:
        labels = np.arange(count)
    else:
        labels = np.asarray(groups)
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise BadInput(f"groups have shape {labels.shape}: give one whole number for each of {count} stimuli.")
    names, place = np.unique(labels, return_inverse=True)
    if len(names) < folds:
        raise BadInput(f"there are {len(names)} groups of stimuli and {folds} folds: give at most as many folds.")
    order = streams(seed)("folds").permutation(len(names))
    fold = np.empty(len(names), int)
    fold[order] = np.arange(len(names)) % folds
    return [torch.from_numpy(np.flatnonzero(fold[place] == k)) for k in range(folds)]


def _layers(given: Any, name: str, batch: Any, places: Sequence[str] | None, by: By) -> dict[str, Tensor]:
    if isinstance(given, nn.Module):
        if batch is None:
            raise BadInput(f"{name} are a module, and there is no batch: give its inputs, or arrays (N, D).")
        given = dict(layers_of(given, batch, places=places, by=by))
    if isinstance(given, str | Path):
        given = _file_of_layers(Path(given))
    if isinstance(given, Mapping):
        arrays: dict[str, Any] = {str(key): rows for key, rows in given.items()}
    elif isinstance(given, list | tuple) and given and all(np.ndim(rows) == 2 for rows in given):
        arrays = {str(i): rows for i, rows in enumerate(given)}
    else:
        arrays = {"0": given}
    if not arrays:
        raise BadInput(f"{name} have no layers: give at least one array (N, D).")
    return {key: _features(f"{name} {key}", rows) for key, rows in arrays.items()}


def _features(name: str, rows: Any) -> Tensor:
    """Return features in float64, in a unit in which squares stay there; zeros where all rows are the same."""
    found = moderate(as_points(name, rows, fewest=FEWEST).detach().double())[0]
    return torch.zeros_like(found) if all_same(rows) else found


def _file_of_layers(path: Path) -> Array | dict[str, Array]:
    if path.suffix != ".npz":
        return read_responses(path, "features")
    return {name: read_responses(path, name) for name in arrays_of(path)}


def _answers(given: Any) -> Measured:
    rows = read_responses(given) if isinstance(given, str | Path) else given
    found = as_points("responses", rows, axes=(2, 3), fewest=FEWEST, finite=False).detach().double()
    if found.ndim == 2 and not bool(torch.isfinite(found).all()):
        row = int(torch.nonzero(~torch.isfinite(found))[0, 0])
        raise BadInput(f"responses have a value that is not finite in row {row}: leave that stimulus out.")
    sizes = (
        found.abs().nan_to_num().flatten(0, -2).amax(0)
    )  # each unit in its own measure, if squares would leave float64
    return measured(found / torch.where((sizes > 1e-100) & (sizes < 1e100) | (sizes == 0), 1.0, sizes))
