"""Memories that are made as needed, and memories with explicit assignments. Schaeffer et al. 2024, arXiv:2402.10202.

The prior is the Chinese restaurant process, with a discount the Pitman-Yor process. The other half is the evidence
lower bound (ELBO) as an energy of the assignments q.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy import special

from phasescope.theory.associative_memory import square_distances, table
from phasescope.theory.domains import (
    agree,
    array,
    checked,
    flag,
    not_negative,
    number,
    positive,
    real,
    steps,
    whole,
    word,
)
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "assignment_flow",
    "creation_energy",
    "creation_logits",
    "evidence_bound",
    "expected_memories",
    "memories_variance",
    "seating",
]

Gaussians = Literal["normalized", "printed"]
below_one = number(0, 1, open_high=True)
counts_of = array(1, low=1, high=1e15, fewest=0)


def _process(alpha: float, discount: float) -> None:
    if not alpha > -discount:
        raise BadInput(f"alpha is {alpha}: give a finite number above -discount = {-discount:g}.")


@checked(alpha=real, points=whole(1, 10**7), discount=below_one)
def expected_memories(alpha: float, points: int, discount: float = 0.0) -> float:
    """Return E[number of memories] that the process makes for ``points``; alpha > -discount, discount in [0, 1).

    The first point makes one; point n + 1 another with probability (alpha + d K)/(alpha + n). Without a discount it is
    sum_{i < n} alpha/(alpha + i), with one (alpha/d) (prod_{i < n} (alpha + d + i)/(alpha + i) - 1) (Pitman 2006).
    """
    _process(alpha, discount)
    count = 1.0
    for n in range(1, points):
        count += (alpha + discount * count) / (alpha + n)
    return count


@checked(alpha=not_negative, points=whole(0, 10**7))
def memories_variance(alpha: float, points: int) -> float:
    """Return Var[number of memories] = sum_{i < n} alpha i/(alpha + i)^2 of the Chinese restaurant process."""
    _process(alpha, 0.0)
    i = np.arange(points)
    square = (alpha + i) ** 2  # 0 for the first point where alpha is tiny; its term is 0
    return float(np.sum(np.divide(alpha * i, square, out=np.zeros(points), where=square > 0)))


@checked(counts=counts_of, alpha=real, discount=below_one)
def seating(counts: Array, alpha: float, discount: float = 0.0) -> Array:
    """Return the prior probabilities (K + 1,) that the next point joins each memory, or, last, makes a new one.

    (n_k - d) and (alpha + d K) over alpha + n, with ``counts`` n_k (K,) so far (workshop paper, Eqs. 10-11).
    """
    _process(alpha, discount)
    n = counts
    weights = np.append(n - discount, alpha + discount * len(n)) if len(n) else np.ones(1)
    shares: Array = weights / weights.sum()
    return shares


@checked(
    points=array(2),
    memories=array(2, fewest=0),
    counts=counts_of,
    beta=positive,
    prior_precision=positive,
    alpha=real,
    discount=below_one,
    gaussians=word(*get_args(Gaussians)),
)
def creation_logits(
    points: Array,
    memories: Array,
    counts: Array,
    *,
    beta: float,
    prior_precision: float,
    alpha: float,
    discount: float = 0.0,
    gaussians: Gaussians = "normalized",
) -> Array:
    """Return log weights (N, K + 1) of the existing memories and, last, of a new one, for each point (N, D).

    log(n_k - d) - beta |mu_k - v|^2 and log(alpha + d K) - gamma |v|^2, gamma = 1/(1/beta + 1/prior_precision): the
    likelihood of covariance I/(2 beta) and the marginal of a memory not yet placed (workshop paper, Eq. 12). Printed
    there without (beta/pi)^(D/2) and (gamma/pi)^(D/2), which makes new memories far too cheap; "normalized" has them.
    """
    x = table("points", points)
    gamma = 1 / (1 / beta + 1 / prior_precision)
    if len(counts) and len(counts) != len(memories):
        raise BadInput(f"there are {len(memories)} memories and {len(counts)} counts: give one count per memory.")
    shares = np.log(seating(counts, alpha, discount))
    old = np.empty((len(x), 0)) if len(counts) == 0 else -beta * square_distances(x, memories)
    new = -gamma * (x**2).sum(1, keepdims=True)
    if gaussians == "normalized":
        old = old + x.shape[1] / 2 * np.log(beta / np.pi)
        new = new + x.shape[1] / 2 * np.log(gamma / np.pi)
    logits: Array = np.concatenate([old, new], axis=1) + shares
    return logits


@checked(points=array(2), memories=array(2, fewest=0), counts=counts_of, beta=positive)
def creation_energy(points: Array, memories: Array, counts: Array, *, beta: float, **process: float) -> Array:
    """Return the energy with a creation term, -(1/beta) log of the sum of ``creation_logits``' weights, (N,)."""
    logits = creation_logits(points, memories, counts, beta=beta, **process)  # type: ignore[arg-type]
    energy: Array = -special.logsumexp(logits, axis=1) / beta
    return energy


@checked(assignments=array(2, low=0, high=1), logits=array(2))
def evidence_bound(assignments: Array, logits: Array) -> Array:
    """Return the ELBO sum_k q_k (f_k - log q_k) (N,) for assignments q and log joint weights f, both (N, K).

    At most log sum_k exp(f_k), the log evidence, and equal to it at q = softmax(f) alone.
    """
    q = assignments
    agree(assignments=(q, ("N", "K")), logits=(logits, ("N", "K")))
    if not np.allclose(q.sum(-1), 1, atol=1e-9):
        raise BadInput("assignments must be shares: numbers of at least 0 that sum to 1 over the memories.")
    bound: Array = (q * logits).sum(-1) - special.xlogy(q, q).sum(-1)
    return bound


@checked(logits=array(2), step=number(0, 1, open_low=True), steps=steps, entropy=flag)
def assignment_flow(logits: Array, *, step: float = 0.5, steps: int = 200, entropy: bool = True) -> Array:
    """Return the assignments (steps + 1, N, K) of gradient ascent on the ELBO in their own logits, from equal shares.

    d ELBO/d a_k = q_k (g_k - sum_j q_j g_j), g = f - log q: each memory excites itself and inhibits the others, and the
    fixed point is the posterior softmax(f). Without the entropy term (g = f) the strongest memory takes all.
    """
    f = logits
    a, path = np.zeros_like(f), []
    for _ in range(steps + 1):
        q = special.softmax(a, axis=-1)
        path.append(q)
        g = f - special.log_softmax(a, axis=-1) if entropy else f
        a = a + step * q * (g - (q * g).sum(-1, keepdims=True))
    return np.stack(path)
