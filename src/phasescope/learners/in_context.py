"""The exact competitors of networks that learn in context, with the network's own call: the same tokens, its answers.

Linear functions modulo p: tokens (N, 2K - 1, 3p + 1) -> logits (N, K, p), as of a ``Decoder`` that reads questions.
Regression: tokens (N, 2K - 1, D + 2) -> answers (N, K). Both are told in ``tasks.in_context``. An answer to question k
sees the k examples before it. They have no parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from phasescope.checks import anything, array, checked, number, whole
from phasescope.vocabulary import Array, BadInput

LEAST = -30.0  # the logit of what can not be: e^-30 is nothing beside 1 in float32
MOST = 2**24  # numbers that are held at once

prime = whole(2, 1000)


def shown_pairs(tokens: Tensor, p: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, y of the questions (N, K), and z of the examples (N, K - 1), all integers."""
    if tokens.ndim != 3 or tokens.shape[1] % 2 == 0 or tokens.shape[2] != 3 * p + 1:
        raise BadInput(f"the tokens have shape {tuple(tokens.shape)}: give (N, 2K - 1, {3 * p + 1}) for p = {p}.")
    questions, examples = tokens[:, 0::2], tokens[:, 1::2]
    return (
        questions[..., :p].argmax(-1), questions[..., p : 2 * p].argmax(-1), examples[..., 2 * p : 3 * p].argmax(-1),
    )  # fmt: skip


def _logits(votes: Tensor) -> Tensor:
    """Return logits of votes (..., p): their shares' logarithms; all alike where there are none."""
    total = votes.sum(-1, keepdim=True)
    return torch.where(total > 0, (votes / total.clamp(min=1)).clamp(min=1e-30).log().clamp(min=LEAST), 0.0)


def _inverses(p: int) -> Tensor:
    return torch.tensor([0, *(pow(n, -1, p) for n in range(1, p))])


def _votes(answers: Tensor, count: Tensor, p: int) -> Tensor:
    """Return how often each of ``answers`` (N, K, ...) was given, counting those of ``count``: (N, K, p)."""
    hot = nn.functional.one_hot(answers, p) * count[..., None]
    return hot.flatten(2, -2).sum(2).double()


def by_ratio(x: Tensor, y: Tensor, z: Tensor, p: int) -> Tensor:
    """Return the votes (N, K, p) of earlier examples of which a question is a multiple, and 0 for the question 0."""
    before = torch.ones(x.shape[1], x.shape[1] - 1, dtype=torch.bool, device=x.device).tril(-1)
    mine, other = (x[:, :, None], y[:, :, None]), (x[:, None, :-1], y[:, None, :-1])
    inverse = _inverses(p).to(x.device)
    nonzero = (other[0] != 0) | (other[1] != 0)
    parallel = (mine[0] * other[1] - mine[1] * other[0]) % p == 0
    factor = torch.where(other[0] != 0, mine[0] * inverse[other[0]], mine[1] * inverse[other[1]]) % p
    votes = _votes(factor * z[:, None] % p, parallel & nonzero & before, p)
    zero = (x == 0) & (y == 0)
    first = torch.arange(p, device=x.device) == 0
    return torch.where(zero[..., None], first.double(), votes)


