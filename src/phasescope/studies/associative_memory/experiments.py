"""The experiments of ``associative-memory``."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.associative_memory import context, worlds
from phasescope.studies.associative_memory.settings import ALPHAS, DISCOUNTS, MemorySettings
from phasescope.theory import memory_limits
from phasescope.vocabulary import Grid

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
                ("energy", "squared distance", "time"), ("nearest", "squared distance", "time"),
                ("rise", "squared distance"), ("rise_nearest", "squared distance"), ("residual", "distance"),
                ("to_nearest", "distance"), ("score_gap", "1/distance"), ("score_gap_printed", "1/distance"),
            ),
            {"memories": s.memories, "beta": s.beta},
        ),
        "clustering": Simulation(
            "memories learnt by gradient descent", worlds.clustering, Grid(seeds=s.learning_seeds),
            _quantities(
                ("gain", "nats per point"), ("beaten", "1"), ("beaten_by_mean", "1"), ("agreement", "1", "when")
            ),
            {"blobs": s.blobs, "points": min(s.points, 200), "learning_steps": s.learning_steps},
            s.learning_steps, kind="trained",
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
            Grid({"alpha": ALPHAS, "discount": DISCOUNTS}, seeds=s.seeds),
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
            s.probes * memory_limits.memory_capacity(max(dimensions), square_bandwidth),
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
    fractions = (("against_uniform", "1", "given"), ("against_other", "1", "given"), ("mismatched", "1", "given"))
    return {
        "sphere": Simulation(
            "attention after normalization",
            worlds.clustering_on_sphere,
            Grid({"uneven": UNEVEN}, seeds=s.seeds),
            _quantities(
                *((name, "1") for name in ("identity_gap", "mixture_gap", "unweighted_gap")),
            ),
            {"keys": s.attended, "dimension": s.head},
        ),
        "in_context": Simulation(
            "energies learnt in context",
            context.in_context,
            Grid(seeds=s.seeds),
            _quantities(*fractions, ("landscape", "1", "shown", "y", "x"), ("context", "1", "example", "axis")),
            s.model_dump(include=trained),
            s.updates * s.context_batch * s.context_layers * s.context_width,
            kind="trained",
        ),
    }
