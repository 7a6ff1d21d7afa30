"""The verdicts obey their laws, and the laws reject saboteurs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import verdict_laws as laws
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_laws import ALPHA, SEEDS, Streams, claim, column, dataset

from phasescope.verdict import Claim, Control, Expectation, Verdicts, estimate, interval, intervals, judge
from phasescope.vocabulary import BadInput

RNG = np.random.default_rng


# ---- saboteurs


def percentile_five_times(samples, statistic, level, generator, resamples=2000):
    """The plain percentile bootstrap at five times the error allowed."""
    n, tail = samples.shape[1], 2.5 * (1 - level)
    pick = generator.integers(n, size=(resamples, n))
    kind = np.median if statistic == "median" else np.mean
    ends = [np.quantile(kind(row[pick], axis=1), [tail, 1 - tail]) for row in samples]
    return tuple(np.array(ends).T)


def ignores_controls(claims, data, generators, alpha=ALPHA):
    outside = Control("ignored", lambda data: np.full(SEEDS, -1e9))
    return judge([replace(one, control=outside) for one in claims], data, generators, alpha)


def ignores_multiplicity(claims, data, generators, alpha=ALPHA):
    return Verdicts(tuple(judge([one], data, generators, alpha)[0] for one in claims))


def drops_missing_seeds(claims, data, generators, alpha=ALPHA):
    return judge(claims, data.dropna("seed"), generators, alpha)


def one_stream_for_all(claims, data, generators, alpha=ALPHA):
    shared = generators("bootstrap")
    return judge(claims, data, lambda purpose, index=0: shared, alpha)


def looks_at_the_estimate(claims, data, generators, alpha=ALPHA):
    verdicts = judge(claims, data, generators, alpha)
    return Verdicts(
        tuple(replace(v, verdict="holds" if v.expected.contains(v.measured, v.measured) else "fails") for v in verdicts)
    )


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_laws_reject_the_percentile_interval(statistic):
    with pytest.raises(AssertionError, match="hold wrongly"):
        laws.at_the_boundary_few_hold(percentile_five_times, statistic, trials=400)


@pytest.mark.parametrize(
    ("law", "saboteur"),
    [
        (laws.a_control_that_shows_the_effect_blocks, ignores_controls),
        (laws.a_control_that_shows_the_effect_blocks, looks_at_the_estimate),
        (laws.families_of_a_judge_rarely_hold, ignores_multiplicity),
        (laws.a_straddling_interval_is_undecided, looks_at_the_estimate),
        (laws.a_seed_without_value_is_undecided, drops_missing_seeds),
        (laws.verdicts_are_reproducible, one_stream_for_all),
    ],
)
def test_laws_reject_sabotaged_judges(law, saboteur):
    with pytest.raises(AssertionError):
        law(saboteur)


# ---- laws


@pytest.mark.parametrize(("statistic", "trials"), [("median", 20_000), ("mean", 1000)])
def test_at_the_boundary_few_hold(statistic, trials):
    laws.at_the_boundary_few_hold(intervals, statistic, trials)


@pytest.mark.parametrize(("statistic", "families"), [("median", 5000), ("mean", 100)])
def test_in_a_family_few_hold(statistic, families):
    laws.in_a_family_few_hold(intervals, statistic, families)


@pytest.mark.parametrize(
    ("statistic", "claims", "least"),
    [("median", 1, 0.93), ("mean", 1, 0.93), ("median", 12, 0.85), ("mean", 12, 0.65)],
)
def test_power_at_two_and_a_half_standard_deviations(statistic, claims, least):
    """Eight seeds do for a margin of 2.5 standard deviations; with twelve claims the median does better."""
    assert laws.power(intervals, statistic, 2.5, claims) >= least


@pytest.mark.parametrize(
    "law",
    [
        laws.families_of_a_judge_rarely_hold,
        laws.a_control_that_shows_the_effect_blocks,
        laws.a_straddling_interval_is_undecided,
        laws.a_seed_without_value_is_undecided,
        laws.verdicts_are_reproducible,
        laws.verdicts_survive_json,
    ],
)
def test_judge_obeys(law):
    law(judge)


finite = st.floats(-100, 100)


@settings(max_examples=150, deadline=None)
@given(st.lists(finite | st.just(math.inf), min_size=1, max_size=12), finite, st.floats(0, 50), st.floats(0, 50))
def test_widening_never_hurts(samples, low, width, more):
    laws.widening_never_hurts(judge, samples, low, low + width, more)


# ---- intervals by closed form


def test_proportions_are_clopper_pearson():
    assert interval(np.ones(8), "proportion", 0.95, RNG(0)) == pytest.approx((0.025 ** (1 / 8), 1))
    assert interval(np.zeros(8), "proportion", 0.95, RNG(0)) == pytest.approx((0, 1 - 0.025 ** (1 / 8)))
    # 1 of 2 at tail q: P(Bin(2, low) >= 1) = 1 - (1 - low)**2 = q
    assert interval(np.array([0, 1]), "proportion", 0.9, RNG(0)) == pytest.approx((1 - 0.95**0.5, 0.95**0.5))


def test_median_is_between_order_statistics():
    """Eight values bracket their median in all but 2 of 256 cases; between the 2nd and 7th in all but 18."""
    x = RNG(0).permutation(np.arange(8.0))
    assert interval(x, "median", 1 - 2 / 256, RNG(0)) == (0, 7)
    assert interval(x, "median", 1 - 18 / 256, RNG(0)) == (1, 6)


def test_median_beyond_the_extremes_is_exact_for_uniform_samples():
    """(1 + reach) ** 4 = 2**-8 / tail: with tail 2**-12, reach = 1 times the distance to the middle."""
    assert interval(np.arange(8.0), "median", 1 - 2**-11, RNG(0)) == pytest.approx((-4, 11))
    trials = 200_000
    low, high = intervals(RNG(9).uniform(-1, 1, (trials, 4)), "median", 0.95, RNG(0))
    for rate in (np.mean(low > 0), np.mean(high < 0)):
        assert rate == pytest.approx(0.025, abs=3.5 * math.sqrt(0.025 / trials))


def test_mean_is_never_narrower_than_students():
    """Student's t for 1..8 at 95 %: 4.5 ± 2.364624 * sqrt(6 / 8)."""
    low, high = interval(np.arange(1.0, 9.0), "mean", 0.95, RNG(0))
    assert low <= 4.5 - 2.364624 * math.sqrt(0.75)
    assert high >= 4.5 + 2.364624 * math.sqrt(0.75)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e150])
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_intervals_know_no_units(statistic, scale):
    x = np.array([0.3, 1.2, 2.0, 2.2, 5.0, 7.1])
    ends = np.array(interval(x, statistic, 0.99, RNG(1)))
    assert np.array(interval(x * scale, statistic, 0.99, RNG(1))) / scale == pytest.approx(ends, rel=1e-9)
    assert interval(-x, "median", 0.99, RNG(1)) == pytest.approx(
        tuple(-end for end in reversed(interval(x, "median", 0.99, RNG(1))))
    )


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 20])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_few_seeds_are_honest(n, level):
    x = RNG(n).normal(size=n)
    for statistic in ("median", "mean"):
        low, high = interval(x, statistic, level, RNG(0))
        assert low <= estimate(x, statistic) <= high
        assert (low == -math.inf and high == math.inf) if n == 1 else math.isfinite(low) and math.isfinite(high)


