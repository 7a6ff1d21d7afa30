"""Critical initialization of deep networks. Doshi, He and Gromov 2023, arXiv:2111.12143.

How a gradient passes through a deep network before it is trained: the averaged partial Jacobian norm J^{l0,l} grows by
chi_J per layer. Where chi_J is 1 deep networks can be trained; with LayerNorm on preactivations and residual strength
mu = 1 that is everywhere. Networks are h^{l+1} = sigma_w W phi(h^l) + sigma_b b + mu h^l, W ~ N(0, 1/N), b ~ N(0, 1),
with a first layer of sigma_w = 1, on random inputs of mean square 1, as in the authors' code.

Everything but the trained networks is measured on fresh weights, and set beside the recurrences of infinite width
(``theory.Block``). J is an average over networks: it is averaged before its logarithm is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments import LEARNING
from phasescope.learners import SignalNetwork
from phasescope.studies import _criticality_networks as networks
from phasescope.studies._criticality_claims import claims
from phasescope.studies._criticality_figures import figures
from phasescope.studies._readings import at_the_end
from phasescope.studies._study import Experiment, Paper, Study
from phasescope.tasks import Table, digits, fashion_mnist
from phasescope.theory import Block
from phasescope.vocabulary import Grid, Knob, Member, Positive, Recipe, Settings

Count = Annotated[int, Field(ge=1)]
SOURCE = "Doshi, He and Gromov 2023, arXiv:2111.12143"
LOWEST, HIGHEST = 0.5, 4.0


class CriticalitySettings(Settings):
    """Sizes of the study.

    ``width``, ``depth``, ``nets``: the networks whose J is followed over depth, ``nets`` per seed; ``layers`` and
    ``deep_nets`` where powers of depth are sought; ``samples`` inputs each. ``chi_*`` and ``diagram_*``: the phase
    diagrams that are judged and the finer ones that are drawn, chi_J from ``chi_layer`` to the next. ``batch_*``:
    BatchNorm. ``tangent_*``: the tangent kernel. ``architecture_*``: MLP-Mixer and ResNets. ``train_*``: trained
    networks, on the digits, or on Fashion-MNIST where ``folder`` names its files. Seeds below ``first_seed`` were for
    pilots.
    """

    width: Count = 500
    depth: Annotated[int, Field(ge=4)] = 40
    nets: Count = 12
    layers: Annotated[int, Field(ge=8)] = 100
    deep_nets: Count = 4
    samples: Count = 4
    seeds: Count = 12
    first_seed: Annotated[int, Field(ge=0)] = 20
    chi_width: Count = 500
    chi_layer: Annotated[int, Field(ge=2)] = 45
    chi_nets: Count = 3
    chi_probes: Count = 5
    chi_weights: Annotated[int, Field(ge=3)] = 8
    chi_biases: Annotated[int, Field(ge=2)] = 5
    diagram_weights: Annotated[int, Field(ge=3)] = 15
    diagram_biases: Annotated[int, Field(ge=2)] = 9
    diagram_nets: Count = 3
    batch_width: Count = 256
    batch_layers: Annotated[int, Field(ge=8)] = 24
    batch_samples: Annotated[int, Field(ge=2)] = 64
    batch_nets: Count = 4
    tangent_width: Count = 300
    tangent_layers: Annotated[int, Field(ge=2)] = 12
    tangent_nets: Count = 8
    architecture_width: Count = 64
    architecture_depth: Annotated[int, Field(ge=4)] = 16
    architecture_samples: Annotated[int, Field(ge=2)] = 4
    architecture_nets: Count = 3
    train_width: Count = 96
    train_depths: tuple[Count, ...] = (10, 40)
    train_steps: Annotated[int, Field(ge=2)] = 120
    train_batch: Count = 64
    train_seeds: Count = 8
    train_samples: Count = 70_000
    rates: tuple[Positive, ...] = (0.01, 0.03)
    folder: str = ""

    def from_first(self, count: int) -> tuple[int, ...]:
        """Return ``count`` seeds."""
        return tuple(range(self.first_seed, self.first_seed + count))


SCALES = {
    "pocket": CriticalitySettings(),
    "paper": CriticalitySettings(
        seeds=32,
        architecture_width=128,
        architecture_depth=50,
        train_width=500,
        train_depths=(12, 24, 48),
        train_steps=2340,
        train_batch=256,
        rates=(0.001, 0.003, 0.01, 0.03, 0.1),
    ),
}

OVER_DEPTH = (
    Quantity("kernel", "1", f"{SOURCE}: K^l, mean square of the preactivations", ("case", "layer")),
    Quantity("jacobian", "1", f"{SOURCE}: J^{{1,l}}", ("case", "layer")),
)
PLACES = ("activation", "norm", "residual", "weight_variance", "bias_variance")


def task_of(s: CriticalitySettings) -> Table:
    """Return the images that are learnt."""
    return fashion_mnist(s.folder, samples=s.train_samples) if s.folder else digits()


def experiments(s: CriticalitySettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: fresh networks first, then trained ones."""
    return {**_over_depth(s), **_diagrams(s), **_architectures(s), **_trained(s)}


