"""Models and batches by name, the command, and models that nobody here wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import phasescope as ps
from phasescope.commands import cli
from phasescope.inspection.load import load_batch, load_model
from phasescope.vocabulary import BadInput

FACTORIES = """
from torch import nn
width = 8
def chain():
    return nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(8, 8), nn.ReLU())], nn.Linear(8, 2))
made = chain()
def wide(width):
    return nn.Linear(width, width)
def number():
    return 3
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "factories.py").write_text(FACTORIES)
    np.save(tmp_path / "batch.npy", np.random.default_rng(0).standard_normal((6, 8)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    torch.manual_seed(0)  # eight neurons are few: some draws of them are critical
    return tmp_path


def run(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(cli.app, list(words))
    return done.exit_code, done


class TestModels:
    def test_a_factory_and_a_module(self, home: Path) -> None:
        path = list(sys.path)
        assert len(load_model("factories:chain")) == 9  # type: ignore[arg-type]
        assert load_model("factories:made") is load_model("factories:made")
        assert sys.path == path

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("factories:chian", "factories has no 'chian'; did you mean 'chain'"),
            ("factories:width", "factories:width is a int"),
            ("factories:wide", "factories:wide needs width: name a function without arguments"),
            ("factories:number", "factories:number gives a int"),
            ("nowhere:chain", "nowhere:chain can not be imported: No module named 'nowhere'"),
            ("model.pt", "model.pt is a pickle, which may run code"),
            ("model", "'model' is no folder and not package.module:factory"),
            ("empty", "empty has no config.json"),
            ("bare", "bare has no safetensors: save the model"),
            ("pickled", "pickled has pickled weights only .pytorch_model.bin., which may run code"),
        ],
    )
    def test_what_can_not_be_loaded_says_why(self, home: Path, name: str, sentence: str) -> None:
        for folder in ("empty", "bare", "pickled"):
            (home / folder).mkdir()
        for folder in ("bare", "pickled"):
            (home / folder / "config.json").write_text("{}")
        (home / "pickled" / "pytorch_model.bin").write_bytes(b"\x80")
        with pytest.raises(BadInput, match=sentence):
            load_model(name)


class TestBatches:
    def test_numbers_take_the_models_type(self, home: Path) -> None:
        batch = load_batch(home / "batch.npy", load_model("factories:chain").bfloat16(), "factories:chain")
        assert batch.dtype == torch.bfloat16
        assert batch.shape == (6, 8)

    def test_named_tensors_are_keywords_but_one_of_another_name_is_the_argument(self, home: Path) -> None:
        net = load_model("factories:chain")
        save_file({"input": torch.ones(2, 8)}, home / "named.safetensors")
        save_file({"anything": torch.ones(2, 8)}, home / "one.safetensors")
        assert set(load_batch(home / "named.safetensors", net, "")) == {"input"}
        assert torch.equal(load_batch(home / "one.safetensors", net, ""), torch.ones(2, 8))

    def test_bad_files(self, home: Path) -> None:
        net = load_model("factories:chain")
        np.save(home / "objects.npy", np.asarray([{}, 3], dtype=object), allow_pickle=True)
        (home / "broken.safetensors").write_bytes(b"no")
        (home / "text.txt").write_text("words")
        (home / "image.png").write_bytes(b"")
        for name, sentence in (
            ("objects.npy", "is no array of numbers"),
            ("broken.safetensors", "is no safetensors file"),
            ("text.txt", "is no folder with a tokenizer"),
            ("image.png", "is no batch"),
            ("none.npy", "there is no batch"),
        ):
            with pytest.raises(BadInput, match=sentence):
                load_batch(home / name, net, "factories:chain")


class TestCommand:
    def test_it_writes_a_page_and_prints_the_table(self, home: Path) -> None:
        code, done = run("inspect", "factories:chain", "--batch", "batch.npy")
        assert code == 0, done.output
        assert "chi_J [95 %]" in done.output
        folder = home / "runs" / "inspect-factories-chain"
        page = (folder / "report.html").read_text()
        assert "Block by block" in page and "phasescope inspect factories:chain --batch batch.npy" in page
        assert (folder / "figures" / "inspection.svg").exists()
        assert json.loads((folder / "inspection.json").read_text())["verdict"] == "ordered"

    def test_json_is_one_document(self, home: Path) -> None:
        words = ["--probes", "2", "--blocks", "0, 4", "--json", "--out", "here"]
        code, done = run("inspect", "factories:chain", "--batch", "batch.npy", *words)
        assert code == 0, done.output
        document = json.loads(done.stdout)
        assert document["complete"]
        assert [row["block"] for row in document["rows"]] == ["input", "0", "4"]

    def test_without_a_batch_it_says_how_to_make_one(self, home: Path) -> None:
        _, done = run("inspect", "factories:chain")
        assert isinstance(done.exception, BadInput)
        assert "numpy.save('batch.npy', inputs)" in str(done.exception)


SMALL: dict[str, Any] = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
WIDE: dict[str, Any] = {**SMALL, "intermediate_size": 64}
STRANGERS: list[tuple[str, str, dict[str, Any], str]] = [
    ("LlamaConfig", "LlamaForCausalLM", {**WIDE, "num_key_value_heads": 1}, "model.layers.0"),
    ("GPT2Config", "GPT2LMHeadModel", {"vocab_size": 60, "n_embd": 32, "n_layer": 3, "n_head": 2,
                                       "bos_token_id": 0, "eos_token_id": 0}, "transformer.h.0"),
    ("BertConfig", "BertModel", WIDE, "encoder.layer.0"),
    ("GPTNeoXConfig", "GPTNeoXForCausalLM", WIDE, "gpt_neox.layers.0"),
    ("AlbertConfig", "AlbertModel", {**WIDE, "embedding_size": 16}, "encoder.albert_layer_groups.0"),
    ("ViTConfig", "ViTModel", {**WIDE, "image_size": 16, "patch_size": 4}, "layers.0"),
    ("ResNetConfig", "ResNetModel", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2],
                                     "layer_type": "basic"}, "encoder.stages.0.layers.0"),
]  # fmt: skip


