"""Subnormal numbers count as zero in the compiled loop, and nowhere else."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numba import njit

from phasescope.ensemble import native, train
from phasescope.ensemble.subnormals import FLUSH, control_word, set_control_word
from phasescope.instruments import LEARNING
from phasescope.learners import PowerMLP
from phasescope.tasks import addition
from phasescope.vocabulary import Grid, Recipe
from test_kernel import ORDER, advance, member

pytestmark = pytest.mark.skipif(FLUSH == 0, reason="no known control word on this processor")


@njit
def word():
    return control_word()


@njit
def product(values, flush):
    before = control_word()
    if flush:
        set_control_word(before | FLUSH)
    out = values[0] * values[1]
    set_control_word(before)
    return out


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_word_flushes_what_is_too_small(dtype: str) -> None:
    """A product below the least full number is subnormal by the standard, and zero when flushed; others stay."""
    least = np.finfo(dtype).tiny
    small = np.array([least, 0.25], dtype)
    assert product(small, False) > 0
    assert product(small, True) == 0
    assert product(np.array([least, 3.0], dtype), True) == 3 * np.dtype(dtype).type(least)
    assert product(small, False) > 0, "the mode was not put back"


@pytest.mark.parametrize("diverging", [False, True])
def test_training_leaves_the_thread_as_it_was(diverging: bool) -> None:
    """Also where it ends early: the calling thread belongs to the user's program."""
    before = word()
    q = member(hyper=[0, 1e6, 0, 0.9, 0.9, 0.98, 1e-8], dtype="f4", full=True) if diverging else member(dtype="f4")
    assert (advance(q) < 0) == diverging
    assert word() == before
    assert np.float32(np.finfo("f4").tiny) * np.float32(0.25) > 0


@pytest.mark.slow  # compiles the loop a second time
def test_without_subnormals_the_bits_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing touches no number of ordinary size: one member trained with and without it."""
    from phasescope.learners.power_kernel import gradient

    flushed, kept = member(dtype="f4"), member(dtype="f4")
    advance(flushed)
    monkeypatch.setattr(native, "FLUSH", 0)
    monkeypatch.setattr(native, "_loops", {})
    monkeypatch.setattr(native, "cached", lambda function, files, **options: njit(**options)(function))
    loop = native.build_loop(gradient)
    loop(*(kept[name] for name in ORDER))
    assert flushed["theta"].tobytes() == kept["theta"].tobytes()


def test_a_network_that_decays_to_nothing_trains_on_at_full_speed() -> None:
    """Its weights end at 1e-30 and their gradients far below: 12 times slower where subnormals are not flushed."""

    def seconds(decay: float) -> float:
        started = time.process_time()
        recipe = Recipe(lr=0.01, weight_decay=decay, steps=1200, records=2)
        data = train(PowerMLP(23, 64), addition(23), Grid(), recipe, LEARNING, engine="fused", workers=1)
        assert (np.abs(data["final.embed"].values).max() < 1e-20) == (decay > 0)
        return time.process_time() - started

    seconds(0.0)  # the first call compiles
    # the best of three: others may be busy
    assert min(seconds(20.0) for _ in range(3)) < 4 * min(seconds(0.0) for _ in range(3)) + 0.05
