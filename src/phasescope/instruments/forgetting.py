"""What was lost of earlier tasks: forgetting, after Chaudhry et al. 2018, arXiv:1801.10112, Sec. 3.1 (not checked)."""

from __future__ import annotations

import numpy as np

from phasescope.checks import numbers
from phasescope.vocabulary import Array, BadInput

__all__ = ["forgotten"]


def forgotten(accuracies: Array) -> Array:
    """Return the loss of each earlier task (T - 1,) from ``accuracies`` (T, T) of task j (column) after task i (row).

    The best accuracy on j while or after it was learnt and before the last task, less that after the last. In the unit
    of an accuracy, from -1 to 1: 0, the null value, where nothing was lost, below 0 where later tasks helped. Entries
    above the diagonal, of tasks not yet learnt, do not count and may be NaN. Raises ``BadInput`` for anything but a
    square table of two tasks or more, and for accuracies that are missing.

    >>> forgotten(np.array([[0.9, 0.1], [0.6, 0.8]])).round(2).tolist()
    [0.3]
    """
    found = np.asarray(numbers("accuracies", accuracies), dtype=float)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or len(found) < 2:
        raise BadInput(f"accuracies have shape {found.shape}: give (T, T), of each task after each, two or more.")
    if not np.isfinite(found[np.tril_indices(len(found))]).all():
        raise BadInput("an accuracy on a task that was learnt is missing: give all on and below the diagonal.")
    if not ((found >= 0) & (found <= 1) | np.isnan(found)).all():
        raise BadInput(f"accuracies go from {np.nanmin(found):g} to {np.nanmax(found):g}: give shares from 0 to 1.")
    return np.array([found[j:-1, j].max() - found[-1, j] for j in range(len(found) - 1)])
