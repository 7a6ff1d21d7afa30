"""The claims of the study ``layer-pruning``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from phasescope.lab.study import part
from phasescope.studies.layer_pruning.readings import rank_correlation
from phasescope.studies.layer_pruning.settings import LayerSettings
from phasescope.verdict import Claim, Control, Effect, Expectation
from phasescope.vocabulary import Array

PAPER = "Gromov et al. 2024"
OURS = "our reading of the paper on a small decoder, margin from a run of 3 minutes made before"


def claims(s: LayerSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    small = (_removal(s), _predicts(s), _shape(s), _healing(s)) if s.depth else ()
    real = (_real_distances(s), _real_losses(s), _real_answers(s)) if s.model else ()
    return tuple(claim for group in (*small, *real) for claim in group)


def each(experiment: str, read: Callable[[xr.Dataset], float]) -> Effect:
    """Return the effect that ``read`` takes from each seed's part of an experiment."""

    def effect(data: xr.Dataset) -> Array:
        found = part(data, experiment)
        return np.array([read(found.isel(seed=i)) for i in range(found.sizes["seed"])])

    return effect


def row(one: xr.Dataset, name: str, n: int) -> Array:
    """Return a quantity of blocks of ``n`` layers, for every first layer that there is."""
    values = np.asarray(one[name].sel(n=n).values)
    kept: Array = values[np.isfinite(values)]
    return kept


def _removal(s: LayerSettings) -> Sequence[Claim]:
    n = s.depth // 3

    def first(one: xr.Dataset) -> float:
        return float(row(one, "loss", n)[0] - one.base)

    def deepest(one: xr.Dataset) -> float:
        return float(row(one, "loss", n)[-2] - one.base)

    def worst(start: int) -> Callable[[xr.Dataset], float]:
        return lambda one: float(row(one, "loss", n)[start] - np.delete(row(one, "loss", n), start).max())

    return (
        Claim(
            "small-skip",
            f"A decoder without {n} layers computes bit for bit what it computes when they hand their input through",
            f"{PAPER}, Sec. 3.2, step 3: the old input of the block goes into the layer after it",
            each("small", lambda one: float(one.skip)),
            Expectation.at_most(0.0),
            Control("the layers one further on hand it through", each("small", lambda one: float(one.skip_other))),
        ),
        Claim(
            "small-first-layer",
            f"Without the first {n} layers the loss rises by a nat per character or more",
            f"{OURS}; facts 3.5.4",
            each("small", first),
            Expectation.at_least(1.0),
            Control("the block before the last layer", each("small", deepest)),
            unit="nats",
        ),
        Claim(
            "small-first-worst",
            f"No other block of {n} layers is missed more than the first (rise less the largest of the others)",
            f"{OURS}; facts 3.5.4",
            each("small", worst(0)),
            Expectation.at_least(0.0),
            Control("the block from layer 1 on", each("small", worst(1))),
            unit="nats",
        ),
    )


