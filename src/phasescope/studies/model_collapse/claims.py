"""The claims of the study ``model-collapse``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, most, near
from phasescope.studies.model_collapse.settings import CollapseSettings
from phasescope.theory import model_collapse
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Gerstgrasser et al. 2024"
ABSTRACT, FIRST_ABSTRACT = f"{PAPER}, abstract", f"{PAPER}, abstract of version 1"
RATIO = (0.0, math.inf)
PLACES = (1, 2, 5, 10, 20)


def claims(s: CollapseSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_linear, _designs, _gaussians, _densities, _text, _images)
    return tuple(claim for group in groups for claim in group(s))


def _of_fit(reading: str, fit: int) -> Measure:
    """Return a reading of one fit; the first, to real data, is fit 1."""
    return Measure(lambda cell: cell[reading].isel(fit=fit - 1), f"{reading} of fit {fit}")


REPLACED, ACCUMULATED = (at("linear", policy=policy, design="same") for policy in ("replace", "accumulate"))
FRESH = at("linear", policy="accumulate", design="fresh")
SUBSAMPLED = at("subsampled")


def _linear(s: CollapseSettings) -> Sequence[Claim]:
    first, n = model_collapse.first_error(1.0, s.inputs, s.samples), np.arange(1, s.fits + 1)
    places = np.array([p for p in PLACES if p <= s.fits]) - 1
    sums = model_collapse.error_growth("accumulate", s.fits)
    known = float(s.fits / sums[-1])

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

    return (
        Claim("replace-slope",
            "If labels are replaced, the error grows by the first error s^2 d/(T - d - 1) per fit (ratio of slopes)",
            Source(paper=FIRST_ABSTRACT, derived="theory.model_collapse.linear_errors", value="it grows linearly",
                tolerance="five standard errors of the mean over a pilot's 1000 chains", checked=True),
            (slope / first)(REPLACED), near(1.0, 0.05), Control("labels accumulate", ACCUMULATED)),
        Claim("accumulate-sums",
            "If they accumulate on one design, it is the first error times the sum of 1/i^2 (largest deviation)",
            Source(derived="theory.model_collapse.linear_errors: the paper's bound as an equality",
                tolerance="two thirds of what fresh designs of T = 5 d fall short of it by"),
            off(ACCUMULATED), at_most(0.04), Control("they accumulate on fresh designs", FRESH), range=RATIO),
        Claim("policies-apart", f"After {s.fits} fits replacing errs {known:.1f} times as much as accumulating",
            Source(paper=f"{PAPER}, linear model", derived="theory.model_collapse.linear_errors",
                tolerance="8 %, a fifth of what separates it from half as many fits"),
            apart(s.fits), near(known, 0.08 * known), Control("after half as many fits", apart(s.fits // 2)),
            range=RATIO),
    )  # fmt: skip


def _designs(s: CollapseSettings) -> Sequence[Claim]:
    first, first_drawn = (model_collapse.first_error(1.0, s.inputs, T) for T in (s.samples, s.subsamples))
    law, bound = float(model_collapse.subsample_growth(s.fits)[-1]), model_collapse.ACCUMULATION_BOUND
    last_error = _of_fit("error", s.fits)

    @partial(Measure, words="largest error over fits")
    def largest(cell: xr.Dataset) -> xr.DataArray:
        return cell["error"].max("fit", skipna=False)

    drawn = Control(f"T = {s.subsamples} points drawn from as many", (largest / first_drawn)(SUBSAMPLED))
    return (
        Claim("accumulate-bound",
            "If labels accumulate on one design, the error never exceeds pi^2/6 times the first, by more than 5 %",
            Source(paper=FIRST_ABSTRACT, derived="theory.model_collapse.linear_errors", value="a bound for every n",
                tolerance="the bound is one of means, here over finitely many chains", checked=True),
            (largest / first)(ACCUMULATED), at_most(1.05 * bound), drawn, range=RATIO),
        Claim("accumulate-bound-fresh", "On fresh designs it stays below pi^2/6 times the first error",
            Source(paper=f"{PAPER}, linear model, the bound", derived="theory.model_collapse.linear_errors",
                tolerance="none: a bound"),
            (largest / first)(FRESH), at_most(bound), drawn, range=RATIO),
        Claim("subsample-law",
            f"On T = {s.subsamples} points drawn from all so far the last error is between the two, as derived (ratio)",
            Source(derived="theory.model_collapse.subsample_growth, for T >> d", tolerance="ours: 10 %"),
            (last_error / first_drawn / law)(SUBSAMPLED), near(1.0, 0.1),
            Control("fitted to all so far", (last_error / first / law)(FRESH)), range=RATIO),
    )  # fmt: skip


def _gaussians(s: CollapseSettings) -> Sequence[Claim]:
    """Each seed is one mean over a batch of chains, some of which go far: the median of such means is judged."""
    fits, T = s.gaussian_fits, s.samples
    mean, typical = (
        model_collapse.gaussian_variances("replace", fits, T)[-1],
        model_collapse.typical_variances(fits, T)[-1],
    )
    pooled = float(model_collapse.gaussian_variances("accumulate", fits, T)[-1])
    variance, of_typical = _of_fit("variance", fits), _of_fit("typical", fits)
    few = "two standard errors of a mean over 40,000 chains"
    return (
        Claim("gaussian-mean",
            f"Gaussians fitted to their own {T} samples: the mean variance after {fits} fits is (1 - 1/T)^n (ratio)",
            Source(derived="theory.model_collapse.gaussian_variances, exact", tolerance=few),
            (variance / mean)(at("gaussian")), near(1.0, 0.03),
            Control("what a typical chain does", of_typical / mean), range=RATIO),
        Claim("gaussian-typical",
            "A typical chain (exp of the mean log variance) has far less, as the digamma function says (ratio)",
            Source(derived="theory.model_collapse.typical_variances, exact", tolerance="as for the mean"),
            (of_typical / typical)(at("gaussian")), near(1.0, 0.03),
            Control("the mean over chains", variance / typical), range=RATIO),
        Claim("gaussian-pooled", "If samples accumulate, the variance stays at the product of 1 - 1/(T k^2) (ratio)",
            Source(derived="theory.model_collapse.gaussian_variances, exact",
                tolerance="half of what is lost: that nothing is lost would lie outside"),
            (variance / pooled)(at("pooled")), near(1.0, (1 - pooled) / 2),
            Control("samples replaced", at("gaussian")), range=RATIO),
    )  # fmt: skip


def _densities(s: CollapseSettings) -> Sequence[Claim]:
    fit = min(s.fits, s.gaussian_fits)

    @partial(Measure, words=f"deviation of the variance of fit {fit} from theory, h^2 = {s.square_bandwidth:g}")
    def off(cell: xr.Dataset) -> xr.DataArray:
        """Return how far the variance lies from what theory says of this policy and squared bandwidth."""
        known = model_collapse.density_variances(cell["policy"].item(), fit, s.samples, s.square_bandwidth)
        return abs(cell["variance"].isel(fit=fit - 1) / float(known[-1]) - 1)

    return (
        Claim("density-spread",
            "Density estimators fed their own samples spread as theory says, under both policies (deviation)",
            Source(derived="theory.model_collapse.density_variances, exact", tolerance="ours: 5 %"),
            most(off, [at("density", policy=policy) for policy in ("replace", "accumulate")]), at_most(0.05),
            Control("fitted Gaussians, without a kernel", most(off, [at("gaussian"), at("pooled")])), range=RATIO),
    )  # fmt: skip


def _text(s: CollapseSettings) -> Sequence[Claim]:
    replaced, synthetic, accumulated = (at("text", policy=p) for p in ("replace", "synthetic", "accumulate"))
    loss = partial(_of_fit, "loss")
    last = loss(s.text_fits) - loss(1)

    @partial(Measure, words=f"least difference of loss of fit {s.text_fits}, each cell's from the next")
    def gap(*cells: xr.Dataset) -> Array:
        return np.asarray(-np.diff([loss(s.text_fits).read(cell).values for cell in cells], axis=0).max(0))

    return (
        Claim("text-replaced",
            f"The loss of a trigram model on real text rises 2.5 times as much over {s.text_fits - 1} iterations if "
            "its texts replace the data rather than accumulate",
            Source(paper=ABSTRACT, pilot="a trigram model of 40,000 symbols, whose loss rose 3.0 times as much",
                value="replacing leads to collapse, accumulating avoids it",
                tolerance="the pilot's factor less a sixth", checked=True),
            last(replaced) / last(accumulated), at_least(2.5),
            Control("its texts accumulate, without the real one", last(synthetic) / last(accumulated))),
        Claim("text-order",
            "Replacing is worse than a growing pool without real data, and that worse than with it (least difference)",
            Source(paper=f"{PAPER}, language models and the control without real data",
                ours="0.02 nats is 1 % of the loss", value="the order only",
                tolerance="the smallest effect that matters"),
            gap(replaced, synthetic, accumulated), at_least(0.02),
            Control("one more text of its own in the pool, rather than the real one",
                (loss(s.text_fits - 1) - loss(s.text_fits))(synthetic)), unit="nats"),
    )  # fmt: skip


def _images(s: CollapseSettings) -> Sequence[Claim]:
    replaced, accumulated = at("images", policy="replace"), at("images", policy="accumulate")
    worse = _of_fit("loss", s.diffusion_fits) / _of_fit("loss", 1) - 1
    variance = partial(_of_fit, "variance")

    def more(fit: int) -> Measured:
        return variance(fit)(accumulated) / variance(fit)(replaced)

    return (
        Claim("vae-collapses",
            "A variational autoencoder whose digits replace the data draws all alike by iteration 5 (total variance)",
            Source(paper=ABSTRACT, pilot="two seeds of this autoencoder, without variance after three to four fits",
                value="replacing leads to collapse", tolerance="a fortieth of the first fit's variance", checked=True),
            variance(min(5, s.image_fits))(replaced), at_most(0.05), Control("its digits accumulate", accumulated),
            range=RATIO),
        Claim("vae-keeps",
            f"If they accumulate, its digits have at least half of their variety after {s.image_fits} fits (last "
            "total variance over the first)",
            Source(paper=ABSTRACT, ours="what has lost more than half is not kept", value="accumulating avoids it",
                tolerance="the smallest effect that matters", checked=True),
            (variance(s.image_fits) / variance(1))(accumulated), at_least(0.5),
            Control("its digits replace the data", replaced), range=RATIO),
        Claim("vae-slower",
            f"After {s.image_fits} fits accumulated digits differ at least ten times as much as replaced ones (ratio)",
            Source(paper=ABSTRACT, ours="ten times is no matter of the size of a model",
                value="replacing leads to collapse, accumulating avoids it",
                tolerance="the smallest effect that matters", checked=True),
            more(s.image_fits), at_least(10.0), Control("after the first fit to its own", more(2)), range=RATIO),
        Claim("diffusion-replaced",
            f"A diffusion model whose digits replace the data errs at least 10 % more after {s.diffusion_fits} fits",
            Source(paper=f"{ABSTRACT} (diffusion models of molecules)", ours="10 % is more than noise",
                value="the direction only", tolerance="the smallest effect that matters", checked=True),
            worse(at("diffusion", policy="replace")), at_least(0.1),
            Control("its digits accumulate", at("diffusion", policy="accumulate"))),
    )  # fmt: skip
