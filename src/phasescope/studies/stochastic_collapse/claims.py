"""The claims of the study ``stochastic-collapse``: effect per seed, expectation fixed here, control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.lab.study import part
from phasescope.studies.stochastic_collapse.settings import (
    MU,
    NOISES,
    VALUES,
    CollapseSettings,
)
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

CHEN = "Chen et al. 2023"
STRONG = (1.9, 2.0, 2.25, 2.5)


def claims(s: CollapseSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    groups = (_stationary, _collapse, _neuron, _modes, _pairs, _networks)
    return tuple(claim for group in groups for claim in group(s))


def quartic(data: xr.Dataset, noise: str = "vanishing") -> xr.Dataset:
    """Return the quartic's walks under one kind of noise."""
    return part(data, "quartic").sel(noise=noise, drop=True)


def slope(values: xr.DataArray, begin: float) -> xr.DataArray:
    """Return the slope of a straight line through ``values`` against ``time``, from the share ``begin`` of it on."""
    late = values.isel(time=values.time.values >= begin * float(values.time.values[-1]))
    lines = late.polyfit("time", 1)["polyfit_coefficients"]
    return xr.DataArray(lines.sel(degree=1, drop=True))


def _values(found: xr.DataArray) -> Array:
    return np.asarray(found.transpose("seed").values, np.float64)


def quartic_slopes(data: xr.Dataset, noise: str = "vanishing") -> xr.DataArray:
    """Return the late slope of the median of ln x^2 per zeta, 1 / time."""
    return slope(quartic(data, noise).log_square.sel(zeta=list(STRONG)) * np.log(10), 0.5)


def _slope_error(data: xr.Dataset, noise: str = "vanishing") -> Array:
    """Return the largest relative distance of the slopes from 2 (mu - zeta^2 / 2)."""
    found = quartic_slopes(data, noise)
    rates = [2 * theory.collapse_rate(MU, zeta) for zeta in STRONG]
    expected = xr.DataArray(rates, dims="zeta", coords={"zeta": list(STRONG)})
    return _values(abs(found / expected - 1).max("zeta"))


def _threshold(data: xr.Dataset, noise: str = "vanishing") -> Array:
    """Return the zeta at which a line through the slopes against zeta^2 is zero; inf where they do not fall by 0.5."""
    found = quartic_slopes(data, noise).transpose("seed", "zeta").values
    lines = np.polynomial.polynomial.polyfit(np.square(STRONG), found.T, 1)
    falls = lines[1] < -0.5
    return np.where(falls, np.sqrt(np.maximum(-lines[0] / np.where(falls, lines[1], -1.0), 0)), np.inf)


def _stationary(s: CollapseSettings) -> Sequence[Claim]:
    return (
        Claim(
            "quartic-mean",
            "Below the threshold, at zeta = 1, E|x| has its stationary value, "
            f"{theory.quartic_mean_absolute(MU, 1.0):.3f}",
            f"{CHEN}, Fig. 1, stationary density; claim 5.1",
            lambda d: _values(quartic(d).mean_absolute.sel(zeta=1.0)),
            Expectation.near(theory.quartic_mean_absolute(MU, 1.0), 0.02),
            Control(
                "noise of the same size that does not vanish at 0",
                lambda d: _values(quartic(d, "constant").mean_absolute.sel(zeta=1.0)),
            ),
        ),
        Claim(
            "quartic-survives",
            "Below the threshold, at zeta = 1.5, no walker collapses",
            f"{CHEN}, Fig. 1; claim 5.2",
            lambda d: _values(quartic(d).collapsed.sel(zeta=1.5).isel(time=-1)),
            Expectation.at_most(0.001),
            Control("zeta = 2, above it", lambda d: _values(quartic(d).collapsed.sel(zeta=2.0).isel(time=-1))),
            unit="share of walkers",
        ),
    )


def _collapse(s: CollapseSettings) -> Sequence[Claim]:
    constant = "noise of the same size that does not vanish at 0"
    return (
        Claim(
            "quartic-collapses",
            "Above the threshold, at zeta = 2, more than four in five walkers have x^2 < 1e-30 by time 100",
            f"{CHEN}, Fig. 1; claim 5.2",
            lambda d: _values(quartic(d).collapsed.sel(zeta=2.0).sel(time=100.0, method="nearest")),
            Expectation.at_least(0.8),
            Control(constant, lambda d: _values(quartic(d, "constant").collapsed.sel(zeta=2.0).isel(time=-1))),
            unit="share of walkers",
        ),
        Claim(
            "quartic-slope",
            "Above the threshold the median of ln x^2 falls at the rate 2 (mu - zeta^2 / 2): the largest relative "
            f"error over zeta = {', '.join(f'{zeta:g}' for zeta in STRONG)}",
            f"{CHEN}, attractivity near an invariant set; claim 5.3",
            _slope_error,
            Expectation.at_most(0.15),
            Control(constant, lambda d: _slope_error(d, "constant")),
        ),
        Claim(
            "quartic-threshold",
            "The slopes vanish at the threshold sqrt(2 mu) = 1.732",
            f"{CHEN}, Fig. 1; claim 5.4",
            _threshold,
            Expectation.between(1.65, 1.8),
            Control(constant, lambda d: _threshold(d, "constant")),
            unit="zeta",
        ),
    )


