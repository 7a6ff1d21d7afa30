"""Scratch, linear transfer and fine-tuning. Tahir, Ganguli and Rotskoff 2024, arXiv:2410.08194.

A deep linear network learns a source task wholly, then a target at an angle to it from gamma samples per dimension. Its
risk is known exactly, for a network that begins anew (the minimum-norm solution), for one whose last layer alone learns
on the source's feature, and for one that is tuned as a whole. Whether transfer helps depends on angle, amount of data
and noise, and on no distance between the two tasks.

Trained networks: full-batch gradient descent in float64, first weights alpha N(0, 1) / sqrt(d); the source is learnt
on the population loss, which endless data are. Theory is for gradient flow; finite steps of fine-tuning unbalance the
layers in proportion to the learning rate, so its risk is extrapolated from two rates to none. Everything else is a
solution in closed form on drawn samples.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments import test_loss, train_loss
from phasescope.learners import DeepLinear
from phasescope.studies._study import Experiment, Paper, Study
from phasescope.studies._transfer_phase_diagram_claims import claims
from phasescope.studies._transfer_phase_diagram_draws import (
    closed_form,
    feature_probe,
    finite_source,
    foreseen,
    ridge_probe,
)
from phasescope.studies._transfer_phase_diagram_figures import figures
from phasescope.studies._transfer_phase_diagram_relu import relu_transfer
from phasescope.tasks import LinearTarget
from phasescope.vocabulary import Grid, Positive, Recipe, Settings

Count = Annotated[int, Field(ge=1)]
WATCHED = (0.25, 0.5, 0.6, 0.75, 1.0, 1.5, 2.0)  # the gammas that claims look at


class TransferSettings(Settings):
    """Sizes of the study. ``gammas`` are samples per dimension (those of the claims are added), ``degrees`` angles."""

    dimension: Annotated[int, Field(ge=20)] = 100
    draws: Count = 300
    seeds: Count = 12
    gammas: tuple[Positive, ...] = (0.1, 0.4, 0.85, 0.95, 1.05, 1.25)
    degrees: tuple[float, ...] = tuple(range(0, 91, 5))
    noises: tuple[float, ...] = (0.0, 0.2, 1.0)
    ridge: Positive = 0.04
    penalties: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5)
    probe_samples: Count = 200_000
    trained_dimension: Annotated[int, Field(ge=4)] = 30
    scale: Positive = 0.005
    scratch_scale: Positive = 1e-5
    large_scale: Positive = 1.0
    rate: Positive = 0.02
    steps: Annotated[int, Field(ge=10)] = 4000
    source_steps: Count = 600
    records: Annotated[int, Field(ge=2)] = 40
    relu_dimension: Annotated[int, Field(ge=2)] = 10
    relu_width: Count = 40
    relu_teacher: Count = 5
    relu_samples: tuple[Count, ...] = (30, 60, 120, 300)
    relu_steps: Count = 1500

    @property
    def all_gammas(self) -> tuple[float, ...]:
        """The samples per dimension of the diagram, in order."""
        return tuple(sorted({*self.gammas, *WATCHED}))

    @property
    def angles(self) -> tuple[float, ...]:
        """The angles in radians; those that claims look at are among them."""
        return tuple(float(np.radians(a)) for a in sorted({*self.degrees, 20.0, 45.0, 60.0}))

    @property
    def source_rate(self) -> float:
        """A rate at which the network with large first weights, of curvature 2 scale^2 d, learns the source stably."""
        return min(0.05, 0.5 / (self.large_scale**2 * self.trained_dimension + 4))


SCALES = {
    "pocket": TransferSettings(),
    "paper": TransferSettings(
        dimension=500,
        draws=100,
        gammas=tuple(round(0.1 * k, 1) for k in range(1, 21)),
        degrees=tuple(4.5 * k for k in range(1, 21)),
        trained_dimension=500,
        scale=1e-5,
        rate=0.01,
        steps=20_000,
        relu_dimension=100,
        relu_width=1000,
        relu_teacher=100,
        relu_samples=(300, 1000, 3000, 10_000),
        relu_steps=20_000,
    ),
}

SAMPLES = 50  # of the probes on one feature and on several
SOURCE_NOISE = 0.5


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
            Grid({"angle": (float(np.pi / 4), float(np.pi / 3))}, seeds=s.seeds),
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
    task = LinearTarget(d, angle=float(np.pi / 3))
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
        Grid({"samples": s.relu_samples, "removed": (0.2, 0.8)}, seeds=s.seeds),
        [Quantity(name, "risk of the zero function", "arXiv:2410.08194, Sec. 4") for name in names],
        {**sizes, "rate": 0.2, "scale": 0.5},
    )


STUDY = Study(
    name="transfer-phase-diagram",
    title="Scratch, linear transfer and fine-tuning in deep linear networks",
    question="When does a network that knows a source task learn a target better than one that begins anew?",
    paper=Paper(
        authors="Javan Tahir, Surya Ganguli, Grant M. Rotskoff",
        year=2024,
        title="Features are fate: a theory of transfer learning in high-dimensional regression",
        link="https://arxiv.org/abs/2410.08194",
        bibtex=(
            "@article{tahir2024features,\n  title   = {Features are fate: a theory of transfer learning in "
            "high-dimensional regression},\n  author  = {Tahir, Javan and Ganguli, Surya and Rotskoff, Grant M.},\n"
            "  journal = {arXiv preprint arXiv:2410.08194},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The printed Theorem 3.9 takes a fine-tuned network to keep the source outside the data's span as it is. "
        "The balance of the layers scales it by c, the root of c^4 - a c^2 - b = 0; c is 1 without noise, and 1.22 at "
        "noise 1 and half a sample per dimension. Both are measured here."
    ),
)
