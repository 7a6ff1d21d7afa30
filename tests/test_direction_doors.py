"""What the small tools of directions make of odd units, of tokens, and of modules that can not be read so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.vocabulary import BadInput

room = ps.representation


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_any_unit_reads_the_same(size: float) -> None:
    draw = np.random.default_rng(3)
    base, target, words = draw.normal(size=(8, 5)), draw.normal(size=(8, 5)) + 1, draw.normal(size=(40, 5))
    plain = ps.linear_concept(base, target, words)
    for found in (
        ps.linear_concept(base * size, target * size, words),
        ps.linear_concept(base, target, words * size),
        ps.linear_concept(base * size, target * size, words * size),
    ):
        assert found.causal.value == pytest.approx(plain.causal.value, rel=1e-9)
        assert found.euclidean.error == pytest.approx(plain.euclidean.error, rel=1e-9)
    np.testing.assert_allclose(found.direction, plain.direction * size, rtol=1e-9)
    np.testing.assert_allclose(found.steering, plain.steering / size, rtol=1e-9)
    cosines = [room.causal_cosine(base * a, target * a, words * b) for a, b in ((1, 1), (size, 1), (1, size))]
    np.testing.assert_allclose(cosines[1], cosines[0], atol=1e-12)
    np.testing.assert_allclose(cosines[2], cosines[0], atol=1e-12)
    labels = np.arange(40) % 3
    sharp = [room.label_sharpness(words * unit, labels, classes=True) for unit in (1.0, size)]
    assert sharp[1].largest.value * size == pytest.approx(sharp[0].largest.value) and sharp[1].conflicts == 0
    used = [ps.utilized_rank(words[:6] * unit, words) for unit in (1.0, size)]
    assert used[1].change == pytest.approx(used[0].change, abs=1e-12)
    np.testing.assert_allclose(used[1].weights / size, used[0].weights, atol=1e-12)


def test_local_rank_of_tokens_begins_behind_the_embedding_and_names_its_mends() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(11, 4), nn.Linear(4, 3)

        def forward(self, ids: Any) -> Any:
            return self.out(self.embed(ids))

    found = ps.local_rank(Reader(), torch.arange(6).reshape(2, 3), places=["embed", "out"])
    assert found.place.values.tolist() == ["out"] and found["rank"].values.tolist() == [9.0]
    two = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    with pytest.raises(BadInput, match=r"batch normalization '1'.*module\.eval"):
        ps.local_rank(two, torch.ones(4, 4), places=["0", "2"])
    with pytest.raises(BadInput, match=r"places=\.\.\."):
        ps.local_rank(two.eval(), torch.ones(4, 4))
    with pytest.raises(BadInput, match=r"the batch is 'inputs\.npy'"):
        ps.local_rank(two.eval(), "inputs.npy", places=["0", "2"])
