"""The list of layers of a decoder, and the decoder without some of them.

A block is the layers l, ..., l + n - 1, counted from 0; without it the input of layer l goes into layer l + n
(Gromov et al. 2024, arXiv:2403.17887, Sec. 3.2).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phasescope.vocabulary import BadInput

PLACES = ("layers", "h", "blocks", "decoder.layers", "language_model.layers", "text_model.layers", "transformer.h")
"""Where transformers keeps the layers of a decoder, below the model without its head."""
WRAPPERS = {
    "OptimizedModule": "comes from torch.compile: give model._orig_mod, the model before it was compiled",
    "DataParallel": "wraps a model: give model.module",
    "DistributedDataParallel": "wraps a model: give model.module",
    "FullyShardedDataParallel": "holds parts of weights: gather the whole model first",
}
"""Modules around a model, whose layers would be left out of the wrapper alone or of a compiled copy."""
INDICES = ("layer_idx", "layer_id", "layer_index", "block_idx")
"""What transformers calls a layer's place, which is that of its keys and values in the cache."""


@dataclass(frozen=True)
class Stack:
    """The layers of a decoder: ``layers`` is the attribute ``name`` of ``parent``, ``config`` says how many."""

    parent: nn.Module
    name: str
    layers: nn.ModuleList
    config: Any

    @property
    def depth(self) -> int:
        """The number of layers L."""
        return len(self.layers)


def stack_of(model: nn.Module) -> Stack:
    """Return the layers of a causal language model of ``transformers``.

    They are found by the names that transformers gives them (Llama, Qwen, Mistral, Gemma, GPT-2, GPT-NeoX, Phi, OPT,
    Falcon, MPT, ...), and must be as many as the config says. Raises ``BadInput`` with the reason otherwise.
    """
    kind, config = type(model).__name__, getattr(model, "config", None)
    if kind in WRAPPERS:
        raise BadInput(f"{kind} {WRAPPERS[kind]}.")
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        raise BadInput(f"{kind} has adapters beside its weights: merge them first, with model.merge_and_unload().")
    base = base_of(model)
    if config is None or not isinstance(base, nn.Module) or not hasattr(config, "get_text_config"):
        raise BadInput(f"{kind} is no model of transformers: load it with AutoModelForCausalLM.")
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput(f"{kind} has an encoder beside its decoder: give a model that is a decoder alone.")
    if not getattr(model, "can_generate", lambda: False)():
        raise BadInput(f"{kind} predicts no next token: load the model with AutoModelForCausalLM.")
    config = config.get_text_config()
    depth = getattr(config, "num_hidden_layers", None)
    for place in PLACES:
        path, _, name = place.rpartition(".")
        parent = _at(base, path)
        layers = getattr(parent, name, None)
        if parent is not None and isinstance(layers, nn.ModuleList) and len(layers) == depth:
            if len({id(layer) for layer in layers}) < len(layers):
                raise BadInput(f"{kind} uses a layer more than once: leaving it out would change other places too.")
            return Stack(parent, name, layers, config)
    raise BadInput(
        f"the layers of {kind} were not found: no list of {depth} layers is in {', '.join(PLACES)} of its "
        f"{type(base).__name__}; give a decoder such as Llama, Qwen, Mistral, GPT-2, GPT-NeoX or Phi."
    )


def base_of(model: nn.Module) -> nn.Module | None:
    """Return ``model`` without its head, or None: what takes tokens and gives states (B, T, D)."""
    base = getattr(model, "base_model", None)
    if base is model:  # Llama 4's prefix names a part of the larger model that it stands in
        base = getattr(model, "model", model)
    return base if isinstance(base, nn.Module) else None


def _at(module: nn.Module, path: str) -> nn.Module | None:
    found: Any = module
    for name in path.split(".") if path else ():
        found = getattr(found, name, None)
    return found if isinstance(found, nn.Module) else None


def without(model: nn.Module, start: int, n: int) -> nn.Module:
    """Return ``model`` without the ``n`` layers from ``start`` on, counted from 0; ``n = 0`` is the identity.

    The answer is a model of the same class whose config has the right depth, and whose cache counts the layers that
    are left. It computes bit for bit what ``model`` computes when these layers are skipped. It shares the weights'
    memory with ``model``, which is left as it was: copy it before training it in place.

    Raises ``BadInput`` unless 0 <= n < depth and 0 <= start <= depth - n, where the layers can not be found, and where
    what a layer computes depends on its place or a weight outside of the layers on their number, so that no config
    describes the shorter model.
    """
    stack = stack_of(model)
    check_block(stack.depth, start, n)
    shorter = sharing(model)
    new = stack_of(shorter)
    kept = [i for i in range(stack.depth) if not start <= i < start + n]
    setattr(new.parent, new.name, nn.ModuleList([new.layers[i] for i in kept]))
    _shorten(new.config, kept, stack.depth)
    for place, old in enumerate(kept):
        _renumber(new.layers[old], old, place)
    if n:
        _check_config(shorter, kept)
    return shorter


