"""The rest of ``phasescope.data``: influence by refitting, precision, recall and SSIM by loops, chance by drawing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from phasescope.data import chance_pairs, false_discovery, influence, quality, ssim
from phasescope.vocabulary import BadInput


def table(kind: str, n: int = 30) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, 4))
    y = x @ [1, -1, 0.5, 0] + generator.standard_normal(n)
    return x, np.where(y > 0, 1.0, -1.0) if kind == "logistic" else y, generator.standard_normal((5, 4))


def fitted(x: Any, y: Any, kind: str, penalty: float, n: int) -> Any:
    """Return the weights by a general optimizer, with the penalty of ``n`` rows."""

    def loss(w: Any) -> float:
        f = x @ w
        each = (f - y) ** 2 if kind == "ridge" else np.logaddexp(0, -y * f)
        return float(each.sum() + penalty * n * w @ w)

    return optimize.minimize(loss, np.zeros(x.shape[1]), method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
@pytest.mark.parametrize("penalty", [1e-3, 0.3])
def test_contributions_sum_to_predictions_of_the_optimum(kind: Any, penalty: float) -> None:
    x, y, at = table(kind)
    found = influence(x, y, at, kind=kind, penalty=penalty)
    assert np.allclose(found.contributions.sum(1), found.predictions, atol=1e-9)
    assert np.allclose(found.weights, fitted(x, y, kind, penalty, 30), atol=1e-5)


def test_removal_is_refitting() -> None:
    x, y, at = table("ridge")
    found = influence(x, y, at, penalty=0.05)
    for i in range(30):
        rest = np.arange(30) != i
        w = np.linalg.solve(x[rest].T @ x[rest] + 0.05 * 30 * np.eye(4), x[rest].T @ y[rest])
        assert np.allclose(found.removal[:, i], at @ w - found.predictions, atol=1e-12)
    x, y, at = table("logistic", 60)
    found = influence(x, y, at, kind="logistic", penalty=0.05)
    exact = np.stack(
        [
            at @ fitted(x[np.arange(60) != i], y[np.arange(60) != i], "logistic", 0.05, 60) - found.predictions
            for i in range(60)
        ]
    )
    assert np.corrcoef(found.removal.T.ravel(), exact.ravel())[0, 1] > 0.99
    assert np.abs(found.removal.T - exact).max() < 0.15 * np.abs(exact).max()


def test_flipped_labels_speak_against_their_own() -> None:
    """The share of a row's own contribution: mislabelled rows are carried by themselves, and lose by it."""
    x, _, _ = table("ridge", 200)
    y = np.where(x[:, 0] > 0, 1.0, -1.0)
    flipped = np.random.default_rng(1).choice(200, 20, replace=False)
    y[flipped] *= -1
    found = influence(x, y, kind="logistic", penalty=0.01)
    hardness = -(y * (found.predictions - np.diag(found.contributions)))
    assert np.isin(flipped, np.argsort(-hardness)[:40]).mean() > 0.8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"X": [[1.0, np.nan]], "y": [1.0]}, "X has the entry nan"), ({"X": [[1.0], [2.0]], "y": [1.0]}, "one number"),
        ({"X": [[1.0], [2.0]], "y": [0.0, 1.0], "kind": "logistic"}, "y has 0"), ({"X": [[1.0]], "y": [1.0], "at": [[1.0, 2.0]]}, "2 columns"),
        ({"X": [[1.0]], "y": [1.0], "penalty": 0}, "penalty is 0"),
    ],
)  # fmt: skip
def test_refusals_of_influence(given: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        influence(given.pop("X"), given.pop("y"), given.pop("at", None), **given)


# -- generated samples -------------------------------------------------------------------------------------------------


def sphere(seed: int, n: int, d: int, radius: float = 1.0) -> Any:
    points = np.random.default_rng(seed).standard_normal((n, d))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


def by_loops(real: Any, made: Any, k: int) -> dict[str, float]:
    def radius(points: Any) -> Any:
        return np.sort(np.linalg.norm(points[:, None] - points, axis=2), 1)[:, k]

    between = np.linalg.norm(real[:, None] - made, axis=2)
    near, far = between < radius(real)[:, None], between < radius(made)[None]
    precision, recall, coverage = near.any(0).mean(), far.any(1).mean(), near.any(1).mean()
    return {
        "precision": precision, "recall": recall, "density": near.sum() / (k * len(made)), "coverage": coverage,
        "symmetric_precision": min(precision, far.any(0).mean()), "symmetric_recall": min(recall, coverage),
    }  # fmt: skip


def test_quality_by_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = sphere(0, 60, 3), sphere(1, 45, 3, 1.1)
    for numbers in (1 << 22, 200):
        monkeypatch.setattr("phasescope.data.generated.NUMBERS", numbers)
        found = quality(real, made, k=3)
        for name, value in by_loops(real, made, 3).items():
            assert getattr(found, name) == pytest.approx(value), name


def test_equal_defects_are_judged_differently_in_many_dimensions() -> None:
    """Spheres of radius 0.7 and 1.3 beside 1 (64 dimensions): opposite verdicts, which the symmetric pair has not."""
    real = sphere(0, 600, 64)
    inner, outer = (quality(real, sphere(seed, 600, 64, radius)) for seed, radius in ((1, 0.7), (2, 1.3)))
    assert inner.precision > 0.99 and inner.recall < 0.01
    assert outer.precision < 0.05 and outer.recall > 0.99
    assert abs(inner.symmetric_precision - outer.symmetric_precision) < 0.05
    assert inner.asymmetry > 0.9 and "judge equal defects differently" in str(inner)
    flat = quality(sphere(0, 600, 2), sphere(1, 600, 2))
    assert flat.asymmetry < 0.2 and flat.precision > 0.9 and flat.null["precision"] > 0.9


def test_copies_and_nearest_samples() -> None:
    """Each generated sample's nearest real one by loops; five of them are real samples."""
    real, made, told = sphere(0, 60, 3), sphere(1, 45, 3), []
    made[:5] = real[:5]
    found = quality(real, made, k=3, on_progress=lambda *said: told.append(said))
    assert found.copies == 5 and "5 generated samples are copies" in str(found)
    far = np.linalg.norm(np.asarray(made)[:, None] - np.asarray(real)[None], axis=-1)
    np.testing.assert_allclose(found.nearest["generated"], far.min(1), atol=1e-12)
    apart = np.linalg.norm(np.asarray(real)[:, None] - np.asarray(real)[None], axis=-1) + np.diag([np.inf] * 60)
    np.testing.assert_allclose(found.nearest["real"], apart.min(1), atol=1e-12)
    assert [said[1:] for said in told] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert quality(real, sphere(2, 45, 3), k=3).copies == 0


def test_the_command_quality(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are those of ``ps.data.quality``, as text, JSON and page; texts and other files are refused."""
    from phasescope.commands.cli import main

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phasescope", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    real, made = np.asarray(sphere(0, 60, 3)), np.asarray(sphere(1, 45, 3))
    for name, rows in (("real", real), ("made", made)):
        np.save(tmp_path / f"{name}.npy", rows)
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    places = [str(tmp_path / name) for name in ("real.npy", "made.npy")]
    code, out, _ = call("quality", *places, "--k", "3", "--json", "--out", str(tmp_path / "out"))
    assert code == 0
    assert json.loads(out)["precision"] == quality(real, made, k=3).precision
    assert (tmp_path / "out" / "report.html").is_file() and (tmp_path / "out" / "quality.json").is_file()
    for words, said in (([str(tmp_path / "texts.txt"), places[1]], "has texts"), ([*places, "--k", "0"], "k is 0")):
        code, _, err = call("quality", *words, "--out", str(tmp_path / "none"))
        assert (code, err.count("\n")) == (2, 1) and said in err
    assert not (tmp_path / "none").exists()


def test_refusals_of_quality() -> None:
    with pytest.raises(BadInput, match="real"):
        quality(sphere(0, 10, 3), sphere(1, 60, 3))
    with pytest.raises(BadInput, match="3 numbers, generated ones 4"):
        quality(sphere(0, 60, 3), sphere(1, 60, 4))
    with pytest.raises(BadInput, match="seed is -1"):
        quality(sphere(0, 60, 3), sphere(1, 60, 3), seed=-1)


# -- chance ------------------------------------------------------------------------------------------------------------


def test_chance_by_drawing() -> None:
    for d, n, cosine in ((3, 5, 0.7), (16, 200, 0.6), (2, 3, 0.9)):
        generator = np.random.default_rng(d)
        hits = []
        for _ in range(2000):
            points = generator.standard_normal((n, d))
            hits.append((points[:, 0] / np.linalg.norm(points, axis=1) > cosine).any())
        p = false_discovery(d, n, cosine)
        assert abs(np.mean(hits) - p) < 4 * np.sqrt(p * (1 - p) / 2000)
    points = sphere(0, 1500, 8)
    above = np.triu(points @ points.T > 0.8, 1).sum()
    assert chance_pairs(8, 1500, 0.8) == pytest.approx(above, rel=0.15)
    assert false_discovery(5, 10, 0) == pytest.approx(1 - 0.5**10) and false_discovery(5, 10, 1) == 0


# -- SSIM ------------------------------------------------------------------------------------------------------------


def waves() -> tuple[Any, Any]:
    i, j = np.mgrid[:24, :31]
    image = 0.5 + 0.4 * np.sin(i / 3) * np.cos(j / 5)
    return image, np.clip(image + 0.1 * np.sin(i * j / 7), 0, 1)


def window_by_window(image: Any, other: Any, first: float, second: float) -> Any:
    """Return the three factors (3, H - 10, W - 10): each window on its own, weighted, in two passes."""
    bell = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    weights = np.outer(bell, bell) / np.outer(bell, bell).sum()
    found = np.empty((3, image.shape[0] - 10, image.shape[1] - 10))
    for i, j in np.ndindex(*found.shape[1:]):
        x, y = (values[i : i + 11, j : j + 11] for values in (image, other))
        m, n = (weights * x).sum(), (weights * y).sum()
        s, t = np.sqrt((weights * (x - m) ** 2).sum()), np.sqrt((weights * (y - n) ** 2).sum())
        v = (weights * (x - m) * (y - n)).sum()
        found[:, i, j] = (
            (2 * m * n + first) / (m * m + n * n + first),
            (2 * s * t + second) / (s * s + t * t + second),
            (v + second / 2) / (s * t + second / 2),
        )
    return found


def test_ssim_by_loops_and_by_another_program() -> None:
    image, other = waves()
    found = ssim(image, other, highest=1)
    factors = np.stack([found.luminance, found.contrast, found.structure])
    np.testing.assert_allclose(factors, window_by_window(image, other, 1e-4, 9e-4), atol=1e-12)
    v = 0.7849971945746858  # scikit-image 0.26.0: gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    assert found.mean == pytest.approx(v, rel=1e-12) == pytest.approx(found.map.mean(), rel=1e-12)
    assert ssim(255 * image, 255 * other, highest=255).mean == pytest.approx(v, rel=1e-12)
    assert ssim(image, image, highest=1).map == pytest.approx(1, abs=1e-12)
    assert "SSIM 0.785" in str(found)


def test_ssim_is_undefined_for_one_grey_without_constants() -> None:
    """0.7 is no float: its window's variance is 0 only if rounding is kept out of it."""
    grey, black, image = np.full((12, 13), 0.7), np.zeros((12, 13)), waves()[0][:12, :13]
    for one, other, defined in ((grey, grey, 1), (black, black, 0), (grey, image, 1)):
        found = ssim(one, other, highest=1, constants=(0, 0))
        assert np.isfinite(found.luminance).all() == defined and np.isnan(found.structure).all()
        assert np.isnan(found.mean)
    assert ssim(grey, grey, highest=1).mean == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": np.zeros((10, 30))}, r"image has the shape \(10, 30\)"),
        ({"other": np.zeros((12, 12, 3))}, r"other has the shape \(12, 12, 3\)"),
        ({"other": np.zeros((12, 13))}, "give two of one shape"),
        ({"other": np.full((12, 12), 2.0)}, r"other has greys from 2 to 2: they must lie in \[0, 1\]"),
        ({"image": np.full((12, 12), np.nan)}, "image has greys from nan"),
        ({"highest": 0}, "highest is 0"),
        ({"constants": (0.01,)}, "constants is .*give two numbers"),
        ({"constants": (0.01, -1)}, "constants is -1"),
    ],
)
def test_refusals_of_ssim(given: dict[str, Any], words: str) -> None:
    flat = np.zeros((12, 12))
    with pytest.raises(BadInput, match=words):
        ssim(**{"image": flat, "other": flat, "highest": 1, **given})