def _neuron(s: CollapseSettings) -> Sequence[Claim]:
    def change(data: xr.Dataset, level: float) -> Array:
        near = part(data, "neuron").near.sel(level=level)
        return _values(near.isel(time=-1) - near.sel(time=20.0, method="nearest"))

    def pace(data: xr.Dataset, levels: list[float]) -> Array:
        found = part(data, "neuron").sel(level=levels)
        return _values((slope(found.log_size, 0.3) / found.rate).mean("level"))

    return (
        Claim(
            "neuron-above",
            "At 1.2 times the threshold the share of walkers with |w| < 0.01 grows in time, from time 20 to the end",
            f"{CHEN}, Thm 5.1, Fig. 2; claim 5.5; the margin is ours",
            lambda d: change(d, 1.2),
            Expectation.at_least(0.05),
            Control("0.8 times the threshold", lambda d: change(d, 0.8)),
            unit="share of walkers",
        ),
        Claim(
            "neuron-below",
            "At 0.8 times the threshold it falls",
            f"{CHEN}, Thm 5.1, Fig. 2; claim 5.5; the margin is ours",
            lambda d: change(d, 0.8),
            Expectation.at_most(-0.05),
            Control("1.2 times the threshold", lambda d: change(d, 1.2)),
            unit="share of walkers",
        ),
        Claim(
            "neuron-rate",
            "At 1.5 and 2 times the threshold ln |w| falls at the exact rate: slope of the median over rate",
            "derived here for Chen et al. 2023, Thm 5.1; margin as in claim 5.3",
            lambda d: pace(d, [1.5, 2.0]),
            Expectation.near(1.0, 0.15),
            Control("0.5 times the threshold, where the rate is positive", lambda d: pace(d, [0.5])),
        ),
    )


def critical_values(s: CollapseSettings) -> dict[float, float]:
    """Return the singular value s_c below which modes are lost, by label noise."""
    return {sigma: theory.critical_singular_value(s.learning_rate / s.samples, sigma) for sigma in NOISES}


def _modes(s: CollapseSettings) -> Sequence[Claim]:
    critical = critical_values(s)
    strongest, weaker = NOISES[-1], NOISES[1]
    deep = [value for value in VALUES if value < 0.7 * critical[strongest]] or [VALUES[0]]
    law = xr.DataArray(
        [theory.quartic_mean_square(value, np.sqrt(2 * critical[strongest])) for value in VALUES],
        dims="value", coords={"value": list(VALUES)},
    )  # fmt: skip

    def distance(data: xr.Dataset, sigma: float) -> Array:
        strength = part(data, "modes").strength.sel(label_noise=sigma)
        late = strength.isel(time=strength.time.values > 0.5 * float(strength.time.values[-1])).mean("time")
        return _values(abs(late - law).max("value"))

    def lost(data: xr.Dataset, sigma: float) -> Array:
        return _values(part(data, "modes").lost.sel(label_noise=sigma, value=deep).isel(time=-1).min("value"))

    return (
        Claim(
            "modes-strength",
            f"Label noise {strongest:g} lowers each singular value s of the student to max(s - s_c, 0), s_c = "
            f"{critical[strongest]:.3f}: the largest distance over {len(VALUES)} values, mean over the later half",
            f"{CHEN}, Sec. 6, Fig. 5 (h sigma^2 / 2); claim 5.6",
            lambda d: distance(d, strongest),
            Expectation.at_most(0.06),
            Control("the same teacher without label noise", lambda d: distance(d, 0.0)),
        ),
        Claim(
            "modes-lost",
            f"Of the modes below 0.7 s_c ({', '.join(f'{value:g}' for value in deep)}) more than 95 % are lost",
            f"{CHEN}, Sec. 6, Fig. 5; claim 5.6",
            lambda d: lost(d, strongest),
            Expectation.at_least(0.95),
            Control(f"label noise {weaker:g}, whose s_c is {critical[weaker]:.3f}", lambda d: lost(d, weaker)),
            unit="share of walkers",
        ),
    )


def _closing(data: xr.Dataset, rate: float, sigma: float) -> Array:
    """Return by how many decades the squared distance changed over the later four fifths of training."""
    found = part(data, "pair").log_distance.sel(condition=f"{rate:g}, {sigma:g}", gap=1.0)
    first = found.step.values >= 0.2 * float(found.step.values[-1])
    return _values(found.isel(step=-1) - found.isel(step=int(np.argmax(first))))


