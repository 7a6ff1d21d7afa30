"""Images as grey values: read from arrays or files, cut and scaled, and as embeddings (N, S) for ``ps.dedup``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.checks import numbers, whole
from phasescope.vocabulary import Array, BadInput

SIDE = 32
FLAT = 1e-6
Box = tuple[float, float, float, float]


class Pictures:
    """Images of any sizes, read one at a time: an array (N, H, W) or (N, H, W, 3), or names of files.

    What is transparent in a file is white. Raises ``BadInput`` for fewer than two, for other shapes, and where a file
    is no image that pillow reads.
    """

    def __init__(self, images: Any) -> None:
        self._files: list[Path] | None = None
        if hasattr(images, "shape"):
            shape = tuple(images.shape)
            if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3):
                raise BadInput(f"images have the shape {shape}: give (N, H, W) or (N, H, W, 3).")
            self._grey = numbers("images", images).astype(np.float32, copy=False)
            if not self._grey.size:
                raise BadInput(f"images have the shape {shape}: give some, of at least one pixel each.")
            wrong = np.flatnonzero(~np.isfinite(self._grey).reshape(len(self._grey), -1).all(1))
            if len(wrong):
                raise BadInput(f"image {wrong[0]} has a value that is not finite: mend such images, or leave them out.")
            count = len(self._grey)
        else:
            if isinstance(images, str | bytes | Path) or not isinstance(images, Sequence):
                raise BadInput(f"images are of type {type(images).__name__}: give an array, or a list of files' names.")
            self._files = [Path(path) for path in images]
            count = len(self._files)
        if count < 2:
            raise BadInput(f"there is {count} image: give at least 2." if count else "there is no image: give some.")
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Array:
        """Return the grey values (H, W) of an image, float32, the mean of its colours as it is stored."""
        if self._files is not None:
            return _opened(self._files[row])
        found: Array = self._grey[row]
        return np.asarray(found.mean(-1)) if found.ndim == 3 else found

    def name(self, row: int) -> str:
        """Return what a message calls an image."""
        return f"image {row}" if self._files is None else str(self._files[row])

    def refuse_flat(self, flat: Array) -> None:
        """Raise ``BadInput`` if one of the images is ``flat`` (N,), of one grey: it is like no other."""
        rows = np.flatnonzero(flat)
        if len(rows):
            more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
            raise BadInput(f"{self.name(int(rows[0]))} is of one grey{more}: leave such out, they are like no other.")


def pixels(images: Any, *, side: int = SIDE) -> Array:
    """Return images as grey values (N, side^2), float32, less their mean: changes of brightness or contrast are none.

    ``images``: an array (N, H, W) or (N, H, W, 3), or names of files, which pillow reads; each is averaged or
    interpolated to ``side`` by ``side``. Raises ``BadInput`` for files that are no image, and for an image of one grey.
    """
    from PIL import Image

    side, pictures = whole(2, 512)("side", side), Pictures(images)
    found = np.empty((len(pictures), side * side), np.float32)
    for row in range(len(pictures)):
        found[row] = scaled(pictures[row], side, how=Image.Resampling.BOX).ravel()
    found -= found.mean(1, keepdims=True)
    pictures.refuse_flat(np.abs(found).max(1) <= FLAT)
    return found


def scaled(grey: Array, side: int, *, box: Box | None = None, how: Any = None) -> Array:
    """Return a part of an image (H, W), by default all of it, as (side, side), float32.

    ``box``: left, top, right and bottom in pixels. ``how``: pillow's resampling, by default linear interpolation over
    as many pixels as become one.
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    how = Image.Resampling.BILINEAR if how is None else how
    return np.asarray(picture.resize((side, side), how, box=box), np.float32).copy()


def _opened(path: Path) -> Array:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):  # 16 or 32 bits: as grey of 8 bits all would be white
                    return np.asarray(image, np.float32)
                if image.has_transparency_data:
                    seen = image.convert("RGBA")
                    white = Image.new("RGBA", seen.size, "white")
                    white.alpha_composite(seen)
                    return np.asarray(white.convert("L"), np.float32)
                return np.asarray(image.convert("L"), np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput(f"{path} is no image that pillow reads: {error}.") from error
