"""``coordinate_check``: do activations and their changes keep their size as a network grows wider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from phasescope.checks import number, sequence, whole
from phasescope.store.finished import Piece
from phasescope.vocabulary import Array, BadInput, Recipe
from phasescope.width.coordinates_result import CoordinateCheck, Row
from phasescope.width.kept import identity, kept_in, told
from phasescope.width.slopes import slope_of
from phasescope.width.training import ALIKE, OUTPUT, SAME, Begun, Plan, Trained, begun, planned, trained

Progress = Callable[[str, int, int], object]
WIDTHS = (64, 128, 256, 512, 1024)


def coordinate_check(
    builder: Callable[[int], nn.Module],
    data: tuple[Any, Any],
    *,
    widths: Sequence[int] = WIDTHS,
    parametrization: Literal["given", "mup", "ntk"] = "given",
    recipe: Recipe | None = None,
    optimizer: Callable[[nn.Module, int], Any] | None = None,
    control: Callable[[int], nn.Module] | Literal["builder"] | None = None,
    seeds: int = 8,
    layers: Sequence[str] | None = None,
    base: int | None = None,
    tolerance: float = 0.25,
    confidence: float = 0.95,
    name: str = "",
    out: Path | str | None = None,
    on_progress: Progress | None = None,
) -> CoordinateCheck:
    """Return whether the layers of ``builder(width)`` keep their size, and change as much, at every width.

    Networks of each of ``widths`` (three or more) and ``seeds`` learn a few steps from ``data``, a pair of inputs and
    targets; read are, layer by layer, the root mean square of the outputs at the start and of what was added to them
    since, on up to 256 samples. Of each, log size over log width has one slope per seed, and these a mean with
    Student's interval over seeds, all intervals together at ``confidence``. Dimensionless; 0 is flat. A slope is "flat"
    within ``tolerance`` of 0, "grows" or "vanishes" beyond it: exponents of parametrizations are multiples of 1/2, so
    0.25 lies half-way; of five widths or more the wider half has the word if it decides. A network whose layers all
    change alike at every width learns features at any width, and is what mu-P makes (Yang and Hu 2021,
    arXiv:2011.14522). Only the output may vanish at the start, as it does in mu-P.

    ``builder`` is any function of the width that returns a module; it is left as it is. ``parametrization``: "given",
    or "mup" or "ntk", which rescale its first weights and the rates of its weights by their shapes at each width and at
    ``base``, the narrowest by default (``width.scalings``). ``recipe`` says how it learns: by default Adam at 0.001 for
    3 steps, cross-entropy for whole targets, squared error for others; weights have ``recipe``'s updates, full batches
    unless it says otherwise. Or ``optimizer(module, width)`` returns one of torch's. Of ``layers``, all that hold
    weights of two axes are read unless named. ``out``: a folder in which what is read of finished networks is kept: the
    same call goes on.

    ``control``: a builder that ought to fail; "builder" is the builder without the parametrization, and the default
    where there is one. If the control passes too, the check tells nothing, and the verdict is "undecided".

    Raises ``BadInput`` for fewer than three widths or two seeds, a builder that draws the same weights for every seed,
    layers that are not there at every width, and what
    the parts raise.
    """
    sizes = widths_of(widths)
    seeds = whole(2, 10_000)("seeds", seeds)
    tolerance = number(0, 10, open_low=True)("tolerance", tolerance)
    confidence = number(0, 1, open_low=True, open_high=True)("confidence", confidence)
    base = sizes[0] if base is None else whole(1, 10**7)("base", base)
    named = None if layers is None else tuple(str(layer) for layer in sequence("layers", layers, 10_000))
    plan = planned(builder, data, recipe, parametrization, base, optimizer, named, _usual)
    rival = _control(plan, control)
    plans = [plan] if rival is None else [plan, rival]
    done, total = 0, len(plans) * len(sizes) * seeds
    found = []
    with kept_in(out) as finished:
        for one in plans:
            known = told(one, __name__, one.make) if out is not None else {}
            runs: list[list[Trained]] = []
            for size in sizes:
                row = []
                for seed in range(seeds):
                    if on_progress is not None:
                        on_progress(f"width {size}", done, total)
                    here = begun(one, size, seed)
                    read = finished.piece(partial(identity, known, here, one.recipe.lr), partial(_read, one, here))
                    row.append(Trained(tuple(read[1]["names"]), read[0]["sizes"], read[0]["changes"]))
                    done += 1
                runs.append(row)
            found.append(_judged(runs, sizes, one, seeds, tolerance, confidence, name))
    if rival is None:
        return found[0]
    return found[0].beside(found[1])


def _read(plan: Plan, network: Begun) -> Piece:
    one = trained(plan, network)
    return {"sizes": one.sizes, "changes": one.changes}, {"names": list(one.names)}


def widths_of(widths: Any) -> tuple[int, ...]:
    """Return rising widths, three or more. Raises ``BadInput``."""
    found = [whole(1, 10**7)("a width", size) for size in sequence("widths", widths, 100)]
    if len(found) < 3 or sorted(set(found)) != found:
        raise BadInput(f"widths are {found}: give three or more, each larger than the one before.")
    return tuple(found)


def _usual(loss: str) -> Recipe:
    return Recipe(optimizer="adam", lr=0.001, steps=3, loss=loss, records=2)


def _control(plan: Plan, control: Any) -> Plan | None:
    if control is None:
        return None if plan.parametrization == "given" else replace(plan, parametrization="given")
    if isinstance(control, str):
        if control != "builder" or plan.parametrization == "given":
            raise BadInput(
                f"control is {control!r}: give another builder, or 'builder' where a parametrization is asked for."
            )
        return replace(plan, parametrization="given")
    return planned(
        control, (plan.inputs, plan.targets), plan.recipe, "given", plan.base, plan.make, plan.layers, _usual
    )


def _judged(
    runs: list[list[Trained]], widths: tuple[int, ...], plan: Plan, seeds: int, tolerance: float, confidence: float,
    name: str,
) -> CoordinateCheck:  # fmt: skip
    """Return the check from what was read of each width (W) and seed (S)."""
    names = runs[0][0].names
    for size, row in zip(widths, runs, strict=True):
        other = next((one.names for one in row if one.names != names), None)
        if other is not None:
            odd = sorted(set(names) ^ set(other)) or [*other]
            raise BadInput(
                f"the layers at width {size} are not those at {widths[0]} ({odd[0]!r}): name layers that are there at "
                "every width with layers=, or let the builder change nothing but widths."
            )
    sizes = np.array([[one.sizes for one in row] for row in runs])  # (W, S, T + 1, layers)
    changes = np.array([[one.changes for one in row] for row in runs])
    if (sizes == sizes[:, :1]).all() and (changes == changes[:, :1]).all():
        raise BadInput(SAME)
    if (sizes == sizes[:1]).all() and (changes == changes[:1]).all():
        raise BadInput(ALIKE.format(along="width"))
    finite = np.isfinite(sizes).all((0, 1, 3)) & np.isfinite(changes).all((0, 1, 3))
    step = int(np.argmin(finite)) - 1 if not finite.all() else len(finite) - 1
    tail = (1 - confidence) / 2 / (4 * len(names))  # start and change, over all widths and over the wider half
    x = np.array(widths, float)
    rows = []
    for i, layer in enumerate(names):
        start = slope_of(sizes[:, :, 0, i].T, x, tolerance, tail)
        change = slope_of(changes[:, :, max(step, 0), i].T, x, tolerance, tail)
        rows.append(Row(layer, start, change, _still(changes[:, :, -1, i]), layer == OUTPUT))
    lost = int((~np.isfinite(sizes).all((2, 3))).sum())
    return CoordinateCheck(
        tuple(rows), _dataset(sizes, changes, names, widths, plan, seeds, tolerance, confidence, name), step, lost
    )


def _still(changes: Array) -> bool:
    return bool((changes == 0).all())


def _dataset(
    sizes: Array, changes: Array, names: tuple[str, ...], widths: tuple[int, ...], plan: Plan, seeds: int,
    tolerance: float, confidence: float, name: str,
) -> Any:  # fmt: skip
    import xarray as xr

    builder = getattr(plan.builder, "__qualname__", type(plan.builder).__name__)
    learns = "own optimizer" if plan.make is not None else str(plan.recipe.model_dump(mode="json")["optimizer"])
    along = ("width", "seed", "step", "layer")
    words = {
        "name": name or builder, "parametrization": plan.parametrization, "optimizer": learns, "lr": plan.recipe.lr,
        "base": plan.base, "tolerance": tolerance, "confidence": confidence, "samples": plan.samples,
    }  # fmt: skip
    return xr.Dataset(
        {
            "size": (along, sizes, {"units": "1", "long_name": "root mean square of a layer's outputs"}),
            "change": (along, changes, {"units": "1", "long_name": "root mean square of what was added to them"}),
        },
        coords={
            "width": list(widths), "seed": np.arange(seeds), "step": np.arange(sizes.shape[2]), "layer": list(names),
        },
        attrs=words,
    )  # fmt: skip
