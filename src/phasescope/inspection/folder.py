"""Models and tokenizers from a local Hugging Face folder, read whole or refused: no weight is ever made up.

``transformers`` gives random numbers to weights that a folder lacks or has in another shape, and passes over those that
it does not know. Here each of these is refused.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phasescope.errors import shown
from phasescope.store.data import place_of
from phasescope.vocabulary import BadInput

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
PACKED = ("F8_", "F6_", "F4", "I8", "I4")  # numbers that mean nothing without the scales of a quantization
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_folder(folder: Path, dtype: torch.dtype | None = None) -> nn.Module:
    """Return the model in the Hugging Face folder ``folder``, or in a data set of that name, with weights ``dtype``.

    ``None``: float64 where weights are, else float32. Raises ``BadInput`` for other folders, for pickled weights, where
    ``transformers`` is missing, and where the weights are not exactly those that config.json describes.
    """
    folder = place_of(folder)
    stored = weight_type(folder)
    transformers = reader(f"reading {folder}")
    wanted = dtype if dtype is not None else torch.promote_types(stored, torch.float32)
    place = folder.resolve()  # the model keeps it: it is the same model by whatever name it is given
    with _silent(transformers), _refusing(folder):
        config = transformers.AutoConfig.from_pretrained(place, **LOCAL)
        _check_types(folder, config)
        model, found = _kind(transformers, config, folder).from_pretrained(
            place, config=config, use_safetensors=True, dtype=wanted, output_loading_info=True,
            ignore_mismatched_sizes=True, **LOCAL,
        )  # fmt: skip
    assert isinstance(model, nn.Module)
    _check_whole(folder, type(model).__name__, found)
    return model


def weight_type(folder: Path) -> torch.dtype:
    """Return the widest floating type of the weights in ``folder``, in which none of them loses a digit.

    Looks at the files' headers alone. Raises ``BadInput`` for a folder that is none of a model, for pickled weights,
    and for a file that is missing or cut off.
    """
    found = [TYPES[said] for file in _weight_files(place_of(folder)) for said in _header_types(file) if said in TYPES]
    widest = found[0] if found else torch.float32
    for kind in found:
        widest = torch.promote_types(widest, kind)
    return widest


def load_tokenizer(folder: Path, what: object) -> Any:
    """Return the tokenizer in ``folder``, with which ``what`` is to be read, or raise ``BadInput`` without one."""
    transformers, folder = reader(f"reading the text {what}"), place_of(folder)
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}: name the folder of a Hugging Face model.")
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise BadInput(
            f"{folder} has no tokenizer for {what}, or none that transformers can read: save one there with "
            "tokenizer.save_pretrained."
        ) from error


def beginning(tokenizer: Any) -> list[int]:
    """Return the token that ``tokenizer`` itself puts before any text, if it does: a list of one, or of none."""
    if not callable(tokenizer):
        raise BadInput(f"the tokenizer is {shown(tokenizer)}: give one of transformers.")
    bos = getattr(tokenizer, "bos_token_id", None)
    if bos is None:
        return []
    alone, whole = (ids_of(tokenizer("a", **options)) for options in ({"add_special_tokens": False}, {}))
    return [int(bos)] if whole[:1] == [bos] and alone[:1] != [bos] else []


def check_text(name: str, text: Any) -> None:
    """Raise ``BadInput`` for what is no text, or holds half of a pair of UTF-16, which no tokenizer takes."""
    if not isinstance(text, str):
        raise BadInput(f"{name} is {shown(text)}: give a text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start]
        raise BadInput(
            f"{name} holds half a letter, {text[error.start]!a}, after {shown(near)}: write it whole, or leave it out."
        ) from error


def ids_of(found: Any) -> list[int]:
    """Return the tokens in what a tokenizer answers, a mapping or an object."""
    return [int(i) for i in (found["input_ids"] if not hasattr(found, "input_ids") else found.input_ids)]


def reader(what: str) -> Any:
    """Return the package ``transformers``, or raise ``BadInput`` that says how to install it for ``what``."""
    if importlib.util.find_spec("transformers") is None:
        raise BadInput(f"{what} needs transformers: pip install 'phasescope[llm]'.")
    return importlib.import_module("transformers")


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that transformers reads: one, or the parts that the index names, all of them there."""
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}: name the folder of a Hugging Face model.")
    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder} has no config.json: name the folder of a Hugging Face model.")
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        return _parts(index)
    some = sorted(folder.glob("*.safetensors"))
    if some:
        return some
    pickled = sorted(part.name for part in folder.iterdir() if part.suffix in PICKLED)
    if pickled:
        raise BadInput(
            f"{folder} has pickled weights only ({pickled[0]}), which may run code: save the model as safetensors."
        )
    raise BadInput(f"{folder} has no safetensors: save the model there with save_pretrained.")


