"""Transfer in linear networks: theory against algebra and measurement, the task, the learner, and the study."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasescope.ensemble import streams, train
from phasescope.ensemble.streams import initialized
from phasescope.instruments.logits import test_loss as loss_on_test
from phasescope.lab import run, study_named
from phasescope.learners import DeepLinear
from phasescope.learners.linear import descend
from phasescope.studies.transfer_phase_diagram import draws, relu
from phasescope.tasks import LinearTarget
from phasescope.testing import check_results
from phasescope.theory import linear_transfer
from phasescope.vocabulary import Array, BadInput, Grid, Member, Recipe

STUDY = study_named("transfer-phase-diagram")
HALF = math.pi / 4
TINY = {"dimension": 20, "draws": 3, "seeds": 2, "gammas": (0.4,), "degrees": (0.0, 30.0, 90.0), "probe_samples": 50,
        "trained_dimension": 6, "steps": 20, "source_steps": 5, "records": 3, "relu_samples": (8, 16), "relu_steps": 5, "relu_seeds": 2}  # fmt: skip


# -- theory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gamma", "risk"), [(0.25, 0.7635), (0.5, 0.5408), (0.75, 0.3750), (1.5, 0.0816), (2.0, 0.0404)])  # fmt: skip
def test_scratch_risk_at_finite_size(gamma: float, risk: float) -> None:
    """The numbers that 300 draws confirmed at d = 100 and noise 0.2, and the limit of large d."""
    assert linear_transfer.scratch_risk(round(gamma * 100), 100, 0.2) == pytest.approx(risk, abs=6e-5)
    assert linear_transfer.scratch_risk(round(gamma * 10**6), 10**6, 0.2) == pytest.approx(
        linear_transfer.scratch_risk_limit(gamma, 0.2), abs=1e-5
    )


def test_contours_are_the_zeros_of_transferability() -> None:
    """At 45 degrees and noise 0.2: 0.549, 0.911 and 1.080; none below 1 at less than arccos(1 - noise)."""
    (low, high), (above, end) = linear_transfer.negative_transfer(HALF, 0.2)
    assert (round(low, 3), round(high, 3), round(above, 3), end) == (0.549, 0.911, 1.08, math.inf)
    for edge in (low, high, above):
        assert linear_transfer.linear_transferability(edge, HALF, 0.2) == pytest.approx(0, abs=1e-12)
    for gamma in np.linspace(0.05, 3, 60):
        if gamma != 1:
            inside = any(a < gamma < b for a, b in linear_transfer.negative_transfer(HALF, 0.2))
            assert (linear_transfer.linear_transferability(gamma, HALF, 0.2) < 0) == inside
    edge = math.acos(0.8)
    assert len(linear_transfer.negative_transfer(edge - 1e-6, 0.2)) == 1
    assert len(linear_transfer.negative_transfer(edge + 1e-6, 0.2)) == 2
    assert linear_transfer.negative_transfer(0.0, 0.2) == ()


def test_linear_transfer_risk_is_one_feature() -> None:
    assert linear_transfer.linear_transfer_risk(50, HALF, 0.2) == pytest.approx(0.5 + 0.54 / 48)
    assert linear_transfer.feature_transfer_risk(50, 1, 0.5, 0.2) == pytest.approx(
        linear_transfer.linear_transfer_risk(50, HALF, 0.2)
    )


def test_ridge_probe_values() -> None:
    found = [round(linear_transfer.ridge_probe_risk(HALF, p), 3) for p in (0, 0.1, 0.3, 0.5)]
    assert found == [0.5, 0.504, 0.527, 0.556]


def kept_share_by_iteration(kept: float, learnt: float, source: float, layers: int) -> float:
    """The balance itself: |beta|^2 = learnt + c^2 kept, every singular value is |beta|^(1/L)."""
    c = 1.0
    for _ in range(500):
        c = 0.5 * c + 0.5 * ((learnt + c**2 * kept) / source) ** ((layers - 1) / (2 * layers))
    return c


def law_kept_share(share: Callable[..., float] = linear_transfer.kept_share) -> None:
    """The share is the balance's fixed point, for any depth and length of the source."""
    for layers in (2, 3, 5):
        for kept, learnt, source in ((0.5, 1.5, 1.0), (0.75, 0.26333, 1.0), (0.0, 0.4, 1.0), (0.3, 0.0, 2.0)):
            expected = kept_share_by_iteration(kept, learnt, source, layers)
            assert share(kept, learnt, source=source, layers=layers) == pytest.approx(expected, abs=1e-8)


