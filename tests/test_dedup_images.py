"""``ps.data.crops`` and how images are read: copies that lost an edge, what is refused, transparency, the command."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

import phasescope as ps
from phasescope.data import crops, pixels
from phasescope.data.crops import _described, _discriminant
from phasescope.vocabulary import BadInput

N, COPIES = 300, 60


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit to a quarter of the copies, which is enough here and quick."""
    monkeypatch.setitem(crops.__globals__, "COPIES", 1000)


@cache
def scenes(seed: int = 0, n: int = N, side: int = 40) -> Any:
    """Return smooth random images (N, side, side), no two alike, from 0 to 1."""
    noise = np.random.default_rng(seed).standard_normal((n, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3))
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    return (smooth - low) / (high - low)


def cut(images: Any, share: float, seed: int = 1) -> Any:
    """Return the images without a share of each side, at a random place, at their old size: by splines, not pillow."""
    generator = np.random.default_rng(seed)
    side = images.shape[1]
    found = []
    for image in images:
        places = [start + np.arange(side) * (1 - share) for start in generator.uniform(0, share * (side - 1), 2)]
        found.append(ndimage.map_coordinates(image, np.meshgrid(*places, indexing="ij"), order=1))
    return np.stack(found)


def planted(embed: Any, copies: Any, epsilon: float) -> tuple[float, float]:
    """Return recall and precision of the pairs found, the copies of the first images behind all."""
    found = ps.dedup(embed(np.concatenate([scenes(), copies])), epsilon=epsilon)
    pairs = found.pairs[found.pairs["cosine"] > 1 - epsilon]
    root = np.concatenate([np.arange(N), np.arange(COPIES)])
    right = root[pairs["i"]] == root[pairs["j"]]
    return right.sum() / COPIES, right.mean() if len(right) else 0.0


def test_copies_that_lost_an_edge_are_found() -> None:
    """A twentieth and a tenth of each side: recall and precision of at least 0.98, where pixels find few."""
    for share, epsilon in ((0.05, 0.15), (0.1, 0.4)):
        copies = cut(scenes()[:COPIES], share)
        recall, precision = planted(lambda images: crops(images).rows, copies, epsilon)
        assert recall >= 0.98 and precision >= 0.98, (share, recall, precision)
    assert planted(pixels, cut(scenes()[:COPIES], 0.1), 0.05)[0] < 0.1


def test_noise_and_light_do_not_matter_much() -> None:
    generator = np.random.default_rng(2)
    copies = np.clip(0.8 * scenes()[:COPIES] + 0.05 * generator.standard_normal((COPIES, 40, 40)), 0, 1)
    recall, precision = planted(lambda images: crops(images).rows, copies, 0.25)
    assert recall >= 0.98 and precision >= 0.98


def test_what_is_foretold_of_cut_copies_comes_true() -> None:
    """The recall that ``Crops.found`` reads off images it was not fitted to is that of copies cut by other code."""
    images = scenes(3)
    copies = cut(images, 0.1, seed=4)
    found = crops(np.concatenate([images, copies]))
    unit = found.rows / np.linalg.norm(found.rows, axis=1, keepdims=True)
    cosines = (unit[:N] * unit[N:]).sum(1)
    for epsilon in (0.1, 0.2, 0.3):
        assert found.found(epsilon)[0.1] == pytest.approx((cosines > 1 - epsilon).mean(), abs=0.12)
    assert found.found(0)[0.05] == 0 and found.found(2)[0.15] == 1


def test_a_description_is_a_histogram_of_directions() -> None:
    """A ramp has one direction in all cells; the same ramp turned has the next quarter; contrast and offset are none."""
    ramp = np.tile(np.arange(32.0, dtype=np.float32), (32, 1))
    right, down, left = _described([ramp, ramp.T.copy(), 5 - 2 * ramp]).reshape(3, 8, 64)
    assert np.allclose((right**2).sum(1), np.eye(8)[0], atol=1e-6)
    assert np.allclose((down**2).sum(1), np.eye(8)[2], atol=1e-6)
    assert np.allclose((left**2).sum(1), np.eye(8)[4], atol=1e-6)
    image = scenes()[0][:32, :32].astype(np.float32)
    plain, bright = _described([image, 3 * image + 7])
    assert np.allclose(plain, bright, atol=1e-4) and np.isclose((plain**2).sum(), 1, atol=1e-5)


