"""What the study ``manifold-capacity`` measures per member: uniform and free embeddings, and trained encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.instruments.manifolds import alignment, capacity_error, spectral_flatness, uniformity
from phasescope.losses import centroids, contrastive, mmcr
from phasescope.store.data import data_folder
from phasescope.tasks import digits, emoji, fashion_mnist
from phasescope.theory import manifold_capacity
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]
Batches = Callable[[int], Tensor]


# -- without training ----------------------------------------------------------------------------------------


def uniform_rows(rows: int, dimension: int, generator: np.random.Generator) -> Array:
    """Return points (rows, dimension) uniform on the unit sphere."""
    points = generator.standard_normal((rows, dimension))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def measure_uniform(member: Member, generators: Generators) -> Found:
    """Measure percent error and uniformity of ``data`` uniform embeddings of ``dimension``, means of ``repeats``."""
    sizes = int(member["data"]), int(member["dimension"])
    drawn = [torch.from_numpy(uniform_rows(*sizes, generators("uniform", i))) for i in range(int(member["repeats"]))]
    return {
        "error": np.mean([float(capacity_error(points)) for points in drawn]),
        "uniformity": np.mean([float(uniformity(points)) for points in drawn]),
    }


def measure_bound(member: Member, generators: Generators) -> Found:
    """Measure the largest fraction of the bound over ``draws`` matrices of all kinds with rows in the unit ball.

    Rows are clustered, of low rank, orthonormal or spread, at random norms up to 1. Beside it, the largest fraction of
    what as many uniform embeddings reach.
    """
    largest, over_uniform = 0.0, 0.0
    for i in range(int(member["draws"])):
        g = generators("matrix", i)
        rows, dimension, rank = g.integers(1, 40, 3)
        points = g.standard_normal((rows, rank)) @ g.standard_normal((rank, dimension)) + g.choice([0.0, 3.0])
        points = np.linalg.qr(points.T)[0].T if g.random() < 0.2 else points
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        points *= 1.0 if g.random() < 0.3 else g.random((len(points), 1))
        reached = 1 - float(capacity_error(torch.from_numpy(points)))
        largest = max(largest, reached)
        over_uniform = max(over_uniform, reached / (1 - manifold_capacity.uniform_percent_error(*points.shape)))
    return {"share": largest, "over_uniform": over_uniform}


def measure_free(member: Member, generators: Generators) -> Found:
    """Measure the percent error along a gradient flow of free unit embeddings, at equal steps of ``time`` ``horizon``.

    Euler steps of ``rate``; after each, rows return to the unit sphere.
    """
    points = torch.from_numpy(uniform_rows(int(member["data"]), int(member["dimension"]), generators("embeddings")))
    rate, every = float(member["rate"]), int(member["every"])
    errors = []
    for step in range(round(float(member["horizon"]) / rate) + 1):
        left, values, right = torch.linalg.svd(points, full_matrices=False)
        if step % every == 0:
            bound = (points.shape[0] * len(values)) ** 0.5
            errors.append(1 - float(values.sum()) / bound)
        ascent = left @ right
        ascent -= (ascent * points).sum(1, keepdim=True) * points
        points = torch.nn.functional.normalize(points + rate * ascent, dim=1)
    return {"error": np.array(errors)}


# -- encoders ------------------------------------------------------------------------------------------------


def encoder(inputs: int, width: int, outputs: int, generator: np.random.Generator) -> nn.Sequential:
    """Return an MLP inputs-width-width-outputs with batch normalization and ReLU, initialized as torch does."""
    sizes = (inputs, width, width, outputs)
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        linear: nn.Linear = torch.nn.utils.skip_init(nn.Linear, before, after)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter in linear.parameters():
                drawn = generator.uniform(-1, 1, tuple(parameter.shape)) / np.sqrt(before)
                parameter.copy_(torch.from_numpy(drawn))
        layers += [linear] if i == 2 else [linear, nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def embed(network: nn.Module, views: Tensor) -> Tensor:
    """Return the embeddings (P, K, D) of ``views`` (P, K, S), all in one batch."""
    return network(views.flatten(0, 1)).unflatten(0, views.shape[:2])  # type: ignore[no-any-return]


def descend(parameters: Iterable[Tensor], loss_at: Callable[[int], Tensor], steps: int, rate: float) -> Array:
    """Train by Adam and return the loss (steps,) of each batch before its step."""
    optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
    losses = np.zeros(steps)
    for step in range(steps):
        loss = loss_at(step)
        losses[step] = loss.item()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return losses


def fit(network: nn.Module, batches: Batches, steps: int, rate: float, data: int, dimension: int) -> Array:
    """Train on MMCR and return the percent error (steps,) of each batch of ``data`` before its step."""
    losses = descend(network.parameters(), lambda step: mmcr(embed(network, batches(step))), steps, rate)
    return np.asarray(1 + losses / (data * min(data, dimension)) ** 0.5)


def windows(errors: Array, edges: tuple[int, ...]) -> Array:
    """Return the mean of ``errors`` (T,) between successive ``edges``, from 0 on: one number per edge."""
    return np.array([errors[low:high].mean() for low, high in pairwise((0, *edges))])


def noise_batches(member: Member, generators: Generators) -> Batches:
    """Return batches (P, K, S) of views x + ``noise`` e of fresh Gaussian data x, the world of the sweeps."""
    data, views, inputs = (int(member[name]) for name in ("data", "views", "inputs"))

    def batch(step: int) -> Tensor:
        g = generators("batch", step)
        x = g.standard_normal((data, 1, inputs), dtype=np.float32)
        return torch.from_numpy(
            x + np.float32(member["noise"]) * g.standard_normal((data, views, inputs), dtype=np.float32)
        )

    return batch


def measure_sweep(member: Member, generators: Generators) -> Found:
    """Train an encoder on noisy views of Gaussian data; measure its percent error over steps and what limits it."""
    network = encoder(int(member["inputs"]), int(member["width"]), int(member["dimension"]), generators("init"))
    batches, steps = noise_batches(member, generators), int(member["steps"])
    errors = fit(network, batches, steps, float(member["rate"]), int(member["data"]), int(member["dimension"]))
    with torch.no_grad():
        means = torch.stack([centroids(embed(network, batches(steps + i))) for i in range(8)])
    return {
        "curve": windows(errors, tuple(member["edges"])),  # type: ignore[arg-type]
        "error": errors[-int(member["last"]) :].mean(),
        "flatness": float(spectral_flatness(means).mean()),
        "length": float(means.square().sum(-1).mean().sqrt()),
    }


# -- real images ---------------------------------------------------------------------------------------------


def shifted(images: Array, generator: np.random.Generator, reach: int, noise: float) -> Array:
    """Return views of ``images`` (N, side, side), flat (N, side^2): moved by up to ``reach`` pixels, dimmed, noisy.

    A view is shifted with the edge repeated, scaled by a factor in [0.7, 1.3], and pixel noise is added.
    """
    count, side, _ = images.shape
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    corner = generator.integers(0, 2 * reach + 1, (2, count, 1))
    rows, columns = corner + np.arange(side)
    moved = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]].reshape(count, -1)
    moved = moved * generator.uniform(0.7, 1.3, (count, 1))
    return np.asarray(moved + noise * generator.standard_normal(moved.shape), dtype=np.float32)


def probe(features: Array, labels: Array, train: Array, test: Array, ridge: float = 1.0) -> float:
    """Return the test accuracy of a linear ridge classifier on standardized ``features`` (N, F): the linear probe."""
    seen = features[train]
    scale = seen.std(0) + 1e-6
    x = np.column_stack([(features - seen.mean(0)) / scale, np.ones(len(features))])
    targets = np.eye(labels.max() + 1)[labels[train]]
    gram = x[train].T @ x[train] + ridge * np.eye(x.shape[1])
    answers = (x[test] @ np.linalg.solve(gram, x[train].T @ targets)).argmax(1)
    return float((answers == labels[test]).mean())


def measure_images(member: Member, generators: Generators) -> Found:
    """Train an encoder on views of real images and probe it with few labels; ``views_of`` what: the same, or others.

    With ``views_of`` "other" the views of a datum are of different images: the control without anything to align.
    """
    table = digits() if member["images"] == "digits" else fashion_mnist(data_folder(str(member["images"])))
    draw = table.draw(Member({}, member.seed), generators)
    side = round(table.inputs.shape[1] ** 0.5)
    pixels = table.inputs.reshape(-1, side, side)
    views, data, reach, noise = int(member["views"]), int(member["data"]), int(member["reach"]), float(member["noise"])

    def batch(step: int, rows: Array = draw.train, other: bool = member["views_of"] == "other") -> Tensor:
        g = generators("batch", step)
        chosen = np.repeat(g.choice(rows, data, replace=False), views)
        chosen = g.permutation(chosen) if other else chosen
        return torch.from_numpy(shifted(pixels[chosen], g, reach, noise).reshape(data, views, -1))

    network = encoder(side * side, int(member["width"]), int(member["dimension"]), generators("init"))
    steps = int(member["steps"])
    errors = np.array([np.nan])
    if steps:
        errors = fit(network, batch, steps, float(member["rate"]), data, int(member["dimension"]))
    network.eval()
    with torch.no_grad():
        held = embed(network, batch(steps, draw.test, other=False))
        features = network[:-1](torch.from_numpy(table.inputs)).double().numpy()
    # fifty labels say little: the mean over several draws of them is what a probe is worth
    few = [
        generators("labelled", i).permutation(draw.train)[: int(member["labelled"])]
        for i in range(int(member["label_draws"]))
    ]
    raw = table.inputs.astype(np.float64)
    return {
        "error": errors[-int(member["last"]) :].mean(),
        "held_error": float(capacity_error(centroids(held))),
        "alignment": float(alignment(held)),
        "uniformity": float(uniformity(held[:, 0])),
        "probe": np.mean([probe(features, table.labels, rows, draw.test) for rows in few]),
        "probe_all": probe(features, table.labels, draw.train, draw.test),
        "pixels": np.mean([probe(raw, table.labels, rows, draw.test) for rows in few]),
    }


# -- images and texts ----------------------------------------------------------------------------------------


AMONG = 10  # nearest ones of the other side, of which one must be the partner


def recall(embeddings: Tensor, among: int = AMONG) -> float:
    """Return the fraction of ``embeddings`` (N, 2, D) whose partner is among the nearest; mean of both ways."""
    unit = torch.nn.functional.normalize(embeddings, dim=-1)
    cosine = unit[:, 0] @ unit[:, 1].T
    own = cosine.diagonal()
    nearer = [(cosine > own[:, None]).sum(1), (cosine > own[None, :]).sum(0)]
    return float(torch.stack([(n < among).double().mean() for n in nearer]).mean())


def measure_pairs(member: Member, generators: Generators) -> Found:
    """Train an image encoder and a text encoder on pairs by ``objective`` "mmcr" or "contrastive"; find held-out pairs.

    With ``partner`` "other" each image is trained with the text of another one: the control.
    """
    pairs = emoji(data_folder(str(member["pairs"])))
    order = generators("split").permutation(len(pairs.captions))
    test, train = np.split(order, [len(order) // 5])
    partners = generators("partner").permutation(train) if member["partner"] == "other" else train
    width, dimension = int(member["width"]), int(member["dimension"])
    towers = nn.ModuleList(
        encoder(values.shape[1], width, dimension, generators("init", i))
        for i, values in enumerate((pairs.images, pairs.texts))
    )

    def embedded(images: Array, texts: Array) -> Tensor:
        both = (pairs.images[images], pairs.texts[texts])
        return torch.stack([tower(torch.from_numpy(x)) for tower, x in zip(towers, both, strict=True)], 1)

    def loss_at(step: int) -> Tensor:
        rows = generators("batch", step).choice(len(train), int(member["data"]), replace=False)
        z = embedded(train[rows], partners[rows])
        return mmcr(z) if member["objective"] == "mmcr" else contrastive(z[:, 0], z[:, 1])

    losses = descend(towers.parameters(), loss_at, int(member["steps"]), float(member["rate"]))
    towers.eval()
    with torch.no_grad():
        held = embedded(test, test)
    return {"loss": losses[-50:].mean(), "recall": recall(held), "chance": AMONG / len(test)}
