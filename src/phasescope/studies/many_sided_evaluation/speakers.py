"""What ``many-sided-evaluation`` measures of a decoder: whole, without layers, healed, all on the same items."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from phasescope import layers
from phasescope.evaluation import Scenario, evaluate
from phasescope.lab.speaker import Speaker, SpeakerConfig, in_parts, train, windows
from phasescope.studies.many_sided_evaluation.language import KINDS, World, tokens_of
from phasescope.studies.many_sided_evaluation.told import (
    HEALED,
    LONGER,
    NEAREST,
    RANDOM,
    WHOLE,
    all_blocks,
    block,
    names_of,
)
from phasescope.vocabulary import Array, Generators, Member

HELD = 64  # samples on which distances are read
METRICS = ("accuracy", "robustness", "ece", "bits_per_byte")


def speakers(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Train a decoder, leave out every block of up to ``gone`` layers, heal the nearest, ask all the same."""
    world = World(generators)
    words = world.words()
    known = tokens_of(world.text("training", int(member["statements"])), words)
    depth, n, length = int(member["depth"]), int(member["gone"]), int(member["length"])
    shape = SpeakerConfig(len(words), depth, int(member["width"]), int(member["heads"]), length)
    model = Speaker(shape)
    model.initialize(generators("init"))
    often: dict[str, Any] = {"batch": int(member["batch"]), "length": length}
    losses = train(model, known, generators, "order", steps=int(member["steps"]), rate=float(member["rate"]), **often)
    unseen = tokens_of(world.text("held out", HELD * 8), words)
    starts = generators("samples").integers(len(unseen) - length, size=HELD)
    far = layers.distances(model, windows(unseen, starts, length))
    nearest = far.best(n)
    others = [start for start in range(depth - n + 1) if start != nearest]
    drawn = others[int(generators("random block").integers(len(others)))]
    steps, rate = int(member["heal_steps"]), float(member["heal_rate"])

    def more(start: nn.Module) -> Speaker:
        healed = copy.deepcopy(start)
        assert isinstance(healed, Speaker)
        train(healed, known, generators, "healing", steps=steps, rate=rate, **often)
        return healed

    models: dict[str, nn.Module] = {WHOLE: model, HEALED: more(layers.without(model, nearest, n)), LONGER: more(model)}
    models |= {block(*one): layers.without(model, *one) for one in all_blocks(depth, n)}
    text = Scenario("text", texts=tuple(world.text("passages", int(member["passages"]))))
    found = evaluate(
        {name: (model, words) for name, model in models.items()},
        [*(world.scenario(kind, int(member["items"])) for kind in KINDS), text],
        METRICS, limit=None, seed=0,
    )  # fmt: skip
    same = {NEAREST: block(nearest, n), RANDOM: block(drawn, n)}
    value = found.data.value.isel(draw=0).sel(model=[same.get(name, name) for name in names_of(depth, n)])
    pair = found.compare(WHOLE, same[NEAREST]).pooled
    return {
        "training": in_parts(losses, min(20, len(losses))),
        **{name: _of(value, name) for name in ("accuracy", "robustness", "ece")},
        "bits": value.sel(metric="bits_per_byte", scenario="text").values,
        "counts": np.array([float(kind in found.counted()) for kind in KINDS]),
        "distance": np.array([far.across(size)[0][start] for start, size in all_blocks(depth, n)]),
        "nearest": float(nearest),
        "drawn": float(drawn),
        "told_apart": float("nan") if pair is None else float(pair.differs),
    }


def _of(value: Any, metric: str) -> Array:
    found: Array = value.sel(metric=metric, scenario=list(KINDS)).values
    return found
