"""``ps.autoinit``: against the theory's map, finite differences and closed forms; what it leaves alone; why not."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import phasescope as ps
from phasescope.ensemble import streams
from phasescope.ensemble.streams import initialized
from phasescope.figures import Figure
from phasescope.inspection.autoinit import loss_of, loss_slope
from phasescope.inspection.autoinit_jacobians import Goal, Scaled, once_more
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_norm
from phasescope.learners import VGG, ResMLP, SignalNetwork
from phasescope.theory import autoinit
from phasescope.vocabulary import BadInput


def noise(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(streams(seed)("noise").standard_normal((rows, width), dtype=np.float32))


def network(variance: float, *, width: int = 64, depth: int = 6, seed: int = 0, **kind: Any) -> SignalNetwork:
    net = SignalNetwork(width, depth, inputs=width, weight_variance=variance, **kind)
    return initialized(net, seed)  # type: ignore[return-value]


def names(depth: int) -> list[str]:
    return [f"blocks.{i}" for i in range(depth)]


def all_met(depth: int) -> Goal:
    zero = np.zeros(depth)
    none = zero.astype(bool)
    return Goal(zero, zero + 0.05, none, none, none)


class TestAgainstTheory:
    @pytest.mark.parametrize("variance", [0.5, 8.0])
    @pytest.mark.parametrize("loss", ["log", "square"])
    def test_descent_follows_the_map_of_one_layer(self, variance: float, loss: Any) -> None:
        """A wide ReLU network's J takes the steps of ``theory.autoinit.autoinit_step`` with its own gain."""
        depth, rate = 4, (0.2 if loss == "log" else 0.05) / variance
        net = network(variance, width=300, depth=depth)
        report = ps.autoinit(net, noise(32, 300), blocks=names(depth), rate=rate, loss=loss, steps=6, tolerance=1e-6)
        gains = report.history[0]
        np.testing.assert_allclose(gains, variance / 2, rtol=0.12)
        scales = np.ones(depth)
        for seen in report.history:
            np.testing.assert_allclose(seen, scales**2 * gains, rtol=1e-3)
            scales = np.array([autoinit.autoinit_step(a, rate, g, loss) for a, g in zip(scales, gains, strict=True)])
        assert len(report.history) == 7

    def test_newton_lands_on_a_relu_network_at_once(self) -> None:
        net = network(8.0)
        report = ps.autoinit(net, noise(64, 64), blocks=names(6))
        assert report.converged and report.steps == 1
        np.testing.assert_allclose(report.history[1], 1, atol=1e-4)
        scales = np.array(list(report.scales.values()))
        np.testing.assert_allclose(scales, report.history[0] ** -0.5, rtol=1e-5)

    @pytest.mark.parametrize("start", [0.5, 1.0, 4.0, 8.0])
    def test_forty_layers_in_at_most_twenty_steps(self, start: float) -> None:
        net = network(start, width=96, depth=40)
        report = ps.autoinit(net, noise(64, 96), blocks=names(40))
        assert report.converged and report.steps <= 20
        with passage(net, noise(64, 96), names(40)) as found:
            reading = ps.instruments.partial_jacobian.partial_jacobians(
                found, list(zip(found.names[:-1], found.names[1:], strict=True)), generator=streams(9)("x"), probes=8
            )
        # the scatter of 2 x 8 probes at 64 x 96 units: 0.02 a layer, of which the largest of 40 is seen
        assert np.abs(np.log(reading.value.numpy())).max() < 0.08

    def test_a_residual_block_comes_to_the_scale_that_theory_gives(self) -> None:
        """mu = 0.9: a* = sqrt(2 (1 - mu^2) / sigma_w^2), within the scatter of a block of width 200."""
        net = network(2.0, width=200, residual=0.9)
        report = ps.autoinit(net, noise(64, 200), blocks=names(6))
        assert report.converged and not report.goal.bounded.any()
        np.testing.assert_allclose(list(report.scales.values()), autoinit.target_scale(1.0, 0.9), rtol=0.1)

    def test_batch_normalization_fixes_ratios_and_keeps_the_geometric_mean(self) -> None:
        net = network(2.0, width=300, depth=5, norm="batch")
        report = ps.autoinit(net, noise(128, 300), blocks=names(5))
        scales = np.array(list(report.scales.values()))
        assert report.converged and report.goal.free.tolist() == [True, False, False, False, False]
        np.testing.assert_allclose(scales[1:] / scales[:-1], autoinit.batchnorm_scale_ratio(), rtol=0.05)
        assert np.prod(scales) == pytest.approx(1, rel=1e-3)

    def test_unscaled_skips_share_the_growth(self) -> None:
        net = network(2.0, depth=8, residual=1.0)
        report = ps.autoinit(net, noise(64, 64), blocks=names(8), growth=1.0)
        assert report.converged and report.goal.bounded.all() and "skip" in report.reason
        assert np.log(report.after.jacobians).sum() == pytest.approx(1.0, abs=0.5)

    def test_a_skip_that_grows_less_is_left_alone(self) -> None:
        net = network(0.01, depth=4, residual=1.0)
        report = ps.autoinit(net, noise(32, 64), blocks=names(4))
        assert report.converged and set(report.scales.values()) == {1.0}


