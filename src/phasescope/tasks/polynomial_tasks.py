"""Tables of polynomials modulo p: what a network learns from a formula."""

from __future__ import annotations

import numpy as np

from phasescope.checks import whole
from phasescope.errors import BadInput
from phasescope.tasks.modular import ModularTable, table_inputs
from phasescope.tasks.polynomial import Polynomial
from phasescope.tasks.polynomial_text import parse


def polynomial_table(
    p: int,
    polynomial: Polynomial | str,
    *,
    arity: int | None = None,
    train_fraction: float = 0.5,
    corruption: float = 0.0,
) -> ModularTable:
    """Return the exact table of a polynomial modulo any p >= 2, over ``arity`` variables (default: 2, or all it has).

    ``polynomial`` may be text such as ``"(4*n1 + n2^2)^3"``. Raises ``BadInput`` for text that is no polynomial, fewer
    variables than it has, and tables too large.

    >>> polynomial_table(5, "n1^2 + n2").labels[:6].tolist()
    [0, 1, 2, 3, 4, 1]
    """
    chosen = polynomial if isinstance(polynomial, Polynomial) else parse(polynomial)
    p = whole(2, 10**12)("p", p)
    if arity is not None:
        arity = whole(1, 10**6)("arity", arity)
    variables = max(2, chosen.arity) if arity is None else arity
    if variables < chosen.arity:
        raise BadInput(f"arity is {variables}: {chosen} has {chosen.arity} variables; give at least as many.")
    inputs = table_inputs(p, variables)
    labels = chosen.residues(p, inputs).astype(np.int32)
    name = f"{chosen} mod {p}"
    return ModularTable(name, inputs, labels, p, train_fraction, corruption, p, variables)
