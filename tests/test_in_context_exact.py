"""What is known exactly of learning in context: closed forms, competitors, and the tasks that both are asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phasescope.ensemble.streams import streams
from phasescope.learners import DiscreteMMSE, ModularRegression, PoolBayes, RatioMatcher, Ridge
from phasescope.tasks import InContextLinear, InContextRegression
from phasescope.tasks.in_context import parity, rectangles
from phasescope.theory import in_context_modular as modular
from phasescope.theory import in_context_regression as regression
from phasescope.vocabulary import Array, BadInput, Member

# -- closed forms, counted one by one ---------------------------------------------------------------------------------


def sequences(p: int, shots: int, distinct: bool) -> list[tuple[Any, ...]]:
    """Return all sequences of inputs: the examples and, last, the question."""
    pairs = list(itertools.product(range(p), repeat=2))
    way = itertools.permutations(pairs, shots + 1) if distinct else itertools.product(pairs, repeat=shots + 1)
    return list(way)


def is_ratio(p: int, sequence: tuple[Any, ...]) -> bool:
    *examples, q = sequence
    if q == (0, 0):
        return True
    return any(((c * x) % p, (c * y) % p) == q for x, y in examples for c in range(1, p))


def best_guess(p: int, sequence: tuple[Any, ...], tasks: list[Any]) -> float:
    """Return how often the best answer is right, over all tasks: the tasks that agree, sorted by what was seen."""
    *examples, (x, y) = sequence
    seen: dict[tuple[int, ...], list[int]] = {}
    for a, b in tasks:
        key = tuple((a * u + b * v) % p for u, v in examples)
        seen.setdefault(key, []).append((a * x + b * y) % p)
    return sum(max(map(answers.count, answers)) for answers in seen.values()) / len(tasks)


CASES = [(2, 0), (2, 1), (2, 2), (2, 3), (3, 0), (3, 1), (3, 2)]


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize(("p", "shots"), [*CASES, (5, 1)])
def test_accuracies_are_counts(p: int, shots: int, distinct: bool) -> None:
    """Ratio matching and regression over Z_p against every sequence and every task, one by one."""
    every = sequences(p, shots, distinct)
    covered = np.mean([is_ratio(p, s) for s in every])
    assert modular.ratio_coverage(p, shots, distinct=distinct) == pytest.approx(covered, abs=1e-12)
    wanted = covered + (1 - covered) / p
    assert modular.ratio_accuracy(p, shots, distinct=distinct) == pytest.approx(wanted, abs=1e-12)
    tasks = list(itertools.product(range(p), repeat=2))
    for zero in (True, False):
        best = np.mean([best_guess(p, s, tasks if zero else tasks[1:]) for s in every])
        found = modular.regression_accuracy(p, shots, distinct=distinct, zero=zero)
        assert found == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize(("p", "shots"), CASES)
def test_ranks_are_counts(p: int, shots: int, distinct: bool) -> None:
    found = [0.0, 0.0, 0.0]
    every = sequences(p, shots, distinct)
    inside = 0
    for *examples, q in every:
        span = {
            (sum(c * x for c, (x, _) in zip(cs, examples, strict=True)) % p,
             sum(c * y for c, (_, y) in zip(cs, examples, strict=True)) % p)
            for cs in itertools.product(range(p), repeat=shots)
        }  # fmt: skip
        found[round(math.log(len(span), p))] += 1 / len(every)
        inside += q in span
    assert modular.rank_chances(p, shots, distinct=distinct) == pytest.approx(found, abs=1e-12)
    assert modular.span_coverage(p, shots, distinct=distinct) == pytest.approx(inside / len(every), abs=1e-12)


def test_the_papers_modulus() -> None:
    """p = 29, with replacement, 31 examples: formulas and 20,000 draws of a plain loop agree."""
    rng = np.random.default_rng(0)
    q, e = rng.integers(0, 29, (20_000, 2)), rng.integers(0, 29, (20_000, 31, 2))
    cross = (q[:, None, 0] * e[..., 1] - q[:, None, 1] * e[..., 0]) % 29
    hit = ((cross == 0) & e.any(2)).any(1) | ~q.any(1)
    assert modular.ratio_coverage(29, 31, distinct=False) == pytest.approx(hit.mean(), abs=0.012)
    written = 1 / 841 + (840 / 841) * (1 - (1 - 28 / 841) ** 31)
    assert modular.ratio_coverage(29, 31, distinct=False) == pytest.approx(written, rel=1e-12)


# -- competitors by a second route ------------------------------------------------------------------------------------


LINEAR = InContextLinear(5, n_tasks=9, shots=8, readout=40)
MEMBER = Member({"n_tasks": 9}, 3)


def shared(logits: Tensor) -> Array:
    """Return the probabilities that logits stand for, with all that is impossible at 0."""
    found = logits.double().softmax(-1).numpy()
    return np.where(found < 1e-9, 0, found)


def pools() -> dict[str, Array]:
    every, (own, _) = LINEAR.tables(streams(3)), LINEAR.pool(MEMBER, streams(3))
    return {"all": every, "pool": every[own]}


@pytest.mark.parametrize("which", ["all", "pool"])
def test_bayes_over_a_pool_is_theorys(which: str) -> None:
    """The learner reckons all sequences at once, theory one after the other: equal to 1e-10."""
    draw, pool = LINEAR.draw(MEMBER, streams(3)), pools()[which]
    found = shared(PoolBayes(pool.reshape(-1, 5, 5))(torch.from_numpy(draw.inputs).double()))
    x, y = (draw.inputs[:, ::2, part].argmax(-1) for part in (slice(0, 5), slice(5, 10)))
    for i in range(len(x)):
        wanted = modular.pool_bayes(pool, 5 * x[i] + y[i], draw.labels[i], 5)
        np.testing.assert_allclose(found[i], wanted, rtol=0, atol=1e-10)


def test_regression_is_bayes_over_all_functions() -> None:
    """Two independent examples solved for, against Bayes' rule over all p^2 tables, wherever an answer is certain."""
    draw = LINEAR.draw(MEMBER, streams(3))
    tokens = torch.from_numpy(draw.inputs).double()
    every = np.concatenate([np.zeros((1, 25), int), pools()["all"]]).reshape(-1, 5, 5)
    bayes, solved = shared(PoolBayes(every)(tokens)), shared(ModularRegression(5)(tokens))
    np.testing.assert_allclose(solved, bayes, rtol=0, atol=1e-10)
    assert 0.1 < (solved.max(-1) < 0.5).mean() < 0.3  # without an answer: early shots alone


