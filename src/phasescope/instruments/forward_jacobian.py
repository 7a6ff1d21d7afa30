"""Averaged partial Jacobian norms from one place to all later ones, by one forward sweep.

Where ``partial_jacobian`` sends random signs backwards from one end to all starts, this pushes them forwards: for
independent signs u at l0, E_u |dh^l/dh^l0 u|^2 / N_l = J^{l0,l} (Doshi, He and Gromov 2023, arXiv:2111.12143). One
sweep costs a few forward passes, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import BadInput, kind, sequence
from phasescope.checks import function as a_function
from phasescope.instruments.partial_jacobian import signs

__all__ = ["jacobian_profile", "push_forward"]


def signal(name: str, value: Any) -> Tensor:
    """Read a floating tensor with at least one entry."""
    found: Tensor = kind(Tensor, say="a floating tensor")(name, value)
    if not found.is_floating_point() or found.numel() == 0:
        kind_of = str(found.dtype).removeprefix("torch.")
        raise BadInput(
            f"{name} is {kind_of} of shape {tuple(found.shape)}: give a floating tensor with at least one sample."
        )
    return found


def push_forward(function: Callable[[Tensor], Tensor], h: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``function(h)`` and its derivative along ``u``, both detached.

    The gradient v^T J is linear in v, and its own gradient along u is J u: two sweeps backwards give the one forwards.
    Raises ``BadInput`` for an ``h`` that is no floating tensor, or empty, and a ``u`` that is not like it.
    """
    a_function("function", function)
    if signal("u", u).shape != signal("h", h).shape:
        raise BadInput(f"u has shape {tuple(u.shape)} and h {tuple(h.shape)}: give a direction of h.")
    with torch.enable_grad():
        h = h.detach().requires_grad_()
        out = function(h)
        v = torch.zeros_like(out, requires_grad=True)
        (back,) = torch.autograd.grad(out, h, v, create_graph=True)
        (forth,) = torch.autograd.grad(back, v, u)
    return out.detach(), forth


def jacobian_profile(
    blocks: Sequence[Callable[[Tensor], Tensor]], h: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return kernels K^l and estimates of J^{l0,l}, both (len(blocks) + 1,) float64, at ``h`` and after each block.

    ``h`` (B, ...) is what the first block is given, l0. K is the mean square of all that a block gives. J has one
    vector of signs for the whole batch and is averaged over it: copies of one input are as many probes. Dimensionless.
    Raises ``BadInput`` for an ``h`` that is no floating tensor, or empty.
    """
    for block in sequence("blocks", blocks, 10**6):
        a_function("a block", block)
    u = signs(signal("h", h), generator)
    kernels, jacobians = [h.detach().double().square().mean()], [u.double().square().mean()]
    for block in blocks:
        h, u = push_forward(block, h, u)
        kernels.append(h.double().square().mean())
        jacobians.append(u.double().square().mean())
    return torch.stack(kernels), torch.stack(jacobians)
