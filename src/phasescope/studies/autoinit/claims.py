"""The claims of the study ``autoinit``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, at, at_least, at_most, end, value
from phasescope.studies.autoinit.settings import STARTS, AutoInitSettings
from phasescope.verdict import Claim, Control, Measured
from phasescope.vocabulary import Array

AUTOINIT = "He et al. 2022"
DERIVED = "derived here for ReLU (theory.autoinit)"
OURS = f"{AUTOINIT}, abstract, applies it to VGG and ResMLP; size, data and margin are ours"
ACCURACY = end("test_accuracy")


def claims(s: AutoInitSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_scalar(s), *_networks(s), *_deep(s), *_trained(s), *_vgg(s), *_others(s))


def _scalar(s: AutoInitSettings) -> Sequence[Claim]:
    steps, missed = value("iterations"), value("missed")
    return (
        Claim("rate-limit",
            "Descent on the log loss converges at a rate of 0.95/sigma_w^2, whatever sigma_w^2 from 0.05 to 50 (steps)",
            f"{AUTOINIT}, abstract: convergence for ReLU; {DERIVED}: the error shrinks by 0.9 a step; claim 2.1",
            steps(at("map", factor=0.95)), at_most(200), Control("at 1.05/sigma_w^2", at("map", factor=1.05)),
            unit="steps"),
        Claim("best-rate", "At 0.5/sigma_w^2 it converges quadratically: at most 43 steps to (log J)^2/2 < 1e-12",
            f"{DERIVED}: the count at 0.05, the slowest start (15 at 50, 3 near 2); claim 2.1",
            steps(at("map", factor=0.5)), at_most(43), Control("at 0.1/sigma_w^2", at("map", factor=0.1)),
            unit="steps"),
        Claim("one-step", "There is a rate at which one step reaches J = 1 (distance from 1)",
            f"{DERIVED}, theory.autoinit.one_step_rate; claim 2.2", missed(at("map", factor=1.0)), at_most(1e-12),
            Control("at half of it", at("map", factor=0.5))),
    )  # fmt: skip


def falls(scales: xr.DataArray) -> Array:
    """Return the correlation of each network's ranks with depth (n,): -1 where ``scales`` falls at every block."""
    ranks = scales.transpose("seed", "block").values.argsort(1).argsort(1).astype(float)
    depth = np.arange(ranks.shape[1], dtype=float)
    return np.array([np.corrcoef(row, depth)[0, 1] for row in ranks])


def _inside(scales: xr.DataArray) -> xr.DataArray:
    """Return the share of blocks whose scale lies above the limit of an erf network, and below 1.6."""
    share: xr.DataArray = ((scales > np.sqrt(np.pi) / 2) & (scales < 1.6)).mean("block")
    return share


def _largest(values: xr.DataArray) -> xr.DataArray:
    """Return the largest over all but the seeds; NaN where one is."""
    return values.max([dim for dim in values.dims if dim != "seed"], skipna=False)


def _off_kaiming(scales: xr.DataArray) -> xr.DataArray:
    """Return the largest distance of a scale from Kaiming's, the root of 2."""
    return _largest(abs(scales - np.sqrt(2)))


