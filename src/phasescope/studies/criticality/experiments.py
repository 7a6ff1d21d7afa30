"""The experiments of ``criticality``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments.logits import LEARNING
from phasescope.lab.study import Experiment
from phasescope.learners import SignalNetwork
from phasescope.studies.criticality import networks
from phasescope.studies.criticality.settings import CriticalitySettings
from phasescope.tasks import Table, digits, fashion_mnist
from phasescope.theory.criticality import Block
from phasescope.vocabulary import Grid, Knob, Member, Recipe

SOURCE = "Doshi, He and Gromov 2023, arXiv:2111.12143"
LOWEST, HIGHEST = 0.5, 4.0

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
        "wide": Simulation(
            "Jacobians over depth in wider networks", networks.measure_wide_profiles, seeds,
            placed(networks.WIDE_CASES, s.depth),
            {"width": s.wide, "layers": s.depth, "samples": s.samples, "nets": s.wide_nets},
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
    early = Quantity("chi_early", "1", f"{SOURCE}: chi_J at the kernel of the first layer", PLACES, chi.coords)
    finer, more = sized(s.diagram_weights, s.diagram_biases)
    sizes = {"width": s.chi_width, "probes": s.chi_probes}
    return {
        "chi": Simulation(
            "phase diagrams that are judged", networks.measure_diagram, Grid(seeds=s.from_first(s.seeds)), (chi,),
            {**places, **sizes, "nets": s.chi_nets},
        ),
        "chi_theory": Simulation("theory of these diagrams", networks.predict_diagram, Grid(), (chi, early), places),
        "diagram": Simulation(
            "phase diagrams that are drawn", networks.measure_diagram, Grid(seeds=s.from_first(1)), (finer,),
            {**more, **sizes, "nets": s.diagram_nets},
        ),
    }  # fmt: skip


def _architectures(s: CriticalitySettings) -> dict[str, Experiment | Simulation]:
    judged: dict[str, Sequence[Knob]] = {"kind": networks.KINDS, "mu": (0.0, 0.9, 1.0), "sigma": networks.SIGMAS}
    drawn: dict[str, Sequence[Knob]] = {"kind": networks.KINDS, "mu": (0.5,), "sigma": networks.SIGMAS[-1:]}
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
        "architectures_more": over("MLP-Mixer and ResNets, another residual", drawn, (s.seeds + 2) // 3),
    }


def _network(width: int, deepest: int, inputs: int, block: Block, member: Member) -> SignalNetwork:
    return SignalNetwork(
        width, int(member.get("depth", deepest)), inputs=inputs, activation=str(block.activation), norm=block.norm,
        residual=block.residual, bias_variance=block.bias_variance,
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

    both, normed = (Block("relu", 2.0, networks.TRAIN_BIAS, "layer pre", mu) for mu in (1.0, 0.0))
    return {
        "train_erf": over(
            "trained: erf", Block("erf", 1.0), s.rates, depth=s.train_depths, weight_variance=networks.ERF_WEIGHTS
        ),
        "train_everywhere": over(
            "trained: LayerNorm on preactivations, mu = 1", both, s.rates[-1:], weight_variance=networks.RELU_WEIGHTS
        ),
        "train_normed": over(
            "control: trained with LayerNorm, without residual",
            normed,
            s.rates[-1:],
            weight_variance=networks.RELU_WEIGHTS,
        ),
    }


def mapped(s: CriticalitySettings) -> Experiment:
    """Return what a phase map varies: erf networks by SGD; variances, residual and rate are free."""
    depth, inputs = max(s.train_depths), task_of(s).inputs.shape[1]
    network = SignalNetwork(s.train_width, depth, inputs=inputs, activation="erf")
    return Experiment("SGD", network, task_of(s), Grid(), _recipe(s), LEARNING)
