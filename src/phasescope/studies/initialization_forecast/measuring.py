"""One network of ``initialization-forecast``: what is read before training, and how every rate ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.func import functional_call

from phasescope.ensemble import final, train
from phasescope.ensemble.streams import initialized, streams
from phasescope.inspection.measure import inspect
from phasescope.inspection.signs import SIGNS, normalizes, signs_of, tangent_of
from phasescope.instruments.logits import LEARNING
from phasescope.instruments.neural_tangent_kernel import kernel_distance
from phasescope.instruments.signal import gradient_norms
from phasescope.studies.initialization_forecast.networks import CLASSES, Network, drawing
from phasescope.studies.initialization_forecast.settings import FAMILIES, RATES, WARMED
from phasescope.tasks.images import digits
from phasescope.tasks.table import Table
from phasescope.vocabulary import Array, BadInput, Generators, Member, Recipe, Scatter

MOST = 1 << 16  # networks that one seed of the study may have
SEEN = 128  # images on which the movement of features is read


def inner(member: Member) -> int:
    """Return the seed of one network: of its weights, its split into training and test rows, and its batches."""
    number = FAMILIES.index(str(member["family"])) * 1024 + int(member["draw"])
    if int(member["draw"]) >= 1024:
        raise BadInput(f"draw is {member['draw']}: at most 1024 networks of a family are drawn for one seed.")
    return member.seed * MOST + number


def measure_network(member: Member, generators: Generators) -> dict[str, Any]:
    """Return the signs of one network, and the accuracies, losses and moved features of its trainings.

    ``member``: ``family``, ``draw``, and the numbers of the settings.
    """
    seed = inner(member)
    drawn = drawing(str(member["family"]), int(member["deepest"]), streams(seed)("network"))
    network = Network(drawn)
    net, task = initialized(network, seed), pictures(seed, int(member["rows"]))
    x, y = (torch.from_numpy(np.asarray(values)[: int(member["samples"])]) for values in (task.inputs, task.labels))
    found = before(net, x, y.long(), seed, int(member["probes"]))
    found |= trained(network, net, seed, task, member)
    return found | {
        "depth": drawn.depth, "width": drawn.width, "log_variance": math.log2(drawn.variance),
        "parameters": sum(p.numel() for p in net.parameters()),
    }  # fmt: skip


def pictures(seed: int, rows: int) -> Table:
    """Return ``rows`` of scikit-learn's digits, chosen at random: four in five train, the others test."""
    task = digits()
    chosen = streams(seed)("rows").permutation(len(task.inputs))[:rows]
    return Table("digits", np.asarray(task.inputs)[chosen], np.asarray(task.labels)[chosen], CLASSES, 0.8)


def before(net: nn.Module, x: Tensor, y: Tensor, seed: int, probes: int) -> dict[str, Any]:
    """Return what is read of an untrained network: its signs (F,), and log10 of the loss's gradient norm."""
    names = list(SIGNS)
    try:
        read = inspect(net, x, probes=probes, seed=seed, advice=False, forecast=False)
        tangent = tangent_of(net, x, streams(seed)("tangent"), probes)
        seen = signs_of(read, normalizes(net), tangent)
    except BadInput:  # a signal that is not finite: no reading, and no forecast
        return {"signs": np.full(len(names), math.nan), "gradient": math.nan}
    norms = gradient_norms(
        net, x, generator=streams(seed)("gradient"), loss=lambda out: nn.functional.cross_entropy(out, y)
    )
    squared = sum(value for value, _ in norms.values())
    return {
        "signs": np.array([seen[name] for name in names]),
        "gradient": 0.5 * math.log10(min(max(squared, 1e-60), 1e60)) if math.isfinite(squared) else math.nan,
    }


def runs(member: Member, seed: int) -> Scatter:
    """Return the trainings of one network: every rate, and one of them once more with a warm-up."""
    half = int(member["steps"]) // 2
    plain = [Member({"lr": rate, "warmup": 0}, seed) for rate in RATES]
    return Scatter([*plain, Member({"lr": WARMED, "warmup": half}, seed)])


def trained(network: Network, net: nn.Module, seed: int, task: Table, member: Member) -> dict[str, Any]:
    """Return how each training ended (R,): ``accuracy`` on the test rows, ``loss`` last over first, ``moved``.

    A training that diverged has the accuracy 0 and the loss inf. ``moved`` is that of the most accurate training: one
    minus the cosine of the centred Gram matrices of the last features before and after.
    """
    recipe = Recipe(
        optimizer="sgd", momentum=0.9, lr=RATES[0], steps=int(member["steps"]), batch=int(member["batch"]),
        loss="cross_entropy", records=2, first_record=int(member["steps"]),
    )  # fmt: skip
    # convolutions of stacked networks are taken in groups, which on a CPU is ten times as slow as one by one
    engine: Literal["looped", "stacked"] = "looped" if member["family"] == "CNN" else "stacked"
    data = train(network, task, runs(member, seed), recipe, list(LEARNING), engine=engine, workers=1, device="cpu")
    accuracy, loss = ended(data)
    best = int(np.argmax(accuracy))
    return {
        "accuracy": accuracy,
        "loss": loss,
        "moved": moved(net, task, data, best) if accuracy[best] > 0 else math.nan,
    }


def ended(data: xr.Dataset) -> tuple[Array, Array]:
    """Return test accuracies (R,) and training losses, the last over the first (R,), of trainings side by side."""
    accuracy = data.test_accuracy.transpose("member", "step").values[:, -1].astype(float)
    losses = data.train_loss.transpose("member", "step").values.astype(float)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ratio = losses[:, -1] / losses[:, 0]
    alive = np.isfinite(accuracy) & np.isfinite(ratio)
    return np.where(alive, accuracy, 0.0), np.where(alive, ratio, np.inf)


def moved(net: nn.Module, task: Table, data: xr.Dataset, best: int) -> float:
    """Return how far the features of the training number ``best`` have moved from those of ``net``, in [0, 1]."""
    x = torch.from_numpy(np.asarray(task.inputs[:SEEN]))
    values = {name: torch.from_numpy(np.array(value)) for name, value in final(data.isel(member=[best])).items()}
    return float(kernel_distance(_gram(net, x, {}), _gram(net, x, values)))


def _gram(net: nn.Module, x: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    names = {name: value for name, value in values.items() if name in dict(net.named_parameters())}
    kept: list[Tensor] = []
    assert isinstance(net, Network)
    handle = net.readout.register_forward_pre_hook(lambda part, args: kept.append(args[0]))
    try:
        with torch.no_grad():
            functional_call(net, {**{n: b.clone() for n, b in net.named_buffers()}, **names}, (x,))
    finally:
        handle.remove()
    features = kept[0].double()
    features = features - features.mean(0)
    return features @ features.T
