"""The claims of the study ``autoinit``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Cell, Measure, at, at_least, at_most, end, value
from phasescope.studies.autoinit.settings import ENDS, STARTS, AutoInitSettings
from phasescope.verdict import Claim, Control, Measured, Source
from phasescope.vocabulary import Array

AUTOINIT = "He et al. 2022, abstract"
RELU = partial(Source, paper=f"{AUTOINIT}: the dynamics and the convergence for ReLU networks")
DEEP = f"{AUTOINIT}: AutoInit brings networks to criticality"
IMAGES = partial(Source, paper=f"{AUTOINIT}: applied to VGG and ResMLP")
OURS = "size, data and number are ours"
DEMAND = "what we ask of a tuned network"
ACCURACY = end("test_accuracy")
POSITIVE = (0.0, np.inf)
LEADS = (-1.0, 1.0)  # what one accuracy can be above another


def claims(s: AutoInitSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_rates(s), *_networks(s), *_deep(s), *_trained(s), *_vgg(s), *_others(s))


def _largest(values: xr.DataArray) -> xr.DataArray:
    """Return the largest over all but the seeds; NaN where one is."""
    return values.max([dim for dim in values.dims if dim != "seed"], skipna=False)


def slowest(reading: str, words: str) -> Measure:
    """Return a reading of tuned networks at the start, of those in the cell, where it is largest."""
    return value(reading).map(_largest, f"{words}, from the worst start,")


STEPS = slowest("steps", "steps to |log J| < 0.05 in every block")
FINE_STEPS = slowest("fine_steps", "steps to |log J| < 1e-4 in every block")
MEAN_STEPS = slowest("mean_steps", "steps to a mean |log J| of 0.05")
LANDED = slowest("landed", "mean |log J| after one step")


def _at_rate(factor: float) -> Cell:
    """Return the networks tuned by plain descent at factor/sigma_w^2, from both starts."""
    return at("rates", factor=factor, start=ENDS)


def _rates(s: AutoInitSettings) -> Sequence[Claim]:
    nets = f"in {s.short} ReLU layers of width {s.wide}, from sigma_w^2 = 0.5 and 8"
    return (
        Claim("rate-limit",
            f"Descent on the log loss converges at a rate of 0.75/sigma_w^2: at most 20 steps to |log J| < 0.05 {nets}",
            RELU(derived="theory.autoinit.largest_rate", value="it converges below 1/sigma_w^2", tolerance=DEMAND),
            STEPS(_at_rate(0.75)), at_most(20), Control("at 1.25/sigma_w^2", _at_rate(1.25)), unit="steps",
            range=POSITIVE),
        Claim("best-rate",
            f"At 0.5/sigma_w^2 it converges quadratically: at most 12 steps to |log J| < 1e-4 {nets}",
            RELU(derived="theory.autoinit.largest_rate", value="at half the largest rate the linear factor is 0",
                tolerance="ours: 12 steps, as asked at first; a layer by itself takes 7"),
            FINE_STEPS(_at_rate(0.5)), at_most(12), Control("at 0.25/sigma_w^2", _at_rate(0.25)), unit="steps",
            range=POSITIVE),
        Claim("one-step", f"There is a rate at which one step reaches J = 1: mean |log J| after it, {nets}",
            RELU(derived="theory.autoinit.one_step_rate", value="0 for a layer by itself", tolerance=DEMAND),
            LANDED(at("single", start=ENDS)), at_most(0.05),
            Control("at 0.5/sigma_w^2, the rate of quadratic convergence", _at_rate(0.5)), range=POSITIVE),
    )  # fmt: skip


def falls(scales: xr.DataArray) -> Array:
    """Return the correlation of each network's ranks with depth (n,): -1 where ``scales`` falls at every block."""
    ranks = scales.transpose("seed", "block").values.argsort(1).argsort(1).astype(float)
    depth = np.arange(ranks.shape[1], dtype=float)
    return np.array([np.corrcoef(row, depth)[0, 1] for row in ranks])


def _inside(scales: xr.DataArray) -> xr.DataArray:
    """Return the fraction of blocks whose scale lies above the limit of an erf network, and below ReLU's."""
    found: xr.DataArray = ((scales > np.sqrt(np.pi) / 2) & (scales < np.sqrt(2))).mean("block")
    return found


def _off_kaiming(scales: xr.DataArray) -> xr.DataArray:
    """Return the largest distance of a scale from Kaiming's, the root of 2."""
    return _largest(abs(scales - np.sqrt(2)))


