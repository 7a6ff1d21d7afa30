"""The claims of the study ``semantic-duplicates``: a measure at a cell, an expectation fixed here, and a control.

Where a network learns, the control is that as much is taken out at random, or that there are no copies to take out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, between, end, near, value
from phasescope.studies.semantic_duplicates.settings import (
    ALL,
    BRIGHTNESS,
    EASY,
    EXACT,
    HARD,
    NOISE,
    RANDOM,
    SHIFT,
    STRENGTHS,
    DuplicateSettings,
)
from phasescope.verdict import Cell, Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Abbas et al. 2023, arXiv:2303.09540"
CODE = "facebookresearch/SemDeDup, semdedup.py"
MATTERS = "ours: the smallest effect that matters"
UNIT, DIFFERENCE, POSITIVE, REALS = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)


def claims(s: DuplicateSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings; those about mail and speeches need folders of them."""
    return (*_groups(s), *_rules(), *_missed(), *_planted(s), *_images(s), *_text(s), *_given(s))


def furthest(reading: str, words: str) -> Measure:
    """Return the largest distance of a reading from 1, over clusters and epsilons."""

    def read(cell: xr.Dataset) -> Array:
        off = abs(cell[reading] - 1)
        return np.asarray(off.max([dim for dim in off.dims if dim != "seed"]).values)

    return Measure(read, words)


def over(reading: str, how: str) -> Measure:
    """Return the largest ("max") or smallest ("min") of a reading over clusters and epsilons."""

    def read(cell: xr.Dataset) -> Array:
        found = cell[reading]
        return np.asarray(getattr(found, how)([dim for dim in found.dims if dim != "seed"]).values)

    return Measure(read, f"{how} of {reading} over clusters and epsilons")


def _groups(s: DuplicateSettings) -> Sequence[Claim]:
    one, most = at("groups", clusters=1), max(s.clusters)
    low, high = s.epsilons[0], s.epsilons[-1]
    known = Source(ours="the rows are made so: cosines of 0.99 or more within a group, far smaller between groups",
                   tolerance="ours: rounding in one cluster")  # fmt: skip
    off = furthest("kept", "rows that stay over groups, furthest from 1")
    exact = furthest("exact", "rows that stay where exact copies go over groups, less 1")
    return (
        Claim("groups-in-one-cluster",
            f"Of {s.rows} rows of {s.groups} groups, one of each stays at any epsilon from {low:g} to {high:g} "
            "(rows over groups, furthest from 1)",
            known, off(one), at_most(1e-9), Control("exact copies alone go", exact(one)), range=POSITIVE),
        Claim("groups-in-clusters",
            f"and in up to {most} clusters at most five in a thousand more",
            Source(ours="how much do clusters part?", tolerance="ours: five in a thousand"),
            off(at("groups")), at_most(0.005), Control("exact copies alone go", exact(at("groups"))), range=POSITIVE),
        Claim("none-lost", "No group is lost (share of groups of which nothing stays, the largest)",
            Source(code=f"{CODE}: the first row of a group is kept", checked=True, tolerance="ours: none"),
            over("lost", "max")(at("groups")), at_most(0.0),
            Control("as many random rows stay", over("lost_random", "min")(at("groups"))), range=UNIT),
        Claim("larger-epsilon-keeps-fewer",
            "With a larger epsilon none stays that went with a smaller one (rows over groups)",
            Source(derived="data.near_copies.nearest_earlier: a row goes if its largest earlier cosine is above "
                "1 - epsilon", tolerance="ours: none"),
            over("unnested", "max")(at("groups")), at_most(0.0),
            Control("each epsilon takes rows in an order of its own", over("unnested_anew", "min")(at("groups"))),
            range=POSITIVE),
    )  # fmt: skip


def _rules() -> Sequence[Claim]:
    def similarity(order: str) -> Measure:
        return value("similarity", order=order)

    least = partial(Measure, words="the smaller of random less hard and easy less random")

    def gaps(cell: xr.Dataset) -> Array:
        found = cell["similarity"]
        pairs = (("random", "hard"), ("easy", "random"))
        return np.asarray(np.min([found.sel(order=a).values - found.sel(order=b).values for a, b in pairs], 0))

    chains = at("chains")
    return (
        Claim("hard-keeps-what-is-far",
            "What stays is least like its centroid with the order hard and most with easy, and random lies between "
            "(the smaller difference of the mean cosine)",
            Source(ours="by how much? which_to_keep of the authors' semdedup.py says the order",
                tolerance="ours: a thousandth, half of what one data set had"),
            least(gaps)(at("orders")), at_least(0.001),
            Control("two random orders", (similarity("random again") - similarity("random"))(at("orders"))),
            range=DIFFERENCE),
        Claim("chains",
            "Of a chain of three, neighbours alike and ends not, 4/3 stay by the paper's rule in a random order",
            Source(code=f"{CODE}: the largest cosine with any earlier row, kept or not",
                checked=True, tolerance="ours: three standard errors of the chains of a seed"),
            value("stay", rule="paper")(chains), between(4 / 3 - 0.06, 4 / 3 + 0.06),
            Control("the rule by which only what is kept removes: 5/3", value("stay", rule="leader")(chains)),
            range=(0.0, 3.0)),
        Claim("doubled", "Of rows that are all there twice, the unique ones stay at epsilon 1e-5, in clusters too",
            Source(ours="copies have one cosine with all, and share a cluster", tolerance="ours: none"),
            value("doubled")(chains), near(1.0, 1e-9),
            Control("the second of each is a hundredth off", value("nearly")(chains)), range=(0.0, 2.0)),
    )  # fmt: skip


