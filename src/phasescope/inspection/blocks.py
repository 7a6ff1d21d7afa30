"""The blocks of any network, found by itself: the repeated parts that the whole signal passes through, in order.

A *row* are like modules, one after the other, each of which ends at a cut of the stream that begins at the first one: a
tensor that every path goes through. Mostly that is what the module gives; where a parent adds the branch to the stream
(``x = attention(x) + x``), it is what the parent hands on next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phasescope.inspection.batches import fitted
from phasescope.inspection.coverage import Coverage
from phasescope.inspection.rows import NUMBER, Row, Search, is_weight_layer
from phasescope.inspection.sublayers import sublayers
from phasescope.instruments.calls import call, refusing, tensor_of, watchable
from phasescope.instruments.given_back import untouched
from phasescope.instruments.graph import Block, Trace, joined, located, traced
from phasescope.vocabulary import BadInput

__all__ = ["Found", "blocks_of", "find", "first_not_finite", "is_weight_layer"]

ENOUGH = 0.3  # a row of blocks holds at least this share of the parameters that the fullest row holds
MORE = 0.1  # a further row adds at least this share of the parameters
LEAST = 0.2  # a row that holds less is some detail
HALF = 0.5  # blocks that hold less than this are not the model's
NESTED = 0.9  # branches inside a block are blocks themselves if they hold this share of it
MANY = 3


@dataclass(frozen=True)
class Found:
    """The blocks of each ``part`` of a model (of one, or encoder and decoder), and what they cover.

    ``share``: of the parameters, tables of embeddings and the readout apart. ``unread``: names of what is not covered.
    """

    parts: tuple[tuple[Block, ...], ...]
    share: float
    unread: tuple[str, ...]

    def __str__(self) -> str:
        apart = "tables of embeddings and the readout apart"
        rest = f"; not read: {_some(self.unread)}" if self.unread else ""
        return f"The blocks cover {100 * self.share:.0f} % of the parameters ({apart}){rest}"


def blocks_of(module: nn.Module, batch: Any) -> tuple[str, ...]:
    """Return the names of the blocks of ``module``, in the order in which ``batch`` passes through them.

    Rows of modules are formed by name, up to its numbers (``encoder.layer.#``, ``stages.#.blocks.#``, ``Mixed_#``), by
    class, and of siblings of one class; in a plain chain all linear layers and convolutions form one row. The longest
    row wins among those that hold at least 30 % as many parameters as the fullest; of equal rows the fuller, then the
    outer one. What attention and MLP are to a transformer's block, different kinds side by side in each, is no row of
    its own. Further rows before or after it in the same stream are blocks too if they add 10 % of the parameters. Of
    models in two parts, as encoder and decoder, these are the blocks of the first.

    Where the blocks are weight layers, their outputs are the preactivations of the papers, a block is all from one to
    the next, and the layer that writes the model's output is left out; so are a stem and a head of one weight layer
    each in the list of the blocks. A module that is called again and again counts as often, and is named once.

    ``batch``: a tensor, a tuple of arguments, or a mapping of keywords. ``module`` is left untouched. Costs one forward
    pass with its graph. Raises ``BadInput`` where there are not two such blocks, where they cover less than half of
    the parameters, and where the model refuses the batch.
    """
    return find(module, fitted(batch, module)).parts[0]


def find(module: nn.Module, batch: Any, names: Sequence[str] | None = None, *, inside: bool = False) -> Found:
    """Return the blocks of ``module`` with all that is needed to read them, or those that ``names`` name.

    ``inside``: instead of the blocks that are found, the parts that follow one another in each (``sublayers``).

    Raises ``BadInput`` as ``blocks_of``, and for names of modules that are not called or pass on no one signal.
    """
    if next(module.parameters(), None) is None:
        raise BadInput("the model has no parameters: there is nothing to inspect; give the network itself.")
    trace = traced(module, batch)
    search = Search(module, trace)
    coverage = Coverage(module, trace)
    if names is not None:
        return _named(search, coverage, trace, names)
    rows = search.rows(MORE)
    if not rows:
        known = search.passed()
        passed = f" The whole signal passes through {_some(known)}." if known else ""
        raise BadInput(f"no row of two or more blocks was found in the model: name them with blocks=...{passed}")
    parts = sorted(_parts(search, coverage, rows), key=lambda part: part[0].calls[0].begin)
    read = [sublayers(search, part) for part in parts] if inside else parts
    found = Found(tuple(_blocks(part) for part in read), coverage.share, coverage.unread())
    if found.share < HALF:
        chosen = _some([str(block) for part in found.parts for block in part], 4)
        raise BadInput(
            f"the blocks that were found ({chosen}) cover {100 * found.share:.0f} % of the parameters; not read: "
            f"{_some(found.unread)}. Name blocks with blocks=..., also these if they are meant."
        )
    return found


def _named(search: Search, coverage: Coverage, trace: Trace, names: Sequence[str]) -> Found:
    row = search.branches(names) or search.row(names, own=True, whole=True) or search.row(names, own=False, whole=True)
    if row is not None:
        coverage.add([row])
    else:
        coverage.hold(names)
    blocks = _blocks([row]) if row is not None else located(trace, names)
    return Found((blocks,), coverage.share, coverage.unread())


def _parts(search: Search, coverage: Coverage, rows: Sequence[Row]) -> list[list[Row]]:
    """Return the chosen rows, those in series together."""
    fullest = max(row.held for row in rows)
    parts = [[_best([row for row in rows if row.held >= ENOUGH * fullest])]]
    coverage.add(parts[0])
    while coverage.share >= LEAST:
        taken = [row for part in parts for row in part]
        free = [row for row in (*rows, *search.minor()) if not any(_overlap(row, other) for other in taken)]
        gains = [(coverage.gain(row), row) for row in free]
        gains = [(gain, row) for gain, row in gains if gain >= MORE]
        if not gains and coverage.share < HALF:  # one wide layer before or behind, as where a convolution is the head
            alone = [row for row in search.single() if not any(_overlap(row, other) for other in taken)]
            gains = [(gain, row) for row in alone if (gain := coverage.gain(row)) >= MORE]
        if not gains:
            return parts
        most = max(gain for gain, _ in gains)
        chosen = _best([row for gain, row in gains if gain >= ENOUGH * most])
        home = next((i for i, part in enumerate(parts) if search.in_series(part, chosen)), None)
        if home is None:
            parts.append([chosen])
        else:
            parts[home] = sorted([*parts[home], chosen], key=lambda row: row.calls[0].begin)
        coverage.add(parts[-1] if home is None else parts[home])
    return parts


def _overlap(one: Row, other: Row) -> bool:
    """Say whether one begins before the other ends: in time, whatever the streams are."""
    return one.calls[0].begin < other.calls[-1].end and other.calls[0].begin < one.calls[-1].end


def _best(rows: Sequence[Row]) -> Row:
    kept = [row for row in rows if not any(_inside(row, other) for other in rows)]
    outer_first = sorted(kept or rows, key=lambda row: min(name.count(".") for name in row.names))
    return max(outer_first, key=lambda row: (len(row.calls), row.whole, row.held, row.called))


def _inside(row: Row, other: Row) -> bool:
    """Say whether ``row`` is what the blocks of ``other`` are made of, rather than blocks."""
    if other is row or len(other.names) < 2:
        return False
    if (row.weights or row.leaves) and not (other.weights or other.leaves):  # as in MobileNet
        several = all(sum(name.startswith(f"{home}.") for name in row.names) >= 2 for home in other.names)
        return several and other.alike and len(other.names) >= MANY and other.held >= NESTED * row.held
    homes = {home: [n for n in row.names if n.startswith(f"{home}.")] for home in other.names}
    within = [name for names in homes.values() for name in names]
    several = any(len(names) > 1 and all(n.rpartition(".")[2].isdigit() for n in names) for names in homes.values())
    share = sum(row.sizes[name] for name in within) / max(other.held, 1)
    if not row.own and not several and share < NESTED and len(within) > len(row.names) / 2:
        return True
    groups = [names for names in homes.values() if names]
    if len(within) < len(row.names) or any(len(names) < 2 for names in groups):
        return False
    return _differ(row, groups) or any(
        len({NUMBER.sub("#", name.removeprefix(home)) for name in names}) > 1 for home, names in homes.items()
    )


def _differ(row: Row, groups: Sequence[Sequence[str]]) -> bool:
    """Say whether what stands side by side in each group is of different kinds, or made differently, alike in all."""
    kinds = [[row.kinds[name] for name in names] for names in groups]
    builds = [tuple(row.builds[name] for name in names) for names in groups]
    apart = len(groups) > 1 and len(set(builds)) == 1 and len(set(builds[0])) == len(builds[0])
    return apart or all(len(set(kind)) == len(kind) for kind in kinds)


def _blocks(rows: Sequence[Row]) -> tuple[Block, ...]:
    owners = [now.module for row in rows for now in row.calls]
    counts: dict[str, int] = {}
    taps = []
    for owner, end in zip(owners, (end for row in rows for end in row.ends), strict=True):
        counts[owner] = counts.get(owner, 0) + 1
        taps.append(end.tap(owner if counts[owner] == 1 else f"{owner}#{counts[owner]}"))
    begin = rows[0].begin
    return joined(owners, taps, begin.tap("input") if begin is not None else None)


def first_not_finite(module: nn.Module, batch: Any) -> str | None:
    """Return the name of the innermost module whose output is the first that is not finite, or None."""
    broken: list[str] = []

    def look(name: str) -> Any:
        def hook(_part: nn.Module, _args: Any, out: Any) -> None:
            h = tensor_of(out)
            if not broken and h is not None and not bool(torch.isfinite(h).all()):
                broken.append(name)

        return hook

    handles = [part.register_forward_hook(look(name)) for name, part in watchable(module) if name]
    try:
        with untouched(module, batch), torch.no_grad(), refusing(module):
            call(module, batch)
    finally:
        for handle in handles:
            handle.remove()
    return broken[0] if broken else None


def _some(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
