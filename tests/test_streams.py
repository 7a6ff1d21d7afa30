"""Streams: keyed, independent, the same in pieces, and silent about torch's global state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from phasescope.ensemble import streams
from phasescope.ensemble.streams import batch_order, dropout_keys, initialized
from phasescope.learners import PowerMLP

quick = settings(deadline=None, max_examples=60)
KEYS = [(s, u, i) for s in (0, 1, 10, 11) for u in ("data", "init", "order", "corruption") for i in (0, 1, 10)]


def test_same_key_same_bits() -> None:
    for seed, purpose, index in KEYS:
        first, again = (streams(seed)(purpose, index).integers(0, 2**63, 20) for _ in range(2))
        assert (first == again).all()


def law_streams_are_different(make: Callable[[int], Any]) -> None:
    """Any two keys that differ anywhere give other numbers: (1, "x", 11) is not (11, "x", 1) either."""
    firsts = {make(seed)(purpose, index).integers(0, 2**63) for seed, purpose, index in KEYS}
    assert len(firsts) == len(KEYS)


def test_streams_are_different() -> None:
    law_streams_are_different(streams)


def test_streams_are_independent() -> None:
    """Neighbouring keys are uncorrelated: 4.5 standard errors over all pairs of 24 streams of 4000 numbers."""
    rows = np.stack([streams(s)(u, i).standard_normal(4000) for s, u, i in KEYS[:24]])
    correlation = np.corrcoef(rows)[np.triu_indices(24, 1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)


def law_batches(order: Callable[..., Any]) -> None:
    """Over whole epochs every row is used equally often, in a batch of the asked size, from the train rows alone."""
    rows = np.array([3, 5, 8, 13, 21, 34, 55], np.int32)
    for batch in (1, 2, 3, 7):
        found = order(4, rows, batch, 1, 7 * 3)
        assert found.shape == (21, batch)
        assert sorted(found.ravel().tolist()) == sorted(rows.tolist() * 3 * batch)
        epochs = found.ravel().reshape(-1, 7)
        assert all(sorted(epoch) == sorted(rows) for epoch in epochs.tolist())
    assert (order(4, rows, 3, 1, 9) != order(5, rows, 3, 1, 9)).any()


def test_batches() -> None:
    law_batches(batch_order)


@quick
@given(
    seed=st.integers(0, 99),
    rows=st.integers(1, 30),
    batch=st.integers(1, 30),
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
)
def test_batch_order_is_the_same_in_pieces(seed: int, rows: int, batch: int, cuts: list[int]) -> None:
    """A resumed run must see the batches that the unbroken one saw, wherever it was cut."""
    batch, table = min(batch, rows), np.arange(100, 100 + rows, dtype=np.int32)
    starts = [1, *itertools.accumulate(cuts, initial=1)][1:]
    whole = batch_order(seed, table, batch, 1, sum(cuts))
    parts = [batch_order(seed, table, batch, begin, n) for begin, n in zip(starts, cuts, strict=False)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert whole.dtype == np.int32


@quick
@given(seed=st.integers(0, 2**40), first=st.integers(1, 10**6), count=st.integers(1, 40), cut=st.integers(0, 40))
def test_dropout_keys_are_the_same_in_pieces(seed: int, first: int, count: int, cut: int) -> None:
    cut = min(cut, count)
    whole = dropout_keys(seed, first, count)
    parts = [dropout_keys(seed, first, cut), dropout_keys(seed, first + cut, count - cut)]
    assert (np.concatenate(parts) == whole).all()
    assert whole.dtype == np.int64
    assert len(set(whole.tolist())) == count


def test_dropout_keys_differ_between_seeds_and_are_spread() -> None:
    """Each of the 64 bits is set about half of the time."""
    keys = np.concatenate([dropout_keys(seed, 1, 500) for seed in range(4)]).view(np.uint64)
    assert len(set(keys.tolist())) == 2000
    bits = (keys[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(2000)


class Own(nn.Module):
    """A module that draws its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def initialize(self, generator: np.random.Generator) -> None:
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(generator.standard_normal(3)))


TEMPLATES = {
    "own": Own,
    "reset": lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
    "power": lambda: PowerMLP(5, 4),
}


def bits(module: nn.Module) -> bytes:
    return b"".join(value.detach().numpy().tobytes() for value in module.state_dict().values())


@pytest.mark.parametrize("name", TEMPLATES)
def test_initialized_depends_on_the_seed_alone(name: str) -> None:
    """Whatever torch's global generator is at, and however often: the weights of a seed are one set of weights."""
    template = TEMPLATES[name]()
    before, own = torch.get_rng_state(), bits(template)
    first = bits(initialized(template, 3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(17)  # moves the global generator on
    assert bits(initialized(template, 3)) == first != bits(initialized(template, 4))
    assert bits(template) == own


def test_initialized_resets_every_part() -> None:
    """All layers are drawn, with torch's own distribution: uniform within 1 / sqrt(fan in)."""
    module = initialized(nn.Sequential(nn.Linear(100, 50), nn.Linear(50, 10)), 0)
    for part, bound in zip(module, (0.1, 50**-0.5), strict=True):
        weight = part.weight.detach()
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.97 * bound
        assert abs(float(weight.std()) / (bound / 3**0.5) - 1) < 0.1


def test_a_module_without_either_keeps_its_weights() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    assert initialized(Plain(), 5).weight.tolist() == [1.0, 2.0]
