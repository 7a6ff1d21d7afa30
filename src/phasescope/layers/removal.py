"""The loss against the number of layers left out: the nearest block, the deepest, and random ones as the control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import nn

from phasescope.ensemble import streams
from phasescope.layers.angular import Distances, Kind, deepest
from phasescope.layers.passes import Tokens
from phasescope.layers.perplexity import Losses, losses
from phasescope.layers.stack import check_block, stack_of, without

if TYPE_CHECKING:
    import xarray as xr

Choice = Literal["nearest", "deepest", "random"]
CHOICES: tuple[Choice, ...] = ("nearest", "deepest", "random")


@dataclass(frozen=True)
class Removal:
    """What is lost without the ``n`` layers from ``start`` on, and by which ``choice`` they were taken."""

    choice: Choice
    n: int
    start: int
    losses: Losses


@dataclass(frozen=True)
class Curve:
    """Losses without blocks of layers, and ``whole``, those of the model with all of its ``depth`` layers."""

    depth: int
    whole: Losses
    removals: tuple[Removal, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of layers left out, ascending."""
        return tuple(sorted({removal.n for removal in self.removals}))

    def of(self, choice: Choice, n: int) -> tuple[Removal, ...]:
        """Return the removals of ``n`` layers by ``choice``: one, or as many random blocks as were drawn."""
        return tuple(r for r in self.removals if r.choice == choice and r.n == n)

    def to_dataset(self) -> xr.Dataset:
        """Return one row per removal: ``choice``, ``n``, ``start``, ``loss`` with its interval, ``bits_per_byte``."""
        import xarray as xr

        rows, found = self.removals, [r.losses for r in self.removals]
        columns = {
            "choice": [r.choice for r in rows],
            "n": [r.n for r in rows],
            "start": [r.start for r in rows],
            "loss": np.array([x.mean for x in found]),
            "loss_low": np.array([x.interval[0] for x in found]),
            "loss_high": np.array([x.interval[1] for x in found]),
            "rise": np.array([x.above(self.whole).mean for x in found]),
            "rise_error": np.array([x.above(self.whole).error for x in found]),
            "bits_per_byte": np.array([x.bits_per_byte for x in found]),
        }
        whole = {"loss": self.whole.mean, "bits_per_byte": self.whole.bits_per_byte, "depth": self.depth}
        return xr.Dataset({name: ("removal", values) for name, values in columns.items()}, attrs=whole)


def counts_of(depth: int) -> tuple[int, ...]:
    """Return numbers of layers to try: one by one at first, then in tenths of the depth, up to two thirds of it.

    >>> counts_of(30)
    (1, 2, 3, 6, 9, 12, 15, 18, 20)
    """
    step, most = max(1, depth // 10), max(1, min(depth - 1, 2 * depth // 3))
    return tuple(sorted({n for n in (1, 2, *range(step, most, step), most) if n <= most}))


def random_starts(depth: int, n: int, draws: int, seed: int) -> tuple[int, ...]:
    """Return where ``draws`` different random blocks of ``n`` layers start, or all blocks where these are fewer."""
    return tuple(sorted(streams(seed)("random blocks", n).permutation(depth - n + 1)[:draws].tolist()))


def curve(
    model: nn.Module,
    tokens: Tokens,
    found: Distances,
    *,
    counts: Sequence[int] | None = None,
    kind: Kind = "last",
    draws: int = 3,
    seed: int = 0,
    batch: int | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Curve:
    """Return the losses of ``model`` on ``tokens`` without blocks of ``counts`` layers (default: ``counts_of``).

    The blocks are the nearest by ``found``, the deepest but for the last layer, and ``draws`` random ones, whose seed
    is ``seed``: the control. A block that two choices share is run once. Raises what ``without`` and ``losses`` raise.
    """
    depth = stack_of(model).depth
    tried = tuple(counts) if counts is not None else counts_of(depth)
    for n in tried:
        check_block(depth, 0, n)
    plan: list[tuple[Choice, int, int]] = []
    for n in tried:
        plan += [("nearest", n, found.best(n, kind)), ("deepest", n, deepest(depth, n))]
        plan += [("random", n, start) for start in random_starts(depth, n, draws, seed)]
    blocks = sorted({(n, start) for _, n, start in plan})
    known: dict[tuple[int, int], Losses] = {}
    whole = losses(model, tokens, batch=batch)
    for n, start in blocks:
        if on_progress is not None:
            on_progress(len(known) + 1, len(blocks) + 1)
        known[n, start] = losses(without(model, start, n), tokens, batch=batch)
    return Curve(depth, whole, tuple(Removal(choice, n, start, known[n, start]) for choice, n, start in plan))
