"""The instruments of the signal against closed forms, brute force, theory and autograd."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from phasescope.ensemble.streams import initialized
from phasescope.instruments.forward_pass import INPUT, passage
from phasescope.instruments.partial_jacobian import exact_partial_jacobian, exact_partial_norm, kernel_slope, transfer
from phasescope.instruments.signal import (
    ALIVE,
    Activity,
    batch_variances,
    dead_shares,
    gradient_norms,
    kernels,
    mean_cosine,
    sample_cosines,
    token_cosines,
)
from phasescope.learners import SignalNetwork
from phasescope.theory import criticality
from phasescope.vocabulary import BadInput


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def deep(**numbers: float) -> SignalNetwork:
    return initialized(SignalNetwork(1000, 5, inputs=1000, **numbers), 1)  # type: ignore[arg-type, return-value]


class TestKernels:
    @pytest.mark.parametrize("phi", ["relu", "erf", "tanh"])
    def test_it_follows_the_recursion_of_wide_networks(self, phi: str) -> None:
        """K' = sigma_w^2 A(K) + sigma_b^2. For ReLU, where it scatters most, one step of one sample has a relative
        deviation of sqrt(7/N) = 0.08 at N = 1000: 2 from the new weights, 5 from the old signal."""
        net = deep(activation=phi, weight_variance=1.8, bias_variance=0.1)  # type: ignore[arg-type]
        with passage(net, 3 * normal(8, 1000), net.places) as found:
            measured = kernels(found).value.tolist()
        block = criticality.Block(phi, 1.8, 0.1)
        assert measured[0] == pytest.approx(9, rel=0.05)
        for before, after in pairwise(measured):
            assert after == pytest.approx(criticality.kernel_step(block, before), rel=0.16)

    def test_the_variance_over_the_batch_is_numpys(self) -> None:
        x = normal(7, 4)
        with passage(nn.Sequential(nn.Linear(4, 3)), x, ["0"]) as found:
            assert float(batch_variances(found).value[0]) == pytest.approx(x.numpy().var(0).mean(), rel=1e-6)
        with passage(nn.Sequential(nn.Linear(4, 3)), x[:1], ["0"]) as found:
            reading = batch_variances(found)
        assert reading.valid is not None and not reading.valid.any()


class TestCosines:
    def test_mean_cosine_is_that_over_all_pairs(self) -> None:
        vectors = normal(9, 5)
        pairs = [functional.cosine_similarity(a, b, dim=0) for a, b in combinations(vectors, 2)]
        assert float(mean_cosine(vectors)) == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-6)

    def test_zero_vectors_have_no_direction(self) -> None:
        vectors = normal(3, 5)
        padded = torch.cat([vectors, torch.zeros(2, 5)])
        assert float(mean_cosine(padded)) == pytest.approx(float(mean_cosine(vectors)), abs=1e-6)
        assert math.isnan(float(mean_cosine(torch.zeros(3, 5))))

    def test_relu_follows_the_arc_cosine_kernel(self) -> None:
        """c' = (sqrt(1 - c^2) + (pi - arccos c) c) / pi for ReLU at sigma_b = 0 (Cho and Saul 2009)."""
        net = deep(activation="relu", weight_variance=2.0)  # type: ignore[arg-type]
        shared = normal(1, 1000, seed=5)
        x = 0.6 * shared + 0.8 * normal(6, 1000, seed=6)
        with passage(net, x, net.places) as found:
            measured = sample_cosines(found).value.tolist()
        for before, after in pairwise(measured[1:]):
            expected = (math.sqrt(1 - before**2) + (math.pi - math.acos(before)) * before) / math.pi
            assert after == pytest.approx(expected, abs=0.03)

    def test_tokens_of_one_sample(self) -> None:
        x = normal(3, 6, 4)
        x[0] = x[0, :1]  # collapsed
        with passage(nn.Sequential(nn.Linear(4, 4)), x, ["0"]) as found:
            measured = float(token_cosines(found).value[0])
        each = [np.mean([float(functional.cosine_similarity(a, b, dim=0)) for a, b in combinations(s, 2)]) for s in x]
        assert each[0] == pytest.approx(1)
        assert measured == pytest.approx(float(np.mean(each)), abs=1e-6)
        with passage(nn.Sequential(nn.Linear(4, 4)), x[0], ["0"]) as found:
            assert not token_cosines(found).valid.any()  # type: ignore[union-attr]


