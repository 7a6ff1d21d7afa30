"""A model's folder is read whole or refused: no weight is made up, passed over or rounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from phasescope.identity import fingerprint
from phasescope.inspection.folder import load_folder, load_tokenizer, weight_type
from phasescope.inspection.load import load_batch, load_model
from phasescope.vocabulary import BadInput

transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")

NUMBERS: dict[str, Any] = {
    "vocab_size": 31, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip
IDS = torch.arange(8)[None]


def built(**changes: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**NUMBERS, **changes})).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def reconfigure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


@pytest.mark.parametrize(("changes", "said"), [
    ({"num_hidden_layers": 5}, r"lacks weights of the LlamaForCausalLM .* \(18: model.layers.3"),
    ({"num_hidden_layers": 2}, r"has weights that the LlamaForCausalLM .* does not have \(9: model.layers.2"),
    ({"hidden_size": 32}, r"of other shapes .* is \(31, 16\) and should be \(31, 32\)"),
    ({"vocab_size": 40}, r"of other shapes .* is \(31, 16\) and should be \(40, 16\)"),
    ({"attention_bias": True}, r"lacks weights .* \(12: model.layers.0.self_attn.k_proj.bias"),
    ({"architectures": ["LlamaModel"]}, r"has weights that the LlamaModel .* \(1: lm_head.weight\)"),
    ({"architectures": None}, r"has weights that the LlamaModel .* \(1: lm_head.weight\)"),
    ({"architectures": ["GPT2LMHeadModel"]}, "contradicts itself: its architectures say GPT2LMHeadModel"),
    ({"hidden_size": "wide"}, "can not read .*'hidden_size' expected int"),
    ({"num_attention_heads": 3}, "can not read .* not a multiple of the number of attention heads"),
    ({"vocab_size": -1}, "can not read .*negative"),
    ({"model_type": "nope"}, "can not read .*`nope`"),
])  # fmt: skip
def test_a_config_that_describes_another_model_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    reconfigure(folder, **changes)
    with pytest.raises(BadInput, match=said) as caught:
        load_folder(folder)
    assert len(str(caught.value)) < 400 + len(str(folder)) and "\n" not in str(caught.value)


def test_a_model_is_the_same_by_any_name_of_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = fingerprint(load_folder(folder))
    monkeypatch.chdir(folder.parent)
    assert fingerprint(load_folder(Path(folder.name))) == by_path


def test_weights_that_are_damaged_are_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for bad in (whole[: len(whole) // 2], whole[:-1], b"", b"version https://git-lfs.github.com/spec/v1\n"):
        (folder / "model.safetensors").write_bytes(bad)
        with pytest.raises(BadInput, match=r"model\.safetensors is damaged or cut off"):
            load_folder(folder)


def test_weights_that_do_not_belong_or_have_no_scale_are_refused(folder: Path) -> None:
    rewrite(folder, lambda found: {**found, "extra": torch.ones(2)})
    with pytest.raises(BadInput, match=r"has weights .* does not have \(1: extra\)"):
        load_folder(folder)
    built().save_pretrained(folder)
    for packed in (torch.int8, torch.float8_e4m3fn):
        rewrite(folder, lambda found, kind=packed: {name: value.to(kind) for name, value in found.items()})  # type: ignore[misc]
        with pytest.raises(BadInput, match=r"its config\.json says nothing of a quantization"):
            load_folder(folder)


def test_every_part_must_be_there_and_whole(tmp_path: Path) -> None:
    built().save_pretrained(tmp_path, max_shard_size="8KB")
    parts = sorted(tmp_path.glob("*.safetensors"))
    assert len(parts) > 3
    assert torch.equal(load_folder(tmp_path)(IDS).logits, built()(IDS).logits)
    kept = parts[1].read_bytes()
    parts[1].write_bytes(kept[:-3])
    with pytest.raises(BadInput, match=f"{parts[1].name} is damaged or cut off"):
        load_folder(tmp_path)
    parts[1].unlink()
    with pytest.raises(BadInput, match=rf"lacks 1 of {len(parts)} parts of the weights \({parts[1].name}\)"):
        load_folder(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    for text, said in (("{", "does not say where"), ("[]", "does not say where"), ('{"weight_map": {}}', "names no")):
        index.write_text(text)
        with pytest.raises(BadInput, match=said):
            load_folder(tmp_path)


def test_tied_weights_are_stored_once_and_read_as_one(tmp_path: Path) -> None:
    net = built(tie_word_embeddings=True)
    net.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert torch.equal(load_folder(tmp_path)(IDS).logits, net(IDS).logits)
    reconfigure(tmp_path, tie_word_embeddings=False)
    with pytest.raises(BadInput, match=r"lacks weights .* \(1: lm_head.weight\)"):
        load_folder(tmp_path)


@pytest.mark.parametrize(("stored", "read"), [
    (torch.float64, torch.float64), (torch.float32, torch.float32), (torch.float16, torch.float32),
    (torch.bfloat16, torch.float32),
])  # fmt: skip
def test_the_type_of_the_weights_counts_not_that_of_the_config(
    folder: Path, stored: torch.dtype, read: torch.dtype
) -> None:
    rewrite(folder, lambda found: {name: value.to(stored) for name, value in found.items()})
    reconfigure(folder, dtype="float16")
    assert weight_type(folder) == stored
    model = load_model(str(folder))
    assert {p.dtype for p in model.parameters()} == {read}
    assert torch.equal(model.lm_head.weight, built().lm_head.weight.to(stored).to(read))  # type: ignore[union-attr, arg-type]


def test_mixed_types_are_held_by_the_narrowest_that_loses_nothing(folder: Path) -> None:
    kinds = (torch.float16, torch.bfloat16)
    rewrite(folder, lambda found: {name: found[name].to(kinds[i % 2]) for i, name in enumerate(found)})
    assert weight_type(folder) == torch.float32


def test_nothing_is_printed_and_the_bars_and_words_of_transformers_are_as_before(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    reconfigure(folder, num_hidden_layers=5)
    with pytest.raises(BadInput):
        load_folder(folder)
    assert capfd.readouterr() == ("", "")
    assert before == (logging.get_verbosity(), logging.is_progress_bar_enabled())


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    for read in (load_folder, lambda folder: load_tokenizer(folder, "text.txt")):
        with pytest.raises(BadInput, match=r"there is no folder .*nowhere"):
            read(tmp_path / "nowhere")


def test_a_byte_order_mark_is_no_part_of_a_text(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: i for i, word in enumerate(["[UNK]", *"abcdefgh"])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]").save_pretrained(folder)
    file = folder / "text.txt"
    file.write_text("a b c d e f", encoding="utf-8-sig")
    assert load_batch(file, built(), str(folder))["input_ids"].flatten().tolist() == [1, 2, 3, 4, 5, 6]
    file.write_bytes(b"a b \xff c")
    with pytest.raises(BadInput, match=r"text\.txt is no text for the tokenizer"):
        load_batch(file, built(), str(folder))
