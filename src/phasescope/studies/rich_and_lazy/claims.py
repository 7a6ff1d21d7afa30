"""The claims of the study ``rich-and-lazy``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, near, steps_to, value
from phasescope.studies.rich_and_lazy.neurons import fitting_time, foreseen
from phasescope.studies.rich_and_lazy.settings import DELTAS, FOURFOLD, LARGE, QUARTER, SMALL, RichLazySettings
from phasescope.verdict import Claim, Control, Expectation

PAPER = "Kunin et al. 2024"
DRIFT, GROWN = value("drift"), value("grown")  # of what is conserved, and of the sum in place of the difference
PUBLISHED = {-4.0: -1.2422, -2.0: -1.0336, -1.0: -0.8365, 0.0: -0.5624, 1.0: -0.4063, 2.0: -0.3641, 4.0: -0.3442}
"""delta -> null coordinate of the published problem, simulated before this study."""


def claims(s: RichLazySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_flows, _neuron, _ends, _wide, _wide_ends, _deep, _relu, _conserved, _addition)
    return tuple(claim for group in groups for claim in group(s))


# -- measures ------------------------------------------------------------------------------------------------


def largest(measure: Measure) -> Measure:
    """Return the largest of a measure over all that a cell leaves open; NaN, no value, where one of them is NaN."""
    return measure.map(lambda found: found.max(_open(found), skipna=False), "largest {}")


def smallest(measure: Measure) -> Measure:
    """Return the smallest of a measure over all that a cell leaves open; NaN, no value, where one of them is NaN."""
    return measure.map(lambda found: found.min(_open(found), skipna=False), "smallest {}")


def _open(found: xr.DataArray) -> list[str]:
    return [str(dim) for dim in found.dims if dim != "seed"]


def law(words: str, predicted: Callable[[float], float], sign: int = 1) -> Measure:
    """Return what is predicted for each delta of a cell; with ``sign`` -1 what is predicted for -delta, a control."""

    def read(cell: xr.Dataset) -> Any:
        return xr.apply_ufunc(predicted, sign * cell.delta, vectorize=True)

    return Measure(read, words if sign == 1 else f"{words} of -delta")


def gap(one: Measure, other: Measure) -> Measure:
    """Return the largest distance between two measures."""
    return largest(abs(one - other))


# -- one neuron ----------------------------------------------------------------------------------------------


def _flows(s: RichLazySettings) -> Sequence[Claim]:
    drift, slow, fast = abs(DRIFT), at("descent", rate=0.001), at("descent", rate=0.01)
    return (
        Claim("delta-conserved",
            "Gradient flow conserves delta = eta_w a^2 - eta_a |w|^2, at equal and at unequal rates (largest change)",
            f"{PAPER}, Sec. 3; claim 1", largest(DRIFT)(at("flow")), at_most(1e-9),
            Control("descent with rate 0.01", drift(fast))),
        Claim("descent-drift", "Descent lets delta drift in proportion to its rate: ten times for ten times the rate",
            "derived; claim 1 (ratio of drifts at 0.01 and 0.001)", drift(fast) / drift(slow), near(10.0, 2.0),
            Control("the same rate twice", drift(fast) / drift(fast))),
        Claim("exact-trajectory",
            "a(t), and w(t) along the target, are the closed form's for random starts (largest deviation)",
            f"{PAPER}, Theorem of Sec. 3, Riccati equation; a(t) derived here; claim 2",
            largest(value("deviation"))(at("flow")), at_most(1e-8),
            Control("the closed form of a balanced neuron with the same function", largest(value("balanced")))),
    )  # fmt: skip


def _neuron(s: RichLazySettings) -> Sequence[Claim]:
    neuron, fits = at("neuron"), at("neuron", delta=DELTAS[1:])  # at -4 it needs more time than it has
    distance, fitted = value("kernel_distance", time=s.times[-1]), value("fitted")

    def predicted(delta: float) -> float:
        return float(foreseen(delta, np.array([s.horizon]))[1][0])

    def off(sign: int) -> Measure:
        return gap(distance, law("closed form", predicted, sign))

    def late(sign: int) -> Measure:
        return largest(abs(fitted / law("time of the closed form", fitting_time, sign) - 1))

    def smallest_fall(measure: Measure) -> Measure:
        return smallest(measure.map(lambda found: -found.diff("delta"), "fall of {} from one delta to the next"))

    def ratios(found: xr.DataArray) -> xr.DataArray:
        return (found.shift(delta=1) / found).isel(delta=slice(1, None))

    return (
        Claim("kernel-distance",
            "A trained neuron's tangent kernel moves as far as the closed form says, for seven deltas from -4 to 4 "
            "(largest deviation)", f"{PAPER}, Sec. 3, Fig. 2; the margin is claim 4's", off(1)(neuron),
            at_most(0.005), Control("the closed form of -delta", off(-1))),
        Claim("kernel-moves-less",
            "The larger delta, the less the kernel has moved at the end: the smallest fall from one delta to the next",
            f"{PAPER}, Sec. 3, in direction; claim 4, with its margin", smallest_fall(distance)(neuron),
            at_least(0.005),
            Control("the function, which moves as far for every delta", smallest_fall(value("moved")))),
        Claim("time-to-fit",
            "A trained neuron fits to 0.1 % when the closed form says, for deltas from -2 to 4 (relative error)",
            f"{PAPER}, Sec. 3; the margin of 2 % is ours, for a rate of {s.rate:g}", late(1)(fits), at_most(0.02),
            Control("the closed form of -delta", late(-1))),
        Claim("upstream-fits-sooner",
            "The larger delta, the sooner the neuron fits: the smallest ratio of times from one delta to the next",
            f"{PAPER}, Sec. 3, in direction; claim 5; the closed form has 1.5 at least, the margin is ours",
            smallest(fitted.map(ratios, "ratio of {} from one delta to the next"))(fits), at_least(1.2),
            Control("one delta against itself", (fitted / fitted)(at("neuron", delta=DELTAS[-1])))),
    )  # fmt: skip


def _ends(s: RichLazySettings) -> Sequence[Claim]:
    random, published = at("rank_one", problem="random"), at("rank_one", problem="published")
    end, closed, opposite, potential = (value(name) for name in ("end", "closed", "opposite", "least"))

    def tabled(sign: int) -> Measure:
        return law("tabled null coordinate", PUBLISHED.__getitem__, sign)

    return (
        Claim("published-ends",
            "On the published data of rank one the neuron ends at the seven tabled null coordinates (largest gap)",
            "measured before with the authors' problem; claim 3; each seed turns the plane",
            gap(end, tabled(1))(published), at_most(1e-3), Control("those of -delta", gap(end, tabled(-1)))),
        Claim("null-coordinate",
            "On random data of rank one it ends where the closed form says (largest gap over delta)",
            f"{PAPER}, closed form of the authors' code; claim 3", gap(end, closed)(random), at_most(1e-3),
            Control("that of -delta", gap(end, opposite))),
        Claim("bias-potential",
            "That is the interpolator of least potential Psi(beta) - psi beta0 . beta / |beta0| (largest gap)",
            f"{PAPER}, Theorem on the implicit bias, Sec. 3; claim 3", gap(potential, closed)(random), at_most(1e-5),
            Control("the closed form of -delta", gap(potential, opposite))),
    )  # fmt: skip


# -- wide and deep linear networks ---------------------------------------------------------------------------


def _wide(s: RichLazySettings) -> Sequence[Claim]:
    differing = at("wide", measurements="any", delta=min(s.wide_deltas, key=abs))
    return (
        Claim("wide-conserved", "Wide linear networks conserve the matrix B B^T - A^T A (largest change)",
            f"{PAPER}, Sec. 4; the margin is claim 1's, for an integrator of 1e-9: 1e-7", largest(DRIFT)(at("wide")),
            at_most(1e-7), Control("B B^T + A^T A (smallest change)", smallest(GROWN))),
        Claim("wide-function",
            "The function of a wide network has a flow of its own, whatever the data (relative gap at the end)",
            "derived here, for B B^T - A^T A = delta I; margin of the integrators",
            largest(value("function"))(at("wide")), at_most(1e-5),
            Control("the potential's end on data that share no singular vectors", value("entropy")(differing))),
    )  # fmt: skip


def _wide_ends(s: RichLazySettings) -> Sequence[Claim]:
    small, large = min(s.wide_deltas, key=abs), max(s.wide_deltas, key=abs)
    entropy, squares, nuclear = (value(name) for name in ("entropy", "minimum_norm", "nuclear"))
    rich, lazy, shared = at("wide", delta=small), at("wide", delta=large), {"measurements": "shared"}
    return (
        Claim("wide-entropy",
            "On data that share singular vectors it ends at the interpolator of least hyperbolic entropy (gap)",
            f"{PAPER}, Sec. 4, as quoted: a mirror flow of the singular values; margin ours",
            largest(entropy)(at("wide", **shared)), at_most(1e-3),
            Control("the least-squares solution, at the smallest delta", squares(at("wide", **shared, delta=small)))),
        Claim("wide-entropy-is-off",
            f"On data that share none it does not: at delta = {small:g} the potential misses by 5 % or more",
            "derived here: the metric of the exact flow is no Hessian of a potential; pilots had 0.09 to 0.26",
            entropy(at("wide", measurements="any", delta=small)), at_least(0.05),
            Control("the flow of the function", value("function"))),
        Claim("lazy-is-least-squares", f"At delta = {large:g} it ends within 2 % of the least-squares solution",
            f"{PAPER}, Sec. 4: the potential is a squared norm for large delta; the next order of asinh is 1 %",
            largest(squares)(lazy), at_most(0.02), Control(f"at delta = {small:g}", smallest(squares)(rich))),
        Claim("rich-is-low-rank",
            f"At delta = {small:g} its nuclear norm is at most 0.95 of that of the least-squares solution",
            f"{PAPER}, Sec. 4: the potential is like l1 for small delta; margin ours", largest(nuclear)(rich),
            at_most(0.95), Control(f"at delta = {large:g}", smallest(nuclear)(lazy))),
    )  # fmt: skip


def _deep(s: RichLazySettings) -> Sequence[Claim]:
    deeper = at("deep", layers=[layers for layers in s.layers if layers > 2] or s.layers)
    end = value("end")
    return (
        Claim("deep-potential",
            "A balanced network of L layers ends where |beta|^((L + 1) / L) tilted by its start is least (largest gap)",
            f"{PAPER}, Sec. 4, depth changes the power; this form derived here; margin of claim 3",
            gap(end, value("foreseen"))(at("deep")), at_most(1e-3),
            Control("the potential of two layers, for deeper ones", gap(end, value("shallow"))(deeper))),
        Claim("deep-conserved", "It stays balanced: each pair of layers conserves W^T W - W' W'^T (largest change)",
            f"{PAPER}, Sec. 4; margin as for wide ones", largest(DRIFT)(at("deep")), at_most(1e-7),
            Control("W^T W + W' W'^T (smallest change)", smallest(GROWN))),
    )  # fmt: skip


# -- ReLU networks -------------------------------------------------------------------------------------------


def _relu(s: RichLazySettings) -> Sequence[Claim]:
    first, last = s.checkpoints[0], s.checkpoints[-1]
    loss, flips = value("train_loss", step=first), value("flips", step=last)
    moved, test = value("moved", step=last), value("test_loss", step=last)
    up, balanced, down = 1.0, 0.0, -1.0

    def compare(
        name: str, sentence: str, source: str, measure: Measure, one: float, other: float, expected: Expectation
    ) -> Claim:
        def ratio(scale: float) -> Measured:
            return measure(at("corners", scale=scale, balance=one)) / measure(at("corners", scale=scale, balance=other))

        control = Control(f"at scale tau = {LARGE:g}", ratio(LARGE))
        return Claim(name, sentence, f"{PAPER}, {source}", ratio(SMALL), expected, control)

    return (
        compare("upstream-learns-fast",
            f"At tau = 0.1 an upstream student's loss (delta = 1) is, after {first} steps, "
            "less than an eighth of a balanced one's (ratio)", "Fig. 1, in direction; claim 6, with its margin", loss,
            balanced, up, at_least(8.0)),
        compare("downstream-learns-slowly", "... and less than a fifteenth of a downstream one's (ratio)",
            "Fig. 1, in direction; claim 6, with its margin", loss, down, up, at_least(15.0)),
        compare("upstream-changes-patterns",
            f"After {last} steps its activation patterns have changed more than twice as "
            "much as a downstream student's (ratio)", "Fig. 1 and 5; claim 7, with its margin", flips, up, down,
            at_least(2.0)),
        compare("upstream-moves-little", "... while its parameters have moved less than half as far (ratio)",
            "Fig. 5, caption; claim 7, with its margin", moved, up, down, at_most(0.5)),
        compare("upstream-generalizes",
            "... and a downstream student's test loss is at least 1.5 times its own (ratio)",
            "Fig. 1, in direction; the extremes of five seeds measured before give 1.8", test, down, up, at_least(1.5)),
        Claim("large-is-lazy", f"At tau = 1, delta = 0 the kernel has moved by less than 0.02 after {last} steps",
            f"{PAPER}, Fig. 1; claim 8", value("kernel_distance", step=last)(at("corners", scale=LARGE, balance=0.0)),
            at_most(0.02), Control("at tau = 0.1", at("corners", scale=SMALL, balance=0.0))),
    )  # fmt: skip


def _conserved(s: RichLazySettings) -> Sequence[Claim]:
    return (
        Claim("neurons-conserved", "In all six cells every ReLU neuron keeps a^2 - |w|^2 to 0.01 (largest change)",
            f"{PAPER}, Sec. 5; claim 9, with its margin", largest(DRIFT)(at("corners")), at_most(0.01),
            Control("a^2 + |w|^2, which nothing keeps (smallest over cells)", smallest(GROWN))),
    )  # fmt: skip


# -- modular addition ----------------------------------------------------------------------------------------


def _addition(s: RichLazySettings) -> Sequence[Claim]:
    groks = steps_to("test_accuracy", 0.9)

    def sooner(name: str, knob: str, factor: float) -> Measured:
        return groks(at(name, **{knob: 1.0})) / groks(at(name, **{knob: factor}))

    def embedding_sooner(factor: float) -> Measured:
        return groks(at("readout", readout=factor)) / groks(at("embedding", embedding=factor))

    return (
        Claim("grokking-upstream",
            "With one and the same first function, first weights moved fourfold upstream make a network grok modular "
            "addition sooner (steps over steps)", f"{PAPER}, abstract, in direction; size and margin are ours",
            sooner("same_function", "upstream", FOURFOLD), at_least(1.1),
            Control("moved fourfold downstream", sooner("same_function", "upstream", QUARTER))),
        Claim("grokking-embedding",
            "A quarter of the embedding's first weights alone makes it grok sooner (steps over steps)",
            f"{PAPER}, abstract, in direction; size and margin are ours", sooner("embedding", "embedding", QUARTER),
            at_least(1.1), Control("four times the embedding", sooner("embedding", "embedding", FOURFOLD))),
        Claim("grokking-at-small-scale",
            "Of two starts with one small first function, the one with the small embedding groks sooner than the one "
            "with the small readout (steps over steps)", f"{PAPER}, abstract, in direction; size and margin are ours",
            embedding_sooner(QUARTER), at_least(1.1), Control("the unchanged start in both", embedding_sooner(1.0))),
    )  # fmt: skip
