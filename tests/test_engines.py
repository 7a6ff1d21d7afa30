"""The engines for any module: each against the plain loop, and what tracing must not freeze."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from phasescope.ensemble import choice, engines, train
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.optimizers import NUMBERS, Optimizer
from phasescope.ensemble.tile import Prepared
from phasescope.ensemble.tracing import Untraceable, traced
from phasescope.instruments import LEARNING
from phasescope.learners import KeyedDropout
from phasescope.tasks import Table
from phasescope.vocabulary import BadInput, Grid, Recipe

CPU: dict[str, Any] = {"device": "cpu", "workers": 1}
RECIPE = Recipe(steps=6, records=3, batch=8, lr=0.01, loss="cross_entropy", dtype="float64")


def pictures(rows: int = 40, classes: int = 3) -> Table:
    """Small pictures (8, 8), laid flat, in three classes that can be told apart."""
    g = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    x = 0.3 * g.standard_normal((rows, 64)) + g.standard_normal((classes, 64))[labels]
    return Table("pictures", x, labels, classes, train_fraction=0.7)


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(48, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.max_pool2d(functional.gelu(self.a(x.view(-1, 1, 8, 8))), 2)
        return self.b(h.flatten(1))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Rows of a picture as tokens: embedding by position, a mask of minus infinity, normalization, indexing."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Embedding(8, 8)
        self.qkv, self.norm, self.out = nn.Linear(8, 24, bias=False), nn.LayerNorm(8), nn.Linear(8, 3)
        self.register_buffer("mask", torch.full((8, 8), float("-inf")).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.view(-1, 8, 8) + self.place(torch.arange(8))
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        h = h + torch.softmax(q @ k.transpose(1, 2) / 8**0.5 + self.mask, -1) @ v
        return self.out(h[:, [0, 7]].mean(1))  # type: ignore[no-any-return]


class Fused(Attention):
    """Attention by torch's own operation, which may drop at random and here does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.view(-1, 8, 8) + self.place(torch.arange(8))
        q, k, v = (part[:, None] for part in self.qkv(self.norm(h)).chunk(3, -1))
        h = h + functional.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0]
        return self.out(h[:, [0, 7]].mean(1))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.r, self.c = nn.LSTM(8, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.r(x.view(-1, 8, 8))[0][:, -1])  # type: ignore[no-any-return]


class Branches(nn.Module):
    """What is computed depends on a value: no tracing and no vmap can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(64, 6), nn.Linear(64, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x) if float(x.detach().sum()) > 0 else torch.tanh(self.b(x))
        return self.out(h)  # type: ignore[no-any-return]


class Counter(nn.Module):
    """A buffer counts the steps in place, and the step decides what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 3)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps.add_(1)
        return self.out(x) * (1 + self.steps)  # type: ignore[no-any-return]


class Dropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.drop, self.b = nn.Linear(64, 9), KeyedDropout(0.4), nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.drop(torch.tanh(self.a(x))))  # type: ignore[no-any-return]