def law_contours(edges: Callable[[float, float], Any] = linear_transfer.negative_transfer) -> None:
    """Linear transfer loses inside the intervals and nowhere else."""
    for angle in (0.3, HALF, 1.2):
        for gamma in np.linspace(0.05, 3, 60):
            if gamma != 1:
                inside = any(a < gamma < b for a, b in edges(angle, 0.2))
                assert (linear_transfer.linear_transferability(gamma, angle, 0.2) < 0) == inside


def test_kept_share() -> None:
    law_kept_share()


def test_contours() -> None:
    law_contours()


def test_kept_share_published_values() -> None:
    """1.005 at gamma 1/4 and noise 0.2; 1.225 and break-even at 52.2 degrees at gamma 1/2 and noise 1; 1 without noise."""
    assert round(linear_transfer.kept_share_limit(0.25, 0.2), 3) == 1.005
    assert round(linear_transfer.kept_share_limit(0.5, 1.0), 3) == 1.225
    assert round(math.degrees(linear_transfer.break_even_angle(0.5, 1.0)), 1) == 52.2
    for gamma in (0.1, 0.5, 0.9):
        for layers in (2, 4):
            assert linear_transfer.kept_share_limit(gamma, 0.0, layers=layers) == pytest.approx(1)
        assert linear_transfer.balanced_fine_tuning(gamma, 0.7, 0.0) == pytest.approx(
            linear_transfer.fine_tuning_transferability(gamma, 0.7)
        )
    assert (
        linear_transfer.balanced_fine_tuning(2.0, 0.7, 0.5)
        == linear_transfer.fine_tuning_transferability(2.0, 0.7)
        == 0
    )
    assert math.isnan(linear_transfer.break_even_angle(0.5, 100.0))


def test_finite_sources() -> None:
    """A perfect source in the limit of endless data; the break-even angle is where the gain is zero."""
    assert linear_transfer.finite_source_transferability(1e12, 0.5, HALF, 0.5) == pytest.approx(
        linear_transfer.fine_tuning_transferability(0.5, HALF)
    )
    for source in (0.5, 3.0):
        angle = linear_transfer.finite_source_break_even(source, 0.3)
        assert linear_transfer.finite_source_transferability(source, 0.5, angle, 0.3) == pytest.approx(0, abs=1e-12)
    assert math.isnan(linear_transfer.finite_source_break_even(0.9, 1.0))


