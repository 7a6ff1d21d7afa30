"""A shorter model as an ordinary checkpoint: safetensors, config, tokenizer, generation config; whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from phasescope.layers.stack import without
from phasescope.store.atomic import new_folder
from phasescope.vocabulary import BadInput


def prune(model: nn.Module, start: int, n: int, out: Path | str, tokenizer: Any = None) -> Path:
    """Write ``model`` without the ``n`` layers from ``start`` on into the new folder ``out``, as ``save`` does."""
    return save(without(model, start, n), out, tokenizer)


def save(model: nn.Module, out: Path | str, tokenizer: Any = None) -> Path:
    """Write ``model``, and ``tokenizer`` if there is one, into the new folder ``out``, as transformers reads it.

    The folder appears when it is whole. Weights keep their type, and give the same logits bit for bit when read again.
    Raises ``BadInput`` where ``out`` exists, and ``OSError`` where it can not be written.
    """
    with new_folder(Path(out)) as folder:
        writer: Any = model
        if not hasattr(writer, "save_pretrained"):
            raise BadInput(f"{type(model).__name__} is no model of transformers: it can not be saved as one.")
        writer.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    return Path(out)
