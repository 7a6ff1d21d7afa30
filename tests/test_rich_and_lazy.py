"""Rich and lazy: wide and deep theory against second routes, the study's measurements against theirs, and the study."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import minimize

from phasescope.ensemble import streams
from phasescope.ensemble.streams import initialized
from phasescope.lab import run, study_named
from phasescope.learners import PowerMLP
from phasescope.studies.rich_and_lazy import neurons, products, relu
from phasescope.studies.rich_and_lazy.neurons import fitting_time, foreseen
from phasescope.testing import check_results
from phasescope.theory import rich_lazy, rich_lazy_wide
from phasescope.vocabulary import Array, BadInput, Member

STUDY = study_named("rich-and-lazy")
FITTED = {-2: 12.1, -1: 7.1, 0: 3.8, 1: 2.2, 2: 1.45, 4: 0.82}
DISTANCES = {-4: 0.871, -2: 0.713, -1: 0.486, 0: 0.200, 1: 0.050, 2: 0.012, 4: 0.0015}
"""delta -> time to 0.1 % loss and kernel distance at time 20, from beta = (-1, 0) to (0, 1): integrated beforehand."""


def any_matrix(*shape: int, seed: int = 0) -> Array:
    return np.asarray(streams(seed)("any").standard_normal(shape))


# -- theory --------------------------------------------------------------------------------------------------


def law_product_flow(velocity: Callable[[Array, float, Array], Array] = rich_lazy_wide.product_flow) -> None:
    """d(A B)/dt by the product rule, for layers whose difference is delta I, of either sign and any shape."""
    for delta, shape in ((1.3, (4, 3)), (-0.7, (3, 4)), (0.4, (3, 3)), (-2.0, (3, 3))):
        rows, columns = shape
        width = min(rows, columns) if rows != columns else rows
        turn = np.linalg.qr(any_matrix(width, width, seed=5))[0]
        other = any_matrix(rows if delta > 0 else columns, width, seed=3)
        # the layer on one side is free, the other is the root of its square plus |delta|
        root = np.linalg.cholesky(other.T @ other + abs(delta) * np.eye(width))
        if delta > 0:
            missing = columns - width
            a, b = other, np.concatenate([root @ turn, np.zeros((width, missing))], 1)
        else:
            a, b = np.concatenate([turn.T @ root.T, np.zeros((rows - width, width))]), other.T
        np.testing.assert_allclose(b @ b.T - a.T @ a, delta * np.eye(width), atol=1e-10)
        slope = any_matrix(*shape, seed=7)
        expected = -(slope @ b.T @ b + a @ a.T @ slope)
        np.testing.assert_allclose(velocity(a @ b, delta, slope), expected, atol=1e-9)


def test_product_flow() -> None:
    law_product_flow()


def test_one_output_is_the_neurons_flow() -> None:
    """A row of one: the neuron's function flow of ``rich_lazy``, along and across beta, where H = K (delta >= 0)."""
    beta, gram, moment = any_matrix(3, seed=1), np.diag([1.0, 2.0, 0.5]), any_matrix(3, seed=2)
    slope = gram @ beta - moment
    for delta in (0.0, 2.0):
        expected = rich_lazy.function_flow(beta, delta, gram, moment)
        np.testing.assert_allclose(rich_lazy_wide.product_flow(beta[:, None], delta, slope[:, None])[:, 0], expected)


def law_entropy(entropy: Callable[[Array, float], float] = rich_lazy_wide.hyperbolic_entropy) -> None:
    """Its second derivative is 1 / sqrt(delta^2 + 4 s^2), its least value 0 at 0; the two limits."""
    for s, delta in ((0.3, 0.5), (2.0, -0.1), (0.0, 3.0)):
        h = 1e-3
        bent = entropy(np.array([s + h]), delta) - 2 * entropy(np.array([s]), delta) + entropy(np.array([s - h]), delta)
        assert bent / h**2 == pytest.approx(1 / math.hypot(delta, 2 * s), rel=1e-3)
    assert entropy(np.zeros(3), 0.7) == pytest.approx(0, abs=1e-15)
    assert entropy(np.array([0.5, 1.0]), 1e4) == pytest.approx(1.25 / 2e4, rel=1e-6)
    assert entropy(np.array([1.0]), 1e-60) == pytest.approx(math.log(1e60) / 2, rel=0.01)


