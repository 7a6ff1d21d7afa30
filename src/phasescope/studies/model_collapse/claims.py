"""The claims of the study ``model-collapse``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, most, near
from phasescope.studies.model_collapse.settings import CollapseSettings
from phasescope.theory import model_collapse
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

PAPER = "Gerstgrasser et al. 2024"
PLACES = (1, 2, 5, 10, 20)


def claims(s: CollapseSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_linear, _designs, _gaussians, _densities, _text, _images)
    return tuple(claim for group in groups for claim in group(s))


def _of_fit(reading: str, fit: int) -> Measure:
    """Return a reading of one fit; the first, to real data, is fit 1."""
    return Measure(lambda cell: cell[reading].isel(fit=fit - 1), f"{reading} of fit {fit}")


def _linear_model(policy: str, design: str = "same", variance: float = 1.0) -> Cell:
    return at("linear", policy=policy, design=design, variance=variance)


REPLACED, ACCUMULATED = _linear_model("replace"), _linear_model("accumulate")


def _linear(s: CollapseSettings) -> Sequence[Claim]:
    first, n = model_collapse.first_error(1.0, s.inputs, s.samples), np.arange(1, s.fits + 1)
    places = np.array([p for p in PLACES if p <= s.fits]) - 1
    sums = model_collapse.error_growth("accumulate", s.fits)
    last_error = _of_fit("error", s.fits)

    @partial(Measure, words="slope of error over fits")
    def slope(cell: xr.Dataset) -> Array:
        centred = n - n.mean()
        return np.asarray(cell.error.transpose("seed", "fit").values @ centred / (centred @ centred))

    @partial(Measure, words="largest deviation of error from the sum of 1/i^2")
    def off(cell: xr.Dataset) -> Array:
        growth = cell.error.transpose("seed", "fit").values / first
        return np.asarray(np.abs(growth / sums - 1)[:, places].max(1))

    def apart(fit: int) -> Measured:
        error = _of_fit("error", fit)
        return error(REPLACED) / error(ACCUMULATED)

    def louder(variance: float) -> Measured:
        replaced = last_error(_linear_model("replace", variance=variance)) / last_error(REPLACED)
        accumulated = last_error(_linear_model("accumulate", variance=variance)) / last_error(ACCUMULATED)
        return (replaced + accumulated) / 2

    known = float(s.fits / sums[-1])
    return (
        Claim("replace-slope",
            "If labels are replaced, the error grows by the first error s^2 d/(T - d - 1) per fit (ratio of slopes)",
            f"{PAPER}, linear model; theory.model_collapse.linear_errors; claim 5.4.1", (slope / first)(REPLACED),
            near(1.0, 0.05), Control("labels accumulate", ACCUMULATED)),
        Claim("accumulate-sums",
            "If they accumulate on one design, it is the first error times the sum of 1/i^2 (largest deviation)",
            "derived here (theory.model_collapse.linear_errors), the paper's bound as an equality; claim 5.4.2",
            off(ACCUMULATED), at_most(0.05), Control("labels replaced", REPLACED)),
        Claim("policies-apart", f"After {s.fits} fits replacing errs {known:.1f} times as much as accumulating",
            f"{PAPER}, linear model; claim 5.4.3", apart(s.fits), near(known, 0.08 * known),
            Control("after the first fit", apart(1))),
        Claim("noise-scale", "Twice the noise variance doubles the last error under both policies (mean ratio)",
            f"{PAPER}, linear model; claim 5.4.5", louder(2.0), near(2.0, 0.1),
            Control("four times the noise variance", louder(4.0))),
    )  # fmt: skip


def _designs(s: CollapseSettings) -> Sequence[Claim]:
    first = model_collapse.first_error(1.0, s.inputs, s.samples)
    law = model_collapse.linear_errors("subsample", s.fits, 1.0, s.inputs, s.subsamples)[-1]
    sums = model_collapse.linear_errors("accumulate", s.fits, 1.0, s.inputs, s.subsamples)[-1]
    last_error = _of_fit("error", s.fits)

    @partial(Measure, words="largest error over fits")
    def largest(cell: xr.Dataset) -> xr.DataArray:
        return cell["error"].max("fit", skipna=False)

    bound = model_collapse.ACCUMULATION_BOUND
    return (
        Claim("accumulate-bound",
            "If labels accumulate on one design, the error never exceeds pi^2/6 times the first, by more than 5 %",
            f"{PAPER}, linear model, the bound; claim 5.4.2", (largest / first)(ACCUMULATED), at_most(1.05 * bound),
            Control("labels replaced", REPLACED)),
        Claim("accumulate-bound-fresh", "On fresh designs it stays below pi^2/6 times the first error",
            f"{PAPER}, linear model, the bound; claim 5.4.4",
            (largest / first)(_linear_model("accumulate", "fresh")), at_most(bound),
            Control("labels replaced", _linear_model("replace", "fresh"))),
        Claim("subsample-law",
            f"On T = {s.subsamples} points drawn from all so far the last error is between the two, as derived (ratio)",
            "derived here for T >> d (theory.model_collapse.subsample_growth); the margin is ours",
            (last_error / law)(at("subsampled")), near(1.0, 0.1),
            Control("the sum of 1/i^2 instead", last_error / sums)),
    )  # fmt: skip


def _gaussians(s: CollapseSettings) -> Sequence[Claim]:
    fits, T = s.gaussian_fits, s.samples
    mean, typical = (
        model_collapse.gaussian_variances("replace", fits, T)[-1],
        model_collapse.typical_variances(fits, T)[-1],
    )
    pooled = model_collapse.gaussian_variances("accumulate", fits, T)[-1]
    variance, of_typical = _of_fit("variance", fits), _of_fit("typical", fits)
    return (
        Claim("gaussian-mean",
            f"Gaussians fitted to their own {T} samples: the mean variance after {fits} fits is (1 - 1/T)^n (ratio)",
            "theory.model_collapse.gaussian_variances, exact; claim 5.4.8", (variance / mean)(at("gaussian")),
            near(1.0, 0.03), Control("what a typical chain does", of_typical / mean), statistic="mean"),
        Claim("gaussian-typical",
            "A typical chain (exp of the mean log variance) has far less, as the digamma function says (ratio)",
            "derived here (theory.model_collapse.typical_variances), exact; the margin is that of claim 5.4.8",
            (of_typical / typical)(at("gaussian")), near(1.0, 0.03),
            Control("the mean over chains", variance / typical), statistic="mean"),
        Claim("gaussian-pooled", "If samples accumulate, the variance stays at the product of 1 - 1/(T k^2) (ratio)",
            "derived here (theory.model_collapse.gaussian_variances), exact; the margin is that of claim 5.4.8",
            (variance / pooled)(at("pooled")), near(1.0, 0.03), Control("samples replaced", at("gaussian")),
            statistic="mean"),
    )  # fmt: skip


def _densities(s: CollapseSettings) -> Sequence[Claim]:
    def off(square_bandwidth: float) -> Measure:
        """Return how far the variance after all fits lies from what theory says of this squared bandwidth."""

        def read(cell: xr.Dataset) -> xr.DataArray:
            known = model_collapse.density_variances(cell["policy"].item(), s.fits, s.samples, square_bandwidth)
            return abs(cell["variance"].isel(fit=-1) / float(known[-1]) - 1)

        return Measure(read, f"deviation of the last variance from theory, h^2 = {square_bandwidth:g}")

    return (
        Claim("density-spread",
            "Density estimators fed their own samples spread as theory says, under both policies (deviation)",
            "derived here (theory.model_collapse.density_variances), exact; the margin is ours",
            most(off(s.square_bandwidth), [at("density", policy=policy) for policy in ("replace", "accumulate")]),
            at_most(0.05), Control("theory without the bandwidth", off(0.0))),
    )  # fmt: skip


def _text(s: CollapseSettings) -> Sequence[Claim]:
    replaced, synthetic, accumulated = (at("text", policy=p) for p in ("replace", "synthetic", "accumulate"))

    def rise(fit: int) -> Measure:
        return _of_fit("loss", fit) - _of_fit("loss", 1)

    def gap(fit: int) -> Measure:
        """Return the least difference of the rise in a cell from that in the next."""

        def read(*cells: xr.Dataset) -> Array:
            return np.asarray(-np.diff([rise(fit).read(cell).values for cell in cells], axis=0).max(0))

        return Measure(read, f"least difference of the rise of loss by fit {fit}, each from the next")

    last = rise(s.text_fits)
    return (
        Claim("text-replaced",
            f"The loss of a trigram model on real text rises 2.5 times as much over {s.text_fits - 1} iterations if "
            "its texts replace the data rather than accumulate",
            f"{PAPER}, language models; a reproduction's factor; claim 5.4.6", last(replaced) / last(accumulated),
            at_least(2.5), Control("its texts accumulate, without the real one", last(synthetic) / last(accumulated))),
        Claim("text-order",
            "Replacing is worse than a growing pool without real data, and that worse than with it (least difference)",
            f"{PAPER}, language models and the control without real data; the margin is ours; claim 5.4.6",
            gap(s.text_fits)(replaced, synthetic, accumulated), at_least(0.02),
            Control("after the first fit, to real data", gap(1)), unit="nats"),
    )  # fmt: skip


def _images(s: CollapseSettings) -> Sequence[Claim]:
    replaced, accumulated = at("images", policy="replace"), at("images", policy="accumulate")
    worse = _of_fit("loss", s.diffusion_fits) / _of_fit("loss", 1) - 1

    def variance(iteration: int) -> Measure:
        return _of_fit("variance", min(iteration, s.image_fits))

    return (
        Claim("vae-collapses",
            "A variational autoencoder whose digits replace the data draws all alike by iteration 5 (total variance)",
            f"{PAPER}, VAEs; a reproduction's value; claim 5.4.7", variance(5)(replaced), at_most(0.05),
            Control("its digits accumulate", accumulated)),
        Claim("vae-keeps", "If they accumulate, its digits still differ at iteration 7 (total variance)",
            f"{PAPER}, VAEs; a reproduction's value; claim 5.4.7", variance(7)(accumulated), at_least(0.3),
            Control("its digits replace the data", replaced)),
        Claim("diffusion-replaced",
            f"A diffusion model whose digits replace the data errs at least 10 % more after {s.diffusion_fits} fits",
            f"{PAPER}, diffusion models (there on molecules, qualitative); the margin is ours",
            worse(at("diffusion", policy="replace")), at_least(0.1),
            Control("its digits accumulate", at("diffusion", policy="accumulate"))),
    )  # fmt: skip
