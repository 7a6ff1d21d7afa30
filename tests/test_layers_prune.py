"""Pruned checkpoints, healing, and the commands ``layers`` and ``prune``, on tiny random models with a tokenizer."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.commands import cli
from phasescope.layers import healing
from phasescope.layers.adapters import Adapters, mlp_projections
from phasescope.layers.healing import Numbers, rate_at
from phasescope.store import Store
from phasescope.store.atomic import new_folder
from phasescope.vocabulary import BadInput

transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
peft = pytest.importorskip("peft", reason="the extra llm is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="the extra llm is not installed")

WORDS = ["the", "a", "cat", "dog", "bird", "sat", "ran", "on", "under", "mat", "tree", "."]
DEPTH = 4
NUMBERS: dict[str, Any] = {
    "vocab_size": len(WORDS) + 1, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": DEPTH,
    "num_attention_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": None,
    "pad_token_id": None, "initializer_range": 0.3,
}  # fmt: skip
FAMILIES = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", {**NUMBERS, "tie_word_embeddings": True}, {"gate_proj", "up_proj", "down_proj"}),
    "gpt-neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", NUMBERS, {"dense_h_to_4h", "dense_4h_to_h"}),
    "phi": ("PhiForCausalLM", "PhiConfig", NUMBERS, {"fc1", "fc2"}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {
        "vocab_size": len(WORDS) + 1, "n_embd": 16, "n_layer": DEPTH, "n_head": 2, "n_positions": 64,
        "bos_token_id": None, "eos_token_id": None, "initializer_range": 0.3}, {"c_fc", "c_proj"}),
}  # fmt: skip


def built(family: str = "llama") -> Any:
    kind, config, numbers, _ = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return getattr(transformers, kind)(getattr(transformers, config)(**numbers)).eval()


def sentences(count: int, seed: int = 0) -> str:
    draw = np.random.default_rng(seed)
    nouns, verbs = ["cat", "dog", "bird"], ["sat on", "ran under"]
    said = [f"the {draw.choice(nouns)} {draw.choice(verbs)} the {draw.choice(['mat', 'tree'])} ." for _ in range(count)]
    return " ".join(said)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    ids = {word: i for i, word in enumerate(["[UNK]", *WORDS])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]")


@pytest.fixture(scope="module")
def text(tokenizer: Any) -> Any:
    return ps.layers.samples([sentences(400)], tokenizer, length=16)


@pytest.fixture
def home(tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model in bf16, its tokenizer, and a text."""
    built().to(torch.bfloat16).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text(sentences(400))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens, use_cache=False).logits


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: p.detach().contiguous().view(torch.uint8).numpy().tobytes() for name, p in model.named_parameters()}


