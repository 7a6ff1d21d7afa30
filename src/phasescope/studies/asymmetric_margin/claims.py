"""The claims of the study ``asymmetric-margin``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.lab.study import part
from phasescope.studies.asymmetric_margin.settings import AsymmetricSettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

PAPER = "Kunin et al. 2023"
Solution = Callable[[float, float, float], tuple[float, float, float]]


def claims(s: AsymmetricSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_identities(), *_balls(s), *_paths(s), *_descent(s), *_collapse(s))


def _identities() -> Sequence[Claim]:
    def worst(d: xr.Dataset, name: str, rates: str, pick: str = "max") -> Array:
        found = part(d, "scaling")[name].sel(rates=rates)
        return np.asarray((found.max("model") if pick == "max" else found.min("model")).values)

    return (
        Claim(
            "scaling-identity",
            "Networks without biases, with biases, with a residual block and with a normalized layer all obey "
            "f(x; e^(a Lambda) theta) = e^a f(x; theta)",
            f"{PAPER}, definition of quasi-homogeneity; claim 1 (largest relative deviation)",
            partial(worst, name="scaling", rates="own"),
            Expectation.at_most(1e-6),
            Control("all rates alike (smallest)", partial(worst, name="scaling", rates="wrong", pick="min")),
        ),
        Claim(
            "euler-identity",
            "Their gradients obey Euler's identity <grad f, Lambda theta> = f",
            f"{PAPER}, from quasi-homogeneity; claim 2 (largest relative deviation)",
            partial(worst, name="euler", rates="own"),
            Expectation.at_most(1e-5),
            Control("all rates alike (smallest)", partial(worst, name="euler", rates="wrong", pick="min")),
        ),
    )


def deviation(data: xr.Dataset, powers: str, solution: Solution, s: AsymmetricSettings, what: str) -> Array:
    """Return the largest distance of measured margins or directions from ``solution`` over all centres, per seed."""
    balls = part(data, "balls").sel(powers=powers)
    predicted = np.array([solution(s.parallel, float(t), s.radius) for t in balls.transverse.values])
    if what == "margin":
        off = np.abs(balls.margin.transpose("seed", "transverse").values - predicted[:, 2])
    else:
        seen = balls.direction.transpose("seed", "transverse", "coordinate").values
        off = np.abs(seen - predicted[:, :2]).max(-1)
    return np.asarray(off.max(1))


def _balls(s: AsymmetricSettings) -> Sequence[Claim]:
    plain, quasi = theory.homogeneous_ball, theory.quasi_homogeneous_ball

    def against(what: str, powers: str, right: Solution, wrong: Solution, words: tuple[str, str]) -> Claim:
        return Claim(
            f"{words[0]}-{what}",
            f"{words[1]}: the {what} of the flow is the closed form's for every centre",
            f"{PAPER}, ball example; closed form derived here; claim 3 (largest deviation)",
            lambda d: deviation(d, powers, right, s, what),
            Expectation.at_most(0.003),
            Control("the other model's closed form", lambda d: deviation(d, powers, wrong, s, what)),
        )

    def ratio(d: xr.Dataset, share: float) -> Array:
        margin = part(d, "balls").margin.sel(transverse=share * s.radius, method="nearest")
        return np.asarray((margin.sel(powers="1 2") / margin.sel(powers="1 1")).values)

    homogeneous = ("homogeneous", "f = w1 x1 + w2 x2")
    asymmetric = ("quasi-homogeneous", "f = w x1 + (u v) x2")
    return (
        *(against(what, "1 1", plain, quasi, homogeneous) for what in ("direction", "margin")),
        *(against(what, "1 2", quasi, plain, asymmetric) for what in ("direction", "margin")),
        Claim(
            "robustness-lost",
            "Where the second coordinate alone almost parts the balls (0.99 of the radius), the product's margin is "
            "less than 0.3 of the largest",
            f"{PAPER}, robustness; claim 4",
            lambda d: ratio(d, 0.99),
            Expectation.at_most(0.3),
            Control("at 0.375 of the radius", lambda d: ratio(d, 0.375)),
        ),
        Claim(
            "robustness-kept",
            "Where it is far from doing so (0.375 of the radius), more than 0.95 of the margin remains",
            f"{PAPER}, robustness; claim 4",
            lambda d: ratio(d, 0.375),
            Expectation.at_least(0.95),
            Control("at 0.99 of the radius", lambda d: ratio(d, 0.99)),
        ),
    )


def _paths(s: AsymmetricSettings) -> Sequence[Claim]:
    def quasi(d: xr.Dataset) -> xr.Dataset:
        return part(d, "balls").sel(powers="1 2")

    def dropped(d: xr.Dataset, share: float) -> Array:
        chosen = quasi(d).direction.sel(transverse=share * s.radius, method="nearest")
        along, across = (chosen.sel(coordinate=name).values for name in ("parallel", "transverse"))
        return np.asarray(np.abs(along / across))

    def below(d: xr.Dataset, name: str, pick: str) -> Array:
        needed = quasi(d)[name].where(quasi(d).transverse < s.radius, drop=True)
        return np.asarray((needed.max("transverse") if pick == "max" else needed.min("transverse")).values)

    def cascade(d: xr.Dataset, apart: float) -> Array:
        seen = part(d, "cascade").sel(apart=apart)
        return np.asarray(np.maximum(seen["first"].values, seen["second"].values))

    return (
        Claim(
            "normalized-margin-grows",
            "From separation on, soft margin / ||theta||_Lambda^(1 / lambda_max) never falls along the flow",
            "derived here, after Lyu and Li 2020 for homogeneous networks; claim 5 (largest relative fall; rounding)",
            lambda d: below(d, "fall", "max"),
            Expectation.at_most(1e-6),
            Control("with the exponent of the lowest rate", lambda d: below(d, "wrong_fall", "min")),
        ),
        Claim(
            "unnecessary-dropped",
            "A coordinate of the highest rate that is not needed is dropped: |w| is at most 0.05 of |u v|",
            f"{PAPER}, abstract (unnecessary higher-order parameters are discarded); claim 6",
            lambda d: dropped(d, 1.125),
            Expectation.at_most(0.05),
            Control("where it is needed, at 0.625 of the radius", lambda d: dropped(d, 0.625)),
        ),
        Claim(
            "cascade",
            "Of products of one, two and three weights that could each part the balls, only that of three remains: "
            "the others are at most 0.05 of it",
            f"{PAPER}, conjectured cascade; claim 6",
            lambda d: cascade(d, 1.1),
            Expectation.at_most(0.05),
            Control("where none of them parts the balls alone", lambda d: cascade(d, 0.7)),
        ),
    )


def _descent(s: AsymmetricSettings) -> Sequence[Claim]:
    def drift(d: xr.Dataset, top: int, bottom: int) -> Array:
        seen = part(d, "descent").drift
        return np.asarray((seen.isel(rate=top) / seen.isel(rate=bottom)).values)

    exact = theory.quasi_homogeneous_ball(s.parallel, 0.625 * s.radius, s.radius)[2]

    def descended(d: xr.Dataset, margin: float) -> Array:
        return np.asarray(np.abs(part(d, "descent").margin.isel(rate=-1).values - margin))

    return (
        Claim(
            "descent-follows",
            "Normalized gradient descent reaches the same margin, at 0.625 of the radius",
            "derived here; claim 3",
            lambda d: descended(d, exact),
            Expectation.at_most(0.003),
            Control(
                "the homogeneous margin",
                lambda d: descended(d, theory.homogeneous_ball(s.parallel, 0.625 * s.radius, s.radius)[2]),
            ),
        ),
        Claim(
            "balance",
            "The flow conserves u^2 - v^2; descent lets it drift in proportion to the step: twice for twice the step",
            f"{PAPER}, conservation of gradient flow; claim 7 (ratio of drifts)",
            lambda d: drift(d, 1, 0),
            Expectation.near(2.0, 0.2),
            Control("the same step twice", lambda d: drift(d, 1, 1)),
        ),
    )


def _collapse(s: AsymmetricSettings) -> Sequence[Claim]:
    def read(d: xr.Dataset, name: str, where: str = "collapse", norm: str = "layer") -> Array:
        return np.asarray(part(d, where)[name].sel(norm=norm).values)

    return (
        Claim(
            "collapse-variability",
            f"After {s.collapse_steps} steps, features that are normalized last vary within classes less than 0.05 "
            "of what they do between",
            f"{PAPER}, neural collapse; claim 8",
            lambda d: read(d, "variability"),
            Expectation.at_most(0.05),
            Control("untrained", lambda d: read(d, "variability", "untrained")),
        ),
        Claim(
            "collapse-simplex",
            "Their class means form a simplex: the cosines differ by at most 0.05 (standard deviation)",
            f"{PAPER}, neural collapse; claim 8 (the mean is near -1/(K-1) for any means, so the spread is asked)",
            lambda d: read(d, "cosine_spread"),
            Expectation.at_most(0.05),
            Control("untrained", lambda d: read(d, "cosine_spread", "untrained")),
        ),
        Claim(
            "collapse-duality",
            "The readout comes to point along the class means: their distance is less than half of untrained ones'",
            f"{PAPER}, neural collapse (self-duality); the half is ours",
            lambda d: read(d, "duality") / read(d, "duality", "untrained"),
            Expectation.at_most(0.5),
            Control("untrained", lambda d: read(d, "duality", "untrained") / read(d, "duality", "untrained")),
        ),
    )
