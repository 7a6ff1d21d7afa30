"""How many pieces and holes the regions have in which a network answers one class: Betti numbers on a grid.

A grid of answers over a plane is a picture of K colours. A region is the union of the closed cells of one colour: cells
that share an edge or a corner are connected. b0 counts its pieces and b1 its holes, by Euler's formula b0 - b1 = chi.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phasescope.checks import numbers, shown
from phasescope.vocabulary import Array, BadInput

__all__ = ["Regions", "betti", "decision_regions"]


@dataclass(frozen=True)
class Regions:
    """Of each of ``classes`` that is answered somewhere, the number of ``pieces`` (classes,) and of ``holes``."""

    classes: Array
    pieces: Array
    holes: Array


def betti(cells: Array) -> tuple[int, int]:
    """Return b0 and b1 of the union of closed unit squares where ``cells`` (H, W) are true.

    Pieces are counted by labelling, and holes by the Euler characteristic, corners less edges plus squares; 0, 0 for
    none. Invariant to shifts, turns and mirrors.
    """
    from scipy.ndimage import label

    found = np.asarray(cells)
    if found.dtype.kind not in "biu" or found.ndim != 2 or not found.size:
        raise BadInput(f"cells are {shown(cells)}: give a grid (H, W) of true and false.")
    full = np.pad(found.astype(bool), 1)
    pieces = int(label(full, structure=np.ones((3, 3)))[1])
    across, along = full[:, 1:] | full[:, :-1], full[1:] | full[:-1]
    corners = across[1:] | across[:-1]
    characteristic = int(corners.sum()) - int(across.sum()) - int(along.sum()) + int(full.sum())
    return pieces, pieces - characteristic


def decision_regions(answers: Array) -> Regions:
    """Return the pieces and holes of each class in a grid of ``answers`` (H, W), whole numbers.

    Dimensionless counts; null value one piece and no hole for the one class of a constant answer. What is smaller than
    a cell is not seen, so numbers belong to a grid. Invariant to shifts, turns and mirrors, and to classes renamed.
    Raises ``BadInput`` for anything but a table of whole numbers.
    """
    found = np.asarray(numbers("answers", answers))
    if found.ndim != 2 or not found.size or found.dtype.kind not in "iu":
        raise BadInput(f"answers are {shown(answers)}: give a grid (H, W) of class numbers.")
    classes = np.unique(found)
    pieces, holes = np.array([betti(found == c) for c in classes]).T
    return Regions(classes, pieces, holes)
