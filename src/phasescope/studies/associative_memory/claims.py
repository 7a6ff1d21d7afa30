"""The claims of the study ``associative-memory``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.lab.study import part
from phasescope.studies.associative_memory.settings import MemorySettings
from phasescope.verdict import Claim, Control, Effect, Expectation
from phasescope.vocabulary import Array

PAPER = "Schaeffer et al. 2024"
WORKSHOP = "the authors' workshop paper (2023)"
EXACT = 1e-12  # rounding of float64, with room for sums


def claims(s: MemorySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_energies, _creations, _assignments, _capacities, _levels, _attention, _in_context)
    return tuple(claim for group in groups for claim in group(s))


def reading(experiment: str, name: str, **at: object) -> Effect:
    """Return the effect that is one quantity of one simulation, at one place of its grid: one value per seed."""

    def effect(data: xr.Dataset) -> Array:
        found = part(data, experiment)[name]
        return np.asarray((found.sel(at) if at else found).values)

    return effect


def _energies(s: MemorySettings) -> Sequence[Claim]:
    return (
        Claim(
            "energy-falls",
            "The energy of a clustering memory never rises on the way of its dynamics (largest rise of any step)",
            f"{WORKSHOP}; claim 6.1; the bound is rounding",
            reading("retrieval", "rise"),
            Expectation.at_most(EXACT),
            Control("the drift with its sign reversed", reading("retrieval", "rise_uphill")),
        ),
        Claim(
            "fixed-point",
            "Where the dynamics end, a state is the mean of the memories under their posterior (largest distance)",
            f"{WORKSHOP}; claim 6.1",
            reading("retrieval", "residual"),
            Expectation.at_most(1e-5),
            Control("the nearest memory alone", reading("retrieval", "to_nearest")),
        ),
        Claim(
            "energy-is-likelihood",
            "The drift, times 2 beta, is the score of a mixture with covariance I/(2 beta) (largest difference)",
            f"{WORKSHOP}, with the covariance put right; claim 6.2",
            reading("retrieval", "score_gap"),
            Expectation.at_most(1e-6),
            Control("covariance 2 I/beta, as printed", reading("retrieval", "score_gap_printed")),
        ),
        Claim(
            "learning-is-em",
            "Learning memories by gradient descent on |x - x^T|^2 raises the mixture's log-likelihood (nats per point)",
            f"{WORKSHOP}: generalized EM; the margin is ours",
            reading("clustering", "gain"),
            Expectation.at_least(0.1),
            Control("memories that go as far in random directions", reading("clustering", "gain_astray")),
            unit="nats",
        ),
    )


def _creations(s: MemorySettings) -> Sequence[Claim]:
    def worst(data: xr.Dataset, *, forget_discount: bool = False) -> Array:
        tables = part(data, "seats")["tables"].isel(point=-1)
        found = []
        for alpha in tables.alpha.values:
            for discount in tables.discount.values:
                known = 0.0 if forget_discount else float(discount)
                expected = theory.expected_memories(float(alpha), s.customers, known)
                found.append(np.abs(tables.sel(alpha=alpha, discount=discount).values / expected - 1))
        return np.asarray(np.max(found, axis=0))

    return (
        Claim(
            "created-count",
            f"Memories made as needed on {s.blobs} separate blobs are {s.blobs} to {s.blobs + 2}",
            f"{PAPER}, the nonparametric memory; a reproduction's range; claim 6.7",
            reading("creation", "memories", gaussians="normalized"),
            Expectation.between(s.blobs, s.blobs + 2),
            Control("the energy as printed", reading("creation", "memories", gaussians="printed")),
        ),
        Claim(
            "created-clusters",
            "They agree with the blobs (adjusted Rand index)",
            f"{PAPER}, the nonparametric memory; a reproduction's value; claim 6.7",
            reading("creation", "agreement", gaussians="normalized"),
            Expectation.at_least(0.97),
            Control("the energy as printed", reading("creation", "agreement", gaussians="printed")),
        ),
        Claim(
            "table-count",
            "The restaurant process makes as many memories as theory says (largest relative deviation)",
            f"{WORKSHOP}, Eqs. 10-11, theory.expected_memories; claim 6.6",
            worst,
            Expectation.at_most(0.05),
            Control("theory that forgets the discount", lambda d: worst(d, forget_discount=True)),
        ),
    )


def _assignments(s: MemorySettings) -> Sequence[Claim]:
    return (
        Claim(
            "elbo-posterior",
            "Explicit assignments that climb the ELBO end at the posterior (largest difference)",
            f"{PAPER}, the ELBO memory; theory.assignment_flow; the margin is ours",
            reading("assignments", "distance"),
            Expectation.at_most(0.01),
            Control("without the entropy term", reading("assignments", "distance_without")),
        ),
    )


def _slope(experiment: str, dimensions: Sequence[int]) -> Effect:
    """Return the least-squares slope of the log capacity over D, per seed."""

    def effect(data: xr.Dataset) -> Array:
        half = part(data, experiment)["half"].sel(dimension=list(dimensions)).transpose("dimension", "seed").values
        D = np.asarray(dimensions, float) - np.mean(dimensions)
        return np.asarray(D @ np.log(half) / (D @ D))

    return effect


def _capacities(s: MemorySettings) -> Sequence[Claim]:
    wide, narrow = [d for d in s.wide if d <= 16], [d for d in s.narrow if d <= 12]
    exponent = theory.capacity_exponent

    def growth(experiment: str) -> Effect:
        def effect(data: xr.Dataset) -> Array:
            half = part(data, experiment)["half"].sel(dimension=wide).transpose("dimension", "seed").values
            steps = np.diff(wide)[:, None]
            return np.asarray(((half[1:] / half[:-1]) ** (2 / steps)).min(0))

        return effect

    return (
        Claim(
            "capacity-slope",
            f"The log capacity of a density estimator grows by 0.6 per dimension, D = {wide[0]} to {wide[-1]}, h^2 = 1",
            f"{PAPER}, capacity; the exponent {exponent(1.0):.3f} at large D is derived here; claim 6.4",
            _slope("capacity", wide),
            Expectation.near(0.6, 0.06),
            Control("bandwidth h^2 = 2", _slope("capacity_widest", s.widest)),
        ),
        Claim(
            "capacity-slope-narrow",
            f"At h^2 = 0.7 it grows by {exponent(0.7):.3f} per dimension, D = {narrow[0]} to {narrow[-1]}",
            "derived here (theory.capacity_exponent); the tolerance is that of claim 6.4",
            _slope("capacity_narrow", narrow),
            Expectation.near(exponent(0.7), 0.06),
            Control("bandwidth h^2 = 1", _slope("capacity", wide)),
        ),
        Claim(
            "capacity-doubles",
            "Two dimensions more at least double the capacity (the least factor)",
            f"{PAPER}, capacity exponential in D; claim 6.4",
            growth("capacity"),
            Expectation.at_least(2.0),
            Control("the classical Hopfield network", growth("linear")),
        ),
    )


def _levels(s: MemorySettings) -> Sequence[Claim]:
    top = max(s.wide)

    def ratio(law: float) -> Effect:
        return lambda data: np.asarray(part(data, "capacity")["half"].sel(dimension=top).values / law)

    return (
        Claim(
            "capacity-level",
            f"At D = {top} the capacity is what the crosstalk of all patterns allows (ratio)",
            "derived here (theory.bulk_capacity); the margin is ours",
            ratio(theory.bulk_capacity(top, 1.0)),
            Expectation.near(1.0, 0.15),
            Control("the limit set by pairs that merge", ratio(theory.pair_capacity(top, 1.0))),
        ),
        Claim(
            "shift-is-attention",
            "On equal norms a mean-shift step is an attention step (largest difference)",
            f"{PAPER}, density estimators and modern Hopfield networks; claim 6.3",
            reading("unequal", "update_gap", spread=0.0),
            Expectation.at_most(EXACT),
            Control("norms that differ by 10 %", reading("unequal", "update_gap", spread=0.1)),
        ),
        Claim(
            "unequal-norms",
            "Where norms differ by 10 %, the density estimator still keeps its patterns (share)",
            "derived here (theory.mean_shift, theory.hopfield_update); the margin is ours",
            reading("unequal", "density", spread=0.1),
            Expectation.at_least(0.9),
            Control("the modern Hopfield network on the same patterns", reading("unequal", "hopfield", spread=0.1)),
        ),
    )


def _attention(s: MemorySettings) -> Sequence[Claim]:
    return (
        Claim(
            "sphere-identity",
            "Attention after normalization factors into concentrations, directions and weights (largest difference)",
            f"{WORKSHOP}, Eq. 9; claim 6.5",
            reading("sphere", "identity_gap", uneven=0.0),
            Expectation.at_most(EXACT),
            Control("gains that differ between channels by 30 %", reading("sphere", "identity_gap", uneven=0.3)),
        ),
        Claim(
            "sphere-mixture",
            "Its weights are the responsibilities of von Mises-Fisher densities (largest difference)",
            f"{WORKSHOP}, Eq. 9, with the normalizers, derived here; claim 6.5",
            reading("sphere", "mixture_gap", uneven=0.0),
            Expectation.at_most(EXACT),
            Control("the printed factors as mixing weights", reading("sphere", "unweighted_gap", uneven=0.0)),
        ),
        Claim(
            "sphere-tie",
            "A key of twice the length is not only sharper, its weight changes too (mean change of the log weight)",
            f"{WORKSHOP}, Eq. 9; claim 6.5; the margin is ours",
            reading("sphere", "tie", uneven=0.0),
            Expectation.at_least(0.1),
            Control("normalization without a shift", reading("sphere", "tie_without_shift", uneven=0.0)),
            unit="nats",
        ),
    )


def _in_context(s: MemorySettings) -> Sequence[Claim]:
    def rise(name: str) -> Effect:
        def effect(data: xr.Dataset) -> Array:
            share = part(data, "in_context")[name].transpose("given", "seed").values
            return np.asarray(share[s.length] - share[1])

        return effect

    def least(name: str) -> Effect:
        def effect(data: xr.Dataset) -> Array:
            share = part(data, "in_context")[name].transpose("given", "seed").values[[1, 4, s.length]]
            return np.asarray(np.diff(share, axis=0).min(0))

        return effect

    other = "contexts drawn from another mixture"
    return (
        Claim(
            "in-context-rise",
            f"With frozen weights, {s.length} points of context rather than 1 raise the share of held-out points with "
            "less energy than a uniform place",
            f"{PAPER}, in-context learning of energy functions (qualitative); a reproduction's margin; claim 6.8",
            rise("against_uniform"),
            Expectation.at_least(0.05),
            Control(other, rise("mismatched")),
        ),
        Claim(
            "in-context-order",
            f"From 1 to 4 and from 4 to {s.length} points the share rises each time (the smaller rise)",
            f"{PAPER}, in-context learning of energy functions (qualitative); claim 6.8",
            least("against_uniform"),
            Expectation.at_least(0.0),
            Control(other, least("mismatched")),
        ),
    )
