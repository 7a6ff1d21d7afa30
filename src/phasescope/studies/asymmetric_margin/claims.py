"""The claims of the study ``asymmetric-margin``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, least, most, near, value
from phasescope.studies.asymmetric_margin.settings import AsymmetricSettings
from phasescope.studies.asymmetric_margin.training import MODELS
from phasescope.theory import asymmetric_margin
from phasescope.verdict import Claim, Control

PAPER = "Kunin et al. 2023"
Solution = Callable[[float, float, float], tuple[float, float, float]]


def claims(s: AsymmetricSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_identities(), *_balls(s), *_robustness(s), *_paths(s), *_descent(s), *_collapse(s))


def _identities() -> Sequence[Claim]:
    scaling, euler = value("scaling"), value("euler")
    own, wrong = ([at("scaling", model=model, rates=rates) for model in MODELS] for rates in ("own", "wrong"))
    return (
        Claim("scaling-identity",
            "Networks without biases, with biases, with a residual block and with a normalized layer all obey "
            "f(x; e^(a Lambda) theta) = e^a f(x; theta)",
            f"{PAPER}, definition of quasi-homogeneity; claim 1 (largest relative deviation)", most(scaling, own),
            at_most(1e-6), Control("all rates alike (smallest)", least(scaling, wrong))),
        Claim("euler-identity", "Their gradients obey Euler's identity <grad f, Lambda theta> = f",
            f"{PAPER}, from quasi-homogeneity; claim 2 (largest relative deviation)", most(euler, own), at_most(1e-5),
            Control("all rates alike (smallest)", least(euler, wrong))),
    )  # fmt: skip


def _balls(s: AsymmetricSettings) -> Sequence[Claim]:
    plain, quasi = asymmetric_margin.homogeneous_ball, asymmetric_margin.quasi_homogeneous_ball

    def distance(reading: str, solution: Solution) -> Measure:
        """Return how far a ball's margin, or its direction, is from that of a closed form."""

        @partial(Measure, words=f"distance of the {reading} from {solution.__name__}")
        def read(cell: xr.Dataset) -> xr.DataArray:
            *direction, margin = solution(s.parallel, cell.transverse.item(), s.radius)
            if reading == "margin":
                return abs(cell["margin"] - margin)
            return abs(cell["direction"] - xr.DataArray(direction, dims="coordinate")).max("coordinate", skipna=False)

        return read

    def against(reading: str, name: str, words: str, powers: str, right: Solution, wrong: Solution) -> Claim:
        centres = [at("balls", powers=powers, transverse=t) for t in s.centres]
        return Claim(f"{name}-{reading}", f"{words}: the {reading} of the flow is the closed form's for every centre",
                   f"{PAPER}, ball example; closed form derived here; claim 3 (largest deviation)",
                   most(distance(reading, right), centres), at_most(0.003),
                   Control("the other model's closed form", distance(reading, wrong)))  # fmt: skip

    models = (
        ("homogeneous", "f = w1 x1 + w2 x2", "1 1", plain, quasi),
        ("quasi-homogeneous", "f = w x1 + (u v) x2", "1 2", quasi, plain),
    )
    return tuple(against(reading, *model) for model in models for reading in ("direction", "margin"))


def _robustness(s: AsymmetricSettings) -> Sequence[Claim]:
    def kept(share: float) -> Measured:
        """Return the product's share of the largest margin, at a centre."""
        product, largest = (at("balls", powers=powers, transverse=s.centre(share)) for powers in ("1 2", "1 1"))
        return value("margin")(product) / value("margin")(largest)

    return (
        Claim("robustness-lost",
            "Where the second coordinate alone almost parts the balls (0.99 of the radius), the product's margin is "
            "less than 0.3 of the largest", f"{PAPER}, robustness; claim 4", kept(0.99), at_most(0.3),
            Control("at 0.375 of the radius", kept(0.375))),
        Claim("robustness-kept",
            "Where it is far from doing so (0.375 of the radius), more than 0.95 of the margin remains",
            f"{PAPER}, robustness; claim 4", kept(0.375), at_least(0.95), Control("at 0.99 of the radius", kept(0.99))),
    )  # fmt: skip


