"""A network called with tensors that it is handed, in place of its own, which it has again afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call


def answer(module: nn.Module, handed: Mapping[str, Tensor], inputs: Tensor) -> Any:
    """Return ``module(inputs)`` with the tensors ``handed`` by name as its parameters and buffers.

    A tensor that stands in several layers is handed once, by its first name. torch does the same by itself, but leaves
    a layer that is kept under two names with what it was handed, and without its own parameters.
    """
    first: dict[int, str] = {}
    placed: dict[str, Tensor] = {}
    for path, part in module.named_modules():  # each layer once, whatever it is called besides
        for name, own in (*part._parameters.items(), *part._buffers.items()):
            if own is not None:
                full = f"{path}.{name}" if path else name
                shared = first.setdefault(id(own), full)
                if shared in handed:
                    placed[full] = handed[shared]
    return functional_call(module, placed, (inputs,), tie_weights=False)
