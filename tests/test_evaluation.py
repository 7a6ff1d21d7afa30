"""The room ``evaluation``: likelihoods, metrics, pairs and the table. On tiny decoders that are made here."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import phasescope as ps
from phasescope.ensemble import streams
from phasescope.evaluation import generated, metrics, packaged, pairs
from phasescope.evaluation.evaluating import _why
from phasescope.evaluation.items import Item, Scenario, chance, read_task
from phasescope.evaluation.likelihoods import Kept, likelihoods
from phasescope.evaluation.perturbations import mild_mix
from phasescope.evaluation.result import Compared
from phasescope.evaluation.scenarios import chosen, prompts, scenario
from phasescope.evaluation.subject import Evaluated, Request
from phasescope.lab.speaker import SpeakerConfig
from phasescope.store import Store
from phasescope.studies.layer_pruning.gpt import SmallGPT

LETTERS = 128


class Letters:
    """A tokenizer of letters, with what the room asks of one of transformers."""

    bos_token_id: int | None = None
    eos_token_id: int | None = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [min(ord(c), LETTERS - 1) for c in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def decoder(seed: int = 1, longest: int = 1100, words: int = LETTERS) -> SmallGPT:
    model = SmallGPT(SpeakerConfig(words, 2, 16, 2, longest))
    model.initialize(streams(seed)("init"))
    return model.eval()


def subject(seed: int = 1) -> Evaluated:
    return Evaluated(f"model {seed}", decoder(seed), Letters())


def some_requests(count: int = 40) -> list[Request]:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(count):
        ids = draw.integers(LETTERS, size=int(draw.integers(4, 30)))
        found.append(Request(tuple(map(int, ids)), int(draw.integers(1, len(ids)))))
    return found


QUIZ = Scenario("quiz", items=tuple(Item(f"{a} and {b} is", (f"{a + b}", f"{a * b + 1}x"), (a + b) % 2)
                                    for a, b in product(range(6), range(5))))  # fmt: skip


class Oracle(nn.Module):
    """A decoder whose next letter is the one after the last in the alphabet, with log-odds ``sure``; else even."""

    def __init__(self, model: SmallGPT, sure: float = 3.0) -> None:
        super().__init__()
        self.config, self.base_model, self.sure = model.config, model.base_model, sure

    def can_generate(self) -> bool:
        return True

    def get_input_embeddings(self) -> nn.Module:
        return self.base_model.characters

    def forward(self, ids: torch.Tensor, use_cache: bool = False) -> Any:
        logits = self.sure * nn.functional.one_hot((ids + 1) % LETTERS, LETTERS).float()
        return type("Out", (), {"logits": logits})


class TestLikelihoods:
    def test_they_are_those_of_one_pass_each(self) -> None:
        """The literal reference: every request alone, in float64 from the logits on."""
        one, asked = subject(), some_requests()
        found = likelihoods(one, asked)
        for i, request in enumerate(asked):
            with torch.no_grad():
                logs = one.model(torch.tensor([request.ids])).logits[0].double().log_softmax(-1)
            each = [float(logs[k - 1, request.ids[k]]) for k in range(request.start, len(request.ids))]
            assert found.value[i] == pytest.approx(sum(each), abs=1e-4)
            best = all(int(logs[k - 1].argmax()) == request.ids[k] for k in range(request.start, len(request.ids)))
            assert found.greedy[i] == best

    @pytest.mark.parametrize("batch", [1, 3, 40])
    def test_another_batch_gives_the_same(self, batch: int) -> None:
        one, asked = subject(), some_requests()
        alone, together = likelihoods(one, asked, batch=batch).value, likelihoods(one, asked).value
        assert np.abs(alone - together).max() < 1e-4

    def test_a_known_model_has_the_likelihoods_of_the_formula(self) -> None:
        one = Evaluated("oracle", Oracle(decoder()), Letters())
        found = likelihoods(one, [Request((5, 6, 7), 1), Request((5, 6, 9), 2), Request((5, 6, 7), 2)])
        likely = 3 - math.log(math.exp(3) + LETTERS - 1)
        assert found.value == pytest.approx([2 * likely, likely - 3, likely], abs=1e-5)
        assert found.greedy.tolist() == [1, 0, 1]

    def test_requests_that_differ_in_the_last_token_share_a_pass(self) -> None:
        one, passes = subject(), []
        forward = one.model.forward
        one.model.forward = lambda ids, **more: (passes.append(ids.shape), forward(ids, **more))[1]  # type: ignore[method-assign]
        likelihoods(one, [Request((1, 2, 3, k), 3) for k in range(20)] + [Request((1, 2, 3, 4), 3)])
        assert passes == [(1, 3)]

    def test_the_cache_gives_the_same_bits_and_asks_no_model(self, tmp_path: Path) -> None:
        one, asked = subject(), some_requests()
        with Store(tmp_path / "kept") as store:
            first = likelihoods(one, asked, kept=Kept(store, one.identity()))
        with Store(tmp_path / "kept") as store:
            kept = Kept(store, one.identity())
            one.model = nn.Identity()
            again = likelihoods(one, asked[::-1], kept=kept)
        assert np.array_equal(again.value[::-1], first.value) and np.array_equal(again.seconds[::-1], first.seconds)

    def test_what_was_done_before_a_stop_is_kept(self, tmp_path: Path) -> None:
        one, asked, told = subject(), some_requests(), []

        def stop(done: int, total: int) -> None:
            told.append(done)
            if len(told) == 3:
                raise KeyboardInterrupt

        with Store(tmp_path / "kept") as store, pytest.raises(KeyboardInterrupt):
            likelihoods(one, asked, batch=4, kept=Kept(store, one.identity()), on_progress=stop)
        with Store(tmp_path / "kept") as store:
            kept = Kept(store, one.identity())
            assert len(kept.known) == told[-1] == 12
            assert np.abs(likelihoods(one, asked, kept=kept).value - likelihoods(one, asked).value).max() < 1e-4

    def test_another_model_is_asked_anew(self, tmp_path: Path) -> None:
        with Store(tmp_path / "kept") as store:
            likelihoods(subject(1), some_requests(4), kept=Kept(store, subject(1).identity()))
            assert subject(1).identity() == subject(1).identity() != subject(2).identity()
            assert not Kept(store, subject(2).identity()).known

    def test_a_space_belongs_to_the_choice(self) -> None:
        """The tokens of the prompt without spaces at its end are the context, as lm-evaluation-harness has it."""
        request = subject().choice("one two", "three")
        assert "".join(map(chr, request.ids[request.start :])) == " three"

    def test_a_token_for_the_beginning_stands_where_the_tokenizer_puts_it(self) -> None:
        class Begun(Letters):
            bos_token_id = 7

            def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
                return {"input_ids": [7] * add_special_tokens + super().__call__(text)["input_ids"]}

        one = Evaluated("begun", decoder(), Begun())
        assert one.choice("ab", "c").ids == (7, 97, 98, 32, 99) and one.passage("ab")[0] == Request((7, 97, 98), 1)
        assert subject().passage("ab")[0] == Request((0, 97, 98), 1)  # the end of a text stands for its beginning


class TestMetrics:
    def test_sure_and_seven_in_ten_right_is_three_tenths_off(self) -> None:
        draw = np.random.default_rng(1)
        assert metrics.calibration_error(np.ones(1000), draw.random(1000) < 0.7) == pytest.approx(0.3, abs=0.03)

    def test_a_calibrated_model_is_off_by_its_floor(self) -> None:
        draw = np.random.default_rng(2)
        sure = draw.random(1000)
        off, floor = metrics.calibration_error(sure, draw.random(1000) < sure), metrics.calibration_floor(sure, draw)
        assert off < 0.05 and off == pytest.approx(floor, abs=0.015)

    def test_calibration_is_the_sum_over_bins(self) -> None:
        """The second route: bins written out, without equal confidences."""
        draw = np.random.default_rng(3)
        sure, right = draw.permutation(np.linspace(0.1, 0.9, 103)), (draw.random(103) < 0.4).astype(float)
        order, total = np.argsort(sure), 0.0
        for part in np.array_split(order, 10):
            total += len(part) / 103 * abs(sure[part].mean() - right[part].mean())
        assert metrics.calibration_error(sure, right) == pytest.approx(total, abs=1e-12)

    def test_equal_confidences_are_in_one_bin_in_any_order(self) -> None:
        sure, right = np.full(40, 0.5), np.arange(40) % 2
        assert metrics.calibration_error(sure, right) == metrics.calibration_error(sure, np.sort(right)) == 0

    def test_selective_and_confident(self) -> None:
        sure, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 1, 0, 0])
        assert metrics.selective_area(sure, right) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
        assert metrics.confident_accuracy(sure, right) == 1 and metrics.confident_accuracy(-sure + 1, right) == 0
        assert metrics.selective_area(np.ones(4), right) == pytest.approx(0.5)  # equal ones are taken in no order

    @pytest.mark.parametrize("k", [1, 3])
    def test_the_worst_of_coins(self, k: int) -> None:
        """HELM's worst case over an item and k versions, all coins: 2^-(k + 1)."""
        coins = (np.random.default_rng(4).random((k + 1, 40_000)) < 0.5).astype(float)
        assert metrics.worst_case(coins).mean() == pytest.approx(2.0 ** -(k + 1), abs=0.01)
        assert (metrics.worst_case(coins) <= coins[0]).all()

    def test_the_error_of_an_accuracy(self) -> None:
        scores = np.array([1.0] * 30 + [0.0] * 10)
        assert metrics.mean_error(scores) == pytest.approx(math.sqrt(0.75 * 0.25 / 39))

    def test_shuffled_answers_are_at_chance(self) -> None:
        right = np.repeat(np.arange(4), 50)
        one_list = [Item("a", ("b", "c", "d", "e"), int(k)) for k in right]
        assert metrics.null_accuracy(right, one_list, streams(0))[0] == pytest.approx(0.25, abs=0.01)
        first = [Item("a", (f"b{k}", "c"), 0) for k in range(200)]  # all right answers are the first of their lists
        assert metrics.null_accuracy(np.zeros(200), first, streams(0))[0] == pytest.approx(0.5, abs=0.01)

    def test_what_a_guesser_is_right_in(self) -> None:
        same = [Item("a", ("yes", "no"), 0)] * 3 + [Item("a", ("yes", "no"), 1)]
        assert chance(same) == 0.75
        assert chance([Item("a", ("1", "2"), 0), Item("a", ("1", "2", "3", "4"), 0)]) == pytest.approx(3 / 8)