@pytest.mark.filterwarnings("default")
class TestStrangers:
    @pytest.mark.parametrize(("config", "model", "numbers", "first"), STRANGERS, ids=[case[1] for case in STRANGERS])
    def test_models_nobody_here_wrote(self, config: str, model: str, numbers: dict[str, Any], first: str) -> None:
        transformers = pytest.importorskip("transformers")
        if "vocab_size" in numbers and model == "ViTModel":
            numbers = {name: value for name, value in numbers.items() if name != "vocab_size"}
        net = getattr(transformers, model)(getattr(transformers, config)(**numbers))
        batch = (
            {"pixel_values": torch.linspace(-1, 1, 4 * 3 * 16 * 16).view(4, 3, 16, 16)}
            if model in ("ViTModel", "ResNetModel")
            else {"input_ids": torch.arange(24).view(3, 8)}
        )
        found = ps.inspect(net, batch, probes=2)
        assert found.blocks[0].endswith(first)
        assert len(found.blocks) == (4 if model == "ResNetModel" else 3)
        assert all(np.isfinite(row.chi.value) for row in found.rows[1:])

    def test_a_folder_with_a_tokenizer_and_a_text(self, home: Path) -> None:
        transformers = pytest.importorskip("transformers")
        tokenizers = pytest.importorskip("tokenizers")
        words = {word: i for i, word in enumerate(["[UNK]", "the", "signal", "goes", "through"])}
        plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
        plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=plain).save_pretrained(home / "folder")
        net = transformers.LlamaForCausalLM(transformers.LlamaConfig(**WIDE))
        net.bfloat16().save_pretrained(home / "folder")
        (home / "text.txt").write_text("the signal goes through " * 60)
        loaded = load_model("folder")
        assert next(loaded.parameters()).dtype == torch.float32
        batch = load_batch(home / "text.txt", loaded, "folder")
        assert batch["input_ids"].shape == (3, 64)
        assert batch["input_ids"][0, :5].tolist() == [1, 2, 3, 4, 1]
        code, done = run("inspect", "folder", "--batch", "text.txt", "--probes", "2", "--json")
        assert code == 0, done.output
        assert json.loads(done.stdout)["model"] == "LlamaForCausalLM"

    def test_without_transformers_it_says_what_to_install(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / "folder").mkdir()
        (home / "folder" / "config.json").write_text("{}")
        save_file({"w": torch.ones(1)}, home / "folder" / "model.safetensors")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(BadInput, match=r"needs transformers: pip install 'phasescope\[llm\]'"):
            load_model("folder")