class TestGradient:
    @pytest.mark.parametrize("loss", ["log", "square"])
    @pytest.mark.parametrize("kind", [{"activation": "tanh"}, {"activation": "gelu", "norm": "layer pre"}])
    def test_exact_against_finite_differences(self, loss: Any, kind: dict[str, Any]) -> None:
        """The gradient by every scalar, of weights and biases, in float64, whatever J depends on."""
        net = network(3.0, width=12, depth=3, bias_variance=0.3, **kind).double()
        scaled = Scaled(net, noise(6, 12).double(), names(3), biases=True, probes=3, seed=1)
        goal, scales = all_met(3), np.linspace(0.7, 1.3, 6)
        _, gradient = scaled.gradient(scales, lambda j: loss_slope(goal, loss, j))

        def value(at: np.ndarray[Any, Any]) -> float:
            return loss_of(goal, loss, scaled.gradient(at, lambda j: loss_slope(goal, loss, j))[0])

        steps = 1e-4 * np.eye(6)
        differences = [(value(scales + e) - value(scales - e)) / 2e-4 for e in steps]
        # probes return single precision, also of a double network
        np.testing.assert_allclose(gradient, differences, rtol=5e-3, atol=5e-3 * np.abs(gradient).max())

    def test_slopes_of_a_normalized_network(self) -> None:
        """d log J / d log a: 2 for a block's own scalar, -2 for the one before, which the normalization divides by."""
        net = network(2.0, width=32, depth=3, norm="layer pre")
        _, slopes = Scaled(net, noise(16, 32), names(3), biases=False, probes=2, seed=0).slopes(np.ones(3))
        np.testing.assert_allclose(slopes, [[2, 0, 0], [-2, 2, 0], [0, -2, 2]], atol=1e-3)

    def test_floors_are_the_skips(self) -> None:
        net = network(2.0, width=32, depth=3, residual=0.5)
        floors = Scaled(net, noise(16, 32), names(3), biases=False, probes=2, seed=0).floors()
        np.testing.assert_allclose(floors, 0.25, rtol=1e-5)


