"""``inspect``: the blocks it finds, its readings against exact ones and theory, its verdicts, and what it leaves alone."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.ensemble.streams import initialized
from phasescope.inspection import blocks_of
from phasescope.inspection.judge import BLOCK_TOLERANCE, DEPTH_TOLERANCE, Depth, scale_of, verdict_of
from phasescope.inspection.readings import Interval
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_norm
from phasescope.learners import SignalNetwork
from phasescope.theory import criticality
from phasescope.vocabulary import BadInput


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def signal(depth: int = 8, width: int = 100, **numbers: Any) -> SignalNetwork:
    return initialized(SignalNetwork(width, depth, inputs=width, **numbers), 0)  # type: ignore[return-value]


def chain(depth: int = 4, width: int = 12) -> nn.Sequential:
    parts = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU(inplace=True))]
    return initialized(nn.Sequential(*parts, nn.Linear(width, 3)), 0)  # type: ignore[return-value]


class Branch(nn.Module):
    """h + W phi(h), made of layers, so that a search could go wrong inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = h + self.down(torch.relu(self.up(h)))
        return out


class Staged(nn.Module):
    """A convolutional network of two stages with skips, pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.stage1 = nn.Sequential(self.block(8, 8, 1), self.block(8, 8, 1))
        self.stage2 = nn.Sequential(self.block(8, 16, 2), self.block(16, 16, 1))
        self.head = nn.Linear(16, 5)

    @staticmethod
    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU())
                self.down = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

            def forward(self, h: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.down(h) + self.body(h)
                return out

        return Residual()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stage2(self.stage1(self.stem(x)))
        out: torch.Tensor = self.head(h.mean((2, 3)))
        return out


class Tokens(nn.Module):
    """A small encoder that takes token numbers and gives a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        make = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, dropout=0.5)
        self.encoder = nn.TransformerEncoder(make, 3, enable_nested_tensor=False)

    def forward(self, ids: torch.Tensor, scale: float = 1.0) -> dict[str, torch.Tensor]:
        return {"hidden": self.encoder(scale * self.embed(ids))}


