"""``ps.evaluate``: several models, several scenarios, several metrics, one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from phasescope.checks import optional, sequence, whole
from phasescope.ensemble import streams
from phasescope.errors import resumable, shown
from phasescope.evaluation import metrics as read
from phasescope.evaluation.answers import Answers, Asking, Progress, answers
from phasescope.evaluation.items import Scenario, chance
from phasescope.evaluation.likelihoods import Kept
from phasescope.evaluation.result import CHOICES, METRICS, Evaluation
from phasescope.evaluation.scenarios import ALONE, chosen, scenario
from phasescope.evaluation.subject import prepared
from phasescope.store import Store
from phasescope.verdict.intervals import interval
from phasescope.vocabulary import Array, BadInput, nearest

GROUPS = {
    "calibration": ("ece", "confident", "selective"),
    "efficiency": ("seconds_per_token", "flops_per_token", "memory"),
}
MOST = 1000  # models, scenarios


def evaluate(
    models: Mapping[str, Any],
    scenarios: Sequence[Any] | str | None = None,
    metrics: Sequence[str] | str | None = None,
    *,
    shots: int = 0,
    draws: int = 1,
    limit: int | None = 200,
    seed: int = 0,
    perturbations: int = 1,
    cache: Path | str | None = None,
    batch: int | None = None,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Evaluation:
    """Ask ``models`` the items of ``scenarios`` and return their ``metrics``, with errors over items.

    ``models``: name -> Hugging Face folder, or (module, tokenizer); the first is the reference. ``scenarios``: names
    of ``ps.evaluation.scenario_names()``, task files, texts, ``lm-eval:TASK``, or ``Scenario`` objects; by default
    those that need no data. ``metrics``: names of ``ps.evaluation.METRICS``, "calibration", "efficiency"; by default
    all. At most ``limit`` items of a scenario are asked (None: all), the same of every model; before each stand
    ``shots`` examples with their answers, in ``draws`` draws (HELM: 5 and 3). Robustness is the worst case over the
    item and so many ``perturbations`` of its question.

    ``cache``: a folder in which likelihoods are kept: the same call goes on where it was stopped, and gives the same
    bits. ``batch`` passes are run at a time (default: about 2,048 tokens). ``device``: of models that are folders.
    ``on_progress(what, done, total)`` is told of each batch. Models are left as they were.

    Source: Liang et al. 2022, arXiv:2211.09110. Raises ``BadInput`` for what can not be used, with one sentence.

    >>> import phasescope as ps
    >>> ps.evaluate({}, ["arithmetic"])
    Traceback (most recent call last):
    phasescope.errors.BadInput: there are no models: give at least one, such as {"full": "folder"}.
    """
    named = _models(models)
    wanted = _metrics(metrics)
    limit = optional(whole(1, 10**7))("limit", limit)
    shots, seed, count = whole(0, 1000)("shots", shots), whole(0, 2**62)("seed", seed), whole(1, 100)("draws", draws)
    if shots == 0 and count > 1:
        raise BadInput(f"draws is {count} and shots 0: without examples all draws are one; give draws=1, or shots.")
    robust = whole(1, 100)("perturbations", perturbations) if "robustness" in wanted else 0
    how = Asking(shots, count, seed, robust, optional(whole(1, 10**6))("batch", batch))
    asked = _scenarios(scenarios, limit, shots, seed)
    tell = on_progress or (lambda what, done, total: None)
    found: dict[tuple[str, str], Answers] = {}
    costs: dict[str, tuple[float, float]] = {}
    with resumable(kept=cache is not None):
        store = Store(cache) if cache is not None else None
        try:
            for name, given in named.items():
                tell(f"loading {name}", 0, 1)
                subject = prepared(name, given, device)
                kept = Kept(store, subject.identity() if store is not None else "")
                costs[name] = _cost(subject.model)
                for whole_, pool in asked:
                    found[name, whole_.name] = answers(subject, whole_, pool, how, kept, _told(tell, name, whole_.name))
        finally:
            if store is not None:
                store.close()
    settings = {"shots": shots, "draws": count, "limit": limit, "seed": seed, "perturbations": robust}
    return _collected(list(named), [one for one, _ in asked], wanted, found, costs, settings)


def _told(tell: Progress, model: str, name: str) -> Callable[[int, int], object]:
    return lambda done, total: tell(f"{model}, {name}", done, total)


def _models(models: Any) -> dict[str, Any]:
    if not isinstance(models, Mapping):
        raise BadInput(f'models is {shown(models)}: give names with folders, such as {{"full": "folder"}}.')
    if not models:
        raise BadInput('there are no models: give at least one, such as {"full": "folder"}.')
    if len(models) > MOST or not all(isinstance(name, str) and name.strip() for name in models):
        raise BadInput(f"the names of the models are {shown(list(models))}: give texts, at most {MOST:,} of them.")
    return dict(models)


def _metrics(metrics: Any) -> list[str]:
    if metrics is None:
        return list(METRICS)
    names = [metrics] if isinstance(metrics, str) else sequence("metrics", metrics, MOST)
    found: list[str] = []
    for name in names:
        if not isinstance(name, str) or name not in (*METRICS, *GROUPS):
            raise BadInput(f"there is no metric {shown(name)}{nearest(str(name), (*METRICS, *GROUPS))}")
        found += GROUPS.get(name, (name,))
    return [name for name in METRICS if name in found]


def _scenarios(given: Any, limit: int | None, shots: int, seed: int) -> list[tuple[Scenario, list[Any]]]:
    one = given if given is None or not isinstance(given, str | Path | Scenario) else [given]
    asked, names = [], set()
    for part in ALONE if one is None else sequence("scenarios", one, MOST):
        found = scenario(part, limit=limit, shots=shots, seed=seed)
        if found.name in names:
            raise BadInput(f"the scenario {found.name!r} is there twice: give each its own name.")
        names.add(found.name)
        asked.append(chosen(found, limit=limit, shots=shots, seed=seed))
    return asked


def _cost(model: nn.Module) -> tuple[float, float]:
    """Return the operations of a token, 2 for each weight of a matrix that it passes, and the bytes of all weights.

    Looking up an embedding takes no operation; attention's products of activations, which grow with the length, are
    left out.
    """
    weights = 0
    for part in model.modules():
        if not isinstance(part, nn.Embedding):
            weights += sum(p.numel() for p in part._parameters.values() if p is not None and p.dim() > 1)
    held = {id(t): t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())}
    return 2.0 * weights, float(sum(held.values()))


def _collected(
    names: list[str], asked: list[Scenario], wanted: list[str], found: Mapping[tuple[str, str], Answers],
    costs: Mapping[str, tuple[float, float]], settings: dict[str, Any],
) -> Evaluation:  # fmt: skip
    shape = (len(names), len(asked), len(wanted), settings["draws"])
    value, error = np.full(shape, math.nan), np.full(shape, math.nan)
    extra = {key: np.full(shape[:2], math.nan) for key in ("null", "floor", "lowest")}
    chances = [chance(one.items) if one.asks else math.nan for one in asked]
    generators = streams(int(settings["seed"]))
    for i, name in enumerate(names):
        for j, one in enumerate(asked):
            got = found[name, one.name]
            for k, metric in enumerate(wanted):
                for d in range(shape[3]):
                    value[i, j, k, d], error[i, j, k, d] = _read(metric, got, d, costs[name], generators)
            if one.asks:
                extra["null"][i, j] = read.null_accuracy(got.predicted[0], one.items, generators)[0]
                extra["floor"][i, j] = read.calibration_floor(got.confidence[0], generators("calibration floor"))
                extra["lowest"][i, j] = _lowest(got.correct.mean(0))
    dims = ("model", "scenario", "metric", "draw")
    data = xr.Dataset(
        {
            "value": (dims, value),
            "error": (dims, error, {"long_name": "standard error over items"}),
            "chance": ("scenario", chances, {"long_name": "what a guesser is right in"}),
            "null": (dims[:2], extra["null"], {"long_name": "accuracy with shuffled answers"}),
            "ece_floor": (dims[:2], extra["floor"], {"long_name": "ece of a calibrated model with as many items"}),
            "lowest": (dims[:2], extra["lowest"], {"long_name": "lower end of the 95 % interval of the accuracy"}),
            "items": ("scenario", [len(one) for one in asked]),
            "why": (dims[1:3], [[_why(one, metric) for metric in wanted] for one in asked]),
        },
        coords={
            "model": names, "scenario": [one.name for one in asked], "metric": wanted, "draw": range(shape[3]),
            "unit": ("metric", [METRICS[metric] for metric in wanted]),
        },
        attrs={key: "all" if setting is None else setting for key, setting in settings.items()},
    )  # fmt: skip
    data["above_chance"] = data.lowest > np.fmax(data.chance, data.null)
    return Evaluation(data, {one.name: _scores(names, one, found) for one in asked})


def _why(one: Scenario, metric: str) -> str:
    if one.asks:
        if metric == "ece" and len(one.items) < read.BINS:
            return f"not defined: fewer than {read.BINS} items"
        return "not defined: no text to predict" if metric == "bits_per_byte" else ""
    return "not defined: no choices" if metric in CHOICES else ""


def _scores(names: list[str], one: Scenario, found: Mapping[tuple[str, str], Answers]) -> xr.Dataset:
    """Return the scores of single items: what ``Answers`` has, with the names of the models."""
    fields = ("predicted", "correct", "correct_norm", "confidence", "worst") if one.asks else ("bits", "sizes")
    dims = ("model", "draw", "item")
    columns = {name: (dims, np.stack([getattr(found[model, one.name], name) for model in names])) for name in fields}
    return xr.Dataset(columns, coords={"model": names})


def _lowest(scores: Array) -> float:
    """Return the lower end of the 95 % interval of an accuracy: Clopper's and Pearson's, or betting for means."""
    if np.isin(scores, (0.0, 1.0)).all():
        return interval(scores, "proportion", 0.95)[0]
    return interval(scores, "mean", 0.95, (0.0, 1.0))[0]


def _read(metric: str, got: Answers, draw: int, cost: tuple[float, float], generators: Any) -> tuple[float, float]:
    """Return a metric of one draw with its standard error over items; NaN where it is not defined."""
    asks = not np.isnan(got.correct).all()
    if (metric in CHOICES and not asks) or (metric == "bits_per_byte" and asks):
        return math.nan, math.nan
    if metric in ("accuracy", "acc_norm", "robustness"):
        scores = {"accuracy": got.correct, "acc_norm": got.correct_norm, "robustness": got.worst}[metric][draw]
        return float(scores.mean()), read.mean_error(scores)
    if metric == "bits_per_byte":
        return read.bits_per_byte(got.bits[draw], got.sizes[draw])
    if metric in GROUPS["calibration"]:
        reading = {"ece": read.calibration_error, "confident": read.confident_accuracy,
                   "selective": read.selective_area}[metric]  # fmt: skip
        columns = (got.confidence[draw], got.correct[draw])
        number = reading(*columns)
        return number, math.nan if math.isnan(number) else read.resampled(reading, columns, generators, metric)
    if metric == "seconds_per_token":
        return float(got.seconds[draw].sum() / got.tokens[draw].sum()), math.nan
    return cost[0] if metric == "flops_per_token" else cost[1], math.nan
