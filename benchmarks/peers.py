"""Where scikit-dimension, dadapy, rsatoolbox and resi read something else than ``phasescope``, and why.

    python benchmarks/peers.py [--resi CHECKOUT] [--docs]

Each row is one cloud, the peer's number, ours, and a third number that decides: a closed form, or the paper's formula
written out here. ``--resi`` is a checkout of https://github.com/mklabunde/resi, whose measures are then held to the
invariances that they declare. ``--docs`` writes the table into docs/peers.md. Needs scikit-dimension 0.5.0, dadapy
0.3.4 and rsatoolbox 0.3.2 in the environment; a row whose package is missing says so, and is not written.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import _peers
import phasescope as ps

PAGE = Path(__file__).parents[1] / "docs" / "peers.md"
BLOCK = re.compile(r"(<!-- numbers: peers -->\n).*?(<!-- end of numbers -->)", re.S)
AT = ps.instruments.intrinsic_dimension
Row = Callable[[], "Difference"]


@dataclass(frozen=True)
class Difference:
    """A row: the peer, what is asked, what each reads, what decides, and why they differ."""

    peer: str
    asked: str
    theirs: str
    ours: str
    decides: str
    why: str


def ball() -> Any:
    """Return the cloud to which scikit-dimension's tests pin values: 30 points of a ball of 5 dimensions, in 10."""
    import skdim

    points = np.zeros((30, 10))
    points[:, :5] = skdim.datasets.hyperBall(n=30, d=5, radius=1, random_state=0)
    return points


def line(points: Any, discard: float, first: int) -> float:
    """Return TwoNN by the line of Facco et al. 2017 through (log mu, -log(1 - F)), F = (i - 1 + first) / N."""
    distances = np.sort(np.linalg.norm(points[:, None] - points, axis=2), 1)[:, 1:3]
    kept = int(len(points) * (1 - discard))
    x = np.sort(np.log(distances[:, 1] / distances[:, 0]))[:kept]
    y = -np.log(1 - (np.arange(kept) + first) / len(points))
    return float(x @ y / (x @ x))


def pinned(discard: float, old: float) -> Difference:
    """Return the row of one value that scikit-dimension's tests pinned until 0.3.4."""
    points = ball()
    now = _peers.skdim("TwoNN", discard_fraction=discard)(points)
    one = AT.two_nn(points, discard=discard)
    return Difference(
        "scikit-dimension",
        f"TwoNN of 30 points in a ball of 5 dimensions, {100 * discard:g} % left out",
        f"{old:.5f} pinned in its tests until 0.3.4, {now:.5f} in 0.5.0",
        f"{one.value:.3f} ± {one.error:.3f}",
        f"the paper's line: {line(points, discard, 1):.5f}; with F from 0 on: {line(points, discard, 0):.5f}",
        "the tests had pinned a distribution function that began at 0, which 0.5.0 mends; the rest is that a line is "
        "fitted there and a likelihood is maximized here",
    )


def estimator() -> Difference:
    """Return the row of TwoNN on white noise: line against likelihood."""
    points = np.random.default_rng(0).standard_normal((1000, 10))
    one = AT.two_nn(points)
    return Difference(
        "scikit-dimension",
        "TwoNN of 1,000 points of white noise in 10 dimensions",
        f"{_peers.skdim('TwoNN')(points):.3f}, with `method='mle'` {_peers.skdim('TwoNN', method='mle')(points):.6f}",
        f"{one.value:.6f} ± {one.error:.3f}",
        "10 is the truth; both fall short",
        "its default fits a line, in which few large ratios weigh much; its likelihood is ours",
    )


def gride() -> Difference:
    """Return the row of GRIDE."""
    points = np.random.default_rng(0).standard_normal((200, 3))
    distances = np.sort(np.linalg.norm(points[:, None] - points, axis=2), 1)[:, 1:]
    from scipy import optimize

    ratio = distances[:, 15] / distances[:, 7]

    def loss(d: float) -> float:
        return -float(np.sum(np.log(d) + 7 * np.log(ratio**d - 1) - (15 * d + 1) * np.log(ratio)))

    best = optimize.minimize_scalar(loss, bounds=(0.5, 20), method="bounded", options={"xatol": 1e-10}).x
    one = AT.gride(points, n1=8)
    return Difference(
        "scikit-dimension, dadapy",
        "GRIDE of 200 points in 3 dimensions, neighbours 8 and 16",
        f"{_peers.skdim('GRIDE', n1=8)(points):.4f}; {_peers.dadapy_gride(points, 8)[0]:.4f}",
        f"{one.value:.4f} ± {one.error:.3f}",
        f"the density's maximum: {best:.4f}",
        "both peers set N - 1 for N in one term of the score, which is the unbiased correction for neighbours 1 and 2 "
        "alone: a difference of one part in N",
    )


def error_of_gride() -> Difference:
    """Return the row of GRIDE's error against the spread over clouds."""
    generator = np.random.default_rng(1)
    clouds = [generator.standard_normal((200, 3)) for _ in range(60)]
    values = [AT.gride(cloud, n1=8).value for cloud in clouds]
    theirs = float(np.median([_peers.dadapy_gride(cloud, 8)[1] for cloud in clouds]))
    ours = float(np.median([AT.gride(cloud, n1=8).error for cloud in clouds]))
    return Difference(
        "scikit-dimension, dadapy",
        "the error of that estimate",
        f"{theirs:.3f}",
        f"{ours:.3f}",
        f"spread over 60 clouds: {np.std(values, ddof=1):.3f}",
        "the Fisher information takes the points for independent, but they share neighbours",
    )


