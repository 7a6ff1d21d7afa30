"""The figures of the study ``stochastic-collapse``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.stochastic_collapse.claims import critical_values, quartic
from phasescope.studies.stochastic_collapse.networks import CASES
from phasescope.studies.stochastic_collapse.settings import CONDITIONS, MU, NOISES, VALUES, ZETAS, CollapseSettings

SHARE = Axis("share of walkers", limits=(-0.02, 1.02))
TIME = Axis("time")


def figures(data: xr.Dataset, s: CollapseSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_quartic(data, s), _neuron(data), _modes(data, s), _pair(data, s), _networks(data, s))


def _quartic(data: xr.Dataset, s: CollapseSettings) -> Figure:
    walks, fixed = quartic(data), quartic(data, "constant")
    zeta, time = np.array(ZETAS), walks.time.values
    threshold = theory.collapse_threshold(MU)
    last = float(time[-1])
    collapsed = Curves(
        "the share that collapsed", Axis("noise zeta"), SHARE,
        [
            *(band(f"time {t:g}", walks.collapsed.sel(time=t), zeta) for t in (time[4], time[9], time[-1])),
            band("constant noise", fixed.collapsed.isel(time=-1), zeta, role="control"),
        ],
        marks=((threshold, "sqrt(2 mu)"),),
    )  # fmt: skip
    fine = np.linspace(0.3, threshold - 1e-3, 80)
    mean = Curves(
        "what remains", Axis("noise zeta"), Axis("E|x|"),
        [
            band("measured", walks.mean_absolute, zeta),
            Line("stationary law", fine, np.array([theory.quartic_mean_absolute(MU, z) for z in fine]), role="theory"),
            band("constant noise", fixed.mean_absolute, zeta, role="control"),
        ],
        marks=((threshold, "sqrt(2 mu)"),),
    )  # fmt: skip
    lines = []
    for z in (1.0, 1.7, 2.0, 2.5):
        lines.append(band(f"zeta {z:g}", walks.log_square.sel(zeta=z), time))
    for z in (2.0, 2.5):
        rate = 2 * theory.collapse_rate(MU, z, s.dt) / np.log(10)
        end = float(walks.log_square.sel(zeta=z).isel(time=-1).median())
        lines.append(Line(f"slope for zeta {z:g}", time, end + rate * (time - last), role="theory"))
    fall = Curves("how fast", TIME, Axis("median of log10 x^2"), lines)
    return Figure(
        "quartic", "A quartic loss whose noise vanishes at 0",
        "dx = (mu x - x^3) dt + zeta x dB with mu = 1.5. Median over seeds, band from the least to the largest seed. "
        "Theory's slopes, those of finite steps, are drawn through the last point.",
        [collapsed, mean, fall],
        ("quartic-mean", "quartic-survives", "quartic-collapses", "quartic-slope", "quartic-threshold"),
    )  # fmt: skip


def _neuron(data: xr.Dataset) -> Figure:
    walks = part(data, "neuron")
    time = walks.time.values
    near = [band(f"{level:g} x threshold", walks.near.sel(level=level), time) for level in walks.level.values]
    sizes = []
    for level in (0.5, 1.2, 1.5, 2.0):
        sizes.append(band(f"{level:g} x threshold", walks.log_size.sel(level=level), time))
    for level in (1.2, 1.5, 2.0):
        chosen = walks.sel(level=level)
        end, rate = float(chosen.log_size.isel(time=-1).median()), float(chosen.step_rate.median())
        sizes.append(Line(f"rate at {level:g} x", time, end + rate * (time - time[-1]), role="theory"))
    return Figure(
        "neuron", "One neuron w2 tanh(w1 x) under label noise",
        "The threshold of each seed's own data, eta zeta^2 / 2 = sum x y / sum x^2. Median over seeds, band from the "
        "least to the largest. Theory's rates are those of finite steps, medians over seeds, through the last point.",
        [Curves("the share with |w| < 0.01", TIME, SHARE, near),
         Curves("how fast", TIME, Axis("median of ln |w|"), sizes)],
        ("neuron-above", "neuron-below", "neuron-rate"),
    )  # fmt: skip


def _modes(data: xr.Dataset, s: CollapseSettings) -> Figure:
    walks, critical = part(data, "modes"), critical_values(s)
    values, time = np.array(VALUES), walks.time.values
    late = walks.strength.isel(time=time > 0.5 * time[-1]).mean("time")
    fine = np.linspace(0, max(VALUES), 121)
    lines = []
    for sigma in NOISES:
        law = np.array([theory.quartic_mean_square(v, np.sqrt(2 * critical[sigma])) for v in fine])
        lines.append(band(f"label noise {sigma:g}", late.sel(label_noise=sigma), values))
        lines.append(Line(f"s - s_c, noise {sigma:g}", fine, law, role="theory"))
    learnt = Curves("at the end", Axis("singular value s of the teacher"), Axis("strength of the mode"), lines)
    courses = []
    strongest = walks.sel(label_noise=NOISES[-1])
    for value in (0.9, 0.3):
        courses.append(band(f"s = {value:g}: mean", strongest.strength.sel(value=value), time))
        courses.append(band(f"s = {value:g}: geometric mean", strongest.typical.sel(value=value), time, role="control"))
        bound = theory.mode_strength(time, value, 1.0, critical[NOISES[-1]])
        courses.append(Line(f"s = {value:g}: paper's curve", time, bound, role="theory"))
    course = Curves(
        f"in time, label noise {NOISES[-1]:g}", TIME, Axis("strength of the mode", "log", (1e-4, 2.0)), courses
    )
    return Figure(
        "modes", "A linear student under label noise learns s - s_c, and nothing below s_c",
        f"Time is h x steps, h = {s.learning_rate:g} / {s.samples}, s_c = h sigma^2 / 2. Left: means over walkers and "
        "the later half. Right: the paper's curve lies above the geometric mean (dashed), and in its average below the "
        "mean.",
        [learnt, course], ("modes-strength", "modes-lost"),
    )  # fmt: skip


def _pair(data: xr.Dataset, s: CollapseSettings) -> Figure:
    found = part(data, "pair").log_distance.sel(gap=1.0)
    step = found.step.values

    def panel(title: str, chosen: Sequence[tuple[float, float]]) -> Curves:
        lines = []
        for rate, sigma in chosen:
            values = found.sel(condition=f"{rate:g}, {sigma:g}")
            role = "control" if sigma == 0 else "measured"
            lines.append(band(f"rate {rate:g}, noise {sigma:g}", values.where(values > -40), step, role=role))
        return Curves(title, Axis("step"), Axis("median of log10 squared distance", limits=(-36, 2)), lines)

    noises = [condition for condition in CONDITIONS if condition[0] == 0.1]
    rates = [condition for condition in CONDITIONS if condition[1] == 0.1] + [(0.3, 0.0)]
    return Figure(
        "pair", "Noise makes two neurons equal",
        "Two GELU neurons, eight points, label noise, momentum 0.9. Median over seeds, band from the least to the "
        "largest. Curves end where the neurons of most runs are equal to the last bit.",
        [panel("over label noise", noises), panel("over learning rate", rates)],
        ("equal-stays-equal", "pair-noise", "pair-rate", "pair-largest-rate"),
    )  # fmt: skip


def _networks(data: xr.Dataset, s: CollapseSettings) -> Figure:
    found = part(data, "networks")
    step = found.step.values
    x = Axis("step")
    drops = {"small throughout": 0.0, f"large until {s.early:.0%}": s.early, f"large until {s.late:.0%}": s.late}
    both = found.sel(case="both")
    neurons = [
        band(name, both.independent.mean("layer").sel(until=until), step, role="measured" if until else "control")
        for name, until in drops.items()
    ]
    cases = [band(case, found.independent.mean("layer").sel(case=case, until=s.late), step) for case in CASES]
    seen = step > 0
    accuracy = [
        band(
            name,
            both.test_accuracy.sel(until=until).isel(step=seen),
            step[seen],
            role="measured" if until else "control",
        )
        for name, until in drops.items()
    ]
    share = Axis("independent neurons / width", limits=(0, 1.02))
    return Figure(
        "networks", "Networks on digits: a large learning rate first, a small one after it",
        f"Rates {s.large:g} and {s.small:g}, label noise {s.label_noise:g}, weight decay {s.weight_decay:g}; in the "
        f"middle the rate is large until {s.late:.0%}. Median over seeds, band from the least to the largest seed.",
        [Curves("when the rate drops", x, share, neurons), Curves("what it takes", x, share, cases),
         Curves("test images", x, Axis("test accuracy"), accuracy)],
        ("later-drop-fewer-neurons", "later-drop-more-accurate", "label-noise-fewer-neurons", "decay-fewer-neurons"),
    )  # fmt: skip