class Transposed(nn.Module):
    """A weight that does not lie in memory in its own order, and one that no answer depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter((torch.randn(64, 3) / 8).t())
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w.t()


def perceptron(width: int = 7) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 3))


def normalized() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "perceptron": perceptron, "batch norm": normalized, "convolution": Conv, "attention": Attention, "fused": Fused,
    "lstm": Recurrent, "branches": Branches, "counter": Counter, "dropout": Dropped, "transposed": Transposed,
}  # fmt: skip
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "adam": {"optimizer": "adam", "weight_decay": 0.1},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.5},
}


def trained(
    make: Callable[[], nn.Module], engine: Any, grid: Grid | None = None, recipe: Recipe = RECIPE, **how: Any
) -> Any:
    return train(
        lambda member: make(), pictures(), grid or Grid(seeds=3), recipe, LEARNING, engine=engine, **CPU, **how
    )


def gap(one: Any, other: Any) -> float:
    """Return the largest difference of final parameters and losses, relative to the largest of each."""
    names = [n for n in one.data_vars if str(n).startswith("final.") or n == "train_loss"]
    assert len(names) > 1
    return max(
        float(np.nanmax(np.abs(one[n].values - other[n].values)) / np.nanmax(np.abs(one[n].values))) for n in names
    )


def law_same_numbers(network: str, engine: Any, **how: Any) -> None:
    """Six steps in float64 are those of the plain loop to 1e-9, with every optimizer and numbers that differ."""
    for name, own in OPTIMIZERS.items():
        recipe = Recipe(**{**RECIPE.model_dump(), **own})
        grid = Grid({"lr": (recipe.lr, 0.7 * recipe.lr)}, seeds=2)
        off = gap(
            trained(NETWORKS[network], "looped", grid, recipe), trained(NETWORKS[network], engine, grid, recipe, **how)
        )
        assert off < 1e-9, f"{network}, {engine}, {name}: off by {off}"


SIDE_BY_SIDE = [name for name in NETWORKS if name not in ("lstm", "branches")]


@pytest.mark.parametrize("network", SIDE_BY_SIDE)
def test_stacked_is_the_loop(network: str) -> None:
    law_same_numbers(network, "stacked", tile=3)


@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in ("branches", "batch norm", "counter")])
def test_traced_is_the_loop(network: str) -> None:
    law_same_numbers(network, "traced", tile=1 if network == "lstm" else 3)


@pytest.mark.parametrize("network", NETWORKS)
def test_auto_is_the_loop(network: str) -> None:
    law_same_numbers(network, "auto")


@pytest.mark.parametrize("network", ["perceptron", "convolution", "attention", "fused", "dropout"])
def test_one_traced_network_has_the_bits_of_the_loop(network: str) -> None:
    recipe = Recipe(**{**RECIPE.model_dump(), "dtype": "float32"})
    one, other = (trained(NETWORKS[network], engine, None, recipe, tile=1) for engine in ("looped", "traced"))
    assert gap(one, other) == 0


# -- the guard ------------------------------------------------------------------------------------------------------------


def chosen(make: Callable[[], nn.Module], recipe: Recipe = RECIPE, members: int = 4) -> choice.Choice:
    found = jobs(lambda member: make(), pictures(), Grid(seeds=members), recipe)
    return choice.choose(found, torch.device("cpu"), "auto", None, 1, Prepared())


def test_what_can_not_be_traced_is_told() -> None:
    found = chosen(Branches)
    assert (found.engine, found.size) == ("looped", 1)
    assert "gives a number to Python" in str(found)
    assert chosen(normalized).engine == "traced"


def test_a_wrong_trace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace whose gradients are off by one part in a hundred is not used."""
    right = engines.traced

    def wrong(function: Any, examples: Any, *, exact: bool = True) -> Any:
        run = right(function, examples)
        return lambda *tensors: [1.01 * run(*tensors)[0], *run(*tensors)[1:]]

    monkeypatch.setattr(engines, "traced", wrong)
    assert chosen(perceptron).engine == "stacked"
    with pytest.raises(BadInput, match=r"engine is 'traced', which can not train Sequential: .* choose auto or looped"):
        trained(perceptron, "traced")


