"""``ps.watch``: reading a model along the way of somebody's own training loop, which must not notice."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.vocabulary import BadInput


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    blocks = [nn.Sequential(nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.2)) for _ in range(4)]
    return nn.Sequential(*blocks, nn.Linear(12, 3))


X = torch.randn(32, 12, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 1).long()


def trained(model: nn.Module, look: Any, steps: int = 6, rate: float = 0.01) -> list[torch.Tensor]:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    torch.manual_seed(5)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), Y)
        loss.backward()
        look(step)
        optimizer.step()
        look(step + 1000)
    return [
        value.clone()
        for value in (*model.state_dict().values(), *(p.grad for p in model.parameters() if p.grad is not None))
    ]


def test_a_training_that_is_watched_has_the_same_bits() -> None:
    alone = trained(net(), lambda step: None)
    model = net()
    watched = ps.watch(model, X, every=3, probes=2)
    states = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    found = trained(model, lambda step: watched(step) if step < 1000 else None)
    assert all(torch.equal(a, b) for a, b in zip(alone, found, strict=True)) and model.training
    assert np.random.get_state()[1].tolist() == states[1] and random.getstate() == states[2]  # noqa: NPY002
    assert watched.data.step.values.tolist() == [0, 3] and watched.data.chi.dims == ("step", "block")


def test_what_is_read_is_what_inspect_reads() -> None:
    model = net()
    watched = ps.watch(model, X, every=[0, 2])
    assert [watched(step) for step in range(3)] == [True, False, True]
    with torch.no_grad():
        model[0][0].weight.mul_(2.0)
    watched._every = 1
    watched(3)
    once = ps.inspect(model, X, probes=4, advice=False, forecast=False)
    assert watched.last == once or str(watched.last) == str(once)
    d = watched.data
    assert d.isel(step=0).chi.identical(d.isel(step=1).chi.assign_coords(step=0)), "the same vectors at each look"
    np.testing.assert_array_equal(d.chi.values[2], once.to_dataset().chi.values)
    assert d.total.values[2] == once.total.value and d.whole.values[2] == once.verdict
    assert {"chi_low", "kernel", "dead", "cosine", "parameters"} <= set(d) and d.attrs["model"] == "Sequential"
    assert len(watched.figure().panels) == 4 and "3 steps" in watched.figure().caption and "3 steps" in repr(watched)


def test_a_model_that_breaks_down_is_missing_and_the_training_goes_on() -> None:
    model = net()
    watched = ps.watch(model, X, every=1)
    watched(0)
    with torch.no_grad():
        model[1][0].weight.fill_(float("nan"))
    assert watched(1) and "not finite" in watched.reasons[1]
    d = watched.data
    assert np.isfinite(d.kernel.values[0]).all() and np.isnan(d.kernel.values[1]).all() and d.whole.values[1] == "-"
    assert watched.figure().panels


def test_bad_input_is_refused_at_once_and_steps_that_go_back_are_not_read(caplog: pytest.LogCaptureFixture) -> None:
    for every, words in ((0, "every is 0"), ([], "every is empty"), ("ten", "every is 'ten'"), ([-1], "-1")):
        with pytest.raises(BadInput, match=words):
            ps.watch(net(), X, every)
    with pytest.raises(BadInput):
        ps.watch(net(), torch.randn(4, 5))
    watched = ps.watch(net(), X, every=1, probes=2)
    assert watched.data.sizes["step"] == 0
    watched(5)
    assert [watched(step) for step in (5, 4, 6)] == [False, False, True]
    assert [record.message for record in caplog.records] == [
        "step 5 comes after step 5: nothing is read where steps go back; count on."
    ]
