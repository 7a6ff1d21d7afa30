"""The experiments of ``healing``: a small decoder, or a real model."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.store.data import content_hash
from phasescope.studies.healing.real import ASKED, real
from phasescope.studies.healing.settings import AFTER, BEFORE, NEAREST, PARTS, READOUT, WHOLE, HealingSettings
from phasescope.studies.healing.small import small
from phasescope.vocabulary import Grid

PAPER = "arXiv:2403.17887"


def experiments(s: HealingSettings) -> dict[str, Simulation]:
    """Return the study's one simulation by name."""
    return {"real": _real(s)} if s.model else {"small": _small(s)}


def _small(s: HealingSettings) -> Simulation:
    models = {"model": [WHOLE, NEAREST, READOUT]}
    parts = {"part": range(1, PARTS + 1)}
    given = {"given": [BEFORE, AFTER]}
    names = (
        "depth", "width", "heads", "length", "batch", "steps", "rate", "tests", "gone", "heal_steps", "heal_batch",
        "heal_rate",
    )  # fmt: skip
    return Simulation(
        "a small decoder of characters, whole and without layers, given more steps",
        small,
        Grid(seeds=s.seeds),
        (
            Quantity("training", "nats", "mean loss of a twentieth of the steps", ("part",), parts),
            Quantity("loss", "nats", f"{PAPER}, Sec. 4.2, held out", ("given", "model"), {**given, **models}),
            Quantity("curve", "nats", "mean loss of a twentieth of the further steps", ("model", "part"),
                     {**models, **parts}),
            Quantity("start", "layer", f"{PAPER}, Sec. 3.2: of the nearest block"),
        ),
        s.model_dump(include=set(names)),
        s.depth * s.width**2 * s.length * (s.batch * s.steps + 3.0 * s.heal_batch * s.heal_steps) + 1.0,
        kind="trained",
    )  # fmt: skip


def _real(s: HealingSettings) -> Simulation:
    models, given = {"model": [WHOLE, NEAREST]}, {"given": [BEFORE, AFTER]}
    table = {**given, **models}
    asked, by_kind = {**table, "asked": list(ASKED)}, ("given", "model", "asked")
    names = ("length", "tests", "gone", "heal_steps", "heal_batch", "heal_rate", "rank", "questions")
    return Simulation(
        f"a language model, {s.model}, whole and without layers, given more steps",
        real,
        Grid(seeds=s.seeds),
        (
            Quantity("loss", "nats", f"{PAPER}, Sec. 4.2, held out", ("given", "model"), table),
            Quantity("loss_elsewhere", "nats", "the same on a text that nothing was healed on", ("given", "model"),
                     table),
            Quantity("accuracy", "1", "evaluation.evaluate, four choices", by_kind, asked),
            Quantity("ece", "1", "evaluation.evaluate, ten bins of equal mass", by_kind, asked),
            Quantity("curve", "nats", "mean loss of a twentieth of the further steps", ("model", "part"),
                     {**models, "part": range(1, PARTS + 1)}),
            Quantity("start", "layer", f"{PAPER}, Sec. 3.2: of the nearest block"),
        ),
        {
            "model": s.model, "model_hash": content_hash(s.model), "text": s.text, "text_hash": content_hash(s.text),
            "elsewhere": s.elsewhere, "elsewhere_hash": content_hash(s.elsewhere), **s.model_dump(include=set(names)),
        },
        1e12 + s.heal_steps * s.heal_batch * s.length * 1e9,
        kind="foreign model",
    )  # fmt: skip
