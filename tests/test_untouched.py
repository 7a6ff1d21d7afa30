"""A module, its batch and the random numbers of a program are as they were, whatever a forward pass does to them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import phasescope as ps
from phasescope.instruments.forward_pass import untouched
from phasescope.vocabulary import BadInput


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@dataclass
class Notes:
    calls: int = 0
    held: list[Any] = field(default_factory=list)


class Restless(nn.Module):
    """Changes everything that a forward pass can change, each in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.register_buffer("anew", torch.zeros(16))
        self.register_buffer("inside", torch.zeros(3))
        self.register_buffer("gone", torch.ones(2))
        self.plain, self.array, self.notes = torch.zeros(2), np.zeros(3), Notes()
        self.count, self.cache, self.names, self.last = 0, {"a": [1]}, {"x"}, None
        self.own = np.random.default_rng(0)
        self.torch_own = torch.Generator().manual_seed(3)
        self.small = False

    def forward(self, x: Tensor) -> Tensor:
        x *= 2
        if self.small == self.training:
            with torch.no_grad():
                for b in self.b:
                    b.weight.mul_(2.0 if self.training else 0.5)
            self.small = not self.training
        self.b[0].weight.data = self.b[0].weight.data * 1.5
        if self.b[1].weight.is_leaf:  # not where scaled weights stand in for it
            self.b[1].weight.requires_grad_(False)
        self.b[2].extra = "new"
        self.b[3].register_forward_hook(lambda *_: None)
        noise = float(np.random.rand()) + random.random() + float(self.own.random())  # noqa: NPY002
        noise += float(torch.rand(1)) + float(torch.rand(1, generator=self.torch_own))
        for b in self.b:
            x = torch.tanh(b(x))
        self.anew = 0.9 * self.anew + x.detach().mean(0)
        self.inside += 1
        del self.gone
        self.plain = self.plain + 1
        self.array += 1
        self.notes.calls += 1
        self.notes.held.append(x)
        self.cache["a"].append(2)
        self.cache["b"] = x
        self.names.add("y")
        self.count, self.last = self.count + 1, x
        return x + 0 * noise


def told(module: nn.Module, batch: Tensor) -> dict[str, Any]:
    """Return a copy of all that can be seen from outside."""
    seen: dict[str, Any] = {name: value.clone() for name, value in module.state_dict().items()}
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            seen[f"{name}.{key}"] = repr(value) if key != "notes" else repr((value.calls, value.held))
        seen |= {f"{name}.{key} grad": p.requires_grad for key, p in part.named_parameters(recurse=False)}
    assert isinstance(module.own, np.random.Generator)
    return {
        **seen,
        "batch": batch.clone(),
        "torch": torch.get_rng_state(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
        "own": repr(module.own.bit_generator.state),
        "torch own": module.torch_own.get_state(),  # type: ignore[operator, union-attr]
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    same = {
        key
        for key in one.keys() & other.keys()
        if (torch.equal(one[key], other[key]) if isinstance(one[key], Tensor) else one[key] == other[key])
    }
    return (one.keys() | other.keys()) - same


class TestEverything:
    def test_the_model_does_change_what_it_says(self) -> None:
        module, x = Restless(), normal(4, 16)
        before = told(module, x)
        module(x)
        assert len(differing(before, told(module, x))) > 20

    @pytest.mark.parametrize("read", [ps.inspect, ps.autoinit])
    def test_a_restless_model_comes_back(self, read: Any) -> None:
        module, x = Restless(), normal(4, 16)
        addresses = [p.data_ptr() for p in module.parameters()]
        before = told(module, x)
        read(module, x, probes=2)
        changed = differing(before, told(module, x))
        if read is ps.autoinit:  # scales weights, and nothing else
            changed -= {f"b.{i}.weight" for i in range(4)} | {f"b.{i}._parameters" for i in range(4)}
        assert changed == set()
        assert addresses == [p.data_ptr() for p in module.parameters()]

    def test_each_pass_sees_the_same(self) -> None:
        """Search and reading are two passes; the kernel of the input is that of one: twice the batch, squared."""
        x = normal(4, 16)
        found = ps.inspect(Restless(), x, probes=2)
        assert found.rows[0].kernel == pytest.approx(float((2 * x).square().mean()), rel=1e-6)

    def test_it_comes_back_after_an_error(self) -> None:
        module, x = Restless(), normal(4, 16)
        before = told(module, x)

        def fails() -> None:
            with untouched(module, x):
                module(x)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fails()
        assert differing(before, told(module, x)) == set()


class TestKinds:
    """Models that once ended in a traceback, or were read wrongly."""

    def test_checkpointed_blocks_read_as_plain_ones(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(4))
                self.kept: bool | None = None

            def forward(self, x: Tensor) -> Tensor:
                for b in self.b:
                    x = b(x) if self.kept is None else checkpoint(b, x, use_reentrant=self.kept)
                return x

        net, x = Net(), normal(8, 16)
        plain = ps.inspect(net, x, probes=2)
        net.kept = False
        assert str(ps.inspect(net, x, probes=2)) == str(plain)
        net.kept = True
        with pytest.raises(BadInput, match="use_reentrant=False"):
            ps.inspect(net, x, probes=2)

    @pytest.mark.parametrize("made", [torch.jit.script, lambda m: torch.jit.trace(m, normal(2, 8))])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_a_scripted_model_is_refused_and_a_scripted_part_is_not(self, made: Any) -> None:
        part = made(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
        with pytest.raises(BadInput, match="ScriptModule"):
            ps.inspect(part, normal(4, 8))
        blocks = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)]
        assert ps.inspect(nn.Sequential(part, *blocks, nn.Linear(8, 2)), normal(4, 8), probes=2).blocks == (
            "1",
            "2",
            "3",
        )

    def test_a_backward_pass_that_fails_is_one_sentence(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

            def forward(self, x: Tensor) -> Tensor:
                for b in self.b:
                    x = b(x).relu_()
                    x += 0.1
                return x

        with pytest.raises(BadInput, match="backward pass fails"):
            ps.inspect(Net(), normal(8, 16))

    def test_lazy_and_empty_weights_are_refused(self) -> None:
        with pytest.raises(BadInput, match="has no shape yet"):
            ps.inspect(nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(8)), normal(4, 8))
        with pytest.raises(BadInput, match="device meta"):
            ps.inspect(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)).to("meta"), normal(4, 8))

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_a_fresh_spectral_norm_reads_as_after_steps_of_training(self) -> None:
        parts = [p for _ in range(4) for p in (nn.utils.spectral_norm(nn.Linear(32, 32)), nn.LeakyReLU(0.2))]
        net, x = nn.Sequential(*parts, nn.Linear(32, 1)), normal(8, 32)
        fresh = ps.inspect(net, x).total.value
        for _ in range(50):
            net(x)
        assert ps.inspect(net, x).total.value == pytest.approx(fresh, rel=0.3)
