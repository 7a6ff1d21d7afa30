"""What the study ``transformer-signal`` measures on a transformer at initialization: tokens forward, gradients back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble import Quantity
from phasescope.learners import SignalTransformer
from phasescope.theory import transformer_signal
from phasescope.vocabulary import Array, Generators, Member

PASS = (
    Quantity("gap", "1", "1 - p/q of the tokens; arXiv:2403.02579, the angle of lambda_a", ("layer",)),
    Quantity("size", "1", "q, the mean square of a token's entries", ("layer",)),
)
MODES = ("total", "mean", "difference")
GRADIENT = Quantity(
    "gradient", "1/block", "(1/L) log |d(X_L.R)/dX_0|^2 / |R|^2, whole and by its token mean and the rest", ("mode",),
    {"mode": MODES},
)  # fmt: skip


def block_of(numbers: Mapping[str, Any], *, tokens: float | None = None, skip: str | None = None) -> Any:
    """Return the theory's block for the numbers of a member or a setting."""
    return transformer_signal.TransformerBlock(
        float(numbers["alpha_A"]), float(numbers["alpha_M"]), float(numbers["sigma_w"]), float(numbers["sigma_A"]),
        float(numbers["tokens"]) if tokens is None else tokens, skip=skip or str(numbers["skip"]),  # type: ignore[arg-type]
    )  # fmt: skip


def numbers_of(member: Member) -> dict[str, Any]:
    """Return the member's numbers, with ``strengths`` ("alpha_A alpha_M sigma_w") and the law of depth spelt out."""
    numbers: dict[str, Any] = dict(member.knobs)
    if "strengths" in numbers:
        numbers |= zip(("alpha_A", "alpha_M", "sigma_w"), map(float, str(numbers["strengths"]).split()), strict=True)
    if "power" in numbers:  # alpha = alpha_1 (L / L_1)^-power
        numbers["alpha"] = numbers["alpha"] * (numbers["depth"] / numbers["shallowest"]) ** -numbers["power"]
    if "alpha" in numbers:
        numbers |= {"alpha_A": numbers["alpha"], "alpha_M": numbers["alpha"]}
    return numbers


def simplex(tokens: int, width: int, size: float, rho: float, generator: np.random.Generator) -> Tensor:
    """Return (n, d) float64 tokens, alike under permutation, with q = ``size`` and p = ``rho`` q exactly; n < d."""
    frame = np.linalg.qr(generator.standard_normal((width, tokens + 1)))[0].T * np.sqrt(width * size)
    return torch.from_numpy(np.sqrt(rho) * frame[0] + np.sqrt(1 - rho) * frame[1:])


def state(x: Tensor) -> tuple[float, float]:
    """Return 1 - p/q and q of tokens (n, d); the first to full relative precision, however small it is."""
    n, d = x.shape
    q = float(x.square().sum()) / (n * d)
    apart = float((x - x.mean(0)).square().sum()) / (d * (n - 1))
    return apart / q, q


def _network(numbers: Mapping[str, Any], depth: int) -> SignalTransformer:
    net = SignalTransformer(int(numbers["width"]), depth, hidden=int(numbers["hidden"]), skip=numbers["skip"])
    net.with_knobs({name: numbers[name] for name in ("alpha_A", "alpha_M", "sigma_w", "sigma_A")})
    return net.double().requires_grad_(False)


def _start(numbers: Mapping[str, Any], generator: np.random.Generator) -> Tensor:
    """Return the first tokens: of correlation ``start``, and of the size that collapsed tokens keep or, asked, 1."""
    size = 1.0 if numbers.get("unit_size") else transformer_signal.collapsed_size(block_of(numbers, tokens=np.inf))
    return simplex(int(numbers["tokens"]), int(numbers["width"]), size, float(numbers["start"]), generator)


def propagate(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return gap and size (depth + 1,) of tokens that pass ``depth`` fresh blocks; float64."""
    numbers, generator = numbers_of(member), generators("init")
    net, x = _network(numbers, 1), _start(numbers, generators("tokens"))
    states = [state(x)]
    for _ in range(int(numbers["depth"])):
        net.initialize(generator)  # one block at a time: deep networks need no room
        x = net.blocks[0](x[None])[0]
        states.append(state(x))
    gap, size = np.array(states).T
    return {"gap": gap, "size": size}


def backpropagate(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return what ``propagate`` does, and the growth of a random gradient from the last tokens to the first."""
    numbers = numbers_of(member)
    depth = int(numbers["depth"])
    net = _network(numbers, depth)
    own = str(numbers.get("strengths", ""))  # each setting has weights of its own: errors of settings are independent
    net.initialize(generators(f"init {own}"))
    first = _start(numbers, generators(f"tokens {own}")).requires_grad_()
    states, x = [state(first.detach())], first
    for block in net.blocks:
        x = block(x[None])[0]
        states.append(state(x.detach()))
    sent = torch.from_numpy(generators(f"gradient {own}").standard_normal(tuple(x.shape)))
    got = torch.autograd.grad((x * sent).sum(), first)[0]
    gap, size = np.array(states).T
    return {"gap": gap, "size": size, "gradient": np.log(_parts(got) / _parts(sent)) / depth}


def _parts(gradient: Tensor) -> Array:
    """Return the squared size of a gradient (n, d) by ``MODES``: all of it, its token mean, what differs."""
    whole, mean = float(gradient.square().sum()), float(gradient.mean(0).square().sum()) * len(gradient)
    return np.array([whole, mean, float((gradient - gradient.mean(0)).square().sum())])
