"""The figures of the study ``modular-polynomials``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from phasescope.blocks import Figure

if TYPE_CHECKING:
    from phasescope.studies.modular_polynomials import PolynomialSettings


def figures(data: xr.Dataset, s: PolynomialSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return ()
