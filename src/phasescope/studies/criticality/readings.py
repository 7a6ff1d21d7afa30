"""What the study ``criticality`` reads off its runs, one value per seed: slopes, deviations, growth, accuracies."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.lab.study import part
from phasescope.studies.criticality.settings import CriticalitySettings
from phasescope.theory import Block
from phasescope.vocabulary import Array

Scale = Callable[[Array], Array]


def fit(y: Array, x: Array) -> Array:
    """Return the least-squares slopes of ``y`` (..., n) over ``x`` (n,)."""
    centred = x - x.mean()
    return np.asarray((y - y.mean(-1, keepdims=True)) @ centred / (centred @ centred))


def window(s: CriticalitySettings) -> tuple[int, int]:
    """Return the first and last layer over which powers of depth are fitted: 20 to 100 of 100 layers."""
    return max(s.layers // 5, 2), s.layers


def over_layers(data: xr.Dataset, experiment: str, case: str, reading: str = "jacobian") -> Array:
    """Return a reading of one case, (seeds, layers)."""
    return np.asarray(part(data, experiment)[reading].sel(case=case).transpose("seed", "layer").values)


def against_linear(data: xr.Dataset, experiment: str, case: str, reading: str = "jacobian") -> Array:
    """Return a reading (seeds, layers) over that of the linear network with sigma_w = 1 of the same draws.

    The linear network's J and K are 1 in the mean at every width. Where the other network is nearly linear most of
    what one draw has by chance it shares with it, and the ratio is free of.
    """
    return over_layers(data, experiment, case, reading) / over_layers(data, experiment, "linear", reading)


def slope(
    data: xr.Dataset,
    experiment: str,
    case: str,
    between: tuple[int, int],
    scale: Scale | None = None,
    read: Callable[[xr.Dataset, str, str], Array] = over_layers,
) -> Array:
    """Return the slopes (seeds,) of log J^{1,l} over ``scale`` of l, by default l itself, on the layers ``between``."""
    first, final = between
    x = np.arange(first, final + 1, dtype=float)
    return fit(np.log(read(data, experiment, case)[:, first - 1 : final]), x if scale is None else scale(x))


def predicted(block: Block, between: tuple[int, int], scale: Scale | None = None) -> float:
    """Return the slope that the recurrence of infinite width has on the same layers."""
    first, final = between
    jacobian = theory.log_apjn(block, 1 + block.bias_variance, final - 1)[first - 1 :]
    x = np.arange(first, final + 1, dtype=float)
    return float(fit(jacobian, x if scale is None else scale(x)))


def chi_deviation(data: xr.Dataset, at: Mapping[str, object], *, shuffled: bool = False) -> Array:
    """Return each seed's root mean square, over the places ``at``, of measured over predicted chi_J minus 1."""
    measured = part(data, "chi")["chi"].sel(at)
    expected = part(data, "chi_theory")["chi"].isel(seed=0, drop=True).sel(at)
    if shuffled:
        expected = expected.copy(data=expected.isel(weight_variance=slice(None, None, -1)).values)
    ratio: xr.DataArray = measured / expected - 1
    square = (ratio**2).mean([dim for dim in ratio.dims if dim != "seed"])
    return np.asarray(np.sqrt(np.asarray(square.values)))


def length_gain(data: xr.Dataset, bias: int) -> Array:
    """Return each seed's mean, over activations, of 1/xi with LayerNorm on activations minus 1/xi on preactivations."""
    chi = part(data, "chi")["chi"].sel(residual=0.0).sel(weight_variance=2.0, method="nearest")
    inverse: xr.DataArray = abs(xr.apply_ufunc(np.log, chi.isel(bias_variance=bias)))
    gain = inverse.sel(norm="layer post") - inverse.sel(norm="layer pre")
    return np.asarray(gain.mean("activation").values)


def octaves(data: xr.Dataset, kind: str, mu: float) -> Array:
    """Return each seed's growth of log J from L/2 to L over that from L/4 to L/2, summed over sigma.

    1 for a power of depth, 2 for an exponential.
    """
    # a ratio of sums, not a mean of ratios: where J hardly grows a ratio of its own is noise
    logs = xr.apply_ufunc(np.log, part(data, "architectures")["jacobian"].sel(kind=kind, mu=mu))
    depth = logs.sizes["block"] - 1
    first, middle, final = (logs.isel(block=depth // share) for share in (4, 2, 1))
    return np.asarray(((final - middle).sum("sigma") / (middle - first).sum("sigma")).values)


def trained(data: xr.Dataset, experiment: str) -> xr.DataArray:
    """Return test accuracy at the end at the rate that reached the best training accuracy, per place and seed."""
    found = part(data, experiment)
    train, test = (last(found[f"{kind}_accuracy"]) for kind in ("train", "test"))
    best = train.fillna(-1).argmax("lr")
    return test.isel(lr=best).drop_vars("lr")
