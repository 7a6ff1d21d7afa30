"""One forward pass of any module, left untouched, with places where its signal and its gradients can be read.

A place is a tensor at a module's door. What is read there is the tensor as it was when it passed, and its edge in the
graph: the gradient at that edge is the gradient with respect to h, whatever the module does inside or later in place.
Where there is no graph yet, as behind frozen weights, one begins at the place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.stateless import _reparametrize_module

from phasescope.checks import shown
from phasescope.instruments.calls import begun, call, early_or_late, floats, refusing, start, swapped
from phasescope.instruments.given_back import module_of, untouched
from phasescope.instruments.graph import (
    INPUT,
    Block,
    Tap,
    beginning,
    checked_names,
    edge_of,
    located,
    named_call,
    traced,
    watched,
)  # fmt: skip
from phasescope.vocabulary import BadInput

__all__ = ["INPUT", "Passage", "passage", "untouched"]


@dataclass
class Passage:
    """What a forward pass left: ``values`` name -> the block's output h, ``edges`` name -> where it is in the graph.

    ``names`` are in the order of the calls, ``INPUT`` first: what the first block was given. Values keep the batch's
    own shape, (B, ...). ``output`` is what the module returned. ``activity``: see ``instruments.signal.Activity``.
    """

    names: list[str] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)
    edges: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    activity: Any = None


Altered = Callable[[str, Tensor, Passage], Tensor]


class _Several(BadInput):
    """A block takes or gives several tensors: the graph must say which one is the signal."""


def places(found: Any, *names: str) -> Passage:
    """Return the passage ``found``; raise ``BadInput`` if it is none, or has no places called ``names``."""
    if not isinstance(found, Passage):
        raise BadInput(f"the passage is {shown(found)}: give what 'with passage(...) as found' gives.")
    for name in names:
        if not isinstance(name, str) or name not in found.values:
            raise BadInput(f"there is no place {shown(name)} in this passage: it has {shown(found.names)}.")
    return found


@contextmanager
def passage(
    module: nn.Module,
    batch: Any,
    blocks: Sequence[str],
    *,
    parameters: Mapping[str, Tensor] | None = None,
    during: Callable[[Passage], AbstractContextManager[Any]] | None = None,
    altered: Altered | None = None,
) -> Iterator[Passage]:
    """Run ``module`` on ``batch`` once and yield the ``Passage`` through the named ``blocks``.

    ``batch``: what ``call`` takes. A block that is called again in the same pass appears again as ``name#2``, ``#3``.
    Where a block takes or gives several floating tensors, the signal is the one that descends from the place before,
    which costs one more forward pass. Hooks and state are given back at the end; gradients of the module's own
    parameters are never touched. The module is called inside ``during(passage)``. What ``altered(name, h, passage)``
    returns is passed on at a place, and read there, in h's stead.

    Raises ``BadInput`` for names that are no modules, blocks that are never called or pass on no floating tensor or
    more than one, values that are empty or not finite (names the first such block), and whatever the module refuses the
    batch with.
    """
    blocks = checked_names(module_of(module), blocks)
    with ExitStack() as stack:
        try:
            found = early_or_late(
                lambda early: stack.enter_context(_through(module, batch, blocks, parameters, during, altered, early))
            )
        except _Several:
            chosen = located(traced(module, batch), blocks)
            found = early_or_late(
                lambda early: stack.enter_context(_through(module, batch, chosen, parameters, during, altered, early))
            )
        yield found


@contextmanager
def _through(
    module: nn.Module,
    batch: Any,
    blocks: Sequence[str],
    parameters: Mapping[str, Tensor] | None,
    during: Any,
    altered: Altered | None,
    early: bool,
) -> Iterator[Passage]:
    found = Passage()
    reader = _Reader(found, blocks, altered)
    handles: list[Any] = []
    own = dict(parameters or {})  # they stay in place while gradients are taken: checkpointed parts are called again
    with untouched(module, batch), _reparametrize_module(module, own, tie_weights=True) if own else nullcontext():
        try:
            for name, part in watched(module):
                handles.append(part.register_forward_pre_hook(reader.before(name), with_kwargs=True))
                handles.append(part.register_forward_hook(reader.after(name), with_kwargs=True))
            with refusing(module), during(found) if during else nullcontext():
                found.output = call(module, begun(batch, graph=early))
        finally:
            for handle in handles:  # before any backward pass, in which checkpointed parts are called again
                handle.remove()
        reader.check()
        yield found


class _Reader:
    """Reads a passage at the doors of modules: of ``blocks`` that know their taps, or of any module with one signal."""

    def __init__(self, found: Passage, blocks: Sequence[str], altered: Altered | None) -> None:
        self.found, self.blocks, self.altered = found, blocks, altered
        self.known = all(isinstance(block, Block) for block in blocks)
        self.taps: dict[tuple[str, int, str], list[Tap]] = {}
        self.calls: dict[str, int] = {}
        for i, block in enumerate(blocks if self.known else ()):
            assert isinstance(block, Block)
            for tap in (block.before, *block.taps):
                if tap is not None and (i == 0 or tap is not block.before):
                    self.taps.setdefault((tap.module, tap.call, tap.side), []).append(tap)

    def before(self, name: str) -> Any:
        """Return the hook that reads what the module ``name`` takes."""

        def hook(part: nn.Module, args: Any, keywords: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            held = beginning(part, (args, keywords))
            if self.known:
                return self._tapped(held, name, self.calls[name], "in")
            if name in self.blocks and not self.found.names:
                signals = self._signals(name, held)
                held = self._read(INPUT, held, signals[0]) if signals else held
            return held

        return hook

    def after(self, name: str) -> Any:
        """Return the hook that reads what the module ``name`` gives."""

        def hook(part: nn.Module, args: Any, keywords: Any, out: Any) -> Any:
            out = beginning(part, out)
            if self.known:
                return self._tapped(out, name, self.calls[name], "out")
            if name in self.blocks:
                signals = self._signals(name, out)
                if not signals:
                    raise BadInput(
                        f"the module {name!r} gives no floating tensor: choose blocks that pass a signal on."
                    )
                out = self._read(named_call(name, self.calls[name]), out, signals[0])
            return out

        return hook

    def check(self) -> None:
        """Raise ``BadInput`` where a block has not been called."""
        silent = [block for block in self.blocks if not self.known and block not in self.calls]
        silent += [tap.module for taps in self.taps.values() for tap in taps if tap.name not in self.found.names]
        if silent:
            raise BadInput(f"the module {str(silent[0])!r} is never called by this batch: choose other blocks.")

    def _signals(self, name: str, held: Any) -> list[Tensor]:
        found = list({id(h): h for _, h in floats(held)}.values())
        if len(found) > 1:
            raise _Several(f"the module {name!r} takes or gives several floating tensors.")
        return found

    def _tapped(self, held: Any, name: str, number: int, side: str) -> Any:
        for tap in self.taps.get((name, number, side), ()):
            h = dict(floats(held)).get(tap.path)
            if h is None:
                raise BadInput(
                    f"the module {name!r} passes on something else each time it is called: choose other blocks."
                )
            held = self._read(tap.name, held, h)
        return held

    def _read(self, name: str, held: Any, h: Tensor) -> Any:
        """Note the place ``name``, and return ``held`` with a graph that begins here where ``h`` had none."""
        what = "what the first block takes" if name == INPUT else f"the output of {name!r}"
        if h.numel() == 0:
            raise BadInput(f"{what} has shape {tuple(h.shape)}: give a batch of at least one sample.")
        if not bool(torch.isfinite(h.detach()).all()):  # detached: a checkpoint counts what is kept
            raise BadInput(f"{what} is not finite: look for overflow or bad weights there or before.")
        if not torch.is_grad_enabled():
            raise BadInput(
                f"{what} is computed without gradients (torch.no_grad inside the model): choose other blocks."
            )
        if not h.requires_grad:
            on = start(h)
            held, h = swapped(held, h, on), on
        if self.altered is not None:
            on = self.altered(name, h, self.found)
            held, h = swapped(held, h, on), on
        self.found.names.append(name)
        self.found.values[name], self.found.edges[name] = h.clone(), edge_of(h)
        return held
