"""The weights that training begins with: drawn anew of a network that is given, kept of one that is made."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.ensemble.given import check_given
from phasescope.vocabulary import BadInput, Grid, Member, Recipe

ROWS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
TASK = ps.tasks.Table("t", ROWS, ROWS[:, 0] > 0, 2)
STILL = Recipe(steps=2, records=2, lr=1e-6)


def first(learner: Any, grid: Grid, name: str) -> Any:
    """Return a parameter of every member when training begins."""

    @ps.instrument(unit="1", source="here")
    def weight(s: Any) -> torch.Tensor:
        return s.parameters[name].flatten(1)[:, 0].double()

    return ps.train(learner, TASK, grid, STILL, [weight]).weight.isel(step=0).values


def mlp(change: Callable[[nn.Sequential], Any] = lambda net: None) -> nn.Sequential:
    """Return a perceptron, changed."""
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 2))
    with torch.no_grad():
        change(net)
    return net


class Loose(nn.Module):
    """A parameter that no ``reset_parameters`` draws."""

    def __init__(self, draw: Callable[[], Any] = lambda: torch.randn(6, 2)) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.as_tensor(draw(), dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        return x @ self.w


class Attention(nn.Module):
    """Torch's attention, of which ``reset_parameters`` is not public."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        x = x[:, None]
        found: torch.Tensor = self.out(self.attention(x, x, x, need_weights=True)[0][:, 0])
        return found


class Constant(nn.Module):
    """A network that sets its layer itself, after the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the layer."""
        nn.init.constant_(self.layer.weight, 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 2)."""
        found: torch.Tensor = self.layer(x)
        return found


SET = {
    "scaled": lambda net: net[0].weight.mul_(5),
    "zero head": lambda net: net[3].weight.zero_(),
    "zero bias": lambda net: net[3].bias.zero_(),
    "gain of 2": lambda net: net[2].weight.fill_(2),
    "normal, not uniform": lambda net: net[0].weight.normal_(0, 1),
    "one outlier": lambda net: net[0].weight[0].fill_(9.0),
    "half is pruned": lambda net: net[0].weight[:, ::2].zero_(),
    "not a number": lambda net: net[0].weight[0].fill_(float("nan")),
}


@pytest.mark.parametrize("change", SET.values(), ids=SET.keys())
def test_weights_that_a_given_network_comes_with_are_not_lost_in_silence(change: Any) -> None:
    with pytest.raises(BadInput, match=r"comes with weights .* Give a function of the member"):
        ps.train(mlp(change), TASK, Grid(), STILL)


def test_a_network_as_it_was_made_is_drawn_anew_for_each_seed() -> None:
    """Of many networks none of them is taken for one whose weights were set."""
    for seed in range(60):
        torch.manual_seed(seed)
        if seed < 4:
            check_given(
                nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Embedding(5, 3, padding_idx=0)), several=True
            )
            check_given(nn.LSTM(3, 4), several=True)
        check_given(nn.Sequential(nn.Linear(3, 1), nn.LayerNorm(2)), several=True)
    assert len(set(first(mlp(), Grid(seeds=3), "0.weight"))) == 3
    assert (first(Constant(), Grid(seeds=2), "layer.weight") == 3).all(), "the outermost has the last word"


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("make", [Loose, Attention])
def test_seeds_do_not_share_weights_in_silence(make: Any) -> None:
    name = "w" if make is Loose else "attention.in_proj_weight"
    with pytest.raises(BadInput, match="Give a function of the member"):
        first(make(), Grid(seeds=2), name)
    if make is Loose:
        assert len(first(make(), Grid(seeds=[5]), name)) == 1
    assert len(set(first(lambda member: make(), Grid(seeds=4), name))) == 4
    one = make()
    with pytest.raises(BadInput, match="Give a function of the member"):
        first(lambda member: one, Grid(seeds=2), name)
    assert (first(Loose(lambda: torch.ones(6, 2)), Grid(seeds=2), "w") == 1).all(), "constants are no draws"


def test_a_made_network_keeps_the_weights_that_it_comes_with() -> None:
    def scaled(member: Member) -> nn.Module:
        return mlp(lambda net: nn.init.normal_(net[0].weight, std=float(member["std"])))

    found = first(scaled, Grid({"std": [0.01, 5.0]}, seeds=3), "0.weight")
    np.testing.assert_allclose(found[1], found[0] * 500, rtol=1e-5)  # one seed, one draw, whatever the knobs
    assert len(set(found[0])) == 3
    state = mlp().state_dict()
    loaded = first(lambda member: mlp(lambda net: net.load_state_dict(state)), Grid(seeds=2), "0.weight")
    assert (loaded == state["0.weight"][0, 0].item()).all()
    assert (first(lambda member: mlp(), Grid(seeds=3), "0.weight") == first(mlp(), Grid(seeds=3), "0.weight")).all()


DRAWS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.randn(6, 2),
    "numpy": lambda: np.random.normal(size=(6, 2)),  # noqa: NPY002
    "python": lambda: [[random.random(), 1.0] for _ in range(6)],
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_a_function_draws_the_same_for_the_same_seed(draw: Callable[[], Any]) -> None:
    before = torch.initial_seed(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    found = [first(lambda member: Loose(draw), Grid(seeds=3), "w") for _ in range(2)]
    assert (found[0] == found[1]).all() and len(set(found[0])) == 3
    assert before == (torch.initial_seed(), np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002


def test_a_function_of_moods_is_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(BadInput, match="made another one when it was asked again"):
        first(lambda member: Loose(lambda: generator.normal(size=(6, 2))), Grid(seeds=2), "w")


def test_a_class_with_some_arguments_is_no_function_of_the_member() -> None:
    with pytest.raises(BadInput, match=r"is Loose with some arguments: give lambda member: Loose\(\.\.\.\)"):
        ps.train(partial(Loose, draw=lambda: torch.ones(6, 2)), TASK, Grid(), STILL)


def test_a_network_without_values_is_told_so() -> None:
    with torch.device("meta"):
        net = mlp()
    with pytest.raises(BadInput, match="is on the meta device and has no values"):
        ps.train(net, TASK, Grid(), STILL)
