"""Dimensions of objectives and of functions, pruning, regions and forgetting: planted numbers and second routes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard as written
from torch import nn
from torch.nn import functional

from phasescope.instruments.forgetting import forgotten
from phasescope.instruments.neural_tangent_kernel import parameter_jacobian, tangent_kernel
from phasescope.instruments.parameter_rank import functional_dimension
from phasescope.instruments.regions import betti, decision_regions
from phasescope.instruments.subspaces import (
    flat_objective,
    hadamard,
    learnt_in_subspaces,
    objective_dimension,
    projection,
)
from phasescope.instruments.weight_pruning import prunability, without_smallest
from phasescope.vocabulary import BadInput


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def perceptron(*sizes: int, seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).double()
    for p in net.parameters():
        p.data.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return net


# -- the objective: the quadratic of Li et al. 2018, arXiv:1804.08838, Sec. 2 ---------------------------------------


def quadratic(theta: torch.Tensor) -> torch.Tensor:
    """Ten sums of a hundred parameters each, which should be 1 to 10: all but ten directions are flat."""
    return (theta.view(10, 100).sum(1) - torch.arange(1.0, 11, dtype=theta.dtype)).square().sum()


@pytest.mark.parametrize("kind", ["dense", "fastfood"])
def test_the_quadratic_has_exactly_ten_dimensions(kind: str) -> None:
    found = objective_dimension(
        quadratic, np.zeros(1000), lambda theta: -quadratic(theta), -1e-12, [8, 9, 10, 11, 12], draw(), kind_of=kind,
        repeats=2, steps=2, method="newton",
    )  # fmt: skip
    assert found.value == 10
    assert (found.scores[:2] < -0.1).all()  # one too few is not nearly enough


def test_subspaces_are_those_of_least_squares() -> None:
    """A second route: with d columns the least of the quadratic is that of ten equations in d unknowns."""
    frame = projection("dense", 1000, 9, draw(3))
    sums = frame.numpy().reshape(10, 100, 9).sum(1)
    target = np.arange(1.0, 11)
    left = [np.linalg.lstsq(sums[:, :d], target, rcond=None)[1][0] for d in (3, 9)]
    for method, tolerance in (("adam", 1e-3), ("newton", 1e-9)):
        found = learnt_in_subspaces(
            quadratic,
            np.zeros(1000),
            frame[None],
            [3, 9],
            steps=300 if method == "adam" else 1,
            rate=1.0,
            method=method,
        )
        np.testing.assert_allclose([float(quadratic(theta)) for theta in found[:, 0]], left, rtol=tolerance)


def test_fastfood_is_the_product_of_its_matrices() -> None:
    size, dims, length = 13, 4, 16
    again = draw(5)
    signs, order, gains = again.choice([-1.0, 1.0], length), again.permutation(length), again.standard_normal(length)
    h = written(length)
    whole = h @ np.diag(gains) @ np.eye(length)[order] @ h @ np.diag(signs)
    expected = whole[:size, :dims] / np.linalg.norm(whole[:size, :dims], axis=0)
    np.testing.assert_allclose(projection("fastfood", size, dims, draw(5)).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(hadamard(np.eye(8)), written(8))


@pytest.mark.parametrize("kind", ["dense", "fastfood"])
def test_columns_have_norm_one_and_smaller_planes_lie_in_larger(kind: str) -> None:
    wide = projection(kind, 50, 20, draw(1))  # type: ignore[arg-type]
    np.testing.assert_allclose(wide.norm(dim=0), 1)
    np.testing.assert_allclose(projection(kind, 50, 7, draw(1)), wide[:, :7])  # type: ignore[arg-type]


def test_a_network_is_learnt_in_all_of_its_parameters_and_not_in_one() -> None:
    net, x = perceptron(3, 6, 2), torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = (x[:, 0] * x[:, 1] > 0).long()
    loss, start, shapes = flat_objective(net, lambda f: functional.cross_entropy(f(x), y))
    right, _, _ = flat_objective(net, lambda f: (f(x).argmax(-1) == y).double().mean())
    assert list(shapes) == ["0.weight", "0.bias", "2.weight", "2.bias"] and len(start) == 38
    torch.testing.assert_close(loss(start), functional.cross_entropy(net(x), y))
    found = objective_dimension(loss, start, right, 0.9, [1, 38], draw(), steps=120, rate=0.1)
    assert found.value == 38 and found.scores[0] < 0.8
    assert objective_dimension(loss, start, right, 1.1, [1, 2], draw(), steps=5).value == math.inf


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dims": [3, 2]}, "numbers that rise"),
        ({"dims": []}, "dims has no values"),
        ({"dims": [2000]}, "number of dims is 2000"),
        ({"start": np.full(1000, np.nan)}, "start is"),
        ({"level": float("nan")}, "level is nan"),
        ({"rate": 1e6, "steps": 60, "dims": [900]}, "learning diverged"),
        ({"repeats": 9000, "dims": [900]}, "fewer repeats"),
        ({"method": "luck"}, "adam, newton"),
        ({"kind_of": "sparse"}, "dense, fastfood"),
        ({"generator": 3}, "numpy generator"),
    ],
)
def test_objectives_that_can_not_be_learnt_are_refused(change: dict[str, object], sentence: str) -> None:
    given = {"start": np.zeros(1000), "level": 0.0, "dims": [1], "generator": draw(), "steps": 2, **change}
    away = "rate" in change  # a loss without a least, and a score that follows it out of all floats
    loss, score = (lambda theta: -theta.sum(), lambda theta: theta.max().exp()) if away else (quadratic, quadratic)
    names = {k: given.pop(k) for k in ("start", "level", "dims", "generator")}
    with pytest.raises(BadInput, match=sentence):
        objective_dimension(
            loss, names["start"], score, names["level"], names["dims"], names["generator"], **given
        )  # fmt: skip


# -- the function ---------------------------------------------------------------------------------------------------


def test_the_dimension_of_a_function_is_41_of_49() -> None:
    """A ReLU network 4-8-1 has 49 parameters, and 8 scalings that leave its function as it is."""
    for seed in range(3):
        found = functional_dimension(perceptron(4, 8, 1, seed=seed), draw(seed).normal(size=(400, 4)))
        assert (found.value, found.parameters, found.rows) == (41, 49, 400) and found.gap > 1e4


def test_the_jacobian_is_that_of_differences_and_of_the_kernel() -> None:
    net, x = perceptron(3, 5, 2), torch.from_numpy(draw(1).normal(size=(7, 3)))
    jacobian = parameter_jacobian(net, x)
    torch.testing.assert_close(jacobian @ jacobian.T, tangent_kernel(net, x, full=True))
    theta = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    for j in (0, 17, 30):
        parts = []
        for sign in (1, -1):
            moved = theta.clone()
            moved[j] += sign * 1e-6
            other = perceptron(3, 5, 2)
            torch.nn.utils.vector_to_parameters(moved, other.parameters())
            parts.append(other(x).detach().flatten())
        torch.testing.assert_close(jacobian[:, j], (parts[0] - parts[1]) / 2e-6, rtol=1e-5, atol=1e-7)


def test_a_linear_network_has_the_dimension_of_its_product() -> None:
    net = nn.Sequential(nn.Linear(5, 2, bias=False), nn.Linear(2, 4, bias=False))
    found = functional_dimension(net, draw().normal(size=(30, 5)))
    assert found.value == 2 * (5 + 4 - 2)  # matrices of rank 2
    assert next(net.parameters()).dtype == torch.float32
    few = functional_dimension(net, draw().normal(size=(2, 5)))
    assert few.value <= 8
    for p in net.parameters():
        p.data.zero_()
    assert functional_dimension(net, draw().normal(size=(3, 5))).value == 0


def test_functions_without_a_dimension_are_refused() -> None:
    with pytest.raises(BadInput, match="tolerance is 0"):
        functional_dimension(perceptron(2, 2, 1), np.zeros((3, 2)), tolerance=0)
    with pytest.raises(BadInput, match="at least one sample"):
        functional_dimension(perceptron(2, 2, 1), np.zeros((0, 2)))
    with pytest.raises(BadInput, match="inputs or fewer"):
        functional_dimension(nn.Linear(1000, 1000), np.zeros((200, 1000)))
    with pytest.raises(BadInput, match="is not finite"):
        functional_dimension(perceptron(2, 2, 1), np.full((3, 2), np.inf))
    with pytest.raises(BadInput, match="in training"):
        functional_dimension(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), np.zeros((3, 2)))


# -- pruning --------------------------------------------------------------------------------------------------------


def test_the_smallest_go_over_all_layers_and_biases_stay() -> None:
    found = without_smallest(
        {"a": torch.tensor([[1.0, -3]]), "b": torch.tensor([0.1]), "c": torch.tensor([[2.0], [4]])}, 0.5
    )
    assert [found[k].flatten().tolist() for k in "abc"] == [[0, -3], [pytest.approx(0.1)], [0, 4]]


def test_what_does_not_matter_can_go() -> None:
    """Four inputs, of which two count: the other half of the weights is small and can go, and no more."""
    net = nn.Linear(4, 2, bias=False).double()
    net.weight.data = torch.tensor([[1.0, 2, 0.01, -0.02], [-1.0, -2, 0.02, 0.01]]).double()
    x = draw().normal(size=(400, 4))
    y = (x[:, 0] + 2 * x[:, 1] < 0).astype(int)
    before = net.weight.detach().clone()
    found = prunability(net, x, y, shares=[0, 0.25, 0.5, 0.75, 1])
    assert found.value == 0.5 and found.accuracies[3] < 0.9
    assert torch.equal(before, net.weight)
    assert prunability(net, x, y, within=1.0).value == 1.0
    nothing = nn.Linear(4, 2).double()
    nothing.weight.data.zero_()
    assert prunability(nothing, x, y).value == 1.0


def test_what_recovers_by_accident_does_not_count() -> None:
    net = nn.Linear(3, 2, bias=False).double()
    net.weight.data = torch.tensor([[3.0, 0.5, 1.0], [-3.0, 0.2, 2.0]]).double()
    x, y = np.array([[0.0, 1, 0], [1, 0, 0]]), np.array([0, 0])
    found = prunability(net, x, y, shares=[0, 0.17, 0.34, 1])
    assert found.accuracies.tolist() == [1, 1, 1, 1] and found.value == 1
    wrong = prunability(net, np.array([[0.0, 0, 1]]), np.array([1]), shares=[0, 0.9, 1])
    assert wrong.accuracies.tolist() == [1, 0, 0] and wrong.value == 0


def test_pruning_that_can_not_be_done_is_refused() -> None:
    net = nn.Linear(2, 2)
    with pytest.raises(BadInput, match="rise from 0"):
        prunability(net, np.zeros((2, 2)), np.zeros(2, int), shares=[0.5, 0.2])
    with pytest.raises(BadInput, match="one class number for each"):
        prunability(net, np.zeros((2, 2)), np.zeros(3, int))
    with pytest.raises(BadInput, match="from 0 to K - 1"):
        prunability(net, np.zeros((2, 2)), np.array([0, 2]))
    with pytest.raises(BadInput, match="outputs \\(N, K\\)"):
        prunability(nn.Sequential(net, nn.Flatten(0)), np.zeros((2, 2)), np.array([0, 1]))
    with pytest.raises(BadInput, match="finite numbers"):
        prunability(net, np.full((2, 2), np.nan), np.array([0, 1]))
    with pytest.raises(BadInput, match="none is pruned"):
        without_smallest({"b": torch.zeros(3)}, 0.5)


# -- regions and forgetting -----------------------------------------------------------------------------------------


def test_pieces_and_holes_of_pictures() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    assert betti(ring) == (1, 1)
    assert betti(np.eye(4, dtype=bool)) == (1, 0)  # corners touch
    assert betti(np.array([[1, 0, 1]], dtype=bool)) == (2, 0)
    assert betti(np.zeros((3, 3), bool)) == (0, 0)
    two = np.ones((3, 7), bool)
    two[1, [1, 5]] = False
    assert betti(two) == (1, 2) == betti(two.T)
    found = decision_regions(ring.astype(int))
    assert (found.classes.tolist(), found.pieces.tolist(), found.holes.tolist()) == ([0, 1], [1, 1], [0, 1])
    assert decision_regions(np.full((4, 4), 7)).pieces.tolist() == [1]


def test_holes_are_pieces_of_what_is_outside() -> None:
    """A second route: holes are the pieces of the complement, connected by edges alone, but for the outer one."""
    from scipy.ndimage import label

    for seed in range(20):
        cells = draw(seed).random((12, 9)) < 0.5
        assert betti(cells)[1] == label(np.pad(~cells, 1, constant_values=True))[1] - 1


def test_forgetting_is_from_the_best() -> None:
    table = np.array([[0.9, np.nan, np.nan], [0.95, 0.8, np.nan], [0.7, 0.85, 0.9]])
    np.testing.assert_allclose(forgotten(table), [0.25, -0.05])
    with pytest.raises(BadInput, match="is missing"):
        forgotten(np.full((2, 2), np.nan))
    with pytest.raises(BadInput, match="two or more"):
        forgotten(np.ones((1, 1)))
    with pytest.raises(BadInput, match="shares from 0 to 1"):
        forgotten(np.array([[90.0, 0], [60, 80]]))
    with pytest.raises(BadInput, match="a grid"):
        betti(np.zeros(3))
    with pytest.raises(BadInput, match="class numbers"):
        decision_regions(np.zeros((2, 2)))
