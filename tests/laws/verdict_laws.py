"""Laws that every way of judging must obey. Each takes the implementation, so saboteurs can be passed in.

Rates are simulated; a law allows 3.5 standard deviations of the binomial count on top of what it promises.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from phasescope.verdict import Claim, Control, Expectation, Verdicts

Array = np.ndarray[Any, np.dtype[Any]]
Intervals = Callable[..., tuple[Array, Array]]
Judge = Callable[..., Verdicts]
ALPHA = 0.05
SEEDS = 8
AT_LEAST = Expectation.at_least(0.6)
GAMMA4_MEDIAN = 3.6720607  # scipy.stats.gamma(4).median()


@dataclass(frozen=True)
class Noise:
    """A distribution over seeds with its exact median, mean and standard deviation."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]
    median: float
    mean: float
    sd: float

    def truth(self, statistic: str) -> float:
        return self.median if statistic == "median" else self.mean


NOISES = {
    "normal": Noise(lambda g, size: g.normal(size=size), 0, 0, 1),
    "uniform": Noise(lambda g, size: g.uniform(-1, 1, size), 0, 0, 1 / math.sqrt(3)),
    "gamma4": Noise(lambda g, size: g.gamma(4, size=size), GAMMA4_MEDIAN, 4, 2),
    "mirrored gamma4": Noise(lambda g, size: -g.gamma(4, size=size), -GAMMA4_MEDIAN, -4, 2),
}


@dataclass
class Streams:
    """A generator factory that remembers what it was asked for."""

    seed: int = 0
    asked: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, purpose: str, index: int = 0) -> np.random.Generator:
        self.asked.append((purpose, index))
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode()), index])


def ceiling(rate: float, trials: int) -> float:
    """The largest rate that ``trials`` trials may show where the true one is ``rate``."""
    return rate + 3.5 * math.sqrt(rate * (1 - rate) / trials)


def column(name: str) -> Callable[[xr.Dataset], Any]:
    return lambda data: data[name]


def claim(name: str, expected: Expectation, statistic: str = "median", control: str = "never") -> Claim:
    """A claim about the variable ``name`` whose control is the variable ``control``."""
    return Claim(name, f"{name} is {expected}", "a law", column(name), expected,
                 Control("nothing happens", column(control)), statistic)  # fmt: skip


def dataset(**samples: Any) -> xr.Dataset:
    """A dataset of variables over seeds, with ``never``, which lies outside of all expectations used here."""
    n = len(next(iter(samples.values())))
    return xr.Dataset({name: ("seed", np.asarray(x, float)) for name, x in {"never": [-1e9] * n, **samples}.items()})


# ---- laws of intervals


def boundary_holds(
    intervals: Intervals, statistic: str, noise: Noise, trials: int, level: float
) -> tuple[float, float]:
    """Rates of `>= truth` and `<= truth` being confirmed: both claims are false by a hair."""
    samples = noise.draw(np.random.default_rng(1), (trials, SEEDS)) - noise.truth(statistic)
    low, high = intervals(samples, statistic, level, np.random.default_rng(2))
    return float(np.mean(low > 0)), float(np.mean(high < 0))


def at_the_boundary_few_hold(intervals: Intervals, statistic: str, trials: int = 1500) -> None:
    """A claim at the boundary of its expectation holds in at most alpha of experiments, even skewed."""
    for name, noise in NOISES.items():
        for rate in boundary_holds(intervals, statistic, noise, trials, 1 - ALPHA):
            assert rate <= ceiling(ALPHA, trials), f"{statistic}, {name}: {rate:.3f} hold wrongly, {ALPHA} allowed"


def in_a_family_few_hold(intervals: Intervals, statistic: str, families: int, claims: int = 12) -> None:
    """Of ``claims`` false claims judged together any one holds in at most alpha of the experiments."""
    level = 1 - ALPHA / claims
    for name, noise in NOISES.items():
        samples = noise.draw(np.random.default_rng(3), (families * claims, SEEDS)) - noise.truth(statistic)
        low, _ = intervals(samples, statistic, level, np.random.default_rng(4))
        rate = float(np.mean((low > 0).reshape(families, claims).any(axis=1)))
        assert rate <= ceiling(ALPHA, families), f"{statistic}, {name}: {rate:.3f} of families hold wrongly"


def power(intervals: Intervals, statistic: str, depth: float, claims: int, trials: int = 1000) -> float:
    """How often a claim holds with a normal effect ``depth`` deviations inside its expectation."""
    samples = np.random.default_rng(5).normal(size=(trials, SEEDS))
    low, _ = intervals(samples, statistic, 1 - ALPHA / claims, np.random.default_rng(6))
    return float(np.mean(low >= -depth))


# ---- laws of judges


