"""Quasi-homogeneous margins: closed forms against optimization, flows against them, neural collapse, the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize

from phasescope.ensemble import streams
from phasescope.instruments.collapse import neural_collapse
from phasescope.lab import load, run, study_named
from phasescope.studies.asymmetric_margin.figures import figures
from phasescope.studies.asymmetric_margin.training import (
    MODELS,
    circle,
    flow,
    measure_balls,
    measure_cascade,
    measure_collapse,
    measure_descent,
    measure_scaling,
    slopes,
    soft_margin,
    worst_fall,
)
from phasescope.testing import check_results
from phasescope.theory import asymmetric_margin
from phasescope.vocabulary import BadInput, Member

CASES = [(1.0, t, 0.8) for t in (0.0, 0.3, 0.5, 0.7, 0.79, 0.9, 1.4)] + [(0.7, 0.5, 0.3), (2.0, 0.2, 1.5)]


# -- theory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_largest_margin_is_the_homogeneous_one(case: tuple[float, float, float]) -> None:
    """By search over all directions, nothing is better; and the margin is that of the direction given."""
    along, across, margin = asymmetric_margin.homogeneous_ball(*case)
    angle = np.linspace(0, np.pi, 20_001)
    best = (np.cos(angle) * case[0] + np.sin(angle) * case[1]).max() - case[2]
    assert margin == pytest.approx(best, abs=1e-7)
    assert along * case[0] + across * case[1] - case[2] == pytest.approx(margin)


@pytest.mark.parametrize("case", CASES)
def test_the_closed_form_minimizes_the_highest_rate_alone(case: tuple[float, float, float]) -> None:
    """A second implementation: minimize |w| over w, c with w muP + c muT - r |(w, c)| >= 1, by a grid of slopes."""
    parallel, transverse, radius = case
    along, across, margin = asymmetric_margin.quasi_homogeneous_ball(*case)
    assert np.hypot(along, across) == pytest.approx(1)
    assert along * parallel + across * transverse - radius == pytest.approx(margin)
    if transverse >= radius:
        assert along == 0
        return

    def first(angle: float) -> float:
        reached = np.cos(angle) * parallel + np.sin(angle) * transverse - radius
        return float(np.cos(angle) / reached) if reached > 0 else np.inf

    tried = np.linspace(0, np.pi / 2, 100_001)
    rough = tried[np.argmin([first(a) for a in tried[::10]]) * 10]
    best = optimize.minimize_scalar(first, bounds=(rough - 1e-3, rough + 1e-3), method="bounded").x
    assert across / along == pytest.approx(np.tan(best), abs=2e-3)


def test_the_published_table() -> None:
    """The facts' table for muP = 1, r = 0.8: directions and margins."""
    table = {0.3: (0.927, 0.375, 0.2395), 0.5: (0.781, 0.625, 0.2931), 0.9: (0, 1, 0.1)}
    for transverse, row in table.items():
        assert asymmetric_margin.quasi_homogeneous_ball(1.0, transverse, 0.8) == pytest.approx(row, abs=5e-4)
    assert asymmetric_margin.quasi_homogeneous_ball(1.0, 0.7, 0.8)[2] == pytest.approx(0.2966, abs=5e-5)
    assert asymmetric_margin.quasi_homogeneous_ball(1.0, 0.79, 0.8)[2] == pytest.approx(0.1377, abs=5e-5)
    margins = {0.3: 0.2441, 0.5: 0.3181, 0.7: 0.4207, 0.79: 0.4744, 0.9: 0.5454}
    for transverse, margin in margins.items():
        assert asymmetric_margin.homogeneous_ball(1.0, transverse, 0.8)[2] == pytest.approx(margin, abs=1e-4)


def test_the_margin_vanishes_from_both_sides() -> None:
    assert asymmetric_margin.quasi_homogeneous_ball(1.0, 0.8, 0.8)[2] == 0
    for transverse in (0.8 - 1e-9, 0.8 + 1e-9):
        assert asymmetric_margin.quasi_homogeneous_ball(1.0, transverse, 0.8)[2] == pytest.approx(0, abs=1e-4)