def law_ratio(matcher: Any) -> None:
    """It answers where a ratio covers the question, rightly, and nowhere else."""
    draw = LINEAR.draw(MEMBER, streams(3))
    found = shared(matcher(torch.from_numpy(draw.inputs).double()))
    x, y = (draw.inputs[:, ::2, part].argmax(-1) for part in (slice(0, 5), slice(5, 10)))
    for i, k in np.ndindex(*x.shape):
        pairs = list(zip(x[i, : k + 1].tolist(), y[i, : k + 1].tolist(), strict=True))
        wanted = np.eye(5)[draw.labels[i, k]] if is_ratio(5, tuple(pairs)) else np.full(5, 0.2)
        np.testing.assert_allclose(found[i, k], wanted, rtol=0, atol=1e-10)


def test_ratio_matcher() -> None:
    law_ratio(RatioMatcher(5))
    with pytest.raises(AssertionError):
        law_ratio(ModularRegression(5))  # a saboteur that knows more


def test_competitors_do_as_well_as_their_formulas() -> None:
    """20,000 answers at each shot: within four standard errors."""
    task = InContextLinear(5, shots=8, readout=5000)
    draw = task.draw(MEMBER, streams(1))
    tokens, labels = torch.from_numpy(draw.inputs), torch.from_numpy(draw.labels).long()
    every = PoolBayes(task.tables(streams(1)).reshape(-1, 5, 5))
    for learner, formula in (
        (RatioMatcher(5), lambda k: modular.ratio_accuracy(5, k)),
        (every, lambda k: modular.regression_accuracy(5, k, zero=False)),
    ):
        right = learner(tokens).double().softmax(-1).gather(-1, labels[..., None])[..., 0].mean(0)
        for k in range(8):  # a guess is right as often as it is likely
            assert right[k].item() == pytest.approx(formula(k), abs=4 * math.sqrt(0.25 / 20_000))


