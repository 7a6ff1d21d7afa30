"""Forecasts that are scored only where they were not fitted: whole groups of rows are held out.

Letters: n rows (networks), d inputs, one target for each row, and the group of each row (its cell, its modulus). A row
is forecast by a model that saw no row of its group, neither for its weights nor for its penalty, its means or scales.

A score here is one number for all rows together. It is no sample of several: rows of one group are alike, and all
folds share rows. An interval needs replicates that share nothing, such as the seeds of a study, each with networks of
its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from phasescope.checks import number, numbers, shown, whole
from phasescope.vocabulary import Array, BadInput

Fitted = Callable[[Array], Array]
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
MOST_INNER = 10  # folds among which a penalty is chosen
TINY = 1e-9  # of the largest forecast: equal


class Model(Protocol):
    """What forecasts: ``fit`` takes inputs (n, d), targets (n,) and groups (n,), and returns a function of inputs."""

    def fit(self, inputs: Array, target: Array, groups: Array) -> Fitted:
        """Return the forecast (m,) of inputs (m, d) as a function."""
        ...


@dataclass(frozen=True)
class Mean:
    """The mean of the targets, whatever the inputs: the forecast of one who knows nothing of a network."""

    def fit(self, inputs: Array, target: Array, groups: Array) -> Fitted:
        """Return the mean as a function of inputs (m, d)."""
        middle = float(np.mean(target))
        return lambda asked: np.full(len(asked), middle)


@dataclass(frozen=True)
class Ridge:
    """Least squares with a penalty: |y - a - Z b|^2 + penalty n |b|^2 / 100, Z the inputs at mean 0 and variance 1.

    The penalty, in hundredths of the variance of an input, is the one of ``penalties`` that forecasts groups best which
    are held out among those that are fitted (at most ten folds); with one group, the largest. ``squares`` adds the
    squares and products of the inputs.
    """

    penalties: tuple[float, ...] = PENALTIES
    squares: bool = False

    def fit(self, inputs: Array, target: Array, groups: Array) -> Fitted:
        """Return the forecast as a function of inputs (m, d)."""
        parts = folds(groups, min(MOST_INNER, len(np.unique(groups))))
        errors = np.zeros(len(self.penalties))
        for held in parts if len(parts) > 1 else ():
            weights = self._weights(inputs[~held], target[~held], self.penalties)
            errors += [np.sum((fitted(inputs[held]) - target[held]) ** 2) for fitted in weights]
        best = self.penalties[int(np.argmin(errors))] if len(parts) > 1 else max(self.penalties)
        return self._weights(inputs, target, (best,))[0]

    def _weights(self, inputs: Array, target: Array, penalties: tuple[float, ...]) -> list[Fitted]:
        scaled, middle = scaling(inputs), float(np.mean(target))
        z = scaled(inputs)
        values, vectors = np.linalg.eigh(z.T @ z)
        along = vectors.T @ (z.T @ (target - middle))

        def of(penalty: float) -> Fitted:
            weights = vectors @ (along / (np.maximum(values, 0) + penalty * len(z) / 100))
            return lambda asked: middle + scaled(asked) @ weights

        return [of(penalty) for penalty in penalties]


@dataclass(frozen=True)
class Logistic:
    """The chance that a target of 0 or 1 is 1: scikit-learn's logistic regression of scaled inputs, C = ``strength``.

    Where all targets are one value, that one.
    """

    strength: float = 1.0

    def fit(self, inputs: Array, target: Array, groups: Array) -> Fitted:
        """Return the chance as a function of inputs (m, d)."""
        if len(np.unique(target)) < 2:
            return Mean().fit(inputs, target, groups)
        from sklearn.linear_model import LogisticRegression

        scaled = scaling(inputs)
        model = LogisticRegression(C=self.strength, max_iter=2000).fit(scaled(inputs), target)
        return lambda asked: np.asarray(model.predict_proba(scaled(asked))[:, 1])


@dataclass(frozen=True)
class Boosting:
    """Gradient boosting of scikit-learn's trees; with ``chance``, of a target of 0 or 1, and the chance of 1.

    Trees of ``depth`` splits, ``rate`` of each, leaves of 5 rows or more, all rows in every tree: nothing is drawn.
    """

    trees: int = 100
    depth: int = 2
    rate: float = 0.1
    chance: bool = False

    def fit(self, inputs: Array, target: Array, groups: Array) -> Fitted:
        """Return the forecast as a function of inputs (m, d)."""
        if len(np.unique(target)) < 2:
            return Mean().fit(inputs, target, groups)
        from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

        kind = GradientBoostingClassifier if self.chance else GradientBoostingRegressor
        model = kind(
            n_estimators=self.trees, max_depth=self.depth, learning_rate=self.rate, min_samples_leaf=5, random_state=0
        ).fit(inputs, target)
        return lambda asked: np.asarray(model.predict_proba(asked)[:, 1] if self.chance else model.predict(asked))


def scaling(inputs: Array) -> Fitted:
    """Return how rows (m, d) are brought to the mean 0 and variance 1 that ``inputs`` have; constant ones become 0."""
    middle, spread = inputs.mean(0), inputs.std(0)
    scale = np.where(spread > 1e-12 * np.maximum(np.abs(middle), 1e-300), spread, np.inf)
    return lambda asked: (asked - middle) / scale


def squared(inputs: Array) -> Array:
    """Return inputs (n, d) beside all products of two of them: (n, d + d (d + 1) / 2)."""
    first, second = np.triu_indices(inputs.shape[1])
    return np.concatenate([inputs, inputs[:, first] * inputs[:, second]], axis=1)


def folds(groups: Array, count: int = 0, generator: np.random.Generator | None = None) -> list[Array]:
    """Return masks (n,) of the rows that are held out together: whole groups, ``count`` folds of them; 0 for one each.

    Groups are dealt out in the order of their names, or in one that ``generator`` draws. Every row is held out once.
    Raises ``BadInput`` for a number of folds above that of groups.

    >>> [mask.astype(int).tolist() for mask in folds(np.array([3, 3, 5, 7]), 2)]
    [[1, 1, 0, 1], [0, 0, 1, 0]]
    """
    groups = numbers("groups", groups)
    if groups.ndim != 1 or not len(groups):
        raise BadInput(f"groups have shape {groups.shape}: give the number of its group for each row.")
    names, place = np.unique(groups, return_inverse=True)
    count = whole(0, 10**9)("count", count) or len(names)
    if count > len(names):
        raise BadInput(f"there are {len(names)} groups for {count} folds: give {len(names)} folds or fewer.")
    order = np.arange(len(names)) if generator is None else generator.permutation(len(names))
    dealt = np.empty(len(names), dtype=int)
    dealt[order] = np.arange(len(names)) % count
    return [dealt[place] == k for k in range(count)]


def held_out(
    model: Model, inputs: Array, target: Array, groups: Array, *, count: int = 0,
    generator: np.random.Generator | None = None, asked: Array | None = None,
) -> Array:  # fmt: skip
    """Return the forecast (n,) of each row by ``model`` fitted to all folds but its own.

    ``inputs`` (n, d) and ``target`` (n,) are finite, ``groups`` (n,) are numbers; folds are those of ``folds`` with
    ``count`` and ``generator``. ``asked`` (n, d) stands in for the inputs where a row is forecast, not where models are
    fitted: those of another network of the same cell tell what inputs say of the network from what they say of the
    cell. Raises ``BadInput`` for rows that do not match, for values that are not finite, and for one group alone.
    """
    x, y = _rows("inputs", inputs, 2), _rows("target", target, 1)
    there = x if asked is None else _rows("asked", asked, 2)
    parts = folds(groups, count, generator)
    if len({len(x), len(y), len(there), len(parts[0])}) > 1 or there.shape != x.shape:
        raise BadInput(
            f"inputs {x.shape}, target {y.shape}, asked {there.shape} and groups ({len(parts[0])},): give as many rows "
            "of each."
        )
    if len(parts) < 2:
        raise BadInput("all rows are one fold: nothing is left to fit; give two groups or more, in two folds or more.")
    found = np.full(len(y), np.nan)
    for held in parts:
        found[held] = model.fit(x[~held], y[~held], np.asarray(groups)[~held])(there[held])
    return found


def _rows(name: str, values: Array, axes: int) -> Array:
    found = np.asarray(numbers(name, values), dtype=float)
    if found.ndim != axes or not found.size or not np.isfinite(found).all():
        raise BadInput(
            f"{name} is {shown(values)}: give finite numbers with {axes} ax{'i' if axes == 1 else 'e'}s, one row at "
            "least; say what a missing one stands for, or leave its row out."
        )
    return found


def _pair(target: Array, forecast: Array) -> tuple[Array, Array]:
    y, f = _rows("target", target, 1), _rows("forecast", forecast, 1)
    if len(y) != len(f):
        raise BadInput(f"target and forecast have {len(y)} and {len(f)} rows: give as many of each.")
    return y, f


def skill(target: Array, forecast: Array, rival: Array) -> float:
    """Return 1 - sum (y - f)^2 / sum (y - r)^2 of targets (n,), forecasts and those of a ``rival``: 1 if all are right.

    0 where the rival is as good, below 0 where it is better; with the held-out mean for the rival it is Q^2, the R^2 of
    rows that were not fitted. NaN where the rival has no error.
    """
    y, f = _pair(target, forecast)
    _, r = _pair(target, rival)
    left = float(np.sum((y - r) ** 2))
    return 1 - float(np.sum((y - f) ** 2)) / left if left else float("nan")


def balanced_accuracy(truth: Array, chance: Array, level: float = 0.5) -> float:
    """Return the mean of the shares that are right among rows of truth 1, forecast at ``level`` or above, and of 0.

    1/2 for a forecast that knows nothing, whatever the shares; NaN where all rows are of one kind.
    """
    t, f = _pair(truth, chance)
    level = number(0, 1)("level", level)
    if not np.isin(t, (0, 1)).all():
        raise BadInput(f"truth is {shown(truth)}: give 0 or 1 for each row.")
    if t.min() == t.max():
        return float("nan")
    return float(np.mean(f[t == 1] >= level) + np.mean(f[t == 0] < level)) / 2


def concordance(target: Array, forecast: Array, groups: Array) -> float:
    """Return the share of pairs of rows of one group that are forecast in their order; equal forecasts count 1/2.

    Forecasts are equal up to 1e-9 of the largest: two rows with the same inputs may differ by rounding.
    Pairs with equal targets are left out; NaN where no pair is left. 1/2 for all that is one for a group.
    """
    y, f = _pair(target, forecast)
    names = np.asarray(groups)
    if names.shape != y.shape:
        raise BadInput(f"target and groups have shapes {y.shape} and {names.shape}: give as many of each.")
    order, rounding = np.argsort(names, kind="stable"), TINY * float(np.abs(f).max())
    y, f, names = y[order], f[order], names[order]
    right, pairs = 0.0, 0
    for k in range(1, int(np.unique(names, return_counts=True)[1].max())):  # rows of one group that stand k apart
        apart = np.where(names[k:] == names[:-k], np.sign(y[k:] - y[:-k]), 0)
        told = f[k:] - f[:-k]
        right += float(np.sum((1 + apart * np.sign(np.where(np.abs(told) > rounding, told, 0)))[apart != 0] / 2))
        pairs += int(np.count_nonzero(apart))
    return right / pairs if pairs else float("nan")


def miscalibration(truth: Array, chance: Array, bins: int = 10) -> float:
    """Return by how much the chance of an event differs from its share: mean over rows, in ``bins`` of equal chance.

    The expected calibration error: sum over bins of n_b / n |mean truth - mean chance|. 0 is calibrated; above 0 by
    accident where bins have few rows.
    """
    t, f = _pair(truth, chance)
    place = np.minimum((f * whole(1, 10**6)("bins", bins)).astype(int), bins - 1)
    apart = [abs(float(np.sum(t[place == k] - f[place == k]))) for k in np.unique(place)]
    return float(np.sum(apart)) / len(t)
