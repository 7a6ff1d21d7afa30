"""Per-member optimizers on stacked parameters: no two members of a tile need share a number.

The updates are those of ``torch.optim`` (SGD with momentum, Adam, AdamW), with decoupled weight decay for SGD too, by
torch's fused kernels: one call for all parameters of neighbouring members whose numbers are the same. One's own
optimizer is called once for all members of a tile. Gradients are clipped, and rates follow their schedule, for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from phasescope.checks import plain
from phasescope.ensemble import rules
from phasescope.ensemble.rates import factor
from phasescope.errors import shown
from phasescope.vocabulary import BadInput, Recipe

Tensors = dict[str, Tensor]
#: What the compiled CPU engine knows, in its order, and what all others know besides.
NUMBERS = ("lr", "weight_decay", "momentum", "beta1", "beta2", "eps")
MORE = ("warmup", "lr_floor", "drop_every", "drop_factor", "clip_norm", "clip_value", "lr_others", "sam", "average")
OWN, AVERAGE = "own", "average"  # the names under which one's own optimizer's state and averages are kept


def numbers(recipes: Sequence[Recipe], device: torch.device) -> Tensors:
    """Return the recipes' numbers as float64 tensors (B,)."""
    return {
        name: torch.tensor([getattr(r, name) for r in recipes], dtype=torch.float64, device=device)
        for name in (*NUMBERS, *MORE)
    }


@dataclass
class _Part:
    """Neighbouring members with the same numbers: ``rows`` of the tile, and what an update of them changes.

    ``lists`` has, for each factor on weight decay, the numbers, the parameters' places, and the tensors themselves:
    the parameters, and each state in the order of ``STATES``.
    """

    rows: slice
    own: dict[str, float]
    lists: list[tuple[dict[str, float], list[int], list[list[Tensor]]]]


