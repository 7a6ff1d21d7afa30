"""Real images as tables: normalized rows, a split per seed, and a reader of idx files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from phasescope.ensemble import streams, train
from phasescope.instruments import LEARNING
from phasescope.learners import SignalNetwork
from phasescope.tasks import digits, fashion_mnist
from phasescope.vocabulary import BadInput, Grid, Member, Recipe


def test_digits_are_normalized_and_split() -> None:
    task = digits()
    assert task.inputs.shape == (1797, 64) and task.classes == 10
    np.testing.assert_allclose(task.inputs.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose((task.inputs**2).mean(1), 1, rtol=1e-5)
    draw = task.draw(Member({}, 1), streams(1))
    assert len(draw.train) == 1438 and not set(draw.train) & set(draw.test)


def idx(path: Path, values: np.ndarray) -> None:
    head = b"\0\0\x08" + bytes([values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(gzip.compress(head + values.astype(np.uint8).tobytes()))


def test_fashion_mnist_reads_its_four_files(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels, labels = generator.integers(0, 255, (12, 28, 28)), np.arange(12) % 10
    for part in ("train", "t10k"):
        idx(tmp_path / f"{part}-images-idx3-ubyte.gz", pixels)
        idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    small = fashion_mnist(tmp_path, size=14)
    assert small.inputs.shape == (24, 196) and (small.labels[:12] == labels).all()
    blocks = pixels[0].reshape(14, 2, 14, 2).mean((1, 3)).ravel()
    np.testing.assert_allclose(small.inputs[0], (blocks - blocks.mean()) / blocks.std(), rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInput, match="must divide 28"):
        fashion_mnist(tmp_path, size=9)
    with pytest.raises(BadInput, match="has no train-images"):
        fashion_mnist(tmp_path / "nowhere")


def test_a_deep_network_learns_digits_side_by_side_with_one_that_can_not() -> None:
    net = SignalNetwork(32, 6, inputs=64, activation="tanh")
    recipe = Recipe(optimizer="sgd", lr=0.1, batch=64, steps=150, records=3, loss="cross_entropy")
    data = train(net, digits(), Grid({"weight_variance": (0.05, 1.2)}, seeds=2), recipe, LEARNING)
    end = data.test_accuracy.isel(step=-1)
    assert (end.sel(weight_variance=1.2) > 0.8).all() and (end.sel(weight_variance=0.05) < 0.5).all()
