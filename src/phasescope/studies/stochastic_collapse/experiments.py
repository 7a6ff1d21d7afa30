"""The experiments of ``stochastic-collapse``."""

from __future__ import annotations

from collections.abc import Sequence

from phasescope.ensemble import Quantity, Simulation
from phasescope.lab.study import Experiment
from phasescope.studies.stochastic_collapse import networks, walks
from phasescope.studies.stochastic_collapse.settings import (
    CONDITIONS,
    LEVELS,
    MU,
    NOISES,
    VALUES,
    ZETAS,
    CollapseSettings,
)
from phasescope.vocabulary import Grid, Knob

PAPER = "Chen et al. 2023, arXiv:2306.04251"


def experiments(s: CollapseSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name, from one number to networks."""
    return {
        "quartic": _quartic(s),
        "neuron": _neuron(s),
        "modes": _modes(s),
        "pair": _pair("two neurons", s, {"points": ("drawn", "notebook")}, CONDITIONS),
        "equal": _pair(
            "two equal neurons, and two that are nearly equal", s, {"gap": (0.0, 0.001)}, ((0.1, 0.0), (0.3, 0.1))
        ),
        "networks": _networks(
            "networks on digits, large learning rate first", s, networks.CASES, (0.0, s.early, s.late)
        ),
        "full_batch": _networks("the same on full batches", s, networks.FULL_CASES, (s.early, s.late), batch=0),
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
            Quantity("collapsed", "1", f"fraction of walkers with x^2 < 1e-30; {PAPER}, Fig. 1", both, places),
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
            Quantity("near", "1", f"fraction of walkers with |w| < 0.01; {PAPER}, Fig. 2", both, places),
            Quantity("log_size", "ln", "median of |w|", both, places),
            Quantity("rate", "1 / time", "theory.stochastic_collapse.neuron_rates, the slower one", ("level",)),
            Quantity("step_rate", "1 / time", "theory.stochastic_collapse.neuron_rates, the walk's steps", ("level",)),
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
            Quantity("lost", "1", "fraction of walkers with u v < 0.001", dims, places),
        ),
        {
            "values": VALUES, "noises": NOISES, "rate": rate, "steps": s.mode_steps, "walkers": s.mode_walkers,
            "records": 30,
        },
    )  # fmt: skip


def _pair(
    title: str, s: CollapseSettings, axes: dict[str, Sequence[Knob]], conditions: tuple[tuple[float, float], ...]
) -> Simulation:
    places: dict[str, Sequence[Knob]] = {
        "condition": [f"{rate:g}, {sigma:g}" for rate, sigma in conditions],
        "step": tuple(int(step) for step in walks.record_steps(s.pair_steps, 20)),
    }
    source = f"2 |p1 - p2|^2 / (|p1|^2 + |p2|^2), median over runs; {PAPER}, nbs/one_hidden_layer of its repository"
    rest = {"points": "drawn"} if "gap" in axes else {"gap": 1.0}
    return Simulation(
        title,
        walks.pair,
        Grid(axes, seeds=s.seeds),
        (Quantity("log_distance", "log10", source, ("condition", "step"), places),),
        {**rest, "conditions": conditions, "steps": s.pair_steps, "runs": s.pair_runs, "records": 20},
        kind="trained",
    )


def _networks(
    title: str, s: CollapseSettings, cases: Sequence[str], drops: tuple[float, ...], batch: int | None = None
) -> Simulation:
    steps = [0, *(int(step) for step in walks.record_steps(s.network_steps, 8))]
    places: dict[str, Sequence[Knob]] = {"case": cases, "until": drops, "step": steps}
    dims = ("case", "until", "step")
    source = f"independent neurons / width; {PAPER}, Fig. 6"
    return Simulation(
        title,
        networks.schedule,
        Grid(seeds=s.seeds),
        (
            Quantity("independent", "1", source, (*dims, "layer"), places),
            Quantity("train_accuracy", "1", "fraction of training images answered", dims),
            Quantity("test_accuracy", "1", f"fraction of test images answered; {PAPER}, Fig. 6", dims),
        ),
        {
            "cases": cases, "drops": drops, "steps": s.network_steps, "batch": s.batch if batch is None else batch,
            "images": s.images, "width": s.width, "depth": s.depth, "high": s.large, "low": s.small,
            "sigma": s.label_noise, "decay": s.weight_decay, "warmup": 500, "records": 8,
        },
        kind="trained",
    )  # fmt: skip
