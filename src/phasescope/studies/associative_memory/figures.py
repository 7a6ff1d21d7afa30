"""The figures of the study ``associative-memory``, as plain data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import streams
from phasescope.figures import Axis, Curves, Figure, HeatMap, Histogram, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.associative_memory import context
from phasescope.studies.associative_memory.settings import MemorySettings

BANDWIDTHS = {"capacity": 1.0, "capacity_narrow": 0.7, "capacity_widest": 2.0}


def figures(data: xr.Dataset, s: MemorySettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_energy(data, s), _capacity(data, s), _creation(data, s), _sphere(data, s), _in_context(data, s))


def _energy(data: xr.Dataset, s: MemorySettings) -> Figure:
    run, bound = part(data, "retrieval"), part(data, "assignments")
    down, up = (np.arange(run.sizes[dim]) * 0.1 for dim in ("time", "time_uphill"))
    memories = streams(0)("memories").standard_normal((s.memories, 2))
    side = np.linspace(-3, 3, 61)
    places = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    energy = theory.memory_energy(places, memories, s.beta).reshape(61, 61)
    steps = np.arange(bound.sizes["time"]) * 10.0
    falls = Curves(
        "energy on the way", Axis("time / tau"), Axis("mean energy", limits=(-1, 6)),
        [band("the dynamics", run.energy, down), band("drift reversed", run.energy_uphill, up, role="control")],
    )  # fmt: skip
    climbs = Curves(
        "explicit assignments", Axis("steps"), Axis("log evidence - ELBO (nats)", "log"),
        [band("ELBO", bound.gap, steps), band("without its entropy", bound.gap_without, steps, role="control")],
    )  # fmt: skip
    land = HeatMap(
        f"{s.memories} memories, seed 0", Axis("v1"), Axis("v2"), side, side, energy, "energy", limits=(-0.5, 4)
    )
    return Figure(
        "energy", "Energies fall, likelihoods rise",
        "The energy of a clustering memory is the scaled negative log-likelihood of a Gaussian mixture. Explicit "
        "assignments climb the evidence lower bound to the posterior, and without its entropy they do not. Medians "
        "over seeds, bands from the least to the largest.", [land, falls, climbs],
        ("energy-falls", "fixed-point", "energy-is-likelihood", "elbo-posterior"),
    )  # fmt: skip


def _capacity(data: xr.Dataset, s: MemorySettings) -> Figure:
    main = part(data, "capacity")
    kept = []
    for D in s.wide:
        run = main.sel(dimension=D)
        seen = np.isfinite(run.stored.isel(seed=0).values)
        kept.append(band(f"D = {D}", run.kept.isel(size=seen), run.stored.isel(seed=0).values[seen]))
    x = Axis("dimension D")
    lines = []
    for name, h2 in BANDWIDTHS.items():
        half = part(data, name)["half"]
        D = half.dimension.values
        lines.append(band(f"h^2 = {h2:g}", half.transpose("seed", "dimension"), D))
        bulk = np.array([theory.bulk_capacity(int(d), h2) for d in D])
        lines.append(Line(f"crosstalk of all, h^2 = {h2:g}", D.astype(float), bulk, role="theory"))
    wide = np.array(s.wide, float)
    pair = np.array([theory.pair_capacity(d, 1.0) for d in s.wide])
    lines.append(Line("pairs that merge, h^2 = 1", wide, pair, role="theory"))
    lines.append(band("classical Hopfield", part(data, "linear")["half"].transpose("seed", ...), wide, role="control"))
    unequal = part(data, "unequal")
    spread = unequal.spread.values
    norms = Curves(
        f"{s.patterns} patterns of unequal norms, D = 12", Axis("spread of the log norms"),
        Axis("share remembered", limits=(0, 1.02)),
        [band("density estimator", unequal.density.transpose("seed", ...), spread),
         band("modern Hopfield network", unequal.hopfield.transpose("seed", ...), spread, role="control")],
    )  # fmt: skip
    return Figure(
        "capacity", "A density estimator remembers exponentially many patterns",
        "Left: the share of random patterns on the sphere of radius sqrt(D) that mean shift keeps, h^2 = 1. Middle: "
        "where it is one half. In small D pairs of patterns that merge set the limit, in large D the crosstalk of all; "
        "the first grows as D^(D/2), the second as exp(alpha D). Right: where norms differ, attention favours the long "
        "patterns and the density estimator does not.",
        [Curves("patterns kept", Axis("patterns stored", "log"), Axis("share remembered", limits=(0, 1.02)), kept),
         Curves("capacity", x, Axis("patterns at one half", "log"), lines), norms],
        ("capacity-slope", "capacity-slope-narrow", "capacity-doubles", "capacity-level", "unequal-norms"),
    )  # fmt: skip


def _creation(data: xr.Dataset, s: MemorySettings) -> Figure:
    seats, made = part(data, "seats")["tables"], part(data, "creation")
    shown = np.unique(np.geomspace(1, s.customers, 40).astype(int))
    lines = []
    for alpha in seats.alpha.values:
        for discount in seats.discount.values:
            run = seats.sel(alpha=alpha, discount=discount).isel(point=shown - 1)
            label = f"alpha = {alpha:g}, d = {discount:g}"
            lines.append(band(label, run, shown.astype(float)))
            expected = [theory.expected_memories(float(alpha), int(n), float(discount)) for n in shown]
            lines.append(Line(f"theory, {label}", shown.astype(float), np.array(expected), role="theory"))
    tables = Curves("the prior", Axis("points", "log"), Axis("expected memories", "log"), lines)
    points = np.arange(1, s.points + 1)
    growth = Curves(
        f"one pass over {s.blobs} blobs", Axis("points seen", "log"), Axis("memories made", "log"),
        [band("normalized", made.made.sel(gaussians="normalized"), points),
         band("as printed", made.made.sel(gaussians="printed"), points, role="control"),
         Line("blobs", points.astype(float), np.full(len(points), float(s.blobs)), role="theory")],
    )  # fmt: skip
    gain = part(data, "clustering")["agreement"].values
    learnt = Histogram(
        "memories learnt by gradient descent", Axis("adjusted Rand index", limits=(0, 1)),
        [("at random points", gain[:, 0]), ("learnt", gain[:, 1])], 20,
    )  # fmt: skip
    return Figure(
        "creation", "Memories made as needed",
        "Left: tables of the Chinese restaurant process, with and without a discount. Middle: the energy with a "
        "creation term finds the blobs only with the Gaussians' normalizers. Right: a fixed number of memories, learnt "
        "by gradient descent; local optima, in which two memories share a blob, remain.", [tables, growth, learnt],
        ("created-count", "created-clusters", "table-count", "learning-is-em"),
    )  # fmt: skip


def _sphere(data: xr.Dataset, s: MemorySettings) -> Figure:
    run = part(data, "sphere")
    uneven = run.uneven.values
    floor = run[["identity_gap", "mixture_gap", "unweighted_gap"]].clip(1e-17)
    gaps = Curves(
        "attention against the mixture", Axis("spread of the log gains over channels"),
        Axis("largest difference of weights", "log", limits=(1e-17, 2)),
        [band("true mixing weights", floor.mixture_gap.transpose("seed", ...), uneven),
         band("factors as mixing weights", floor.unweighted_gap.transpose("seed", ...), uneven, role="control")],
    )  # fmt: skip
    kappa = np.linspace(0, 20, 81)
    weight = np.array([-theory.vmf_log_normalizer(k, s.head) for k in kappa])
    law = Curves(
        f"what a key's length buys, D = {s.head}", Axis("concentration kappa = gain |k|"),
        Axis("log mixing weight - log of the factor"),
        [Line("- log C(kappa) + log C(0)", kappa, weight - weight[0], role="theory")],
    )  # fmt: skip
    return Figure(
        "sphere", "Normalization and attention cluster on the sphere",
        "With one gain for all channels, attention's weights are the responsibilities of von Mises-Fisher densities to "
        "rounding. The factor that stands before exp(kappa m.q) is not the mixing weight: the density's own normalizer "
        "comes to it, so that a long key is both sharper and heavier.", [gaps, law],
        ("sphere-identity", "sphere-mixture", "sphere-tie"),
    )  # fmt: skip


def _in_context(data: xr.Dataset, s: MemorySettings) -> Figure:
    run = part(data, "in_context")
    given = np.arange(s.length + 1)
    shares = Curves(
        "held-out points have less energy", Axis("points in context"), Axis("share", limits=(0.45, 1.0)),
        [band("than a uniform place", run.against_uniform, given),
         band("than a point of another mixture", run.against_other, given),
         band("than a uniform place, wrong context", run.mismatched, given, role="control")],
    )  # fmt: skip
    side = np.linspace(-context.BOX, context.BOX, context.LANDSCAPE)
    land = run.landscape.isel(seed=0)
    heats = []
    for i, n in enumerate(context.CONTEXTS):
        values = land.isel(shown=i).values - land.isel(shown=i).values.min()
        title = f"energy given {n} point{'s' if n > 1 else ''}"
        heats.append(
            HeatMap(title, Axis("x1"), Axis("x2"), side, side, values, "energy above its least", limits=(0, 1))
        )
    return Figure(
        "in-context", "Energies that adapt to their context",
        "One transformer, trained by contrastive divergence on ever new mixtures and then frozen. Maps: one context "
        "of one network (seed 0); its energy sharpens as points come.", [shares, *heats],
        ("in-context-rise", "in-context-order"),
    )  # fmt: skip
