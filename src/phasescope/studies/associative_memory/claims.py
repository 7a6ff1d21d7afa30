"""The claims of the study ``associative-memory``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, between, most, near, value
from phasescope.studies.associative_memory.settings import ALPHAS, DISCOUNTS, MemorySettings
from phasescope.theory import memory_creation, memory_limits
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Schaeffer et al. 2024"
WORKSHOP = "the authors' workshop paper (Associative Memory Under the Probabilistic Lens, 2023)"
EXACT = 1e-12  # rounding of float64, with room for sums
ROUNDING = "rounding, with room for sums"
SIZE, FRACTION, CORRELATION = (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0)


def claims(s: MemorySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_energies(), *_creations(s), *_assignments(), *_capacities(s), *_norms(), *_attention(), *_in_context(s))


def _energies() -> Sequence[Claim]:
    retrieval = at("retrieval")
    return (
        Claim("energy-falls",
            "The energy of a clustering memory never rises on the way of its dynamics (largest rise of any step)",
            Source(paper=f"{WORKSHOP}, dynamics of the clustering memory", derived="theory.associative_memory.retrieve",
                tolerance=ROUNDING),
            value("rise")(retrieval), at_most(EXACT),
            Control("the squared distance from the nearest memory", value("rise_nearest")), kind="identity"),
        Claim("fixed-point",
            "Where the dynamics end, a state is the mean of the memories under their posterior (largest distance)",
            Source(paper=f"{WORKSHOP}, fixed points of the clustering memory",
                derived="theory.associative_memory.memory_posterior",
                tolerance="far below any distance between memories"),
            value("residual")(retrieval), at_most(1e-5), Control("the nearest memory alone", value("to_nearest")),
            kind="identity", range=SIZE),
        Claim("energy-is-likelihood",
            "The drift, times 2 beta, is the score of a mixture with covariance I/(2 beta) (largest difference)",
            Source(paper=f"{WORKSHOP}, with the covariance put right",
                derived="theory.associative_memory.memory_drift", tolerance=ROUNDING),
            value("score_gap")(retrieval), at_most(1e-6),
            Control("covariance 2 I/beta, as printed", value("score_gap_printed")), kind="identity", range=SIZE),
        Claim("learning-is-em",
            "Learning memories by gradient descent on |x - x^T|^2 raises the mixture's log-likelihood more than most "
            "moves do that are as long, each memory's towards a random point (fraction of them)",
            Source(paper=f"{WORKSHOP}: generalized EM", ours="most are four fifths", value="the likelihood rises",
                tolerance="the smallest effect that matters"),
            value("beaten")(at("clustering")), at_least(0.8),
            Control("memories that go as far towards the mean of the points", value("beaten_by_mean")),
            range=FRACTION),
    )  # fmt: skip


def _creations(s: MemorySettings) -> Sequence[Claim]:
    made, printed = at("creation", gaussians="normalized"), at("creation", gaussians="printed")
    parties = [at("seats", alpha=alpha, discount=discount) for alpha in ALPHAS for discount in DISCOUNTS]
    plain = [at("seats", alpha=alpha, discount=0.0) for alpha in ALPHAS]
    tables = value("tables", point=s.customers - 1)

    def expected(words: str, discount: float | None = None) -> Measure:
        def read(party: xr.Dataset) -> float:
            d = party.discount.item() if discount is None else discount
            return memory_creation.expected_memories(party.alpha.item(), s.customers, d)

        return Measure(read, words)

    foretold, elsewhere = expected("expected memories"), expected("expected memories with a discount", DISCOUNTS[-1])
    return (
        Claim("created-count", f"Memories made as needed on {s.blobs} separate blobs are {s.blobs} to {s.blobs + 2}",
            Source(paper=f"{PAPER}, abstract: memories made by Bayesian nonparametrics", checked=True,
                pilot="20 seeds of 5 blobs and 500 points made 5 to 7 memories, and 14 to 48 as printed",
                tolerance="the pilot's range"),
            value("memories")(made), between(s.blobs, s.blobs + 2), Control("the energy as printed", printed),
            unit="memories", range=SIZE),
        Claim("created-clusters", "They agree with the blobs (adjusted Rand index)",
            Source(paper=f"{PAPER}, abstract: memories made by Bayesian nonparametrics", checked=True,
                pilot="20 seeds of 5 blobs and 500 points: 0.997, and 0.89 as printed",
                tolerance="a quarter of what separates the two"),
            value("agreement")(made), at_least(0.97), Control("the energy as printed", printed), range=CORRELATION),
        Claim("table-count",
            "The restaurant process makes as many memories as theory says (largest relative deviation)",
            Source(paper=f"{WORKSHOP}, Eqs. 10-11", derived="theory.memory_creation.expected_memories",
                tolerance="three standard errors of the mean of 800 draws, where it is largest"),
            most(abs(tables / foretold - 1), parties), at_most(0.05),
            Control("a process without the discount", most(abs(tables / elsewhere - 1), plain)), range=SIZE),
    )  # fmt: skip


def _assignments() -> Sequence[Claim]:
    return (
        Claim("elbo-posterior", "Explicit assignments that climb the ELBO end at the posterior (largest difference)",
            Source(paper=f"{PAPER}, abstract: assignments by the evidence lower bound", checked=True,
                derived="theory.memory_creation.assignment_flow", tolerance="ours: 0.01 of an assignment"),
            value("distance")(at("assignments")), at_most(0.01),
            Control("without the entropy term", value("distance_without")), kind="identity", range=FRACTION),
    )  # fmt: skip


def _slope(cell: xr.Dataset, dimensions: Sequence[int]) -> Array:
    """Return the least-squares slope of the log capacity over these dimensions (n,)."""
    D = np.array(dimensions) - np.mean(dimensions)
    half = cell.half.sel(dimension=list(dimensions)).transpose("dimension", "seed").values
    return np.asarray(D @ np.log(half) / (D @ D))


@partial(Measure, words="least factor of the capacity for two dimensions more")
def _least_factor(cell: xr.Dataset) -> Array:
    half, steps = cell.half.transpose("dimension", "seed").values, np.diff(cell.dimension.values)
    return np.asarray(((half[1:] / half[:-1]) ** (2 / steps[:, None])).min(0))


def _capacities(s: MemorySettings) -> Sequence[Claim]:
    top = len(s.wide) - 1
    both = sorted({*s.wide} & {*s.narrow} & {*s.widest}) or list(s.wide[:2])
    half = max(2, len(s.wide) // 2 + 1)
    early, late = s.wide[:half], s.wide[-half:]

    def level(place: int) -> Measured:
        D = s.wide[place]
        return (value("half") / memory_limits.bulk_capacity(D, 1.0))(at("capacity", dimension=D))

    @partial(Measure, words="least difference of the slopes of the log capacity, each bandwidth's from the next's")
    def steeper(*cells: xr.Dataset) -> Array:
        return np.asarray(-np.diff([_slope(cell, both) for cell in cells], axis=0).max(0))

    @partial(Measure, words="difference of the slopes of the log capacity over small and large dimensions")
    def curved(cell: xr.Dataset) -> Array:
        return np.asarray(np.abs(_slope(cell, late) - _slope(cell, early)))

    known = [memory_limits.capacity_exponent(h2) for h2 in (0.7, 1.0, 2.0)]
    least = float(min(known[0] - known[1], known[1] - known[2]) / 2)
    bulk = "theory.memory_limits.bulk_capacity"
    low, middle = s.wide[0], s.wide[min(2, top)]
    return (
        Claim("capacity-growth",
            f"From D = {s.wide[top - 1]} to {s.wide[top]} the capacity of a density estimator grows as the crosstalk "
            "of all patterns foretells (ratio)",
            Source(derived=bulk, tolerance="ours: 10 %, a sixth of what pairs add at small D"),
            level(top) / level(top - 1), near(1.0, 0.1),
            Control(f"from D = {low} to {middle}, where pairs that merge limit it", level(min(2, top)) / level(0)),
            range=SIZE),
        Claim("capacity-level",
            f"At D = {s.wide[top]} the capacity is what the crosstalk of all patterns allows (ratio)",
            Source(derived=bulk, tolerance="ours: 10 %"), level(top), near(1.0, 0.1),
            Control(f"at D = {low}, where pairs that merge limit it", level(0)), range=SIZE),
        Claim("capacity-by-bandwidth",
            f"Over D = {both[0]} to {both[-1]} the log capacity grows faster the narrower the kernel, h^2 = 0.7, 1 and "
            "2 (least difference of slopes)",
            Source(derived="theory.memory_limits.capacity_exponent, at large D",
                value=", ".join(f"{x:.3f}" for x in known) + " per dimension",
                tolerance="half the least difference of the exponents"),
            steeper(at("capacity_narrow"), at("capacity"), at("capacity_widest")), at_least(least),
            Control("smaller and larger dimensions at h^2 = 1", curved(at("capacity")))),
        Claim("capacity-doubles", "Two dimensions more at least double the capacity (the least factor)",
            Source(paper=f"{PAPER}, capacity of kernel density estimators", value="exponential in D",
                ours="a factor of two for two dimensions", tolerance="the smallest effect that matters"),
            _least_factor(at("capacity")), at_least(2.0), Control("the classical Hopfield network", at("linear")),
            range=SIZE),
    )  # fmt: skip


def _norms() -> Sequence[Claim]:
    equal, unequal = at("unequal", spread=0.0), at("unequal", spread=0.1)
    return (
        Claim("shift-is-attention", "On equal norms a mean-shift step is an attention step (largest difference)",
            Source(paper=f"{PAPER}, density estimators and modern Hopfield networks",
                derived="theory.associative_memory.mean_shift and hopfield_update", tolerance=ROUNDING),
            value("update_gap")(equal), at_most(EXACT), Control("norms that differ by 10 %", unequal),
            kind="identity", range=SIZE),
        Claim("unequal-norms", "Where norms differ by 10 %, the density estimator still keeps its patterns (fraction)",
            Source(ours="attention favours long patterns by theory.associative_memory.hopfield_update, mean shift not",
                tolerance="nine tenths are nearly all"),
            value("density")(unequal), at_least(0.9),
            Control("the modern Hopfield network on the same patterns", value("hopfield")), range=FRACTION),
    )  # fmt: skip


def _attention() -> Sequence[Claim]:
    even = at("sphere", uneven=0.0)
    return (
        Claim("sphere-identity",
            "Attention after normalization factors into concentrations, directions and weights (largest difference)",
            Source(paper=f"{WORKSHOP}, Eq. 9", derived="theory.associative_memory.sphere_mixture", tolerance=ROUNDING),
            value("identity_gap")(even), at_most(EXACT),
            Control("gains that differ between channels by 30 %", at("sphere", uneven=0.3)), kind="identity",
            range=FRACTION),
        Claim("sphere-mixture",
            "Its weights are the responsibilities of von Mises-Fisher densities (largest difference)",
            Source(paper=f"{WORKSHOP}, Eq. 9", derived="theory.associative_memory.vmf_log_normalizer",
                tolerance=ROUNDING),
            value("mixture_gap")(even), at_most(EXACT),
            Control("the printed factors as mixing weights", value("unweighted_gap")), kind="identity",
            range=FRACTION),
    )  # fmt: skip


def _in_context(s: MemorySettings) -> Sequence[Claim]:
    learnt, other = at("in_context"), "contexts drawn from another mixture"
    abstract = f"{PAPER}, abstract: energies that adapt to their context"

    def rise(fraction: str) -> Measure:
        return value(fraction, given=s.length) - value(fraction, given=1)

    def smaller_rise(fraction: str) -> Measure:
        @partial(Measure, words=f"smaller rise of {fraction}")
        def smaller(cell: xr.Dataset) -> xr.DataArray:
            return cell[fraction].isel(given=[1, 4, s.length]).diff("given").min("given", skipna=False)

        return smaller

    return (
        Claim("in-context-rise",
            f"With frozen weights, {s.length} points of context rather than 1 raise the fraction of held-out points "
            "with less energy than a uniform place",
            Source(paper=abstract, pilot="a network of 3 layers and width 64: 0.79 given 1 point, 0.934 given 24",
                tolerance="a third of the pilot's rise", checked=True),
            rise("against_uniform")(learnt), at_least(0.05), Control(other, rise("mismatched")), range=CORRELATION),
        Claim("in-context-order",
            f"From 1 to 4 and from 4 to {s.length} points the fraction rises each time (the smaller rise)",
            Source(paper=abstract, value="the direction only", tolerance="none: a sign", checked=True),
            smaller_rise("against_uniform")(learnt), at_least(0.0), Control(other, smaller_rise("mismatched")),
            range=CORRELATION),
    )  # fmt: skip
