"""The claims of the study ``rich-and-lazy``: a measure at a cell, an expectation fixed here, and a control.

Controls are rivals: a balance that does not matter, a kernel that stays, the same change on the other side. How one
neuron learns whitened data does not depend on the seed, whatever inputs it draws; such claims say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, steps_to, value
from phasescope.studies.rich_and_lazy.neurons import fitting_time, foreseen, frozen_time
from phasescope.studies.rich_and_lazy.settings import DELTAS, FOURFOLD, LARGE, QUARTER, SMALL, RichLazySettings
from phasescope.verdict import Claim, Control, Expectation, Source

THEORY = "theory.rich_lazy"
POSITIVE, UNIT = (0.0, math.inf), (0.0, 1.0)  # what effects can be
NOTEBOOK = "single-neuron/Single_Neuron.ipynb"
RANK_ONE = f"{NOTEBOOK}, implicit_bias_theory on the problem of Figure 4(b)"
GROKS = "a tenth of the steps, the smallest difference that matters; the paper's network and sizes are not known to us"
DRIFT, GROWN = value("drift"), value("grown")  # of what is conserved, and of the sum in place of the difference
PUBLISHED = {-4.0: -1.2422, -2.0: -1.0336, -1.0: -0.8365, 0.0: -0.5624, 1.0: -0.4063, 2.0: -0.3641, 4.0: -0.3442}
"""delta -> null coordinate of the published problem, by the closed form of the authors' notebook."""


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


def law(words: str, predicted: Callable[[float], float]) -> Measure:
    """Return what is predicted for each delta of a cell."""
    return Measure(lambda cell: xr.apply_ufunc(predicted, cell.delta, vectorize=True), words)


def gap(one: Measure, other: Measure) -> Measure:
    """Return the largest distance between two measures."""
    return largest(abs(one - other))


# -- one neuron ----------------------------------------------------------------------------------------------


def _flows(s: RichLazySettings) -> Sequence[Claim]:
    fast = at("descent", rate=0.01)
    return (
        Claim("delta-conserved",
            "Gradient flow conserves delta = eta_w a^2 - eta_a |w|^2, at equal and at unequal rates (largest change)",
            Source(paper="Sec. 3", value="no change", tolerance="the integrator's, of 1e-10"),
            largest(DRIFT)(at("flow")), at_most(1e-9),
            Control("descent with rate 0.01", abs(DRIFT)(fast), deterministic=True), range=POSITIVE),
        Claim("exact-trajectory",
            "a(t), and w(t) along the target, are the closed form's for random starts (largest deviation)",
            Source(paper="Sec. 3, the exact solution", derived=f"{THEORY}.whitened_flow",
                tolerance="the integrator's, of 1e-13, with room for rounding"),
            largest(value("deviation"))(at("flow")), at_most(1e-8),
            Control("the closed form of a balanced neuron with the same function", largest(value("balanced"))),
            range=POSITIVE),
    )  # fmt: skip


def _neuron(s: RichLazySettings) -> Sequence[Claim]:
    neuron, fits = at("neuron"), at("neuron", delta=DELTAS[1:])  # at -4 it needs more time than it has
    distance, fitted = value("kernel_distance", time=s.times[-1]), value("fitted")

    def predicted(delta: float) -> float:
        return float(foreseen(delta, np.array([s.horizon]))[1][0])

    def late(words: str, time: Callable[[float], float]) -> Measure:
        return largest(abs(fitted / law(words, time) - 1))

    def smallest_fall(measure: Measure) -> Measure:
        return smallest(measure.map(lambda found: -found.diff("delta"), "fall of {} from one delta to the next"))

    closed = f"{THEORY}.whitened_flow"
    balanced = law("closed form of a balanced neuron", lambda _: predicted(0.0))
    return (
        Claim("kernel-distance",
            "A trained neuron's tangent kernel moves as far as the closed form says, for seven deltas from -4 to 4 "
            "(largest deviation)",
            Source(paper="Sec. 3, Fig. 2", derived=closed,
                tolerance="half of the least difference to be told apart, 0.011 between delta = 2 and 4"),
            gap(distance, law("closed form", predicted))(neuron), at_most(0.005),
            Control("the closed form of a balanced neuron with the same function", gap(distance, balanced),
                deterministic=True), range=UNIT, deterministic=True),
        # The rival is that a kernel moves as far as its function does, whatever delta.
        Claim("kernel-moves-less",
            "The larger delta, the less the kernel has moved at the end: the smallest fall from one delta to the next",
            Source(paper="Sec. 3, in direction", derived=closed, value="0.011", tolerance="half of it"),
            smallest_fall(distance)(neuron), at_least(0.005),
            Control("the function, which moves as far for every delta", smallest_fall(value("moved")),
                deterministic=True), range=(-1.0, 1.0), deterministic=True),
        Claim("time-to-fit",
            "A trained neuron fits to 0.1 % when the closed form says, for deltas from -2 to 4: the sooner, the larger "
            "delta, by a factor of 1.5 at least from one to the next (largest relative error)",
            Source(paper="Sec. 3", derived=closed, tolerance=f"ours: 2 %, for descent with a rate of {s.rate:g}"),
            late("time of the closed form", fitting_time)(fits), at_most(0.02),
            Control("the time of a neuron whose first kernel stays", late("time with a frozen kernel", frozen_time),
                deterministic=True), range=POSITIVE, deterministic=True),
    )  # fmt: skip