REGRESSION = InContextRegression(3, n_tasks=7, shots=6)


def law_second_route(learner: Any, answers: Callable[..., Array], *more: Any) -> None:
    draw = REGRESSION.draw(Member({}, 2), streams(2))
    found = learner(torch.from_numpy(draw.inputs)).numpy()
    for i in range(0, len(found), 8):
        wanted = answers(draw.inputs[i, ::2, :3], draw.labels[i], *more)
        np.testing.assert_allclose(found[i], wanted, rtol=0, atol=1e-10)


def test_ridge_and_dmmse_are_theorys() -> None:
    """Updates of rank one against a solution at each shot; cumulated energies against sums: equal to 1e-10."""
    pool = REGRESSION.pool(Member({}, 2), streams(2))
    assert pool is not None
    law_second_route(Ridge(0.25), regression.ridge_answers, 0.25)
    law_second_route(DiscreteMMSE(pool, 0.25), regression.dmmse_answers, pool, 0.25)
    for wrong in (Ridge(0.26), DiscreteMMSE(pool, 0.25)):
        with pytest.raises(AssertionError):
            law_second_route(wrong, regression.ridge_answers, 0.25)


def test_first_answers() -> None:
    """Without an example ridge answers 0, and Bayes over the pool what the pool's mean says."""
    draw = REGRESSION.draw(Member({}, 2), streams(2))
    pool, tokens = REGRESSION.pool(Member({}, 2), streams(2)), torch.from_numpy(draw.inputs)
    assert pool is not None
    assert not Ridge(0.25)(tokens)[:, 0].any()
    first = DiscreteMMSE(pool, 0.25)(tokens)[:, 0].numpy()
    np.testing.assert_allclose(first, draw.inputs[:, 0, :3] @ pool.mean(0), rtol=0, atol=1e-12)


