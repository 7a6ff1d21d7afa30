"""The dimensions of one network of ``dimensions``, and what they are to tell: generalization, pruning, forgetting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from phasescope.instruments.forgetting import forgotten
from phasescope.instruments.intrinsic_dimension import two_nn
from phasescope.instruments.isotropy import participation_ratio
from phasescope.instruments.parameter_rank import functional_dimension
from phasescope.instruments.regions import decision_regions
from phasescope.instruments.subspaces import flat_objective, learnt_in_subspaces, projection
from phasescope.instruments.weight_pruning import prunability
from phasescope.studies.dimensions.networks import CLASSES, Network, accuracy, continued, several
from phasescope.vocabulary import Array, BadInput, Generators, Member

REACH = 2.0  # of a plane, in units of the distance between its rows


def dimensions_of(network: Network, member: Member, generators: Generators, number: int) -> list[float]:
    """Return the readings of ``settings.DIMENSIONS``, in their order. ``number`` names the network within its seed."""
    x, y = network.rows(most=int(member["points"]))
    with torch.no_grad():
        one, two = network.net.layers(x)
    clouds = [read(cloud) for cloud in (x, one, two) for read in (near, wide)]
    inside = [wide(two[y == c]) for c in range(CLASSES) if int((y == c).sum()) > 2]
    rank = functional_dimension(network.net, x).value
    return [*clouds, *objective(network, member, generators, number), float(rank), float(np.mean(inside)),
            pieces(network, member, generators, number)]  # fmt: skip


def near(cloud: Tensor) -> float:
    """Return TwoNN's dimension; 0 for a cloud of too few different points, which has none."""
    return _or_none(lambda: two_nn(cloud.double()).value)


def wide(cloud: Tensor) -> float:
    """Return the participation ratio; 0 for rows that are all the same."""
    return _or_none(lambda: float(participation_ratio(cloud.double())))


def _or_none(read: Callable[[], float]) -> float:
    try:
        return read()
    except BadInput:
        return 0.0


def objective(network: Network, member: Member, generators: Generators, number: int) -> list[float]:
    """Return how many random directions the training rows need, dense ones and Fastfood's.

    Between two numbers of directions it is read on a line over the logarithm; where the most do not suffice, it is the
    number of parameters.
    """
    x, y = network.rows()
    loss, start, _ = flat_objective(network.start, lambda f: functional.cross_entropy(f(x), y))
    right, _, _ = flat_objective(network.start, lambda f: (f(x).argmax(-1) == y).double().mean())
    dims = [int(d) for d in several(member, "dims") if d <= len(start)]
    frames = [projection(kind, len(start), dims[-1], generators(kind, number)) for kind in ("dense", "fastfood")]
    found = learnt_in_subspaces(
        loss, start, torch.stack(frames).to(start.dtype), dims, steps=int(member["subspace_steps"]),
        rate=float(member["subspace_rate"]),
    )  # fmt: skip
    with torch.no_grad():
        scores = vmap(right)(found.reshape(-1, len(start))).reshape(len(dims), -1).numpy()
    level = float(member["share"]) * network.train_accuracy
    return [where(dims, scores[:, i], level, len(start)) for i in range(scores.shape[1])]


def where(dims: list[int], scores: Array, level: float, size: int) -> float:
    """Return from how many directions scores (dims,) stay at the level, on a line over log d; ``size`` where never."""
    short = np.flatnonzero(scores < level)
    if not len(short):
        return float(dims[0])
    k = int(short[-1])
    if k == len(dims) - 1:
        return float(size)
    part = (level - scores[k]) / (scores[k + 1] - scores[k])
    return float(np.exp((1 - part) * np.log(dims[k]) + part * np.log(dims[k + 1])))


def pieces(network: Network, member: Member, generators: Generators, number: int) -> float:
    """Return how many pieces the regions of all classes have, the mean over planes through three training rows."""
    x, _ = network.rows()
    chance, side = generators("planes", number), int(member["grid"])
    found = []
    for _ in range(int(member["planes"])):
        origin, a, b = x[torch.from_numpy(chance.choice(len(x), 3, replace=False))]
        along = torch.linspace(-REACH / 2, 1 + REACH / 2, side)
        plane = origin + along[:, None, None] * (a - origin) + along[None, :, None] * (b - origin)
        with torch.no_grad():
            answers = network.net(plane.reshape(side * side, -1)).argmax(-1).reshape(side, side)
        found.append(decision_regions(answers.numpy()).pieces.sum())
    return float(np.mean(found))


def outcomes_of(network: Network, member: Member, order: Array) -> list[float]:
    """Return the outcomes of ``settings.OUTCOMES``: test accuracy, prunable share, and test accuracy that is forgotten.

    ``order`` (16,) are the pixels of the second task, which has the same training rows and true labels.
    """
    test, truth = network.rows(test=True)
    x, _ = network.rows()
    true = torch.from_numpy(network.draw.truth[network.draw.train]).long()
    pixels = torch.from_numpy(order)
    after = continued(network.net, x[:, pixels], true, int(member["second_steps"]), float(member["rate"]))
    before = accuracy(network.net, test, truth)
    table = np.array([[before, np.nan], [accuracy(after, test, truth), accuracy(after, test[:, pixels], truth)]])
    kept = prunability(network.net, test, truth.numpy(), within=float(member["within"]))
    return [before, kept.value, float(forgotten(table)[0])]