def _pairs(s: CollapseSettings) -> Sequence[Claim]:
    def equal(data: xr.Dataset, gap: float) -> Array:
        return _values(part(data, "equal").log_distance.sel(gap=gap).max(("condition", "step")))

    def faster(data: xr.Dataset, rate: float, sigma: float) -> Array:
        return _closing(data, rate, sigma) - _closing(data, 0.1, sigma)

    source = f"{CHEN}, nbs/one_hidden_layer of its repository; claim 5.8; the margin is ours"
    return (
        Claim(
            "equal-stays-equal",
            "Two neurons that start equal stay equal to the last bit, with and without label noise (the floor is -307)",
            f"{CHEN}, invariant sets; claim 5.7",
            lambda d: equal(d, 0.0),
            Expectation.at_most(-300.0),
            Control("a thousandth of the usual distance at the start", lambda d: equal(d, 0.001)),
            unit="log10 squared distance",
        ),
        Claim(
            "pair-noise",
            "More label noise draws two neurons together faster: decades of squared distance, sigma 0.2 less 0.1",
            source,
            lambda d: _closing(d, 0.1, 0.2) - _closing(d, 0.1, 0.1),
            Expectation.at_most(-1.0),
            Control("no noise", lambda d: _closing(d, 0.1, 0.0)),
            unit="decades",
        ),
        Claim(
            "pair-rate",
            "A larger learning rate draws two neurons together faster: decades of squared distance, rate 0.3 less 0.1",
            source,
            lambda d: faster(d, 0.3, 0.1),
            Expectation.at_most(-1.0),
            Control("no noise", lambda d: faster(d, 0.3, 0.0)),
            unit="decades",
        ),
        Claim(
            "pair-largest-rate",
            "So does the largest learning rate of the notebook, 0.5 less 0.1",
            source,
            lambda d: faster(d, 0.5, 0.1),
            Expectation.at_most(-1.0),
            Control("no noise, at rate 0.3 because it diverges at 0.5", lambda d: faster(d, 0.3, 0.0)),
            unit="decades",
        ),
    )


def _networks(s: CollapseSettings) -> Sequence[Claim]:
    def read(data: xr.Dataset, name: str, until: float, case: str = "both") -> xr.DataArray:
        found = part(data, "networks")[name].sel(until=until, case=case)
        return found.mean("layer") if "layer" in found.dims else found

    def later(data: xr.Dataset, name: str) -> Array:
        return _values((read(data, name, s.late) - read(data, name, s.early)).isel(step=-1))

    def less(data: xr.Dataset, until: float, case: str) -> Array:
        both, without = (read(data, "independent", until, name).isel(step=-1) for name in ("both", case))
        return _values(both - without)

    def untrained(data: xr.Dataset) -> Array:
        share = read(data, "independent", 0.0)
        return _values(share.isel(step=-1) - share.isel(step=0))

    when = f"at {s.late:g} and not at {s.early:g} of the steps"
    return (
        Claim(
            "later-drop-fewer-neurons",
            f"A later drop of the learning rate, {when}, leaves fewer independent neurons",
            f"{CHEN}, Fig. 6; the margin is ours",
            lambda d: later(d, "independent"),
            Expectation.at_most(-0.05),
            Control("the small learning rate throughout, trained less untrained", untrained),
            unit="share of neurons",
        ),
        Claim(
            "later-drop-more-accurate",
            f"A later drop, {when}, leads to a higher test accuracy",
            f"{CHEN}, Fig. 6; the margin is ours",
            lambda d: later(d, "test_accuracy"),
            Expectation.at_least(0.005),
            Control("training accuracy", lambda d: later(d, "train_accuracy")),
            unit="share of images",
        ),
        Claim(
            "label-noise-fewer-neurons",
            f"Label noise {s.label_noise:g} leaves fewer independent neurons than none, where the rate drops late",
            f"{CHEN}, Figs. 3 and 4; the margin is ours",
            lambda d: less(d, s.late, "no label noise"),
            Expectation.at_most(-0.05),
            Control("the small learning rate throughout", lambda d: less(d, 0.0, "no label noise")),
            unit="share of neurons",
        ),
        Claim(
            "decay-fewer-neurons",
            f"Weight decay {s.weight_decay:g} leaves fewer independent neurons than none, where the rate drops late",
            "asked here; the margin is ours",
            lambda d: less(d, s.late, "no weight decay"),
            Expectation.at_most(-0.05),
            Control("the small learning rate throughout", lambda d: less(d, 0.0, "no weight decay")),
            unit="share of neurons",
        ),
    )
