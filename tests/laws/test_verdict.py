"""The verdicts obey their laws, and the laws reject saboteurs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import verdict_laws as laws
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from verdict_laws import ALPHA, SEEDS, claim, column, dataset

from phasescope.verdict import (
    Claim,
    Control,
    Expectation,
    Source,
    Verdicts,
    estimate,
    interval,
    intervals,
    judge,
    power,
    seeds_likely,
    seeds_needed,
)
from phasescope.verdict.intervals import order
from phasescope.vocabulary import BadInput

RNG = np.random.default_rng


# ---- saboteurs


def percentile(samples, statistic, level, range=None):
    """The plain percentile bootstrap."""
    n, tail = samples.shape[1], (1 - level) / 2
    pick = RNG(0).integers(n, size=(2000, n))
    of = np.median if statistic == "median" else np.mean
    ends = [np.quantile(of(row[pick], axis=1), [tail, 1 - tail]) for row in samples]
    return tuple(np.array(ends).T)


def students(samples, statistic, level, range=None):
    """Student's t, which is right for normal samples."""
    n = samples.shape[1]
    reach = -special.stdtrit(n - 1, (1 - level) / 2) * samples.std(axis=1, ddof=1) / math.sqrt(n)
    return samples.mean(axis=1) - reach, samples.mean(axis=1) + reach