def check_block(depth: int, start: int, n: int) -> None:
    """Refuse a block that is not inside ``depth`` layers, or is all of them."""
    if not 0 <= n < depth:
        raise BadInput(f"n is {n} and the model has {depth} layers: leave out at least 0 and at most {depth - 1}.")
    if not 0 <= start <= depth - n:
        raise BadInput(f"start is {start}: a block of {n} of {depth} layers begins between 0 and {depth - n}.")


def sharing(model: nn.Module) -> nn.Module:
    """Return a copy of the modules and the config of ``model``, over the same memory of weights and buffers."""
    memo: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
    for p in model.parameters():
        # packed weights of a quantizer are of another class, which can not be made from a tensor
        memo[id(p)] = nn.Parameter(p.data, requires_grad=p.requires_grad) if type(p) is nn.Parameter else p
    return copy.deepcopy(model, memo)


def _shorten(config: Any, kept: list[int], depth: int) -> None:
    """Set the depth, and keep of each list with one entry per layer the entries of the layers that are left."""
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and len(value) == depth and not name.startswith("_"):
            setattr(config, name, type(value)(value[i] for i in kept))
    config.num_hidden_layers = len(kept)


def _renumber(layer: nn.Module, old: int, place: int) -> None:
    for part in layer.modules():
        for name in INDICES:
            value = vars(part).get(name)
            if isinstance(value, int) and value == old:
                setattr(part, name, place)


def _check_config(model: nn.Module, kept: list[int]) -> None:
    """Refuse a model that its own config would not build: numbers that depend on a layer's place, or on the depth."""
    fresh = rebuilt(model)
    for place, (mine, theirs) in enumerate(zip(stack_of(model).layers, stack_of(fresh).layers, strict=True)):
        others = dict(theirs.named_modules())
        for name, part in mine.named_modules():
            said = _difference(part, others.get(name))
            if said:
                raise BadInput(
                    f"layer {kept[place]} can not become layer {place} of {len(kept)}: its {name or 'layer'} {said}, "
                    f"because {type(model).__name__} makes it depend on the place; leave out another block."
                )
    described = {name: p.shape for name, p in fresh.named_parameters()}
    for name, p in model.named_parameters():
        # packed weights of a quantizer, of another class, have shapes of their own
        if type(p) is nn.Parameter and p.shape != described.get(name, p.shape):
            raise BadInput(
                f"no layer of {type(model).__name__} can go: its {name} is {tuple(p.shape)} and would be "
                f"{tuple(described[name])} with {len(kept)} layers."
            )


def rebuilt(model: nn.Module) -> nn.Module:
    """Return what the config of ``model`` describes, without numbers: the same class on the meta device.

    Raises ``BadInput`` where transformers can not build it.
    """
    from huggingface_hub.errors import StrictDataclassError

    with torch.device("meta"):  # no memory and no random numbers
        try:
            config: Any = model.config
            fresh: nn.Module = type(model)(type(config).from_dict(config.to_dict()))  # as if read from its file
            stack_of(fresh)
        except (
            StrictDataclassError, ValueError, TypeError, IndexError, KeyError, AttributeError, RuntimeError,
        ) as error:  # fmt: skip
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise BadInput(
                f"{type(model).__name__} can not be built with {stack_of(model).depth} layers: "
                f"{(lines or [type(error).__name__])[-1][:200]}"
            ) from error
    return fresh


def _difference(part: nn.Module, other: nn.Module | None) -> str:
    """Return in words how ``part`` differs from what a config would build, or nothing."""
    if other is None or not isinstance(part, type(other)):
        return f"would be {'absent' if other is None else f'a {type(other).__name__}'}"
    for name, value in vars(other).items():
        mine = vars(part).get(name, value)
        plain = isinstance(value, bool | int | float | str) and not name.startswith("_")
        if plain and name not in ("training", "gradient_checkpointing") and mine != value:
            return f"has {name} {mine} and would have {value}"
    return ""