def families_of_a_judge_rarely_hold(judge: Judge, seeds: int = 6, claims: int = 12, families: int = 400) -> None:
    """Multiplicity is the judge's duty: at six seeds one claim errs in 1/64, twelve in 17 % of families."""
    noise, generator = NOISES["normal"], np.random.default_rng(7)
    family = [claim(f"c{k}", Expectation.at_least(0)) for k in range(claims)]
    wrong = 0
    for _ in range(families):
        draws = noise.draw(generator, (claims, seeds))
        verdicts = judge(family, dataset(**{f"c{k}": draws[k] for k in range(claims)}), Streams())
        wrong += any(verdict.verdict == "holds" for verdict in verdicts)
    assert wrong / families <= ceiling(ALPHA, families), f"{wrong} of {families} families hold wrongly"


def a_control_that_shows_the_effect_blocks(judge: Judge) -> None:
    """Who sees the effect where it can not be has not seen it: no claim holds so, and the reason tells."""
    inside = np.linspace(0.9, 1.1, SEEDS)
    data = dataset(effect=inside, same=inside, straddling=np.linspace(0, 1, SEEDS), gone=[np.nan, *inside[1:]])
    for control in ("same", "straddling", "gone"):
        verdict = judge([claim("effect", Expectation.near(1, 0.5), control=control)], data, Streams())["effect"]
        assert verdict.verdict == "undecided"
        assert verdict.control.shows_effect
        assert "control" in verdict.reason
    assert judge([claim("effect", Expectation.near(1, 0.5))], data, Streams())["effect"].verdict == "holds"


def a_straddling_interval_is_undecided(judge: Judge) -> None:
    """An interval that reaches over either end of the expectation decides nothing."""
    data = dataset(effect=np.linspace(-1, 1, SEEDS))
    expectations = (
        Expectation.at_least(0),
        Expectation.at_most(0),
        Expectation.near(0, 0.1),
        Expectation(0.2, 9),
    )
    for statistic in ("median", "mean"):
        for expected in expectations:
            assert judge([claim("effect", expected, statistic)], data, Streams())["effect"].verdict == "undecided"


def a_seed_without_value_is_undecided(judge: Judge) -> None:
    """A seed that can not be measured must not be dropped: it might be the one that contradicts."""
    data = dataset(effect=[1.0] * 6 + [np.nan] * 2, zero=[0.0] * SEEDS)
    for statistic in ("median", "mean", "proportion"):
        verdict = judge([claim("effect", AT_LEAST, statistic, "zero")], data, Streams())["effect"]
        assert (verdict.verdict, math.isnan(verdict.measured)) == ("undecided", True)
        assert "2 of 8 seeds have no value" in verdict.reason


def widening_never_hurts(judge: Judge, samples: Sequence[float], low: float, high: float, more: float) -> None:
    """A wider expectation keeps `holds` while the control stays outside, and turns nothing into `fails`."""
    data = dataset(effect=samples)
    narrow, wide = Expectation(low, high), Expectation(low - more, high + more)
    before = judge([claim("effect", narrow)], data, Streams())["effect"].verdict
    after = judge([claim("effect", wide)], data, Streams())["effect"].verdict
    assert after == "holds" or before != "holds"
    assert after != "fails" or before == "fails"


def verdicts_are_reproducible(judge: Judge) -> None:
    """The same streams give the same bits; a further claim asks for its own and leaves the others' alone."""
    samples = np.random.default_rng(8).normal(size=(2, SEEDS))
    data = dataset(first=samples[0], second=samples[1])
    first, second = (claim(name, Expectation.at_least(-9), "mean") for name in ("first", "second"))
    alone, both, swapped = Streams(), Streams(), Streams()
    assert judge([first], data, Streams()).to_json() == judge([first], data, alone).to_json()
    here = judge([first, second], data, both)
    there = judge([second, first], data, swapped)
    assert all(here[name] == there[name] for name in ("first", "second"))
    assert {purpose for purpose, _ in both.asked} == {"bootstrap"}
    assert set(alone.asked) < set(both.asked) == set(swapped.asked)
    assert len(set(both.asked)) == 4
    stricter = judge([first, replace(second, id="other")], data, Streams())
    assert stricter["first"] == here["first"]
    half = judge([first, second], data, Streams(), alpha=2 * ALPHA)
    assert half["first"].interval == judge([first], data, Streams())["first"].interval


def verdicts_survive_json(judge: Judge) -> None:
    """What is written can be read back, also where numbers are infinite or missing."""
    data = dataset(late=[3.0] * 5 + [math.inf] * 3, gone=[math.nan] * SEEDS, flat=[1.0] * SEEDS)
    names = (
        ("late", Expectation.at_least(2)),
        ("gone", Expectation.near(1, 0.1)),
        ("flat", Expectation.at_most(2)),
    )
    verdicts = judge([claim(name, expected, control="gone") for name, expected in names], data, Streams())
    text = json.dumps(verdicts.to_json(), allow_nan=False)
    again = Verdicts.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert again["late"].interval == verdicts["late"].interval
    assert str(again) == str(verdicts)
