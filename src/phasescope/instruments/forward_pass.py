"""One forward pass of any module, left untouched, with places where its signal and its gradients can be read.

At each chosen block the signal flows on as ``h + 0``, where the zero is a leaf of autograd: the gradient at that leaf
is the gradient with respect to h, whatever the module does inside, also where weights are frozen or tied. The values
that are read are the ones before any in-place operation downstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasescope.checks import numbers, sequence, shown
from phasescope.vocabulary import BadInput, nearest

__all__ = ["INPUT", "Passage", "passage", "untouched"]

INPUT = "input"
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


@dataclass
class Passage:
    """What a forward pass left: ``values`` name -> the block's output h, ``leaves`` name -> the zero added to it.

    ``names`` are in the order of the calls, ``INPUT`` first: what the first block was given. Both keep the batch's own
    shape, (B, ...). ``output`` is what the module returned. ``activity``: see ``instruments.signal.Activity``.
    """

    names: list[str] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)
    leaves: dict[str, Tensor] = field(default_factory=dict)
    output: Any = None
    activity: Any = None


def module_of(module: Any) -> nn.Module:
    """Return ``module`` if it is one of torch's; raise ``BadInput`` for anything else."""
    if not isinstance(module, nn.Module):
        raise BadInput(f"module is {shown(module)}: give a torch.nn.Module.")
    return module


def batch_of(module: nn.Module, inputs: Any) -> Tensor:
    """Return ``inputs`` as a tensor: lists and arrays of numpy's get the type of the module's parameters if floats."""
    if isinstance(inputs, Tensor):
        return inputs
    found = torch.from_numpy(numbers("inputs", inputs).copy())
    own = next((p for p in module.parameters() if p.is_floating_point()), None)
    return found.to(own.device, own.dtype) if own is not None and found.is_floating_point() else found


def places(found: Any, *names: str) -> Passage:
    """Return the passage ``found``; raise ``BadInput`` if it is none, or has no places called ``names``."""
    if not isinstance(found, Passage):
        raise BadInput(f"the passage is {shown(found)}: give what 'with passage(...) as found' gives.")
    for name in names:
        if not isinstance(name, str) or name not in found.values:
            raise BadInput(f"there is no place {shown(name)} in this passage: it has {shown(found.names)}.")
    return found