def _ends(s: RichLazySettings) -> Sequence[Claim]:
    random, published = at("rank_one", problem="random"), at("rank_one", problem="published")
    end, nearest = value("end"), value("nearest")
    lazy = Control("the interpolator nearest to the start, where a kernel that stays ends", gap(end, nearest))
    return (
        Claim("published-ends",
            "On the published data of rank one the neuron ends at the authors' seven null coordinates (largest gap)",
            Source(code=RANK_ONE, checked=True, value="-1.2422 to -0.3442 for delta from -4 to 4",
                tolerance="ours: 1e-3, for four digits and an integrator"),
            gap(end, law("the authors' null coordinate", PUBLISHED.__getitem__))(published), at_most(1e-3), lazy,
            range=POSITIVE),
        Claim("null-coordinate",
            "On random data of rank one it ends where the closed form says (largest gap over delta)",
            Source(code=f"{NOTEBOOK}, implicit_bias_theory", checked=True, tolerance="ours: 1e-3, for an integrator"),
            gap(end, value("closed"))(random), at_most(1e-3), lazy, range=POSITIVE),
        Claim("bias-potential",
            "That is the interpolator of least potential Psi(beta) - psi beta0 . beta / |beta0| (largest gap of the "
            "neuron's end)", Source(paper="Sec. 3, the theorem on the implicit bias",
                derived=f"{THEORY}.bias_potential", tolerance="the integrator's and the minimizer's, of 1e-9"),
            gap(end, value("least"))(random), at_most(1e-5), lazy, range=POSITIVE),
    )  # fmt: skip


# -- wide and deep linear networks ---------------------------------------------------------------------------


def _wide(s: RichLazySettings) -> Sequence[Claim]:
    differing = at("wide", measurements="any", delta=min(s.wide_deltas, key=abs))
    return (
        Claim("wide-conserved", "Wide linear networks conserve the matrix B B^T - A^T A (largest change)",
            Source(paper="Sec. 4", value="no change", tolerance="a hundred times the integrator's, of 1e-9"),
            largest(DRIFT)(at("wide")), at_most(1e-7),
            Control("B B^T + A^T A (smallest change)", smallest(GROWN)), range=POSITIVE),
        Claim("wide-function",
            "The function of a wide network has a flow of its own, whatever the data (relative gap at the end)",
            Source(derived=f"{THEORY}_wide.product_flow", tolerance="of two integrators of 1e-9, over long times"),
            largest(value("function"))(at("wide")), at_most(1e-5),
            Control("the potential's end on data that share no singular vectors", value("entropy")(differing)),
            range=POSITIVE),
    )  # fmt: skip


