"""How many neurons of a layer are different from nothing and from each other.

Chen, Kunin, Yamamura and Ganguli 2023, arXiv:2306.04251, Figs. 3, 4 and 6: noise draws neurons to zero and onto each
other, and a layer ends with fewer independent ones than it has. Here for the plain weights of any layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from phasescope.checks import as_points, number
from phasescope.instruments.neighbours import Points
from phasescope.instruments.neuron_pruning import TWO_LAYER, axes_of
from phasescope.vocabulary import BadInput, Instrument, Reading, Subject

__all__ = ["independence", "independent_neurons", "independent_share", "neuron_groups", "neuron_vectors"]

SMALL, CLOSE = 0.1, 0.1
VANISHED = -1


def neuron_vectors(incoming: Points, outgoing: Points, bias: Points | None = None) -> Tensor:
    """Return one vector per neuron or channel, (H, V): its incoming weights, its bias, its outgoing weights.

    ``incoming`` (H, ...) and ``outgoing`` (K, H, ...) are the weights of two layers as torch keeps them, linear or
    convolutional; a linear layer after a flattened convolution has (K, H x places). ``bias`` (H,) of the first layer.
    Raises ``BadInput`` for shapes that do not belong together.
    """
    incoming = as_points("incoming", incoming, axes=(), least=1)
    outgoing = as_points("outgoing", outgoing, axes=())
    bias = None if bias is None else as_points("bias", bias, axes=(1,))
    count = len(incoming)
    fits = outgoing.ndim >= 2 and outgoing.shape[1] % max(count, 1) == 0 and (bias is None or bias.shape == (count,))
    if count == 0 or outgoing.numel() == 0 or not fits:
        shapes = [tuple(t.shape) for t in (incoming, outgoing, bias) if t is not None]
        raise BadInput(f"shapes {shapes}: give incoming (H, ...), outgoing (K, H, ...) of the next layer, bias (H,).")
    onward = outgoing.reshape(len(outgoing), count, -1).transpose(0, 1).reshape(count, -1)
    parts = [incoming.reshape(count, -1), *([] if bias is None else [bias[:, None]]), onward]
    return torch.cat([part.detach().double() for part in parts], 1)


def neuron_groups(vectors: Points, *, small: float = SMALL, close: float = CLOSE) -> Tensor:
    """Return the group (H,) int64 of each neuron of ``vectors`` (H, V): -1 vanished, else 0, 1, ... by size.

    A neuron has vanished if its norm is below ``small`` x the largest norm of the layer. The others are taken from the
    largest norm to the smallest; one joins the first group whose leader b has 2 |a - b|^2 / (|a|^2 + |b|^2) <
    ``close``, or leads a new one. The distance is 0 for twins, 2 for orthogonal and 4 for opposite vectors. The order
    by norm makes the groups independent of the neurons' own order, except where norms are equal to the last bit.
    Float64; cost H^2 V. Raises ``BadInput`` for limits outside [0, 1] and [0, 4], vectors that are not (H, V), and
    values not finite.
    """
    small, close = number(0, 1)("small", small), number(0, 4)("close", close)
    rows = as_points("vectors", vectors).detach().double()
    scale = rows.abs().max()
    if scale == 0:
        return torch.full((len(rows),), VANISHED, dtype=torch.int64)
    rows = rows / scale  # squares neither overflow nor vanish
    squares = rows.square().sum(1)
    distance = (2 - 4 * (rows @ rows.T) / (squares[:, None] + squares)).clamp(min=0)
    groups = torch.full((len(rows),), VANISHED, dtype=torch.int64)
    leaders: list[int] = []
    for i in squares.argsort(descending=True, stable=True).tolist():
        if squares[i] < small**2 * squares.max() or squares[i] == 0:
            break
        near = torch.nonzero(distance[i, leaders] < close)
        groups[i] = int(near[0]) if len(near) else len(leaders)
        if not len(near):
            leaders.append(i)
    return groups


def independent_neurons(
    incoming: Points, outgoing: Points, bias: Points | None = None, *, small: float = SMALL, close: float = CLOSE
) -> int:
    """Return the number of independent neurons or channels between two layers: the groups of ``neuron_groups``.

    Unit: neurons, from 0 (all weights 0) to H. Null: H for wide random weights, whose vectors are nearly orthogonal.
    Invariant to the order of neurons and to one common scale of all weights; not to the scale that ReLU lets pass from
    incoming to outgoing weights. Chen et al. 2023, arXiv:2306.04251. Raises ``BadInput`` as ``neuron_vectors`` does.

    >>> row = torch.eye(3)
    >>> independent_neurons(torch.cat([row, row[:1], 0.01 * row[1:2]]), torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.01]]))
    3
    """
    return int(neuron_groups(neuron_vectors(incoming, outgoing, bias), small=small, close=close).max()) + 1


def independence(
    *,
    small: float = SMALL,
    close: float = CLOSE,
    neurons: Mapping[str, int] = TWO_LAYER,
    name: str = "independent_share",
) -> Instrument:
    """Return the instrument that reads the fraction of a layer's neurons that are independent, in [0, 1].

    ``neurons`` names the parameters of the neurons and the axis along which these lie, counted from the end, as in
    ``{"0.weight": -2, "0.bias": -1, "2.weight": -1}`` for the first layer of an MLP. ``small`` and ``close``
    as in ``neuron_groups``. Raises ``BadInput`` for a network without them, and as ``neuron_groups`` does.
    """
    small, close, neurons = number(0, 1)("small", small), number(0, 4)("close", close), axes_of(neurons)

    def measure(s: Subject) -> Reading:
        return Reading(_shares(s.parameters, neurons, small, close))

    return Instrument(
        name, measure, "1",
        "groups of equal neurons that have not vanished / width; Chen et al. 2023, arXiv:2306.04251, Figs. 3, 4, 6",
        "weights", (0.0, 1.0), "1 for wide random weights", (), ("neuron permutation", "weight scale"),
    )  # fmt: skip


def _shares(parameters: Mapping[str, Tensor], neurons: Mapping[str, int], small: float, close: float) -> Tensor:
    missing = [name for name in neurons if name not in parameters]
    if missing:
        known = ", ".join(parameters)
        raise BadInput(f"the network has parameters {known}, none called {missing[0]!r}: say with neurons= where.")
    rows = [_rows(parameters[name], axis) for name, axis in neurons.items()]
    if len({part.shape[1] for part in rows}) > 1:
        raise BadInput(f"{', '.join(neurons)} have {[part.shape[1] for part in rows]} neurons: name the right axes.")
    together = torch.cat(rows, 2)
    found: list[Any] = []
    for vectors in together:
        finite = bool(torch.isfinite(vectors).all())  # a network that diverged has no neurons to count
        count = int(neuron_groups(vectors, small=small, close=close).max()) + 1 if finite else torch.nan
        found.append(count / len(vectors))
    return torch.tensor(found, dtype=torch.float64, device=together.device)


def _rows(weights: Tensor, axis: int) -> Tensor:
    """Return (B, H, V) from weights (B, ...) with neurons along ``axis``."""
    return weights.detach().double().movedim(axis, 1).flatten(2) if weights.ndim > 2 else weights.double()[..., None]


independent_share = independence()