def test_entropy() -> None:
    law_entropy()


@pytest.mark.parametrize("delta", [0.05, -1.0, 10.0])
def test_least_entropy_is_least(delta: float) -> None:
    """A second route: minimize over the matrices that meet the measurements, by their null space."""
    m, y = products.measurements("any", 3, streams(4)("any"))
    found = rich_lazy_wide.least_entropy(m, y, delta)
    np.testing.assert_allclose(np.tensordot(m, found, 2), y, atol=1e-7)
    free = np.linalg.svd(m.reshape(len(y), -1))[2][len(y) :]

    def height(place: Array) -> float:
        return rich_lazy_wide.hyperbolic_entropy(
            np.linalg.svd(found + (place @ free).reshape(3, 3), compute_uv=False), delta
        )

    best = minimize(height, 0.1 * any_matrix(len(free)), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-14})
    np.testing.assert_allclose(best.x, 0, atol=1e-3)


def law_deep(coordinate: Callable[..., float] = rich_lazy_wide.deep_null_coordinate) -> None:
    """Integrated weights of two to four layers end there; two layers are the balanced neuron."""
    for depth in (2, 3, 4):
        found = products.measure_deep(Member({"layers": depth, "width": 2, "horizon": 1e5}, 7), streams(7))
        beta0, _, null, solution = neurons.problem("random", streams(7)("data"))
        assert found["end"] == pytest.approx(coordinate(beta0, depth, null, solution), abs=1e-6)
        assert found["drift"] < 1e-8
    assert coordinate(beta0, 2, null, solution) == pytest.approx(rich_lazy.null_coordinate(beta0, 0.0, null, solution))
    assert coordinate(beta0, 1, null, solution) == pytest.approx(beta0 @ null)


def test_deep() -> None:
    law_deep()
    assert rich_lazy_wide.deep_null_coordinate(np.array([1.0, 0]), 3, np.array([0, 1.0]), 1.0) == 0


