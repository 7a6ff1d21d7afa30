"""How any model is called: its batch as the beginning of a graph, the tensors that it takes and gives, its errors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from phasescope.checks import numbers
from phasescope.vocabulary import BadInput

T = TypeVar("T")
Path = tuple[Any, ...]
DEEP = 6  # containers within containers, beyond which no signal is looked for
FAULTS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, NotImplementedError)


def batch_of(module: nn.Module, inputs: Any) -> Tensor:
    """Return ``inputs`` as a tensor: lists and arrays of numpy's get the type of the module's parameters if floats."""
    if isinstance(inputs, Tensor):
        return inputs
    found = torch.from_numpy(numbers("inputs", inputs).copy())
    own = next((p for p in module.parameters() if p.is_floating_point()), None)
    return found.to(own.device, own.dtype) if own is not None and found.is_floating_point() else found


def floats(value: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Yield the floating tensors in what a module takes or gives, each with the way to it.

    Looked into are tuples, lists, mappings, dataclasses, and the attributes of other objects.
    """
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield path, value
    elif len(path) < DEEP:
        for key, part in _parts(value):
            yield from floats(part, (*path, key))


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple | list):
        yield from enumerate(value)
    elif not isinstance(value, nn.Module | type | FunctionType | ModuleType):
        held = getattr(value, "__dict__", None)
        yield from list(held.items()) if isinstance(held, dict) else ()


def tensor_of(value: Any) -> Tensor | None:
    """Return the first floating tensor in what a module takes or gives, or None."""
    return next((found for _, found in floats(value)), None)


def said(path: Path) -> str:
    """Return the way to a tensor as it is written in Python.

    >>> said((0, "hidden"))
    "[0]['hidden']"
    """
    return "".join(f"[{key!r}]" for key in path)


def swapped(value: Any, old: Tensor, new: Tensor, depth: int = 0) -> Any:
    """Return ``value`` with the tensor ``old`` replaced by ``new``, in the same containers."""
    if value is old:
        return new
    if depth == DEEP or not any(found is old for _, found in floats(value)):
        return value

    def part(held: Any) -> Any:
        return swapped(held, old, new, depth + 1)

    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(part, value))
    if isinstance(value, tuple | list):
        return type(value)(map(part, value))
    if isinstance(value, Mapping):
        changed = {key: part(held) for key, held in value.items()}
        kind: Any = type(value)  # a model's output class takes its parts as keywords
        return kind(**changed) if hasattr(value, "to_tuple") else kind(changed)
    twin = copy.copy(value)
    for key, held in vars(value).items():
        object.__setattr__(twin, key, part(held))  # also where a dataclass is frozen
    return twin


def usable(batch: Any) -> Any:
    """Return ``batch`` with tensors made under ``inference_mode``, which autograd refuses, replaced by copies."""
    if isinstance(batch, Tensor):
        with torch.inference_mode(False):
            return batch.clone() if batch.is_inference() else batch
    return _rebuilt(batch, usable)


def begun(batch: Any, *, graph: bool = True) -> Any:
    """Return a copy of ``batch`` whose floating tensors are the beginning of a graph, equal ones where equal ones were.

    Objects of other kinds are passed on as they are. Without ``graph`` it is a copy alone.
    """
    known: dict[int, Tensor] = {}

    def copied(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return _rebuilt(value, copied)
        if id(value) not in known:
            plain = graph and value.is_floating_point() and value.layout is torch.strided
            known[id(value)] = start(value.detach()) if plain else value.detach().clone()
        return known[id(value)]

    return copied(batch)


def start(h: Tensor) -> Tensor:
    """Return ``h`` as it is, in a graph that begins here."""
    return h + torch.zeros_like(h, requires_grad=True)


def _rebuilt(value: Any, change: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(change, value))
    if type(value) in (tuple, list):
        return type(value)(map(change, value))
    return {name: change(part) for name, part in value.items()} if isinstance(value, Mapping) else value


def early_or_late(run: Callable[[bool], T]) -> T:
    """Return ``run(True)``; or ``run(False)`` where the model takes no batch that begins a graph, as for numpy.

    Without that the graph begins at the first module that has parameters.
    """
    try:
        return run(True)
    except BadInput as error:
        if "requires grad" not in str(error):
            raise
        return run(False)


def call(module: nn.Module, batch: Any) -> Any:
    """Return ``module(batch)``: a mapping goes in as keywords, a tuple as arguments, all else as the one argument."""
    args = batch if isinstance(batch, tuple) else () if isinstance(batch, Mapping) else (batch,)
    keywords = dict(batch) if isinstance(batch, Mapping) else {}
    return module(*args, **keywords)


def watchable(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of each part that takes hooks: all but scripted ones and what they hold."""
    closed: set[str] = set()
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            closed.add(f"{name}.")
        elif not any(name.startswith(inside) for inside in closed):
            yield name, part


@contextmanager
def refusing(module: nn.Module) -> Iterator[None]:
    """Turn what the model raises inside into a ``BadInput``: one sentence that names the innermost module."""
    where: list[str] = []
    handles: list[Any] = []
    for name, part in watchable(module):
        handles.append(part.register_forward_pre_hook(lambda _m, _a, name=name: where.append(name)))
        handles.append(part.register_forward_hook(lambda _m, _a, _o: where.__delitem__(-1)))
    try:
        yield
    except BadInput:
        raise
    except FAULTS as error:
        name = where[-1] if where else ""
        refused = f"the module {name!r}" if name else "the model"
        raise BadInput(
            f"{refused} refuses this batch: {_reason(error)}. Mend the batch's shape, dtype or device."
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def pulled(h: Tensor, starts: Sequence[Any], v: Tensor, *, create_graph: bool = False) -> Sequence[Tensor | None]:
    """Return v^T dh/dstart for each of ``starts``, edges of a graph; None where ``h`` does not depend on it.

    Raises ``BadInput`` where the model's backward pass fails.
    """
    known = [edge for edge in starts if edge is not None]
    if not h.requires_grad or not known:
        return [None for _ in starts]
    try:
        found = iter(torch.autograd.grad(h, known, v, retain_graph=True, allow_unused=True, create_graph=create_graph))
    except FAULTS as error:
        raise BadInput(
            f"the model's backward pass fails: {_reason(error)}. It could not be trained as it is: mend it there."
        ) from error
    return [None if edge is None else next(found) for edge in starts]


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:300] if lines else type(error).__name__
