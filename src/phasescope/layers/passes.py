"""How a language model is run over samples: in batches, in evaluation mode, with the states between its layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from phasescope.layers.stack import Stack, stack_of
from phasescope.layers.text import Samples
from phasescope.vocabulary import BadInput

TOKENS = 2048  # per batch: enough for matrix products to be fast, and little memory beside the weights
LOGITS = 2**25  # per batch: 128 MiB in float32


def checked(model: nn.Module, tokens: Tensor | Samples) -> Tensor:
    """Return the ids (N, T), or raise ``BadInput`` where ``model`` can not take them."""
    ids = tokens.ids if isinstance(tokens, Samples) else tokens
    if ids.ndim != 2 or ids.is_floating_point() or len(ids) < 1 or ids.shape[1] < 2:
        raise BadInput(f"tokens are {ids.dtype} of shape {tuple(ids.shape)}: give integers (N, T), N >= 1, T >= 2.")
    config = stack_of(model).config
    if int(ids.min()) < 0 or int(ids.max()) >= config.vocab_size:
        raise BadInput(
            f"a token is {int(ids.max())} or {int(ids.min())}, and the model knows 0 to {config.vocab_size - 1}: "
            "use the model's own tokenizer."
        )
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and ids.shape[1] > most:
        raise BadInput(f"samples have {ids.shape[1]} tokens, and the model takes {most}: make them shorter.")
    return ids


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
