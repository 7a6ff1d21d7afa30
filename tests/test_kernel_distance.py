"""The empirical tangent kernel of any module, and distances between two times: closed forms, a plain loop, gradients."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.ensemble.streams import initialized
from phasescope.instruments import neural_tangent_kernel
from phasescope.instruments.neural_tangent_kernel import kernel_distance, pattern_distance, tangent_kernel
from phasescope.learners import OneLayerTransformer, PowerMLP
from phasescope.theory import rich_lazy
from phasescope.vocabulary import BadInput


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(streams(seed)("any").standard_normal(shape))


def loop(net: nn.Module, inputs: Tensor) -> Tensor:
    """The Jacobian (N K, P) row by row: one sample alone, one output, one backward pass."""
    rows = []
    for sample in inputs:
        for out in net(sample[None]).flatten():
            gradients = torch.autograd.grad(out, list(net.parameters()), retain_graph=True, allow_unused=True)
            pairs = zip(gradients, net.parameters(), strict=True)
            rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs]))
    return torch.stack(rows).double()


class Tied(nn.Module):
    """One weight used twice, and a parameter that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"length": 1, "values": self.second(torch.tanh(self.first(x)))}


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4, bias=False)).double()


def conv() -> nn.Module:
    layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 2))
    return nn.Sequential(*layers).double().eval()


def law_plain_loop(kernel: Callable[..., Tensor] = tangent_kernel) -> None:
    """Kernels are those of gradients taken one by one: linear layers, convolutions, tokens."""
    tokens = torch.tensor([[0, 1], [2, 2], [4, 3]])
    cases = (
        (mlp(), draw(5, 3)),
        (conv(), draw(3, 1, 4, 4)),
        (initialized(PowerMLP(5, 6), 3), tokens),
        (initialized(OneLayerTransformer(5, 8, heads=2), 3), tokens),
    )
    for net, inputs in cases:
        jacobian = loop(net, inputs)
        full = jacobian @ jacobian.T
        torch.testing.assert_close(kernel(net, inputs, full=True), full, rtol=1e-5, atol=1e-5)
        outputs = len(full) // len(inputs)
        mean = full.view(len(inputs), outputs, len(inputs), outputs).diagonal(dim1=1, dim2=3).mean(-1)
        torch.testing.assert_close(kernel(net, inputs), mean, rtol=1e-5, atol=1e-5)


def test_plain_loop() -> None:
    law_plain_loop()


def test_tied_weights_count_once_and_containers_are_opened() -> None:
    net, x = Tied(), draw(4, 3).float()
    rows = []
    for sample in x:
        for out in net(sample[None])["values"].flatten():
            gradients = torch.autograd.grad(out, list(net.parameters()), retain_graph=True, allow_unused=True)
            rows.append(torch.cat([g.flatten() for g in gradients if g is not None]))
    jacobian = torch.stack(rows).double()
    torch.testing.assert_close(tangent_kernel(net, x, full=True), jacobian @ jacobian.T, rtol=1e-5, atol=1e-5)


def test_closed_forms() -> None:
    """A linear layer has x . x' + 1; a neuron a w . x has what theory says."""
    x = draw(6, 3)
    torch.testing.assert_close(tangent_kernel(nn.Linear(3, 1).double(), x), x @ x.T + 1)
    net = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    w, a = net[0].weight.detach().numpy()[0], float(net[1].weight.detach())  # type: ignore[union-attr,operator]
    torch.testing.assert_close(tangent_kernel(net, x), torch.from_numpy(rich_lazy.tangent_kernel(x.numpy(), a, w)))


def test_small_budgets_give_the_same_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = mlp(), draw(5, 3)
    whole = tangent_kernel(net, x, full=True)
    monkeypatch.setattr(neural_tangent_kernel, "BUDGET", 1)
    torch.testing.assert_close(tangent_kernel(net, x, full=True), whole)


def test_the_module_is_left_as_it_was() -> None:
    net, x = conv(), draw(3, 1, 4, 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    other = {"5.bias": torch.ones(2, dtype=torch.float64)}
    tangent_kernel(net, x, parameters=other)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_parameters_of_another_time() -> None:
    """Given weights count in place of the module's own; frozen ones do not count at all."""
    early, late, x = mlp(), mlp(), draw(5, 3)
    given = {name: p.detach().clone() for name, p in early.named_parameters()}
    torch.testing.assert_close(tangent_kernel(late, x, parameters=given), tangent_kernel(early, x))
    late.get_submodule("0").requires_grad_(False)
    hidden = torch.relu(late.get_submodule("0")(x)).detach()
    torch.testing.assert_close(tangent_kernel(late, x), hidden @ hidden.T)


def test_kernels_have_gradients() -> None:
    """Of the kernel in the parameters, by finite differences."""
    net, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).double(), draw(3, 2)
    names = [name for name, _ in net.named_parameters()]
    values = tuple(p.detach().clone().requires_grad_() for p in net.parameters())

    def kernel(*parts: Tensor) -> Tensor:
        return tangent_kernel(net, x, parameters=dict(zip(names, parts, strict=True)))

    assert torch.autograd.gradcheck(kernel, values)


