"""The claims of the study ``stochastic-collapse``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, between, near, value
from phasescope.studies.stochastic_collapse.settings import MU, NOISES, VALUES, CollapseSettings
from phasescope.theory import stochastic_collapse
from phasescope.verdict import Claim, Control
from phasescope.vocabulary import Array

CHEN = "Chen et al. 2023"
STRONG = (1.9, 2.0, 2.25, 2.5)
CONSTANT = "noise of the same size that does not vanish at 0"


def claims(s: CollapseSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_quartic(), *_slopes(), *_neuron(), *_modes(s), *_pairs(), *_schedules(s), *_causes(s))


def final(reading: str, along: str = "time") -> Measure:
    """Return a reading at the last record."""
    return Measure(lambda cell: cell[reading].isel({along: -1}), f"{reading} at the last {along}")


def around(reading: str, time: float) -> Measure:
    """Return a reading at the record nearest to a time."""
    words = f"{reading} at the record nearest to time {time:g}"
    return Measure(lambda cell: cell[reading].sel(time=time, method="nearest"), words)


def slope(values: xr.DataArray, begin: float) -> xr.DataArray:
    """Return the slope of a straight line through ``values`` against ``time``, from the share ``begin`` of it on."""
    late = values.isel(time=values.time.values >= begin * float(values.time.values[-1]))
    lines = late.polyfit("time", 1)["polyfit_coefficients"]
    return xr.DataArray(lines.sel(degree=1, drop=True))


def _quartic() -> Sequence[Claim]:
    mean = stochastic_collapse.quartic_mean_absolute(MU, 1.0)
    weak, below, above = (at("quartic", noise="vanishing", zeta=zeta) for zeta in (1.0, 1.5, 2.0))
    return (
        Claim("quartic-mean", f"Below the threshold, at zeta = 1, E|x| has its stationary value, {mean:.3f}",
            f"{CHEN}, Fig. 1, stationary density; claim 5.1", value("mean_absolute")(weak), near(mean, 0.02),
            Control(CONSTANT, at("quartic", noise="constant", zeta=1.0))),
        Claim("quartic-survives", "Below the threshold, at zeta = 1.5, no walker collapses",
            f"{CHEN}, Fig. 1; claim 5.2", final("collapsed")(below), at_most(0.001),
            Control("zeta = 2, above it", above), unit="share of walkers"),
        Claim("quartic-collapses",
            "Above the threshold, at zeta = 2, more than four in five walkers have x^2 < 1e-30 by time 100",
            f"{CHEN}, Fig. 1; claim 5.2", around("collapsed", 100.0)(above), at_least(0.8),
            Control(CONSTANT, final("collapsed")(at("quartic", noise="constant", zeta=2.0))), unit="share of walkers"),
    )  # fmt: skip


def _falls(cell: xr.Dataset) -> xr.DataArray:
    """Return the late slope of the median of ln x^2, 1 / time."""
    return slope(cell["log_square"] * np.log(10), 0.5)


@partial(Measure, words="largest relative error of the slopes of ln x^2")
def slope_error(cell: xr.Dataset) -> xr.DataArray:
    """Return the largest relative distance of the slopes from 2 (mu - zeta^2 / 2)."""
    expected = cell["zeta"].copy(data=[2 * stochastic_collapse.collapse_rate(MU, zeta) for zeta in cell.zeta.values])
    return abs(_falls(cell) / expected - 1).max("zeta", skipna=False)


@partial(Measure, words="zeta at which the slopes of ln x^2 vanish")
def threshold(cell: xr.Dataset) -> Array:
    """Return where a line through the slopes against zeta^2 is zero; inf where they do not fall by 0.5."""
    slopes = _falls(cell).transpose("zeta", "seed").values
    level, change = np.polynomial.polynomial.polyfit(np.square(cell.zeta.values), slopes, 1)
    falls = change < -0.5
    return np.where(falls, np.sqrt(np.maximum(-level / np.where(falls, change, -1.0), 0)), np.inf)


def _slopes() -> Sequence[Claim]:
    strong = at("quartic", noise="vanishing", zeta=STRONG)
    constant = Control(CONSTANT, at("quartic", noise="constant", zeta=STRONG))
    return (
        Claim("quartic-slope",
            "Above the threshold the median of ln x^2 falls at the rate 2 (mu - zeta^2 / 2): the largest relative "
            f"error over zeta = {', '.join(f'{zeta:g}' for zeta in STRONG)}",
            f"{CHEN}, attractivity near an invariant set; claim 5.3", slope_error(strong), at_most(0.15), constant),
        Claim("quartic-threshold", "The slopes vanish at the threshold sqrt(2 mu) = 1.732",
            f"{CHEN}, Fig. 1; claim 5.4", threshold(strong), between(1.65, 1.8), constant, unit="zeta"),
    )  # fmt: skip


def _neuron() -> Sequence[Claim]:
    below, above = at("neuron", level=0.8), at("neuron", level=1.2)
    change = final("near") - around("near", 20.0)

    @partial(Measure, words="slope of the median of ln |w| over its rate")
    def pace(cell: xr.Dataset) -> xr.DataArray:
        return (slope(cell["log_size"], 0.3) / cell["rate"]).mean("level", skipna=False)

    return (
        Claim("neuron-above",
            "At 1.2 times the threshold the share of walkers with |w| < 0.01 grows in time, from time 20 to the end",
            f"{CHEN}, Thm 5.1, Fig. 2; claim 5.5; the margin is ours", change(above), at_least(0.05),
            Control("0.8 times the threshold", below), unit="share of walkers"),
        Claim("neuron-below", "At 0.8 times the threshold it falls",
            f"{CHEN}, Thm 5.1, Fig. 2; claim 5.5; the margin is ours", change(below), at_most(-0.05),
            Control("1.2 times the threshold", above), unit="share of walkers"),
        Claim("neuron-rate",
            "At 1.5 and 2 times the threshold ln |w| falls at the exact rate: slope of the median over rate",
            "derived here for Chen et al. 2023, Thm 5.1; margin as in claim 5.3",
            pace(at("neuron", level=(1.5, 2.0))), near(1.0, 0.15),
            Control("0.5 times the threshold, where the rate is positive", at("neuron", level=(0.5,)))),
    )  # fmt: skip


def critical_values(s: CollapseSettings) -> dict[float, float]:
    """Return the singular value s_c below which modes are lost, by label noise."""
    return {sigma: stochastic_collapse.critical_singular_value(s.learning_rate / s.samples, sigma) for sigma in NOISES}


def late_strength(cell: xr.Dataset) -> xr.DataArray:
    """Return the strength of modes, its mean over the later half of the time."""
    time = cell.time.values
    return cell["strength"].isel(time=time > 0.5 * time[-1]).mean("time", skipna=False)


def _modes(s: CollapseSettings) -> Sequence[Claim]:
    critical = critical_values(s)
    none, weaker, strongest = NOISES
    deep = [v for v in VALUES if v < 0.7 * critical[strongest]] or [VALUES[0]]

    @partial(Measure, words=f"largest distance of the strength of modes from max(s - {critical[strongest]:.3f}, 0)")
    def distance(cell: xr.Dataset) -> xr.DataArray:
        noise = np.sqrt(2 * critical[strongest])
        law = cell["value"].copy(data=[stochastic_collapse.quartic_mean_square(v, noise) for v in cell["value"].values])
        return abs(late_strength(cell) - law).max("value", skipna=False)

    @partial(Measure, words="least share of walkers lost at the last time")
    def lost(cell: xr.Dataset) -> xr.DataArray:
        return cell["lost"].isel(time=-1).min("value", skipna=False)

    return (
        Claim("modes-strength",
            f"Label noise {strongest:g} lowers each singular value s of the student to max(s - s_c, 0), s_c = "
            f"{critical[strongest]:.3f}: the largest distance over {len(VALUES)} values, mean over the later half",
            f"{CHEN}, Sec. 6, Fig. 5 (h sigma^2 / 2); claim 5.6", distance(at("modes", label_noise=strongest)),
            at_most(0.06), Control("the same teacher without label noise", at("modes", label_noise=none))),
        Claim("modes-lost",
            f"Of the modes below 0.7 s_c ({', '.join(f'{v:g}' for v in deep)}) more than 95 % are lost",
            f"{CHEN}, Sec. 6, Fig. 5; claim 5.6", lost(at("modes", label_noise=strongest, value=deep)),
            at_least(0.95),
            Control(f"label noise {weaker:g}, whose s_c is {critical[weaker]:.3f}",
                at("modes", label_noise=weaker, value=deep)),
            unit="share of walkers"),
    )  # fmt: skip


def pair(rate: float, sigma: float) -> Cell:
    """Return two neurons that train at a learning rate under label noise ``sigma``."""
    return at("pair", condition=f"{rate:g}, {sigma:g}")


@partial(Measure, words="change of the log distance over the later four fifths of training")
def closing(cell: xr.Dataset) -> xr.DataArray:
    """Return by how many decades the squared distance changed over the later four fifths of training."""
    found, step = cell["log_distance"], cell.step.values
    return found.isel(step=-1) - found.isel(step=int(np.argmax(step >= 0.2 * float(step[-1]))))


@partial(Measure, words="largest log distance")
def farthest(cell: xr.Dataset) -> xr.DataArray:
    """Return the largest log distance over conditions and steps."""
    return cell["log_distance"].max(("condition", "step"))


def _pairs() -> Sequence[Claim]:
    def faster(rate: float, sigma: float) -> Measured:
        return closing(pair(rate, sigma)) - closing(pair(0.1, sigma))

    source = f"{CHEN}, nbs/one_hidden_layer of its repository; claim 5.8; the margin is ours"
    return (
        Claim("equal-stays-equal",
            "Two neurons that start equal stay equal to the last bit, with and without label noise (the floor is -307)",
            f"{CHEN}, invariant sets; claim 5.7", farthest(at("equal", gap=0.0)), at_most(-300.0),
            Control("a thousandth of the usual distance at the start", at("equal", gap=0.001)),
            unit="log10 squared distance"),
        Claim("pair-noise",
            "More label noise draws two neurons together faster: decades of squared distance, sigma 0.2 less 0.1",
            source, closing(pair(0.1, 0.2)) - closing(pair(0.1, 0.1)), at_most(-1.0),
            Control("no noise", closing(pair(0.1, 0.0))), unit="decades"),
        Claim("pair-rate",
            "A larger learning rate draws two neurons together faster: decades of squared distance, rate 0.3 less 0.1",
            source, faster(0.3, 0.1), at_most(-1.0), Control("no noise", faster(0.3, 0.0)), unit="decades"),
        Claim("pair-largest-rate", "So does the largest learning rate of the notebook, 0.5 less 0.1", source,
            faster(0.5, 0.1), at_most(-1.0),
            Control("no noise, at rate 0.3 because it diverges at 0.5", faster(0.3, 0.0)), unit="decades"),
    )  # fmt: skip


def networks(until: float, case: str = "both") -> Cell:
    """Return networks whose learning rate is large until a share of the steps."""
    return at("networks", until=until, case=case)


def _independent(record: int, when: str) -> Measure:
    """Return the share of independent neurons at a record, its mean over layers."""
    return Measure(
        lambda cell: cell["independent"].isel(step=record).mean("layer", skipna=False), f"independent neurons {when}"
    )


TRAINED, UNTRAINED = _independent(-1, "at the last step"), _independent(0, "at the first step")


def _schedules(s: CollapseSettings) -> Sequence[Claim]:
    def later(measure: Measure) -> Measured:
        return measure(networks(s.late)) - measure(networks(s.early))

    when = f"at {s.late:g} and not at {s.early:g} of the steps"
    return (
        Claim("later-drop-fewer-neurons",
            f"A later drop of the learning rate, {when}, leaves fewer independent neurons",
            f"{CHEN}, Fig. 6; the margin is ours", later(TRAINED), at_most(-0.05),
            Control("the small learning rate throughout, trained less untrained", (TRAINED - UNTRAINED)(networks(0.0))),
            unit="share of neurons"),
        Claim("later-drop-more-accurate", f"A later drop, {when}, leads to a higher test accuracy",
            f"{CHEN}, Fig. 6; the margin is ours", later(final("test_accuracy", "step")), at_least(0.005),
            Control("training accuracy", later(final("train_accuracy", "step"))), unit="share of images"),
    )  # fmt: skip


def _causes(s: CollapseSettings) -> Sequence[Claim]:
    def less(until: float, case: str) -> Measured:
        return TRAINED(networks(until)) - TRAINED(networks(until, case))

    return (
        Claim("label-noise-fewer-neurons",
            f"Label noise {s.label_noise:g} leaves fewer independent neurons than none, where the rate drops late",
            f"{CHEN}, Figs. 3 and 4; the margin is ours", less(s.late, "no label noise"), at_most(-0.05),
            Control("the small learning rate throughout", less(0.0, "no label noise")), unit="share of neurons"),
        Claim("decay-fewer-neurons",
            f"Weight decay {s.weight_decay:g} leaves fewer independent neurons than none, where the rate drops late",
            "asked here; the margin is ours", less(s.late, "no weight decay"), at_most(-0.05),
            Control("the small learning rate throughout", less(0.0, "no weight decay")), unit="share of neurons"),
    )  # fmt: skip