class TestCheckpoint:
    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_it_reads_back_in_plain_transformers_bit_for_bit(
        self, family: str, dtype: torch.dtype, tmp_path: Path, text: Any
    ) -> None:
        built(family).to(dtype).save_pretrained(tmp_path / "whole")  # read, its rotary frequencies stay float32
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype="auto").eval()
        expected = logits(ps.layers.without(model, 1, 2), text.ids[:4])
        out = ps.layers.prune(model, 1, 2, tmp_path / "deep" / "short")
        again = transformers.AutoModelForCausalLM.from_pretrained(out, dtype="auto").eval()
        assert again.config.num_hidden_layers == DEPTH - 2 and again.dtype == dtype
        assert torch.equal(logits(again, text.ids[:4]), expected)
        assert [part.name for part in out.parent.iterdir()] == ["short"]

    def test_what_is_in_the_folder(self, tmp_path: Path, tokenizer: Any) -> None:
        out = ps.layers.prune(built(), 0, 1, tmp_path / "short", tokenizer)
        assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= {
            part.name for part in out.iterdir()
        }
        assert json.loads((out / "config.json").read_text())["num_hidden_layers"] == DEPTH - 1
        read = transformers.AutoTokenizer.from_pretrained(out)
        assert read("the cat")["input_ids"] == tokenizer("the cat")["input_ids"]

    def test_an_existing_folder_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "short").mkdir()
        (tmp_path / "short" / "mine").write_text("kept")
        with pytest.raises(BadInput, match="short exists: name a folder that does not"):
            ps.layers.prune(built(), 0, 1, tmp_path / "short")
        assert (tmp_path / "short" / "mine").read_text() == "kept"

    def test_a_failure_on_the_way_leaves_nothing(self, tmp_path: Path) -> None:
        class Broken:
            def save_pretrained(self, folder: Path) -> None:
                raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match=r"the disk has no room for .*short: free some space"):
            ps.layers.prune(built(), 0, 1, tmp_path / "short", Broken())
        assert list(tmp_path.iterdir()) == []

    def test_a_new_folder_is_whole_or_absent(self, tmp_path: Path) -> None:
        with new_folder(tmp_path / "a") as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / "file").write_text("x")
            assert not (tmp_path / "a").exists()
        assert (tmp_path / "a" / "inner" / "file").read_text() == "x"

        def interrupted() -> None:
            with new_folder(tmp_path / "b") as folder:
                (folder / "file").write_text("x")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        with pytest.raises(BadInput, match="was made meanwhile"), new_folder(tmp_path / "c"):
            (tmp_path / "c").mkdir()
        assert {part.name for part in tmp_path.iterdir()} == {"a", "c"}