class Optimizer:
    """Takes the steps of the members of a tile: ``numbers`` (B,) by name, and ``state``, stacked tensors by kind.

    The built-in ones keep the moments "m" and "v", one's own whatever its function returns, under "own"; "average" is
    the running average of the parameters, where the recipe has one.
    """

    def __init__(self, recipes: Sequence[Recipe], parameters: Mapping[str, Tensor], device: torch.device) -> None:
        self.recipe = recipes[0]
        self.numbers = numbers(recipes, device)
        states = () if callable(self.recipe.optimizer) else STATES[self.recipe.optimizer]
        self.state: dict[str, Tensors] = {
            kind: {name: torch.zeros_like(p) for name, p in parameters.items()} for kind in states
        }
        if callable(self.recipe.optimizer):
            self.state[OWN] = {}
        if self.recipe.average:
            self.state[AVERAGE] = {name: p.clone() for name, p in parameters.items()}
        self.decayed = [decay_factor(self.recipe.decayed, name, p.shape[1:]) for name, p in parameters.items()]
        self.parts: list[_Part] | None = None
        self.limits: list[Tensor | None] = []
        self.scratch: list[Tensor] = []
        self.one_by_one = False

    def step(self, parameters: Mapping[str, Tensor], gradients: Sequence[Tensor], step: int) -> None:
        """Take optimizer step ``step`` (1, 2, ...) on all members in place, with ``gradients`` in parameters' order."""
        if self.parts is None:
            self.parts = self._parts(parameters)
            limits = (self.numbers["clip_value"], self.numbers["clip_norm"])
            self.limits = [limit if bool(limit.isfinite().any()) else None for limit in limits]
        with torch.no_grad():
            # one's own optimizer may keep what it is given
            scratch = [] if callable(self.recipe.optimizer) else self.scratch
            gradients = clipped(gradients, self.limits[0], self.limits[1], scratch)
            rates = [part.own["lr"] * self._factor(part.own, step) for part in self.parts]
            if callable(self.recipe.optimizer):
                self._own(parameters, gradients, step, rates)
            for part, rate in zip(self.parts, rates, strict=True) if not callable(self.recipe.optimizer) else ():
                whole, update = len(self.parts) == 1, _UPDATES[str(self.recipe.optimizer)]
                for own, places, (theta, *states) in part.lists:
                    own["lr"] = rate
                    update(
                        theta, [gradients[i] if whole else gradients[i][part.rows] for i in places], states, own, step
                    )

            if self.recipe.average:
                for part in self.parts:
                    means = [value[part.rows] for value in self.state[AVERAGE].values()]
                    theta = [parameters[name][part.rows] for name in self.state[AVERAGE]]
                    torch._foreach_lerp_(means, theta, 1 - part.own["average"])

    def _factor(self, own: Mapping[str, float], step: int) -> float:
        if self.recipe.schedule == "constant" and not own["warmup"]:
            return 1.0
        return factor(self.recipe.schedule, own, step, self.recipe.steps)

    def _parts(self, parameters: Mapping[str, Tensor]) -> list[_Part]:
        """Return each run of members with the same numbers, with the tensors that an update of them changes."""
        names, rows = list(parameters), list(zip(*(stack.tolist() for stack in self.numbers.values()), strict=True))
        begin, found = 0, []
        for values, several in groupby(rows):
            cut = slice(begin, begin := begin + len(list(several)))
            own, lists = dict(zip(self.numbers, values, strict=True)), []
            for decay in dict.fromkeys(self.decayed):
                places = [i for i, other in enumerate(self.decayed) if other == decay]
                stacks = (parameters, *(self.state[kind] for kind in self.state if kind not in (OWN, AVERAGE)))
                tensors = [[stack[names[i]][cut] for i in places] for stack in stacks]
                lists.append(({**own, "weight_decay": own["weight_decay"] * decay}, places, tensors))
            found.append(_Part(cut, own, lists))
        return found

    def _own(
        self, parameters: Mapping[str, Tensor], gradients: Sequence[Tensor], step: int, rates: list[float]
    ) -> None:
        """Take a step of one's own function: once for all members, or one by one where ``vmap`` can not follow it."""
        assert self.parts is not None
        device = gradients[0].device
        counts = [len(next(iter(parameters.values()))[part.rows]) for part in self.parts]
        lr = torch.tensor([r for r, n in zip(rates, counts, strict=True) for _ in range(n)], dtype=torch.float64)
        for part, rate in zip(self.parts, rates, strict=True):
            for own, _, (theta,) in part.lists:
                if own["weight_decay"]:
                    torch._foreach_mul_(theta, 1 - rate * own["weight_decay"])
        stacks = (dict(parameters), dict(zip(parameters, gradients, strict=True)), self.state[OWN])
        lr = lr.to(device, gradients[0].dtype)
        changed, self.state[OWN] = self._called(stacks, step, lr)
        for name, value in parameters.items():
            value.copy_(changed[name])

    def _called(self, stacks: Sequence[Tensors], step: int, lr: Tensor) -> tuple[Tensors, Tensors]:
        rule: Any = self.recipe.optimizer
        if len(lr) > 1 and not self.one_by_one:
            try:
                return vmap(rule, in_dims=(0, 0, 0, None, 0))(*stacks, step, lr)  # type: ignore[no-any-return]
            except (RuntimeError, NotImplementedError, ValueError, TypeError):
                self.one_by_one = (
                    True  # a branch on a value, say; what is wrong with the function itself is raised below
                )
        each = [
            rule(*({name: value[i] for name, value in stack.items()} for stack in stacks), step, lr[i])
            for i in range(len(lr))
        ]
        changed, state = ({name: torch.stack([one[at][name] for one in each]) for name in each[0][at]} for at in (0, 1))
        return changed, state

    def keep(self, index: Tensor) -> None:
        """Keep the members at ``index`` (B',) alone."""
        for stack in (self.numbers, *self.state.values()):
            for name in stack:
                stack[name] = stack[name].index_select(0, index)
        self.parts, self.scratch = None, []


