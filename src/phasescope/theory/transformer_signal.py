"""How tokens and gradients propagate through a transformer at initialization: a map of two numbers.

Source: Cowsik, Nebabu, Qi and Ganguli 2024, arXiv:2403.02579; the paper's text was not at hand, so the formulas here
are derived from its model, and which normalization of the skip connection it uses is not settled. All three are given:

    "preserving"  x <- sqrt(1 - alpha^2) x + alpha Branch(LN x), in both sub-blocks
    "reset"       x <- LN(x), then x + alpha Branch(x): the size is set back to 1 before each sub-block
    "growing"     x <- x + alpha Branch(LN x): the size grows, and each block changes less than the one before

State of n tokens in d dimensions, alike under permutation: q = mean |x_i|^2 / d, p = mean x_i.x_j / d, rho = p / q.
Single-head attention without mask, values of variance 1/d, logits of variance sigma_A^2; then a perceptron phi of
hidden weights sigma_w^2 / d and readout variance sigma_v^2. LN is x / |x| sqrt(d). To first order in e^{sigma_A^2} / n
and for large d:

    q1 = c^2 q + alpha_A^2 [rho + (1 - rho) e^{sigma_A^2 (1 - rho)} / n]
    p1 = c^2 p + alpha_A^2 [rho + (1 - rho) e^{sigma_A^2 rho (1 - rho)} / n]
    q2 = c^2 q1 + alpha_M^2 F(1)
    p2 = c^2 p1 + alpha_M^2 F(p1/q1)       F(r) = sigma_v^2 E[phi(sigma_w u) phi(sigma_w v)], corr(u, v) = r
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from scipy.optimize import brentq

from phasescope.theory.activations import Activation, a_phi, activation
from phasescope.theory.domains import checked, depth, kind, number, optional, positive, real, scale, shown, whole
from phasescope.vocabulary import Array, BadInput, nearest

__all__ = [
    "TransformerBlock",
    "angle_exponent",
    "attention_step",
    "collapsed_size",
    "edge_of_chaos",
    "gradient_exponent",
    "mean_gradient_exponent",
    "mlp_step",
    "settled_correlation",
    "token_trajectory",
    "weak_edge_of_chaos",
]

Skip = Literal["preserving", "reset", "growing"]
LARGE, HIGHEST = 1e30, {"score_scale": 20.0}  # e^(score_scale^2) is a float up to 26
FEWEST_TOKENS = 4.0  # times e^{sigma_A^2}: below, the correction of order 1/n is no correction


@dataclass(frozen=True)
class TransformerBlock:
    """One block: strengths alpha_A, alpha_M, hidden sigma_w, logit sigma_A, ``tokens`` n, sigma_v^2, phi, ``skip``.

    Raises ``BadInput`` for strengths outside [0, 1] with ``skip="preserving"`` (negative ones always), and for fewer
    tokens than 4 e^{sigma_A^2}, where a few keys dominate. At that bound the term e^{sigma_A^2} / n, 1/4 at
    rho = 0, is measured as 0.18 for sigma_A = 1 and 0.08 for sigma_A = 2.
    """

    attention: float
    mlp: float
    weight_scale: float
    score_scale: float = 1.0
    tokens: float = np.inf
    readout_variance: float = 1.0
    activation: Activation | str = "tanh"
    skip: Skip = "preserving"

    def __post_init__(self) -> None:
        activation(self.activation)
        if not isinstance(self.skip, str) or self.skip not in get_args(Skip):
            raise BadInput(f"there is no skip {shown(self.skip)}{nearest(str(self.skip), get_args(Skip))}")
        for name in ("attention", "mlp", "weight_scale", "score_scale", "readout_variance"):
            highest = 1.0 if name in ("attention", "mlp") and self.skip == "preserving" else HIGHEST.get(name, LARGE)
            object.__setattr__(self, name, number(0, highest)(name, getattr(self, name)))
        object.__setattr__(self, "tokens", number(2, np.inf)("tokens", self.tokens))
        fewest = FEWEST_TOKENS * np.exp(self.score_scale**2)
        if not self.tokens >= max(fewest, 2):
            raise BadInput(
                f"tokens is {self.tokens} with score_scale {self.score_scale}: the map holds for many tokens, at least "
                f"4 e^(score_scale^2) = {fewest:.0f}."
            )

    def keeps(self, strength: float) -> float:
        """Return c^2, the fraction of the squared size that a skip connection passes on."""
        return (1 - strength) * (1 + strength) if self.skip == "preserving" else 1.0

    def overlap(self, correlation: float) -> float:
        """Return F(r), the covariance of two tokens' perceptron outputs at input correlation r in [-1, 1]."""
        variance = self.weight_scale**2
        return self.readout_variance * activation(self.activation).pair(variance, variance, correlation)

    @property
    def power(self) -> float:
        """F(1), the mean square of a perceptron output."""
        moments = activation(self.activation).moments(self.weight_scale**2)
        return self.readout_variance * moments.mean_square

    @property
    def gain(self) -> float:
        """F'(1) = sigma_v^2 sigma_w^2 E[phi'^2], by how much a perceptron stretches small differences, squared."""
        moments = activation(self.activation).moments(self.weight_scale**2)
        return self.readout_variance * self.weight_scale**2 * moments.slope_square


