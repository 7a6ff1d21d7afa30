"""The claims of the study ``initialization-forecast``: what the stored coefficients are worth on new networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files

from phasescope.lab.measures import Measure, at, at_least, at_most, between, by_seed
from phasescope.studies.initialization_forecast import scoring
from phasescope.studies.initialization_forecast.fitting import Columns, measured_columns
from phasescope.studies.initialization_forecast.settings import FAMILIES, ForecastSettings
from phasescope.verdict import Claim, Control, Source

ONE_RATE = -4.0
"""log2 of the rate that most networks of the development seeds that train at all train with."""
LEADS, SHARE = (-1.0, 1.0), (0.0, 1.0)


@cache
def coefficients() -> str:
    """Return a short hash of the stored coefficients, so that what is registered names them."""
    text = files("phasescope.studies.initialization_forecast").joinpath("held_out.json").read_text("utf-8")
    return sha256(json.dumps(json.loads(text), sort_keys=True).encode()).hexdigest()[:16]


def of(read: Callable[[Columns], float], words: str) -> Measure:
    """Return a number of all networks of a seed, by the stored coefficients."""
    return by_seed(lambda one: read(measured_columns(one)), words)


def accuracy(name: str) -> Measure:
    """Return the balanced accuracy of one forecast of three outcomes, families held out."""
    return of(lambda c: scoring.accuracy_of(c, name), f"balanced accuracy from {name}")


def lead(name: str, over: str) -> Measure:
    """Return by how much one forecast's balanced accuracy is above another's."""
    return of(
        lambda c: scoring.accuracy_of(c, name) - scoring.accuracy_of(c, over),
        f"balanced accuracy from {name} less that from {over}",
    )


def claims(s: ForecastSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    cell = at("networks", family=FAMILIES, draw=tuple(range(s.networks)))
    fixed = f"coefficients {coefficients()}, fitted to development seeds without the family that is forecast"
    pilot = "development seeds, families held out"
    each = f"{s.networks * len(FAMILIES)} new networks of a seed"
    sure = "how sure it is: the mean chance of the outcome that is said, less the share that comes true"
    return (
        Claim("accuracy",
            f"Signs read before training tell three outcomes apart: balanced accuracy at least 0.6 on {each}, where "
            "guessing has a third",
            Source(pilot=pilot, ours=fixed, tolerance="half of the way from guessing to certainty, less 0.07"),
            accuracy("signs")(cell), at_least(0.6),
            Control("the norm of the gradient alone", accuracy("gradient norm alone")), range=SHARE, kind="trained"),
        Claim("beats-j", f"They are better than J over the depth alone, on {each}",
            Source(ours=f"{fixed}; whether anything beside criticality is worth reading", tolerance="none: above 0"),
            lead("signs", "J alone")(cell), at_least(0.0),
            Control("depth, skips and normalization, without a reading", lead("architecture alone", "J alone")),
            range=LEADS, kind="trained"),
        Claim("beats-gradient", f"and better than the norm of the gradient alone, on {each}",
            Source(ours=f"{fixed}; the gradient's norm is what everybody logs", tolerance="none: above 0"),
            lead("signs", "gradient norm alone")(cell), at_least(0.0),
            Control("depth, skips and normalization, without a reading",
                    lead("architecture alone", "gradient norm alone")),
            range=LEADS, kind="trained"),
        Claim("calibrated", f"Its chances are as large as what comes true, within 0.1: {sure}",
            Source(pilot=pilot, ours=fixed, tolerance="a tenth, which a reader would not act on"),
            of(scoring.oversure, "mean chance of what is said less the share that is right")(cell), between(-0.1, 0.1),
            Control("the same outcomes, each said without a doubt", of(scoring.certain, "share that is wrong")),
            range=LEADS, kind="trained"),
        Claim("rate", "The largest rate that trains is foretold within a factor of 4 (median distance in octaves)",
            Source(pilot=pilot, ours=f"{fixed}; rates were tried in steps of 4", tolerance="one such step"),
            of(scoring.octaves, "median distance from the largest rate that trains, octaves")(cell), at_most(2.0),
            Control("J alone", of(lambda c: scoring.octaves(c, "J alone"), "the same from J alone")),
            unit="octaves", range=(0.0, 64.0), kind="trained"),
        Claim("rich", f"Rich and lazy learning are told apart: balanced accuracy at least 0.7 on {each} that train",
            Source(pilot=pilot, ours=fixed, tolerance="two in five of the way from guessing to certainty"),
            of(scoring.rich_accuracy, "balanced accuracy, rich or lazy")(cell), at_least(0.7),
            Control("J alone", of(lambda c: scoring.rich_accuracy(c, "J alone"), "the same from J alone")),
            range=SHARE, kind="trained"),
    )  # fmt: skip
