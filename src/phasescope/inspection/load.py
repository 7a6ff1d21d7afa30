"""Models and batches from what a user names on the command line. Pickles are never opened.

``package.module:factory`` is imported, which runs that code. A folder is read by ``transformers`` (the extra ``llm``):
config.json and safetensors, local files only, no code from the folder.
"""

from __future__ import annotations

import importlib
import inspect as signatures
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor, nn

from phasescope.checks import takes
from phasescope.errors import unread
from phasescope.inspection.batches import users_code
from phasescope.inspection.folder import PICKLED, beginning, load_folder, load_tokenizer
from phasescope.store.data import place_of
from phasescope.vocabulary import BadInput, nearest

ROWS, TOKENS = 8, 64  # a text becomes so many samples of so many tokens at most, unless said, without padding
FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def load_model(text: str) -> nn.Module:
    """Return the model that ``text`` names: a folder, a fetched data set, or ``package.module:factory``.

    The factory is a module, or a function without arguments that returns one; the current folder is searched too.
    Folders are read in float32, or float64 where their weights are. Raises ``BadInput`` for anything else, for folders
    that are not whole, and where ``transformers`` is needed and missing.
    """
    path = place_of(text)
    if path.is_dir():
        return load_folder(path)
    if FACTORY.fullmatch(text):
        return _from_factory(*text.split(":"))
    if path.suffix in PICKLED:
        raise BadInput(
            f"{text} is a pickle, which may run code: name a folder with config.json and safetensors instead."
        )
    raise BadInput(f"{text!r} is no folder and not package.module:factory: name one of them.")


def load_builder(text: str) -> Callable[[int], Any]:
    """Return the function of one number that ``text``, package.module:builder, names. The module's code is run.

    The current folder is searched too. Raises ``BadInput`` for what can not be imported, and for what is no function
    of one number.
    """
    if not FACTORY.fullmatch(text):
        raise BadInput(f"{text!r} is not package.module:builder: name a function of the width that returns a module.")
    module, name = text.split(":")
    found = _found(_home(module, name), module, name)
    if isinstance(found, nn.Module):
        raise BadInput(f"{text} is a module of one width: name a function of the width that returns one.")
    return cast("Callable[[int], Any]", takes(text, found, "width"))


def _home(module: str, name: str) -> Any:
    sys.path.insert(0, str(Path.cwd()))  # a console script does not search the current folder
    try:
        with users_code(f"{module}, when it is imported,"):
            return _imported(module, name)
    finally:
        sys.path.remove(str(Path.cwd()))


def _from_factory(module: str, name: str) -> nn.Module:
    return _made(_home(module, name), module, name)


def _found(home: Any, module: str, name: str) -> Any:
    found = getattr(home, name, None)
    if found is None:
        raise BadInput(f"{module} has no {name!r}{nearest(name, [word for word in vars(home) if word[0] != '_'])}")
    return found


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BadInput(f"{module}:{name} can not be imported: {error}.") from error


def _made(home: Any, module: str, name: str) -> nn.Module:
    found = _found(home, module, name)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise BadInput(f"{module}:{name} is a {type(found).__name__}: name a module or a function that returns one.")
    try:
        parameters = signatures.signature(found).parameters.values()
    except ValueError:
        raise BadInput(f"{module}:{name} does not tell its arguments: name a function without any.") from None
    needed = [p.name for p in parameters if p.default is p.empty and (p.kind < 2 or p.kind == p.KEYWORD_ONLY)]
    if needed:
        raise BadInput(f"{module}:{name} needs {', '.join(needed)}: name a function without arguments.")
    with users_code(f"{module}:{name}"):
        model = found()
    if not isinstance(model, nn.Module):
        raise BadInput(f"{module}:{name} gives a {type(model).__name__}: it must return a torch.nn.Module.")
    return model