class Plain(nn.Module):
    """A network that calls its activations as functions."""

    def __init__(self, phi: str) -> None:
        super().__init__()
        self.first, self.second, self.phi = nn.Linear(5, 8), nn.Linear(8, 8), phi

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        out: torch.Tensor = self.second(getattr(torch, self.phi)(h))
        return out


class TestDeadUnits:
    @pytest.mark.parametrize(("phi", "bias", "dead"), [("relu", -100, 3 / 8), ("relu", 100, 0), ("tanh", 100, 3 / 8)])
    def test_units_pushed_out_of_the_slope(self, phi: str, bias: float, dead: float) -> None:
        net = Plain(phi)
        with torch.no_grad():
            net.first.bias.zero_()
            net.first.bias[:3] = bias
        with passage(net, normal(64, 5), ["first", "second"], during=Activity) as found:
            shares = dead_shares(found)
        assert found.names == [INPUT, "first", "second"]
        assert shares.value[2] == dead
        assert shares.valid is not None and shares.valid.tolist() == [False, False, True]

    def test_channels_are_the_units_of_a_convolution(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))
        with torch.no_grad():
            net[0].bias[1] = -100  # type: ignore[index]
        with passage(net, normal(2, 3, 8, 8), ["0", "2"], during=Activity) as found:
            assert dead_shares(found).value[2] == 1 / 4

    def test_random_units_are_dead_by_chance_as_often_as_coins_say(self) -> None:
        """One input of two leaves half of the units off; with n independent inputs 2^-n are off for all."""
        net = nn.Sequential(nn.Linear(400, 20_000, bias=False), nn.ReLU(), nn.Linear(20_000, 1))
        net = initialized(net, 0)  # type: ignore[assignment]
        for n in (1, 3):
            x = torch.from_numpy(np.linalg.qr(np.random.default_rng(n).standard_normal((400, n)))[0].T).float()
            with passage(net, x, ["0", "2"], during=Activity) as found:
                share = float(dead_shares(found).value[2])
            assert share == pytest.approx(2.0**-n, abs=4 * math.sqrt(0.25 / 20_000))

    @pytest.mark.parametrize("name", sorted(set(ALIVE) - {"leaky_relu", "mish"}))
    def test_outside_its_interval_an_activation_has_hardly_a_slope(self, name: str) -> None:
        phi = torch.erf if name == "erf" else getattr(functional, name)
        x = torch.linspace(-12, 12, 48_001, dtype=torch.float64).requires_grad_()
        (slope,) = torch.autograd.grad(phi(x).sum(), x)
        low, high = ALIVE[name]
        outside = (x < low - 1e-3) | (x > high + 1e-3)
        assert float(slope[outside].abs().max()) < 0.0121 * float(slope.abs().max())
        for edge, inside in ((low, low + 0.1), (high, high - 0.1)):
            if math.isfinite(edge):
                near = (x.detach() - inside).abs() < 1e-3
                assert float(slope[near].abs().max()) > 0.0095 * float(slope.abs().max())


class TestGradientNorms:
    def test_a_linear_layer_has_the_norm_of_its_input(self) -> None:
        """For f = W x + b: (1/(B K)) sum |df/dW|^2 is the mean of |x|^2, and that of b is 1."""
        x = normal(40, 6)
        net = nn.Linear(6, 200, bias=False)
        measured, error = gradient_norms(net, x, generator=np.random.default_rng(0), probes=50)[""]
        exact = float(x.square().sum(1).mean())
        assert abs(measured - exact) < 4 * error
        assert error < 0.05 * exact

    def test_with_a_loss_it_is_autograds(self) -> None:
        net, x = initialized(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)), 0), normal(5, 6)
        net[0].requires_grad_(False)  # type: ignore[index, operator]
        found = gradient_norms(net, x, generator=np.random.default_rng(0), loss=lambda out: out.square().mean())
        net.requires_grad_(True)
        net(x).square().mean().backward()
        for name in ("0", "2"):
            own = net.get_submodule(name).parameters()
            expected = sum(float(p.grad.square().sum()) for p in own if p.grad is not None)
            assert found[name] == (pytest.approx(expected, rel=1e-5), 0.0)

    def test_nothing_is_left_behind(self) -> None:
        net = nn.Linear(3, 2)
        gradient_norms(net, normal(4, 3), generator=np.random.default_rng(0))
        assert net.weight.grad is None and net.weight.requires_grad
        with pytest.raises(BadInput, match="probes is 1"):
            gradient_norms(net, normal(4, 3), generator=np.random.default_rng(0), probes=1)


