"""NTK and maximal-update parametrizations of any builder, from outside: by the shapes of its parameters at two widths.

A parameter has a *role* by its axes that grow with the width, m being the width over the base width:

    role     what grows                     mup: first weights, rate of sgd, of adam, of muon    ntk: sgd, others
    input    the outputs alone, or a vector         1               m        1       1                1    1
    hidden   inputs and outputs                     1               1        1 / m   1                1/m  1/sqrt m
    output   the inputs alone                       1 / sqrt m      1 / m    1 / m   1/sqrt m         1/m  1/sqrt m
    fixed    nothing                                1               1        1       1                1    1

Maximal update (mu-P): Yang et al. 2022, arXiv:2203.03466, as the authors' package ``mup`` scales it (``mup/optim.py``,
with the readout's multiplier 1 / m written into weights and rates). As there, biases of linear layers and convolutions,
which torch begins within 1 / sqrt(fan_in), begin sqrt(m) larger, m that of the inputs; so in NTK too. For Muon the
spectral condition of Yang, Simon and Bernstein 2023, arXiv:2310.17813, on top of its factor sqrt(max(1, rows /
columns)); an embedding, of which a sample takes one row, has sqrt m. NTK: weights w / sqrt(fan_in) with w of variance 1
and one rate for w, written as rates for the weights themselves. At the base width each is the builder as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from phasescope.vocabulary import BadInput

Role = Literal["input", "hidden", "output", "fixed"]
PARAMETRIZATIONS = ("given", "mup", "ntk")
PLAIN, ENTRYWISE = ("sgd", "nesterov"), ("adam", "adamw", "rmsprop", "lion")
MATRICES = (nn.Linear, nn.modules.conv._ConvNd, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True)
class Scaling:
    """What a parametrization does to one parameter at one width: factors on its first value and on its rate."""

    role: Role
    multiple: float
    initial: float = 1.0
    rate: float = 1.0


def scalings(
    base: nn.Module, module: nn.Module, parametrization: Literal["given", "mup", "ntk"], optimizer: str
) -> dict[str, Scaling]:
    """Return the scaling of each parameter of ``module``, by name, from a narrow network ``base`` of the same builder.

    ``optimizer`` is a word of ``ps.Recipe``. Raises ``BadInput`` for parameters that are not the same ones, for a
    weight that is used twice (tied), of which mu-P needs a factor in the forward pass, and for weights of which shapes
    do not tell whether they are an input's or an output's.
    """
    known = {name: tuple(p.shape) for name, p in base.named_parameters()}
    found: dict[str, Scaling] = {}
    owners = dict(module.named_modules())
    if parametrization != "given":
        _refuse_tied(module)
    for name, p in module.named_parameters():
        if len(known.get(name, ())) != p.ndim or name not in known:
            raise BadInput(f"the builder's networks differ in {name!r}: let it return one network at every width.")
        if parametrization == "given":
            found[name] = Scaling("fixed", 1.0)
            continue
        owner = owners[name.rpartition(".")[0]]
        role, multiple = role_of(name, known[name], tuple(p.shape), owner)
        scaling = _scaled(role, multiple, parametrization, optimizer, owner, p.ndim)
        weight = name.removesuffix("bias") + "weight"
        if isinstance(owner, nn.Linear | nn.modules.conv._ConvNd) and name.endswith("bias") and weight in known:
            scaling = replace(scaling, initial=math.sqrt(owner.weight.shape[1] / known[weight][1]))
        found[name] = scaling
    return found


def _refuse_tied(module: nn.Module) -> None:
    seen: dict[int, str] = {}
    for name, p in module.named_parameters(remove_duplicate=False):
        if id(p) in seen:
            raise BadInput(
                f"{seen[id(p)]!r} and {name!r} are one weight: mu-P divides the readout's output, which only the "
                "builder can do; give a builder in mu-P of your own, or untie them."
            )
        seen[id(p)] = name


def role_of(name: str, narrow: tuple[int, ...], wide: tuple[int, ...], owner: nn.Module) -> tuple[Role, float]:
    """Return the role of a parameter and how far its growing axis has grown, from its shapes at two widths."""
    grown = [i for i, (a, b) in enumerate(zip(narrow, wide, strict=True)) if a != b]
    if not grown:
        return "fixed", 1.0
    kind = type(owner).__name__
    turned = kind == "Conv1D" or "ConvTranspose" in kind  # of transformers, and torch's own: (in, out, ...)
    out, into = (1, 0) if turned else (0, 1)
    matrix = isinstance(owner, MATRICES) or turned
    looked_up = isinstance(owner, nn.Embedding | nn.EmbeddingBag) or (wide[0] == 1 and 0 not in grown and not matrix)
    if len(wide) == 1 or looked_up:
        return "input", wide[grown[-1]] / narrow[grown[-1]]
    if len(grown) == 2 and set(grown) == {0, 1}:
        return "hidden", wide[into] / narrow[into]
    if grown == [out]:
        return "input", wide[out] / narrow[out]
    if grown == [into] and matrix:
        return "output", wide[into] / narrow[into]
    raise BadInput(
        f"the weight {name!r} of a {type(owner).__name__} goes from {narrow} to {wide}: whether it is an input's or an "
        "output's can not be told; give a builder in a parametrization of your own."
    )


def _scaled(role: Role, m: float, parametrization: str, optimizer: str, owner: nn.Module, axes: int) -> Scaling:
    """Return the factors of the table above."""
    if parametrization == "ntk":
        narrow = {"hidden", "output"}
        power = 1.0 if optimizer in PLAIN else 0.5
        return Scaling(role, m, 1.0, m**-power if role in narrow else 1.0)
    if role == "fixed":
        return Scaling(role, m)
    if optimizer in PLAIN:
        rates = {"input": m, "hidden": 1.0, "output": 1 / m}
    elif optimizer in ENTRYWISE or axes == 1:
        rates = {"input": 1.0, "hidden": 1 / m, "output": 1 / m}
    else:
        looked_up = isinstance(owner, nn.Embedding | nn.EmbeddingBag)
        rates = {"input": math.sqrt(m) if looked_up else 1.0, "hidden": 1.0, "output": 1 / math.sqrt(m)}
    return Scaling(role, m, 1 / math.sqrt(m) if role == "output" else 1.0, rates[role])


Builder = Callable[[int], Any]
Rates = Mapping[str, Scaling]
