"""Real images as classification tables: scikit-learn's digits always, Fashion-MNIST from its own four files."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np

from phasescope.checks import whole
from phasescope.samples import as_array, inputs_of
from phasescope.tasks.table import Table
from phasescope.vocabulary import Array, BadInput

FASHION = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def images(name: str, pixels: Array, labels: Array, *, train_fraction: float = 0.8) -> Table:
    """Return a table of images (N, height, width) with integer ``labels`` (N,), flattened to float32 (N, S).

    Each image has its mean taken off and is scaled to a mean square of 1, so that the kernel of a first layer does not
    differ between samples. Raises ``BadInput`` for an image without contrast.
    """
    found = inputs_of(pixels, name)
    if found.ndim < 2 or found.size == 0:
        raise BadInput(f"the pixels of {name!r} have shape {found.shape}: give (N, height, width), none of them 0.")
    rows = found.reshape(len(found), -1).astype(np.float64)
    rows -= rows.mean(1, keepdims=True)
    scale = np.sqrt((rows**2).mean(1, keepdims=True))
    if not (scale > 0).all():
        raise BadInput(f"{name!r} has an image without contrast, number {int(np.argmin(scale))}: leave it out.")
    given = as_array(labels, f"the labels of {name!r}")
    if given.size == 0 or given.dtype.kind not in "iu":
        raise BadInput(f"the labels of {name!r} are {given.dtype} of shape {given.shape}: give one integer per image.")
    return Table(name, (rows / scale).astype(np.float32), given, int(given.max()) + 1, train_fraction)


@lru_cache
def digits(train_fraction: float = 0.8) -> Table:
    """Return scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: real images that are always at hand.

    Source: UCI, Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), its test part.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    return images("digits", found.images, found.target, train_fraction=train_fraction)


def fashion_mnist(folder: str | Path, *, samples: int = 70_000, size: int = 28, train_fraction: float = 6 / 7) -> Table:
    """Return Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747) from the ``folder`` of its four idx files (.gz or not).

    The first ``samples`` of training and test images one after the other; ``size`` 28, or 14 or 7 for means over blocks
    of 2 x 2 or 4 x 4 pixels. The split is redrawn per seed. Raises ``BadInput`` for a folder without them.
    """
    if whole(1, 28)("size", size) and 28 % size:
        raise BadInput(f"size is {size}: it must divide 28, for example 28, 14 or 7.")
    parts = [_idx(_file(Path(folder), name)) for name in FASHION]
    pixels, labels = (np.concatenate(both)[:samples] for both in (parts[::2], parts[1::2]))
    block = 28 // size
    pixels = pixels.reshape(-1, size, block, size, block).mean((2, 4))
    return images(f"fashion-mnist {size} x {size}", pixels, labels, train_fraction=train_fraction)


def _file(folder: Path, stem: str) -> Path:
    for name in (f"{stem}-ubyte.gz", f"{stem}-ubyte"):
        if (folder / name).is_file():
            return folder / name
    raise BadInput(f"{folder} has no {stem}-ubyte.gz: name the folder of Fashion-MNIST's four idx files.")


def _idx(path: Path) -> Array:
    """Return an idx file's array of bytes; its header is the rank and the big-endian lengths."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if data[:3] != b"\0\0\x08":
        raise BadInput(f"{path} is no idx file of bytes: fetch it again.")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