def _parts(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{index} does not say where the weights are: get the folder again, whole.") from error
    if not names:
        raise BadInput(f"{index} names no weights: get the folder again, whole.")
    absent = [name for name in names if not (index.parent / str(name)).is_file()]
    if absent:
        raise BadInput(
            f"{index.parent} lacks {len(absent)} of {len(names)} parts of the weights ({_some(absent)}), which its "
            "model.safetensors.index.json names: get the folder again, whole."
        )
    return [index.parent / name for name in names]


def _header_types(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as held:
            return sorted({held.get_slice(name).get_dtype() for name in held.keys()})  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"{file} is damaged or cut off ({_first_line(error)}): get it again, or save the model again."
        ) from error


def _kind(transformers: Any, config: Any, folder: Path) -> Any:
    """Return the class that config.json names, or the bare model of its type where transformers does not know it."""
    named = getattr(config, "architectures", None)
    first = named[0] if isinstance(named, list | tuple) and named else ""
    found = getattr(transformers, first, None) if isinstance(first, str) and first else None
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        return transformers.AutoModel
    kind: Any = found
    if not any(isinstance(part, kind.config_class) for part in (config, config.get_text_config())):
        raise BadInput(
            f"the config.json of {folder} contradicts itself: its architectures say {first}, and its model_type "
            f"{config.model_type!r} is another family: mend the one that is wrong."
        )
    return kind


def _check_types(folder: Path, config: Any) -> None:
    packed = {said for file in _weight_files(folder) for said in _header_types(file) if said.startswith(PACKED)}
    if packed and getattr(config, "quantization_config", None) is None:
        raise BadInput(
            f"{folder} has weights of type {', '.join(sorted(packed))}, and its config.json says nothing of a "
            "quantization: their scales are unknown; get the folder again, whole."
        )


def _check_whole(folder: Path, kind: str, found: dict[str, Any]) -> None:
    """Refuse a model whose weights are not exactly those that its config describes."""
    mend = "get the folder again, whole, or mend its config.json."
    other = sorted(found["mismatched_keys"])
    if other:
        name, stored, described = other[0]
        raise BadInput(
            f"{folder} has weights of other shapes than its config.json describes ({len(other)}; {name} is "
            f"{tuple(stored)} and should be {tuple(described)}): {mend}"
        )
    for said, names in (
        (f"lacks weights of the {kind} in its config.json", found["missing_keys"]),
        (f"has weights that the {kind} in its config.json does not have", found["unexpected_keys"]),
    ):
        if names:
            raise BadInput(f"{folder} {said} ({len(names)}: {_some(sorted(names))}): {mend}")
    if found["error_msgs"]:
        raise BadInput(f"transformers can not read {folder}: {_first_line(found['error_msgs'][0])}")


def _some(names: Collection[object], most: int = 2) -> str:
    said = ", ".join(str(name)[:80] for name in list(names)[:most])
    return said + (", ..." if len(names) > most else "")


def _first_line(error: object) -> str:
    """Return what an error says in one line: the first, with the next where that only announces it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    said = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    return said[:200] or type(error).__name__


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Turn what transformers raises into a ``BadInput``: config.json says what can not be, or needs another package."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (
        StrictDataclassError, OSError, ValueError, KeyError, IndexError, RuntimeError, TypeError, AttributeError,
        ZeroDivisionError, ImportError,
    ) as error:  # fmt: skip
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"transformers can not read {folder}: {_first_line(error)}") from error


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Keep transformers from drawing bars, and from printing its own report of what is refused here in one sentence."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
