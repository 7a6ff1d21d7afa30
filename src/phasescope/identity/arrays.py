"""What arrays and tensors are: their numbers, their form, and how they lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from phasescope.identity.objects import Untold, Walk, attributes, hashed


def array_hash(walk: Walk, value: Any) -> bytes:
    """Return the hash of an array: its numbers, form and order in memory, and what a derived class adds."""
    if id(value) in walk.known:
        return walk.known[id(value)][1]
    layout = () if value.flags.c_contiguous else value.strides
    head = (type(value).__name__, repr(value.dtype), value.dtype.metadata, value.shape, layout)
    if value.dtype.hasobject:
        content: Any = walk.of(np.asarray(value).ravel().tolist())
    else:
        content = memoryview(np.ascontiguousarray(value).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    found = hashed("array", str(head).encode(), content, *_more_of_array(walk, value))
    walk.known[id(value)] = (value, found)
    return found


def _more_of_array(walk: Walk, value: Any) -> list[bytes]:
    """Return the hashes of what an array of a derived class knows beside its numbers, as its mask."""
    if type(value) is np.ndarray:
        return []
    if isinstance(value, np.memmap):
        return [walk.of(type(value))]  # where its numbers lie changes none of them
    return [walk.of(type(value)), *walk.pairs(attributes(value))]


def tensor_hash(walk: Walk, value: Any) -> bytes:
    """Return the hash of a tensor with its values. Raises ``Untold`` for one that has none."""
    import torch

    if value.is_meta:
        raise Untold("a tensor on the meta device, which has no values", "put it on the CPU first")
    if value.is_nested:
        return hashed("nested", walk.of(list(value.unbind())))
    head = place(walk, value), value.layout, value.is_quantized
    parts = more_of_tensor(walk, value)
    value = value.detach()
    if value.layout is not torch.strided:
        value = value.to_dense()
    if value.is_quantized:
        channels = "channel" in str(value.qscheme())
        scale = (
            (value.q_per_channel_scales(), value.q_per_channel_zero_points())
            if channels
            else (value.q_scale(), value.q_zero_point())
        )
        parts.append(walk.of(scale))
        value = value.dequantize()
    flat = value.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return hashed("tensor", str(head).encode(), memoryview(flat.numpy()), *parts)  # type: ignore[arg-type]


def place(walk: Walk, value: Any) -> tuple[Any, ...]:
    """Return what a tensor is but for its values: its form, its order in memory, and whose memory it shares."""
    head = (type(value).__name__, str(value.dtype), *value.shape, value.requires_grad)
    if value.is_nested or "strided" not in str(value.layout):
        return head
    memory = value.untyped_storage().data_ptr()
    shared = walk.storages.setdefault(memory, len(walk.storages)) if memory else -1
    return (*head, value.stride(), shared, value.storage_offset())


def more_of_tensor(walk: Walk, value: Any) -> list[bytes]:
    """Return the hashes of a tensor's class, attributes and hooks, where it has any of its own."""
    kind, held = type(value), vars(value)
    hooks = [list((found or {}).values()) for found in (value._backward_hooks, value._post_accumulate_grad_hooks)]
    parts = [] if kind.__module__.startswith("torch.") or kind.__module__ == "torch" else [walk.of(kind)]
    parts += walk.pairs(held) if held else []
    return [*parts, walk.of(hooks, "a hook on a tensor")] if any(hooks) else parts
