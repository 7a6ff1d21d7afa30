"""The networks of the study ``stochastic-collapse``: a large learning rate first, a small one after it.

One GELU network per schedule, all from the same weights and on the same batches and label noise, so that they differ in
the moment of the drop alone. They are stacked along their first axis and trained together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from phasescope.ensemble import streams
from phasescope.instruments.neuron_independence import neuron_groups
from phasescope.studies.stochastic_collapse.walks import record_steps
from phasescope.tasks import digits
from phasescope.vocabulary import Generators, Member

CASES = ("both", "no label noise", "no weight decay")
FULL_CASES = ("both", "no label noise")  # on full batches
CHUNK = 500  # steps whose batches and label noise are drawn at once


def start(widths: list[int], copies: int, generators: Generators) -> list[Tensor]:
    """Return weights (copies, in, out) and biases (copies, 1, out) per layer: N(0, 2 / in) and 0, all copies equal."""
    generator, found = generators("init"), []
    for i, o in pairwise(widths):
        weights = generator.standard_normal((1, i, o)) * np.sqrt(2 / i)
        found.append(torch.from_numpy(weights.astype(np.float32)).repeat(copies, 1, 1).requires_grad_())
        found.append(torch.zeros(copies, 1, o, requires_grad=True))
    return found


def answer(parameters: list[Tensor], x: Tensor) -> Tensor:
    """Return the logits (copies, N, K) of each copy for inputs ``x`` (N, S)."""
    h = x.expand(len(parameters[0]), *x.shape)
    for i in range(0, len(parameters), 2):
        h = torch.baddbmm(parameters[i + 1], h if i == 0 else functional.gelu(h), parameters[i])
    return h


def fractions(parameters: list[Tensor]) -> list[list[float]]:
    """Return the fraction of independent neurons (copies, hidden layers); NaN for a network that diverged."""
    found = []
    for copy in range(len(parameters[0])):
        layers = [(parameters[i][copy], parameters[i + 1][copy], parameters[i + 2][copy]) for i in _hidden(parameters)]
        vectors = [torch.cat([w.T, b.T, onward], 1).detach() for w, b, onward in layers]
        counts = [int(neuron_groups(v).max()) + 1 if bool(torch.isfinite(v).all()) else np.nan for v in vectors]
        found.append([count / len(v) for count, v in zip(counts, vectors, strict=True)])
    return found


def _hidden(parameters: list[Tensor]) -> range:
    return range(0, len(parameters) - 2, 2)


def schedule(member: Member, generators: Generators) -> dict[str, Any]:
    """Train digits by SGD with momentum, at rate ``high`` until ``drops`` (fractions of all steps), then at ``low``.

    The loss is half the squared distance to one-hot targets plus label noise sigma N(0, 1), mean over the batch;
    momentum 0.9. Each schedule is trained in each of ``cases``, on batches of ``batch`` images, 0 for all of them. The
    first ``warmup`` steps raise the rate from 0. Returns per case, drop and record the fraction of independent neurons
    in each hidden layer, and both accuracies.
    """
    steps, warmup = int(member["steps"]), int(member["warmup"])
    draw = digits(float(member["images"])).draw(member, streams(member.seed))
    x, labels = torch.from_numpy(draw.inputs), torch.from_numpy(draw.labels).long()
    parts = torch.from_numpy(draw.train).long(), torch.from_numpy(draw.test).long()
    hot = functional.one_hot(labels).float()
    drops: Any = member["drops"]
    cases: Any = member["cases"]
    copies = list(product(cases, drops))
    until = np.array([drop for _, drop in copies]) * steps
    sigma = _column(float(member["sigma"]) * (case != "no label noise") for case, _ in copies)
    decay = _column(float(member["decay"]) * (case != "no weight decay") for case, _ in copies)
    hidden = [int(member["width"])] * int(member["depth"])
    parameters = start([x.shape[1], *hidden, hot.shape[1]], len(copies), generators)
    speeds = [torch.zeros_like(p) for p in parameters]
    records, found = record_steps(steps, int(member["records"])), [_read(parameters, x, labels, *parts)]
    for step, (chosen, noise) in enumerate(_batches(member, generators, len(parts[0]), hot.shape[1]), 1):
        rows = parts[0][chosen]
        loss = (answer(parameters, x[rows]) - hot[rows] - sigma * noise).square().sum(-1).mean(-1).sum() / 2
        rate = _column(np.where(step <= until, member["high"], member["low"]) * min(step / warmup, 1.0))
        _descend(parameters, speeds, torch.autograd.grad(loss, parameters), rate, decay)
        if step == records[len(found) - 1]:
            found.append(_read(parameters, x, labels, *parts))
    names = ("independent", "train_accuracy", "test_accuracy")
    stacked = [np.stack(part, 1) for part in zip(*found, strict=True)]
    return {n: v.reshape(len(cases), -1, *v.shape[1:]) for n, v in zip(names, stacked, strict=True)}


def _column(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)[:, None, None]


def _batches(member: Member, generators: Generators, rows: int, classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the training rows (batch,) of each step, drawn with replacement or all, and its noise (batch, classes)."""
    steps, batch = int(member["steps"]), int(member["batch"])
    for chunk in range(-(-steps // CHUNK)):
        count, order, noise = min(CHUNK, steps - chunk * CHUNK), generators("order", chunk), generators("noise", chunk)
        for _ in range(count):
            chosen = order.integers(0, rows, batch) if batch else np.arange(rows)
            drawn = noise.standard_normal((len(chosen), classes), np.float32)
            yield torch.from_numpy(chosen), torch.from_numpy(drawn)


@torch.no_grad()
def _descend(parameters: list[Tensor], speeds: list[Tensor], gradients: Any, rate: Tensor, decay: Tensor) -> None:
    """Make one step of torch's SGD with momentum 0.9 and weight decay in the gradient."""
    for p, speed, gradient in zip(parameters, speeds, gradients, strict=True):
        speed.mul_(0.9).add_(gradient).addcmul_(decay, p)
        p.sub_(rate * speed)


@torch.no_grad()
def _read(parameters: list[Tensor], x: Tensor, labels: Tensor, train: Tensor, test: Tensor) -> tuple[Any, Any, Any]:
    right = (answer(parameters, x).argmax(-1) == labels).double()
    return np.array(fractions(parameters)), right[:, train].mean(1).numpy(), right[:, test].mean(1).numpy()
