"""Stateless random streams keyed by (seed, purpose, index): the only place that makes random generators.

A stream depends on nothing but its key, so any draw can be made again, in any order, alone or in company.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from phasescope.ensemble.turns import turn
from phasescope.vocabulary import Array, BadInput, Drawn, Generators, Member

T = TypeVar("T")

_GOLDEN = 0x9E3779B97F4A7C15
REPLACED = 64
_LAYER = 0x632BE59BD9B4E019


def _key(seed: int, purpose: str, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}|{purpose}|{index}".encode()).digest()[:16], "little")


def streams(seed: int) -> Generators:
    """Return the streams of one member seed: ``streams(seed)(purpose, index)`` is a fresh Philox generator.

    >>> bool(streams(1)("data").random() == streams(1)("data").random() != streams(2)("data").random())
    True
    """

    def generators(purpose: str, index: int = 0) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=_key(seed, purpose, index)))

    return generators


def dropout_keys(seed: int, first: int, count: int) -> Array:
    """Return int64 dropout keys (count,) of steps ``first``, ``first + 1``, ...: well spread, and known in advance."""
    base = _key(seed, "dropout", 0) % 2**64
    steps = np.arange(first, first + count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        value = np.uint64(base) + (steps + np.uint64(1)) * np.uint64(_GOLDEN)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))).view(np.int64)


def layer_key(key: Any, layer: int) -> Any:
    """Return the key(s), int64 tensor or number, of dropout layer ``layer`` (0, 1, ...); the first keeps the step's."""
    return key ^ ((layer * _LAYER + 2**63) % 2**64 - 2**63)


def batch_order(seed: int, rows: Array, batch: int, first: int, count: int) -> Array:
    """Return int32 rows (count, batch) of mini-batch steps ``first``, ... (counted from 1).

    Epochs are fresh permutations laid end to end and cut into batches, so that every row is used equally often and
    every batch is full; a batch may span two epochs.
    """
    begin, end = (first - 1) * batch, (first - 1 + count) * batch
    epochs = range(begin // len(rows), -(-end // len(rows)))
    generators = streams(seed)
    order = np.concatenate([rows[generators("order", epoch).permutation(len(rows))] for epoch in epochs])
    offset = begin - epochs[0] * len(rows)
    return order[offset : offset + count * batch].reshape(count, batch).astype(np.int32)


def replaced_order(seed: int, rows: Array, batch: int, first: int, count: int) -> Array:
    """Return int32 rows (count, batch) of mini-batch steps ``first``, ... whose rows are drawn with replacement.

    A generator serves ``REPLACED`` steps, wherever the asked ones begin and end.
    """
    begin, end = (first - 1) // REPLACED, (first - 2 + count) // REPLACED + 1
    generators, size = streams(seed), (REPLACED, batch)
    drawn = [generators("replacement", block).integers(0, len(rows), size) for block in range(begin, end)]
    offset = first - 1 - begin * REPLACED
    return rows[np.concatenate(drawn)[offset : offset + count]].astype(np.int32)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no other thread draw from torch's generator meanwhile, and put it back."""
    with turn(), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Let the generators that torch, numpy and Python share draw from a member's "init" stream, and put them back."""
    key = _key(seed, "init", 0)
    state = torch.Generator().manual_seed(key % 2**63).get_state()
    with undisturbed():  # members are initialized on several threads
        numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002
        torch.default_generator.set_state(state)
        # the state itself is drawn: to seed numpy's shared generator takes longer than to make a small network
        words = streams(seed)("init", 1).integers(0, 2**32, 624, np.uint32)
        np.random.set_state(("MT19937", words, 624, 0, 0.0))  # noqa: NPY002
        random.setstate((3, (*words.tolist(), 624), None))
        try:
            yield
        finally:
            np.random.set_state(numpys)  # noqa: NPY002
            random.setstate(pythons)


def made(learner: Callable[[Member], Any], member: Member) -> Any:
    """Return what a user's function makes of a member, its random weights drawn from the member's "init" stream."""
    with drawing(member.seed):
        return learner(member)


def copied(module: nn.Module) -> nn.Module:
    """Return a copy of a network. Raises ``BadInput`` for one that torch can not copy."""
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:  # torch's and Python's words for what is no plain data
        said = " ".join(str(error).split())[:120]
        raise BadInput(
            f"the network {type(module).__name__} can not be copied: {said}; keep no results on it, and use "
            "torch.nn.utils.parametrizations in place of the old weight_norm, spectral_norm and prune."
        ) from error


def initialized(template: nn.Module, seed: int) -> nn.Module:
    """Return a copy of ``template`` with fresh weights drawn from the member's "init" stream.

    A module with ``initialize(generator)`` draws its own; of any other every ``reset_parameters`` is called, those of
    its parts first, so that the outermost has the last word. A module that has neither keeps its weights, and
    parameters that need no gradient keep their values: they are given, not drawn.
    """
    module = copied(template)
    if isinstance(module, Drawn):
        module.initialize(streams(seed)("init"))
        return module
    frozen = [(p, p.detach().clone()) for p in module.parameters() if not p.requires_grad]
    with drawing(seed):
        for part in _parts_first(module, set()):
            reset = getattr(part, "reset_parameters", None)  # torch's own word for it, in no base class
            if reset is not None:
                reset()
    with torch.no_grad():
        for parameter, value in frozen:
            parameter.copy_(value)
    return module


def _parts_first(module: nn.Module, met: set[nn.Module]) -> Iterator[nn.Module]:
    if module not in met:
        met.add(module)
        for part in module.children():
            yield from _parts_first(part, met)
        yield module


def undrawn(ask: Callable[[], T], refusal: str) -> T:
    """Return what ``ask`` gives. Raises ``BadInput``, with ``refusal``, if it draws from the shared generators.

    It is asked again where they moved, for another thread of the user's own may have drawn meanwhile.
    """
    for _ in range(3):
        with undisturbed():
            before = global_state()
            found = ask()
            if global_state() == before:
                return found
    raise BadInput(refusal)


def global_state() -> tuple[Any, ...]:
    """Return the states of the generators that torch, numpy and Python share: code that draws from one moves it."""
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002
    words = numpys["state"].pop("key").tobytes()  # to write them as text takes longer than a forward pass
    return torch.default_generator.get_state().numpy().tobytes(), words, repr(numpys), random.getstate()
