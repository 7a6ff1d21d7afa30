"""The experiments of ``rich-and-lazy``."""

from __future__ import annotations

from collections.abc import Sequence

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments.logits import LEARNING
from phasescope.lab.study import Experiment
from phasescope.learners import PowerMLP
from phasescope.studies.rich_and_lazy.neurons import measure_descent, measure_flow, measure_rank_one, measure_training
from phasescope.studies.rich_and_lazy.products import measure_deep, measure_wide
from phasescope.studies.rich_and_lazy.relu import measure_relu
from phasescope.studies.rich_and_lazy.settings import DELTAS, LARGE, SMALL, RichLazySettings
from phasescope.tasks import addition
from phasescope.vocabulary import Grid, Member, Recipe

PAPER = "arXiv:2406.06158"


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
            kind="trained",
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
            tuple(Quantity(name, "1", PAPER) for name in ("end", "closed", "nearest", "least")),
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
        return Simulation(title, measure_relu, grid, quantities, fixed, work, kind="trained")

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
