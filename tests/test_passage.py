"""The instruments on any module: partial Jacobians against exact ones, and a module that is given back untouched."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from phasescope.ensemble import streams
from phasescope.ensemble.streams import initialized
from phasescope.instruments.forward_pass import INPUT, passage
from phasescope.instruments.partial_jacobian import exact_partial_jacobian, exact_partial_norm, partial_jacobians
from phasescope.learners import SignalNetwork
from phasescope.vocabulary import BadInput


def coupled(width: int = 10, depth: int = 4) -> nn.Sequential:
    parts = [nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)) for _ in range(depth)]
    return initialized(nn.Sequential(*parts), 3)  # type: ignore[return-value]


def batch(rows: int = 5, width: int = 10, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32))


PLACES = ["0", "1", "2", "3"]


class TestPartialJacobians:
    @pytest.mark.parametrize("pair", [(INPUT, "0"), ("0", "1"), ("0", "3"), (INPUT, "3")])
    def test_unbiased_where_batchnorm_couples_the_samples(self, pair: tuple[str, str]) -> None:
        with passage(coupled(), batch(), PLACES) as found:
            reading = partial_jacobians(found, [pair], generator=np.random.default_rng(1), probes=1500)
            exact = exact_partial_norm(found, *pair)
        assert reading.error is not None
        assert abs(float(reading.value[0]) - exact) < 4 * float(reading.error[0])

    def test_the_exact_jacobian_is_that_of_finite_differences(self) -> None:
        module, x = coupled().double(), batch().double()
        with passage(module, x, PLACES) as found:
            jacobian = exact_partial_jacobian(found, INPUT, "3")
            there = found.values["3"].detach().clone()
        step = torch.zeros_like(x)
        step[2, 4] = 1e-6
        with passage(module, x + step, PLACES) as moved:
            change = (moved.values["3"].detach() - there).flatten() / 1e-6
        torch.testing.assert_close(jacobian[:, 2 * 10 + 4], change, atol=1e-5, rtol=1e-4)

    def test_the_stated_standard_error_covers_as_often_as_it_should(self) -> None:
        """Over 400 readings of 8 probes the exact value lies in the Student-t interval in 95 % of them."""
        with passage(coupled(), batch(), PLACES) as found:
            exact = exact_partial_norm(found, "0", "2")
            generator, inside = np.random.default_rng(2), 0
            for _ in range(400):
                reading = partial_jacobians(found, [("0", "2")], generator=generator, probes=8)
                assert reading.error is not None
                inside += bool(abs(float(reading.value[0]) - exact) < 2.365 * float(reading.error[0]))
        assert 0.915 <= inside / 400 <= 0.985

    def test_one_layer_of_a_linear_network_is_exact_with_orthogonal_weights(self) -> None:
        net = SignalNetwork(16, 3, inputs=16, activation="linear", weights="orthogonal", weight_variance=1.7)
        net = initialized(net, 0)  # type: ignore[assignment]
        with passage(net, batch(4, 16), net.places) as found:
            pairs = [("blocks.0", "blocks.1"), ("blocks.0", "blocks.2")]
            reading = partial_jacobians(found, pairs, generator=np.random.default_rng(0), probes=4)
        assert reading.value.tolist() == pytest.approx([1.7, 1.7**2], rel=1e-5)


class TestUntouched:
    def test_every_bit_comes_back(self) -> None:
        module = nn.Sequential(coupled(), nn.Dropout(0.5), nn.Linear(10, 3))
        module[2].requires_grad_(False)
        module[0][1].eval()
        before, modes = copy.deepcopy(module.state_dict()), [part.training for part in module.modules()]
        state = torch.get_rng_state()
        with torch.no_grad(), passage(module, batch(), ["0", "1", "2"]) as found:
            partial_jacobians(found, [("0", "2")], generator=np.random.default_rng(0))
            torch.rand(3)
        assert torch.equal(torch.get_rng_state(), state)
        assert [part.training for part in module.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        assert all(p.grad is None for p in module.parameters())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())

    def test_hooks_go_also_when_the_model_refuses(self) -> None:
        module = coupled()
        with pytest.raises(BadInput, match=r"module '0\.0' refuses this batch"), passage(module, batch(5, 7), PLACES):
            pass
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())

    def test_the_signal_is_the_one_without_instruments(self) -> None:
        module, x = coupled().eval(), batch()
        with passage(module, x, PLACES) as found:
            assert torch.equal(found.output, module(x))

    def test_a_name_too_many_and_a_module_never_called(self) -> None:
        module = nn.ModuleDict({"used": nn.Linear(10, 10), "idle": nn.Linear(10, 10)})
        module.forward = lambda x: module["used"](x)  # type: ignore[method-assign]
        with pytest.raises(BadInput, match="no module 'usd'; did you mean 'used'"), passage(module, batch(), ["usd"]):
            pass
        with pytest.raises(BadInput, match="'idle' is never called"), passage(module, batch(), ["used", "idle"]):
            pass

    def test_the_first_block_that_is_not_finite_is_named(self) -> None:
        module = coupled().eval()
        with torch.no_grad():
            module[1][0].bias[0] = torch.inf  # type: ignore[index, operator]
        with pytest.raises(BadInput, match="output of '1' is not finite"), passage(module, batch(), PLACES):
            pass


def test_streams_serve_as_probes() -> None:
    with passage(coupled(), batch(), PLACES) as found:
        one, two = (
            partial_jacobians(found, [("0", "3")], generator=streams(5)("probes"), probes=3).value for _ in range(2)
        )
    assert torch.equal(one, two)
