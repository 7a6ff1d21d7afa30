"""What to expect of an untrained network, from a record of small ones: a fixed model, its ranges, and its words.

The model is a multinomial logistic regression of three outcomes on the standardized ``SIGNS`` (and two squares), a
logistic one of rich against lazy, and a linear one of log2 of the largest rate that trains. Its coefficients are data,
``forecast.json``, fitted once on the development seeds of the study ``initialization-forecast``; what they are worth on
networks of other seeds and other families is in ``forecast_record.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from phasescope.vocabulary import Array

OUTCOMES = ("trains", "trains only with small rates or warm-up", "does not train")
"""What may come of a network, as the record has it."""
RECORD = "a record of small networks that learn digits for 60 steps of SGD with momentum 0.9"
SLACK = 1e-9
LARGER = 100.0


@dataclass(frozen=True)
class Model:
    """Coefficients over ``inputs`` (F names), standardized by ``mean`` and ``scale`` (F,), a constant first.

    ``shares`` (3,): of each outcome among the networks that it was fitted to. ``classes`` (3, F + 1), ``rich`` and
    ``rate`` (F + 1,); ``spread``: the standard deviation of log2 of the rate about what the model says, on families
    that it was not fitted to.
    """

    inputs: tuple[str, ...]
    mean: Array
    scale: Array
    shares: Array
    classes: Array
    rich: Array
    rate: Array
    spread: float

    def design(self, signs: Mapping[str, Any]) -> Array:
        """Return the standardized inputs (..., F + 1) of ``signs`` name -> values (...); "x^2" is the square of x."""
        columns = [
            np.asarray(signs[n.removesuffix("^2")], float) ** (2 if n.endswith("^2") else 1) for n in self.inputs
        ]
        x = (np.stack(columns, -1) - self.mean) / self.scale
        return np.concatenate([np.ones((*x.shape[:-1], 1)), x], -1)

    def chances(self, signs: Mapping[str, Any]) -> Array:
        """Return the chance of each of ``OUTCOMES`` (..., 3); NaN where a sign is missing."""
        logits = self.design(signs) @ self.classes.T
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        found: Array = odds / odds.sum(-1, keepdims=True)
        return found

    def calls(self, signs: Mapping[str, Any]) -> Array:
        """Return the outcome (...) that the signs raise most above its share, which is a call at equal odds."""
        found: Array = np.nan_to_num(self.chances(signs) / self.shares, nan=-1.0).argmax(-1)
        return found

    def rich_chance(self, signs: Mapping[str, Any]) -> Array:
        """Return the chance that features move (...), of a network that trains."""
        found: Array = 1 / (1 + np.exp(-np.clip(self.design(signs) @ self.rich, -500, 500)))
        return found

    def log_rate(self, signs: Mapping[str, Any]) -> Array:
        """Return log2 of the largest rate that trains (...), of a network that trains."""
        found: Array = self.design(signs) @ self.rate
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the coefficients as plain data, with nine digits."""
        arrays = {name: _digits(getattr(self, name)) for name in ("mean", "scale", "shares", "classes", "rich", "rate")}
        return {"inputs": list(self.inputs), **arrays, "spread": float(f"{self.spread:.9g}")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Model:
        """Return the model whose ``to_json`` this is."""
        arrays = {
            name: np.asarray(data[name], float) for name in ("mean", "scale", "shares", "classes", "rich", "rate")
        }
        return cls(inputs=tuple(data["inputs"]), spread=float(data["spread"]), **arrays)


def _digits(values: Any) -> Any:
    return [_digits(v) for v in values] if np.ndim(values) else float(f"{float(values):.9g}")


@dataclass(frozen=True)
class Forecast:
    """What to expect of a network that is trained on, with what it rests on.

    ``outcome``: the likeliest of ``OUTCOMES``, ``chances`` of each by name. ``rich``: the chance that the features move
    and do not stay as they were drawn (lazy); NaN where the record says that this can not be told. ``rate``: the
    largest rate of SGD with momentum 0.9 that trains, ``factor``: two in three lie within this factor of it.
    ``outside``: in what the network lies outside of the record, in words; a forecast is then made all the same, and
    nothing is known of how good it is. ``rests_on``: "its signs", or "J alone" where the signs together were no better.
    Everything is NaN, and ``outcome`` empty, where ``missing`` says which reading was.
    """

    outcome: str
    chances: Mapping[str, float]
    rich: float
    rate: float
    factor: float
    outside: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    rests_on: str = "the signs"

    def __str__(self) -> str:
        if self.missing:
            return f"No forecast: there is no reading of {', '.join(self.missing)}."
        others = ", ".join(f"{n.removeprefix('trains ')} {c:.0%}" for n, c in self.chances.items() if n != self.outcome)
        said = [f"Expect that it {self.outcome} ({self.chances[self.outcome]:.0%}; {others})"]
        if self.outcome != OUTCOMES[2]:
            if not math.isnan(self.rich):
                kind = f"rich, features move ({self.rich:.0%})" if self.rich >= 0.5 else f"lazy ({1 - self.rich:.0%})"
                said.append(kind)
            said.append(f"largest rate that trains {self.rate:.2g}, within a factor of {self.factor:.2g}")
        told = f"{'; '.join(said)}. From {self.rests_on}, by {RECORD}."
        return told + (f" Outside of that record: {'; '.join(self.outside)}." if self.outside else "")

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; None where there is no number."""
        numbers = {"rich": self.rich, "rate": self.rate, "factor": self.factor}
        return {
            "outcome": self.outcome, "chances": {k: None if math.isnan(v) else v for k, v in self.chances.items()},
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
            "outside": list(self.outside), "missing": list(self.missing), "rests_on": self.rests_on, "said": str(self),
        }  # fmt: skip


@cache
def shipped() -> Mapping[str, Any]:
    """Return the coefficients and ranges that ``ps.inspect`` uses."""
    return dict(json.loads(files("phasescope.inspection").joinpath("forecast.json").read_text("utf-8")))


@cache
def record() -> Mapping[str, Any]:
    """Return what a judged run found the coefficients to be worth, on other seeds and other families."""
    return dict(json.loads(files("phasescope.inspection").joinpath("forecast_record.json").read_text("utf-8")))


def forecast(signs: Mapping[str, float], parameters: int) -> Forecast:
    """Return what to expect of a network with these ``SIGNS`` and so many parameters.

    From all signs, or from J alone where ``record`` says that they were no better on families that were held out.
    """
    data, better = shipped(), bool(record()["better than J alone"])
    model = Model.from_json(data["models"]["signs" if better else "J alone"])
    needed = dict.fromkeys(name.removesuffix("^2") for name in model.inputs)
    missing = tuple(name for name in needed if math.isnan(signs[name]))
    rests_on = "its signs" if better else "J alone"
    if missing:
        return unread(*missing)
    chances = model.chances(signs)
    low, high = data["rates"]
    rate = 2.0 ** float(np.clip(model.log_rate(signs), math.log2(low), math.log2(high)))
    rich = float(model.rich_chance(signs)) if record()["tells rich"] else math.nan
    outside = _outside(signs, parameters, data["covered"])
    named = dict(zip(OUTCOMES, map(float, chances), strict=True))
    return Forecast(OUTCOMES[int(chances.argmax())], named, rich, rate, 2.0**model.spread, outside, rests_on=rests_on)


def unread(*what: str) -> Forecast:
    """Return that there is no forecast, for want of ``what``."""
    nothing = dict.fromkeys(OUTCOMES, math.nan)
    return Forecast("", nothing, math.nan, math.nan, math.nan, (), what)


def beyond(parameters: int) -> bool:
    """Say whether a network is so much larger than all of the record that nothing is foretold of it."""
    return bool(parameters > LARGER * shipped()["covered"]["parameters"][1])


def _outside(signs: Mapping[str, float], parameters: int, covered: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Return in words where the network lies outside of the ranges of the record; a sign without a value does."""
    told = []
    for name, (low, high) in covered.items():
        value = float(parameters) if name == "parameters" else signs[name]
        if math.isnan(value):
            told.append(f"no reading of {name}")
        elif not low - SLACK <= value <= high + SLACK:
            told.append(_beyond(name, value, low, high, covered))
    return tuple(told)


def _beyond(name: str, value: float, low: float, high: float, covered: Mapping[str, Sequence[float]]) -> str:
    """Say a sign that is outside, and the record's range, in the units in which the inspection has it."""
    if name in ("depth", "parameters"):
        shown = [2.0**v if name == "depth" else v for v in (value, low, high)]
        return f"{shown[0]:,.0f} {'blocks' if name == 'depth' else name} ({shown[1]:,.0f} to {shown[2]:,.0f})"
    if name in ("grows", "shrinks"):
        log = math.expm1(value) if name == "grows" else -math.expm1(value)
        least, most = -math.expm1(covered["shrinks"][1]), math.expm1(covered["grows"][1])
        return f"log J {log:.3g} without the signal's own change of scale ({least:.3g} to {most:.3g})"
    long = {"kernel": "kernel at the end", "tangent": "mean of the tangent kernel", "output": "outputs' mean square"}
    return f"{long.get(name, name)} {10**value:.3g} ({10**low:.3g} to {10**high:.3g})"
