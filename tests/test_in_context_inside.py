"""What is read inside networks that learn in context: circles, attention, single sequences; each by a second route."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import phasescope as ps
from phasescope.ensemble.streams import initialized, streams
from phasescope.learners import ModularRegression
from phasescope.studies.in_context_modular import experiments, sequences
from phasescope.studies.in_context_modular.attention import RELATED, patterns
from phasescope.studies.in_context_modular.circles import circles, concentration, ordered, orders_of, strongest
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.vocabulary import Array, Grid, Member

SMALL = {"seeds": 1, "steps": 4, "batch": 4, "records": 2, "readout": 8, "draws": 16, "width": 8, "heads": 2}


def by_fourier(rows: Array) -> float:
    """Return the largest fraction of the power of one frequency, by the discrete Fourier transform."""
    power = (np.abs(np.fft.fft(rows, axis=0)) ** 2).sum(1)[1:]
    n = len(rows)
    of_pair = [power[k - 1] + (power[n - k - 1] if 2 * k != n else 0) for k in range(1, n // 2 + 1)]
    return float(max(of_pair) / power.sum())


@pytest.mark.parametrize("n", [4, 5, 7])
def test_one_circle_is_all_of_the_power_and_shuffled_it_is_not(n: int) -> None:
    angle = 2 * np.pi * 2 * np.arange(n) / n if n > 4 else 2 * np.pi * np.arange(n) / n
    circle = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle), 0 * angle + 3], 1))[None]
    found = concentration(circle)[0]
    assert found[0].item() == pytest.approx(1)
    assert found[1] < 0.95
    # of 5 places 20 of 120 orders turn or stretch a circle into one, of 4 only the 8 that turn or mirror it
    exact = {4: 8 / 24, 5: 20 / 120}
    assert found[2].item() == pytest.approx(exact.get(n, 1 / 100), abs=1e-12 if n in exact else 0.02)


def test_concentration_is_that_of_the_fourier_transform() -> None:
    rows = streams(0)("rows").standard_normal((4, 6, 3))
    found = concentration(torch.from_numpy(rows))
    for one, (own, mean, large) in zip(rows, found.tolist(), strict=True):
        null = np.array([by_fourier(one[list(order)]) for order in permutations(range(6))])
        assert own == pytest.approx(by_fourier(one))
        assert mean == pytest.approx(null.mean())
        assert large == pytest.approx((null >= by_fourier(one) - 1e-9).mean())
    assert strongest(torch.eye(7, dtype=torch.float64)).item() == pytest.approx(1 / 3)  # three pairs, alike
    assert orders_of(8).shape == (500, 8)


def test_logarithms_are_powers_of_a_root() -> None:
    assert ordered(7, "logarithm") == [1, 3, 2, 6, 4, 5]
    assert ordered(7, "residue") == list(range(7))


def read(s: ModularContextSettings, seed: int, *instruments: Any) -> xr.Dataset:
    recipe = ps.Recipe(optimizer="sgd", lr=1e-30, steps=1, records=2, batch=2)
    task, net = experiments.task_of(s, n_tasks=6), experiments.learner(s, 2)
    found = ps.train(net, task, Grid(seeds=[seed]), recipe, [], at_end=instruments, device="cpu", engine="stacked")
    return found.squeeze("seed")


@pytest.mark.parametrize("tokens", ["bound", "three"])
def test_circles_are_of_the_right_columns(tokens: str) -> None:
    s = ModularContextSettings(**{**SMALL, "tokens": tokens})
    found = read(s, 2, circles(5, tokens)).circles
    weight = initialized(experiments.learner(s, 2), 2).state_dict()["embed.weight"].numpy()
    rows = weight.T if tokens == "bound" else weight
    for i in range(len(found.number)):
        own = rows[5 * i : 5 * i + 5].astype(float)
        assert found[i].sel(order="residue", circle="labels").item() == pytest.approx(by_fourier(own), abs=1e-6)
        logs = own[[1, 2, 4, 3]]
        assert found[i].sel(order="logarithm", circle="labels").item() == pytest.approx(by_fourier(logs), abs=1e-6)


def attention_of(net: Any, tokens: torch.Tensor, tokens_each: int) -> Array:
    """Return what each question looks at (blocks, N, heads, K, T), from queries and keys, with plain loops."""
    seen, h = [], net.embedded(tokens)
    turn = ps.learners.attention.rotations(h.shape[1], 4, h) if net.positions == "rope" else None
    for block in net.blocks:
        q, k, _ = block.split(h)
        if turn is not None:
            q, k = (ps.learners.attention.turned(part, turn) for part in (q, k))
        n, length, heads, d = q.shape
        found = np.zeros((n, heads, length, length))
        for i in range(length):
            there = [j for j in range(i + 1) if tokens_each == 3 or j == i or j % 2]
            scores = torch.stack([(q[:, i] * k[:, j]).sum(-1) for j in there], -1) / d**0.5
            found[:, :, i, there] = scores.softmax(-1).detach().numpy()
        seen.append(found[:, :, 0::2] if tokens_each == 1 else found[:, :, 1::3])
        bias = ps.learners.attention.seen_with(net.mask, net.positions, heads, length, h)
        h = block(h, bias, turn)
    return np.stack(seen)


@pytest.mark.parametrize("tokens", ["bound", "three"])
def test_where_questions_look(tokens: str) -> None:
    """Fractions on related examples and by offset, by loops over questions and examples."""
    s = ModularContextSettings(**{**SMALL, "tokens": tokens})
    task = experiments.task_of(s, n_tasks=6)
    found = read(s, 3, *patterns(task, partial(experiments.learner, s, 2)))
    net, each = initialized(experiments.learner(s, 2), 3), 1 if tokens == "bound" else 3
    draw = task.draw(Member({}, 3), streams(3))
    weights = attention_of(net, torch.from_numpy(draw.inputs)[8:16], each)
    bound = experiments.task_of(ModularContextSettings(**SMALL), n_tasks=6).draw(Member({}, 3), streams(3))
    x, y = (bound.inputs[8:16, ::2, 5 * i : 5 * i + 5].argmax(-1) for i in range(2))
    sums = {name: np.zeros((2, 2)) for name in RELATED}
    even = dict.fromkeys(RELATED, 0.0)
    for i in range(8):
        for k in range(8, 12):
            tokens_of = [[2 * j + 1] if each == 1 else [3 * j, 3 * j + 1, 3 * j + 2] for j in range(k)]
            total = k + 1 if each == 1 else 3 * k + 2
            names = []
            for j in range(k):
                here = {
                    "same x": x[i, j] == x[i, k], "same y": y[i, j] == y[i, k],
                    "multiple": (x[i, j] * y[i, k] - x[i, k] * y[i, j]) % 5 == 0 and (x[i, j] or y[i, j]),
                }  # fmt: skip
                names.append([name for name, yes in here.items() if yes] or ["none of these"])
            for j, own in zip(tokens_of, names, strict=True):
                for name in own:
                    sums[name] += weights[:, i, :, k][..., j].sum(-1)
                    even[name] += len(j) / total
            sums["itself"] += 1 - weights[:, i, :, k][..., [j for each_of in tokens_of for j in each_of]].sum(-1)
            even["itself"] += 1 - sum(map(len, tokens_of)) / total
    for name in RELATED:
        both = found.attention.sel(related=name)
        np.testing.assert_allclose(both.sel(look="attention"), sums[name] / 32, atol=1e-5)
        np.testing.assert_allclose(both.sel(look="uniform"), even[name] / 32, atol=1e-6)
    last = weights.mean((1, 2))[:, 11]  # only the last question has an example eleven shots before
    wanted = last[:, 1] if each == 1 else last[:, :3].sum(-1)
    np.testing.assert_allclose(found.offsets.sel(offset=11, look="attention"), wanted, atol=1e-5)
    np.testing.assert_allclose(found.offsets.sel(offset=11, look="uniform"), 1 / 12 if each == 1 else 3 / 35, atol=1e-6)


def test_sequences_are_the_networks_own() -> None:
    """What the page shows: the task of each sequence, the network's answers, and no answer where rules have none."""
    s = ModularContextSettings(**SMALL)
    task = experiments.task_of(s, n_tasks=6)
    network = read(s, 1, sequences.answers(task))
    draw = task.draw(Member({}, 1), streams(1))
    said = initialized(experiments.learner(s, 2), 1)(torch.from_numpy(draw.inputs)).argmax(-1).numpy()
    np.testing.assert_array_equal(network.answers, said[:16].reshape(2, 8, 12))
    numbers = {"p": 5, "shots": 12, "asked": 4, "readout": 8, "rule": "random", "n_tasks": 6}
    rules = sequences.beside(Member(numbers, 1), streams(1))
    a, b = np.divmod(rules["task"][..., None], 5)
    np.testing.assert_array_equal(rules["z"], (a * rules["x"] + b * rules["y"]) % 5)
    np.testing.assert_array_equal(rules["z"].reshape(-1, 12), draw.labels[:16])
    nothing = (rules["x"][..., 0] == 0) & (rules["y"][..., 0] == 0)
    np.testing.assert_array_equal(
        np.isnan(rules["every"][..., 0]), ~nothing
    )  # without an example only z(0, 0) is known
    best = sequences.alone(ModularRegression(5)(torch.from_numpy(draw.inputs[:16])))
    known = ~np.isnan(best)
    np.testing.assert_array_equal(rules["every"].reshape(-1, 12)[known], best[known])
    places = {"of": list(sequences.OWN), "sequence": range(8), "shot": range(12)}
    data = {
        "shown": network.expand_dims(seed=[1], n_tasks=[18]),
        "beside": xr.Dataset(
            {name: (("of", "sequence", "shot")[: value.ndim], value) for name, value in rules.items()}, places
        ).expand_dims(seed=[1], n_tasks=[18]),
    }
    (choice,) = sequences.choices(data, s)
    assert [len(tables) for tables in choice.groups.values()] == [8, 8]
    name, rows = choice.groups["new task"][0]
    assert name == f"1, z = {a[1, 0, 0]}x + {b[1, 0, 0]}y mod 5"
    assert len(rows) == 12
    right = said[8, 0] == draw.labels[8, 0]
    assert rows[0][3] == f"{said[8, 0]}{'' if right else ' ✗'}"
    assert rows[0][4] == ("0" if not rules["x"][1, 0, 0] and not rules["y"][1, 0, 0] else "–")
    assert sequences.choices({"shown": data["shown"]}, s) == ()
