"""What several test files share: one thread for tiny products, and one small run of the study ``grokking``."""

from __future__ import annotations

import os
import tempfile

# torch's threads wait for each other at the end of each product: on a busy machine tiny products take 100 times as long
os.environ["OMP_NUM_THREADS"] = "1"
# what tests judge is nothing that anybody has seen
os.environ["PHASESCOPE_STATE"] = tempfile.mkdtemp(prefix="phasescope-tests-")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from browsing import launched

torch.set_num_threads(1)

TINY: dict[str, Any] = {
    "p": 7,
    "width": 24,
    "narrow": 4,
    "seeds": 2,
    "fractions": [0.4, 0.5, 0.8, 0.9],
    "steps": 120,
    "adam_steps": 40,
    "decays": [0.0, 5.0],
    "batch_steps": 40,
    "records": 16,
    "polynomial_width": 24,
    "exact_p": 7,
    "exact_width": 40,
    "draws": 2,
}
"""Settings of ``grokking`` that run in a few seconds; they need not support a claim."""


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny_results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The study at tiny scale, run through the Python API."""
    from phasescope import lab

    return lab.run("grokking", out=Path(tmp_path_factory.mktemp("tiny")) / "run", device="cpu", **TINY)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one file of tests: its event loop would be in the way of others."""
    yield from launched()
