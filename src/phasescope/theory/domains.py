"""The domains of theory's arguments, each written down once, and the decorator that reads arguments by them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.checks import (
    LARGE,
    BadInput,
    Domain,
    agree,
    anything,
    array,
    checked,
    flag,
    kind,
    number,
    numbers,
    optional,
    plain,
    pointwise,
    sequence,
    shown,
    text,
    whole,
    word,
)
from phasescope.vocabulary import Law

__all__ = [
    "BadInput",
    "a_law",
    "agree",
    "anything",
    "array",
    "checked",
    "count",
    "degree",
    "depth",
    "fits",
    "flag",
    "generator",
    "integers",
    "kind",
    "modulus",
    "not_negative",
    "number",
    "numbers",
    "open_share",
    "optional",
    "places",
    "pointwise",
    "positive",
    "radians",
    "real",
    "scale",
    "sequence",
    "share",
    "shown",
    "steps",
    "tables",
    "tensors",
    "terms_of",
    "text",
    "together",
    "whole",
    "word",
]  # fmt: skip

real = number()
positive = number(1 / LARGE)
not_negative = number(0)
share = number(0, 1)
open_share = number(0, 1, open_low=True, open_high=True)
radians = number(0, math.pi, unit="radians")
LARGEST = float(np.finfo(float).max)
a_kernel = number(0, LARGEST)
scale = number(0, LARGEST, open_low=True)
count = whole(1)
depth = whole(0, 100_000)  # blocks or fits, each some microseconds
steps = whole(0, 100_000)
fits = whole(1, 100_000)
modulus = whole(2, 1_000_000)  # tables of p entries are made
degree = whole(0, 1_000_000)
generator = kind(np.random.Generator, say="a numpy generator, such as np.random.default_rng(0)")
a_law = kind(Law, say="the law of a task")


def places(name: str, values: Any) -> tuple[float, ...]:
    """Read a list of numbers, also an empty one."""
    if isinstance(values, tuple | list) and not values:
        return ()
    return tuple(real(name, value) for value in sequence(name, values, 10_000))


def integers(low: int = -(10**15), high: int = 10**15) -> Domain:
    """Return the domain of lists of whole numbers, at least one, each from ``low`` to ``high``."""
    each = whole(low, high)
    return lambda name, values: tuple(each(name, value) for value in sequence(name, values, 1_000_000))


def tables(name: str, values: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Read whole numbers (S, p): one table of residues per row."""
    found: np.ndarray[Any, np.dtype[Any]] = array(2, integer=True)(name, values)
    return found


def tensors(name: str, values: Any) -> list[np.ndarray[Any, np.dtype[Any]]]:
    """Read a list of arrays of any shapes."""
    if not isinstance(values, list | tuple) or not values:
        raise BadInput(f"{name} is {shown(values)}: give a list of arrays, at least one.")
    return [array()(name, value) for value in values]


def terms_of(name: str, values: Any) -> dict[tuple[int, ...], int]:
    """Read a polynomial: tuples of exponents -> coefficient, all tuples of one length."""
    if not isinstance(values, Mapping) or not all(isinstance(e, tuple) and e for e in values):
        raise BadInput(f"{name} is {shown(values)}: give exponents -> coefficient, such as {{(1, 0): 1, (0, 1): 1}}.")
    found = {integers(0, 10**6)(name, e): plain(c) for e, c in values.items()}
    wrong = [c for c in found.values() if type(c) is not int]  # of any size: they are taken modulo p
    if wrong:
        raise BadInput(f"{name} has the coefficient {shown(wrong[0])}: give whole numbers.")
    if len({len(e) for e in found}) > 1:
        raise BadInput(f"{name} is {shown(values)}: give each term as many exponents as there are variables.")
    return found


def together(**arrays: Any) -> None:
    """Raise ``BadInput`` unless the shapes of ``arrays`` broadcast."""
    shapes = {name: np.shape(values) for name, values in arrays.items()}
    for i in range(1, 1 + max(map(len, shapes.values()))):
        if len({shape[-i] for shape in shapes.values() if len(shape) >= i} - {1}) > 1:
            raise BadInput(f"shapes are {shown(shapes)}: give numbers, or arrays of one shape.")
