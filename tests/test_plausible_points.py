"""Instruments of points and losses take lists, numpy and torch alike, and refuse all else in one sentence."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phasescope import BadInput, losses
from phasescope.instruments import (
    collapse,
    forward_jacobian,
    forward_pass,
    fourier,
    intrinsic_dimension,
    isotropy,
    manifolds,
    neural_tangent_kernel,
    neuron_independence,
    neuron_pruning,
    signal,
    similarity,
)
from phasescope.instruments.partial_jacobian import (
    exact_partial_jacobian,
    exact_partial_norm,
    kernel_slope,
    partial_jacobians,
    signs,
    transfer,
)
from phasescope.instruments.signal import (
    batch_variances,
    dead_shares,
    gradient_norms,
    kernels,
    sample_cosines,
    token_cosines,
)

GENERATOR = np.random.default_rng(5)
POINTS = GENERATOR.normal(size=(24, 3))
OTHER = GENERATOR.normal(size=(24, 4))
VIEWS = GENERATOR.normal(size=(6, 2, 5))
LABELS = np.arange(24) % 4
SQUARE = POINTS @ POINTS.T

# name -> (the function, its arrays by name, its other arguments)
OF_POINTS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "linear_cka": (similarity.linear_cka, {"first": POINTS, "second": OTHER}, {}),
    "neighbour_overlap": (similarity.neighbour_overlap, {"first": POINTS, "second": OTHER}, {"k": 3}),
    "two_nn": (intrinsic_dimension.two_nn, {"points": POINTS}, {"discard": 0.1}),
    "likelihood_dimension": (intrinsic_dimension.likelihood_dimension, {"points": POINTS}, {"k": 4}),
    "distinct": (intrinsic_dimension.distinct, {"points": POINTS}, {"resolution": 1e-6}),
    "participation_ratio": (isotropy.participation_ratio, {"points": POINTS}, {}),
    "isoscore": (isotropy.isoscore, {"points": POINTS}, {}),
    "effective_rank": (isotropy.effective_rank, {"points": POINTS}, {}),
    "outlier_dimensions": (isotropy.outlier_dimensions, {"points": POINTS}, {"factor": 1.01}),
    "capacity_error": (manifolds.capacity_error, {"centroids": POINTS}, {}),
    "spectral_flatness": (manifolds.spectral_flatness, {"centroids": POINTS}, {}),
    "alignment": (manifolds.alignment, {"embeddings": VIEWS}, {}),
    "uniformity": (manifolds.uniformity, {"embeddings": POINTS}, {"t": 2.0}),
    "neural_collapse": (collapse.neural_collapse, {"features": POINTS, "readout": POINTS[:4]}, {"labels": LABELS}),
    "kernel_distance": (neural_tangent_kernel.kernel_distance, {"one": SQUARE, "other": SQUARE + np.eye(24)}, {}),
    "pattern_distance": (neural_tangent_kernel.pattern_distance, {"one": POINTS, "other": POINTS + 0.5}, {}),
    "neuron_vectors": (
        neuron_independence.neuron_vectors,
        {"incoming": POINTS, "outgoing": OTHER.T, "bias": POINTS[:, 0]},
        {},
    ),
    "neuron_groups": (neuron_independence.neuron_groups, {"vectors": POINTS}, {"small": 0.1, "close": 0.2}),
    "independent_neurons": (
        neuron_independence.independent_neurons,
        {"incoming": POINTS, "outgoing": OTHER.T},
        {"close": 0.2},
    ),
    "mean_cosine": (signal.mean_cosine, {"vectors": POINTS}, {}),
    "centroids": (losses.centroids, {"embeddings": VIEWS}, {}),
    "mmcr": (losses.mmcr, {"embeddings": VIEWS}, {"local_weight": 0.1}),
    "contrastive": (losses.contrastive, {"left": VIEWS[:, 0], "right": VIEWS[:, 1]}, {"temperature": 0.1}),
}
# what stays NaN where an entry is NaN, because a network that diverged is no reason to stop
KEEP_NAN = {"kernel_distance", "pattern_distance", "centroids", "contrastive"}


def flat(found: Any) -> np.ndarray[Any, Any]:
    parts = found.__dict__.values() if hasattr(found, "__dict__") and not isinstance(found, torch.Tensor) else [found]
    return np.concatenate([np.ravel(torch.as_tensor(part).detach().double().numpy()) for part in parts])


@pytest.mark.parametrize("name", OF_POINTS)
def test_lists_numpy_and_torch_are_the_same_points(name: str) -> None:
    call, arrays, others = OF_POINTS[name]
    truth = flat(call(**{k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}, **others))
    assert len(truth)
    ways: list[Callable[[Any], Any]] = [np.asarray, np.ndarray.tolist, lambda v: np.asfortranarray(v)[::-1][::-1]]
    for way in ways:
        np.testing.assert_array_equal(flat(call(**{k: way(v) for k, v in arrays.items()}, **others)), truth)
    # integers of any type are the numbers that they are
    small = {k: np.rint(4 * v).astype(np.int16) for k, v in arrays.items()}
    exact = flat(call(**{k: v.astype(np.float64) for k, v in small.items()}, **others))
    np.testing.assert_array_equal(flat(call(**small, **others)), exact)
    np.testing.assert_array_equal(flat(call(**{k: torch.from_numpy(v) for k, v in small.items()}, **others)), exact)


@pytest.mark.parametrize("name", [name for name in OF_POINTS if name != "distinct"])
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_reckoned_in_more(name: str, half: torch.dtype) -> None:
    call, arrays, others = OF_POINTS[name]
    halves = {k: torch.from_numpy(np.array(v)).to(half) for k, v in arrays.items()}
    found = flat(call(**halves, **others))
    np.testing.assert_allclose(found, flat(call(**{k: v.float() for k, v in halves.items()}, **others)), rtol=1e-5)


REFUSED, NAN = "refused", float("nan")
# what each reads of one row, of rows that are all ones, and of zeros
NOTHING: dict[str, tuple[Any, Any, Any]] = {
    "linear_cka": (REFUSED, REFUSED, REFUSED), "neighbour_overlap": (REFUSED, REFUSED, REFUSED),
    "two_nn": (REFUSED, REFUSED, REFUSED), "likelihood_dimension": (REFUSED, REFUSED, REFUSED), "distinct": (0, 0, 0),
    "participation_ratio": (REFUSED, REFUSED, REFUSED), "isoscore": (REFUSED, REFUSED, REFUSED),
    "effective_rank": (REFUSED, REFUSED, REFUSED), "outlier_dimensions": (REFUSED, REFUSED, REFUSED),
    "capacity_error": (1 - np.linalg.norm(POINTS[0]), 0, 1), "spectral_flatness": (1, 3**-0.5, NAN),
    "alignment": (2 - 2 * VIEWS[0, 0] @ VIEWS[0, 1] / np.prod(np.linalg.norm(VIEWS[0], axis=1)), 0, NAN),
    "uniformity": (REFUSED, 0, NAN), "neural_collapse": (REFUSED, [NAN] * 6, [NAN] * 6),
    "kernel_distance": (REFUSED, 0, NAN), "pattern_distance": ((POINTS[0] * (POINTS[0] + 0.5) < 0).sum(), 0, 0),
    "neuron_vectors": (np.r_[POINTS[0], POINTS[0, 0], OTHER.T[0]], np.ones(24 * 8), np.zeros(24 * 8)),
    "neuron_groups": (0, [0] * 24, [-1] * 24), "independent_neurons": (1, 1, 0), "mean_cosine": (NAN, 1, NAN),
    "centroids": ((VIEWS[0] / np.linalg.norm(VIEWS[0], axis=1)[:, None]).mean(0), np.full(30, 5**-0.5), np.zeros(30)),
    "mmcr": (losses.mmcr(VIEWS[:1], local_weight=0.1), 0.1 * 2**0.5 - 6**0.5, 0),
    "contrastive": (0, np.log(6), np.log(6)),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_POINTS)
def test_what_is_read_where_there_is_little_to_read(name: str) -> None:
    call, arrays, others = OF_POINTS[name]
    cases = {
        "one row": {k: v[:1] for k, v in arrays.items()},
        "ones": {k: np.ones_like(v) for k, v in arrays.items()},
        "zeros": {k: np.zeros_like(v) for k, v in arrays.items()},
    }
    for (case, given), expected in zip(cases.items(), NOTHING[name], strict=True):
        options = {k: v[:1] if k == "labels" and case == "one row" else v for k, v in others.items()}
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64):
            if case == "one row" and dtype != torch.float64 and not isinstance(expected, str):
                continue  # its entries are no longer the same numbers
            tensors = {k: torch.from_numpy(np.array(v)).to(dtype) for k, v in given.items()}
            if isinstance(expected, str):
                with pytest.raises(BadInput):
                    call(**tensors, **options)
                continue
            found = flat(call(**tensors, **options))
            np.testing.assert_allclose(found, np.ravel(expected), atol=1e-12 if dtype == torch.float64 else 1e-6)
    with pytest.raises(BadInput, match="shape"):
        call(**{k: v[:0] for k, v in arrays.items()}, **others)


@pytest.mark.parametrize("name", [name for name in OF_POINTS if name != "distinct"])
def test_far_from_the_origin_float32_is_read_as_the_numbers_that_it_holds(name: str) -> None:
    call, arrays, others = OF_POINTS[name]
    far = {k: torch.from_numpy(np.array(v) + 1e4).float() for k, v in arrays.items()}
    found, exact = (flat(call(**{k: to(v) for k, v in far.items()}, **others)) for to in (Tensor.float, Tensor.double))
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)
    if name in ("linear_cka", "two_nn", "likelihood_dimension", "participation_ratio", "isoscore", "effective_rank",
                "neural_collapse", "neighbour_overlap"):  # fmt: skip
        near = flat(call(**arrays, **others))  # they do not look at the origin
        np.testing.assert_allclose(exact, near, rtol=2e-2)


def test_uniformity_has_the_digits_of_float64() -> None:
    for points in (POINTS, GENERATOR.normal(size=(300, 7))):
        directed = points / np.linalg.norm(points, axis=1, keepdims=True)
        distances = ((directed[:, None] - directed[None]) ** 2).sum(-1)[np.triu_indices(len(points), 1)]
        expected = np.log(np.exp(-2 * distances).mean())
        assert float(manifolds.uniformity(points)) == pytest.approx(expected, rel=1e-14)


WRONG: list[Any] = [
    None, "points", lambda x: x, 3.0, [], [[]], [[1.0, 2.0], [3.0]], [["a"]], np.zeros((24, 3), bool), 1j * POINTS,
    torch.zeros(2, 2, 2, 2, 2, 0), {"a": 1}, object(), [[10**400, 1.0]], torch.zeros(24, 3, device="meta"),
    np.array([None]), [None], np.float64(2), torch.ones(3).to_sparse(),
]  # fmt: skip


@pytest.mark.parametrize("name", OF_POINTS)
def test_what_is_no_array_of_numbers_is_refused(name: str) -> None:
    call, arrays, others = OF_POINTS[name]
    for argument in arrays:
        for wrong in WRONG:
            if wrong is None and argument in ("readout", "bias"):
                continue
            with pytest.raises(BadInput) as error:
                call(**{**arrays, argument: wrong}, **others)
            assert len(str(error.value)) <= 400


@pytest.mark.parametrize("name", OF_POINTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_row_or_stays_missing(name: str, value: float) -> None:
    call, arrays, others = OF_POINTS[name]
    for argument, array in arrays.items():
        broken = np.array(array)
        broken[(2, *[0] * (broken.ndim - 1))] = value
        if name in KEEP_NAN:
            assert (name == "pattern_distance" and np.isinf(value)) or np.isnan(
                flat(call(**{**arrays, argument: broken}, **others))
            ).any()
            continue
        with pytest.raises(BadInput) as error:
            call(**{**arrays, argument: broken}, **others)
        assert name == "mmcr" or ("2" if array.ndim < 3 else "0") in str(error.value)


@pytest.mark.parametrize("name", OF_POINTS)
@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_scale_beyond_squares_makes_no_other_number(name: str, scale: float) -> None:
    call, arrays, others = OF_POINTS[name]
    if (
        name in ("capacity_error", "mean_cosine", "neural_collapse", "uniformity", "alignment", "pattern_distance")
        or name in losses.__all__
    ):
        return
    truth = flat(call(**arrays, **others))
    if name == "neuron_vectors":
        truth = truth * scale
    np.testing.assert_allclose(flat(call(**{k: v * scale for k, v in arrays.items()}, **others)), truth, rtol=1e-6)


BAD_OPTIONS: list[Any] = [
    None, "x", lambda: 1, np.nan, np.inf, -1, -np.inf, 10**400, 1e300, [], [1.0], object(), True, 1j, np.zeros(2)
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name, (_, _, others) in OF_POINTS.items() if others])
def test_options_out_of_range_are_refused(name: str) -> None:
    call, arrays, others = OF_POINTS[name]
    for option, given in others.items():
        for bad in BAD_OPTIONS:
            if bad is None and option == "resolution":
                continue
            start = time.perf_counter()
            with pytest.raises(BadInput):
                call(**arrays, **{**others, option: bad})
            assert time.perf_counter() - start < 5
        loose = given if option == "labels" else np.asarray(given)
        np.testing.assert_array_equal(flat(call(**arrays, **{**others, option: loose})), flat(call(**arrays, **others)))


def test_labels_of_any_integer_type() -> None:
    truth = flat(collapse.neural_collapse(POINTS, torch.from_numpy(LABELS)))
    for labels in (
        LABELS.tolist(),
        LABELS.astype(np.uint8),
        LABELS.astype(np.int32),
        torch.tensor(LABELS).to(torch.int16),
    ):
        np.testing.assert_array_equal(flat(collapse.neural_collapse(POINTS, labels)), truth)
    wrong: list[Any] = [
        LABELS - 1,
        LABELS + 0.5,
        LABELS[:-1],
        LABELS > 1,
        [[0, 1]],
        LABELS * 10**9,
        LABELS * np.nan,
        "ab",
    ]
    for labels in wrong:
        with pytest.raises(BadInput, match="label"):
            collapse.neural_collapse(POINTS, labels)


NET = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
OF_PASSAGES: list[Callable[[Any], Any]] = [
    kernels, batch_variances, sample_cosines, token_cosines,
    dead_shares, lambda f: kernel_slope(f, "0", "2"),
    lambda f: exact_partial_norm(f, "0", "2"), lambda f: exact_partial_jacobian(f, "0", "2"),
    lambda f: transfer(f, "0", "2", generator=GENERATOR),
    lambda f: partial_jacobians(f, [("0", "2")], generator=GENERATOR),
]  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [None, "nowhere", NET, POINTS, lambda x: x], ids=["None", "word", "module", "array", "function"]
)
def test_what_is_no_passage_or_no_module_is_refused(wrong: Any) -> None:
    for read in OF_PASSAGES:
        with pytest.raises(BadInput):
            read(wrong)
    batch = torch.ones(2, 3)
    if wrong is not NET:
        for call in (
            lambda: neural_tangent_kernel.tangent_kernel(wrong, batch),
            lambda: gradient_norms(wrong, batch, generator=GENERATOR),
            lambda: forward_pass.passage(wrong, batch, ["0"]).__enter__(),
            lambda: forward_pass.untouched(wrong).__enter__(),
        ):
            with pytest.raises(BadInput):
                call()
    with pytest.raises(BadInput), forward_pass.passage(NET, batch, ["0", "2"]) as found:
        kernel_slope(found, "0", wrong)
    with pytest.raises(BadInput), forward_pass.passage(NET, batch, wrong):
        pass
    with pytest.raises(BadInput), forward_pass.passage(NET, batch, ["0", "2"]) as found:
        partial_jacobians(found, wrong, generator=GENERATOR)
    with pytest.raises(BadInput), forward_pass.passage(NET, batch, ["0", "2"]) as found:
        partial_jacobians(found, [("0", "2")], generator=wrong)
    with pytest.raises(BadInput):
        forward_jacobian.jacobian_profile(wrong, batch, GENERATOR) if wrong is not NET else signs(NET, GENERATOR)
    with pytest.raises(BadInput):
        forward_jacobian.push_forward(NET, wrong, batch)
    with pytest.raises(BadInput):
        forward_jacobian.push_forward(NET, batch, wrong)
    if wrong is not POINTS:
        with pytest.raises(BadInput):
            neural_tangent_kernel.tangent_kernel(NET, wrong)
    with pytest.raises(BadInput):
        neuron_pruning.pruning(wrong)
    with pytest.raises(BadInput):
        neuron_pruning.pruning(shares=wrong)
    with pytest.raises(BadInput):
        neuron_independence.independence(neurons=wrong)
    with pytest.raises(BadInput):
        fourier.participation_in_basis(wrong, "log")


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_readings_of_passages_in_half_precision(half: torch.dtype) -> None:
    """The network computes in halves; what is read of it does not: sums of halves would be off in the third digit."""
    module, batch = copy.deepcopy(NET).to(half), torch.from_numpy(POINTS).to(half)
    blind = [signal.kernels, signal.batch_variances, signal.sample_cosines]
    with forward_pass.passage(module, batch, ["0", "2"]) as found:
        values = [read(found).value for read in blind]
        found.values = {name: value.double() for name, value in found.values.items()}
        for value, read in zip(values, blind, strict=True):
            torch.testing.assert_close(value, read(found).value)
            assert value.dtype == torch.float64
    wide = copy.deepcopy(module).double()
    for other in (
        lambda m, x: neural_tangent_kernel.tangent_kernel(m, x),
        lambda m, x: torch.tensor(list(signal.gradient_norms(m, x, generator=np.random.default_rng(0)).values())),
        lambda m, x: torch.stack(forward_jacobian.jacobian_profile(list(m), x, np.random.default_rng(0))),
    ):
        torch.testing.assert_close(other(module, batch), other(wide, batch.double()), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("wrong", [torch.ones(0, 3), torch.ones(2, 3).long()], ids=["empty", "integer"])
def test_empty_and_integer_batches_are_refused(wrong: Tensor) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: forward_pass.passage(NET, wrong, ["0"]).__enter__(),
        lambda: neural_tangent_kernel.tangent_kernel(NET, wrong),
        lambda: signal.gradient_norms(NET, wrong, generator=GENERATOR),
        lambda: signal.gradient_norms(NET, wrong, generator=GENERATOR, loss=lambda out: out.sum()),
        lambda: forward_jacobian.jacobian_profile([NET], wrong, GENERATOR),
        lambda: forward_jacobian.push_forward(NET, wrong, torch.ones(2, 3)),
        lambda: forward_jacobian.push_forward(NET, torch.ones(2, 3), wrong),
    ]
    for call in calls:
        with pytest.raises(BadInput):
            call()


def test_a_tangent_kernel_takes_numpy() -> None:
    inputs = POINTS[:3]
    found = neural_tangent_kernel.tangent_kernel(NET, inputs)
    torch.testing.assert_close(found, neural_tangent_kernel.tangent_kernel(NET, torch.from_numpy(inputs).float()))
    with pytest.raises(BadInput, match="refuses"):
        neural_tangent_kernel.tangent_kernel(NET, np.zeros((2, 5)))


def test_losses_can_still_be_differentiated_and_mapped() -> None:
    z = torch.from_numpy(VIEWS).bfloat16().requires_grad_()
    losses.mmcr(z).backward()
    assert z.grad is not None
    assert z.grad.dtype == torch.bfloat16
    many = torch.from_numpy(np.stack([VIEWS, VIEWS + 1]))
    torch.testing.assert_close(torch.func.vmap(losses.mmcr)(many), losses.mmcr(many))
