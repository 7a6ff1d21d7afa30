"""Circles in the embedding: how much of it is one frequency along the residues, beside shuffled labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.vocabulary import Array, BadInput, Instrument, Reading, Subject

NUMBERS = ("x", "y", "z")
ORDERS = ("residue", "logarithm")
OF = ("labels", "shuffled", "as large")
ALL, DRAWN = 6, 500  # up to so many places all orders are taken; of more, so many drawn ones


def primitive(p: int) -> int:
    """Return the least primitive root modulo the prime ``p``.

    >>> primitive(5), primitive(29)
    (2, 2)
    """
    return next(g for g in range(1, p) if len({pow(g, i, p) for i in range(p - 1)}) == p - 1)


def ordered(p: int, order: str) -> list[int]:
    """Return residues in order: 0, 1, ..., p - 1, or, without 0, the powers of the least primitive root."""
    return list(range(p)) if order == "residue" else [pow(primitive(p), i, p) for i in range(p - 1)]


def orders_of(n: int) -> Array:
    """Return the orders (P, n) that labels are shuffled to: all n! for n up to 6, and 500 drawn ones of more."""
    if n <= ALL:
        return np.array(list(itertools.permutations(range(n))))
    draw = streams(0)("shuffled labels")
    return np.stack([draw.permutation(n) for _ in range(DRAWN)])


def strongest(gram: Tensor) -> Tensor:
    """Return the largest fraction (...) of the power of n vectors that one frequency 1 ... n/2 has, from their Gram
    matrix (..., n, n); the mean is left out, and NaN stands where all vectors are equal.

    The power of the frequency k is sum_ij cos(2 pi k (i - j) / n) G_ij, twice where -k is another frequency.
    """
    n = gram.shape[-1]
    place = torch.arange(n, dtype=torch.float64)
    k = torch.arange(1, n // 2 + 1, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * k[:, None, None] * (place[:, None] - place) / n)
    power = (wave * gram[..., None, :, :]).sum((-1, -2)) * torch.where(2 * k == n, 1.0, 2.0)
    return power.amax(-1) / power.sum(-1)


def concentration(vectors: Tensor) -> Tensor:
    """Return (B, 3) of ``vectors`` (B, n, width) in order: the ``strongest`` fraction, its mean over shuffled labels,
    and the fraction of these in which it is as large (exact where all are taken; with drawn ones theirs counts too).
    """
    gram = vectors.double() @ vectors.double().mT
    orders = torch.from_numpy(orders_of(gram.shape[-1]))
    own = strongest(gram)
    # one network at a time: the orders are many
    null = torch.stack([strongest(one[orders[:, :, None], orders[:, None]]) for one in gram])
    large = (null >= own[:, None] - 1e-9).double().sum(1)
    drawn = 0.0 if gram.shape[-1] <= ALL else 1.0
    return torch.stack([own, null.mean(1), (large + drawn) / (len(orders) + drawn)], -1)


def circles(p: int, tokens: str) -> Instrument:
    """Return how circular the embeddings of x, y and z are, in both orders: (B, numbers, 2, 3).

    Of bound tokens the columns of the embedding for x, y and z; of three the one embedding of all numbers.
    """
    numbers = NUMBERS if tokens == "bound" else ("any",)

    def read(s: Subject) -> Reading:
        weight = s.parameters["embed.weight"]
        wanted = (3 * p + 1) if tokens == "bound" else p
        if wanted not in weight.shape[1:]:
            raise BadInput(f"the embedding has shape {tuple(weight.shape[1:])}: none of it is {wanted}, for p = {p}.")
        rows = weight.mT if tokens == "bound" else weight
        found = [
            torch.stack([concentration(rows[:, [i * p + n for n in ordered(p, order)]]) for order in ORDERS], 1)
            for i in range(len(numbers))
        ]
        value = torch.stack(found, 1)
        return Reading(value, valid=value.isfinite())

    return Instrument(
        "circles", read, "1",
        "fraction of the power of the embedding's rows, less their mean, at their strongest frequency along residues "
        "or discrete logarithms; its mean over shuffled labels; and the fraction of shuffles where it is as large",
        "weights", (0.0, 1.0), "that of shuffled labels", ("number", "order", "circle"), (),
        {"number": numbers, "order": ORDERS, "circle": OF},
    )  # fmt: skip
