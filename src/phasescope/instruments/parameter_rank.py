"""How many directions of the parameters move a network's function: the rank of its Jacobian, after Grigsby et al. 2022.

arXiv:2209.04036 (place not checked): the functional dimension of a ReLU network falls short of the number of parameters
by the symmetries that leave the function as it is, of which each hidden unit has one at least, its positive scaling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from phasescope.checks import number
from phasescope.instruments.calls import batch_of
from phasescope.instruments.given_back import module_of
from phasescope.instruments.neighbours import Points
from phasescope.instruments.neural_tangent_kernel import parameter_jacobian
from phasescope.vocabulary import BadInput

__all__ = ["FunctionalDimension", "functional_dimension"]

LARGEST = 1 << 27  # numbers of a Jacobian, a gigabyte


@dataclass(frozen=True)
class FunctionalDimension:
    """The rank ``value`` of the Jacobian of ``rows`` outputs by ``parameters``, and the ``gap`` at which it was cut.

    ``gap`` is the smallest singular value that counts over the largest that does not: inf where all count. Below some
    ten the rank is not sharp.
    """

    value: int
    parameters: int
    rows: int
    gap: float


def functional_dimension(module: nn.Module, inputs: Points, *, tolerance: float = 1e-9) -> FunctionalDimension:
    """Return the rank of d f(x_i)_k / d theta, all outputs k at ``inputs`` (N, ...), over the learnt parameters.

    Reckoned in float64 whatever the module's type; singular values below ``tolerance`` times the largest are 0.
    Dimensionless, from 0 to the smaller of N K and the number of parameters P: with N K < P it says nothing of the
    function beyond these inputs. Null value: P less the symmetries, such as P - H for H hidden ReLU units that are on
    at some inputs and off at others; 0 for a function that does not depend on its parameters. Invariant to what
    permutes units and scales them. Cost N K P min(N K, P). Raises ``BadInput`` where samples would not be independent,
    and for an empty batch.
    """
    tolerance = number(0, 1, open_low=True, open_high=True)("tolerance", tolerance)
    module = module_of(module)
    batch = batch_of(module, inputs)
    size = sum(p.numel() for p in module.parameters() if p.requires_grad)
    if batch.ndim and len(batch) * size > LARGEST:
        raise BadInput(
            f"{len(batch):,} inputs and {size:,} parameters make a Jacobian of {len(batch) * size:,} numbers or more: "
            f"give {max(1, LARGEST // size):,} inputs or fewer, or a smaller network."
        )
    jacobian = parameter_jacobian(module, batch)
    if not bool(jacobian.isfinite().all()):
        raise BadInput("the Jacobian of this module is not finite at these inputs: its rank is that of finite numbers.")
    values = torch.linalg.svdvals(jacobian)
    rank = int((values > tolerance * values.max()).sum()) if float(values.max()) > 0 else 0
    gap = float(values[rank - 1] / values[rank]) if 0 < rank < len(values) and float(values[rank]) > 0 else float("inf")
    return FunctionalDimension(rank, jacobian.shape[1], jacobian.shape[0], gap)
