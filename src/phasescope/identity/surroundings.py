"""What lies outside all code and still decides numbers: versions, settings, and what was changed in torch itself."""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata
from typing import Any

from phasescope.identity.fingerprint import fingerprint
from phasescope.identity.spaces import patches

# hooks that torch calls for every module and for every parameter
_HOOKS = (
    "_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks",
    "_global_module_registration_hooks", "_global_parameter_registration_hooks", "_global_buffer_registration_hooks",
)  # fmt: skip
_DECIMAL = (28, "ROUND_HALF_EVEN", -999999, 999999, 0)


def surroundings() -> dict[str, Any]:
    """Return what lies outside all code and still decides bits: versions of libraries, settings of torch.

    Also torch's functions as they stand (somebody may have put others in their place), its hooks for every module,
    and the precision of ``mpmath`` and ``decimal`` where it is not the usual one.
    """
    import torch

    return {
        **_versions(),
        "default dtype": str(torch.get_default_dtype()),
        "matmul": torch.get_float32_matmul_precision(),
        "autocast": [torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")],
        **_functions(),
        **_hooks(),
        **_precision(),
    }


@cache
def _versions() -> dict[str, str]:
    # once for all members: each look-up reads the library's files
    return {name: metadata.version(name) for name in ("torch", "numpy", "numba")}


def _hooks() -> dict[str, str]:
    import torch

    space = vars(torch.nn.modules.module)
    found = {name: list(space[name].values()) for name in _HOOKS if space.get(name)}
    return {"hooks of all modules": fingerprint(found)} if found else {}


def _precision() -> dict[str, Any]:
    found: dict[str, Any] = {}
    mpmath, decimal = sys.modules.get("mpmath"), sys.modules.get("decimal")
    # another thread may be importing it: it has no contexts yet
    told = [getattr(getattr(mpmath, name, None), "prec", 53) for name in ("mp", "iv")]
    if told != [53, 53]:
        found["mpmath"] = told
    if decimal is not None:
        context = decimal.getcontext()
        digits = (context.prec, context.rounding, context.Emin, context.Emax, context.clamp)
        if digits != _DECIMAL:
            found["decimal"] = list(digits)
    return found


def _functions() -> dict[str, str]:
    """Return the user's functions in torch's places: nothing where there are none, whatever torch loads meanwhile."""
    import torch

    spaces = (torch, torch.nn.functional, torch.nn.init, torch.Tensor)
    found = [pair for space in spaces for pair in patches(space)]
    return {"torch's functions": fingerprint(found)} if found else {}