def _missed() -> Sequence[Claim]:
    return (
        Claim("missed-is-in-its-interval",
            "The interval of the number of near pairs that clusters part has the exact number in 95 % of samples or "
            "more",
            Source(derived="data.missed.missed: Clopper's and Pearson's interval times a normal one",
                tolerance="the level that it states"),
            value("covered")(at("missed")), at_least(0.95),
            Control("1.96 square roots of the pairs seen, as if they were independent", value("by_pairs")),
            range=UNIT),
    )  # fmt: skip


def both(prefix: str, strength: int) -> Measure:
    """Return the smaller of recall and precision at a strength."""

    def read(cell: xr.Dataset) -> Array:
        found = [cell[f"{prefix}{name}"].sel(strength=strength).values for name in ("recall", "precision")]
        return np.asarray(np.min(found, 0))

    return Measure(read, f"the smaller of {prefix}recall and precision, strength {strength}")


def _planted(s: DuplicateSettings) -> Sequence[Claim]:
    def found(name: str, change: str, words: str, strength: int) -> Claim:
        cell = at("planted", change=change)
        return Claim(
            name, f"Copies {words} are found by the cosine of pixels at epsilon {s.epsilon:g} (the smaller of recall "
            "and precision, exact copies not counted)",
            Source(ours="asked of the tool before it was measured", tolerance="ours: 0.98"),
            both("", strength)(cell), at_least(0.98),
            Control("equal bits, brighter than the mean or not: an average hash", both("hash_", strength)(cell)),
            range=UNIT)  # fmt: skip

    noise, bright = STRENGTHS[NOISE][1], STRENGTHS[BRIGHTNESS][1]
    return (
        found("noisy-copies-found", NOISE, f"with noise of {noise:g} of the range", 2),
        found("brighter-copies-found", BRIGHTNESS, f"brighter by {bright:g} of the range", 2),
        Claim("shifted-copies-missed",
            f"Copies that are moved by {STRENGTHS[SHIFT][1]:g} of a pixel are not found: pixels are no embedding for "
            "that (recall)",
            Source(ours="the limit of the embedding", tolerance="ours: a tenth"),
            value("recall", strength=2)(at("planted", change=SHIFT)), at_most(0.1),
            Control("noise", value("recall", strength=2)(at("planted", change=NOISE))), range=UNIT),
    )  # fmt: skip


def lowest(reading: str) -> Measure:
    """Return the smallest record of a reading."""
    return Measure(lambda cell: cell[reading].min("step"), f"lowest {reading}")


def compared(
    reading: str, one: str, other: str, cell: Cell, other_cell: Cell | None = None,
    how: Callable[[str], Measure] = end,
) -> Measured:  # fmt: skip
    """Return what one selection has of a reading, at the end, less what another has, there or in another cell."""

    def read(a: xr.Dataset, b: xr.Dataset) -> Array:
        both = [how(reading).read(data.sel(stays=name)).values for data, name in ((a, one), (b, other))]
        return np.asarray(both[0] - both[1])

    return Measure(read, f"{how(reading).words}: {one} less {other}")(cell, other_cell or cell)


