"""How much of a model its blocks cover: parameters between the first place and the last, and those inside blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from phasescope.inspection.rows import Row, is_weight_layer
from phasescope.instruments.graph import Trace

TABLES = (nn.Embedding, nn.EmbeddingBag)


class Coverage:
    """The covered parameters of ``module``, by id, and those that count: no tables of embeddings, no readout, and
    nothing that takes no part in this pass.

    Tables are looked up and have no Jacobian; the readout, the last weight layer before the output, comes after all
    blocks. A module's own parameters are covered if a block holds them, or if what the module gives lies on the way
    from the first place to the last; those of a module that is not called count as used by what it is part of.
    """

    def __init__(self, module: nn.Module, trace: Trace) -> None:
        self.module, self.trace = module, trace
        self.covered: set[int] = set()
        self.gives: dict[str, list[object]] = {}
        for now in trace.calls:
            self.gives.setdefault(now.module, []).extend(seen.value for seen in now.outputs)
        parts = dict(module.named_modules())
        layers = [now.module for now in trace.calls if is_weight_layer(parts[now.module])]
        apart = [part for part in parts.values() if isinstance(part, TABLES)] + [parts[name] for name in layers[-1:]]
        apart += [part for name, part in parts.items() if name and not self._used(name)]
        aside = {id(p) for part in apart for p in part.parameters()}
        self.counted = {id(p): p.numel() for p in module.parameters() if id(p) not in aside}
        self.counted = self.counted or {id(p): p.numel() for p in module.parameters()}

    def _used(self, name: str) -> bool:
        """Say whether a module, a part of it, or what it is part of is called: a head for training alone is not."""
        homes = [name, *(name[:i] for i, letter in enumerate(name) if letter == ".")]
        return any(home in self.gives for home in homes) or any(now.startswith(f"{name}.") for now in self.gives)

    @property
    def share(self) -> float:
        """The covered share of the parameters that count."""
        return self._sum(self.covered) / self._sum(self.counted)

    def add(self, rows: Sequence[Row]) -> None:
        """Cover what lies between the first place and the last of ``rows``, which are of one stream."""
        self.covered |= self._between(rows)

    def hold(self, names: Sequence[str]) -> None:
        """Cover what the modules ``names`` hold."""
        self.covered |= {id(p) for name in names for p in self.module.get_submodule(name).parameters()}

    def gain(self, row: Row) -> float:
        """Return the share that ``row`` would add."""
        return self._sum(self._between([row]) - self.covered) / self._sum(self.counted)

    def unread(self) -> tuple[str, ...]:
        """Return the names of what is not covered, the largest first; with a star where it is all of a part."""
        sizes: dict[str, int] = {}

        def look(name: str, part: nn.Module) -> None:
            ids = {id(p) for p in part.parameters()} & set(self.counted)
            if ids and not ids & self.covered:
                inner = any(True for _ in part.children())
                sizes[f"{name}.*" if inner else name] = self._sum(ids)
                return
            own = {id(p): key for key, p in part.named_parameters(recurse=False)}
            for one, key in own.items():
                if one in self.counted and one not in self.covered:
                    sizes[f"{name}.{key}".lstrip(".")] = self.counted[one]
            for key, child in part.named_children():
                look(f"{name}.{key}".lstrip("."), child)

        look("", self.module)
        return tuple(sorted(sizes, key=lambda name: -sizes[name]))

    def _sum(self, ids: Iterable[int]) -> int:
        return sum(self.counted.get(one, 0) for one in ids)

    def _between(self, rows: Sequence[Row]) -> set[int]:
        stream, first = rows[0].stream, rows[0].begin or rows[0].ends[0]
        low, high = (stream.rank[value] for value in (first.value, rows[-1].ends[-1].value))  # type: ignore[index]
        on = {
            name
            for name, values in self.gives.items()
            if any(low < stream.rank.get(value, -1) <= high for value in values)  # type: ignore[call-overload]
        }
        found = {id(p) for row in rows for n in row.names for p in self.module.get_submodule(n).parameters()}
        for name, part in self.module.named_modules():
            home = name
            while home and home not in self.gives:
                home = home.rpartition(".")[0]
            if home in on:
                found |= {id(p) for p in part.parameters(recurse=False)}
        return found
