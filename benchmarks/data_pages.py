"""The numbers and pictures of docs/dedup.md and docs/scores.md.

python benchmarks/data_pages.py [--only texts,images,cuts,mail,scores] [--out docs/images]

First `phasescope data mail`, `phasescope data fashion-mnist` and `phasescope data emoji`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

import phasescope as ps
from dedup import planted, quality
from phasescope.data import crops, pixels, shingles, tfidf
from phasescope.data.pictures import Pictures
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.report import png
from phasescope.store.data import data_folder
from phasescope.tasks import fashion_mnist

STRENGTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
EPSILONS = (0.2, 0.3, 0.4, 0.5)
CHANGES = {"cut": (0.02, 0.05, 0.1, 0.15, 0.2), "noise": (0.02, 0.05, 0.1), "brightness": (0.2,)}
PRECISION = 0.98


def texts(out: Path) -> None:
    """Recall and precision of planted copies over the share of words that were changed."""
    found = {}
    for name, embed in (("tfidf", tfidf), ("shingles of 2", lambda t: shingles(t, words=2))):
        for strength in STRENGTHS:
            data, root = planted(5000, strength, 0)
            pairs = ps.dedup(embed(data), epsilon=max(EPSILONS)).pairs
            for epsilon in EPSILONS:
                near = pairs[pairs["cosine"] > 1 - epsilon]
                found[name, strength, epsilon] = quality(zip(near["i"], near["j"], strict=True), root)
                print(
                    name, strength, epsilon, *(f"{value:.4f}" for value in found[name, strength, epsilon]), flush=True
                )
    panels = []
    for name in ("tfidf", "shingles of 2"):
        lines = [
            Line(f"epsilon {epsilon}", np.array(STRENGTHS), np.array([found[name, s, epsilon][0] for s in STRENGTHS]))
            for epsilon in EPSILONS
        ]
        panels.append(
            Curves(f"By {name}", Axis("share of words changed"), Axis("copies found", limits=(0, 1.02)), lines)
        )
    figure = Figure(
        "dedup", "Planted copies of texts that are found", "5,000 texts, 500 copies; precision is 1.", panels
    )
    (out / "dedup.png").write_bytes(png(figure, 100))


def images() -> None:
    """Recall and precision of planted copies of digits: brighter, noisy, shifted by a pixel."""
    plain = load_digits().images
    chance = ps.streams(0)("images")
    rows = chance.choice(len(plain), 180, replace=False)
    changes = {
        "brightness and contrast": lambda x: 0.7 * x + 3,
        "noise of 0.5 of 16": lambda x: x + 0.5 * chance.standard_normal(x.shape),
        "noise of 1 of 16": lambda x: x + chance.standard_normal(x.shape),
        "cut by a pixel at the left": lambda x: np.concatenate([x[:, :, 1:], np.zeros((len(x), 8, 1))], 2),
    }
    for name, change in changes.items():
        pairs = ps.dedup(pixels(np.concatenate([plain, change(plain[rows])]), side=8), epsilon=0.2).pairs
        root = np.concatenate([np.arange(len(plain)), rows])
        for epsilon in (0.01, 0.02, 0.03, 0.05):
            near = pairs[pairs["cosine"] > 1 - epsilon]
            recall, precision = quality(zip(near["i"], near["j"], strict=True), root)
            print(f"{name:28} {epsilon}: recall {recall:.3f} precision {precision:.3f}", flush=True)


def changed(images: Any, change: str, strength: float, chance: np.random.Generator) -> Any:
    """Return images (N, H, W) from 0 to 255 that lost a share of each side, with noise, or brighter or darker."""
    if change == "noise":
        return np.clip(images + 255 * strength * chance.standard_normal(images.shape), 0, 255).astype(np.float32)
    if change == "brightness":
        sign = chance.choice([-1, 1], len(images))[:, None, None]
        return np.clip(images * (1 + strength * sign), 0, 255).astype(np.float32)
    found = []
    for image in images:
        height, width = image.shape
        left, top = chance.uniform(0, strength * width), chance.uniform(0, strength * height)
        box = (left, top, left + (1 - strength) * width, top + (1 - strength) * height)
        found.append(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box))
    return np.clip(np.stack([np.asarray(one, np.float32) for one in found]), 0, 255)


def recall_at(pairs: Any, root: Any, originals: int, own: bool) -> tuple[float, float]:
    """Return recall at the largest epsilon at which precision is 0.98, and that; ``own``: pairs of originals count."""
    counted = pairs if own else pairs[(pairs["i"] >= originals) | (pairs["j"] >= originals)]
    right = root[counted["i"]] == root[counted["j"]]
    good = np.flatnonzero(np.cumsum(right) / np.arange(1, len(right) + 1) >= PRECISION)
    if not len(good):
        return 0.0, 0.0
    return float(right[: good[-1] + 1].sum() / (len(root) - originals)), float(1 - counted["cosine"][good[-1]])


def cuts(out: Path) -> None:
    """Recall of planted copies of images over the share cut off, noise and brightness, at a precision of 0.98."""
    fashion = fashion_mnist(data_folder("fashion-mnist"), samples=3000).inputs.reshape(-1, 28, 28)
    low, high = fashion.min((1, 2), keepdims=True), fashion.max((1, 2), keepdims=True)
    files = sorted(data_folder("emoji").rglob("*.png"))
    pictures = Pictures(files)
    emoji = np.stack([pictures[row] for row in range(len(pictures))])
    emoji = emoji[emoji.min((1, 2)) < 128]  # light ones would be all white once they are brighter
    emoji = emoji[ps.dedup(pixels(emoji), epsilon=0.1).kept]
    sets = {"Fashion-MNIST, 28 pixels": 255 * (fashion - low) / (high - low), "emoji, 64 pixels": emoji}
    ways: dict[str, Callable[[Any], Any]] = {"crops": lambda x: crops(x).rows, "pixels": pixels}
    panels = []
    for name, images in sets.items():
        rows = ps.streams(0)("copies").choice(len(images), 300, replace=False)
        root = np.concatenate([np.arange(len(images)), rows])
        curves: dict[str, list[float]] = {}
        for change, strengths in CHANGES.items():
            for strength in strengths:
                chance = ps.streams(0)(f"{change} {strength}")
                both = np.concatenate([images, changed(images[rows], change, strength, chance)])
                for way, embed in ways.items():
                    pairs = ps.dedup(embed(both), epsilon=0.9).pairs
                    told = []
                    for own in (True, False):
                        recall, epsilon = recall_at(pairs, root, len(images), own)
                        told.append(f"{recall:.3f} (epsilon {epsilon:.3f})")
                        label = f"{way}, {'all pairs count' if own else 'own pairs do not'}"
                        if change == "cut":
                            curves.setdefault(label, []).append(recall)
                    fixed = "  ".join(_fixed(pairs, root, epsilon) for epsilon in (0.05, 0.1, 0.2, 0.3, 0.4))
                    print(f"{name} {len(images)} {change} {strength}: {way} {told[0]}, own apart {told[1]}; {fixed}",
                          flush=True)  # fmt: skip
        lines = [Line(label, np.array(CHANGES["cut"]), np.array(values)) for label, values in curves.items()]
        panels.append(Curves(name, Axis("share of each side cut off"), Axis("copies found", limits=(0, 1.02)), lines))
    caption = "300 copies; at the largest epsilon at which 98 % of the pairs found are copies and their images."
    figure = Figure("dedup_images", "Copies of images that were cut and scaled back", caption, panels)
    (out / "dedup_images.png").write_bytes(png(figure, 100))


def _fixed(pairs: Any, root: Any, epsilon: float) -> str:
    near = pairs[pairs["cosine"] > 1 - epsilon]
    recall, precision = quality(zip(near["i"], near["j"], strict=True), root)
    return f"{epsilon}: {recall:.3f} / {precision:.3f}"


def mail() -> None:
    """True duplicates among mail: by tf-idf, against sets of 5-word shingles with a Jaccard index of at least 0.8."""
    files = sorted(data_folder("mail").glob("spam-2-*.txt"))
    bodies = [path.read_text("latin-1").split("\n\n", 1)[-1] for path in files]
    kept = [i for i, body in enumerate(bodies) if body.strip()]
    data = [bodies[i] for i in kept]
    rows = shingles(data).toarray().astype(np.float32) if len(data) < 100 else shingles(data)
    both = np.asarray((rows @ rows.T).todense(), np.float64)
    sizes = np.asarray(rows.sum(1)).ravel()
    jaccard = np.triu(both / (sizes[:, None] + sizes[None] - both), 1)
    true = jaccard >= 0.8
    near = true | true.T
    print(f"{len(data)} mails, {int(true.sum())} pairs with J >= 0.8, {near.any(0).mean():.1%} have one")
    for epsilon in (0.05, 0.1, 0.2, 0.3):
        begun = time.perf_counter()
        found = ps.dedup(tfidf(data), epsilon=epsilon, texts=data, name="spam-2")
        seconds = time.perf_counter() - begun
        gone = np.setdiff1d(np.arange(len(data)), found.kept)
        right = near[gone].any(1).mean()
        pairs = found.pairs[found.pairs["cosine"] > 1 - epsilon]
        ok = near[pairs["i"], pairs["j"]].mean()
        left = near[np.ix_(found.kept, found.kept)].sum() // 2
        print(f"epsilon {epsilon}: {len(found.kept)} kept, {found.exact_copies} exact, {found.differing} by chains")
        copies = f"{right:.1%} of those gone, {ok:.1%} of nearest pairs"
        print(f"  with a shingle copy: {copies}; {left} shingle pairs left; {seconds:.1f} s")
    print(ps.dedup(tfidf(data), epsilon=0.1, texts=data, name="spam-2"))


def scores(out: Path) -> None:
    """1,000 digits, a tenth of the labels wrong, 16 seeds; and without wrong labels, for coherence."""
    digits, chance = load_digits(), ps.streams(0)("labels")
    rows = chance.permutation(len(digits.data))[:1000]
    x, y = digits.data[rows] / 16, digits.target[rows].copy()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    wide = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    recipe = ps.Recipe(optimizer="sgd", lr=0.05, momentum=0.9, steps=4000, batch=None, loss="cross_entropy", records=60)
    clean = ps.scores(wide, x, y, seeds=3, recipe=recipe, name="digits")
    print(clean, "\n")
    flipped = np.arange(100)
    y[flipped] = (y[flipped] + chance.integers(1, 10, 100)) % 10
    begun = time.perf_counter()
    found = ps.scores(net, x, y, seeds=16, name="digits, 100 labels wrong")
    print(f"{time.perf_counter() - begun:.1f} s")
    print(found)
    for by, (area, share) in found.judged(flipped).items():
        print(f"{by:14} AUC {area:.3f}  precision at 100 {share:.2f}  halves {found.agreement(by)[0]:.3f}")
    print("orders", found.order())
    figure = found.figure()
    panels = [*figure.panels[:2], *clean.figure().panels[2:]]
    (out / "scores.png").write_bytes(png(Figure("scores", figure.title, figure.caption, panels), 100))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="texts,images,cuts,mail,scores")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    asked = parser.parse_args()
    only = asked.only.split(",")
    if "texts" in only:
        texts(asked.out)
    if "images" in only:
        images()
    if "cuts" in only:
        cuts(asked.out)
    if "mail" in only:
        mail()
    if "scores" in only:
        scores(asked.out)


if __name__ == "__main__":
    main()
