"""Linear functions modulo a prime in context: what examples determine, and what shorter ways answer.

He, Doshi, Das and Gromov 2024, arXiv:2406.02550: z = (a x + b y) mod p, examples (x, y, z) of one task (a, b), and a
question (x, y). Inputs are uniform over the p^2 pairs, with replacement unless ``distinct``, where no two of a sequence
are equal. ``shots`` is the number of examples before the question. Tasks are uniform over all p^2, or over the p^2 - 1
other than (0, 0) (``zero=False``). The counts are exact.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np

from phasescope.theory.domains import array, checked, flag, integers, whole
from phasescope.theory.residues import require_prime
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "pool_bayes",
    "rank_chances",
    "ratio_accuracy",
    "ratio_coverage",
    "regression_accuracy",
    "span_coverage",
]

prime = whole(2, 10_000)
some = whole(0, 10_000)


def _checked(p: int, shots: int, distinct: bool) -> None:
    require_prime(p, "linear functions in context")
    if distinct and shots >= p * p:
        raise BadInput(f"shots is {shots}: {p} squared is {p * p}, so with a question at most {p * p - 1} can differ.")


@checked(p=prime, shots=some, distinct=flag)
def ratio_coverage(p: int, shots: int, *, distinct: bool = True) -> float:
    """Return the fraction of questions that are 0 or a multiple of one example, which is then not 0.

    With replacement 1/p^2 + (1 - 1/p^2) (1 - (1 - (p - 1)/p^2)^shots); distinct, the p - 2 other multiples of the
    question are missed by all examples with chance C(p^2 - p + 1, shots) / C(p^2 - 1, shots) (derived).

    >>> round(ratio_coverage(29, 13, distinct=False), 3), round(ratio_coverage(5, 11), 3)
    (0.357, 0.864)
    """
    _checked(p, shots, distinct)
    zero = Fraction(1, p * p)
    if distinct:
        missed = Fraction(comb(p * p - p + 1, shots), comb(p * p - 1, shots))
    else:
        missed = (1 - Fraction(p - 1, p * p)) ** shots
    return float(zero + (1 - zero) * (1 - missed))


@checked(p=prime, shots=some, distinct=flag)
def ratio_accuracy(p: int, shots: int, *, distinct: bool = True) -> float:
    """Return the accuracy of ratio matching: right where a ratio covers the question, 1/p by guessing elsewhere."""
    covered = ratio_coverage(p, shots, distinct=distinct)
    return covered + (1 - covered) / p


@checked(p=prime, shots=some, distinct=flag)
def rank_chances(p: int, shots: int, *, distinct: bool = True) -> tuple[float, float, float]:
    """Return the chances that the examples' inputs have rank 0, 1 and 2 over Z_p: the p + 1 lines through 0, counted.

    With replacement p^(-2 shots) and ((p + 1) (p^shots - 1) + 1) p^(-2 shots) for at most 0 and 1; distinct,
    (p + 1) C(p, shots) / C(p^2, shots) for at most 1 from two examples on (derived).
    """
    _checked(p, shots, distinct)
    zero, one = _ranks(p, shots, distinct)
    return float(zero), float(one), float(1 - zero - one)


def _ranks(p: int, k: int, distinct: bool) -> tuple[Fraction, Fraction]:
    if not distinct:
        every = p ** (2 * k)
        return Fraction(1, every), Fraction((p + 1) * (p**k - 1), every)
    if k < 2:
        zero = Fraction(1, p * p) if k else Fraction(1)
        return zero, 1 - zero
    return Fraction(0), Fraction((p + 1) * comb(p, k), comb(p * p, k))


@checked(p=prime, shots=some, distinct=flag)
def span_coverage(p: int, shots: int, *, distinct: bool = True) -> float:
    """Return the fraction of questions that the examples determine: those in their span over Z_p (derived)."""
    _checked(p, shots, distinct)
    return float(_spanned(p, shots, distinct))


def _spanned(p: int, k: int, distinct: bool) -> Fraction:
    zero, one = _ranks(p, k, distinct)
    if not distinct:
        return 1 - zero - one + one / p + zero / (p * p)
    # on a line of p inputs k are taken; where all examples are 0, which is one example at most, 0 is taken too
    inside = Fraction(p - k, p * p - k) if k else Fraction(1, p * p)
    return 1 - zero - one + one * inside + (zero * inside if k == 0 else 0)


@checked(p=prime, shots=some, distinct=flag, zero=flag)
def regression_accuracy(p: int, shots: int, *, distinct: bool = True, zero: bool = True) -> float:
    """Return the accuracy of the best answers, Bayes over all tasks: certain in the span, chance outside.

    Chance is 1/p over all p^2 tasks. Without the task (0, 0) it is p/(p^2 - 1), from no example and from one line of
    them alike (derived): where all answers on the line are 0, the answer outside is not.

    >>> [round(regression_accuracy(29, k, distinct=False), 3) for k in (1, 2, 3)]
    [0.068, 0.967, 0.999]
    """
    _checked(p, shots, distinct)
    known, chance = _spanned(p, shots, distinct), Fraction(1, p) if zero else Fraction(p, p * p - 1)
    return float(known + (1 - known) * chance)


@checked(pool=array(2, integer=True), inputs=array(1, integer=True), answers=array(1, integer=True), p=prime)
def pool_bayes(pool: Array, inputs: Array, answers: Array, p: int) -> Array:
    """Return Bayes' probabilities (K, p) of each answer of one sequence, from the examples before it.

    ``pool`` (n, I): the answers of each task to each of I inputs; the prior is uniform over it. ``inputs`` (K,) are
    numbers below I, ``answers`` (K,) what was shown. The likelihood is that of label noise that vanishes: the tasks
    with the fewest contradictions count, all alike, so that sequences of a task outside the pool have answers too.
    Raises ``BadInput`` for numbers out of range.
    """
    for name, found, top in (("pool", pool, p), ("inputs", inputs, pool.shape[1]), ("answers", answers, p)):
        integers(0, top - 1)(name, found.ravel().tolist())
    if inputs.shape != answers.shape:
        raise BadInput(f"there are {len(inputs)} inputs and {len(answers)} answers: give one answer for each input.")
    found = np.zeros((len(inputs), p))
    for k in range(len(inputs)):
        faults = [sum(task[inputs[j]] != answers[j] for j in range(k)) for task in pool]
        best = [task for task, wrong in zip(pool, faults, strict=True) if wrong == min(faults)]
        for task in best:
            found[k, task[inputs[k]]] += 1 / len(best)
    return found