def test_the_published_numbers_of_one_neuron() -> None:
    for delta, time in FITTED.items():
        assert fitting_time(delta) == pytest.approx(time, rel=0.02)
    for delta, distance in DISTANCES.items():
        assert foreseen(delta, np.array([20.0]))[1][0] == pytest.approx(distance, abs=1e-3)


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: rich_lazy_wide.hyperbolic_entropy(np.ones(2), 0.0), "delta is 0"),
    (lambda: rich_lazy_wide.hyperbolic_entropy(np.ones(2), math.inf), "delta is inf"),
    (lambda: rich_lazy_wide.least_entropy(np.ones((2, 2, 2)), np.array([1.0, 2.0]), 1.0), "could not be met"),
    (lambda: rich_lazy_wide.deep_null_coordinate(np.zeros(2), 2, np.array([1.0, 0]), 1.0), r"\|beta0\| is 0"),
    (lambda: rich_lazy_wide.deep_null_coordinate(np.ones(2), 0, np.array([1.0, 0]), 1.0), "layers is 0"),
    (lambda: rich_lazy_wide.deep_null_coordinate(np.ones(2), 2, np.ones(2), 1.0), "unit vector"),
    (lambda: products.descend([np.zeros((2, 1)), np.zeros((1, 1))], np.ones((1, 2, 1)), np.ones(1), 1.0), "time 1"),
    (lambda: PowerMLP(5, 4, embed_scale=-1.0), "embed_scale is -1"),
    (lambda: PowerMLP(5, 4, readout_scale=math.inf), "readout_scale is inf"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_one_sentence(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        call()
    assert str(caught.value).count("\n") == 0 and str(caught.value).endswith(".")


# -- measurements --------------------------------------------------------------------------------------------


def test_slopes_are_gradients() -> None:
    """Of |W1 W2 W3 - target|^2 / 2 by autograd."""
    weights = [
        torch.from_numpy(any_matrix(*shape, seed=i)).requires_grad_()
        for i, shape in enumerate([(4, 3), (3, 2), (2, 2)])
    ]
    error = weights[0] @ weights[1] @ weights[2] - torch.from_numpy(any_matrix(4, 2, seed=9))
    expected = torch.autograd.grad(error.square().sum() / 2, weights)
    found = products.slopes([w.detach().numpy() for w in weights], error.detach().numpy())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy())


def descend(net: torch.nn.Module, loss: torch.Tensor, rate: float) -> None:
    parameters = list(net.parameters())
    with torch.no_grad():
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p -= rate * gradient


def law_relu_step(step: Callable[..., tuple[float, relu.Weights]] = relu.step) -> None:
    """Descent by autograd on the mean squared error of the module that the kernels are read of."""
    weights = relu.start(streams(2)("init"), 5, 6, 0.4, 0.3)
    x, y = relu.sphere(streams(2)("data"), 9, 5), any_matrix(9, seed=4)
    net = relu.ReLUStudent(weights)
    for _ in range(3):
        loss = (net(torch.from_numpy(x)) - torch.from_numpy(y)).square().mean()
        descend(net, loss, 0.2)
        found, weights = step(weights, x, y, 0.2)
        assert found == pytest.approx(float(loss.detach()))
    np.testing.assert_allclose(weights[0], net.w.detach().numpy())
    np.testing.assert_allclose(weights[1], net.a.detach().numpy())


def test_relu_step() -> None:
    law_relu_step()


def law_start(start: Callable[..., relu.Weights] = relu.start) -> None:
    """tau^2 = |a||w|, delta = a^2 - |w|^2 per neuron, and a first function of zero."""
    for scale, balance in ((0.1, 1.0), (0.1, -1.0), (0.7, 0.0), (2.0, 0.5)):
        w, a = start(streams(1)("init"), 7, 8, scale, balance)
        lengths = np.linalg.norm(w, axis=1)
        np.testing.assert_allclose(a**2 - lengths**2, balance, atol=1e-9)
        np.testing.assert_allclose(np.abs(a) * lengths, scale**2)
        x = relu.sphere(streams(1)("data"), 5, 7)
        np.testing.assert_allclose(np.maximum(x @ w.T, 0) @ a, 0, atol=1e-12)


def test_start() -> None:
    law_start()


def test_a_student_that_has_not_learnt_has_not_moved() -> None:
    numbers = {"dimension": 6, "width": 4, "samples": 20, "rate": 5e-3, "scale": 0.5, "balance": 0.2}
    still = relu.measure_relu(Member({**numbers, "at": (0,)}, 3), streams(3))
    for name in ("kernel_distance", "flips", "moved"):
        assert still[name] == [0.0]
    assert still["drift"] == still["grown"] == 0
    learnt = relu.measure_relu(Member({**numbers, "at": (0, 60)}, 3), streams(3))
    assert learnt["train_loss"][0] == still["train_loss"][0] > learnt["train_loss"][1]
    assert learnt["moved"][1] > 0 and learnt["kernel_distance"][1] > 0 and learnt["drift"] < learnt["grown"]


def test_the_trained_neuron_follows_the_closed_form() -> None:
    times = (0.0, 0.5, 3.0, 8.0)
    member = Member({"deltas": (-1.0, 0.0, 2.0), "rate": 0.002, "times": times, "samples": 7}, 1001)
    found = neurons.measure_training(member, streams(1001))
    for i, delta in enumerate((-1.0, 0.0, 2.0)):
        loss, distance = foreseen(delta, np.array(times))
        np.testing.assert_allclose(found["loss"][i], loss, atol=2e-3)
        np.testing.assert_allclose(found["kernel_distance"][i], distance, atol=2e-3)
        assert found["fitted"][i] == pytest.approx(fitting_time(delta), rel=0.01)


def test_first_below() -> None:
    values = np.array([1.0, 0.1, 0.001])
    assert neurons.first_below(values, 0.1) == pytest.approx(1)
    assert neurons.first_below(values, 0.01) == pytest.approx(1.5)
    assert neurons.first_below(values, 1.0) == 0 and neurons.first_below(values, 1e-4) == math.inf


def test_flows_and_descents() -> None:
    for rates in ("1 1", "0.5 2"):
        found = neurons.measure_flow(Member({"rates": rates, "horizon": 3.0}, 1002), streams(1002))
        assert found["drift"] < 1e-9 and found["deviation"] < 1e-9 < 1e-3 < found["balanced"]
    drifts = [
        neurons.measure_descent(Member({"rate": rate, "horizon": 5.0}, 1002), streams(1002))["drift"]
        for rate in (0.02, 0.01)
    ]
    assert drifts[0] / drifts[1] == pytest.approx(2, rel=0.05)


def test_a_frozen_kernel_fits_when_its_linear_flow_does() -> None:
    """The error of a neuron whose first kernel stays is expm(-M t) of the first one, M the metric of the start."""
    for delta in (-2.0, 0.0, 4.0):
        beta, eye = neurons.FIRST, np.eye(2)
        metric = np.column_stack([rich_lazy.function_flow(beta, delta, eye, beta + v) for v in eye])
        error = beta - neurons.TARGET
        left = expm(-metric * neurons.frozen_time(delta)) @ error
        assert left @ left / (error @ error) == pytest.approx(1e-3)
    assert neurons.frozen_time(4.0) == pytest.approx(fitting_time(4.0), rel=0.03)  # upstream it all but stays
    assert neurons.frozen_time(-2.0) < 0.7 * fitting_time(-2.0)


def test_turning_the_published_problem_changes_nothing() -> None:
    """Its null coordinate is that of the table, whatever the seed; the solution is that of least squares."""
    for seed in (1, 2):
        beta0, seen, null, solution = neurons.problem("published", streams(seed)("data"))
        assert rich_lazy.null_coordinate(beta0, 1.0, null, solution) == pytest.approx(-0.4063, abs=1e-4)
        assert solution == pytest.approx(math.hypot(0.44, 0.88)) and abs(seen @ null) < 1e-12
    found = neurons.measure_rank_one(
        Member({"problem": "random", "delta": -1.0, "horizon": 200.0}, 1003), streams(1003)
    )
    assert found["end"] == pytest.approx(found["closed"], abs=1e-6)
    assert found["least"] == pytest.approx(found["closed"], abs=1e-6)
    assert abs(found["nearest"] - found["closed"]) > 1e-3  # a kernel that moves ends elsewhere


def test_wide_networks() -> None:
    """The potential is exact for shared singular vectors alone; the function's flow always."""
    for kind, delta in (("shared", 0.1), ("any", 0.1), ("any", -1.0)):
        numbers = {"measurements": kind, "delta": delta, "size": 4, "horizon": 1e6}
        found = products.measure_wide(Member(numbers, 1004), streams(1004))
        assert found["drift"] < 1e-7 and found["function"] < 1e-6 and found["grown"] > 1e-3
        assert (found["entropy"] < 1e-5) == (kind == "shared")


def test_a_mirror_flow_would_be_symmetric() -> None:
    """Why the entropy is not exact: a Hessian's inverse couples u_i v_j and u_j v_i, the metric of the flow does not."""
    s, delta = np.array([1.0, 0.3]), 0.1
    coupled = rich_lazy_wide.product_flow(np.diag(s), delta, np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert coupled[1, 0] == 0 and coupled[0, 1] == pytest.approx(-np.hypot(delta, 2 * s).mean())
    slopes = np.arcsinh(2 * s / delta) / 2
    even, odd = (s[0] - s[1]) / (slopes[0] - slopes[1]), (s[0] + s[1]) / (slopes[0] + slopes[1])
    assert abs(even - odd) > 0.1  # of a spectral potential the two would have to agree


def test_scaled_first_weights() -> None:
    """Scales multiply the same draws; with f^(-1/2) and f the quadratic network's first function stays."""
    plain = initialized(PowerMLP(7, 6), 3)
    up = initialized(PowerMLP(7, 6, embed_scale=0.5, readout_scale=4.0), 3)
    torch.testing.assert_close(up.embed, 0.5 * plain.embed)
    torch.testing.assert_close(up.readout, 4 * plain.readout)
    x = torch.tensor([[0, 3], [5, 6]])
    torch.testing.assert_close(up(x), plain(x))
    assert plain.describe() != up.describe()


def test_quadratic_networks_conserve_their_own_delta() -> None:
    """2 |w|^2 - |u|^2 per neuron, since the network is of degree 2 in u and 1 in w: small steps all but keep it."""
    net = initialized(PowerMLP(5, 4), 3).double()
    x, y = torch.cartesian_prod(torch.arange(5), torch.arange(5)), torch.eye(5).double()

    @torch.no_grad()
    def squares(sign: int) -> torch.Tensor:
        return 2 * net.readout.square().sum(0) + sign * net.embed.square().sum((0, 1))

    before = {sign: squares(sign) for sign in (-1, 1)}
    for _ in range(20):
        descend(net, (net(x) - y[x.sum(1) % 5]).square().sum(), 1e-3)
    kept, changed = (float((squares(sign) - before[sign]).abs().max()) for sign in (-1, 1))
    assert kept < 0.02 * changed


# -- the study -----------------------------------------------------------------------------------------------

TINY: dict[str, Any] = {
    "seeds": 2, "map_seeds": 1, "rate": 0.01, "horizon": 6.0, "records": 4, "wide_size": 4, "wide_deltas": [0.1, 1.0],
    "layers": [2, 3], "dimension": 8, "width": 6, "samples": 30, "scales": [0.1], "balances": [0.5],
    "checkpoints": [5, 20], "p": 7, "addition_width": 16, "addition_steps": 40, "factors": [1.0],
}  # fmt: skip


def test_the_study_runs_and_every_claim_is_judged(tmp_path: Path) -> None:
    results = run(STUDY, out=tmp_path / "run", settings=TINY)
    check_results(results)
    found = {claim["id"]: claim for claim in results.verdicts.to_json()}
    assert found["published-ends"]["measured"] < 1e-3


def test_both_scales_have_the_places_that_claims_look_up() -> None:
    for s in STUDY.scales.values():
        assert STUDY.claims(s)
        assert {0.1, 1.0} <= set(s.all_scales) and {-1.0, 0.0, 1.0} <= set(s.all_balances)
        assert {0.25, 1.0, 4.0} <= set(s.all_factors) and s.times[-1] == pytest.approx(s.horizon)


@pytest.mark.slow
def test_one_student_at_the_size_of_the_paper() -> None:
    """n = 1000, d = 100, 50 neurons, 10,000 steps: loss and Hamming distance within a factor of those of another seed."""
    numbers = {"dimension": 100, "width": 50, "samples": 1000, "rate": 5e-3, "at": (100, 10_000)}
    measured = {1.0: (0.00098, 21.4), 0.0: (0.0097, 18.6), -1.0: (0.0106, 4.7)}
    for balance, (early, flips) in measured.items():
        found = relu.measure_relu(Member({**numbers, "scale": 0.1, "balance": balance}, 100), streams(100))
        assert early / 2 < found["test_loss"][0] < 2 * early
        assert flips / 1.5 < found["flips"][1] < 1.5 * flips
        assert found["drift"] < 1e-2


def test_the_flow_of_a_matrix_ends_where_its_weights_do() -> None:
    """``function_end`` against the weights, with a solver of another kind."""
    m, y = products.measurements("any", 3, streams(8)("any"))
    (a, b), time = products.descend([np.zeros((3, 3)), np.eye(3)], m, y, 1e6)

    def velocity(_: float, z: Array) -> Array:
        beta = z.reshape(3, 3)
        return rich_lazy_wide.product_flow(beta, 1.0, np.tensordot(np.tensordot(m, beta, 2) - y, m, 1)).ravel()

    end = solve_ivp(velocity, (0, time), np.zeros(9), method="DOP853", rtol=1e-8, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(end.reshape(3, 3), a @ b, atol=1e-5)
    np.testing.assert_allclose(products.function_end(m, y, 1.0, time), a @ b, atol=1e-6)
