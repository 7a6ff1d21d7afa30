"""The figures of the study ``transfer-phase-diagram``, described in building blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.transfer_phase_diagram.settings import TransferSettings
from phasescope.vocabulary import Array

GAMMA = Axis("target samples per dimension")
DEGREES = Axis("angle between source and target (degrees)")
HALF = float(np.pi / 4)


def figures(data: xr.Dataset, s: TransferSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_risks(data), _diagrams(data), _fine_tuning(data), _trained(data, s), _sources(data), _relu(data, s))


def _line(label: str, x: Array, law: Callable[[float], float], hole: float | None = None) -> Line:
    """Return the theory ``law`` along ``x``, with NaN within 0.02 of ``hole``."""
    y = np.array([np.nan if hole is not None and abs(v - hole) < 0.02 else law(float(v)) for v in x])
    return Line(label, x, y, role="theory")


def _points(label: str, values: xr.DataArray, x: Array, **kind: str) -> Line:
    """Return measured points with bars from the least to the largest seed: the line between them is theory's."""
    return replace(band(label, values, x, **kind), joined=False)


def _risks(data: xr.Dataset) -> Figure:
    at = part(data, "diagram").sel(noise=0.2).sel(angle=HALF, method="nearest")
    gammas, fine = at.gamma.values, np.linspace(0.1, 2.0, 191)
    risk = Curves(
        "risk at 45 degrees, noise 0.2", GAMMA, Axis("risk", limits=(0, 1.6)),
        [
            _points("scratch", at.scratch, gammas), _points("linear transfer", at.linear, gammas),
            _points("fine-tuning", at.balanced, gammas),
            _points("scratch with ridge", at.ridge, gammas, role="control"),
            _line("theory, scratch", fine, lambda g: theory.scratch_risk_limit(g, 0.2), 1.0),
            _line("theory, linear", fine, lambda g: theory.linear_transfer_risk(max(round(g * 100), 5), HALF, 0.2)),
        ],
    )  # fmt: skip
    win = Curves(
        "what transfer wins over scratch", GAMMA, Axis("transferability", limits=(-0.5, 0.8)),
        [
            _points("linear transfer", at.scratch - at.linear, gammas),
            _points("fine-tuning", at.scratch - at.balanced, gammas),
            _line("theory, linear", fine, lambda g: theory.linear_transferability(g, HALF, 0.2), 1.0),
            _line("theory, fine-tuning", fine, lambda g: theory.balanced_fine_tuning(g, HALF, 0.2), 1.0),
        ],
        marks=tuple((edge, "") for edge in (*theory.negative_transfer(HALF, 0.2)[0], 1.08)),
    )  # fmt: skip
    return Figure(
        "risks", "Double descent makes linear transfer win, lose, win and lose",
        "Closed form on drawn samples, d = 100 at pocket scale, median over seeds with the band from the least to the "
        "largest; theory for d to infinity. Vertical lines: where theory's sign changes. Scratch diverges at 1.",
        [risk, win], ("scratch-risk", "linear-risk", "three-signs", "contour", "anomalous"),
    )  # fmt: skip


def _break_even(gamma: float, noise: float) -> float:
    return float(np.degrees(theory.break_even_angle(gamma, noise)))


def _contours(noise: float) -> list[Line]:
    angles = np.radians(np.linspace(0.5, 90, 180))
    found: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: []}
    for angle in angles:
        for low, high in theory.negative_transfer(float(angle), noise):
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


def _diagrams(data: xr.Dataset) -> Figure:
    panels = []
    at = part(data, "diagram").sel(noise=0.2)
    angles = np.degrees(at.angle.values)
    for title, name in (("linear transfer", "linear"), ("fine-tuning", "balanced")):
        # above one sample per dimension fine-tuning wins nothing, to rounding: there is no contour to draw
        at = at if name == "linear" else at.sel(gamma=at.gamma < 1)
        values = (at.scratch - at[name]).median("seed").transpose("angle", "gamma").values
        edge = _line("theory, balanced", np.linspace(0.1, 0.97, 60), lambda g: _break_even(g, 0.2))
        lines = _contours(0.2) if name == "linear" else [edge]
        panels.append(
            HeatMap(
                f"{title}, noise 0.2",
                GAMMA,
                DEGREES,
                at.gamma.values,
                angles,
                values,
                "transferability",
                0.0,
                (-1.0, 1.0),
                lines=lines,
            )
        )
    return Figure(
        "diagram", "Where transfer helps: the phase diagram",
        "Risk from scratch minus risk of transfer, median over seeds; the white line is measured zero, the coloured "
        "ones are theory's. The band around 1 is the anomalous positive transfer.",
        panels, ("three-signs", "contour", "anomalous", "break-even"),
    )  # fmt: skip


