"""Which layers can go? Gromov et al. 2024, arXiv:2403.17887, *The unreasonable ineffectiveness of the deeper layers*.

Angular distances between the inputs of layers say which block of a decoder changes its state least; it is left out, and
the loss is read before and after some healing. A small decoder of characters is trained here, one per seed, and every
block of it is left out. At scale ``smollm2`` a real language model is read, one draw of text per seed, and asked for
capitals. The geometry of the states between the layers is read from the same models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies import _layer_pruning_model as models
from phasescope.studies import _layer_pruning_small as smalls
from phasescope.studies._layer_pruning_claims import claims
from phasescope.studies._layer_pruning_figures import figures
from phasescope.studies._layer_pruning_readings import GEOMETRY
from phasescope.studies._study import Paper, Study
from phasescope.vocabulary import BadInput, Grid, Positive, Settings

Count = Annotated[int, Field(ge=1)]
PAPER = "arXiv:2403.17887"


class LayerSettings(Settings):
    """Sizes of the study. ``text`` and ``real_text`` name a file, a folder or a data set; "" is Python's reference.

    ``depth`` 0 leaves the small decoder out. ``model`` is a folder of Hugging Face or ``smollm2``, and "" for none;
    ``counts`` are how many of its layers are left out, ``heal_layers`` how many before it is healed.
    """

    seeds: Count = 8
    text: str = ""
    depth: Annotated[int, Field(ge=0)] = 12
    width: Annotated[int, Field(ge=8)] = 64
    heads: Count = 2
    length: Annotated[int, Field(ge=8)] = 64
    batch: Count = 16
    steps: Count = 500
    rate: Positive = 3e-3
    samples: Annotated[int, Field(ge=2)] = 64
    points: Annotated[int, Field(ge=32)] = 400
    heal_steps: Count = 80
    heal_rate: Positive = 1e-3
    model: str = ""
    real_text: str = "english"
    real_length: Annotated[int, Field(ge=32)] = 128
    real_samples: Annotated[int, Field(ge=6)] = 12
    counts: tuple[Count, ...] = (1, 3, 6, 10, 15)
    heal_layers: Count = 6
    real_heal_steps: Count = 8
    real_heal_batch: Count = 2
    real_heal_rate: Positive = 1e-3
    rank: Count = 16
    questions: Annotated[int, Field(ge=4)] = 24

    def model_post_init(self, context: Any) -> None:
        """Refuse what has nothing to measure."""
        if self.depth == 0 and not self.model:
            raise BadInput("depth is 0 and model is '': keep the small decoder (depth >= 6) or name a model.")
        if 0 < self.depth < 6 or self.width % self.heads or (self.model and len(self.counts) < 3):
            raise BadInput(
                f"depth is {self.depth}, width {self.width}, heads {self.heads}, counts {self.counts}: give 6 layers "
                "or more, heads that divide the width, and at least three counts."
            )


SCALES = {
    "pocket": LayerSettings(),
    "smollm2": LayerSettings(seeds=5, depth=0, model="smollm2"),
    "paper": LayerSettings(
        steps=20_000, model="smollm2", real_length=2048, real_samples=1000, real_heal_steps=5000, real_heal_batch=16,
        real_heal_rate=3e-4, rank=64, heal_layers=9, questions=200,
    ),
}  # fmt: skip


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
    "skip": ("1", "largest difference of logits", ()),
    "skip_other": ("1", "largest difference of logits", ()),
    "healed": ("nats", f"{PAPER}, Sec. 4.2", ("healing",)),
    "seconds": ("s", "processor time of a pass", ("pass",)),
}
REAL = {
    "base": ("nats", "loss on the draw of text", ()),
    "distance": ("pi", f"{PAPER}, Eq. 7", ("n", "layer")),
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
    )  # fmt: skip


STUDY = Study(
    name="layer-pruning",
    title="Which layers can go?",
    question="Which layers of a language model can be left out, what is lost, and what does healing bring back?",
    paper=Paper(
        authors="Andrey Gromov, Kushal Tirumala, Hassan Shapourian, Paolo Glorioso, Daniel A. Roberts",
        year=2024,
        title="The Unreasonable Ineffectiveness of the Deeper Layers",
        link="https://arxiv.org/abs/2403.17887",
        bibtex=(
            "@article{gromov2024unreasonable,\n  title   = {The Unreasonable Ineffectiveness of the Deeper Layers},\n"
            "  author  = {Gromov, Andrey and Tirumala, Kushal and Shapourian, Hassan and Glorioso, Paolo and Roberts, "
            "Daniel A.},\n  journal = {arXiv preprint arXiv:2403.17887},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The paper prunes models of 2.7 to 70 billion parameters. The pocket scale trains decoders of 0.6 million "
        "parameters on characters, for too few steps to converge; scale smollm2 reads one real model of 135 million, "
        "where a seed is a draw of text and of questions, so its intervals are over texts, not models. Times of "
        "passes depend on the machine."
    ),
)