def test_dmmse_of_a_pool_of_one_is_its_task() -> None:
    one = np.array([[1.0, -2.0, 0.5]])
    tokens = torch.from_numpy(REGRESSION.draw(Member({}, 2), streams(2)).inputs)
    wanted = tokens[:, ::2, :3].numpy() @ one[0]
    np.testing.assert_allclose(DiscreteMMSE(one, 0.25)(tokens).numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dimension", "shots", "noise"), [(4, 1, 0.25), (1, 1, 0.25), (1, 5, 0.5), (4, 0, 0.25)])
def test_ridge_error_is_the_posterior_variance(dimension: int, shots: int, noise: float) -> None:
    """Against the answers themselves on 40,000 sequences, within four standard errors."""
    task = InContextRegression(dimension, shots=shots + 2, noise=noise, readout=20_000, n_tasks=math.inf)
    draw = task.draw(Member({}, 0), streams(0))
    gap = ((Ridge(noise)(torch.from_numpy(draw.inputs)).numpy() - draw.truth) ** 2 / dimension)[:, shots]
    wanted = regression.ridge_error(dimension, shots, noise)
    assert gap.mean() == pytest.approx(wanted, abs=4 * gap.std() / math.sqrt(len(gap)))


def test_ridge_error_in_many_dimensions() -> None:
    """The trace of one drawn posterior at D = 400, and the exact numbers at its ends."""
    x = np.random.default_rng(0).standard_normal((600, 400))
    trace = np.trace(np.linalg.inv(np.eye(400) + x.T @ x / 100.0)) / 400
    assert regression.ridge_error_limit(1.5, 100.0 / 400) == pytest.approx(trace, rel=5e-3)
    assert regression.ridge_error_limit(1e-9, 0.3) == pytest.approx(1, abs=1e-8)
    known = (
        math.sqrt(math.pi / 8) * math.exp(1 / 8) * math.erfc(math.sqrt(1 / 8))
    )  # E s / (s + x^2) of a normal x, s = 1/4
    assert regression.ridge_error(1, 1, 0.25) == pytest.approx(known, abs=1e-10)


# -- the tasks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distinct", [True, False])
def test_no_sequence_is_trained_and_read(distinct: bool) -> None:
    """All inputs' orders in training have an even number of inversions, all that are read an odd one."""
    task = InContextLinear(5, shots=6, distinct=distinct, readout=500)
    draw, member = task.draw(Member({}, 1), streams(1)), Member({}, 1)

    def orders(inputs: Array) -> Array:
        return np.asarray(5 * inputs[:, ::2, :5].argmax(-1) + inputs[:, ::2, 5:10].argmax(-1))

    read = {tuple(row) for row in orders(draw.inputs).tolist()}
    assert (parity(orders(draw.inputs)) == 1).all()
    for step in range(1, 20):
        trained = orders(task.batch(member, streams(1), step, 64)[0])
        assert not parity(trained).any()
        assert not read & {tuple(row) for row in trained.tolist()}
        if distinct:
            assert all(len(set(row)) == 6 for row in trained.tolist())


def test_parity_is_that_of_permutations() -> None:
    for row in itertools.permutations(range(4)):
        assert parity(np.array([row]))[0] == (round(np.linalg.det(np.eye(4)[list(row)])) == -1)


def test_sequences_tell_their_task() -> None:
    """Every answer is that of one task: of the pool where they train, of none of it among the new."""
    for functions in ("linear", "tables"):
        task = InContextLinear(5, n_tasks=6, shots=12, functions=functions, alpha=0.72, readout=30)
        member = Member({"n_tasks": 6}, 5)
        (own, new), tables = task.pool(member, streams(5)), task.tables(streams(5))
        seen, held = task.inputs(member, streams(5))
        draw = task.draw(member, streams(5))
        order = 5 * draw.inputs[:, ::2, :5].argmax(-1) + draw.inputs[:, ::2, 5:10].argmax(-1)
        fits = (tables[None, :, :].repeat(120, 0)[np.arange(120)[:, None], :, order] == draw.labels[..., None]).all(1)
        assert len(own) == 6 and len(new) == 18 and len(held) == 7
        for start, tasks in ((0, own), (30, new), (60, own), (90, new)):
            assert fits[start : start + 30][:, tasks].any(1).all()
        assert np.isin(order[:60], seen).all() and np.isin(order[60:, -4:], held).all()
        batch, labels = task.batch(member, streams(5), 3, 64)
        asked = 5 * batch[:, ::2, :5].argmax(-1) + batch[:, ::2, 5:10].argmax(-1)
        assert np.isin(asked, seen).all()
        assert (tables[own][:, asked] == labels).all(-1).any(0).all()


def test_three_tokens_tell_the_same() -> None:
    bound, three = (InContextLinear(5, shots=6, tokens=tokens, readout=20) for tokens in ("bound", "three"))
    one, other = (task.draw(Member({}, 2), streams(2)) for task in (bound, three))
    np.testing.assert_array_equal(one.inputs[:, ::2, :5].argmax(-1), other.inputs[:, 0::3])
    np.testing.assert_array_equal(one.inputs[:, ::2, 5:10].argmax(-1), other.inputs[:, 1::3])
    np.testing.assert_array_equal(one.labels, other.labels[:, 1::3])
    np.testing.assert_array_equal(other.labels[:, 1:-3:3], other.inputs[:, 2::3])
    assert (other.labels.reshape(len(other.labels), -1)[:, [0, 2, 3]] == -100).all()


def test_rectangles_are_closed() -> None:
    """Four times the base, all different; each base task has its three corners."""
    task = InContextLinear(7, n_tasks=16, rule="rectangular")
    for seed in range(5):
        own, new = task.pool(Member({"n_tasks": 16}, seed), streams(seed))
        tasks = {divmod(int(t) + 1, 7) for t in own}
        assert len(tasks) == 16 and len(new) == 32 and (0, 0) not in tasks and not set(own) & set(new)
        for i, t in enumerate(own[:4]):
            a, b = divmod(int(t) + 1, 7)
            three = [divmod(int(u) + 1, 7) for u in own[4 + 3 * i : 7 + 3 * i]]
            (a1, d), (c, b1), (c1, d1) = three
            assert (a1, b1, c1, d1) == (a, b, c, d) and len({a, b, c, d}) == len({a, b}) + 2


def test_a_batch_is_of_the_whole_pool() -> None:
    """Tasks of a pool of several chunks, each row of a batch one of them, and nearly all of them in time."""
    task = InContextRegression(3, n_tasks=150, shots=9, noise=1e-12)
    pool = task.pool(Member({}, 1), streams(1))
    assert pool is not None and pool.shape == (150, 3) and len(np.unique(pool[:, 0])) == 150
    x, y = task.batch(Member({}, 1), streams(1), 1, 600)
    gap = np.abs(np.einsum("nkd,md->nkm", x[:, ::2, :3], pool) - y[..., None]).max(1)
    assert gap.min(1).max() < 1e-4
    assert len(np.unique(gap.argmin(1))) > 140


@pytest.mark.parametrize("task", [InContextLinear(5), InContextRegression(3)])
def test_pools_are_nested(task: Any) -> None:
    few, many = (task.pool(Member({"n_tasks": n}, 4), streams(4)) for n in (3, 6))
    if isinstance(task, InContextLinear):
        few, many = few[0], many[0]
    np.testing.assert_array_equal(few, many[:3])
    other = task.pool(Member({"n_tasks": 6}, 5), streams(5))
    assert not np.array_equal(other[0] if isinstance(task, InContextLinear) else other, many)


def test_regression_sequences_tell_their_task() -> None:
    task = InContextRegression(3, n_tasks=5, shots=9, noise=1e-12, readout=50)
    pool, draw = task.pool(Member({}, 1), streams(1)), task.draw(Member({}, 1), streams(1))
    assert pool is not None
    fitted = np.stack(
        [np.linalg.lstsq(a[::2, :3], b, rcond=None)[0] for a, b in zip(draw.inputs, draw.labels, strict=True)]
    )
    near = np.abs(fitted[:, None] - pool).max(-1).min(-1)
    assert near[:50].max() < 1e-4 < 0.01 < near[50:].min()
    np.testing.assert_allclose(draw.inputs[:, 1::2, 3], draw.labels[:, :-1])
    x, y = task.batch(Member({}, 1), streams(1), 1, 50)
    assert np.abs(np.einsum("nkd,md->nkm", x[:, ::2, :3], pool) - y[..., None]).max(1).min(1).max() < 1e-4


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: InContextLinear(6), "p is 6, which is not prime"),
        (lambda: InContextLinear(5, n_tasks=24), "n_tasks is 24: there are 24 tasks modulo 5, and one at least must be new"),
        (lambda: InContextLinear(5, n_tasks=0), "n_tasks is 0"),
        (lambda: InContextLinear(5, n_tasks=math.nan), "n_tasks is nan"),
        (lambda: InContextLinear(5, shots=1), "shots is 1"),
        (lambda: InContextLinear(5, shots=12, alpha=0.4), "shots is 12 and alpha is 0.4: modulo 5 there are 10 inputs"),
        (lambda: InContextLinear(5, alpha=0), "alpha is 0"),
        (lambda: InContextLinear(5, n_tasks=6, rule="rectangular"), "give a multiple of 4"),
        (lambda: rectangles(3, np.array([1]), streams(0)("rectangles")),
         "no more rectangles of tasks fit modulo 3"),
        (lambda: InContextLinear(5).draw(Member({"n_tasks": 30}, 0), streams(0)), "n_tasks is 30"),
        (lambda: InContextRegression(4, n_tasks=0), "n_tasks is 0"),
        (lambda: InContextRegression(4, shots=1), "shots is 1"),
        (lambda: InContextRegression(4, noise=0), "noise is 0"),
        (lambda: InContextRegression(0), "dimension is 0"),
        (lambda: Ridge(0), "noise is 0"),
        (lambda: DiscreteMMSE(np.zeros((0, 3)), 0.1), "pool"),
        (lambda: RatioMatcher(5)(torch.zeros(2, 3, 9)), "give (N, 2K - 1, 16) for p = 5"),
        (lambda: modular.ratio_accuracy(9, 2), "p is 9 = 3 x 3, not a prime"),
        (lambda: modular.regression_accuracy(3, 9), "shots is 9: 3 squared is 9"),
    ],
)  # fmt: skip
def test_bad_tasks_are_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(BadInput) as error:
        make()
    assert said in str(error.value)