def decay_factor(decayed: str | Callable[[str, tuple[int, ...]], float], name: str, shape: Sequence[int]) -> float:
    """Return the factor on the weight decay of a parameter by its name and shape.

    Raises ``BadInput`` where one's own function gives no finite number >= 0.

    >>> decay_factor("all", "norm.bias", (8,)), decay_factor("matrices", "norm.bias", (8,))
    (1.0, 0.0)
    """
    if not callable(decayed):
        return float(decayed == "all" or len(shape) > 1)
    value = plain(decayed(name, tuple(shape)))
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadInput(
            f"decayed({name!r}, {tuple(shape)}) is {shown(value)}: let it return the factor on weight_decay, a finite "
            "number >= 0, or True or False."
        )
    return float(value)


def clipped(
    gradients: Sequence[Tensor], value: Tensor | None, norm: Tensor | None, scratch: list[Tensor]
) -> Sequence[Tensor]:
    """Return each member's gradients (B, ...), cut to +-``value`` (B,), then scaled down to the norm ``norm`` (B,).

    The norm is that of all parameters of a member, as in ``torch.nn.utils.clip_grad_norm_``, the 1e-6 included. The
    gradients themselves are left as they are, since two of them may share their memory; the results lie in ``scratch``,
    which is filled at the first call: to ask for memory at every step would take longer than to clip.
    """

    def wide(numbers: Tensor) -> list[Tensor]:
        numbers = numbers.to(gradients[0].dtype)
        return [numbers.view(-1, *[1] * (g.ndim - 1)) for g in gradients]

    if value is None and norm is None:
        return gradients
    if not scratch:
        scratch += [torch.empty_like(g) for g in gradients]
    torch._foreach_copy_(scratch, list(gradients))
    if value is not None:
        for g, most in zip(scratch, wide(value), strict=True):
            g.clamp_(-most, most)
    if norm is None:
        return scratch
    if len(norm) == 1:
        parts = torch.stack(torch._foreach_norm(scratch))[:, None]
    else:
        parts = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in scratch])
    scale = (norm.to(parts.dtype) / (torch.linalg.vector_norm(parts, dim=0) + 1e-6)).clamp(max=1.0)
    if len(norm) == 1:  # all in one call
        torch._foreach_mul_(scratch, scale[0])
    else:
        torch._foreach_mul_(scratch, wide(scale))
    return scratch


def _sgd(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int, *, nesterov: bool = False) -> None:
    rules.decay(theta, n)
    torch._fused_sgd_(
        theta, g, states[0] if n["momentum"] else [], weight_decay=0.0, momentum=n["momentum"], lr=n["lr"],
        dampening=0.0, nesterov=nesterov and n["momentum"] > 0, maximize=False, is_first_step=step == 1,
    )  # fmt: skip


def _adam(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int, *, coupled: bool = True) -> None:
    update = torch._fused_adam_ if coupled else torch._fused_adamw_
    steps = [torch.tensor(float(step), device=theta[0].device)] * len(theta)
    m, v = states
    update(
        theta, g, m, v, [], steps, lr=n["lr"], beta1=n["beta1"], beta2=n["beta2"], weight_decay=n["weight_decay"],
        eps=n["eps"], amsgrad=False, maximize=False,
    )  # fmt: skip


def _adamw(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int) -> None:
    _adam(theta, g, states, n, step, coupled=False)


def _nesterov(theta: Any, g: Any, states: Any, n: Mapping[str, float], step: int) -> None:
    _sgd(theta, g, states, n, step, nesterov=True)


_UPDATES = {
    "sgd": _sgd, "nesterov": _nesterov, "adam": _adam, "adamw": _adamw, "rmsprop": rules.rmsprop, "lion": rules.lion,
    "muon": rules.muon,
}  # fmt: skip
STATES = {**dict.fromkeys(_UPDATES, ("m", "v")), "lion": ("m",), "nesterov": ("m",)}
