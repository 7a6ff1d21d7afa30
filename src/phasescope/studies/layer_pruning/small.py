"""What ``layer-pruning`` measures on a decoder that is trained here: distances, every block left out, healing."""

from __future__ import annotations

import copy
import hashlib
import time
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from phasescope import layers
from phasescope.lab.speaker import SpeakerConfig, in_parts, train, windows
from phasescope.layers.passes import reading
from phasescope.store.data import SETS, cached_place, set_or_path, state_of
from phasescope.studies.layer_pruning.gpt import SmallGPT
from phasescope.studies.layer_pruning.readings import Found, geometry, losses_without, states_at
from phasescope.vocabulary import Array, BadInput, Generators, Member

KNOWN = 0.9  # of the text is trained on, the rest is held out
HEALED = ("nearest", "deepest", "wrong text")


def text_of(name: str) -> str:
    """Return a text: a file's, a cached data set's, or Python's language reference for the empty name.

    Raises ``BadInput`` for what is neither, and for data sets that were not fetched.
    """
    return _text(name, state_of(cached_place(name)) if name else ())


@lru_cache(maxsize=4)
def _text(name: str, _state: object) -> str:
    if not name:
        from pydoc_data.topics import topics

        return "\n".join(topics[key] for key in sorted(topics))
    path = set_or_path(name)
    if not path.exists():
        raise BadInput(f"text is {name!r}: give a text file, a folder, or a data set of {', '.join(SETS)}.")
    return "\n\n".join(layers.read_texts(path))


def text_hash(name: str) -> str:
    """Return a hash of a text, which makes part of a run's identity; nothing where it is not there."""
    try:
        return hashlib.sha256(text_of(name).encode()).hexdigest()[:16]
    except BadInput:
        return ""


def characters(name: str) -> tuple[Array, int]:
    """Return a text as indices (n,) uint8 of its ASCII characters, and how many different ones there are."""
    return _characters(text_of(name))


@lru_cache(maxsize=4)
def _characters(text: str) -> tuple[Array, int]:
    raw = np.frombuffer(text.encode("ascii", "ignore"), dtype=np.uint8)
    known, ids = np.unique(raw, return_inverse=True)
    return ids.astype(np.uint8), len(known)


def small(member: Member, generators: Generators) -> Found:
    """Train a decoder of characters, leave out every block of layers, heal some, and read its layers' geometry."""
    ids, alphabet = characters(str(member["text"]))
    depth, length = int(member["depth"]), int(member["length"])
    border = int(KNOWN * len(ids))
    known, unseen = ids[:border], ids[border:]
    config = SpeakerConfig(alphabet, depth, int(member["width"]), int(member["heads"]), length)
    model = SmallGPT(config)
    model.initialize(generators("init"))

    def held(purpose: str, count: int) -> Tensor:
        return windows(unseen, generators(purpose).integers(len(unseen) - length, size=count), length)

    test = held("held out", int(member["samples"]))
    counts = range(1, depth // 2 + 1)
    before, _ = layers.distances(model, test).table(counts)
    untrained_loss = losses_without(model, test, [depth // 3])[0]
    numbers = {"batch": int(member["batch"]), "length": length}
    curve = _trained(model, known, generators, int(member["steps"]), float(member["rate"]), numbers)
    found = layers.distances(model, test)
    states = states_at(model, held("points", int(member["points"])), (length - 1,))
    return {
        "training": curve,
        "base": layers.losses(model, test).mean,
        "untrained": before,
        "untrained_loss": untrained_loss,
        "distance": found.table(counts)[0],
        "loss": losses_without(model, test, counts),
        "healed": _healed(model, found, known, test, generators, int(member["heal_steps"]), float(member["heal_rate"])),
        "seconds": _seconds(model, test),
        **geometry(states, generators("shuffled points").permutation(states.shape[1])),
    }


def _trained(
    model: SmallGPT, text: Array, generators: Generators, steps: int, rate: float, numbers: dict[str, int]
) -> Array:
    """Train ``model`` in place; return the mean losses (20,) of equal parts of the steps."""
    losses = train(model, text, generators, "order", steps=steps, rate=rate, **numbers)
    return in_parts(losses, min(20, steps))


def _healed(
    model: SmallGPT, found: layers.Distances, text: Array, test: Tensor, generators: Generators, steps: int, rate: float
) -> Array:
    """Return losses (HEALED,) on ``test`` without half of the layers, after ``steps`` of training."""
    n, wrong, losses = found.depth // 2, generators("wrong text").permutation(text), []
    for choice in HEALED:
        start = layers.deepest(found.depth, n) if choice == "deepest" else found.best(n)
        shorter = copy.deepcopy(layers.without(model, start, n))
        assert isinstance(shorter, SmallGPT)
        read = wrong if choice == "wrong text" else text
        train(shorter, read, generators, "healing", steps=steps, batch=16, length=test.shape[1], rate=rate)
        losses.append(layers.losses(shorter, test).mean)
    return np.array(losses)


def _seconds(model: nn.Module, tokens: Tensor) -> Array:
    """Return the processor seconds (3,) of a pass: whole, without half of the layers, and whole again."""
    depth = layers.stack_of(model).depth
    half = layers.without(model, depth // 4, depth // 2)
    spent: list[list[float]] = []
    for _ in range(7):
        row = []
        for one in (model, half, model):
            with reading(one):
                began = time.thread_time()
                one(tokens, use_cache=False)
                row.append(time.thread_time() - began)
        spent.append(row)
    return np.asarray(np.median(torch.tensor(spent).double().numpy()[1:], axis=0))
