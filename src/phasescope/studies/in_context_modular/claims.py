"""The claims of the study ``in-context-modular``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from phasescope.ensemble import last
from phasescope.lab.measures import Cell, Measure, at, at_least, at_most, between, value
from phasescope.lab.readings import crossing
from phasescope.studies.in_context_modular.settings import ModularContextSettings
from phasescope.theory import in_context_modular
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "He et al. 2024"
SHARE, GAP = (0.0, 1.0), (-1.0, 1.0)
HALFWAY = 0.6  # between chance and all of it


def claims(s: ModularContextSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_exact(s), *_transition(s), *_rivals(s), *_held(s), *_inside(s), *_transient(s))


def final(which: str) -> Measure:
    """Return the accuracy over the last questions of one set at the end of training."""
    return Measure(
        lambda cell: last(cell["last_accuracy"].sel(set=which)), f"accuracy over the last questions, {which} tasks"
    )


def beyond(which: str) -> Measure:
    """Return the accuracy over those of the last questions that no ratio answers."""
    return value("beyond_ratio", set=which)


def decay(which: str) -> Measure:
    """Return by how much the largest accuracy on one set at any record is above that at the end."""

    def read(cell: xr.Dataset) -> xr.DataArray:
        found = cell["last_accuracy"].sel(set=which)
        return found.max("step") - last(found)

    return Measure(read, f"largest accuracy over training less that at the end, {which} tasks")


def copied(which: str, question: str) -> Measure:
    """Return the accuracy over those of the last questions that were shown before, or not."""
    return value("copied", set=which, question=question)


def threshold(cell: xr.Dataset) -> xr.DataArray:
    """Return the number of tasks, between the sizes that were trained, at which new tasks are answered; or inf."""
    return crossing(last(cell["last_accuracy"].sel(set="new")), HALFWAY, "n_tasks")


def early_threshold(cell: xr.Dataset) -> xr.DataArray:
    """Return the same at the first record after the start: after a quarter of training at pocket scale."""
    return crossing(cell["last_accuracy"].sel(set="new").isel(step=1), HALFWAY, "n_tasks")


def formula_gap(competitor: str, formula: Callable[[int], float]) -> Measure:
    """Return the largest distance over all shots between a competitor's accuracy and a formula."""

    def read(cell: xr.Dataset) -> Array:
        found = cell.accuracy.sel(competitor=competitor).mean("set").transpose("seed", "shot").values
        return np.asarray(np.abs(found - [formula(k) for k in range(found.shape[1])]).max(1))

    return Measure(read, f"largest distance of {competitor} from its formula")


def _exact(s: ModularContextSettings) -> Sequence[Claim]:
    cell = at("formulas")

    def ratio(shots: int) -> float:
        return in_context_modular.ratio_accuracy(s.p, shots)

    def best(shots: int) -> float:
        return in_context_modular.regression_accuracy(s.p, shots, zero=False)

    tolerance = "four standard errors of the mean of 2,000 answers, at the worst of 12 shots"
    return (
        Claim("ratio-formula", "Ratio matching is as accurate as counted, at every shot (largest distance)",
            Source(paper=f"{PAPER}, ratio matching", derived="theory.in_context_modular.ratio_accuracy",
                tolerance=tolerance),
            formula_gap("ratio", ratio)(cell), at_most(0.045),
            Control("regression over the integers modulo p", formula_gap("regression", ratio)), kind="identity",
            range=SHARE),
        Claim("regression-formula",
            "Bayes over all tasks is as accurate as the ranks of the examples modulo p say (largest distance)",
            Source(derived="theory.in_context_modular.regression_accuracy", tolerance=tolerance),
            formula_gap("all tasks", best)(cell), at_most(0.045),
            Control("Bayes over a pool of tasks", formula_gap("pool", best)), kind="identity", range=SHARE),
    )  # fmt: skip


