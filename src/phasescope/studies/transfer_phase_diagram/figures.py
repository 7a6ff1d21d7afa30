"""The figures of the study ``transfer-phase-diagram``, described in building blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, Series, law, level, lines, over
from phasescope.lab.measures import at
from phasescope.studies.transfer_phase_diagram.claims import gain
from phasescope.studies.transfer_phase_diagram.settings import HALF, SOURCE_NOISE, TransferSettings
from phasescope.theory.linear_transfer import (
    balanced_fine_tuning,
    break_even_angle,
    fine_tuning_transferability,
    finite_source_transferability,
    linear_transfer_risk,
    linear_transferability,
    negative_transfer,
    ridge_probe_risk,
    scratch_risk_limit,
)
from phasescope.vocabulary import Array

GAMMA = Axis("target samples per dimension")
DEGREES = Axis("angle between source and target (degrees)")


def figures(data: Data, s: TransferSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return tuple(draw(data, s) for draw in (_risks, _diagrams, _fine_tuning, _trained, _sources, _relu))


def _points(data: Data, series: Series, x: Array | Sequence[float], **kind: str) -> list[Line]:
    """Return measured points with bars from the least to the largest seed: the line between them is theory's."""
    return [replace(line, joined=False) for line in lines(data, series, np.asarray(x), **kind)]


def _except_at_one(predicted: Callable[[float], float]) -> Callable[[float], float]:
    """Return a law of the samples per dimension without a value within 0.02 of one, where scratch diverges."""
    return lambda gamma: np.nan if abs(gamma - 1) < 0.02 else predicted(gamma)


def _risks(data: Data, s: TransferSettings) -> Figure:
    cell, gammas, fine = at("diagram", noise=0.2, angle=HALF), s.all_gammas, np.linspace(0.1, 2.0, 191)
    risk = Curves(
        "risk at 45 degrees, noise 0.2", GAMMA, Axis("risk", limits=(0, 1.6)),
        [
            *_points(data, {"scratch": ("scratch", cell), "linear transfer": ("linear", cell),
                            "fine-tuning": ("balanced", cell)}, gammas),
            *_points(data, {"scratch with ridge": ("ridge", cell)}, gammas, role="control"),
            law("theory, scratch", _except_at_one(lambda g: scratch_risk_limit(g, 0.2)), fine),
            law("theory, linear", lambda g: linear_transfer_risk(max(round(g * 100), 5), HALF, 0.2), fine),
        ],
    )  # fmt: skip
    win = Curves(
        "what transfer wins over scratch", GAMMA, Axis("transferability", limits=(-0.5, 0.8)),
        [
            *_points(data, {"linear transfer": (gain("linear"), cell), "fine-tuning": (gain("balanced"), cell)},
                     gammas),
            law("theory, linear", _except_at_one(lambda g: linear_transferability(g, HALF, 0.2)), fine),
            law("theory, fine-tuning", _except_at_one(lambda g: balanced_fine_tuning(g, HALF, 0.2)), fine),
        ],
        marks=tuple((edge, "") for edge in (*negative_transfer(HALF, 0.2)[0], 1.08)),
    )  # fmt: skip
    return Figure(
        "risks", "Double descent makes linear transfer win, lose, win and lose",
        "Closed form on drawn samples, d = 100 at pocket scale, median over seeds with the band from the least to the "
        "largest; theory for d to infinity. Vertical lines: where theory's sign changes. Scratch diverges at 1.",
        [risk, win], ("scratch-risk", "linear-risk", "three-signs", "contour", "anomalous"),
    )  # fmt: skip


def _break_even(gamma: float, noise: float) -> float:
    return float(np.degrees(break_even_angle(gamma, noise)))


def _contours(noise: float) -> list[Line]:
    angles = np.radians(np.linspace(0.5, 90, 180))
    found: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: []}
    for angle in angles:
        for low, high in negative_transfer(float(angle), noise):
            if low >= 1:
                found[2].append((low, angle))
            else:
                found[0].append((low, angle))
                found[1].append((high, angle))
    lines = []
    for i, points in found.items():
        inside = [(g, np.degrees(a)) for g, a in points if 0.1 <= g <= 2.0]
        if inside:
            x, y = np.array(inside).T
            lines.append(Line(f"theory, contour {i + 1}", x, y, role="theory"))
    return lines


def _diagrams(data: Data, s: TransferSettings) -> Figure:
    found = at("diagram", noise=0.2).of(data)
    # above one sample per dimension fine-tuning wins nothing, to rounding: there is no contour to draw
    below = found.sel(gamma=found.gamma < 1)
    edge = law("theory, balanced", lambda gamma: _break_even(gamma, 0.2), np.linspace(0.1, 0.97, 60))
    panels = []
    for title, name, where, contours in (
        ("linear transfer", "linear", found, _contours(0.2)),
        ("fine-tuning", "balanced", below, [edge]),
    ):
        won = gain(name).read(where).median("seed").transpose("angle", "gamma").values
        panels.append(
            HeatMap(f"{title}, noise 0.2", GAMMA, DEGREES, where.gamma.values, np.degrees(s.angles), won,
                    "transferability", 0.0, (-1.0, 1.0), lines=contours)
        )  # fmt: skip
    return Figure(
        "diagram", "Where transfer helps: the phase diagram",
        "Risk from scratch minus risk of transfer, median over seeds; the white line is measured zero, the coloured "
        "ones are theory's. The band around 1 is the anomalous positive transfer.",
        panels, ("three-signs", "contour", "anomalous", "break-even"),
    )  # fmt: skip


