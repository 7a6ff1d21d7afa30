"""The claims of the study ``rich-and-lazy`` about trained ReLU networks and modular addition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasescope.lab.readings import crossing
from phasescope.lab.study import part
from phasescope.studies.rich_and_lazy.settings import FOURFOLD, LARGE, QUARTER, SMALL, RichLazySettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

PAPER = "Kunin et al. 2024"


def network_claims(s: RichLazySettings) -> Sequence[Claim]:
    """Return the claims about trained networks for these settings."""
    return (*_relu(s), *_conserved(s), *_addition(s))


def over(one: Array, other: Array) -> Array:
    """Return one / other (n,): NaN, no value, where both are infinite or both 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(one / other)


# -- ReLU networks -------------------------------------------------------------------------------------------


def relu(data: xr.Dataset, name: str, scale: float, balance: float, step: int = -1) -> Array:
    """Return a reading (n,) of the ReLU students of one cell, at the checkpoint number ``step``."""
    found = part(data, "corners")[name].sel(scale=scale, balance=balance)
    return np.asarray(found.isel(step=step).values)


def _relu(s: RichLazySettings) -> Sequence[Claim]:
    first, last = s.checkpoints[0], s.checkpoints[-1]

    def compare(
        words: tuple[str, str, str], name: str, one: float, other: float, expected: Expectation, step: int = -1
    ) -> Claim:
        def ratio(data: xr.Dataset, scale: float) -> Array:
            return over(*(relu(data, name, scale, balance, step) for balance in (one, other)))

        return Claim(
            words[0],
            words[1],
            f"{PAPER}, {words[2]}",
            lambda d: ratio(d, SMALL),
            expected,
            Control(f"at scale tau = {LARGE:g}", lambda d: ratio(d, LARGE)),
        )

    return (
        compare(
            ("upstream-learns-fast", f"At tau = 0.1 an upstream student's loss (delta = 1) is, after {first} steps, "
             "less than an eighth of a balanced one's (ratio)", "Fig. 1, in direction; claim 6, with its margin"),
            "train_loss", 0.0, 1.0, Expectation.at_least(8.0), 0,
        ),
        compare(
            ("downstream-learns-slowly", "... and less than a fifteenth of a downstream one's (ratio)",
             "Fig. 1, in direction; claim 6, with its margin"),
            "train_loss", -1.0, 1.0, Expectation.at_least(15.0), 0,
        ),
        compare(
            ("upstream-changes-patterns", f"After {last} steps its activation patterns have changed more than twice as "
             "much as a downstream student's (ratio)", "Fig. 1 and 5; claim 7, with its margin"),
            "flips", 1.0, -1.0, Expectation.at_least(2.0),
        ),
        compare(
            ("upstream-moves-little", "... while its parameters have moved less than half as far (ratio)",
             "Fig. 5, caption; claim 7, with its margin"),
            "moved", 1.0, -1.0, Expectation.at_most(0.5),
        ),
        compare(
            ("upstream-generalizes", "... and a downstream student's test loss is at least 1.5 times its own (ratio)",
             "Fig. 1, in direction; the extremes of five seeds measured before give 1.8"),
            "test_loss", -1.0, 1.0, Expectation.at_least(1.5),
        ),
        Claim(
            "large-is-lazy",
            f"At tau = 1, delta = 0 the kernel has moved by less than 0.02 after {last} steps",
            f"{PAPER}, Fig. 1; claim 8",
            lambda d: relu(d, "kernel_distance", LARGE, 0.0),
            Expectation.at_most(0.02),
            Control("at tau = 0.1", lambda d: relu(d, "kernel_distance", SMALL, 0.0)),
        ),
    )  # fmt: skip


def _conserved(s: RichLazySettings) -> Sequence[Claim]:
    def worst(data: xr.Dataset, name: str, pick: str) -> Array:
        found = part(data, "corners")[name]
        cells = ["scale", "balance"]
        return np.asarray((found.max(cells) if pick == "max" else found.min(cells)).values)

    return (
        Claim(
            "neurons-conserved",
            "In all six cells every ReLU neuron keeps a^2 - |w|^2 to 0.01 (largest change)",
            f"{PAPER}, Sec. 5; claim 9, with its margin",
            lambda d: worst(d, "drift", "max"),
            Expectation.at_most(0.01),
            Control("a^2 + |w|^2, which nothing keeps (smallest over cells)", lambda d: worst(d, "grown", "min")),
        ),
    )


# -- modular addition ----------------------------------------------------------------------------------------


def grokked(data: xr.Dataset, name: str) -> xr.DataArray:
    """Return the step at which test accuracy reaches 90 %, over the factor and the seed; inf where it never does."""
    found = part(data, name)
    factor = "upstream" if name == "same_function" else name
    return crossing(found.test_accuracy, 0.9).rename({factor: "factor"})


def _addition(s: RichLazySettings) -> Sequence[Claim]:
    def gain(data: xr.Dataset, name: str, factor: float) -> Array:
        steps = grokked(data, name)
        return over(steps.sel(factor=1.0).values, steps.sel(factor=factor).values)

    def against(data: xr.Dataset, factor: float) -> Array:
        up, down = (grokked(data, name).sel(factor=factor).values for name in ("embedding", "readout"))
        return over(down, up)

    return (
        Claim(
            "grokking-upstream",
            "With one and the same first function, first weights moved fourfold upstream make a network grok modular "
            "addition sooner (steps over steps)",
            f"{PAPER}, abstract, in direction; size and margin are ours",
            lambda d: gain(d, "same_function", FOURFOLD),
            Expectation.at_least(1.1),
            Control("moved fourfold downstream", lambda d: gain(d, "same_function", QUARTER)),
        ),
        Claim(
            "grokking-embedding",
            "A quarter of the embedding's first weights alone makes it grok sooner (steps over steps)",
            f"{PAPER}, abstract, in direction; size and margin are ours",
            lambda d: gain(d, "embedding", QUARTER),
            Expectation.at_least(1.1),
            Control("four times the embedding", lambda d: gain(d, "embedding", FOURFOLD)),
        ),
        Claim(
            "grokking-at-small-scale",
            "Of two starts with one small first function, the one with the small embedding groks sooner than the one "
            "with the small readout (steps over steps)",
            f"{PAPER}, abstract, in direction; size and margin are ours",
            lambda d: against(d, QUARTER),
            Expectation.at_least(1.1),
            Control("the unchanged start in both", lambda d: against(d, 1.0)),
        ),
    )