def _paths(s: AsymmetricSettings) -> Sequence[Claim]:
    def product(centre: float) -> Cell:
        return at("balls", powers="1 2", transverse=centre)

    needed = [product(t) for t in s.centres if t < s.radius]
    dropped = abs(value("direction", coordinate="parallel") / value("direction", coordinate="transverse"))

    @partial(Measure, words="larger of first and second")
    def others(cell: xr.Dataset) -> xr.DataArray:
        return cell[["first", "second"]].to_array().max("variable", skipna=False)

    return (
        Claim("normalized-margin-grows",
            "From separation on, soft margin / ||theta||_Lambda^(1 / lambda_max) never falls along the flow",
            "derived here, after Lyu and Li 2020 for homogeneous networks; claim 5 (largest relative fall; rounding)",
            most(value("fall"), needed), at_most(1e-6),
            Control("with the exponent of the lowest rate", least(value("wrong_fall"), needed))),
        Claim("unnecessary-dropped",
            "A coordinate of the highest rate that is not needed is dropped: |w| is at most 0.05 of |u v|",
            f"{PAPER}, abstract (unnecessary higher-order parameters are discarded); claim 6",
            dropped(product(s.centre(1.125))), at_most(0.05),
            Control("where it is needed, at 0.625 of the radius", product(s.centre(0.625)))),
        Claim("cascade",
            "Of products of one, two and three weights that could each part the balls, only that of three remains: "
            "the others are at most 0.05 of it", f"{PAPER}, conjectured cascade; claim 6",
            others(at("cascade", apart=1.1)), at_most(0.05),
            Control("where none of them parts the balls alone", at("cascade", apart=0.7))),
    )  # fmt: skip


def _descent(s: AsymmetricSettings) -> Sequence[Claim]:
    step, half_step = at("descent", rate=s.descent_rate), at("descent", rate=s.descent_rate / 2)
    drift = value("drift")

    def from_margin(solution: Solution) -> Measure:
        return abs(value("margin") - solution(s.parallel, 0.625 * s.radius, s.radius)[2])

    return (
        Claim("descent-follows", "Normalized gradient descent reaches the same margin, at 0.625 of the radius",
            "derived here; claim 3", from_margin(asymmetric_margin.quasi_homogeneous_ball)(step), at_most(0.003),
            Control("the homogeneous margin", from_margin(asymmetric_margin.homogeneous_ball))),
        Claim("balance",
            "The flow conserves u^2 - v^2; descent lets it drift in proportion to the step: twice for twice the step",
            f"{PAPER}, conservation of gradient flow; claim 7 (ratio of drifts)", drift(step) / drift(half_step),
            near(2.0, 0.2), Control("the same step twice", drift(step) / drift(step))),
    )  # fmt: skip


def _collapse(s: AsymmetricSettings) -> Sequence[Claim]:
    trained, untrained = at("collapse", norm="layer"), at("untrained")
    control, duality = Control("untrained", untrained), value("duality")
    return (
        Claim("collapse-variability",
            f"After {s.collapse_steps} steps, features that are normalized last hardly vary within classes: NC1, "
            "tr(S_W S_B^+) / K, is at most 0.05",
            "Papyan, Han and Donoho 2020, arXiv:2008.08186 (NC1), for the neural collapse of "
            f"{PAPER}; that paper's own measure was not looked up, the bound is ours", value("nc1")(trained),
            at_most(0.05), control),
        Claim("collapse-variance-ratio",
            "Nor do they by a measure that sees all directions alike: tr(S_W) / tr(S_B) is at most 0.05 too",
            "measure and bound are ours; until NC1 was read beside it this ratio was judged in its place",
            value("variance_ratio")(trained), at_most(0.05), control),
        Claim("collapse-simplex",
            "Their class means form a simplex: the cosines differ by at most 0.05 (standard deviation)",
            f"{PAPER}, neural collapse; claim 8 (the mean is near -1/(K-1) for any means, so the spread is asked)",
            value("cosine_spread")(trained), at_most(0.05), control),
        Claim("collapse-duality",
            "The readout comes to point along the class means: their distance is less than half of untrained ones'",
            f"{PAPER}, neural collapse (self-duality); the half is ours", duality(trained) / duality(untrained),
            at_most(0.5), Control("untrained", duality(untrained) / duality(untrained))),
    )  # fmt: skip