def _networks(s: AutoInitSettings) -> Sequence[Claim]:
    scale, erf, relu = value("scale"), at("erf", activation="erf"), at("erf", activation="relu")
    off = scale.map(_off_kaiming, "largest distance from the root of 2 of {}")
    pilot = "two networks of 10 layers of width 300"
    return (
        Claim("network-steps",
            f"In {s.short} ReLU layers of width {s.wide}, from sigma_w^2 = 0.5 and 8, the log loss at the rate "
            "0.5/sigma_w^2 takes at most 10 steps to a mean |log J| of 0.05",
            RELU(pilot=pilot, value="6 to 7 steps", tolerance="what the pilot took, rounded up to ten"),
            MEAN_STEPS(_at_rate(0.5)), at_most(10), Control("at 0.1/sigma_w^2", _at_rate(0.1)), unit="steps",
            range=POSITIVE),
        Claim("network-scale",
            "Every block's a sigma_w then is the root of 2 of Kaiming's initialization, within 0.1 (largest distance)",
            Source(derived="theory.autoinit.target_scale", value="sqrt(2)",
                tolerance=f"1.41 to 1.51 in a pilot, {pilot}"),
            off(_at_rate(0.5)), at_most(0.1), Control("an erf network, tuned as well", off(erf)), range=POSITIVE),
        Claim("square-loss-fails",
            "From sigma_w^2 = 8 the square loss never gets there at that rate: its first step takes a below 0",
            Source(derived="theory.autoinit.largest_square_rate", value="its largest rate is a third lower",
                tolerance="none: never is never"),
            MEAN_STEPS(at("square", rule="square")), at_least(np.inf),
            Control("the square loss at half its own largest rate", at("square", rule="square, own rate")),
            unit="steps", range=POSITIVE),
        Claim("erf-falls", "In an erf network a sigma_w falls with depth (rank correlation)",
            Source(ours="K falls to 0 along the critical line, and with it the scale that makes J = 1",
                tolerance="at -0.9 neighbouring blocks may change places"),
            scale.map(falls, "rank correlation with depth of {}")(erf), at_most(-0.9), Control("a ReLU network", relu),
            range=(-1, 1)),
        Claim("erf-range",
            "and lies above its limit, the root of pi/4, and below the root of 2 of ReLU networks (fraction of blocks)",
            Source(ours="erf has the slope 2/sqrt(pi) at 0 and less elsewhere; that of ReLU is the same at any K",
                tolerance="none: all blocks"),
            scale.map(_inside, "fraction of blocks inside of {}")(erf), at_least(1.0), Control("a ReLU network", relu),
            range=(0, 1)),
    )  # fmt: skip


