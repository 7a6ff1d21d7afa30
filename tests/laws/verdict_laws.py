"""Laws that every way of judging must obey. Each takes the implementation, so saboteurs can be passed in.

Where an effect has two values, as at a phase boundary, the rates are exact sums over binomials. Elsewhere they are
simulated, and a law allows 3.5 standard deviations of the binomial count on top of what it promises.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from phasescope.verdict import Claim, Control, Expectation, Source, Verdicts

Array = np.ndarray[Any, np.dtype[Any]]
Intervals = Callable[..., tuple[Array, Array]]
Judge = Callable[..., Verdicts]
ALPHA = 0.05
SEEDS = 8
AT_LEAST = Expectation.at_least(0.6)
GAMMA4_MEDIAN = 3.6720607  # scipy.stats.gamma(4).median()
CLOSE = 1 + 1e-9  # of sums of binomials


@dataclass(frozen=True)
class Noise:
    """A distribution over seeds with its exact median, mean, and what it can be."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]
    median: float
    mean: float
    range: tuple[float, float] = (-math.inf, math.inf)

    def truth(self, statistic: str) -> float:
        return self.median if statistic == "median" else self.mean


def clusters(g: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Two tight clusters of equal weight, around 0 and around 1, mirrored: what is seen at a phase boundary."""
    return g.integers(2, size=size) + g.normal(0, 0.001, size)


NOISES = {
    "normal": Noise(lambda g, size: g.normal(size=size), 0, 0),
    "uniform": Noise(lambda g, size: g.uniform(-1, 1, size), 0, 0, (-1, 1)),
    "skewed": Noise(lambda g, size: g.gamma(4, size=size), GAMMA4_MEDIAN, 4, (0, math.inf)),
    "mirrored": Noise(lambda g, size: -g.gamma(4, size=size), -GAMMA4_MEDIAN, -4, (-math.inf, 0)),
    "very skewed": Noise(lambda g, size: g.beta(0.1, 0.9, size), float(stats.beta(0.1, 0.9).median()), 0.1, (0, 1)),
    "heavy tails": Noise(lambda g, size: g.standard_cauchy(size), 0, math.nan),
    "lognormal": Noise(lambda g, size: g.lognormal(0, 2, size), 1, math.exp(2), (0, math.inf)),
    "two clusters": Noise(clusters, 0.5, 0.5, (-1, 2)),
    "discrete": Noise(lambda g, size: g.choice([0, 0.25, 1], p=[0.45, 0.1, 0.45], size=size), 0.25, 0.475, (0, 1)),
    "rarely": Noise(lambda g, size: (g.random(size) < 0.02).astype(float), 0, 0.02, (0, 1)),
}


def ceiling(rate: float, trials: int) -> float:
    """The largest rate that ``trials`` trials may show where the true one is ``rate``."""
    return rate + 3.5 * math.sqrt(rate * (1 - rate) / trials)


def column(name: str) -> Callable[[xr.Dataset], Any]:
    return lambda data: data[name]


def claim(name: str, expected: Expectation, statistic: str = "median", control: str = "never") -> Claim:
    """A claim about the variable ``name`` whose control is the variable ``control``."""
    return Claim(name, f"{name} is {expected}", Source(ours="a law"), column(name), expected,
                 Control("nothing happens", column(control)), statistic,
                 range=(-1e10, 1e10) if statistic == "mean" else (-math.inf, math.inf))  # fmt: skip


def dataset(**samples: Any) -> xr.Dataset:
    """A dataset of variables over seeds, with ``never``, which lies outside of all expectations used here."""
    n = len(next(iter(samples.values())))
    return xr.Dataset({name: ("seed", np.asarray(x, float)) for name, x in {"never": [-1e9] * n, **samples}.items()})


# ---- laws of intervals


def two_values_rarely_hold(
    intervals: Intervals, statistic: str, seeds: Iterable[int], families: Iterable[int], looks: int = 1
) -> None:
    """Exact: of an effect that is 1 half of the time and 0 otherwise, ``>= 1/2 + a hair`` rarely holds, nor ``<=``."""
    for n in seeds:
        counts = np.arange(n + 1)
        samples = (np.arange(n) < counts[:, None]).astype(float)
        weights = stats.binom.pmf(counts, n, 0.5)
        for claims in families:
            tail = ALPHA / (2 * claims * looks)
            low, high = intervals(samples, statistic, 1 - 2 * tail, (0, 1))
            for rate in (weights[low > 0.5].sum(), weights[high < 0.5].sum()):
                assert rate <= tail * CLOSE, f"{statistic} of two values, {n} seeds, {claims} claims: {rate:.3g} hold"


def any_chance_of_two_values_rarely_holds(
    intervals: Intervals, statistic: str, seeds: Iterable[int], families: Iterable[int]
) -> None:
    """Exact: of an effect that is 1 with probability p, a claim beside p rarely holds: mean and proportion."""
    for n in seeds:
        counts = np.arange(n + 1)
        samples = (np.arange(n) < counts[:, None]).astype(float)
        for claims in families:
            tail = ALPHA / (2 * claims)
            low, high = intervals(samples, statistic, 1 - 2 * tail, (0, 1))
            for p in (0.001, 0.02, 0.1, 0.3, 0.5, 0.77, 0.95, 0.99):
                weights = stats.binom.pmf(counts, n, p)
                for rate in (weights[low > p].sum(), weights[high < p].sum()):
                    assert rate <= tail * CLOSE, f"{statistic} of chance {p}, {n} seeds, {claims} claims: {rate:.3g}"


def at_the_boundary_few_hold(
    intervals: Intervals, statistic: str, seeds: Sequence[int], claims: int, trials: int
) -> None:
    """A claim at the boundary of its expectation holds in at most its share of the budget, whatever the noise."""
    tail = ALPHA / (2 * claims)
    for name, noise in NOISES.items():
        if statistic == "mean" and not any(map(math.isfinite, noise.range)):
            continue
        for n in seeds:
            samples = noise.draw(np.random.default_rng(n), (trials, n))
            low, high = intervals(samples, statistic, 1 - 2 * tail, noise.range)
            truth = noise.truth(statistic)
            for rate in (np.mean(low > truth), np.mean(high < truth)):
                told = f"{statistic}, {name}, {n} seeds, {claims} claims: {rate:.4f} hold wrongly, {tail:.4f} allowed"
                assert rate <= ceiling(tail, trials), told


def looking_again_keeps_the_promise(intervals: Intervals, looks: Sequence[int], claims: int) -> None:
    """Exact: an effect of two values, judged at each look on the first n seeds, holds wrongly within its budget.

    The number of ones among the first n seeds is a walk; what has held at one look has held.
    """
    tail = ALPHA / (2 * claims * len(looks))
    walk, held, before = np.ones(1), 0.0, 0
    for n in looks:
        walk = np.convolve(walk, stats.binom.pmf(np.arange(n - before + 1), n - before, 0.5))
        samples = (np.arange(n) < np.arange(n + 1)[:, None]).astype(float)
        low, _ = intervals(samples, "median", 1 - 2 * tail, (0, 1))
        held += float(walk[low > 0.5].sum())
        walk, before = np.where(low > 0.5, 0.0, walk), n
    assert held <= ALPHA / (2 * claims) * CLOSE, f"{len(looks)} looks, {claims} claims: {held:.3g} hold wrongly"


def no_end_leaves_the_range(intervals: Intervals) -> None:
    """What can not be is in no interval, however few the seeds."""
    for n in (1, 2, 5, 12):
        samples = np.random.default_rng(n).uniform(0, 1, (50, n))
        for statistic in ("median", "mean"):
            low, high = intervals(samples, statistic, 0.999, (0, 1))
            assert low.min() >= 0 and high.max() <= 1, f"{statistic}, {n} seeds: an end outside [0, 1]"


def power(intervals: Intervals, statistic: str, depth: float, claims: int, seeds: int, trials: int = 1000) -> float:
    """How often a claim holds with a normal effect ``depth`` deviations inside its expectation."""
    samples = np.random.default_rng(5).normal(size=(trials, seeds))
    low, _ = intervals(samples, statistic, 1 - ALPHA / claims)
    return float(np.mean(low >= -depth))


# ---- laws of judges


def families_of_a_judge_rarely_hold(judge: Judge, seeds: int = 6, claims: int = 12, families: int = 300) -> None:
    """Multiplicity is the judge's duty: at six seeds one claim of two clusters errs in 1/64, twelve in 17 % of cases."""
    noise, generator = NOISES["two clusters"], np.random.default_rng(7)
    family = [claim(f"c{k}", Expectation.at_least(0.5)) for k in range(claims)]
    wrong = 0
    for _ in range(families):
        draws = noise.draw(generator, (claims, seeds))
        verdicts = judge(family, dataset(**{f"c{k}": draws[k] for k in range(claims)}))
        wrong += any(verdict.verdict == "holds" for verdict in verdicts)
    assert wrong / families <= ceiling(ALPHA, families), f"{wrong} of {families} families hold wrongly"


def a_control_that_shows_the_effect_blocks(judge: Judge) -> None:
    """Who sees the effect where it can not be has not seen it: no claim holds so, and the reason tells."""
    inside = np.linspace(0.9, 1.1, SEEDS)
    data = dataset(effect=inside, same=inside, straddling=np.linspace(0, 1, SEEDS), gone=[np.nan, *inside[1:]])
    for control in ("same", "straddling", "gone"):
        verdict = judge([claim("effect", Expectation.near(1, 0.5), control=control)], data)["effect"]
        assert verdict.verdict == "undecided"
        assert (verdict.control.shows_effect, verdict.control.excluded) == (control == "same", False)
        assert "control" in verdict.reason
    assert judge([claim("effect", Expectation.near(1, 0.5))], data)["effect"].verdict == "holds"


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
            assert judge([claim("effect", expected, statistic)], data)["effect"].verdict == "undecided"


def a_seed_without_value_is_undecided(judge: Judge) -> None:
    """A seed that can not be measured must not be dropped: it might be the one that contradicts."""
    data = dataset(effect=[1.0] * 6 + [np.nan] * 2, zero=[0.0] * SEEDS)
    for statistic in ("median", "mean", "proportion"):
        verdict = judge([claim("effect", AT_LEAST, statistic, "zero")], data)["effect"]
        assert (verdict.verdict, math.isnan(verdict.measured)) == ("undecided", True)
        assert "2 of 8 seeds have no value" in verdict.reason


def widening_never_hurts(judge: Judge, samples: Sequence[float], low: float, high: float, more: float) -> None:
    """A wider expectation keeps `holds` while the control stays outside, and turns nothing into `fails`."""
    data = dataset(effect=samples)
    narrow, wide = Expectation(low, high), Expectation(low - more, high + more)
    before = judge([claim("effect", narrow)], data)["effect"].verdict
    after = judge([claim("effect", wide)], data)["effect"].verdict
    assert after == "holds" or before != "holds"
    assert after != "fails" or before == "fails"


def verdicts_are_reproducible(judge: Judge) -> None:
    """The same data give the same verdicts, in any company: another claim changes an interval only by the level."""
    samples = np.random.default_rng(8).uniform(size=(2, 16))
    data = dataset(first=samples[0], second=samples[1], never=[-1.0] * 16)
    first, second = (replace(claim(name, AT_LEAST, "mean"), range=(-1, 1)) for name in ("first", "second"))
    assert judge([first], data).to_json() == judge([first], data).to_json()
    here, there = judge([first, second], data), judge([second, first], data)
    assert all(here[name] == there[name] for name in ("first", "second"))
    assert judge([first, replace(second, id="other")], data)["first"] == here["first"]
    assert judge([first, second], data, 2 * ALPHA)["first"].interval == judge([first], data)["first"].interval


def looks_add_up(judge: Judge) -> None:
    """At each look the first n seeds are judged; the first that decides is kept, and at each the budget is divided."""
    early, late = np.linspace(0.99, 0.7, 64), np.where(np.arange(64) < 16, 0.3, 0.9)
    data = dataset(early=early, late=late, never=[0.0] * 64)
    family = [claim("early", AT_LEAST), claim("late", AT_LEAST)]
    verdicts = judge(family, data, looks=(16, 32, 64))
    assert [(v.verdict, v.n, v.look, v.looks) for v in verdicts] == [("holds", 16, 1, 3), ("fails", 16, 1, 3)]
    mixed = dataset(early=early, late=np.where(np.arange(64) % 4 == 0, 0.3, 0.9), never=[0.0] * 64)
    found = judge(family, mixed, looks=(16, 32, 64))
    assert [(v.verdict, v.n, v.look) for v in found] == [("holds", 16, 1), ("holds", 32, 2)]
    once = judge(family, mixed.isel(seed=slice(16)), ALPHA / 3)
    assert once["early"].interval == found["early"].interval
    assert judge(family, mixed.isel(seed=slice(20)), looks=(16, 32, 64))["late"].verdict == "undecided"


def verdicts_survive_json(judge: Judge) -> None:
    """What is written can be read back, also where numbers are infinite or missing."""
    data = dataset(late=[3.0] * 5 + [math.inf] * 3, gone=[math.nan] * SEEDS, flat=[1.0] * SEEDS)
    names = (
        ("late", Expectation.at_least(2)),
        ("gone", Expectation.near(1, 0.1)),
        ("flat", Expectation.at_most(2)),
    )
    verdicts = judge([claim(name, expected, control="gone") for name, expected in names], data)
    text = json.dumps(verdicts.to_json(), allow_nan=False)
    again = Verdicts.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert again["late"].interval == verdicts["late"].interval
    assert str(again) == str(verdicts)
