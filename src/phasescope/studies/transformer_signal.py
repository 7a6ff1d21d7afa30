"""Signal propagation in transformers at initialization. Cowsik, Nebabu, Qi and Ganguli 2024, arXiv:2403.02579.

Tokens that start in general position either collapse to one direction (ordered) or stay apart (chaotic), as two numbers
of the initialization say: lambda_a, the growth of the angle between tokens per block, and lambda_g, that of gradients.
The network is single-head attention without mask and a tanh perceptron, each on a normalized branch. The paper's text
was not at hand, and which skip connection it uses is not settled: "preserving", sqrt(1 - alpha^2) x + alpha Branch(LN
x), and "reset", x set to size 1 and then x + alpha Branch(x), are both measured. lambda_g is read as the growth of the
gradient's token mean, which wins at large depth; that this is the paper's is a guess.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from phasescope.ensemble import Simulation
from phasescope.instruments import LEARNING
from phasescope.learners import SignalTransformer
from phasescope.studies._readings import at_the_end
from phasescope.studies._study import Experiment, Paper, Study
from phasescope.studies._transformer_signal_claims import claims
from phasescope.studies._transformer_signal_figures import figures
from phasescope.studies._transformer_signal_runs import GRADIENT, PASS, backpropagate, propagate
from phasescope.tasks.images import digits, fashion_mnist
from phasescope.tasks.table import Table
from phasescope.vocabulary import Grid, Positive, Recipe, Settings

Count = Annotated[int, Field(ge=1)]
Strength = Annotated[float, Field(gt=0, lt=1)]
SKIPS = ("preserving", "reset")
STRENGTHS = ("0.5 0.5 1", "0.5 0.5 2", "0.5 0.5 4", "0.3 0.8 3", "0.8 0.3 3")
NEARLY = 1 - 1e-10  # from 1e-4 on a growing gap is no longer small, and gradients' modes mix to that order


class TransformerSignalSettings(Settings):
    """Sizes of the study. ``hidden`` is the perceptron's width; ``images`` "digits" or a folder with Fashion-MNIST."""

    seeds: Annotated[int, Field(ge=2)] = 16
    tokens: Annotated[int, Field(ge=11)] = 64
    path_width: Annotated[int, Field(ge=65)] = 512
    path_depth: Count = 8
    width: Annotated[int, Field(ge=65)] = 256
    hidden: Count = 1024
    depth: Annotated[int, Field(ge=2)] = 16
    alphas: tuple[Strength, ...] = (0.2, 0.4, 0.6, 0.8)
    sigmas: tuple[Positive, ...] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    diagram_width: Annotated[int, Field(ge=33)] = 128
    diagram_hidden: Count = 512
    diagram_seeds: Annotated[int, Field(ge=2)] = 10
    weak_alpha: Strength = 0.25
    weak_sigmas: tuple[Positive, ...] = (3.0, 4.0)
    weak_depth: Count = 64
    weak_seeds: Annotated[int, Field(ge=2)] = 32
    depths: tuple[Count, ...] = (16, 128)
    narrow_hidden: Count = 256
    settled_sigma: Positive = 10.0
    settled_depth: Count = 40
    collapse_depth: Annotated[int, Field(ge=10)] = 40
    train_seeds: Annotated[int, Field(ge=2)] = 6
    train_alphas: tuple[Strength, ...] = (0.2, 0.5, 0.8)
    train_sigmas: tuple[Positive, ...] = (1.0, 3.0, 6.0)
    train_width: Count = 32
    train_hidden: Count = 32
    train_depth: Count = 8
    steps: Annotated[int, Field(ge=2)] = 80
    batch: Count = 32
    rate: Positive = 1e-3
    images: str = "digits"
    side: Count = 2

    @property
    def table(self) -> Table:
        """The images that are learnt."""
        return digits() if self.images == "digits" else fashion_mnist(Path(self.images))

    @property
    def train_tokens(self) -> int:
        """How many patches an image has."""
        return (8 if self.images == "digits" else 28) ** 2 // self.side**2


SCALES = {
    "pocket": TransformerSignalSettings(),
    "paper": TransformerSignalSettings(
        seeds=32,
        width=512,
        weak_alpha=0.1,
        weak_depth=128,
        weak_seeds=256,
        depths=(16, 64, 128),
        alphas=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        sigmas=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0),
        diagram_width=256,
        diagram_hidden=1024,
        train_seeds=8,
        train_alphas=(0.1, 0.3, 0.5, 0.7, 0.9),
        train_sigmas=(1.0, 2.0, 3.0, 4.0, 6.0),
        train_width=64,
        train_hidden=128,
        train_depth=12,
        steps=500,
        batch=64,
    ),
}


