"""What the uniformity of embeddings says, and does not see; and waypoints between representations of a time series."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble import drawing, streams
from phasescope.instruments.isotropy import effective_rank
from phasescope.instruments.manifolds import uniformity
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.representation import uniformity_w2
from phasescope.theory.gauss_markov import stationary_variance, waypoints
from phasescope.theory.manifold_capacity import uniform_potential
from phasescope.verdict import Source
from phasescope.vocabulary import Array


def embeddings(used: int, dimensions: int = 256, points: int = 1200) -> Array:
    """Return points on the unit sphere that use ``used`` of the dimensions alike."""
    found = np.zeros((points, dimensions))
    found[:, :used] = streams(1)("points", used).standard_normal((points, used))
    unit: Array = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


@statement(
    "003-050",
    "The uniformity metric hardly sees that embeddings collapse into a half or a quarter of their dimensions",
    Source(
        paper="Fang et al. 2024, arXiv:2403.00642, abstract",
        derived="theory.manifold_capacity.uniform_potential of the dimensions that are left",
        tolerance="the scatter of 1,200 points",
        checked=True,
    ),
)
def blind_to_collapse() -> Iterator[Compared]:
    """256, 128 and 64 of 256 dimensions used: the metric, which reaches from -4 to 0, beside a rank that sees it."""
    values = {used: float(uniformity(embeddings(used))) for used in (256, 128, 64)}
    for used, value in values.items():
        yield near(f"uniformity with {used} of 256 dimensions", value, uniform_potential(used), 0.005)
    yield at_most("change of uniformity from 256 to 64 dimensions", values[64] - values[256], 0.1)
    ranks = [float(effective_rank(embeddings(used))) for used in (256, 64)]
    yield near("effective rank from 256 to 64 dimensions, octaves lost", math.log2(ranks[0] / ranks[1]), 2, 0.1)


@statement(
    "003-050",
    "The Wasserstein distance from even embeddings sees that dimensions are lost",
    Source(
        paper="Fang et al. 2024, arXiv:2403.00642, the metric that is proposed",
        derived="sqrt(2 - 2 sqrt(k / m)) for k of m dimensions used alike, many points",
        tolerance="what 4,000 points leave open",
    ),
)
def distance_sees_collapse() -> Iterator[Compared]:
    """128 and 64 of 256 dimensions, and all of them."""
    for used in (128, 64):
        expected = math.sqrt(2 - 2 * math.sqrt(used / 256))
        found = uniformity_w2(embeddings(used, points=4000))
        yield near(f"distance with {used} of 256 dimensions", found, expected, 0.01)
    yield at_most("distance with all of them", uniformity_w2(embeddings(256, points=4000)), 0.15)


CORRELATION, ANGLE, STEPS = 0.8, 0.7, 800
ENDS = [[(one, np.zeros(2)) for one in np.eye(2)], [(np.zeros(2), one) for one in np.eye(2)]]
TURN = np.array([[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]])
SEEN = 0.5 * np.stack([np.cos(np.arange(6) * math.pi / 6), np.sin(np.arange(6) * math.pi / 6)])  # the axes


def observed(generator: np.random.Generator, rows: int) -> Tensor:
    """Return three steps (3, N, 6) of x_next = r R x + sqrt(1 - r^2) noise in the plane, tanh along six axes."""
    hidden = [generator.standard_normal((rows, 2))]
    for _ in range(2):
        noise = math.sqrt(1 - CORRELATION**2) * generator.standard_normal((rows, 2))
        hidden.append(CORRELATION * hidden[-1] @ TURN.T + noise)
    return torch.tensor(np.tanh(np.stack(hidden) @ SEEN), dtype=torch.float32)


def contrasted(seed: int) -> tuple[Array, Array, Array]:
    """Return observations (3, 20000, 6), their representations (3, 20000, 2) and A, learnt to tell what comes next.

    The energy -|A psi_now - psi_next|^2 / 2 is compared over the 256 futures of a batch, for each present.
    """
    generators = streams(seed)
    with drawing(seed):
        net = nn.Sequential(nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
        operator = nn.Parameter(torch.eye(2))
    optimizer = torch.optim.Adam([*net.parameters(), operator], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    generator = generators("batches")
    for _ in range(STEPS):
        now, then = net(observed(generator, 256)[:2])
        energy = now @ operator.T @ then.T - then.square().sum(1) / 2  # what is left out is of the present alone
        loss = nn.functional.cross_entropy(energy, torch.arange(256))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    seen = observed(generators("fresh"), 20_000)
    with torch.no_grad():
        return seen.numpy(), net(seen).double().numpy(), operator.double().numpy()


def kurtosis(values: Array) -> Array:
    """Return the kurtosis of each column, 3 for Gaussians."""
    centred = values - values.mean(0)
    found: Array = (centred**4).mean(0) / (centred**2).mean(0) ** 2
    return found


def left(found: Array, expected: Array) -> float:
    """Return the variance about ``expected``, over that of ``found``."""
    return float(((found - expected) ** 2).sum() / ((found - found.mean(0)) ** 2).sum())


@statement(
    "003-111",
    "Contrastive representations of a time series are a Gauss-Markov chain, with waypoints between ends in closed form",
    Source(
        paper="Eysenbach et al. 2024, arXiv:2403.04082, abstract",
        derived="theory.gauss_markov: c = r^2 / (1 - r^2) and A = rotation / r, nothing fitted; an exact waypoint "
        "leaves (1 - r^2) / (1 + r^2)",
        tolerance="at least three times the largest distance on seeds 0 to 3; seeds 1000, shown, to 1003 agree; "
        "the kurtosis, 2.81 to 2.83 at first, is of tails that tanh flattens. Not checked: images, control, a loss "
        "of both directions",
        checked=True,
    ),
)
def waypoints_in_closed_form() -> Iterator[Compared]:
    """A rotating process in the plane, correlation 0.8, each axis seen through tanh; and rivals of the closed form."""
    seen, psi, operator = contrasted(1000)
    r, c = CORRELATION, stationary_variance(CORRELATION)
    for name, spread in zip(("least", "largest"), np.linalg.eigvalsh(np.cov(psi[1].T)), strict=True):
        yield near(f"variance of the representations along their {name} axis, over c", spread / c, 1, 0.1, trained=True)
    yield near("kurtosis of the representations, the least", kurtosis(psi[1]).min(), 3, 0.3, trained=True)
    yield at_most("kurtosis of what is observed, the largest", kurtosis(seen[1]).max(), 2.3)
    singular = np.linalg.svd(operator, compute_uv=False)
    yield near("singular values of A, their mean", singular.mean(), 1 / r, 0.05, trained=True)
    # the means are linear in both ends
    weights = [np.stack([waypoints(*ends, operator, c)[0][0] for ends in pairs]) for pairs in ENDS]
    closed, turned = psi[0] @ weights[0] + psi[2] @ weights[1], psi[0] @ operator.T + psi[2] @ operator
    exact = (1 - r**2) / (1 + r**2)
    yield near("variance that the closed form leaves", left(psi[1], closed), exact, 0.01, trained=True)
    unshrunk = exact + (1 / (2 * r) - r / (1 + r**2)) ** 2 * 2 * (1 + r**2)
    yield near("rival, the same without shrinkage", left(psi[1], turned / 2), unshrunk, 0.02, trained=True)
    line = 1 + (1 + r**2 * math.cos(2 * ANGLE)) / 2 - 2 * r * math.cos(ANGLE)
    yield near("rival, halfway on the straight line", left(psi[1], psi[::2].mean(0)), line, 0.02, trained=True)
    yield at_least("rival, halfway between observations: variance of these left", left(seen[1], seen[::2].mean(0)), 0.3)
