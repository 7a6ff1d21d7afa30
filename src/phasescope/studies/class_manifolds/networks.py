"""The networks of the study ``class-manifolds``, and what cutting planes read of each; balls and tubes beside them.

All have two hidden layers of ReLU, weights and biases as torch draws them, and are trained by Adam on the
cross-entropy.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.ensemble import streams
from phasescope.representation import class_dimension
from phasescope.store.data import data_folder
from phasescope.studies.class_manifolds.settings import (
    AS_LOUD,
    BOUNDARY,
    EARLY,
    ENSEMBLE,
    FEW,
    LOUD_BOUNDARY,
    NARROW,
    PAIRS,
    RANDOM,
    SHUFFLED,
    SPACE,
    TRAINED,
    TRUE,
    UNTRAINED,
    as_loud,
)
from phasescope.tasks.images import digits, fashion_mnist
from phasescope.vocabulary import BadInput, Generators, Member

Found = Mapping[str, Any]
CLASSES = 10
PROBES = 1000  # images on which the spread of logits is read


@dataclass(frozen=True)
class Plan:
    """How a network is trained: ``samples`` images with true labels or ``random`` ones, so many ``steps``."""

    width: int
    samples: int
    steps: int
    random: bool = False
    copies: int = 1


@dataclass(frozen=True)
class World:
    """What the networks of one seed share: their images, and how they are trained."""

    images: str
    side: int
    samples: int
    tests: int
    rate: float
    batch: int
    seed: int

    @classmethod
    def of(cls, m: Member) -> World:
        """Return the world of a member."""
        side, samples, tests, batch = (int(m[name]) for name in ("side", "samples", "tests", "batch"))
        return cls(str(m["images"]), side, samples, tests, float(m["rate"]), batch, m.seed)


class Loud(nn.Module):
    """A network whose logits are multiplied by ``gain``: of the same decisions, of another confidence."""

    def __init__(self, network: nn.Module, gain: float) -> None:
        super().__init__()
        self.network, self.gain = network, gain

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, K)."""
        found: Tensor = self.gain * self.network(x)
        return found


@lru_cache(maxsize=4)
def pictures(images: str, side: int) -> tuple[Tensor, Tensor]:
    """Return all images (N, D), each with mean 0 and mean square 1, and their labels (N,)."""
    table = digits() if not images else fashion_mnist(
        data_folder(images) if images == "fashion-mnist" else images, size=side
    )  # fmt: skip
    return torch.from_numpy(np.asarray(table.inputs)).float(), torch.from_numpy(np.asarray(table.labels)).long()


def drawn(w: World) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and labels of the training set, and of the test set, drawn without replacement for the seed."""
    x, y = pictures(w.images, w.side)
    if w.samples + w.tests > len(x):
        raise BadInput(f"samples and tests are {w.samples} and {w.tests}: there are {len(x)} images; give fewer.")
    order = torch.from_numpy(streams(w.seed)("data").permutation(len(x)))
    train, test = order[: w.samples], order[w.samples : w.samples + w.tests]
    return x[train], y[train], x[test], y[test]


def plan_of(name: str, m: Member) -> Plan:
    """Return how the network of this name is trained."""
    usual = Plan(int(m["width"]), int(m["samples"]), int(m["steps"]))
    long = replace(usual, samples=int(m["labelled"]), steps=int(m["long"]))
    plans = {
        UNTRAINED: replace(usual, steps=0), FEW: replace(usual, samples=int(m["few"])), TRUE: long,
        RANDOM: replace(long, random=True), NARROW: replace(usual, width=int(m["narrow"])),
        EARLY: replace(usual, steps=int(m["early"])), ENSEMBLE: replace(usual, copies=int(m["members"])),
    }  # fmt: skip
    return plans.get(name, usual)


def mlp(sizes: Sequence[int], generator: np.random.Generator) -> nn.Sequential:
    """Return linear layers with ReLU between, weights and biases uniform within 1 / sqrt(inputs), as torch's are."""
    layers: list[nn.Module] = []
    for i, o in pairwise(sizes):
        layer = nn.Linear(i, o)
        with torch.no_grad():
            for part in (layer.weight, layer.bias):
                part.copy_(torch.from_numpy(generator.uniform(-1, 1, tuple(part.shape)) / np.sqrt(i)))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def labels_of(plan: Plan, y: Tensor, seed: int) -> Tensor:
    """Return the labels that a network learns: the true ones, or the same in another order."""
    return y[torch.from_numpy(streams(seed)("labels").permutation(len(y)))] if plan.random else y


@lru_cache(maxsize=128)
def trained(plan: Plan, w: World) -> tuple[nn.Sequential, ...]:
    """Return the networks of a plan, frozen."""
    x, y, _, _ = drawn(w)
    x, y = x[: plan.samples], labels_of(plan, y[: plan.samples], w.seed)
    found = []
    for number in range(plan.copies):
        sizes = [x.shape[1], plan.width, plan.width, CLASSES]
        network = mlp(sizes, streams(w.seed)("init", number))
        order = streams(w.seed)("order", number)
        adam = _Adam(list(network.parameters()), w.rate)
        for _ in range(plan.steps):
            rows = torch.from_numpy(order.integers(0, len(x), w.batch))
            adam.step(functional.cross_entropy(network(x[rows]), y[rows]))
        found.append(network.requires_grad_(False))
    return tuple(found)