def _over_depth(s: CriticalitySettings) -> dict[str, Experiment | Simulation]:
    def placed(cases: Iterable[str], layers: int) -> tuple[Quantity, ...]:
        coords: dict[str, Sequence[Knob]] = {"case": tuple(cases), "layer": tuple(range(1, layers + 1))}
        return tuple(Quantity(q.name, q.unit, q.source, q.dims, coords) for q in OVER_DEPTH)

    seeds = Grid(seeds=s.from_first(s.seeds))
    sums = tuple(
        Quantity(name, "1", f"{SOURCE}; {what}", ("case",), {"case": tuple(networks.TANGENT_CASES)})
        for name, what in (("tangent", "Theta^L(x, x)"), ("total", "sum_l K^l J^{l,L}"), ("plain", "sum_l K^l"))
    )
    return {
        "profiles": Simulation(
            "Jacobians over depth", networks.measure_profiles, seeds, placed(networks.CASES, s.depth),
            {"width": s.width, "layers": s.depth, "samples": s.samples, "nets": s.nets},
        ),
        "deep": Simulation(
            "powers of depth", networks.measure_deep_profiles, seeds, placed(networks.DEEP_CASES, s.layers),
            {"width": s.width, "layers": s.layers, "samples": s.samples, "nets": s.deep_nets},
        ),
        "batch": Simulation(
            "Jacobians over depth with BatchNorm", networks.measure_batch_profiles, seeds,
            placed(networks.BATCH_CASES, s.batch_layers),
            {"width": s.batch_width, "layers": s.batch_layers, "samples": s.batch_samples, "nets": s.batch_nets},
        ),
        "tangent": Simulation(
            "tangent kernels", networks.measure_tangent, seeds, sums,
            {"width": s.tangent_width, "layers": s.tangent_layers, "nets": s.tangent_nets, "probes": 8},
        ),
    }  # fmt: skip


def spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return ``count`` evenly spaced numbers, rounded to what is shown."""
    return tuple(round(low + (high - low) * i / (count - 1), 6) for i in range(count))


def _diagrams(s: CriticalitySettings) -> dict[str, Experiment | Simulation]:
    def sized(columns: int, rows: int) -> tuple[Quantity, dict[str, str | int]]:
        weights, biases = spaced(LOWEST, HIGHEST, columns), spaced(0.0, 2.0, rows)
        axes: tuple[Sequence[Knob], ...] = (
            networks.PHIS, networks.PLACES_OF_NORM, networks.RESIDUALS, weights, biases,
        )  # fmt: skip
        chi = Quantity("chi", "1", f"{SOURCE}: chi_J^l", PLACES, dict(zip(PLACES, axes, strict=True)))
        places = {"weights": networks.words(weights), "biases": networks.words(biases)}
        return chi, {"layer": s.chi_layer, **places}

    chi, places = sized(s.chi_weights, s.chi_biases)
    finer, more = sized(s.diagram_weights, s.diagram_biases)
    sizes = {"width": s.chi_width, "probes": s.chi_probes}
    return {
        "chi": Simulation(
            "phase diagrams that are judged", networks.measure_diagram, Grid(seeds=s.from_first(s.seeds)), (chi,),
            {**places, **sizes, "nets": s.chi_nets},
        ),
        "chi_theory": Simulation("theory of these diagrams", networks.predict_diagram, Grid(), (chi,), places),
        "diagram": Simulation(
            "phase diagrams that are drawn", networks.measure_diagram, Grid(seeds=s.from_first(1)), (finer,),
            {**more, **sizes, "nets": s.diagram_nets},
        ),
    }  # fmt: skip


def _architectures(s: CriticalitySettings) -> dict[str, Experiment | Simulation]:
    judged: dict[str, Sequence[Knob]] = {"kind": networks.KINDS, "mu": (0.0, 1.0), "sigma": networks.SIGMAS}
    drawn: dict[str, Sequence[Knob]] = {"kind": networks.KINDS, "mu": (0.5, 0.9), "sigma": networks.SIGMAS[-1:]}
    places = {"block": tuple(range(2 * s.architecture_depth + 1))}
    quantities = tuple(Quantity(q.name, q.unit, q.source, ("block",), places) for q in OVER_DEPTH)
    fixed = {
        "side": 8, "depth": s.architecture_depth, "width": s.architecture_width,
        "nets": s.architecture_nets,
        "batch": s.architecture_samples, "bias_share": networks.BIAS_SHARE,
    }  # fmt: skip

    def over(title: str, axes: dict[str, Sequence[Knob]], seeds: int) -> Simulation:
        return Simulation(
            title, networks.measure_architecture, Grid(axes, seeds=s.from_first(seeds)), quantities, fixed
        )

    return {
        "architectures": over("MLP-Mixer and ResNets", judged, s.seeds),
        "architectures_more": over("MLP-Mixer and ResNets, other residuals", drawn, (s.seeds + 2) // 3),
    }


def _network(width: int, deepest: int, inputs: int, block: Block, member: Member) -> SignalNetwork:
    return SignalNetwork(
        width, int(member.get("depth", deepest)), inputs=inputs, activation=str(block.activation), norm=block.norm,
        residual=block.residual,
    )  # fmt: skip


def _recipe(s: CriticalitySettings) -> Recipe:
    return Recipe(
        optimizer="sgd", lr=s.rates[-1], steps=s.train_steps, batch=s.train_batch, loss="cross_entropy", records=2,
        first_record=s.train_steps,
    )  # fmt: skip


def _trained(s: CriticalitySettings) -> dict[str, Experiment | Simulation]:
    task = task_of(s)

    def over(title: str, block: Block, rates: tuple[float, ...], **axes: tuple[float, ...]) -> Experiment:
        learner = partial(_network, s.train_width, max(s.train_depths), task.inputs.shape[1], block)
        grid = Grid({**axes, "lr": rates}, seeds=s.from_first(s.train_seeds))
        return Experiment(title, learner, task, grid, _recipe(s), LEARNING)

    normed, plain = Block("relu", 2.0, 0.0, "layer pre", 1.0), Block("relu", 2.0)
    return {
        "train_erf": over(
            "trained: erf", Block("erf", 1.0), s.rates, depth=s.train_depths, weight_variance=networks.ERF_WEIGHTS
        ),
        "train_everywhere": over(
            "trained: LayerNorm on preactivations, mu = 1", normed, s.rates[-1:], weight_variance=networks.RELU_WEIGHTS
        ),
        "train_relu": over(
            "control: trained without norm and residual", plain, s.rates[-1:], weight_variance=networks.RELU_WEIGHTS
        ),
    }


def mapped(s: CriticalitySettings) -> Experiment:
    """Return what a phase map varies: erf networks by SGD; variances, residual and rate are free."""
    depth, inputs = max(s.train_depths), task_of(s).inputs.shape[1]
    network = SignalNetwork(s.train_width, depth, inputs=inputs, activation="erf")
    return Experiment("SGD", network, task_of(s), Grid(), _recipe(s), LEARNING)


STUDY = Study(
    name="criticality",
    title="Critical initialization of deep networks",
    question="How must a deep network be initialized for gradients to pass through it, and when does it not matter?",
    paper=Paper(
        authors="Darshil Doshi, Tianyu He and Andrey Gromov",
        year=2023,
        title="Critical Initialization of Wide and Deep Neural Networks using Partial Jacobians: General Theory and "
        "Applications",
        link="https://arxiv.org/abs/2111.12143",
        bibtex=(
            "@inproceedings{doshi2023critical,\n"
            "  title     = {Critical Initialization of Wide and Deep Neural Networks using Partial Jacobians:\n"
            "               General Theory and Applications},\n"
            "  author    = {Doshi, Darshil and He, Tianyu and Gromov, Andrey},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n  year      = {2023}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    mapped=mapped,
    orders=(at_the_end("test_accuracy"), at_the_end("train_accuracy")),
    notes=(
        "Only the paper's abstract and its authors' code were at hand: the recurrences, and the numbers that follow "
        "from them, were derived here. Networks of finite width deviate from them by 1/N per layer."
    ),
)