class Attention(nn.Module):
    """A pre-norm transformer block: torch's fused attention, whose fast kernels can not be differentiated twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        q, k, v = self.mix(self.norms[0](h)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        h = h + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
        return h + self.narrow(functional.gelu(self.widen(self.norms[1](h))))


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    return initialized(module, seed)


class TestArchitectures:
    @pytest.mark.parametrize(
        "net, batch",
        [
            (VGG(8, (8, 8, 0, 16, 16)), noise(16, 64)),
            (VGG(8, (8, 8, 0, 16, 16), batch_norm=True), noise(16, 64)),
            (ResMLP(8, 16, 4), noise(16, 64)),
            (nn.Sequential(*[Attention(16) for _ in range(3)]), noise(8 * 5, 16).reshape(8, 5, 16)),
            (nn.Sequential(nn.Flatten(), *[nn.Sequential(nn.Tanh(), nn.Linear(64, 64)) for _ in range(4)]), noise(16, 64)),
        ],
        ids=["vgg", "vgg with batch norm", "resmlp", "transformer", "mlp"],
    )  # fmt: skip
    def test_converges_with_blocks_found_by_itself(self, net: nn.Module, batch: torch.Tensor) -> None:
        report = ps.autoinit(drawn(net), batch)
        assert report.converged, str(report)
        assert (report.goal.met(report.after.jacobians, 4 * report.after.error)).all()

    def test_the_exact_jacobian_is_one(self) -> None:
        net = network(0.5, width=16, depth=3)
        ps.autoinit(net, noise(8, 16), blocks=names(3), probes=400)
        with passage(net, noise(8, 16), names(3)) as found:
            exact = [exact_partial_norm(found, a, b) for a, b in zip(found.names[:-1], found.names[1:], strict=True)]
        np.testing.assert_allclose(exact, 1, atol=0.06)

    def test_bfloat16(self) -> None:
        net = network(8.0).bfloat16()
        report = ps.autoinit(net, noise(64, 64).bfloat16(), blocks=names(6))
        assert report.converged and net.blocks[0].weight.dtype == torch.bfloat16

    def test_a_tied_weight_is_scaled_once(self) -> None:
        parts = [nn.Sequential(nn.ReLU(), nn.Linear(64, 64, bias=False)) for _ in range(3)]
        net = drawn(nn.Sequential(*parts))
        net[2][1].weight = net[0][1].weight  # type: ignore[index]
        before = net[0][1].weight.detach().clone()  # type: ignore[index]
        report = ps.autoinit(net, noise(64, 64), blocks=["0", "1", "2"], tolerance=0.3)
        assert list(report.scales) == ["0.1.weight", "1.1.weight"] and report.converged
        torch.testing.assert_close(net[2][1].weight.detach(), before * report.scales["0.1.weight"])  # type: ignore[index]

    def test_a_frozen_weight_is_left_alone(self) -> None:
        net = network(8.0)
        net.blocks[2].weight.requires_grad_(False)
        before = net.blocks[2].weight.clone()
        report = ps.autoinit(net, noise(64, 64), blocks=names(6))
        assert torch.equal(net.blocks[2].weight, before)
        assert "blocks.2.weight" in report.frozen and "blocks.2.weight" in report.summary
        assert not report.converged and "'blocks.2'" in report.reason


class TestWhatIsLeft:
    def test_the_function_is_that_of_the_scaled_weights_and_nothing_else_has_changed(self) -> None:
        net = VGG(8, (8, 8, 0, 16, 16), batch_norm=True)
        net = drawn(net)  # type: ignore[assignment]
        net.readout.weight.grad = torch.ones_like(net.readout.weight)
        net.features[1].eval()
        twin = copy.deepcopy(net)
        state = torch.random.get_rng_state()
        report = ps.autoinit(net, noise(16, 64))
        for name, parameter in twin.named_parameters():
            expected = parameter.detach() * report.scales.get(name, 1.0)
            torch.testing.assert_close(dict(net.named_parameters())[name].detach(), expected, rtol=1e-6, atol=0)
            if name not in report.scales:
                assert torch.equal(dict(net.named_parameters())[name], parameter)
        for name, buffer in twin.named_buffers():
            assert torch.equal(dict(net.named_buffers())[name], buffer)
        assert [part.training for part in net.modules()] == [part.training for part in twin.modules()]
        assert repr(net) == repr(twin) and torch.equal(torch.random.get_rng_state(), state)
        assert all(not part._forward_hooks and not part._forward_pre_hooks for part in net.modules())
        assert net.readout.weight.grad is not None and net.features[0].weight.grad is None
        assert torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.mem_efficient_sdp_enabled()

    def test_same_seed_same_bits(self) -> None:
        reports = [ps.autoinit(network(4.0, activation="gelu"), noise(32, 64), blocks=names(6)) for _ in range(2)]
        assert reports[0].scales == reports[1].scales

    def test_under_no_grad_and_inference_mode(self) -> None:
        with torch.no_grad():
            assert ps.autoinit(network(4.0), noise(64, 64), blocks=names(6)).converged

    def test_report(self) -> None:
        report = ps.autoinit(network(4.0, residual=1.0), noise(32, 64), blocks=names(6))
        lines = str(report).splitlines()
        assert len(lines) == 8 and lines[1].startswith("blocks.0") and "converged in" in lines[-1]
        assert report._repr_html_().count("<tr>") == 7
        data = report.to_dataset()
        assert data.jacobian.dims == ("step", "block") and data.scale.sizes["parameter"] == 6
        assert isinstance(report.figure(), Figure)


class TestWhyNot:
    def test_no_growth_allowed_where_a_skip_is_unscaled(self) -> None:
        report = ps.autoinit(network(2.0, residual=1.0), noise(32, 64), blocks=names(6), growth=0)
        assert not report.converged and "unscaled skip" in report.reason

    def test_a_dead_block(self) -> None:
        net = network(2.0)
        with torch.no_grad():
            net.blocks[3].bias.fill_(-1e3)
        report = ps.autoinit(net, noise(32, 64), blocks=names(6))
        assert not report.converged and "'blocks.4' passes nothing on" in report.reason

    def test_a_block_that_a_normalization_undoes(self) -> None:
        parts = [nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()) for _ in range(3)]
        report = ps.autoinit(drawn(nn.Sequential(*parts)), noise(32, 64), blocks=["0", "1", "2"])
        assert not report.converged and "normalization undoes" in report.reason

    def test_a_rate_beyond_the_limit(self) -> None:
        """``theory.autoinit.largest_rate``: 1.3 / sigma_w^2 does not settle, 0.7 / sigma_w^2 does."""
        found = [
            ps.autoinit(network(1.0, width=200), noise(32, 200), blocks=names(6), rate=rate, steps=30).converged
            for rate in (0.7, 1.3)
        ]
        assert found == [True, False]

    def test_the_square_loss_steps_below_zero(self) -> None:
        net = network(8.0)
        before = copy.deepcopy(net.state_dict())
        report = ps.autoinit(net, noise(32, 64), blocks=names(6), rate=0.5 / 8, loss="square")
        assert not report.converged and "no step returns" in report.reason
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())

    @pytest.mark.parametrize(
        "wrong, word",
        [
            ({"loss": "cubic"}, "no loss 'cubic'"),
            ({"rate": 0.0}, "rate is 0.0"),
            ({"steps": 0}, "steps is 0"),
            ({"probes": 0}, "probes is 0"),
            ({"tolerance": 2.0}, "tolerance is 2.0"),
            ({"growth": -1.0}, "growth -1.0"),
            ({"blocks": []}, "name at least one"),
            ({"blocks": ["blocks.0", "blocks.0"]}, "each once"),
            ({"blocks": ["block.0"]}, "no module 'block.0'"),
        ],
    )
    def test_bad_input_is_one_sentence(self, wrong: dict[str, Any], word: str) -> None:
        with pytest.raises(BadInput, match=word) as caught:
            ps.autoinit(network(2.0), noise(8, 64), **{"blocks": names(6), **wrong})
        assert "\n" not in str(caught.value)

    def test_nothing_to_scale(self) -> None:
        net = network(2.0).requires_grad_(False)
        with pytest.raises(BadInput, match="trainable weight"):
            ps.autoinit(net, noise(8, 64), blocks=names(6))


class After(nn.Module):
    """A ResNet's basic block: normalizations undo the scale of both weights, and ReLU follows the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return functional.relu(h + self.norms[1](self.b(functional.relu(self.norms[0](self.a(h))))))


