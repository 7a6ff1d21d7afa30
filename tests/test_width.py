"""The room ``width``: slopes, parametrizations of any builder, the control that fails, the transfer of rates."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import phasescope as ps
from phasescope.vocabulary import BadInput
from phasescope.width import scalings
from phasescope.width.rates_result import best_of
from phasescope.width.slopes import slope_of, slopes, student

X = np.random.default_rng(0).standard_normal((32, 8))
Y = np.random.default_rng(1).standard_normal((32, 1))
CLASSES = np.random.default_rng(2).integers(0, 3, 32)


def one(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False))


def two(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3)
    )  # fmt: skip


def recipe(optimizer: str = "sgd", lr: float = 0.1, steps: int = 1, loss: str = "mse", **more: Any) -> ps.Recipe:
    return ps.Recipe(optimizer=optimizer, lr=lr, steps=steps, loss=loss, records=2, **more)  # type: ignore[arg-type]


def test_a_planted_power_has_its_slope() -> None:
    widths = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
    sizes = widths**-0.5 * np.exp(0.02 * np.random.default_rng(0).standard_normal((8, 5)))
    found = slope_of(sizes, widths, 0.25, 0.001)
    assert found.word == "vanishes" and found.low < -0.5 < found.high and abs(found.wide + 0.5) < 0.1
    assert slopes(3 * widths[None] ** 0.7, widths) == pytest.approx(0.7)
    assert slope_of(sizes * np.array([1, 1, 0, 1, 1]), widths, 0.25, 0.01).word == "-"
    bent = slope_of(np.minimum(widths, 40.0) * np.exp(0 * sizes), widths, 0.25, 0.01)  # grows, and then no more
    assert bent.low > 0.25 and bent.word == "flat"


def test_student_s_interval_covers() -> None:
    rng = np.random.default_rng(3)
    hits = [low <= 0 <= high for _, low, high in (student(rng.standard_normal(5), 0.05) for _ in range(2000))]
    assert abs(np.mean(hits) - 0.9) < 0.03


def test_standard_and_ntk_fail_where_mup_passes() -> None:
    """One step of SGD, one hidden layer: -1/2, -1/2 and 0, within their intervals (Yang and Hu 2021)."""
    widths = (64, 128, 256, 512, 1024)
    found = {
        name: ps.coordinate_check(one, (X, Y), widths=widths, parametrization=name, recipe=recipe(), seeds=16)  # type: ignore[arg-type]
        for name in ("ntk", "mup")
    }
    assert found["mup"].control is not None
    found["given"] = found["mup"].control
    for name, expected in (("given", -0.5), ("ntk", -0.5), ("mup", 0.0)):
        slope = found[name].slope("0")
        assert slope.low - 0.03 <= expected <= slope.high + 0.03, (name, slope)
        assert slope.word == ("flat" if expected == 0 else "vanishes")
    assert found["mup"].verdict == "flat" and found["mup"].regime == "feature learning"
    assert found["given"].own == "grows"  # its output, at a constant rate
    assert found["ntk"].regime == "kernel" and found["given"].regime == "unstable"
    theory = ps.theory.parametrizations
    assert theory.regime(theory.named_parametrization("ntk", 1)) == found["ntk"].regime


def test_a_check_whose_control_passes_tells_nothing() -> None:
    common: dict[str, Any] = {"widths": (32, 64, 128), "recipe": recipe(), "seeds": 6, "parametrization": "mup"}
    fixed = ps.coordinate_check(lambda width: one(64 + width % 3), (X, Y), **{**common, "parametrization": "given"})
    assert fixed.own == fixed.verdict == "flat" and fixed.control is None
    both = ps.coordinate_check(lambda width: one(64 + width % 3), (X, Y), **common)
    assert both.own == "flat" and both.verdict == "undecided" and "tells nothing" in both.summary()


class Own(nn.Module):
    """Two hidden layers in mu-P as the package mup writes it: a readout divided by the width's multiple."""

    def __init__(self, width: int, base: int) -> None:
        super().__init__()
        self.body, self.m = two(width), width / base
        with torch.no_grad():
            for i in (2, 4):
                self.body[i].bias.mul_(math.sqrt(self.m))  # type: ignore[index, union-attr, operator]
            self.body[4].weight.mul_(math.sqrt(self.m))  # type: ignore[index, union-attr, operator]

    def forward(self, x: Tensor) -> Tensor:
        inner, readout = self.body[:4], self.body[4]  # type: ignore[index]
        hidden: Tensor = inner(x) / self.m
        return readout(hidden)  # type: ignore[no-any-return]


