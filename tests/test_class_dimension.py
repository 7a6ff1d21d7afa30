"""Cutting planes: what they read of balls and subspaces is the exact law; a plain loop climbs alike; nothing is changed."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import phasescope as ps
from phasescope.representation import class_curves, class_dimension, class_planes
from phasescope.representation.class_curves import Curve, Resampled, logistic
from phasescope.theory import class_manifolds
from phasescope.vocabulary import BadInput

G = np.random.default_rng(3)
D, K = 12, 4


class Tube(nn.Module):
    """Sure of class 0 within ``radius`` of the subspace of the last ``subspace`` coordinates, of class 1 outside."""

    def __init__(self, radius: float, subspace: int = 0, gain: float = 2e3) -> None:
        super().__init__()
        self.radius, self.subspace, self.gain = radius, subspace, gain

    def forward(self, x: Tensor) -> Tensor:
        away = x[:, : x.shape[1] - self.subspace].square().sum(1)
        return torch.stack([self.gain * (self.radius**2 - away), torch.zeros_like(away)], 1)


def around(dimension: int, count: int = 400, subspace: int = 0) -> tuple[Tensor, Tensor]:
    """Return inputs at distance 1 from the subspace, of class 1, and one on it, of class 0."""
    x = torch.from_numpy(G.normal(size=(count, dimension)))
    x[:, : dimension - subspace] /= x[:, : dimension - subspace].norm(dim=1, keepdim=True)
    x[0, : dimension - subspace] = 0
    return x, (torch.arange(count) > 0).long()


def network(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(D, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, K)).to(dtype)


INPUTS = torch.from_numpy(G.normal(size=(60, D))).float()
LABELS = torch.arange(60) % K
FEW: dict[str, Any] = {"repeats": 3, "steps": 12, "null": None}


# -- theory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "ratio", "subspace"), [(3, 0.9, 0), (8, 0.7, 0), (5, 0.8, 4), (9, 0.2, 4), (12, 0.3, 4)])
def test_the_law_is_that_of_drawn_planes(d: int, ratio: float, subspace: int) -> None:
    """A second route: distance of the subspace from each of 4,000 drawn planes, by least squares."""
    dimension, hits, draws = 16, 0, 4000
    start = G.normal(size=dimension)
    length = np.linalg.norm(start[: dimension - subspace])
    frames = G.normal(size=(draws, dimension, d))[:, : dimension - subspace]
    away = np.broadcast_to(-start[: dimension - subspace, None], (draws, dimension - subspace, 1))
    missing = away - frames @ (np.linalg.pinv(frames) @ away)
    hits = int((np.linalg.norm(missing[..., 0], axis=1) <= ratio * length).sum())
    expected = class_manifolds.meeting_probability(dimension, d, ratio, subspace)
    assert hits / draws == pytest.approx(expected, abs=4 * math.sqrt(0.25 / draws))


def test_balls_of_400_dimensions() -> None:
    for ratio, expected in ((0.3, 364), (0.5, 300), (0.7, 204), (0.9, 76)):  # D (1 - ratio^2)
        exact = class_manifolds.meeting_dimension(400, ratio)
        assert exact == pytest.approx(expected, abs=1)
        width = class_manifolds.cap_width(400, ratio)
        assert class_manifolds.escape_dimension(400, width**2) == pytest.approx(exact, abs=0.01 * 400)
    assert class_manifolds.meeting_dimension(40, 0.0, 15) == 25
    assert class_manifolds.meeting_dimension(3, 0.999) == 0.0 or class_manifolds.meeting_dimension(3, 0.999) < 1


@pytest.mark.parametrize(("dimension", "ratio"), [(2, 0.4), (3, 0.0), (10, 0.8), (50, 0.3)])
def test_the_width_of_a_cap_is_that_of_drawn_vectors(dimension: int, ratio: float) -> None:
    g = G.normal(size=(40_000, dimension))
    length = np.linalg.norm(g, axis=1)
    angle = np.arccos(g[:, 0] / length)
    reached = length * np.cos(np.maximum(0, angle - math.asin(ratio)))
    error = reached.std() / math.sqrt(len(g))
    assert class_manifolds.cap_width(dimension, ratio) == pytest.approx(reached.mean(), abs=4 * error)


@pytest.mark.parametrize(
    "call",
    [
        lambda: class_manifolds.meeting_probability(5, 6, 0.1),
        lambda: class_manifolds.meeting_probability(5, 2, 1.1),
        lambda: class_manifolds.meeting_probability(5, 2, 0.1, 5),
        lambda: class_manifolds.meeting_dimension(5, 1.0),
        lambda: class_manifolds.escape_dimension(5, 6.0),
        lambda: class_manifolds.cap_width(1, 0.5),
    ],
)
def test_bad_numbers_of_theory(call: Any) -> None:
    with pytest.raises(BadInput, match=r"^[^\n]{15,220}\.$"):
        call()


# -- what the planes read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "subspace"), [(0.6, 0), (0.8, 8)])
def test_a_ball_and_a_tube_are_met_as_the_law_says(ratio: float, subspace: int) -> None:
    dimension, repeats = 24, 60
    inputs, labels = around(dimension, subspace=subspace)
    dims = [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24]
    found = class_dimension(
        Tube(ratio, subspace), inputs, labels, dims=dims, targets=[0], repeats=repeats, steps=200, rate=0.1, null=None
    )
    law = [class_manifolds.meeting_probability(dimension, d, ratio, subspace) for d in dims]
    reached = found.data.probability.sel(target="0").mean("repeat").values[1:]
    np.testing.assert_allclose(reached, law, atol=4 * math.sqrt(0.25 / repeats))
    exact = class_manifolds.meeting_dimension(dimension, ratio, subspace)
    assert found.dimension == pytest.approx(exact, abs=3 * float(found.data.dimension_error.sel(row="0")) + 0.3)
    assert float(found.data.fitted.sel(row="0")) == pytest.approx(exact, abs=1.5)
    assert float(found.data.effective.sel(row="0")) == dimension - found.dimension


def test_a_plain_loop_climbs_alike() -> None:
    """The slow route: one plane at a time, Adam as it is printed, on rows of the frame that the plane has."""
    net, dims = network(1).eval(), [1, 3, 12]
    found = class_dimension(net, INPUTS, LABELS, dims=dims, repeats=2, steps=9, null=None, seed=4)
    scale = float(INPUTS.double().var(0, correction=0).mean().sqrt())
    planes = class_planes.Planes(INPUTS, LABELS, [(2,)], dims, 2, 9, 0.2, scale, K, 4)
    for repeat in range(2):
        row, frame = planes.drawn((2,), repeat)
        assert LABELS[row] != 2
        for d in dims:
            theta, mass, square, best = torch.zeros(d), torch.zeros(d), torch.zeros(d), 0.0
            for step in range(1, 11):
                theta.requires_grad_()
                loss = -net(INPUTS[row][None] + (theta @ torch.from_numpy(frame[:d]))[None]).log_softmax(1)[0, 2]
                best = max(best, math.exp(-loss.item()))
                slope, theta = torch.autograd.grad(loss, theta)[0], theta.detach()
                mass, square = 0.9 * mass + 0.1 * slope, 0.999 * square + 0.001 * slope**2
                theta = theta - 0.2 * scale * mass / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-7)
            assert float(found.data.probability.sel(target="2", d=d, repeat=repeat)) == pytest.approx(best, abs=2e-5)


def test_neither_company_nor_parts_change_a_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    whole = class_dimension(net, INPUTS, LABELS, dims=[1, 4, 12], **FEW).data
    alone = class_dimension(net, INPUTS, LABELS, dims=[1, 4], targets=[3], **FEW).data
    np.testing.assert_allclose(alone.probability, whole.probability.sel(target=["3"], d=[0, 1, 4]), atol=1e-5)
    monkeypatch.setattr(class_planes, "FRAMES", 2 * 12 * D)
    monkeypatch.setattr(class_planes, "NUMBERS", 5 * D)
    parts = class_dimension(net, INPUTS, LABELS, dims=[1, 4, 12], **FEW).data
    np.testing.assert_allclose(parts.probability, whole.probability, atol=1e-5)
    np.testing.assert_allclose(parts.moved, whole.moved, atol=1e-4)


def test_the_unit_of_the_inputs_does_not_matter() -> None:
    class Undone(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net((x - 7) / 32)  # type: ignore[no-any-return]

    net = network()
    one = class_dimension(net, INPUTS, LABELS, dims=[2, 6, 12], **FEW).data
    other = class_dimension(Undone(net), 32 * INPUTS + 7, LABELS, dims=[2, 6, 12], **FEW).data
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-3)
    np.testing.assert_allclose(one.moved, other.moved, atol=1e-3)


def test_the_module_is_given_back_and_nobody_else_draws() -> None:
    net = nn.Sequential(
        nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(6, K)
    )
    net.train()
    net[2].eval()
    net[1].weight.requires_grad_(False)
    net(INPUTS[:4]).sum().backward()
    before, grads = copy.deepcopy(net.state_dict()), [p.grad for p in net.parameters()]
    random = torch.random.get_rng_state()
    class_dimension(net, INPUTS, LABELS, dims=[1, 12], repeats=2, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    assert all(a is p.grad for a, p in zip(grads, net.parameters(), strict=True))
    assert net.training and not net[2].training and not net[1].weight.requires_grad
    assert torch.equal(random, torch.random.get_rng_state())


def test_an_ensemble_of_equals_is_the_network_itself() -> None:
    net = network()
    one = class_dimension(net, INPUTS, LABELS, dims=[2, 12], **FEW).data
    three = class_dimension([net, copy.deepcopy(net), net], INPUTS, LABELS, dims=[2, 12], **FEW).data
    np.testing.assert_allclose(one.probability, three.probability, atol=1e-5)
    other = class_dimension([net, network(5)], INPUTS, LABELS, dims=[2, 12], **FEW).data
    assert abs(one.probability - other.probability).max() > 0.01


def test_probabilities_of_classes_and_of_their_boundary() -> None:
    """A network that knows nothing says 1 / K of a class, and k / K of the boundary of k classes."""
    net = network()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    found = class_dimension(net, INPUTS, LABELS, dims=[1, 12], targets=[1, (0, 2), (0, 1, 3)], **FEW).data
    for target, expected in (("1", 1 / 4), ("0/2", 2 / 4), ("0/1/3", 3 / 4)):
        np.testing.assert_allclose(found.probability.sel(target=target), expected, atol=1e-6)
    assert float(found.dimension.sel(row="0/1/3")) == 0  # the start is there already
    assert math.isnan(float(found.dimension.sel(row="1")))
    assert str(found.verdict.sel(row="1").values) == "not reached"


def test_the_null_is_read_in_the_same_planes() -> None:
    net = network()
    found = class_dimension(net, INPUTS, LABELS, dims=[2, 12], repeats=3, steps=12, null=copy.deepcopy(net))
    np.testing.assert_allclose(found.data.probability, found.data.null_probability, atol=1e-6)
    assert "below null" not in found.data.verdict.values and "above null" not in found.data.verdict.values
    shuffled = class_dimension(net, INPUTS, LABELS, dims=[2, 12], repeats=3, steps=12).data
    assert abs(shuffled.probability - shuffled.null_probability).max() > 0.01
    sharp = Tube(0.9)
    inputs, labels = around(D)
    known = class_dimension(sharp, inputs, labels, targets=[0], steps=60, null=Tube(0.2))
    assert str(known.data.verdict.sel(row="0").values) == "below null"
    assert "those of the null" in known.summary()


def test_the_null_is_made_as_loud() -> None:
    """Logits that are five times as large are another network, unless the null is scaled to the same spread."""
    net, quiet = network(), network()
    with torch.no_grad():
        quiet[-1].weight /= 5
        quiet[-1].bias /= 5
    options = {"dims": [2, 12], "repeats": 3, "steps": 12}
    alike = class_dimension(net, INPUTS, LABELS, null=quiet, **options).data
    assert alike.attrs["null_gain"] == pytest.approx(5, rel=1e-4)
    np.testing.assert_allclose(alike.probability, alike.null_probability, atol=1e-4)
    other = class_dimension(net, INPUTS, LABELS, null=quiet, as_loud=False, **options).data
    assert other.attrs["null_gain"] == 1 and abs(other.probability - other.null_probability).max() > 0.05


def test_what_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    found = class_dimension(
        network(), INPUTS, LABELS, repeats=2, steps=5, name="mine", on_progress=lambda *step: told.append(step)
    )
    assert told[-1][0] == "null" and told[-1][1] == told[-1][2]
    assert all(done <= total for _, done, total in told)
    assert found.data.d.values.tolist() == [0, 1, 2, 3, 4, 6, 8, 11, 12]
    assert "mine" in found.summary() and str(found).count("\n") > K
    json.dumps(found.to_json(), allow_nan=False)
    assert found.figure().panels
    assert {"class_dimension", "ClassDimension"} <= set(ps.__all__)


def test_other_precisions() -> None:
    wide = class_dimension(network(dtype=torch.float64), INPUTS.numpy(), LABELS.tolist(), dims=[2, 12], **FEW).data
    plain = class_dimension(network(), INPUTS, LABELS, dims=[2, 12], **FEW).data
    np.testing.assert_allclose(wide.probability, plain.probability, atol=1e-3)
    class_dimension(network(dtype=torch.bfloat16), INPUTS, LABELS, dims=[2], **FEW)


# -- curves --------------------------------------------------------------------------------------------------


def test_crossings_and_fits_of_known_curves() -> None:
    dims = [1, 2, 4, 8, 16, 32, 64]
    curve = Curve(dims, 0.5)
    exact = logistic(np.log(dims), 0.1, 0.8, math.log(10), 0.4)
    assert curve.crossing(np.concatenate([[0.0], exact])) == pytest.approx(10, rel=0.05)
    parameters = curve.fit(np.concatenate([[0.0], exact])[:, None])
    np.testing.assert_allclose(parameters, [0.1, 0.8, 10, 0.4], rtol=1e-3)
    assert curve.fitted(parameters) == pytest.approx(10, rel=1e-3)
    assert curve.crossing(np.array([0.6, *[1.0] * 7])) == 0
    assert curve.crossing(np.array([0.0, *[1.0] * 7])) == 0.5
    assert curve.crossing(np.array([0.1, *[0.2] * 7])) == math.inf
    # what falls by chance is levelled, not taken for the crossing
    assert curve.crossing(np.array([0, 0.1, 0.55, 0.35, 0.45, 0.9, 1, 1])) > 8


def cut(dimension: int, ratio: float, subspace: int, dims: list[int], generator: np.random.Generator) -> Any:
    """Return (1, 1 + d, 8), 1 where nested planes of ``dims`` meet the tube, drawn by the exact law."""
    left = dimension - subspace
    parts = generator.standard_normal((8, left)) ** 2
    away = 1 - parts.cumsum(1)[:, np.minimum(dims, left) - 1] / parts.sum(1, keepdims=True)
    met = (away <= ratio**2) | (np.array(dims) >= left)
    return np.concatenate([np.zeros((8, 1)), met], axis=1).T[None]


@pytest.mark.parametrize(("ratio", "subspace"), [(0.6, 0), (0.8, 8), (0.2, 8), (0.0, 8)])
def test_the_interval_covers_the_exact_dimension(ratio: float, subspace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where all planes of 11 dimensions miss and all of 16 meet, so that no plane tells where between."""
    monkeypatch.setattr(class_curves, "RESAMPLES", 200)
    dims, generator, clouds = [1, 2, 4, 8, 11, 16, 23, 24], np.random.default_rng(0), 24
    exact = class_manifolds.meeting_dimension(24, ratio, subspace)
    read = [
        Curve(dims, 0.5).read(cut(24, ratio, subspace, dims, generator), Resampled(8, 1, np.random.default_rng(seed)))
        for seed in range(clouds)
    ]
    inside = sum(one.low[0] <= exact <= one.high[0] for one in read)
    near = sum(abs(one.dimension[0] - exact) <= 2 * one.error[0] for one in read)
    assert inside >= 0.87 * clouds and near >= 0.83 * clouds


