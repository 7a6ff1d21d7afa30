"""A shorter model as an ordinary checkpoint: safetensors, config, tokenizer, generation config; whole or not at all.

Before anything is written, what will be read is compared with what is here: the names and shapes of all weights with
those that the config describes, and a token generated with the cache with the same one generated without.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phasescope.layers.passes import device_of, reading, refuse_meta
from phasescope.layers.stack import rebuilt, sharing, stack_of, without
from phasescope.store.atomic import new_folder
from phasescope.vocabulary import BadInput

PROMPT = 8  # tokens before the one that is generated with the cache
NEAR = {torch.float64: 1e-8, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.1}
"""How far logits with the cache may lie from those without, over their largest: rounding alone, with room. A layer that
reads the keys of another is off by its whole contribution."""


def prune(model: nn.Module, start: int, n: int, out: Path | str, tokenizer: Any = None) -> Path:
    """Write ``model`` without the ``n`` layers from ``start`` on into the new folder ``out``, as ``save`` does."""
    return save(without(model, start, n), out, tokenizer)


def save(model: nn.Module, out: Path | str, tokenizer: Any = None, dtype: torch.dtype | None = None) -> Path:
    """Write ``model``, and ``tokenizer`` if there is one, into the new folder ``out``, as transformers reads it.

    The folder appears when it is whole. Weights keep their type, or are written as ``dtype``, and give the same logits
    bit for bit when read again. Raises ``BadInput`` where ``out`` exists and where ``check_promise`` does, and
    ``OSError`` where the folder can not be written.
    """
    check_promise(model)
    writer: Any = model if dtype is None else sharing(model).to(dtype)
    _check_finite(writer)  # a narrower type may overflow
    with new_folder(Path(out)) as folder:
        writer.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    return Path(out)


def check_promise(model: nn.Module) -> None:
    """Raise ``BadInput`` for a model that would not be the same once it is written and read again.

    Its weights must be finite, and in name and shape those of a model that its config describes; the logits after a
    token that was generated with the cache must be those without it, up to rounding. Costs three passes of 8 tokens.
    """
    stack_of(model)
    refuse_meta(model)
    _check_finite(model)
    _check_names(model)
    _check_cache(model)


def _check_finite(model: nn.Module) -> None:
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and value.dtype in NEAR and not bool(torch.isfinite(value).all()):
            raise BadInput(
                f"the weight {name} of {type(model).__name__} is not finite everywhere as {value.dtype}: nothing is "
                "written; look for a diverged training or an overflow, and give a model whose weights are finite."
            )


def _check_names(model: nn.Module) -> None:
    """Compare both whole state dicts, of the model and of what its config describes, on the meta device."""
    mine, described = (
        {name: tuple(value.shape) for name, value in part.state_dict().items() if isinstance(value, Tensor)}
        for part in (model, rebuilt(model))
    )
    if mine == described:
        return
    name = min(key for key in mine.keys() | described.keys() if mine.get(key) != described.get(key))
    here, there = (f"is {found[name]}" if name in found else "is absent" for found in (mine, described))
    raise BadInput(
        f"{type(model).__name__} is not what its config describes, so it could not be read again: {name} {here} here "
        f"and {there} there. Merge adapters and undo a quantization before, or leave out other layers."
    )


def _check_cache(model: nn.Module) -> None:
    with_, without_ = (_generated(model, use_cache=cached) for cached in (True, False))
    largest = float(without_.abs().max())
    off = float((with_ - without_).abs().max())
    if not off <= NEAR.get(next(model.parameters()).dtype, 0.1) * largest:
        raise BadInput(
            f"{type(model).__name__} with {stack_of(model).depth} layers generates with its cache what it does not "
            f"without (logits differ by {off:.2g} of {largest:.2g}), so nothing is written: leave out other layers, "
            "unless the whole model does the same."
        )


def _generated(model: nn.Module, *, use_cache: bool) -> Tensor:
    """Return the logits (V,) after ``PROMPT`` tokens and one that was generated."""
    config = stack_of(model).config
    most = getattr(config, "max_position_embeddings", None) or PROMPT + 2
    ids = torch.arange(1, max(2, min(PROMPT, most - 2) + 1), device=device_of(model))[None] % config.vocab_size
    kind: Any = importlib.import_module("transformers").GenerationConfig
    plan = kind(max_new_tokens=2, min_new_tokens=2, do_sample=False, num_beams=1, use_cache=use_cache, pad_token_id=0,
                eos_token_id=None, output_logits=True, return_dict_in_generate=True)  # fmt: skip
    generate: Any = model.generate
    with reading(model):
        try:
            found = generate(ids, attention_mask=torch.ones_like(ids), generation_config=plan)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise BadInput(
                f"{type(model).__name__} with {stack_of(model).depth} layers can not generate "
                f"{'with' if use_cache else 'without'} its cache: {str(error).strip()[:200]}; leave out other layers."
            ) from error
    last: Tensor = found.logits[-1][0]
    return last.double()