def _predicts(s: LayerSettings) -> Sequence[Claim]:
    counts = [n for n in (1, 2, 4) if n <= s.depth // 2]

    tried = ", ".join(map(str, counts))

    def rank(shift: int) -> Callable[[xr.Dataset], float]:
        def read(one: xr.Dataset) -> float:
            pairs = [(row(one, "distance", n), np.roll(row(one, "loss", n), shift)) for n in counts]
            return min(rank_correlation(d, loss) for d, loss in pairs)

        return read

    def chosen(pick: Callable[[Array], np.intp]) -> Callable[[xr.Dataset], float]:
        def read(one: xr.Dataset) -> float:
            tables = [(row(one, "distance", n), row(one, "loss", n)) for n in range(1, s.depth // 2 + 1)]
            return float(np.mean([loss[pick(d)] - loss.mean() for d, loss in tables]))

        return read

    return (
        Claim(
            "small-distance-predicts",
            f"The farther a block's input and output, the more is lost without it (least rank correlation, n {tried})",
            f"{OURS}; facts 3.5.3",
            each("small", rank(0)),
            Expectation.at_least(0.7),
            Control("losses of blocks half the depth away", each("small", rank(s.depth // 2))),
        ),
        Claim(
            "small-nearest",
            "The nearest block is not worse than a random one of as many layers (loss less the mean over all blocks)",
            f"{PAPER}, Sec. 3.2; facts 3.5.4",
            each("small", chosen(np.argmin)),
            Expectation.at_most(0.0),
            Control("the farthest block", each("small", chosen(np.argmax))),
            unit="nats",
        ),
    )


def halves(distances: Array) -> float:
    """Return the median distance of deep layers over that of shallow ones."""
    middle = len(distances) // 2
    return float(np.median(distances[middle:]) / np.median(distances[:middle]))


def growth(one: xr.Dataset, starts: Sequence[int], most: int, order: int = 1) -> float:
    """Return the least step of d(l, l + n) from one n to the next, up to ``most``; ``order`` -1 goes backwards."""
    rows = np.array([[float(one.distance.sel(n=n, layer=start)) for n in range(1, most + 1)] for start in starts])
    return float(np.diff(rows[:, ::order], axis=1).min())


def likeness(one: xr.Dataset, name: str) -> float:
    """Return the rank correlation of distance and ``name`` over pairs of places between which a distance was kept."""
    places = [int(p) for p in one.place.values]
    pairs = [(i, j) for i in places for j in places if i < j <= i + int(one.n.max()) and i < one.sizes["layer"]]
    far = np.array([float(one.distance.sel(n=j - i, layer=i)) for i, j in pairs])
    near = np.array([float(one[name].sel(place=i, other=j)) for i, j in pairs])
    return rank_correlation(far, near)


def _shape(s: LayerSettings) -> Sequence[Claim]:
    starts, most = range(s.depth // 4, s.depth // 2 + 1), s.depth // 2
    return (
        Claim(
            "small-deep-alike",
            "Deep layers are more alike than shallow ones (median distance of the deeper half over the shallower)",
            f"{PAPER}, Sec. 4.3, Fig. 4; the margin is ours: a fifth",
            each("small", lambda one: halves(row(one, "distance", 1))),
            Expectation.at_most(0.8),
            Control("before training", each("small", lambda one: halves(row(one, "untrained", 1)))),
        ),
        Claim(
            "small-farther",
            "From the middle of the network the distance grows with every layer that is passed (least step)",
            f"{PAPER}, Fig. 4; facts 3.5.6",
            each("small", lambda one: growth(one, starts, most)),
            Expectation.at_least(0.0),
            Control("the layers counted backwards", each("small", lambda one: growth(one, starts, most, -1))),
            unit="pi",
        ),
        Claim(
            "small-neighbours",
            "The farther two places by angle, the fewer neighbours their clouds share (rank correlation over pairs)",
            "derived here: another instrument, neighbour_overlap, must see the same; the margin is that of facts 3.5.3",
            each("small", lambda one: likeness(one, "overlap")),
            Expectation.at_most(-0.7),
            Control("points of one side in random order", each("small", lambda one: likeness(one, "overlap_shuffled"))),
        ),
    )


def _healing(s: LayerSettings) -> Sequence[Claim]:
    def above(choice: str, other: str = "") -> Callable[[xr.Dataset], float]:
        def read(one: xr.Dataset) -> float:
            healed = one.healed
            return float(healed.sel(healing=choice) - (healed.sel(healing=other) if other else one.base))

        return read

    def share(name: str) -> Callable[[xr.Dataset], float]:
        return lambda one: float(one.seconds.sel({"pass": name}) / one.seconds.sel({"pass": "whole"}))

    return (
        Claim(
            "small-heals",
            f"{s.heal_steps} steps of training bring a decoder without half of its layers to 0.03 nats above the whole",
            f"{OURS}; facts 3.5.5",
            each("small", above("nearest")),
            Expectation.at_most(0.03),
            Control("on characters in random order", each("small", above("wrong text"))),
            unit="nats",
        ),
        Claim(
            "small-heuristic",
            "After healing it does not matter whether the nearest or the deepest block went (difference of losses)",
            f"{PAPER}, Sec. 4.4, Fig. 5: nearly equal; the margin is that of facts 3.5.5",
            each("small", above("deepest", "nearest")),
            Expectation.near(0.0, 0.03),
            Control("healed on the wrong text", each("small", above("wrong text", "nearest"))),
            unit="nats",
        ),
        Claim(
            "small-time",
            "A pass without half of the layers takes half the processor time",
            f"{PAPER}, Sec. 5; facts 3.5.7",
            each("small", share("half")),
            Expectation.near(0.5, 0.1),
            Control("the whole decoder again", each("small", share("again"))),
        ),
    )


def _real_distances(s: LayerSettings) -> Sequence[Claim]:
    def parity(one: xr.Dataset) -> float:
        inner = row(one, "distance", 1)[:-1]
        return float(np.median(inner[1::2]) / np.median(inner[::2]))

    def last_rank(back: int) -> Callable[[xr.Dataset], float]:
        def read(one: xr.Dataset) -> float:
            tables = [row(one, "distance", n)[1:] for n in range(1, 11)]
            return float(np.mean([(np.delete(d, len(d) - back) < d[-back]).mean() for d in tables]))

        return read

    middle = range(8, 16)
    return (
        Claim(
            "real-deep-alike",
            "Deep layers but the last are more alike than shallow ones (median distance, deeper over shallower half)",
            f"{PAPER}, Sec. 4.3, Fig. 4; the margin is ours: a fifth",
            each("real", lambda one: halves(row(one, "distance", 1)[:-1])),
            Expectation.at_most(0.8),
            Control("odd layers over even ones", each("real", parity)),
        ),
        Claim(
            "real-last-layer",
            "Blocks with the last layer are the farthest or nearly (share of blocks without layer 0 that are nearer)",
            f"{PAPER}, Sec. 4.3, Fig. 4: maximal or nearly so; blocks of 1 to 10 layers, the margin is ours",
            each("real", last_rank(1)),
            Expectation.at_least(0.9),
            Control("blocks that end two layers before", each("real", last_rank(3))),
        ),
        Claim(
            "real-farther",
            "From the middle of the network the distance grows with every layer that is passed (least step)",
            f"{PAPER}, Fig. 4; facts 3.5.6",
            each("real", lambda one: growth(one, middle, 6)),
            Expectation.at_least(0.0),
            Control("the layers counted backwards", each("real", lambda one: growth(one, middle, 6, -1))),
            unit="pi",
        ),
        Claim(
            "real-neighbours",
            "The farther two places by angle, the fewer neighbours their clouds share (rank correlation over pairs)",
            "derived here, as for the small decoder",
            each("real", lambda one: likeness(one, "overlap")),
            Expectation.at_most(-0.7),
            Control("points of one side in random order", each("real", lambda one: likeness(one, "overlap_shuffled"))),
        ),
    )


def _real_losses(s: LayerSettings) -> Sequence[Claim]:
    n = s.counts[1]

    def table(one: xr.Dataset) -> tuple[Array, Array]:
        return row(one, "distance", n), np.asarray(one.each.values)

    def rank(shift: int) -> Callable[[xr.Dataset], float]:
        return lambda one: rank_correlation(table(one)[0], np.roll(table(one)[1], shift))

    def chosen(pick: Callable[[Array], np.intp]) -> Callable[[xr.Dataset], float]:
        return lambda one: float(table(one)[1][pick(table(one)[0])] - table(one)[1].mean())

    def back(text: str) -> Callable[[xr.Dataset], float]:
        return lambda one: float((one.unhealed - one.healed.sel(healing=text)) / (one.unhealed - one.base))

    return (
        Claim(
            "real-distance-predicts",
            f"The farther a block's input and output, the larger the loss without it (rank correlation, n = {n})",
            "the criterion of facts 3.5.3 on the real model",
            each("real", rank(0)),
            Expectation.at_least(0.7),
            Control("losses of blocks ten layers away", each("real", rank(10))),
        ),
        Claim(
            "real-nearest",
            f"The nearest block of {n} layers is not worse than a random one (loss less the mean over all blocks)",
            f"{PAPER}, Sec. 3.2",
            each("real", chosen(np.argmin)),
            Expectation.at_most(0.0),
            Control("the farthest block", each("real", chosen(np.argmax))),
            unit="nats",
        ),
        Claim(
            "real-heals",
            f"{s.real_heal_steps} steps of healing bring back half of what the nearest {s.heal_layers} layers cost",
            f"{PAPER}, Sec. 4.2, Fig. 3, there 5,000 steps on 16 sequences; the margin is ours: a half",
            each("real", back("text")),
            Expectation.at_least(0.5),
            Control("the same tokens in random order", each("real", back("wrong text"))),
        ),
    )


def _real_answers(s: LayerSettings) -> Sequence[Claim]:
    fifth = min(s.counts, key=lambda n: abs(n - 6))
    most = max(s.counts)

    def right(n: int) -> Callable[[xr.Dataset], float]:
        return lambda one: float(one.accuracy.sel(removed=n))

    def kept(n: int) -> Callable[[xr.Dataset], float]:
        return lambda one: right(n)(one) / max(right(0)(one), 1 / s.questions)

    return (
        Claim(
            "real-answers-stay",
            f"Without the nearest {fifth} layers at least 9 of 10 right answers stay (share of capitals, four choices)",
            f"{PAPER}, Sec. 4.1, Fig. 2: flat up to a fifth of the layers or more; the margin is ours",
            each("real", kept(fifth)),
            Expectation.at_least(0.9),
            Control(f"without {most}", each("real", kept(most))),
        ),
        Claim(
            "real-answers-fall",
            f"Without the nearest {most} layers answers are near chance, 1/4 (share of capitals, four choices)",
            f"{PAPER}, Sec. 4.1, Fig. 2: a sharp fall to chance; the margin is ours: 0.1",
            each("real", right(most)),
            Expectation.at_most(0.35),
            Control("the whole model", each("real", right(0))),
        ),
    )
