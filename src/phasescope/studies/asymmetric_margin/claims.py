"""The claims of the study ``asymmetric-margin``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, least, most, value
from phasescope.studies.asymmetric_margin.settings import AsymmetricSettings
from phasescope.studies.asymmetric_margin.training import MODELS
from phasescope.theory import asymmetric_margin
from phasescope.verdict import Claim, Control, Source

THEORY, POSITIVE = "theory.asymmetric_margin", (0.0, math.inf)
Solution = Callable[[float, float, float], tuple[float, float, float]]


def claims(s: AsymmetricSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_identities(), *_balls(s), *_robustness(s), *_paths(s), *_descent(s), *_collapse(s))


def _identities() -> Sequence[Claim]:
    scaling, euler = value("scaling"), value("euler")
    own = [at("scaling", model=model, rates="own") for model in MODELS]
    others = [at("scaling", model=model, rates="homogeneous") for model in MODELS if model != "plain"]
    rounding = "rounding of float64, with room"
    return (
        Claim("scaling-identity",
            "Networks without biases, with biases, with a residual block and with a normalized layer all obey "
            "f(x; e^(a Lambda) theta) = e^a f(x; theta) (largest relative deviation)",
            Source(paper="the definition of quasi-homogeneity", value="no deviation", tolerance=rounding),
            most(scaling, own), at_most(1e-6),
            Control("one rate for all parameters, as in a homogeneous network of three layers (smallest; without the "
                "first, which is one)", least(scaling, others)), range=POSITIVE),
        Claim("euler-identity",
            "Their gradients obey Euler's identity <grad f, Lambda theta> = f (largest relative deviation)",
            Source(paper="the definition of quasi-homogeneity, whose derivative this is", value="no deviation",
                tolerance=rounding),
            most(euler, own), at_most(1e-5),
            Control("one rate for all parameters, as above (smallest)", least(euler, others)), range=POSITIVE),
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
        return Claim(f"{name}-{reading}", f"{words}: the {reading} of the flow is the closed form's for every centre "
                   "(largest deviation)",
                   Source(paper="the example of two balls", derived=f"{THEORY}.{right.__name__}",
                          tolerance="ours: 0.003, for a flow that is stopped before its limit"),
                   most(distance(reading, right), centres), at_most(0.003),
                   Control("the other model's closed form", distance(reading, wrong)), range=POSITIVE)  # fmt: skip

    models = (
        ("homogeneous", "f = w1 x1 + w2 x2", "1 1", plain, quasi),
        ("quasi-homogeneous", "f = w x1 + (u v) x2", "1 2", quasi, plain),
    )
    return tuple(against(reading, *model) for model in models for reading in ("direction", "margin"))


def _robustness(s: AsymmetricSettings) -> Sequence[Claim]:
    def of_largest(part: float, cell: Cell | None = None) -> Measured:
        """Return a product's part of the largest margin, at a centre; that of w x1 + (u v) x2 unless given."""
        product, largest = (at("balls", powers=powers, transverse=s.centre(part)) for powers in ("1 2", "1 1"))
        return value("margin")(cell or product) / value("margin")(largest)

    def source(left: str, tolerance: str) -> Source:
        return Source(paper="robustness of the two balls", derived=f"{THEORY}.quasi_homogeneous_ball", value=left,
            tolerance=tolerance)  # fmt: skip

    return (
        Claim("robustness-lost",
            "Where the second coordinate alone almost parts the balls (0.99 of the radius), the product's margin is "
            "less than 0.3 of the largest", source("0.265", "ours: a round number above"), of_largest(0.99),
            at_most(0.3),
            Control("a product in both coordinates, of one rate: no asymmetry",
                of_largest(0.99, at("both_products"))), range=(0.0, 1.0),
            deterministic=True),
        Claim("robustness-kept",
            "Where it is far from doing so (0.375 of the radius), more than 0.95 of the margin remains",
            source("0.982", "ours: one part in twenty, the smallest loss that matters"), of_largest(0.375),
            at_least(0.95), Control("nearer, at 0.625 of the radius", of_largest(0.625), deterministic=True),
            range=(0.0, 1.0), deterministic=True),
    )  # fmt: skip


