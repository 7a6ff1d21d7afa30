"""The networks of one seed of ``grokking-time``: trained in every cell, and read in the first steps alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
import xarray as xr

from phasescope.ensemble import final, streams, train
from phasescope.instruments.fourier import mean_participation, phase_alignment
from phasescope.instruments.logits import test_accuracy, test_loss, train_accuracy, train_loss
from phasescope.instruments.neural_tangent_kernel import kernel_distance, tangent_kernel
from phasescope.instruments.norms import gradient_norm, weight_norm
from phasescope.lab.readings import crossing
from phasescope.learners import PowerMLP
from phasescope.studies.grokking_time.settings import AXES
from phasescope.tasks import ModularTable, addition
from phasescope.vocabulary import Array, BadInput, Member, Recipe, Scatter

MOST = 1 << 16  # networks that one seed of the study may have
EARLY = (train_loss, train_accuracy, test_loss, test_accuracy, weight_norm, gradient_norm, mean_participation,
         phase_alignment)  # fmt: skip
READ = (
    "log step of memorization", "memorized", "area under training accuracy", "log training loss",
    "log training loss at half", "slope of log training loss", "log weight norm", "growth of weight norm",
    "growth of weight norm at half", "log gradient norm", "participation", "rise of participation", "phase alignment",
    "rise of phase alignment", "kernel distance", "distance of weights",
)  # fmt: skip
"""What is read of training rows and weights in the first steps; of test rows nothing."""
CURVE_READ = ("test accuracy", "log test loss", "slope of log test loss")
TINY = 1e-12  # of a loss, for a logarithm


@dataclass(frozen=True)
class Trained:
    """Networks (n,) of one seed: their ``coordinates`` (n, 4), early ``readings`` and test ``curve`` (n, ...).

    ``step`` (n,) is when test accuracy first reached the level: inf where it never did. ``memorized`` (n,) is when
    training accuracy did; ``already`` (n,) says which had reached the level when the first steps were over.
    """

    coordinates: Array
    readings: Array
    curve: Array
    step: Array
    memorized: Array
    already: Array


def several(member: Member, name: str) -> list[Any]:
    """Return the numbers that a member has under one name."""
    found: Any = member[name]
    return list(found)


def cells(member: Member) -> list[tuple[Any, ...]]:
    """Return the place of every network: modulus, decay, fraction, corruption, twin, the last running fastest."""
    names = ("moduli", "decays", "fractions", "corruptions")
    return list(product(*(several(member, name) for name in names), range(int(member["twins"]))))


def networks(member: Member) -> Trained:
    """Return all networks of one seed, in the order of ``cells``: no two have a seed in common, nor do two seeds."""
    places = cells(member)
    if len(places) > MOST:
        raise BadInput(f"a seed has {len(places):,} networks: give {MOST:,} or fewer.")
    parts, first = [], 0
    for p in several(member, "moduli"):
        own = [place for place in places if place[0] == p]
        parts.append(_of_modulus(member, int(p), own, member.seed * MOST + first))
        first += len(own)
    return Trained(*(np.concatenate([getattr(part, name) for part in parts]) for name in Trained.__annotations__))


def _of_modulus(member: Member, p: int, places: list[tuple[Any, ...]], first: int) -> Trained:
    knobs = [dict(zip(("weight_decay", "train_fraction", "corruption"), place[1:4], strict=True)) for place in places]
    grid = Scatter([Member(own, first + i) for i, own in enumerate(knobs)])
    net, task = PowerMLP(p, int(member["width"])), addition(p)
    steps, window = int(member["steps"]), int(member["window"])
    rate = float(member["rate"])
    short = Recipe(lr=rate, steps=window, records=min(int(member["early_records"]), window), spacing="linear")
    long = Recipe(lr=rate, steps=steps, records=int(member["records"]), first_record=min(16, steps),
                  level=float(member["level"]), overtime=1.0)  # fmt: skip
    early = train(net, task, grid, short, list(EARLY), keep=[0], workers=1, device="cpu")
    whole = train(net, task, grid, long, [train_accuracy, test_accuracy], workers=1, device="cpu")
    moved = np.array([_moved(net, task, early, i, m, int(member["probes"])) for i, m in enumerate(grid)])
    step = crossing(whole.test_accuracy, float(member["level"])).values
    known = crossing(early.train_accuracy, float(member["known"])).values
    readings, curve = read(early, known, moved)
    return Trained(
        np.array([[p, *place[1:4]] for place in places], dtype=float), readings, curve, step, known,
        crossing(early.test_accuracy, float(member["level"])).values <= window,
    )  # fmt: skip


def _moved(net: PowerMLP, task: ModularTable, early: xr.Dataset, i: int, member: Member, probes: int) -> list[float]:
    """Return how far the tangent kernel on some training rows, and the weights, are from their start."""
    data = early.isel(member=[i])
    before, after = ({k: torch.from_numpy(np.array(v)) for k, v in found.items()}
                     for found in (final(data, step=0), final(data)))  # fmt: skip
    rows = task.draw(member, streams(member.seed)).train
    inputs = torch.from_numpy(task.inputs[rows[np.linspace(0, len(rows) - 1, probes).astype(int)]])
    start, end = (tangent_kernel(net, inputs, parameters=weights) for weights in (before, after))
    gone = sum(float((after[k] - before[k]).square().sum()) for k in before)
    size = sum(float(before[k].square().sum()) for k in before)
    return [float(kernel_distance(start, end)), float(np.sqrt(gone / size))]


def read(early: xr.Dataset, known: Array, moved: Array) -> tuple[Array, Array]:
    """Return the readings (n, 16) and the test curve (n, 3) of the first steps.

    ``known`` (n,) is the step of memorization, inf where it lies beyond: it counts as the last step then, and another
    reading says so. ``moved`` (n, 2) are the distances of kernel and weights from their start.
    """

    def curve_of(name: str) -> Array:
        found = early[name].mean("neuron") if "neuron" in early[name].dims else early[name]
        return np.asarray(found.transpose("member", "step").values, dtype=float)

    steps = early.step.values.astype(float)
    half = len(steps) // 2
    loss, test = (np.log(np.maximum(curve_of(name), TINY)) for name in ("train_loss", "test_loss"))
    norm, gradient = curve_of("weight_norm"), curve_of("gradient_norm")
    ratio, aligned, right = curve_of("mean_participation"), curve_of("phase_alignment"), curve_of("train_accuracy")
    rest = steps[-1] - steps[half]
    readings = np.column_stack([
        np.log(np.minimum(np.maximum(known, 1), steps[-1])), np.isfinite(known),
        np.trapezoid(right, steps, axis=1) / steps[-1], loss[:, -1], loss[:, half],
        (loss[:, -1] - loss[:, half]) / rest, np.log(norm[:, -1]), np.log(norm[:, -1] / norm[:, 0]),
        np.log(norm[:, half] / norm[:, 0]), np.log(np.maximum(gradient[:, -1], TINY)), ratio[:, -1],
        ratio[:, -1] - ratio[:, 0], aligned[:, -1], aligned[:, -1] - aligned[:, 0], moved,
    ])  # fmt: skip
    return readings, np.column_stack(
        [curve_of("test_accuracy")[:, -1], test[:, -1], (test[:, -1] - test[:, half]) / rest]
    )


def laid_out(member: Member, values: Array) -> Array:
    """Return values (..., n) of networks along ``AXES``."""
    sizes = [len(several(member, name)) for name in ("moduli", "decays", "fractions", "corruptions")]
    return np.asarray(values).reshape(*np.shape(values)[:-1], *sizes, int(member["twins"]))


def places(settings: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the places along ``AXES``."""
    names = ("moduli", "decays", "fractions", "corruptions")
    return dict(zip(AXES, (*(tuple(settings[name]) for name in names), tuple(range(settings["twins"]))), strict=True))
