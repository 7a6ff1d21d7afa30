"""The claims of the study ``in-context-regression``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, between
from phasescope.lab.readings import crossing
from phasescope.studies.in_context_regression.settings import RegressionContextSettings
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Raventos et al. 2023"
REALS = (-math.inf, math.inf)


def claims(s: RegressionContextSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_rules(s), *_sides(s), *_threshold(s), *_prior(s))


def end(reading: str, which: str = "new") -> Measure:
    """Return a reading of one set of tasks at the end of training."""
    return Measure(lambda cell: last(cell[reading].sel(set=which)), f"{reading.replace('_', ' ')} on {which} tasks")


def of_rule(rule: str, which: str = "new") -> Measure:
    """Return the error of a Bayes rule on the networks' own sequences."""
    return Measure(lambda cell: last(cell["of_rules"].sel(set=which, rule=rule)), f"error of {rule} on {which} tasks")


def margin(better: str, worse: str, which: str) -> Measure:
    """Return by how much one rule alone errs less than another."""
    return Measure(
        lambda cell: (cell["error"].sel(rule=worse) - cell["error"].sel(rule=better)).sel(set=which),
        f"error of {worse} less that of {better}, {which} tasks",
    )


def reaches(read: Measure, words: str) -> Measure:
    """Return the number of tasks, on the logarithm between the sizes, at which a measure reaches 0 from below."""

    def where(cell: xr.Dataset) -> Array:
        found = read.read(cell).assign_coords(n_tasks=np.log2(cell.n_tasks.values))
        return np.asarray(2.0 ** crossing(found, 0.0, "n_tasks").values)

    return Measure(where, words)


def _rules(s: RegressionContextSettings) -> Sequence[Claim]:
    cells = [at("rules", n_tasks=n) for n in s.rule_sizes]

    def over(measure: Measure) -> Measured:
        def read(*rows: xr.Dataset) -> Array:
            return np.asarray(np.min([measure.read(row).values for row in rows], 0))

        return Measure(read, f"least {measure.words}")(*cells)

    several = ", ".join(map(str, s.rule_sizes))
    return (
        Claim("pool-rule-wins-at-home",
            f"On tasks of the pool its own Bayes rule errs less than ridge (least margin, pools of {several})",
            Source(paper=f"{PAPER}, Sec. 2: dMMSE is optimal for the pretraining distribution",
                derived="theory.in_context_regression.dmmse_answers, posterior means are optimal",
                tolerance="a fifth of the margin at the largest pool, on other seeds"),
            over(margin("dMMSE", "ridge", "pool")), at_least(0.05),
            Control("the Bayes rule of another pool as large", over(margin("dMMSE of another pool", "ridge", "pool"))),
            kind="identity", range=REALS),
        Claim("ridge-wins-outside",
            f"On new tasks ridge errs less than the pool's Bayes rule (least margin, pools of {several})",
            Source(paper=f"{PAPER}, Sec. 2: ridge is optimal for Gaussian tasks",
                derived="theory.in_context_regression.ridge_answers", tolerance="the smallest effect that matters"),
            over(margin("ridge", "dMMSE", "new")), at_least(0.1),
            Control("the pool's own tasks", over(margin("ridge", "dMMSE", "pool"))), kind="identity", range=REALS),
    )  # fmt: skip


