"""What is read off scores of single items: accuracy, calibration, worst cases, bits per byte, with errors over items.

Calibration follows HELM (Liang et al. 2022, arXiv:2211.09110; stanford-crfm/helm,
``src/helm/benchmark/metrics/basic_metrics.py``): expected calibration error over ten bins of equal mass, and accuracy
where the model is most confident. All functions take arrays over items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from phasescope.checks import array, readable
from phasescope.evaluation.items import Item
from phasescope.vocabulary import Array, BadInput, Generators

BINS = 10
TENTH = 0.1
RESAMPLES = 400


def scored(name: str, values: Any) -> Array:
    """Return scores (n,) in [0, 1] as float64; right and wrong may be True and False. Raises ``BadInput``."""
    given = readable(name, values)
    if isinstance(given, list | tuple) and all(isinstance(one, bool | np.bool_) for one in given):
        given = np.array(given, dtype=float)
    elif isinstance(given, np.ndarray) and given.dtype == bool:
        given = given.astype(float)
    found: Array = array(1, low=0.0, high=1.0)(name, given)
    return found.astype(np.float64)


def _pair(confidence: Array, correct: Array) -> tuple[Array, Array]:
    confidence, correct = scored("confidence", confidence), scored("correct", correct)
    if len(confidence) != len(correct):
        raise BadInput(f"there are {len(confidence)} confidences and {len(correct)} answers: give one for each.")
    return confidence, correct


def calibration_error(confidence: Array, correct: Array, bins: int = BINS) -> float:
    """Return the expected calibration error of ``confidence`` (n,) in answers that are ``correct`` (n,), in [0, 1].

    Items are put into ``bins`` of equal mass by confidence, equal ones into one; the error is the mean over items of
    |mean confidence - accuracy| of their bin. NaN for fewer items than bins. Raises ``BadInput`` for values outside
    [0, 1]. A finite sample of a perfectly calibrated model has some, too: ``calibration_floor``.

    >>> round(calibration_error([1.0] * 10, [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]), 12)
    0.3
    """
    confidence, correct = _pair(confidence, correct)
    return math.nan if len(confidence) < bins else _error_of(confidence, correct, bins)


def _error_of(confidence: Array, correct: Array, bins: int) -> float:
    n = len(confidence)
    order = np.argsort(confidence, kind="stable")
    ranked, right = confidence[order], correct[order]
    place = np.repeat(np.arange(bins), [len(part) for part in np.array_split(np.arange(n), bins)])
    place = place[np.searchsorted(ranked, ranked)]  # equal confidences are in the bin of the first of them
    off = np.bincount(place, ranked - right, minlength=bins)
    return float(np.abs(off).sum() / n)


def calibration_floor(confidence: Array, generator: np.random.Generator, bins: int = BINS) -> float:
    """Return the mean ``calibration_error`` of answers that are right with exactly these probabilities, (n,)."""
    confidence = scored("confidence", confidence)
    if len(confidence) < bins:
        return math.nan
    drawn = generator.random((100, len(confidence))) < confidence
    return float(np.mean([_error_of(confidence, row.astype(float), bins) for row in drawn]))


def _ranked(confidence: Array, correct: Array) -> Array:
    """Return ``correct`` from the most to the least confident; equal confidences share their mean."""
    _, group = np.unique(-confidence, return_inverse=True)
    shared = np.bincount(group, correct) / np.bincount(group)
    found: Array = shared[np.sort(group)]
    return found


def confident_accuracy(confidence: Array, correct: Array, share: float = TENTH) -> float:
    """Return the accuracy among the ``share`` of items with the largest ``confidence`` (n,), rounded up to one item."""
    confidence, correct = _pair(confidence, correct)
    count = max(1, math.ceil(share * len(confidence) - 1e-9))
    return float(_ranked(confidence, correct)[:count].mean())


def selective_area(confidence: Array, correct: Array) -> float:
    """Return the mean accuracy over all coverages: answering the k most confident of n items, k = 1, ..., n.

    It is the accuracy where confidence says nothing, and more where right answers are the confident ones.
    """
    confidence, correct = _pair(confidence, correct)
    right = np.cumsum(_ranked(confidence, correct))
    return float((right / np.arange(1, len(right) + 1)).mean())


def worst_case(scores: Array) -> Array:
    """Return the least score (n,) of each item over its versions, ``scores`` (versions, n), the original among them."""
    found: Array = array(2, low=0.0, high=1.0)("scores", scores).min(0)
    return found


def mean_error(scores: Array) -> float:
    """Return the standard error of the mean of ``scores`` (n,), sqrt(p (1 - p) / (n - 1)) for right and wrong ones."""
    n = len(scores)
    return float(np.std(scores, ddof=1) / math.sqrt(n)) if n > 1 else math.nan


def bits_per_byte(bits: Array, sizes: Array) -> tuple[float, float]:
    """Return sum of ``bits`` (n,) over sum of ``sizes`` (n,) in bytes, and its standard error over passages."""
    ratio, n = float(bits.sum() / sizes.sum()), len(bits)
    off = bits - ratio * sizes
    error = math.sqrt(float((off**2).sum()) / (n * (n - 1))) / float(sizes.mean()) if n > 1 else math.nan
    return ratio, error


def resampled(read: object, columns: tuple[Array, ...], generators: Generators, purpose: str) -> float:
    """Return the bootstrap standard error over items of ``read(*columns)``, each column (n,)."""
    assert callable(read)
    n = len(columns[0])
    if n < 2:
        return math.nan
    rows = generators(f"bootstrap {purpose}").integers(n, size=(RESAMPLES // 2, n))
    return float(np.std([read(*(column[row] for column in columns)) for row in rows], ddof=1))


def null_accuracy(predicted: Array, items: Sequence[Item], generators: Generators) -> tuple[float, float]:
    """Return mean and spread over shuffles of the accuracy of ``predicted`` (n,) with shuffled answers.

    Where all items choose from one list, such as yes and no, answers are shuffled among items; else each item's answer
    is drawn from its own choices, for a place in the list is nothing that a model is shown.
    """
    shuffle, answers = generators("shuffled answers"), np.array([item.answer for item in items])
    counts = np.array([len(item.choices) for item in items])
    one_list = len({item.choices for item in items}) == 1
    found = []
    for _ in range(RESAMPLES // 2):
        dealt = shuffle.permutation(answers) if one_list else shuffle.integers(counts)
        found.append(float((predicted == dealt).mean()))
    return float(np.mean(found)), float(np.std(found))
