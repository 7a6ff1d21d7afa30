"""Scenarios that are made here from a seed, and need nothing: sums and syllogisms."""

from __future__ import annotations

import numpy as np

from phasescope.ensemble import streams
from phasescope.evaluation.items import Item

OFF = (1, -1, 2, -2, 10, -10)  # by how much wrong sums are off: a slip, or a carry that was forgotten
KINDS = (
    "bats", "boats", "cups", "doors", "flags", "frogs", "kings", "lamps", "maps", "nuts", "owls", "pens", "rings",
    "ships", "stones", "trees",
)  # fmt: skip
FORMS = (  # premises, conclusion, whether it follows; of each pair one does
    (("All A are B.", "All B are C."), "all A are C", True),
    (("All A are B.", "All B are C."), "all C are A", False),
    (("All A are B.", "No B are C."), "no A are C", True),
    (("All A are B.", "No A are C."), "no B are C", False),
    (("Some A are B.", "All B are C."), "some A are C", True),
    (("All A are B.", "Some B are C."), "some A are C", False),
    (("No A are B.", "Some C are B."), "some C are not A", True),
    (("No A are B.", "No B are C."), "no A are C", False),
)


def placed(question: str, right: str, wrong: list[str], generator: np.random.Generator) -> Item:
    """Return the item with the right choice at a random place."""
    at = int(generator.integers(len(wrong) + 1))
    return Item(question, (*wrong[:at], right, *wrong[at:]), at)


def arithmetic(count: int, seed: int) -> list[Item]:
    """Return ``count`` different sums of two numbers up to 99, four choices each; a wrong one is off by 1, 2 or 10."""
    generators = streams(seed)
    found: dict[tuple[int, int], Item] = {}
    index = 0
    while len(found) < min(count, 9801):
        draw = generators("arithmetic", index)
        index += 1
        a, b = (int(x) for x in draw.integers(1, 100, 2))
        off = draw.permutation([x for x in OFF if a + b + x > 0])[:3]
        question = f"Question: What is {a} plus {b}?\nAnswer:"
        found.setdefault((a, b), placed(question, str(a + b), [str(a + b + int(x)) for x in off], draw))
    return list(found.values())


def syllogisms(count: int, seed: int) -> list[Item]:
    """Return ``count`` syllogisms about kinds of things, half of them valid: does the conclusion follow, yes or no?"""
    found = []
    for index in range(count):
        draw = streams(seed)("syllogisms", index)
        premises, conclusion, follows = FORMS[int(draw.integers(len(FORMS)))]
        names = dict(zip("ABC", (KINDS[i] for i in draw.permutation(len(KINDS))[:3]), strict=True))
        said = " ".join(" ".join(names.get(word.rstrip("."), word.rstrip(".")) + "." * word.endswith(".")
                                 for word in premise.split()) for premise in premises)  # fmt: skip
        asked = " ".join(names.get(word, word) for word in conclusion.split())
        question = f"{said}\nQuestion: Does it follow that {asked}?\nAnswer:"
        found.append(Item(question, ("yes", "no"), 0 if follows else 1))
    return found
