"""The experiments of ``corrupted-labels``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from phasescope.ensemble import last
from phasescope.instruments.corruption import CORRUPTION, corrupted_accuracy, given_logit, true_logit
from phasescope.instruments.fourier import embed_participation, mean_participation, participation
from phasescope.instruments.logits import LEARNING, test_accuracy, train_accuracy
from phasescope.instruments.neuron_pruning import pruning
from phasescope.instruments.norms import norm_correlation, norm_scale, weight_norm
from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Experiment, Inside, OrderParameter
from phasescope.learners import DeepMLP, ExactMLP, OneLayerTransformer, PowerMLP
from phasescope.studies.corrupted_labels.settings import (
    CorruptedLabelsSettings,
)
from phasescope.tasks import ModularTable, addition
from phasescope.theory import label_corruption, modular_addition
from phasescope.vocabulary import Grid, Instrument, Recipe

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
        "clean": Experiment(
            "control: no wrong labels", net, _task(s, corruption=0.0), _decays(s, 0.0), _recipe(s), LEARNING, end
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
        "noise_dropout": Experiment(
            "control: dropout, random labels", PowerMLP(s.p, s.width), _task(s, corruption=1.0),
            Grid({"dropout": (s.dropout,)}, seeds=s.seeds), _recipe(s, steps=s.dropout_steps), ALONG, (participation,),
        ),
        "batch_norm": batched("mini-batches with batch normalization", normed, task, end),
        "batches": batched("mini-batches", plain, task, (participation,)),
        "noise_norm": batched("control: batch normalization, random labels", normed, noise, end),
        **{f"batch_norm_{size}": of_size(size) for size in s.other_batches},
    }  # fmt: skip


def _deeper(s: CorruptedLabelsSettings) -> dict[str, Experiment]:
    def decayed(name: str, title: str, net: Any, p: int, decay: float, seeds: int, recipe: Recipe) -> None:
        for key, words, corruption, decays in (
            (name, title, s.deep_corruption, (0.0, decay)),
            (f"{name}_noise", f"control: {title}, random labels", 1.0, (decay,)),
        ):
            task = addition(p, train_fraction=s.deep_fraction, corruption=corruption)
            grid = Grid({"weight_decay": decays}, seeds=seeds)
            found[key] = Experiment(words, net, task, grid, recipe, (*LEARNING, *CORRUPTION), (embed_participation,))

    found: dict[str, Experiment] = {}
    if s.deep_seeds:
        decayed(
            "deep", "three-layer ReLU network", DeepMLP(s.deep_p, s.deep_width), s.deep_p, s.deep_decay, s.deep_seeds,
            _recipe(s, steps=s.deep_steps, lr=s.deep_rate),
        )  # fmt: skip
    if s.token_seeds:
        decayed(
            "tokens", "one-layer transformer", OneLayerTransformer(s.token_p, s.token_width), s.token_p, s.token_decay,
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
    """Return what a page opens: two-layer networks, beside weights that know the rule (``theory.modular_addition``)."""
    exact, normed = (
        ExactMLP(p, w, modular_addition.addition_weights) for p, w in ((s.p, s.width), (s.norm_p, s.norm_width))
    )
    names = ("plain", "decay", "forgetting", "memorizing", "middle", "random", "clean", "relu", "cross_entropy")
    found = {
        name: Inside(lambda member: exact) for name in (*names, "dropout", *(f"diagram_{kind}" for kind in s.diagrams))
    }
    return {**found, **{name: Inside(lambda member: normed) for name in ("batch_norm", "batches", "noise_norm")}}


def mapped(s: CorruptedLabelsSettings) -> Experiment:
    """Return the experiment whose phase map may be drawn: over weight decay, train fraction, corruption, dropout."""
    grid = Grid({"train_fraction": (s.train_fraction,), "corruption": (s.corruption,)})
    recipe = Recipe(lr=s.rate, steps=s.diagram_steps, records=min(20, s.records), first_record=min(10, s.diagram_steps))
    watch = (train_accuracy, test_accuracy, corrupted_accuracy)
    return Experiment("two-layer network, wrong labels", PowerMLP(s.p, s.width), addition(s.p), grid, recipe, watch)


def phase(data: xr.Dataset) -> xr.DataArray:
    """Return where in ``label_corruption.PHASES`` each network is; ``corruption`` is a dimension or a coordinate."""
    best = data.test_accuracy.max("step")
    parts = xr.broadcast(last(data.train_accuracy), last(data.test_accuracy), data.corruption, best)
    found = label_corruption.corruption_phase(*(values.transpose(*best.dims).values for values in parts))
    return xr.DataArray(found, coords=best.coords, dims=best.dims)


ORDERS = (
    OrderParameter("phase", phase, phases=label_corruption.PHASES),
    at_the_end("test_accuracy", 0.9),
    at_the_end("train_accuracy", 0.9),
    at_the_end("corrupted_accuracy", 0.5),
)