def _networks(s: AutoInitSettings) -> Sequence[Claim]:
    @partial(Measure, words="steps to a mean |log J| of 0.05, from the slowest start,")
    def steps(cell: xr.Dataset) -> xr.DataArray:
        found: xr.DataArray = cell.mean_steps
        return found.max("start", skipna=False) if "start" in found.dims else found

    @partial(Measure, words="largest distance of sigma_w = root of 8 from Kaiming's,")
    def untuned(cell: xr.Dataset) -> Array:
        return np.full(cell.sizes["seed"], np.sqrt(8) - np.sqrt(2))

    scale, erf = value("scale"), at("erf", activation="erf")
    slowest, square = at("square", rule="log", start=(0.5, 8.0)), at("square", rule="square", start=8.0)
    return (
        Claim("network-steps",
            f"In {s.short} ReLU layers of width {s.wide}, from sigma_w^2 = 0.5 and 8, the log loss at the rate "
            "0.5/sigma_w^2 takes at most 10 steps to a mean |log J| of 0.05",
            f"{AUTOINIT}, abstract; measured with another code: 6 to 7; claim 2.3", steps(slowest), at_most(10),
            Control("the square loss from sigma_w^2 = 8", square), unit="steps"),
        Claim("network-scale",
            "Every block's a sigma_w then is the root of 2 of Kaiming's initialization, within 0.1 (largest distance)",
            f"{DERIVED}; claim 2.3",
            scale.map(_off_kaiming, "largest distance from the root of 2 of {}")(at("square", rule="log")),
            at_most(0.1), Control("sigma_w^2 = 8 untuned", untuned)),
        Claim("square-loss-fails",
            "From sigma_w^2 = 8 the square loss never gets there at that rate: its first step takes a below 0",
            f"{DERIVED}, theory.autoinit.largest_square_rate; claim 2.4", steps(square), at_least(np.inf),
            Control("the log loss", at("square", rule="log", start=8.0)), unit="steps"),
        Claim("erf-falls", "In an erf network a sigma_w falls with depth (rank correlation)",
            "derived here: K falls to 0 along the critical line; claim 2.5",
            scale.map(falls, "rank correlation with depth of {}")(erf), at_most(-0.9),
            Control("a ReLU network", at("erf", activation="relu"))),
        Claim("erf-range", "and lies above its limit, the root of pi/4, and below 1.6 (share of blocks)",
            "derived here; the upper bound is a measurement's with another code; claim 2.5",
            scale.map(_inside, "share of blocks inside of {}")(erf), at_least(1.0),
            Control("untuned, sigma_w = 2", (0 * scale + 2).map(_inside, "share of blocks inside of {}"))),
    )  # fmt: skip


def _starts(experiment: str) -> Cell:
    """Return the cell of all starts, also where there is one."""
    return at(experiment, start=STARTS if experiment == "deep" else STARTS[-1:])


def _deep(s: AutoInitSettings) -> Sequence[Claim]:
    def worst(reading: str, *, best_start: bool = False) -> Measure:
        """Return the largest |log J| of a block: that of the worst start, or of the best."""

        def read(cell: xr.Dataset) -> xr.DataArray:
            logs: xr.DataArray = abs(xr.ufuncs.log(cell[reading])).max("block", skipna=False)
            return logs.min("start", skipna=False) if best_start else logs.max("start", skipna=False)

        return Measure(read, f"largest |log {reading}| of a block, {'best' if best_start else 'worst'} start,")

    @partial(Measure, words="steps from the slowest start")
    def steps(cell: xr.Dataset) -> xr.DataArray:
        slowest: xr.DataArray = cell.steps.max("start", skipna=False)
        return slowest

    def spread(ends: xr.DataArray) -> xr.DataArray:
        logs: xr.DataArray = xr.ufuncs.log(ends)
        return _largest(logs.max("start", skipna=False) - logs.min("start", skipna=False))

    @partial(Measure, words="largest difference over starts of log(a sigma_w)")
    def apart(cell: xr.Dataset) -> xr.DataArray:
        return spread(cell.scale)

    @partial(Measure, words="largest difference over starts of log(sigma_w)")
    def apart_untuned(cell: xr.Dataset) -> xr.DataArray:
        return spread(cell.scale * 0 + cell.start**0.5)

    never = value("steps")(at("square", rule="square", start=8.0))
    untuned = Control(
        "untuned, the best of the starts: its worst block", worst("before", best_start=True)(_starts("deep"))
    )
    names = {"deep": "0.5, 1, 4, 8", "deep_log": "8"}
    rules = {"deep": "the default step", "deep_log": "plain descent at 0.5/sigma_w^2"}
    found = []
    for name, starts in names.items():
        found += [
            Claim(f"{name.replace('_', '-')}-steps",
                f"From sigma_w^2 = {starts} every one of {s.depth} ReLU layers comes to |log J| < 0.05 in at most 20 "
                f"steps by {rules[name]} (the slowest start)",
                f"{AUTOINIT}, abstract; 20 steps are this project's demand", steps(_starts(name)), at_most(20),
                Control("the square loss from sigma_w^2 = 8", never), unit="steps"),
            Claim(f"{name.replace('_', '-')}-critical",
                f"Read with other probes, the worst layer of the worst start has |log J| < 0.05, by {rules[name]}",
                f"{AUTOINIT}, abstract; the tolerance is this project's demand", worst("after")(_starts(name)),
                at_most(0.05), untuned),
        ]  # fmt: skip

    found.append(
        Claim("deep-same",
            "From all four starts the same draw ends as the same network: log(a sigma_w) differs by at most 0.01",
            "derived here: J of a homogeneous network knows a sigma_w alone", apart(_starts("deep")), at_most(0.01),
            Control("untuned", apart_untuned))
    )  # fmt: skip
    return tuple(found)


