"""The figures of the study ``criticality``, described in building blocks: theory as lines, networks as points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure, HeatMap, Line
from phasescope.lab.drawing import Data, lines, over
from phasescope.lab.measures import Cell, at
from phasescope.studies.criticality.networks import (
    BATCH_CASES,
    BIAS_SHARE,
    CASES,
    DEEP_CASES,
    ERF_WEIGHTS,
    PHIS,
    PLACES_OF_NORM,
    RELU_WEIGHTS,
    SIGMAS,
    TANGENT_CASES,
)
from phasescope.studies.criticality.readings import trained
from phasescope.studies.criticality.settings import CriticalitySettings
from phasescope.theory import critical_initialization, criticality
from phasescope.theory.criticality import Block
from phasescope.vocabulary import Array, BadInput

WEIGHT, BIAS = "sigma_w^2", "sigma_b^2"
LAYER, LOG_LAYER = Axis("layer l"), Axis("layer l", "log")
NORM_WORDS = {"none": "no norm", "layer pre": "LayerNorm before", "layer post": "LayerNorm after"}
KIND_WORDS = {"mixer": "MLP-Mixer", "resnet layer": "ResNet, LayerNorm", "resnet batch": "ResNet, BatchNorm"}


def figures(data: Data, s: CriticalitySettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (
        *(_diagram(data, s, mu) for mu in (0.0, 0.9, 1.0)),
        _depth(data, s),
        _powers(data, s),
        _batch(data, s),
        _tangent(data, s),
        _architectures(data, s),
        _training(data, s),
    )


# -- phase diagrams ----------------------------------------------------------------------------------------------------


def critical_line(phi: str, norm: str, residual: float, weights: Array, biases: Array) -> Line | None:
    """Return theory's critical line inside the diagram, or None where there is none."""
    if residual == 1:
        return None
    points = []
    if norm == "layer pre":
        points = [
            (w, critical_initialization.critical_bias(phi, w, "layer pre", residual))
            for w in np.linspace(weights[0], weights[-1])
        ]
    elif norm == "none" and phi == "relu":
        at = critical_initialization.critical_weights("relu", 1.0, "none", residual)[0]
        points = [(at, b) for b in (biases[0], biases[-1])]  # chi_J = 1 there whatever the kernel is
    else:
        for kernel in np.geomspace(1e-3, 1e3, 400):
            try:
                weight, bias = critical_initialization.critical_weights(phi, float(kernel), cast(Any, norm), residual)
            except BadInput:  # no critical network has this kernel
                continue
            # a kernel that repels is no limit of deep networks
            if criticality.chi_kernel(Block(phi, weight, bias, cast(Any, norm), residual), float(kernel)) <= 1:
                points.append((weight, bias))
    inside = [p for p in points if weights[0] <= p[0] <= weights[-1] and biases[0] <= p[1] <= biases[-1]]
    if len(inside) < 2:
        return None
    x, y = np.array(inside).T
    return Line("theory, chi_J = 1", x, y, role="theory")


def _diagram(data: Data, s: CriticalitySettings, mu: float) -> Figure:
    chi = at("diagram", residual=mu).of(data).chi.isel(seed=0)
    weights, biases = chi.weight_variance.values, chi.bias_variance.values
    panels = []
    for phi in PHIS:
        for norm in PLACES_OF_NORM:
            values = chi.sel(activation=phi, norm=norm).transpose("bias_variance", "weight_variance").values
            line = critical_line(phi, norm, mu, weights, biases)
            panels.append(
                HeatMap(
                    f"{phi}, {NORM_WORDS[norm]}", Axis(WEIGHT), Axis(BIAS), weights, biases, values, "chi_J", 1.0,
                    (0.5, 1.5), lines=() if line is None else (line,),
                )
            )  # fmt: skip
    places = chi.size
    return Figure(
        f"diagram-{mu:g}", f"chi_J at residual strength mu = {mu:g}",
        f"Measured from layer {s.chi_layer} to {s.chi_layer + 1} at width {s.chi_width}, {places:,} places with common "
        f"weight draws, mean of {s.diagram_nets} draws. White: measured 1. Coloured line: theory at infinite depth.",
        panels, ("chi-relu", "chi-erf", "chi-gelu", "chi-layer-norm", "pre-longer") if mu < 1 else ("chi-residual",),
    )  # fmt: skip


# -- J over depth ------------------------------------------------------------------------------------------------------