def mup_groups(module: nn.Module, kind: str, lr: float) -> torch.optim.Optimizer:
    """Rates as in mup/optim.py: of SGD, vectors times m; of Adam, matrices over m."""
    m, groups = module.m, []
    for p in module.parameters():
        inner = p.ndim == 2 and p.shape[0] == p.shape[1]
        vector = not inner and p.shape != (3,)
        factor = (m if vector else 1.0) if kind == "sgd" else (1 / m if inner else 1.0)
        groups.append({"params": [p], "lr": lr * factor})
    return torch.optim.SGD(groups) if kind == "sgd" else torch.optim.Adam(groups, betas=(0.9, 0.98))


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_mup_from_outside_is_mup_as_the_authors_write_it(kind: str) -> None:
    """The same networks and the same steps, by a module with multipliers and torch's optimizers: a second route."""
    widths, lr = (8, 16, 32), 0.02
    common: dict[str, Any] = {"widths": widths, "seeds": 2, "recipe": recipe(kind, lr, 3, "cross_entropy")}
    outside = ps.coordinate_check(two, (X, CLASSES), parametrization="mup", **common)
    own = ps.coordinate_check(
        lambda width: Own(width, 8), (X, CLASSES), layers=("body.0", "body.2"),
        optimizer=lambda module, width: mup_groups(module, kind, lr), **common,
    )  # fmt: skip
    for layer, other in (("0", "body.0"), ("2", "body.2"), ("output", "output")):
        for name in ("size", "change"):
            one_, two_ = outside.data[name].sel(layer=layer), own.data[name].sel(layer=other)
            assert np.allclose(one_, two_, rtol=2e-3, atol=1e-6), (layer, name)


def test_at_the_base_width_a_parametrization_is_the_builder() -> None:
    common: dict[str, Any] = {"widths": (8, 16, 32), "seeds": 2, "recipe": recipe("adam", 0.01, 2, "cross_entropy")}
    given = ps.coordinate_check(two, (X, CLASSES), **common).data
    for name in ("mup", "ntk"):
        other = ps.coordinate_check(two, (X, CLASSES), parametrization=name, control=None, **common).data
        assert given.isel(width=0).equals(other.isel(width=0).assign_attrs(given.attrs))
        assert not given.isel(width=1).equals(other.isel(width=1))


class Tokens(nn.Module):
    def __init__(self, width: int, tied: bool = False, bare: bool = False) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(5, width), nn.LayerNorm(width)
        self.inner = nn.Conv1d(width, 2 * width, 1)
        self.head = nn.Linear(width, 5, bias=False)
        self.place = nn.Parameter(torch.zeros(1, 4, width))
        if tied:
            self.head.weight = self.embed.weight
        if bare:
            self.scores = nn.Parameter(torch.zeros(5, width))

    def forward(self, ids: Tensor) -> Tensor:
        h = self.norm(self.embed(ids) + self.place)
        return self.head(self.inner(h.mT).mT[..., : h.shape[-1]].mean(1))  # type: ignore[no-any-return]


def test_roles_and_factors() -> None:
    found = {opt: scalings(Tokens(4), Tokens(16), "mup", opt) for opt in ("sgd", "adam", "muon")}
    roles = {name: one.role for name, one in found["sgd"].items()}
    assert roles["embed.weight"] == roles["place"] == roles["norm.weight"] == roles["inner.bias"] == "input"
    assert roles["inner.weight"] == "hidden" and roles["head.weight"] == "output"
    rates = {opt: {name: one.rate for name, one in factors.items()} for opt, factors in found.items()}
    assert [rates["sgd"][n] for n in ("embed.weight", "inner.weight", "head.weight")] == [4, 1, 0.25]
    assert [rates["adam"][n] for n in ("embed.weight", "inner.weight", "head.weight")] == [1, 0.25, 0.25]
    assert [rates["muon"][n] for n in ("embed.weight", "inner.weight", "head.weight")] == [2, 1, 0.5]
    assert found["adam"]["head.weight"].initial == 0.5 and found["adam"]["inner.bias"].initial == 2
    assert {one.rate for one in scalings(Tokens(4), Tokens(16), "ntk", "sgd").values()} == {1.0, 0.25}
    turned = scalings(nn.ConvTranspose1d(4, 3, 2), nn.ConvTranspose1d(8, 3, 2), "mup", "adam")
    assert turned["weight"].role == "output" and turned["bias"].role == "fixed"
    with pytest.raises(BadInput, match="are one weight"):
        scalings(Tokens(4, tied=True), Tokens(16, tied=True), "mup", "adam")
    with pytest.raises(BadInput, match=r"'scores'.*can not be told"):
        scalings(Tokens(4, bare=True), Tokens(16, bare=True), "mup", "adam")