class TestNoHarm:
    def test_normalizations_are_not_pushed_below_their_epsilon(self) -> None:
        """J of these blocks answers to scales only where var is no longer large beside eps; it is not to be made so."""
        parts = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), *(After(8) for _ in range(5))]
        net = drawn(nn.Sequential(*parts, nn.Flatten(), nn.Linear(512, 3)))
        report = ps.autoinit(net, noise(16, 64).view(16, 1, 8, 8), blocks=[str(i) for i in range(2, 7)])
        assert not report.converged and "normalization undoes" in report.reason
        assert set(report.scales.values()) == {1.0}

    def test_a_step_that_moves_an_effect_is_refused(self) -> None:
        """With an epsilon of the size of the variance, any scale changes what LayerNorm does."""
        parts = [nn.Sequential(nn.LayerNorm(64, eps=0.3), nn.ReLU(), nn.Linear(64, 64)) for _ in range(5)]
        report = ps.autoinit(drawn(nn.Sequential(*parts)), noise(32, 64), blocks=[str(i) for i in range(5)])
        assert not report.converged and "effect of a normalization" in report.reason
        assert max(report.scales.values()) < 1.1

    def test_scales_are_bounded(self) -> None:
        net = network(1e-5)
        report = ps.autoinit(net, noise(32, 64), blocks=names(6))
        assert not report.converged and max(report.scales.values()) <= 30

    def test_transformers_that_are_critical_are_left_alone(self) -> None:
        net = drawn(nn.Sequential(*[Attention(32) for _ in range(4)]))
        report = ps.autoinit(net, noise(8 * 5, 32).reshape(8, 5, 32))
        assert report.converged and set(report.scales.values()) == {1.0} and "left alone" in report.reason

    def test_so_is_the_embedding_before_them(self) -> None:
        embedding = nn.Sequential(nn.Linear(8, 32), nn.Identity())
        net = drawn(nn.Sequential(embedding, *[Attention(32) for _ in range(4)]))
        report = ps.autoinit(net, noise(8 * 5, 8).reshape(8, 5, 8), blocks=[str(i) for i in range(5)])
        assert report.converged and set(report.scales.values()) == {1.0}
        assert abs(np.log(report.before.jacobians[0])) > 0.25

    def test_deep_normalized_chains_are_left_as_they_are(self) -> None:
        """J = 1 there takes 1.21 from block to block, 45-fold over twenty: how fast weights learn, and no more."""
        report = ps.autoinit(network(2.0, depth=20, norm="batch"), noise(64, 64), blocks=names(20))
        assert not report.converged and "a normalization undoes it" in report.reason
        assert set(report.scales.values()) == {1.0} and len(report.history) < 10

    def test_gradients_that_can_not_be_differentiated_are_told_in_a_sentence(self) -> None:
        with pytest.raises(BadInput, match=r"once more \(modified by an inplace operation\)"), once_more():
            raise RuntimeError("modified by an inplace operation\nand a second line")