def _measured(data: Data, cell: Cell, label: str) -> Line:
    values = cell.of(data).jacobian
    chosen = np.unique(np.geomspace(1, values.layer.values[-1], 24).round().astype(int))
    table = values.sel(layer=chosen).transpose("seed", "layer").values
    return Line(label, chosen.astype(float), table.mean(0), table.min(0), table.max(0))


def _predicted(block: Block, layers: int, label: str) -> Line:
    jacobian = criticality.apjn(block, 1 + block.bias_variance, layers - 1)
    return Line(label, np.arange(1.0, layers + 1), jacobian, role="theory")


def _pairs(
    data: Data, cases: Mapping[str, str], experiment: str, blocks: Mapping[str, Block], layers: int
) -> list[Line]:
    measured = [_measured(data, at(experiment, case=case), label) for case, label in cases.items()]
    return measured + [_predicted(blocks[case], layers, f"theory, {label}") for case, label in cases.items()]


def _depth(data: Data, s: CriticalitySettings) -> Figure:
    def panel(title: str, x: Axis, cases: dict[str, str]) -> Curves:
        shallow = next(iter(cases)) in CASES
        where = ("profiles", CASES, s.depth) if shallow else ("deep", DEEP_CASES, s.layers)
        return Curves(title, x, Axis("J from layer 1 to l", "log"), _pairs(data, cases, *where))

    return Figure(
        "depth", "Jacobians over depth",
        f"Width {s.width}; points are means over {s.seeds} seeds of {s.nets} networks each (erf: {s.deep_nets}), "
        "bars from the least seed to the largest; lines are the recurrences of infinite width.",
        [
            panel("ReLU", LAYER, {f"relu {w}": f"{WEIGHT} = {w}" for w in ("1.8", "2", "2.2")}),
            panel("erf", LOG_LAYER, {"erf critical": f"{WEIGHT} = pi/4", "erf chaotic": f"{WEIGHT} = 1.5"}),
            panel("ReLU, LayerNorm before", LAYER, {"pre relu": "no bias", "pre relu, bias": f"{BIAS} = 0.25"}),
            panel("ReLU, LayerNorm after", LAYER, {"post relu": "no bias", "post relu, critical": f"{BIAS} = 0.934"}),
        ],
        ("relu-critical", "relu-1.8-rate", "relu-2.2-rate", "erf-power", "pre-constant", "post-rate", "post-critical"),
    )  # fmt: skip


def _powers(data: Data, s: CriticalitySettings) -> Figure:
    def panel(title: str, cases: dict[str, str]) -> Curves:
        both = _pairs(data, cases, "deep", DEEP_CASES, s.layers)
        return Curves(title, LOG_LAYER, Axis("J from layer 1 to l", "log"), both)

    root = [
        Line(line.label, np.sqrt(line.x), line.y, line.low, line.high, line.role)
        for line in _pairs(data, {"erf 2, mu 1": "erf, no norm"}, "deep", DEEP_CASES, s.layers)
    ]
    return Figure(
        "powers", "Residual networks at mu = 1",
        "With LayerNorm on preactivations J is a power of depth for every initialization; at mu = 0.9 it is not. "
        "Without norm log J of erf networks goes as the root of depth.",
        [
            panel("activations", {f"pre {phi} 2, mu 1": phi for phi in PHIS}),
            panel("ReLU, other variances", {
                "pre relu 0.5, mu 1": f"{WEIGHT} = 0.5", "pre relu 4, mu 1": f"{WEIGHT} = 4",
                "pre relu 2, mu 1, bias": f"{WEIGHT} = {BIAS} = 2",
            }),
            panel("mu = 0.9", {f"pre {phi} 2, mu 0.9": phi for phi in PHIS}),
            Curves("no norm", Axis("root of the layer"), Axis("J from layer 1 to l", "log"), root),
        ],
        (*(f"power-{phi}" for phi in PHIS), "power-everywhere", "stretched"),
    )  # fmt: skip


def _batch(data: Data, s: CriticalitySettings) -> Figure:
    def panel(title: str, x: Axis, cases: dict[str, str]) -> Curves:
        both = _pairs(data, cases, "batch", BATCH_CASES, s.batch_layers)
        return Curves(title, x, Axis("J from layer 1 to l", "log"), both)

    return Figure(
        "batch", "BatchNorm",
        f"Batches of {s.batch_samples} at width {s.batch_width}; theory is for infinite batches.",
        [
            panel("mu = 0", LAYER, {
                "batch relu 2": f"{WEIGHT} = 2", "batch relu 0.5, bias": f"{WEIGHT} = 0.5, {BIAS} = 1",
            }),
            panel("mu = 1", LOG_LAYER, {"batch relu, mu 1": f"{WEIGHT} = 2"}),
        ],
        ("batch-chaotic", "batch-invariant", "batch-residual"),
    )  # fmt: skip


