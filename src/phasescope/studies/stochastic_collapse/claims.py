"""The claims of the study ``stochastic-collapse``: a measure at a cell, an expectation fixed here, and a control.

Controls are the nearest other explanation in the same run: noise just on the other side of the threshold, the same
descent without noise, full batches under the same weight decay and the same schedule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, Measured, at, at_least, at_most, between, near, value
from phasescope.studies.stochastic_collapse.settings import MU, NOISES, VALUES, CollapseSettings
from phasescope.theory import stochastic_collapse
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

STRONG = (1.9, 2.0, 2.25, 2.5)
CONSTANT = "noise of the same size that does not vanish at 0"
WALKERS, NEURONS = "fraction of walkers", "fraction of neurons"
FRACTION, CHANGE, POSITIVE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)  # what effects can be
THEORY = "theory.stochastic_collapse"
TWENTIETH = "one neuron in twenty, the smallest difference that matters"


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
    """Return the slope of a straight line through ``values`` against ``time``, from the part ``begin`` of it on."""
    late = values.isel(time=values.time.values >= begin * float(values.time.values[-1]))
    lines = late.polyfit("time", 1)["polyfit_coefficients"]
    return xr.DataArray(lines.sel(degree=1, drop=True))


def _quartic() -> Sequence[Claim]:
    mean = stochastic_collapse.quartic_mean_absolute(MU, 1.0)
    weak, below, above = (at("quartic", noise="vanishing", zeta=zeta) for zeta in (1.0, 1.5, 2.0))
    just_below, just_above = (at("quartic", noise="vanishing", zeta=zeta) for zeta in (1.7, 1.8))
    collapsed = around("collapsed", 100.0)
    return (
        Claim("quartic-mean", f"Below the threshold, at zeta = 1, E|x| has its stationary value, {mean:.3f}",
            Source(paper="Fig. 1, stationary density", derived=f"{THEORY}.quartic_mean_absolute", value="0.886",
                tolerance="ours: 2 %, for steps of finite length and a finite number of walkers"),
            value("mean_absolute")(weak), near(mean, 0.02),
            Control(CONSTANT, at("quartic", noise="constant", zeta=1.0)), range=POSITIVE),
        Claim("quartic-survives", "Below the threshold, at zeta = 1.5, no walker has x^2 < 1e-30 by time 100",
            Source(code="nbs/Fig1.ipynb, the fraction of paths with theta^2 < 1e-30 over zeta", checked=True,
                value="0 at zeta = 1.5", tolerance="ours: one walker in a thousand"),
            collapsed(below), at_most(0.001), Control("zeta = 1.8, just above the threshold 1.732", just_above),
            unit=WALKERS, range=FRACTION),
        Claim("quartic-collapses",
            "Above the threshold, at zeta = 2, more than four in five walkers have x^2 < 1e-30 by time 100",
            Source(paper="Fig. 1", pilot="the same walk at zeta = 2 with 40,000 steps of 0.0025; its seeds were not "
                "recorded", value="a fraction of 0.88", tolerance="ours: a tenth below the pilot's"),
            collapsed(above), at_least(0.8), Control("zeta = 1.7, just below the threshold 1.732", just_below),
            unit=WALKERS, range=FRACTION),
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
    # What decides in the paper is that the noise vanishes on the set: noise as large that does not is the rival.
    constant = Control(CONSTANT, at("quartic", noise="constant", zeta=STRONG))
    return (
        Claim("quartic-slope",
            "Above the threshold the median of ln x^2 falls at the rate 2 (mu - zeta^2 / 2): the largest relative "
            f"error over zeta = {', '.join(f'{zeta:g}' for zeta in STRONG)}",
            Source(paper="Sec. 4, attractivity", derived=f"{THEORY}.collapse_rate",
                tolerance="ours: 15 %, of which steps of 0.0025 take up to 5 % and a thousand walkers' noise the rest"),
            slope_error(strong), at_most(0.15), constant, range=POSITIVE),
        Claim("quartic-threshold", "The slopes vanish at the threshold sqrt(2 mu) = 1.732",
            Source(code="nbs/Fig1.ipynb, the line at zeta = sqrt(2 mu)", checked=True, value="1.732",
                tolerance="ours: 5 % below and 4 % above; steps of 0.0025 lower it by 0.005"),
            threshold(strong), between(1.65, 1.8), constant, unit="zeta", range=POSITIVE),
    )  # fmt: skip


def pace(rate: str) -> Measure:
    """Return the slope of the median of ln |w| over a rate of theory, its mean over levels of noise."""

    def read(cell: xr.Dataset) -> xr.DataArray:
        return (slope(cell["log_size"], 0.3) / cell[rate]).mean("level", skipna=False)

    return Measure(read, f"slope of the median of ln |w| over {rate}")


def _neuron() -> Sequence[Claim]:
    def source(says: str) -> Source:
        return Source(code="nbs/Fig2.ipynb, the line of Theorem 5.1 and the fraction of paths with |w| < 0.01",
            checked=True, value=f"eta zeta^2 phi'(0) / 2 = sum x y / sum x^2 parts growth from decay: {says}",
            tolerance="ours: one walker in twenty, the smallest change that matters")  # fmt: skip

    change = final("near") - around("near", 20.0)
    above, below, collapsing = (at("neuron", level=level) for level in (1.2, 0.8, (1.5, 2.0)))
    return (
        Claim("neuron-above",
            "At 1.2 times the threshold the fraction of walkers with |w| < 0.01 grows, from time 20 to the end",
            source("it grows"), change(above), at_least(0.05),
            Control("0.9 times the threshold", at("neuron", level=0.9)), unit=WALKERS, range=CHANGE),
        Claim("neuron-below", "At 0.8 times the threshold it falls", source("it falls"), change(below),
            at_most(-0.05), Control("1.1 times the threshold", at("neuron", level=1.1)), unit=WALKERS, range=CHANGE),
        Claim("neuron-rate",
            "At 1.5 and 2 times the threshold ln |w| falls at the exact rate of the walk's steps: slope of the median "
            "over rate", Source(paper="Thm 5.1", derived=f"{THEORY}.neuron_rates",
                tolerance="half of the tenth by which the rate of steps of 0.01 and that of infinitesimal ones differ"),
            pace("step_rate")(collapsing), near(1.0, 0.05),
            Control("the rate of the stochastic differential equation, which has no steps", pace("rate"))),
    )  # fmt: skip


def critical_values(s: CollapseSettings) -> dict[float, float]:
    """Return the singular value s_c below which modes are lost, by label noise."""
    return {sigma: stochastic_collapse.critical_singular_value(s.learning_rate / s.samples, sigma) for sigma in NOISES}


def late(reading: str, cell: xr.Dataset) -> xr.DataArray:
    """Return the mean of a reading over the later half of the time."""
    time = cell.time.values
    return cell[reading].isel(time=time > 0.5 * time[-1]).mean("time", skipna=False)


def _modes(s: CollapseSettings) -> Sequence[Claim]:
    critical = critical_values(s)
    weaker, strongest = NOISES[1:]
    deep = [v for v in VALUES if v < 0.7 * critical[strongest]] or [VALUES[0]]

    def distance(reading: str) -> Measure:
        words = f"largest distance of {reading} strengths of modes from max(s - {critical[strongest]:.3f}, 0)"

        @partial(Measure, words=words)
        def read(cell: xr.Dataset) -> xr.DataArray:
            noise = np.sqrt(2 * critical[strongest])
            law = cell["value"].copy(
                data=[stochastic_collapse.quartic_mean_square(v, noise) for v in cell["value"].values]
            )
            return abs(late(reading, cell) - law).max("value", skipna=False)

        return read

    @partial(Measure, words="least fraction of walkers lost at the last time")
    def lost(cell: xr.Dataset) -> xr.DataArray:
        return cell["lost"].isel(time=-1).min("value", skipna=False)

    return (
        Claim("modes-strength",
            f"Label noise {strongest:g} lowers each singular value s of the student to max(s - s_c, 0), s_c = "
            f"{critical[strongest]:.3f}: the largest distance of the mean over walkers and the later half of the time, "
            f"over {len(VALUES)} values",
            Source(paper="Sec. 6, Fig. 5", derived=f"{THEORY}.quartic_mean_square",
                tolerance="a pilot of 256 walkers and 20,000 steps, whose largest distance was 0.053"),
            distance("strength")(at("modes", label_noise=strongest)), at_most(0.06),
            Control("the typical mode: the geometric mean over walkers", distance("typical")), range=POSITIVE),
        Claim("modes-lost",
            f"Of the modes below 0.7 s_c ({', '.join(f'{v:g}' for v in deep)}) more than 95 % are lost",
            Source(paper="Sec. 6, Fig. 5", ours="nearly all, nineteen in twenty, that far below the critical value",
                tolerance="one walker in twenty, which fluctuates or has not arrived"),
            lost(at("modes", label_noise=strongest, value=deep)), at_least(0.95),
            Control(f"label noise {weaker:g}, whose s_c is {critical[weaker]:.3f}",
                at("modes", label_noise=weaker, value=deep)),
            unit=WALKERS, range=FRACTION),
    )  # fmt: skip


def pair(rate: float, sigma: float, points: str = "drawn") -> Cell:
    """Return two neurons that train at a learning rate under label noise ``sigma``."""
    return at("pair", points=points, condition=f"{rate:g}, {sigma:g}")


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

    def noisier(points: str) -> Measured:
        return closing(pair(0.1, 0.2, points)) - closing(pair(0.1, 0.1, points))

    def source(says: str) -> Source:
        return Source(code="nbs/one_hidden_layer/toy_model.ipynb and the figure in it, of one data set", checked=True,
            value=says, tolerance="ours: a decade, the smallest difference that matters")  # fmt: skip

    noise = source("|w1 - w2|^2 falls faster at sigma = 0.2 than at 0.1, and stays at 0")
    return (
        Claim("equal-stays-equal",
            "Two neurons that start equal stay equal to the last bit, with and without label noise (the floor is -307)",
            Source(paper="abstract: invariant sets remain unmodified by SGD", value="a distance of 0",
                tolerance="none: 0 is written as the smallest float64"),
            farthest(at("equal", gap=0.0)), at_most(-300.0),
            Control("a thousandth of the usual distance at the start", at("equal", gap=0.001)),
            unit="log10 squared distance", deterministic=True),
        Claim("pair-noise",
            "More label noise draws two neurons together faster, on eight points drawn for each seed: decades of "
            "relative squared distance, sigma 0.2 less 0.1", noise, noisier("drawn"), at_most(-1.0),
            Control("no noise, by how much they come nearer at the same rate", closing(pair(0.1, 0.0))),
            unit="decades"),
        Claim("pair-notebook", "So it does on the eight points of the authors' notebook", noise, noisier("notebook"),
            at_most(-1.0), Control("no noise", closing(pair(0.1, 0.0, "notebook")), deterministic=True),
            unit="decades", counts="draws of label noise"),
        Claim("pair-rate",
            "A larger learning rate draws two neurons together faster, on points drawn for each seed: decades, rate "
            "0.3 less 0.1", source("|w1 - w2|^2 falls faster at rate 0.3 than at 0.1"), faster(0.3, 0.1),
            at_most(-1.0), Control("no noise, at the same two rates", faster(0.3, 0.0)), unit="decades"),
        Claim("pair-largest-rate", "So does the largest learning rate of the notebook, 0.5 less 0.1",
            Source(ours="in the notebook's figure neurons stay apart at 0.5; whether that is a matter of its eight "
                "points is asked on others", tolerance="ours: a decade, as at 0.3"),
            faster(0.5, 0.1), at_most(-1.0), Control("no noise, at the same two rates", faster(0.5, 0.0)),
            unit="decades"),
    )  # fmt: skip


def networks(until: float, case: str = "both") -> Cell:
    """Return networks on batches whose learning rate is large until a fraction of the steps."""
    return at("networks", until=until, case=case)


def full(until: float, case: str = "no label noise") -> Cell:
    """Return networks on full batches, of the same weight decay, whose learning rate has the same schedule."""
    return at("full_batch", until=until, case=case)


@partial(Measure, words="independent neurons at the last step")
def independent(cell: xr.Dataset) -> xr.DataArray:
    """Return the fraction of independent neurons at the end, its mean over layers."""
    return cell["independent"].isel(step=-1).mean("layer", skipna=False)


@partial(Measure, words="independent neurons before training")
def untrained(cell: xr.Dataset) -> xr.DataArray:
    """Return the fraction of independent neurons at the start, its mean over layers."""
    return cell["independent"].isel(step=0).mean("layer", skipna=False)


def _schedules(s: CollapseSettings) -> Sequence[Claim]:
    accuracy, when = final("test_accuracy", "step"), f"at {s.late:g} and not at {s.early:g} of the steps"
    rival = "full batches without label noise, under the same weight decay and schedule"
    return (
        Claim("later-drop-fewer-neurons",
            f"A later drop of the learning rate, {when}, leaves fewer independent neurons",
            Source(code="nbs/FIG6.ipynb and the figures in it", checked=True, tolerance=TWENTIETH,
                value="of drops at 10,000, 20,000 and 40,000 steps, the later leave fewer from the eighth layer on"),
            independent(networks(s.late)) - independent(networks(s.early)), at_most(-0.05),
            Control(rival, independent(full(s.late)) - independent(full(s.early))), unit=NEURONS, range=CHANGE),
        Claim("later-drop-more-accurate", f"A later drop, {when}, leads to a higher test accuracy",
            Source(code="nbs/FIG6.ipynb and the figures in it", checked=True,
                value="about 0.5 % between drops at 10,000 and 40,000 steps, VGG-16 on CIFAR-10",
                tolerance="as large as there; half a per cent is also the smallest difference that matters"),
            accuracy(networks(s.late)) - accuracy(networks(s.early)), at_least(0.005),
            Control(rival, accuracy(full(s.late)) - accuracy(full(s.early))), unit="fraction of images", range=CHANGE),
    )  # fmt: skip


def _causes(s: CollapseSettings) -> Sequence[Claim]:
    def less(than: Cell) -> Measured:
        return independent(networks(s.late)) - independent(than)

    alone = "whether noise is the cause; by batch size the figure of nbs/FIG3_FIG4.ipynb does not go one way"
    averaged = Control(
        "label noise on full batches, where its gradient is averaged over all images",
        independent(full(s.late, "both")) - independent(full(s.late)),
    )
    return (
        Claim("noise-fewer-neurons",
            f"Batches of {s.batch} and label noise {s.label_noise:g} leave fewer independent neurons than full batches "
            "without it, under the same weight decay, where the rate drops late",
            Source(paper="abstract", ours=alone, tolerance=TWENTIETH), less(full(s.late)), at_most(-0.05), averaged,
            unit=NEURONS, range=CHANGE),
        Claim("label-noise-fewer-neurons",
            f"Label noise {s.label_noise:g} leaves fewer independent neurons than none, where the rate drops late",
            Source(code="nbs/FIG3_FIG4.ipynb and the figures in it", checked=True, tolerance=TWENTIETH,
                value="at label noise 0.8 fewer than at 0, in most layers of VGG-16 and of ResNet-18"),
            less(networks(s.late, "no label noise")), at_most(-0.05), averaged, unit=NEURONS, range=CHANGE),
        Claim("decay-fewer-neurons",
            f"Weight decay {s.weight_decay:g} leaves fewer independent neurons than none, where the rate drops late",
            Source(ours=f"whether decay, not noise, is the cause; {TWENTIETH}", tolerance=TWENTIETH),
            less(networks(s.late, "no weight decay")), at_most(-0.05),
            Control("noise alone: what batches and label noise do without decay, trained less untrained",
                (independent - untrained)(networks(s.late, "no weight decay"))), unit=NEURONS, range=CHANGE),
    )  # fmt: skip
