"""The figures of the study ``transformer-signal``: which reading is shown, of which cells, beside which law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, lines, seen
from phasescope.lab.measures import Measure, at, end, value
from phasescope.studies.transformer_signal.claims import EDGE, GROWTH, OTHER
from phasescope.studies.transformer_signal.predictions import (
    PLACES,
    SAMPLES,
    Formula,
    block_at,
    exponents_at,
    gradient_formulas,
    path,
    placed,
    settled_block,
)
from phasescope.studies.transformer_signal.runs import STRENGTHS
from phasescope.studies.transformer_signal.settings import RIVAL_SIGMA, TransformerSignalSettings
from phasescope.theory import transformer_signal
from phasescope.theory.transformer_signal import (
    TransformerBlock,
    collapsed_size,
    edge_of_chaos,
    token_trajectory,
)
from phasescope.vocabulary import Array, BadInput

BLOCKS = Axis("blocks")
RHO = 1 - value("gap")


def figures(data: Data, s: TransformerSignalSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_paths(data, s), _far(data, s), _exponents(data, s), _diagram(data, s), _trained(data, s))


def _map(label: str, states: Array) -> Line:
    """Return rho of theory's states (blocks + 1, 2) over the blocks."""
    return Line(label, np.arange(len(states)), states[:, 1] / states[:, 0], role="theory")


def _paths(data: Data, s: TransformerSignalSettings) -> Figure:
    layers, panels = np.arange(s.path_depth + 1), []
    for skip in OTHER:
        shown = []
        for score in data["path"].sigma_A.values:
            tokens = f"n = {s.tokens}" if score <= 1 else "n = infinite"
            networks = {f"networks, sigma_A = {score:g}": (RHO, at("path", skip=skip, sigma_A=score))}
            shown += [*lines(data, networks, layers), _map(f"map, {tokens}", path(s, skip, score=float(score)))]
        panels.append(Curves(f"skip {skip!r}", BLOCKS, Axis("correlation rho of tokens", limits=(0, 1)), shown))
    measured = lines(data, {"networks": ("size", at("path", skip="preserving", sigma_A=1.0))}, layers)
    size = [*measured, Line("map", layers, path(s, "preserving")[:, 0], role="theory")]
    panels.append(Curves("size, skip 'preserving'", BLOCKS, Axis("q, mean square of a token's entries"), size))
    return Figure(
        "paths", "Tokens from general position, at strengths 0.7 and sigma_w = 3",
        f"Median over {s.seeds} seeds, each a mean over {s.path_draws} networks of width {s.path_width} with "
        f"{s.tokens} tokens, band from the least to the largest. The map to first order in e^(sigma_A^2)/n holds for "
        "sigma_A = 1; at sigma_A = 2 it would need 218 tokens or more, so the line there is the map of many tokens.",
        panels,
        ("path-preserving", "path-reset"),
    )  # fmt: skip


def _far(data: Data, s: TransformerSignalSettings) -> Figure:
    return Figure(
        "far", "Attention alone collapses tokens; a steep perceptron keeps them apart",
        f"Strengths of 0.5, {s.tokens} tokens, width {s.path_width} on the left and {s.width} on the right. Median "
        f"over {s.seeds} seeds, on the right each a mean over {s.settled_draws} networks, band from the least to the "
        "largest.", [_attention_alone(data, s), _chaos(data, s)],
        (*(f"attention-collapses-{skip}" for skip in OTHER), "attention-collapses-steadily", "settles-apart"),
    )  # fmt: skip


def _attention_alone(data: Data, s: TransformerSignalSettings) -> Curves:
    layers, shown = np.arange(s.collapse_depth + 1), []
    for skip in OTHER:
        block = TransformerBlock(0.5, 0.0, 1.0, 1.0, s.tokens, skip=skip)  # type: ignore[arg-type]
        q, p = token_trajectory(block, 1.0, 0.2, s.collapse_depth).T
        shown += lines(data, {f"networks, {skip}": ("gap", at("attention", skip=skip))}, layers)
        shown.append(Line(f"map, {skip}", layers, 1 - p / q, role="theory"))
    return Curves("attention alone", BLOCKS, Axis("1 - rho", "log"), shown)


def _chaos(data: Data, s: TransformerSignalSettings) -> Curves:
    layers, shown, block = np.arange(s.settled_depth + 1), [], settled_block(s)
    size = collapsed_size(block)
    for start in map(float, data["settled"].start.values):
        networks = at("settled", sigma_w=s.settled_sigma, start=start)
        shown += lines(data, {f"networks from {start:g}": (RHO, networks)}, layers)
        shown.append(
            _map(
                f"map from {start:g}",
                transformer_signal.token_trajectory(block, size, start * size, s.settled_depth),
            )
        )
    rival = {f"sigma_w = {RIVAL_SIGMA:g} from 0.5": (RHO, at("settled", sigma_w=RIVAL_SIGMA, start=0.5))}
    shown += lines(data, rival, layers, role="control")
    rho = Axis("correlation rho of tokens", limits=(0.4, 1.01))
    return Curves(f"perceptron of sigma_w = {s.settled_sigma:g}", BLOCKS, rho, shown)


def _spread(label: str, x: Array, values: xr.DataArray) -> Line:
    """Return single points at ``x`` of the mean over seeds, with a bar of one standard error of it either way."""
    table = values.transpose("strengths", "seed").values
    error = table.std(1, ddof=1) / np.sqrt(table.shape[1])
    middle = table.mean(1)
    return Line(label, x, middle, middle - error, middle + error, joined=False)