def _sides(s: RegressionContextSettings) -> Sequence[Claim]:
    few, middle, largest = (at("sizes", n_tasks=n) for n in (s.few, s.middle, s.sizes[-1]))
    longer = at("longer", n_tasks=s.middle)
    gain = of_rule("dMMSE") - end("error")
    matters = "the smallest effect that matters"
    return (
        Claim("few-tasks-memorize",
            f"A network of {s.few} tasks answers new ones as its pool's Bayes rule does (squared distance from it over "
            "that from ridge)",
            Source(paper=f"{PAPER}, Fig. 2: below the threshold", ours="the level, at the pocket's size",
                tolerance=matters),
            (end("dmmse_distance") / end("ridge_distance"))(few), at_most(0.3),
            Control(f"networks of {s.sizes[-1]} tasks", largest), range=(0.0, math.inf)),
        Claim("leaves-bayes",
            f"A network of {s.middle} tasks errs less on new ones than the Bayes rule of the tasks that it learnt",
            Source(paper=f"{PAPER}, abstract: it outperforms the Bayesian estimator with the pretraining prior",
                ours="by how much, at the pocket's size", tolerance=matters),
            gain(middle), at_least(s.matters), Control(f"networks of {s.few} tasks", few), range=REALS),
        Claim("worse-at-home",
            f"And it errs more than that rule on its own tasks (the network of {s.middle} tasks, on them)",
            Source(paper=f"{PAPER}, abstract: non-Bayesian", ours="by how much, at the pocket's size",
                tolerance=matters),
            (end("error", "pool") - of_rule("dMMSE", "pool"))(middle), at_least(s.matters),
            Control(f"networks of {s.few} tasks, which follow the rule", few), range=REALS),
        Claim("not-undertraining",
            f"With twice the steps a network of {s.middle} tasks still errs less on new ones than its Bayes rule",
            Source(paper=f"{PAPER}, Sec. on training longer: above the threshold it moves towards ridge",
                ours="twice the steps", tolerance=matters),
            gain(longer), at_least(s.matters), Control(f"networks of {s.few} tasks", few), range=REALS),
    )  # fmt: skip


def _threshold(s: RegressionContextSettings) -> Sequence[Claim]:
    every, few, largest = at("sizes"), at("sizes", n_tasks=s.few), at("sizes", n_tasks=s.sizes[-1])
    low, high = s.threshold
    served = of_rule("ridge") + s.excess
    where = reaches(
        served - end("error"), f"number of tasks at which the error on new ones is ridge's and {s.excess:g}"
    )
    rule = reaches(served - of_rule("dMMSE"), f"number of tasks at which dMMSE's is ridge's and {s.excess:g}")

    def rises(one: xr.Dataset, other: xr.Dataset) -> Array:
        return np.asarray((end("ridge_weight").read(other) - end("ridge_weight").read(one)).values)

    weight = Measure(rises, "rise of the weight of ridge on new tasks")
    return (
        Claim("threshold",
            f"New tasks are served, to {s.excess:g} of ridge's error, from {low:g} to {high:g} tasks on",
            Source(paper=f"{PAPER}, Fig. 2: between 2^14 and 2^15 in eight dimensions", ours="the range",
                tolerance="the pools that were trained on either side"),
            where(every), between(low, high),
            Control("the pool's Bayes rule, which nears ridge with many tasks", rule),
            range=(0.0, math.inf)),
        Claim("between-the-rules",
            f"The weight of ridge in the answers to new tasks rises from {s.few} to {s.sizes[-1]} tasks",
            Source(ours="where between the two Bayes rules a network stands", tolerance="half of the way"),
            weight(few, largest), at_least(0.5),
            Control("twice the steps instead of more tasks",
                weight(at("sizes", n_tasks=s.middle), at("longer", n_tasks=s.middle))), range=REALS),
    )  # fmt: skip


def _prior(s: RegressionContextSettings) -> Sequence[Claim]:
    if not s.priors:
        return ()

    def read(cell: xr.Dataset) -> xr.DataArray:
        return last(cell["ridge_weight"].mean("set"))

    weight = Measure(read, "weight of ridge, less of the Laplace prior's rule, in answers to Laplace tasks")
    return (
        Claim("learns-the-prior",
            "Networks of ever new Laplace tasks are nearer to that prior's Bayes rule than to ridge (weight of ridge)",
            Source(paper=f"{PAPER}, appendix: the same holds for a Laplace prior", value="half",
                ours="the measure", tolerance="half of the way between the two rules"),
            weight(at("laplace")), at_most(0.5),
            Control("networks of ever new Gaussian tasks, on the same Laplace ones", at("gaussian")), range=REALS),
    )  # fmt: skip
