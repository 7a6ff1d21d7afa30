"""The figures of the study ``model-collapse``: which reading is shown, of which cells, beside which law."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, level, lines, over
from phasescope.lab.measures import at, value
from phasescope.studies.model_collapse.settings import CollapseSettings
from phasescope.theory import model_collapse
from phasescope.theory.model_collapse import (
    ACCUMULATION_BOUND,
    density_variances,
    error_growth,
    gaussian_variances,
    subsample_growth,
    typical_variances,
)

FIT = Axis("fit n")


def figures(data: Data, s: CollapseSettings) -> Sequence[Figure]:
    """Return the study's figures of these results."""
    return (_linear(data, s), _spread(data, s), _models(data, s), _digits(data, s))


def _linear(data: Data, s: CollapseSettings) -> Figure:
    n = np.arange(1.0, s.fits + 1)
    growth = value("error") / model_collapse.first_error(1.0, s.inputs, s.samples)
    drawn = value("error") / model_collapse.first_error(1.0, s.inputs, s.subsamples)
    linear = partial(at, "linear")
    replaced = over(f"d = {s.inputs}, T = {s.samples}", data, FIT, n, Axis("error / first error"),
        {"replace, one design": (growth, linear(policy="replace", design="same")),
         "replace, fresh designs": (growth, linear(policy="replace", design="fresh"))},
        laws={"n": float})  # fmt: skip
    kept = Curves(
        "accumulated", FIT, Axis("error / first error"),
        [*lines(data, {"accumulate, one design": (growth, linear(policy="accumulate", design="same"))}, n),
         Line("sum of 1/i^2", n, error_growth("accumulate", s.fits), role="theory"),
         *lines(data, {"accumulate, fresh designs": (growth, linear(policy="accumulate", design="fresh")),
                       f"T = {s.subsamples} drawn from all": (drawn, at("subsampled"))}, n),
         Line("derived for T >> d", n, subsample_growth(s.fits), role="theory"),
         level("pi^2 / 6", ACCUMULATION_BOUND, n)],
    )  # fmt: skip
    return Figure(
        "linear", "Replaced labels add errors up, accumulated ones average them out",
        "Least squares fitted to labels of the fit before. On one design the sum of 1/i^2 is exact; on fresh "
        "designs the error is lower. Means over chains; medians over seeds, bands from the least to the largest.",
        [replaced, kept],
        ("replace-slope", "accumulate-sums", "policies-apart", "accumulate-bound", "accumulate-bound-fresh",
         "subsample-law"),
    )  # fmt: skip


def _spread(data: Data, s: CollapseSettings) -> Figure:
    n, m, T = np.arange(1.0, s.gaussian_fits + 1), np.arange(1.0, s.fits + 1), s.samples
    gaussian = at("gaussian")
    gaussians = Curves(
        f"Gaussians, T = {T}", FIT, Axis("variance (true: 1)", "log"),
        [*lines(data, {"replace, mean": ("variance", gaussian)}, n),
         Line("(1 - 1/T)^n", n, gaussian_variances("replace", s.gaussian_fits, T), role="theory"),
         *lines(data, {"replace, typical chain": ("typical", gaussian)}, n),
         Line("digamma law", n, typical_variances(s.gaussian_fits, T), role="theory"),
         *lines(data, {"accumulate, mean": ("variance", at("pooled"))}, n),
         Line("product of 1 - 1/(T k^2)", n, gaussian_variances("accumulate", len(n), T), role="theory")],
    )  # fmt: skip
    densities = []
    for policy in ("replace", "accumulate"):
        known = density_variances(policy, s.fits, T, s.square_bandwidth)
        densities += lines(data, {policy: ("variance", at("density", policy=policy))}, m)
        densities.append(Line(f"theory, {policy}", m, known, role="theory"))
    estimators = Curves(
        f"density estimators, h^2 = {s.square_bandwidth:g}", FIT, Axis("variance of the data"), densities
    )
    return Figure(
        "spread", "Fitted Gaussians shrink, density estimators spread",
        "Left: the mean over chains of the variance falls slowly, a typical chain much faster; accumulated samples "
        "keep nearly all of it. Right: each generation adds the kernel's variance.", [gaussians, estimators],
        ("gaussian-mean", "gaussian-typical", "gaussian-pooled", "density-spread"),
    )  # fmt: skip


def _models(data: Data, s: CollapseSettings) -> Figure:
    panels = []
    for name, reading, title, unit in (
        ("text", "loss", "trigrams on real text", "loss on real text (nats per character)"),
        ("images", "loss", "autoencoder on digits", "test -ELBO (nats)"),
        ("images", "variance", "autoencoder: variety", "total variance of samples"),
        ("diffusion", "loss", "diffusion on digits", "test error of the noise"),
    ):
        n = np.arange(1.0, data[name].sizes["fit"] + 1)
        policies = {policy: (reading, at(name, policy=policy)) for policy in map(str, data[name].policy.values)}
        panels.append(over(title, data, FIT, n, Axis(unit), policies))
    return Figure(
        "models", "Models fed their own samples",
        "Fit 1 sees real data only. 'synthetic' keeps all samples but not the real data. Medians over seeds, bands "
        "from the least to the largest.", panels,
        ("text-replaced", "text-order", "vae-collapses", "vae-keeps", "vae-slower", "diffusion-replaced"),
    )  # fmt: skip


def _digits(data: Data, s: CollapseSettings) -> Figure:
    panels = []
    for policy in ("replace", "accumulate"):
        shown = at("images", policy=policy).of(data).shown.isel(seed=0)
        images = shown.values[:, :, ::-1]  # rows of pixels from the bottom up, as the axis goes
        framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        fits, places, side, _ = framed.shape
        picture = framed.transpose(1, 2, 0, 3).reshape(places * side, fits * side)
        x, y = ((np.arange(count * side) + 0.5) / side + 0.5 for count in (fits, places))
        panels.append(HeatMap(policy, FIT, Axis("latent place"), x, y, picture, "brightness", limits=(0, 1)))
    return Figure(
        "digits", "What the autoencoder draws, fit by fit",
        "The same six latent places (rows) decoded by each fit (columns) of one chain, seed 0. If its samples replace "
        "the data, it soon draws one blurred digit everywhere; if they accumulate, this comes later.", panels,
        ("vae-collapses", "vae-keeps", "vae-slower"),
    )  # fmt: skip