class _Adam:
    """Adam with betas 0.9 and 0.999 and epsilon 1e-8."""

    def __init__(self, parameters: list[Tensor], rate: float) -> None:
        self.parameters, self.rate, self.count = parameters, rate, 0
        self.mass, self.square = ([torch.zeros_like(p) for p in parameters] for _ in range(2))

    def step(self, loss: Tensor) -> None:
        slopes = torch.autograd.grad(loss, self.parameters)
        self.count += 1
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        with torch.no_grad():
            for p, slope, mass, square in zip(self.parameters, slopes, self.mass, self.square, strict=True):
                mass.lerp_(slope, 0.1)
                square.mul_(0.999).addcmul_(slope, slope, value=0.001)
                p.addcdiv_(mass, (square / second).sqrt_().add_(1e-8), value=-self.rate / first)


def answer(networks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return mean log-probabilities (N, K) of networks at ``x`` (N, D)."""
    with torch.no_grad():
        return torch.stack([network(x).log_softmax(1) for network in networks]).mean(0)


def spread(networks: Sequence[nn.Module], x: Tensor) -> float:
    """Return how loud networks are: the standard deviation of their logits over classes, mean over ``x`` (N, D)."""
    return float(answer(networks, x[:PROBES]).std(1).mean())


def networks_of(name: str, member: Member) -> Sequence[nn.Module]:
    """Return the networks of this name, made as loud as another, or shuffled, where it says so."""
    w = World.of(member)
    x = drawn(w)[2]
    louder = {AS_LOUD: (UNTRAINED, TRAINED), LOUD_BOUNDARY: (UNTRAINED, TRAINED)}
    louder |= {as_loud(other, key): (other, key) for key, other in PAIRS.items()}
    if name in louder:
        quiet, loud = (trained(plan_of(key, member), w) for key in louder[name])
        return [Loud(network, spread(loud, x) / spread(quiet, x)) for network in quiet]
    found = trained(plan_of(name, member), w)
    return [shuffled(found[0], w, spread(found, x))] if name == SHUFFLED else found


def shuffled(network: nn.Module, w: World, loud: float) -> nn.Module:
    """Return a copy with the entries of each weight tensor in another order, logits scaled to the spread ``loud``."""
    generator, twin = streams(w.seed)("shuffled"), copy.deepcopy(network)
    for p in twin.parameters():
        p.copy_(p.flatten()[torch.from_numpy(generator.permutation(p.numel()))].view_as(p))
    return Loud(twin, loud / spread([twin], drawn(w)[2]))


def measure_network(member: Member, generators: Generators) -> Found:
    """Measure where random planes meet the classes of one network, or the boundaries of neighbouring classes.

    Planes begin at training images of other classes; all networks of a seed are cut by the same planes.
    """
    name = str(member["network"])
    networks = networks_of(name, member)
    x, y, test, truth = drawn(World.of(member))
    pairs = [(c, (c + 1) % CLASSES) for c in range(CLASSES)] if name in (BOUNDARY, LOUD_BOUNDARY) else None
    found = class_dimension(
        list(networks), x, y, targets=pairs, repeats=int(member["planes"]), steps=int(member["climb"]), null=None,
        seed=member.seed,
    )  # fmt: skip
    plan = plan_of(name, member)
    kept = labels_of(plan, y[: plan.samples], member.seed)
    whole = found.data.sel(row="all")
    return {
        "dimension": found.dimension,
        "fitted": float(whole.fitted),
        "moved": float(whole.way),
        "probability": found.data.probability.mean(("target", "repeat")).values,
        "accuracy": float((answer(networks, test).argmax(1) == truth).double().mean()),
        "train_accuracy": float((answer(networks, x[: plan.samples]).argmax(1) == kept).double().mean()),
        "spread": spread(networks, test),
    }


class Tube(nn.Module):
    """A classifier that is sure of class 0 within ``radius`` of a subspace, and of class 1 outside.

    The subspace is that of the last ``subspace`` coordinates, through 0.
    """

    def __init__(self, radius: float, subspace: int) -> None:
        super().__init__()
        self.radius, self.subspace = radius, subspace

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 2), so steep that what counts is the side."""
        away = x[:, : x.shape[1] - self.subspace].square().sum(1)
        return torch.stack([1e4 * (self.radius**2 - away), torch.zeros_like(away)], 1)


def measure_tube(member: Member, generators: Generators) -> Found:
    """Measure the dimension at which planes meet a ball or a tube that is seen from distance 1."""
    subspace = int(member["subspace"])
    x = torch.from_numpy(generators("starts").standard_normal((200, SPACE)))
    seen = SPACE - subspace
    x[:, :seen] /= x[:, :seen].norm(dim=1, keepdim=True)
    x[0, :seen] = 0
    labels = (torch.arange(len(x)) > 0).long()
    dims = sorted({*range(4, SPACE, 4), SPACE})
    found = class_dimension(
        Tube(float(member["ratio"]), subspace), x, labels, dims=dims, targets=[0], repeats=int(member["planes"]),
        steps=int(member["climb"]), rate=0.2, null=None, seed=member.seed,
    )  # fmt: skip
    return {"dimension": found.dimension, "probability": found.data.probability.mean(("target", "repeat")).values}