def _lead(experiment: str, way: str, over: str) -> Measured:
    """Return by how much the test accuracy at the end of one initialization is above that of another."""
    return ACCURACY(at(experiment, way=way)) - ACCURACY(at(experiment, way=over))


def _trained(s: AutoInitSettings) -> Sequence[Claim]:
    @partial(Measure, words="mean distance of training curves")
    def distance(one: xr.Dataset, other: xr.Dataset) -> xr.DataArray:
        found: xr.DataArray = abs(one.train_accuracy - other.train_accuracy).mean("step", skipna=False)
        return found

    he = at("mlp", way="He")
    sentence = f"{s.depth} ReLU layers tuned by AutoInit"
    return (
        Claim("trains-like-he",
            f"{sentence} from sigma_w^2 = 1 come within 0.1 of the test accuracy of He's initialization",
            f"{AUTOINIT}, abstract; the margin is that of the measured scatter; claim 2.6",
            _lead("mlp", "He", "AutoInit"), at_most(0.1),
            Control("sigma_w^2 = 1 untuned", _lead("mlp", "He", "untuned 1"))),
        Claim("curve-like-he", f"{sentence} follow He's training curve: accuracy within 0.1 on average over records",
            f"{AUTOINIT}, abstract; the margin is that of claim 2.6", distance(at("mlp", way="AutoInit"), he),
            at_most(0.1), Control("sigma_w^2 = 1 untuned", distance(at("mlp", way="untuned 1"), he))),
    )  # fmt: skip


@partial(Measure, words="|sum over blocks of log jacobian|")
def growth(cell: xr.Dataset) -> xr.DataArray:
    """Return by how much gradients grow or shrink over the whole depth, as a logarithm (n,)."""
    total: xr.DataArray = xr.ufuncs.log(cell.jacobian).sum("block", skipna=True)
    return abs(total)


def _way(network: str, way: str) -> Cell:
    return at("ways", network=network, way=way)


def _vgg(s: AutoInitSettings) -> Sequence[Claim]:
    return (
        Claim("vgg-critical",
            "AutoInit leaves a VGG with a Jacobian of 1 over its whole depth: |sum of log J| on other noise", OURS,
            growth(_way("VGG", "autoinit")), at_most(0.5), Control("torch's default", _way("VGG", "torch"))),
        Claim("vgg-trains",
            "A VGG without normalization, tuned from torch's default, trains: its lead in test accuracy over that",
            OURS, _lead("vgg", "autoinit", "torch"), at_least(0.5),
            Control("Xavier's", _lead("vgg", "xavier", "torch"))),
        Claim("vgg-like-kaiming", "and is within 0.05 of Kaiming's initialization or better", OURS,
            _lead("vgg", "autoinit", "kaiming"), at_least(-0.05),
            Control("torch's default", _lead("vgg", "torch", "kaiming"))),
        Claim("vgg-beats-lsuv", "and better than LSUV by 0.02", "not in the paper; asked here of the nearest peer",
            _lead("vgg", "autoinit", "lsuv"), at_least(0.02), Control("Kaiming's", _lead("vgg", "kaiming", "lsuv"))),
    )  # fmt: skip


def _others(s: AutoInitSettings) -> Sequence[Claim]:
    def spread(accuracy: xr.DataArray) -> xr.DataArray:
        return accuracy.max("way", skipna=False) - accuracy.min("way", skipna=False)

    best_less_worst = ACCURACY.map(spread, "best less worst of {}")
    return (
        Claim("norm-blind",
            "With batch normalization the initializations differ by at most 0.05 in test accuracy (best less worst)",
            "derived here: the function does not depend on the scale of the weights; the margin is ours",
            best_less_worst(at("vgg_norm")), at_most(0.05), Control("without it", at("vgg"))),
        Claim("resmlp-growth",
            "AutoInit holds the gradients of a ResMLP within a factor e^1.5 over its depth: |sum of log J|",
            "derived here: unscaled skips keep J > 1, AutoInit aims at e in all", growth(_way("ResMLP", "autoinit")),
            at_most(1.5), Control("Kaiming's", _way("ResMLP", "kaiming"))),
        Claim("resmlp-trains",
            "A ResMLP tuned by AutoInit is better than with torch's default by 0.02 in test accuracy", OURS,
            _lead("resmlp", "autoinit", "torch"), at_least(0.02),
            Control("Kaiming's", _lead("resmlp", "kaiming", "torch"))),
    )  # fmt: skip
