"""The claims of the study ``model-collapse``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.lab.study import part
from phasescope.studies.model_collapse.settings import CollapseSettings
from phasescope.verdict import Claim, Control, Effect, Expectation
from phasescope.vocabulary import Array

PAPER = "Gerstgrasser et al. 2024"
PLACES = (1, 2, 5, 10, 20)


def claims(s: CollapseSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_linear, _designs, _gaussians, _densities, _text, _images)
    return tuple(claim for group in groups for claim in group(s))


def _table(data: xr.Dataset, experiment: str, reading: str, **at: object) -> Array:
    """Return a quantity (fits, seeds) at one place of its grid."""
    found = part(data, experiment)[reading]
    return np.asarray((found.sel(at) if at else found).transpose("fit", "seed").values)


def _linear(s: CollapseSettings) -> Sequence[Claim]:
    first, n = theory.first_error(1.0, s.inputs, s.samples), np.arange(1, s.fits + 1)
    places = np.array([p for p in PLACES if p <= s.fits]) - 1
    sums = theory.error_growth("accumulate", s.fits)

    def errors(data: xr.Dataset, policy: str, variance: float = 1.0) -> Array:
        return _table(data, "linear", "error", policy=policy, design="same", variance=variance)

    def slope(policy: str) -> Effect:
        centred = n - n.mean()
        return lambda data: np.asarray(centred @ errors(data, policy) / (centred @ centred) / first)

    def off(policy: str) -> Effect:
        return lambda data: np.asarray(np.abs(errors(data, policy) / first / sums[:, None] - 1)[places].max(0))

    def apart(fit: int) -> Effect:
        return lambda data: np.asarray(errors(data, "replace")[fit] / errors(data, "accumulate")[fit])

    def louder(variance: float) -> Effect:
        return lambda data: np.asarray(
            np.mean([errors(data, p, variance)[-1] / errors(data, p)[-1] for p in ("replace", "accumulate")], axis=0)
        )

    known = float(s.fits / sums[-1])
    return (
        Claim(
            "replace-slope",
            "If labels are replaced, the error grows by the first error s^2 d/(T - d - 1) per fit (ratio of slopes)",
            f"{PAPER}, linear model; theory.linear_errors; claim 5.4.1",
            slope("replace"),
            Expectation.near(1.0, 0.05),
            Control("labels accumulate", slope("accumulate")),
        ),
        Claim(
            "accumulate-sums",
            "If they accumulate on one design, it is the first error times the sum of 1/i^2 (largest deviation)",
            "derived here (theory.linear_errors), the paper's bound as an equality; claim 5.4.2",
            off("accumulate"),
            Expectation.at_most(0.05),
            Control("labels replaced", off("replace")),
        ),
        Claim(
            "policies-apart",
            f"After {s.fits} fits replacing errs {known:.1f} times as much as accumulating",
            f"{PAPER}, linear model; claim 5.4.3",
            apart(s.fits - 1),
            Expectation.near(known, 0.08 * known),
            Control("after the first fit", apart(0)),
        ),
        Claim(
            "noise-scale",
            "Twice the noise variance doubles the last error under both policies (mean ratio)",
            f"{PAPER}, linear model; claim 5.4.5",
            louder(2.0),
            Expectation.near(2.0, 0.1),
            Control("four times the noise variance", louder(4.0)),
        ),
    )


def _designs(s: CollapseSettings) -> Sequence[Claim]:
    first = theory.first_error(1.0, s.inputs, s.samples)
    law = theory.linear_errors("subsample", s.fits, 1.0, s.inputs, s.subsamples)[-1]
    sums = theory.linear_errors("accumulate", s.fits, 1.0, s.inputs, s.subsamples)[-1]

    def largest(policy: str, design: str) -> Effect:
        return lambda data: np.asarray(
            _table(data, "linear", "error", policy=policy, design=design, variance=1.0).max(0) / first
        )

    def against(law: float) -> Effect:
        return lambda data: np.asarray(_table(data, "subsampled", "error")[-1] / law)

    bound = theory.ACCUMULATION_BOUND
    return (
        Claim(
            "accumulate-bound",
            "If labels accumulate on one design, the error never exceeds pi^2/6 times the first, by more than 5 %",
            f"{PAPER}, linear model, the bound; claim 5.4.2",
            largest("accumulate", "same"),
            Expectation.at_most(1.05 * bound),
            Control("labels replaced", largest("replace", "same")),
        ),
        Claim(
            "accumulate-bound-fresh",
            "On fresh designs it stays below pi^2/6 times the first error",
            f"{PAPER}, linear model, the bound; claim 5.4.4",
            largest("accumulate", "fresh"),
            Expectation.at_most(bound),
            Control("labels replaced", largest("replace", "fresh")),
        ),
        Claim(
            "subsample-law",
            f"On T = {s.subsamples} points drawn from all so far the last error is between the two, as derived (ratio)",
            "derived here for T >> d (theory.subsample_growth); the margin is ours",
            against(law),
            Expectation.near(1.0, 0.1),
            Control("the sum of 1/i^2 instead", against(sums)),
        ),
    )


def _gaussians(s: CollapseSettings) -> Sequence[Claim]:
    fits, T = s.gaussian_fits, s.samples
    mean, typical = theory.gaussian_variances("replace", fits, T)[-1], theory.typical_variances(fits, T)[-1]
    pooled = theory.gaussian_variances("accumulate", fits, T)[-1]

    def last(experiment: str, reading: str, known: float) -> Effect:
        return lambda data: np.asarray(part(data, experiment)[reading].isel(policy=0, fit=-1).values / known)

    return (
        Claim(
            "gaussian-mean",
            f"Gaussians fitted to their own {T} samples: the mean variance after {fits} fits is (1 - 1/T)^n (ratio)",
            "theory.gaussian_variances, exact; claim 5.4.8",
            last("gaussian", "variance", mean),
            Expectation.near(1.0, 0.03),
            Control("what a typical chain does", last("gaussian", "typical", mean)),
            statistic="mean",
        ),
        Claim(
            "gaussian-typical",
            "A typical chain (exp of the mean log variance) has far less, as the digamma function says (ratio)",
            "derived here (theory.typical_variances), exact; the margin is that of claim 5.4.8",
            last("gaussian", "typical", typical),
            Expectation.near(1.0, 0.03),
            Control("the mean over chains", last("gaussian", "variance", typical)),
            statistic="mean",
        ),
        Claim(
            "gaussian-pooled",
            "If samples accumulate, the variance stays at the product of 1 - 1/(T k^2) (ratio)",
            "derived here (theory.gaussian_variances), exact; the margin is that of claim 5.4.8",
            last("pooled", "variance", pooled),
            Expectation.near(1.0, 0.03),
            Control("samples replaced", last("gaussian", "variance", pooled)),
            statistic="mean",
        ),
    )


def _densities(s: CollapseSettings) -> Sequence[Claim]:
    def off(square_bandwidth: float) -> Effect:
        def effect(data: xr.Dataset) -> Array:
            found = []
            for policy in ("replace", "accumulate"):
                known = theory.density_variances(policy, s.fits, s.samples, square_bandwidth)
                found.append(np.abs(_table(data, "density", "variance", policy=policy)[-1] / known[-1] - 1))
            return np.asarray(np.max(found, axis=0))

        return effect

    return (
        Claim(
            "density-spread",
            "Density estimators fed their own samples spread as theory says, under both policies (deviation)",
            "derived here (theory.density_variances), exact; the margin is ours",
            off(s.square_bandwidth),
            Expectation.at_most(0.05),
            Control("theory without the bandwidth", off(0.0)),
        ),
    )


def _text(s: CollapseSettings) -> Sequence[Claim]:
    def rise(data: xr.Dataset, policy: str, fit: int = -1) -> Array:
        loss = _table(data, "text", "loss", policy=policy)
        return np.asarray(loss[fit] - loss[0])

    def times(policy: str) -> Effect:
        return lambda data: np.asarray(rise(data, policy) / rise(data, "accumulate"))

    def steps(fit: int) -> Effect:
        order = ("replace", "synthetic", "accumulate")
        return lambda data: np.asarray(-np.diff([rise(data, policy, fit) for policy in order], axis=0).max(0))

    return (
        Claim(
            "text-replaced",
            f"The loss of a trigram model on real text rises 2.5 times as much over {s.text_fits - 1} iterations if "
            "its texts replace the data rather than accumulate",
            f"{PAPER}, language models; a reproduction's factor; claim 5.4.6",
            times("replace"),
            Expectation.at_least(2.5),
            Control("its texts accumulate, without the real one", times("synthetic")),
        ),
        Claim(
            "text-order",
            "Replacing is worse than a growing pool without real data, and that worse than with it (least difference)",
            f"{PAPER}, language models and the control without real data; the margin is ours; claim 5.4.6",
            steps(-1),
            Expectation.at_least(0.02),
            Control("after the first fit, to real data", steps(0)),
            unit="nats",
        ),
    )


def _images(s: CollapseSettings) -> Sequence[Claim]:
    def variance(policy: str, iteration: int) -> Effect:
        fit = min(iteration, s.image_fits) - 1
        return lambda data: np.asarray(_table(data, "images", "variance", policy=policy)[fit])

    def worse(policy: str) -> Effect:
        def effect(data: xr.Dataset) -> Array:
            loss = _table(data, "diffusion", "loss", policy=policy)
            return np.asarray(loss[-1] / loss[0] - 1)

        return effect

    return (
        Claim(
            "vae-collapses",
            "A variational autoencoder whose digits replace the data draws all alike by iteration 5 (total variance)",
            f"{PAPER}, VAEs; a reproduction's value; claim 5.4.7",
            variance("replace", 5),
            Expectation.at_most(0.05),
            Control("its digits accumulate", variance("accumulate", 5)),
        ),
        Claim(
            "vae-keeps",
            "If they accumulate, its digits still differ at iteration 7 (total variance)",
            f"{PAPER}, VAEs; a reproduction's value; claim 5.4.7",
            variance("accumulate", 7),
            Expectation.at_least(0.3),
            Control("its digits replace the data", variance("replace", 7)),
        ),
        Claim(
            "diffusion-replaced",
            f"A diffusion model whose digits replace the data errs at least 10 % more after {s.diffusion_fits} fits",
            f"{PAPER}, diffusion models (there on molecules, qualitative); the margin is ours",
            worse("replace"),
            Expectation.at_least(0.1),
            Control("its digits accumulate", worse("accumulate")),
        ),
    )
