"""One package per paper, and nothing else: settings, experiments, claims, figures. ``phasescope.lab`` runs them."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    """Return what stood here before it moved to ``phasescope.lab``, with a ``DeprecationWarning``."""
    from phasescope import lab

    if name not in lab.__all__:
        raise AttributeError(f"module 'phasescope.studies' has no attribute {name!r}")
    warnings.warn(f"phasescope.studies.{name} is phasescope.lab.{name} now", DeprecationWarning, stacklevel=2)
    return getattr(lab, name)
