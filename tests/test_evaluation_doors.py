"""What ``ps.evaluate`` and ``phasescope evaluate`` refuse, each in one sentence; and a folder from the command line."""

from __future__ import annotations

import importlib
import json
import re
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from phasescope.evaluation import Item, Scenario, harness_items, items_needed, read_task, scenario
from phasescope.evaluation.likelihoods import likelihoods
from phasescope.evaluation.packaged import puzzles
from phasescope.evaluation.subject import Evaluated, Request
from phasescope.vocabulary import BadInput
from test_evaluation import LETTERS, QUIZ, Letters, Oracle, decoder

ONE: dict[str, Any] = {"a": (decoder(), Letters())}
FEW = Scenario("few", items=QUIZ.items[:3])

BAD: dict[str, tuple[Any, str]] = {
    "no mapping": (lambda: ps.evaluate([1], [QUIZ]), "models is"),
    "no models": (lambda: ps.evaluate({}, [QUIZ]), "there are no models"),
    "no tokenizer": (lambda: ps.evaluate({"a": decoder()}, [QUIZ]), "has no tokenizer"),
    "a tokenizer that is none": (lambda: ps.evaluate({"a": (decoder(), 3)}, [QUIZ]), "has the tokenizer 3"),
    "a model that is none": (lambda: ps.evaluate({"a": 3}, [QUIZ]), "the model 'a' is 3"),
    "no folder": (lambda: ps.evaluate({"a": "/no/such/folder"}, [QUIZ]), "there is no folder /no/such/folder"),
    "another vocabulary": (lambda: ps.evaluate({"a": (decoder(words=40), Letters())}, [QUIZ]), "knows 0 to 39"),
    "no metric": (lambda: ps.evaluate(ONE, [QUIZ], ["acuracy"]), "did you mean 'accuracy'"),
    "a metric that is no text": (lambda: ps.evaluate(ONE, [QUIZ], [3]), "there is no metric 3"),
    "no metrics": (lambda: ps.evaluate(ONE, [QUIZ], []), "metrics has no values"),
    "no scenario": (lambda: ps.evaluate(ONE, ["arithmatic"]), "did you mean 'arithmetic'"),
    "no scenarios": (lambda: ps.evaluate(ONE, []), "scenarios has no values"),
    "a scenario that is none": (lambda: ps.evaluate(ONE, [3]), "a scenario is 3"),
    "a scenario twice": (lambda: ps.evaluate(ONE, [QUIZ, QUIZ]), "'quiz' is there twice"),
    "an empty scenario": (lambda: Scenario("none"), "has no items"),
    "no shots": (lambda: ps.evaluate(ONE, [QUIZ], shots=-1), "shots is -1"),
    "shots that are no number": (lambda: ps.evaluate(ONE, [QUIZ], shots=1.5), "shots is 1.5"),
    "draws of nothing": (lambda: ps.evaluate(ONE, [QUIZ], draws=3), "draws is 3 and shots 0"),
    "more shots than items": (lambda: ps.evaluate(ONE, [FEW], shots=3), "has 3 items and 3 are to be examples"),
    "shots beyond the context": (
        lambda: ps.evaluate({"a": (decoder(longest=40), Letters())}, [QUIZ], shots=9), "takes 40: give fewer shots"),
    "no items": (lambda: ps.evaluate(ONE, [QUIZ], limit=0), "limit is 0"),
    "no batch": (lambda: ps.evaluate(ONE, [QUIZ], batch=0), "batch is 0"),
    "a seed below 0": (lambda: ps.evaluate(ONE, [QUIZ], seed=-1), "seed is -1"),
    "no device": (lambda: ps.evaluate({"a": "."}, [QUIZ], device="tpu"), "device is 'tpu'"),
    "equal choices": (lambda: Item("a", ("b", "b "), 0), "two choices of 'a' are equal"),
    "one choice": (lambda: Item("a", ("b",), 0), "has 1 choices"),
    "an answer outside": (lambda: Item("a", ("b", "c"), 2), "from 0 to 1"),
    "an answer that is yes": (lambda: Item("a", ("b", "c"), True), "the answer of 'a' is True"),
    "an empty question": (lambda: Item(" ", ("b", "c"), 0), "a question is ' '"),
    "scores beyond 1": (lambda: ps.paired([0, 2], [0, 1]), "the first scores has the entry 2"),
    "NaN": (lambda: ps.paired([0.0, np.nan], [0, 1]), "the first scores has the entry nan"),
    "other numbers of items": (lambda: ps.paired([0, 1], [0, 1, 1]), "there are 2 and 3 scores"),
    "no scores": (lambda: ps.paired([], []), "has shape (0,)"),
    "no difference": (lambda: items_needed(0, 0.1), "difference is 0"),
    "half a letter": (
        lambda: ps.evaluate(ONE, [Scenario("s", (Item("a \ud83d", ("b", "c"), 0),))]), "half a letter, '\\ud83d'"),
    "half a letter in a text": (
        lambda: ps.evaluate(ONE, [Scenario("s", texts=("a text \ud83d",))]), "half a letter, '\\ud83d'"),
    "a cache that is no folder": (lambda: ps.evaluate(ONE, [FEW], cache=3), "the folder is 3"),  # type: ignore[arg-type]
    "a task of nobody": (lambda: read_task("/no/such.json"), "/no/such.json can not be used"),
    "a task of another kind": (lambda: read_task("task.txt"), "does not end in .json"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_it_is_refused_in_one_sentence(case: str) -> None:
    ask, words = BAD[case]
    with pytest.raises(BadInput) as refused:
        ask()
    said = str(refused.value)
    assert words in said and "\n" not in said and len(said) <= 400


TASKS = {
    "empty.json": ("[]", "has no items"),
    "cut.json": ('[{"question": "a"', "is no JSON"),
    "object.json": ('{"a": 1}', "give a list of items"),
    "half.jsonl": ('{"question": "a", "choices": ["b", "c"]}', "item 1: there is no 'answer'"),
    "equal.jsonl": ('{"question": "a", "choices": ["b", "b"], "answer": 0}', "item 1: two choices"),
    "word.jsonl": ('{"question": "a", "choices": ["b", "c"], "answer": "d"}', "item 1: the answer of 'a' is 'd'"),
    "both.csv": ("question,choice_0,choice_1,answer,place\na,b,c,b,0\n", "item 1: there is no 'answer'"),
    "place.csv": ("question,choice_0,choice_1,place\na,b,c,2\n", "item 1: the answer of 'a' is 2"),
    "digits.csv": (f"question,choice_0,choice_1,place\na,b,c,{'9' * 5000}\n", "item 1: the answer of 'a'"),
    "long.csv": (f"question,choice_0,choice_1,place\n{'a' * 200_000},b,c,0\n", "is no table (field larger"),
    "bare.csv": ("question,answer\na,b\n", "item 1: there is no 'choices'"),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_file_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    text, words = TASKS[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=r"task|give|item") as refused:
        read_task(tmp_path / name)
    assert words in str(refused.value)


@pytest.mark.parametrize("letter", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_letter_that_ends_a_line_elsewhere_is_a_part_of_the_text(tmp_path: Path, letter: str) -> None:
    said = f"one{letter}more"
    (tmp_path / "a.jsonl").write_text(
        f'{{"question": "{said if ord(letter) > 31 else "one"}", "choices": ["b", "c"], "answer": 0}}\n',
        encoding="utf-8",
    )
    (tmp_path / "a.csv").write_text(
        f"question,choice_0,choice_1,place\n{said},b,c,0\n{said} two,b,c,1\n", encoding="utf-8"
    )
    assert [item.question for item in read_task(tmp_path / "a.csv").items] == [said, f"{said} two"]
    assert read_task(tmp_path / "a.jsonl").items[0].question == (said if ord(letter) > 31 else "one")


def test_a_digit_in_a_table_is_the_choice_itself(tmp_path: Path) -> None:
    """Of choices 1, 0, 2 the answer 0 is the second, and the place 0 the first: the column says which is meant."""
    for column, answer in (("answer", 1), ("place", 0)):
        path = tmp_path / f"{column}.csv"
        path.write_text(f"question,choice_0,choice_1,choice_2,{column}\na,1,0,2,0\n")
        assert read_task(path).items[0].answer == answer


def test_weights_that_are_not_finite() -> None:
    model = decoder()
    with torch.no_grad():
        model.head.weight[3] = float("nan")
    with pytest.raises(BadInput, match="log-likelihood nan"):
        ps.evaluate({"a": (model, Letters())}, [QUIZ], limit=3)


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find = __import__("importlib.util").util.find_spec
    gone = ("lm_eval", "reasoning_gym")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name in gone else find(name, *more))
    with pytest.raises(BadInput, match=r"pip install 'phasescope\[evaluate\]'"):
        harness_items("arc_easy")
    with pytest.raises(BadInput, match="pip install reasoning-gym"):
        puzzles("syllogism", 5, 0)


PEOPLE = "Ann is a sage, and Bo is a fool, and Cy is a sage."


def test_puzzles_are_not_given_away_by_their_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong answers name the same people; a task whose answers are each question's own is refused."""

    def made(task: str, size: int, seed: int) -> list[dict[str, Any]]:
        if task == "knights_knaves":
            terms = {"knight_knave_terms": {"a_knight": "a sage", "a_knave": "a fool"}}
            return [{"question": "Who?", "answer": PEOPLE, "metadata": terms}] * size
        answers = ["-4"] * size if task == "sums" else [f"word {i}" for i in range(size)]
        return [{"question": f"{i}?", "answer": answer, "metadata": {}} for i, answer in enumerate(answers)]

    gym = ModuleType("reasoning_gym")
    gym.create_dataset = made  # type: ignore[attr-defined]
    gym.__spec__ = ModuleSpec("reasoning_gym", None)
    monkeypatch.setitem(sys.modules, "reasoning_gym", gym)
    items = puzzles("knights_knaves", 20, 0)
    for item in items:
        assert item.choices[item.answer] == PEOPLE and len(set(item.choices)) == 4
        assert all(re.fullmatch("Ann is a .{4}, and Bo is a .{4}, and Cy is a .{4}.", one) for one in item.choices)
    assert len({item.choices for item in items}) > 5 and len({item.answer for item in items}) == 4
    assert len(puzzles("sums", 20, 0)) == 20
    with pytest.raises(BadInput, match="each question's own"):
        puzzles("word_ladder", 5, 0)


def test_data_that_were_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHASESCOPE_DATA", str(tmp_path))
    with pytest.raises(BadInput, match="phasescope data capitals"):
        scenario("capitals", limit=5, shots=0, seed=0)


def test_two_at_once_in_one_folder(tmp_path: Path) -> None:
    with ps.Store(tmp_path / "kept"), pytest.raises(BadInput, match=r"already open|in use"):
        ps.evaluate(ONE, [QUIZ], cache=tmp_path / "kept", limit=3)


def test_comparisons_of_what_is_not_there() -> None:
    found = ps.evaluate({**ONE, "b": (decoder(2), Letters())}, [QUIZ], ["accuracy"], limit=5)
    for ask, words in (
        (lambda: found.compare("a", "c"), "no model 'c'"),
        (lambda: found.compare("a", "b", "quizz"), "did you mean 'quiz'"),
        (lambda: found.compare("a", "b", metric="ece"), "'ece' has no score of single items"),
        (lambda: found.compare("a", "b", metric="robustness"), "robustness was not measured"),
        (lambda: found.compare("a", "b", metric="bits_per_byte"), "no scenario has bits_per_byte"),
    ):
        with pytest.raises(BadInput, match=words):
            ask()


def test_a_damaged_record_is_asked_again(tmp_path: Path) -> None:
    first = ps.evaluate(ONE, [QUIZ], ["accuracy"], cache=tmp_path / "kept", limit=8)
    (record,) = (tmp_path / "kept" / "records").rglob("*.safetensors")
    record.write_bytes(record.read_bytes()[:-40])
    again = ps.evaluate(ONE, [QUIZ], ["accuracy"], cache=tmp_path / "kept", limit=8)
    assert again.data.equals(first.data) and list((tmp_path / "kept" / "corrupt").iterdir())


def test_a_request_at_the_first_token_of_a_batch_of_other_lengths() -> None:
    one = Evaluated("oracle", Oracle(decoder()), Letters())
    asked = [Request(tuple(range(5, 5 + n)), 1) for n in (2, 9, 30)]
    assert likelihoods(one, asked).greedy.tolist() == [1, 1, 1]


# -- the command


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny models with a tokenizer of bytes, as transformers writes them, and a third without a tokenizer."""
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    home = tmp_path_factory.mktemp("models")
    known = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={w: i for i, w in enumerate(known)}, merges=[]))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    config = transformers.LlamaConfig(
        vocab_size=256, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, initializer_range=0.3,
    )  # fmt: skip
    for seed, name in enumerate(("full", "pruned", "bare")):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            transformers.LlamaForCausalLM(config).save_pretrained(home / name)
        if name != "bare":
            wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=known[0])
            wrapped.save_pretrained(home / name)
    return home


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Say ``words`` to the command line in this process; return its exit code and what it said."""
    from phasescope.commands import cli

    monkeypatch.setattr(sys, "argv", ["phasescope", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_a_folder_is_evaluated_and_compared(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "sums.jsonl"
    rows = [{"question": i.question, "choices": list(i.choices), "answer": i.answer} for i in QUIZ.items]
    task.write_text("\n".join(map(json.dumps, rows)))
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": f"a passage, and another {k}"}) for k in range(6)))
    asked = ["evaluate", str(folders / "full"), str(folders / "pruned"), "--task", str(task), "--task", str(texts), "--limit", "12",
             "--compare", "--out", "out", "--json"]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = run(monkeypatch, capsys, *asked)
    assert code == 0, err
    said = json.loads(out)
    assert said["complete"] and {cell["model"] for cell in said["cells"]} == {"full", "pruned"}
    assert [one["metric"] for one in said["compared"]] == ["accuracy", "bits_per_byte"]
    assert said["compared"][0]["scenarios"]["sums"]["items"] == 12
    assert said["compared"][1]["scenarios"]["texts"]["items"] == 6
    assert (tmp_path / "out" / "report.html").is_file()
    found = ps.evaluate({"full": folders / "full"}, [str(task)], limit=12)
    mine = next(cell for cell in said["cells"] if cell["model"] == "full")
    assert mine["metrics"]["accuracy"][0] == found.cell("full", "sums", "accuracy")[0]


@pytest.mark.parametrize("words,said", [
    (["full", "--metric", "acuracy"], "did you mean 'accuracy'"),
    (["bare"], "bare has no tokenizer"),
    (["full", "--compare"], "--compare needs two models"),
    ([], "there is no MODEL_DIR"),
])  # fmt: skip
def test_the_command_says_what_is_wrong_and_leaves_2(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    named = (str(folders / w) if (folders / w).is_dir() else w for w in words)
    code, _, err = run(monkeypatch, capsys, "evaluate", *named)
    assert code == 2 and said in err and "Traceback" not in err
    assert not list(tmp_path.rglob("*.html"))


def test_the_scores_are_those_of_the_harness(folders: Path, tmp_path: Path) -> None:
    """The second route: lm-evaluation-harness asks and scores the same items, over the same folder."""
    lm_eval = pytest.importorskip("lm_eval", reason="the extra evaluate is not installed")
    rows = [{"question": i.question, "choices": list(i.choices), "answer": i.answer} for i in QUIZ.items]
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "quiz.yaml").write_text(
        f"task: quiz\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tmp_path / 'quiz.jsonl'}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: question\ndoc_to_choice: choices\n"
        "doc_to_target: answer\nmetric_list:\n  - metric: acc\n  - metric: acc_norm\n"
    )
    tasks, models = (importlib.import_module(f"lm_eval.{part}") for part in ("tasks", "models.huggingface"))
    manager = tasks.TaskManager(include_path=str(tmp_path), include_defaults=False)
    mine = ps.evaluate({"full": folders / "full"}, [str(tmp_path / "quiz.jsonl")], ["accuracy", "acc_norm"], limit=None)
    for model in (
        ps.evaluation.harness_model(folders / "full"),
        models.HFLM(str(folders / "full"), device="cpu", dtype="float32"),
    ):
        theirs = lm_eval.simple_evaluate(model=model, tasks=["quiz"], task_manager=manager)["results"]["quiz"]
        for ours, name in (("accuracy", "acc"), ("acc_norm", "acc_norm")):
            value, error = mine.cell("full", "quiz", ours)
            assert value == pytest.approx(theirs[f"{name},none"], abs=1e-12)
            assert error == pytest.approx(theirs[f"{name}_stderr,none"], abs=1e-12)
    read = scenario(f"lm-eval:{tmp_path / 'quiz.yaml'}", limit=None, shots=0, seed=0)
    assert read.items == QUIZ.items


def test_letters_are_a_vocabulary() -> None:
    assert max(Letters()("né")["input_ids"]) == LETTERS - 1