def _wide_ends(s: RichLazySettings) -> Sequence[Claim]:
    small, large = min(s.wide_deltas, key=abs), max(s.wide_deltas, key=abs)
    entropy, squares, nuclear = (value(name) for name in ("entropy", "minimum_norm", "nuclear"))
    rich, lazy, shared = at("wide", delta=small), at("wide", delta=large), {"measurements": "shared"}
    return (
        Claim("wide-entropy",
            "On data that share singular vectors it ends at the interpolator of least hyperbolic entropy (gap)",
            Source(paper="Sec. 4, a mirror flow of the singular values", derived=f"{THEORY}_wide.least_entropy",
                tolerance="ours: 1e-3, far below what separates the potentials"),
            largest(entropy)(at("wide", **shared)), at_most(1e-3),
            Control("the least-squares solution, at the smallest delta", squares(at("wide", **shared, delta=small))),
            range=POSITIVE),
        Claim("wide-entropy-is-off",
            f"On data that share none it does not: at delta = {small:g} the potential misses by 5 % or more",
            Source(pilot="seeds that were not recorded, at this size", value="a gap of 9 to 26 %",
                tolerance="half of the pilot's least"),
            entropy(at("wide", measurements="any", delta=small)), at_least(0.05),
            Control("the flow of the function", value("function")), range=POSITIVE),
        Claim("lazy-is-least-squares", f"At delta = {large:g} it ends within 2 % of the least-squares solution",
            Source(paper="Sec. 4, the potential is a squared norm for large delta",
                derived=f"{THEORY}_wide.hyperbolic_entropy", tolerance="twice the next order of its asinh, 1 %"),
            largest(squares)(lazy), at_most(0.02), Control(f"at delta = {small:g}", smallest(squares)(rich)),
            range=POSITIVE),
        Claim("rich-is-low-rank",
            f"At delta = {small:g} its nuclear norm is at most 0.95 of that of the least-squares solution",
            Source(paper="Sec. 4, the potential is like l1 for small delta",
                ours="one part in twenty, the smallest difference that matters", tolerance="one part in twenty"),
            largest(nuclear)(rich), at_most(0.95), Control(f"at delta = {large:g}", smallest(nuclear)(lazy)),
            range=POSITIVE),
    )  # fmt: skip


def _deep(s: RichLazySettings) -> Sequence[Claim]:
    deeper = at("deep", layers=[layers for layers in s.layers if layers > 2] or s.layers)
    end = value("end")
    return (
        Claim("deep-potential",
            "A balanced network of L layers ends where |beta|^((L + 1) / L) tilted by its start is least (largest gap)",
            Source(paper="Sec. 4, depth changes the power", derived=f"{THEORY}_wide.deep_null_coordinate",
                tolerance="ours: 1e-3, for an integrator"),
            gap(end, value("foreseen"))(at("deep")), at_most(1e-3),
            Control("the potential of two layers, for deeper ones", gap(end, value("shallow"))(deeper)),
            range=POSITIVE),
        Claim("deep-conserved", "It stays balanced: each pair of layers conserves W^T W - W' W'^T (largest change)",
            Source(paper="Sec. 4", value="no change", tolerance="a hundred times the integrator's, of 1e-9"),
            largest(DRIFT)(at("deep")), at_most(1e-7),
            Control("W^T W + W' W'^T (smallest change)", smallest(GROWN)), range=POSITIVE),
    )  # fmt: skip


# -- ReLU networks -------------------------------------------------------------------------------------------


