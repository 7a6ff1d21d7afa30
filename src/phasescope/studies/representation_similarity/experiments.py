"""The experiments of ``representation-similarity``."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.representation_similarity.brain import EXPLAINED, MODELS, NOISE, SOURCES, measure_brain
from phasescope.studies.representation_similarity.clouds import MEASURES, SHARES, measure_planted
from phasescope.studies.representation_similarity.networks import CONDITIONS, READ, measure_seeds
from phasescope.studies.representation_similarity.settings import SimilaritySettings
from phasescope.vocabulary import Grid

MINOR = 0.1
"""Standard deviation of the dimensions that are not shared, where these are the minor ones."""
COMPARE, ENCODE = "representation.compare", "representation.encode"


def experiments(s: SimilaritySettings) -> dict[str, Simulation]:
    """Return the study's experiments by name: planted clouds, networks of two seeds, recordings of a known layer."""
    sources = dict.fromkeys(("value", "null", "corrected"), "mean over pairs") | {"false": "fraction with z > 3"}
    read = [
        Quantity(name, "1", f"{COMPARE}, {source}", ("measure",), {"measure": MEASURES})
        for name, source in sources.items()
    ]
    size = {"dimensions": s.dimensions, "pairs": s.pairs}
    return {
        "planted": Simulation(
            "clouds that share a part of their dimensions",
            measure_planted,
            Grid({"share": SHARES, "count": (s.few, s.many)}, seeds=s.seeds),
            read,
            {**size, "minor": 1.0},
        ),
        "minor": Simulation(
            "clouds whose unshared dimensions have little variance",
            measure_planted,
            Grid({"share": SHARES[1:2]}, seeds=s.seeds),
            read,
            {**size, "minor": MINOR, "count": s.many},
        ),
        "mlp": _seeds(s, "MLP", ("true", "random")),
        "cnn": _seeds(s, "CNN", ("true",)),
        "brain": _brain(s),
    }


def _seeds(s: SimilaritySettings, kind: str, labels: tuple[str, ...]) -> Simulation:
    places = {"condition": CONDITIONS, "measure": READ}
    numbers = tuple(range(1, s.layers + 1))
    layers = {"layer": numbers, "other": numbers}
    fixed = {name: getattr(s, name) for name in ("layers", "width", "channels", "steps", "rate", "examples", "stimuli")}
    return Simulation(
        f"two seeds of one {kind} on digits",
        measure_seeds,
        Grid({"labels": labels}, seeds=s.trained),
        (
            Quantity("identified", "1", "Kornblith et al. 2019, layers identified", ("condition", "measure"), places),
            Quantity("own", "1", f"{COMPARE}, corrected, of layers at the same place",
                ("condition", "measure", "layer"), {**places, "layer": layers["layer"]}),
            Quantity("cka", "1", f"{COMPARE}, linear CKA, unbiased", ("condition", "layer", "other"),
                {"condition": CONDITIONS, **layers}),
            Quantity("twin", "1", f"{COMPARE}, layers identified by CKA in a network of the same beginning"),
            Quantity("train_accuracy", "1", "mean of the two"),
            Quantity("test_accuracy", "1", "mean of the two, on the stimuli"),
        ),
        {**fixed, "network": kind},
        kind="trained",
    )  # fmt: skip


def _brain(s: SimilaritySettings) -> Simulation:
    cell = {"explained": EXPLAINED, "noise": NOISE}
    each = ("model", "explained", "noise")
    names = ("layers", "width", "steps", "rate", "examples", "shown", "units", "repeats")
    return Simulation(
        "a recording made of a known layer",
        measure_brain,
        Grid(seeds=s.trained),
        (
            *(Quantity(name, "1", ENCODE, each, {"model": MODELS, **cell}) for name in ("r", "normalized", "lead")),
            Quantity("ceiling", "1", ENCODE, ("explained", "noise"), cell),
            Quantity("shuffled", "1", f"{ENCODE}, null over ceiling", ("explained", "noise"), cell),
            Quantity("best", "1", f"{ENCODE}, r over ceiling of the best layer", ("source", "features"),
                {"source": SOURCES, "features": SOURCES}),
        ),
        {name: getattr(s, name) for name in names},
        kind="trained",
    )  # fmt: skip