class TestPairs:
    @pytest.mark.parametrize("one,two,n", [(0.1, 0.02, 80), (0.3, 0.1, 40), (0.02, 0.0, 60), (0.15, 0.15, 200)])
    def test_the_interval_covers_as_often_as_it_says(self, one: float, two: float, n: int) -> None:
        """At each end it errs in 2.5 % at most; 400 draws of a right one are above 5 % with probability 1e-3."""
        draw, missed = np.random.default_rng(5), np.zeros(2)
        for a, b, _ in draw.multinomial(n, [one, two, 1 - one - two], size=400):
            low, high = pairs._bounds(int(a), int(b), n)
            assert low <= (a - b) / n <= high
            missed += low > one - two, high < one - two
        assert missed.max() <= 20

    def test_it_leaves_0_out_where_the_exact_test_rejects(self) -> None:
        for m in range(1, 25):
            for one in range(m + 1):
                low, high = pairs._bounds(one, m - one, 60)
                p = stats.binomtest(one, m).pvalue
                assert (low > 0 or high < 0) == (p < 2 * pairs.SPENT * pairs.TAIL)

    def test_models_are_exchangeable(self) -> None:
        draw = np.random.default_rng(6)
        a, b = (draw.random((2, 70)) < 0.5).astype(float)
        ab, ba = ps.paired(a, b), ps.paired(b, a)
        assert (ab.difference, ab.low, ab.high) == (-ba.difference, -ba.high, -ba.low)
        same = ps.paired(a, a)
        assert same.difference == 0 and same.p_value == 1 and not same.differs

    def test_scores_that_are_no_right_and_wrong_are_bet_on(self) -> None:
        draw = np.random.default_rng(7)
        missed = 0
        for _ in range(12):
            a, b = draw.integers(4, size=(2, 40)) / 3
            found = ps.paired(a, b)
            missed += not found.low <= 0 <= found.high
        assert missed <= 2 and found.method.startswith("betting")

    def test_the_power_is_that_of_a_simulation(self) -> None:
        draw, n = np.random.default_rng(8), 150
        seen = [
            pairs._bounds(int(a), int(b), n)[0] > 0 for a, b, _ in draw.multinomial(n, [0.16, 0.06, 0.78], size=800)
        ]
        assert pairs.power_of(n, 0.1, 0.22) == pytest.approx(np.mean(seen), abs=0.05)

    def test_the_items_that_are_needed_are_those_of_the_formula_nearly(self) -> None:
        """The second route: Connor 1987 (Biometrics 43:207), without the teeth of the exact test; 3 to 12 % fewer."""
        for difference, disagree in ((0.05, 0.1), (0.05, 0.3), (0.02, 0.1)):
            a, b = stats.norm.ppf(0.975), stats.norm.ppf(0.8)
            least = (a * math.sqrt(disagree) + b * math.sqrt(disagree - difference**2)) ** 2 / difference**2
            assert 1.02 * least < pairs.items_needed(difference, disagree) < 1.13 * least
        assert ps.paired([1, 0] * 10, [1, 1] * 10).words("a", "b").startswith("b is above a: -0.500")

    def test_fewer_bits_are_not_called_above(self) -> None:
        found = pairs.paired([1, 0] * 10, [1, 1] * 10)
        said = Compared("a", "b", "bits_per_byte", {"text": found}, (), found)
        assert "b needs more bits per byte than a: -0.500" in str(said)
        assert "b is above a: -0.500" in str(replace(said, metric="accuracy"))

    def test_few_items_have_no_calibration_error_and_it_is_said_why(self) -> None:
        few, enough = (Scenario("a", items=(Item("a", ("b", "c"), 0),) * n) for n in (9, 10))
        assert _why(few, "ece") == "not defined: fewer than 10 items" and _why(enough, "ece") == ""

    def test_passages(self) -> None:
        draw = np.random.default_rng(9)
        sizes, bits = draw.integers(900, 1000, 50).astype(float), draw.random(50) * 100 + 2000
        found = pairs.paired_passages(bits + 0.5 * sizes, sizes, bits, sizes)
        assert found.difference == pytest.approx(0.5) and found.differs and math.isnan(found.needed(0.05))


