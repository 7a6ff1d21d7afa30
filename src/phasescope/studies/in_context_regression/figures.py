"""The figures of the study ``in-context-regression``."""

from __future__ import annotations

from collections.abc import Sequence

from phasescope.figures import Axis, Figure, HeatMap
from phasescope.lab.drawing import BANDS, Data, curves, over
from phasescope.lab.measures import Measure, at
from phasescope.studies.in_context_regression.claims import end, of_rule
from phasescope.studies.in_context_regression.settings import RegressionContextSettings

DISTANCES = {"ridge": "ridge_distance", "dMMSE": "dmmse_distance", "the nearest mix of both": "mix_distance"}
ERROR, TASKS = Axis("squared error / D"), Axis("tasks in the pool", "log")


def figures(data: Data, s: RegressionContextSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return tuple(draw(data, s) for draw in (_sides, _weights, _steps, *((_priors,) if s.priors else ()), _rules))


def _sides(data: Data, s: RegressionContextSettings) -> Figure:
    cell = at("sizes")
    panels = [
        over(title, data, TASKS, s.sizes, ERROR, {"networks": (end("error", which), cell)},
            control={"ridge": (of_rule("ridge", which), cell),
                     "Bayes over the pool (dMMSE)": (of_rule("dMMSE", which), cell)})
        for title, which in (("tasks of the pool", "pool"), ("new tasks", "new"))
    ]  # fmt: skip
    return Figure(
        "sides", "With more tasks networks leave the Bayes rule of their pool, and gain on new ones",
        f"{BANDS} Error to the truth over D, mean over all shots; the rules answer the same sequences.",
        panels, ("leaves-bayes", "worse-at-home", "threshold"),
    )  # fmt: skip


def _weights(data: Data, s: RegressionContextSettings) -> Figure:
    weight = Axis("weight of ridge")

    def along(which: str) -> Measure:
        return Measure(lambda cell: cell["ridge_weight"].sel(set=which))

    cells = {f"{n} tasks": (along("new"), at("sizes", n_tasks=n)) for n in s.sizes}
    return Figure(
        "weights", "Between the two rules",
        f"{BANDS} The weight w with which w ridge + (1 - w) dMMSE is nearest to the answers: 0 is the pool's Bayes "
        "rule, 1 is ridge.",
        [
            over("at the end", data, TASKS, s.sizes, weight,
                {"new tasks": (end("ridge_weight"), at("sizes")),
                 "tasks of the pool": (end("ridge_weight", "pool"), at("sizes"))},
                levels={"ridge": 1.0, "dMMSE": 0.0}),
            curves("over training, new tasks", data, weight, cells, x=Axis("step"),
                control={f"{s.middle} tasks, twice the steps": (along("new"), at("longer"))}),
            over("how far from the rules, new tasks", data, TASKS, s.sizes, Axis("squared distance / D"),
                {name: (end(reading), at("sizes")) for name, reading in DISTANCES.items()}),
        ],
        ("few-tasks-memorize", "between-the-rules", "not-undertraining"),
    )  # fmt: skip


def _steps(data: Data, s: RegressionContextSettings) -> Figure:
    found = at("sizes").of(data)["ridge_weight"]
    panels = []
    for which in ("new", "pool"):
        values = found.sel(set=which).median("seed").transpose("n_tasks", "step").isel(step=slice(1, None))
        steps, tasks = (values[name].values.astype(float) for name in ("step", "n_tasks"))
        panels.append(
            HeatMap(
                f"{which} tasks" if which == "new" else "tasks of the pool",
                Axis("step"),
                TASKS,
                steps,
                tasks,
                values.values,
                "weight of ridge",
                0.5,
                (0.0, 1.0),
            )
        )
    return Figure(
        "steps", "Between the two rules, over tasks and steps",
        "Median over seeds of the weight of ridge at each record, all along one schedule; white: where it is one half.",
        panels, ("between-the-rules", "not-undertraining"),
    )  # fmt: skip


def _priors(data: Data, s: RegressionContextSettings) -> Figure:
    learnt, control = at("laplace"), at("gaussian")

    def mean(reading: str) -> Measure:
        return Measure(lambda cell: cell[reading].mean("set"))

    def of(rule: str) -> Measure:
        return Measure(lambda cell: cell["of_rules"].sel(rule=rule).mean("set"))

    return Figure(
        "priors", "Networks of Laplace and of Gaussian tasks, on Laplace tasks",
        f"{BANDS} Ever new tasks. Left: w where an answer is nearest to w ridge + (1 - w) Bayes of the Laplace prior.",
        [
            curves("between ridge and the Laplace prior's rule", data, Axis("weight of ridge"),
                {"Laplace tasks learnt": (mean("ridge_weight"), learnt)}, x=Axis("step"),
                control={"Gaussian tasks learnt": (mean("ridge_weight"), control)},
                levels={"ridge": 1.0, "Laplace prior": 0.0}),
            curves("errors", data, ERROR,
                {"Laplace tasks learnt": (mean("error"), learnt), "Gaussian tasks learnt": (mean("error"), control)},
                x=Axis("step"), control={"ridge": (of("ridge"), learnt), "Laplace rule": (of("Laplace"), learnt)}),
        ],
        ("learns-the-prior",),
    )  # fmt: skip


def _rules(data: Data, s: RegressionContextSettings) -> Figure:
    def read(rule: str, which: str) -> Measure:
        return Measure(lambda cell: cell["error"].sel(rule=rule, set=which))

    cell = at("rules")
    panels = [
        over(title, data, TASKS, s.rule_sizes, ERROR,
            {"ridge": (read("ridge", which), cell), "dMMSE": (read("dMMSE", which), cell)},
            control={"dMMSE of another pool": (read("dMMSE of another pool", which), cell)})
        for title, which in (("tasks of the pool", "pool"), ("new tasks", "new"))
    ]  # fmt: skip
    return Figure(
        "rules", f"The two Bayes rules alone, D = {s.rule_dimension}, {s.rule_shots} shots",
        f"{BANDS} Each is best where its prior is right.", panels, ("pool-rule-wins-at-home", "ridge-wins-outside"),
    )  # fmt: skip
