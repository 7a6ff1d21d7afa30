"""Figures of the study ``transformer-signal``."""

from __future__ import annotations

from typing import Any


def figures(data: Any, s: Any) -> Any:
    """None yet."""
    return ()