def test_resampled_errors_are_those_of_a_mean() -> None:
    """On a curve that is a straight line in d, the error is that of the mean over planes, n - 1 and all."""
    values = np.random.default_rng(0).uniform(0.4, 1, 6)
    flat = np.array([np.zeros(6), values])[None]
    draws = Resampled(6, 1, np.random.default_rng(1))
    draws.shifts[:] = 0
    drawn = np.array([values[rows[0]].mean() for rows in draws.rows])
    assert drawn.std() == pytest.approx(values.std(ddof=1) / math.sqrt(6), rel=0.08)
    read = Curve([1], 0.5).read(flat, draws)
    reached = drawn >= 0.5
    np.testing.assert_allclose(read.drawn[reached, 0], 0.5 / drawn[reached])
    assert np.isinf(read.drawn[~reached, 0]).all()


# -- bad input -----------------------------------------------------------------------------------------------


class Known(nn.Module):
    """Returns what it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"module": "net"}, "give a torch.nn.Module"),
        ({"module": []}, "empty list"),
        ({"module": nn.Sequential(nn.BatchNorm1d(D), nn.Linear(D, K))}, "call module.eval"),
        ({"module": nn.Sequential(nn.Linear(D, K), nn.Softmax(1))}, "before its softmax"),
        ({"module": nn.Linear(D + 1, K)}, "refuses this batch"),
        ({"module": nn.Linear(D, 1)}, "K >= 2 classes"),
        ({"module": Known(lambda x: x * math.nan)}, "not finite"),
        ({"module": Known(lambda x: x[:, :K].detach())}, "no gradient to its inputs"),
        ({"module": [nn.Linear(D, K), nn.Linear(D, 3)]}, "classes: give equally many"),
        ({"inputs": INPUTS.long()}, "whole numbers"),
        ({"inputs": [[1] * D] * 60}, "whole numbers"),
        ({"inputs": INPUTS[:1], "labels": [0]}, "one input"),
        ({"inputs": torch.ones(60, D)}, "all inputs are the same"),
        ({"inputs": INPUTS * math.nan}, "finite"),
        ({"labels": LABELS[:5]}, "one label for each"),
        ({"labels": LABELS + 1}, "from 0 to 3"),
        ({"labels": LABELS * 0}, "planes begin at inputs of other classes"),
        ({"dims": [1, D + 1]}, "from 1 to 12"),
        ({"dims": [4, 1]}, "rising order"),
        ({"dims": []}, "no values"),
        ({"targets": [K]}, "from 0 to 3"),
        ({"targets": [(0, 0)]}, "a class twice"),
        ({"targets": [0, 0]}, "each target once"),
        ({"targets": [(0, 1, 2, 3)]}, "begin at inputs of other classes"),
        ({"targets": 3}, "give a list of classes"),
        ({"labels": LABELS % 2, "targets": [2]}, "no input has the label 2"),
        ({"level": 0}, "level"),
        ({"repeats": 1}, "repeats"),
        ({"steps": 0}, "steps"),
        ({"rate": 0}, "rate"),
        ({"seed": -1}, "seed"),
        ({"null": "untrained"}, "'shuffled', an untrained network, or None"),
        ({"null": nn.Linear(D, 3)}, "the null has 3 classes"),
        ({"null": Known(lambda x: 0 * x[:, :K])}, "as_loud=False"),
        ({"as_loud": 1}, "True or False"),
    ],
)
def test_bad_input_is_one_sentence(changed: dict[str, Any], words: str) -> None:
    given = {"module": nn.Linear(D, K), "inputs": INPUTS, "labels": LABELS, **FEW, **changed}
    with pytest.raises(BadInput, match=r"^[^\n]{15,400}\.$") as caught:
        class_dimension(given.pop("module"), given.pop("inputs"), given.pop("labels"), **given)
    assert words in str(caught.value)