def _images(s: DuplicateSettings) -> Sequence[Claim]:
    names = ("images", "image_epochs", "clean_images", "clean_image_epochs")
    steps, epochs, clean, clean_epochs = map(at, names)
    share, times = f"{s.copied:.0%} of images have {s.copies} near copies each", f"a {s.whole}th of the steps"
    test = "test_accuracy"
    gains = Source(paper=f"{PAPER}, abstract: it preserves performance", checked=True,
                   ours="against random rows, by three in a hundred", tolerance=MATTERS)  # fmt: skip
    keeps = Source(paper=f"{PAPER}, abstract: minimal performance loss", checked=True,
                   ours="two in a hundred", tolerance=MATTERS)  # fmt: skip
    return (
        Claim("images-beat-random",
            f"Where {share}, networks that learn without these have higher test accuracy than those that learn as many "
            "random rows, at equal steps (difference)",
            gains, compared(test, HARD, RANDOM, steps), at_least(0.03),
            Control("data without copies, of which as small a share is kept by the same rule",
                compared(test, HARD, RANDOM, clean)), range=DIFFERENCE),
        Claim("images-beat-random-epochs", f"and at equal epochs, {times} (difference)",
            gains, compared(test, HARD, RANDOM, epochs), at_least(0.03),
            Control("data without copies", compared(test, HARD, RANDOM, clean_epochs)), range=DIFFERENCE),
        Claim("images-keep-accuracy",
            "They have no lower test accuracy than those that learn all rows, at equal steps (difference)",
            keeps, compared(test, HARD, ALL, steps), at_least(-0.02),
            Control("as many taken out at random", compared(test, RANDOM, ALL, steps)), range=DIFFERENCE),
        Claim("images-keep-accuracy-epochs", f"nor at equal epochs, in {times} (difference)",
            keeps, compared(test, HARD, ALL, epochs, steps), at_least(-0.02),
            Control("as many taken out at random", compared(test, RANDOM, ALL, epochs, steps)), range=DIFFERENCE),
        Claim("order-does-not-matter",
            "Which row of each group stays, the easy or the hard one, does not matter (difference of test accuracy)",
            Source(paper=f"{PAPER}, on the choice of what is kept (place not checked)", ours="two in a hundred",
                tolerance=MATTERS),
            compared(test, EASY, HARD, steps), between(-0.02, 0.02),
            Control("as many random rows", compared(test, RANDOM, HARD, steps)), range=DIFFERENCE),
    )  # fmt: skip


def _text(s: DuplicateSettings) -> Sequence[Claim]:
    names = ("text", "text_epochs", "clean_text", "clean_text_epochs")
    steps, epochs, clean, clean_epochs = map(at, names)
    loss = "test_loss"
    share = f"{s.copied:.0%} of paragraphs are repeated {s.copies} times, some tokens replaced"
    source = Source(ours="asked: the paper's question, of a small language model", tolerance=MATTERS)
    return (
        Claim("text-gains",
            f"Where {share}, a decoder that learns without these has a lower test loss than one that learns all, at "
            "equal steps (difference, nats)",
            source, compared(loss, ALL, HARD, steps), at_least(0.1),
            Control("paragraphs without copies, of which as small a share is kept", compared(loss, ALL, HARD, clean)),
            range=REALS),
        Claim("text-beats-exact", "and a lower one than where exact copies alone go (difference, nats)",
            source, compared(loss, EXACT, HARD, steps), at_least(0.05),
            Control("as many random paragraphs in place of those without copies",
                compared(loss, EXACT, RANDOM, steps)), range=REALS),
        Claim("text-beats-random", "and a lower one than as many random paragraphs (difference, nats)",
            source, compared(loss, RANDOM, HARD, steps), at_least(0.3),
            Control("paragraphs without copies", compared(loss, RANDOM, HARD, clean)), range=REALS),
        Claim("text-beats-random-epochs", f"at equal epochs too, in a {s.whole}th of the steps (difference, nats)",
            source, compared(loss, RANDOM, HARD, epochs), at_least(0.03),
            Control("paragraphs without copies, in as few steps", compared(loss, RANDOM, HARD, clean_epochs)),
            range=REALS),
        Claim("text-gains-at-best",
            "Where each stops when its test loss is lowest, a decoder still does better without near copies than with "
            "all (difference, nats): it is not that repeats are learnt by heart late",
            source, compared(loss, ALL, HARD, steps, how=lowest), at_least(0.03),
            Control("paragraphs without copies", compared(loss, ALL, HARD, clean, how=lowest)), range=REALS),
    )  # fmt: skip


def _given(s: DuplicateSettings) -> Sequence[Claim]:
    found = []
    if s.mail:
        found.append(Claim(
            "mail-has-copies", "Of mails that go by words, four fifths or more have a copy by shingles",
            Source(pilot="all 1,396 mails of spam-2, docs/dedup.md", value="93 %", tolerance="ours: four fifths"),
            value("right")(at("mail")), at_least(0.8),
            Control("as many random mails", value("chance")(at("mail"))), range=UNIT, kind="simulation"))  # fmt: skip
    if s.speeches:
        found.append(Claim(
            "speeches-have-none", "Of texts without copies none goes (share)",
            Source(ours="no pair of them has a Jaccard index of 0.5", tolerance="ours: none"),
            value("gone")(at("speeches")), at_most(0.0),
            Control("mails", value("gone")(at("mail"))) if s.mail else Control("copies among digits",
                value("recall", strength=2)(at("planted", change=NOISE))), range=UNIT, kind="simulation"))  # fmt: skip
    return tuple(found)
