"""Learners look at each of their arguments before they make a network."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from phasescope import BadInput, learners

RIGHT: dict[str, dict[str, Any]] = {
    "VGG": {"side": 8, "plan": (4, 0), "outputs": 3, "batch_norm": False},
    "ContextEnergy": {"dimensions": 2, "width": 8, "layers": 1, "heads": 2},
    "Decoder": {"inputs": 5, "outputs": 5, "vectors": False, "width": 8, "layers": 1, "heads": 2, "hidden": 4,
                "activation": "gelu", "positions": "learned", "length": 4, "mask": "causal", "read": "last", "norm": "pre",
                "normalizer": "layer", "bias": True, "tied": True, "init": "gpt2"},
    "DeepLinear": {"inputs": 3, "width": 4, "layers": 2, "outputs": 1, "scale": 1.0, "pretraining": 0,
                   "pretraining_rate": 0.1},
    "DeepMLP": {"p": 5, "width": 4, "layers": 2, "arity": 2, "outputs": 5},
    "DiscreteMMSE": {"pool": np.eye(3), "noise": 0.25},
    "ExactMLP": {"p": 5, "width": 4, "weights": lambda p, n, g: None, "arity": 2, "activation": "quadratic"},
    "ExpertsNetwork": {"experts": [learners.PowerMLP(5, 4), learners.PowerMLP(5, 4)], "adder": learners.PowerMLP(5, 4), "beta": 1.0},
    "KeyedDropout": {"rate": 0.1},
    "MLPMixer": {"channels": 4, "depth": 1, "size": 4, "patch": 2, "hidden": 4, "colours": 3, "outputs": 3,
                 "weight_variance": 1.0, "bias_variance": 0.1, "residual": 1.0},
    "OneLayerTransformer": {"p": 5, "width": 8, "heads": 2, "arity": 2},
    "ModularRegression": {"p": 5}, "RatioMatcher": {"p": 5}, "Ridge": {"noise": 0.25},
    "PoolBayes": {"tables": np.zeros((2, 3, 3), int)},
    "PowerMLP": {"p": 5, "width": 4, "arity": 2, "outputs": 5, "activation": "quadratic", "parametrization": "plain",
                 "dropout": 0.1, "batch_norm": True, "embed_scale": 1.0, "readout_scale": 1.0},
    "ResMLP": {"side": 4, "width": 4, "depth": 1, "patch": 2, "outputs": 3, "layer_scale": 1.0},
    "ResidualConv": {"channels": 4, "depth": 1, "size": 4, "colours": 3, "outputs": 3, "norm": "layer",
                     "weight_variance": 1.0, "bias_variance": 0.1, "residual": 1.0},
    "SignalNetwork": {"width": 4, "depth": 2, "inputs": 3, "outputs": 3, "activation": "relu", "norm": "none",
                      "weight_variance": 1.0, "bias_variance": 0.1, "residual": 0.1, "readout_variance": 1.0,
                      "weights": "gaussian"},
    "SignalTransformer": {"width": 4, "depth": 1, "hidden": 4, "inputs": 4, "side": 2, "outputs": 3,
                          "activation": "tanh", "skip": "preserving", "alpha": 0.5, "sigma_w": 1.0, "sigma_A": 1.0,
                          "sigma_v": 1.0},
}  # fmt: skip
BAD: list[Any] = [None, "no such", 1j, float("nan"), float("inf"), -1, -0.5, 10**30, [None], {}, object(), 0.25j, [[1]]]
SIGNED = {"embed_scale", "readout_scale", "scale", "beta", "layer_scale", "residual", "pretraining_rate"}


def test_every_learner_is_here() -> None:
    classes = {name for name in learners.__all__ if inspect.isclass(getattr(learners, name))}
    assert classes == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_each_argument_is_looked_at(name: str) -> None:
    make, right = getattr(learners, name), RIGHT[name]
    assert set(inspect.signature(make).parameters) == set(right)
    loose = {k: np.int64(v) if type(v) is int else np.float64(v) if type(v) is float else v for k, v in right.items()}
    make(**loose)
    for argument in right:
        for bad in BAD:
            taken = (bad is None and argument in ("hidden", "outputs")) or (argument in SIGNED and bad in (-1, -0.5))
            taken = taken or (argument == "pool" and bad == [[1]])  # a pool of one task of one dimension
            if taken:
                continue
            with pytest.raises(BadInput) as error:
                make(**{**right, argument: bad})
            assert len(str(error.value)) <= 400
