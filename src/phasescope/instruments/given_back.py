"""A module, its batch and the random numbers of the user's program, given back as they were, bit for bit.

A forward pass may change whatever the module can reach: buffers in place or put anew, weights rescaled in evaluation
mode, counters, caches, the batch itself, random states. So everything is noted that can be changed in place and is
reached from the module through its attributes: dictionaries, lists, tensors, arrays, generators, objects.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from phasescope.checks import shown
from phasescope.vocabulary import BadInput

__all__ = ["untouched"]

BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
UNCHANGING = (
    str, bytes, int, float, complex, type(None), type, FunctionType, BuiltinFunctionType, MethodType, ModuleType,
    torch.dtype, torch.device,
)  # fmt: skip
FAR = 3  # objects beyond so many others are no part of a module: its trainer's loggers, their threads
SETTLED = 15  # power iterations with which torch's newer spectral norm begins


def module_of(module: Any) -> nn.Module:
    """Return ``module`` if it is one of torch's that has its numbers; raise ``BadInput`` for anything else."""
    if not isinstance(module, nn.Module):
        raise BadInput(f"module is {shown(module)}: give a torch.nn.Module.")
    if isinstance(module, torch.jit.ScriptModule):
        raise BadInput("the model is a ScriptModule, whose parts can not be watched: give the module it was made from.")
    for name, parameter in module.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise BadInput(f"the weight {name!r} has no shape yet: call the model once on a batch, then read it.")
        if parameter.is_meta:
            raise BadInput(
                f"the weight {name!r} is on the device meta and has no numbers: load or initialize the model."
            )
    return module


@contextmanager
def untouched(module: nn.Module, batch: Any = None) -> Iterator[None]:
    """Give back every bit at the end: of the module, of ``batch``, and of torch's, numpy's and Python's random states.

    Of the module: parameters, buffers and all other attributes, in value and identity, modes, hooks, gradients,
    ``requires_grad``; with what its attributes hold, three objects deep. Left out is what no attribute leads to, such
    as a variable of the user's file. Costs a copy of the parameters.

    Inside, gradients are on (also under a caller's ``no_grad``), and every part is in evaluation mode, so that nothing
    is dropped at random, but for batch normalization that was training: it goes on normalizing by the batch. A spectral
    norm that was training has its power iteration carried on until it says something.
    """
    modes = [(part, part.training) for part in module_of(module).modules()]
    devices = sorted({p.device.index for p in module.parameters() if p.is_cuda})
    drawn = np.random.get_state(), random.getstate()  # noqa: NPY002  (the user's program may use it)
    with torch.random.fork_rng(devices=devices), torch.inference_mode(False):
        kept = _Kept()
        kept.keep(module, batch)
        try:
            with torch.enable_grad():
                _settle(part for part, training in modes if training)
                for part, training in modes:
                    part.training = training and isinstance(part, BATCH_NORMS)
                yield
        finally:
            for part, training in modes:
                part.training = training
            kept.give_back()
            np.random.set_state(drawn[0])  # noqa: NPY002
            random.setstate(drawn[1])


def _settle(parts: Iterable[nn.Module]) -> None:
    for part in parts:
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                with torch.no_grad():
                    for _ in range(SETTLED):
                        hook.compute_weight(part, do_power_iteration=True)


class _Kept:
    """What can be changed in place and is reached from where ``keep`` begins, with the way back for each."""

    def __init__(self) -> None:
        self.ways: list[Callable[[], object]] = []
        self.seen: dict[int, Any] = {}  # by id; held, so that no id is given twice

    def keep(self, *begin: Any) -> None:
        """Note all that is reached from ``begin``."""
        todo = [(value, 0) for value in begin]
        while todo:
            value, far = todo.pop()
            if isinstance(value, UNCHANGING) or id(value) in self.seen:
                continue
            self.seen[id(value)] = value
            known = isinstance(value, nn.Module | Tensor | dict | list | tuple | set | frozenset | deque)
            far = 0 if isinstance(value, nn.Module) else far if known else far + 1
            if far <= FAR:
                todo += [(part, far) for part in self._noted(value)]

    def give_back(self) -> None:
        """Put everything back that is not as it was."""
        for way in self.ways:
            way()

    def _noted(self, value: Any) -> Iterable[Any]:
        """Note one thing, and return what it holds."""
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            return self._dictionary(value)
        if isinstance(value, list | deque | set):
            return self._collection(value)
        if isinstance(value, tuple | frozenset):
            return value
        if isinstance(value, np.ndarray):
            self._array(value)
            return ()
        self._state(value)
        if isinstance(value, torch.jit.ScriptModule):
            return [*value.parameters(), *value.buffers()]
        held = getattr(value, "__dict__", None)
        if not isinstance(held, dict):
            return ()
        if isinstance(value, nn.Module):
            self._class(value)
        return (held,)

    def _dictionary(self, value: dict[Any, Any]) -> Iterable[Any]:
        held = list(value.items())

        def back() -> None:
            now = list(value.items())
            if len(now) != len(held) or any(a is not c or b is not d for (a, b), (c, d) in zip(now, held, strict=True)):
                value.clear()
                value.update(held)

        self.ways.append(back)
        return [part for _, part in held]

    def _collection(self, value: Any) -> Iterable[Any]:
        held = list(value)

        def back() -> None:
            now = list(value)
            if len(now) != len(held) or any(a is not b for a, b in zip(now, held, strict=True)):
                value.clear()
                value.update(held) if isinstance(value, set) else value.extend(held)

        self.ways.append(back)
        return held

    def _array(self, value: Any) -> None:
        held = value.copy()

        def back() -> None:
            if value.tobytes() != held.tobytes():
                value[...] = held

        if value.dtype != object and value.flags.writeable:
            self.ways.append(back)

    def _class(self, value: nn.Module) -> None:
        kind = type(value)

        def back() -> None:
            if type(value) is not kind:
                value.__class__ = kind

        self.ways.append(back)

    def _state(self, value: Any) -> None:
        """Note the state of a generator of random numbers."""
        if isinstance(value, np.random.Generator):
            value = value.bit_generator
        if isinstance(value, np.random.BitGenerator):
            bits, before = value, value.state
            self.ways.append(partial(setattr, bits, "state", before))
        elif isinstance(value, np.random.RandomState):
            self.ways.append(partial(value.set_state, value.get_state(legacy=False)))
        elif isinstance(value, torch.Generator):
            self.ways.append(partial(value.set_state, value.get_state()))
        elif isinstance(value, random.Random):
            self.ways.append(partial(value.setstate, value.getstate()))

    def _tensor(self, value: Tensor) -> Iterable[Any]:
        wrapped = type(value).__torch_dispatch__ is not Tensor.__torch_dispatch__
        if value.layout is not torch.strided or value.is_meta or wrapped:  # no plain numbers to put back
            return ()
        memory, leaf, wanted = value.detach(), value.is_leaf, value.requires_grad
        held, grad = memory.clone(), value.grad if leaf else None

        def back() -> None:
            if leaf and value.grad_fn is not None:
                value.detach_()
            if _placed(value) != _placed(memory):
                value.data = memory
            if not torch.equal(value.detach(), held):
                with torch.inference_mode(value.is_inference()), torch.no_grad():
                    value.copy_(held)
            if leaf and value.requires_grad != wanted:
                value.requires_grad_(wanted)
            if leaf and value.grad is not grad:
                value.grad = grad

        self.ways.append(back)
        return (grad, value.__dict__)


def _placed(value: Tensor) -> tuple[Any, ...]:
    return value.data_ptr(), value.shape, value.dtype, value.stride()
