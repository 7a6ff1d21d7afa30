"""``watch``: the same look at a model again and again, while a training loop of one's own goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from phasescope.checks import whole
from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.inspection.measure import inspect
from phasescope.inspection.readings import Inspection
from phasescope.vocabulary import BadInput

if TYPE_CHECKING:
    import xarray as xr

DRAWN = 6  # curves in one panel, the first and the last block among them
HELD = ("parameters", "shape")  # the same at every step


class Watch:
    """A model, a batch, and what was read of them so far. Called with each step of a training loop, it reads when due.

    ``data`` is the readings as an ``xarray.Dataset`` along ``step`` and ``block``, ``figure()`` draws them, and
    ``last`` is the last ``Inspection``. A step at which a signal is not finite, or the blocks are not those of the
    beginning, is NaN, and ``reasons`` says why.
    """

    def __init__(
        self,
        module: nn.Module,
        batch: Any,
        every: int | Iterable[int],
        blocks: Sequence[str] | None,
        sublayers: bool,
        probes: int,
        seed: int,
    ) -> None:
        self._every = _due(every)
        self._look = partial(
            inspect,
            module,
            batch,
            blocks=blocks,
            sublayers=sublayers,
            probes=probes,
            seed=seed,
            advice=False,
            forecast=False,
        )
        self._first = self.last = self._look()  # what can not be read is refused here, not in the middle of a training
        self._read: dict[int, Inspection | None] = {}
        self.reasons: dict[int, str] = {}
        self._warned = False

    def __call__(self, step: int) -> bool:
        """Read the model if ``step`` is due, and return whether it was read.

        Where steps go back, as those of an epoch do, nothing is read, and a warning says so once: a watch ends no
        training.
        """
        step = whole(0)("step", step)
        if not (step % self._every == 0 if isinstance(self._every, int) else step in self._every):
            return False
        if self._read and step <= max(self._read):
            if not self._warned:
                told = f"step {step} comes after step {max(self._read)}: nothing is read where steps go back; count on."
                logging.getLogger("phasescope").warning(told)
            self._warned = True
            return False
        try:
            read = self._look()
            if read.blocks != self._first.blocks:
                raise BadInput(f"the blocks of the model are others than at first: {', '.join(read.blocks[:4])}, ...")
            self.last = self._read[step] = read
        except BadInput as error:
            self._read[step], self.reasons[step] = None, str(error)
        return True

    @property
    def data(self) -> xr.Dataset:
        """The readings along ``step`` and ``block``, named as those of ``inspect``; ``total`` and the like per step."""
        import xarray as xr

        like = self._first.to_dataset()
        sets = [self._table(read, like) for read in self._read.values()]
        if not sets:
            sets = [self._table(None, like).isel(step=slice(0))]
        found = xr.concat(sets, "step").assign_coords(step=np.asarray(list(self._read), dtype=int))
        return found.assign({name: like[name] for name in HELD}).assign_attrs(
            {name: like.attrs[name] for name in ("model", "batch", "probes", "seed", "start", "depth", "coverage")}
        )

    def _table(self, read: Inspection | None, like: xr.Dataset) -> xr.Dataset:
        """Return what one step's look found, or a table of its form with nothing in it."""
        one = like if read is None else read.to_dataset()
        whole = {name: one.attrs[name] for name in ("total", "total_low", "total_high", "growth")}
        table = one.drop_vars(HELD).assign(**whole, whole=one.attrs["verdict"]).drop_attrs()
        if read is None:
            numbers = [name for name, v in table.items() if v.dtype.kind == "f"]
            table = table.assign({name: table[name] * np.nan for name in numbers})
            table = table.assign(verdict=("block", ["-"] * table.sizes["block"]), whole="-")
        return table.expand_dims("step")

    def figure(self) -> Figure:
        """Return the picture: J over the whole depth, chi_J and the kernel of some blocks, and cosines, over steps."""
        d = self.data
        steps, names = d.step.values, [str(name) for name in d.block.values]
        chosen = np.unique(np.linspace(0, len(names) - 1, min(DRAWN, len(names))).round().astype(int))

        def lines(name: str) -> list[Line]:
            return [
                _line(names[i], steps, d[name].values[:, i]) for i in chosen if np.isfinite(d[name].values[:, i]).any()
            ]

        axis = Axis("step")
        whole = _line("measured, 95 % interval", steps, d.total.values, d.total_low.values, d.total_high.values)
        panels = [
            Curves("The whole depth", axis, Axis("J, first to last block", scale="log"), [whole]),
            Curves("One block", axis, Axis("chi_J", scale="log"), lines("chi")),
            Curves("Signal", axis, Axis("kernel K = mean of h^2", scale="log"), lines("kernel")),
            Curves("Likeness", axis, Axis("cosine of samples"), lines("cosine")),
        ]
        caption = (
            f"{d.attrs['model']}, {d.attrs['batch']}, at {len(steps)} steps; {len(chosen)} of {len(names)} places."
        )
        return Figure("watch", "Signal and gradients while a model learns", caption, panels)

    def __repr__(self) -> str:
        return (
            f"<Watch of {self._first.model}: {len(self._read)} steps read, {len(self.reasons)} of them without numbers>"
        )


def watch(
    module: nn.Module,
    batch: Any,
    every: int | Iterable[int] = 100,
    *,
    blocks: Sequence[str] | None = None,
    sublayers: bool = False,
    probes: int = 4,
    seed: int = 0,
) -> Watch:
    """Return a watch on a model in a training loop of one's own: call it with each step, and it reads when due.

        watched = ps.watch(model, batch, every=100)
        for step in range(1000):
            ...  # one step of training
            watched(step)
        watched.data  # chi_J, kernel, ... (step, block)

    ``every``: a number of steps, or the steps themselves. The rest is that of ``inspect``, at every look with the same
    random vectors, so that what changes is the model. Nothing is advised. A look leaves weights, gradients, modes and
    random numbers as they are: a training that is watched has the same bits as one that is not. Of a model in several
    parts it reads the first.

    Raises ``BadInput``, at once, for what ``inspect`` does not read, and for ``every`` that names no steps.
    """
    return Watch(module, batch, every, blocks, sublayers, probes, seed)


def _due(every: Any) -> int | frozenset[int]:
    if isinstance(every, Iterable) and not isinstance(every, str):
        steps = frozenset(whole(0)("a step of every", step) for step in every)
        if not steps:
            raise BadInput("every is empty: give a number of steps, or the steps at which to read.")
        return steps
    return int(whole(1)("every", every))


def _line(label: str, steps: Any, values: Any, low: Any = None, high: Any = None) -> Line:
    there = np.isfinite(values) & (values > 0 if low is not None else True)
    low, high = (None if end is None else end[there] for end in (low, high))
    return Line(label, steps[there], values[there], low, high)
