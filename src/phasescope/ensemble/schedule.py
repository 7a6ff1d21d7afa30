"""When a member is read, and when its fate is settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from phasescope.errors import shown
from phasescope.vocabulary import Array, BadInput, Draw, Fate, Recipe

GROUP = 16


def record_steps(recipe: Recipe) -> Array:
    """Return the recorded steps (T,) int64: 0, then log-spaced from ``first_record`` to ``steps``, each once.

    For ``spacing="linear"`` they have equal distances, to the nearest step.

    >>> record_steps(Recipe(steps=100, records=5)).tolist()
    [0, 1, 3, 10, 32, 100]
    >>> record_steps(Recipe(steps=100, records=5, first_record=20, spacing="linear")).tolist()
    [0, 20, 40, 60, 80, 100]
    """
    if recipe.first_record > recipe.steps:
        raise BadInput(f"first_record is {recipe.first_record}: it must be at most steps = {recipe.steps}.")
    space = np.geomspace if recipe.spacing == "log" else np.linspace
    spaced = space(recipe.first_record, recipe.steps, recipe.records)
    return np.unique(np.concatenate([[0], np.rint(spaced)])).astype(np.int64)


def groups(steps: Array) -> list[Array]:
    """Cut the recorded steps after 0 into runs that are trained in one call and read together.

    Early records lie close and share a call; later ones stand alone, so that a settled member is noticed at once. The
    cut is a function of the steps alone, and with it the shape of every batch of readings.
    """
    cut: list[list[int]] = []
    for step in steps[steps > 0].tolist():
        if cut and len(cut[-1]) < GROUP and step <= 1.05 * cut[-1][0] + 8:
            cut[-1].append(step)
        else:
            cut.append([step])
    return [np.array(group, dtype=np.int64) for group in cut]


@dataclass
class Watcher:
    """Follows one member's scores and says when it may leave: the rule behind ``Fate``.

    A score is an accuracy, or, of real targets, the fraction of their variance that is explained, on the rows of either
    set: 1 - loss / variance. NaN settles nothing: an answer that is no number, an empty set, targets that do not vary.
    """

    recipe: Recipe
    memorized_at: int = -1
    generalized_at: int = -1
    diverged_at: int = -1
    stopped_at: int = -1

    def see(
        self, step: int, train_score: float, test_score: float, read: Callable[[], Mapping[str, Array]] = dict
    ) -> bool:
        """Take in the scores at ``step``; return True when the member's fate is settled and it may leave.

        ``read`` gives what instruments have read so far, (t, ...) each, for a rule of one's own.
        """
        settled = self._settled(step, train_score, test_score)
        if callable(self.recipe.stop) and self._told_to_stop(step, dict(read())) and step > 0:
            self.stopped_at = step
        return settled or self.stopped_at >= 0

    def _told_to_stop(self, step: int, readings: dict[str, Array]) -> bool:
        steps = record_steps(self.recipe)
        assert callable(self.recipe.stop)
        answer = self.recipe.stop(steps[steps <= step], readings)
        if not isinstance(answer, bool | np.bool_):
            raise BadInput(f"stop gives {shown(answer)} at step {step:,}: it must give True or False.")
        return bool(answer)

    def _settled(self, step: int, train_score: float, test_score: float) -> bool:
        if self.memorized_at < 0 and train_score >= self.recipe.level:
            self.memorized_at = step
        if self.generalized_at < 0 and test_score >= self.recipe.level:
            self.generalized_at = step
        if self.generalized_at >= 0:
            return step >= self.recipe.overtime * self.generalized_at
        return self.memorized_at >= 0 and step >= self.recipe.patience * max(self.memorized_at, 1)

    def fate(self) -> tuple[Fate, int]:
        """Return the fate and the step at which it was settled."""
        if self.diverged_at >= 0:  # whatever it knew before
            return Fate.DIVERGED, self.diverged_at
        if self.generalized_at >= 0:
            return Fate.GENERALIZED, self.generalized_at
        if self.memorized_at >= 0:
            return Fate.MEMORIZED, self.memorized_at
        if self.stopped_at >= 0:
            return Fate.STOPPED, self.stopped_at
        return Fate.OUT_OF_STEPS, self.recipe.steps


def spreads(draw: Draw) -> tuple[float, float] | None:
    """Return the variance of real targets, the mean over outputs, on training and test rows; None for class labels.

    Samples count as they do in the loss, by their weights.
    """
    if draw.labels.dtype.kind != "f":
        return None
    train, test = (_variance(draw.labels[rows], draw.weights[rows]) for rows in (draw.train, draw.test))
    return train, test


def _variance(values: Array, weights: Array) -> float:
    if not weights.sum() > 0:
        return 0.0
    values, parts = values.astype(np.float64), weights.astype(np.float64) / weights.sum(dtype=np.float64)
    return float((parts @ (values - parts @ values) ** 2).mean())