class Again(nn.Module):
    """One block that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block = nn.Linear(12, 12), Branch(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x)
        for _ in range(3):
            h = self.block(h)
        return h


IDS = torch.arange(14).view(2, 7)
FOUND: list[tuple[str, Callable[[], nn.Module], Any, list[str]]] = [
    ("chain", chain, normal(5, 12), ["0", "2", "4", "6"]),
    ("signal", lambda: signal(3), normal(4, 100), ["blocks.0", "blocks.1", "blocks.2"]),
    ("branches", lambda: nn.Sequential(*(Branch(12) for _ in range(3))), normal(4, 12), ["0", "1", "2"]),
    ("stages", Staged, normal(2, 3, 8, 8), ["stage1.0", "stage1.1", "stage2.0", "stage2.1"]),
    ("tokens", Tokens, IDS, ["encoder.layers.0", "encoder.layers.1", "encoder.layers.2"]),
    ("keywords", Tokens, {"ids": IDS, "scale": 2.0}, ["encoder.layers.0", "encoder.layers.1", "encoder.layers.2"]),
    ("arguments", Tokens, (IDS, 2.0), ["encoder.layers.0", "encoder.layers.1", "encoder.layers.2"]),
    ("again", Again, normal(4, 12), ["block"]),
]


class TestBlocks:
    @pytest.mark.parametrize(("make", "batch", "names"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
    def test_the_row_that_the_whole_signal_passes_through(
        self, make: Callable[[], nn.Module], batch: Any, names: list[str]
    ) -> None:
        assert list(blocks_of(make(), batch)) == names

    def test_frozen_models_have_the_same(self) -> None:
        assert blocks_of(chain().requires_grad_(False), normal(5, 12)) == ("0", "2", "4", "6")

    def test_parallel_parts_are_no_row(self) -> None:
        class Experts(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.experts = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.stack([expert(x) for expert in self.experts]).sum(0)

        with pytest.raises(BadInput, match="name them with blocks="):
            blocks_of(Experts(), normal(3, 6))


class TestReadings:
    def test_the_exact_numbers_lie_in_the_intervals(self) -> None:
        """Width 12 is small enough for exact Jacobians; with 64 probes the t interval is 4 errors short of nothing."""
        net, x = chain(), normal(9, 12)
        found = ps.inspect(net, x, probes=64)
        with passage(net, x, found.blocks) as again:
            for before, row in zip(found.rows[1:], found.rows[2:], strict=False):
                exact = exact_partial_norm(again, before.name, row.name)
                assert abs(row.chi.value - exact) < 2 * (row.chi.high - row.chi.low)
            total = exact_partial_norm(again, "0", "6")
        assert found.start == "0"
        assert found.depth == 3
        assert abs(found.total.value - total) < 2 * (found.total.high - found.total.low)
        assert found.rows[2].kernel == pytest.approx(float(again.values["2"].detach().square().mean()), rel=1e-5)

    @pytest.mark.parametrize(("phi", "variance"), [("relu", 1.6), ("erf", 1.5), ("tanh", 0.8)])
    def test_chi_is_that_of_theory(self, phi: str, variance: float) -> None:
        net = signal(4, 500, activation=phi, weight_variance=variance)
        found = ps.inspect(net, normal(16, 500))
        for before, row in zip(found.rows, found.rows[1:], strict=False):
            expected = criticality.chi_jacobian(criticality.Block(phi, variance), before.kernel)
            assert row.chi.value == pytest.approx(expected, rel=0.12)

    def test_same_seed_same_numbers(self) -> None:
        net, x = signal(), normal(6, 100)
        one, two, other = (ps.inspect(net, x, seed=seed) for seed in (3, 3, 4))
        assert str(one) == str(two) != str(other)

    def test_a_module_called_again_has_a_row_for_each_call(self) -> None:
        found = ps.inspect(Again(), normal(5, 12), probes=2)
        assert found.blocks == ("block", "block#2", "block#3")
        assert all(row.skip == pytest.approx(1, abs=0.3) for row in found.rows[1:])


class TestVerdicts:
    @pytest.mark.parametrize(
        ("numbers", "verdict"),
        [
            ({"weight_variance": 2.0}, "critical"),
            ({"weight_variance": 1.0}, "ordered"),
            ({"weight_variance": 4.0}, "chaotic"),
            ({"weight_variance": 2.0, "norm": "batch"}, "chaotic"),
            ({"weight_variance": 2.0, "norm": "layer pre", "residual": 1.0}, "critical"),
            ({"weight_variance": 5.0, "norm": "layer pre", "residual": 1.0}, "critical"),
            ({"weight_variance": 0.5, "activation": "erf"}, "ordered"),
        ],
    )
    def test_known_phases(self, numbers: dict[str, Any], verdict: str) -> None:
        """Facts of arXiv:2111.12143: ReLU is critical at sigma_w^2 = 2; batch normalization without skips is chaotic
        whatever the scale; with LayerNorm and a full skip J is a power of depth, for every scale."""
        found = ps.inspect(signal(16, 200, **numbers), normal(32, 200), probes=4)
        assert found.verdict == verdict
        assert found.findings or verdict == "critical"

    @pytest.mark.parametrize("variance", [0.7, 5.0])
    def test_the_advice_mends_the_network(self, variance: float) -> None:
        net, x = signal(12, 200, weight_variance=variance), normal(16, 200)
        sick = ps.inspect(net, x)
        assert sick.verdict in ("ordered", "chaotic")
        with torch.no_grad():
            for row in sick.rows[1:]:
                net.get_submodule(row.name).weight.mul_(row.scale)  # type: ignore[operator, union-attr]
        assert ps.inspect(net, x).verdict == "critical"

    def test_the_advice_for_branches_mends_them(self) -> None:
        assert scale_of(3.0, 1.0, 1.0, 10) == pytest.approx(math.sqrt(0.1 / 2))
        assert math.isnan(scale_of(1.4, 0.0, 0.0, 10))  # under a normalization the scale cancels
        assert scale_of(4.0, 0.0, 1.0, 10) == 0.5

    def test_intervals_decide(self) -> None:
        assert verdict_of(Interval(1.0, 0.9, 1.1), BLOCK_TOLERANCE) == "critical"
        assert verdict_of(Interval(1.2, 1.0, 1.4), BLOCK_TOLERANCE) == "undecided"
        assert verdict_of(Interval(0.5, -0.1, 1.1), BLOCK_TOLERANCE) == "undecided"
        assert verdict_of(Interval(0.5, 0.4, 0.6), BLOCK_TOLERANCE) == "ordered"
        assert verdict_of(Interval(0.0, 0.0, 0.0), BLOCK_TOLERANCE) == "ordered"
        assert verdict_of(Interval(1.5, 1.4, 1.6), BLOCK_TOLERANCE) == "chaotic"

    def test_what_a_normalization_undoes_is_no_fault(self) -> None:
        """A signal that grows before a normalization makes J as large; without one, a ReLU chain's J is what it is."""

        def exactly(j: float) -> Interval:
            return Interval(j, j, j)

        assert Depth(12, exactly(1e3), (1.0, 1e3), 0.0).verdict() == "critical"
        assert Depth(12, exactly(1e-3), (1.0, 1e-3), 1.0).verdict() == "ordered"
        assert Depth(12, exactly(1.0), (1.0, 1e3), 0.0).verdict() == "ordered"
        assert Depth(12, exactly(1e3), (1.0, 1.0), 0.0).verdict() == "chaotic"
        assert Depth(12, exactly(1e3), (1.0, 1.0), 0.0).verdict(inflation=3.0) == "undecided"
        assert Depth(12, Interval(300.0, 50.0, 1800.0)).verdict() == "undecided"

    def test_a_small_embedding_is_told_apart_from_an_explosion(self) -> None:
        """LayerNorm before the branch multiplies gradients by 1 + c/K: a small input makes the first block do it all."""
        net = signal(12, 200, norm="layer pre", residual=1.0)
        found = ps.inspect(net, 0.03 * normal(16, 200), blocks=net.places, probes=4)
        assert found.total.log.value > DEPTH_TOLERANCE and found.verdict == "critical"
        assert "change of scale, which the normalizations undo" in found.summary()
        assert "change of scale" not in ps.inspect(net, normal(16, 200), probes=4).summary()

    def test_batch_normalization_asleep_is_said(self) -> None:
        net = initialized(
            nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()) for _ in range(3))), 0
        )
        x = normal(6, 8)
        assert "have seen a batch" not in str(ps.inspect(net, x))
        assert "3 batch normalizations" in str(ps.inspect(net.eval(), x))


