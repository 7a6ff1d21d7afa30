"""Learning from labels that are partly wrong. Doshi, Das, He, Gromov 2023, arXiv:2310.13061.

A two-layer quadratic network learns (n + m) mod p from a fraction of the table, where a share xi of the training labels
is drawn again at random. It may memorize the wrong labels, understand the rule and correct them, or do both at once,
with different neurons: a neuron's participation ratio in Fourier space says which it is, and pruning proves it.

The plain parametrization of the paper's App. A, AdamW with learning rate 0.01 and betas (0.9, 0.98), full batch, mean
squared error. Pocket scale is p = 59, width 300, 0.7 of the table, xi = 0.3; the paper's is p = 97, width 500, 0.5,
xi = 0.35. The paper trains for 2000 steps, the authors' notebook, whose numbers are compared, for 1000 and 500.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from phasescope import theory
from phasescope.ensemble import last
from phasescope.instruments import (
    CORRUPTION,
    LEARNING,
    corrupted_accuracy,
    embed_participation,
    given_logit,
    mean_participation,
    norm_correlation,
    norm_scale,
    participation,
    pruning,
    test_accuracy,
    train_accuracy,
    true_logit,
    weight_norm,
)
from phasescope.learners import DeepMLP, ExactMLP, OneLayerTransformer, PowerMLP
from phasescope.studies._corrupted_labels_claims import cells, claims
from phasescope.studies._corrupted_labels_figures import figures
from phasescope.studies._readings import at_the_end
from phasescope.studies._study import Experiment, Inside, OrderParameter, Paper, Study
from phasescope.tasks import ModularTable, addition
from phasescope.vocabulary import Fraction, Grid, Instrument, Positive, Recipe, Settings

Share = Annotated[float, Field(gt=0, lt=1)]
Corruption = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[int, Field(ge=10)]
Diagram = Literal["decay", "dropout", "relu", "cross_entropy"]


class CorruptedLabelsSettings(Settings):
    """Sizes of the study; ``low`` is a fraction from which the rule is not found, ``middle`` one
    from which it takes weight decay.

    ``partial`` and ``full`` are the weight decays of the two inversions, ``forget`` that of forgetting. ``norm_*`` is
    the mini-batch run with batch normalization (``other_batches``: further sizes of them), ``deep_*`` and ``token_*``
    the deeper networks (0 seeds leave them out), ``diagrams`` the phase diagrams that are drawn.
    """

    p: Annotated[int, Field(ge=5)] = 59
    width: Count = 300
    seeds: Count = 8
    train_fraction: Share = 0.7
    corruption: Corruption = 0.3
    low: Share = 0.3
    middle: Share = 0.5
    rate: Positive = 0.01
    steps: Steps = 400
    partial: Decay = 5.0
    full: Decay = 12.0
    decay_steps: Steps = 400
    forget: Decay = 20.0
    forget_steps: Steps = 3000
    other_steps: Steps = 800
    dropouts: tuple[Fraction, ...] = (0.3, 0.6, 0.9)
    dropout_steps: Steps = 400
    norm_p: Annotated[int, Field(ge=5)] = 59
    norm_width: Count = 300
    norm_fraction: Share = 0.65
    norm_corruption: Corruption = 0.2
    norm_steps: Steps = 8000
    batch: Count = 64
    norm_rate: Positive = 0.005
    other_batches: tuple[Count, ...] = ()
    deep_p: Annotated[int, Field(ge=5)] = 31
    deep_width: Count = 150
    deep_seeds: Annotated[int, Field(ge=0)] = 8
    deep_fraction: Share = 0.8
    deep_corruption: Corruption = 0.15
    deep_decay: Decay = 10.0
    deep_rate: Positive = 0.001
    deep_steps: Steps = 1000
    token_p: Annotated[int, Field(ge=5)] = 31
    token_width: Count = 32
    token_seeds: Annotated[int, Field(ge=0)] = 0
    token_decay: Decay = 3.0
    token_rate: Positive = 0.01
    token_steps: Steps = 2000
    diagrams: tuple[Diagram, ...] = ("decay",)
    fractions: tuple[Share, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    corruptions: tuple[Corruption, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
    decays: tuple[Decay, ...] = (0.0, 5.0, 12.0)
    diagram_steps: Steps = 400
    diagram_seeds: Count = 1
    records: Annotated[int, Field(ge=5)] = 40


SCALES = {
    "pocket": CorruptedLabelsSettings(),
    "paper": CorruptedLabelsSettings(
        p=97,
        width=500,
        seeds=5,
        train_fraction=0.5,
        corruption=0.35,
        low=0.2,
        middle=0.35,
        steps=1000,
        full=15.0,
        decay_steps=500,
        forget_steps=5000,
        other_steps=2000,
        dropout_steps=2000,
        norm_p=97,
        norm_width=500,
        other_batches=(8, 32, 256),
        deep_p=97,
        deep_width=500,
        deep_seeds=3,
        deep_corruption=0.2,
        deep_steps=5000,
        token_p=97,
        token_width=128,
        token_seeds=3,
        token_decay=10.0,
        token_rate=0.001,
        token_steps=3000,
        diagrams=("decay", "dropout", "relu", "cross_entropy"),
        fractions=tuple(round(float(a), 2) for a in np.linspace(0.1, 0.9, 17)),
        corruptions=tuple(round(float(x), 2) for x in np.linspace(0, 0.9, 19)),
        decays=(0.0, 5.0, 15.0, 20.0),
        diagram_steps=2000,
    ),
}
PRUNED = tuple(pruning(participation, order=order) for order in ("lowest", "highest", "random"))
ALONG = (*LEARNING, *CORRUPTION, mean_participation)


def experiments(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    """Return the study's experiments by name."""
    return {**_phases(s), **_controls(s), **_regularized(s), **_deeper(s), **_diagrams(s)}


