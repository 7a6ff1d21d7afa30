"""Rows of like modules in a forward pass, each of which ends at a cut of one stream: candidates for the blocks."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import nn

from phasescope.instruments.graph import Call, Seen, Stream, Trace, Value, entered, owns, stream_from

PLAIN = 0.9  # weight layers are the blocks where those that are cuts hold this share of all weight layers' parameters
FIRST = 3  # of so many first weight layers one begins the chain; of so many last outputs one ends a row
NO_BLOCK = re.compile("Norm|Embedding")
NUMBER = re.compile(r"\d+([a-z]\b)?")  # as in blocks.3, layer4, Mixed_5b


def is_weight_layer(part: nn.Module) -> bool:
    """Say whether ``part`` is one linear map by itself: its outputs are preactivations, and it holds no activation."""
    linear = isinstance(part, nn.Linear | nn.modules.conv._ConvNd) or type(part).__name__ == "Conv1D"
    return linear and all(name == "parametrizations" for name, _ in part.named_children())


@dataclass
class Row:
    """Modules ``names`` whose ``calls`` end at the tensors ``ends``, all of them cuts of ``stream``.

    ``begin`` is the tensor that the first is given, if it is one. ``whole``: cuts of the way to the model's output, not
    only of the way to the last end. ``own``: the ends are the modules' own outputs. ``weights``: a chain of weight
    layers. ``held``: parameters inside; ``kinds``: what each is, ``builds``: of what it is made, ``sizes``: its
    parameters; ``alike``: they are of one class of the user's; ``called``: none is a container alone; ``leaves``: none
    has parts with parameters.
    """

    names: list[str]
    calls: list[Call]
    ends: list[Seen]
    begin: Seen | None
    stream: Stream
    whole: bool
    own: bool
    weights: bool = False
    held: int = 0
    kinds: dict[str, Any] = field(default_factory=dict)
    builds: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    alike: bool = False
    called: bool = True
    leaves: bool = False


class Search:
    """Finds rows in one ``trace`` of ``module``."""

    def __init__(self, module: nn.Module, trace: Trace) -> None:
        self.trace = trace
        self.parts = dict(module.named_modules())
        self.modules = {now.module for now in trace.calls}
        self.calls = _calls(trace)
        self.doors = sorted((seen for now in trace.calls for seen in (*now.inputs, *now.outputs)), key=lambda s: s.when)
        self.moments = [seen.when for seen in self.doors]
        self.streams: dict[tuple[Value, Value | None], Stream | None] = {}
        written = {seen.value for seen in trace.output}
        layers = [name for name in self.calls if is_weight_layer(self.parts[name])]
        self.writers = {
            name for name, calls in self.calls.items() if any(s.value in written for now in calls for s in now.outputs)
        }
        self.layers = [name for name in layers if name not in self.writers]
        self.readout = max(layers, key=lambda name: self.calls[name][-1].begin, default="")

    def rows(self, enough: float) -> list[Row]:
        """Return the rows of two or more that hold at least the share ``enough`` of the fullest; else of free parts."""
        found = self._rows(self._groups(), enough)
        chain = self._chain()
        found += [chain] if chain is not None else []
        fullest = max((row.held for row in found), default=0)
        found = [row for row in found if row.held >= enough * fullest]
        return found or self._rows(self._groups(free=True), 0.0)

    def minor(self) -> Iterator[Row]:
        """Yield rows of weight layers side by side in one part, as in a head of several layers but the last."""
        groups: dict[str, list[str]] = {}
        for name in self.layers:
            if name == self.readout:  # whose output goes on, as where it is interpolated
                continue
            groups.setdefault(name.rpartition(".")[0], []).append(name)
        for names in groups.values():
            row = self.row(names, own=True) if len(names) > 1 else None
            if row is not None and len(row.calls) > 1:
                row.weights = True
                yield row

    def single(self) -> Iterator[Row]:
        """Yield each weight layer that is a cut as a row of its own."""
        for name in self.layers:
            row = self.row([name], own=True)
            if row is not None and row.whole:
                row.weights = True
                yield row

    def passed(self) -> list[str]:
        """Return the names of modules whose output is a cut of the way from the first weight layer to the output."""
        first = next((seen for name in self.layers for seen in self.calls[name][0].inputs), None)
        stream = self._stream(first.value if first else None)
        cuts = stream.cuts if stream else frozenset()
        return [n for n, calls in self.calls.items() if n and any(s.value in cuts for c in calls for s in c.outputs)]

    def in_series(self, part: Sequence[Row], row: Row) -> bool:
        """Say whether ``row`` lies wholly before or behind those of ``part``, and all ends are cuts of one stream."""
        both = sorted([*part, row], key=lambda one: one.calls[0].begin)
        ends = [end for one in both for end in one.ends]
        stream = both[0].stream if both[0].whole else self._stream(_source(both[0]), ends[-1].value)
        ranks = [stream.rank[end.value] for end in ends if end.value in stream.cuts] if stream else []
        if stream is None or len(ranks) < len(ends) or any(a >= b for a, b in pairwise(ranks)):
            return False
        for one in both:
            one.stream = stream
        return True

    def row(self, names: Sequence[str], *, own: bool, whole: bool = False, some: bool = False) -> Row | None:
        """Return the row of the modules ``names``, or None where they are none.

        ``own``: only their own outputs are ends. ``whole``: all names must be in the row; else those that the stream
        does not touch are left out, and with ``some`` also those that end at no cut.
        """
        names = [n for n in names if not any(n.startswith(f"{other}.") for other in names if other != n)]
        calls = sorted((now for name in names for now in self.calls.get(name, ())), key=lambda now: now.begin)
        if not calls:
            return None
        best: Row | None = None
        given = sorted({o.value for o in self.trace.output if o.value}, key=lambda v: -self.trace.depth[v])[:FIRST]
        last = [seen.value for seen in calls[-1].outputs[:FIRST]]
        for whole_way, sink in [*((True, value) for value in (None, *given)), *((False, value) for value in last)]:
            found = []
            for begin in _different(calls[0].inputs):
                row = self._along(names, calls, begin, sink, own, some, whole_way)
                found += [row] if row else []
            if len(found) != 1:  # none of them is the signal alone: it begins behind the first block
                starts = _different(calls[0].outputs)
                found = [row for end in starts if (row := self._along(names, calls, end, sink, own, some, whole_way))][
                    :1
                ]
            if found and len(found[0].names) == len(names):
                return found[0]
            best = max([*found, *([best] if best else [])], key=lambda row: len(row.calls), default=None)
        return None if whole else best

    def branches(self, names: Sequence[str]) -> Row | None:
        """Return the row of modules whose outputs are added to what passes them by, as attention's are, or None."""
        calls = sorted((now for name in names for now in self.calls.get(name, ())), key=lambda now: now.begin)
        for begin in _different(calls[0].inputs) if calls else ():
            before = entered(self.trace, begin)
            row = self.along(names, calls, before, None, some=False) if before else None
            if row is not None and len(row.names) == len(names):
                return row
        return None

    def along(
        self, names: Sequence[str], calls: Sequence[Call], begin: Seen, sink: Value | None, *, some: bool
    ) -> Row | None:
        """Return the row of ``calls`` in the stream from ``begin``, whose ends are cuts; ``some`` as for ``row``."""
        return self._along(names, calls, begin, sink, False, some, sink is None)

    def _along(
        self,
        names: Sequence[str],
        calls: Sequence[Call],
        begin: Seen,
        sink: Value | None,
        own: bool,
        some: bool,
        whole: bool,
    ) -> Row | None:
        stream = self._stream(begin.value, sink)
        if stream is None:
            return None
        kept, ends = [], []
        last = 0 if begin.side == "in" else -1
        touched = [now for now in calls if any(seen.value in stream.rank for seen in (*now.outputs, *now.inputs))]
        if not touched:
            return None
        for now, after in zip(touched, [*touched[1:], None], strict=True):
            end = self._end(stream, now, last, None if own else after.begin if after else self.trace.moments, own)
            if end is not None and end.value is not None:
                kept.append(now)
                ends.append(end)
                last = stream.rank[end.value]
            elif not some:
                return None
        if not kept:
            return None
        inside = list(dict.fromkeys(now.module for now in kept))
        start = begin if begin.side == "in" and begin.value not in [end.value for end in ends] else None
        classes = {type(self.parts[name]) for name in inside}
        alike = len(classes) == 1 and not next(iter(classes)).__module__.startswith("torch.nn")
        kinds = {name: self._kind(name) for name in inside}
        builds = {name: self._build(name) for name in inside}
        sizes = {name: self.held([name]) for name in inside}
        leaves = all(self._leaf(name) for name in inside)
        called = all(name in self.modules for name in inside)
        return Row(
            inside,
            kept,
            ends,
            start,
            stream,
            whole,
            own,
            False,
            self.held(inside),
            kinds,
            builds,
            sizes,
            alike,
            called,
            leaves,
        )

    def _end(self, stream: Stream, now: Call, last: int, until: int | None, own: bool) -> Seen | None:
        """Return where a call ends: its deepest output that is a cut, or the first cut seen before ``until``."""
        mine = [seen for seen in now.outputs if seen.value in stream.cuts and stream.rank[seen.value] > last]
        if mine or own or until is None:
            return max(mine, key=lambda seen: stream.rank.get(seen.value, -1), default=None)  # type: ignore[arg-type]
        taken = [stream.rank[seen.value] for seen in now.inputs if seen.value in stream.rank]
        for seen in self.doors[bisect_left(self.moments, now.end) :]:
            if seen.when > until:
                break
            if seen.value in stream.cuts and stream.rank[seen.value] > max(last, *taken, -1):
                return seen
        return None

    def _groups(self, *, free: bool = False) -> list[list[str]]:
        """Return modules of like names, of one class, and siblings of one class, with parameters or ``free``."""
        groups: dict[Any, list[str]] = {}
        for name in self.calls:
            part = self.parts[name]
            if not name or (next(part.parameters(), None) is None) is not free or is_weight_layer(part):
                continue
            if self._leaf(name) and NO_BLOCK.search(type(part).__name__):
                continue
            groups.setdefault(NUMBER.sub("#", name), []).append(name)
            if name not in self.modules:
                continue
            groups.setdefault((type(part), name.rpartition(".")[0]), []).append(name)
            if not type(part).__module__.startswith("torch.nn"):
                groups.setdefault(type(part), []).append(name)
        whole = [self._trimmed(names) for names in groups.values()]
        return [list(names) for names in dict.fromkeys(map(tuple, whole))]

    def _trimmed(self, names: list[str]) -> list[str]:
        """Return ``names`` without a stem and a head that stand in one list with blocks, or a readout of their class.

        A stem and a head hold one weight layer each, what is between them more. A readout writes the output, has no
        parts, and does not stand in the list of the others.
        """
        last, others = names[-1], names[:-1]
        lists = {NUMBER.sub("#", name) for name in others}
        if last in self.writers and self._leaf(last) and len(lists) == 1 and NUMBER.sub("#", last) not in lists:
            return others
        ends = {type(self.parts[names[0]]), type(self.parts[last])}
        inner = names[1:-1]
        if len(inner) < 2 or len(ends) > 1 or any(type(self.parts[name]) in ends for name in inner):
            return names
        single = all(self._weight_layers(name) == 1 for name in (names[0], last))
        return inner if single and all(self._weight_layers(name) > 1 for name in inner) else names

    def _weight_layers(self, name: str) -> int:
        return sum(is_weight_layer(part) for part in self.parts[name].modules())

    def _rows(self, groups: Iterable[list[str]], enough: float) -> list[Row]:
        """Return a row for each group that is one, the fullest first; groups that hold too little are not looked at."""
        found: list[Row] = []
        fullest = 0
        for names in sorted(groups, key=self.held, reverse=True):
            if self.held(names) < enough * fullest or sum(len(self.calls[name]) for name in names) < 2:
                continue
            row = self.row(names, own=True) or self.row(names, own=False)
            if row is not None and len(row.calls) > 1:
                found.append(row)
                fullest = max(fullest, row.held)
        return found

    def _chain(self) -> Row | None:
        """Return the row of all weight layers that are cuts, if these are nearly all."""
        for i in range(min(FIRST, len(self.layers))):
            row = self.row(self.layers[i:], own=True, some=True)
            if row is not None and len(row.calls) > 1 and row.held >= PLAIN * self.held(self.layers):
                row.weights = True
                return row
        return None

    def _stream(self, begin: Value | None, sink: Value | None = None) -> Stream | None:
        if begin is None:
            return None
        if (begin, sink) not in self.streams:
            self.streams[begin, sink] = stream_from(self.trace, begin, sink)
        return self.streams[begin, sink]

    def held(self, names: Iterable[str]) -> int:
        """Return how many parameters the named modules hold, shared ones counted once."""
        return sum({id(p): p.numel() for name in names for p in self.parts[name].parameters()}.values())

    def _leaf(self, name: str) -> bool:
        return all(next(child.parameters(), None) is None for child in self.parts[name].children())

    def _kind(self, name: str) -> Any:
        """Return what a module is: its class, and the classes of its parts that have parameters."""
        part = self.parts[name]
        return type(part).__qualname__, frozenset(type(inner).__qualname__ for inner in part.modules() if owns(inner))

    def _build(self, name: str) -> Any:
        """Return of what a module is made: the classes of its parts in order, and the shapes of their parameters."""
        part = self.parts[name]
        return (*(type(inner).__qualname__ for inner in part.modules()), *(tuple(p.shape) for p in part.parameters()))


