"""Neural collapse, alignment, uniformity and the MMCR loss against their public formulas, value and gradient.

    python benchmarks/representations.py [--rounds 30] [--json FILE]

References: neural collapse class by class, as a reader of arXiv:2008.08186 writes it; alignment and uniformity as
printed in arXiv:2005.10242, over pairs of views and ``torch.pdist``; MMCR as its authors' repository computes it, views
rearranged to (data, dimensions, views), singular values of the centroids summed and, with a local weight, those of
every datum's views. Told is the median over rounds of CPU time, reference over ours, with the range; above 1 ours is
faster. Both must give the same number and the same gradient, or the script stops.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.instruments.collapse import neural_collapse
from phasescope.instruments.manifolds import alignment, uniformity
from phasescope.losses import mmcr

Measure = Callable[[Tensor], Tensor]


def collapse_reference(classes: int) -> Measure:
    """Return tr(S_W S_B^+) / K of features (N, F) whose labels count round and round."""

    def nc1(features: Tensor) -> Tensor:
        features = features.double()  # in float32 the pseudoinverse of 100 classes has three digits
        parts = [features[k::classes] for k in range(classes)]
        means = torch.stack([part.mean(0) for part in parts])
        middle = means.mean(0)
        within = torch.zeros(features.shape[1], features.shape[1], dtype=features.dtype)
        for part, mean in zip(parts, means, strict=True):
            within = within + (part - mean).T @ (part - mean) / len(features)
        between = (means - middle).T @ (means - middle) / classes
        return (within @ torch.linalg.pinv(between, rtol=1e-12, hermitian=True)).trace().float() / classes

    return nc1


def collapse_ours(classes: int) -> Measure:
    """Return the same by the instrument, which measures all the others too."""
    return lambda features: neural_collapse(features, torch.arange(len(features)) % classes).nc1


def alignment_reference(z: Tensor) -> Tensor:
    """Return the mean squared distance over pairs of views of ``z`` (P, K, D)."""
    unit = torch.nn.functional.normalize(z, dim=-1)
    pairs = itertools.combinations(range(z.shape[1]), 2)
    return torch.stack([(unit[:, i] - unit[:, j]).norm(dim=1).pow(2).mean() for i, j in pairs]).mean()


def uniformity_reference(z: Tensor) -> Tensor:
    """Return the uniformity of ``z`` (N, D) at t = 2."""
    return torch.pdist(torch.nn.functional.normalize(z, dim=-1), p=2).pow(2).mul(-2).exp().mean().log()


def mmcr_reference(z: Tensor, local_weight: float) -> Tensor:
    """Return the loss by the formula of the authors' repository; ``z`` (P, K, D)."""
    local = torch.nn.functional.normalize(z, dim=-1).permute(0, 2, 1)
    loss = -torch.linalg.svdvals(local.mean(-1)).sum()
    if local_weight:
        loss = loss + local_weight * torch.linalg.svdvals(local).sum() / len(z)
    return loss


@dataclass(frozen=True)
class Case:
    """What is timed on standard normal numbers of ``shape``; how far values and gradients may differ (rtol, atol)."""

    title: str
    shape: tuple[int, ...]
    reference: Measure
    ours: Measure
    value: tuple[float, float] = (1e-4, 1e-5)
    gradient: tuple[float, float] = (1e-3, 1e-5)


def mmcr_case(shape: tuple[int, int, int], weight: float) -> Case:
    """Return the MMCR loss of embeddings (P, K, D) with a local weight."""
    return Case(
        f"MMCR, local weight {weight:g}", shape, lambda z: mmcr_reference(z, weight),
        lambda z: mmcr(z, local_weight=weight), (1.3e-6, 1e-5), (1e-3, 1e-4),
    )  # fmt: skip


CASES = (
    Case("neural collapse, 10 classes", (1000, 64), collapse_reference(10), collapse_ours(10)),
    Case("neural collapse, 100 classes", (5000, 512), collapse_reference(100), collapse_ours(100)),
    Case("alignment, 2 views", (512, 2, 128), alignment_reference, alignment),
    Case("alignment, 8 views", (256, 8, 128), alignment_reference, alignment),
    Case("uniformity", (256, 64), uniformity_reference, uniformity),
    Case("uniformity", (2000, 128), uniformity_reference, uniformity),
    *(mmcr_case(shape, w) for shape in ((32, 2, 32), (64, 4, 128), (256, 2, 64), (512, 2, 512)) for w in (0.0, 0.1)),
)


def timed(measure: Measure, z: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return CPU seconds of value and gradient, the value, and the gradient."""
    x = z.clone().requires_grad_()
    started = time.process_time()
    value = measure(x)
    value.backward()
    return time.process_time() - started, value.detach(), x.grad


def main() -> None:
    """Time both in turn, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for case in CASES:
        z = torch.from_numpy(streams(0)("embeddings").standard_normal(case.shape, dtype="float32"))
        (near, close), (steep, flat) = case.value, case.gradient
        ratios = []
        for _ in range(asked.rounds):
            theirs, one, gradient = timed(case.reference, z)
            mine, other, slope = timed(case.ours, z)
            torch.testing.assert_close(one, other, rtol=near, atol=close)
            torch.testing.assert_close(gradient, slope, rtol=steep, atol=flat)
            ratios.append(theirs / mine)
        name = f"{case.title} {case.shape}"
        found[name] = [statistics.median(ratios), min(ratios), max(ratios)]
        print(f"{name}: {found[name][0]:.2f} ({found[name][1]:.2f}-{found[name][2]:.2f})")
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
