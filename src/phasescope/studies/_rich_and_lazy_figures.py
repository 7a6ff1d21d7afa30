"""The figures of the study ``rich-and-lazy``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from phasescope.blocks import Figure

if TYPE_CHECKING:
    from phasescope.studies.rich_and_lazy import RichLazySettings


def figures(data: xr.Dataset, s: RichLazySettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return ()
