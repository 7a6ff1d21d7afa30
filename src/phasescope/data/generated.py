"""How near generated samples are to real ones: precision and recall of neighbourhoods, and whether to believe them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import as_points, number, whole
from phasescope.ensemble import streams
from phasescope.figures import Axis, Figure, Histogram
from phasescope.vocabulary import Array, BadInput

Tell = Callable[[str, int, int], object]
NUMBERS = 1 << 22  # distances held at once
FOOLED = 0.2
NAMES = ("precision", "recall", "density", "coverage", "symmetric_precision", "symmetric_recall")


@dataclass(frozen=True)
class Quality:
    """What ``quality`` returns: shares between 0 and 1 but ``density``, which is 1 where all is well and may exceed it.

    ``precision``: of generated samples, those within the ball of a real one (its k-th neighbour's distance); ``recall``
    with the roles turned; ``coverage``: of real samples, those with a generated one in their ball;
    ``symmetric_precision`` and ``symmetric_recall``: the lesser of each and its complement. ``null`` is what half of
    the real samples read against the other half. ``audit`` holds precision and recall of that half moved towards
    its mean, and away from it, by the same share: an equal defect, which ``asymmetry`` says they judge differently.
    ``nearest``: distances of generated samples from the nearest real one (M,), and of real ones from another (N,);
    ``copies``: generated samples at distance 0.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    symmetric_precision: float
    symmetric_recall: float
    null: dict[str, float]
    audit: dict[str, tuple[float, float]]
    asymmetry: float
    nearest: dict[str, Array]
    copies: int

    def __str__(self) -> str:
        lines = [
            f"{name.replace('_', ' '):20} {getattr(self, name):.3f}  (real halves: {self.null[name]:.3f})"
            for name in NAMES
        ]
        return "\n".join([*lines, *self.notes()])

    def notes(self) -> list[str]:
        """Return in words what the audit read, the copies, and whether precision and recall may be believed."""
        inner, outer = self.audit["inwards"], self.audit["outwards"]
        lines = [
            f"audit: real samples moved inwards read precision {inner[0]:.2f}, recall {inner[1]:.2f}; moved outwards "
            f"{outer[0]:.2f}, {outer[1]:.2f}"
        ]
        if self.copies:
            lines.append(f"{self.copies:,} generated samples are copies of real ones.")
        if self.asymmetry > FOOLED:
            lines.append(
                "Precision and recall judge equal defects differently in this many dimensions: read the symmetric "
                "ones, or fewer dimensions."
            )
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return a header and a row for each number: its name, value, and what real halves read."""
        rows = [[name.replace("_", " "), f"{getattr(self, name):.3f}", f"{self.null[name]:.3f}"] for name in NAMES]
        return ["number", "generated", "real halves"], rows

    def figure(self) -> Figure:
        """Return a histogram of the distances to the nearest real sample, of generated and of other real samples."""
        series = [("generated", self.nearest["generated"]), ("real", self.nearest["real"])]
        panel = Histogram("Nearest real sample", Axis("distance from the nearest real sample"), series)
        caption = "Generated samples that are nearer than real ones are to each other repeat them; farther ones stray."
        return Figure("nearest", "How near the samples are", caption, [panel])

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as a plain dictionary, of distances the quartiles."""
        numbers = {name: getattr(self, name) for name in (*NAMES, "null", "audit", "asymmetry", "copies")}
        quartiles = {name: np.quantile(found, (0.25, 0.5, 0.75)).tolist() for name, found in self.nearest.items()}
        return {**numbers, "nearest_quartiles": quartiles}


def quality(
    real: Any, generated: Any, *, k: int = 5, moved: float = 0.3, seed: int = 0, on_progress: Tell | None = None
) -> Quality:
    """Return how near ``generated`` (M, D) is to ``real`` (N, D), beside two nulls that say whether to believe it.

    Precision and recall as Kynkäänniemi et al. 2019 (arXiv:1904.06991), density and coverage as Naeem et al. 2020
    (arXiv:2002.09797), the symmetric pair as Khayatkhoei and AbdAlmageed 2023 (arXiv:2306.09618,
    manifmetric/manifmetric.py); balls of the ``k``-th neighbour are open. ``moved`` is the share by which the audit
    moves real samples. Costs (N + M)^2 D; ``on_progress`` is told of each comparison before it. Raises
    ``BadInput`` for fewer than 2 k + 4 real or k + 2 generated samples, and for samples of other dimensions.
    """
    seed = whole()("seed", seed)
    k, moved = whole(1, 10**6)("k", k), number(0, 1, open_low=True, open_high=True)("moved", moved)
    x = as_points("real", real, fewest=2 * k + 4).detach().double().flatten(1)
    y = as_points("generated", generated, fewest=k + 2).detach().double().flatten(1)
    if x.shape[1] != y.shape[1]:
        raise BadInput(f"real samples have {x.shape[1]} numbers, generated ones {y.shape[1]}: give the same.")
    order = torch.from_numpy(streams(seed)("halves").permutation(len(x)))
    one, other = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
    middle = other.mean(0)
    shifted = {"inwards": middle + (1 - moved) * (other - middle), "outwards": middle + (1 + moved) * (other - middle)}
    sets = {"generated": (x, y), "real halves": (one, other)} | {
        f"halves moved {name}": (one, points) for name, points in shifted.items()
    }
    found: dict[str, dict[str, float]] = {}
    distances: dict[str, list[Array]] = {}
    for i, (name, (reals, others)) in enumerate(sets.items()):
        if on_progress is not None:
            on_progress(name, i, len(sets))
        found[name], *distances[name] = _read(reals, others, k)
    audit = {name: found[f"halves moved {name}"] for name in shifted}
    pairs = {name: (read["precision"], read["recall"]) for name, read in audit.items()}
    asymmetry = max(abs(pairs["inwards"][i] - pairs["outwards"][i]) for i in (0, 1))
    nearest = dict(zip(("generated", "real"), distances["generated"], strict=True))
    return Quality(
        **found["generated"], null=found["real halves"], audit=pairs, asymmetry=asymmetry, nearest=nearest,
        copies=int((nearest["generated"] == 0).sum()),
    )  # fmt: skip


def _read(real: Tensor, generated: Tensor, k: int) -> tuple[dict[str, float], Array, Array]:
    """Return the numbers, and how far the nearest real sample is from generated ones (M,) and from real ones (N,)."""
    (inside, nearest), (around, _) = _radii(real, k), _radii(generated, k)
    shape = (len(real), len(generated))
    real_balls = np.zeros(shape[1], np.int64)  # balls of real samples around each generated one
    covered, recalled = np.zeros(shape[0], bool), np.zeros(shape[0], bool)
    complement, from_real = np.zeros(shape[1], bool), np.full(shape[1], np.inf)
    for rows, distances in _blocks(real, generated):
        near, far = (distances < inside[rows, None]).numpy(), (distances < around[None]).numpy()
        real_balls += near.sum(0)
        covered[rows], recalled[rows] = near.any(1), far.any(1)
        complement |= far.any(0)
        from_real = np.minimum(from_real, distances.min(0).values.numpy())
    precision, coverage = float((real_balls > 0).mean()), float(covered.mean())
    recall = float(recalled.mean())
    found = {
        "precision": precision,
        "recall": recall,
        "density": float(real_balls.mean() / k),
        "coverage": coverage,
        "symmetric_precision": min(precision, float(complement.mean())),
        "symmetric_recall": min(recall, coverage),
    }
    return found, from_real, nearest.numpy()


def _radii(points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the distances of each point's k-th and of its first neighbour (N,)."""
    nearest = torch.cat(
        [found.topk(k + 1, dim=1, largest=False).values[:, [k, 1]] for _, found in _blocks(points, points)]
    )
    return nearest[:, 0], nearest[:, 1]


def _blocks(points: Tensor, others: Tensor) -> Any:
    """Yield rows of ``points`` and their distances from all ``others``, by differences where they are near."""
    step = max(1, NUMBERS // len(others))
    for start in range(0, len(points), step):
        part = points[start : start + step]
        yield slice(start, start + len(part)), torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist")