def _transition(s: ModularContextSettings) -> Sequence[Claim]:
    few, many, every = at("sizes", n_tasks=s.few), at("sizes", n_tasks=s.many), at("sizes")
    loss = final("new") - final("pool")
    where = Measure(threshold, f"number of tasks at which accuracy on new tasks reaches {HALFWAY:g}")
    low, high = ((s.p**2 - 1) * part for part in ((0.25, 0.625) if s.tokens == "bound" else (0.1, 0.625)))
    early = Measure(early_threshold, "the same number early in training")
    return (
        Claim("few-tasks-stay-inside",
            f"A network that learnt {s.few} of {s.p**2 - 1} tasks answers those, and no others (new less own)",
            Source(paper=f"{PAPER}, abstract and Fig. 1: i.d. against o.o.d.", value="o.o.d. fails for few tasks",
                tolerance="the smallest effect that matters"),
            loss(few), at_most(-0.6), Control(f"networks that learnt {s.many} tasks", many), range=GAP),
        Claim("many-tasks-reach-out", f"One that learnt {s.many} tasks answers new ones",
            Source(paper=f"{PAPER}, abstract: out-of-distribution generalization as the number of tasks increases",
                ours="the level, at the pocket's size", tolerance="the smallest effect that matters"),
            final("new")(many), at_least(0.8), Control("random tables, as many", at("tables")), range=SHARE),
        Claim("transition",
            f"New tasks are answered ({HALFWAY:g} of the last questions) from {low:g} to {high:g} of {s.p**2 - 1} on",
            Source(paper=f"{PAPER}, Fig. 1b: between 2^7 and 2^8 of 841 at p = 29", ours="the range",
                tolerance="the pools that were trained on either side"),
            where(every), between(low, high), Control("the same networks early in training", early),
            range=(float(s.sizes[0]), float("inf"))),
    )  # fmt: skip


def _rivals(s: ModularContextSettings) -> Sequence[Claim]:
    many, repeats = at("sizes", n_tasks=s.many), at("repeats")

    def gain(over: str) -> Callable[..., Array]:
        def read(nets: xr.Dataset, rivals: xr.Dataset) -> Array:
            theirs = rivals["last"].sel(set="new", competitor=over)
            return np.asarray((last(nets["last_accuracy"].sel(set="new")) - theirs).values)

        return read

    def paired(over: str, n: int) -> tuple[Cell, Cell]:
        return at("sizes", n_tasks=n), at("competitors", n_tasks=n)

    beats = Measure(gain("pool"), "accuracy on new tasks less that of Bayes over the pool")
    ratio = Measure(gain("ratio"), "accuracy on new tasks less that of ratio matching")
    return (
        Claim("beats-pool-bayes",
            f"With {s.many} tasks a network answers new ones better than Bayes' rule with its pool as the prior",
            Source(paper=f"{PAPER}, abstract", ours="the rival, on the same sequences",
                tolerance="the smallest effect that matters"),
            beats(*paired("pool", s.many)), at_least(0.4),
            Control(f"networks of {s.few} tasks, beside Bayes over theirs", beats(*paired("pool", s.few))), range=GAP),
        Claim("combines-examples",
            f"With {s.many} tasks a network answers new ones also where the question is a multiple of no example, so "
            "that two must be combined (chance is 1/p)",
            Source(paper=f"{PAPER}, Sec. on skill composition and Fig. 5: from ratio matching to regression",
                ours="the measure", tolerance="the smallest effect that matters"),
            beyond("new")(many), at_least(0.4), Control("random tables, as many", at("tables")), range=SHARE),
        Claim("beats-ratio-matching",
            f"With {s.many} tasks a network answers new ones at least as well as ratio matching on the same sequences",
            Source(paper=f"{PAPER}, Fig. 5", ours="the rival, on the same sequences",
                tolerance="none: a sign"),
            ratio(*paired("ratio", s.many)), at_least(0.0),
            Control(f"networks of {s.few} tasks", ratio(*paired("ratio", s.few))), range=GAP),
        Claim("one-block-binds",
            "With bound tokens one block is enough: it answers new tasks where no ratio helps" if s.tokens == "bound"
            else "With three tokens for each example one block answers no new task where no ratio helps",
            Source(paper=f"{PAPER}, abstract: the smallest model capable of o.o.d. generalization requires two blocks",
                ours="bound tokens leave nothing for the first block to bind",
                tolerance="the smallest effect that matters"),
            beyond("new")(at("shallow", n_tasks=s.many)),
            at_least(0.4) if s.tokens == "bound" else at_most(0.3),
            Control("one block that learnt few tasks" if s.tokens == "bound" else "two blocks and more",
                at("shallow", n_tasks=s.few) if s.tokens == "bound" else many), range=SHARE),
        Claim("shown-answers-are-copied",
            f"Where inputs may repeat, networks of {s.between} tasks answer questions of new tasks that were shown "
            "before more often than others, which looks like a phase of its own (difference)",
            Source(ours="inputs repeat in the authors' pre_training/icl_grokking.py too (TrainDataset), and a shown "
                "answer can be copied", tolerance="half of the effect on other seeds", checked=True),
            (copied("new", "shown") - copied("new", "not shown"))(repeats), at_least(0.1),
            Control("tasks of the pool, which need no copy", copied("pool", "shown") - copied("pool", "not shown")),
            range=GAP),
    )  # fmt: skip