def error_of_two_nn() -> Difference:
    """Return the row of dadapy's error of TwoNN."""
    points = np.random.default_rng(0).standard_normal((1000, 10))
    value, error = _peers.dadapy_two_nn(points)
    one = AT.two_nn(points)
    generator = np.random.default_rng(2)
    spread = np.std([AT.two_nn(generator.standard_normal((1000, 10))).value for _ in range(30)], ddof=1)
    return Difference(
        "dadapy",
        "TwoNN of 1,000 points of white noise in 10 dimensions",
        f"{value:.3f} ± {error:.3f}",
        f"{one.value:.3f} ± {one.error:.3f}",
        f"spread over 30 clouds: {spread:.3f}",
        "its error is that over repeated decimations, 0 where nothing is decimated; its value is that of the line",
    )


def duplicates() -> Difference:
    """Return the row of points that were written twice and rounded once."""
    points = np.random.default_rng(0).standard_normal((500, 5)).astype(np.float32) + 3
    again = (points.astype(np.float64) * (1 + 1e-7)).astype(np.float32)
    both = np.concatenate([points, again[:250]])
    clean, one = AT.two_nn(points), AT.two_nn(both)
    return Difference(
        "scikit-dimension, dadapy",
        "TwoNN of 500 points in 5 dimensions, half of them a second time, rounded to float32 once more",
        f"{_peers.skdim('TwoNN', method='mle')(both):.3f}; {_peers.dadapy_two_nn(both)[0]:.3f}",
        f"{one.value:.3f} ± {one.error:.3f}",
        f"without the second copies: {clean.value:.3f}",
        "points that differ by the rounding of their type are one point here, and are counted",
    )


def cosine_of_distances() -> Difference:
    """Return the row of rsatoolbox's cosine."""
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((2, 200, 20))
    found = ps.compare(first, second, measures=["rsa"], draws=2).data
    return Difference(
        "rsatoolbox",
        "unrelated clouds of 200 stimuli in 20 dimensions",
        f"cosine {_peers.rsatoolbox(first, second, 'cosine'):.3f}; rank correlation "
        f"{_peers.rsatoolbox(first, second, 'spearman'):.5f}",
        f"{found.value.item():.5f}, null {abs(found.null_mean.item()):.3f} ± {found.null_sd.item():.3f}",
        "0, over all orders of the stimuli",
        "distances are positive, so that their cosine is high of any two clouds; the rank correlation is ours",
    )


ROWS: tuple[Row, ...] = (
    lambda: pinned(0.1, 4.05496),
    lambda: pinned(0.05, 4.11323),
    estimator,
    gride,
    error_of_gride,
    error_of_two_nn,
    duplicates,
    cosine_of_distances,
)


def resi(checkout: Path) -> Iterator[Difference]:
    """Yield a row for each invariance that a measure of resi declares and does not have, and one with the counts."""
    sys.path.insert(0, str(checkout))
    from repsim import measures

    generator = np.random.default_rng(0)
    first = generator.standard_normal((60, 8)) + 0.5
    second = first @ generator.standard_normal((8, 8)) + generator.standard_normal((60, 8))
    turn = np.linalg.qr(generator.standard_normal((8, 8)))[0]
    linear = generator.standard_normal((8, 8))
    changes = {
        "affine": lambda x: x @ linear + 2,
        "invertible_linear": lambda x: x @ linear,
        "ortho": lambda x: x @ turn,
        "permutation": lambda x: x[:, ::-1].copy(),
        "isotropic_scaling": lambda x: 3 * x,
        "translation": lambda x: x + 2,
    }
    held = tried = 0
    broken, skipped = [], []
    for made in measures.CLASSES:
        try:
            measure = made()
            before = float(measure(first, second, "nd"))
            if float(measure(first, second, "nd")) != before:
                raise ValueError("its value differs from call to call")
        except Exception as error:
            skipped.append(f"{made.__name__} ({type(error).__name__})")
            continue
        for name, change in changes.items():
            if getattr(measure, f"invariant_to_{name}") is not True:
                continue
            tried += 1
            after = float(measure(change(first), second, "nd"))
            if abs(after - before) <= 1e-6 * max(abs(before), 1):
                held += 1
            else:
                broken.append((measure.name, name.replace("_", " "), before, after))
    for name, change, before, after in broken:
        yield Difference(
            "resi", f"{name}, declared invariant to: {change}", f"{before:.4f} before, {after:.4f} after", "-",
            "the same number twice", "the property that is declared is not tested there",
        )  # fmt: skip
    yield Difference(
        "resi", "all declared invariances", f"{held} of {tried} hold", "all of ours are tested",
        "-", f"not run here: {', '.join(skipped) or 'none'}",
    )  # fmt: skip


def main() -> None:
    """Compute the rows, print them, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resi", type=Path)
    parser.add_argument("--docs", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    found, missing = [], []
    for row in ROWS:
        try:
            found.append(row())
        except ImportError as error:
            missing.append(str(error))
    if asked.resi:
        found += list(resi(asked.resi))
    lines = ["| peer | asked | theirs | ours | what decides | why |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {one.peer} | {one.asked} | {one.theirs} | {one.ours} | {one.decides} | {one.why} |" for one in found]
    said = ", ".join(f"{name} {version or 'missing'}" for name, version in _peers.versions().items())
    print("\n".join([*lines, "", said, *missing]))
    if asked.docs:
        if missing or not asked.resi:
            sys.exit("the page is not written: a peer is missing.")
        text = "\n".join([f"Measured with {said}, and resi's main branch, by `benchmarks/peers.py`.", "", *lines])
        PAGE.write_text(BLOCK.sub(lambda m: m[1] + "\n" + text + "\n\n" + m[2], PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