def test_the_fastest_is_found_and_what_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes are searched upwards, then downwards; a named engine is not left for the loop, nor a given size for another."""

    made = jobs(lambda member: perceptron(), pictures(), Grid(seeds=64), RECIPE)
    monkeypatch.setattr(choice._Trial, "disagrees", lambda self, name, size: "")

    def choice_of(times: dict[int, float], asked: str = "auto", size: int | None = None) -> tuple[str, int]:
        monkeypatch.setattr(choice, "SHARE", 1e9)
        monkeypatch.setattr(choice, "FEW", 0)
        monkeypatch.setattr(choice._Trial, "_run", lambda self, name, size: 10.0 if name == "looped" else times[size])
        found = choice.choose(made, torch.device("cpu"), asked, size, 1, Prepared())
        return found.engine, found.size

    up, down = {8: 5.0, 16: 3.0, 32: 2.0, 64: 4.0}, {8: 12.0, 16: 20.0, 4: 9.0, 2: 8.0, 1: 9.5}
    assert choice_of(up) == ("traced", 32)
    assert choice_of(down) == ("traced", 2)
    slow = {1: 20.0, 2: 21.0, 4: 22.0, 8: 23.0, 16: 24.0}
    assert choice_of(slow) == ("looped", 1)
    assert choice_of(slow, "traced") == ("traced", 1)
    assert choice_of(up, "traced", 8) == ("traced", 8)


# -- tracing --------------------------------------------------------------------------------------------------------------


def test_tracing_says_what_it_can_not_do() -> None:
    x = torch.ones(3)
    for function, said in (
        (lambda x: [x * float(x.sum())], "gives a number to Python"),
        (lambda x: [x + torch.rand(3)], "draws random numbers"),
    ):
        with pytest.raises(Untraceable, match=said):
            traced(function, [x])
    run = traced(lambda x: [x[x > 0]], [x])  # a shape that values decide is followed
    assert run(torch.tensor([1.0, -1.0, 1.0]))[0].shape == (2,)


@pytest.mark.parametrize("how", [{}, {"stride": 1}, {"padding": 1}, {"ceil_mode": True}, {"dilation": 2, "stride": 2}])
def test_pooled_pixel_by_pixel_is_the_same_to_the_bit(how: dict[str, Any]) -> None:
    """Ties, as a relu leaves them, included: the gradient goes to the same one of them."""
    x = torch.randn(3, 4, 7, 6, generator=torch.Generator().manual_seed(0)).clamp_min(0)
    x[0, 0, 0, 0] = float("nan")

    def step(x: torch.Tensor) -> list[torch.Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            found = functional.max_pool2d(leaf, 3, **how)
            return [found.detach(), torch.autograd.grad(found.sum(), leaf)[0]]

    for mine, right in zip(traced(step, [x])(x), step(x), strict=True):
        assert torch.equal(mine.nan_to_num(-1), right.nan_to_num(-1))


@pytest.mark.parametrize(("rows", "padding"), [(7, None), (7, 2), (5000, None)])
def test_embeddings_are_added_row_by_row_to_the_bit(rows: int, padding: int | None) -> None:
    g = torch.Generator().manual_seed(0)
    weight, index = torch.randn(rows, 3, generator=g), torch.randint(0, 7, (20, 4), generator=g)
    upper = torch.randn(20, 4, 3, generator=g)

    def step(weight: torch.Tensor, index: torch.Tensor) -> list[torch.Tensor]:
        with torch.enable_grad():
            leaf = weight.detach().requires_grad_()
            return list(torch.autograd.grad((functional.embedding(index, leaf, padding) * upper).sum(), [leaf]))

    assert torch.equal(traced(step, [weight, index])(weight, index)[0], step(weight, index)[0])


@pytest.mark.parametrize("how", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}])
def test_grouped_convolutions_pixel_by_pixel(how: dict[str, Any]) -> None:
    """Networks side by side are groups of one convolution; alone, a network keeps torch's own kernel and bits."""
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(3, 6, 7, 6, generator=g), torch.randn(8, 3, 3, 3, generator=g)

    def step(x: torch.Tensor, w: torch.Tensor) -> list[torch.Tensor]:
        with torch.enable_grad():
            leaves = [v.detach().requires_grad_() for v in (x, w)]
            found = functional.conv2d(*leaves, groups=2, **how).sin()
            return [found.detach(), *torch.autograd.grad(found.sum(), leaves)]

    right = step(x, w)
    assert all(map(torch.equal, traced(step, [x, w])(x, w), right))
    for mine, known in zip(traced(step, [x, w], exact=False)(x, w), right, strict=True):
        torch.testing.assert_close(mine, known, rtol=1e-4, atol=1e-4)


