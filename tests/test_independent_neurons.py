"""Independent neurons: constructed truths, a literal second implementation, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laws import instrument_laws
from phasescope.instruments.neuron_independence import (
    independence,
    independent_neurons,
    independent_share,
    neuron_groups,
    neuron_vectors,
)
from phasescope.vocabulary import BadInput


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def constructed(seed: int, leaders: int = 7, twins: int = 5, dead: int = 4, width: int = 40) -> Tensor:
    """``leaders`` orthogonal neurons, ``twins`` copies of them a little off, ``dead`` small ones, all shuffled."""
    g = np.random.default_rng(seed)
    basis = np.linalg.qr(g.standard_normal((width, width)))[0]
    lead = basis[:leaders] * g.uniform(0.5, 2, (leaders, 1))
    off = basis[leaders : leaders + twins]
    copies = lead[:twins] + 0.2 * np.linalg.norm(lead[:twins], axis=1, keepdims=True) * off  # distance about 0.04
    small = 0.05 * g.standard_normal((dead, width)) / np.sqrt(width) * 2
    return torch.from_numpy(g.permutation(np.concatenate([lead, copies, small])))


def literal(vectors: Tensor, small: float = 0.1, close: float = 0.1) -> int:
    """The count as a reader would write it: no scaling, no matrix, one pair at a time."""
    rows = [v.numpy() for v in vectors]
    largest = max(np.linalg.norm(v) for v in rows)
    kept: list[np.ndarray] = []
    for v in sorted((v for v in rows if np.linalg.norm(v) >= small * largest), key=lambda v: -np.linalg.norm(v)):
        if all(
            2 * np.linalg.norm(v - k) ** 2 / (np.linalg.norm(v) ** 2 + np.linalg.norm(k) ** 2) >= close for k in kept
        ):
            kept.append(v)
    return len(kept)


def law_constructed(groups: Callable[[Tensor], Tensor]) -> None:
    """Seven leaders, five twins, four dead neurons: seven groups, four of them vanished, twins in one group."""
    for seed in range(5):
        found = groups(constructed(seed))
        assert int(found.max()) + 1 == 7
        assert int((found == -1).sum()) == 4
        assert sorted(torch.bincount(found[found >= 0]).tolist()) == [1, 1, 2, 2, 2, 2, 2]


def test_constructed() -> None:
    law_constructed(neuron_groups)


@pytest.mark.parametrize("seed", range(6))
def test_literal(seed: int) -> None:
    """Crowded directions with all norms, where pairs lie on both sides of both limits."""
    g = np.random.default_rng(seed)
    vectors = torch.from_numpy(g.exponential(size=(60, 1)) * (1 + 0.35 * g.standard_normal((60, 3))))
    for small, close in ((0.1, 0.1), (0.3, 0.02), (0.0, 1.0)):
        assert int(neuron_groups(vectors, small=small, close=close).max()) + 1 == literal(vectors, small, close)


def test_permutation_and_scale() -> None:
    vectors = constructed(3) + 0.1 * random(16, 40, seed=4)
    order = torch.from_numpy(np.random.default_rng(1).permutation(16))
    found = neuron_groups(vectors)
    assert torch.equal(neuron_groups(vectors[order]), found[order])
    for scale in (1e-170, 1e170):
        assert torch.equal(neuron_groups(scale * vectors), found)


def test_limits_are_where_they_are_said_to_be() -> None:
    """A norm just above a tenth stays; two unit vectors at squared distance d have 2 d / 2 = d; opposites are apart."""
    assert neuron_groups(torch.tensor([[1.0, 0.0], [0.0, 0.1001]])).tolist() == [0, 1]
    assert neuron_groups(torch.tensor([[1.0, 0.0], [0.0, 0.0999]])).tolist() == [0, -1]
    for distance, expected in ((0.099, [0, 0]), (0.101, [0, 1])):
        angle = 2 * np.arcsin(np.sqrt(distance) / 2)
        pair = torch.tensor([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
        assert neuron_groups(pair).tolist() == expected
    assert neuron_groups(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])).tolist() == [0, 1]
    assert neuron_groups(torch.zeros(3, 2)).tolist() == [-1, -1, -1]
    assert neuron_groups(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), small=0).tolist() == [-1, 0, -1]


def test_linear_layers() -> None:
    """Equal incoming weights are no twins while outgoing weights or biases differ."""
    first, second = nn.Linear(5, 4).double(), nn.Linear(4, 3).double()
    with torch.no_grad():
        first.weight[1], first.bias[1] = first.weight[0], first.bias[0]
        second.weight[:, 1] = second.weight[:, 0] + 2.0
    weights = first.weight, second.weight, first.bias
    assert independent_neurons(*weights) == 4
    with torch.no_grad():
        second.weight[:, 1] = second.weight[:, 0]
    assert independent_neurons(*weights) == 3
    with torch.no_grad():
        first.bias[1] += 5.0
    assert independent_neurons(*weights) == 4
    assert not neuron_vectors(*weights).requires_grad


def test_convolutions_and_flattened_maps() -> None:
    """Channels are neurons: filters in, filters of the next layer out, or the columns of a flattened map."""
    incoming, onward = random(6, 3, 3, 3), random(5, 6, 3, 3, seed=1)
    incoming[4], onward[:, 4] = incoming[2], onward[:, 2]
    assert independent_neurons(incoming, onward) == 5
    flat = random(10, 6, 4, seed=2)  # 6 channels of 2 x 2 places
    flat[:, 4] = flat[:, 2]
    vectors = neuron_vectors(incoming, flat.reshape(10, 24))
    assert vectors.shape == (6, 27 + 40) and torch.equal(vectors[4], vectors[2])
    assert independent_neurons(incoming, flat.reshape(10, 24)) == 5


def test_wide_random_layers_are_independent() -> None:
    """The null value: 1, and the same for any width of the layer."""
    for width in (16, 200):
        assert independent_neurons(random(width, 64), random(10, width, seed=1)) == width


def test_instrument_agrees_with_the_count() -> None:
    """On a Subject the two-layer network's vectors are its embeddings and its readout."""
    chosen = instrument_laws.case(7)
    twins = chosen.with_parameters(lambda _, v: torch.cat([v[..., :5], v[..., :1]], -1))
    assert independent_share(chosen.subject()).value.tolist() == [1.0, 1.0, 1.0]
    assert independent_share(twins.subject()).value.tolist() == pytest.approx([5 / 6] * 3)
    broken = chosen.with_parameters(
        lambda name, v: v * torch.tensor([1.0, torch.nan, 1.0])[:, None, None, None] if name == "embed" else v
    )
    assert torch.isnan(independent_share(broken.subject()).value).tolist() == [False, True, False]


def test_what_is_refused() -> None:
    with pytest.raises(BadInput, match="small is 2"):
        neuron_groups(random(3, 3), small=2)
    with pytest.raises(BadInput, match="finite numbers"):
        neuron_groups(torch.full((3, 3), torch.inf))
    with pytest.raises(BadInput, match=r"shapes \[\(4, 2\), \(3, 5\)\]"):
        neuron_vectors(random(4, 2), random(3, 5))
    with pytest.raises(BadInput, match="bias"):
        neuron_vectors(random(4, 2), random(3, 4), random(5))
    with pytest.raises(BadInput, match="name the parameters"):
        independence(neurons={})
    with pytest.raises(BadInput, match="none called 'hidden'"):
        independence(neurons={"hidden": -1})(instrument_laws.case(0).subject())
    with pytest.raises(BadInput, match="name the right axes"):
        independence(neurons={"embed": -1, "readout": -2})(instrument_laws.case(0).subject())
