"""The small language of ``many-sided-evaluation``: four kinds of statements, as sentences to learn and as questions.

Capitals and sums are facts that a decoder has to keep in its weights; who is larger is a rule; and in a chain the
answer stands in the question itself. A seed draws names and facts of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from phasescope.evaluation import Item, Scenario, mild_mix
from phasescope.vocabulary import Array, Generators

NAMES, NUMBERS, OPTIONS = 16, 8, 4
KINDS = ("capitals", "sums", "larger", "chains")
WRITTEN_BADLY = 0.25  # of the statements that are trained on
UNKNOWN, GAP = 0, 1
SYLLABLES = ("ba", "do", "fe", "gi", "ku", "lo", "ma", "ne", "pi", "ru", "sa", "to", "vi", "wo", "xe", "zu")
_PARTS = re.compile(r"[A-Za-z']+|\d+|[^\w\s]| {2,}")


class Words:
    """The tokenizer: whole words, numbers and marks; several spaces are one token, and unknown words are another."""

    bos_token_id: int | None = None
    eos_token_id: int | None = None
    is_fast = False

    def __init__(self, texts: Sequence[str]) -> None:
        found = sorted({part for text in texts for part in _PARTS.findall(text) if not part.isspace()})
        self.parts = ["<unknown>", "  ", *found]
        self._places = {part: i for i, part in enumerate(self.parts)}

    def __len__(self) -> int:
        return len(self.parts)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Return the tokens of ``text`` under ``input_ids``."""
        parts = _PARTS.findall(text)
        return {"input_ids": [GAP if part.isspace() else self._places.get(part, UNKNOWN) for part in parts]}

    def decode(self, ids: Sequence[int]) -> str:
        """Return the words of tokens."""
        return " ".join(self.parts[i] for i in ids)


class World:
    """What a seed draws: ``names`` and ``cities``, of which each name has one as its capital."""

    def __init__(self, generators: Generators) -> None:
        draw = generators("names")
        made = ["".join(SYLLABLES[int(i)] for i in draw.permutation(len(SYLLABLES))[:3]) for _ in range(8 * NAMES)]
        words = list(dict.fromkeys(made))
        self.names = [word.capitalize() for word in words[:NAMES]]
        self.cities = [word.capitalize() for word in words[NAMES : 2 * NAMES]]
        self.kinds = words[2 * NAMES : 3 * NAMES]
        self.generators = generators

    def ask(self, kind: str, draw: np.random.Generator) -> Item:
        """Return one question of a kind, with choices in a random order."""
        if kind == "capitals":
            at = int(draw.integers(NAMES))
            return _among(f"The capital of {self.names[at]} is", self.cities[at], self.cities, draw)
        if kind == "sums":
            a, b = (int(x) for x in draw.integers(NUMBERS, size=2))
            return _among(f"What is {a} plus {b}?", str(a + b), [str(x) for x in range(2 * NUMBERS - 1)], draw)
        if kind == "larger":
            a, b = (int(x) for x in draw.choice(2 * NUMBERS - 1, 2, replace=False))
            return Item(f"The larger of {a} and {b} is", (str(a), str(b)), int(b > a))
        who = [self.names[int(i)] for i in draw.choice(NAMES, 2, replace=False)]
        what = [self.kinds[int(i)] for i in draw.choice(len(self.kinds), 2, replace=False)]
        said = "".join(f"{name} is a {kind}. " for name, kind in zip(who, what, strict=True))
        at = int(draw.integers(2))
        return Item(f"{said}What is {who[at]}?", tuple(what), at)

    def scenario(self, kind: str, count: int) -> Scenario:
        """Return ``count`` questions of one kind."""
        return Scenario(kind, items=tuple(self.ask(kind, self.generators(kind, i)) for i in range(count)))

    def text(self, purpose: str, statements: int) -> list[str]:
        """Return statements of all kinds; a quarter of the questions in them are written badly (``mild_mix``)."""
        found, draw = [], self.generators(purpose)
        for i in range(statements):
            item = self.ask(KINDS[i % len(KINDS)], draw)
            badly = draw.random() < WRITTEN_BADLY
            question = mild_mix(item.question, lambda *_: draw, i) if badly else item.question
            found.append(f"{question} {item.choices[item.answer]}.")
        return [found[int(i)] for i in draw.permutation(statements)]

    def words(self) -> Words:
        """Return the tokenizer of all that can be said, well and badly spaced."""
        items = [self.ask(kind, self.generators("all words", i)) for kind in KINDS for i in range(8 * NAMES)]
        said = [f"{item.question} {' '.join(item.choices)}." for item in items]
        return Words([*said, *(text.lower() for text in said), "what's", " ".join(map(str, range(2 * NUMBERS)))])


def _among(question: str, right: str, others: Sequence[str], draw: np.random.Generator) -> Item:
    wrong = [others[int(i)] for i in draw.permutation(len(others)) if others[int(i)] != right][: OPTIONS - 1]
    at = int(draw.integers(OPTIONS))
    return Item(question, (*wrong[:at], right, *wrong[at:]), at)


def tokens_of(text: Sequence[str], words: Words) -> Array:
    """Return a text as one row of tokens (n,)."""
    return np.array([token for said in text for token in words(said)["input_ids"]])
