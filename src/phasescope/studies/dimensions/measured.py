"""What ``dimensions`` measures of one seed: dimensions and outcomes of all its networks, and how they go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.studies.dimensions.networks import INPUTS, cells, networks, several
from phasescope.studies.dimensions.readings import dimensions_of, outcomes_of
from phasescope.studies.dimensions.settings import CELL, GIVEN
from phasescope.verdict.associations import partial_correlations, residuals, strongest
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]


def measure(member: Member, generators: Generators) -> Found:
    """Train the networks of one seed and correlate.

    ``dimension`` (reading, networks), ``outcome`` (outcome, networks), ``loss`` and ``parameters`` (networks);
    ``partial`` and ``permuted`` (given, outcome, reading): partial rank correlations, and those with the outcomes of
    other networks of the seed; ``strongest``, ``strongest_permuted`` and ``chance`` (given, outcome).
    """
    order = generators("pixels").permutation(INPUTS)
    read, ends, losses, sizes = [], [], [], []
    for number, network in enumerate(networks(member)):
        read.append(dimensions_of(network, member, generators, number))
        ends.append(outcomes_of(network, member, order))
        losses.append(network.loss)
        sizes.append(sum(p.numel() for p in network.net.parameters()))
    dimensions, outcomes = np.array(read), np.array(ends)
    found = correlations(member, generators, dimensions, outcomes, np.array(losses), np.array(sizes, dtype=float))
    laid = {name: laid_out(member, values) for name, values in (
        ("dimension", dimensions.T), ("outcome", outcomes.T), ("loss", losses), ("parameters", sizes))}  # fmt: skip
    return {**laid, **found}


def correlations(
    member: Member, generators: Generators, dimensions: Array, outcomes: Array, losses: Array, sizes: Array
) -> Found:
    """Return the partial correlations of dimensions (n, m) with outcomes (n, k), what is given taken out."""
    places = np.array([cell[1:] for cell in cells(member)], dtype=float)
    turn = generators("permuted").permutation(len(sizes))
    names = ("partial", "permuted", "strongest", "strongest_permuted", "chance")
    found: dict[str, list[Any]] = {name: [] for name in names}
    for given in GIVEN:
        known = np.column_stack([sizes, losses, *([places] if given == CELL else [])])
        left, ends = (residuals(values, known, np.arange(len(sizes)), count=int(member["folds"]),
                                generator=generators("folds")) for values in (dimensions, outcomes))  # fmt: skip
        partial = [partial_correlations(left, end) for end in ends.T]
        permuted = [partial_correlations(left, end[turn]) for end in ends.T]
        tried = [strongest(left, end, generators("strongest", k), int(member["permutations"]))
                 for k, end in enumerate(ends.T)]  # fmt: skip
        for name, values in zip(names, (partial, permuted, [t[0] for t in tried], [largest(p) for p in permuted],
                                        [t[1] for t in tried]), strict=True):  # fmt: skip
            found[name].append(values)
    return {name: np.array(values) for name, values in found.items()}


def largest(values: Array) -> float:
    """Return the largest size of correlations, constants left out."""
    return float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else float("nan")


def laid_out(member: Member, values: Any) -> Array:
    """Return values (..., n) of networks along ``settings.AXES``."""
    sizes = [len(several(member, name)) for name in ("widths", "rows", "corruptions", "decays")]
    return np.asarray(values, dtype=float).reshape(*np.shape(values)[:-1], *sizes)