class Skip(nn.Module):
    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength, self.branch = strength, nn.Linear(40, 40)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.strength * h + self.branch(torch.relu(h))
        return out


class TestTransfer:
    @pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
    def test_the_skip_is_the_mean_diagonal(self, strength: float) -> None:
        net = initialized(nn.Sequential(Skip(strength), Skip(strength)), 3)
        with passage(net, normal(6, 40), ["0", "1"]) as found:
            j, diagonal = transfer(found, "0", "1", generator=np.random.default_rng(0), probes=200)
            jacobian = exact_partial_jacobian(found, "0", "1").double()
            exact = exact_partial_norm(found, "0", "1")
        mean = float(jacobian.diagonal().mean())
        assert j.error is not None and diagonal.error is not None
        assert abs(float(j.value) - exact) < 4 * float(j.error)
        assert abs(float(diagonal.value) - mean) < 4 * float(diagonal.error)
        assert float(diagonal.value) == pytest.approx(strength, abs=0.1)

    def test_places_of_different_shapes_have_no_diagonal_and_j_is_over_the_outputs(self) -> None:
        net = initialized(nn.Sequential(nn.Linear(6, 30), nn.Linear(30, 4)), 0)
        with passage(net, normal(5, 6), ["0", "1"]) as found:
            j, diagonal = transfer(found, "0", "1", generator=np.random.default_rng(0), probes=100)
        exact = float(net[1].weight.detach().square().sum()) / 4  # type: ignore[index, union-attr, operator]
        assert j.error is not None
        assert abs(float(j.value) - exact) < 4 * float(j.error)
        assert diagonal.valid is not None and not diagonal.valid.any() and diagonal.value.isnan().all()


class TestKernelSlope:
    def test_it_is_a_finite_difference(self) -> None:
        """d log |h_out|^2 / d log |h_in|^2 along the scale of the input."""
        net = initialized(nn.Sequential(nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 20)), 0).double()
        x = normal(4, 20).double()
        with passage(net, x, ["0", "2"]) as found:
            slope = kernel_slope(found, INPUT, "2")
            h = found.values["2"].detach()
        with torch.no_grad():
            up, down = net(x * math.exp(1e-4)), net(x * math.exp(-1e-4))
        numeric = float((up.square().sum() - down.square().sum()) / 4e-4 / h.square().sum())
        assert slope == pytest.approx(numeric, rel=1e-5)

    def test_one_for_relu_and_zero_under_normalization(self) -> None:
        for norm, expected in (("none", 1.0), ("layer pre", 0.0), ("batch", 0.0)):
            net = initialized(SignalNetwork(30, 2, inputs=30, norm=norm), 0)
            with passage(net, normal(9, 30), ["blocks.0", "blocks.1"]) as found:
                assert kernel_slope(found, "blocks.0", "blocks.1") == pytest.approx(expected, abs=1e-4)

    def test_at_a_fixed_point_it_is_chi_of_the_kernel(self) -> None:
        block = criticality.Block("tanh", 2.5, 0.2)
        net = deep(activation="tanh", weight_variance=2.5, bias_variance=0.2)  # type: ignore[arg-type]
        with passage(net, normal(6, 1000), net.places) as found:
            slope = kernel_slope(found, "blocks.3", "blocks.4")
        assert slope == pytest.approx(criticality.chi_kernel(block, criticality.fixed_kernel(block)), abs=0.05)
