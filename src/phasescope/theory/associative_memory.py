"""Energies of associative memories, and the likelihoods that they are. Schaeffer et al. 2024, arXiv:2402.10202.

The energy of clustering memories (CLAM) is the scaled negative log-likelihood of a Gaussian mixture, its dynamics the
score. Normalization followed by attention is clustering on the sphere. Letters: N states, K memories, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from phasescope.theory.domains import agree, array, checked, number, positive, steps, whole
from phasescope.vocabulary import Array, BadInput

__all__ = [
    "SphereMixture",
    "hopfield_update",
    "mean_shift",
    "memory_drift",
    "memory_energy",
    "memory_posterior",
    "mixture_log_likelihood",
    "retrieve",
    "separation_needed",
    "sphere_mixture",
    "vmf_log_normalizer",
]


def table(name: str, values: Array, dimensions: int | None = None) -> Array:
    """Return ``values`` as finite float64 rows (n, D) of at least one; raise ``BadInput`` for anything else."""
    rows = array(2)(name, values)
    wanted = "D" if dimensions is None else dimensions
    if rows.ndim != 2 or 0 in rows.shape or (dimensions is not None and rows.shape[1] != dimensions):
        raise BadInput(f"{name} have shape {rows.shape}: give rows of shape (n, {wanted}), at least one.")
    return rows  # type: ignore[no-any-return]


def square_distances(states: Array, memories: Array) -> Array:
    """Return |v_n - mu_k|^2 (N, K) of ``states`` (N, D) and ``memories`` (K, D), without cancellation."""
    mu = table("memories", memories)
    v = table("states", states, mu.shape[1])
    found: Array = ((v[:, None, :] - mu[None]) ** 2).sum(-1)
    return found


@checked(states=array(2), memories=array(2), beta=positive)
def memory_energy(states: Array, memories: Array, beta: float) -> Array:
    """Return E(v) = -(1/beta) log sum_k exp(-beta |mu_k - v|^2) (N,), the CLAM energy (Saha et al. 2023)."""
    energy: Array = -special.logsumexp(-beta * square_distances(states, memories), axis=1) / beta
    return energy


@checked(states=array(2), memories=array(2), beta=positive)
def memory_posterior(states: Array, memories: Array, beta: float) -> Array:
    """Return p(z = k | v) (N, K): softmax over k of -beta |mu_k - v|^2, also the mixture's responsibilities."""
    posterior: Array = special.softmax(-beta * square_distances(states, memories), axis=1)
    return posterior


@checked(states=array(2), memories=array(2), beta=positive)
def memory_drift(states: Array, memories: Array, beta: float) -> Array:
    """Return tau dv/dt = -grad E / 2 = sum_k p(k | v) mu_k - v (N, D). It is 0 where v is its own posterior mean."""
    mu = table("memories", memories)
    drift: Array = memory_posterior(states, mu, beta) @ mu - np.asarray(states, dtype=np.float64)
    return drift


@checked(states=array(2), memories=array(2), beta=positive)
def mixture_log_likelihood(states: Array, memories: Array, beta: float) -> Array:
    """Return log p(v) (N,) of the mixture with equal weights, means mu_k and covariance I / (2 beta).

    log p(v) = -beta E(v) - log K + (D/2) log(beta / pi). The authors' workshop paper prints covariance 2 I / beta; with
    that the identity does not hold.
    """
    mu = table("memories", memories)
    constant = mu.shape[1] / 2 * np.log(beta / np.pi) - np.log(len(mu))
    log_density: Array = constant - beta * memory_energy(states, mu, beta)
    return log_density


@checked(states=array(2), memories=array(2), beta=positive, step=number(0, 1, open_low=True), steps=steps)
def retrieve(states: Array, memories: Array, beta: float, *, step: float = 0.1, steps: int = 200) -> Array:
    """Return the states (steps + 1, N, D) on the way of Euler steps v <- v + step * drift; ``step`` = dt/tau in (0, 1].

    A step of 1 is mean shift, the EM update of a state. The energy never rises: the step goes to the weighted mean that
    EM's bound is minimized by, or stops short of it, and that bound is convex.
    """
    path = [table("states", states)]
    for _ in range(steps):
        path.append(path[-1] + step * memory_drift(path[-1], memories, beta))
    return np.stack(path)


@checked(states=array(2), patterns=array(2), square_bandwidth=positive)
def mean_shift(states: Array, patterns: Array, square_bandwidth: float) -> Array:
    """Return one mean-shift step (N, D) of the Gaussian kernel density estimator with bandwidth h, h^2 given.

    The new state is the mean of the patterns under weights exp(-|x - v|^2 / (2 h^2)).
    """
    x = table("patterns", patterns)
    return np.asarray(memory_posterior(states, x, 1 / (2 * square_bandwidth)) @ x)


