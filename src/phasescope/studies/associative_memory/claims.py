"""The claims of the study ``associative-memory``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, between, most, near, value
from phasescope.studies.associative_memory.settings import ALPHAS, DISCOUNTS, MemorySettings
from phasescope.theory import memory_creation, memory_limits
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

PAPER = "Schaeffer et al. 2024"
WORKSHOP = "the authors' workshop paper (2023)"
EXACT = 1e-12  # rounding of float64, with room for sums


def claims(s: MemorySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_energies(), *_creations(s), *_assignments(), *_capacities(s), *_levels(s), *_attention(), *_in_context(s))


def _energies() -> Sequence[Claim]:
    retrieval = at("retrieval")
    return (
        Claim("energy-falls",
            "The energy of a clustering memory never rises on the way of its dynamics (largest rise of any step)",
            f"{WORKSHOP}; claim 6.1; the bound is rounding", value("rise")(retrieval), at_most(EXACT),
            Control("the drift with its sign reversed", value("rise_uphill"))),
        Claim("fixed-point",
            "Where the dynamics end, a state is the mean of the memories under their posterior (largest distance)",
            f"{WORKSHOP}; claim 6.1", value("residual")(retrieval), at_most(1e-5),
            Control("the nearest memory alone", value("to_nearest"))),
        Claim("energy-is-likelihood",
            "The drift, times 2 beta, is the score of a mixture with covariance I/(2 beta) (largest difference)",
            f"{WORKSHOP}, with the covariance put right; claim 6.2", value("score_gap")(retrieval), at_most(1e-6),
            Control("covariance 2 I/beta, as printed", value("score_gap_printed"))),
        Claim("learning-is-em",
            "Learning memories by gradient descent on |x - x^T|^2 raises the mixture's log-likelihood (nats per point)",
            f"{WORKSHOP}: generalized EM; the margin is ours", value("gain")(at("clustering")), at_least(0.1),
            Control("memories that go as far in random directions", value("gain_astray")), unit="nats"),
    )  # fmt: skip


def _creations(s: MemorySettings) -> Sequence[Claim]:
    made, printed = at("creation", gaussians="normalized"), at("creation", gaussians="printed")
    parties = [at("seats", alpha=alpha, discount=discount) for alpha in ALPHAS for discount in DISCOUNTS]

    tables = value("tables", point=s.customers - 1)

    @partial(Measure, words="expected memories")
    def expected(party: xr.Dataset) -> float:
        return memory_creation.expected_memories(party.alpha.item(), s.customers, party.discount.item())

    @partial(Measure, words="expected memories without a discount")
    def undiscounted(party: xr.Dataset) -> float:
        return memory_creation.expected_memories(party.alpha.item(), s.customers)

    return (
        Claim("created-count", f"Memories made as needed on {s.blobs} separate blobs are {s.blobs} to {s.blobs + 2}",
            f"{PAPER}, the nonparametric memory; a reproduction's range; claim 6.7", value("memories")(made),
            between(s.blobs, s.blobs + 2), Control("the energy as printed", printed)),
        Claim("created-clusters", "They agree with the blobs (adjusted Rand index)",
            f"{PAPER}, the nonparametric memory; a reproduction's value; claim 6.7", value("agreement")(made),
            at_least(0.97), Control("the energy as printed", printed)),
        Claim("table-count",
            "The restaurant process makes as many memories as theory says (largest relative deviation)",
            f"{WORKSHOP}, Eqs. 10-11, theory.memory_creation.expected_memories; claim 6.6",
            most(abs(tables / expected - 1), parties), at_most(0.05),
            Control("theory that forgets the discount", abs(tables / undiscounted - 1))),
    )  # fmt: skip


def _assignments() -> Sequence[Claim]:
    return (
        Claim("elbo-posterior", "Explicit assignments that climb the ELBO end at the posterior (largest difference)",
            f"{PAPER}, the ELBO memory; theory.memory_creation.assignment_flow; the margin is ours",
            value("distance")(at("assignments")), at_most(0.01),
            Control("without the entropy term", value("distance_without"))),
    )  # fmt: skip


@partial(Measure, words="slope of the log capacity over the dimension")
def _slope(cell: xr.Dataset) -> Array:
    """Return the least-squares slope."""
    D = cell.dimension.values - np.mean(cell.dimension.values)
    return np.asarray(D @ np.log(cell.half.transpose("dimension", "seed").values) / (D @ D))


@partial(Measure, words="least factor of the capacity for two dimensions more")
def _least_factor(cell: xr.Dataset) -> Array:
    half, steps = cell.half.transpose("dimension", "seed").values, np.diff(cell.dimension.values)
    return np.asarray(((half[1:] / half[:-1]) ** (2 / steps[:, None])).min(0))


def _capacities(s: MemorySettings) -> Sequence[Claim]:
    wide, narrow = [d for d in s.wide if d <= 16], [d for d in s.narrow if d <= 12]
    exponent, main = memory_limits.capacity_exponent, at("capacity", dimension=wide)
    return (
        Claim("capacity-slope",
            f"The log capacity of a density estimator grows by 0.6 per dimension, D = {wide[0]} to {wide[-1]}, h^2 = 1",
            f"{PAPER}, capacity; the exponent {exponent(1.0):.3f} at large D is derived here; claim 6.4",
            _slope(main), near(0.6, 0.06), Control("bandwidth h^2 = 2", at("capacity_widest", dimension=s.widest))),
        Claim("capacity-slope-narrow",
            f"At h^2 = 0.7 it grows by {exponent(0.7):.3f} per dimension, D = {narrow[0]} to {narrow[-1]}",
            "derived here (theory.memory_limits.capacity_exponent); the tolerance is that of claim 6.4",
            _slope(at("capacity_narrow", dimension=narrow)), near(exponent(0.7), 0.06),
            Control("bandwidth h^2 = 1", main)),
        Claim("capacity-doubles", "Two dimensions more at least double the capacity (the least factor)",
            f"{PAPER}, capacity exponential in D; claim 6.4", _least_factor(main), at_least(2.0),
            Control("the classical Hopfield network", at("linear", dimension=wide))),
    )  # fmt: skip


def _levels(s: MemorySettings) -> Sequence[Claim]:
    top, capacity = max(s.wide), value("half")
    equal, unequal = at("unequal", spread=0.0), at("unequal", spread=0.1)
    return (
        Claim("capacity-level", f"At D = {top} the capacity is what the crosstalk of all patterns allows (ratio)",
            "derived here (theory.memory_limits.bulk_capacity); the margin is ours",
            (capacity / memory_limits.bulk_capacity(top, 1.0))(at("capacity", dimension=top)), near(1.0, 0.15),
            Control("the limit set by pairs that merge", capacity / memory_limits.pair_capacity(top, 1.0))),
        Claim("shift-is-attention", "On equal norms a mean-shift step is an attention step (largest difference)",
            f"{PAPER}, density estimators and modern Hopfield networks; claim 6.3", value("update_gap")(equal),
            at_most(EXACT), Control("norms that differ by 10 %", unequal)),
        Claim("unequal-norms", "Where norms differ by 10 %, the density estimator still keeps its patterns (share)",
            "derived here (mean_shift and hopfield_update of theory.associative_memory); the margin is ours",
            value("density")(unequal), at_least(0.9),
            Control("the modern Hopfield network on the same patterns", value("hopfield"))),
    )  # fmt: skip


def _attention() -> Sequence[Claim]:
    even = at("sphere", uneven=0.0)
    return (
        Claim("sphere-identity",
            "Attention after normalization factors into concentrations, directions and weights (largest difference)",
            f"{WORKSHOP}, Eq. 9; claim 6.5", value("identity_gap")(even), at_most(EXACT),
            Control("gains that differ between channels by 30 %", at("sphere", uneven=0.3))),
        Claim("sphere-mixture",
            "Its weights are the responsibilities of von Mises-Fisher densities (largest difference)",
            f"{WORKSHOP}, Eq. 9, with the normalizers, derived here; claim 6.5", value("mixture_gap")(even),
            at_most(EXACT), Control("the printed factors as mixing weights", value("unweighted_gap"))),
        Claim("sphere-tie",
            "A key of twice the length is not only sharper, its weight changes too (mean change of the log weight)",
            f"{WORKSHOP}, Eq. 9; claim 6.5; the margin is ours", value("tie")(even), at_least(0.1),
            Control("normalization without a shift", value("tie_without_shift")), unit="nats"),
    )  # fmt: skip


def _in_context(s: MemorySettings) -> Sequence[Claim]:
    learnt, other = at("in_context"), "contexts drawn from another mixture"

    def rise(share: str) -> Measure:
        return value(share, given=s.length) - value(share, given=1)

    def smaller_rise(share: str) -> Measure:
        @partial(Measure, words=f"smaller rise of {share}")
        def smaller(cell: xr.Dataset) -> xr.DataArray:
            return cell[share].isel(given=[1, 4, s.length]).diff("given").min("given", skipna=False)

        return smaller

    return (
        Claim("in-context-rise",
            f"With frozen weights, {s.length} points of context rather than 1 raise the share of held-out points with "
            "less energy than a uniform place",
            f"{PAPER}, in-context learning of energy functions (qualitative); a reproduction's margin; claim 6.8",
            rise("against_uniform")(learnt), at_least(0.05), Control(other, rise("mismatched"))),
        Claim("in-context-order",
            f"From 1 to 4 and from 4 to {s.length} points the share rises each time (the smaller rise)",
            f"{PAPER}, in-context learning of energy functions (qualitative); claim 6.8",
            smaller_rise("against_uniform")(learnt), at_least(0.0), Control(other, smaller_rise("mismatched"))),
    )  # fmt: skip
