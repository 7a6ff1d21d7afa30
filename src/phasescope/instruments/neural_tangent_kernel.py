"""How far learning has moved a network from its start: the empirical tangent kernel of any module, and its change.

The tangent kernel of f at a batch is K_ij = sum over parameters of df(x_i)/dtheta df(x_j)/dtheta. Where it stays as it
was, the network learns as a linear model of its parameters (*lazy*); where it moves, features are learnt (*rich*). The
distance is that of Kunin et al. 2024, arXiv:2406.06158, after Fort et al. 2020, arXiv:2010.15110.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from phasescope.checks import as_points
from phasescope.directions import unit
from phasescope.instruments.calls import batch_of, refusing, tensor_of
from phasescope.instruments.given_back import BATCH_NORMS, module_of
from phasescope.instruments.neighbours import Points
from phasescope.vocabulary import BadInput

__all__ = ["kernel_distance", "parameter_jacobian", "pattern_distance", "tangent_kernel"]

BUDGET = 2**28  # bytes of one group's Jacobians


def tangent_kernel(
    module: nn.Module, inputs: Points, *, parameters: Mapping[str, Tensor] | None = None, full: bool = False
) -> Tensor:
    """Return the tangent kernel (N, N) of ``module`` at ``inputs`` (N, ...), the mean over its outputs; float64.

    Of all that the module returns for one input the first floating tensor counts, K numbers. ``full`` gives (N K, N K),
    the outputs of an input side by side. All parameters that require gradients count, each with the rate 1;
    ``parameters`` name -> values in place of the module's own, those of another time above all; they may carry
    gradients, and so does the kernel then. The unit is that of the output squared per that of a parameter squared. The
    module is left as it was. Raises ``BadInput`` where samples would not be independent (batch normalization, dropout
    in training), for an empty batch, for unknown names, and without parameters.
    """
    module, inputs = module_of(module), batch_of(module, inputs)
    _alone(module, inputs)
    own = {name: p.detach() for name, p in module.named_parameters()}
    if unknown := set(parameters or {}) - set(own):
        raise BadInput(f"no parameter {sorted(unknown)[0]!r} in this module: it has {', '.join(own)}.")
    learnt = [name for name, p in module.named_parameters() if p.requires_grad]
    if not learnt:
        raise BadInput("no parameter of this module requires gradients: its tangent kernel is that of its parameters.")
    now = {**own, **(parameters or {})}
    kernel: Tensor | float = 0.0
    with refusing(module):
        outputs = _outputs(module, now, inputs)
    for names in _groups(now, learnt, len(inputs) * outputs):
        for jacobian in _jacobians(module, now, names, inputs):
            kernel = kernel + (jacobian @ jacobian.T if full else _mean(jacobian, len(inputs)))
    assert isinstance(kernel, Tensor)
    return kernel


def parameter_jacobian(module: nn.Module, inputs: Points) -> Tensor:
    """Return d f(x_i)_k / d theta (N K, P) float64 of ``module`` at ``inputs`` (N, ...), over its learnt parameters.

    Reckoned with parameters in float64, which are given back as they were; rows are the outputs of an input side by
    side, columns the parameters in their order. What ``tangent_kernel`` refuses is refused.
    """
    module, inputs = module_of(module), batch_of(module, inputs)
    _alone(module, inputs)
    now = {name: p.detach().double() for name, p in module.named_parameters()}
    learnt = [name for name, p in module.named_parameters() if p.requires_grad]
    if not learnt:
        raise BadInput("no parameter of this module requires gradients: its Jacobian is by its parameters.")
    exact = inputs.double() if inputs.is_floating_point() else inputs
    with refusing(module):
        parts = [part for name in learnt for part in _jacobians(module, now, [name], exact)]
    return torch.cat(parts, 1)


def _alone(module: nn.Module, inputs: Tensor) -> None:
    if inputs.ndim == 0 or len(inputs) == 0:
        raise BadInput(f"inputs have shape {tuple(inputs.shape)}: give a batch of at least one sample.")
    for name, part in module.named_modules():
        coupled = isinstance(part, BATCH_NORMS) or (isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0)
        if coupled and part.training:
            raise BadInput(
                f"{name or 'the module'} is in training: call eval() first, so that samples are independent."
            )


def _outputs(module: nn.Module, now: Mapping[str, Tensor], inputs: Tensor) -> int:
    with torch.no_grad():
        return _answer(module, now, inputs[0]).numel()


def _answer(module: nn.Module, now: Mapping[str, Tensor], sample: Tensor) -> Tensor:
    found = tensor_of(functional_call(module, dict(now), (sample[None],)))
    if found is None:
        raise BadInput("the module returns no floating tensor: its tangent kernel is that of its outputs.")
    return found.flatten()


def _groups(now: Mapping[str, Tensor], names: list[str], rows: int) -> Iterator[list[str]]:
    """Yield names whose Jacobians fit the budget together: a group costs one sweep backwards, all in one, memory."""
    group: list[str] = []
    size = 0
    for name in names:
        own = rows * prod(now[name].shape) * now[name].element_size()
        if group and size + own > BUDGET:
            yield group
            group, size = [], 0
        group.append(name)
        size += own
    yield group


def _jacobians(module: nn.Module, now: Mapping[str, Tensor], names: list[str], inputs: Tensor) -> Iterator[Tensor]:
    """Yield one Jacobian (N K, p) per parameter of ``names``, in float64."""
    rest = {name: value for name, value in now.items() if name not in names}

    def answer(mine: dict[str, Tensor], sample: Tensor) -> Tensor:
        return _answer(module, {**rest, **mine}, sample)

    found = vmap(jacrev(answer), (None, 0))({name: now[name] for name in names}, inputs)
    for jacobian in found.values():
        yield jacobian.flatten(0, 1).flatten(1).double() if jacobian.ndim > 2 else jacobian.reshape(-1, 1).double()


def _mean(jacobian: Tensor, samples: int) -> Tensor:
    """Return the kernel (N, N), the mean over outputs, of a Jacobian (N K, p)."""
    by_output = jacobian.view(samples, -1, jacobian.shape[1]).transpose(0, 1)
    kernel: Tensor = torch.stack([j @ j.T for j in by_output]).mean(0)
    return kernel


def kernel_distance(one: Points, other: Points) -> Tensor:
    """Return 1 - <K, K'> / (|K| |K'|) (...) of kernels (..., N, N): one minus the cosine of the angle between them.

    0 where one is a multiple of the other, which is its null value; at most 1 for positive kernels; dimensionless.
    Reckoned from the distance of the normed kernels, so that small values are right to their last digits. Nothing
    changes when either kernel is scaled, or samples are taken in another order in both. NaN for a kernel that is zero.
    Raises ``BadInput`` for kernels of unlike shape.
    """
    one, other = _pair("kernels", "(..., N, N)", one, other)
    a, b = (unit(k.double().flatten(-2), zeros=torch.nan) for k in (one, other))
    apart: Tensor = (a - b).square().sum(-1) / 2
    return apart


def pattern_distance(one: Points, other: Points) -> Tensor:
    """Return the Hamming distance (...) of the activation patterns of preactivations (..., N, H), in neurons.

    For each neuron the fraction of the N samples on which it is on (above 0) at one time and off at the other, summed
    over the H neurons: from 0, the null value, to H; NaN where a preactivation is. arXiv:2406.06158, Fig. 1. Raises
    ``BadInput`` for unlike shapes.
    """
    one, other = _pair("preactivations", "(..., N, H)", one, other)
    flipped: Tensor = ((one > 0) != (other > 0)).double().mean(-2).sum(-1)
    unknown = (one.isnan() | other.isnan()).any(-1).any(-1)
    return flipped.masked_fill(unknown, torch.nan)


def _pair(name: str, shape: str, one: Points, other: Points) -> tuple[Tensor, Tensor]:
    a, b = (as_points(name, x, axes=(), finite=False) for x in (one, other))
    square = name != "kernels" or a.shape[-1] == a.shape[-2]
    lead = zip(a.shape[-3::-1], b.shape[-3::-1], strict=False)
    if a.shape[-2:] != b.shape[-2:] or not square or any(m != n and 1 not in (m, n) for m, n in lead):
        raise BadInput(f"{name} of shapes {tuple(a.shape)} and {tuple(b.shape)}: give two of {shape}.")
    return a, b