def _deep(s: AutoInitSettings) -> Sequence[Claim]:
    def worst(reading: str) -> Measure:
        """Return the largest |log J| of a block and a start."""
        return value(reading).map(lambda j: _largest(abs(xr.ufuncs.log(j))), "largest |log {}| of a block and a start")

    @partial(Measure, words="largest difference over starts of log(a sigma_w)")
    def apart(cell: xr.Dataset) -> xr.DataArray:
        logs: xr.DataArray = xr.ufuncs.log(cell.scale)
        return _largest(logs.max("start", skipna=False) - logs.min("start", skipna=False))

    @partial(Measure, words="largest difference of log(a sigma_w) of two draws")
    def of_draws(one: xr.Dataset, other: xr.Dataset) -> xr.DataArray:
        return _largest(abs(xr.ufuncs.log(one.scale) - xr.ufuncs.log(other.scale)))

    last = STARTS[-1:]
    square, he = at("deep_log", rule="square", start=last), at("deep_he", start=(2.0,))
    cells = {"deep": at("deep", start=STARTS), "deep-log": at("deep_log", rule="log", start=last)}
    starts = {"deep": "0.5, 1, 4, 8", "deep-log": "8"}
    rules = {"deep": "the default step", "deep-log": "plain descent at 0.5/sigma_w^2"}
    found = []
    for name, cell in cells.items():
        found += [
            Claim(f"{name}-steps",
                f"From sigma_w^2 = {starts[name]} every one of {s.depth} ReLU layers comes to |log J| < 0.05 in at "
                f"most 20 steps by {rules[name]} (the slowest start)",
                Source(paper=DEEP, ours="20 steps", tolerance=DEMAND), STEPS(cell), at_most(20),
                Control("the same layers by descent on the square loss from 8", STEPS(square)), unit="steps",
                range=POSITIVE),
            Claim(f"{name}-critical",
                f"Read with other probes, the worst layer of the worst start has |log J| < 0.05, by {rules[name]}",
                Source(paper=DEEP, ours="0.05, to which it is tuned", tolerance=DEMAND),
                worst("after")(cell), at_most(0.05),
                Control("He's initialization untuned, critical on average", worst("before")(he)), range=POSITIVE),
        ]  # fmt: skip
    found.append(
        Claim("deep-same",
            "From all four starts the same draw ends as the same network: log(a sigma_w) differs by at most 0.01",
            Source(ours="J of a homogeneous network knows a sigma_w alone", value="0",
                tolerance="a fifth of the tolerance to which J is tuned"),
            apart(cells["deep"]), at_most(0.01),
            Control("another draw", of_draws(at("deep", start=STARTS[0]), at("deep_he", start=2.0))), range=POSITIVE)
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
    source = Source(paper=f"{AUTOINIT}: tuned networks train", ours=OURS, tolerance="ours: a tenth of all images")
    return (
        Claim("trains-like-he",
            f"{sentence} from sigma_w^2 = 1 come within 0.1 of the test accuracy of He's initialization", source,
            _lead("mlp", "He", "AutoInit"), at_most(0.1),
            Control("sigma_w^2 = 1 untuned", _lead("mlp", "He", "untuned 1")), range=LEADS),
        Claim("curve-like-he", f"{sentence} follow He's training curve: accuracy within 0.1 on average over records",
            source, distance(at("mlp", way="AutoInit"), he), at_most(0.1),
            Control("sigma_w^2 = 1 untuned", distance(at("mlp", way="untuned 1"), he)), range=(0, 1)),
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
            "AutoInit leaves a VGG with a Jacobian of 1 over its whole depth: |sum of log J| on other noise",
            IMAGES(ours=OURS, tolerance=DEMAND), growth(_way("VGG", "autoinit")), at_most(0.5),
            Control("Kaiming's, critical but for the edges of images", _way("VGG", "kaiming")), range=POSITIVE),
        Claim("vgg-trains",
            "A VGG without normalization, tuned from torch's default, trains: its lead in test accuracy over that",
            IMAGES(ours=OURS, tolerance="half of all images"), _lead("vgg", "autoinit", "torch"), at_least(0.5),
            Control("Xavier's, whose weights are larger than torch's too", _lead("vgg", "xavier", "torch")),
            range=LEADS),
        Claim("vgg-like-kaiming", "and is within 0.05 of Kaiming's initialization or better",
            IMAGES(ours=OURS, tolerance="ours: one image of twenty"), _lead("vgg", "autoinit", "kaiming"),
            at_least(-0.05), Control("Xavier's", _lead("vgg", "xavier", "kaiming")), range=LEADS),
        Claim("vgg-beats-lsuv", "and better than LSUV by 0.02",
            Source(ours="the paper is not known to say it; LSUV is the nearest peer",
                tolerance="the smallest lead that matters"),
            _lead("vgg", "autoinit", "lsuv"), at_least(0.02), Control("Kaiming's", _lead("vgg", "kaiming", "lsuv")),
            range=LEADS),
    )  # fmt: skip


def _others(s: AutoInitSettings) -> Sequence[Claim]:
    def spread(accuracy: xr.DataArray) -> xr.DataArray:
        return accuracy.max("way", skipna=False) - accuracy.min("way", skipna=False)

    best_less_worst = ACCURACY.map(spread, "best less worst of {}")
    return (
        Claim("norm-blind",
            "With batch normalization the initializations differ by at most 0.05 in test accuracy (best less worst)",
            Source(derived="theory.autoinit.batchnorm_scale_ratio", value="the function does not know the scale",
                tolerance="ours: one image of twenty"),
            best_less_worst(at("vgg_norm")), at_most(0.05), Control("without it", at("vgg")), range=(0, 1)),
        Claim("resmlp-growth",
            "AutoInit holds the gradients of a ResMLP within a factor e^1.5 over its depth: |sum of log J|",
            Source(ours="unscaled skips keep J above 1, and AutoInit aims at a factor e in all",
                tolerance="half as much again"),
            growth(_way("ResMLP", "autoinit")), at_most(1.5), Control("torch's default", _way("ResMLP", "torch")),
            range=POSITIVE),
        Claim("resmlp-trains",
            "A ResMLP tuned by AutoInit is better than with torch's default by 0.02 in test accuracy",
            IMAGES(ours=OURS, tolerance="the smallest lead that matters"), _lead("resmlp", "autoinit", "torch"),
            at_least(0.02), Control("LSUV", _lead("resmlp", "lsuv", "torch")), range=LEADS),
    )  # fmt: skip