def _task(s: CorruptedLabelsSettings, **changes: float) -> ModularTable:
    numbers = {"train_fraction": s.train_fraction, "corruption": s.corruption, **changes}
    return addition(s.p, train_fraction=numbers["train_fraction"], corruption=numbers["corruption"])


def _recipe(s: CorruptedLabelsSettings, **changes: Any) -> Recipe:
    numbers = {"lr": s.rate, "steps": s.steps, "records": s.records, **changes}
    # the first steps say little: records begin at the fourth
    return Recipe(**{"first_record": min(4, numbers["steps"]), **numbers})


def _decays(s: CorruptedLabelsSettings, *values: float) -> Grid:
    return Grid({"weight_decay": values}, seeds=s.seeds)


def _phases(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    """The rows of Figs. 1, 4, 6, 8: one network, weight decay alone decides what becomes of the wrong labels."""
    net, task = PowerMLP(s.p, s.width), _task(s)
    watch = (*LEARNING, *CORRUPTION, mean_participation, participation, given_logit, true_logit, weight_norm)
    return {
        "plain": Experiment(
            "no weight decay", net, task, _decays(s, 0.0), _recipe(s), watch, (participation, *PRUNED)
        ),
        "decay": Experiment(
            "weight decay", net, task, _decays(s, s.partial, s.full), _recipe(s, steps=s.decay_steps), watch,
            (participation, *PRUNED),
        ),
        "forgetting": Experiment(
            "strong weight decay", net, task, _decays(s, s.forget), _recipe(s, steps=s.forget_steps),
            (*ALONG, weight_norm), (participation,),
        ),
    }  # fmt: skip


def _controls(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    net, end = PowerMLP(s.p, s.width), (participation,)
    relu = PowerMLP(s.p, s.width, activation="relu")
    strong = _decays(s, s.forget)
    return {
        "memorizing": Experiment(
            "too few samples", net, _task(s, train_fraction=s.low), _decays(s, 0.0), _recipe(s), ALONG, end
        ),
        "middle": Experiment(
            "fewer samples", net, _task(s, train_fraction=s.middle), _decays(s, 0.0, s.partial), _recipe(s), ALONG, end
        ),
        "random": Experiment(
            "control: random labels", net, _task(s, corruption=1.0), _decays(s, 0.0, s.partial, s.full),
            _recipe(s, steps=s.decay_steps), ALONG, end,
        ),
        "relu": Experiment(
            "ReLU under strong weight decay", relu, _task(s), strong, _recipe(s, steps=s.other_steps), ALONG, end
        ),
        "cross_entropy": Experiment(
            "cross-entropy under weight decay", net, _task(s), _decays(s, s.partial, s.forget),
            _recipe(s, steps=s.other_steps, loss="cross_entropy"), ALONG, end,
        ),
    }  # fmt: skip


def _regularized(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    drops = Grid({"dropout": s.dropouts}, seeds=s.seeds)
    recipe = _recipe(s, steps=s.norm_steps, batch=s.batch, lr=s.norm_rate)
    plain, normed = (PowerMLP(s.norm_p, s.norm_width, batch_norm=on) for on in (False, True))
    task = addition(s.norm_p, train_fraction=s.norm_fraction, corruption=s.norm_corruption)
    noise = addition(s.norm_p, train_fraction=s.norm_fraction, corruption=1.0)
    end = (participation, norm_scale, norm_correlation)

    def batched(title: str, net: PowerMLP, table: ModularTable, at_end: tuple[Instrument, ...]) -> Experiment:
        return Experiment(title, net, table, Grid(seeds=s.seeds), recipe, ALONG, at_end)

    def of_size(size: int) -> Experiment:
        # as many samples seen and the rate as the root of the size: the rule of the paper's App. A.1
        steps, rate = s.norm_steps * s.batch // size, s.norm_rate * (size / s.batch) ** 0.5
        own = _recipe(s, steps=steps, batch=size, lr=rate)
        return replace(batched(f"mini-batches of {size} with batch normalization", normed, task, end), recipe=own)

    return {
        "dropout": Experiment(
            "dropout", PowerMLP(s.p, s.width), _task(s), drops, _recipe(s, steps=s.dropout_steps), ALONG,
            (participation,),
        ),
        "batch_norm": batched("mini-batches with batch normalization", normed, task, end),
        "batches": batched("mini-batches", plain, task, (participation,)),
        "noise_norm": batched("control: batch normalization, random labels", normed, noise, end),
        **{f"batch_norm_{size}": of_size(size) for size in s.other_batches},
    }  # fmt: skip


def _deeper(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    def decayed(title: str, net: Any, p: int, decay: float, seeds: int, recipe: Recipe) -> Experiment:
        task = addition(p, train_fraction=s.deep_fraction, corruption=s.deep_corruption)
        grid = Grid({"weight_decay": (0.0, decay)}, seeds=seeds)
        return Experiment(title, net, task, grid, recipe, (*LEARNING, *CORRUPTION), (embed_participation,))

    found = {}
    if s.deep_seeds:
        found["deep"] = decayed(
            "three-layer ReLU network", DeepMLP(s.deep_p, s.deep_width), s.deep_p, s.deep_decay, s.deep_seeds,
            _recipe(s, steps=s.deep_steps, lr=s.deep_rate),
        )  # fmt: skip
    if s.token_seeds:
        found["tokens"] = decayed(
            "one-layer transformer", OneLayerTransformer(s.token_p, s.token_width), s.token_p, s.token_decay,
            s.token_seeds, _recipe(s, steps=s.token_steps, lr=s.token_rate),
        )  # fmt: skip
    return found


def _diagrams(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    """The phase diagrams of Fig. 3 and of Apps. M and N."""
    axes = {"train_fraction": s.fractions, "corruption": s.corruptions}
    by_decay = Grid({"weight_decay": s.decays, **axes}, seeds=s.diagram_seeds)
    by_dropout = Grid({"dropout": (0.0, *s.dropouts), **axes}, seeds=s.diagram_seeds)
    net, relu = PowerMLP(s.p, s.width), PowerMLP(s.p, s.width, activation="relu")
    recipe = Recipe(lr=s.rate, steps=s.diagram_steps, records=min(20, s.records), first_record=min(10, s.diagram_steps))
    entropy = recipe.model_copy(update={"loss": "cross_entropy"})
    watch = (train_accuracy, test_accuracy, corrupted_accuracy)
    kinds: Mapping[str, tuple[str, PowerMLP, Grid, Recipe]] = {
        "decay": ("phase diagram over weight decay", net, by_decay, recipe),
        "dropout": ("phase diagram over dropout", net, by_dropout, recipe),
        "relu": ("phase diagram of ReLU networks", relu, by_decay, recipe),
        "cross_entropy": ("phase diagram with cross-entropy", net, by_decay, entropy),
    }
    return {
        f"diagram_{kind}": Experiment(title, learner, addition(s.p), grid, how, watch, (mean_participation,))
        for kind, (title, learner, grid, how) in kinds.items()
        if kind in s.diagrams
    }


def inside(s: CorruptedLabelsSettings) -> dict[str, Inside]:
    """Return what a page opens: the two-layer networks, beside weights that know the rule (theory.addition_weights)."""
    exact, normed = (ExactMLP(p, w, theory.addition_weights) for p, w in ((s.p, s.width), (s.norm_p, s.norm_width)))
    names = ("plain", "decay", "forgetting", "memorizing", "middle", "random", "relu", "cross_entropy", "dropout")
    found = {name: Inside(lambda member: exact) for name in (*names, *(f"diagram_{kind}" for kind in s.diagrams))}
    return {**found, **{name: Inside(lambda member: normed) for name in ("batch_norm", "batches", "noise_norm")}}


def mapped(s: CorruptedLabelsSettings) -> Experiment:
    """Return the experiment whose phase map may be drawn: over weight decay, train fraction, corruption, dropout."""
    grid = Grid({"train_fraction": (s.train_fraction,), "corruption": (s.corruption,)})
    recipe = Recipe(lr=s.rate, steps=s.diagram_steps, records=min(20, s.records), first_record=min(10, s.diagram_steps))
    watch = (train_accuracy, test_accuracy, corrupted_accuracy)
    return Experiment("two-layer network, wrong labels", PowerMLP(s.p, s.width), addition(s.p), grid, recipe, watch)


def phase(data: xr.Dataset) -> xr.DataArray:
    """Return the index in ``theory.PHASES`` of each network's phase; ``corruption`` is a dimension or a coordinate."""
    best = data.test_accuracy.max("step")
    parts = xr.broadcast(last(data.train_accuracy), last(data.test_accuracy), data.corruption, best)
    found = theory.corruption_phase(*(values.transpose(*best.dims).values for values in parts))
    return xr.DataArray(found, coords=best.coords, dims=best.dims)


ORDERS = (
    OrderParameter("phase", phase, phases=theory.PHASES),
    at_the_end("test_accuracy", 0.9),
    at_the_end("train_accuracy", 0.9),
    at_the_end("corrupted_accuracy", 0.5),
)

STUDY = Study(
    name="corrupted-labels",
    title="To grok or not to grok: labels that are partly wrong",
    question="When labels are partly wrong, does a network memorize, understand, or both?",
    paper=Paper(
        authors="Darshil Doshi, Aritra Das, Tianyu He, Andrey Gromov",
        year=2023,
        title="To grok or not to grok: disentangling generalization and memorization on corrupted algorithmic datasets",
        link="https://arxiv.org/abs/2310.13061",
        bibtex=(
            "@article{doshi2023grok,\n  title   = {To grok or not to grok: disentangling generalization and "
            "memorization on corrupted algorithmic datasets},\n  author  = {Doshi, Darshil and Das, Aritra and He, "
            "Tianyu and Gromov, Andrey},\n  journal = {arXiv preprint arXiv:2310.13061},\n  year    = {2023}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "Expected numbers are the authors' where they print them, else those of an independent reproduction at the "
        "same size, with its tolerances; where there are neither, the bounds of the paper's Table 2. 'Derived here' "
        "marks what is not the paper's."
    ),
    mapped=mapped,
    orders=ORDERS,
    inside=inside,
    cells=cells,
)