def tensor_of(value: Any) -> Tensor | None:
    """Return the signal in what a module takes or gives: the first floating tensor in its containers, or None."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((found for part in parts if (found := tensor_of(part)) is not None), None)


def swapped(value: Any, old: Tensor, new: Tensor) -> Any:
    """Return ``value`` with the tensor ``old`` replaced by ``new``, in the same containers."""
    if value is old:
        return new
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(swapped(part, old, new) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(swapped(part, old, new) for part in value)
    if isinstance(value, Mapping):
        changed = {key: swapped(part, old, new) for key, part in value.items()}
        kind: Any = type(value)  # a model's output class takes its parts as keywords
        return kind(**changed) if hasattr(value, "to_tuple") else kind(changed)
    return value


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Give back every bit of the module's and torch's state at the end: modes, buffers, gradients, random numbers.

    Inside, gradients are on (also under a caller's ``no_grad``), and every part is in evaluation mode, so that nothing
    is dropped at random, but for batch normalization that was training: it goes on normalizing by the batch.
    """
    modes = [(part, part.training) for part in module_of(module).modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    devices = sorted({p.device.index for p in module.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices=devices), torch.inference_mode(False), torch.enable_grad():
            for part, training in modes:
                part.training = training and isinstance(part, BATCH_NORMS)
            yield
    finally:
        for part, training in modes:
            part.training = training
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def usable(batch: Any) -> Any:
    """Return ``batch`` with tensors made under ``inference_mode``, which autograd refuses, replaced by copies."""
    if isinstance(batch, Tensor):
        with torch.inference_mode(False):
            return batch.clone() if batch.is_inference() else batch
    if isinstance(batch, tuple):
        return tuple(usable(part) for part in batch)
    return {name: usable(part) for name, part in batch.items()} if isinstance(batch, Mapping) else batch


def call(module: nn.Module, batch: Any, parameters: Mapping[str, Tensor] | None = None) -> Any:
    """Return ``module(batch)``: a mapping goes in as keywords, a tuple as arguments, all else as the one argument.

    With ``parameters`` these stand in for the module's own of the same names.
    """
    args = batch if isinstance(batch, tuple) else () if isinstance(batch, Mapping) else (batch,)
    keywords = dict(batch) if isinstance(batch, Mapping) else {}
    return functional_call(module, dict(parameters), args, keywords) if parameters else module(*args, **keywords)


@contextmanager
def passage(
    module: nn.Module,
    batch: Any,
    blocks: Sequence[str],
    *,
    parameters: Mapping[str, Tensor] | None = None,
    during: Callable[[Passage], AbstractContextManager[Any]] | None = None,
) -> Iterator[Passage]:
    """Run ``module`` on ``batch`` once and yield the ``Passage`` through the named ``blocks``.

    ``batch``: what ``call`` takes. A block that is called again in the same pass appears again as ``name#2``, ``#3``.
    Hooks and state are given back at the end; gradients of the module's own parameters are never touched. The module is
    called inside ``during(passage)``.

    Raises ``BadInput`` for names that are no modules, blocks that are never called or pass on no floating tensor,
    values that are empty or not finite (names the first such block), and whatever the module refuses the batch with.
    """
    known = dict(module_of(module).named_modules())
    blocks = [] if isinstance(blocks, tuple | list) and not blocks else sequence("blocks", blocks, 10**6)
    for name in blocks:
        if not isinstance(name, str):
            raise BadInput(f"a block is {shown(name)}: give names of modules, such as {shown(list(known)[1:3])}.")
        if name not in known:
            raise BadInput(f"the model has no module {name!r}{nearest(name, list(known)[1:13])}")
    found, calls = Passage(), dict.fromkeys(blocks, 0)

    def tap(name: str, h: Tensor) -> Tensor:
        if h.numel() == 0:
            raise BadInput(f"the output of {name!r} has shape {tuple(h.shape)}: give a batch of at least one sample.")
        if not bool(torch.isfinite(h).all()):
            raise BadInput(f"the output of {name!r} is not finite: look for overflow or bad weights there or before.")
        leaf = torch.zeros_like(h, requires_grad=True)
        found.names.append(name)
        found.values[name], found.leaves[name] = h, leaf
        return h + leaf

    def before(part: nn.Module, args: Any, keywords: Any) -> Any:
        h = tensor_of(args) if tensor_of(args) is not None else tensor_of(keywords)
        if found.names or h is None:
            return None
        on = tap(INPUT, h)
        return swapped(args, h, on), swapped(keywords, h, on)

    def after(name: str) -> Any:
        def hook(part: nn.Module, args: Any, keywords: Any, out: Any) -> Any:
            h = tensor_of(out)
            if h is None:
                raise BadInput(f"the module {name!r} gives no floating tensor: choose blocks that pass a signal on.")
            calls[name] += 1
            return swapped(out, h, tap(name if calls[name] == 1 else f"{name}#{calls[name]}", h))

        return hook

    handles = []
    with untouched(module):
        try:
            for name in blocks:
                handles.append(known[name].register_forward_pre_hook(before, with_kwargs=True))
                handles.append(known[name].register_forward_hook(after(name), with_kwargs=True))
            with refusing(module), during(found) if during else nullcontext():
                found.output = call(module, batch, parameters)
            silent = [name for name, count in calls.items() if count == 0]
            if silent:
                raise BadInput(f"the module {silent[0]!r} is never called by this batch: choose other blocks.")
            yield found
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def refusing(module: nn.Module) -> Iterator[None]:
    """Turn what the model raises inside into a ``BadInput``: one sentence that names the innermost module."""
    where: list[str] = []
    handles: list[Any] = []
    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda _m, _a, name=name: where.append(name)))
        handles.append(part.register_forward_hook(lambda _m, _a, _o: where.__delitem__(-1)))
    try:
        yield
    except BadInput:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        name = where[-1] if where else ""
        refused = f"the module {name!r}" if name else "the model"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"{refused} refuses this batch: {reason}. Mend the batch's shape, dtype or device.") from error
    finally:
        for handle in handles:
            handle.remove()


def shape_of(h: Tensor) -> tuple[int, int]:
    """Return the number of samples (the first axis) and of units per sample of a signal."""
    return h.shape[0], math.prod(h.shape[1:])