def _tangent(data: Data, s: CriticalitySettings) -> Figure:
    found = data["tangent"]
    each = {case: at("tangent", case=case).of(data) for case in TANGENT_CASES}
    points = [Line(case, cell.total.values, cell.tangent.values, joined=False) for case, cell in each.items()]
    ends = np.array([float(found.total.min()) * 0.8, float(found.total.max()) * 1.2])
    same = Line("equal", ends, ends, role="theory")
    axis = Axis("sum over layers of K J", "log")
    return Figure(
        "tangent", "The tangent kernel is a sum of kernels times Jacobians",
        f"{s.tangent_layers} layers of width {s.tangent_width}; one point per seed, a mean over {s.tangent_nets} "
        "networks.",
        [Curves("one input", axis, Axis("tangent kernel", "log"), [*points, same])], ("tangent-kernel",),
    )  # fmt: skip


# -- architectures and training ----------------------------------------------------------------------------------------


def _architectures(data: Data, s: CriticalitySettings) -> Figure:
    sigma, share = SIGMAS[1], BIAS_SHARE
    judged, more = "architectures", "architectures_more"
    experiments = {0.0: judged, 0.5: more, 0.9: judged, 1.0: judged}
    blocks = np.arange(1.0, 2 * s.architecture_depth + 1)
    panels = []
    for kind, title in KIND_WORDS.items():
        cells = {f"mu = {mu:g}": at(name, kind=kind, mu=mu, sigma=sigma) for mu, name in experiments.items()}
        found = lines(data, {label: (_beyond_the_first, cell) for label, cell in cells.items()}, blocks)
        if kind == "resnet layer":
            found += [_convolutional(mu, sigma, 2 * s.architecture_depth) for mu in experiments]
        panels.append(Curves(title, Axis("block", "log"), Axis("J from the first block on", "log"), found))
    return Figure(
        "architectures", "MLP-Mixer and ResNets over residual strength",
        f"{WEIGHT} = {sigma:g}, {BIAS} = {share * sigma:g}, random images, {s.architecture_width} channels; half "
        "blocks of the mixer. Median over seeds, band from the least to the largest. At mu = 1 J is a power of depth: "
        "a straight line.",
        panels, tuple(f"everywhere-{kind.replace(' ', '-')}" for kind in KIND_WORDS),
    )  # fmt: skip


def _beyond_the_first(cell: xr.Dataset) -> xr.DataArray:
    later: xr.DataArray = cell.jacobian.isel(block=slice(1, None))
    return later


def _convolutional(mu: float, sigma: float, depth: int) -> Line:
    block = Block("relu", sigma, BIAS_SHARE * sigma, "layer pre", mu)
    jacobian = criticality.apjn(block, 1 + BIAS_SHARE * sigma, depth)[1:]
    return Line(f"theory, mu = {mu:g}", np.arange(1.0, depth + 1), jacobian, role="theory")


def _training(data: Data, s: CriticalitySettings) -> Figure:
    fine = np.geomspace(ERF_WEIGHTS[0], ERF_WEIGHTS[-1], 200)
    lengths = np.array([criticality.correlation_length(Block("erf", float(w))) for w in fine])
    weight, reach, critical = Axis(WEIGHT, "log"), Axis("test accuracy", limits=(0, 1)), [(float(np.pi / 4), "pi/4")]
    length = Curves(
        "how far gradients reach", weight, Axis("correlation length (layers)", "log", (0.5, 1000)),
        [Line("theory, erf", fine, np.minimum(lengths, 1e4), role="theory")], critical,
    )  # fmt: skip
    return Figure(
        "training", "What can be trained",
        f"Test accuracy after {s.train_steps} steps of SGD at the rate of the best training accuracy; width "
        f"{s.train_width}. Median over seeds, band from the least to the largest.",
        [
            over("erf", data, weight, ERF_WEIGHTS, reach,
                {f"{depth} layers": (trained, at("train_erf", depth=depth)) for depth in s.train_depths},
                marks=critical),
            length,
            over(f"ReLU, {max(s.train_depths)} layers", data, weight, RELU_WEIGHTS, reach,
                {"LayerNorm before, mu = 1": (trained, at("train_everywhere"))},
                control={"LayerNorm before, mu = 0": (trained, at("train_normed"))}),
        ],
        ("trains-critical", "trains-not-chaotic", "trains-everywhere"),
    )  # fmt: skip