def beyond_the_extremes(samples, statistic, level, range=None):
    """What was used before: beyond the extremes the bound moves by the spread within the sample."""
    n, x, tail = samples.shape[1], np.sort(samples, axis=1), (1 - level) / 2
    errors = special.bdtr(np.arange((n + 1) // 2), n, 0.5)
    k = int((errors <= tail).sum())
    if k:
        return x[:, k - 1], x[:, n - k]
    reach = math.expm1(math.log(errors[0] / tail) / (n // 2)) if n > 1 else math.inf
    spread = x[:, n // 2] - x[:, 0], x[:, -1] - x[:, (n - 1) // 2]
    return x[:, 0] - reach * spread[0], x[:, -1] + reach * spread[1]


def one_order_further(samples, statistic, level, range=None):
    n, x = samples.shape[1], np.sort(samples, axis=1)
    k = int((special.bdtr(np.arange((n + 1) // 2), n, 0.5) <= (1 - level) / 2).sum())
    return x[:, k], x[:, n - 1 - k]


def ignores_controls(claims, data, alpha=ALPHA, **more):
    outside = Control("ignored", lambda data: np.full(SEEDS, -1e9))
    return judge([replace(one, control=outside) for one in claims], data, alpha)


def ignores_multiplicity(claims, data, alpha=ALPHA, **more):
    return Verdicts(tuple(judge([one], data, alpha, **more)[0] for one in claims))


def drops_missing_seeds(claims, data, alpha=ALPHA, **more):
    return judge(claims, data.dropna("seed"), alpha, **more)


def looks_for_nothing(claims, data, alpha=ALPHA, looks=()):
    """Look again and again, and pay nothing for it."""
    return judge(claims, data, min(alpha * max(len(looks), 1), 0.99), looks=looks)


def looks_at_the_estimate(claims, data, alpha=ALPHA, **more):
    verdicts = judge(claims, data, alpha, **more)
    return Verdicts(
        tuple(replace(v, verdict="holds" if v.expected.contains(v.measured, v.measured) else "fails") for v in verdicts)
    )


@pytest.mark.parametrize("saboteur", [percentile, beyond_the_extremes, one_order_further])
def test_laws_reject_intervals_of_medians(saboteur):
    with pytest.raises(AssertionError, match="hold"):
        laws.two_values_rarely_hold(saboteur, "median", [5, 8, 12], [1, 9, 43])


@pytest.mark.parametrize("saboteur", [percentile, students])
def test_laws_reject_intervals_of_means(saboteur):
    with pytest.raises(AssertionError):
        laws.any_chance_of_two_values_rarely_holds(saboteur, "mean", [8, 16], [9])


def test_laws_reject_intervals_that_are_too_short_beyond_two_values():
    with pytest.raises(AssertionError, match="hold wrongly"):
        laws.at_the_boundary_few_hold(students, "mean", [8], 9, 2000)
    with pytest.raises(AssertionError, match="look"):
        laws.looking_again_keeps_the_promise(
            lambda x, s, level, r: intervals(x, s, 1 - 4 * (1 - level), r), (16, 32), 9
        )
    with pytest.raises(AssertionError, match="outside"):
        laws.no_end_leaves_the_range(lambda x, s, level, r: intervals(x, "median", level))


@pytest.mark.parametrize(
    ("law", "saboteur"),
    [
        (laws.a_control_that_shows_the_effect_blocks, ignores_controls),
        (laws.a_control_that_shows_the_effect_blocks, looks_at_the_estimate),
        (laws.families_of_a_judge_rarely_hold, ignores_multiplicity),
        (laws.a_straddling_interval_is_undecided, looks_at_the_estimate),
        (laws.a_seed_without_value_is_undecided, drops_missing_seeds),
        (laws.looks_add_up, looks_for_nothing),
    ],
)
def test_laws_reject_sabotaged_judges(law, saboteur):
    with pytest.raises(AssertionError):
        law(saboteur)


# ---- laws

FEW, MANY = [*range(2, 17), 24, 32, 48, 64], [1, 2, 5, 9, 22, 43, 100, 318]


@pytest.mark.parametrize("looks", [1, 4])
def test_two_values_rarely_hold(looks):
    laws.two_values_rarely_hold(intervals, "median", range(2, 65), MANY, looks)


@pytest.mark.parametrize(("statistic", "seeds"), [("proportion", FEW), ("mean", [2, 5, 8, 12, 32])])
def test_any_chance_of_two_values_rarely_holds(statistic, seeds):
    laws.any_chance_of_two_values_rarely_holds(intervals, statistic, seeds, MANY if statistic != "mean" else [1, 22])


@pytest.mark.parametrize(
    ("statistic", "claims", "trials"), [("median", 1, 4000), ("median", 9, 20_000), ("mean", 1, 300)]
)
def test_at_the_boundary_few_hold(statistic, claims, trials):
    laws.at_the_boundary_few_hold(
        intervals, statistic, [2, 5, 8, 16] if statistic == "median" else [5, 16], claims, trials
    )


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_at_the_boundary_few_hold_everywhere(statistic):
    for claims in (1, 22, 318):
        laws.at_the_boundary_few_hold(intervals, statistic, FEW, claims, 40_000 if statistic == "median" else 4000)


@pytest.mark.parametrize("claims", [1, 12, 43, 318])
@pytest.mark.parametrize("looks", [(16, 32, 64, 128), (20, 24, 28, 32, 36, 40), (24,)])
def test_looking_again_keeps_the_promise(looks, claims):
    laws.looking_again_keeps_the_promise(intervals, looks, claims)


def test_no_end_leaves_the_range():
    laws.no_end_leaves_the_range(intervals)


@pytest.mark.parametrize(("claims", "seeds", "least"), [(1, 8, 0.93), (12, 12, 0.9), (12, 16, 0.95)])
def test_power_at_two_and_a_half_standard_deviations(claims, seeds, least):
    found = laws.power(intervals, "median", 2.5, claims, seeds, 4000)
    assert found >= least
    assert found == pytest.approx(power(seeds, ALPHA / (2 * claims), 2.5), abs=0.015)


@pytest.mark.parametrize(
    "law",
    [
        laws.families_of_a_judge_rarely_hold,
        laws.a_control_that_shows_the_effect_blocks,
        laws.a_straddling_interval_is_undecided,
        laws.a_seed_without_value_is_undecided,
        laws.verdicts_are_reproducible,
        laws.verdicts_survive_json,
        laws.looks_add_up,
    ],
)
def test_judge_obeys(law):
    law(judge)


finite = st.floats(-100, 100)


@settings(max_examples=150, deadline=None)
@given(st.lists(finite | st.just(math.inf), min_size=1, max_size=12), finite, st.floats(0, 50), st.floats(0, 50))
def test_widening_never_hurts(samples, low, width, more):
    laws.widening_never_hurts(judge, samples, low, low + width, more)


# ---- what seeds can decide


def test_the_order_statistic_is_the_last_that_errs_rarely_enough():
    for n in range(1, 80):
        for tail in (0.3, 0.025, 0.05 / 636, 2.0**-n):
            errors = special.bdtr(np.arange((n + 1) // 2), n, 0.5)
            assert order(n, tail) == (errors <= tail).sum()


def test_seeds_needed_are_the_least_that_bound_a_median():
    for claims in (1, 9, 22, 43, 318):
        for looks in (1, 4):
            n, level = seeds_needed(claims, ALPHA, looks), 1 - ALPHA / (claims * looks)
            assert math.isfinite(interval(np.arange(float(n)), "median", level)[0])
            assert interval(np.arange(n - 1.0), "median", level) == (-math.inf, math.inf)


def test_seeds_likely_are_as_many_as_decide_four_in_five():
    samples, tail = RNG(0).normal(size=4001), ALPHA / 24
    n = int(seeds_likely(samples, Expectation.at_least(float(np.median(samples)) - 1), tail))
    assert power(n, tail, 1.0) == pytest.approx(0.8, abs=0.05)
    assert seeds_likely(samples, Expectation.at_least(1), tail) == math.inf
    assert seeds_likely(np.full(5, 2.0), Expectation.at_least(1), tail) == 9
    assert seeds_likely(np.array([0.0, math.inf]), Expectation.at_least(1), tail) == math.inf


# ---- intervals by closed form


def test_proportions_are_clopper_pearson():
    assert interval(np.ones(8), "proportion", 0.95) == pytest.approx((0.025 ** (1 / 8), 1))
    assert interval(np.zeros(8), "proportion", 0.95) == pytest.approx((0, 1 - 0.025 ** (1 / 8)))
    # 1 of 2 at tail q: P(Bin(2, low) >= 1) = 1 - (1 - low)**2 = q
    assert interval(np.array([0, 1]), "proportion", 0.9) == pytest.approx((1 - 0.95**0.5, 0.95**0.5))


def test_median_is_between_order_statistics():
    """Eight values bracket their median in all but 2 of 256 cases; between the 2nd and 7th in all but 18."""
    x = RNG(0).permutation(np.arange(8.0))
    assert interval(x, "median", 1 - 2 / 256) == (0, 7)
    assert interval(x, "median", 1 - 18 / 256) == (1, 6)
    assert interval(x, "median", 1 - 1 / 256, (-3, math.inf)) == (-3, math.inf)


def test_the_mean_of_equal_samples_is_bounded_by_what_all_bets_win():
    """Equal samples x over m leave the mean over stakes s of (1 + s (x / m - 1))^n, close to its integral."""
    low, high = interval(np.full(16, 0.8), "mean", 0.9, (0, 1))
    gain = 0.8 / low - 1
    assert ((1 + gain) ** 17 - 1) / (17 * gain) == pytest.approx(1 / 0.05, rel=5e-3)
    gain = 0.2 / (1 - high) - 1
    assert ((1 + gain) ** 17 - 1) / (17 * gain) == pytest.approx(1 / 0.05, rel=5e-3)
    assert interval(np.full(16, 0.8), "mean", 0.9, (0, math.inf)) == (pytest.approx(low), math.inf)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e150])
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_intervals_know_no_units(statistic, scale):
    x = np.array([0.3, 1.2, 2.0, 2.2, 5.0, 7.1])
    ends = np.array(interval(x, statistic, 0.9, (0, 10)))
    assert np.array(interval(x * scale, statistic, 0.9, (0, 10 * scale))) / scale == pytest.approx(ends, rel=1e-9)
    turned = tuple(-end for end in reversed(interval(x, statistic, 0.9, (0, 10))))
    assert interval(-x, statistic, 0.9, (-10, 0)) == pytest.approx(turned)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 20])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_few_seeds_are_honest(n, level):
    x = RNG(n).uniform(size=n)
    for statistic in ("median", "mean"):
        low, high = interval(x, statistic, level, (0, 1))
        assert 0 <= low <= estimate(x, statistic) <= high <= 1
    bounded = 0.5**n <= (1 - level) / 2
    assert (interval(x, "median", level) != (-math.inf, math.inf)) == bounded


@pytest.mark.parametrize("value", [0.1, math.inf, -math.inf])
def test_identical_samples_are_not_taken_as_deterministic_unless_they_are_said_to_be(value):
    assert interval(np.full(8, value), "median", 0.999) == (-math.inf, math.inf)
    assert interval(np.full(2, value), "median", 0.999, deterministic=True) == (value, value)
    assert interval(np.full(1, value), "median", 0.999, deterministic=True) == (-math.inf, math.inf)
    assert estimate(np.full(8, value), "median") == value


def test_what_is_said_to_be_deterministic_is_checked():
    assert interval(np.array([1, 1 + 1e-7]), "median", 0.9, deterministic=True) == (1, 1 + 1e-7)
    assert interval(np.array([1, 1 + 1e-5]), "median", 0.9, (0, 2), deterministic=True) == (0, 2)
    found = judge([replace(claim("x", Expectation.at_least(0)), deterministic=True)], dataset(x=[1, 2]))["x"]
    assert (found.verdict, "values are from 1 to 2" in found.reason) == ("undecided", True)


def test_infinite_values_are_legal():
    late = np.array([5.0, 6, 7, 8, 9, 10, math.inf, math.inf])
    assert interval(late, "median", 0.95) == (5, math.inf)
    assert interval(late, "median", 0.999, (0, math.inf)) == (0, math.inf)
    assert interval(late, "mean", 0.95, (0, math.inf)) == (0, math.inf)
    never = judge([claim("late", Expectation.at_least(math.inf))], dataset(late=[math.inf] * 8))
    assert never["late"].verdict == "holds"


@pytest.mark.parametrize(
    ("samples", "statistic", "level", "range"),
    [
        ([], "median", 0.95, (0, 1)),
        ([math.nan, 1], "median", 0.95, (0, 1)),
        ([0.5, 1], "proportion", 0.95, (0, 1)),
        ([1, 2], "mode", 0.95, (0, 3)),
        ([1, 2], "median", 1.0, (0, 3)),
        ([1, 2], "mean", 0.95, (-math.inf, math.inf)),
        ([1, 2], "median", 0.95, (0, 1.5)),
        ([1, 2], "median", 0.95, (3, 1)),
        ([1, 2], "median", 0.95, 3),
    ],
)
def test_intervals_refuse(samples, statistic, level, range):
    with pytest.raises(BadInput):
        interval(np.array(samples), statistic, level, range)


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


@pytest.mark.parametrize("empty", ["id", "sentence"])
def test_empty_words_are_refused(empty):
    words = {"id": "a", "sentence": "b", empty: "  "}
    with pytest.raises(BadInput, match=empty):
        Claim(
            **words,
            source=Source(ours="c"),
            effect=column("x"),
            expected=Expectation.at_least(1),
            control=Control("d", column("x")),
        )
    with pytest.raises(BadInput, match="control"):
        Control("", column("x"))


def test_judge_refuses_with_the_claim_named():
    data, wide = dataset(x=np.arange(8.0)), Expectation.at_least(1)
    with pytest.raises(BadInput, match=r"'x'.*more than once"):
        judge([claim("x", wide), claim("x", wide)], data)
    with pytest.raises(BadInput, match=r"'y', effect.*'y'.*never, x"):
        judge([claim("y", wide)], data)
    with pytest.raises(BadInput, match=r"'x', control.*'y'"):
        judge([claim("x", wide, control="y")], data)
    with pytest.raises(BadInput, match=r"'x', effect.*0 or 1"):
        judge([claim("x", wide, "proportion")], data)
    with pytest.raises(BadInput, match=r"'x', effect.*shape \(\)"):
        judge([replace(claim("x", wide), effect=lambda data: data.x.mean())], data)
    with pytest.raises(BadInput, match="alpha"):
        judge([claim("x", wide)], data, alpha=1)
    with pytest.raises(BadInput, match="verdict"):
        Verdicts.from_json([{"id": "x"}])


def verdicts():
    data = dataset(good=np.full(8, 1.0), bad=np.full(8, -1.0), open=np.linspace(0, 1, 8))
    return judge([claim(name, Expectation.at_least(0.5)) for name in ("good", "bad", "open")], data)


def test_verdicts_are_a_lookup():
    three = verdicts()
    assert [one.verdict for one in three] == ["holds", "fails", "undecided"]
    assert three["bad"] is three[1]
    assert len(three) == 3
    assert three.summary() == "1 holds, 1 fails, 1 undecided"
    assert judge([], dataset(x=[1])).summary() == "no claims"
    with pytest.raises(KeyError, match="good, bad, open"):
        three["other"]


def test_json_has_the_keys_of_the_command_line():
    record = verdicts().to_json()[0]
    assert set(record) == {"id", "sentence", "source", "measured", "interval", "expected", "n", "verdict",
                           "control", "reason", "unit", "kind", "number", "counts", "look", "looks"}  # fmt: skip
    assert set(record["control"]) == {"sentence", "measured", "interval", "shows_effect", "excluded", "n"}
    assert record["expected"] == {"text": ">= 0.5", "low": 0.5, "high": "Infinity"}
    assert (record["n"], record["verdict"], record["control"]["shows_effect"]) == (8, "holds", False)


def test_the_text_is_a_text_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "1 holds, 1 fails, 1 undecided" in str(verdicts())


def test_where_a_line_is_narrow_verdicts_become_marks_before_a_number_is_cut(monkeypatch):
    tiny = np.array([5.49e-16, 2.51e-16, 1.43e-15, 3e-16, 4e-16, 6e-16, 7e-16, 8e-16])
    name = "a_name_of_thirty_letters_or_so"
    found = judge([claim(name, Expectation.at_most(1e-6))], dataset(**{name: tiny}))
    monkeypatch.setenv("COLUMNS", "80")
    heading, line, legend, *_ = str(found).splitlines()
    assert line.startswith("? ") and "[2.51e-16, 1.43e-15]" in line and len(line) <= 80
    assert legend == "✓ holds   ✗ fails   ? undecided" and not heading.startswith("verdict")
    monkeypatch.setenv("COLUMNS", "100")
    assert str(found).splitlines()[1].startswith("? undecided ")


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
    page = judge([wild], dataset(x=np.arange(8.0)))
    assert "<script>" not in page._repr_html_()
    assert "[bold]" in page.details()
