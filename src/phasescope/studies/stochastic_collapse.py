"""Stochastic collapse: how noise draws training to simpler networks. Chen et al. 2023, arXiv:2306.04251.

A set that every mini-batch's gradient leaves unchanged, such as "this neuron is zero" or "these two neurons are equal",
attracts if the noise that vanishes on it is strong against the pull of the loss. The study goes from one number to a
network: a quartic loss, one neuron under label noise, a linear teacher and student, two neurons that become one, and
networks on real images whose learning rate stays large for a shorter or a longer time.

Sizes are the authors' where their code states them. The images are scikit-learn's digits and not CIFAR, the networks
fully connected, and the loss is the squared error, in which alone the noise of labels is what the theory assumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies import _stochastic_collapse_networks as networks
from phasescope.studies import _stochastic_collapse_walks as walks
from phasescope.studies._stochastic_collapse_claims import CONDITIONS, LEVELS, MU, NOISES, VALUES, ZETAS, claims
from phasescope.studies._stochastic_collapse_figures import figures
from phasescope.studies._study import Experiment, Paper, Study
from phasescope.vocabulary import Grid, Knob, Positive, Settings

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Many = Annotated[int, Field(ge=10)]
PAPER = "Chen et al. 2023, arXiv:2306.04251"


class CollapseSettings(Settings):
    """Sizes of the study. The learning rate of networks falls after the share ``early``, or ``late``, of the steps."""

    seeds: Count = 10
    dt: Positive = 0.0025
    quartic_steps: Many = 40_000
    quartic_walkers: Count = 1000
    neuron_samples: Annotated[int, Field(ge=2)] = 32
    neuron_dt: Positive = 0.01
    neuron_steps: Many = 16_000
    neuron_walkers: Count = 128
    learning_rate: Positive = 3.0
    samples: Count = 1024
    mode_steps: Many = 30_000
    mode_walkers: Count = 512
    pair_steps: Many = 10_000
    pair_runs: Count = 8
    width: Count = 32
    depth: Count = 2
    network_steps: Many = 4000
    batch: Count = 32
    large: Positive = 0.1
    small: Positive = 0.01
    label_noise: Annotated[float, Field(ge=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 2e-3
    early: Share = 0.25
    late: Share = 0.75


SCALES = {
    "pocket": CollapseSettings(),
    "paper": CollapseSettings(
        quartic_steps=80_000,
        neuron_steps=100_000,
        neuron_walkers=1000,
        mode_steps=60_000,
        mode_walkers=256,
        width=256,
        depth=3,
        network_steps=100_000,
        weight_decay=5e-4,
    ),
}


def experiments(s: CollapseSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name, from one number to networks."""
    return {
        "quartic": _quartic(s),
        "neuron": _neuron(s),
        "modes": _modes(s),
        "pair": _pair("two neurons", s, (1.0,), CONDITIONS),
        "equal": _pair("two equal neurons, and two that are nearly equal", s, (0.0, 0.001), ((0.1, 0.0), (0.3, 0.1))),
        "networks": _networks(s),
    }


def _times(steps: int, records: int, unit: float) -> list[float]:
    return [float(step * unit) for step in walks.record_steps(steps, records)]


def _quartic(s: CollapseSettings) -> Simulation:
    places = {"zeta": ZETAS, "time": _times(s.quartic_steps, 20, s.dt)}
    both = ("zeta", "time")
    return Simulation(
        "a quartic loss",
        walks.quartic,
        Grid({"noise": ("vanishing", "constant")}, seeds=s.seeds),
        (
            Quantity("log_square", "log10", f"median of x^2; {PAPER}, Fig. 1", both, places),
            Quantity("collapsed", "1", f"share of walkers with x^2 < 1e-30; {PAPER}, Fig. 1", both, places),
            Quantity("mean_absolute", "1", "E|x| over walkers and the later half of the time", ("zeta",)),
        ),
        {"zetas": ZETAS, "mu": MU, "dt": s.dt, "steps": s.quartic_steps, "walkers": s.quartic_walkers, "records": 20},
    )


def _neuron(s: CollapseSettings) -> Simulation:
    places = {"level": LEVELS, "time": _times(s.neuron_steps, 16, s.neuron_dt)}
    both = ("level", "time")
    return Simulation(
        "one neuron under label noise",
        walks.neuron,
        Grid(seeds=s.seeds),
        (
            Quantity("near", "1", f"share of walkers with |w| < 0.01; {PAPER}, Fig. 2", both, places),
            Quantity("log_size", "ln", "median of |w|", both, places),
            Quantity("rate", "1 / time", "theory.neuron_rates, the slower one", ("level",)),
            Quantity("step_rate", "1 / time", "theory.neuron_rates of the walk's own steps", ("level",)),
        ),
        {
            "levels": LEVELS, "samples": s.neuron_samples, "dt": s.neuron_dt, "steps": s.neuron_steps,
            "walkers": s.neuron_walkers, "deviation": 0.001, "records": 16,
        },
    )  # fmt: skip


