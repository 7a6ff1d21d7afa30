"""Rich and lazy learning from unbalanced starts. Kunin, Raventos, Domine et al. 2024, arXiv:2406.06158.

Every layer's weights may be large or small. Gradient flow conserves the difference of their squares, delta, and with it
how a network learns: *upstream* (last layers large, the first learns faster), *balanced* or *downstream*. One linear
neuron is solved exactly; wide and deep linear networks end where a potential says; two-layer ReLU networks are trained
over scale and balance as the paper's Fig. 1 does. Modular addition asks whether an upstream start makes a network grok
sooner.

Neurons and ReLU networks are trained by full-batch gradient descent in float64. What is stated of gradient flow is
integrated: LSODA, or the methods of Runge and Kutta where a claim is about their accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments import LEARNING
from phasescope.learners import PowerMLP
from phasescope.studies._rich_and_lazy_claims import claims
from phasescope.studies._rich_and_lazy_figures import figures
from phasescope.studies._rich_and_lazy_network_claims import FOURFOLD, LARGE, QUARTER, SMALL
from phasescope.studies._rich_and_lazy_neurons import (
    measure_descent,
    measure_flow,
    measure_rank_one,
    measure_training,
)
from phasescope.studies._rich_and_lazy_products import measure_deep, measure_wide
from phasescope.studies._rich_and_lazy_relu import measure_relu
from phasescope.studies._study import Experiment, Paper, Study
from phasescope.tasks import addition
from phasescope.vocabulary import Grid, Member, Positive, Recipe, Settings

Count = Annotated[int, Field(ge=1)]
PAPER = "arXiv:2406.06158"
DELTAS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)


class RichLazySettings(Settings):
    """Sizes of the study. ``scales`` and ``balances`` are tau and delta of the ReLU students; claims add their own.

    The diagram has ``map_seeds`` students per cell; the six cells that claims look at have twice ``seeds``.
    """

    seeds: Count = 12
    rate: Annotated[float, Field(gt=0, le=0.01)] = 0.001
    horizon: Positive = 20.0
    neuron_samples: Annotated[int, Field(ge=2)] = 10
    records: Annotated[int, Field(ge=3)] = 13
    wide_size: Annotated[int, Field(ge=2)] = 6
    wide_deltas: tuple[float, ...] = (-10.0, -1.0, 0.01, 0.1, 1.0, 10.0)
    layers: tuple[Annotated[int, Field(ge=2)], ...] = (2, 3, 4)
    dimension: Annotated[int, Field(ge=2)] = 30
    width: Annotated[int, Field(ge=2, multiple_of=2)] = 20
    samples: Count = 300
    scales: tuple[Positive, ...] = (0.1, 0.2, 0.45, 1.0, 2.0)
    balances: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
    relu_rate: Positive = 5e-3
    checkpoints: tuple[Count, ...] = (100, 1000, 2000)
    map_seeds: Count = 6
    p: Annotated[int, Field(ge=5)] = 23
    addition_width: Count = 200
    train_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.6
    addition_steps: Annotated[int, Field(ge=10)] = 1000
    addition_rate: Positive = 0.01
    decay: Annotated[float, Field(ge=0)] = 1.0
    factors: tuple[Positive, ...] = (0.5, 1.0, 2.0)

    @property
    def all_scales(self) -> tuple[float, ...]:
        """The scales tau in order, with those of the claims."""
        return tuple(sorted({*self.scales, SMALL, LARGE}))

    @property
    def all_balances(self) -> tuple[float, ...]:
        """The differences delta, with those of the claims."""
        return tuple(sorted({*self.balances, -1.0, 0.0, 1.0}))

    @property
    def all_factors(self) -> tuple[float, ...]:
        """The factors of first weights in modular addition, with those of the claims."""
        return tuple(sorted({*self.factors, QUARTER, 1.0, FOURFOLD}))

    @property
    def times(self) -> tuple[float, ...]:
        """The times at which the neuron is read: 0, and log-spaced up to the horizon."""
        return (0.0, *(float(t) for t in np.geomspace(0.05, self.horizon, self.records - 1)))


SCALES = {
    "pocket": RichLazySettings(),
    "paper": RichLazySettings(
        seeds=16,
        map_seeds=16,
        dimension=100,
        width=50,
        samples=1000,
        scales=tuple(float(t) for t in np.logspace(-1, 0.3, 17)),
        balances=tuple(float(t) for t in np.linspace(-1, 1, 17)),
        checkpoints=(100, 1000, 10_000, 100_000, 1_000_000),
        p=97,
        addition_width=500,
        addition_steps=5000,
    ),
}


def experiments(s: RichLazySettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: one neuron, wide and deep networks, ReLU students, modular addition."""
    return {**_neuron(s), **_products(s), **_relu(s), **_addition(s)}


def _neuron(s: RichLazySettings) -> dict[str, Experiment | Simulation]:
    over = {"delta": DELTAS, "time": s.times}
    return {
        "neuron": Simulation(
            "one neuron, trained on whitened data",
            measure_training,
            Grid(seeds=s.seeds),
            (
                Quantity("loss", "first loss", PAPER, ("delta", "time"), over),
                Quantity("kernel_distance", "1", f"{PAPER}, Sec. 3", ("delta", "time"), over),
                Quantity("moved", "1", "length of the change of beta", ("delta",)),
                Quantity("fitted", "1", "time to 0.1 % of the loss", ("delta",)),
            ),
            {"deltas": DELTAS, "rate": s.rate, "times": s.times, "samples": s.neuron_samples},
        ),
        "flow": Simulation(
            "the flow of one neuron",
            measure_flow,
            Grid({"rates": ("1 1", "0.5 2")}, seeds=s.seeds),
            tuple(Quantity(name, "1", f"{PAPER}, Sec. 3") for name in ("drift", "deviation", "balanced")),
            {"horizon": 4.0},
        ),
        "descent": Simulation(
            "descent instead of flow",
            measure_descent,
            Grid({"rate": (0.001, 0.01, 0.1)}, seeds=s.seeds),
            (Quantity("drift", "1", "derived: first order in the rate"),),
            {"horizon": s.horizon},
        ),
        "rank_one": Simulation(
            "data that do not see one direction",
            measure_rank_one,
            Grid({"problem": ("published", "random"), "delta": DELTAS}, seeds=s.seeds),
            tuple(Quantity(name, "1", PAPER) for name in ("end", "closed", "opposite", "least")),
            {"horizon": 400.0},
        ),
    }


