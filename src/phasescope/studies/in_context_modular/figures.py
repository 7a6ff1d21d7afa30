"""The figures of the study ``in-context-modular``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Curves, Figure
from phasescope.lab.drawing import ACCURACY, BANDS, Data, Series, curves, over
from phasescope.lab.measures import Cell, Measure, at
from phasescope.studies.in_context_modular.claims import beyond, final
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.tasks.in_context import SETS
from phasescope.theory import in_context_modular


def figures(data: Data, s: ModularContextSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return tuple(draw(data, s) for draw in (_sizes, _shots, _learning))


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
    return Figure(
        "sizes", "With more tasks, networks answer those that they never saw",
        f"{BANDS} p = {s.p}: Bayes over the pool knows new tasks no better than chance; ratio matching needs no pool.",
        [panel], ("few-tasks-stay-inside", "many-tasks-reach-out", "transition", "beats-pool-bayes"),
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
