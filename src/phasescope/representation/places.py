"""What every place of a module answers to a batch, as clouds of points: one row per sample, or per token.

The places are those that ``ps.inspect`` finds; they are found on a few samples, with a graph, and read on all of them
without one, some samples at a time, so that only the rows that are kept need memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phasescope.checks import optional, shown, whole, word
from phasescope.inspection.batches import fitted
from phasescope.inspection.blocks import find
from phasescope.instruments.calls import call, floats, refusing, usable
from phasescope.instruments.given_back import BATCH_NORMS, module_of, untouched
from phasescope.instruments.graph import Block, Tap, checked_names, watched
from phasescope.vocabulary import Array, BadInput

By = Literal["sample", "token"]
MASK = "attention_mask"
TOKENS, NUMBERS = 1 << 11, 1 << 20
"""How many tokens, or floating numbers, a model is given at a time."""


def layers_of(
    module: nn.Module,
    batch: Any,
    *,
    places: Sequence[str] | None = None,
    by: By = "sample",
    most: int | None = None,
    at_once: int | None = None,
) -> Iterator[tuple[str, Array]]:
    """Yield name and rows (N, D) of each place of ``module``, in the order of the signal, from one forward pass.

    ``batch``: a tensor or array, a tuple of arguments, or a mapping of keywords; its first axis is that of the samples.
    ``places``: names of modules, found as ``ps.inspect`` finds blocks if None; the input of the first comes first.
    ``by`` "sample": one row per sample, the mean over its tokens or its image's positions; "token": one row per token
    or position. Where the batch is tokens (whole numbers), each sequence's first token is left out of both, for its
    norm is often hundreds of times that of others; so are tokens that an ``attention_mask`` hides. At most ``most``
    rows, evenly spaced; the same ones at each place where places have equally many. Float32 (float64 and float16 stay).

    The model is run on ``at_once`` samples at a time, by default about 2,048 tokens or a million numbers, or on all
    together where batch normalization is training. Memory: the rows, a copy of the module's weights, and the model's
    own for so many samples. The module is given back bit for bit. Raises what ``ps.inspect`` raises, when called.
    """
    by = word("sample", "token")("by", by)
    most, at_once = (optional(whole(1))(name, value) for name, value in (("most", most), ("at_once", at_once)))
    batch = fitted(usable(batch), module_of(module))
    samples = _samples(batch)
    alone = any(isinstance(part, BATCH_NORMS) and part.training for part in module.modules())
    step = at_once or (samples if alone else _step(batch, samples))
    taps = _found(module, batch, samples, samples if alone else 1, places)
    rows = _Rows(taps, by, most, samples, _seen(batch))
    hidden = _hidden(batch) if by == "sample" else None
    if hidden is not None:
        raise BadInput(f"{MASK} hides all tokens of sample {hidden}: leave that sample out, or show it.")
    if by == "token" and rows.seen is not None and not bool(rows.seen.any()):
        raise BadInput("no token is left without each sequence's first and the hidden ones: give longer sequences.")
    with untouched(module, batch), torch.no_grad(), refusing(module):
        handles = rows.hooks(module)
        try:
            for start in range(0, samples, step):
                rows.begin(start, min(step, samples - start))
                call(module, _part(batch, samples, start, start + step))
                rows.check()
        finally:
            for handle in handles:
                handle.remove()
    return rows.given()


def _found(module: nn.Module, batch: Any, samples: int, few: int, names: Sequence[str] | None) -> dict[str, Tap]:
    """Return where the places are read, by their names, found on the first ``few`` samples if the model takes them."""
    chosen = None if names is None else chosen_names(module, names)
    try:
        try:
            found = find(module, _part(batch, samples, 0, few), chosen)
        except BadInput as error:
            if few >= samples or "refuses this batch" not in str(error):
                raise
            found = find(module, batch, chosen)
    except BadInput as error:
        raise BadInput(str(error).replace("blocks=...", "places=...")) from error
    taps: dict[str, Tap] = {}
    for number, part in enumerate(found.parts):
        for tap in _taps(part):
            taps[f"{tap.name} of part {number + 1}" if number else tap.name] = tap
    return taps


def chosen_names(module: nn.Module, names: Any) -> Sequence[str]:
    """Return the modules that ``places`` names; raise ``BadInput`` where it names none."""
    if isinstance(names, str) or (isinstance(names, tuple | list) and not names):
        raise BadInput(f"places is {shown(names)}: give a list of names of modules, or None for those that are found.")
    return checked_names(module, names)


def _taps(part: Sequence[Block]) -> Iterator[Tap]:
    if part[0].before is not None:
        yield part[0].before
    for block in part:
        yield from block.taps


def _tensors(batch: Any) -> list[Tensor]:
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple) else (batch,)
    return [part for part in parts if isinstance(part, Tensor) and part.dim() > 0]


def _samples(batch: Any) -> int:
    first = next(iter(_tensors(batch)), None)
    if first is None or len(first) == 0:
        raise no_samples(batch)
    return len(first)


def no_samples(batch: Any) -> BadInput:
    """Return what is said of a batch without a tensor that has samples."""
    mend = "give a tensor or an array whose first axis is that of the samples, a tuple of arguments, or keywords."
    if isinstance(batch, Tensor | Mapping | tuple):
        return BadInput(f"the batch holds no samples: {mend}")
    return BadInput(f"the batch is {shown(batch)}: {mend}")


def _step(batch: Any, samples: int) -> int:
    """Return how many samples are run at a time."""
    sizes = [(part.numel() // samples, part.is_floating_point()) for part in _tensors(batch) if len(part) == samples]
    numbers = max((size for size, real in sizes if real), default=1)
    tokens = max((size for size, real in sizes if not real), default=1)
    return max(1, min(NUMBERS // max(numbers, 1), TOKENS // max(tokens, 1), samples))


def _part(batch: Any, samples: int, start: int, end: int) -> Any:
    """Return some samples of a batch: a part without an axis of samples, or with one for all, stays whole."""
    if start == 0 and end >= samples:
        return batch

    def cut(part: Any) -> Any:
        return part[start:end] if isinstance(part, Tensor) and part.dim() > 0 and len(part) == samples else part

    if isinstance(batch, Mapping):
        return {name: cut(part) for name, part in batch.items()}
    return tuple(map(cut, batch)) if isinstance(batch, tuple) else cut(batch)


def _hidden(batch: Any) -> int | None:
    """Return the first sample of which a mask hides all tokens."""
    mask = batch.get(MASK) if isinstance(batch, Mapping) else None
    if not isinstance(mask, Tensor) or mask.dim() != 2:
        return None
    empty = torch.nonzero(~mask.bool().any(1))
    return int(empty[0]) if len(empty) else None


def _seen(batch: Any) -> Tensor | None:
    """Return which tokens (samples, T) count: all but hidden ones and the first that is not; None without tokens."""
    named = batch if isinstance(batch, Mapping) else {}
    ids = next((part for part in _tensors(batch) if not part.is_floating_point() and part.dim() == 2), None)
    mask = named.get(MASK)
    known = isinstance(mask, Tensor) and mask.dim() == 2
    if ids is None and not known:
        return None
    seen = mask.bool() if known else torch.ones_like(ids, dtype=torch.bool)  # type: ignore[union-attr, arg-type]
    seen = seen.cpu().clone()
    if ids is not None and ids.dtype != torch.bool and seen.shape[1] > 1:
        seen[torch.arange(len(seen)), seen.int().argmax(1)] = False
    return seen


@dataclass
class _Rows:
    """Gathers the rows of all places while the model runs over the samples, part by part."""

    taps: Mapping[str, Tap]
    by: By
    most: int | None
    samples: int
    seen: Tensor | None
    kept: dict[str, list[Tensor]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    start: int = 0
    here: int = 0

    def hooks(self, module: nn.Module) -> list[Any]:
        """Watch the doors of ``module`` at which places are read."""
        doors = {tap.module for tap in self.taps.values()}
        handles: list[Any] = []
        for name, part in watched(module):
            if name in doors:
                handles.append(part.register_forward_pre_hook(self._before(name), with_kwargs=True))
                handles.append(part.register_forward_hook(self._after(name)))
        return handles

    def begin(self, start: int, here: int) -> None:
        """Make ready for ``here`` samples from ``start`` on."""
        self.start, self.here = start, here
        self.calls.clear()

    def check(self) -> None:
        """Raise ``BadInput`` where a place was not passed by these samples."""
        parts = {len(parts) for parts in self.kept.values()}
        missing = [name for name in self.taps if name not in self.kept] or (
            [min(self.kept, key=lambda name: len(self.kept[name]))] if len(parts) > 1 else []
        )
        if missing:
            raise BadInput(
                f"the samples from {self.start} on do not pass the place {missing[0]!r}, which others do: name places "
                "that every sample passes with places=..."
            )

    def given(self) -> Iterator[tuple[str, Array]]:
        """Yield name and rows of each place, and let go of them."""
        for name in self.taps:
            yield name, torch.cat(self.kept.pop(name)).numpy()

    def _before(self, name: str) -> Any:
        def hook(_part: nn.Module, args: Any, keywords: Any) -> None:
            self.calls[name] = self.calls.get(name, 0) + 1
            self._look(name, self.calls[name], "in", (args, keywords))

        return hook

    def _after(self, name: str) -> Any:
        def hook(_part: nn.Module, _args: Any, out: Any) -> None:
            self._look(name, self.calls[name], "out", out)

        return hook

    def _look(self, module: str, number: int, side: str, held: Any) -> None:
        for name, tap in self.taps.items():
            if (tap.module, tap.call, tap.side) != (module, number, side):
                continue
            h = dict(floats(held)).get(tap.path)
            if h is None:
                raise BadInput(f"the module {module!r} passes on something else each time it is called: choose others.")
            if not bool(torch.isfinite(h).all()):
                raise BadInput(
                    f"the signal at {name!r} is not finite: look for overflow or bad weights there or before."
                )
            self._keep(name, h)

    def _keep(self, name: str, h: Tensor) -> None:
        """Keep those rows of ``h`` (B, ...) that are among the evenly spaced ones of all samples."""
        points, counted = self._points(name, h)
        if self.by == "sample":
            first, total, rows = self.start, self.samples, _means(points, counted)
        elif counted is None or self.seen is None:
            each = points.shape[1]
            first, total, rows = self.start * each, self.samples * each, points.flatten(0, 1)
        else:
            first, total = int(self.seen[: self.start].sum()), int(self.seen.sum())
            rows = points[counted.to(points.device)]
        if self.most is not None and self.most < total:
            chosen = torch.arange(self.most) * total // self.most
            chosen = chosen[(chosen >= first) & (chosen < first + len(rows))] - first
            rows = rows[chosen.to(rows.device)]
        self.kept.setdefault(name, []).append(rows.detach().cpu().clone())

    def _points(self, name: str, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return ``h`` as (B, positions, D), and which positions (B, positions) count, None for all."""
        h = h.float() if h.dtype not in (torch.float64, torch.float16) else h
        if h.dim() < 2 or len(h) != self.here:
            raise BadInput(
                f"the signal at {name!r} has shape {tuple(h.shape)} for {self.here} samples: give a batch whose first "
                "axis is that of the samples, or places that pass on more than one number for each."
            )
        if h.dim() == 2:
            return h[:, None], None
        points = h.flatten(2).mT if _channels_first(h) else h.flatten(1, -2)
        here = None if self.seen is None else self.seen[self.start : self.start + len(h)]
        known = here is not None and here.shape == points.shape[:2]
        return points, here if known else None


def _channels_first(h: Tensor) -> bool:
    """Say whether ``h`` is images (B, C, H, W) or volumes: unless only the two axes after the samples are equal."""
    return h.dim() > 3 and not (h.shape[1] == h.shape[2] != h.shape[-1])


def _means(points: Tensor, counted: Tensor | None) -> Tensor:
    """Return the mean (B, D) over the positions that count; over all of them where none does."""
    if points.shape[1] == 1:
        return points[:, 0]
    wide = points.float() if points.dtype == torch.float16 else points
    if counted is None:
        return wide.mean(1)
    some = counted.to(points.device)
    some = some | ~some.any(1, keepdim=True)
    return (wide * some[..., None]).sum(1) / some.sum(1, keepdim=True)
