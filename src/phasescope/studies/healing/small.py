"""What ``healing`` measures of a decoder of characters that is trained here: whole, and without layers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from phasescope import layers
from phasescope.evaluation import scenario
from phasescope.lab.speaker import Speaker, SpeakerConfig, in_parts, train, windows
from phasescope.studies.healing.settings import PARTS
from phasescope.vocabulary import Array, Generators, Member

KNOWN = 0.9  # of the text is trained on, the rest is held out
LAST = ("base_model.final", "base_model.readout")  # what has its own steps: the last norm and the readout


@lru_cache
def characters() -> tuple[Array, int]:
    """Return Python's language reference as indices (n,) of its ASCII characters, and how many there are."""
    text = "\n".join(scenario("manual", limit=None, shots=0, seed=0).texts)
    known, ids = np.unique(np.frombuffer(text.encode("ascii", "ignore"), dtype=np.uint8), return_inverse=True)
    return ids.astype(np.int64), len(known)


def small(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Train a decoder, leave out the nearest block, and give both further steps, and to the readout alone."""
    ids, alphabet = characters()
    depth, length, n = int(member["depth"]), int(member["length"]), int(member["gone"])
    border = int(KNOWN * len(ids))
    known, unseen = ids[:border], ids[border:]
    model = Speaker(SpeakerConfig(alphabet, depth, int(member["width"]), int(member["heads"]), length))
    model.initialize(generators("init"))
    test = windows(unseen, generators("held out").integers(len(unseen) - length, size=int(member["tests"])), length)
    numbers: dict[str, Any] = {"steps": int(member["steps"]), "rate": float(member["rate"])}
    training = train(model, known, generators, "order", batch=int(member["batch"]), length=length, **numbers)
    far = layers.distances(model, test)
    nearest = far.best(n)
    shorter = layers.without(model, nearest, n)
    before = [layers.losses(one, test).mean for one in (model, shorter)]
    numbers = {"steps": int(member["heal_steps"]), "rate": float(member["heal_rate"])}
    after, curves = [], []
    for one, alone in ((model, False), (shorter, False), (shorter, True)):
        more = copy.deepcopy(one)
        assert isinstance(more, Speaker)
        for name, parameter in more.named_parameters():
            parameter.requires_grad_(not alone or name.startswith(LAST))
        curve = train(more, known, generators, "healing", batch=int(member["heal_batch"]), length=length, **numbers)
        after.append(layers.losses(more, test).mean)
        curves.append(in_parts(curve, PARTS))
    return {
        "training": in_parts(training, PARTS),
        "loss": np.array([[*before, before[1]], after]),
        "curve": np.array(curves),
        "start": float(nearest),
    }
