"""How far apart the inputs of two layers are, for all pairs, from one pass over the text.

Gromov et al. 2024, arXiv:2403.17887, Sec. 3.2, eq. 7: the angular distance of the input of layer l and that of layer
l + n at the last token of a sample, averaged over samples,

    d(x^(l), x^(l+n)) = (1/pi) arccos( x_T^(l) . x_T^(l+n) / (|x_T^(l)| |x_T^(l+n)|) ),

0 for equal, 1/2 for orthogonal, 1 for opposite directions. x^(L) is the output of the last layer, before the last norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.layers.passes import Tokens, batches, checked, device_of, reading, states_between, states_of
from phasescope.layers.stack import check_block, stack_of
from phasescope.vocabulary import Array, BadInput

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["last", "mean"]
Progress = Callable[[int, int], object]
CHUNK = 2**22  # numbers in float64 at a time: 32 MiB


@dataclass(frozen=True)
class Distances:
    """Angular distances between the inputs of layers, in units of pi, over ``samples`` samples.

    ``last`` and ``mean`` (L+1, L+1): of the last token, and of the mean over tokens but the first ``skipped``; entry
    [l, l + n] is d(l, l + n). ``last_error`` and ``mean_error``: their standard errors over samples, NaN for one.
    """

    last: Array
    mean: Array
    last_error: Array
    mean_error: Array
    samples: int
    skipped: int

    @property
    def depth(self) -> int:
        """The number of layers L."""
        return len(self.last) - 1

    def across(self, n: int, kind: Kind = "last") -> tuple[Array, Array]:
        """Return d(l, l + n) and its standard error for l = 0, ..., L - n, each (L - n + 1,)."""
        check_block(self.depth, 0, n)
        value, error = (self.last, self.last_error) if kind == "last" else (self.mean, self.mean_error)
        return np.diagonal(value, n).copy(), np.diagonal(error, n).copy()

    def best(self, n: int, kind: Kind = "last") -> int:
        """Return the l of the block of ``n`` layers whose input and output are nearest; the first of equal ones."""
        return int(np.argmin(self.across(n, kind)[0]))

    def table(self, counts: Sequence[int], kind: Kind = "last") -> tuple[Array, Array]:
        """Return d(l, l + n) and its standard error for ``counts`` n and all l, each (len(counts), L).

        NaN past the end. There is one l more where 0 is among the counts.
        """
        shape = (len(counts), self.depth + (0 in counts))
        value, error = np.full(shape, np.nan), np.full(shape, np.nan)
        for i, n in enumerate(counts):
            value[i, : self.depth - n + 1], error[i, : self.depth - n + 1] = self.across(n, kind)
        return value, error

    def to_dataset(self) -> xr.Dataset:
        """Return ``distance`` and ``error`` along ``tokens`` (last, mean), ``n`` and ``layer``, NaN past the end."""
        import xarray as xr

        depth = self.depth
        value, error = zip(self.table(range(depth), "last"), self.table(range(depth), "mean"), strict=True)
        dims = ("tokens", "n", "layer")
        return xr.Dataset(
            {"distance": (dims, np.stack(value), {"units": "pi"}), "error": (dims, np.stack(error), {"units": "pi"})},
            coords={"tokens": ["last", "mean"], "n": np.arange(depth), "layer": np.arange(depth + 1)},
            attrs={"samples": self.samples, "skipped": self.skipped},
        )


def deepest(depth: int, n: int) -> int:
    """Return the start of the n layers before the last one of ``depth``: the paper's heuristic (Sec. 4.4).

    The last layer is kept. Raises ``BadInput`` unless 0 <= n < depth.

    >>> deepest(30, 4)  # the layers 25 to 28 of 0 to 29
    25
    """
    check_block(depth, 0, n)
    return depth - 1 - n


def distances(
    model: nn.Module,
    tokens: Tokens,
    *,
    skip: int = 1,
    batch: int | None = None,
    on_progress: Progress | None = None,
) -> Distances:
    """Return the angular distances between the inputs of all layers of ``model``, from one pass over ``tokens`` (N, T).

    ``skip`` tokens at the start of a sample are left out of the mean over tokens: in trained models the first carries
    states many times larger than all others, whatever the text. Memory does not grow with N. ``batch`` samples are
    run at a time (default: about 2,048 tokens). Sums are in float64. The model is left as it was.

    Raises ``BadInput`` for tokens that the model can not take, models whose layers are not found or pass on several
    states at once, and states that are zero or not finite.
    """
    ids, stack = checked(model, tokens), stack_of(model)
    if not 0 <= skip < ids.shape[1]:
        raise BadInput(f"skip is {skip}, and samples have {ids.shape[1]} tokens: leave out fewer than that.")
    last, mean = _Moments(stack.depth + 1), _Moments(stack.depth + 1)
    done = 0
    with reading(model), states_between(stack) as states:
        for part in batches(ids, batch, device_of(model)):
            here = states_of(model, stack, states, part)
            for row in range(len(part)):
                found = _sample([state[row] for state in here], skip)
                last.add(found[0])
                mean.add(found[1])
            done += len(part)
            if on_progress is not None:
                on_progress(done, len(ids))
    return Distances(last.mean, mean.mean, last.error, mean.error, len(ids), skip)


class _Moments:
    """Running mean and standard error of matrices (P, P) over samples (Welford's recurrence)."""

    def __init__(self, places: int) -> None:
        self.count, self.mean, self.square = 0, np.zeros((places, places)), np.zeros((places, places))

    def add(self, value: Array) -> None:
        self.count += 1
        off = value - self.mean
        self.mean = self.mean + off / self.count
        self.square = self.square + off * (value - self.mean)

    @property
    def error(self) -> Array:
        if self.count < 2:
            return np.full(self.mean.shape, np.nan)
        return np.asarray(np.sqrt(self.square / (self.count - 1) / self.count))


def _sample(states: list[Tensor], skip: int) -> tuple[Array, Array]:
    """Return the angles (P, P) at the last token of one sample, and their mean over its tokens from ``skip`` on."""
    tokens = len(states[0])
    step = max(1, CHUNK // (len(states) * states[0].shape[-1]))
    total: Tensor | None = None
    for begin in range(skip, tokens, step):
        here = [state[begin : begin + step].to(states[0].device) for state in states]  # layers may be on several
        found = angles(torch.stack(here, 1))
        total = found.sum(0) if total is None else total + found.sum(0)
        last = found[-1]
    assert total is not None
    return last.cpu().numpy(), (total / (tokens - skip)).cpu().numpy()


def angles(vectors: Tensor) -> Tensor:
    """Return the angles (..., P, P), in units of pi and float64, between each two of the P ``vectors`` (..., P, D).

    Raises ``BadInput`` for a vector that is zero or not finite, which has no direction.
    """
    exact = vectors.to(torch.float64)
    if vectors.dtype == torch.float64:  # squares of narrower types are always inside the range of float64
        longest = exact.abs().amax(-1, keepdim=True)
        exact = torch.where(longest > 0, exact / longest, exact)
    products = exact @ exact.mT
    norms = products.diagonal(dim1=-2, dim2=-1).sqrt()
    if not bool((torch.isfinite(norms) & (norms > 0)).all()):
        raise BadInput(
            "the state of a token between two layers is zero or not finite, so it has no direction: look for overflow, "
            "or for a padding token in the text, whose embedding is zero."
        )
    cosines = products / (norms[..., :, None] * norms[..., None, :])
    return cosines.clamp_(-1.0, 1.0).arccos_() / math.pi