def experiments(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: networks at initialization, then the trained ones."""
    return {**_near_collapse(s), **_far(s), "training": _training(s, True)}


def _run(title: str, axes: dict[str, Any], seeds: int, **fixed: Any) -> Simulation:
    return Simulation(title, propagate, Grid(axes, seeds=seeds), PASS, {"sigma_A": 1.0, **fixed})


def _near_collapse(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    wide: dict[str, Any] = {"width": s.width, "hidden": s.hidden, "depth": s.depth, "tokens": 32, "start": NEARLY}
    small: dict[str, Any] = {"depth": 12, "width": s.diagram_width, "hidden": s.diagram_hidden}
    few: dict[str, Any] = {"tokens": 16, "start": NEARLY}
    long: dict[str, Any] = {"width": s.width, "hidden": s.narrow_hidden, "tokens": 32, "start": NEARLY}
    exponents = Grid({"skip": SKIPS, "strengths": STRENGTHS}, seeds=s.seeds)
    return {
        "exponents": Simulation(
            "exponents of angle and gradient", backpropagate, exponents, (*PASS, GRADIENT), {"sigma_A": 1.0, **wide}
        ),
        "diagram": _run(
            "angle exponents over strength and hidden scale",
            {"skip": SKIPS, "alpha": s.alphas, "sigma_w": s.sigmas}, s.diagram_seeds, **small, **few,
        ),
        "weak": _run(
            f"strengths of {s.weak_alpha:g} around the edge of chaos", {"skip": SKIPS, "sigma_w": s.weak_sigmas},
            s.weak_seeds, alpha=s.weak_alpha, depth=s.weak_depth, **long,
        ),
        "depths": _run(
            "strengths that fall with depth, and a control that do not", {"power": (0.5, 0.0), "depth": s.depths},
            s.seeds, skip="preserving", alpha=min(s.depths) ** -0.5, shallowest=min(s.depths), sigma_w=2.0, **long,
        ),
    }  # fmt: skip


def _far(s: TransformerSignalSettings) -> dict[str, Experiment | Simulation]:
    path: dict[str, Any] = {"width": s.path_width, "hidden": 2 * s.path_width, "depth": s.path_depth}
    settled: dict[str, Any] = {"width": s.width, "hidden": s.hidden // 2, "depth": s.settled_depth}
    return {
        "path": _run(
            "tokens from general position", {"skip": SKIPS, "sigma_A": (1.0, 2.0)}, s.seeds, alpha=0.7, sigma_w=3.0,
            start=0.2, unit_size=True, tokens=s.tokens, **path,
        ),
        "attention": _run(
            "attention without a perceptron", {"skip": SKIPS}, s.seeds, alpha_A=0.5, alpha_M=0.0, sigma_w=1.0,
            start=0.2, unit_size=True, width=s.width, hidden=1, depth=s.collapse_depth, tokens=s.tokens,
        ),
        "settled": _run(
            "where tokens settle", {"sigma_w": (3.0, s.settled_sigma), "start": (0.5, 0.999)}, s.seeds,
            skip="preserving", alpha=0.5, tokens=s.tokens, **settled,
        ),
    }  # fmt: skip


def _training(s: TransformerSignalSettings, scan: bool) -> Experiment:
    table = s.table
    learner = SignalTransformer(
        s.train_width, s.train_depth, hidden=s.train_hidden, inputs=table.inputs.shape[1], side=s.side,
        outputs=table.classes,
    )  # fmt: skip
    recipe = Recipe(
        optimizer="adam", lr=s.rate, beta2=0.999, steps=s.steps, batch=s.batch, loss="cross_entropy", records=3,
        first_record=max(s.steps // 4, 1),
    )  # fmt: skip
    grid = Grid({"alpha": s.train_alphas, "sigma_w": s.train_sigmas}, seeds=s.train_seeds) if scan else Grid()
    return Experiment("trained transformers", learner, table, grid, recipe, LEARNING)


def mapped(s: TransformerSignalSettings) -> Experiment:
    """Return what a phase map varies: a transformer on images; strengths, weight scales and rate are free."""
    return _training(s, False)


ORDERS = (at_the_end("test_accuracy", 0.5), at_the_end("train_accuracy", 0.5))

STUDY = Study(
    name="transformer-signal",
    title="Signal propagation in transformers",
    question="Which initializations keep a deep transformer's tokens apart, and do these train?",
    paper=Paper(
        authors="Aditya Cowsik, Tamra Nebabu, Xiao-Liang Qi and Surya Ganguli",
        year=2024,
        title="Geometric dynamics of signal propagation predict trainability of transformers",
        link="https://arxiv.org/abs/2403.02579",
        bibtex=(
            "@article{cowsik2024geometric,\n"
            "  title   = {Geometric dynamics of signal propagation predict trainability of transformers},\n"
            "  author  = {Cowsik, Aditya and Nebabu, Tamra and Qi, Xiao-Liang and Ganguli, Surya},\n"
            "  journal = {arXiv preprint arXiv:2403.02579},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    mapped=mapped,
    orders=ORDERS,
    notes=(
        "The paper's text was not at hand: formulas were derived here from its model, and which normalization of the "
        "skip connection it uses is not settled, so two are measured. Claims about training are exploratory: one "
        "optimizer, one rate, a small width and few steps."
    ),
)
