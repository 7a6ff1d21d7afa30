"""How alike two images are, window by window: SSIM with its three factors, where it misleads included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from phasescope.checks import number, numbers, sequence
from phasescope.vocabulary import Array, BadInput

WINDOW, SIGMA = 11, 1.5
STABLE = (0.01, 0.03)


@dataclass(frozen=True)
class Similarity:
    """What ``ssim`` returns: its three factors in each window (H - 10, W - 10), NaN where a factor is 0 / 0.

    ``luminance`` (0 to 1) compares means, ``contrast`` (0 to 1) standard deviations, and ``structure`` (-1 to 1) is the
    correlation. A power of ``structure`` that is not whole is undefined where it is negative.
    """

    luminance: Array
    contrast: Array
    structure: Array

    @property
    def map(self) -> Array:
        """The product of the three factors in each window (H - 10, W - 10): 1 where the images are equal."""
        found: Array = self.luminance * self.contrast * self.structure
        return found

    @property
    def mean(self) -> float:
        """The mean over windows, which is what papers call the SSIM of two images; NaN if one of them is."""
        return float(self.map.mean())

    def __str__(self) -> str:
        parts = [f"{name} {getattr(self, name).mean():.3f}" for name in ("luminance", "contrast", "structure")]
        return f"SSIM {self.mean:.3f}, means of its factors: {', '.join(parts)}"


def ssim(image: Any, other: Any, *, highest: float, constants: tuple[float, float] = STABLE) -> Similarity:
    """Return the structural similarity of two grey images (H, W), window by window, as its three factors.

    With means m, standard deviations s and the covariance v of the two in a window: luminance (2 m m' + C1) / (m^2 +
    m'^2 + C1), contrast (2 s s' + C2) / (s^2 + s'^2 + C2) and structure (v + C2/2) / (s s' + C2/2), where C1 and C2 are
    the squares of ``constants`` times ``highest``, the highest grey that there may be (Wang et al. 2004, eqs. 6 to 13).
    Windows are 11 x 11 pixels inside the image with Gaussian weights of deviation 1.5. Equal differences weigh more
    where it is dark, and less beside edges: see Nilsson and Akenine-Möller 2020 (arXiv:2006.13846). Raises
    ``BadInput`` for other shapes, fewer than 11 x 11 pixels, and greys outside 0 to ``highest``.

    >>> black, grey, white = np.zeros((11, 11)), np.full((11, 11), 0.1), np.ones((11, 11))
    >>> [round(ssim(a, b, highest=1).mean, 4) for a, b in ((black, grey), (white - grey, white))]
    [0.0099, 0.9945]
    """
    top = number(0, 1e100, open_low=True)("highest", highest)
    few = sequence("constants", constants, 2)
    if len(few) != 2:
        raise BadInput(f"constants is {constants!r}: give two numbers, such as {STABLE}.")
    first, second = (number(0, 1)("constants", one) ** 2 for one in few)
    x, y = (_greys(name, values, top) for name, values in (("image", image), ("other", other)))
    if x.shape != y.shape:
        raise BadInput(f"image has the shape {x.shape}, other {y.shape}: give two of one shape.")
    (mean, spread, moving), (its_mean, its_spread, its_moving) = _moments(x), _moments(y)
    together = np.where(moving & its_moving, _weighted(x * y) - mean * its_mean, 0.0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: undefined
        luminance = (2 * mean * its_mean + first) / (mean**2 + its_mean**2 + first)
        contrast = (2 * spread * its_spread + second) / (spread**2 + its_spread**2 + second)
        structure = (together + second / 2) / (spread * its_spread + second / 2)
    return Similarity(luminance, contrast, structure)


def _greys(name: str, values: Any, top: float) -> Array:
    """Return an image in units of the highest grey, float64."""
    found = numbers(name, values).astype(np.float64)
    if found.ndim != 2 or min(found.shape) < WINDOW:
        raise BadInput(f"{name} has the shape {found.shape}: give greys (H, W), at least {WINDOW} x {WINDOW} of them.")
    if not np.isfinite(found).all() or found.min() < 0 or found.max() > top:
        raise BadInput(f"{name} has greys from {found.min():g} to {found.max():g}: they must lie in [0, {top:g}].")
    return found / top


def _weighted(values: Array) -> Array:
    """Return the weighted mean of each window that lies inside (H - 10, W - 10)."""
    reach = WINDOW // 2
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    found: Array = ndimage.correlate1d(ndimage.correlate1d(values, weights, 0), weights, 1)
    return found[reach:-reach, reach:-reach]


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """Return means and standard deviations of the windows, and which have more than one grey: exactly 0 elsewhere."""
    reach = WINDOW // 2
    inside = (slice(reach, -reach),) * 2
    moving = (ndimage.maximum_filter(values, WINDOW) > ndimage.minimum_filter(values, WINDOW))[inside]
    mean = _weighted(values)
    variance = np.where(moving, np.maximum(_weighted(values**2) - mean**2, 0), 0)
    return mean, np.sqrt(variance), moving
