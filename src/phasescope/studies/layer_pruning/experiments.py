"""The experiments of ``layer-pruning``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.layer_pruning import model as models
from phasescope.studies.layer_pruning import small as smalls
from phasescope.studies.layer_pruning.readings import GEOMETRY
from phasescope.studies.layer_pruning.settings import LayerSettings
from phasescope.vocabulary import Grid

PAPER = "arXiv:2403.17887"


def _quantities(table: Mapping[str, tuple[str, str, tuple[str, ...]]], coords: Mapping[str, Any]) -> list[Quantity]:
    """Return quantities of name -> (unit, source, dimensions), with the places along dimensions that have them."""
    return [
        Quantity(name, unit, source, dims, {dim: coords[dim] for dim in dims if dim in coords})
        for name, (unit, source, dims) in table.items()
    ]


SMALL = {
    "training": ("nats", "mean loss of a twentieth of the steps", ("twentieth",)),
    "base": ("nats", "held-out loss", ()),
    "untrained": ("pi", f"{PAPER}, Eq. 7, before training", ("n", "layer")),
    "distance": ("pi", f"{PAPER}, Eq. 7", ("n", "layer")),
    "loss": ("nats", f"{PAPER}, Sec. 4.2", ("n", "layer")),
    "untrained_loss": ("nats", f"{PAPER}, Sec. 4.2, a third of the layers, before training", ("layer",)),
    "healed": ("nats", f"{PAPER}, Sec. 4.2", ("healing",)),
    "seconds": ("s", "processor time of a pass", ("pass",)),
}
REAL = {
    "base": ("nats", "loss on the draw of text", ()),
    "distance": ("pi", f"{PAPER}, Eq. 7", ("n", "layer")),
    "fresh": ("pi", f"{PAPER}, Eq. 7, with weights drawn anew", ("n", "layer")),
    "loss": ("nats", f"{PAPER}, Sec. 4.2", ("choice", "count")),
    "start": ("layer", f"{PAPER}, Sec. 3.2", ("choice", "count")),
    "each": ("nats", f"{PAPER}, Sec. 4.3", ("block",)),
    "unhealed": ("nats", f"{PAPER}, Sec. 4.2", ()),
    "healed": ("nats", f"{PAPER}, Sec. 4.2", ("healing",)),
    "accuracy": ("1", f"{PAPER}, Sec. 4.1, there MMLU and BoolQ", ("removed",)),
}


def experiments(s: LayerSettings) -> dict[str, Simulation]:
    """Return the study's simulations by name."""
    found = {}
    if s.depth:
        found["small"] = _small(s)
    if s.model:
        found["real"] = _real(s)
    return found


def _small(s: LayerSettings) -> Simulation:
    coords = {
        "n": list(range(1, s.depth // 2 + 1)), "layer": list(range(s.depth)), "place": list(range(s.depth + 1)),
        "other": list(range(s.depth + 1)), "healing": list(smalls.HEALED),
        "pass": ["whole", "half", "again"],
    }  # fmt: skip
    names = ("text", "depth", "width", "heads", "length", "batch", "steps", "rate", "samples", "points")
    fixed = {name: getattr(s, name) for name in (*names, "heal_steps", "heal_rate")}
    return Simulation(
        "a small decoder of characters",
        smalls.small,
        Grid(seeds=s.seeds),
        _quantities({**SMALL, **GEOMETRY}, coords),
        {**fixed, "text_hash": smalls.text_hash(s.text)},
        s.depth * s.width**2 * s.batch * s.length * (s.steps + 3.0 * s.heal_steps) + 1.0,
        kind="trained",
    )


def _real(s: LayerSettings) -> Simulation:
    depth = models.depth_of(s.model)
    places = list(range(0, depth + 1, models.EVERY))
    coords = {
        "n": list(range(1, depth)), "layer": list(range(depth)), "place": places, "other": places,
        "choice": list(models.CHOICES), "count": list(s.counts), "removed": [0, *s.counts],
        "healing": ["text", "wrong text"],
    }  # fmt: skip
    return Simulation(
        f"a language model, {s.model}",
        models.real,
        Grid(seeds=s.seeds),
        _quantities({**REAL, **GEOMETRY}, coords),
        {
            "model": s.model, "model_hash": models.model_hash(s.model), "text": s.real_text,
            "text_hash": smalls.text_hash(s.real_text), "length": s.real_length, "samples": s.real_samples,
            "counts": ",".join(map(str, s.counts)), "heal_layers": s.heal_layers, "heal_steps": s.real_heal_steps,
            "heal_batch": s.real_heal_batch, "heal_rate": s.real_heal_rate, "rank": s.rank, "questions": s.questions,
        },
        1e12 + s.real_samples * s.real_length * 1e9,
        kind="foreign model",
    )  # fmt: skip