@pytest.mark.parametrize("statistic", ["median", "mean"])
@pytest.mark.parametrize("value", [0.1, math.inf, -math.inf])
def test_identical_samples_are_deterministic(statistic, value):
    assert interval(np.full(8, value), statistic, 0.999, RNG(0)) == (value, value)
    assert estimate(np.full(8, value), statistic) == value


def test_infinite_values_are_legal():
    late = np.array([5.0, 6, 7, 8, 9, 10, math.inf, math.inf])
    assert interval(late, "median", 0.95, RNG(0)) == (5, math.inf)
    assert interval(late, "median", 0.999, RNG(0))[0] < 5
    assert interval(late, "mean", 0.95, RNG(0)) == (-math.inf, math.inf)
    both = np.array([-math.inf, math.inf])
    assert interval(both, "median", 0.9, RNG(0)) == (-math.inf, math.inf)
    never = judge([claim("late", Expectation.at_least(math.inf))], dataset(late=[math.inf] * 8), Streams())
    assert never["late"].verdict == "holds"


@pytest.mark.parametrize(
    ("samples", "statistic", "level", "resamples"),
    [
        ([], "median", 0.95, 10),
        ([math.nan, 1], "median", 0.95, 10),
        ([0.5, 1], "proportion", 0.95, 10),
        ([1, 2], "mode", 0.95, 10),
        ([1, 2], "median", 1.0, 10),
        ([1, 2], "mean", 0.95, 79),
    ],
)
def test_intervals_refuse(samples, statistic, level, resamples):
    with pytest.raises(BadInput):
        interval(np.array(samples), statistic, level, RNG(0), resamples)