a_transformer = kind(TransformerBlock, say="a theory.transformer_signal.TransformerBlock")


def _state(size: float, overlap: float) -> float:
    if not 0 < size < np.inf or not abs(overlap) <= size * (1 + 1e-12):
        raise BadInput(f"(q, p) is ({size}, {overlap}): it must have 0 < q < inf and |p| <= q.")
    return float(np.clip(overlap / size, -1, 1))


@checked(block=a_transformer, size=scale, overlap=real)
def attention_step(block: TransformerBlock, size: float, overlap: float) -> tuple[float, float]:
    """Return (q, p) after the attention sub-block. Domain: p >= 0 to order 1/n, n >= 4 e^{sigma_A^2}, large d."""
    return _attended(block, size, overlap)


def _attended(block: TransformerBlock, size: float, overlap: float) -> tuple[float, float]:
    rho = _state(size, overlap)
    if block.skip == "reset":
        size, overlap = 1.0, rho
    kept, added = block.keeps(block.attention), block.attention**2
    alone, shared = _attention(block, rho)
    return float(kept * size + added * alone), float(kept * overlap + added * shared)


def _attention(block: TransformerBlock, rho: float) -> tuple[float, float]:
    """Return the mean square of what attention adds to a token, and the mean product of what it adds to two."""
    score = block.score_scale**2
    alone = rho + (1 - rho) * np.exp(score * (1 - rho)) / block.tokens
    shared = rho + (1 - rho) * np.exp(score * rho * (1 - rho)) / block.tokens
    return float(alone), float(shared)


@checked(block=a_transformer, size=scale, overlap=real)
def mlp_step(block: TransformerBlock, size: float, overlap: float) -> tuple[float, float]:
    """Return (q, p) after the perceptron sub-block; exact for d -> infinity at every -q <= p <= q."""
    return _perceived(block, size, overlap)


def _perceived(block: TransformerBlock, size: float, overlap: float) -> tuple[float, float]:
    rho = _state(size, overlap)
    if block.skip == "reset":
        size, overlap = 1.0, rho
    kept, added = block.keeps(block.mlp), block.mlp**2
    if added == 0:  # the integrals behind F are the whole cost
        return kept * size, kept * overlap
    return kept * size + added * block.power, kept * overlap + added * block.overlap(rho)


@checked(block=a_transformer, size=scale, overlap=real, depth=depth)
def token_trajectory(block: TransformerBlock, size: float, overlap: float, depth: int) -> Array:
    """Return (depth + 1, 2): q and p before the first and after each of ``depth`` blocks."""
    states = [(size, overlap)]
    _state(size, overlap)
    for _ in range(depth):
        states.append(_perceived(block, *_attended(block, *states[-1])))
    return np.array(states)


@checked(block=a_transformer)
def collapsed_size(block: TransformerBlock) -> float:
    """Return the q that collapsed tokens (rho = 1) keep with the skip ``preserving``; 1 for ``reset``.

    q* = [c_M^2 alpha_A^2 + alpha_M^2 F(1)] / (1 - c_A^2 c_M^2). Raises ``BadInput`` for ``growing``, which has none.
    """
    if block.skip == "reset":
        return 1.0
    lost = _lost(block)
    if lost <= 0:
        raise BadInput(
            f"skip is {block.skip!r} with strengths {block.attention}, {block.mlp}: the size has no fixed point."
        )
    added = block.keeps(block.mlp) * block.attention**2 + block.mlp**2 * block.power
    if added == 0:
        raise BadInput("the perceptron gives nothing and attention is off: the size shrinks to 0.")
    return added / lost


