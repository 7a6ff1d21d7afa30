"""What one model says to one scenario: scores of each item, in each draw of examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from phasescope.ensemble import streams
from phasescope.evaluation.items import Item, Scenario
from phasescope.evaluation.likelihoods import Kept, Likelihoods, likelihoods
from phasescope.evaluation.metrics import worst_case
from phasescope.evaluation.perturbations import mild_mix
from phasescope.evaluation.scenarios import prompts
from phasescope.evaluation.subject import Evaluated
from phasescope.vocabulary import Array

Progress = Callable[[str, int, int], object]
Passed = Callable[[int, int], object]


@dataclass(frozen=True)
class Answers:
    """Scores (draws, n) of the n items of a scenario; what does not exist there is NaN.

    ``predicted``: place of the likeliest choice; ``correct`` and ``correct_norm``: 1 where it is right, the latter with
    likelihoods per character; ``confidence``: probability of the likeliest choice among the choices; ``worst``: the
    least ``correct`` over the item and its perturbations. ``bits`` and ``sizes``: of passages, in bits and bytes.
    ``seconds`` and ``tokens``: of the passes made for the item as it is.
    """

    predicted: Array
    correct: Array
    correct_norm: Array
    confidence: Array
    worst: Array
    bits: Array
    sizes: Array
    seconds: Array
    tokens: Array


@dataclass(frozen=True)
class Asking:
    """How items are asked: ``shots`` examples in ``draws`` draws, and in how many ``perturbations`` (0: none)."""

    shots: int
    draws: int
    seed: int
    perturbations: int
    batch: int | None


def answers(
    subject: Evaluated, asked: Scenario, pool: Sequence[Item], how: Asking, kept: Kept, tell: Passed
) -> Answers:
    """Ask ``subject`` all of a scenario; ``pool`` has the examples. Raises what ``likelihoods`` raises."""
    if not asked.asks:
        return _predicted(subject, asked, how, kept, tell)
    found = [_draw(subject, asked, list(pool), how, kept, tell, draw) for draw in range(how.draws)]
    return Answers(*(np.stack(parts) for parts in zip(*found, strict=True)))


def _predicted(subject: Evaluated, asked: Scenario, how: Asking, kept: Kept, tell: Passed) -> Answers:
    requests, sizes = zip(*(subject.passage(text) for text in asked.texts), strict=True)
    found = likelihoods(subject, requests, batch=how.batch, kept=kept, on_progress=tell)
    nothing = np.full((how.draws, len(asked)), np.nan)

    def same(row: Array) -> Array:
        return np.broadcast_to(np.asarray(row, dtype=float), nothing.shape).copy()

    bits = same(-found.value / np.log(2))
    none = (nothing, nothing, nothing, nothing, nothing)
    return Answers(*none, bits, same(np.array(sizes)), same(found.seconds), same(found.tokens))


def _draw(
    subject: Evaluated, asked: Scenario, pool: list[Item], how: Asking, kept: Kept, tell: Passed, draw: int
) -> tuple[Array, ...]:
    before = prompts(asked, pool, how.shots, how.seed, draw)
    found = _likelihoods(subject, asked.items, before, how, kept, tell)
    counts = [len(item.choices) for item in asked.items]
    cuts = np.cumsum(counts)[:-1]
    values = np.split(found.value, cuts)
    lengths = [np.array([len(choice) for choice in item.choices]) for item in asked.items]
    right = np.array([item.answer for item in asked.items])
    predicted = np.array([int(v.argmax()) for v in values])
    norm = np.array([int((v / n).argmax()) for v, n in zip(values, lengths, strict=True)])
    confidence = np.array([1 / np.exp(v - v.max()).sum() for v in values])
    correct = (predicted == right).astype(float)
    worst = np.full(len(right), np.nan)
    if how.perturbations:
        worst = worst_case(np.stack([correct, *_perturbed(subject, asked, before, how, kept, tell)]))
    nothing = np.full(len(right), np.nan)
    spent = [np.array([part.sum() for part in np.split(x, cuts)]) for x in (found.seconds, found.tokens)]
    same = (norm == right).astype(float)
    return predicted.astype(float), correct, same, confidence, worst, nothing, nothing, *spent


def _perturbed(subject: Evaluated, asked: Scenario, before: str, how: Asking, kept: Kept, tell: Passed) -> list[Array]:
    """Return ``correct`` (n,) for each perturbation of the questions; choices and examples stay as they are."""
    generators, found = streams(how.seed), []
    right = np.array([item.answer for item in asked.items])
    for k in range(how.perturbations):
        items = [
            replace(item, question=mild_mix(item.question, generators, i, k)) for i, item in enumerate(asked.items)
        ]
        said = _likelihoods(subject, items, before, how, kept, tell).value
        parts = np.split(said, np.cumsum([len(item.choices) for item in items])[:-1])
        found.append((np.array([int(part.argmax()) for part in parts]) == right).astype(float))
    return found


def _likelihoods(
    subject: Evaluated, items: Sequence[Item], before: str, how: Asking, kept: Kept, tell: Passed
) -> Likelihoods:
    requests = [subject.choice(before + item.question, choice) for item in items for choice in item.choices]
    return likelihoods(subject, requests, batch=how.batch, kept=kept, on_progress=tell)
