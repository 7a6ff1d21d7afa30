"""The figures of the study ``associative-memory``, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np

from phasescope.ensemble import streams
from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, histogram, law, level, lines, over
from phasescope.lab.measures import Measure, at, value
from phasescope.lab.readings import band
from phasescope.studies.associative_memory import context
from phasescope.studies.associative_memory.settings import ALPHAS, DISCOUNTS, MemorySettings
from phasescope.theory import associative_memory, memory_creation, memory_limits

BANDWIDTHS = {"capacity": 1.0, "capacity_narrow": 0.7, "capacity_widest": 2.0}
REMEMBERED = Axis("fraction remembered", limits=(0, 1.02))


def figures(data: Data, s: MemorySettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_energy(data, s), _capacity(data, s), _creation(data, s), _sphere(data, s), _in_context(data, s))


def _energy(data: Data, s: MemorySettings) -> Figure:
    run, bound = at("retrieval"), at("assignments")
    times = np.arange(data["retrieval"].sizes["time"]) * 0.1
    memories = streams(0)("memories").standard_normal((s.memories, 2))
    side = np.linspace(-3, 3, 61)
    places = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    energy = associative_memory.memory_energy(places, memories, s.beta).reshape(61, 61)
    return Figure(
        "energy", "Energies fall, likelihoods rise",
        "The energy of a clustering memory is the scaled negative log-likelihood of a Gaussian mixture. Explicit "
        "assignments climb the evidence lower bound to the posterior, and without its entropy they do not. Medians "
        "over seeds, bands from the least to the largest.",
        [
            HeatMap(f"{s.memories} memories, seed 0", Axis("v1"), Axis("v2"), side, side, energy, "energy",
                limits=(-0.5, 4)),
            over("on the way", data, Axis("time / tau"), times, Axis("mean over states"), {"energy": ("energy", run)},
                control={"squared distance from the nearest memory": ("nearest", run)}),
            over("explicit assignments", data, Axis("steps"), np.arange(data["assignments"].sizes["time"]) * 10.0,
                Axis("log evidence - ELBO (nats)", "log"), {"ELBO": ("gap", bound)},
                control={"without its entropy": ("gap_without", bound)}),
        ],
        ("energy-falls", "fixed-point", "energy-is-likelihood", "elbo-posterior"),
    )  # fmt: skip


def _capacity(data: Data, s: MemorySettings) -> Figure:
    kept, halves = [], []
    for D in s.wide:
        run = at("capacity", dimension=D).of(data)
        sizes = run.stored.isel(seed=0).values
        kept.append(band(f"D = {D}", run.kept.isel(size=np.isfinite(sizes)), sizes[np.isfinite(sizes)]))
    for name, h2 in BANDWIDTHS.items():
        D = data[name].dimension.values
        halves += lines(data, {f"h^2 = {h2:g}": ("half", at(name))}, D)
        halves.append(
            law(f"crosstalk of all, h^2 = {h2:g}", partial(memory_limits.bulk_capacity, square_bandwidth=h2), D)
        )
    wide = np.array(s.wide)
    halves.append(law("pairs that merge, h^2 = 1", partial(memory_limits.pair_capacity, square_bandwidth=1.0), wide))
    halves += lines(data, {"classical Hopfield": ("half", at("linear"))}, wide, role="control")
    return Figure(
        "capacity", "A density estimator remembers exponentially many patterns",
        "Left: the fraction of random patterns on the sphere of radius sqrt(D) that mean shift keeps, h^2 = 1. Middle: "
        "where it is one half. In small D pairs of patterns that merge set the limit, in large D the crosstalk of all; "
        "the first grows as D^(D/2), the second as exp(alpha D). Right: where norms differ, attention favours the long "
        "patterns and the density estimator does not.",
        [
            Curves("patterns kept", Axis("patterns stored", "log"), REMEMBERED, kept),
            Curves("capacity", Axis("dimension D"), Axis("patterns at one half", "log"), halves),
            over(f"{s.patterns} patterns of unequal norms, D = 12", data, Axis("spread of the log norms"),
                data["unequal"].spread.values, REMEMBERED, {"density estimator": ("density", at("unequal"))},
                control={"modern Hopfield network": ("hopfield", at("unequal"))}),
        ],
        ("capacity-growth", "capacity-by-bandwidth", "capacity-doubles", "capacity-level", "unequal-norms"),
    )  # fmt: skip


def _creation(data: Data, s: MemorySettings) -> Figure:
    shown = np.unique(np.geomspace(1, s.customers, 40).astype(int))
    at_shown = Measure(lambda cell: cell.tables.isel(point=shown - 1))
    tables = []
    for alpha, discount in product(ALPHAS, DISCOUNTS):
        label = f"alpha = {alpha:g}, d = {discount:g}"
        expected = partial(memory_creation.expected_memories, alpha, discount=discount)
        tables += lines(data, {label: (at_shown, at("seats", alpha=alpha, discount=discount))}, shown)
        tables.append(law(f"theory, {label}", expected, shown))
    made, printed = at("creation", gaussians="normalized"), at("creation", gaussians="printed")
    points = np.arange(1, s.points + 1)
    growth = [
        *lines(data, {"normalized": ("made", made)}, points),
        *lines(data, {"as printed": ("made", printed)}, points, role="control"),
        level("blobs", s.blobs, points),
    ]
    clustering = at("clustering")
    return Figure(
        "creation", "Memories made as needed",
        "Left: tables of the Chinese restaurant process, with and without a discount. Middle: the energy with a "
        "creation term finds the blobs only with the Gaussians' normalizers. Right: a fixed number of memories, learnt "
        "by gradient descent; local optima, in which two memories share a blob, remain.",
        [
            Curves("the prior", Axis("points", "log"), Axis("expected memories", "log"), tables),
            Curves(f"one pass over {s.blobs} blobs", Axis("points seen", "log"), Axis("memories made", "log"), growth),
            histogram("memories learnt by gradient descent", data, Axis("adjusted Rand index", limits=(0, 1)),
                {"at random points": (value("agreement", when=0), clustering),
                    "learnt": (value("agreement", when=1), clustering)}, bins=20),
        ],
        ("created-count", "created-clusters", "table-count", "learning-is-em"),
    )  # fmt: skip


def _sphere(data: Data, s: MemorySettings) -> Figure:
    sphere = at("sphere")

    def on_log_axis(gap: str) -> Measure:
        return value(gap).map(lambda found: found.clip(1e-17))

    kappa = np.linspace(0, 20, 81)
    weight = np.array([-associative_memory.vmf_log_normalizer(k, s.head) for k in kappa])
    return Figure(
        "sphere", "Normalization and attention cluster on the sphere",
        "With one gain for all channels, attention's weights are the responsibilities of von Mises-Fisher densities to "
        "rounding. The factor that stands before exp(kappa m.q) is not the mixing weight: the density's own normalizer "
        "comes to it, so that a long key is both sharper and heavier.",
        [
            over("attention against the mixture", data, Axis("spread of the log gains over channels"),
                data["sphere"].uneven.values, Axis("largest difference of weights", "log", limits=(1e-17, 2)),
                {"true mixing weights": (on_log_axis("mixture_gap"), sphere)},
                control={"factors as mixing weights": (on_log_axis("unweighted_gap"), sphere)}),
            Curves(f"what a key's length buys, D = {s.head}", Axis("concentration kappa = gain |k|"),
                Axis("log mixing weight - log of the factor"),
                [Line("- log C(kappa) + log C(0)", kappa, weight - weight[0], role="theory")]),
        ],
        ("sphere-identity", "sphere-mixture"),
    )  # fmt: skip


def _in_context(data: Data, s: MemorySettings) -> Figure:
    learnt = at("in_context")
    side = np.linspace(-context.BOX, context.BOX, context.LANDSCAPE)
    landscapes = data["in_context"].landscape.isel(seed=0).values
    titles = [f"energy given {n} point{'s' if n > 1 else ''}" for n in context.CONTEXTS]
    return Figure(
        "in-context", "Energies that adapt to their context",
        "One transformer, trained by contrastive divergence on ever new mixtures and then frozen. Maps: one context "
        "of one network (seed 0); its energy sharpens as points come.",
        [
            over("held-out points have less energy", data, Axis("points in context"), np.arange(s.length + 1),
                Axis("fraction", limits=(0.45, 1.0)),
                {"than a uniform place": ("against_uniform", learnt),
                    "than a point of another mixture": ("against_other", learnt)},
                control={"than a uniform place, wrong context": ("mismatched", learnt)}),
            *(HeatMap(title, Axis("x1"), Axis("x2"), side, side, land - land.min(), "energy above its least",
                limits=(0, 1)) for title, land in zip(titles, landscapes, strict=True)),
        ],
        ("in-context-rise", "in-context-order"),
    )  # fmt: skip
