"""How a language model is run over samples: in batches, in evaluation mode, with the states between its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.layers.stack import Stack, base_of, stack_of
from phasescope.layers.text import Samples
from phasescope.vocabulary import Array, BadInput

TOKENS = 2048  # per batch: enough for matrix products to be fast, and little memory beside the weights
LOGITS = 2**25  # per batch: 128 MiB in float32
Tokens = Tensor | Array | Sequence[Sequence[int]] | Samples
"""Token ids (N, T): a tensor, an array or lists of integers of any size, or ``Samples`` of text."""


def checked(model: nn.Module, tokens: Tokens) -> Tensor:
    """Return the ids (N, T) as int64, or raise ``BadInput`` where ``model`` can not take them, or has no weights."""
    ids = _ids(tokens.ids if isinstance(tokens, Samples) else tokens)
    if ids.ndim != 2 or len(ids) < 1 or ids.shape[1] < 2:
        raise BadInput(f"tokens have the shape {tuple(ids.shape)}: give integers (N, T), N >= 1, T >= 2.")
    config = stack_of(model).config
    refuse_meta(model)
    if int(ids.min()) < 0 or int(ids.max()) >= config.vocab_size:
        raise BadInput(
            f"a token is {int(ids.max())} or {int(ids.min())}, and the model knows 0 to {config.vocab_size - 1}: "
            "use the model's own tokenizer."
        )
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and ids.shape[1] > most:
        raise BadInput(f"samples have {ids.shape[1]} tokens, and the model takes {most}: make them shorter.")
    return ids


def _ids(tokens: Any) -> Tensor:
    """Return token ids, as a tensor, an array or lists of any integers, as a tensor of int64."""
    if not isinstance(tokens, Tensor):
        try:
            tokens = np.asarray(tokens)
        except ValueError as error:
            raise BadInput("the samples of tokens are not of one length: cut them to the same number.") from error
        if tokens.dtype.kind not in "iu":
            raise BadInput(f"tokens are {tokens.dtype} of shape {tokens.shape}: give integers (N, T).")
        return torch.from_numpy(tokens.astype(np.int64))
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise BadInput(f"tokens are {tokens.dtype} of shape {tuple(tokens.shape)}: give integers (N, T).")
    return tokens.long()


def refuse_meta(model: nn.Module) -> None:
    """Raise ``BadInput`` where a weight of ``model`` has a shape and no numbers."""
    bare = next((name for name, p in model.named_parameters() if p.is_meta), None)
    if bare is not None:
        raise BadInput(
            f"the weight {bare} of {type(model).__name__} is on the meta device, without numbers: load the model onto "
            "a CPU or GPU."
        )


def batches(ids: Tensor, size: int | None, device: torch.device) -> Iterator[Tensor]:
    """Yield ``ids`` in batches of ``size`` samples, on ``device``; None: about 2,048 tokens."""
    if size is not None and size < 1:
        raise BadInput(f"batch is {size}: it must be at least 1.")
    for part in torch.split(ids, size if size is not None else max(1, TOKENS // ids.shape[1])):
        yield part.to(device)


def rows_at_once(model: nn.Module, length: int) -> int:
    """Return how many samples of ``length`` tokens to run where logits are made: fewer for a large vocabulary."""
    words = int(stack_of(model).config.vocab_size)
    return max(1, min(TOKENS // length, LOGITS // (length * words)))


def device_of(model: nn.Module) -> torch.device:
    """Return where the model takes its tokens: the device of its embeddings."""
    embeddings: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    return next(embeddings.parameters()).device


@contextmanager
def reading(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's mode is put back after."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def states_of(model: nn.Module, stack: Stack, states: list[Tensor], ids: Tensor) -> list[Tensor]:
    """Return the states between the layers for ``ids`` (B, T): L + 1 tensors (B, T, D).

    ``states`` is what ``states_between`` gave. Raises ``BadInput`` for a model whose layers pass on another shape, such
    as several streams at once (Gemma 3n), or are not run once each.
    """
    base = base_of(model)
    assert base is not None  # stack_of found the layers in it
    base(ids, use_cache=False)
    kind = type(model).__name__
    if len(states) != stack.depth + 1:
        raise BadInput(
            f"{kind} runs {len(states) - 1} of its {stack.depth} layers in a pass: distances need each once."
        )
    wrong = next((h for h in states if h.ndim != 3 or h.shape[:2] != ids.shape), None)
    if wrong is not None:
        raise BadInput(
            f"between the layers of {kind} are states of shape {tuple(wrong.shape)}, for tokens {tuple(ids.shape)}: "
            "distances need one state (samples, tokens, units), so this family has none."
        )
    return states


@contextmanager
def states_between(stack: Stack) -> Iterator[list[Tensor]]:
    """Give a list that each pass of the model fills anew: the input of every layer, then the output of the last.

    L + 1 tensors (B, T, D). The output of the last layer is taken before the final norm.
    """
    states: list[Tensor] = []

    def before(_part: nn.Module, args: Any, keywords: Any) -> None:
        states.append(args[0] if args else keywords["hidden_states"])

    def after(_part: nn.Module, _args: Any, out: Any) -> None:
        states.append(out if isinstance(out, Tensor) else out[0])

    def begin(_part: nn.Module, _args: Any) -> None:
        states.clear()

    handles = [stack.layers[0].register_forward_pre_hook(begin)]
    handles += [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in stack.layers]
    handles.append(stack.layers[-1].register_forward_hook(after))
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()