def test_directions_count_by_their_reliability() -> None:
    """Between and within that share their axes: each counts by (1 - w / t) / sqrt(t), and none where w is above t."""
    generator = np.random.default_rng(0)
    total, inner = np.array([9.0, 4.0, 1.0, 0.5]), np.array([1.0, 2.0, 0.1, 0.6])
    axes = np.linalg.qr(generator.standard_normal((4, 4)))[0]
    even = [np.linalg.qr(generator.standard_normal((80, 4)))[0] * np.sqrt(80) for _ in range(2)]
    turn = _discriminant(even[0] * np.sqrt(total) @ axes.T, even[1] * np.sqrt(2 * inner) @ axes.T)
    inner = inner + 1e-3 * total.mean()
    sizes = np.abs(axes.T @ turn)
    expected = (1 - inner / total) / np.sqrt(total)
    assert sizes.shape == (4, 3) and np.allclose(np.sort(sizes.max(0)), np.sort(expected[:3]), rtol=1e-4)
    assert np.allclose(sizes[3], 0, atol=1e-4) and (sizes > 1e-4).sum() == 3
    with pytest.raises(BadInput, match="no more from each other"):
        _discriminant(even[0], even[1] * 2)


def test_the_same_images_are_the_same_rows() -> None:
    images = scenes()[:40]
    first, again = crops(images), crops(images.copy())
    assert np.array_equal(first.rows, again.rows) and first.rows.shape == (40, 8)
    assert set(first.cosines) == {0.05, 0.1, 0.15} and str(first) == "40 images in 8 dimensions"


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((0, 8, 8)), "at least one pixel"),
        (np.ones((1, 8, 8)), "1 image"),
        ([], "no image"),
        ("folder", "a list of files"),
        (np.ones((3, 8)), "shape"),
        (np.ones((3, 8, 8)), "image 0 is of one grey, and 2 more"),
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, np.arange(192.0).reshape(3, 8, 8)), "image 1 has a value"),
        (np.full((3, 8, 8), "a"), "real numbers"),
    ],
)
def test_images_that_can_not_be_used_are_named(images: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        pixels(images)


def test_refusals_of_crops() -> None:
    with pytest.raises(BadInput, match="at least 20"):
        crops(scenes()[:19])
    with pytest.raises(BadInput, match=r"cut is 0\.7"):
        crops(scenes(), cut=0.7)
    flat = scenes()[:30].copy()
    flat[7] = 0.5
    with pytest.raises(BadInput, match="image 7 is of one grey:"):
        crops(flat)


def test_transparent_and_deep_images_are_read_as_they_look(tmp_path: Path) -> None:
    """Black on nothing is black on white; 16 bits are not cut at 255."""
    from PIL import Image

    generator = np.random.default_rng(0)
    mask = (generator.random((32, 32)) < 0.5).astype(np.uint8)
    Image.fromarray(np.dstack([np.zeros((32, 32, 3), np.uint8), 255 * mask]), "RGBA").save(tmp_path / "a.png")
    Image.fromarray(255 * (1 - mask)).save(tmp_path / "b.png")
    deep = (1000 * (1 + mask.astype(np.uint16))).astype(np.uint16)
    Image.fromarray(3000 - deep).save(tmp_path / "c.png")
    rows = pixels([tmp_path / f"{name}.png" for name in "abc"])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(unit @ unit.T, 1, atol=1e-5)


def test_command_says_what_it_finds_of_cut_copies(tmp_path: Path) -> None:
    from PIL import Image

    from phasescope.commands.cli import app

    (tmp_path / "in").mkdir()
    images = np.concatenate([scenes()[:120], cut(scenes()[:1], 0.05)])
    for i, image in enumerate(images):
        Image.fromarray((255 * image).astype(np.uint8)).save(tmp_path / "in" / f"{i:03}.png")
    out = tmp_path / "run"
    words = ["dedup", str(tmp_path / "in"), "--embed", "crops", "--epsilon", "0.2", "--out", str(out), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    document = json.loads(done.stdout)
    assert document["kept"] == 120 and document["embed"] == "crops"
    assert document["cut_copies_found"]["0.05"] >= 0.9
    page = (out / "report.html").read_text()
    assert "cut at their edges" in page and "by chance" in page and "Each column is a pair" in page