class TestUntouched:
    @pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
    def test_every_bit_comes_back(self, guard: Any) -> None:
        net = nn.Sequential(*(nn.Sequential(Branch(10), nn.BatchNorm1d(10), nn.Dropout(0.5)) for _ in range(3)))
        net[1].requires_grad_(False)
        net[2].eval()
        state, modes = copy.deepcopy(net.state_dict()), [part.training for part in net.modules()]
        random = torch.get_rng_state()
        with guard():
            ps.inspect(net, normal(6, 10) * 1, probes=2)
            assert not torch.is_grad_enabled()
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        assert [part.training for part in net.modules()] == modes
        assert torch.equal(torch.get_rng_state(), random)
        assert all(p.grad is None for p in net.parameters())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())

    def test_dropout_does_not_act(self) -> None:
        net = nn.Sequential(*(nn.Sequential(Branch(10), nn.Dropout(0.9)) for _ in range(3)))
        x = normal(6, 10)
        assert str(ps.inspect(net.train(), x)) == str(ps.inspect(net.eval(), x))

    @pytest.mark.parametrize("change", ["frozen", "bfloat16", "tied"])
    def test_frozen_rounded_and_tied_weights(self, change: str) -> None:
        net, x = signal(6, 200), normal(8, 200)
        plain = ps.inspect(net, x)
        if change == "frozen":
            net.requires_grad_(False)
        elif change == "bfloat16":
            net, x = net.bfloat16(), x.bfloat16()
        else:
            for block in net.blocks:
                block.weight = net.blocks[0].weight
        found = ps.inspect(net, x)
        if change == "frozen":
            assert str(found) == str(plain)
        for row, other in zip(found.rows[1:], plain.rows[1:], strict=True):
            assert row.chi.value == pytest.approx(other.chi.value, rel=0.03 if change == "bfloat16" else 0.25)