class TestScenarios:
    def test_the_same_seed_makes_the_same_items(self) -> None:
        assert generated.arithmetic(30, 1) == generated.arithmetic(30, 1) != generated.arithmetic(30, 2)
        assert generated.syllogisms(30, 1) == generated.syllogisms(30, 1)

    def test_sums_are_right(self) -> None:
        for item in generated.arithmetic(200, 0):
            a, b = (int(word.strip("?\nAnswer:")) for word in item.question.split()[3:6:2])
            assert item.choices[item.answer] == str(a + b) and len(set(item.choices)) == 4

    @pytest.mark.parametrize("form", generated.FORMS, ids=lambda form: " ".join((*form[0], form[1])))
    def test_a_syllogism_follows_where_no_world_contradicts_it(self, form: Any) -> None:
        """The second route: all worlds of things that are or are not A, B and C, each kind being there or not."""
        kinds = list(product((False, True), repeat=3))

        def true(said: str, world: list[Any]) -> bool:
            quantity, first, *rest, last = said.strip(".").split()
            of = [thing["ABC".index(last)] != ("not" in rest) for thing in world if thing["ABC".index(first)]]
            return all(of) if quantity.lower() == "all" else any(of) if quantity.lower() == "some" else not any(of)

        worlds = [[k for k, there in zip(kinds, row, strict=True) if there] for row in product((0, 1), repeat=8)]
        premises, conclusion, follows = form
        assert follows == all(true(conclusion, w) for w in worlds if all(true(p, w) for p in premises))

    def test_items_and_examples_have_nothing_in_common(self) -> None:
        asked, pool = chosen(QUIZ, limit=10, shots=5, seed=3)
        assert len(asked) == 10 and not set(asked.items) & set(pool)
        assert chosen(QUIZ, limit=10, shots=0, seed=3)[0] == asked != chosen(QUIZ, limit=10, shots=0, seed=4)[0]
        first, second = (prompts(asked, pool, 2, 3, draw) for draw in (0, 1))
        assert first != second and first.count(" is ") == 2 and first.endswith("\n\n")

    def test_passages_are_the_text(self) -> None:
        found = packaged.passages("one two three " * 300, 100)
        assert all(40 < len(part) <= 100 for part in found) and "".join(found).replace(" ", "") in ("onetwothree" * 300)
        assert not scenario("manual", limit=5, shots=0, seed=0).asks

    def test_a_question_written_a_little_otherwise(self) -> None:
        text = "What is the Answer that they are not going to give?  It is what it is."
        found = {mild_mix(text, streams(0), 0, draw) for draw in range(30)}
        assert len(found) > 5 and all(said == said.lower() and "t's" in said and "y're" in said for said in found)
        assert mild_mix(text, streams(0), 1) == mild_mix(text, streams(0), 1)
        letters = sorted(c for c in "".join(next(iter(found)).split()))
        assert letters == sorted(
            "".join(
                ["what's", "the", "answer", "that", "they're", "not", "going", "to", "give?", "it's", "what", "it's."]
            )
        )

    @pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
    def test_a_task_file_is_read(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"task.{ending}"
        rows = [{"question": i.question, "choices": list(i.choices), "answer": i.answer} for i in QUIZ.items]
        rows[0]["answer"] = rows[0]["choices"][rows[0]["answer"]]  # the choice itself
        if ending == "csv":
            with path.open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(["question", "choice_0", "choice_1", "place"])
                table.writerows([[i.question, *i.choices, i.answer] for i in QUIZ.items])
        else:
            path.write_text("\n".join(map(json.dumps, rows)) if ending == "jsonl" else json.dumps(rows))
        assert read_task(path).items == QUIZ.items


@pytest.fixture(scope="module")
def found() -> ps.Evaluation:
    models = {"whole": (decoder(1), Letters()), "other": (decoder(2), Letters())}
    text = Scenario("text", texts=tuple(packaged.passages("some words to be told " * 200, 300)))
    return ps.evaluate(models, [QUIZ, text], limit=25)


class TestEvaluation:
    def test_it_is_the_literal_reference(self, found: ps.Evaluation) -> None:
        """Every choice alone through the model, and every metric written out."""
        model, right, norm = decoder(1), [], []
        for item in chosen(QUIZ, limit=25, shots=0, seed=0)[0].items:
            sums = []
            for choice in item.choices:
                ids = torch.tensor([[ord(c) for c in f"{item.question} {choice}"]])
                with torch.no_grad():
                    logs = model(ids).logits[0].double().log_softmax(-1)
                sums.append(sum(float(logs[k - 1, ids[0, k]]) for k in range(len(item.question), ids.shape[1])))
            right.append(int(np.argmax(sums)) == item.answer)
            norm.append(int(np.argmax(np.array(sums) / [len(c) for c in item.choices])) == item.answer)
        assert found.scores["quiz"].correct.sel(model="whole").values[0].tolist() == right
        assert found.cell("whole", "quiz", "accuracy")[0] == pytest.approx(np.mean(right))
        assert found.cell("whole", "quiz", "acc_norm")[0] == pytest.approx(np.mean(norm))

    def test_bits_per_byte_are_those_of_layers(self, found: ps.Evaluation) -> None:
        """The second route: ``layers.token_losses`` over a passage after the token that ends texts."""
        from phasescope.layers.perplexity import token_losses

        total = size = 0.0
        for text in chosen(Scenario("text", texts=tuple(packaged.passages("some words to be told " * 200, 300))),
                           limit=25, shots=0, seed=0)[0].texts:  # fmt: skip
            with torch.no_grad():
                total += float(token_losses(decoder(1), torch.tensor([[0, *map(ord, text)]])).double().sum())
            size += len(text)
        assert found.cell("whole", "text", "bits_per_byte")[0] == pytest.approx(total / math.log(2) / size, rel=1e-6)

    def test_cells_are_empty_where_nothing_is_defined_and_say_so(self, found: ps.Evaluation) -> None:
        empty = np.isnan(found.data.value.values).all((0, 3))
        said = found.data.why.values != ""
        assert np.array_equal(empty, said) and said.sum() == 7
        assert "- not defined: no choices (accuracy, norm" in str(found)
        assert "- not defined: no text to predict (bits/byte)" in str(found)

    def test_the_worst_case_is_no_better(self, found: ps.Evaluation) -> None:
        assert (found.scores["quiz"].worst <= found.scores["quiz"].correct).all()

    def test_the_table_fits_80_columns(self, found: ps.Evaluation) -> None:
        assert max(map(len, str(found).splitlines())) <= 80
        assert max(map(len, str(found.compare("whole", "other")).splitlines()[:-1])) <= 80

    def test_it_is_plain_data(self, found: ps.Evaluation) -> None:
        assert json.loads(json.dumps(found.to_json(), allow_nan=False))["cells"][0]["items"] == 25
        assert found.figure().panels

    def test_models_are_left_as_they_were(self) -> None:
        model = decoder(3).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        ps.evaluate({"a": (model, Letters())}, [QUIZ], ["accuracy"], limit=5)
        assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def test_at_chance_does_not_count(self) -> None:
        """A decoder that knows nothing is at chance, and one that is right counts; the pair is shown all the same."""
        good = Scenario("next", items=tuple(Item(f"is {c}", (f"{c}{chr(ord(c) + 1)}", f"{c}{chr(ord(c) + 5)}"), 0)
                                            for c in "abcdefghijklmnopqr"))  # fmt: skip
        models = {"oracle": (Oracle(decoder()), Letters()), "guesser": (Oracle(decoder(), 0.0), Letters())}
        found = ps.evaluate(models, [good], ["accuracy", "calibration"])
        assert found.cell("oracle", "next", "accuracy")[0] == 1 and found.counted() == ["next"]
        assert found.win_rates()["oracle"][0] in (0.5, 1.0)
        lost = ps.evaluate(dict(reversed(models.items())), [QUIZ], ["accuracy"])
        assert lost.counted() == [] and "at chance" in str(lost.compare("oracle", "guesser"))
        assert lost.compare("oracle", "guesser").pooled is None and math.isnan(lost.win_rates()["oracle"][0])

    def test_draws_of_examples(self) -> None:
        found = ps.evaluate({"a": (decoder(), Letters())}, [QUIZ], ["accuracy"], shots=2, draws=3, limit=10)
        assert found.data.value.shape == (1, 1, 1, 3) and found.scores["quiz"].correct.shape == (1, 3, 10)

    def test_from_the_cache_the_same_bits(self, tmp_path: Path) -> None:
        asked = {"scenarios": [QUIZ], "metrics": ["accuracy", "robustness", "efficiency"], "limit": 12}
        one = ps.evaluate({"a": (decoder(), Letters())}, cache=tmp_path / "kept", **asked)
        two = ps.evaluate({"a": (decoder(), Letters())}, cache=tmp_path / "kept", **asked)
        assert one.data.equals(two.data) and one.scores["quiz"].equals(two.scores["quiz"])

    def test_the_operations_of_a_token(self, found: ps.Evaluation) -> None:
        matrices = 2 * (16 * 48 + 16 * 16 + 2 * 16 * 64) + 16 * LETTERS
        assert found.cell("whole", "quiz", "flops_per_token")[0] == 2 * matrices
        held = sum(p.numel() for p in decoder().parameters())
        assert found.cell("whole", "quiz", "memory")[0] == 4 * held
