"""What a ``torch.nn.Module`` keeps: its own tensors, and everything else that its forward pass may read."""

from __future__ import annotations

import sys
from typing import Any

# kept by torch itself: hooks around state dicts and handles of compilation change no forward pass, and whether a
# network is training is said by whoever calls it
_IDLE = {
    "training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook",
    "_compiled_call_impl", "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
}  # fmt: skip


def network_parts(module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the module's own parameters and buffers by name, and what else it keeps, submodules among it."""
    tensors = {**module._parameters, **module._buffers}
    held: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name in _IDLE:
            continue
        if "_hooks" in name and isinstance(value, dict):
            value = list(value.values())  # their keys count all hooks of the process
            if not value:
                continue
        held[name] = value
    return tensors, {**dict(sorted(held.items())), **{f"submodule {k}": v for k, v in module._modules.items()}}


def refused_network(module: Any) -> tuple[Any, str]:
    """Return the network inside a compiled one (itself otherwise), or what it is and the mend if it is unreadable."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return "a scripted network, whose code is hidden", "pass the module that it was made from"
    if any(isinstance(p, torch.nn.UninitializedParameter) for p in module._parameters.values()):
        return "a lazy network, whose weights have no shape yet", "pass a batch through it first"
    compiled = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", ())
    return (module._orig_mod if isinstance(module, compiled) else module), ""


def of_compiling(module: Any) -> list[Any]:
    """Return what a compiled module adds to the one inside: its own hooks, and a backend that the user wrote."""
    hooks = [
        list(held.values()) for name, held in vars(module).items() if "_hooks" in name and held and name not in _IDLE
    ]
    return [*hooks, backend(module.dynamo_ctx)]


def backend(context: Any) -> Any:
    """Return the function that compiles for torch, or None where torch's own does."""
    found: Any = getattr(context, "callback", None)
    while (inner := getattr(found, "_torchdynamo_orig_backend", None)) is not None:
        found = inner
    return getattr(found, "compiler_fn", None)
