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
    Quantity("growth", "1/block", "(1/L) log of the last gap over the first, lambda_a near collapse"),
)
"""What tokens do; of a member that is a batch of networks, ``draws`` of them, each is the mean over the batch."""
STRENGTHS = ("0.5 0.5 1", "0.5 0.5 2", "0.5 0.5 4", "0.3 0.8 3", "0.8 0.3 3")
"""Settings "alpha_A alpha_M sigma_w" at which gradients are measured."""
MODES = ("total", "mean", "difference")
BOTH_WAYS = Quantity(
    "growth", "1/block", "(1/L) log gap_L/gap_0 of the angle, (1/L) log |d(X_L.R)/dX_0|^2 / |R|^2 of the gradient, "
    "whole and by its token mean and the rest; mean over a batch", ("strengths", "mode"),
    {"strengths": STRENGTHS, "mode": ("angle", *MODES)},
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


def kept_size(block: transformer_signal.TransformerBlock) -> float:
    """Return the size q that collapsed tokens have at the end of each block, so that a gradient's growth has no edge.

    A skip that resets makes it 1 before each sub-block, and 1 + alpha_M^2 F(1) after the last one.
    """
    return 1 + block.mlp**2 * block.power if block.skip == "reset" else transformer_signal.collapsed_size(block)


def _start(numbers: Mapping[str, Any], generator: np.random.Generator) -> Tensor:
    """Return the first tokens: of correlation ``start``, and of the size that collapsed tokens keep or, asked, 1."""
    size = 1.0 if numbers.get("unit_size") else kept_size(block_of(numbers, tokens=np.inf))
    return simplex(int(numbers["tokens"]), int(numbers["width"]), size, float(numbers["start"]), generator)


def propagate(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return gap and size (depth + 1,) of tokens that pass ``depth`` fresh blocks, and the gap's growth; float64.

    The mean over a batch of ``draws`` networks, one unless given.
    """
    numbers, init, tokens = numbers_of(member), generators("init"), generators("tokens")
    net, batch = _network(numbers, 1), []
    for _ in range(int(numbers.get("draws", 1))):
        x = _start(numbers, tokens)
        states = [state(x)]
        for _ in range(int(numbers["depth"])):
            net.initialize(init)  # one block at a time: deep networks need no room
            x = net.blocks[0](x[None])[0]
            states.append(state(x))
        batch.append(states)
    gap, size = np.moveaxis(np.array(batch), -1, 0)
    growth = np.log(gap[:, -1] / gap[:, 0]) / int(numbers["depth"])
    return {"gap": gap.mean(0), "size": size.mean(0), "growth": growth.mean()}


def backpropagate(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the growth (strengths, mode) of the angle from first to last tokens, and of a random gradient back.

    The mean over a batch of ``draws`` networks; the settings of one network have the same random numbers.
    """
    init, tokens, sent = (generators(name) for name in ("init", "tokens", "gradient"))
    settings = [numbers_of(Member({**member.knobs, "strengths": name}, member.seed)) for name in STRENGTHS]
    net, batch = _network(settings[0], int(member["depth"])), []
    for _ in range(int(member["draws"])):
        net.initialize(init)
        batch.append([_both_ways(_scaled(net, numbers), numbers, tokens, sent) for numbers in settings])
    return {"growth": np.mean(batch, axis=0)}


def _scaled(net: SignalTransformer, numbers: Mapping[str, Any]) -> SignalTransformer:
    """Give a network that is drawn the strengths and the hidden scale of a setting; to draw it anew costs more."""
    for block in net.blocks:
        block.widen.mul_(numbers["sigma_w"] / net.numbers["sigma_w"])  # type: ignore[operator]
    net.with_knobs({name: numbers[name] for name in ("alpha_A", "alpha_M", "sigma_w")})
    return net


def _both_ways(
    net: SignalTransformer, numbers: Mapping[str, Any], tokens: np.random.Generator, sent: np.random.Generator
) -> Array:
    """Return the growth per block of one network's gap, and of a gradient by ``MODES``."""
    x = first = _start(numbers, tokens).requires_grad_()
    for block in net.blocks:
        x = block(x[None])[0]
    last = torch.from_numpy(sent.standard_normal(tuple(x.shape)))
    got = torch.autograd.grad((x * last).sum(), first)[0]
    apart = state(x.detach())[0] / state(first.detach())[0]
    return np.log([apart, *(_parts(got) / _parts(last))]) / len(net.blocks)


def _parts(gradient: Tensor) -> Array:
    """Return the squared size of a gradient (n, d) by ``MODES``: all of it, its token mean, what differs."""
    whole, mean = float(gradient.square().sum()), float(gradient.mean(0).square().sum()) * len(gradient)
    return np.array([whole, mean, float((gradient - gradient.mean(0)).square().sum())])