def test_sequences_are_read_and_random_numbers_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    ids = np.random.default_rng(0).integers(0, 5, (12, 4))
    found = ps.coordinate_check(Tokens, (ids, ids[:, 0]), widths=(4, 8, 16), seeds=2, parametrization="mup")
    assert [row.layer for row in found.rows] == ["embed", "inner", "output"]
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    again = ps.coordinate_check(Tokens, (ids, ids[:, 0]), widths=(4, 8, 16), seeds=2, parametrization="mup")
    assert again.data.equals(found.data)
    assert found.data.change.isel(step=0).max() == 0 and json.dumps(found.to_json(), allow_nan=False)
    assert len(found.figure().panels) == 3 and "Control" in str(found)


def test_layers_that_do_not_learn_are_told_apart() -> None:
    def frozen(width: int) -> nn.Module:
        module = two(width)
        module[0].requires_grad_(False)  # type: ignore[index, operator]
        return module

    found = ps.coordinate_check(frozen, (X, CLASSES), widths=(8, 16, 32), seeds=2)
    assert found.rows[0].still and found.rows[0].verdict == "-" and not found.rows[1].still


def test_networks_that_diverge_are_counted_and_slopes_are_those_before() -> None:
    huge = recipe("sgd", 1e30, 4)
    found = ps.coordinate_check(one, (X, Y), widths=(16, 32, 64), seeds=2, recipe=huge)
    assert found.lost == 6 and found.step < 4 and "not finite" in found.summary()


