"""Data with planted copies, of which networks learn all, what de-duplication keeps, or as many random rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor, nn

from phasescope.data import dedup, shingles
from phasescope.ensemble import streams
from phasescope.learners import Decoder
from phasescope.store.data import data_folder
from phasescope.studies.semantic_duplicates.settings import (
    ALL,
    COPIES,
    EASY,
    EXACT,
    HARD,
    MIXED,
    RANDOM,
    DuplicateSettings,
)
from phasescope.tasks.images import digits, fashion_mnist
from phasescope.vocabulary import Array, BadInput, Draw, Generators, Knob, Member

RUN = 5  # tokens of a shingle
ORDERS = {HARD: "hard", EASY: "easy", MIXED: "random", RANDOM: "hard"}


@dataclass(frozen=True)
class Pile:
    """What a seed learns from: ``inputs`` (N, ...), ``labels``, the rows that may train and those that test.

    ``like`` (N, D) are the embeddings in which copies are sought, ``root`` the row of which each is a copy, or itself.
    """

    inputs: Array
    labels: Array
    like: Any
    root: Array
    train: Array
    test: Array


@dataclass(frozen=True)
class Selected:
    """A task whose member learns what its ``stays`` says of a pile with copies, or of one without (``pile``).

    Test rows are no copies of training rows: those that are near one are left out, and none may stay.
    """

    settings: DuplicateSettings

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What a grid may set: what is kept, and of which pile."""
        return {"stays": ALL, "pile": COPIES}

    def draw(self, member: Member, generators: Generators) -> Draw:
        """Return rows, labels and what trains."""
        pile_name = str(member.get("pile", COPIES))
        pile = self.pile(pile_name, member.seed)
        own = np.sort(pile.train[self.selected(str(member.get("stays", ALL)), pile_name, member.seed)])
        train, test = (part.astype(np.int32) for part in (own, pile.test))
        return Draw(pile.inputs, pile.labels, pile.labels, train, test, np.ones(len(pile.labels)))

    @property
    def epsilon(self) -> float:
        """The distance up to which rows are near copies."""
        raise NotImplementedError

    def pile(self, name: str, seed: int) -> Pile:
        """Return the pile of a seed."""
        raise NotImplementedError

    def selected(self, kept: str, pile_name: str, seed: int) -> Array:
        """Return which of the rows that may train are kept, as numbers among them.

        Of a pile without copies a share is kept that is as large as that of the unique rows where there are copies.
        """
        pile = self.pile(pile_name, seed)
        like, n = pile.like[: len(pile.train)], len(pile.train)
        if kept == ALL:
            return np.arange(n)
        if kept == EXACT:
            return np.flatnonzero(dedup(like, epsilon=1e-6, clusters=1, sample=2).data.kept_paper.values)
        how: dict[str, Any] = {"epsilon": self.epsilon} if pile_name == COPIES else {"keep": 1 / self.settings.whole}
        found = dedup(like, **how, clusters=1, order=ORDERS[kept], sample=2, seed=seed).kept  # type: ignore[arg-type]
        if kept == RANDOM:
            return streams(seed)("random rows").permutation(n)[: len(found)]
        return found

    def apart(self, like: Any, rows: Array, others: Array) -> Array:
        """Return those of ``others`` that are near no row that may train. Raises ``BadInput`` if one stays."""
        epsilon = self.epsilon
        found = others[nearest(like, rows, others) <= 1 - epsilon]
        if len(found) < 10:
            raise BadInput(f"{len(found)} test rows are no copies of training rows: give more, or a smaller epsilon.")
        if nearest(like, rows, found).max() > 1 - epsilon:
            raise BadInput("a test row is a copy of a training row.")
        return found


def nearest(like: Any, rows: Array, others: Array) -> Array:
    """Return the largest cosine of each of ``others`` with one of ``rows``, of embeddings ``like`` (N, D)."""
    dense = np.asarray(like.todense() if hasattr(like, "todense") else like, np.float64)
    dense = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    found: Array = (dense[others] @ dense[rows].T).max(1)
    return found


def copied(s: DuplicateSettings, unique: int, chance: np.random.Generator) -> tuple[Array, Array]:
    """Return which of ``unique`` rows each copy is of (C,), and whether it is exact (C,)."""
    which = chance.choice(unique, round(s.copied * unique), replace=False)
    source = np.repeat(which, s.copies)
    return source, chance.random(len(source)) < s.exact


class Images(Selected):
    """Digits or clothes, a share of which has many copies with noise."""

    name = "images with copies"
    classes = 10

    @property
    def epsilon(self) -> float:
        """Copies have cosines near 1 / (1 + noise^2): all are within this."""
        return self.settings.epsilon * 2

    def pile(self, name: str, seed: int) -> Pile:
        """Return the pile of a seed: unique rows and their copies, or as many unique rows."""
        return _images(self, name, seed)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {"task": self.name, "settings": self.settings.model_dump(mode="json", exclude={"seeds"})}


