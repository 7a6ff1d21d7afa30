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
    pilot = f"198 networks of development seeds, families held out; {fixed}"
    each = f"{s.networks * len(FAMILIES)} new networks of a seed"
    matters = "the smallest lead that matters"
    sure = "how sure it is: the mean chance of the outcome that is said, less the share that comes true"
    return (
        Claim("accuracy",
            f"Signs read before training tell three outcomes apart: balanced accuracy at least 0.6 on {each}, where "
            "guessing has a third",
            Source(pilot=pilot, tolerance="two fifths of the way from guessing to certainty"),
            accuracy("signs")(cell), at_least(0.6),
            Control("the norm of the gradient alone", accuracy("gradient norm alone")), range=SHARE, kind="trained"),
        Claim("beats-j", f"They are better than J over the depth alone by 0.05, on {each}",
            Source(ours=f"{fixed}; whether anything beside criticality is worth reading", tolerance=matters),
            lead("signs", "J alone")(cell), at_least(0.05),
            Control("J alone over depth, skips and normalization: that any reading helps",
                    lead("J alone", "architecture alone")),
            range=LEADS, kind="trained"),
        Claim("beats-gradient", f"They are better than the norm of the gradient alone by 0.05, on {each}",
            Source(ours=f"{fixed}; the gradient's norm is what everybody logs", tolerance=matters),
            lead("signs", "gradient norm alone")(cell), at_least(0.05),
            Control("the gradient's norm over depth, skips and normalization",
                    lead("gradient norm alone", "architecture alone")),
            range=LEADS, kind="trained"),
        Claim("beats-architecture",
            f"They are better than depth, skips and normalization, which need no reading, on {each}",
            Source(ours=f"{fixed}; whether reading a network is worth it at all", tolerance="none: above 0"),
            lead("signs", "architecture alone")(cell), at_least(0.0),
            Control("J alone over the same", lead("J alone", "architecture alone")), range=LEADS, kind="trained"),
        Claim("calibrated", f"Its chances are as large as what comes true, within 0.15: {sure}",
            Source(pilot=pilot, tolerance="twice the standard error of a share of 33 networks"),
            of(scoring.oversure, "mean chance of what is said less the share that is right")(cell),
            between(-0.15, 0.15),
            Control("the same outcomes, each said without a doubt", of(scoring.certain, "share that is wrong")),
            range=LEADS, kind="trained"),
        Claim("rate", "The largest rate that trains is foretold within a factor of 2 (mean distance in octaves)",
            Source(pilot=pilot, tolerance="half of a step of the rates that were tried"),
            of(scoring.octaves, "mean distance from the largest rate that trains, octaves")(cell), at_most(1.0),
            Control("J alone", of(lambda c: scoring.octaves(c, "J alone"), "the same from J alone")),
            unit="octaves", range=(0.0, 8.0), kind="trained"),
        Claim("rich", f"Rich and lazy learning are told apart: balanced accuracy at least 0.55 on {each} that train",
            Source(pilot=pilot, tolerance="a tenth of the way from guessing to certainty"),
            of(scoring.rich_accuracy, "balanced accuracy, rich or lazy")(cell), at_least(0.55),
            Control("depth, skips and normalization, without a reading",
                    of(lambda c: scoring.rich_accuracy(c, "architecture alone"), "the same from the architecture")),
            range=SHARE, kind="trained"),
    )  # fmt: skip
