"""What holds on a CUDA device; run with ``-m gpu`` on a machine that has one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import phasescope as ps

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_first_steps_are_those_of_the_cpu(optimizer: str) -> None:
    """The same streams and the same rule: only rounding may differ between devices."""
    learner = ps.learners.PowerMLP(11, 16, dropout=0.2, batch_norm=True)
    grid = ps.Grid({"weight_decay": [0.0, 0.1], "dropout": [0.0, 0.3]}, seeds=2)
    recipe = ps.Recipe(optimizer=optimizer, lr=0.01, steps=10, records=3, batch=32, momentum=0.5, dtype="float64")
    found = [
        ps.train(learner, ps.tasks.addition(11), grid, recipe, ps.instruments.LEARNING, device=device, engine="stacked")
        for device in ("cpu", "cuda")
    ]
    for name in ("final.embed", "final.readout", "train_loss", "test_loss"):
        np.testing.assert_allclose(found[1][name].values, found[0][name].values, rtol=0, atol=1e-9)