def _exponents(data: Data, s: TransformerSignalSettings) -> Figure:
    panels = []
    for skip in OTHER:
        blocks, cell = [block_at(name, skip) for name in STRENGTHS], at("exponents", skip=skip)
        compared: dict[str, tuple[Formula, Measure]] = {
            "angle": (transformer_signal.angle_exponent, value("growth", mode="angle"))
        }
        for mode, formula in gradient_formulas(s.depth).items():
            compared[f"gradient, {mode}"] = formula, value("growth", mode=mode)
        shown = [
            _spread(label, np.array([formula(block) for block in blocks]), seen(data, (measured, cell)))
            for label, (formula, measured) in compared.items()
        ]
        places = [line.x for line in shown]
        ends = np.array([np.min(places), np.max(places)])
        shown.append(Line("measured = predicted", ends, ends, role="theory"))
        panels.append(Curves(f"skip {skip!r}", Axis("predicted, per block"), Axis("measured, per block"), shown))
    return Figure(
        "exponents", "Exponents of angle and gradient near collapse, predicted and measured",
        f"Five settings of (alpha_A, alpha_M, sigma_w): {'; '.join(STRENGTHS)}. Mean over {s.seeds} seeds, each "
        f"over {s.draws} networks of width {s.width} and {s.depth} blocks; bars are one standard error.", panels,
        tuple(f"{claim}-{skip}" for skip in OTHER
              for claim in ("angle-exponent", "gradient-total", "gradient-mean", "gradient-difference")),
    )  # fmt: skip


def edge_line(s: TransformerSignalSettings, skip: str) -> Line:
    """Return the edge of chaos, sigma_w over alpha, as far as it lies in the diagram."""
    alphas, edges = np.linspace(min(s.alphas), max(s.alphas), 60), []
    for alpha in alphas:
        try:
            edge = edge_of_chaos(TransformerBlock(alpha, alpha, 1.0, skip=skip))  # type: ignore[arg-type]
        except BadInput:  # no edge at all
            edge = np.nan
        edges.append(edge if min(s.sigmas) <= edge <= max(s.sigmas) else np.nan)
    return Line("edge of chaos (theory)", np.array(edges), alphas, role="theory")


def _points(label: str, x: Array, values: xr.DataArray) -> Line:
    """Return single points at ``x``: the median over seeds, with a bar from the least to the largest."""
    middle, low, high = (np.asarray(v.values) for v in (values.median("seed"), values.min("seed"), values.max("seed")))
    return Line(label, x, middle, low, high, joined=False)


def _diagram(data: Data, s: TransformerSignalSettings) -> Figure:
    x, y = Axis("sigma_w"), Axis("alpha")
    alphas, sigmas = np.array(s.alphas), np.array(s.sigmas)
    panels: list[Curves | HeatMap] = []
    edges = []
    for skip in OTHER:
        cell, predicted = at("diagram", skip=skip, alpha=s.alphas, sigma_w=s.sigmas), edge_line(s, skip)
        growth = seen(data, (GROWTH, cell)).median("seed").transpose("alpha", "sigma_w").values
        most = float(np.abs(growth).max())
        panels.append(
            HeatMap(f"networks, skip {skip!r}", x, y, sigmas, alphas, growth, "lambda_a per block", 0.0, (-most, most),
                lines=[predicted])
        )  # fmt: skip
        found = [EDGE(at("diagram", skip=skip, alpha=a, sigma_w=s.sigmas))(data) for a in s.alphas]
        edges += [
            _points(f"networks, {skip}", alphas, xr.DataArray(found, dims=("alpha", "seed"))),
            Line(f"theory, {skip}", predicted.y, predicted.x, role="theory"),
        ]
    return Figure(
        "diagram", "Ordered and chaotic phase at initialization",
        "Growth of 1 - rho per block near collapse; below 0 tokens collapse. White: where the networks' median is 0. "
        f"Median over {s.seeds} networks of width {s.diagram_width}, 12 blocks, 16 tokens; bars from the least "
        "to the largest seed.", [*panels, Curves("the edge of chaos", y, x, edges)],
        ("phases-preserving", "phases-reset", "weak-edge-preserving", "weak-edge-reset"),
    )  # fmt: skip


def _trained(data: Data, s: TransformerSignalSettings) -> Figure:
    panels: list[Curves] = []
    for i, name in enumerate(("lambda_a", "lambda_g (gradient's token mean)")):
        shown = []
        for sample in SAMPLES:
            cells = {place: at("training", sample=sample, place=place) for place in PLACES}
            loss = [seen(data, (end("test_loss"), cell)) for cell in cells.values()]
            seeds = data["training"].seed.values
            x = [[exponents_at(*placed(s, sample, place, int(seed)))[i] for seed in seeds] for place in PLACES]
            shown.append(Line(sample, np.ravel(x), np.ravel([one.values for one in loss]), joined=False))
        panels.append(Curves(f"against {name}", Axis(f"{name}, per block"), Axis("test loss (nats)", "log"), shown))
    return Figure(
        "trained", f"Test loss of {s.train_depth}-block transformers on images against their exponents at the start",
        f"Exploratory. Each point is a network of its own strength and sigma_w, {s.train_seeds} pairs in each sample; "
        f"skip 'preserving', Adam at rate {s.rate:g}, batches of {s.batch}, {s.steps} steps.", panels,
        ("trains-near-criticality", "collapse-hurts", "gradients-hurt"),
    )  # fmt: skip