# ---- claims, errors, looks


def test_expectations():
    assert str(Expectation.near(4, 0.4)) == "4 ± 0.4"
    assert str(Expectation.at_least(0.95)) == str(Expectation(0.95, math.inf)) == ">= 0.95"
    assert str(Expectation.at_most(3)) == str(Expectation(-math.inf, 3)) == "<= 3"
    assert str(Expectation.between(1.25, 1.45)) == str(Expectation(1.25, 1.45)) == "in [1.25, 1.45]"
    assert Expectation.between(0, 1).contains(0, 1)
    assert not Expectation.between(0, 1).excludes(1, 2)
    for bad in ((2, 1), (math.nan, 1), (-math.inf, math.inf)):
        with pytest.raises(BadInput):
            Expectation(*bad)
    with pytest.raises(BadInput):
        Expectation.near(1, -0.1)


@pytest.mark.parametrize("empty", ["id", "sentence", "source"])
def test_empty_words_are_refused(empty):
    words = {"id": "a", "sentence": "b", "source": "c", empty: "  "}
    with pytest.raises(BadInput, match=empty):
        Claim(**words, effect=column("x"), expected=Expectation.at_least(1), control=Control("d", column("x")))
    with pytest.raises(BadInput, match="control"):
        Control("", column("x"))


def test_judge_refuses_with_the_claim_named():
    data, wide = dataset(x=np.arange(8.0)), Expectation.at_least(1)
    with pytest.raises(BadInput, match=r"'x'.*more than once"):
        judge([claim("x", wide), claim("x", wide)], data, Streams())
    with pytest.raises(BadInput, match=r"'y', effect.*'y'.*never, x"):
        judge([claim("y", wide)], data, Streams())
    with pytest.raises(BadInput, match=r"'x', control.*'y'"):
        judge([claim("x", wide, control="y")], data, Streams())
    with pytest.raises(BadInput, match=r"'x', effect.*0 or 1"):
        judge([claim("x", wide, "proportion")], data, Streams())
    with pytest.raises(BadInput, match=r"'x', effect.*shape \(\)"):
        judge([replace(claim("x", wide), effect=lambda data: data.x.mean())], data, Streams())
    with pytest.raises(BadInput, match="alpha"):
        judge([claim("x", wide)], data, Streams(), alpha=1)
    with pytest.raises(BadInput, match="verdict"):
        Verdicts.from_json([{"id": "x"}])


def verdicts():
    data = dataset(good=np.full(8, 1.0), bad=np.full(8, -1.0), open=np.linspace(0, 1, 8))
    return judge([claim(name, Expectation.at_least(0.5)) for name in ("good", "bad", "open")], data, Streams())


def test_verdicts_are_a_lookup():
    three = verdicts()
    assert [one.verdict for one in three] == ["holds", "fails", "undecided"]
    assert three["bad"] is three[1]
    assert len(three) == 3
    assert three.summary() == "1 holds, 1 fails, 1 undecided"
    assert judge([], dataset(x=[1]), Streams()).summary() == "0 hold, 0 fail, 0 undecided"
    with pytest.raises(KeyError, match="good, bad, open"):
        three["other"]


def test_json_has_the_keys_of_the_command_line():
    record = verdicts().to_json()[0]
    assert set(record) == {"id", "sentence", "source", "measured", "interval", "expected", "n", "verdict",
                           "control", "reason", "unit"}  # fmt: skip
    assert set(record["control"]) == {"sentence", "measured", "interval", "shows_effect"}
    assert record["expected"] == {"text": ">= 0.5", "low": 0.5, "high": "Infinity"}
    assert (record["n"], record["verdict"], record["control"]["shows_effect"]) == (8, "holds", False)


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_text_fits_the_terminal_and_says_it_without_colour(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = str(verdicts())
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    for word in ("holds", "fails", "undecided", "good", ">= 0.5", "1 holds, 1 fails, 1 undecided"):
        assert word in text


def test_html_escapes_what_it_shows():
    wild = replace(claim("x", Expectation.at_least(0)), sentence="<script>'a'</script> [bold]")
    page = judge([wild], dataset(x=np.arange(8.0)), Streams())
    assert "<script>" not in page._repr_html_()
    assert "[bold]" in str(page)