def _lost(block: TransformerBlock) -> float:
    """Return 1 - c_A^2 c_M^2, also for strengths whose squares a 1 hides."""
    if block.skip != "preserving":
        return 0.0
    one, two = block.attention**2, block.mlp**2
    return one + two - one * two


def _sizes(block: TransformerBlock, size: float | None) -> tuple[float, float, float]:
    """Return q, q1 and q2 of one block at collapse; q from ``collapsed_size`` unless given."""
    q = collapsed_size(block) if size is None or block.skip == "reset" else size
    _state(q, q)
    q1 = block.keeps(block.attention) * q + block.attention**2
    entering = 1.0 if block.skip == "reset" else q1
    return q, q1, block.keeps(block.mlp) * entering + block.mlp**2 * block.power


@checked(block=a_transformer, size=optional(scale))
def angle_exponent(block: TransformerBlock, size: float | None = None) -> float:
    """Return lambda_a, the natural log of the factor on 1 - rho per block near collapse, rho = 1.

    Below 0 tokens collapse to one direction (ordered), above 0 collapse is unstable (chaotic). With q1, q2 the sizes
    after the sub-blocks, log[(q/q2) c_A^2 (c_M^2 + alpha_M^2 F'(1) / q1)]; for ``reset``, log[(1 + alpha_M^2 F'(1)) /
    ((1 + alpha_A^2) (1 + alpha_M^2 F(1)))]. ``size`` is q where it is not the stationary one; ``growing`` needs it.
    """
    q, q1, q2 = _sizes(block, size)
    attention, mlp = block.attention**2, block.mlp**2
    if block.skip == "reset":
        return float(np.log1p(mlp * block.gain) - np.log1p(attention) - np.log1p(mlp * block.power))
    # q2 / q - 1, which is 0 at a stationary size
    grown = (block.keeps(block.mlp) * attention + mlp * block.power) / q - _lost(block)
    size = np.log1p(grown) if abs(grown) < 0.5 else np.log(q2 / q)
    return float(_log_kept(block, block.attention, 0.0) + _log_kept(block, block.mlp, block.gain / q1) - size)


def _log_kept(block: TransformerBlock, strength: float, added: float) -> float:
    """Return log(c^2 + strength^2 added), the log of a sub-block's factor, which is near 1 for weak ones."""
    change = strength**2 * (added - (block.skip == "preserving"))
    with np.errstate(divide="ignore"):  # alpha_A = 1 without skip collapses at once
        return float(np.log1p(change) if change > -0.5 else np.log(block.keeps(strength) + strength**2 * added))


@checked(block=a_transformer, size=optional(scale))
def mean_gradient_exponent(block: TransformerBlock, size: float | None = None) -> float:
    """Return the log growth per block of the squared gradient's token-mean part at collapse.

    log[(c_A^2 + alpha_A^2 / q)(c_M^2 + alpha_M^2 F'(1) / q1)]; for ``reset`` log[(1 + alpha_M^2 F'(1)) / (1 + alpha_M^2
    F(1))]. Its identification with the paper's lambda_g at large depth is a guess. The part that differs between tokens
    grows as lambda_a + log(q2/q): at a stationary size, as ``angle_exponent``.
    """
    q, q1, _ = _sizes(block, size)
    if block.skip == "reset":
        return float(np.log1p(block.mlp**2 * block.gain) - np.log1p(block.mlp**2 * block.power))
    return _log_kept(block, block.attention, 1 / q) + _log_kept(block, block.mlp, block.gain / q1)


