"""What the normalizations of a forward pass do: how much of their input's scale each of them takes out.

A normalization divides by sqrt(var + eps). Its *effect* is var/(var + eps): 1 where it works, 0 where eps rules and it
only multiplies by a constant. It is read at every call of torch's normalizations, and of those written out by hand, as
``x * rsqrt(mean square + eps)``, whatever module they are in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGEST_EPS = 0.1
"""A constant that is added before a root and is larger than this is no guard against division by zero."""
ROOTS = ("sqrt", "rsqrt", "sqrt_", "rsqrt_")


class Normalizations(TorchFunctionMode):
    """Reads the effect of every normalization that is called inside: ``effects``, one tensor per call, float64.

    An entry is the effect on one group of numbers that are normalized together: (channels,) for batch normalization,
    one entry per token or sample for the others. ``values``: of each call that normalizes by the batch, on how many
    numbers per channel. Normalization by running statistics divides by constants and is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[Tensor] = []
        self.values: list[int] = []
        self._guarded: deque[tuple[Tensor, float]] = deque(maxlen=8)  # sums with a small constant, and the constant

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Look at a call of torch's, and carry it out."""
        given = dict(kwargs or {})
        with torch.no_grad():
            reader = READERS.get(func)
            if reader is not None:
                found = reader(*args, **given)
                if found is not None:
                    self.effects.append(found.double())
                    if func is functional.batch_norm:
                        x = args[0] if args else given["input"]
                        self.values.append(x.numel() // max(x.shape[1], 1))
            name = getattr(func, "__name__", "")
            if name in ROOTS and args:
                self._root(args[0])
        out = func(*args, **given)
        if name in ("add", "__add__", "__radd__", "add_", "__iadd__") and isinstance(out, Tensor):
            eps = next((float(part) for part in args if isinstance(part, float)), 0.0)
            if 0 < eps <= LARGEST_EPS:
                self._guarded.append((out, eps))
        return out

    def _root(self, under: Any) -> None:
        for held, eps in self._guarded:
            if held is under:
                whole = under.detach().double()
                self.effects.append(((whole - eps).clamp(min=0) / whole).flatten())


def _ratio(variance: Tensor, eps: float | None) -> Tensor:
    guard = torch.finfo(variance.dtype).eps if eps is None else eps
    variance = variance.double()
    return (variance / (variance + max(guard, 1e-300))).flatten()


def _batch(
    input: Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor | None:  # fmt: skip
    if not training and running_mean is not None:
        return None
    return _ratio(input.movedim(1, 0).flatten(1).float().var(1, unbiased=False), eps)


def _instance(
    input: Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor | None:  # fmt: skip
    return _ratio(input.flatten(2).float().var(2, unbiased=False), eps) if use_input_stats else None


def _layer(
    input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *more: Any,
    **given: Any,
) -> Tensor:  # fmt: skip
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    return _ratio(input.float().var(axes, unbiased=False), eps)


def _group(
    input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *more: Any, **given: Any
) -> Tensor:
    return _ratio(input.reshape(len(input), num_groups, -1).float().var(2, unbiased=False), eps)


def _mean_square(input: Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    return _ratio(input.float().square().mean(axes), eps)


def _unit(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, *more: Any, **given: Any) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(input.double(), ord=p, dim=dim)
    return (norm / norm.clamp(min=eps)).flatten()


READERS: Mapping[Any, Callable[..., Tensor | None]] = {
    functional.batch_norm: _batch,
    functional.instance_norm: _instance,
    functional.layer_norm: _layer,
    torch.layer_norm: _layer,
    functional.group_norm: _group,
    torch.group_norm: _group,
    functional.rms_norm: _mean_square,
    functional.normalize: _unit,
    torch.rms_norm: _mean_square,
}
"""How the effect of each of torch's normalizations is read from its arguments, which have torch's names."""


def moved(before: list[Tensor], after: list[Tensor]) -> float:
    """Return the largest mean change of a normalization's effect, in [0, 1].

    Where the calls are others than before, as with experts that see other tokens, it is that of the mean over all.
    """
    if [e.shape for e in before] != [e.shape for e in after]:
        means = [torch.cat(found).mean() if found else torch.ones(()) for found in (before, after)]
        return float((means[0] - means[1]).abs())
    return max((float((b - a).abs().mean()) for b, a in zip(before, after, strict=True)), default=0.0)
