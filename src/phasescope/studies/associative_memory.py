"""Associative memory and probabilistic modelling. Schaeffer et al. 2024, arXiv:2402.10202.

An associative memory falls down an energy; a probabilistic model climbs a likelihood. The study asks where the two are
one: the clustering memory and the Gaussian mixture, new memories and the Chinese restaurant process, explicit
assignments and the evidence lower bound, kernel density estimators and modern Hopfield networks, pre-norm attention and
clustering on the sphere. One network is trained: energies that adapt to the points in its context.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope import theory
from phasescope.ensemble import Quantity, Simulation
from phasescope.studies import _associative_memory_context as context
from phasescope.studies import _associative_memory_worlds as worlds
from phasescope.studies._associative_memory_claims import claims
from phasescope.studies._associative_memory_figures import figures
from phasescope.studies._study import Paper, Study
from phasescope.vocabulary import Grid, Positive, Settings

Count = Annotated[int, Field(ge=1)]
Dimensions = tuple[Annotated[int, Field(ge=3)], ...]


class MemorySettings(Settings):
    """Sizes of the study. ``wide``, ``narrow`` and ``widest`` are the dimensions at h^2 = 1, 0.7 and 2."""

    seeds: Count = 10
    memories: Annotated[int, Field(ge=2)] = 8
    beta: Positive = 2.0
    blobs: Annotated[int, Field(ge=2)] = 5
    points: Annotated[int, Field(ge=10)] = 500
    learning_steps: Count = 100
    draws: Count = 400
    customers: Annotated[int, Field(ge=2)] = 1000
    wide: Dimensions = (6, 8, 10, 12, 14, 16)
    narrow: Dimensions = (4, 6, 8, 10, 12)
    widest: Dimensions = (8, 10, 12, 14, 16)
    probes: Annotated[int, Field(ge=8)] = 128
    trials: Count = 60
    patterns: Annotated[int, Field(ge=2)] = 64
    attended: Annotated[int, Field(ge=2)] = 16
    head: Annotated[int, Field(ge=2)] = 8
    length: Annotated[int, Field(ge=5)] = 24
    updates: Annotated[int, Field(ge=1)] = 100
    context_batch: Annotated[int, Field(ge=2)] = 16
    context_width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    context_layers: Count = 2
    tests: Annotated[int, Field(ge=2)] = 1000


SCALES = {
    "pocket": MemorySettings(),
    "paper": MemorySettings(
        points=2000,
        learning_steps=500,
        draws=2000,
        wide=(6, 8, 10, 12, 14, 16, 18, 20),
        narrow=(4, 6, 8, 10, 12, 14),
        widest=(8, 10, 12, 14, 16, 20, 24),
        probes=512,
        updates=3000,
        context_batch=32,
        context_width=128,
        context_layers=6,
        tests=4000,
    ),
}

NORM_SPREADS, UNEVEN = (0.0, 0.1, 0.2, 0.4), (0.0, 0.1, 0.2, 0.3, 0.5)
HERE = "arXiv:2402.10202"


def _quantities(*rows: tuple[str, ...]) -> tuple[Quantity, ...]:
    """Return quantities from rows (name, unit, dimensions ...)."""
    return tuple(Quantity(name, unit, HERE, tuple(dims)) for name, unit, *dims in rows)


def experiments(s: MemorySettings) -> dict[str, Simulation]:
    """Return the study's simulations by name."""
    return {**_energies(s), **_creations(s), **_capacities(s), **_attention(s)}


def _energies(s: MemorySettings) -> dict[str, Simulation]:
    one = Grid(seeds=s.seeds)
    return {
        "retrieval": Simulation(
            "dynamics and likelihood of a clustering memory", worlds.retrieval, one,
            _quantities(
                ("energy", "squared distance", "time"), ("energy_uphill", "squared distance", "time_uphill"),
                ("rise", "squared distance"), ("rise_uphill", "squared distance"), ("residual", "distance"),
                ("to_nearest", "distance"), ("score_gap", "1/distance"), ("score_gap_printed", "1/distance"),
            ),
            {"memories": s.memories, "beta": s.beta},
        ),
        "clustering": Simulation(
            "memories learnt by gradient descent", worlds.clustering, one,
            _quantities(("gain", "nats per point"), ("gain_astray", "nats per point"), ("agreement", "1", "when")),
            {"blobs": s.blobs, "points": min(s.points, 200), "learning_steps": s.learning_steps},
            s.learning_steps,
        ),
        "assignments": Simulation(
            "explicit assignments climb the ELBO", worlds.assignments, one,
            _quantities(
                ("gap", "nats", "time"), ("gap_without", "nats", "time"), ("distance", "1"),
                ("distance_without", "1"), ("bound_excess", "nats"),
            ),
            {"memories": s.memories, "beta": s.beta},
        ),
    }  # fmt: skip