def test_the_asymmetric_norm() -> None:
    parameters = [np.array([3.0]), np.array([1.0, 2.0])]
    assert asymmetric_margin.asymmetric_norm(parameters, [1, 0.5]) == pytest.approx(np.sqrt(9 + 2.5))
    assert asymmetric_margin.asymmetric_norm(parameters, [1, 0.5], highest=True) == 3
    assert asymmetric_margin.asymmetric_norm(parameters, [1 / 2, 1 / 2]) == pytest.approx(np.sqrt(14 / 2))
    assert asymmetric_margin.simplex_cosine(4) == pytest.approx(-1 / 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: asymmetric_margin.homogeneous_ball(0.3, 0.3, 0.8),
        lambda: asymmetric_margin.quasi_homogeneous_ball(-1.0, 0.3, 0.1),
        lambda: asymmetric_margin.quasi_homogeneous_ball(1.0, float("nan"), 0.1),
        lambda: asymmetric_margin.quasi_homogeneous_ball(1.0, 0.3, 0.0),
        lambda: asymmetric_margin.asymmetric_norm([np.ones(2)], [1.0, 0.5]),
        lambda: asymmetric_margin.asymmetric_norm([np.ones(2)], [-1.0]),
        lambda: asymmetric_margin.asymmetric_norm([np.ones(2)], [0.0]),
        lambda: asymmetric_margin.simplex_cosine(1),
        lambda: neural_collapse(torch.ones(3, 2), torch.zeros(2, dtype=torch.int64)),
        lambda: neural_collapse(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64)),
        lambda: neural_collapse(torch.ones(3, 2), torch.tensor([0, 2, 2])),
        lambda: neural_collapse(torch.ones(3, 2), torch.tensor([0, 1, 1]), torch.ones(3, 2)),
    ],
)
def test_bad_input_is_one_sentence(call: Any) -> None:
    with pytest.raises(BadInput, match=r"^[^\n]{15,220}\.$"):
        call()


# -- models and flows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", list(MODELS))
def test_the_identities_and_what_breaks_them(model: str) -> None:
    for seed in range(3):
        own = measure_scaling(Member({"model": model, "rates": "own"}, seed), streams(seed))
        wrong = measure_scaling(Member({"model": model, "rates": "homogeneous"}, seed), streams(seed))
        assert own["scaling"] < 1e-12 and own["euler"] < 1e-10
        if model == "plain":  # it is homogeneous
            assert wrong == own
        else:
            assert wrong["scaling"] > 1e-3 and wrong["euler"] > 1e-2


def test_slopes_are_derivatives() -> None:
    theta, powers = np.array([0.5, -0.7, 1.2, 0.3, 0.9, -1.1]), (1, 2, 3)
    beta, slope = slopes(theta, powers)
    assert beta == pytest.approx([0.5, -0.84, -0.297])
    for i in range(6):
        moved = theta.copy()
        moved[i] += 1e-6
        change = (slopes(moved, powers)[0] - beta).sum() / 1e-6
        assert slope[i] == pytest.approx(change, abs=1e-5)


def test_the_soft_margin_and_its_gradient() -> None:
    points = circle((1.0, 0.4), 0.5, 32, 0.3)
    beta = np.array([3.0, -0.5])
    value, gradient = soft_margin(points, beta)
    assert value == pytest.approx(-np.log(np.exp(-points @ beta).sum()))
    assert value <= (points @ beta).min()
    for i in range(2):
        moved = beta.copy()
        moved[i] += 1e-6
        assert gradient[i] == pytest.approx((soft_margin(points, moved)[0] - value) / 1e-6, abs=1e-4)
    assert np.linalg.norm(points - (1.0, 0.4), axis=1) == pytest.approx(np.full(32, 0.5))


def ball(**changes: Any) -> Member:
    numbers = {"powers": "1 2", "parallel": 1.0, "transverse": 0.5, "radius": 0.8, "points": 512, "size": 3e3}
    return Member({**numbers, "horizon": 1e6, **changes}, 21)


