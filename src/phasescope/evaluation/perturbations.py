"""The same question, written a little otherwise: lower case, contractions, slips of the hand, spaces.

HELM's "mild mix" composes the same four in this order (stanford-crfm/helm,
``src/helm/benchmark/augmentations/mild_mix_perturbation.py``). Its misspellings come from a list of common ones; here
two neighbouring letters inside a word change places, for which no list is needed.
"""

from __future__ import annotations

import re

import numpy as np

from phasescope.vocabulary import Generators

MISSPELT = 0.1  # of the words of four letters or more
SPACES = 3  # at most, in place of one
CONTRACTIONS = {
    "is not": "isn't", "are not": "aren't", "was not": "wasn't", "were not": "weren't", "do not": "don't",
    "does not": "doesn't", "did not": "didn't", "has not": "hasn't", "have not": "haven't", "had not": "hadn't",
    "can not": "can't", "cannot": "can't", "could not": "couldn't", "will not": "won't", "would not": "wouldn't",
    "should not": "shouldn't", "it is": "it's", "that is": "that's", "what is": "what's", "who is": "who's",
    "there is": "there's", "i am": "i'm", "you are": "you're", "we are": "we're", "they are": "they're",
}  # fmt: skip
_CONTRACTED = re.compile(rf"\b({'|'.join(sorted(CONTRACTIONS, key=len, reverse=True))})\b")
_LONG = re.compile(r"[^\W\d_]{4,}")


def contracted(text: str) -> str:
    """Return ``text``, which is in lower case, with contractions.

    >>> contracted("what is it that we have not seen")
    "what's it that we haven't seen"
    """
    return _CONTRACTED.sub(lambda found: CONTRACTIONS[found[1]], text)


def misspelt(text: str, generator: np.random.Generator, probability: float = MISSPELT) -> str:
    """Return ``text`` with two letters inside of a word changed about, in each long word with ``probability``."""

    def slip(found: re.Match[str]) -> str:
        word = found[0]
        if generator.random() >= probability:
            return word
        at = int(generator.integers(1, len(word) - 2))
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

    return _LONG.sub(slip, text)


def spaced(text: str, generator: np.random.Generator, most: int = SPACES) -> str:
    """Return ``text`` with 1 to ``most`` spaces in place of each."""
    return re.sub(" +", lambda _: " " * int(generator.integers(1, most + 1)), text)


def mild_mix(text: str, generators: Generators, item: int, draw: int = 0) -> str:
    """Return ``text`` in lower case, contracted, misspelt and spaced; the same for the same streams, item and draw."""
    generator = generators(f"mild mix {draw}", item)
    return spaced(misspelt(contracted(text.lower()), generator), generator)