class TestHealing:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_it_lowers_the_loss_and_changes_the_mlps_alone(self, family: str, text: Any) -> None:
        shorter = ps.layers.without(built(family), 1, 2)
        before, random = bits(shorter), torch.get_rng_state()
        found = ps.layers.heal(shorter, text[8:], 15, rank=4, rate=0.03, batch=8, held=text[:8])
        assert found.before is not None and found.after is not None
        assert found.after.above(found.before).interval[1] < -0.2
        assert bits(shorter) == before and torch.equal(torch.get_rng_state(), random)
        assert all(p.requires_grad for p in shorter.parameters())
        changed = {name for name, value in bits(found.model).items() if value != before[name]}
        assert changed == {f"{name}.weight" for name in mlp_projections(shorter)}
        assert {name.split(".")[-2] for name in changed} == FAMILIES[family][3]

    @pytest.mark.parametrize("family", FAMILIES)
    def test_merged_weights_compute_what_the_adapters_did(self, family: str, text: Any) -> None:
        model = built(family)
        adapters = Adapters(model, rank=3, dropout=0.5, seed=0)
        assert torch.equal(logits(adapters.merged(), text.ids[:4]), logits(model, text.ids[:4]))
        for p in adapters.parameters:
            p.data += 0.1
        for part in adapters.dropouts:
            part.eval()
        moved = logits(adapters.base, text.ids[:4])
        assert (moved - logits(model, text.ids[:4])).abs().max() > 0.1
        torch.testing.assert_close(logits(adapters.merged(), text.ids[:4]), moved, atol=2e-4, rtol=1e-3)

    def test_stopped_and_resumed_it_ends_with_the_same_bits(
        self, text: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(healing, "OFTEN", -1.0)
        numbers: dict[str, Any] = {"rank": 2, "rate": 0.02, "batch": 4}
        whole = ps.layers.heal(built(), text, 7, **numbers)

        def stop(step: int, of: int, loss: float) -> None:
            if step == 4:
                raise KeyboardInterrupt

        steps: list[int] = []
        with Store(tmp_path / "run") as store:
            with pytest.raises(KeyboardInterrupt):
                ps.layers.heal(built(), text, 7, keeper=store, on_progress=stop, **numbers)
            again = ps.layers.heal(built(), text, 7, keeper=store, on_progress=lambda i, *_: steps.append(i), **numbers)
            assert steps == [4, 5, 6, 7]
            np.testing.assert_array_equal(again.training, whole.training)
            assert bits(again.model) == bits(whole.model)
            steps.clear()
            other = ps.layers.heal(
                built(), text, 7, keeper=store, on_progress=lambda i, *_: steps.append(i), **numbers, seed=1
            )
            assert steps == [1, 2, 3, 4, 5, 6, 7] and bits(other.model) != bits(whole.model)

    @pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
    def test_a_model_of_any_type_is_healed_and_resumed(self, text: Any, tmp_path: Path, kind: torch.dtype) -> None:
        numbers: dict[str, Any] = {"rank": 2, "rate": 0.02, "batch": 4}
        whole = ps.layers.heal(built().to(kind), text[8:], 5, held=text[:8], **numbers)
        assert whole.before is not None and whole.after is not None and whole.after.mean < whole.before.mean
        assert {p.dtype for p in whole.model.parameters()} == {kind}
        with Store(tmp_path / "run") as store:
            for _ in range(2):  # from the start, and from what is kept
                again = ps.layers.heal(built().to(kind), text[8:], 5, keeper=store, **numbers)
                assert bits(again.model) == bits(whole.model)

    @pytest.mark.parametrize("change", ["rows", "config", "buffer"])
    def test_no_healing_is_taken_from_another_model(self, text: Any, tmp_path: Path, change: str) -> None:
        """The other has the same shapes, the same sums of weights, and the same first ones."""
        model, other = built(), built()
        with torch.no_grad():
            rows = other.model.embed_tokens.weight
            if change == "rows":
                rows[[8, 9]] = rows[[9, 8]]
            elif change == "config":
                other.config.rms_norm_eps = 0.5
                for part in other.modules():
                    if hasattr(part, "variance_epsilon"):
                        part.variance_epsilon = 0.5
            else:
                other.model.rotary_emb.inv_freq *= 0.5
        numbers: dict[str, Any] = {"rank": 2, "rate": 0.02, "batch": 4}
        expected = ps.layers.heal(other, text, 3, **numbers)
        with Store(tmp_path / "run") as store:
            ps.layers.heal(model, text, 3, keeper=store, **numbers)
            found = ps.layers.heal(other, text, 3, keeper=store, **numbers)
        np.testing.assert_array_equal(found.training, expected.training)
        assert bits(found.model) == bits(expected.model)

    def test_a_batch_in_parts_has_the_gradient_of_the_whole(self, text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = ps.layers.heal(built(), text, 3, rank=2, rate=0.02, batch=6, dropout=0)
        monkeypatch.setattr(healing, "rows_at_once", lambda *_: 4)
        parts = ps.layers.heal(built(), text, 3, rank=2, rate=0.02, batch=6, dropout=0)
        np.testing.assert_allclose(parts.training, whole.training, rtol=1e-5)

    def test_dropout_differs_between_steps_and_layers(self, text: Any) -> None:
        adapters = Adapters(built(), rank=2, dropout=0.5, seed=0)
        adapters.set_key(1)
        keys = [int(part.key) for part in adapters.dropouts]
        adapters.set_key(2)
        assert len({*keys, *(int(part.key) for part in adapters.dropouts)}) == 2 * len(keys)

    def test_the_schedule_rises_and_falls(self) -> None:
        numbers = Numbers(steps=5000)
        assert rate_at(numbers, 50) == pytest.approx(1.5e-4) and rate_at(numbers, 100) == pytest.approx(3e-4)
        assert rate_at(numbers, 2550) == pytest.approx(1.5e-4, rel=1e-3) and 0 < rate_at(numbers, 5000) < 1e-9
        assert rate_at(Numbers(steps=1), 1) == pytest.approx(3e-4)

    def test_what_can_not_be_is_refused(self, text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(BadInput, match="steps is 0"):
            ps.layers.heal(built(), text, 0)
        with pytest.raises(BadInput, match="there is no setting 'ranks'; did you mean 'rank'"):
            ps.layers.heal(built(), text, 1, ranks=2)
        for name in ("batch", "rank", "seed"):
            with pytest.raises(BadInput, match=f"{name} is 10{'0' * 20}"):
                ps.layers.heal(built(), text, 1, **{name: 10**21})
        with pytest.raises(
            BadInput, match=r"the loss is (nan|inf) at step \d of the healing: take a rate smaller than"
        ):
            ps.layers.heal(built(), text, 9, rate=1e30, warmup=0, batch=2)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(BadInput, match="4 bits need a CUDA device, and there is none here"):
            ps.layers.heal(built(), text, 1, four_bit=True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "bitsandbytes" else found(n))
        with pytest.raises(BadInput, match="4 bits need bitsandbytes: pip install bitsandbytes"):
            ps.layers.heal(built(), text, 1, four_bit=True)
        monkeypatch.setattr(importlib.util, "find_spec", lambda n: None)
        with pytest.raises(BadInput, match=r"healing needs peft: pip install 'phasescope\[llm\]'"):
            ps.layers.heal(built(), text, 1)


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["phasescope", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


SMALL = ("--samples", "6", "--length", "16")


class TestCommands:
    def test_layers(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        words = ("layers", "model", "--text", "text.txt", *SMALL, "--scored", "4", "--draws", "2", "--json")
        code, out, err = command(monkeypatch, capsys, *words)
        assert code == 0, err
        found = json.loads(out)
        model = transformers.AutoModelForCausalLM.from_pretrained(home / "model", dtype=torch.float32)
        assert found["depth"] == DEPTH and found["samples"] == 6
        assert {row["choice"] for row in found["removals"]} == {"nearest", "deepest", "random"}
        assert found["whole"]["interval"][0] < found["whole"]["loss"] < found["whole"]["interval"][1]
        tokenizer = transformers.AutoTokenizer.from_pretrained(home / "model")
        text = ps.layers.samples([(home / "text.txt").read_text()], tokenizer, length=16, count=6, seed=0)
        expected = ps.layers.distances(model, text)
        assert found["distances"]["last"][1]["distance"] == pytest.approx(expected.across(2)[0].tolist())
        page = Path(found["report"])
        assert page == home / "runs" / "layers-model" / "report.html" and "nearest block" in page.read_text()
        assert json.loads((page.parent / "layers.json").read_text())["whole"] == found["whole"]
        assert (page.parent / "figures" / "distances.png").stat().st_size > 10_000

    def test_prune_and_heal(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("prune", "model", "--layers", "2", "--text", "text.txt", *SMALL, "--out", "short", "--heal", "12")
        code, out, err = command(monkeypatch, capsys, *words, "--heal-batch", "4", "--rate", "0.03", "--json")
        assert code == 0, err
        found = json.loads(out)
        short = transformers.AutoModelForCausalLM.from_pretrained(home / "short", dtype="auto")
        assert short.config.num_hidden_layers == 2 and short.dtype == torch.bfloat16
        assert found["healed"]["loss"] < found["pruned"]["loss"] - 0.1 and len(found["training"]) == 12
        assert not list(Path("runs/prune-short/checkpoints").glob("*")), "the checkpoint is not needed any more"
        code, _, err = command(monkeypatch, capsys, *words)
        assert (code, "short exists: name a folder that does not" in err) == (2, True)

    def test_prune_without_a_text(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = command(monkeypatch, capsys, "prune", "model", "--layers", "1", "--out", "short")
        assert code == 0, err
        assert f"without layers {DEPTH - 2} of {DEPTH}" in out, "the layer before the last"
        whole, short = (
            transformers.AutoModelForCausalLM.from_pretrained(name, dtype="auto") for name in ("model", "short")
        )
        ids = torch.arange(12)[None]
        assert torch.equal(logits(ps.layers.without(whole, DEPTH - 2, 1), ids), logits(short, ids))

    @pytest.mark.parametrize(("words", "said"), [
        (("prune", "model", "--layers", "4", "--out", "o"), "n is 4 and the model has 4 layers"),
        (("prune", "model", "--layers", "1", "--start", "4", "--out", "o"), "begins between 0 and 3"),
        (("prune", "model", "--layers", "1", "--out", "o", "--heal", "2"), "no --text to heal on"),
        (("prune", "model", "--layers", "1", "--out", "o", "--heal", "-2"), "--heal is -2"),
        (("prune", "model", "--layers", "1", "--out", "o", "--tokens", "lst"), "did you mean 'last'?"),
        (("prune", "bare", "--layers", "1", "--out", "o"), "bare has no tokenizer"),
        (("prune", "model", "--layers", "1", "--out", "o", "--text", "text.txt", "--heal", "1", "--samples", "9999"),
         "are held out: give more text"),
        (("prune", "model", "--layers", "1", "--out", "o", "--text", "text.txt", "--heal", "1", "--run", "o/run"),
         "--run o/run is in --out o"),
        (("prune", "model", "--layers", "1", "--out", "text.txt/o", "--text", "text.txt", "--heal", "1"),
         "could not be written"),
        (("layers", "model"), "there is no --text"),
        (("layers", "model", "--text", "none.txt"), "there is no text none.txt"),
        (("layers", "model", "--text", "text.txt", "--length", "4000"), "give one of 4000 or more"),
        (("layers", "model", "--text", "text.txt", "--length", "65", "--samples", "2"), "the model takes 64"),
        (("layers", "model", "--text", "text.txt", *SMALL, "--scored", "-1"), "scored is -1"),
        (("layers", "model", "--text", "text.txt", *SMALL, "--device", "tpu"), "--device tpu is not here"),
        (("layers", "bare", "--text", "text.txt", *SMALL), "bare has no tokenizer for text.txt"),
        (("layers", "nowhere", "--text", "text.txt", *SMALL), "nowhere"),
        (("layers", "bert", "--text", "text.txt", *SMALL), "predicts no next token"),
    ])  # fmt: skip
    def test_bad_input_ends_with_one_sentence(
        self, home: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        words: tuple[str, ...], said: str,
    ) -> None:  # fmt: skip
        if "bare" in words:
            built().save_pretrained(home / "bare")
        if "bert" in words:
            numbers = {k: v for k, v in NUMBERS.items() if not k.endswith("token_id")}
            transformers.BertForMaskedLM(transformers.BertConfig(**numbers)).save_pretrained(home / "bert")
            tokenizer.save_pretrained(home / "bert")
        code, out, err = command(monkeypatch, capsys, *words)
        last = err.strip().splitlines()[-1]
        assert (code, out) == (2, "") and said in last and last.startswith("phasescope: "), err
        assert not Path("o").exists()

    def test_without_transformers_they_say_what_to_install(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "transformers" else found(n, *a))
        for words in (("layers", "model", "--text", "text.txt"), ("prune", "model", "--layers", "1", "--out", "o")):
            code, _, err = command(monkeypatch, capsys, *words)
            assert code == 2 and "pip install 'phasescope[llm]'" in err
        assert not math.isnan(code)


def test_healing_below_the_whole_model_is_said_to_be_the_text() -> None:
    from phasescope.commands.prune import _recovered
    from phasescope.layers.perplexity import Losses

    whole, cut, healed, better = (Losses(np.array([3.0, 3.2, 3.1]) + x, 127) for x in (0.0, 1.0, 0.5, -0.2))
    half, more = _recovered([whole, cut, healed], 6), _recovered([whole, cut, better], 6)
    assert "takes back 0.500" in half and "50 % of what was lost. What" in half
    assert "120 % of what was lost: more than all, so it learnt the text itself" in more and "--layers 0" in more
    assert "whole model's loss on this text by 0.200" in _recovered([whole, whole, better], 0)