def _held(s: ModularContextSettings) -> Sequence[Claim]:
    few, many = at("held", n_tasks=s.few), at("held", n_tasks=s.many)
    if s.tokens == "three":
        return (
            Claim("held-out-inputs-follow",
                f"With {s.alpha:g} of the inputs trained on and {s.many} tasks, new tasks are answered on others too: "
                "o.o.d. generalization",
                Source(paper=f"{PAPER}, Fig. 1b: o.o.d. generalization at many tasks and a large fraction of inputs",
                    ours="the level", tolerance="the smallest effect that matters"),
                final("new, held-out inputs")(many), at_least(0.7), Control("networks of few tasks", few),
                range=SHARE),
        )  # fmt: skip
    return (
        Claim("held-out-inputs-fall-short",
            f"With {s.alpha:g} of the inputs trained on and {s.many} tasks, new tasks are answered on those inputs and "
            "less on others: o.o.d. memorization (seen less held out)",
            Source(paper=f"{PAPER}, Fig. 1b: o.o.d. memorization at a small fraction of inputs",
                tolerance="the smallest effect that matters"),
            (final("new") - final("new, held-out inputs"))(many), at_least(0.2),
            Control("networks of few tasks, which answer new ones on no inputs", few), range=GAP),
    )  # fmt: skip


def _inside(s: ModularContextSettings) -> Sequence[Claim]:
    if s.tokens == "three":
        return ()

    def read(cell: xr.Dataset) -> xr.DataArray:
        found = cell["attention"].sel(related="multiple")
        ratio = found.sel(look="attention", drop=True) / found.sel(look="uniform", drop=True)
        return ratio.max(["block", "head"])

    multiples = Measure(read, "largest attention of a head on examples on the question's line, over uniform")
    return (
        Claim("a-head-finds-multiples",
            f"With {s.many} tasks a head looks at the examples of which the question is a multiple, in new tasks "
            "(attention over uniform, of the head where it is largest)",
            Source(paper=f"{PAPER}, ratio matching", pilot="seeds 0 to 2 at pocket scale: 2.5, 3.1 and 2.9; random "
                "tables, seeds 0 and 1: 1.1 and 1.1", tolerance="half of the way from uniform, and less"),
            multiples(at("sizes", n_tasks=s.many)), at_least(1.8),
            Control("random tables, as many, where a multiple tells nothing", multiples(at("tables"))),
            range=(0.0, float(s.p**2))),
    )  # fmt: skip


def _transient(s: ModularContextSettings) -> Sequence[Claim]:
    if not s.deep:
        return ()
    return (
        Claim("transience",
            f"Networks of {s.deep} blocks and {s.between} tasks answer new tasks better along the way than at the end",
            Source(paper=f"{PAPER}, Fig. 3: o.o.d. generalization decays with training in deep networks",
                ours="by how much", tolerance="the smallest effect that matters"),
            decay("new")(at("deep", n_tasks=s.between)), at_least(0.1),
            Control("tasks of the pool, where the largest of as many records is as biased",
                decay("pool")(at("deep", n_tasks=s.between))), range=SHARE),
    )  # fmt: skip