# -- distances -----------------------------------------------------------------------------------------------


def kernels(count: int = 2, size: int = 5, seed: int = 1) -> Tensor:
    parts = draw(count, size, 3, seed=seed)
    return parts @ parts.mT


def law_distance(distance: Callable[[Tensor, Tensor], Tensor] = kernel_distance) -> None:
    """One minus the cosine of two kernels, as vectors; its null value; 1 for kernels that share nothing."""
    one, other = kernels()
    cosine = float((one * other).sum() / one.norm() / other.norm())
    assert float(distance(one, other)) == pytest.approx(1 - cosine)
    assert float(distance(other, one)) == pytest.approx(1 - cosine)
    assert float(distance(one, 7 * one)) == pytest.approx(0, abs=1e-15)
    assert float(distance(torch.diag(torch.tensor([1.0, 0])), torch.diag(torch.tensor([0, 2.0])))) == pytest.approx(1)


def test_distance() -> None:
    law_distance()


def law_small_distances(distance: Callable[[Tensor, Tensor], Tensor] = kernel_distance) -> None:
    """A kernel that moved by e across itself is at e^2 / 2: far below the rounding of one minus a cosine."""
    one = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    other = torch.diag(torch.tensor([1.0, 1e-9], dtype=torch.float64))
    assert float(distance(one, other)) == pytest.approx(5e-19, rel=1e-6, abs=0)


def test_small_distances() -> None:
    law_small_distances()


def test_distance_knows_turns_orders_and_batches() -> None:
    one, other = kernels(4), kernels(1, seed=2)[0]
    turn = torch.linalg.qr(draw(5, 5, seed=3))[0]
    torch.testing.assert_close(kernel_distance(turn @ one @ turn.T, turn @ other @ turn.T), kernel_distance(one, other))
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(
        kernel_distance(one[:, order][:, :, order], other[order][:, order]), kernel_distance(one, other)
    )
    assert kernel_distance(one, other).shape == (4,)
    torch.testing.assert_close(kernel_distance(one, other)[2], kernel_distance(one[2], other))
    assert bool(((kernel_distance(one, other) >= 0) & (kernel_distance(one, other) <= 1)).all())
    assert kernel_distance(torch.zeros(3, 3), torch.eye(3)).isnan()


def test_distance_has_gradients() -> None:
    one, other = (k.clone().requires_grad_() for k in kernels())
    assert torch.autograd.gradcheck(kernel_distance, (one, other))


def law_patterns(distance: Callable[[Tensor, Tensor], Tensor] = pattern_distance) -> None:
    """Counted by hand: neurons times the share of samples that flipped."""
    one = torch.tensor([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0], [1.0, -1.0]])
    other = torch.tensor([[-1.0, -2.0], [3.0, 1.0], [1.0, -1.0], [1.0, -1.0]])
    assert float(distance(one, other)) == 0.5
    assert float(distance(one, -one)) == 2.0
    assert float(distance(one, 5 * one)) == 0.0


def test_patterns() -> None:
    law_patterns()
    assert pattern_distance(draw(3, 4, 2), draw(3, 4, 2)).shape == (3,)


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: tangent_kernel(nn.BatchNorm1d(3), draw(4, 3)), "the module is in training"),
    (lambda: tangent_kernel(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.1)), draw(4, 3)), "1 is in training"),
    (lambda: tangent_kernel(mlp(), draw(0, 3)), r"shape \(0, 3\)"),
    (lambda: tangent_kernel(mlp(), draw(2, 3), parameters={"9.bias": draw(1)}), "no parameter '9.bias'"),
    (lambda: tangent_kernel(nn.ReLU(), draw(2, 3)), "no parameter of this module"),
    (lambda: kernel_distance(torch.eye(3), torch.eye(2)), r"shapes \(3, 3\) and \(2, 2\)"),
    (lambda: kernel_distance(torch.ones(3), torch.ones(3)), r"shape \(3,\)"),
    (lambda: pattern_distance(torch.ones(3, 2), torch.ones(3, 3)), "preactivations"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_one_sentence(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        call()
    assert str(caught.value).count("\n") == 0 and str(caught.value).endswith(".")


def test_threads_do_not_disturb_each_other() -> None:
    """Simulations read kernels in several threads at once."""
    nets, x = [mlp() for _ in range(6)], draw(5, 3)
    alone = [tangent_kernel(net, x) for net in nets]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda net: tangent_kernel(net, x), nets))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)
    assert np.isfinite(alone[0].numpy()).all()
