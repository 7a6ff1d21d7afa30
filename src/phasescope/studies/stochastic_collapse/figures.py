"""The figures of the study ``stochastic-collapse``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import Data, Read, curves, law, lines, over
from phasescope.lab.measures import at, mean, value
from phasescope.studies.stochastic_collapse.claims import critical_values, final, full, late, pair
from phasescope.studies.stochastic_collapse.networks import CASES
from phasescope.studies.stochastic_collapse.settings import CONDITIONS, MU, NOISES, VALUES, ZETAS, CollapseSettings
from phasescope.theory import stochastic_collapse

FRACTION = Axis("fraction of walkers", limits=(-0.02, 1.02))
TIME, STEP = Axis("time"), Axis("step")


def figures(data: Data, s: CollapseSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_quartic(data, s), _neuron(data), _modes(data, s), _pair(data), _networks(data, s))


def through_the_end(label: str, walks: xr.DataArray, rate: float) -> Line:
    """Return a straight line of slope ``rate`` through the last median of walks, as theory."""
    time = walks.time.values
    return Line(label, time, float(walks.isel(time=-1).median()) + rate * (time - time[-1]), role="theory")


def _quartic(data: Data, s: CollapseSettings) -> Figure:
    walks, constant = at("quartic", noise="vanishing"), at("quartic", noise="constant")
    time, threshold = data["quartic"].time.values, stochastic_collapse.collapse_threshold(MU)
    zeta, marks = Axis("noise zeta"), ((threshold, "sqrt(2 mu)"),)
    falls = {f"zeta {z:g}": at("quartic", noise="vanishing", zeta=z) for z in (1.0, 1.7, 2.0, 2.5)}
    slopes = [
        through_the_end(
            f"slope for zeta {z:g}",
            falls[f"zeta {z:g}"].of(data).log_square,
            2 * stochastic_collapse.collapse_rate(MU, z, s.dt) / np.log(10),
        )
        for z in (2.0, 2.5)
    ]
    return Figure(
        "quartic", "A quartic loss whose noise vanishes at 0",
        "dx = (mu x - x^3) dt + zeta x dB with mu = 1.5. Median over seeds, band from the least to the largest seed. "
        "Theory's slopes, those of finite steps, are drawn through the last point.",
        [
            over("the fraction that collapsed", data, zeta, ZETAS, FRACTION,
                {f"time {t:g}": (value("collapsed", time=t), walks) for t in (time[4], time[9], time[-1])},
                control={"constant noise": (final("collapsed"), constant)}, marks=marks),
            over("what remains", data, zeta, ZETAS, Axis("E|x|"), {"measured": ("mean_absolute", walks)},
                laws={"stationary law": lambda z: stochastic_collapse.quartic_mean_absolute(MU, z)},
                control={"constant noise": ("mean_absolute", constant)}, fine=np.linspace(0.3, threshold - 1e-3, 80),
                marks=marks),
            Curves("how fast", TIME, Axis("median of log10 x^2"),
                [*lines(data, {label: ("log_square", cell) for label, cell in falls.items()}, time), *slopes]),
        ],
        ("quartic-mean", "quartic-survives", "quartic-collapses", "quartic-slope", "quartic-threshold"),
    )  # fmt: skip


def _neuron(data: Data) -> Figure:
    found = data["neuron"]
    time = found.time.values

    def walks(reading: str, levels: Sequence[float]) -> list[Line]:
        series = {f"{level:g} x threshold": (reading, at("neuron", level=level)) for level in levels}
        return lines(data, series, time)

    rates = [
        through_the_end(f"rate at {level:g} x", chosen.log_size, float(chosen.step_rate.median()))
        for level, chosen in ((level, found.sel(level=level)) for level in (1.2, 1.5, 2.0))
    ]
    return Figure(
        "neuron", "One neuron w2 tanh(w1 x) under label noise",
        "The threshold of each seed's own data, eta zeta^2 / 2 = sum x y / sum x^2. Median over seeds, band from the "
        "least to the largest. Theory's rates are those of finite steps, medians over seeds, through the last point.",
        [Curves("the fraction with |w| < 0.01", TIME, FRACTION, walks("near", found.level.values)),
         Curves("how fast", TIME, Axis("median of ln |w|"), [*walks("log_size", (0.5, 1.2, 1.5, 2.0)), *rates])],
        ("neuron-above", "neuron-below", "neuron-rate"),
    )  # fmt: skip


def _modes(data: Data, s: CollapseSettings) -> Figure:
    critical, time = critical_values(s), data["modes"].time.values
    strongest, fine = NOISES[-1], np.linspace(0, max(VALUES), 121)
    ends: list[Line] = []
    for sigma in NOISES:
        noise, cell = np.sqrt(2 * critical[sigma]), at("modes", label_noise=sigma)
        ends += lines(data, {f"label noise {sigma:g}": (partial(late, "strength"), cell)}, np.array(VALUES))
        ends.append(
            law(f"s - s_c, noise {sigma:g}", partial(stochastic_collapse.quartic_mean_square, zeta=noise), fine)
        )
    courses: list[Line] = []
    for v in (0.9, 0.3):
        mode, name = at("modes", label_noise=strongest, value=v), f"s = {v:g}"
        bound = stochastic_collapse.mode_strength(time, v, 1.0, critical[strongest])
        courses += lines(data, {f"{name}: mean": ("strength", mode)}, time)
        courses += lines(data, {f"{name}: geometric mean": ("typical", mode)}, time, role="control")
        courses.append(Line(f"{name}: paper's curve", time, bound, role="theory"))
    strength = "strength of the mode"
    return Figure(
        "modes", "A linear student under label noise learns s - s_c, and nothing below s_c",
        f"Time is h x steps, h = {s.learning_rate:g} / {s.samples}, s_c = h sigma^2 / 2. Left: means over walkers and "
        "the later half. Right: the paper's curve lies above the geometric mean (dashed), and in its average below the "
        "mean.",
        [Curves("at the end", Axis("singular value s of the teacher"), Axis(strength), ends),
         Curves(f"in time, label noise {strongest:g}", TIME, Axis(strength, "log", (1e-4, 2.0)), courses)],
        ("modes-strength", "modes-lost"),
    )  # fmt: skip


def _pair(data: Data) -> Figure:
    def apart(cell: xr.Dataset) -> xr.DataArray:
        return cell["log_distance"].where(cell["log_distance"] > -40)

    def panel(title: str, chosen: Sequence[tuple[float, float]]) -> Curves:
        found: list[Line] = []
        for rate, sigma in chosen:
            role = "measured" if sigma else "control"
            found += lines(data, {f"rate {rate:g}, noise {sigma:g}": (apart, pair(rate, sigma, "notebook"))}, role=role)
        return Curves(title, STEP, Axis("median of log10 squared distance", limits=(-36, 2)), found)

    noises = [condition for condition in CONDITIONS if condition[0] == 0.1]
    rates = [condition for condition in CONDITIONS if condition[1] == 0.1] + [(0.3, 0.0)]
    return Figure(
        "pair", "Noise makes two neurons equal",
        "Two GELU neurons on the eight points of the authors' notebook, label noise, momentum 0.9. Median over seeds, "
        "band from the least to the largest. Curves end where the neurons of most runs are equal to the last bit.",
        [panel("over label noise", noises), panel("over learning rate", rates)],
        ("equal-stays-equal", "pair-notebook", "pair-noise", "pair-rate", "pair-largest-rate"),
    )  # fmt: skip


def _networks(data: Data, s: CollapseSettings) -> Figure:
    neurons, fraction = mean("independent", "layer"), Axis("independent neurons / width", limits=(0, 1.02))
    drops = {"small throughout": 0.0, f"large until {s.early:.0%}": s.early, f"large until {s.late:.0%}": s.late}

    def trained(cell: xr.Dataset) -> xr.DataArray:
        return cell["test_accuracy"].isel(step=cell.step.values > 0)

    def panel(title: str, y: Axis, read: Read) -> Curves:
        found: list[Line] = []
        for name, until in drops.items():
            role = "measured" if until else "control"
            found += lines(data, {name: (read, at("networks", until=until, case="both"))}, role=role)
        return Curves(title, STEP, y, found)

    return Figure(
        "networks", "Networks on digits: a large learning rate first, a small one after it",
        f"Rates {s.large:g} and {s.small:g}, label noise {s.label_noise:g}, weight decay {s.weight_decay:g}; in the "
        f"middle the rate is large until {s.late:.0%}. Median over seeds, band from the least to the largest seed.",
        [
            panel("when the rate drops", fraction, neurons),
            curves("what it takes", data, fraction,
                {**{case: (neurons, at("networks", until=s.late, case=case)) for case in CASES},
                 "full batch": (neurons, full(s.late))}, x=STEP),
            panel("test images", Axis("test accuracy"), trained),
        ],
        ("later-drop-fewer-neurons", "later-drop-more-accurate", "noise-fewer-neurons", "label-noise-fewer-neurons",
         "decay-fewer-neurons"),
    )  # fmt: skip
