"""The claims of the study ``hard-examples``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phasescope.lab.measures import Measure, at, at_least, at_most, value
from phasescope.studies.hard_examples.settings import (
    ALIKE,
    APART,
    EASY,
    EL2N,
    FLIPPED,
    FULL,
    HALVES,
    HARD,
    LAST_LOSS,
    MEAN_MARGIN,
    MINI,
    ONE_LAST_LOSS,
    OTHERS,
    RANDOM,
    SAME,
    SHUFFLED,
    TRUE,
    TWO,
    HardExampleSettings,
)
from phasescope.verdict import Claim, Control, Source

DIET = "Paul et al. 2021, arXiv:2107.07075, abstract"
ORDER = "Hacohen et al. 2020, arXiv:1905.10854: networks learn examples in one order (place not checked)"
MATTERS = "ours: the smallest effect that matters"
UNIT, CORRELATION, POSITIVE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)


def claims(s: HardExampleSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_scores(s), *_orders(), *_pruned(s), *_coherence(s))


def _scores(s: HardExampleSettings) -> Sequence[Claim]:
    wrong, area = at("scores", labels=FLIPPED), {by: value("area", score=by) for by in (EL2N, ONE_LAST_LOSS)}
    precision = {by: value("precision", score=by) for by in (EL2N, MEAN_MARGIN, LAST_LOSS)}
    halves, two = (value("agreement", between=between) for between in (HALVES, TWO))
    return (
        Claim("wrong-labels-found",
            f"Of rows of which {s.flips:.0%} have a wrong label, EL2N early in training finds these (area under the "
            "curve)",
            Source(paper=f"{DIET}: scores detect noisy examples", ours="the area", checked=True,
                tolerance="ours: 0.97, asked of the tool before it was measured"),
            area[EL2N](wrong), at_least(0.97),
            Control("the loss of one network at the end, when labels are fitted", area[ONE_LAST_LOSS](wrong)),
            range=UNIT),
        Claim("networks-beat-class-means",
            "EL2N has more wrong labels among as many rows than what no network is needed for: being nearer to the "
            "mean of another class (difference of precision)",
            Source(ours="asked: is a network needed?", tolerance="ours: one in a hundred"),
            (precision[EL2N] - precision[MEAN_MARGIN])(wrong), at_least(0.01),
            Control("the mean loss of all networks at the end less the same",
                (precision[LAST_LOSS] - precision[MEAN_MARGIN])(wrong)), range=CORRELATION),
        Claim("halves-agree",
            f"Two halves of {s.networks} networks rank rows alike by EL2N (rank correlation)",
            Source(paper=f"{DIET}: scores averaged over several initializations", ours="the correlation",
                checked=True, tolerance="ours: 0.98, asked of the tool before it was measured"),
            halves(wrong), at_least(0.98),
            Control("the same with shuffled labels: networks that share rows and labels agree anyhow",
                halves(at("scores", labels=SHUFFLED))), range=CORRELATION),
        Claim("one-network-is-few",
            "The scores of one network are not those of another (rank correlation of EL2N)",
            Source(paper=f"{DIET}: averaged over several initializations", ours="0.9 or less", checked=True,
                tolerance="ours: the least that two readings of one thing should have"),
            two(wrong), at_most(0.9), Control("two halves of the networks", halves(wrong)), range=CORRELATION),
    )  # fmt: skip


def _orders() -> Sequence[Claim]:
    true, shuffled = at("orders", labels=TRUE), at("orders", labels=SHUFFLED)
    same, apart, others, alike = (value("agreement", compared=pair) for pair in (SAME, APART, OTHERS, ALIKE))
    return (
        Claim("order-is-the-datas",
            "Two networks that share neither rows nor beginning learn rows that neither saw in one order (rank "
            "correlation of accessibility)",
            Source(paper=ORDER, ours="of disjoint rows, by 0.2", tolerance=MATTERS),
            apart(true), at_least(0.2), Control("shuffled labels", shuffled), range=CORRELATION),
        Claim("shared-rows-agree-anyhow",
            "Where labels are shuffled, two networks still learn the rows on which both train in one order (rank "
            "correlation of accessibility)",
            Source(pilot="one data set of white noise, docs/scores.md", value="0.55",
                tolerance="ours: about half of it"),
            same(shuffled), at_least(0.3), Control("rows that neither saw", apart(shuffled)), range=CORRELATION),
        Claim("one-beginning-adds",
            "Two networks on disjoint rows agree more if they begin from the same weights (difference of rank "
            "correlations)",
            Source(ours="asked: must the null have two beginnings?", tolerance=MATTERS),
            (alike - apart)(true), at_least(0.05),
            Control("other pairs that begin from other weights", (others - apart)(true)), range=(-2.0, 2.0)),
    )  # fmt: skip


def gain(dropped: str, drop: float) -> Measure:
    """Return by how much accuracy is higher where the rows ``dropped`` go than where as many random ones do."""
    return value("accuracy", dropped=dropped, drop=drop) - value("accuracy", dropped=RANDOM, drop=drop)


def _pruned(s: HardExampleSettings) -> Sequence[Claim]:
    few, half, most = s.drops[0], s.drops[len(s.drops) // 2], s.drops[-1]
    true, wrong = at("pruned", labels=TRUE), at("pruned", labels=FLIPPED)
    return (
        Claim("hardest-are-wrong",
            f"Where {s.flips:.0%} of labels are wrong, dropping the hardest {few:.0%} by EL2N gives higher test "
            "accuracy than dropping as many at random (difference)",
            Source(paper=f"{DIET}: noisy examples, in direction", ours="by four in a hundred", checked=True,
                tolerance=MATTERS),
            gain(HARD, few)(wrong), at_least(0.04), Control("no label is wrong", gain(HARD, few)(true)),
            range=CORRELATION),
        Claim("easy-half-goes",
            f"Where labels are right, dropping the easiest {half:.0%} gives no lower test accuracy than dropping as "
            "many at random, at equal steps (difference)",
            Source(paper=f"{DIET}: half of CIFAR-10 can be pruned", ours="against random rows, on these images",
                checked=True, tolerance="ours: none, the sign is asked"),
            gain(EASY, half)(true), at_least(0.0),
            Control(f"{s.flips:.0%} of labels are wrong: then the hard rows that stay are these",
                gain(EASY, half)(wrong)), range=CORRELATION),
        Claim("hard-rows-alone-fail",
            f"Where {most:.0%} go, the hardest that are left give lower test accuracy than random ones (difference)",
            Source(ours="asked: how far does it go?", tolerance=MATTERS),
            gain(EASY, most)(true), at_most(-0.03), Control(f"where {half:.0%} go", gain(EASY, half)(true)),
            range=CORRELATION),
    )  # fmt: skip


def ratio(reading: str, **where: float) -> Measure:
    """Return the coherence with true labels over that with shuffled ones."""
    return value(reading, given=TRUE, **where) / value(reading, given=SHUFFLED, **where)


def _coherence(s: HardExampleSettings) -> Sequence[Claim]:
    level, after = s.levels[len(s.levels) // 2], s.equal[-1]
    full, mini = at("coherence", batches=FULL), at("coherence", batches=MINI)
    matched, equal = ratio("matched", level=level), ratio("equal", after=after)
    paper = "Chatterjee and Zielinski 2022, arXiv:2203.10036, abstract: very different on real and random datasets"
    return (
        Claim("coherence-at-one-loss",
            f"At a training loss of {level:g}, gradients are more coherent with true labels than with shuffled ones, "
            "five times or more in full batches (ratio)",
            Source(paper=paper, ours="five times", checked=True, tolerance="ours: far above the scatter of seeds"),
            matched(full), at_least(5.0), Control(f"after {after} steps, at unequal losses", equal(full)),
            range=POSITIVE),
        Claim("reversed-at-one-step",
            f"After {after} steps of mini-batches it is the reverse: shuffled labels have twice the coherence or more "
            "(ratio), for the true ones are fitted by then",
            Source(ours="asked: must losses be matched?", tolerance="ours: a factor of two"),
            equal(mini), at_most(0.5), Control(f"the same networks at a loss of {level:g}", matched(mini)),
            range=POSITIVE),
    )  # fmt: skip
