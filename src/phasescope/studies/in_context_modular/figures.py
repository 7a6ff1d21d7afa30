"""The figures of the study ``in-context-modular``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.figures import Axis, Curves, Figure
from phasescope.lab.drawing import ACCURACY, BANDS, Data, Series, curves, over
from phasescope.lab.measures import Cell, Measure, at
from phasescope.studies.in_context_modular.attention import RELATED
from phasescope.studies.in_context_modular.circles import NUMBERS, ORDERS
from phasescope.studies.in_context_modular.claims import beyond, final
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.tasks.in_context import SETS
from phasescope.theory import in_context_modular


def figures(data: Data, s: ModularContextSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return tuple(
        draw(data, s) for draw in (_sizes, _shots, _learning, _circles, _attention, *((_deep,) if s.deep else ()))
    )


def _sizes(data: Data, s: ModularContextSettings) -> Figure:
    sizes, rivals = at("sizes"), at("competitors")

    def rival(name: str, which: str) -> Measure:
        return Measure(lambda cell: cell["last"].sel(set=which, competitor=name))

    panel = over(
        f"the last {s.asked} of {s.shots} questions", data, Axis(f"tasks in the pool, of {s.p**2 - 1}"), s.sizes,
        ACCURACY,
        {"tasks of the pool": (final("pool"), sizes), "new tasks": (final("new"), sizes),
         "new tasks, no ratio helps": (beyond("new"), sizes)},
        control={"Bayes over the pool, new tasks": (rival("pool", "new"), rivals),
                 "ratio matching, new tasks": (rival("ratio", "new"), rivals)},
    )  # fmt: skip
    others = (
        {f"{'rectangular' if s.rule == 'random' else 'random'} pools, new tasks": (final("new"), at("rectangles"))}
        if s.corners
        else {}
    )
    panels = [panel]
    if s.corners:
        panels.append(
            over(
                "pools of rectangles and at random",
                data,
                Axis(f"tasks in the pool, of {s.p**2 - 1}"),
                s.corners,
                ACCURACY,
                others,
                control={f"{s.rule} pools, new tasks": (final("new"), at("sizes", n_tasks=s.corners))},
            )
        )
    return Figure(
        "sizes", "With more tasks, networks answer those that they never saw",
        f"{BANDS} p = {s.p}: Bayes over the pool knows new tasks no better than chance; ratio matching needs no pool.",
        panels, ("few-tasks-stay-inside", "many-tasks-reach-out", "transition", "beats-pool-bayes"),
    )  # fmt: skip


def _circles(data: Data, s: ModularContextSettings) -> Figure:
    numbers, share = NUMBERS if s.tokens == "bound" else ("any",), Axis("fraction of the power", limits=(0.0, 1.02))

    def read(number: str, order: str, value: str) -> Measure:
        return Measure(lambda cell: cell["circles"].sel(number=number, order=order, circle=value))

    panels = [
        over(
            f"{order}s", data, Axis(f"tasks in the pool, of {s.p**2 - 1}"), s.sizes, share,
            {f"{number}": (read(number, order, "labels"), at("sizes")) for number in numbers},
            control={f"{name}, labels shuffled": (read(name, order, "shuffled"), at("sizes")) for name in numbers},
        )
        for order in ORDERS
    ]  # fmt: skip
    return Figure(
        "circles", "Circles in the embedding, beside shuffled labels",
        f"{BANDS} The fraction of the embeddings' power at their strongest frequency along the residues (left) and, "
        "without 0, along their discrete logarithms (right): 1 is a circle. Dashed: mean over shuffled labels.",
        panels,
    )  # fmt: skip


def _attention(data: Data, s: ModularContextSettings) -> Figure:
    cell = at("sizes", n_tasks=s.many)
    times = Axis("times uniform attention", "log")

    def related(name: str) -> Measure:
        def read(one: xr.Dataset) -> xr.DataArray:
            found = one["attention"].sel(related=name).transpose(..., "block", "head", "look")
            ratio = found.sel(look="attention", drop=True) / found.sel(look="uniform", drop=True)
            return ratio.stack(where=("block", "head")).reset_index("where", drop=True)

        return Measure(read)

    def back(block: int) -> Measure:
        def read(one: xr.Dataset) -> xr.DataArray:
            found = one["offsets"].sel(block=block, drop=True)
            return found.sel(look="attention", drop=True) / found.sel(look="uniform", drop=True)

        return Measure(read)

    heads, offsets = np.arange(1, s.layers * s.heads + 1), np.arange(1, s.shots)
    return Figure(
        "attention", f"Where questions look, {s.many} tasks",
        f"{BANDS} Attention of the last {s.asked} questions of new tasks over what is uniform among all that they see. "
        f"Heads are numbered through, {s.heads} to a block.",
        [
            over("on themselves and on related examples", data, Axis("head"), heads, times,
                {name: (related(name), cell) for name in RELATED}, levels={"uniform": 1.0}),
            over("by how many shots back", data, Axis("shots before the question"), offsets, times,
                {f"block {block}": (back(block), cell) for block in range(1, s.layers + 1)}, levels={"uniform": 1.0}),
        ],
        ("a-head-finds-multiples",) if s.tokens == "bound" else (),
    )  # fmt: skip


def _deep(data: Data, s: ModularContextSettings) -> Figure:
    def series(which: str, name: str) -> Series:
        read = Measure(lambda cell: cell["last_accuracy"].sel(set=which))
        return {f"{name}, {n} tasks": (read, at("deep", n_tasks=n)) for n in (s.between, s.many)}

    return Figure(
        "deep", f"Over training, {s.deep} blocks",
        f"{BANDS} If generalization to new tasks is transient, the accuracy on them falls again.",
        [curves(f"the last {s.asked} questions", data, ACCURACY, series("new", "new"), control=series("pool", "pool"),
            x=Axis("step"))],
        ("transience",),
    )  # fmt: skip


def _shots(data: Data, s: ModularContextSettings) -> Figure:
    shots = np.arange(s.shots)
    new = Measure(lambda cell: cell["shot_accuracy"].sel(set="new"))

    def panel(title: str, cells: Series, control: Series) -> Curves:
        return over(
            title, data, Axis("examples before the question"), shots, ACCURACY, cells, control=control,
            laws={"ratio matching": lambda k: in_context_modular.ratio_accuracy(s.p, int(k)),
                  "regression": lambda k: in_context_modular.regression_accuracy(s.p, int(k), zero=False)},
        )  # fmt: skip

    repeats = f"inputs may repeat, {s.between} tasks"
    return Figure(
        "shots", "New tasks, shot by shot, beside the two algorithms in closed form",
        f"{BANDS} Ratio matching answers multiples of one example, regression all that two examples determine.",
        [
            panel("pools of several sizes", {f"{n} tasks": (new, at("sizes", n_tasks=n)) for n in s.sizes}, {}),
            panel("one block, and controls", {"one block": (new, at("shallow", n_tasks=s.many))},
                {"random tables": (new, at("tables")), repeats: (new, at("repeats"))}),
        ],
        ("combines-examples", "beats-ratio-matching", "one-block-binds", "ratio-formula", "regression-formula"),
    )  # fmt: skip


def _learning(data: Data, s: ModularContextSettings) -> Figure:
    def along(name: str) -> Measure:
        return Measure(lambda cell: cell["last_accuracy"].sel(set=name))

    def series(cell: Cell, *names: str) -> Series:
        return {name: (along(name), cell) for name in names}

    step, held = Axis("step"), at("held", n_tasks=s.many)
    return Figure(
        "learning", "Over training: tasks and inputs, seen and not",
        f"{BANDS} Accuracy over the last {s.asked} questions. Right: {s.alpha:g} of the inputs are trained on.",
        [
            curves(f"{s.many} tasks, all inputs", data, ACCURACY, series(at("sizes", n_tasks=s.many), "pool", "new"),
                control={"new, random tables": (along("new"), at("tables"))}, x=step),
            curves(f"{s.many} tasks, some inputs held out", data, ACCURACY, series(held, *SETS), x=step),
        ],
        (f"held-out-inputs-{'fall-short' if s.tokens == 'bound' else 'follow'}", "many-tasks-reach-out",
         "shown-answers-are-copied"),
    )  # fmt: skip