def _paths(s: AsymmetricSettings) -> Sequence[Claim]:
    def product(centre: float) -> Cell:
        return at("balls", powers="1 2", transverse=centre)

    early = "ours: 0.05, for a flow that is stopped before its limit"
    needed = [product(t) for t in s.centres if t < s.radius]
    dropped = abs(value("direction", coordinate="parallel") / value("direction", coordinate="transverse"))

    @partial(Measure, words="larger of first and second")
    def others(cell: xr.Dataset) -> xr.DataArray:
        return cell[["first", "second"]].to_array().max("variable", skipna=False)

    return (
        Claim("normalized-margin-grows",
            "From separation on, soft margin / ||theta||_Lambda^(1 / lambda_max) never falls along the flow (largest "
            "relative fall)", Source(paper="Lyu and Li 2020, for homogeneous networks",
                ours="with this exponent it holds for others too: derived on the study's page",
                tolerance="rounding, with room"),
            most(value("fall"), needed), at_most(1e-6),
            Control("normalized as if the model were homogeneous, of the product's degree",
                least(value("wrong_fall"), needed)), range=(0.0, 1.0)),
        Claim("unnecessary-dropped",
            "A coordinate of the highest rate that is not needed is dropped: |w| is at most 0.05 of |u v|",
            Source(paper="abstract: unnecessary higher-order parameters are discarded", value="0 in the limit",
                tolerance=early), dropped(product(s.centre(1.125))), at_most(0.05),
            Control("where it is needed, at 0.625 of the radius", product(s.centre(0.625))), range=POSITIVE),
        Claim("cascade",
            "Of products of one, two and three weights that could each part the balls, only that of three remains: "
            "the others are at most 0.05 of it",
            Source(paper="the conjectured cascade", value="0 in the limit", tolerance=early),
            others(at("cascade", apart=1.1)), at_most(0.05),
            Control("where none of them parts the balls alone", at("cascade", apart=0.7)), range=POSITIVE),
        Claim("balance", "The flow conserves u^2 - v^2 (largest change over |theta|^2 at the end)",
            Source(paper="conservation under gradient flow", value="no change",
                tolerance="the integrator's, of 1e-10 of the smallest weights"),
            most(value("balance"), [product(t) for t in s.centres]), at_most(1e-9),
            Control("normalized gradient descent", at("descent", rate=s.descent_rate)), range=POSITIVE),
    )  # fmt: skip


def _descent(s: AsymmetricSettings) -> Sequence[Claim]:
    def from_margin(solution: Solution) -> Measure:
        return abs(value("margin") - solution(s.parallel, 0.625 * s.radius, s.radius)[2])

    step = at("descent", rate=s.descent_rate)
    return (
        Claim("descent-follows", "Normalized gradient descent reaches the same margin, at 0.625 of the radius",
            Source(derived=f"{THEORY}.quasi_homogeneous_ball", tolerance="as for the flow"),
            from_margin(asymmetric_margin.quasi_homogeneous_ball)(step), at_most(0.003),
            Control("the homogeneous margin", from_margin(asymmetric_margin.homogeneous_ball)), range=POSITIVE),
    )  # fmt: skip


def _collapse(s: AsymmetricSettings) -> Sequence[Claim]:
    trained, plain = at("collapse", norm="layer"), at("collapse", norm="none")
    control = Control("trained as long without a final normalization", plain)
    duality = value("duality")

    def of_first(norm: str) -> Measured:
        """Return the distance of readout and class means over that of the same network untrained."""
        return duality(at("collapse", norm=norm)) / duality(at("untrained", norm=norm))

    def source(measure: str, bound: str) -> Source:
        return Source(paper=f"neural collapse; {measure}", ours=bound, tolerance=bound)

    twentieth = "one part in twenty, which we would call collapsed"
    return (
        Claim("collapse-variability",
            f"After {s.collapse_steps} steps, features that are normalized last hardly vary within classes: NC1, "
            "tr(S_W S_B^+) / K, is at most 0.05",
            source("the measure is NC1 of Papyan, Han and Donoho 2020, arXiv:2008.08186; the paper's own was not "
                "looked up", twentieth), value("nc1")(trained), at_most(0.05), control, range=POSITIVE),
        Claim("collapse-variance-ratio",
            "Nor do they by a measure that sees all directions alike: tr(S_W) / tr(S_B) is at most 0.05 too",
            Source(ours="until NC1 was read beside it this ratio was judged in its place", tolerance=twentieth),
            value("variance_ratio")(trained), at_most(0.05), control, range=POSITIVE),
        # the mean of the cosines is near -1 / (K - 1) for any class means, so their spread is asked
        Claim("collapse-simplex",
            "Their class means form a simplex: the cosines differ by at most 0.05 (standard deviation)",
            source("the measure is NC2 of Papyan, Han and Donoho 2020", twentieth), value("cosine_spread")(trained),
            at_most(0.05), control, range=POSITIVE),
        Claim("collapse-duality",
            "The readout comes to point along the class means: their distance is less than half of untrained ones'",
            source("the measure is NC3 of Papyan, Han and Donoho 2020", "half of the distance"), of_first("layer"),
            at_most(0.5), Control("without a final normalization, trained over untrained", of_first("none")),
            range=POSITIVE),
    )  # fmt: skip