@lru_cache(maxsize=4)
def pictures(images: str, side: int) -> tuple[Array, Array]:
    """Return all images (N, D), each with mean 0 and mean square 1, and their labels (N,)."""
    folder = data_folder(images) if images == "fashion-mnist" else images
    table = fashion_mnist(folder, size=side) if images else digits()
    return np.asarray(table.inputs), np.asarray(table.labels)


@lru_cache(maxsize=16)
def _images(task: Images, name: str, seed: int) -> Pile:
    s, chance = task.settings, streams(seed)
    x, y = pictures(s.images, s.side)
    unique = s.unique if name == COPIES else s.unique * s.whole
    if unique + s.tests > len(x):
        raise BadInput(f"unique and tests are {s.unique} and {s.tests}: {len(x)} images are too few; give fewer.")
    order = chance("data").permutation(len(x))
    rows, tests = order[:unique], order[unique : unique + s.tests]
    inputs, labels, root = x[rows], y[rows], np.arange(unique)
    if name == COPIES:
        source, exact = copied(s, unique, chance("copies"))
        noise = s.grain * chance("noise").standard_normal((len(source), x.shape[1]))
        more = np.where(exact[:, None], inputs[source], inputs[source] + noise).astype(np.float32)
        inputs, labels = np.concatenate([inputs, more]), np.concatenate([labels, labels[source]])
        root = np.concatenate([root, source])
    n = len(inputs)
    inputs, labels = np.concatenate([inputs, x[tests]]), np.concatenate([labels, y[tests]])
    train = np.arange(n)
    test = task.apart(inputs, train, np.arange(n, len(inputs)))
    return Pile(inputs, labels, inputs, root, train, test)


class Paragraphs(Selected):
    """Paragraphs of a made-up language, a share of which is repeated with some tokens drawn again.

    The next token depends on the last two, by a table that is each seed's own: nothing else can be learnt.
    """

    name = "paragraphs with copies"

    @property
    def classes(self) -> int:
        """The number of tokens."""
        return self.settings.vocabulary

    @property
    def epsilon(self) -> float:
        """The distance of shingles up to which paragraphs are copies."""
        return self.settings.alike

    def pile(self, name: str, seed: int) -> Pile:
        """Return the pile of a seed: unique paragraphs and their copies, or as many unique ones."""
        return _paragraphs(self, name, seed)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the task's numbers."""
        return {"task": self.name, "settings": self.settings.model_dump(mode="json", exclude={"seeds"})}


def language(tokens: int, chance: np.random.Generator) -> Array:
    """Return probabilities (V, V, V) of the next token after two others; each row from Dirichlet's law at 0.2."""
    return chance.dirichlet(np.full(tokens, 0.2), (tokens, tokens))


def written(table: Array, count: int, length: int, chance: np.random.Generator) -> Array:
    """Return paragraphs (N, T) of tokens; the first two are uniform."""
    found = np.empty((count, length), np.int64)
    found[:, :2] = chance.integers(0, len(table), (count, 2))
    rise = table.cumsum(-1)
    for t in range(2, length):
        below = rise[found[:, t - 2], found[:, t - 1]] < chance.random((count, 1))
        found[:, t] = np.minimum(below.sum(1), len(table) - 1)
    return found


@lru_cache(maxsize=16)
def _paragraphs(task: Paragraphs, name: str, seed: int) -> Pile:
    s, chance = task.settings, streams(seed)
    table = language(s.vocabulary, chance("language"))
    unique = s.paragraphs if name == COPIES else s.paragraphs * s.whole
    text, root = written(table, unique, s.length, chance("paragraphs")), np.arange(unique)
    if name == COPIES:
        source, exact = copied(s, unique, chance("copies"))
        again = (chance("replaced").random((len(source), s.length)) < s.replaced) & ~exact[:, None]
        drawn = chance("tokens").integers(0, s.vocabulary, again.shape)
        text = np.concatenate([text, np.where(again, drawn, text[source])])
        root = np.concatenate([root, source])
    n = len(text)
    text = np.concatenate([text, written(table, s.held, s.length, chance("held"))])
    like = shingles([" ".join(map(str, row)) for row in text], words=RUN)
    train = np.arange(n)
    test = task.apart(like[:, np.unique(like.indices)], train, np.arange(n, len(text)))
    tokens = text.astype(np.int32)
    return Pile(tokens[:, :-1], tokens[:, 1:], like, root, train, test)


def perceptron(s: DuplicateSettings) -> nn.Module:
    """Return the network that learns images: one hidden layer of ReLU."""
    return nn.Sequential(nn.Linear(s.side**2, s.width), nn.ReLU(), nn.Linear(s.width, Images.classes))


class Writer(Decoder):
    """A decoder that answers at every token."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, T, K)."""
        return super().forward(inputs.long())


def decoder(s: DuplicateSettings) -> Writer:
    """Return the network that learns paragraphs."""
    return Writer(s.vocabulary, width=s.decoder, layers=s.layers, heads=s.heads, read="all", positions="rope")