def _fine_tuning(data: xr.Dataset) -> Figure:
    panels = []
    fine = np.linspace(0, 90, 91)
    for noise in (0.2, 1.0):
        at = part(data, "diagram").sel(noise=noise, gamma=0.5)
        x = np.degrees(at.angle.values)

        def balanced(a: float, noise: float = noise) -> float:
            return theory.balanced_fine_tuning(0.5, float(np.radians(a)), noise)

        panels.append(
            Curves(
                f"noise {noise:g}, half a sample per dimension",
                DEGREES,
                Axis("transferability", limits=(-0.9, 0.6)),
                [
                    _points("what gradient descent keeps", at.scratch - at.balanced, x),
                    _points("as printed", at.scratch - at.printed, x, role="control"),
                    _line("corrected formula", fine, balanced),
                    _line("printed formula", fine, lambda a: theory.fine_tuning_transferability(0.5, np.radians(a))),
                ],
            )
        )
    return Figure(
        "break-even", "Noise moves the angle at which fine-tuning breaks even",
        "The printed theorem says 60 degrees always. The balance of the layers scales what is kept of the source by c.",
        panels, ("printed-formula", "break-even", "break-even-moves"),
    )  # fmt: skip


def _trained(data: xr.Dataset, s: TransferSettings) -> Figure:
    panels = []
    for noise in (0.2, 1.0):
        at = {"gamma": 0.5, "noise": noise}
        seen = part(data, "foreseen").sel(at)
        tuned, scratch = (part(data, who).test_loss.sel(at) for who in ("tuned", "scratch"))
        tuned = tuned.isel(lr=-1)
        steps = np.maximum(tuned.step.values.astype(float), 0.7)

        def level(label: str, name: str, steps: Array = steps, seen: xr.Dataset = seen) -> Line:
            return Line(label, steps, np.full(len(steps), float(seen[name].median())), role="theory")

        panels.append(
            Curves(
                f"noise {noise:g}",
                Axis("step (fine-tuned at half the rate)", "log"),
                Axis("risk"),
                [
                    band("fine-tuned", tuned, steps),
                    band("scratch", scratch, steps),
                    level("balanced: c", "balanced"),
                    level("printed: c = 1", "printed"),
                    level("minimum norm", "scratch"),
                ],
            )
        )
    return Figure(
        "trained", "Trained networks end where the corrected formula says",
        f"Two layers, d = {s.trained_dimension}, half a sample per dimension, 60 degrees: median over seeds, band from "
        "the least to the largest; the lines are medians of what theory foresees on the same samples.",
        panels, ("scratch-is-minimum-norm", "balanced-formula", "printed-is-off"),
    )  # fmt: skip


def _from_source(gamma: float, noise: float, degrees: float) -> float:
    return theory.finite_source_transferability(gamma, 0.5, float(np.radians(degrees)), noise)


def _sources(data: xr.Dataset) -> Figure:
    from phasescope.studies.transfer_phase_diagram.settings import SOURCE_NOISE

    values = part(data, "sources").transferability
    x, fine = np.degrees(values.angle.values), np.linspace(0, 90, 91)
    lines = []
    for gamma in values.source_gamma.values:
        lines.append(_points(f"{gamma:g} per dimension", values.sel(source_gamma=gamma), x))
        lines.append(
            _line(
                f"theory, {gamma:g}",
                fine,
                partial(_from_source, float(gamma), SOURCE_NOISE),
            )
        )
    sources = Curves("source learnt from finite data", DEGREES, Axis("transferability"), lines)
    probe = part(data, "probe").risk
    penalties = np.linspace(0, float(probe.penalty.max()), 60)
    ridge = []
    for angle in probe.angle.values:
        name = f"{np.degrees(angle):.0f} degrees"
        ridge.append(_points(name, probe.sel(angle=angle), probe.penalty.values))
        ridge.append(_line(f"theory, {name}", penalties, partial(theory.ridge_probe_risk, float(angle))))
    return Figure(
        "sources", "A poor source, and a penalty on the probe",
        f"Left: labels of the source with noise {SOURCE_NOISE:g}, half a target sample per dimension. Right: endless "
        "target data. Median over seeds, band from the least to the largest.",
        [sources, Curves("ridge penalty on the probe", Axis("penalty"), Axis("risk"), ridge)],
        ("finite-source", "richer-source", "ridge-hurts"),
    )  # fmt: skip


def _relu(data: xr.Dataset, s: TransferSettings) -> Figure:
    panels = []
    names = {"scratch": "scratch", "linear": "frozen features", "tuned": "fine-tuned"}
    for removed in (0.2, 0.8):
        at = part(data, "relu").sel(removed=removed)
        lines = [band(label, at[name], at.samples.values) for name, label in names.items()]
        title = f"the source lacks {removed:.0%} of the neurons"
        panels.append(Curves(title, Axis("target samples", "log"), Axis("risk / that of zero", "log"), lines))
    return Figure(
        "relu", "The same three in ReLU networks",
        f"Student of {s.relu_width} neurons, teacher of {s.relu_teacher}, {s.relu_dimension} inputs; source learnt and "
        "risk measured on the population, exactly. Median over seeds, band from the least to the largest.",
        panels, ("relu-tuning", "relu-probe-loses"),
    )  # fmt: skip
