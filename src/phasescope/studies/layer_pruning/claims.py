"""The claims of the study ``layer-pruning``: a measure at a decoder's readings, an expectation, and a control.

Two rivals stand beside most of them: the place of a block alone, without any distance, and the same decoder before it
was trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, by_seed, near, rank_correlation, value
from phasescope.studies.layer_pruning.settings import LayerSettings
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Gromov et al. 2024"
PILOT = "a decoder of this shape on source code, 727 steps, one seed"
ALIKE = f"{PAPER}, Sec. 4.3, Fig. 4: distances are smallest in deep blocks"
SAME = Source(ours="whether another instrument, neighbour_overlap, sees the same", tolerance="half of the variance")
RATIO, SIGNED = (0.0, math.inf), (-2.0, 2.0)
SMALL, REAL = at("small"), at("real")


def claims(s: LayerSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    small = (_removal(s), _predicts(s), _shape(s), _healing(s)) if s.depth else ()
    real = (_real_distances(s), _real_losses(s), _real_answers(s)) if s.model else ()
    one = f" (one model, {Path(s.model).name})"
    draws = [replace(c, sentence=c.sentence + one, counts="draws of text") for group in real for c in group]
    return (*(claim for group in small for claim in group), *draws)


def row(one: xr.Dataset, name: str, n: int) -> Array:
    """Return a quantity of blocks of ``n`` layers, for every first layer that there is."""
    values = np.asarray(one[name].sel(n=n).values)
    kept: Array = values[np.isfinite(values)]
    return kept


def _removal(s: LayerSettings) -> Sequence[Claim]:
    n = s.depth // 3

    def rise(start: int) -> Measure:
        return value("loss", n=n, layer=start) - value("base")

    def missed_most(reading: Measure, words: str) -> Measure:
        def read(cell: xr.Dataset) -> xr.DataArray:
            losses: xr.DataArray = reading.read(cell)
            return losses.sel(layer=0) - losses.drop_sel(layer=0).max("layer")  # blocks past the end are NaN

        return Measure(read, f"loss without the first {n} layers less the largest of others{words}")

    return (
        Claim("small-first-layer", f"Without the first {n} layers the loss rises by a nat per character or more",
            Source(ours="nobody would take such a loss", tolerance="the least that is out of the question"),
            rise(0)(SMALL), at_least(1.0),
            Control(f"without as many layers from the second on: {n} that leave the first", rise(1)), unit="nats"),
        Claim("small-first-worst",
            f"The first {n} layers are missed more than any other {n}, by a tenth of a nat or more",
            Source(ours="whether distance, which is largest there, says where loss is largest",
                tolerance="the smallest difference that matters"),
            missed_most(value("loss", n=n), "")(SMALL), at_least(0.1),
            Control("before training", missed_most(value("untrained_loss"), ", before training")), unit="nats"),
    )  # fmt: skip


def blocks(one: xr.Dataset, counts: Sequence[int]) -> list[tuple[Array, Array]]:
    """Return distances and losses of every block of n layers, for each n of ``counts``.

    Of a real model the losses are kept for one n alone, under ``each``.
    """
    return [(row(one, "distance", n), one.each.values if "each" in one else row(one, "loss", n)) for n in counts]


def ranked_beyond_place(counts: Sequence[int], name: str = "distance") -> Measure:
    """Return by how much ``name`` orders blocks by their losses better than their place does: the mean over n.

    Both are rank correlations with the loss; by place, the earlier a block begins the more should be lost.
    """

    @partial(by_seed, words=f"rank correlation of {name} and loss less that of the place")
    def read(one: xr.Dataset) -> float:
        far = [row(one, name, n) for n in counts]
        losses = [loss for _, loss in blocks(one, counts)]
        places = [rank_correlation(-np.arange(len(loss)), loss) for loss in losses]
        return float(np.mean([rank_correlation(*pair) for pair in zip(far, losses, strict=True)]) - np.mean(places))

    return read


Pick = Callable[[Array, Array], float]  # of the distances and losses of blocks of one size, the loss of a choice


def _nearest(far: Array, loss: Array) -> float:
    return float(loss[far.argmin()])


def _deepest(_: Array, loss: Array) -> float:
    return float(loss[-2])  # the last block but one ends before the last layer


def _any(_: Array, loss: Array) -> float:
    return float(loss.mean())


def chosen(counts: Sequence[int], first: Pick, second: Pick, words: str) -> Measure:
    """Return the loss without a block that is chosen one way less that of another: the mean over n."""

    @partial(by_seed, words=f"loss without {words}")
    def read(one: xr.Dataset) -> float:
        return float(np.mean([first(*both) - second(*both) for both in blocks(one, counts)]))

    return read


def _predicts(s: LayerSettings) -> Sequence[Claim]:
    counts, all_counts = [n for n in (1, 2, 4) if n <= s.depth // 2], range(1, s.depth // 2 + 1)
    tried = ", ".join(map(str, counts))
    return (
        Claim("small-distance-predicts",
            "Distances order blocks by what is lost without them better than their place alone does (rank "
            f"correlations, by 0.1 or more, mean over n {tried})",
            Source(paper=f"{PAPER}, Sec. 3.2: distance says which block to leave out", ours="better than place",
                tolerance="the smallest gain for which one would read distances"),
            ranked_beyond_place(counts)(SMALL), at_least(0.1),
            Control("distances before training", ranked_beyond_place(counts, "untrained")), range=SIGNED),
        Claim("small-nearest",
            "Before healing less is lost without the nearest block than without the deepest but the last layer (by "
            "0.02 or more, mean over n)",
            Source(paper=f"{PAPER}, Sec. 4.4: without healing the deepest block is a bad choice", ours="0.02",
                tolerance="the smallest difference that matters"),
            chosen(all_counts, _nearest, _deepest, "the nearest block less the deepest")(SMALL), at_most(-0.02),
            Control("a block of any place", chosen(all_counts, _any, _deepest, "any block less the deepest")),
            unit="nats"),
    )  # fmt: skip


def deep_over_shallow(name: str = "distance", *, but_last: bool = False) -> Measure:
    """Return the median distance over one layer in the deeper half of the layers over that in the shallower."""

    @partial(by_seed, words=f"{name} over one layer, deeper half over shallower")
    def read(one: xr.Dataset) -> float:
        far = row(one, name, 1)[: -1 if but_last else None]
        middle = len(far) // 2
        return float(np.median(far[middle:]) / np.median(far[:middle]))

    return read


def growth(starts: Sequence[int], most: int, name: str = "distance") -> Measure:
    """Return the least step of a distance d(l, l + n) from one n to the next, up to ``most``, l in ``starts``."""

    @partial(Measure, words=f"least growth of {name} per layer")
    def read(cell: xr.Dataset) -> xr.DataArray:
        steps: xr.DataArray = cell[name].sel(n=range(1, most + 1), layer=starts).diff("n")
        return steps.min(("n", "layer"), skipna=False)

    return read


def likeness(*, layers: bool = False) -> Measure:
    """Return the rank correlation of distance and shared neighbours over pairs of places that have a distance.

    ``layers``: of the number of layers between the places instead of the distance.
    """

    @partial(by_seed, words=f"rank correlation of {'layers between' if layers else 'distance'} and shared neighbours")
    def read(one: xr.Dataset) -> float:
        places = [int(p) for p in one.place.values]
        pairs = [(i, j) for i in places for j in places if i < j <= i + int(one.n.max()) and i < one.sizes["layer"]]
        far = np.array([j - i if layers else float(one.distance.sel(n=j - i, layer=i)) for i, j in pairs])
        alike = np.array([float(one.overlap.sel(place=i, other=j)) for i, j in pairs])
        return rank_correlation(far, alike)

    return read


def _shape(s: LayerSettings) -> Sequence[Claim]:
    starts, most = range(s.depth // 4, s.depth // 2 + 1), s.depth // 2
    return (
        Claim("small-deep-alike",
            "Deep layers are more alike than shallow ones (median distance of the deeper half over the shallower)",
            Source(paper=ALIKE, ours="a fifth", tolerance="the smallest difference that matters"),
            deep_over_shallow()(SMALL), at_most(0.8), Control("before training", deep_over_shallow("untrained")),
            range=RATIO),
        Claim("small-farther",
            "From the middle of the network the distance grows with every layer that is passed (least step)",
            Source(paper=f"{PAPER}, Fig. 4", tolerance="none: growth is above 0"), growth(starts, most)(SMALL),
            at_least(0.0), Control("before training", growth(starts, most, "untrained")), unit="pi"),
        Claim("small-neighbours",
            "The farther two places by angle, the fewer neighbours their clouds share (rank correlation over pairs)",
            SAME,
            likeness()(SMALL), at_most(-0.7),
            Control("the more layers between two places", likeness(layers=True)), range=(-1, 1)),
    )  # fmt: skip


def _healing(s: LayerSettings) -> Sequence[Claim]:
    nearest, deepest, wrong = (value("healed", healing=choice) for choice in ("nearest", "deepest", "wrong text"))
    whole, half, again = (value("seconds", **{"pass": name}) for name in ("whole", "half", "again"))
    unhealed = chosen([s.depth // 2], _deepest, _nearest, "the deepest block less the nearest, before healing")
    return (
        Claim("small-heals",
            f"{s.heal_steps} steps of training bring a decoder without half of its layers to 0.03 nats above the whole",
            Source(paper=f"{PAPER}, Sec. 4.2, Fig. 3: healing brings the loss back", pilot=PILOT,
                value="0.01 below the whole", tolerance="the smallest loss that matters"),
            (nearest - value("base"))(SMALL), at_most(0.03),
            Control("on characters in random order", wrong - value("base")), unit="nats"),
        Claim("small-heuristic",
            "After healing it does not matter whether the nearest or the deepest block went (difference of losses)",
            Source(paper=f"{PAPER}, Sec. 4.4, Fig. 5: nearly equal after healing, and not before", ours="0.03 nats",
                tolerance="the smallest difference that matters"), (deepest - nearest)(SMALL),
            near(0.0, 0.03), Control("before healing", unhealed), unit="nats"),
        Claim("small-time", "A pass without half of the layers takes half the processor time",
            Source(paper=f"{PAPER}, Sec. 5: cost goes with the layers", ours="a tenth",
                tolerance="what embedding, readout and the machine's unrest may add"), (half / whole)(SMALL),
            near(0.5, 0.1), Control("the whole decoder again", again / whole), range=RATIO),
    )  # fmt: skip


def _real_distances(s: LayerSettings) -> Sequence[Claim]:
    middle = range(8, 16)

    def nearer_than(back: int) -> Measure:
        @partial(by_seed, words=f"fraction of blocks nearer than the {'last' if back == 1 else f'last but {back - 1}'}")
        def read(one: xr.Dataset) -> float:
            tables = [row(one, "distance", n)[1:] for n in range(1, 11)]
            return float(np.mean([(np.delete(far, len(far) - back) < far[-back]).mean() for far in tables]))

        return read

    return (
        Claim("real-deep-alike",
            "Deep layers but the last are more alike than shallow ones (median distance, deeper over shallower half)",
            Source(paper=ALIKE, ours="a fifth", tolerance="the smallest difference that matters"),
            deep_over_shallow(but_last=True)(REAL), at_most(0.8),
            Control("with weights drawn anew", deep_over_shallow("fresh", but_last=True)), range=RATIO),
        Claim("real-last-layer",
            "Blocks with the last layer are the farthest or nearly (fraction of blocks without layer 0 that are "
            "nearer, of 1 to 10 layers)",
            Source(paper=f"{PAPER}, Sec. 4.3, Fig. 4: maximal or nearly so", ours="nine tenths",
                tolerance="one block in ten may be farther"), nearer_than(1)(REAL), at_least(0.9),
            Control("blocks that end two layers before", nearer_than(3)), range=(0, 1)),
        Claim("real-farther",
            "From the middle of the network the distance grows with every layer that is passed (least step)",
            Source(paper=f"{PAPER}, Fig. 4", tolerance="none: growth is above 0"), growth(middle, 6)(REAL),
            at_least(0.0), Control("with weights drawn anew", growth(middle, 6, "fresh")), unit="pi"),
        Claim("real-neighbours",
            "The farther two places by angle, the fewer neighbours their clouds share (rank correlation over pairs)",
            SAME,
            likeness()(REAL), at_most(-0.7), Control("the more layers between two places", likeness(layers=True)),
            range=(-1, 1)),
    )  # fmt: skip


def _real_losses(s: LayerSettings) -> Sequence[Claim]:
    n = s.counts[1]
    unhealed = value("unhealed")

    def back(text: str) -> Measure:
        return (unhealed - value("healed", healing=text)) / (unhealed - value("base"))

    return (
        Claim("real-distance-predicts",
            "Distances order blocks by what is lost without them better than their place alone does (rank "
            f"correlations, by 0.1 or more, n = {n})",
            Source(paper=f"{PAPER}, Sec. 3.2: distance says which block to leave out", ours="better than place",
                tolerance="the smallest gain for which one would read distances"),
            ranked_beyond_place([n])(REAL), at_least(0.1),
            Control("distances with weights drawn anew", ranked_beyond_place([n], "fresh")), range=SIGNED),
        Claim("real-nearest",
            f"Less is lost without the nearest block of {n} layers than without a random one (by 0.1 or more; loss "
            "less the mean of all)",
            Source(paper=f"{PAPER}, Sec. 3.2", ours="0.1 nats", tolerance="the smallest difference that matters"),
            chosen([n], _nearest, _any, "the nearest block less the mean")(REAL), at_most(-0.1),
            Control("the deepest block but the last layer, which takes no distances",
                chosen([n], _deepest, _any, "the deepest block less the mean")), unit="nats"),
        Claim("real-heals",
            f"{s.real_heal_steps} steps of healing bring back half of what the nearest {s.heal_layers} layers cost",
            Source(paper=f"{PAPER}, Sec. 4.2, Fig. 3 and App. A: 5,000 steps on 16 sequences there", ours="a half",
                tolerance="more is back than is gone"), back("text")(REAL), at_least(0.5),
            Control("the same tokens in random order", back("wrong text"))),
    )  # fmt: skip


def _real_answers(s: LayerSettings) -> Sequence[Claim]:
    fifth = min(s.counts, key=lambda n: abs(n - 6))
    most = max(s.counts)

    def right(n: int) -> Measure:
        return value("accuracy", removed=n)

    one = 1 / s.questions  # what a model that answers nothing rightly is compared with
    whole = right(0).map(partial(np.maximum, one), f"({{}}, at least {one:.2g})")
    return (
        Claim("real-answers-stay",
            f"Without the nearest {fifth} layers at least 9 of 10 right answers stay (of capitals, four choices)",
            Source(paper=f"{PAPER}, Sec. 4.1, Fig. 2: flat up to a fifth of the layers or more", ours="9 of 10",
                tolerance="one answer in ten"),
            (right(fifth) / whole)(REAL), at_least(0.9),
            Control(f"without {most}", right(most) / whole)),
        Claim("real-answers-fall",
            f"Without the nearest {most} layers answers are near chance, 1/4 (fraction of capitals, four choices)",
            Source(paper=f"{PAPER}, Sec. 4.1, Fig. 2: a sharp fall to chance", ours="0.1 above chance",
                tolerance="0.1 above chance"), right(most)(REAL), at_most(0.35), Control("the whole model", right(0)),
            range=(0, 1)),
    )  # fmt: skip