def _products(s: RichLazySettings) -> dict[str, Experiment | Simulation]:
    names = ("drift", "grown", "entropy", "function", "minimum_norm", "nuclear")
    return {
        "wide": Simulation(
            "wide linear networks",
            measure_wide,
            Grid({"measurements": ("shared", "any"), "delta": s.wide_deltas}, seeds=s.seeds),
            tuple(Quantity(name, "1", f"{PAPER}, Sec. 4") for name in names),
            {"size": s.wide_size, "horizon": 1e7},
        ),
        "deep": Simulation(
            "deep linear networks",
            measure_deep,
            Grid({"layers": s.layers}, seeds=s.seeds),
            tuple(Quantity(name, "1", f"{PAPER}, Sec. 4") for name in ("end", "foreseen", "shallow", "drift", "grown")),
            {"width": 3, "horizon": 1e5},
        ),
    }


def _relu(s: RichLazySettings) -> dict[str, Experiment | Simulation]:
    units = {"train_loss": "1", "test_loss": "1", "kernel_distance": "1", "flips": "neurons", "moved": "1"}
    over = {"step": s.checkpoints}
    quantities = (
        *(Quantity(name, unit, f"{PAPER}, Fig. 1", ("step",), over) for name, unit in units.items()),
        Quantity("drift", "1", f"{PAPER}, conserved per neuron"),
        Quantity("grown", "1", "control of drift"),
    )
    sizes = {"dimension": s.dimension, "width": s.width, "samples": s.samples}
    fixed = {**sizes, "rate": s.relu_rate, "at": s.checkpoints}
    work = float(max(s.checkpoints) * s.dimension * s.width * s.samples)

    def students(title: str, scales: Sequence[float], balances: Sequence[float], seeds: int) -> Simulation:
        grid = Grid({"scale": scales, "balance": balances}, seeds=seeds)
        return Simulation(title, measure_relu, grid, quantities, fixed, work)

    corners = students("ReLU students in six cells", (SMALL, LARGE), (-1.0, 0.0, 1.0), 2 * s.seeds)
    diagram = students("ReLU students over scale and balance", s.all_scales, s.all_balances, s.map_seeds)
    return {"corners": corners, "relu": diagram}


def _addition(s: RichLazySettings) -> dict[str, Experiment | Simulation]:
    recipe = Recipe(
        optimizer="adamw", lr=s.addition_rate, weight_decay=s.decay, steps=s.addition_steps, records=150, overtime=1.25
    )
    task = addition(s.p, train_fraction=s.train_fraction)

    def same_function(member: Member) -> PowerMLP:
        up = float(member["upstream"])
        return PowerMLP(s.p, s.addition_width, embed_scale=up**-0.5, readout_scale=up)

    def embedding_alone(member: Member) -> PowerMLP:
        return PowerMLP(s.p, s.addition_width, embed_scale=float(member["embedding"]))

    def readout_alone(member: Member) -> PowerMLP:
        # squared: the first function is that of embeddings times the factor
        return PowerMLP(s.p, s.addition_width, readout_scale=float(member["readout"]) ** 2)

    def over(name: str) -> Grid:
        return Grid({name: s.all_factors}, seeds=s.seeds)

    return {
        "same_function": Experiment(
            "modular addition, one first function", same_function, task, over("upstream"), recipe, LEARNING
        ),
        "embedding": Experiment(
            "modular addition, the embedding alone", embedding_alone, task, over("embedding"), recipe, LEARNING
        ),
        "readout": Experiment(
            "modular addition, the readout alone", readout_alone, task, over("readout"), recipe, LEARNING
        ),
    }


STUDY = Study(
    name="rich-and-lazy",
    title="Rich and lazy learning from unbalanced starts",
    question="How does the balance between layers decide whether a network learns features, and how fast?",
    paper=Paper(
        authors=(
            "Daniel Kunin, Allan Raventós, Clémentine Dominé, Feng Chen, David Klindt, Andrew Saxe, Surya Ganguli"
        ),
        year=2024,
        title="Get rich quick: exact solutions reveal how unbalanced initializations promote rapid feature learning",
        link="https://arxiv.org/abs/2406.06158",
        bibtex=(
            "@inproceedings{kunin2024get,\n  title     = {Get rich quick: exact solutions reveal how unbalanced "
            "initializations promote rapid feature learning},\n  author    = {Kunin, Daniel and Ravent{\\'o}s, Allan "
            "and Domin{\\'e}, Cl{\\'e}mentine and Chen, Feng and Klindt, David and Saxe, Andrew and Ganguli, Surya},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n  year      = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The closed form of a(t), the flow of a wide network's function and the potential of a deep one are derived "
        "here. The hyperbolic entropy decides the end of a wide network exactly only where the data share singular "
        "vectors; the flow of the function is exact always. The paper's experiments on modular arithmetic are known "
        "from its abstract alone: network, sizes and margins there are ours."
    ),
)