def test_divergence_knows_nothing_of_the_sign() -> None:
    assert linear_transfer.task_divergence(HALF, 0.2) == pytest.approx((1 - math.cos(HALF)) / 0.04)
    assert linear_transfer.task_divergence(HALF, 0.0) == math.inf and linear_transfer.task_divergence(0.0, 0.0) == 0


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: linear_transfer.scratch_risk(99, 100), "99 samples in 100 dimensions.*dimension - 2"),
    (lambda: linear_transfer.scratch_risk(101, 100), r"dimension \+ 2"),
    (lambda: linear_transfer.scratch_risk_limit(1.0), "gamma is 1.*gamma != 1"),
    (lambda: linear_transfer.linear_transferability(1.0, 0.3), "gamma is 1"),
    (lambda: linear_transfer.scratch_risk_limit(-0.5), "above 0"),
    (lambda: linear_transfer.scratch_risk_limit(math.nan), "above 0"),
    (lambda: linear_transfer.scratch_risk_limit(0.5, -1.0), "noise is -1"),
    (lambda: linear_transfer.linear_transfer_risk(2, 0.3), r"features \+ 2"),
    (lambda: linear_transfer.linear_transfer_risk(20, 4.0), "angle is 4.*radians"),
    (lambda: linear_transfer.feature_transfer_risk(20, 3, 1.5), r"outside is 1\.5"),
    (lambda: linear_transfer.ridge_probe_risk(0.3, -0.1), "penalty is -0.1"),
    (lambda: linear_transfer.kept_share(2.0, 0.1), "no longer than its vector"),
    (lambda: linear_transfer.kept_share(0.2, 0.1, layers=1), "layers is 1"),
    (lambda: linear_transfer.kept_share_limit(1.5, 0.1), "0 < gamma < 1"),
    (lambda: linear_transfer.finite_source_transferability(1.0, 0.5, 0.3), "gamma is 1"),
    (lambda: LinearTarget(1, gamma=2.0), "dimension is 1"),
    (lambda: LinearTarget(10, gamma=0.01), "at least one sample"),
    (lambda: LinearTarget(10, noise=-1.0), "noise is -1"),
    (lambda: DeepLinear(4, 4, layers=1), "layers is 1"),
    (lambda: DeepLinear(4, 4, scale=-1), "scale is -1"),
    (lambda: DeepLinear(4, 4, pretraining_rate=0.6), "pretraining_rate is 0.6"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_what_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        call()


# -- task and learner --------------------------------------------------------------------------------------------


def test_the_test_rows_give_the_population_risk() -> None:
    """Mean squared error over them is |beta - beta_t|^2 for any beta; the samples do not depend on angle and noise."""
    task = LinearTarget(6, gamma=1.5)
    one, two = (task.draw(Member({"angle": a, "noise": s}, 3), streams(3)) for a, s in ((0.3, 0.0), (1.2, 0.7)))
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert len(one.train) == 9 and len(one.test) == 6
    beta = streams(1)("any").standard_normal((6, 1))
    error = np.mean((two.inputs[two.test] @ beta - two.truth[two.test]) ** 2)
    target = np.array([math.cos(1.2), math.sin(1.2), 0, 0, 0, 0])[:, None]
    assert error == pytest.approx(np.sum((beta - target) ** 2))
    assert np.std(two.labels[two.train] - two.truth[two.train]) == pytest.approx(0.7, rel=0.5)
    np.testing.assert_array_equal(one.labels, one.truth)


def test_forward_is_the_product_of_the_layers() -> None:
    net = initialized(DeepLinear(5, 4, layers=3, outputs=2, scale=0.7), 1)
    x = torch.randn(7, 5, dtype=torch.float64)
    product = np.linalg.multi_dot([w.detach().numpy() for w in net.layers])
    np.testing.assert_allclose(net(x).detach().numpy(), x.numpy() @ product, rtol=1e-12)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_descend_is_gradient_descent(layers: int) -> None:
    """The hand-written step against torch's gradient of the same loss."""
    g = streams(0)("any")
    sizes = [5, *[4] * (layers - 1), 2]
    weights = [g.standard_normal((a, b)) for a, b in pairwise(sizes)]
    target = g.standard_normal((5, 2))
    leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    (torch.linalg.multi_dot(leaves) - torch.from_numpy(target)).square().sum().backward()
    for found, w, leaf in zip(descend(weights, target, 1, 0.01), weights, leaves, strict=True):
        np.testing.assert_allclose(found, w - 0.01 * leaf.grad.numpy(), rtol=1e-10)


def test_pretraining_is_training_on_endless_data() -> None:
    """``initialize`` and the ensemble take the same steps, and end with one direction and balanced layers."""
    recipe = Recipe(optimizer="sgd", lr=0.05, steps=200, records=2, dtype="float64")
    data = train(DeepLinear(8, 8, scale=0.01), LinearTarget(8, endless=True), Grid(seeds=[4]), recipe, (loss_on_test,))
    net = initialized(DeepLinear(8, 8, scale=0.01, pretraining=200), 4)
    first, last = (w.detach().numpy() for w in net.layers)
    np.testing.assert_allclose(data["final.layers.0"][0], first, atol=1e-10)
    values = np.linalg.svd(first, compute_uv=False)
    assert values[0] == pytest.approx(1, abs=0.01) and values[1] < 0.03
    np.testing.assert_allclose(first.T @ first, last @ last.T, atol=0.01)
    assert float(data.test_loss[0, -1]) < 1e-6


# -- draws -------------------------------------------------------------------------------------------------------


def literal_risks(gamma: float, d: int, angle: float, noise: float, ridge: float) -> dict[str, float]:
    """One draw of ``closed_form``, by pseudo-inverses."""
    g = streams(5)
    n = round(gamma * d)
    x, e = g("data").standard_normal((n, d)), g("noise").standard_normal(n)
    source, target = np.eye(d)[0], math.cos(angle) * np.eye(d)[0] + math.sin(angle) * np.eye(d)[1]
    y = x @ target + noise * e
    inverse = np.linalg.pinv(x)
    null = source - inverse @ x @ source
    c = linear_transfer.kept_share(float(null @ null), float(np.sum((inverse @ y) ** 2)))
    z = x @ source
    estimates = {
        "scratch": inverse @ y,
        "ridge": np.linalg.solve(x.T @ x + ridge * d * np.eye(d), x.T @ y),
        "linear": (z @ y) / (z @ z) * source,
        "printed": inverse @ y + null,
        "balanced": inverse @ y + c * null,
    }
    return {name: float(np.sum((b - target) ** 2)) for name, b in estimates.items()}


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5])
def test_closed_form_against_pseudo_inverses(gamma: float) -> None:
    fixed = {"gamma": gamma, "dimension": 20, "draws": 1, "angles": (0.3, 1.2), "noises": (0.0, 0.6), "ridge": 0.04}
    found = draws.closed_form(Member(fixed, 5), streams(5))
    for i, angle in enumerate((0.3, 1.2)):
        for j, noise in enumerate((0.0, 0.6)):
            for name, risk in literal_risks(gamma, 20, angle, noise, 0.04).items():
                assert found[name][i, j] == pytest.approx(risk, rel=1e-5, abs=1e-9), name