def _modes(s: CollapseSettings) -> Simulation:
    rate = s.learning_rate / s.samples
    places = {"label_noise": NOISES, "value": VALUES, "time": _times(s.mode_steps, 30, rate)}
    dims = ("label_noise", "value", "time")
    return Simulation(
        "a linear teacher and its student, mode by mode",
        walks.modes,
        Grid(seeds=s.seeds),
        (
            Quantity("strength", "1", f"mean of u v over walkers; {PAPER}, Fig. 5", dims, places),
            Quantity("typical", "1", "geometric mean of u v over walkers", dims, places),
            Quantity("lost", "1", "share of walkers with u v < 0.001", dims, places),
        ),
        {
            "values": VALUES, "noises": NOISES, "rate": rate, "steps": s.mode_steps, "walkers": s.mode_walkers,
            "records": 30,
        },
    )  # fmt: skip


def _pair(
    title: str, s: CollapseSettings, gaps: tuple[float, ...], conditions: tuple[tuple[float, float], ...]
) -> Simulation:
    places: dict[str, Sequence[Knob]] = {
        "condition": [f"{rate:g}, {sigma:g}" for rate, sigma in conditions],
        "step": tuple(int(step) for step in walks.record_steps(s.pair_steps, 20)),
    }
    source = f"median of |(w1, a1) - (w2, a2)|^2; {PAPER}, and nbs/one_hidden_layer of its repository"
    return Simulation(
        title,
        walks.pair,
        Grid({"gap": gaps}, seeds=s.seeds),
        (Quantity("log_distance", "log10", source, ("condition", "step"), places),),
        {"conditions": conditions, "steps": s.pair_steps, "runs": s.pair_runs, "records": 20},
    )


def _networks(s: CollapseSettings) -> Simulation:
    steps = [0, *(int(step) for step in walks.record_steps(s.network_steps, 8))]
    places: dict[str, Sequence[Knob]] = {"case": networks.CASES, "until": (0.0, s.early, s.late), "step": steps}
    dims = ("case", "until", "step")
    source = f"independent neurons / width; {PAPER}, Fig. 6"
    return Simulation(
        "networks on digits, large learning rate first",
        networks.schedule,
        Grid(seeds=s.seeds),
        (
            Quantity("independent", "1", source, (*dims, "layer"), places),
            Quantity("train_accuracy", "1", "share of training images answered", dims),
            Quantity("test_accuracy", "1", f"share of test images answered; {PAPER}, Fig. 6", dims),
        ),
        {
            "drops": (0.0, s.early, s.late), "steps": s.network_steps, "batch": s.batch, "width": s.width,
            "depth": s.depth, "high": s.large, "low": s.small, "sigma": s.label_noise, "decay": s.weight_decay,
            "warmup": 500, "records": 8,
        },
    )  # fmt: skip


STUDY = Study(
    name="stochastic-collapse",
    title="Stochastic collapse: noise that makes networks simpler",
    question="When does the noise of stochastic gradient descent make neurons vanish or become equal?",
    paper=Paper(
        authors="Feng Chen, Daniel Kunin, Atsushi Yamamura and Surya Ganguli",
        year=2023,
        title="Stochastic Collapse: How Gradient Noise Attracts SGD Dynamics Towards Simpler Subnetworks",
        link="https://arxiv.org/abs/2306.04251",
        bibtex=(
            "@inproceedings{chen2023stochastic,\n"
            "  title     = {Stochastic Collapse: How Gradient Noise Attracts {SGD} Dynamics Towards Simpler\n"
            "               Subnetworks},\n"
            "  author    = {Chen, Feng and Kunin, Daniel and Yamamura, Atsushi and Ganguli, Surya},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n  year      = {2023}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The paper's networks are a VGG-16 and a ResNet-18 on CIFAR; here they are fully connected and learn digits by "
        "squared error, because label noise on a cross-entropy does not vanish where logits saturate. At pocket scale "
        "their weight decay is four times the paper's, because they train for a shorter time. Where a claim's source "
        "says 'derived here' or 'asked here', the number is not the paper's."
    ),
)
