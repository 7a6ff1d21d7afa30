"""The claims of the study ``healing``: what is back after some steps, and what is left of it beside the whole model.

The rival of every one is what the whole model gains by the same steps on the same samples, which is no healing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, by_seed, near
from phasescope.studies.healing.settings import AFTER, BEFORE, NEAREST, READOUT, WHOLE, HealingSettings
from phasescope.verdict import Claim, Control, Source

PRUNING = "Gromov et al. 2024, arXiv:2403.17887"
HEALS = f"{PRUNING}, Sec. 4.2, Fig. 3: after healing the loss is nearly that of the whole model"
HALF = "more is back than is gone"
LEAST = "the smallest difference that matters"
SMALL, REAL = at("small"), at("real")
SAME = "what the whole model gains by the same steps"


def claims(s: HealingSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    if not s.model:
        return _small(s)
    one = f" (one model, {Path(s.model).name})"
    return [replace(c, sentence=c.sentence + one, counts="draws of text") for c in _real(s)]


def gained(model: str, name: str = "loss") -> Measure:
    """Return by how much a loss falls of ``model`` in the steps, over what the nearest block's absence cost."""

    @partial(by_seed, words=f"{name} of {model}, before less after, over nearest less whole, before")
    def read(one: xr.Dataset) -> float:
        cost = float(one[name].sel(given=BEFORE, model=NEAREST) - one[name].sel(given=BEFORE, model=WHOLE))
        fell = float(one[name].sel(given=BEFORE, model=model) - one[name].sel(given=AFTER, model=model))
        return fell / cost if cost else float("nan")

    return read


def healed(model: str, name: str = "loss") -> Measure:
    """Return the share of what a block's absence cost that is back beside the whole model given the same steps."""

    @partial(by_seed, words=f"1 less {name} of {model} less whole, after, over before")
    def read(one: xr.Dataset) -> float:
        gap = one[name].sel(model=model) - one[name].sel(model=WHOLE)
        before, after = (float(gap.sel(given=given)) for given in (BEFORE, AFTER))
        return 1 - after / before if before else float("nan")

    return read


def answers(model: str) -> Measure:
    """Return how many more of the answers are right after the steps, the mean over the kinds of questions."""

    @partial(by_seed, words=f"accuracy of {model}, after less before")
    def read(one: xr.Dataset) -> float:
        right = one.accuracy.sel(model=model).mean("asked")
        return float(right.sel(given=AFTER) - right.sel(given=BEFORE))

    return read


def _small(s: HealingSettings) -> Sequence[Claim]:
    n = s.gone
    return (
        Claim("small-back",
            f"{s.heal_steps} more steps bring back half of the loss that the nearest {n} of {s.depth} layers cost",
            Source(paper=HEALS, ours="a half", tolerance=HALF), gained(NEAREST)(SMALL), at_least(0.5),
            Control(SAME, gained(WHOLE))),
        Claim("small-healed",
            "And it is still half beside the whole decoder given the same steps",
            Source(paper=HEALS, ours="a half", tolerance=HALF), healed(NEAREST)(SMALL), at_least(0.5),
            Control("the steps given to the last norm and the readout alone", healed(READOUT))),
    )  # fmt: skip


def _real(s: HealingSettings) -> Sequence[Claim]:
    n = s.gone
    return (
        Claim("real-back",
            f"{s.heal_steps} steps bring back half of the loss that the nearest {n} layers cost on this text",
            Source(paper=f"{HEALS}; 5,000 steps on 16 sequences there", ours="a half", tolerance=HALF),
            gained(NEAREST)(REAL), at_least(0.5), Control(SAME, gained(WHOLE))),
        Claim("real-half-healed",
            "Beside the whole model given the same steps about half of it is healed",
            Source(ours="one draw of 500 steps of 2 samples of 128 tokens healed 0.48", tolerance="a quarter"),
            healed(NEAREST)(REAL), near(0.5, 0.25),
            Control("beside the whole model as it was", gained(NEAREST))),
        Claim("real-elsewhere",
            "On a text that it was not healed on less than half of what the layers cost is back",
            Source(ours="whether healing is of the model or of the text", tolerance="less is back than is gone"),
            gained(NEAREST, "loss_elsewhere")(REAL), at_most(0.5),
            Control("on the text healed on", gained(NEAREST))),
        Claim("real-answers",
            f"{s.heal_steps} steps bring right answers back (by 0.02 or more; capitals and glosses, four choices)",
            Source(paper=f"{PRUNING}, Sec. 4.1: healing gains modestly in question answering", ours="0.02",
                tolerance=LEAST),
            answers(NEAREST)(REAL), at_least(0.02), Control(SAME, answers(WHOLE)), range=(-1.0, 1.0)),
    )  # fmt: skip
