"""Tasks to be learnt in context: linear functions modulo p, and noisy linear regression. Each seed has its own pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phasescope.checks import flag, number, whole, word
from phasescope.samples import IGNORED
from phasescope.vocabulary import Array, BadInput, Draw, Generators, Knob, Member

SETS = ("pool", "new", "pool, held-out inputs", "new, held-out inputs")
CHUNK = 64  # tasks of a pool that one stream draws
MOST_PRIME = 1000  # tables of p^2 inputs are made


def prime(name: str, value: Any) -> int:
    """Read a prime from 2 to 1,000. Raises ``BadInput`` for anything else."""
    p: int = whole(2, MOST_PRIME)(name, value)
    if any(p % d == 0 for d in range(2, math.isqrt(p) + 1)):
        raise BadInput(f"{name} is {p}, which is not prime: examples determine a linear function modulo primes only.")
    return p


def parity(order: Array) -> Array:
    """Return (N,): whether the numbers in each row of ``order`` (N, K) have an odd number of inversions."""
    later = order[:, :, None] > order[:, None, :]
    return np.asarray(np.triu(later, 1).sum((1, 2)) % 2)


@dataclass(frozen=True)
class InContextLinear:
    """Sequences of examples (x, y, z) with z = (a x + b y) mod p; the network is asked for each z (arXiv:2406.02550).

    A task is (a, b), one of the p^2 - 1 other than (0, 0). A member has a pool of ``n_tasks`` of them, which training
    draws from; all others are *new*. A fraction ``alpha`` of the p^2 inputs (x, y) is trained on, the same for every
    task. Both may be axes of a grid; each seed has its own pool, and a larger pool contains a smaller one. In a
    sequence of ``shots`` inputs all are different (``distinct``), so that no answer can be copied. ``rule``
    "rectangular" makes a pool of n/4 tasks and, for each (a, b), (a, d), (c, b) and (c, d), as the authors do.
    ``functions`` "tables" puts random tables in place of the linear functions: nothing is then common to the tasks.

    ``tokens`` "bound": inputs (N, 2 shots - 1, 3p + 1) float32, question and example by turns, one-hot x, y, z (of
    examples) and 1 for examples; labels (N, shots). "three": inputs (N, 3 shots - 1) integers x, y, z, x, y, ..., and
    labels (N, 3 shots - 1), -100 but where y is read.

    A member is read on ``readout`` sequences of each of four sets, in this order: tasks of the pool (*train*), new ones
    (*test*), and both again with held-out inputs in the last ``asked`` questions, weighted 0 where fewer inputs than
    that are held out. Sequences whose inputs have an even number of inversions are for training, odd ones for reading,
    so that no sequence is in both.

    Raises ``BadInput`` for p not prime, a pool that leaves no new task, fewer than 2 shots, more shots than inputs.
    """

    p: int
    n_tasks: int = 8
    shots: int = 12
    alpha: float = 1.0
    distinct: bool = True
    functions: str = "linear"
    rule: str = "random"
    tokens: str = "bound"
    asked: int = 4
    readout: int = 256

    def __post_init__(self) -> None:
        prime("p", self.p)
        whole(2, 10_000)("shots", self.shots)
        whole(1, self.shots)("asked", self.asked)
        whole(1, 10**6)("readout", self.readout)
        flag("distinct", self.distinct)
        word("linear", "tables")("functions", self.functions)
        word("random", "rectangular")("rule", self.rule)
        word("bound", "three")("tokens", self.tokens)
        self._sizes(Member({}, 0))

    @property
    def name(self) -> str:
        """The task's name, for sentences."""
        return f"{'linear functions' if self.functions == 'linear' else 'random tables'} modulo {self.p} in context"

    @property
    def classes(self) -> int:
        """The p answers."""
        return self.p

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers a grid may set per member."""
        return {"n_tasks": self.n_tasks, "alpha": self.alpha}

    def _sizes(self, member: Member) -> tuple[int, int]:
        """Return the number of tasks in the pool and of inputs that are trained on."""
        every, given = self.p**2, member.get("n_tasks", self.n_tasks)
        rounded = round(given) if isinstance(given, float) and math.isfinite(given) else given  # a map's places
        tasks = whole(1, 10**9)("n_tasks", rounded)
        if tasks > every - 2:
            raise BadInput(
                f"n_tasks is {tasks}: there are {every - 1} tasks modulo {self.p}, and one at least must be new; "
                f"give 1 to {every - 2}."
            )
        if self.rule == "rectangular" and tasks % 4:
            raise BadInput(f"n_tasks is {tasks}: rectangles have four corners; give a multiple of 4.")
        alpha = number(0, 1, open_low=True)("alpha", member.get("alpha", self.alpha))
        inputs = round(alpha * every)
        if inputs < 1 or (self.distinct and self.shots > inputs):
            raise BadInput(
                f"shots is {self.shots} and alpha is {alpha:g}: modulo {self.p} there are {inputs} inputs to train on, "
                "and those of a sequence differ; give fewer shots or a larger alpha."
            )
        return tasks, inputs

    def tables(self, generators: Generators) -> Array:
        """Return the tables (p^2 - 1, p^2) of all tasks over all inputs, x slow and y fast."""
        p = self.p
        if self.functions == "tables":
            return generators("tables").integers(0, p, (p**2 - 1, p**2))
        pairs = np.indices((p, p)).reshape(2, -1).T
        return pairs[1:] @ pairs.T % p

    def pool(self, member: Member, generators: Generators) -> tuple[Array, Array]:
        """Return the rows of ``tables`` that the member learns from (n_tasks,) and the new ones, shuffled."""
        count, _ = self._sizes(member)
        order = generators("pool").permutation(self.p**2 - 1)
        if self.rule == "rectangular":
            first = rectangles(self.p, order[: count // 4] + 1, generators("rectangles")) - 1
            return first, order[~np.isin(order, first)]
        return order[:count], order[count:]

    def inputs(self, member: Member, generators: Generators) -> tuple[Array, Array]:
        """Return the numbers p x + y of the inputs that are trained on, and of those held out."""
        order = generators("inputs").permutation(self.p**2)
        count = self._sizes(member)[1]
        return order[:count], order[count:]

    def _orders(self, generator: np.random.Generator, own: Array, size: int, odd: int) -> Array:
        """Return inputs (size, shots) of that parity."""
        if self.distinct:
            order = own[generator.random((size, len(own))).argsort(1)[:, : self.shots]]
        else:
            order = own[generator.integers(0, len(own), (size, self.shots))]
        wrong = parity(order) != odd
        different = order[:, 1:] != order[:, :-1]
        at, rows = different.argmax(1), np.flatnonzero(wrong)  # two different neighbours change places
        order[rows, at[rows]], order[rows, at[rows] + 1] = order[rows, at[rows] + 1], order[rows, at[rows]]
        stuck = rows[~different[rows].any(1)]
        if len(own) > 1 and len(stuck):
            order[stuck] = self._orders(generator, own, len(stuck), odd)
        return order

    def _told(self, orders: Array, answers: Array) -> tuple[Array, Array]:
        """Return the tokens and labels of inputs (N, shots) with their answers (N, shots)."""
        x, y = np.divmod(orders, self.p)
        if self.tokens == "three":
            tokens = np.stack([x, y, answers], 2).reshape(len(orders), -1)[:, :-1].astype(np.int32)
            labels = np.full(tokens.shape, IGNORED, np.int32)
            labels[:, 1::3] = answers
            return tokens, labels
        hot = np.eye(self.p, dtype=np.float32)
        question = np.zeros((*orders.shape, 3 * self.p + 1), np.float32)
        question[..., : 2 * self.p] = np.concatenate([hot[x], hot[y]], -1)
        example = question.copy()
        example[..., 2 * self.p :] = np.concatenate([hot[answers], np.ones((*orders.shape, 1), np.float32)], -1)
        both = np.stack([question, example], 2).reshape(len(orders), -1, 3 * self.p + 1)
        return both[:, :-1], answers.astype(np.int32)

    def batch(self, member: Member, generators: Generators, step: int, size: int) -> tuple[Array, Array]:
        """Return the fresh sequences of ``step`` (1, 2, ...), of tasks of the member's pool."""
        generator = generators("batch", step)
        own = self.pool(member, generators)[0]
        orders = self._orders(generator, self.inputs(member, generators)[0], size, 0)
        tasks = own[generator.integers(0, len(own), size)]
        return self._told(orders, self.tables(generators)[tasks[:, None], orders])

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the sequences of the four sets on which the member is read."""
        generator, n = generators("samples"), self.readout
        own, new = self.pool(member, generators)
        seen, held = self.inputs(member, generators)
        orders = self._orders(generator, seen, 4 * n, 1)
        if len(held) >= self.asked:
            orders[2 * n :, -self.asked :] = held[generator.random((2 * n, len(held))).argsort(1)[:, : self.asked]]
        assert (parity(orders[: 2 * n]) == 1).all()
        assert not set(own) & set(new)
        tasks = np.concatenate([pool[generator.integers(0, len(pool), n)] for pool in (own, new, own, new)])
        inputs, labels = self._told(orders, self.tables(generators)[tasks[:, None], orders])
        weights = np.repeat([1.0, 1.0, *2 * [float(len(held) >= self.asked)]], n)
        rows = np.arange(2 * n)
        return Draw(inputs, labels, labels, rows[:n], rows[n:], weights)

    def describe(self) -> dict[str, Any]:
        """Return nothing but what its code and attributes say."""
        return {}


def rectangles(p: int, base: Array, generator: np.random.Generator) -> Array:
    """Return tasks p a + b (4 n,): for each of ``base`` (n,) the three that complete a rectangle with it.

    As in the authors' ``_src/task_utils.py``: c is neither a nor b, d none of the three, and no task is there twice.
    """
    found = list(map(int, base))
    for task in base:
        a, b = divmod(int(task), p)
        corners = [
            (a * p + d, c * p + b, c * p + d)
            for c in range(p)
            for d in range(p)
            if c not in (a, b) and d not in (a, b, c)
        ]
        free = [three for three in corners if 0 not in three and not set(three) & set(found)]
        if not free:
            raise BadInput(f"n_tasks is {4 * len(base)}: no more rectangles of tasks fit modulo {p}; give fewer.")
        found += free[generator.integers(len(free))]
    return np.array(found)


@dataclass(frozen=True)
class InContextRegression:
    """Sequences of noisy examples of a linear function, y = w . x + noise, all answered (arXiv:2306.15063).

    w ~ N(0, I_D) and x ~ N(0, I_D), noise N(0, ``noise``), a variance. A member has a pool of ``n_tasks`` w (an axis of
    the grid, infinite for ever new ones); a larger pool contains a smaller one. ``prior`` "laplace" draws w with the
    same variance from Laplace's distribution.

    Inputs (N, 2 shots - 1, D + 2) float64 by turns: question (x, 0, 0) and example (x, y, 1); with ``tokens`` "three",
    as in the authors' code but for the last column, the example is (0, y, 1). Targets (N, shots): y. A member is read
    on ``readout`` sequences with tasks of its pool (*train*) and as many with new ones (*test*); ``truth`` is w . x.
    Training has streams of its own, so that no sequence is in both.

    Raises ``BadInput`` for D < 1, a pool of no task, fewer than 2 shots, noise <= 0.
    """

    dimension: int
    n_tasks: float = 16
    shots: int = 8
    noise: float = 0.25
    prior: str = "gaussian"
    tokens: str = "bound"
    readout: int = 512

    def __post_init__(self) -> None:
        whole(1, 10_000)("dimension", self.dimension)
        whole(2, 10_000)("shots", self.shots)
        number(0, 1e6, open_low=True)("noise", self.noise)
        whole(1, 10**6)("readout", self.readout)
        word("gaussian", "laplace")("prior", self.prior)
        word("bound", "three")("tokens", self.tokens)
        self._count(Member({}, 0))

    @property
    def name(self) -> str:
        """The task's name, for sentences."""
        return f"linear regression in {self.dimension} dimensions in context"

    @property
    def classes(self) -> int:
        """One answer for each shot."""
        return self.shots

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """The numbers a grid may set per member."""
        return {"n_tasks": self.n_tasks}

    def _count(self, member: Member) -> int | None:
        """Return the size of the pool, None for ever new tasks."""
        given = member.get("n_tasks", self.n_tasks)
        if given == math.inf:
            return None
        return int(whole(1, 2**24)("n_tasks", round(given) if isinstance(given, float) and given >= 0.5 else given))

    def _drawn(self, generator: np.random.Generator, count: int) -> Array:
        shape = (count, self.dimension)
        if self.prior == "laplace":
            return generator.laplace(0, math.sqrt(0.5), shape)
        return generator.standard_normal(shape)

    def pool(self, member: Member, generators: Generators) -> Array | None:
        """Return the member's own w (n_tasks, D); None for ever new ones."""
        count = self._count(member)
        if count is None:
            return None
        chunks = [self._drawn(generators("pool", i), CHUNK) for i in range(-(-count // CHUNK))]
        return np.concatenate(chunks)[:count]

    def _sequences(self, w: Array, generator: np.random.Generator) -> tuple[Array, Array, Array]:
        """Return tokens, targets (N, shots) and what they are without noise, of tasks w (N, D)."""
        x = generator.standard_normal((len(w), self.shots, self.dimension))
        truth = np.einsum("nd,nkd->nk", w, x)
        y = truth + math.sqrt(self.noise) * generator.standard_normal(truth.shape)
        column, empty = y[..., None], np.zeros((*y.shape, 1))
        shown = x if self.tokens == "bound" else 0 * x
        question, example = np.concatenate([x, empty, empty], -1), np.concatenate([shown, column, empty + 1], -1)
        tokens = np.stack([question, example], 2).reshape(len(w), -1, self.dimension + 2)
        return tokens[:, :-1], y, truth

    def _of_pool(self, member: Member, generators: Generators, generator: np.random.Generator, size: int) -> Array:
        count = self._count(member)
        if count is None:
            return self._drawn(generator, size)
        chunk, row = np.divmod(generator.integers(0, count, size), CHUNK)
        w = np.empty((size, self.dimension))
        for i in np.unique(chunk):  # a large pool is never made whole for a batch
            w[chunk == i] = self._drawn(generators("pool", int(i)), CHUNK)[row[chunk == i]]
        return w

    def batch(self, member: Member, generators: Generators, step: int, size: int) -> tuple[Array, Array]:
        """Return the fresh sequences of ``step`` (1, 2, ...), of tasks of the member's pool."""
        generator = generators("batch", step)
        return self._sequences(self._of_pool(member, generators, generator, size), generator)[:2]

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return the sequences on which the member is read: of its pool, and of new tasks."""
        generator, n = generators("samples"), self.readout
        w = np.concatenate([self._of_pool(member, generators, generator, n), self._drawn(generator, n)])
        inputs, targets, truth = self._sequences(w, generator)
        rows = np.arange(2 * n)
        return Draw(inputs, targets, truth, rows[:n], rows[n:], np.ones(2 * n))

    def describe(self) -> dict[str, Any]:
        """Return nothing but what its code and attributes say."""
        return {}
