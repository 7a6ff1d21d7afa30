"""The claims of the study ``dimensions``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy import stats

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, between, value
from phasescope.studies.dimensions.settings import (
    CELL,
    DATA_WIDE,
    DENSE,
    FASTFOOD,
    FORGETTING,
    FUNCTION,
    GENERALIZATION,
    OUTCOMES,
    PIECES,
    SECOND_WIDE,
    SIZE,
    DimensionSettings,
)
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

ASKED = "asked before a network was trained"
PILOT = "seeds 0 and 1 of this study, docs/studies/dimensions.md"
UNIT, CORRELATION = (0.0, 1.0), (-1.0, 1.0)
NETWORKS = at("networks")


def claims(s: DimensionSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_some(), *_which(), *_alike())


def partial(given: str, of: str, reading: str) -> Measured:
    """Return the partial rank correlation of a dimension with an outcome."""
    words = f"rank correlation of {reading} with {of} beyond {given}"
    return Measure(lambda cell: cell["partial"].sel(given=given, of=of, reading=reading), words)(NETWORKS)


def _some() -> Sequence[Claim]:
    return tuple(
        Claim(f"some-dimension-tells-{of}",
            f"Some dimension tells {of} beyond size and training loss: the largest rank correlation of eleven, by size",
            Source(ours=ASKED, tolerance="ours: a quarter of the variance of ranks"),
            value("strongest", given=SIZE, of=of)(NETWORKS), at_least(0.5),
            Control("the largest of eleven with the outcomes of other networks",
                value("strongest_permuted", given=SIZE, of=of)(NETWORKS)), range=UNIT)
        for of in OUTCOMES
    )  # fmt: skip


def _which() -> Sequence[Claim]:
    weak = "ours: the smallest correlation that matters"
    return (
        Claim("pieces-and-generalization",
            "Of networks of one size and training loss, those whose decision regions have fewer pieces generalize "
            "better (rank correlation)",
            Source(pilot=PILOT, value="-0.56, -0.58", tolerance=weak),
            partial(SIZE, GENERALIZATION, PIECES), at_most(-0.25),
            Control("the participation ratio of the data", partial(SIZE, GENERALIZATION, DATA_WIDE)),
            range=CORRELATION),
        Claim("objective-and-generalization",
            "and so do those whose objective has fewer dimensions (rank correlation)",
            Source(pilot=PILOT, value="-0.36, -0.46", tolerance=weak),
            partial(SIZE, GENERALIZATION, DENSE), at_most(-0.25),
            Control("the participation ratio of the data", partial(SIZE, GENERALIZATION, DATA_WIDE)),
            range=CORRELATION),
        Claim("objective-beyond-the-cell",
            "The dimension of the objective tells generalization also where rows, corruption and decay are given (rank "
            "correlation)",
            Source(ours=ASKED, tolerance=weak),
            partial(CELL, GENERALIZATION, DENSE), at_most(-0.25),
            Control("the participation ratio of the data", partial(CELL, GENERALIZATION, DATA_WIDE)),
            range=CORRELATION),
        Claim("pieces-and-forgetting",
            "Of networks of one size and training loss, those whose decision regions have fewer pieces forget more "
            "(rank correlation)",
            Source(pilot=PILOT, value="-0.39, -0.46", tolerance=weak),
            partial(SIZE, FORGETTING, PIECES), at_most(-0.25),
            Control("the participation ratio of the data", partial(SIZE, FORGETTING, DATA_WIDE)), range=CORRELATION),
        Claim("layers-and-generalization",
            "The participation ratio of the second layer tells little of generalization beyond size and training loss "
            "(rank correlation)",
            Source(ours=ASKED, tolerance=weak),
            partial(SIZE, GENERALIZATION, SECOND_WIDE), between(-0.3, 0.3),
            Control("pieces of decision regions", partial(SIZE, GENERALIZATION, PIECES)), range=CORRELATION),
    )  # fmt: skip


def alike(one: str, other: str) -> Measured:
    """Return the rank correlation of two dimensions over the networks of a seed."""

    def read(cell: xr.Dataset) -> Array:
        x, y = (np.asarray(cell.dimension.sel(reading=name).transpose("seed", ...)) for name in (one, other))
        return np.array([stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(x, y, strict=True)])

    return Measure(read, f"rank correlation over networks of {one} and {other}")(NETWORKS)


def _alike() -> Sequence[Claim]:
    return (
        Claim("fastfood-is-dense",
            "Fastfood's directions give the dimension of the objective that dense ones give (rank correlation over "
            "networks)",
            Source(paper="Li et al. 2018, arXiv:1804.08838: random subspaces, dense, sparse or Fastfood (place not "
                "checked)", ours="the correlation", tolerance="ours: four fifths"),
            alike(DENSE, FASTFOOD), at_least(0.8),
            Control("the dimension of the function", alike(DENSE, FUNCTION)), range=CORRELATION),
    )  # fmt: skip
