"""The two-layer network with one-hot inputs, and its exact-weights twin.

For inputs ``n_1 .. n_S`` modulo ``p``:  ``f(n) = scale * W phi(sum_s U_s[n_s])``, no biases.

*Plain* parametrization: ``scale = 1``, weights of standard deviation (16 H)^(-1/3) (Doshi et al. 2023,
arXiv:2310.13061, App. A), that is (1/2) (2 H)^(-1/3); activations of power d take (1/2) (2 H)^(-1/(d+1)), our choice.
*Mean-field* parametrization: ``scale = 1 / (S p H)``, weights N(0, 1) (Gromov 2023, arXiv:2301.02679, Eq. 4). Learning
rates do not carry over from one to the other: mean-field gradients are about ``p^3 H`` times smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.checks import anything, checked, flag, function, number, optional, text
from phasescope.learners.dropout import KeyedDropout
from phasescope.learners.sizes import lazy, size, strength
from phasescope.vocabulary import Array, BadInput, Fused

ACTIVATIONS: Mapping[str, tuple[int, int, Callable[[Tensor], Tensor]]] = {
    "quadratic": (0, 2, lambda z: z * z),
    "cubic": (0, 3, lambda z: z * z * z),
    "quartic": (0, 4, lambda z: z.pow(4)),
    "quintic": (0, 5, lambda z: z.pow(5)),
    "relu": (1, 0, torch.relu),
    "gelu": (2, 0, functional.gelu),
}
Parametrization = Literal["mean-field", "plain"]


class PowerMLP(nn.Module):
    """Two-layer network on one-hot inputs: (N, S) integers below ``p`` -> (N, K) logits.

    Parameters ``embed`` (S, p, H) and ``readout`` (K, H). Dropout acts between the first layer and the activation,
    batch normalization after the activation, where Doshi et al. 2023 (App. A, Eq. 5) put them. ``dropout`` may differ
    per member of a grid. ``embed_scale`` and ``readout_scale`` multiply the first weights of the two layers.

    Raises ``BadInput`` for a modulus below 2, a width below 1, an unknown activation or parametrization, numbers out of
    range.
    """

    @checked(
        self=anything,
        p=lazy,
        width=lazy,
        arity=size,
        outputs=optional(size),
        activation=text,
        parametrization=text,
        dropout=number(0, 1, open_high=True),
        batch_norm=flag,
        embed_scale=strength,
        readout_scale=strength,
    )
    def __init__(
        self,
        p: int,
        width: int,
        *,
        arity: int = 2,
        outputs: int | None = None,
        activation: str = "quadratic",
        parametrization: Parametrization = "plain",
        dropout: float = 0.0,
        batch_norm: bool = False,
        embed_scale: float = 1.0,
        readout_scale: float = 1.0,
    ) -> None:
        super().__init__()
        _check(p, width, activation, parametrization, dropout)
        for name, value in (("embed_scale", embed_scale), ("readout_scale", readout_scale)):
            if not 0 <= value < math.inf:
                raise BadInput(f"{name} is {value}: it must be finite and at least 0.")
        self.p, self.width, self.arity, self.outputs = p, width, arity, outputs or p
        self.activation, self.parametrization = activation, parametrization
        self.scale = 1.0 / (arity * p * width) if parametrization == "mean-field" else 1.0
        self.embed_scale, self.readout_scale = float(embed_scale), float(readout_scale)
        self.embed = nn.Parameter(_zeros(arity, p, width))
        self.readout = nn.Parameter(_zeros(self.outputs, width))
        self.drop = KeyedDropout(dropout)
        self.norm = nn.BatchNorm1d(width) if batch_norm else None

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw fresh Gaussian weights of the parametrization's standard deviation, in place."""
        degree = ACTIVATIONS[self.activation][1] or 2  # logits are products of degree + 1 weights
        plain = (2 ** (degree + 2) * self.width) ** (-1 / (degree + 1))
        deviation = 1.0 if self.parametrization == "mean-field" else plain
        with torch.no_grad():
            for weight, scale in ((self.embed, self.embed_scale), (self.readout, self.readout_scale)):
                weight.copy_(torch.from_numpy(scale * deviation * generator.standard_normal(tuple(weight.shape))))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, K) of integer ``inputs`` (N, S)."""
        hidden = ACTIVATIONS[self.activation][2](self.drop(self._first_layer(inputs)))
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.scale * hidden @ self.readout.T

    def _first_layer(self, inputs: Tensor) -> Tensor:
        if not self.training:
            # the same numbers by looking rows up; its gradient would be a scatter, slow and unordered on a GPU
            rows = inputs.long()
            return sum((self.embed[s, rows[:, s]] for s in range(1, self.arity)), start=self.embed[0, rows[:, 0]])
        # compared, not functional.one_hot: that one can not be stacked by vmap
        hot = (inputs[..., None] == torch.arange(self.p, device=inputs.device)).to(self.embed.dtype)
        return hot.flatten(1) @ self.embed.flatten(0, 1)

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        return {
            "learner": type(self).__name__,
            "p": self.p,
            "width": self.width,
            "arity": self.arity,
            "outputs": self.outputs,
            "activation": self.activation,
            "parametrization": self.parametrization,
            "batch_norm": self.norm is not None,
            "embed_scale": self.embed_scale,
            "readout_scale": self.readout_scale,
            **self.knobs,
        }

    @property
    def knobs(self) -> dict[str, float]:
        """The numbers a grid may set per member."""
        return {"dropout": float(self.drop.rate)}

    def with_knobs(self, knobs: Mapping[str, float]) -> None:
        """Set the per-member numbers, in place."""
        if "dropout" in knobs:
            _check(self.p, self.width, self.activation, self.parametrization, knobs["dropout"])
            self.drop.set_rate(knobs["dropout"])

    def _as_built(self) -> bool:
        """Return whether the compiled step computes this network: no other forward pass, parts or hooks."""
        norm, own = self.norm, (type(self).forward, type(self)._first_layer)
        hooked = any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in self.modules())
        plain = norm is None or (type(norm) is nn.BatchNorm1d and (norm.eps, norm.momentum) == (1e-5, 0.1))
        parts = {"drop": self.drop} if norm is None else {"drop": self.drop, "norm": norm}
        return (
            own == _COMPILED
            and "forward" not in vars(self)
            and type(self.drop) is KeyedDropout
            and plain
            and dict(self.named_children()) == parts
            and not hooked
            and all(p.requires_grad for p in self.parameters())
        )

    def fused(self) -> Fused | None:
        """Return the compiled loss-and-gradient of this network (CPU only), tested equal to ``forward``.

        None where the network was changed after it was built, or a class derived from it passes forward otherwise.
        """
        if not self._as_built():
            return None
        from phasescope.learners import power_kernel

        code, degree, _ = ACTIVATIONS[self.activation]
        shape = [self.arity, self.p, self.outputs, self.width, code, degree, int(self.norm is not None)]
        return Fused(
            gradient=power_kernel.gradient,
            shape=np.array([*shape, 0], dtype=np.int64),
            knobs=np.array([self.scale, float(self.drop.rate)]),
            scratch_size=power_kernel.scratch_size,
        )


_COMPILED = (PowerMLP.forward, PowerMLP._first_layer)  # what the compiled step computes


class ExactMLP(PowerMLP):
    """A network whose weights are written down, not learnt: the same call as the network it explains.

    ``weights(p, width, generator)`` returns ``embed`` (S, p, H) and ``readout`` (K, H) in float64, for example
    ``phasescope.theory.modular_addition.addition_weights``. Training it starts from the exact solution.
    """

    @checked(self=anything, p=size, width=size, weights=function, arity=size, activation=text)
    def __init__(
        self,
        p: int,
        width: int,
        weights: Callable[[int, int, np.random.Generator], tuple[Array, Array]],
        *,
        arity: int = 2,
        activation: str = "quadratic",
    ) -> None:
        super().__init__(p, width, arity=arity, activation=activation)
        self.weights = weights

    def initialize(self, generator: np.random.Generator) -> None:
        """Write the exact weights, their free phases drawn from ``generator``, in place."""
        embed, readout = self.weights(self.p, self.width, generator)
        with torch.no_grad():
            self.embed.copy_(torch.from_numpy(embed))
            self.readout.copy_(torch.from_numpy(readout))

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        weights: Any = self.weights
        keywords = {name: _named(value) for name, value in sorted(getattr(weights, "keywords", {}).items())}
        return {**super().describe(), "weights": _named(getattr(weights, "func", weights)), "keywords": keywords}


def _named(value: Any) -> Any:
    # a function's printed form holds its address, which is another one in every process
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value


def _zeros(*shape: int) -> Tensor:
    # numpy's zeros take no memory until written: a template too large for the machine can still be refused kindly
    try:
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    except MemoryError:
        size = 4 * np.prod(shape, dtype=np.float64) / 2**30
        raise BadInput(f"weights of shape {shape} need {size:,.1f} GiB: choose a smaller width or p.") from None


def _check(p: int, width: int, activation: str, parametrization: str, dropout: float) -> None:
    if not isinstance(p, int) or p < 2:
        raise BadInput(f"p is {p}: the modulus must be an integer >= 2.")
    if not isinstance(width, int) or width < 1:
        raise BadInput(f"width is {width}: a network needs an integer width >= 1.")
    if activation not in ACTIVATIONS:
        raise BadInput(f"activation is {activation!r}: choose one of {', '.join(ACTIVATIONS)}.")
    if parametrization not in ("mean-field", "plain"):
        raise BadInput(f"parametrization is {parametrization!r}: choose 'mean-field' or 'plain'.")
    if not 0 <= dropout < 1:
        raise BadInput(f"dropout is {dropout}: a rate must be in [0, 1).")
