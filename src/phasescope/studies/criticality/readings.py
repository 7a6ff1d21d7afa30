"""What the study ``criticality`` reads off its networks, one value per seed: slopes, deviations, growth, accuracies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure
from phasescope.studies.criticality.settings import CriticalitySettings
from phasescope.theory import criticality
from phasescope.theory.criticality import Block
from phasescope.vocabulary import Array

DEPTHS: Mapping[str, Callable[[Array], Array]] = {"depth": np.asarray, "log depth": np.log, "root of depth": np.sqrt}


def fit(y: Array, x: Array) -> Array:
    """Return the least-squares slopes of ``y`` (..., n) over ``x`` (n,)."""
    centred = x - x.mean()
    return np.asarray((y - y.mean(-1, keepdims=True)) @ centred / (centred @ centred))


def window(s: CriticalitySettings) -> tuple[int, int]:
    """Return the first and last layer over which powers of depth are fitted: 20 to 100 of 100 layers."""
    return max(s.layers // 5, 2), s.layers


def slope(between: tuple[int, int], over: str = "depth") -> Measure:
    """Return the slope of log J^{1,l} over l, or over another of ``DEPTHS``, on the layers ``between``."""
    first, final = between
    x = DEPTHS[over](np.arange(first, final + 1, dtype=float))

    def read(cell: xr.Dataset) -> Array:
        return fit(np.log(cell.jacobian.transpose("seed", "layer").values[:, first - 1 : final]), x)

    return Measure(read, f"slope of log jacobian over {over} on layers {first} to {final}")


def factor(between: tuple[int, int]) -> Measure:
    """Return the factor by which J changes per layer, on the layers ``between``."""
    return slope(between).map(np.exp, "exp of the {}")


def predicted(block: Block, between: tuple[int, int], over: str = "depth") -> float:
    """Return the slope that the recurrence of infinite width has on the same layers."""
    first, final = between
    jacobian = criticality.log_apjn(block, 1 + block.bias_variance, final - 1)[first - 1 :]
    return float(fit(jacobian, DEPTHS[over](np.arange(first, final + 1, dtype=float))))


@partial(Measure, words="mean of jacobian over layers from 2 on")
def level(cell: xr.Dataset) -> xr.DataArray:
    """Return the mean of J over layers, which is J where it is constant; at the first layer it is 1 by definition."""
    average: xr.DataArray = cell.jacobian.isel(layer=slice(1, None)).mean("layer", skipna=False)
    return average


@partial(Measure, words="root mean square of chi over theory's, minus 1,")
def chi_deviation(cell: xr.Dataset, expected: xr.Dataset) -> xr.DataArray:
    """Return each seed's root mean square, over places of a diagram, of measured over predicted chi_J minus 1."""
    return _relative(cell.chi, expected.chi)


@partial(Measure, words="root mean square of chi over theory's at the first layer's kernel, minus 1,")
def chi_early(cell: xr.Dataset, expected: xr.Dataset) -> xr.DataArray:
    """Return the deviation from theory's chi_J at the kernel of the first layer."""
    return _relative(cell.chi, expected.chi_early)


def _relative(measured: xr.DataArray, predicted: xr.DataArray) -> xr.DataArray:
    # theory may be that of another place, whose name is then no coordinate of the ratio
    ratio = measured / predicted.isel(seed=0).reset_coords(drop=True) - 1
    square: xr.DataArray = (ratio**2).mean([dim for dim in ratio.dims if dim != "seed"], skipna=False)
    return square**0.5


@partial(Measure, words="1/xi with LayerNorm on activations minus 1/xi on preactivations at sigma_w^2 = 2")
def length_gain(cell: xr.Dataset) -> xr.DataArray:
    """Return each seed's mean over activations, at the place of the diagram that is nearest to sigma_w^2 = 2."""
    chi = cell.chi.sel(weight_variance=2.0, method="nearest")
    inverse: xr.DataArray = abs(xr.apply_ufunc(np.log, chi))
    return (inverse.sel(norm="layer post") - inverse.sel(norm="layer pre")).mean("activation", skipna=False)


@partial(Measure, words="growth of log jacobian in the last octave of depth over that in the one before")
def octaves(cell: xr.Dataset) -> xr.DataArray:
    """Return each seed's growth of log J from L/2 to L over that from L/4 to L/2, summed over sigma.

    1 for a power of depth, 2 for an exponential.
    """
    # a ratio of sums, not a mean of ratios: where J hardly grows a ratio of its own is noise
    logs = xr.apply_ufunc(np.log, cell.jacobian)
    depth = logs.sizes["block"] - 1
    first, middle, final = (logs.isel(block=depth // share) for share in (4, 2, 1))
    growth: xr.DataArray = (final - middle).sum("sigma", skipna=False) / (middle - first).sum("sigma", skipna=False)
    return growth


@partial(Measure, words="test_accuracy at the end, at the rate of the best train_accuracy,")
def trained(cell: xr.Dataset) -> xr.DataArray:
    """Return test accuracy at the end at the rate that reached the best training accuracy, per place and seed."""
    train, test = (last(cell[f"{kind}_accuracy"]) for kind in ("train", "test"))
    if "lr" not in train.dims:  # one rate was tried
        return test
    return test.isel(lr=train.fillna(-1).argmax("lr")).drop_vars("lr")
