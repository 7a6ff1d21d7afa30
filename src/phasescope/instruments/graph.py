"""What a module's computation looks like from outside: its calls in order, and how what they pass on hangs together.

A *value* is a tensor's place in the graph of autograd. The *stream* that begins at a value is all that depends on it
and leads to the deepest output that it reaches. A value of a stream is a *cut* when every path from the beginning to
that output goes through it: the residual stream after a block is one, the branch inside is none, nor is a condition
that all blocks are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phasescope.checks import sequence, shown
from phasescope.instruments.calls import (
    Path,
    begun,
    call,
    early_or_late,
    floats,
    refusing,
    said,
    start,
    swapped,
    watchable,
)
from phasescope.instruments.given_back import untouched
from phasescope.vocabulary import BadInput, nearest

INPUT = "input"
REENTRANT = "CheckpointFunctionBackward"
Value = tuple[Any, int]  # a node, and which of its outputs


@dataclass(frozen=True)
class Tap:
    """Where a place called ``name`` is read: at which call of which module, on which side, which of the tensors."""

    name: str
    module: str
    call: int
    side: Literal["in", "out"]
    path: Path


class Block(str):
    """A block's name, with the place where it begins, if that is one tensor, and those where it ends, one per call."""

    taps: tuple[Tap, ...]
    before: Tap | None

    def __new__(cls, name: str, taps: Iterable[Tap], before: Tap | None = None) -> Block:
        """Return the name ``name`` with its places."""
        block = super().__new__(cls, name)
        block.taps, block.before = tuple(taps), before
        return block


@dataclass(frozen=True)
class Seen:
    """A floating tensor at a module's door: where, ``when`` in the order of all doors, its value and its shape."""

    module: str
    call: int
    side: Literal["in", "out"]
    path: Path
    when: int
    value: Value | None
    shape: tuple[int, ...]

    def tap(self, name: str) -> Tap:
        """Return this place under the name ``name``."""
        return Tap(name, self.module, self.call, self.side, self.path)


@dataclass
class Call:
    """One call of a module, with what it took and gave, between two moments."""

    module: str
    number: int
    begin: int
    end: int = -1
    inputs: list[Seen] = field(default_factory=list)
    outputs: list[Seen] = field(default_factory=list)


@dataclass
class Trace:
    """One forward pass: the ``calls`` in the order in which they began, and the tensors that the model gave."""

    calls: list[Call] = field(default_factory=list)
    output: list[Seen] = field(default_factory=list)
    order: list[Value] = field(default_factory=list)
    inputs: dict[Value, list[Value]] = field(default_factory=dict)
    depth: dict[Value, int] = field(default_factory=dict)
    moments: int = 0

    def moment(self) -> int:
        """Return the number of the next moment."""
        self.moments += 1
        return self.moments


@dataclass(frozen=True)
class Stream:
    """The values from a beginning to an output, by their rank along the way, and those that are cuts."""

    rank: dict[Value, int]
    cuts: frozenset[Value]
    sink: Value


def owns(part: nn.Module) -> bool:
    """Say whether ``part`` has parameters of its own, parametrized ones included."""
    return next(part.parameters(recurse=False), None) is not None or "parametrizations" in part._modules


def edge_of(h: Tensor) -> Any:
    """Return where ``h`` stands in the graph, whatever is done to it in place later; None without a graph."""
    return torch.autograd.graph.get_gradient_edge(h) if h.requires_grad else None


def named_call(name: str, number: int) -> str:
    """Return the name of the place where call ``number`` of the module ``name`` ends."""
    return name if number == 1 else f"{name}#{number}"


