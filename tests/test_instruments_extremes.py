"""Instruments and losses at the ends of the floats, and where there is nothing to read: size, weights, NaN, classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import phasescope as ps
from laws import instrument_laws as laws
from phasescope import instruments, losses
from phasescope.directions import unit
from phasescope.ensemble.reading import read, scores
from phasescope.instruments import fourier, manifolds, neuron_pruning, norms, partial_jacobian, signal
from phasescope.instruments import logits as answers
from phasescope.instruments.collapse import neural_collapse
from phasescope.instruments.forward_pass import passage
from phasescope.vocabulary import Subject

VIEWS = np.random.default_rng(0).normal(size=(12, 3, 5))
READOUT = np.random.default_rng(1).normal(size=(3, 5))
SIZES = [("float32", s) for s in (1e-36, 1e-30, 1e-13, 1e25, 1e38)] + [
    ("float64", s) for s in (1e-300, 1e-160, 1e-13, 1e160, 1e307)
]
NAMED = {instrument.name: instrument for instrument in instruments.ALL}


def directional(x: Tensor, readout: Tensor) -> Tensor:
    """All that looks at directions alone, of views (12, 3, 5)."""
    collapse = neural_collapse(x.flatten(0, 1), np.arange(36) % 3, readout)
    return torch.stack([
        manifolds.alignment(x), manifolds.uniformity(x[:, 0]), signal.mean_cosine(x[:, 0]), losses.mmcr(x),
        losses.contrastive(x[:, 0], x[:, 1]), losses.centroids(x).square().sum(), *vars(collapse).values(),
    ])  # fmt: skip


@pytest.mark.parametrize(("dtype", "size"), SIZES)
def test_directions_do_not_depend_on_size(dtype: str, size: float) -> None:
    kind = getattr(torch, dtype)
    views, readout = (torch.from_numpy(x) for x in (VIEWS, READOUT))
    found = directional((views * size).to(kind), (readout * size).to(kind)).double()
    torch.testing.assert_close(found, directional(views, readout), rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(("dtype", "size"), [*SIZES, ("float32", 1e-40), ("float64", 1e-310)])
def test_losses_have_finite_gradients_at_every_size(dtype: str, size: float) -> None:
    """That of a direction is perpendicular to it and grows as 1 / norm, as long as floats know such numbers."""
    x = (torch.from_numpy(VIEWS) * size).to(getattr(torch, dtype)).requires_grad_()
    ordinary = torch.from_numpy(VIEWS).requires_grad_()
    for z in (x, ordinary):
        (losses.mmcr(z, local_weight=0.2) + losses.contrastive(z[:, 0], z[:, 1])).backward()
    assert x.grad is not None and ordinary.grad is not None and x.grad.isfinite().all()
    if 1e-30 <= size <= 1e30:
        found = x.grad.double() * size
        torch.testing.assert_close(found, ordinary.grad, rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)


def test_zeros_have_no_direction() -> None:
    x = torch.tensor([[0.0, 0.0], [3e30, 4e30], [torch.nan, 1.0]], requires_grad=True)
    found = unit(x)
    assert found[0].tolist() == [0, 0] and found[1].tolist() == pytest.approx([0.6, 0.8]) and found[2].isnan().all()
    assert unit(x, zeros=torch.nan)[0].isnan().all()
    (gradient,) = torch.autograd.grad(found[:2].sum(), x)
    assert gradient[0].tolist() == [0, 0]
    views = VIEWS.copy()
    views[3], views[4, 1] = 0, 0  # a datum without views, and one with two left
    cosines = [signal.mean_cosine(np.delete(datum, 1, 0) if i == 4 else datum) for i, datum in enumerate(views)]
    expected = 2 - 2 * float(torch.stack(cosines).nanmean())
    assert float(manifolds.alignment(views)) == pytest.approx(expected, abs=1e-12)
    assert manifolds.alignment(np.zeros((4, 2, 3))).isnan()
    without = np.delete(views[:, 1], [3, 4], 0)
    torch.testing.assert_close(manifolds.uniformity(views[:, 1]), manifolds.uniformity(without))
    assert manifolds.uniformity(np.eye(3) * [0, 0, 1]).isnan()
    assert abs(float(manifolds.uniformity(np.ones((5, 3))))) < 1e-14


def test_gradients_flow_past_views_that_are_left_out() -> None:
    views = torch.from_numpy(VIEWS).clone()
    views[3] = 0
    views.requires_grad_()
    (gradient,) = torch.autograd.grad(manifolds.alignment(views) + manifolds.uniformity(views[:, 0]), views)
    assert gradient.isfinite().all() and (gradient[3] == 0).all() and (gradient[0] != 0).all()


def test_a_class_mean_without_direction_has_no_cosine() -> None:
    rows = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = instruments.collapse.neural_collapse(rows, [0, 1, 2], torch.zeros(3, 2))
    assert found.cosine.isnan() and found.duality.isnan() and found.nc1 == found.variance_ratio == 0


@pytest.mark.parametrize("size", [1e-200, 1e-100, 1e150])
def test_readings_of_weights_at_every_size(size: float) -> None:
    chosen = laws.CASES[0]
    scaled = chosen.with_parameters(lambda _, v: size * v)
    for name in ("participation", "dominant_frequency", "phases", "phase_alignment", "frequency_census"):
        assert laws.value_of(NAMED[name], scaled) == pytest.approx(laws.value_of(NAMED[name], chosen), abs=1e-9)
    norm = laws.value_of(norms.weight_norm, chosen)
    assert laws.value_of(norms.weight_norm, scaled) / size == pytest.approx(norm, rel=1e-12)


def test_weights_that_are_not_finite_have_no_frequencies_to_count() -> None:
    embed, readout = np.random.default_rng(0).normal(size=(2, 7, 4)), np.ones((7, 4))
    embed[0, 0, 0] = np.nan
    found = read([fourier.frequency_census, fourier.mean_participation], laws.weights_only(embed, readout))
    assert all(np.isnan(value).all() for value in found.values())


def test_partial_jacobians_of_small_and_large_slopes() -> None:
    for slope in (1e-25, 1e25):
        module = nn.Sequential(nn.Identity(), nn.Linear(4, 4, bias=False))
        nn.init.eye_(module[1].weight)
        module[1].weight.data *= slope
        with passage(module, torch.ones(2, 4), ["0", "1"]) as found:
            pair = partial_jacobian.partial_jacobians(found, [("0", "1")], generator=np.random.default_rng(0))
        assert pair.value.item() == pytest.approx(slope**2, rel=1e-6)


# -- what a network answers -------------------------------------------------------------------------------------


def answering(logits: Any, **changes: Any) -> Subject:
    seen = laws.hand_made(**changes)
    found = torch.as_tensor(logits)
    return replace(seen, logits=lambda: found, answers=lambda changed: found)


def hand_made_logits() -> Tensor:
    return laws.hand_made().logits().clone()


ACCURACIES = ("train_accuracy", "test_accuracy", "table_accuracy", "corrupted_accuracy", "corrected_accuracy",
              "uncorrupted_accuracy")  # fmt: skip


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_an_output_that_is_not_finite_answers_nothing(bad: float) -> None:
    """Sample 1 is in training and corrupted: what counts it has no accuracy, what does not is as it was."""
    logits = hand_made_logits()
    logits[0, 1, 1] = bad
    found = {name: NAMED[name](answering(logits)) for name in ACCURACIES}
    for name in ("train_accuracy", "table_accuracy", "corrupted_accuracy", "corrected_accuracy"):
        assert found[name].value.isnan().all() and not found[name].valid.any(), name
    assert found["test_accuracy"].value.item() == 1 and found["uncorrupted_accuracy"].value.item() == 1
    masked = hand_made_logits()
    masked[0, 1, 2] = -torch.inf  # a class that is ruled out
    assert answers.train_accuracy(answering(masked)).value.item() == 0.25


def test_pruning_sees_no_answers_in_nan_and_takes_out_any_weight() -> None:
    chosen = laws.CASES[0]
    broken = chosen.with_parameters(lambda _, v: torch.where(torch.arange(laws.H) == 2, torch.nan, v))
    found = laws.value_of(neuron_pruning.pruning(shares=[0, 1 / laws.H]), broken)
    assert np.isnan(found[..., 0]).all() and not np.isnan(found[..., 1]).any()


def test_a_network_of_nan_has_no_accuracy() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.full((1, 2), torch.nan))

        def forward(self, x: Tensor) -> Tensor:
            return self.w + 0 * x

    task = ps.tasks.Table("zeros", np.zeros((20, 2)), np.zeros(20, int), 2)
    assert np.isnan(ps.measure(Broken(), task, ps.Grid(), [answers.test_accuracy]).test_accuracy.values).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_targets_of_real_numbers_have_no_class_readings(classes: int) -> None:
    targets = torch.rand(1, 4, classes)
    seen = replace(answering(torch.rand(1, 4, classes)), labels=targets, truth=targets)
    names = (*ACCURACIES, "correct_logit", "wrong_logit_deviation", "logit_margin", "given_logit", "true_logit",
             "accidental_share", "twin_share")  # fmt: skip
    for name in names:
        found = NAMED[name](seen)
        assert found.value.shape == (1,) and found.value.isnan().all() and not found.valid.any(), name
    chosen = laws.CASES[0]
    hot = torch.eye(laws.P)[chosen.data["labels"].long()]
    real = chosen.with_data(lambda name, v: hot if name in ("labels", "truth") else v)
    assert np.isnan(laws.value_of(neuron_pruning.pruning(shares=[0.0]), real)).all()


def test_what_a_mean_leaves_out_can_not_spoil_it() -> None:
    values = torch.tensor([[1.0, 3.0, torch.inf, torch.nan]])
    mask, weights = torch.tensor([[True, True, False, True]]), torch.tensor([[1.0, 3.0, 1.0, 0.0]])
    assert answers.mean_over(values, mask, weights).value.item() == 2.5
    assert answers.mean_over(values, torch.ones_like(mask), weights).value.item() == torch.inf  # an honest one stays
    assert answers.mean_over(values, ~mask | mask, torch.ones(1, 4)).value.isnan().all()


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 1e-30), ("float32", 1e30), ("float64", 1e-170), ("float64", 1e170)]
)
def test_the_deviation_of_wrong_logits_at_every_size(dtype: str, size: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 3)))
    ordinary = answers.wrong_logit_deviation(answering(logits)).value.item()
    found = answers.wrong_logit_deviation(answering((logits * size).to(getattr(torch, dtype)))).value.item()
    assert found / size == pytest.approx(ordinary, rel=1e-6 if dtype == "float32" else 1e-12)


def test_the_deviation_of_wrong_logits_is_weighted_and_blind_to_the_right_ones() -> None:
    """Weights of 0 are samples left out, any common factor changes nothing, and equal ones give numpy's."""
    logits = hand_made_logits()
    deviation = answers.wrong_logit_deviation
    equal = deviation(answering(logits, weights=torch.full((1, 4), 0.3))).value.item()
    assert equal == pytest.approx(np.std([1.0, 0.0, 0.0, 3.0, 0.5, 0.0], ddof=1), rel=1e-12)
    some = deviation(answering(logits, weights=torch.tensor([[2.0, 0.0, 2.0, 9.0]]))).value.item()
    assert some == pytest.approx(np.std([1.0, 0.0, 0.5, 0.0], ddof=1), rel=1e-12)
    small = logits.float()
    small[0, 0, 0] = 1e12  # the right one of the first sample
    weighted = deviation(answering(logits)).value.item()
    assert deviation(answering(small)).value.item() == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_readings_of_halves_are_not_reckoned_in_halves(half: torch.dtype) -> None:
    logits = torch.from_numpy(300 * np.random.default_rng(0).normal(size=(1, 4, 3))).to(half)
    halves = laws.CASES[0].with_parameters(lambda _, v: v.to(half))
    chosen = [halves, halves.with_parameters(lambda _, v: v.double())]
    for instrument in instruments.ALL:
        if instrument.cost == "weights" and instrument.name != "twin_share":
            found, expected = (laws.value_of(instrument, case) for case in chosen)
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=instrument.name)
        elif instrument.cost == "forward" and not instrument.name.endswith("loss"):
            found, expected = (instrument(answering(logits.to(kind))).value for kind in (half, torch.float64))
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0, equal_nan=True)


def test_a_network_without_parameters_has_no_norm() -> None:
    assert instruments.norms.weight_norm(answering(hand_made_logits())).value.tolist() == [0]


def test_a_score_is_right_for_targets_whose_variance_float32_does_not_know() -> None:
    """As float32 a variance of 1e-50 is 0 and one of 1e50 infinite: no score, and a perfect one."""
    for variance in (1e-50, 1.0 / 3, 1e50):
        errors = torch.full((1, 4), variance / 4, dtype=torch.float64)
        seen = replace(laws.hand_made(), sample_losses=lambda errors=errors: errors)
        assert scores(seen, [(variance, variance)])[1] == pytest.approx(0.75, rel=1e-14)
