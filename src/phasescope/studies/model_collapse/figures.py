"""The figures of the study ``model-collapse``, as plain data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.model_collapse.settings import CollapseSettings

FIT = Axis("fit n")


def figures(data: xr.Dataset, s: CollapseSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_linear(data, s), _spread(data, s), _models(data, s), _digits(data, s))


def _linear(data: xr.Dataset, s: CollapseSettings) -> Figure:
    run, n = part(data, "linear").error.sel(variance=1.0), np.arange(1.0, s.fits + 1)
    first = theory.first_error(1.0, s.inputs, s.samples)
    drawn = part(data, "subsampled").error / theory.first_error(1.0, s.inputs, s.subsamples)
    replaced = Curves(
        f"d = {s.inputs}, T = {s.samples}", FIT, Axis("error / first error"),
        [band("replace, one design", run.sel(policy="replace", design="same") / first, n),
         band("replace, fresh designs", run.sel(policy="replace", design="fresh") / first, n),
         Line("n", n, theory.error_growth("replace", s.fits), role="theory")],
    )  # fmt: skip
    kept = Curves(
        "accumulated", FIT, Axis("error / first error"),
        [band("accumulate, one design", run.sel(policy="accumulate", design="same") / first, n),
         Line("sum of 1/i^2", n, theory.error_growth("accumulate", s.fits), role="theory"),
         band("accumulate, fresh designs", run.sel(policy="accumulate", design="fresh") / first, n),
         band(f"T = {s.subsamples} drawn from all", drawn, n),
         Line("derived for T >> d", n, theory.subsample_growth(s.fits), role="theory"),
         Line("pi^2 / 6", n, np.full(s.fits, theory.ACCUMULATION_BOUND), role="theory")],
    )  # fmt: skip
    return Figure(
        "linear", "Replaced labels add errors up, accumulated ones average them out",
        "Least squares fitted to labels of the fit before. On one design the sum of 1/i^2 is exact; on fresh "
        "designs the error is lower. Means over chains; medians over seeds, bands from the least to the largest.",
        [replaced, kept],
        ("replace-slope", "accumulate-sums", "policies-apart", "accumulate-bound", "accumulate-bound-fresh",
         "subsample-law"),
    )  # fmt: skip


def _spread(data: xr.Dataset, s: CollapseSettings) -> Figure:
    n, m, T = np.arange(1.0, s.gaussian_fits + 1), np.arange(1.0, s.fits + 1), s.samples
    alone, pooled = (part(data, name).isel(policy=0) for name in ("gaussian", "pooled"))
    density = part(data, "density").variance
    gaussians = Curves(
        f"Gaussians, T = {T}", FIT, Axis("variance (true: 1)", "log"),
        [band("replace, mean", alone.variance, n),
         Line("(1 - 1/T)^n", n, theory.gaussian_variances("replace", s.gaussian_fits, T), role="theory"),
         band("replace, typical chain", alone.typical, n),
         Line("digamma law", n, theory.typical_variances(s.gaussian_fits, T), role="theory"),
         band("accumulate, mean", pooled.variance, n),
         Line("product of 1 - 1/(T k^2)", n, theory.gaussian_variances("accumulate", len(n), T), role="theory")],
    )  # fmt: skip
    lines = []
    for policy in ("replace", "accumulate"):
        known = theory.density_variances(policy, s.fits, T, s.square_bandwidth)
        lines += [band(policy, density.sel(policy=policy), m), Line(f"theory, {policy}", m, known, role="theory")]
    estimators = Curves(f"density estimators, h^2 = {s.square_bandwidth:g}", FIT, Axis("variance of the data"), lines)
    return Figure(
        "spread", "Fitted Gaussians shrink, density estimators spread",
        "Left: the mean over chains of the variance falls slowly, a typical chain much faster; accumulated samples "
        "keep nearly all of it. Right: each generation adds the kernel's variance.", [gaussians, estimators],
        ("gaussian-mean", "gaussian-typical", "gaussian-pooled", "density-spread"),
    )  # fmt: skip


def _models(data: xr.Dataset, s: CollapseSettings) -> Figure:
    panels = []
    for name, reading, title, unit in (
        ("text", "loss", "trigrams on real text", "loss on real text (nats per character)"),
        ("images", "loss", "autoencoder on digits", "test -ELBO (nats)"),
        ("images", "variance", "autoencoder: variety", "total variance of samples"),
        ("diffusion", "loss", "diffusion on digits", "test error of the noise"),
    ):
        run = part(data, name)[reading]
        n = np.arange(1.0, run.sizes["fit"] + 1)
        lines = [band(str(policy), run.sel(policy=policy), n) for policy in run.policy.values]
        panels.append(Curves(title, FIT, Axis(unit), lines))
    return Figure(
        "models", "Models fed their own samples",
        "Fit 1 sees real data only. 'synthetic' keeps all samples but not the real data. Medians over seeds, bands "
        "from the least to the largest.", panels,
        ("text-replaced", "text-order", "vae-collapses", "vae-keeps", "diffusion-replaced"),
    )  # fmt: skip


def _digits(data: xr.Dataset, s: CollapseSettings) -> Figure:
    shown = part(data, "images").shown.isel(seed=0)
    panels = []
    for policy in ("replace", "accumulate"):
        images = shown.sel(policy=policy).values[:, :, ::-1]  # rows of pixels from the bottom up, as the axis goes
        framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        fits, places, side, _ = framed.shape
        picture = framed.transpose(1, 2, 0, 3).reshape(places * side, fits * side)
        x, y = ((np.arange(count * side) + 0.5) / side + 0.5 for count in (fits, places))
        panels.append(HeatMap(policy, FIT, Axis("latent place"), x, y, picture, "brightness", limits=(0, 1)))
    return Figure(
        "digits", "What the autoencoder draws, fit by fit",
        "The same six latent places (rows) decoded by each fit (columns) of one chain, seed 0. If its samples replace "
        "the data, it soon draws one blurred digit everywhere; if they accumulate, this comes later.", panels,
        ("vae-collapses", "vae-keeps"),
    )  # fmt: skip
