"""Per-member optimizers on stacked parameters: no two members of a tile need share a number.

The updates are those of ``torch.optim`` (SGD with momentum, Adam, AdamW), with decoupled weight decay for SGD too, by
torch's fused kernels: one call for all parameters of neighbouring members whose numbers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from phasescope.vocabulary import Recipe

Tensors = dict[str, Tensor]
NUMBERS = ("lr", "weight_decay", "momentum", "beta1", "beta2", "eps")


def numbers(recipes: Sequence[Recipe], device: torch.device) -> Tensors:
    """Return the recipes' numbers as float64 tensors (B,)."""
    return {
        name: torch.tensor([getattr(r, name) for r in recipes], dtype=torch.float64, device=device) for name in NUMBERS
    }


class Optimizer:
    """Takes the steps of the members of a tile: ``numbers`` (B,) by name, and the moments ``m`` and ``v``, stacked."""

    def __init__(self, recipes: Sequence[Recipe], parameters: Mapping[str, Tensor], device: torch.device) -> None:
        self.kind = recipes[0].optimizer
        self.numbers = numbers(recipes, device)
        self.m, self.v = ({name: torch.zeros_like(p) for name, p in parameters.items()} for _ in range(2))
        self.lists: list[tuple[dict[str, float], list[list[Tensor]]]] | None = None
        self.cut: list[slice] = []

    def step(self, parameters: Mapping[str, Tensor], gradients: Sequence[Tensor], step: int) -> None:
        """Take optimizer step ``step`` (1, 2, ...) on all members in place, with ``gradients`` in parameters' order."""
        if self.lists is None:
            self.lists = self._views(parameters)
        with torch.no_grad():
            for (own, (theta, m, v)), part in zip(self.lists, self.cut, strict=True):
                whole = len(self.lists) == 1
                _UPDATES[self.kind](theta, [g if whole else g[part] for g in gradients], m, v, own, step)

    def _views(self, parameters: Mapping[str, Tensor]) -> list[tuple[dict[str, float], list[list[Tensor]]]]:
        """Return, of each run of members with the same numbers, the numbers and the tensors that an update changes."""
        rows = list(zip(*(self.numbers[name].tolist() for name in NUMBERS), strict=True))
        begin, found, self.cut = 0, [], []
        for own, several in groupby(rows):
            part = slice(begin, begin := begin + len(list(several)))
            tensors = [[s[name][part] for name in parameters] for s in (parameters, self.m, self.v)]
            found.append((dict(zip(NUMBERS, own, strict=True)), tensors))
            self.cut.append(part)
        return found

    def keep(self, index: Tensor) -> None:
        """Keep the members at ``index`` (B',) alone."""
        for stack in (self.numbers, self.m, self.v):
            for name in stack:
                stack[name] = stack[name].index_select(0, index)
        self.lists = None


def _sgd(theta: Any, g: Any, m: Any, v: Any, n: Mapping[str, float], step: int) -> None:
    if n["weight_decay"]:
        torch._foreach_mul_(theta, 1 - n["lr"] * n["weight_decay"])
    torch._fused_sgd_(
        theta, g, m if n["momentum"] else [], weight_decay=0.0, momentum=n["momentum"], lr=n["lr"], dampening=0.0,
        nesterov=False, maximize=False, is_first_step=step == 1,
    )  # fmt: skip


def _adam(theta: Any, g: Any, m: Any, v: Any, n: Mapping[str, float], step: int, *, coupled: bool = True) -> None:
    update = torch._fused_adam_ if coupled else torch._fused_adamw_
    steps = [torch.tensor(float(step), device=theta[0].device)] * len(theta)
    update(
        theta, g, m, v, [], steps, lr=n["lr"], beta1=n["beta1"], beta2=n["beta2"], weight_decay=n["weight_decay"],
        eps=n["eps"], amsgrad=False, maximize=False,
    )  # fmt: skip


def _adamw(theta: Any, g: Any, m: Any, v: Any, n: Mapping[str, float], step: int) -> None:
    _adam(theta, g, m, v, n, step, coupled=False)


_UPDATES = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}