@pytest.mark.parametrize("transverse", [0.2, 0.6, 1.1])
def test_flows_reach_the_closed_forms(transverse: float) -> None:
    for powers, solution in (
        ("1 1", asymmetric_margin.homogeneous_ball),
        ("1 2", asymmetric_margin.quasi_homogeneous_ball),
    ):
        found = measure_balls(ball(powers=powers, transverse=transverse), streams(21))
        assert found["margin"] == pytest.approx(solution(1.0, transverse, 0.8)[2], abs=0.004)
        assert found["fall"] < 1e-6 and found["balance"] < 1e-5


def test_a_flow_of_equal_powers_is_as_if_homogeneous() -> None:
    """(u v) x1 + (a b) x2 has one rate, 1/2, so that all parameters count: min u^2 + ... = 2 (|beta1| + |beta2|)."""
    found = measure_balls(ball(powers="2 2", transverse=0.5), streams(21))
    angle = np.linspace(1e-3, np.pi / 2 - 1e-3, 100_000)
    reached = np.cos(angle) + 0.5 * np.sin(angle) - 0.8
    best = angle[np.argmin(np.where(reached > 0, (np.cos(angle) + np.sin(angle)) / np.maximum(reached, 1e-9), np.inf))]
    assert found["direction"] == pytest.approx([np.cos(best), np.sin(best)], abs=0.01)


def test_the_path_does_not_depend_on_how_far_it_is_followed() -> None:
    points = circle((1.0, 0.5), 0.8, 128, 0.0)
    _, short = flow(points, (1, 2), np.array([0.5, 0.6, 0.4]), 50, 1e6)
    _, long = flow(points, (1, 2), np.array([0.5, 0.6, 0.4]), 500, 1e6)
    end = long[np.argmin(np.abs(np.linalg.norm(long - short[-1], axis=1)))]
    assert np.linalg.norm(end - short[-1]) / np.linalg.norm(end) < 0.1
    assert np.linalg.norm(slopes(short[-1], (1, 2))[0]) == pytest.approx(50, rel=1e-3)


def test_descent_and_cascade() -> None:
    numbers = {"parallel": 1.0, "transverse": 0.5, "radius": 0.8, "points": 64, "time": 40.0}
    coarse, fine = (measure_descent(Member({**numbers, "rate": rate}, 3), streams(3)) for rate in (0.04, 0.02))
    assert coarse["drift"] / fine["drift"] == pytest.approx(2, abs=0.2)
    assert coarse["margin"] == pytest.approx(asymmetric_margin.quasi_homogeneous_ball(1.0, 0.5, 0.8)[2], abs=0.01)
    fallen = measure_cascade(Member({"apart": 1.1, "points": 100, "size": 1e4, "horizon": 1e6}, 3), streams(3))
    assert max(fallen.values()) < 0.2


def test_worst_fall() -> None:
    assert worst_fall(np.array([1.0, 2, 1.5, 3])) == 0.25
    assert worst_fall(np.array([1.0, 1, 2])) == 0
    assert np.isnan(worst_fall(np.array([])))


# -- neural collapse -----------------------------------------------------------------------------------------


def test_a_simplex_is_wholly_collapsed() -> None:
    classes = 4
    simplex = torch.eye(classes, dtype=torch.float64) - 1 / classes
    labels = torch.arange(classes).repeat(5)
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).standard_normal((6, 6))))[0][:classes]
    found = neural_collapse(3 * simplex[labels] @ turn + 2.0, labels, 0.1 * simplex @ turn - 1)
    assert found.nc1.item() == pytest.approx(0, abs=1e-12)
    assert found.variance_ratio.item() == pytest.approx(0, abs=1e-12)
    assert found.cosine.item() == pytest.approx(asymmetric_margin.simplex_cosine(classes))
    for zero in (found.cosine_spread, found.length_spread, found.duality):
        assert zero.item() == pytest.approx(0, abs=1e-6)