class Curved(nn.Module):
    """y = s w: after one step of gradient descent on (s w - y)^2 the best rate is 1 / (2 s^2), exactly."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.w, self.scale = nn.Parameter(torch.randn(1, 1)), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.w * torch.ones_like(x)


def even(width: int) -> nn.Module:
    return Curved(2.0 + 1e-6 * width)  # as good as the same at every width


RATES = [2.0**k for k in np.arange(-9, 2, 0.5)]
CONSTANT = (np.ones((4, 1)), np.full((4, 1), 3.0))


def test_a_rate_that_transfers_and_one_that_moves_by_an_octave_per_doubling() -> None:
    step = recipe("sgd", 1.0, 1)
    flat = ps.transfer(even, CONSTANT, widths=(8, 16, 32), rates=RATES, recipe=step)
    assert flat.verdict == "transfers" and 2 ** flat.best(0)[0] == pytest.approx(1 / 8, rel=0.01)
    assert flat.spread.value == pytest.approx(0, abs=1e-3)
    moves = ps.transfer(lambda width: Curved(width**0.5), CONSTANT, depths=(2, 4, 16), rates=RATES, recipe=step)
    assert moves.verdict == "does not" and moves.spread.value == pytest.approx(3, abs=0.05)
    assert [2 ** moves.best(i)[0] for i in range(3)] == pytest.approx([1 / 4, 1 / 8, 1 / 32], rel=0.03)
    assert json.dumps(moves.to_json(), allow_nan=False) and "does not" in str(moves) and moves.figure().panels


def test_losses_on_held_out_data_mini_batches_and_an_optimizer_of_ones_own() -> None:
    """The best rate of held-out data is theirs; an optimizer that halves its rate has twice the best one."""
    step, widths = recipe("sgd", 1.0, 1), (8, 16)
    common: dict[str, Any] = {"widths": widths, "rates": RATES, "recipe": step}
    held = ps.transfer(even, CONSTANT, test=(CONSTANT[0], CONSTANT[1] * 2), **common)
    assert held.data.attrs["loss"] == "test" and held.best(0)[0] > -3  # farther on the way than for its own targets
    half = ps.transfer(
        even, CONSTANT, optimizer=lambda m, w, rate: torch.optim.SGD(m.parameters(), lr=rate / 2),
        **common,
    )  # fmt: skip
    assert 2 ** half.best(0)[0] == pytest.approx(1 / 4, rel=0.01)
    small = recipe("sgd", 0.1, 2, batch=8)
    found = [ps.coordinate_check(one, (X, Y), widths=(8, 16, 32), seeds=2, recipe=r).data.change for r in (small, step)]
    assert not np.allclose(found[0].isel(step=1), found[1].isel(step=1))


def test_a_control_of_ones_own() -> None:
    def still(width: int) -> nn.Module:
        return one(32 + width % 5)

    found = ps.coordinate_check(still, (X, Y), widths=(64, 256, 1024), seeds=8, recipe=recipe(), control=one)
    assert found.verdict == "flat" and found.control is not None and found.control.own == "grows"


def test_what_can_not_be_decided_says_why() -> None:
    step = recipe("sgd", 1.0, 1)
    call = lambda rates, **more: ps.transfer(  # noqa: E731
        lambda width: Curved(width**0.5), CONSTANT, widths=(2, 4), rates=rates, recipe=step, **more
    )
    edge = call([2.0**k for k in range(-3, 2)])
    assert edge.verdict == "undecided" and "edge" in edge.reason and not math.isfinite(edge.spread.high)
    assert edge.best(1)[1] == -math.inf and math.isfinite(edge.best(0)[1]) and "[no bound, " in str(edge)
    assert call([2.0**k for k in range(-4, 2)], tolerance=0.5).verdict == "does not"
    coarse = ps.transfer(
        lambda width: Curved(1.0 + 1e-6 * width),
        CONSTANT,
        widths=(2, 4),
        rates=[2.0**k for k in (-9, -5, -1, 3)],
        recipe=step,
    )
    assert coarse.verdict == "undecided" and "coarse" in coarse.reason


def test_the_lowest_loss_between_rates() -> None:
    octaves = np.arange(5.0)
    found = best_of((2**octaves - 2**2.3) ** 2, octaves)
    assert found.octave == pytest.approx(2.3) and 0.05 < found.doubt < 0.5
    cliff = best_of(np.array([4.0, 2.0, 1.0, np.inf, np.nan]), octaves)
    assert cliff == (2, 0, 0.5)
    assert best_of(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), octaves).edge == -1


HELD = one(8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"widths": (8, 16)}, "give three or more"),
        ({"widths": (16, 8, 32)}, "each larger"),
        ({"parametrization": "sp"}, "choose one of given, mup, ntk"),
        ({"data": X}, "data is no pair"),
        ({"data": (X[:5], Y)}, "5 inputs and 32 targets"),
        ({"data": (X, CLASSES + 1), "recipe": recipe(loss="cross_entropy")}, "the network has 1 outputs"),
        ({"builder": lambda width: "no"}, "gives a str"),
        ({"builder": 3}, "give a function"),
        ({"builder": lambda width: nn.Flatten()}, "no weights that learn"),
        ({"layers": ("7",)}, "no layer '7'"),
        ({"seeds": 1}, "seeds is 1"),
        ({"optimizer": lambda m, w: 3}, "the optimizer is a int"),
        ({"parametrization": "mup", "optimizer": lambda m, w: 3}, "the optimizer is your own"),
        ({"control": "builder"}, "give another builder"),
        ({"recipe": recipe(sam=0.1)}, "sam=0.1, which is not used here"),
        ({"recipe": recipe(overtime=2.0)}, "overtime=2.0, which is not used here"),
        ({"data": (X, Y[:, 0]), "builder": two}, r"shape \(32,\), and the network's outputs have \(32, 3\)"),
        ({"data": (X, Y), "builder": two}, r"shape \(32, 1\), and the network's outputs have \(32, 3\)"),
        ({"data": (X, np.hstack([Y, Y]))}, r"shape \(32, 2\), and the network's outputs have \(32, 1\)"),
        ({"data": (X, CLASSES - 2), "builder": two}, "hold the class -"),
        ({"recipe": recipe(dtype="float64")}, "network is float32"),
        ({"out": 3}, "the folder is 3: give a path"),
        ({"builder": lambda width: torch.manual_seed(0) and one(width)}, "the same to the last bit"),
        ({"builder": lambda width: nn.Sequential(*one(8), *[nn.Linear(1, 1)] * (width > 8))}, "layers at width 16"),
        ({"builder": lambda width: HELD}, "returned before"),
        ({"builder": lambda width: nn.Sequential(HELD, nn.Linear(1, 1))}, "returned before"),
        ({"builder": lambda width: one(8)}, "let the builder use its argument"),
        ({"builder": lambda width: nn.Sequential(nn.LazyLinear(width), nn.Linear(width, 1))}, "has no shape yet"),
        ({"data": (X, -CLASSES - 1), "recipe": recipe(loss="cross_entropy")}, "hold the class -"),
    ],
)
def test_refusals(change: dict[str, Any], said: str) -> None:
    call = {"builder": one, "data": (X, Y), "widths": (8, 16, 32), "seeds": 2, "recipe": recipe(), **change}
    with pytest.raises(BadInput, match=said):
        ps.coordinate_check(call.pop("builder"), call.pop("data"), **call)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"widths": None}, "give widths or depths"),
        ({"depths": (1, 2)}, "and not both"),
        ({"rates": [0.1, 0.2, 0.7]}, "unequal ratios"),
        ({"rates": [0.1, 0.2]}, "three or more"),
        ({"rates": [1e28, 1e29, 1e30]}, "no rate gives a finite loss"),
        ({"widths": None, "depths": (1, 2), "parametrization": "mup"}, "with depths, build your own"),
        ({"test": X}, "test is no pair"),
        ({"test": (X[:0], Y[:0])}, "targets of test are empty"),
        ({"test": (X, Y[:3])}, "32 inputs and 3 targets of test"),
        ({"test": (X, Y * np.nan)}, "targets of test hold a number that is not finite"),
    ],
)
def test_refusals_of_transfer(change: dict[str, Any], said: str) -> None:
    call = {"widths": (8, 16), "rates": [0.1, 0.2, 0.4], "seeds": 2, "recipe": recipe(steps=3), **change}
    with pytest.raises(BadInput, match=said):
        ps.transfer(one, (X, Y), **call)


def test_a_test_set_of_another_kind_and_losses_of_zero_are_no_rates() -> None:
    def three(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))

    how: dict[str, Any] = {"widths": (8, 16), "seeds": 2, "recipe": recipe(loss="cross_entropy", steps=2)}
    with pytest.raises(BadInput, match="the targets of test are no classes"):
        ps.transfer(three, (X, CLASSES), rates=[0.1, 0.2, 0.4], test=(X, CLASSES * 1.0), **how)
    with pytest.raises(BadInput, match="every loss is 0 at the end"):
        ps.transfer(three, (X, CLASSES * 0), rates=[1000, 2000, 4000], **how)
    with pytest.raises(BadInput, match="all widths are the same"):
        ps.transfer(lambda width: three(8), (X, CLASSES), rates=[0.1, 0.2, 0.4], **how)


def test_a_frozen_part_may_be_shared_and_networks_without_numbers_say_so() -> None:
    held = nn.Linear(8, 8).requires_grad_(False)
    found = ps.coordinate_check(
        lambda width: nn.Sequential(held, one(width)), (X, Y), widths=(8, 16, 32), seeds=2, recipe=recipe()
    )
    assert len(found.rows) == 3 and found.rows[0].still

    class Nothing(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.net = one(width)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) * math.nan

    found = ps.coordinate_check(Nothing, (X, Y), widths=(8, 16, 32), seeds=2, recipe=recipe())
    assert found.verdict == "undecided" and "6 networks were not finite before the first step" in str(found)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phasescope.commands.cli import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "its_builder.py").write_text(
        "from torch import nn\n\ndef build(width):\n"
        "    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))\n\n"
        "def fixed():\n    return build(8)\n\nmodel = build(8)\n"
    )
    np.savez("data.npz", X=X, y=CLASSES)
    words = ["width", "its_builder:build", "--data", "data.npz", "--widths", "8,16,32", "--seeds", "2"]
    words += ["--parametrization", "mup", "--rates", "0.01,0.02,0.04", "--train", "2", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["widths"] == [8, 16, 32] and told["control"]["parametrization"] == "given" and told["transfer"]["rows"]
    page = (tmp_path / "runs" / "width-its_builder-build" / "report.html").read_text()
    assert "The best rate" in page and "its_builder:build" in page
    words[words.index("--rates") + 1] = "0.04,0.02,0.01"
    began = CliRunner().invoke(app, words)
    assert isinstance(began.exception, BadInput) and "each larger" in str(began.exception) and not began.stdout
    for option, value in (("--steps", "0"), ("--train", "0"), ("--rate", "nan")):
        refused = CliRunner().invoke(app, [*words[:4], option, value])
        assert isinstance(refused.exception, BadInput) and f"{option} is " in str(refused.exception)
    for name, said in (("fixed", "function of"), ("model", "module of one width"), ("none", "has no 'none'")):
        failed = CliRunner().invoke(app, ["width", f"its_builder:{name}", "--data", "data.npz"])
        assert isinstance(failed.exception, BadInput) and said in str(failed.exception)
