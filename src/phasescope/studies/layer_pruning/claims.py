"""The claims of the study ``layer-pruning``: a measure at a decoder's readings, an expectation, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, by_seed, near, value
from phasescope.studies.layer_pruning.readings import rank_correlation
from phasescope.studies.layer_pruning.settings import LayerSettings
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

PAPER = "Gromov et al. 2024"
OURS = "our reading of the paper on a small decoder, margin from a run of 3 minutes made before"
SMALL, REAL = at("small"), at("real")


def claims(s: LayerSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    small = (_removal(s), _predicts(s), _shape(s), _healing(s)) if s.depth else ()
    real = (_real_distances(s), _real_losses(s), _real_answers(s)) if s.model else ()
    return tuple(claim for group in (*small, *real) for claim in group)


def row(one: xr.Dataset, name: str, n: int) -> Array:
    """Return a quantity of blocks of ``n`` layers, for every first layer that there is."""
    values = np.asarray(one[name].sel(n=n).values)
    kept: Array = values[np.isfinite(values)]
    return kept


def _removal(s: LayerSettings) -> Sequence[Claim]:
    n = s.depth // 3

    def rise(start: int) -> Measure:
        return value("loss", n=n, layer=start) - value("base")

    def missed_most(start: int) -> Measure:
        @partial(Measure, words=f"loss without {n} layers from {start} on less the largest of others")
        def read(cell: xr.Dataset) -> xr.DataArray:
            losses: xr.DataArray = cell.loss.sel(n=n)
            return losses.sel(layer=start) - losses.drop_sel(layer=start).max("layer")  # blocks past the end are NaN

        return read

    return (
        Claim("small-skip",
            f"A decoder without {n} layers computes bit for bit what it computes when they hand their input through",
            f"{PAPER}, Sec. 3.2, step 3: the old input of the block goes into the layer after it",
            value("skip")(SMALL), at_most(0.0),
            Control("the layers one further on hand it through", value("skip_other"))),
        Claim("small-first-layer", f"Without the first {n} layers the loss rises by a nat per character or more",
            f"{OURS}; facts 3.5.4", rise(0)(SMALL), at_least(1.0),
            Control("the block before the last layer", rise(s.depth - n - 1)), unit="nats"),
        Claim("small-first-worst",
            f"No other block of {n} layers is missed more than the first (rise less the largest of the others)",
            f"{OURS}; facts 3.5.4", missed_most(0)(SMALL), at_least(0.0),
            Control("the block from layer 1 on", missed_most(1)), unit="nats"),
    )  # fmt: skip


def blocks(one: xr.Dataset, counts: Sequence[int]) -> list[tuple[Array, Array]]:
    """Return distances and losses of every block of n layers, for each n of ``counts``.

    Of a real model the losses are kept for one n alone, under ``each``.
    """
    return [(row(one, "distance", n), one.each.values if "each" in one else row(one, "loss", n)) for n in counts]


def ranked(counts: Sequence[int], shift: int = 0) -> Measure:
    """Return the least rank correlation, over n, of distances and losses of blocks ``shift`` layers away."""

    @partial(by_seed, words="rank correlation of distance and loss" + (f" {shift} layers away" if shift else ""))
    def read(one: xr.Dataset) -> float:
        return min(rank_correlation(far, np.roll(loss, shift)) for far, loss in blocks(one, counts))

    return read


def chosen(counts: Sequence[int], pick: Callable[[Array], np.intp], words: str) -> Measure:
    """Return the loss without the block whose distance is picked, less that without any: the mean over n."""

    @partial(by_seed, words=f"loss without the {words} block less the mean over blocks")
    def read(one: xr.Dataset) -> float:
        return float(np.mean([loss[pick(far)] - loss.mean() for far, loss in blocks(one, counts)]))

    return read


def _predicts(s: LayerSettings) -> Sequence[Claim]:
    counts, all_counts = [n for n in (1, 2, 4) if n <= s.depth // 2], range(1, s.depth // 2 + 1)
    tried = ", ".join(map(str, counts))
    return (
        Claim("small-distance-predicts",
            f"The farther a block's input and output, the more is lost without it (least rank correlation, n {tried})",
            f"{OURS}; facts 3.5.3", ranked(counts)(SMALL), at_least(0.7),
            Control("losses of blocks half the depth away", ranked(counts, s.depth // 2))),
        Claim("small-nearest",
            "The nearest block is not worse than a random one of as many layers (loss less the mean over all blocks)",
            f"{PAPER}, Sec. 3.2; facts 3.5.4", chosen(all_counts, np.argmin, "nearest")(SMALL), at_most(0.0),
            Control("the farthest block", chosen(all_counts, np.argmax, "farthest")), unit="nats"),
    )  # fmt: skip


def deep_over_shallow(name: str = "distance", *, but_last: bool = False) -> Measure:
    """Return the median distance over one layer in the deeper half of the layers over that in the shallower."""

    @partial(by_seed, words=f"{name} over one layer, deeper half over shallower")
    def read(one: xr.Dataset) -> float:
        far = row(one, name, 1)[: -1 if but_last else None]
        middle = len(far) // 2
        return float(np.median(far[middle:]) / np.median(far[:middle]))

    return read


def growth(starts: Sequence[int], most: int, *, backwards: bool = False) -> Measure:
    """Return the least step of the distance d(l, l + n) from one n to the next, up to ``most``, l in ``starts``."""

    @partial(Measure, words="least growth of distance per layer" + (", counted backwards" if backwards else ""))
    def read(cell: xr.Dataset) -> xr.DataArray:
        steps: xr.DataArray = cell.distance.sel(n=range(1, most + 1), layer=starts).diff("n")
        return (-steps if backwards else steps).min(("n", "layer"), skipna=False)

    return read


def likeness(name: str) -> Measure:
    """Return the rank correlation of distance and ``name`` over pairs of places between which a distance was kept."""

    @partial(by_seed, words=f"rank correlation of distance and {name}")
    def read(one: xr.Dataset) -> float:
        places = [int(p) for p in one.place.values]
        pairs = [(i, j) for i in places for j in places if i < j <= i + int(one.n.max()) and i < one.sizes["layer"]]
        far = np.array([float(one.distance.sel(n=j - i, layer=i)) for i, j in pairs])
        alike = np.array([float(one[name].sel(place=i, other=j)) for i, j in pairs])
        return rank_correlation(far, alike)

    return read


def _shape(s: LayerSettings) -> Sequence[Claim]:
    starts, most = range(s.depth // 4, s.depth // 2 + 1), s.depth // 2
    return (
        Claim("small-deep-alike",
            "Deep layers are more alike than shallow ones (median distance of the deeper half over the shallower)",
            f"{PAPER}, Sec. 4.3, Fig. 4; the margin is ours: a fifth", deep_over_shallow()(SMALL), at_most(0.8),
            Control("before training", deep_over_shallow("untrained"))),
        Claim("small-farther",
            "From the middle of the network the distance grows with every layer that is passed (least step)",
            f"{PAPER}, Fig. 4; facts 3.5.6", growth(starts, most)(SMALL), at_least(0.0),
            Control("the layers counted backwards", growth(starts, most, backwards=True)), unit="pi"),
        Claim("small-neighbours",
            "The farther two places by angle, the fewer neighbours their clouds share (rank correlation over pairs)",
            "derived here: another instrument, neighbour_overlap, must see the same; the margin is that of facts 3.5.3",
            likeness("overlap")(SMALL), at_most(-0.7),
            Control("points of one side in random order", likeness("overlap_shuffled"))),
    )  # fmt: skip


def _healing(s: LayerSettings) -> Sequence[Claim]:
    nearest, deepest, wrong = (value("healed", healing=choice) for choice in ("nearest", "deepest", "wrong text"))
    whole, half, again = (value("seconds", **{"pass": name}) for name in ("whole", "half", "again"))
    return (
        Claim("small-heals",
            f"{s.heal_steps} steps of training bring a decoder without half of its layers to 0.03 nats above the whole",
            f"{OURS}; facts 3.5.5", (nearest - value("base"))(SMALL), at_most(0.03),
            Control("on characters in random order", wrong - value("base")), unit="nats"),
        Claim("small-heuristic",
            "After healing it does not matter whether the nearest or the deepest block went (difference of losses)",
            f"{PAPER}, Sec. 4.4, Fig. 5: nearly equal; the margin is that of facts 3.5.5", (deepest - nearest)(SMALL),
            near(0.0, 0.03), Control("healed on the wrong text", wrong - nearest), unit="nats"),
        Claim("small-time", "A pass without half of the layers takes half the processor time",
            f"{PAPER}, Sec. 5; facts 3.5.7", (half / whole)(SMALL), near(0.5, 0.1),
            Control("the whole decoder again", again / whole)),
    )  # fmt: skip


def _real_distances(s: LayerSettings) -> Sequence[Claim]:
    middle = range(8, 16)

    @partial(by_seed, words="distance over one layer, odd layers over even ones")
    def parity(one: xr.Dataset) -> float:
        inner = row(one, "distance", 1)[:-1]
        return float(np.median(inner[1::2]) / np.median(inner[::2]))

    def nearer_than(back: int) -> Measure:
        @partial(by_seed, words=f"share of blocks nearer than the {'last' if back == 1 else f'last but {back - 1}'}")
        def read(one: xr.Dataset) -> float:
            tables = [row(one, "distance", n)[1:] for n in range(1, 11)]
            return float(np.mean([(np.delete(far, len(far) - back) < far[-back]).mean() for far in tables]))

        return read

    return (
        Claim("real-deep-alike",
            "Deep layers but the last are more alike than shallow ones (median distance, deeper over shallower half)",
            f"{PAPER}, Sec. 4.3, Fig. 4; the margin is ours: a fifth", deep_over_shallow(but_last=True)(REAL),
            at_most(0.8), Control("odd layers over even ones", parity)),
        Claim("real-last-layer",
            "Blocks with the last layer are the farthest or nearly (share of blocks without layer 0 that are nearer)",
            f"{PAPER}, Sec. 4.3, Fig. 4: maximal or nearly so; blocks of 1 to 10 layers, the margin is ours",
            nearer_than(1)(REAL), at_least(0.9), Control("blocks that end two layers before", nearer_than(3))),
        Claim("real-farther",
            "From the middle of the network the distance grows with every layer that is passed (least step)",
            f"{PAPER}, Fig. 4; facts 3.5.6", growth(middle, 6)(REAL), at_least(0.0),
            Control("the layers counted backwards", growth(middle, 6, backwards=True)), unit="pi"),
        Claim("real-neighbours",
            "The farther two places by angle, the fewer neighbours their clouds share (rank correlation over pairs)",
            "derived here, as for the small decoder", likeness("overlap")(REAL), at_most(-0.7),
            Control("points of one side in random order", likeness("overlap_shuffled"))),
    )  # fmt: skip


def _real_losses(s: LayerSettings) -> Sequence[Claim]:
    n = s.counts[1]
    unhealed = value("unhealed")

    def back(text: str) -> Measure:
        return (unhealed - value("healed", healing=text)) / (unhealed - value("base"))

    return (
        Claim("real-distance-predicts",
            f"The farther a block's input and output, the larger the loss without it (rank correlation, n = {n})",
            "the criterion of facts 3.5.3 on the real model", ranked([n])(REAL), at_least(0.7),
            Control("losses of blocks ten layers away", ranked([n], 10))),
        Claim("real-nearest",
            f"The nearest block of {n} layers is not worse than a random one (loss less the mean over all blocks)",
            f"{PAPER}, Sec. 3.2", chosen([n], np.argmin, "nearest")(REAL), at_most(0.0),
            Control("the farthest block", chosen([n], np.argmax, "farthest")), unit="nats"),
        Claim("real-heals",
            f"{s.real_heal_steps} steps of healing bring back half of what the nearest {s.heal_layers} layers cost",
            f"{PAPER}, Sec. 4.2, Fig. 3, there 5,000 steps on 16 sequences; the margin is ours: a half",
            back("text")(REAL), at_least(0.5), Control("the same tokens in random order", back("wrong text"))),
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
            f"Without the nearest {fifth} layers at least 9 of 10 right answers stay (share of capitals, four choices)",
            f"{PAPER}, Sec. 4.1, Fig. 2: flat up to a fifth of the layers or more; the margin is ours",
            (right(fifth) / whole)(REAL), at_least(0.9),
            Control(f"without {most}", right(most) / whole)),
        Claim("real-answers-fall",
            f"Without the nearest {most} layers answers are near chance, 1/4 (share of capitals, four choices)",
            f"{PAPER}, Sec. 4.1, Fig. 2: a sharp fall to chance; the margin is ours: 0.1", right(most)(REAL),
            at_most(0.35), Control("the whole model", right(0))),
    )  # fmt: skip
