"""The engines: how the gradients of a tile of networks are taken. All else about training is the same for all.

``looped`` is plain torch on one network, and the reference of the others. ``stacked`` is ``torch.func.vmap`` over the
members of a tile. ``traced`` is the same computation written down once and run by torch's C++ interpreter
(``tracing``); a tile of one is traced without ``vmap``, and gives the loop's bits. ``compiled`` hands the stacked step
to ``torch.compile``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from phasescope.ensemble.handed import answer
from phasescope.ensemble.losses import Loss
from phasescope.ensemble.tracing import traced
from phasescope.vocabulary import BadInput

Tensors = dict[str, Tensor]
Name = Literal["looped", "stacked", "traced", "compiled"]
NAMES = ("looped", "stacked", "traced", "compiled")
#: From the stacked weights, frozen weights and buffers of B members, and their inputs, labels and sample weights (or
#: None where all samples count the same): the gradients (B, ...) in the weights' order, the losses (B,), the buffers.
Gradients = Callable[
    [Tensors, Tensors, Tensors, Tensor, Tensor, Tensor | None], tuple[Sequence[Tensor], Tensor, Tensors]
]
Single = Callable[[Tensors, Tensors, Tensors, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensors]]


# what vmap can not do side by side it does one by one: the trial measures that, and a user can not mend it
getattr(torch._C._functorch, "_set_vmap_fallback_warning_enabled", lambda on: None)(False)


def _single(module: nn.Module, loss: Loss, *, quick: bool) -> Single:
    """Return the loss of one network, written as a function of all that it is computed from, and its buffers."""

    def one(
        weights: Tensors, frozen: Tensors, state: Tensors, x: Tensor, y: Tensor, w: Tensor | None
    ) -> tuple[Tensor, Tensors]:
        logits = answer(module, {**weights, **frozen, **state}, x)
        return loss.mean(logits, y, w, quick=quick), state

    return one


def looped(module: nn.Module, loss: Loss) -> Gradients:
    """Return plain torch on ``module`` itself, whose parameters and buffers are those of a tile of one.

    A parameter that the loss does not depend on has the gradient 0, as with the other engines.
    """
    learnt = [p for p in module.parameters() if p.requires_grad]

    def take(
        weights: Tensors, frozen: Tensors, state: Tensors, x: Tensor, y: Tensor, w: Tensor | None
    ) -> tuple[Sequence[Tensor], Tensor, Tensors]:
        with torch.enable_grad():
            value = loss.mean(module(x[0]), y[0], None if w is None else w[0])
            gradients = torch.autograd.grad(value, learnt, materialize_grads=True)
        # torch's fused optimizers read memory in a parameter's order, whatever a gradient's own is
        return [g.contiguous()[None] for g in gradients], value.detach()[None], state

    return take


def _found(gradients: Tensors, value: Tensor, after: Tensors) -> tuple[Sequence[Tensor], Tensor, Tensors]:
    """Return what a step found as ``Gradients`` has it, gradients as they are to lie in memory."""
    buffers = {name: buffer.detach() for name, buffer in after.items()}
    return [g.contiguous() for g in gradients.values()], value.detach(), buffers


def stacked(module: nn.Module, loss: Loss) -> Gradients:
    """Return the gradients of B networks side by side, by ``torch.func``."""
    step = grad_and_value(_single(module, loss, quick=True), has_aux=True)

    def take(
        weights: Tensors, frozen: Tensors, state: Tensors, x: Tensor, y: Tensor, w: Tensor | None
    ) -> tuple[Sequence[Tensor], Tensor, Tensors]:
        dims = (0, 0, 0, 0, 0, None if w is None else 0)
        gradients, (value, after) = vmap(step, in_dims=dims)(weights, frozen, state, x, y, w)
        return _found(gradients, value, after)

    return take


def _alone(module: nn.Module, loss: Loss) -> Gradients:
    """Return ``stacked`` for a tile of one, without ``vmap``: the kernels are those of the plain loop."""
    step = grad_and_value(_single(module, loss, quick=False), has_aux=True)

    def take(
        weights: Tensors, frozen: Tensors, state: Tensors, x: Tensor, y: Tensor, w: Tensor | None
    ) -> tuple[Sequence[Tensor], Tensor, Tensors]:
        own, rest, buffers = ({n: value[0] for n, value in stack.items()} for stack in (weights, frozen, state))
        gradients, (value, after) = step(own, rest, buffers, x[0], y[0], None if w is None else w[0])
        found, loss, buffers = _found(gradients, value, after)
        return [g[None] for g in found], loss[None], {name: buffer[None] for name, buffer in buffers.items()}

    return take


def _flat(take: Gradients, names: Sequence[Sequence[str]], weighted: bool) -> Callable[..., list[Tensor]]:
    """Return ``take`` as a function from a list of tensors to a list of tensors."""
    counts = [len(part) for part in names]

    def flat(*tensors: Tensor) -> list[Tensor]:
        begin, stacks = 0, []
        for part, count in zip(names, counts, strict=True):
            stacks.append(dict(zip(part, tensors[begin : begin + count], strict=True)))
            begin += count
        x, y, *rest = tensors[begin:]
        gradients, value, after = take(stacks[0], stacks[1], stacks[2], x, y, rest[0] if weighted else None)
        return [*gradients, value, *(after[name] for name in names[2])]

    return flat


def _unflat(run: Callable[..., Sequence[Tensor]]) -> Gradients:
    """Return what ``_flat`` took apart as ``Gradients`` again."""

    def take(
        weights: Tensors, frozen: Tensors, state: Tensors, x: Tensor, y: Tensor, w: Tensor | None
    ) -> tuple[Sequence[Tensor], Tensor, Tensors]:
        end = () if w is None else (w,)
        out = run(*weights.values(), *frozen.values(), *state.values(), x, y, *end)
        count = len(weights)
        return out[:count], out[count], dict(zip(state, out[count + 1 :], strict=True))

    return take


def gradients_of(
    engine: Name,
    module: nn.Module,
    loss: Loss,
    stacks: Sequence[Tensors],
    batch: tuple[Tensor, Tensor, Tensor | None],
) -> Gradients:
    """Return how ``engine`` takes the gradients of tiles like this one: ``stacks`` are weights, frozen and buffers.

    What is traced or compiled holds for the shapes of ``stacks`` and ``batch`` alone. Raises ``Untraceable``.
    """
    if engine == "looped":
        return looped(module, loss)
    if engine == "stacked":
        return stacked(module, loss)
    names = [list(stack) for stack in stacks]
    alone = len(batch[0]) == 1 and engine == "traced"
    flat = _flat((_alone if alone else stacked)(module, loss), names, batch[2] is not None)
    # clones: the first run may change buffers
    examples = [v.clone() for stack in stacks for v in stack.values()] + [v for v in batch if v is not None]
    if engine == "traced":
        return _unflat(traced(flat, examples, exact=alone))
    return _unflat(_compiled(flat, examples))


def _compiled(flat: Callable[..., list[Tensor]], examples: Sequence[Tensor]) -> Callable[..., list[Tensor]]:
    run = torch.compile(flat, dynamic=False, fullgraph=True)
    try:
        with torch.no_grad():
            run(*examples)
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
        said = " ".join(str(error).split())[:160]
        raise BadInput(
            f"engine is 'compiled', and torch.compile fails: {said}; it needs a C++ compiler, or choose engine='auto'."
        ) from error

    def quiet(*tensors: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return run(*tensors)

    return quiet
