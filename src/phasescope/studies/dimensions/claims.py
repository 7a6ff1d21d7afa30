"""The claims of the study ``dimensions``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence

from phasescope.lab.measures import at, at_least, value
from phasescope.studies.dimensions.settings import OUTCOMES, SIZE, DimensionSettings
from phasescope.verdict import Claim, Control, Source

NETWORKS = at("networks")


def claims(s: DimensionSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return tuple(
        Claim(f"some-{of}", of, Source(ours="asked", tolerance="ours"),
              value("strongest", given=SIZE, of=of)(NETWORKS), at_least(0.5),
              Control("permuted", value("strongest_permuted", given=SIZE, of=of)(NETWORKS)), range=(0.0, 1.0))
        for of in OUTCOMES
    )  # fmt: skip