def load_batch(path: Path, module: nn.Module, model: str, *, rows: int = ROWS) -> Any:
    """Return the batch in ``path``: what ``inspect`` takes, on the model's device and in its floating type.

    ``.npy``: one tensor. ``.safetensors``: keywords by name; a single tensor whose name ``forward`` does not know is
    the one argument. ``.txt``: text for the tokenizer in the model's folder, as up to ``rows`` samples of 64 tokens.
    Of a fetched data set, or a folder, the one text in it. Raises ``BadInput`` for other files.
    """
    path = place_of(path)
    texts = sorted(path.glob("*.txt")) if path.is_dir() else []
    path = texts[0] if len(texts) == 1 else path
    if not path.is_file():
        raise BadInput(f"there is no batch {path}: save one, for example with numpy.save('batch.npy', inputs).")
    if path.suffix == ".npy":
        return _fitted(_tensor(path), module)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            named = {name: _fitted(value, module) for name, value in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{path} is no safetensors file: {error}.") from error
        known = signatures.signature(module.forward).parameters
        return next(iter(named.values())) if len(named) == 1 and next(iter(named)) not in known else named
    if path.suffix == ".txt":
        return _tokens(path, module, Path(model), rows)
    raise BadInput(f"{path} is no batch: give .npy, .safetensors, or .txt for a language model with a tokenizer.")


def array_in(path: Path) -> Any:
    """Return what an .npy file holds. Raises ``BadInput`` where that is no array without Python objects."""
    try:
        with path.open("rb") as file:
            return np.load(file, allow_pickle=False)
    except (ValueError, OSError, TypeError, EOFError, BadZipFile) as error:
        raise _no_array(path, error) from error


def arrays_in(path: Path) -> dict[str, Any]:
    """Return the arrays of a file .npz or .safetensors by name; one array alone is "one array".

    Raises ``BadInput`` where there are none that can be read without Python objects.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return dict(load_file(path))
        held = np.load(path, allow_pickle=False)
        if not isinstance(held, NpzFile):
            return {"one array": held}
        with held:
            return {name: held[name] for name in held.files}
    except (ValueError, OSError, TypeError, EOFError, BadZipFile, AttributeError, KeyError) as error:
        raise BadInput(
            f"{path} has no arrays that can be read: {unread(error)}. Save some with numpy.savez."
        ) from error


def _tensor(path: Path) -> Tensor:
    held = array_in(path)
    if not isinstance(held, np.ndarray) or held.dtype.kind not in "biuf":
        kind = held.dtype if isinstance(held, np.ndarray) else "an .npz file"
        raise BadInput(f"{path} holds {kind}, not real numbers: save an array of those with numpy.save.")
    try:
        return torch.from_numpy(np.ascontiguousarray(held))
    except (ValueError, TypeError) as error:
        raise _no_array(path, error) from error


def _no_array(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path} is no array of numbers: {unread(error)}. Save one with numpy.save.")


def _fitted(value: Tensor, module: nn.Module) -> Tensor:
    """Return ``value`` on the module's device, floating numbers in its type, whole ones as int64."""
    like = next((p for p in module.parameters() if p.is_floating_point()), None)
    device = like.device if like is not None else None
    if value.is_floating_point():
        return value.to(device, like.dtype if like is not None else None)
    return value.to(device) if value.dtype == torch.bool else value.to(device, torch.int64)


def _tokens(path: Path, module: nn.Module, folder: Path, most: int) -> Mapping[str, Tensor]:
    folder = place_of(folder)
    if not folder.is_dir():
        raise BadInput(f"{path} is text, and {folder} is no folder with a tokenizer: give .npy or .safetensors.")
    tokenizer = load_tokenizer(folder, path)
    try:
        ids = tokenizer(path.read_text(encoding="utf-8-sig"), add_special_tokens=False, verbose=False)["input_ids"]
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no text for the tokenizer: {str(error).strip().splitlines()[0]}") from error
    length, before = min(TOKENS, len(ids) // 2), beginning(tokenizer)
    if length < 2:
        raise BadInput(f"{path} has {len(ids)} tokens: give a text of at least 4, better of {ROWS * TOKENS} or more.")
    own = length - len(before)
    rows = [[*before, *ids[i * own : (i + 1) * own]] for i in range(min(most, len(ids) // own))]
    return {"input_ids": _fitted(torch.tensor(rows), module)}