def test_collapse_against_a_second_implementation() -> None:
    g = np.random.default_rng(4)
    labels, features, readout = g.integers(0, 3, 40), g.standard_normal((40, 5)), g.standard_normal((3, 5))
    found = neural_collapse(torch.from_numpy(features), torch.from_numpy(labels), torch.from_numpy(readout))
    means = np.stack([features[labels == k].mean(0) for k in range(3)])
    centred = means - means.mean(0)
    covariances = [np.cov(features[labels == k].T, bias=True) for k in range(3)]  # each class counts alike
    within, between = np.mean(covariances, 0), centred.T @ centred / 3
    values, vectors = np.linalg.eigh(between)
    inverse = (vectors[:, -2:] / values[-2:]) @ vectors[:, -2:].T  # of rank K - 1
    assert found.nc1.item() == pytest.approx(np.trace(within @ inverse) / 3, rel=1e-12)
    assert found.variance_ratio.item() == pytest.approx(np.trace(within) / np.trace(between), rel=1e-12)
    cosines = [centred[i] @ centred[j] / np.linalg.norm(centred[i]) / np.linalg.norm(centred[j])
               for i in range(3) for j in range(3) if i != j]  # fmt: skip
    assert found.cosine.item() == pytest.approx(np.mean(cosines))
    assert found.cosine_spread.item() == pytest.approx(np.std(cosines))
    weights = readout - readout.mean(0)
    apart = np.linalg.norm(weights / np.linalg.norm(weights) - centred / np.linalg.norm(centred))
    assert found.duality.item() == pytest.approx(apart)
    assert neural_collapse(torch.from_numpy(features), torch.from_numpy(labels)).duality.isnan()