class RatioMatcher(nn.Module):
    """Answer c z where the question is c times an earlier example (x, y, z), and all alike where it is of none.

    The shorter of the two algorithms that arXiv:2406.02550 finds in networks. Where several examples have an answer
    their votes are counted, which agree for linear functions.
    """

    @checked(self=anything, p=prime)
    def __init__(self, p: int) -> None:
        super().__init__()
        self.p = p

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (N, K, p)."""
        return _logits(by_ratio(*shown_pairs(tokens, self.p), self.p)).to(tokens.dtype)

    def describe(self) -> dict[str, Any]:
        """Return the modulus."""
        return {"learner": type(self).__name__, "p": self.p}


class ModularRegression(RatioMatcher):
    """Answer by ratio, and else by two independent examples: q = c e_i + d e_j, so z = c z_i + d z_j; or all alike."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (N, K, p)."""
        n, k = len(tokens), (tokens.shape[1] + 1) // 2
        few = max(1, MOST // (k**3 * self.p))
        return torch.cat([self._answered(tokens[at : at + few]) for at in range(0, max(n, 1), few)])

    def _answered(self, tokens: Tensor) -> Tensor:
        p = self.p
        x, y, z = shown_pairs(tokens, p)
        k = x.shape[1]
        i, j = torch.triu_indices(k - 1, k - 1, 1, device=x.device)
        inverse = _inverses(p).to(x.device)
        over = inverse[(x[:, i] * y[:, j] - x[:, j] * y[:, i]) % p]  # 0 for two examples on one line
        question = x[:, :, None], y[:, :, None]
        first = (question[0] * y[:, None, j] - question[1] * x[:, None, j]) * over[:, None]
        second = (question[1] * x[:, None, i] - question[0] * y[:, None, i]) * over[:, None]
        answers = (first * z[:, None, i] + second * z[:, None, j]) % p
        earlier = torch.arange(k, device=x.device)[:, None] > j
        votes = by_ratio(x, y, z, p) + _votes(answers, earlier & (over != 0)[:, None], p)
        return _logits(votes).to(tokens.dtype)


class PoolBayes(nn.Module):
    """Answer by Bayes' rule with a uniform prior over the tables (n, p, p) of a finite pool, or of all tasks.

    Tasks with the fewest contradictions count, all alike: label noise that vanishes. The rival of networks on tasks
    that are not in their pool, which they do not answer by any other prior.
    """

    tables: Tensor

    @checked(self=anything, tables=array(3, integer=True))
    def __init__(self, tables: Array) -> None:
        super().__init__()
        n, p, other = tables.shape
        if n < 1 or p != other or tables.min() < 0 or tables.max() >= p:
            raise BadInput(f"tables have shape {tables.shape}: give (n, p, p) numbers from 0 to p - 1, n at least 1.")
        self.p = prime("p", p)
        self.register_buffer("tables", torch.from_numpy(tables.reshape(n, p * p).astype("int64")))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (N, K, p)."""
        few = max(1, MOST // (tokens.shape[1] * len(self.tables) * self.p))
        return torch.cat([self._answered(tokens[at : at + few]) for at in range(0, max(len(tokens), 1), few)])

    def _answered(self, tokens: Tensor) -> Tensor:
        x, y, z = shown_pairs(tokens, self.p)
        said = self.tables[:, x * self.p + y].movedim(0, 1)  # (N, n, K)
        faults = (said[..., :-1] != z[:, None]).cumsum(-1)
        faults = nn.functional.pad(faults, (1, 0))
        best = faults == faults.amin(1, keepdim=True)
        return _logits(_votes(said.mT, best.mT, self.p)).to(tokens.dtype)

    def describe(self) -> dict[str, Any]:
        """Return the modulus; the tables are a buffer."""
        return {"learner": type(self).__name__, "p": self.p}


def shown_points(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (N, K, D) of the questions and y (N, K - 1) of the examples."""
    if tokens.ndim != 3 or tokens.shape[1] % 2 == 0 or tokens.shape[2] < 3:
        raise BadInput(f"the tokens have shape {tuple(tokens.shape)}: give (N, 2K - 1, D + 2), D at least 1.")
    return tokens[:, 0::2, :-2], tokens[:, 1::2, -2]


class Ridge(nn.Module):
    """Answer by ridge regression on the examples before each question: Bayes where tasks are N(0, I), noise a variance.

    The posterior's covariance C begins as I and loses C x x^T C / (noise + x^T C x) with each example; the first answer
    is 0 (arXiv:2306.15063).
    """

    @checked(self=anything, noise=number(0, 1e6, open_low=True))
    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the answers (N, K), reckoned in float64."""
        x, y = (part.double() for part in shown_points(tokens))
        n, k, d = x.shape
        covariance = torch.eye(d, dtype=x.dtype, device=x.device).expand(n, d, d)
        w, answers = x.new_zeros(n, d), [x.new_zeros(n)]
        for t in range(k - 1):
            spread = (covariance @ x[:, t, :, None])[..., 0]
            gain = spread / (self.noise + (x[:, t] * spread).sum(-1, keepdim=True))
            w = w + gain * (y[:, t] - (w * x[:, t]).sum(-1))[:, None]
            covariance = covariance - gain[:, :, None] * spread[:, None]
            answers.append((w * x[:, t + 1]).sum(-1))
        return torch.stack(answers, 1).to(tokens.dtype)

    def describe(self) -> dict[str, Any]:
        """Return the noise."""
        return {"learner": type(self).__name__, "noise": self.noise}


class DiscreteMMSE(nn.Module):
    """Answer by Bayes' rule with a uniform prior over a finite ``pool`` (M, D) and noise of variance ``noise``.

    The softmax over the pool of -(squared residuals so far) / (2 noise) weights its tasks; the first answer is that of
    their mean (arXiv:2306.15063).
    """

    pool: Tensor

    @checked(self=anything, pool=array(2), noise=number(0, 1e6, open_low=True))
    def __init__(self, pool: Array, noise: float) -> None:
        super().__init__()
        if pool.shape[0] < 1 or pool.shape[1] < 1:
            raise BadInput(f"pool has shape {pool.shape}: give (M, D) numbers, at least one task of one dimension.")
        self.noise = noise
        self.register_buffer("pool", torch.from_numpy(pool.astype("float64")))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the answers (N, K), reckoned in float64."""
        x, y = (part.double() for part in shown_points(tokens))
        if x.shape[-1] != self.pool.shape[1]:
            raise BadInput(f"the tokens have D = {x.shape[-1]}, and the pool {self.pool.shape[1]}: give the same.")
        few = max(1, MOST // (x.shape[1] * len(self.pool)))
        parts = [self._answered(x[at : at + few], y[at : at + few]) for at in range(0, max(len(x), 1), few)]
        return torch.cat(parts).to(tokens.dtype)

    def _answered(self, x: Tensor, y: Tensor) -> Tensor:
        said = x @ self.pool.T  # (N, K, M)
        energy = ((y[..., None] - said[:, :-1]) ** 2).cumsum(1) / (2 * self.noise)
        weights = (-nn.functional.pad(energy, (0, 0, 1, 0))).softmax(-1)
        return (weights * said).sum(-1)

    def describe(self) -> dict[str, Any]:
        """Return the noise; the pool is a buffer."""
        return {"learner": type(self).__name__, "noise": self.noise}
