"""Energies learnt in context, in any number of dimensions, with normalization and without.

Each network learns by contrastive divergence on ever new mixtures of three Gaussians; then its weights are frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import special
from scipy.stats import spearmanr
from torch import Tensor, nn

from phasescope.learners import ContextEnergy
from phasescope.vocabulary import Array, Generators, Member

COMPONENTS, SPREAD = 3, 0.3
BOX = 3.0  # negatives start uniformly in [-BOX, BOX]^D
LANGEVIN_STEPS, LANGEVIN_RATE, LANGEVIN_NOISE, CLIP = 15, 0.1, 0.01, 1.0
PENALTY, RATE = 1e-2, 3e-3
BETA = 1 / (2 * (2 * SPREAD) ** 2)  # of the memory that stores a context: a kernel twice as wide as a component


def mixtures(generator: np.random.Generator, count: int, points: int, dimension: int) -> tuple[Array, Array]:
    """Return points (count, points, D) of mixtures with means N(0, 1), spread 0.3, and their components."""
    means = generator.standard_normal((count, COMPONENTS, dimension))
    which = generator.integers(COMPONENTS, size=(count, points))
    centres = np.take_along_axis(means, which[..., None], axis=1)
    return centres + SPREAD * generator.standard_normal((count, points, dimension)), which


def learnt(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Train one network, freeze it, and ask it of new mixtures, each given 0, 1, ... points.

    ``adapted`` (given,): fraction of held-out points that have less energy than a point of another mixture;
    ``mismatched``: the same given the points of a third mixture. ``memory``: of a memory that stores the context.
    ``likeness``: rank correlation of the network's energies with that memory's; ``likeness_other``: with those of a
    memory that stores another context. ``own``: by how much the attention of the best head to points of a token's own
    component exceeds their share; ``own_untrained``: before training.
    """
    dimension, length = int(member["dimension"]), int(member["length"])
    network = ContextEnergy(dimension, width=int(member["width"]), layers=int(member["blocks"]))
    network.initialize(generators("init"))
    if member["norm"] == "none":
        network.norm = nn.Identity()  # type: ignore[assignment]
        for block in network.blocks:
            block.norm = "none"  # type: ignore[assignment]
    points, which = mixtures(generators("test"), int(member["tests"]), 2 * length + 2, dimension)
    tokens, of = torch.from_numpy(points[:, :length]).float(), torch.from_numpy(which[:, :length])
    before = own(network, tokens, of)
    train(network, generators, int(member["updates"]), int(member["batch"]), length)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return {**tested(network, points, length), "own": own(network, tokens, of), "own_untrained": before}


def train(network: ContextEnergy, generators: Generators, updates: int, batch: int, length: int) -> None:
    """Lower the energies of true next points and raise those of Langevin samples, ``updates`` times."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    data, noise = generators("data"), generators("langevin")
    for update in range(updates):
        for group in optimizer.param_groups:  # warms up over ten updates, falls to zero in the last half
            group["lr"] = RATE * min(1.0, (update + 1) / 10, 2 * (updates - update) / updates)
        real = torch.from_numpy(mixtures(data, batch, length + 1, network.dimensions)[0]).float()
        past = network.past(real)
        fake = langevin(network, [h.detach() for h in past], noise)
        positive, negative = network.read(past[-1]), network.energies(past, fake)
        loss = (positive - negative).mean() + PENALTY * (positive.square() + negative.square()).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def langevin(network: ContextEnergy, past: list[Tensor], noise: np.random.Generator) -> Tensor:
    """Return samples (B, T, D): x <- x - rate clip(dE/dx) + noise, from uniform places, each given its context."""
    shape = (*past[0].shape[:2], network.dimensions)
    x = torch.from_numpy(noise.uniform(-BOX, BOX, shape)).float()
    for _ in range(LANGEVIN_STEPS):
        x.requires_grad_(True)
        (slope,) = torch.autograd.grad(network.energies(past, x).sum(), x)
        jitter = torch.from_numpy(noise.standard_normal(shape)).float()
        x = x.detach() - LANGEVIN_RATE * slope.clamp(-CLIP, CLIP) + LANGEVIN_NOISE * jitter
    return x


def tested(network: ContextEnergy, points: Array, length: int) -> dict[str, Any]:
    """Return what a frozen network says of ``points`` (tests, 2 length + 2, D): contexts, then points to judge."""
    context, held = points[:, : length + 1], points[:, length + 1 :]
    other = np.roll(held, 1, 0)
    c, near, far = (torch.from_numpy(x).float() for x in (context, held, other))
    past, wrong = network.past(c), network.past(c.roll(2, 0))
    energy, away = network.energies(past, near), network.energies(past, far)
    misled = network.energies(wrong, near) < network.energies(wrong, far)
    stored, stored_away = (remembered(context, x, length) for x in (held, other))
    elsewhere = np.roll(context, 2, 0)
    last = np.concatenate([energy[:, length].numpy(), away[:, length].numpy()])
    right, amiss = (np.concatenate([remembered(x, y, length)[:, length] for y in (held, other)])
                    for x in (context, elsewhere))  # fmt: skip
    return {
        "adapted": (energy < away).double().mean(0).numpy(),
        "mismatched": misled.double().mean(0).numpy(),
        "memory": (stored < stored_away).mean(0) + (stored == stored_away).mean(0) / 2,
        "likeness": spearmanr(last, right).statistic,
        "likeness_other": spearmanr(last, amiss).statistic,
    }


def remembered(context: Array, points: Array, length: int) -> Array:
    """Return energies (tests, length + 1) of ``points``, each in a memory of the context before it.

    They are ``theory.associative_memory.memory_energy``'s at ``BETA``; 0 where nothing is stored yet.
    """
    distances = ((points[:, :, None] - context[:, None]) ** 2).sum(-1)
    stored = np.tri(length + 1, k=-1, dtype=bool)
    near = special.logsumexp(np.where(stored, -BETA * distances, -np.inf)[:, 1:], axis=-1)
    return np.concatenate([np.zeros((len(points), 1)), -near / BETA], 1)


@torch.no_grad()
def own(network: ContextEnergy, tokens: Tensor, of: Tensor) -> float:
    """Return the excess of attention to earlier tokens (B, T, D) of a token's own component ``of`` (B, T), best head.

    The weights on the earlier tokens sum to 1; from the part that falls on the own component its share of these
    tokens is taken off. 0: attention does not tell components apart.
    """
    T = tokens.shape[1]
    earlier = torch.ones(T, T, dtype=torch.bool).tril(-1)
    same = (of[:, :, None] == of[:, None, :]) & earlier
    share = same.sum(-1)[:, 1:] / earlier.sum(-1)[1:]
    best = []
    for block, h in zip(network.blocks, network.past(tokens), strict=False):
        q, k, _ = (x.transpose(1, 2) for x in block.split(h))  # type: ignore[operator]
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(~earlier, -torch.inf)[:, :, 1:]
        weights = scores.softmax(-1)
        best.append(((weights * same[:, None, 1:]).sum(-1) - share[:, None]).mean((0, 2)).max())
    return float(torch.stack(best).max())
