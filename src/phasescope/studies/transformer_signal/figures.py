"""The figures of the study ``transformer-signal``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.ensemble import last
from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.readings import band
from phasescope.lab.study import part
from phasescope.studies.transformer_signal.claims import (
    OTHER,
    exponent,
    first_crossing,
    gradient_formulas,
    path,
    predicted,
    settled_block,
    trained_exponents,
)
from phasescope.studies.transformer_signal.settings import TransformerSignalSettings
from phasescope.vocabulary import Array, BadInput

BLOCKS = Axis("blocks")


def figures(data: xr.Dataset, s: TransformerSignalSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_paths(data, s), _far(data, s), _exponents(data, s), _diagram(data, s), _trained(data, s))


def _paths(data: xr.Dataset, s: TransformerSignalSettings) -> Figure:
    run, layers = part(data, "path"), np.arange(s.path_depth + 1)
    panels = []
    for skip in OTHER:
        lines = []
        for score in run.sigma_A.values:
            states = path(s, skip, score=float(score))
            tokens = f"n = {s.tokens}" if score <= 1 else "n = infinite"
            measured = 1 - run.gap.sel(skip=skip, sigma_A=score)
            lines.append(band(f"networks, sigma_A = {score:g}", measured, layers))
            lines.append(Line(f"map, {tokens}", layers, states[:, 1] / states[:, 0], role="theory"))
        panels.append(Curves(f"skip {skip!r}", BLOCKS, Axis("correlation rho of tokens", limits=(0, 1)), lines))
    states = path(s, "preserving")
    size = run["size"].sel(skip="preserving", sigma_A=1.0)
    lines = [band("networks", size, layers), Line("map", layers, states[:, 0], role="theory")]
    panels.append(Curves("size, skip 'preserving'", BLOCKS, Axis("q, mean square of a token's entries"), lines))
    return Figure(
        "paths", "Tokens from general position, at strengths 0.7 and sigma_w = 3",
        f"Median over {s.seeds} networks of width {s.path_width} with {s.tokens} tokens, band from the least to the "
        "largest. The map to first order in e^(sigma_A^2)/n holds for sigma_A = 1; at sigma_A = 2 it would need 218 "
        "tokens or more, so the line there is the map of many tokens.", panels,
        ("path-preserving", "path-reset"),
    )  # fmt: skip


def _far(data: xr.Dataset, s: TransformerSignalSettings) -> Figure:
    alone, settled = part(data, "attention"), part(data, "settled")
    layers = np.arange(s.collapse_depth + 1)
    lines = []
    for skip in OTHER:
        block = theory.TransformerBlock(0.5, 0.0, 1.0, 1.0, s.tokens, skip=skip)  # type: ignore[arg-type]
        states = theory.token_trajectory(block, 1.0, 0.2, s.collapse_depth)
        lines.append(band(f"networks, {skip}", alone.gap.sel(skip=skip), layers))
        lines.append(Line(f"map, {skip}", layers, 1 - states[:, 1] / states[:, 0], role="theory"))
    attention = Curves("attention alone", BLOCKS, Axis("1 - rho", "log"), lines)
    layers, lines = np.arange(s.settled_depth + 1), []
    for start in settled.start.values:
        block = settled_block(s, s.settled_sigma)
        size = theory.collapsed_size(block)
        states = theory.token_trajectory(block, size, float(start) * size, s.settled_depth)
        lines.append(
            band(f"networks from {start:g}", 1 - settled.gap.sel(sigma_w=s.settled_sigma, start=start), layers)
        )
        lines.append(Line(f"map from {start:g}", layers, states[:, 1] / states[:, 0], role="theory"))
    near = Axis("correlation rho of tokens", limits=(0.4, 1.01))
    ordered = 1 - settled.gap.sel(sigma_w=3.0, start=0.5)
    lines.append(band("sigma_w = 3 from 0.5", ordered, layers, role="control"))
    chaos = Curves(f"perceptron of sigma_w = {s.settled_sigma:g}", BLOCKS, near, lines)
    return Figure(
        "far", "Attention alone collapses tokens; a steep perceptron keeps them apart",
        f"Strengths of 0.5, {s.tokens} tokens, width {s.width}. Median over {s.seeds} networks, band from the least "
        "to the largest.", [attention, chaos],
        (*(f"attention-collapses-{skip}" for skip in OTHER), "attention-collapses-steadily", "settles-apart"),
    )  # fmt: skip


def _spread(label: str, x: Array, values: xr.DataArray) -> Line:
    """Return single points at ``x`` of the mean over seeds, with a bar of one standard error of it either way."""
    table = values.transpose("strengths", "seed").values
    error = table.std(1, ddof=1) / np.sqrt(table.shape[1])
    middle = table.mean(1)
    return Line(label, x, middle, middle - error, middle + error, joined=False)


def _exponents(data: xr.Dataset, s: TransformerSignalSettings) -> Figure:
    run = part(data, "exponents")
    names = [str(name) for name in run.strengths.values]
    panels = []
    for skip in OTHER:
        blocks = [predicted(name, skip) for name in names]
        lines, places = [], []
        angles = np.array([theory.angle_exponent(block) for block in blocks])
        lines.append(_spread("angle", angles, exponent(run.gap.sel(skip=skip))))
        places.append(angles)
        for mode, formula in gradient_formulas(s.depth).items():
            x = np.array([formula(block) for block in blocks])
            lines.append(_spread(f"gradient, {mode}", x, run.gradient.sel(skip=skip, mode=mode)))
            places.append(x)
        ends = np.array([np.min(places), np.max(places)])
        lines.append(Line("measured = predicted", ends, ends, role="theory"))
        panels.append(Curves(f"skip {skip!r}", Axis("predicted, per block"), Axis("measured, per block"), lines))
    return Figure(
        "exponents", "Exponents of angle and gradient near collapse, predicted and measured",
        f"Five settings of (alpha_A, alpha_M, sigma_w): {'; '.join(names)}. Mean over {s.seeds} networks of width "
        f"{s.width} and {s.depth} blocks, 32 tokens; bars are one standard error.", panels,
        tuple(f"{claim}-{skip}" for skip in OTHER
              for claim in ("angle-exponent", "gradient-total", "gradient-mean", "gradient-difference")),
    )  # fmt: skip


def edge_line(s: TransformerSignalSettings, skip: str) -> Line:
    """Return the edge of chaos, sigma_w over alpha, as far as it lies in the diagram."""
    alphas, edges = np.linspace(min(s.alphas), max(s.alphas), 60), []
    for alpha in alphas:
        try:
            edge = theory.edge_of_chaos(theory.TransformerBlock(alpha, alpha, 1.0, skip=skip))  # type: ignore[arg-type]
        except BadInput:  # no edge at all
            edge = np.nan
        edges.append(edge if min(s.sigmas) <= edge <= max(s.sigmas) else np.nan)
    return Line("edge of chaos (theory)", np.array(edges), alphas, role="theory")


def _diagram(data: xr.Dataset, s: TransformerSignalSettings) -> Figure:
    run = part(data, "diagram")
    panels: list[Curves | HeatMap] = []
    x, y = Axis("sigma_w"), Axis("alpha")
    alphas, sigmas = np.array(s.alphas), np.array(s.sigmas)
    for skip in OTHER:
        measured = exponent(run.gap.sel(skip=skip)).median("seed").transpose("alpha", "sigma_w").values
        most = float(np.abs(measured).max())
        panels.append(
            HeatMap(
                f"networks, skip {skip!r}", x, y, sigmas, alphas, measured, "lambda_a per block", 0.0, (-most, most),
                lines=[edge_line(s, skip)],
            )
        )  # fmt: skip
    lines = []
    for skip in OTHER:
        edges = np.array([first_crossing(exponent(run.gap.sel(skip=skip, alpha=a))) for a in s.alphas])
        middle = np.median(edges, axis=1)
        lines.append(Line(f"networks, {skip}", alphas, middle, edges.min(1), edges.max(1), joined=False))
        line = edge_line(s, skip)
        lines.append(Line(f"theory, {skip}", line.y, line.x, role="theory"))
    return Figure(
        "diagram", "Ordered and chaotic phase at initialization",
        "Growth of 1 - rho per block near collapse; below 0 tokens collapse. White: where the networks' median is 0. "
        f"Median over {s.diagram_seeds} networks of width {s.diagram_width}, 12 blocks, 16 tokens; bars from the least "
        "to the largest seed.", [*panels, Curves("the edge of chaos", y, x, lines)],
        ("phases-preserving", "phases-reset", "weak-edge-preserving", "weak-edge-reset"),
    )  # fmt: skip


def _trained(data: xr.Dataset, s: TransformerSignalSettings) -> Figure:
    run = part(data, "training")
    loss = last(run.test_loss).transpose("alpha", "sigma_w", "seed")
    angle, gradient = trained_exponents(s)
    heat = HeatMap(
        f"after {s.steps} steps", Axis("sigma_w"), Axis("alpha"), np.array(s.train_sigmas), np.array(s.train_alphas),
        loss.median("seed").values, "median test loss (nats)",
    )  # fmt: skip
    panels: list[Curves | HeatMap] = [heat]
    for name, by in (("lambda_a", angle), ("lambda_g (gradient's token mean)", gradient)):
        lines = []
        for alpha in s.train_alphas:
            values = loss.sel(alpha=alpha)
            lines.append(
                Line(
                    f"alpha = {alpha:g}", by.sel(alpha=alpha).values, values.median("seed").values,
                    values.min("seed").values, values.max("seed").values, joined=False,
                )
            )  # fmt: skip
        panels.append(Curves(f"against {name}", Axis(f"{name}, per block"), Axis("test loss (nats)"), lines))
    return Figure(
        "trained", f"Test loss of {s.train_depth}-block transformers on images against their exponents at the start",
        f"Exploratory. Median over {s.train_seeds} seeds, bars from the least to the largest; skip 'preserving', Adam "
        f"at rate {s.rate:g}, batches of {s.batch}, {s.steps} steps.", panels,
        ("trains-near-criticality", "collapse-hurts", "gradients-hurt"),
    )  # fmt: skip