@checked(states=array(2), patterns=array(2), beta=positive)
def hopfield_update(states: Array, patterns: Array, beta: float) -> Array:
    """Return one step softmax(beta v x^T) x (N, D) of the modern Hopfield network (Ramsauer et al. 2021), attention.

    Equal to ``mean_shift`` with beta = 1/h^2 where all patterns have one norm: |x|^2 is then the same constant in every
    exponent. With unequal norms attention favours the long ones.
    """
    x = table("patterns", patterns)
    v = table("states", states, x.shape[1])
    updated: Array = special.softmax(beta * v @ x.T, axis=1) @ x
    return updated


@checked(beta=positive, patterns=whole(2), radius=positive)
def separation_needed(beta: float, patterns: int, radius: float) -> float:
    """Return the separation min_j (x_i.x_i - x_i.x_j) above which pattern i surely has a fixed point near it.

    2/(beta N) + (1/beta) log(2 (N - 1) N beta M^2) for N patterns of norm at most M (Ramsauer et al. 2021, Eq. 9 and
    Theorem 5); it carries over to density estimators on a sphere, beta = 1/h^2. Sufficient, not necessary.
    """
    return float(2 / (beta * patterns) + np.log(2 * (patterns - 1) * patterns * beta * radius**2) / beta)


@dataclass(frozen=True)
class SphereMixture:
    """What pre-norm attention is: a mixture of von Mises-Fisher densities, one per key.

    ``concentrations`` kappa (K,) >= 0, ``directions`` m (K, D) of unit length, ``log_weights`` (K,): log of pi~_k, what
    stands before exp(kappa_k m_k.q~). The mixture's own weights are pi_k ~ pi~_k / C_D(kappa_k): ``log_mixing``.
    """

    concentrations: Array
    directions: Array
    log_weights: Array

    @property
    def log_mixing(self) -> Array:
        """The log mixing weights (K,), normalized: large for large kappa at equal pi~."""
        dimension = self.directions.shape[1]
        raw = self.log_weights - np.array([vmf_log_normalizer(k, dimension) for k in self.concentrations])
        mixing: Array = raw - special.logsumexp(raw)
        return mixing

    def responsibilities(self, points: Array) -> Array:
        """Return p(k | q~) (N, K) for unit ``points`` (N, D), from densities and mixing weights."""
        unit = table("points", points, self.directions.shape[1])
        dimension = self.directions.shape[1]
        constants = np.array([vmf_log_normalizer(k, dimension) for k in self.concentrations])
        logs = self.log_mixing + constants + self.concentrations * (unit @ self.directions.T)
        found: Array = special.softmax(logs, axis=1)
        return found


@checked(keys=array(2), gain=positive, shift=array(1))
def sphere_mixture(keys: Array, gain: float, shift: Array) -> SphereMixture:
    """Return the mixture whose responsibilities are attention's weights for queries q = gain q~ + shift, |q~| = 1.

    exp(k.q) = exp(kappa m.q~) pi~ with kappa = gain |k|, m = k/|k|, pi~ = exp(k.shift) (workshop paper, Eq. 9). One key
    sets concentration and weight at once. ``gain`` is one number > 0: gains that differ between channels break it.
    """
    k = table("keys", keys)
    agree(keys=(k, ("K", "D")), shift=(shift, ("D",)))
    lengths = np.linalg.norm(k, axis=1)
    if (lengths == 0).any():
        raise BadInput(f"key {int(np.argmin(lengths))} is 0: a key needs a direction.")
    return SphereMixture(gain * lengths, k / lengths[:, None], k @ shift)


@checked(concentration=number(0, 1e12), dimension=whole(2, 10**6))
def vmf_log_normalizer(concentration: float, dimension: int) -> float:
    """Return log C_D(kappa), the constant of the von Mises-Fisher density C_D exp(kappa m.q) on the sphere in D >= 2.

    C_D = kappa^(D/2 - 1) / ((2 pi)^(D/2) I_{D/2-1}(kappa)); at kappa = 0 one over the sphere's area.
    """
    area = np.log(2) + dimension / 2 * np.log(np.pi) - special.gammaln(dimension / 2)
    return float(-area - log_sphere_mean(concentration, dimension))


def log_sphere_mean(concentration: Array | float, dimension: int, *, peak: float = 0.0) -> Array:
    """Return log E[exp(kappa (x - peak))], kappa >= 0, x the first coordinate of a uniform point on the unit sphere."""
    kappa, order = np.asarray(concentration, dtype=np.float64), dimension / 2 - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        bessel = special.ive(order, kappa)
        found = special.gammaln(order + 1) + order * np.log(2 / kappa) + np.log(bessel) + (1 - peak) * kappa
        n = np.arange(200)  # where kappa is small for its order: the series 0F1(; D/2; kappa^2/4), here all of it
        terms = special.xlogy(n, kappa[..., None] ** 2 / 4) - special.gammaln(n + 1) - special.gammaln(n + order + 1)
    small: Array = special.logsumexp(terms, axis=-1) + special.gammaln(order + 1) - peak * kappa
    return np.where((bessel > 1e-280) & (kappa > 0), found, small)