def test_collapse_knows_shifts_scales_and_turns() -> None:
    g = np.random.default_rng(6)
    features, labels = torch.from_numpy(g.standard_normal((30, 4))), torch.from_numpy(g.integers(0, 3, 30))
    turn = torch.linalg.qr(torch.from_numpy(g.standard_normal((4, 4))))[0]
    one, other = neural_collapse(features, labels), neural_collapse(2 * features @ turn + 5, labels)
    for name in ("nc1", "variance_ratio", "cosine", "cosine_spread", "length_spread"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


def test_both_measures_of_variability_by_hand() -> None:
    """Class means at -1 and 1 and samples 0.5 around them, along the means' line or across: NC1 sees the first alone."""
    means = np.array([[-1.0, 0], [-1, 0], [1, 0], [1, 0]])
    for axis, nc1 in ((0, 0.25 / 2), (1, 0.0)):  # tr(S_W S_B^+) / K with S_B = diag(1, 0)
        found = neural_collapse(means + 0.5 * np.eye(2)[axis] * np.array([[1], [-1], [1], [-1]]), [0, 0, 1, 1])
        assert found.nc1.item() == pytest.approx(nc1, abs=1e-15) and found.variance_ratio.item() == pytest.approx(0.25)


def test_classes_count_alike_however_many_samples_they_have() -> None:
    g = np.random.default_rng(7)
    features, labels = g.standard_normal((12, 3)), np.arange(12) % 3
    more = np.flatnonzero(labels == 1)  # one class, each sample five times
    doubled = neural_collapse(np.concatenate([features, *[features[more]] * 4]), [*labels, *[1] * 16])
    for name, value in vars(neural_collapse(features, labels)).items():
        torch.testing.assert_close(getattr(doubled, name), value, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_directions_without_differences_are_no_part_of_nc1(dtype: torch.dtype) -> None:
    """Three class means on a line: their covariance has rank 1, wherever the origin is, and rounding is no second."""
    g = np.random.default_rng(9)
    labels = np.arange(300) % 3
    noise = g.standard_normal((300, 5))
    noise -= np.stack([noise[labels == k].mean(0) for k in range(3)])[labels]
    expected = (noise.sum(1) ** 2).mean() / 5 / (5 * 2 / 3) / 3  # along the line, over the variance of -1, 0, 1
    for offset in (0.0, 1e4):
        found = neural_collapse(torch.from_numpy(noise + labels[:, None] + offset).to(dtype), labels)
        assert found.nc1.item() == pytest.approx(expected, rel=1e-2 if offset and dtype == torch.float32 else 1e-5)


@pytest.mark.parametrize("features", [
    np.zeros((6, 2)), np.full((6, 2), 0.1), [[-1.0, 0], [1, 0], [-2, 0.3], [2, -0.3], [3, 1], [-3, -1]],
    [[0.1 - 1.0, 0], [1.1, 0], [-1.9, 0.3], [2.1, -0.3], [3.1, 1], [-2.9, -1]],
])  # fmt: skip
def test_equal_class_means_have_no_collapse(features: Any) -> None:
    """Also where rounding leaves 1e-17 between them, which no ratio may be taken of; nor is a gradient made of it."""
    rows = torch.tensor(np.array(features), requires_grad=True)
    found = neural_collapse(rows, [0, 0, 1, 1, 2, 2], np.eye(3, 2))
    assert all(value.isnan() for value in vars(found).values())
    (gradient,) = torch.autograd.grad(found.nc1 + found.variance_ratio, rows)
    assert gradient.isnan().all()


def test_collapse_has_gradients() -> None:
    g = np.random.default_rng(8)
    features, readout = (torch.from_numpy(g.standard_normal(s)).requires_grad_() for s in ((9, 4), (3, 4)))
    labels = torch.arange(9) % 3
    for name in ("nc1", "variance_ratio", "cosine", "cosine_spread", "length_spread", "duality"):
        assert torch.autograd.gradcheck(lambda f, w, name=name: getattr(neural_collapse(f, labels, w), name),
                                        (features, readout))  # fmt: skip


def test_training_collapses_a_little_and_is_the_same_again() -> None:
    numbers = {"norm": "layer", "classes": 3, "samples": 60, "width": 16, "rate": 0.1}
    start, end, again = (measure_collapse(Member({**numbers, "steps": n}, 1), streams(1)) for n in (0, 60, 60))
    assert end == again and end["accuracy"] == 1
    assert end["nc1"] < 0.5 * start["nc1"] and end["variance_ratio"] < 0.7 * start["variance_ratio"]
    with pytest.raises(BadInput, match="norm is"):
        measure_collapse(Member({**numbers, "norm": "batch", "steps": 0}, 1), streams(1))


def test_the_ratio_of_runs_from_before_is_never_shown_as_nc1() -> None:
    """They kept one statistic, under another name: its panel is its own, and what they did not read is not shown."""
    stored = load(Path(__file__).parents[1] / "docs" / "gallery" / "stored" / "asymmetric-margin")
    data = dict(stored.data)
    for name in ("collapse", "untrained"):
        was = data[name].drop_vars(["nc1", "variance_ratio"], errors="ignore")
        data[name] = was.assign(variability=data[name]["variance_ratio"]) if "variability" not in was else was
    titles = [panel.title for panel in figures(data, stored.settings)[-1].panels]
    assert titles[0] == "variance within / between classes" and len(titles) == 3
    with pytest.raises(KeyError, match="nc1"):
        stored.study.claims(stored.settings)[-4].effect(data)


# -- the study -----------------------------------------------------------------------------------------------

TINY: dict[str, Any] = {
    "seeds": 2, "transverse": [0.5, 0.9], "points": 64, "size": 300.0, "descent_points": 32, "descent_time": 4.0,
    "samples": 40, "width": 8, "collapse_steps": 20,
}  # fmt: skip


def test_the_study_runs_and_every_claim_is_judged(tmp_path: Any) -> None:
    results = run(study_named("asymmetric-margin"), out=tmp_path / "run", settings=TINY)
    check_results(results)
    assert all(np.isfinite(claim["measured"]) for claim in results.verdicts.to_json())


def test_both_scales_have_the_centres_that_claims_look_up() -> None:
    study = study_named("asymmetric-margin")
    for s in study.scales.values():
        for share in (0.375, 0.625, 0.99, 1.125):
            assert any(np.isclose(t, share * s.radius) for t in s.centres)
        assert study.claims(s)
