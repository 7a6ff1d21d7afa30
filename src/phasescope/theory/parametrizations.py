"""How parametrizations of multilayer networks behave as they grow wide: the abc-parametrizations of Yang and Hu 2021.

arXiv:2011.14522. With L hidden layers of n units, W^l = n^(-a_l) w^l with w^l drawn from N(0, n^(-2 b_l)), l = 1 ... L
+ 1, and gradient descent on w at the rate eta n^(-c); W^1 is (n, inputs), W^(L+1) (1, n). Everything below is an
exponent of n, or a word that follows from exponents. Entries of preactivations stay of order 1 at the start where a_1
+ b_1 = 0 and a_l + b_l = 1/2 in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phasescope.theory.domains import checked, kind, number, sequence, whole, word
from phasescope.vocabulary import Array, BadInput

__all__ = ["Parametrization", "feature_exponent", "named_parametrization", "regime", "update_exponents"]

NAMES = ("standard", "ntk", "mup")
SMALL = 1e-9
_exponent = number(-100, 100)


@dataclass(frozen=True)
class Parametrization:
    """Exponents ``a`` and ``b`` of the L + 1 layers, the first to the last, and ``c`` of the rate. Checked when made.

    >>> Parametrization((0.0, 0.5), (0.0, 0.0), 0.0).hidden
    1
    """

    a: Sequence[float]
    b: Sequence[float]
    c: float

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            values = tuple(_exponent(name, value) for value in sequence(name, getattr(self, name), 10_000))
            object.__setattr__(self, name, values)
        object.__setattr__(self, "c", _exponent("c", self.c))
        if len(self.a) != len(self.b) or len(self.a) < 2:
            raise BadInput(f"a has {len(self.a)} and b {len(self.b)} exponents: give one for each layer, two at least.")

    @property
    def hidden(self) -> int:
        """The number of hidden layers, L."""
        return len(self.a) - 1


def _a_parametrization(name: str, value: Any) -> Parametrization:
    found: Parametrization = kind(Parametrization, say="a Parametrization, such as named_parametrization('mup', 2)")(
        name, value
    )
    return found


@checked(name=word(*NAMES), hidden=whole(1, 1000), c=number(-100, 100))
def named_parametrization(name: str, hidden: int, c: float = 0.0) -> Parametrization:
    """Return the parametrization ``name`` of networks with ``hidden`` layers, with the rate n^(-``c``).

    "standard": a = 0, weights of variance 1 / fan_in. "ntk": weights of variance 1, divided by sqrt(fan_in). "mup": the
    maximal update, a = (-1/2, 0, ..., 0, 1/2), b = 1/2. (Table 1 of Yang and Hu 2021; place not checked.)
    """
    last = hidden
    if name == "standard":
        return Parametrization((0.0,) * (last + 1), (0.0, *(0.5,) * last), c)
    if name == "ntk":
        return Parametrization((0.0, *(0.5,) * last), (0.0,) * (last + 1), c)
    return Parametrization((-0.5, *(0.0,) * (last - 1), 0.5), (0.5,) * (last + 1), c)


def _lowest(p: Parametrization) -> float:
    """Return min over hidden layers of 2 a_l + [l = 1]."""
    return min(2 * a + (i == 0) for i, a in enumerate(p.a[:-1]))


@checked(parametrization=_a_parametrization)
def feature_exponent(parametrization: Parametrization) -> float:
    """Return r: features of the last hidden layer change by n^(-r) over training (Yang and Hu 2021).

    r = min(a_(L+1) + b_(L+1), 2 a_(L+1) + c) + c - 1 + min over l <= L of (2 a_l + [l = 1]). 0: they are learnt at any
    width; positive: not in the limit; negative: they diverge. (Definition 3.2; place not checked, and derived.)

    >>> feature_exponent(named_parametrization("ntk", 3)), feature_exponent(named_parametrization("mup", 3))
    (0.5, 0.0)
    """
    p = parametrization
    return min(p.a[-1] + p.b[-1], 2 * p.a[-1] + p.c) + p.c - 1 + _lowest(p)


@checked(parametrization=_a_parametrization)
def regime(parametrization: Parametrization) -> str:
    """Return "unstable", "trivial", "kernel" or "feature learning", as wide networks of a parametrization train.

    Stable: nothing diverges at the start (a_1 + b_1 = 0, a_l + b_l = 1/2, a_(L+1) + b_(L+1) >= 1/2) nor with training
    (r >= 0, a_(L+1) + b_(L+1) + r >= 1, 2 a_(L+1) + c >= 1). Trivial: the output does not change, neither of the last
    two is 1. Features are learnt at r = 0 only; else, training is that of a kernel (Yang and Hu 2021, the dynamical
    dichotomy; place not checked, and derived).

    >>> [regime(named_parametrization(name, 2)) for name in ("standard", "ntk", "mup")]
    ['unstable', 'kernel', 'feature learning']
    """
    p, r = parametrization, feature_exponent(parametrization)
    last = p.a[-1] + p.b[-1]
    begins = _begins_steady(p) and last >= 0.5 - SMALL
    if not begins or min(r, last + r - 1, 2 * p.a[-1] + p.c - 1) < -SMALL:
        return "unstable"
    if min(last + r - 1, 2 * p.a[-1] + p.c - 1) > SMALL:
        return "trivial"
    return "feature learning" if r < SMALL else "kernel"


def _begins_steady(p: Parametrization) -> bool:
    steady = [0.0, *(0.5,) * (p.hidden - 1)]
    return all(abs(a + b - s) < SMALL for a, b, s in zip(p.a[:-1], p.b[:-1], steady, strict=True))


@checked(parametrization=_a_parametrization)
def update_exponents(parametrization: Parametrization) -> Array:
    """Return the exponents (L + 1,) by which the first step changes preactivations, the output's last.

    What a coordinate check reads as slopes after one step of gradient descent. A layer's own weights change it by n to
    the -2 a_l - c - (a_(L+1) + b_(L+1)) + [l > 1], and what came before passes on as it is; the output changes by the
    larger of n^(1 - 2 a_(L+1) - c) and n^(1 - a_(L+1) - b_(L+1)) times its features' change. Derived: gradients of
    preactivations are of the size of the last weights, and the inner product of two inputs' features is of order n.
    Raises ``BadInput`` for weights that do not keep preactivations of order 1 at the start.

    >>> update_exponents(named_parametrization("standard", 1)).tolist()
    [-0.5, 1.0]
    """
    p = parametrization
    if not _begins_steady(p):
        raise BadInput(
            "a + b is not 0 for the first layer and 1/2 for the others: signals grow or vanish before any step; give a "
            "parametrization that keeps them."
        )
    last = p.a[-1] + p.b[-1]
    own = np.array([-2 * a - p.c - last + (i > 0) for i, a in enumerate(p.a[:-1])])
    hidden = np.maximum.accumulate(own)
    output = max(1 - 2 * p.a[-1] - p.c, 1 - last + float(hidden[-1]))
    return np.append(hidden, output)