def mean_risk(name: str, **knobs: Any) -> Array:
    fixed = {"dimension": 60, "draws": 400, "angles": (HALF,), "noises": (0.2,), "ridge": 0.04, **knobs}
    return np.asarray(draws.closed_form(Member(fixed, 77), streams(77))[name])


def test_measured_risks_are_those_of_theory() -> None:
    assert mean_risk("scratch", gamma=0.5)[0, 0] == pytest.approx(linear_transfer.scratch_risk(30, 60, 0.2), abs=0.02)
    assert mean_risk("linear", gamma=0.5)[0, 0] == pytest.approx(
        linear_transfer.linear_transfer_risk(30, HALF, 0.2), abs=0.005
    )


def test_the_trained_network_keeps_c_not_one() -> None:
    """Gradient descent of two layers at noise 1: at c within the step's error, away from 1."""
    d, rate = 12, 0.01
    member = Member({"gamma": 0.5, "noise": 1.0, "angle": 1.0, "dimension": d}, 21)
    seen = draws.foreseen(member, streams(21))
    grid = Grid({"lr": (rate, rate / 2)}, seeds=[21])
    recipe = Recipe(optimizer="sgd", steps=2000, records=2, dtype="float64")
    task = LinearTarget(d, gamma=0.5, noise=1.0, angle=1.0)
    data = train(DeepLinear(d, d, scale=0.003, pretraining=600), task, grid, recipe, (loss_on_test,))
    coarse, fine = data.test_loss.values[:, 0, -1]
    assert 2 * fine - coarse == pytest.approx(seen["balanced"], abs=2e-3)
    assert abs(fine - seen["printed"]) > 10 * abs(2 * fine - coarse - seen["balanced"])


def test_relu_population_against_samples_and_finite_differences() -> None:
    """The closed-form risk is the mean over many inputs, and its gradient that of the loss, times the width."""
    g = streams(2)("any")
    w, c = g.standard_normal((4, 3)), g.standard_normal(4)
    teacher = g.standard_normal((2, 3)), g.standard_normal(2)
    x = g.standard_normal((200_000, 3))
    y = np.maximum(x @ teacher[0].T, 0) @ teacher[1]
    risk, (slope_w, slope_c) = relu.population((w, c), teacher)
    error, sampled = relu.sampled((w, c), x, y)
    assert error == pytest.approx(risk, rel=0.02)
    np.testing.assert_allclose(sampled[0], slope_w, atol=0.05)
    np.testing.assert_allclose(sampled[1], slope_c, atol=0.05)
    step = 1e-6
    for i, j in np.ndindex(4, 3):
        moved = w.copy()
        moved[i, j] += step
        assert 4 * (relu.population((moved, c), teacher)[0] - risk) / step == pytest.approx(slope_w[i, j], abs=1e-5)
    assert relu.population((teacher[0], 2 * teacher[1]), teacher)[0] == pytest.approx(0, abs=1e-12)


# -- the study ---------------------------------------------------------------------------------------------------


def test_the_study_runs_at_the_smallest_settings(tmp_path: Path) -> None:
    check_results(run(STUDY, out=tmp_path / "run", settings=TINY))