@checked(block=a_transformer, depth=whole(1, 10**9))
def gradient_exponent(block: TransformerBlock, depth: int) -> float:
    """Return (1/L) log E|d(X_L . R)/dX_0|_F^2 / |R|_F^2 for R of independent entries, ``depth`` = L, at collapse.

    (1/L) log[(1 - 1/n) e^{L lambda_a} + (1/n) e^{L lambda_mean}]: of n tokens' gradients one combination is their mean.
    Stationary sizes only, so not for ``growing``.
    """
    share = 1 / block.tokens
    parts = [depth * angle_exponent(block), depth * mean_gradient_exponent(block)]
    if parts[1] - parts[0] < 1:
        return float(parts[0] + np.log1p(share * np.expm1(parts[1] - parts[0]))) / depth
    with np.errstate(divide="ignore"):
        logs = np.log([1 - share, share])
    return float(np.logaddexp(parts[0] + logs[0], parts[1] + logs[1]) / depth)


@checked(block=a_transformer, low=positive, high=positive)
def edge_of_chaos(block: TransformerBlock, low: float = 1e-3, high: float = 100.0) -> float:
    """Return the hidden scale sigma_w at which lambda_a = 0, other numbers as in ``block``; searched in [low, high].

    Raises ``BadInput`` where lambda_a has one sign there: without a perceptron, for instance, tokens always collapse.
    """

    def exponent(scale: float) -> float:
        return angle_exponent(replace(block, weight_scale=scale))

    if not low < high:
        raise BadInput(f"low is {low:g} and high is {high:g}: give low < high.")
    if exponent(low) * exponent(high) > 0:
        raise BadInput(
            f"lambda_a has one sign for sigma_w in [{low:g}, {high:g}]: this block has no edge of chaos there."
        )
    return float(brentq(exponent, low, high, xtol=1e-13, rtol=1e-14))


@checked(phi=a_phi, readout_variance=positive)
def weak_edge_of_chaos(phi: Activation | str = "tanh", readout_variance: float = 1.0) -> float:
    """Return the sigma_w with lambda_a = 0 as alpha_A = alpha_M = alpha -> 0: F'(1) = 1 + F(1), whatever the skip.

    There lambda_a ~ alpha^2 [F'(1) - 1 - F(1)], so alpha ~ 1/sqrt(L) keeps L lambda_a finite.
    """

    def excess(scale: float) -> float:
        weak = TransformerBlock(0.0, 0.0, scale, readout_variance=readout_variance, activation=phi)
        return weak.gain - 1 - weak.power

    if excess(1e-3) * excess(1e3) > 0:
        raise BadInput(
            f"F'(1) - 1 - F(1) has one sign for readout_variance {readout_variance}: there is no edge of chaos."
        )
    return float(brentq(excess, 1e-3, 1e3, xtol=1e-13, rtol=1e-14))


@checked(block=a_transformer)
def settled_correlation(block: TransformerBlock) -> float:
    """Return rho*, the correlation that deep blocks give to tokens that start in general position (rho = 0).

    The least root in [0, 1) of rho' = rho at the size that is stationary for that rho, found by sign on a grid of 40
    and refined; 1, collapse, where there is none. Raises ``BadInput`` for ``growing`` skips, whose size never settles.
    """
    collapsed_size(block)
    grid = np.append(np.linspace(0, 0.975, 40), 1 - 1e-6)
    before = _drift(block, 0.0)
    if before <= 0:
        return 0.0
    for low, high in pairwise(grid):
        after = _drift(block, float(high))
        if after < 0 < before:
            return float(brentq(lambda rho: _drift(block, rho), low, high, xtol=1e-13, rtol=1e-13))
        before = after
    return 1.0


def _drift(block: TransformerBlock, rho: float) -> float:
    """Return (rho' - rho) q' over one block, entered with the size that one block at this rho gives back.

    p' - rho q' of what the sub-blocks add, for what the skips keep adds nothing to it and would hide weak ones.
    """
    alone, shared = _attention(block, rho)
    size, added = 1.0, block.attention**2
    kept = block.keeps(block.mlp)
    if block.skip == "preserving":
        # the new size is linear in the old one; its slope is the share that both skips keep
        size = (kept * added * alone + block.mlp**2 * block.power) / _lost(block)
    entered = block.keeps(block.attention) * size + added * alone
    between = rho + added * (shared - rho * alone) / entered
    if block.skip == "reset":
        kept /= entered
    drift = kept * added * (shared - rho * alone)
    if block.mlp == 0:  # the integrals behind F are the whole cost
        return drift
    return drift + block.mlp**2 * (block.overlap(min(between, 1.0)) - rho * block.power)