class TestBadInput:
    def test_the_module_that_refuses_is_named(self) -> None:
        with pytest.raises(BadInput, match=r"the module '0' refuses this batch: mat1 and mat2"):
            ps.inspect(chain(), normal(5, 7))
        with pytest.raises(BadInput, match=r"the module '0' refuses this batch: mat1 and mat2"):
            ps.inspect(chain(), normal(5, 12).long())
        with pytest.raises(BadInput, match=r"module 'embed' refuses"):
            ps.inspect(Tokens(), normal(2, 7))
        with pytest.raises(BadInput, match=r"the model refuses this batch: .*unexpected keyword"):
            ps.inspect(Tokens(), {"words": IDS})

    def test_no_parameters(self) -> None:
        with pytest.raises(BadInput, match="no parameters"):
            ps.inspect(nn.ReLU(), normal(2, 3))

    def test_the_first_module_that_is_not_finite_is_named(self) -> None:
        net = nn.Sequential(*(Branch(10) for _ in range(3)))
        with torch.no_grad():
            net[1].up.bias[0] = torch.inf
        with pytest.raises(BadInput, match=r"the output of '1\.up' is not finite, the first in the model"):
            ps.inspect(net, normal(4, 10))

    def test_modules_unknown_silent_or_none(self) -> None:
        net = chain()
        net.add_module("idle", nn.Identity())
        net.forward = lambda x: nn.Sequential(*list(net)[:-1])(x)  # type: ignore[method-assign]
        with pytest.raises(BadInput, match="'idle' is never called"):
            ps.inspect(net, normal(3, 12), blocks=["0", "idle"])
        with pytest.raises(BadInput, match="no module 'zero'"):
            ps.inspect(net, normal(3, 12), blocks=["zero"])
        with pytest.raises(BadInput, match="blocks is empty"):
            ps.inspect(net, normal(3, 12), blocks=[])
        with pytest.raises(BadInput, match="probes is 1"):
            ps.inspect(net, normal(3, 12), probes=1)

    def test_a_gradient_that_is_cut_off_is_found(self) -> None:
        class Cut(nn.Module):
            def forward(self, h: torch.Tensor) -> torch.Tensor:
                return h.detach()

        net = nn.Sequential(nn.Linear(6, 6), Cut(), nn.Linear(6, 6), nn.Linear(6, 6))
        found = ps.inspect(net, normal(4, 6), blocks=["0", "2", "3"], probes=2)
        assert found.rows[2].chi.value == 0
        assert "No gradient gets from the last block to the first" in str(found)


class TestTelling:
    def test_table_data_json_html_and_figure_say_the_same(self) -> None:
        from phasescope.report import render

        found = ps.inspect(signal(4), normal(5, 100), probes=4)
        data = found.to_dataset()
        assert data.block.values.tolist() == ["input", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]
        assert data.chi.values[2] == found.rows[2].chi.value
        assert np.isnan(data.chi.values[0])
        rows = json.loads(json.dumps(found.to_json(), allow_nan=False))["rows"]
        assert rows[2]["chi"] == found.rows[2].chi.value
        assert rows[0]["chi"] is None
        chi = f"{found.rows[2].chi.value:.3g}"
        assert chi in str(found) and chi in found._repr_html_()
        assert found.summary() in str(found)
        assert render(found.figure())["png"].startswith(b"\x89PNG")

    def test_progress_is_told(self) -> None:
        told: list[str] = []
        ps.inspect(signal(3), normal(4, 100), probes=2, on_progress=lambda what, done, total: told.append(what))
        assert told == ["forward", "the whole depth", "blocks.0", "blocks.1", "blocks.2"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_reads_the_same() -> None:
    net, x = signal(6, 200), normal(8, 200)
    here, there = ps.inspect(net, x), ps.inspect(net.cuda(), x.cuda())
    for row, other in zip(here.rows[1:], there.rows[1:], strict=True):
        assert row.chi.value == pytest.approx(other.chi.value, rel=1e-3)
