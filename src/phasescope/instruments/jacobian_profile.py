"""Averaged partial Jacobian norms from one place to all later ones, by one forward sweep.

Where ``partial_jacobian`` sends random signs backwards from one end to all starts, this pushes them forwards: for
independent signs u at l0, E_u |dh^l/dh^l0 u|^2 / N_l = J^{l0,l} (Doshi, He and Gromov 2023, arXiv:2111.12143). One sweep
costs about three forward passes, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from phasescope.instruments.partial_jacobian import signs


def jacobian_profile(
    blocks: Sequence[Callable[[Tensor], Tensor]], h: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return kernels K^l and estimates of J^{l0,l}, both (len(blocks) + 1,) float64, at ``h`` and after each block.

    ``h`` (B, ...) is what the first block is given, l0. K is the mean square of all that a block gives; J has one vector
    of signs for the whole batch and is averaged over it, so copies of one input are as many probes. Dimensionless.
    """
    kernels, jacobians = [h.double().square().mean()], [torch.ones((), dtype=torch.float64)]
    with torch.no_grad():
        u = signs(h, generator)
        for block in blocks:
            h, u = jvp(block, (h,), (u,))
            kernels.append(h.double().square().mean())
            jacobians.append(u.double().square().mean())
    return torch.stack(kernels), torch.stack(jacobians)