def watched(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of ``module``, itself last of all called ``""``, but for what makes parametrized weights."""
    for name, part in watchable(module):
        if "parametrizations" not in name.split("."):
            yield name, part


def beginning(part: nn.Module, held: Any) -> Any:
    """Return ``held``, what ``part`` takes or gives, in a graph: one begins here where there was none so far."""
    if not owns(part) or not torch.is_grad_enabled():
        return held
    found = [h for _, h in floats(held) if h.layout is torch.strided]
    if not any(h.requires_grad for h in found):
        for h in found:
            held = swapped(held, h, start(h))
    return held


def traced(module: nn.Module, batch: Any) -> Trace:
    """Run ``module`` once on ``batch`` with a graph, untouched, and return what its parts took and gave."""
    return early_or_late(lambda early: _traced(module, batch, early))


def _traced(module: nn.Module, batch: Any, early: bool) -> Trace:
    trace, handles = Trace(), []
    running: dict[str, list[Call]] = {}
    numbers: dict[str, int] = {}

    def before(name: str) -> Any:
        def hook(part: nn.Module, args: Any, keywords: Any) -> Any:
            args, keywords = beginning(part, (args, keywords))
            numbers[name] = numbers.get(name, 0) + 1
            now = Call(name, numbers[name], trace.moment())
            now.inputs = _seen(name, now.number, "in", now.begin, (args, keywords))
            trace.calls.append(now)
            running.setdefault(name, []).append(now)
            return args, keywords

        return hook

    def after(name: str) -> Any:
        def hook(part: nn.Module, args: Any, keywords: Any, out: Any) -> Any:
            out = beginning(part, out)
            now = running[name].pop()
            now.end = trace.moment()
            now.outputs = _seen(name, now.number, "out", now.end, out)
            return out

        return hook

    with untouched(module, batch), refusing(module):
        try:
            for name, part in watched(module):
                handles.append(part.register_forward_pre_hook(before(name), with_kwargs=True))
                handles.append(part.register_forward_hook(after(name), with_kwargs=True))
            out = call(module, begun(batch, graph=early))
        finally:
            for handle in handles:
                handle.remove()
    trace.calls = [now for now in trace.calls if now.end > 0]
    trace.output = _seen("", 1, "out", trace.moment(), out)
    _order(trace)
    if any(value[0].name() == REENTRANT for value in trace.order):
        raise BadInput(
            "the model checkpoints with use_reentrant=True, through which no gradient between two places can be read: "
            "use use_reentrant=False, or switch checkpointing off."
        )
    return trace


def _seen(name: str, number: int, side: Literal["in", "out"], when: int, held: Any) -> list[Seen]:
    found = []
    for path, h in floats(held):
        edge = edge_of(h)
        found.append(Seen(name, number, side, path, when, edge and (edge[0], edge[1]), tuple(h.shape)))
    return found


def _order(trace: Trace) -> None:
    """Put what the outputs depend on in an order in which each value comes after what it is made of."""
    for seen in trace.output:
        stack = [(seen.value, False)] if seen.value is not None else []
        while stack:
            value, whole = stack.pop()
            if whole:
                trace.order.append(value)
                trace.depth[value] = 1 + max((trace.depth[part] for part in trace.inputs[value]), default=0)
            elif value not in trace.inputs:
                parts = [(node, which) for node, which in value[0].next_functions if node is not None]
                trace.inputs[value] = parts
                stack.append((value, True))
                stack += [(part, False) for part in parts if part not in trace.inputs]


def stream_from(trace: Trace, beginning: Value | None, sink: Value | None = None) -> Stream | None:
    """Return the stream from a value to ``sink``, or to the deepest output; None where it does not lead there.

    Among the values of a stream, in an order in which each comes after what it depends on, a cut is one that no edge
    jumps over.
    """
    after = descendants(trace, beginning)
    ends = [seen.value for seen in trace.output] if sink is None else [sink]
    reached = [end for end in ends if end is not None and end in after]
    if not reached:
        return None
    sink = max(reached, key=trace.depth.__getitem__)
    needed = {sink}
    for value in reversed(trace.order):
        if value in needed and value != beginning:
            needed.update(part for part in trace.inputs[value] if part in after)
    path = [value for value in trace.order if value in needed]
    rank = {value: i for i, value in enumerate(path)}
    reach = list(range(len(path)))
    for i, value in enumerate(path[1:], 1):
        for part in trace.inputs[value]:
            if part in rank:
                reach[rank[part]] = i
    farthest, cuts = 0, set()
    for i, value in enumerate(path):
        if farthest <= i:
            cuts.add(value)
        farthest = max(farthest, reach[i])
    return Stream(rank, frozenset(cuts), sink)


def descendants(trace: Trace, beginning: Value | None) -> set[Value]:
    """Return the values that depend on ``beginning``, itself included, among those that some output depends on."""
    if beginning not in trace.depth or beginning is None:
        return set()
    after = {beginning}
    for value in trace.order:
        if any(part in after for part in trace.inputs[value]):
            after.add(value)
    return after


def checked_names(module: nn.Module, names: Any) -> Sequence[str]:
    """Return ``names`` if all are names of modules of ``module``; raise ``BadInput`` otherwise.

    A name in which ``#`` stands for a number or ``*`` for any part of a name is that of all modules that it fits.
    """
    known = dict(module.named_modules())
    names = [] if isinstance(names, tuple | list) and not names else sequence("blocks", names, 10**6)
    for name in names:
        if not isinstance(name, str):
            raise BadInput(f"a block is {shown(name)}: give names of modules, such as {shown(list(known)[1:3])}.")
        if not any(letter in name for letter in "#*") and name not in known:
            raise BadInput(f"the model has no module {name!r}{nearest(name, list(known)[1:13])}")
    return [fit for name in names for fit in _fitting(name, known)]


def _fitting(name: str, known: Iterable[str]) -> list[str]:
    if not any(letter in name for letter in "#*"):
        return [name]
    pattern = re.compile(re.escape(name).replace(r"\#", r"\d+").replace(r"\*", "[^.]+"))
    found = [other for other in known if pattern.fullmatch(other)]
    if not found:
        raise BadInput(f"the model has no module that fits {name!r}: # is a number, * any part between two dots.")
    return found


def located(trace: Trace, names: Sequence[str]) -> tuple[Block, ...]:
    """Return the modules ``names`` as blocks, each with the tensor of its output that goes on.

    Where an output has several, it is the one that depends on the place before; if these are several, the one that all
    paths from there go through. Raises ``BadInput`` for modules that are never called, that give no floating tensor, or
    several that go on or none.
    """
    calls = sorted((now for now in trace.calls if now.module in names), key=lambda now: now.end)
    for name in names:
        if not any(now.module == name for now in calls):
            raise BadInput(f"the module {name!r} is never called by this batch: choose other blocks.")
    first = min(calls, key=lambda now: now.begin)
    earlier, ends = list(first.inputs), []
    for now in calls:
        ends.append(_going_on(trace, earlier, now))
        earlier = [ends[-1]]
    taps = [seen.tap(named_call(seen.module, seen.call)) for seen in ends]
    return joined([now.module for now in calls], taps, _begin(trace, first.inputs, ends))


def _going_on(trace: Trace, earlier: Sequence[Seen], now: Call) -> Seen:
    """Return which tensor that a call gives goes on."""
    found = _different(now.outputs)
    if not found:
        raise BadInput(f"the module {now.module!r} gives no floating tensor: choose blocks that pass a signal on.")
    if len(found) == 1:
        return found[0]
    streams = [stream for seen in earlier if (stream := stream_from(trace, seen.value)) is not None]
    on = [seen for seen in found if any(seen.value in stream.rank for stream in streams)]
    through = [seen for seen in on if any(seen.value in stream.cuts for stream in streams)]
    if len(on) != 1 and len(through) != 1:
        told = ", ".join(f"{said(seen.path)} of shape {seen.shape}" for seen in (on or found)[:4])
        how = "none of which goes on from the place before" if not on else "of which more than one goes on"
        raise BadInput(f"the module {now.module!r} gives {told}, {how}: name blocks that pass on one signal.")
    return on[0] if len(on) == 1 else through[0]


def _different(seen: Iterable[Seen]) -> list[Seen]:
    """Return one of each group that is the same value."""
    found = list(seen)
    return list({one.value or (None, i): one for i, one in reversed(list(enumerate(found)))}.values())[::-1]


def _begin(trace: Trace, inputs: Sequence[Seen], ends: Sequence[Seen]) -> Tap | None:
    """Return which input is the signal: the only one, or the only one from which all paths go through each end."""
    found = _different(inputs)
    if len(found) > 1:
        streams = [(seen, stream_from(trace, seen.value)) for seen in found]
        found = [seen for seen, stream in streams if stream and all(end.value in stream.cuts for end in ends)]
    return found[0].tap(INPUT) if len(found) == 1 else None


def entered(trace: Trace, begin: Seen) -> Seen | None:
    """Return the last tensor before ``begin`` from which something goes on that passes ``begin`` by, or None.

    Where a block is the branch f of h + f(norm(h)), it takes norm(h), and the signal that enters is h.
    """
    before = {begin.value} if begin.value is not None else set()
    for value in reversed(trace.order):
        if value in before:
            before.update(trace.inputs[value])
    seen = [one for now in trace.calls for one in now.outputs] + [one for now in trace.calls for one in now.inputs]
    known = {one.value: one for one in seen if one.value in before and one.value not in (None, begin.value)}
    for value in sorted(known, key=trace.depth.__getitem__, reverse=True):
        stream = stream_from(trace, value)
        if stream is not None and begin.value not in stream.cuts:
            return known[value]
    return None


def joined(owners: Sequence[str], taps: Sequence[Tap], before: Tap | None) -> tuple[Block, ...]:
    """Return the blocks ``owners`` whose calls end at ``taps``, each beginning where the one before ends."""
    begins: dict[str, Tap | None] = {}
    for owner, tap in zip(owners, taps, strict=True):
        begins.setdefault(owner, before and replace(before, name=INPUT))
        before = tap
    ends = {name: [tap for owner, tap in zip(owners, taps, strict=True) if owner == name] for name in begins}
    return tuple(Block(name, ends[name], begins[name]) for name in begins)