def _source(row: Row) -> Value | None:
    return next(iter(row.stream.rank), None)


def _different(seen: Iterable[Seen]) -> list[Seen]:
    """Return one of each group that is the same value, and none that has no graph."""
    return list({one.value: one for one in reversed(list(seen)) if one.value is not None}.values())[::-1]


def _calls(trace: Trace) -> dict[str, list[Call]]:
    """Return the calls of each module; a container that is not called is, from its first part's call to its last."""
    found: dict[str, list[Call]] = {}
    for now in trace.calls:
        found.setdefault(now.module, []).append(now)
    tops: dict[str, list[Call]] = {}
    for now in trace.calls:
        home = now.module.rpartition(".")[0]
        while home and home not in found:
            tops.setdefault(home, []).append(now)
            home = home.rpartition(".")[0]
    for name, inner in tops.items():
        rounds: list[list[Call]] = []
        for now in inner:
            if not rounds or any(now.module == other.module for other in rounds[-1]):
                rounds.append([])
            rounds[-1].append(now)
        found[name] = [
            Call(name, i, calls[0].begin, calls[-1].end, calls[0].inputs, calls[-1].outputs)
            for i, calls in enumerate(rounds, 1)
        ]
    order = sorted(found, key=lambda name: found[name][0].begin)
    return {name: found[name] for name in order}
