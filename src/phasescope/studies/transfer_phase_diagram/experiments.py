"""The experiments of ``transfer-phase-diagram``."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments.logits import test_loss, train_loss
from phasescope.lab.study import Experiment
from phasescope.learners import DeepLinear
from phasescope.studies.transfer_phase_diagram.draws import (
    closed_form,
    feature_probe,
    finite_source,
    foreseen,
    ridge_probe,
)
from phasescope.studies.transfer_phase_diagram.relu import relu_transfer
from phasescope.studies.transfer_phase_diagram.settings import HALF, SOURCE_NOISE, WIDE, TransferSettings
from phasescope.tasks import LinearTarget
from phasescope.vocabulary import Grid, Recipe

SAMPLES = 50  # of the probes on one feature and on several


def experiments(s: TransferSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: closed forms first, then trained networks."""
    return {**_closed(s), **_trained(s), "relu": _relu(s)}


def _closed(s: TransferSettings) -> dict[str, Experiment | Simulation]:
    paper = "arXiv:2410.08194"
    over = {"angle": s.angles, "noise": s.noises}
    risks = ("scratch", "ridge", "linear", "printed", "balanced")
    size = {"dimension": s.dimension, "draws": s.draws}
    return {
        "diagram": Simulation(
            "solutions in closed form over samples per dimension",
            closed_form,
            Grid({"gamma": s.all_gammas}, seeds=s.seeds),
            [Quantity(name, "1", paper, ("angle", "noise"), over) for name in risks],
            {**size, "angles": s.angles, "noises": s.noises, "ridge": s.ridge},
        ),
        "probe": Simulation(
            "a probe with ridge penalty and endless data",
            ridge_probe,
            Grid({"angle": (HALF, WIDE)}, seeds=s.seeds),
            [Quantity("risk", "1", f"{paper}, Eq. 13", ("penalty",), {"penalty": s.penalties})],
            {"samples": s.probe_samples, "noise": 0.2, "penalties": s.penalties},
        ),
        "features": Simulation(
            "a probe on several features",
            feature_probe,
            Grid({"features": (1, 5, 10, 20)}, seeds=s.seeds),
            [Quantity("risk", "1", "extension of Eq. 10, derived")],
            {"samples": SAMPLES, "draws": s.draws, "outside": 0.5, "noise": 0.2},
        ),
        "sources": Simulation(
            "fine-tuning from a source learnt from finite data",
            finite_source,
            Grid({"source_gamma": (0.5, 2.0)}, seeds=s.seeds),
            [Quantity("transferability", "1", f"{paper}, Eqs. 22-23", ("angle",), {"angle": s.angles})],
            {
                **size,
                "draws": 3 * s.draws,
                "angles": s.angles,
                "gamma": 0.5,
                "noise": 0.2,
                "source_noise": SOURCE_NOISE,
            },
        ),
    }


def _trained(s: TransferSettings) -> dict[str, Experiment | Simulation]:
    d = s.trained_dimension
    task = LinearTarget(d, angle=WIDE)
    grid = Grid({"gamma": (0.5, 2.0), "noise": (0.2, 1.0)}, seeds=s.seeds)
    rates = Grid({**grid.axes, "lr": (s.rate, s.rate / 2)}, seeds=s.seeds)
    recipe = Recipe(optimizer="sgd", lr=s.rate, steps=s.steps, records=s.records, dtype="float64")
    source = Recipe(**{**recipe.model_dump(), "steps": round(15 / s.source_rate), "lr": s.source_rate})
    watch = (train_loss, test_loss)
    tuned = DeepLinear(d, d, scale=s.scale, pretraining=s.source_steps)
    names = ("scratch", "printed", "balanced", "share")
    return {
        "source": Experiment(
            "the source is learnt",
            DeepLinear(d, d),
            LinearTarget(d, endless=True),
            Grid({"scale": (s.scale, s.large_scale)}, seeds=s.seeds),
            source,
            watch,
        ),
        "scratch": Experiment(
            "trained from scratch", DeepLinear(d, d, scale=s.scratch_scale), task, grid, recipe, watch
        ),
        "tuned": Experiment("fine-tuned", tuned, task, rates, recipe, watch),
        "foreseen": Simulation(
            "what theory foresees of these networks",
            foreseen,
            grid,
            [Quantity(name, "1", "arXiv:2410.08194, Theorem 3.9, and its correction") for name in names],
            {"dimension": d, "angle": task.angle},
        ),
    }


def _relu(s: TransferSettings) -> Simulation:
    names = ("scratch", "linear", "tuned", "source")
    sizes = {"dimension": s.relu_dimension, "width": s.relu_width, "teacher": s.relu_teacher, "steps": s.relu_steps}
    return Simulation(
        "ReLU students of ReLU teachers",
        relu_transfer,
        Grid({"samples": s.relu_samples, "removed": (0.2, 0.8)}, seeds=s.relu_seeds),
        [Quantity(name, "risk of the zero function", "arXiv:2410.08194, Sec. 4") for name in names],
        {**sizes, "rate": 0.2, "scale": 0.5},
        kind="trained",
    )