def test_numbers_where_tensors_are_expected() -> None:
    """What vmap hands on of k / 100, where k has no axes, is the number itself."""

    def step(k: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        return [torch.func.vmap(lambda k, x: x * torch.exp(-k / 100) + k * 0.1)(k, x)]

    k, x = torch.arange(3.0, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64)
    assert torch.equal(traced(step, [k, x])(k, x)[0], step(k, x)[0])


def test_tracing_keeps_constants_and_writes_in_place() -> None:
    constant, counter = torch.tensor([2.0, float("inf"), float("nan")]), torch.zeros(())

    def function(x: torch.Tensor, count: torch.Tensor) -> list[torch.Tensor]:
        count.add_(1)
        return [torch.where(x > 0, x * constant, -1e-300), x.to(torch.float64) * 1e-320, count]

    run = traced(function, [torch.ones(3), counter.clone()])
    x = torch.tensor([1.0, 2.0, -3.0])
    expected = function(x, torch.zeros(()))
    for mine, right in zip(run(x, counter), expected, strict=True):
        assert torch.equal(mine.nan_to_num(7), right.nan_to_num(7)) and mine.dtype == right.dtype
    assert float(counter) == 1


# -- optimizers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_torchs(name: str) -> None:
    """Two members with numbers of their own, and two that share them: each steps as torch.optim does, in float64."""
    own = Recipe(**{**RECIPE.model_dump(), **OPTIMIZERS[name]})
    recipes = [Recipe(**{**own.model_dump(), "lr": lr}) for lr in (0.1, 0.03, 0.01, 0.01)]
    g = torch.Generator().manual_seed(0)
    first = torch.randn(4, 3, 2, generator=g, dtype=torch.float64)
    parameters = {"w": first.clone()}
    mine = Optimizer(recipes, parameters, torch.device("cpu"))
    decays = {"sgd": 0.0}
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    others = [first[i].clone().requires_grad_() for i in range(4)]
    numbers = ("momentum",) if name == "sgd" else ("eps",)
    theirs = [
        kind(
            [other], lr=r.lr, weight_decay=decays.get(name, r.weight_decay), **{n: getattr(r, n) for n in numbers},
            **({} if name == "sgd" else {"betas": (r.beta1, r.beta2)}),
        )
        for other, r in zip(others, recipes, strict=True)
    ]  # fmt: skip
    for step in range(1, 6):
        gradient = torch.randn(4, 3, 2, generator=g, dtype=torch.float64)
        if name == "sgd":  # torch's decay stands in the gradient, ours beside it
            with torch.no_grad():
                for other, r in zip(others, recipes, strict=True):
                    other.mul_(1 - r.lr * r.weight_decay)
        mine.step(parameters, [gradient], step)
        for i, (other, optimizer) in enumerate(zip(others, theirs, strict=True)):
            other.grad = gradient[i].clone()
            optimizer.step()
            assert torch.allclose(parameters["w"][i], other, rtol=1e-12, atol=1e-14)
    assert set(NUMBERS) <= set(Recipe.model_fields)


# -- elsewhere ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # processes start; in one that other tests have changed modules of, they rightly refuse
def test_processes_give_the_same_bits() -> None:
    width = [5]
    make = lambda: perceptron(width[0])  # noqa: E731  (a closure, as notebooks have)
    here = trained(make, "looped")
    there = train(
        lambda member: make(), pictures(), Grid(seeds=3), RECIPE, LEARNING, engine="looped", device="cpu", workers=2,
        executor="processes",
    )  # fmt: skip
    assert here.drop_vars("seconds").identical(there.drop_vars("seconds"))


class Waiting(nn.Module):
    """Branches on a value, so that it is trained one at a time, by many small calls from Python."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(x if x.mean() > 100 else x * 1)
        return found


def apart(monkeypatch: pytest.MonkeyPatch, refusal: str, **seconds: float) -> choice.Choice:
    """Return the choice where a step of the loop takes so long on one core, and on two at once."""
    made = jobs(lambda member: Waiting(), pictures(), Grid(seeds=64), Recipe(**{**RECIPE.model_dump(), "steps": 3000}))
    each = lambda self, name, size, cores: seconds["together" if cores > 1 else "alone"]  # noqa: E731
    monkeypatch.setattr(choice._Trial, "_each", each)
    monkeypatch.setattr(choice, "refused_by", lambda elsewhere, check, *arguments: refusal)
    return choice.choose(made, torch.device("cpu"), "auto", None, 2, Prepared())


def test_loops_that_hold_one_another_up_are_trained_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 networks of 3,000 steps: 48 s on two cores of .5 ms a step, and processes take 5 s to begin."""
    found = apart(monkeypatch, "", alone=0.5e-3, together=0.8e-3)
    assert (found.engine, found.apart) == ("looped", True)
    assert "1 in each process" in str(found) and "looped:1 in processes 250" in str(found)
    assert not apart(monkeypatch, "", alone=0.5e-3, together=0.52e-3).apart
    assert not apart(monkeypatch, "", alone=0.05e-3, together=0.12e-3).apart  # over before they had begun
    refused = apart(monkeypatch, "it holds a lock", alone=0.5e-3, together=0.8e-3)
    assert not refused.apart and "not in processes, which would be faster: it holds a lock" in str(refused)


@pytest.mark.slow  # processes start
def test_auto_goes_to_processes_and_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    here = trained(Waiting, "looped")
    monkeypatch.setattr(choice._Trial, "best", lambda self, *_, **__: choice.Choice("looped", 1, {}, (), True))
    there = train(lambda member: Waiting(), pictures(), Grid(seeds=3), RECIPE, LEARNING, device="cpu", workers=2)
    assert here.drop_vars("seconds").identical(there.drop_vars("seconds"))