def _fine_tuning(data: Data, s: TransferSettings) -> Figure:
    x, fine = np.degrees(s.angles), np.linspace(0, 90, 91)

    def panel(noise: float) -> Curves:
        cell = at("diagram", noise=noise, gamma=0.5)
        return Curves(
            f"noise {noise:g}, half a sample per dimension", DEGREES, Axis("transferability", limits=(-0.9, 0.6)),
            [
                *_points(data, {"what gradient descent keeps": (gain("balanced"), cell)}, x),
                *_points(data, {"as printed": (gain("printed"), cell)}, x, role="control"),
                law("corrected formula", lambda a: balanced_fine_tuning(0.5, np.radians(a), noise), fine),
                law("printed formula", lambda a: fine_tuning_transferability(0.5, np.radians(a)), fine),
            ],
        )  # fmt: skip

    return Figure(
        "break-even", "Noise moves the angle at which fine-tuning breaks even",
        "The printed theorem says 60 degrees always. The balance of the layers scales what is kept of the source by c.",
        [panel(0.2), panel(1.0)], ("printed-formula", "break-even", "break-even-moves"),
    )  # fmt: skip


def _trained(data: Data, s: TransferSettings) -> Figure:
    def panel(noise: float) -> Curves:
        place = {"gamma": 0.5, "noise": noise}
        tuned, foreseen = at("tuned", **place, lr=s.rate / 2), at("foreseen", **place).of(data)
        steps = np.maximum(tuned.of(data).step.values.astype(float), 0.7)
        series: Series = {"fine-tuned": ("test_loss", tuned), "scratch": ("test_loss", at("scratch", **place))}
        formulas = {"balanced: c": "balanced", "printed: c = 1": "printed", "minimum norm": "scratch"}
        levels = [level(label, float(foreseen[name].median()), steps) for label, name in formulas.items()]
        return Curves(f"noise {noise:g}", Axis("step (fine-tuned at half the rate)", "log"), Axis("risk"),
                      [*lines(data, series, steps), *levels])  # fmt: skip

    return Figure(
        "trained", "Trained networks end where the corrected formula says",
        f"Two layers, d = {s.trained_dimension}, half a sample per dimension, 60 degrees: median over seeds, band from "
        "the least to the largest; the lines are medians of what theory foresees on the same samples.",
        [panel(0.2), panel(1.0)], ("scratch-is-minimum-norm", "balanced-formula", "printed-is-off"),
    )  # fmt: skip


def _from_source(gamma: float, noise: float, degrees: float) -> float:
    return finite_source_transferability(gamma, 0.5, float(np.radians(degrees)), noise)


def _sources(data: Data, s: TransferSettings) -> Figure:
    x, fine, sources = np.degrees(s.angles), np.linspace(0, 90, 91), []
    for gamma in data["sources"].source_gamma.values:
        here: Series = {f"{gamma:g} per dimension": ("transferability", at("sources", source_gamma=gamma))}
        formula = partial(_from_source, gamma, SOURCE_NOISE)
        sources += [*_points(data, here, x), law(f"theory, {gamma:g}", formula, fine)]
    penalties, ridge = np.linspace(0, max(s.penalties), 60), []
    for angle in data["probe"].angle.values:
        name = f"{np.degrees(angle):.0f} degrees"
        ridge += _points(data, {name: ("risk", at("probe", angle=angle))}, s.penalties)
        ridge += [law(f"theory, {name}", partial(ridge_probe_risk, angle), penalties)]
    return Figure(
        "sources", "A poor source, and a penalty on the probe",
        f"Left: labels of the source with noise {SOURCE_NOISE:g}, half a target sample per dimension. Right: endless "
        "target data. Median over seeds, band from the least to the largest.",
        [Curves("source learnt from finite data", DEGREES, Axis("transferability"), sources),
         Curves("ridge penalty on the probe", Axis("penalty"), Axis("risk"), ridge)],
        ("finite-source", "richer-source", "ridge-hurts"),
    )  # fmt: skip


def _relu(data: Data, s: TransferSettings) -> Figure:
    names = {"scratch": "scratch", "linear": "frozen features", "tuned": "fine-tuned"}

    def panel(removed: float) -> Curves:
        cell = at("relu", removed=removed, samples=s.relu_samples)
        return over(
            f"the source lacks {removed:.0%} of the neurons", data, Axis("target samples", "log"), s.relu_samples,
            Axis("risk / that of zero", "log"), {label: (name, cell) for name, label in names.items()},
        )  # fmt: skip

    return Figure(
        "relu", "The same three in ReLU networks",
        f"Student of {s.relu_width} neurons, teacher of {s.relu_teacher}, {s.relu_dimension} inputs; source learnt and "
        "risk measured on the population, exactly. Median over seeds, band from the least to the largest.",
        [panel(0.2), panel(0.8)], ("relu-tuning", "relu-probe-loses"),
    )  # fmt: skip
