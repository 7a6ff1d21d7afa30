"""Every public function of theory refuses, in one sentence, what lies outside its domain; NaN never becomes a number."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from phasescope import BadInput
from phasescope.subjects import public
from phasescope.theory import criticality, parametrizations, transformer_signal
from phasescope.vocabulary import Law

THEORY = public("phasescope.theory")
RNG = np.random.default_rng(0)
BLOCK = criticality.Block("tanh", 1.5, 0.1)
RELU = criticality.Block("relu", 1.2, 0.1)
TOKENS = transformer_signal.TransformerBlock(0.3, 0.3, 1.5)
ADD = (np.arange(5)[:, None] + np.arange(5)) % 5
SUM = {(1, 0): 1, (0, 1): 1}
MUP = parametrizations.named_parametrization("mup", 2)
LAW = Law("a sum", 5, 2, 0.5, 0.0, ADD)
POINTS, MORE, ONE = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 3)), np.array([1.0, 0.5, 0.2])
UNIT = np.array([1.0, 0.0, 0.0])
SQUARE = np.eye(3)
SHARES = np.full((4, 2), 0.5)

# one call of every public function that is right; each argument is then replaced
CALLS: dict[str, dict[str, Any]] = {
    "activation": {"name": "relu"}, "leaky_relu": {"negative_slope": 0.1},
    "custom_activation": {"name": "sine", "value": np.sin, "slope": np.cos, "kinks": ()},
    "gaussian_mean": {"f": np.abs, "scale": 1.0, "kinks": [0.0]},
    "gaussian_pair_mean": {"f": np.sin, "g": np.sin, "scales": (1.0, 1.0), "correlation": 0.5, "kinks": ()},
    **{name: {"states": POINTS, "memories": MORE, "beta": 2.0} for name in
       ("memory_energy", "memory_posterior", "memory_drift", "mixture_log_likelihood")},
    "retrieve": {"states": POINTS, "memories": MORE, "beta": 2.0, "step": 0.5, "steps": 3},
    "mean_shift": {"states": POINTS, "patterns": MORE, "square_bandwidth": 0.5},
    "hopfield_update": {"states": POINTS, "patterns": MORE, "beta": 2.0},
    "separation_needed": {"beta": 1.0, "patterns": 5, "radius": 1.0},
    "sphere_mixture": {"keys": POINTS, "gain": 2.0, "shift": ONE},
    "vmf_log_normalizer": {"concentration": 2.0, "dimension": 3},
    "chance_level": {"law": LAW}, "majority_share": {"law": LAW}, "random_participation": {"p": 23},
    "pure_participation": {},
    "principal_accuracy": {"bayes_accuracy": 0.8, "ratio": 0.1}, "highest_ratio": {"bayes_accuracy": 0.8},
    "covariance_step": {"block": RELU, "first": 1.0, "second": 2.0, "covariance": 0.5},
    "chi_pair": {"block": RELU, "first": 1.0, "second": 2.0, "covariance": 0.5},
    "correlation_step": {"block": RELU, "kernel": 1.0, "correlation": 0.5},
    "correlation_trajectory": {"block": RELU, "kernel": 1.0, "correlation": 0.5, "depth": 2},
    "fixed_correlation": {"block": RELU, "start": 1.0}, "angle_length": {"block": RELU, "start": 1.0},
    "ntk": {"block": RELU, "kernel": 1.0, "correlation": 0.5, "depth": 2},
    "maximal_learning_rate": {"same": 2.0, "other": 0.5, "samples": 3, "outputs": 2},
    **{name: {"block": RELU, "kernel": 1.0} for name in ("kernel_step", "chi_jacobian", "chi_kernel")},
    **{name: {"block": RELU, "start": 1.0, "depth": 2} for name in
       ("kernel_trajectory", "log_apjn", "apjn", "kernel_variance", "singular_value_spread")},
    **{name: {"block": RELU, "start": 1.0} for name in
       ("fixed_kernel", "fixed_chi", "correlation_length", "kernel_length")},
    "phase": {"block": RELU, "start": 1.0, "tolerance": 1e-9},
    "critical_weights": {"phi": "erf", "kernel": 0.5, "norm": "none", "residual": 0.0},
    "critical_bias": {"phi": "erf", "weight_variance": 1.2, "norm": "none", "residual": 0.0},
    "critical_points": {"phi": "erf", "residual": 0.0},
    "critical_exponent": {"block": criticality.Block("relu", 2.0), "kernel": 1.0},
    "stretched_length": {"block": criticality.Block("erf", 1.0, residual=1.0)},
    "relu_gain": {"weight_variance": 2.0, "negative_slope": 0.1},
    "target_scale": {"gain": 2.0, "residual": 0.1}, "contraction": {"rate": 0.1, "gain": 2.0, "residual": 0.1},
    "autoinit_step": {"scale": 1.0, "rate": 0.1, "gain": 2.0, "loss": "log", "residual": 0.1},
    "largest_rate": {"gain": 2.0, "residual": 0.1}, "one_step_rate": {"gain": 2.0, "residual": 0.1},
    "largest_square_rate": {"gain": 2.0, "residual": 0.1, "scale": 1.0},
    "iterations": {"rate": 0.1, "gain": 2.0, "loss": "log", "residual": 0.1, "tolerance": 1e-9, "most": 100},
    "batchnorm_scale_ratio": {"phi": "relu"},
    "scratch_risk": {"samples": 5, "dimension": 9, "noise": 0.1}, "scratch_risk_limit": {"gamma": 0.5, "noise": 0.1},
    "linear_transfer_risk": {"samples": 5, "angle": 1.0, "noise": 0.1},
    "feature_transfer_risk": {"samples": 9, "features": 2, "outside": 0.3, "noise": 0.1},
    "ridge_probe_risk": {"angle": 1.0, "penalty": 0.1},
    "linear_transferability": {"gamma": 0.5, "angle": 1.0, "noise": 0.1},
    "negative_transfer": {"angle": 1.0, "noise": 0.1}, "fine_tuning_transferability": {"gamma": 0.5, "angle": 1.0},
    "kept_share": {"kept": 0.5, "learnt": 1.5, "source": 1.0, "layers": 2},
    "kept_share_limit": {"gamma": 0.5, "noise": 0.1, "layers": 2},
    "balanced_fine_tuning": {"gamma": 2.0, "angle": 1.0, "noise": 0.1, "layers": 2},
    "break_even_angle": {"gamma": 0.5, "noise": 0.1, "layers": 2},
    "finite_source_transferability": {"source_gamma": 2.0, "gamma": 0.5, "angle": 1.0, "source_noise": 0.1},
    "finite_source_break_even": {"source_gamma": 2.0, "source_noise": 0.1},
    "task_divergence": {"angle": 1.0, "noise": 0.1},
    "capacity_bound": {"data": 3, "dimension": 4}, "uniform_percent_error": {"data": 3, "dimension": 4},
    "aligned_bound": {"data": 3, "dimension": 4, "views": 2, "cosine": 0.5}, "two_row_norm": {"angle": 1.0},
    "free_percent_error": {"start": 0.5, "time": [0.0, 1.0], "data": 3, "dimension": 4},
    "stationary_variance": {"correlation": 0.8},
    "waypoints": {"start": ONE, "end": UNIT, "operator": SQUARE, "variance": 2.0, "count": 2},
    "uniform_potential": {"dimension": 4, "t": 2.0},
    "capacity_exponent": {"square_bandwidth": 0.5}, "pair_capacity": {"dimension": 5, "square_bandwidth": 0.5},
    "bulk_capacity": {"dimension": 5, "square_bandwidth": 0.5, "reach": 0.3},
    "memory_capacity": {"dimension": 5, "square_bandwidth": 0.5, "reach": 0.3},
    "expected_memories": {"alpha": 1.0, "points": 5, "discount": 0.1}, "memories_variance": {"alpha": 1.0, "points": 5},
    "seating": {"counts": [2, 1], "alpha": 1.0, "discount": 0.1},
    "creation_logits": {"points": POINTS, "memories": MORE, "counts": [2, 1], "beta": 1.0, "prior_precision": 1.0,
                        "alpha": 1.0, "discount": 0.1, "gaussians": "normalized"},
    "creation_energy": {"points": POINTS, "memories": MORE, "counts": [2, 1], "beta": 1.0, "prior_precision": 1.0,
                        "alpha": 1.0},
    "evidence_bound": {"assignments": SHARES, "logits": SHARES},
    "assignment_flow": {"logits": SHARES, "step": 0.5, "steps": 3, "entropy": True},
    "asymmetric_norm": {"parameters": [POINTS, ONE], "rates": [1.0, 0.5], "highest": False},
    "homogeneous_ball": {"parallel": 1.0, "transverse": 0.3, "radius": 0.5},
    "quasi_homogeneous_ball": {"parallel": 1.0, "transverse": 0.3, "radius": 0.5}, "simplex_cosine": {"classes": 3},
    **{name: {"p": 5, "shots": 3, "distinct": True} for name in
       ("ratio_coverage", "ratio_accuracy", "rank_chances", "span_coverage")},
    "regression_accuracy": {"p": 5, "shots": 3, "distinct": True, "zero": False},
    "pool_bayes": {"pool": ADD, "inputs": [0, 3, 2], "answers": [1, 4, 3], "p": 5},
    "ridge_answers": {"x": POINTS, "y": np.ones(4), "noise": 0.25},
    "dmmse_answers": {"x": POINTS, "y": np.ones(4), "pool": MORE, "noise": 0.25},
    "ridge_error": {"dimension": 4, "shots": 1, "noise": 0.25}, "ridge_error_limit": {"ratio": 2.0, "noise": 0.1},
    "linear_terms": {"p": 5, "coefficients": [1, 2]}, "power_table": {"p": 5, "exponent": 2, "coefficient": 1},
    "sum_weights": {"p": 5, "width": 6, "generator": RNG, "terms": [range(5), range(5)], "outer": range(5),
                    "phase_error": 0.1, "factorial_factor": True},
    "product_weights": {"p": 5, "width": 6, "generator": RNG, "factors": [range(5), range(5)], "outer": range(5),
                        "phase_error": 0.1, "misprinted": False},
    "sum_amplitude": {"terms": 2, "width": 5}, "sum_error_constant": {"terms": 2}, "sum_width_growth": {"terms": 2},
    "expected_sum_error": {"terms": 2, "width": 5},
    "addition_weights": {"p": 5, "width": 6, "generator": RNG, "f": np.square, "g": np.square, "phase_error": 0.1},
    "composed_addition_weights": {"p": 5, "width": 6, "generator": RNG, "outer": np.square, "branches": "one"},
    **{name: {"width": 5} for name in ("unit_logit_scale", "expected_squared_error", "wrong_logit_deviation")},
    "correct_logit_factor": {"phase_error": 0.5}, "expected_accuracy": {"p": 5, "width": 6},
    "width_needed": {"p": 5, "accuracy": 0.9}, "one_branch_accuracy": {"p": 5},
    "first_error": {"variance": 1.0, "inputs": 2, "samples": 9},
    "linear_errors": {"policy": "replace", "fits": 3, "variance": 1.0, "inputs": 2, "samples": 9},
    "error_growth": {"policy": "subsample", "fits": 3}, "subsample_growth": {"fits": 3},
    "gaussian_variances": {"policy": "replace", "fits": 3, "samples": 9}, "gaussian_limit": {"samples": 9},
    "density_variances": {"policy": "accumulate", "fits": 3, "samples": 9, "square_bandwidth": 0.1},
    "typical_variances": {"fits": 3, "samples": 9},
    "corruption_phase": {"train": [0.9, 1.0], "test": 1.0, "corruption": 0.3, "best_test": 1.0},
    "full_inversion_accuracy": {"corruption": 0.3, "p": 5}, "has_partial_inversion": {"corruption": [0.3]},
    "zero_function_loss": {"p": 5},
    "certified_not_additive": {"table": ADD}, "twin_counts": {"table": ADD},
    **{name: {"p": 5, "terms": SUM, "table": ADD} for name in ("additive_form", "multiplicative_form", "learnability")},
    "twin_fraction": {"table": ADD, "train_fraction": 0.5}, "copying_accuracy": {"table": ADD, "train_fraction": 0.5},
    **{name: {"p": 5} for name in ("primitive_root", "power_order", "discrete_logarithms")},
    "require_prime": {"p": 5, "purpose": "a test"},
    "conserved_delta": {"a": 1.0, "w": ONE, "rate_a": 1.0, "rate_w": 1.0}, "split_function": {"beta": ONE, "delta": 0.1},
    "tangent_kernel": {"x": POINTS, "a": 1.0, "w": ONE, "rate_a": 1.0, "rate_w": 1.0},
    "function_flow": {"beta": ONE, "delta": 0.1, "gram": SQUARE, "moment": ONE},
    "whitened_flow": {"times": [0.0, 1.0], "a0": 1.0, "w0": ONE, "target": ONE},
    "basin_edge": {"a": 1.0, "delta": -0.1, "target": ONE}, "bias_potential": {"beta": ONE, "delta": 0.1},
    "bias_tilt": {"beta0": ONE, "delta": 0.1},
    "null_coordinate": {"beta0": ONE, "delta": 0.1, "null": UNIT, "solution": 1.0},
    "product_flow": {"beta": POINTS, "delta": 0.1, "slope": POINTS}, "hyperbolic_entropy": {"values": ONE, "delta": 0.1},
    "least_entropy": {"measurements": RNG.normal(size=(2, 3, 3)), "values": np.ones(2), "delta": 1.0},
    "deep_null_coordinate": {"beta0": ONE, "layers": 3, "null": UNIT, "solution": 1.0},
    "attractivity": {"curvature": 1.0, "noise_curvature": 1.0},
    "collapse_rate": {"drift": 1.0, "noise": 1.0, "step": 0.1}, "collapse_threshold": {"drift": 1.0, "step": 0.1},
    "quartic_density": {"x": ONE, "mu": 1.0, "zeta": 0.5}, "quartic_share_below": {"x": 1.0, "mu": 1.0, "zeta": 0.5},
    "quartic_mean_absolute": {"mu": 1.0, "zeta": 0.5}, "quartic_mean_square": {"mu": 1.0, "zeta": 0.5},
    "quartic_path": {"start": ONE, "increments": POINTS, "mu": 1.0, "zeta": 0.5, "dt": 0.1},
    "critical_singular_value": {"rate": 0.1, "label_noise": 0.5},
    "mode_strength": {"time": ONE, "singular_value": 1.0, "start": 0.1, "critical": 0.1},
    "neuron_threshold": {"x": ONE, "y": ONE},
    "neuron_rates": {"x": ONE, "y": ONE, "noise": 0.5, "slope": 1.0, "step": 0.1},
    **{name: {"block": TOKENS, "size": 1.0, "overlap": 0.5} for name in ("attention_step", "mlp_step")},
    "token_trajectory": {"block": TOKENS, "size": 1.0, "overlap": 0.5, "depth": 2},
    **{name: {"block": TOKENS, "size": 1.0} for name in ("angle_exponent", "mean_gradient_exponent")},
    "gradient_exponent": {"block": TOKENS, "depth": 3}, "collapsed_size": {"block": TOKENS},
    "edge_of_chaos": {"block": TOKENS, "low": 0.01, "high": 10.0}, "settled_correlation": {"block": TOKENS},
    "weak_edge_of_chaos": {"phi": "tanh", "readout_variance": 2.0},
    "Block": {"activation": "relu", "weight_variance": 2.0, "bias_variance": 0.1, "norm": "none", "residual": 0.1,
              "weights": "gaussian"},
    "TransformerBlock": {"attention": 0.3, "mlp": 0.3, "weight_scale": 1.0, "score_scale": 1.0, "tokens": 100.0,
                         "readout_variance": 1.0, "activation": "tanh", "skip": "growing"},
    "meeting_probability": {"dimension": 10, "plane": 4, "ratio": 0.5, "subspace": 2},
    "meeting_dimension": {"dimension": 10, "ratio": 0.5, "subspace": 2},
    "escape_dimension": {"dimension": 10, "squared_width": 4.0}, "cap_width": {"dimension": 10, "ratio": 0.5},
    "Parametrization": {"a": [0.0, 0.5], "b": [0.0, 0.0], "c": 0.5},
    "named_parametrization": {"name": "mup", "hidden": 2, "c": 0.5},
    **{name: {"parametrization": MUP} for name in ("feature_exponent", "regime", "update_exponents")},
    "four_point_vertex": {"widths": [30, 30], "negative_slope": 0.1},
    "guessing_bias": {"block": RELU, "depth": 2, "kernel": 1.0, "correlation": 0.5, "samples": 9},
    "residual_limit": {"phi": "erf", "weight_variance": 1.0, "kernel": 1.0, "correlation": 0.5},
    "nngp": {"block": RELU, "inputs": POINTS, "depth": 2}, "student_limit": {"shape": 3.0, "scale": 2.0},
    "singular_orders": {"at_zero": 0.5, "at_one": 2.0},
}  # fmt: skip
RESULTS = {"Activation", "CriticalPoint", "Estimate", "Form", "Learnability", "Moments", "SphereMixture"}
NAN = float("nan")
WRONG_TYPES: list[Any] = [
    None, "x", lambda: 1, object(), 1j, {}, [None], ["a"], [[1.0], [1.0, 2.0]], b"1", {1: 2}, True, [[[[]]]]
]  # fmt: skip
EXTREMES: list[Any] = [
    float("inf"), -float("inf"), -1, 0, -0.5, 0.5, 10**18, 10**400, -(10**400), 1e300, -1e300, 1e-300, 1e60, 1e-60, 1e9,
    [], [1e300], [float("inf")], [[1e300, 1.0]], [-1.0], [[2.0, 1.0]], np.zeros((2, 2, 2)), np.zeros((3, 3)), np.ones(7),
]  # fmt: skip
MAY_BE_NONE = {"kernel", "size", "outer", "f", "g"}
# documented: NaN accuracies are no high ones, and the phase is then an honest answer
TAKES_NAN = {("corruption_phase", name) for name in ("train", "test", "best_test")}


def cases() -> Iterator[tuple[str, str]]:
    for name, arguments in CALLS.items():
        yield from ((name, argument) for argument in arguments)


def numbers_in(found: Any) -> Iterator[float]:
    if isinstance(found, int | float | np.generic):
        yield float(found)
    elif isinstance(found, np.ndarray):
        yield from map(float, found.ravel())
    elif isinstance(found, dict | list | tuple):
        for part in found.values() if isinstance(found, dict) else found:
            yield from numbers_in(part)


def test_every_public_function_is_called_here() -> None:
    named = {name for name, value in THEORY.items() if callable(value)}
    assert named - RESULTS == set(CALLS)
    for name, arguments in CALLS.items():
        names = [p.name for p in inspect.signature(THEORY[name]).parameters.values() if p.name != "process"]
        assert set(names) <= set(arguments), name
        THEORY[name](**arguments)


def outcome(call: Any, arguments: dict[str, Any]) -> tuple[Any, str]:
    try:
        with np.errstate(all="ignore"):
            return call(**arguments), ""
    except BadInput as error:
        return None, str(error)


def test_a_function_that_takes_no_array_is_refused() -> None:
    functions = [(name, a) for name, arguments in CALLS.items() for a, given in arguments.items() if callable(given)]
    assert len(functions) >= 4
    for name, argument in functions:
        for bad in (lambda: 1.0, lambda values, other: values):
            _, said = outcome(THEORY[name], {**CALLS[name], argument: bad})
            assert said.startswith(argument) and "must be a function of" in said, (name, argument)


@pytest.mark.parametrize(("name", "argument"), list(cases()))
def test_outside_its_domain_it_refuses(name: str, argument: str) -> None:
    call, right = THEORY[name], CALLS[name]
    given = right[argument]
    for bad in [*WRONG_TYPES, NAN, [NAN], [[NAN, 1.0]], *EXTREMES]:
        if (bad is None and argument in MAY_BE_NONE) or (callable(bad) and callable(given)):
            continue
        start = time.perf_counter()
        found, said = outcome(call, {**right, argument: bad})
        assert time.perf_counter() - start < 5, (name, argument, bad)
        assert len(said) <= 400, said
        if said:
            continue
        extreme = any(bad is other for other in EXTREMES)
        named = argument == "purpose" or (argument == "name" and bad == "x")
        listed = (
            argument == "parameters"
            or (bad is True and isinstance(given, bool))
            or (isinstance(bad, dict) and isinstance(given, dict))
        )
        assert extreme or named or listed or (name, argument) in TAKES_NAN, (name, argument, bad, found)
        # a number beyond floats is told as infinite; what is not known is no number
        assert name in MAY_BE_UNKNOWN or not any(value != value for value in numbers_in(found)), (argument, bad, found)


# NaN is their documented answer: no angle breaks even
MAY_BE_UNKNOWN = {"break_even_angle", "finite_source_break_even", "critical_points"}


@pytest.mark.parametrize("name", CALLS)
def test_numbers_of_numpy_are_numbers(name: str) -> None:
    call, right = THEORY[name], CALLS[name]
    if any(isinstance(value, np.random.Generator) for value in right.values()):
        return

    def loose(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return np.int64(value) if isinstance(value, int) else np.float64(value)

    def told(found: Any) -> list[float]:
        return list(numbers_in(found))

    assert told(call(**{k: loose(v) for k, v in right.items()})) == told(call(**right))