def _relu(s: RichLazySettings) -> Sequence[Claim]:
    first, last = s.checkpoints[0], s.checkpoints[-1]
    loss, flips = value("train_loss", step=first), value("flips", step=last)
    moved, test = value("moved", step=last), value("test_loss", step=last)
    up, balanced, down = 1.0, 0.0, -1.0

    def compare(
        name: str, sentence: str, source: Source, measure: Measure, one: float, other: float, expected: Expectation
    ) -> Claim:
        def ratio(scale: float) -> Measured:
            return measure(at("corners", scale=scale, balance=one)) / measure(at("corners", scale=scale, balance=other))

        control = Control(f"at scale tau = {LARGE:g}", ratio(LARGE))
        return Claim(name, sentence, source, ratio(SMALL), expected, control, range=POSITIVE)

    def pilot(place: str, found: str, where: str = "five seeds at this size, not recorded, tau = 0.1") -> Source:
        tolerance = "a round number on the safe side of the pilot's"
        return Source(paper=f"{place}, in direction", pilot=where, value=found, tolerance=tolerance)

    return (
        compare("upstream-learns-fast",
            f"At tau = 0.1 an upstream student's loss (delta = 1) is, after {first} steps, "
            "less than an eighth of a balanced one's (ratio)",
            pilot("Fig. 1", "losses of 0.0003 to 0.0013 upstream, 0.011 to 0.016 balanced"), loss, balanced, up,
            at_least(8.0)),
        compare("downstream-learns-slowly", "... and less than a fifteenth of a downstream one's (ratio)",
            pilot("Fig. 1", "losses of 0.0003 to 0.0013 upstream, 0.021 to 0.027 downstream"), loss, down, up,
            at_least(15.0)),
        compare("upstream-changes-patterns",
            f"After {last} steps its activation patterns have changed more than twice as "
            "much as a downstream student's (ratio)",
            pilot("Figs. 1 and 5", "8.7 to 9.6 neurons upstream, 2.7 to 3.5 downstream"), flips, up, down,
            at_least(2.0)),
        compare("upstream-moves-little", "... while its parameters have moved less than half as far (ratio)",
            pilot("Fig. 5, caption", "0.52 upstream, 3.06 downstream", "one seed at the paper's size, 10,000 steps"),
            moved, up, down, at_most(0.5)),
        compare("upstream-generalizes",
            "... and a downstream student's test loss is at least 1.5 times its own (ratio)",
            pilot("Fig. 1", "losses of 7e-5 to 0.0017 upstream, 0.003 to 0.008 downstream"), test, down, up,
            at_least(1.5)),
        Claim("large-is-lazy", f"At tau = 1, delta = 0 the kernel has moved by less than 0.02 after {last} steps",
            Source(paper="Fig. 1, in direction", ours="a fiftieth of what a kernel can move",
                tolerance="that fiftieth"),
            value("kernel_distance", step=last)(at("corners", scale=LARGE, balance=0.0)), at_most(0.02),
            Control("at tau = 0.1", at("corners", scale=SMALL, balance=0.0)), range=UNIT),
    )  # fmt: skip


def _conserved(s: RichLazySettings) -> Sequence[Claim]:
    return (
        Claim("neurons-conserved", "In all six cells every ReLU neuron keeps a^2 - |w|^2 to 0.01 (largest change)",
            Source(paper="Sec. 5", value="no change under gradient flow",
                tolerance="ours: a hundredth of delta = 1, for descent's finite steps"),
            largest(DRIFT)(at("corners")), at_most(0.01),
            Control("a^2 + |w|^2, which nothing keeps (smallest over cells)", smallest(GROWN)), range=POSITIVE),
    )  # fmt: skip


# -- modular addition ----------------------------------------------------------------------------------------


def _addition(s: RichLazySettings) -> Sequence[Claim]:
    source = Source(paper="abstract, in direction", ours=GROKS, tolerance="a tenth of the steps")
    groks = steps_to("test_accuracy", 0.9)

    def sooner(name: str, knob: str, factor: float) -> Measured:
        return groks(at(name, **{knob: 1.0})) / groks(at(name, **{knob: factor}))

    def embedding_sooner(factor: float) -> Measured:
        return groks(at("readout", readout=factor)) / groks(at("embedding", embedding=factor))

    return (
        Claim("grokking-upstream",
            "With one and the same first function, first weights moved fourfold upstream make a network grok modular "
            "addition sooner (steps over steps)", source, sooner("same_function", "upstream", FOURFOLD),
            at_least(1.1), Control("moved fourfold downstream", sooner("same_function", "upstream", QUARTER)),
            range=POSITIVE),
        Claim("grokking-embedding",
            "A quarter of the embedding's first weights alone makes it grok sooner (steps over steps)", source,
            sooner("embedding", "embedding", QUARTER), at_least(1.1),
            Control("the same small first function by a small readout", sooner("readout", "readout", QUARTER)),
            range=POSITIVE),
        Claim("grokking-at-small-scale",
            "Of two starts with one small first function, the one with the small embedding groks sooner than the one "
            "with the small readout (steps over steps)", source, embedding_sooner(QUARTER), at_least(1.1),
            Control("four times as large instead, where the changed embedding is downstream",
                embedding_sooner(FOURFOLD)), range=POSITIVE),
    )  # fmt: skip