def _creations(s: MemorySettings) -> dict[str, Simulation]:
    return {
        "creation": Simulation(
            "memories made as needed",
            worlds.creation,
            Grid({"gaussians": ("normalized", "printed")}, seeds=s.seeds),
            _quantities(("made", "memories", "point"), ("memories", "memories"), ("agreement", "1")),
            {"blobs": s.blobs, "points": s.points, "alpha": 1.0},
            s.points,
        ),
        "seats": Simulation(
            "the Chinese restaurant process",
            worlds.seats,
            Grid({"alpha": (1.0, 5.0), "discount": (0.0, 0.3)}, seeds=s.seeds),
            _quantities(("tables", "memories", "point")),
            {"draws": s.draws, "points": s.customers},
            s.draws * s.customers,
        ),
    }


def _capacities(s: MemorySettings) -> dict[str, Simulation]:
    found = _quantities(("stored", "patterns", "size"), ("kept", "1", "size"), ("half", "patterns"))

    def at(square_bandwidth: float, dimensions: tuple[int, ...]) -> Simulation:
        return Simulation(
            f"capacity of a density estimator, h^2 = {square_bandwidth:g}",
            worlds.capacity,
            Grid({"dimension": dimensions}, seeds=s.seeds),
            found,
            {"square_bandwidth": square_bandwidth, "probes": s.probes},
            s.probes * theory.memory_capacity(max(dimensions), square_bandwidth),
        )

    return {
        "capacity": at(1.0, s.wide),
        "capacity_narrow": at(0.7, s.narrow),
        "capacity_widest": at(2.0, s.widest),
        "linear": Simulation(
            "control: the classical Hopfield network",
            worlds.linear_capacity,
            Grid({"dimension": s.wide}, seeds=s.seeds),
            found[2:],
            {"trials": s.trials},
        ),
        "unequal": Simulation(
            "patterns of unequal norms",
            worlds.unequal,
            Grid({"spread": NORM_SPREADS}, seeds=s.seeds),
            _quantities(("density", "1"), ("hopfield", "1"), ("update_gap", "distance")),
            {"dimension": 12, "patterns": s.patterns, "probes": s.patterns},
        ),
    }


def _attention(s: MemorySettings) -> dict[str, Simulation]:
    trained = {"length", "updates", "context_batch", "context_width", "context_layers", "tests"}
    shares = (("against_uniform", "1", "given"), ("against_other", "1", "given"), ("mismatched", "1", "given"))
    return {
        "sphere": Simulation(
            "attention after normalization",
            worlds.clustering_on_sphere,
            Grid({"uneven": UNEVEN}, seeds=s.seeds),
            _quantities(
                *((name, "1") for name in ("identity_gap", "mixture_gap", "unweighted_gap")),
                *((name, "nats") for name in ("tie", "tie_without_shift")),
            ),
            {"keys": s.attended, "dimension": s.head},
        ),
        "in_context": Simulation(
            "energies learnt in context",
            context.in_context,
            Grid(seeds=s.seeds),
            _quantities(*shares, ("landscape", "1", "shown", "y", "x"), ("context", "1", "example", "axis")),
            s.model_dump(include=trained),
            s.updates * s.context_batch * s.context_layers * s.context_width,
        ),
    }


STUDY = Study(
    name="associative-memory",
    title="Associative memory and probabilistic modelling",
    question="Where is falling down a memory's energy the same as climbing a model's likelihood, and what follows?",
    paper=Paper(
        authors=(
            "Rylan Schaeffer, Nika Zahedi, Mikail Khona, Dhruv Pai, Sang Truong, Yilun Du, Mitchell Ostrow, "
            "Sarthak Chandra, Andres Carranza, Ila Rani Fiete, Andrey Gromov, Sanmi Koyejo"
        ),
        year=2024,
        title="Bridging Associative Memory and Probabilistic Modeling",
        link="https://arxiv.org/abs/2402.10202",
        bibtex=(
            "@article{schaeffer2024bridging,\n  title   = {Bridging Associative Memory and Probabilistic Modeling},\n"
            "  author  = {Schaeffer, Rylan and Zahedi, Nika and Khona, Mikail and Pai, Dhruv and Truong, Sang and Du, "
            "Yilun and Ostrow, Mitchell and Chandra, Sarthak and Carranza, Andres and Fiete, Ila Rani and Gromov, "
            "Andrey and Koyejo, Sanmi},\n  journal = {arXiv preprint arXiv:2402.10202},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "Of the final paper only abstract and summaries were at hand; equations are those of the authors' workshop "
        "paper (Associative Memory Under the Probabilistic Lens, 2023) or derived here, as each claim's source says. "
        "Two misprints of that paper are put right, and their consequences shown: the covariance of the mixture is "
        "I/(2 beta), not 2 I/beta, and the energy with a creation term needs the Gaussians' normalizers."
    ),
)
