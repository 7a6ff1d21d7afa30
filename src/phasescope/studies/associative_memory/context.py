"""Energies learnt in context: contrastive divergence of a small transformer, then a test with frozen weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.learners import ContextEnergy
from phasescope.vocabulary import Array, Generators, Member

COMPONENTS, SPREAD = 3, 0.15
BOX = 3.0  # negatives start, and places to compare with lie, uniformly in [-BOX, BOX]^2
LANGEVIN_STEPS, LANGEVIN_RATE, LANGEVIN_NOISE, CLIP = 15, 0.1, 0.01, 1.0
PENALTY, RATE = 1e-2, 1e-3
LANDSCAPE = 31  # places along each side of the stored energies
CONTEXTS = (1, 4, 24)


def mixtures(generator: np.random.Generator, count: int, points: int) -> Array:
    """Return points (count, points, 2) of ``count`` mixtures: means N(0, 1), spread 0.15, equal weights."""
    means = generator.standard_normal((count, COMPONENTS, 2))
    which = generator.integers(COMPONENTS, size=(count, points))
    centres = np.take_along_axis(means, which[..., None], axis=1)
    return np.asarray(centres + SPREAD * generator.standard_normal((count, points, 2)))


def in_context(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Train one network on ever new mixtures, freeze it, and ask where new mixtures' energies are low.

    ``against_uniform``, ``against_other`` (length + 1,): fraction of test mixtures in which a held-out point has less
    energy than a uniform place, or than a point of another mixture, given 0, 1, ... points. ``mismatched``: the same
    against uniform places, given the points of another mixture. ``landscape``: energies of one mixture, 3 contexts.
    """
    length = int(member["length"])
    network = ContextEnergy(2, width=int(member["context_width"]), layers=int(member["context_layers"]))
    network.initialize(generators("init"))
    train(network, generators, int(member["updates"]), int(member["context_batch"]), length)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return tested(network, generators("test"), int(member["tests"]), length)


def train(network: ContextEnergy, generators: Generators, updates: int, batch: int, length: int) -> None:
    """Lower the energies of true next points and raise those of Langevin samples, ``updates`` times."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    data, noise = generators("data"), generators("langevin")
    for update in range(updates):
        for group in optimizer.param_groups:  # warms up over ten updates, falls to zero in the last half
            group["lr"] = 3 * RATE * min(1.0, (update + 1) / 10, 2 * (updates - update) / updates)
        real = torch.from_numpy(mixtures(data, batch, length + 1)).float()
        past = network.past(real)
        fake = langevin(network, [h.detach() for h in past], noise)
        positive, negative = network.read(past[-1]), network.energies(past, fake)
        loss = (positive - negative).mean() + PENALTY * (positive.square() + negative.square()).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def langevin(network: ContextEnergy, past: list[Tensor], noise: np.random.Generator) -> Tensor:
    """Return samples (B, T, 2): x <- x - rate clip(dE/dx) + noise, from uniform places, each given its context."""
    shape = (*past[0].shape[:2], 2)
    x = torch.from_numpy(noise.uniform(-BOX, BOX, shape)).float()
    for _ in range(LANGEVIN_STEPS):
        x.requires_grad_(True)
        (slope,) = torch.autograd.grad(network.energies(past, x).sum(), x)
        jitter = torch.from_numpy(noise.standard_normal(shape)).float()
        x = x.detach() - LANGEVIN_RATE * slope.clamp(-CLIP, CLIP) + LANGEVIN_NOISE * jitter
    return x


def tested(network: ContextEnergy, generator: np.random.Generator, tests: int, length: int) -> Mapping[str, Any]:
    """Return what ``in_context`` measures, of a network whose weights no longer move."""
    points = torch.from_numpy(mixtures(generator, tests, 2 * length + 2)).float()
    context, held = points[:, : length + 1], points[:, length + 1 :]
    uniform = torch.from_numpy(generator.uniform(-BOX, BOX, tuple(held.shape))).float()
    other = held.roll(1, 0)
    past, wrong = network.past(context), network.past(context.roll(1, 0))
    energy, far = network.energies(past, held), network.energies(past, uniform)
    return {
        "against_uniform": (energy < far).double().mean(0).numpy(),
        "against_other": (energy < network.energies(past, other)).double().mean(0).numpy(),
        "mismatched": (network.energies(wrong, held) < network.energies(wrong, uniform)).double().mean(0).numpy(),
        "landscape": landscape(network, context[:1], length),
        "context": context[0, :length].double().numpy(),
    }


def landscape(network: ContextEnergy, context: Tensor, length: int) -> Array:
    """Return energies (3, 31, 31) over [-BOX, BOX]^2, rows along y, given 1, 4 and 24 points of one context."""
    side = torch.linspace(-BOX, BOX, LANDSCAPE)
    places = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 1, 2)
    past = [h.expand(len(places), -1, -1) for h in network.past(context)]
    energies = network.energies(past, places.expand(-1, context.shape[1], -1))
    chosen = energies[:, [min(n, length) for n in CONTEXTS]]
    return np.asarray(chosen.T.reshape(len(CONTEXTS), LANDSCAPE, LANDSCAPE).double().numpy())
