"""The blocks of any network, found by itself: the repeated parts that the whole signal passes through, in order.

A place is a *cut* when every path of the computation from the input to the output goes through it: the residual stream
after a block is one, the branch inside is none, nor are the queries of an attention. Blocks are the longest row of like
modules whose outputs are all cuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from phasescope.inspection.batches import fitted
from phasescope.instruments.forward_pass import call, refusing, swapped, tensor_of, untouched
from phasescope.vocabulary import BadInput

ENOUGH = 0.3  # a row of blocks holds at least this share of the parameters that the fullest row holds
PLAIN = 0.9  # weight layers are the blocks where those that are cuts hold this share of all weight layers' parameters


def is_weight_layer(part: nn.Module) -> bool:
    """Say whether ``part`` is one linear map by itself: its outputs are preactivations, and it holds no activation."""
    linear = isinstance(part, nn.Linear | nn.modules.conv._ConvNd) or type(part).__name__ == "Conv1D"
    return linear and not any(True for _ in part.children())


def blocks_of(module: nn.Module, batch: Any) -> tuple[str, ...]:
    """Return the names of the blocks of ``module``, in the order in which ``batch`` passes through them.

    Rows of modules are formed by name, up to its numbers (``encoder.layer.#``, ``stages.#.blocks.#``), and of siblings
    of one class; in a plain chain all linear layers and convolutions form one row. In a row are the modules with
    parameters whose every output is a cut. The longest row wins among those that hold at least 30 % as many parameters
    as the fullest; of equal rows the fuller, then the outer one. Where the blocks are weight layers, their outputs are
    the preactivations of the papers, a block is all from one to the next, and the layer that writes the model's output
    is left out. A module that is called again and again counts as often, and is named once.

    ``batch``: a tensor, a tuple of arguments, or a mapping of keywords. ``module`` is left untouched. Costs one forward
    pass with its graph. Raises ``BadInput`` where there are not two such blocks, and where the model refuses the batch.
    """
    if next(module.parameters(), None) is None:
        raise BadInput("the model has no parameters: there is nothing to inspect; give the network itself.")
    trace = _traced(module, fitted(batch, module))
    cuts = _cuts(trace.source, trace.sink)
    rows = [row for row in _rows(module, trace, cuts) if row.length >= 2]
    if not rows:
        known = [name for name, nodes in trace.nodes.items() if all(node in cuts for node in nodes)]
        passed = f" The whole signal passes through {_some(known)}." if known else ""
        raise BadInput(f"no row of two or more blocks was found in the model: name them with blocks=...{passed}")
    fullest = max(row.weight for row in rows)
    best = max((row for row in rows if row.weight >= ENOUGH * fullest), key=lambda row: (row.length, row.weight))
    return tuple(best.names)


def first_not_finite(module: nn.Module, batch: Any) -> str | None:
    """Return the name of the innermost module whose output is the first that is not finite, or None."""
    broken: list[str] = []

    def look(name: str) -> Any:
        def hook(_part: nn.Module, _args: Any, out: Any) -> None:
            h = tensor_of(out)
            if not broken and h is not None and not bool(torch.isfinite(h).all()):
                broken.append(name)

        return hook

    handles = [part.register_forward_hook(look(name)) for name, part in module.named_modules() if name]
    with untouched(module), torch.no_grad(), refusing(module):
        try:
            call(module, batch)
        finally:
            for handle in handles:
                handle.remove()
    return broken[0] if broken else None


@dataclass
class _Trace:
    """The graph nodes of each module's outputs, one per call, and the two ends between which cuts are sought."""

    nodes: dict[str, list[Any]] = field(default_factory=dict)
    source: Any = None
    sink: Any = None


@dataclass
class _Row:
    names: list[str]
    length: int  # calls, where a module is called again and again
    weight: int  # parameters held


def _traced(module: nn.Module, batch: Any) -> _Trace:
    """Run ``module`` once with a graph that begins at the first module that has parameters of its own."""
    trace, handles = _Trace(), []
    leaves = {name for name, part in module.named_modules() if _simple(part)}

    def started(h: Tensor) -> Tensor:
        begun = h + torch.zeros_like(h, requires_grad=True)
        trace.source = begun.grad_fn
        return begun

    def before(part: nn.Module, args: Any, keywords: Any) -> Any:
        h = tensor_of(args) if tensor_of(args) is not None else tensor_of(keywords)
        if trace.source is not None or h is None:
            return None
        begun = started(h)
        return swapped(args, h, begun), swapped(keywords, h, begun)

    def after(name: str) -> Any:
        def hook(part: nn.Module, args: Any, keywords: Any, out: Any) -> Any:
            h = tensor_of(out)
            if h is None:
                return None
            if trace.source is None and name in leaves:  # an embedding: tokens go in, the signal begins here
                begun = started(h)
                out, h = swapped(out, h, begun), begun
            trace.nodes.setdefault(name, []).append(h.grad_fn)
            return out

        return hook

    with untouched(module), refusing(module):
        try:
            for name, part in module.named_modules():
                if name in leaves:
                    handles.append(part.register_forward_pre_hook(before, with_kwargs=True))
                if name:
                    handles.append(part.register_forward_hook(after(name), with_kwargs=True))
            end = tensor_of(call(module, batch))
        finally:
            for handle in handles:
                handle.remove()
    trace.sink = None if end is None else end.grad_fn
    return trace


def _simple(part: nn.Module) -> bool:
    """Say whether ``part`` has parameters and no parts."""
    return next(part.parameters(), None) is not None and next(part.children(), None) is None


def _cuts(source: Any, sink: Any) -> dict[Any, int]:
    """Return the nodes that every path from ``source`` to ``sink`` goes through, with their rank along it.

    Among the nodes on such paths, in an order in which each comes after what it depends on, a cut is a node that no
    edge jumps over.
    """
    ordered = _ordered(source, sink)
    place = {node: i for i, node in enumerate(ordered)}
    farthest, cuts = 0, {}
    reach = list(range(len(ordered)))
    for node in ordered:
        for earlier in _inputs(node):
            if earlier in place:
                reach[place[earlier]] = max(reach[place[earlier]], place[node])
    for i, node in enumerate(ordered):
        if farthest <= i:
            cuts[node] = i
        farthest = max(farthest, reach[i])
    return cuts


def _ordered(source: Any, sink: Any) -> list[Any]:
    """Return the nodes on paths from ``source`` to ``sink``, each after the nodes that it depends on."""
    if source is None or sink is None:
        return []
    leads = {source: True}  # whether the node depends on the source
    ordered, stack = [source], [(sink, False)]
    while stack:
        node, seen = stack.pop()
        if node in leads:
            continue
        if seen:
            leads[node] = any(leads.get(earlier, False) for earlier in _inputs(node))
            if leads[node]:
                ordered.append(node)
        else:
            stack.append((node, True))
            stack += [(earlier, False) for earlier in _inputs(node) if earlier not in leads]
    return ordered if leads.get(sink) else []


def _inputs(node: Any) -> list[Any]:
    return [earlier for earlier, _ in node.next_functions if earlier is not None]


def _rows(module: nn.Module, trace: _Trace, cuts: dict[Any, int]) -> list[_Row]:
    """Return the candidates: rows of modules by name pattern, of siblings by class, and of all weight layers."""
    parts = dict(module.named_modules())
    found: dict[Any, list[str]] = {}
    layers = {name for name in trace.nodes if is_weight_layer(parts[name]) and trace.sink not in trace.nodes[name]}
    for name, nodes in trace.nodes.items():
        part = parts[name]
        if not all(node in cuts for node in nodes) or next(part.parameters(), None) is None:
            continue
        if name in layers:
            found.setdefault("weights", []).append(name)
        elif not is_weight_layer(part) and not (_simple(part) and re.search("Norm|Embedding", type(part).__name__)):
            found.setdefault(re.sub(r"\d+", "#", name), []).append(name)
            found.setdefault((type(part), name.rpartition(".")[0]), []).append(name)
    if _held(parts, found.get("weights", ())) < PLAIN * _held(parts, layers):
        found.pop("weights", None)
    outer_first = sorted(found.values(), key=lambda names: min(name.count(".") for name in names))
    return [_row(parts, trace, cuts, names) for names in outer_first]


def _held(parts: dict[str, nn.Module], names: Iterable[str]) -> int:
    """Return how many parameters the named modules hold, shared ones counted once."""
    return sum({id(p): p.numel() for name in names for p in parts[name].parameters()}.values())


def _row(parts: dict[str, nn.Module], trace: _Trace, cuts: dict[Any, int], names: Sequence[str]) -> _Row:
    """Return one row, its names in the order of the signal, without those that lie inside others of it."""
    outer = [name for name in names if not any(name.startswith(f"{other}.") for other in names if other != name)]
    outer.sort(key=lambda name: cuts[trace.nodes[name][0]])
    return _Row(outer, sum(len(trace.nodes[name]) for name in outer), _held(parts, outer))


def _some(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
