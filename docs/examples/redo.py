"""
Redo someone's work
===================

The sixty networks of a public study of grokking, with seven seeds instead of one, and three of its statements judged.
`The page <../redo.html>`_ goes through it.
"""

# %%
# The network
# -----------

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn

import phasescope as ps

P = 97


class Adder(nn.Module):
    """One embedding for each number of a pair, side by side; a hidden layer; one logit for each sum."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Embedding(P, 16), nn.Embedding(P, 16)
        self.hidden, self.answer = nn.Linear(32, width), nn.Linear(width, P)

    def forward(self, pairs):  # (N, 2) whole numbers -> logits (N, P)
        both = torch.cat([self.first(pairs[:, 0]), self.second(pairs[:, 1])], 1)
        return self.answer(torch.relu(self.hidden(both)))


# %%
# The grid
# --------

AXES = {"weight_decay": [0.0, 0.001, 0.01, 0.1, 1.0], "train_fraction": [0.3, 0.5, 0.7, 0.9], "width": [16, 32, 64]}
RECIPE = ps.Recipe(
    optimizer="adamw", lr=0.001, beta2=0.98, loss="cross_entropy", steps=2500,
    records=125, first_record=20, spacing="linear", level=0.99, overtime=1,
)  # fmt: skip


def trained(seeds, recipe=RECIPE, out="runs/redo", engine="traced", tile=1):
    """Train sixty networks for each seed. What is in the folder is not trained again."""
    task, grid = ps.tasks.addition(P), ps.Grid(AXES, seeds)
    return ps.train(lambda member: Adder(member["width"]), task, grid, recipe, out=out, engine=engine, tile=tile)


# %%
# The phases
# ----------

PHASES = ("confusion", "memorization", "grokking", "comprehension", "undecided")


def phases(data):
    """Return when training and test accuracy reached 95 %, the lag between, and the phase that this makes."""
    return ps.stages(data, levels=(0.95, 0.95), lag=200)


# %%
# The claims
# ----------


def explained(*axes):
    """Return the measure: which share of the variance of generalizing, over the 60 networks, these axes explain."""

    def read(found):
        generalized = found.test_step.notnull().astype(float)
        others = [axis for axis in AXES if axis not in axes]
        return generalized.mean(others).var(axes) / generalized.var(list(AXES))

    return ps.Measure(read, f"variance explained by {' and '.join(axes)}")


def peak(happens, words):
    """Return the measure: the rate at decays 0.001 to 0.1, less the larger one of those at 0 and at 1."""

    def read(found):
        rate = happens(found).mean(["train_fraction", "width"])
        ends = np.maximum(rate.sel(weight_decay=0.0, drop=True), rate.sel(weight_decay=1.0, drop=True))
        return rate.sel(weight_decay=[0.001, 0.01, 0.1]).mean("weight_decay") - ends

    return ps.Measure(read, f"excess of {words} at intermediate decay")


@ps.Measure
def rarer_of_both_ends(found):
    """The share of networks that generalize, at decay 0 or at decay 1, whichever is smaller."""
    generalized = found.test_step.notnull()
    others = [dim for dim in generalized.dims if dim not in ("weight_decay", "seed")]
    return generalized.mean(others).min("weight_decay")


STUDY = "clawRxiv 2603.00377, abstract"
CLAIMS = [
    ps.Claim(
        id="gates",
        sentence="Data fraction and width decide whether a network generalizes: they explain half of its variance",
        source=ps.Source(paper=STUDY, ours="more than half is dominant", checked=True),
        effect=explained("train_fraction", "width")(ps.at()),
        expected=ps.Expectation.at_least(0.5),
        control=ps.Control("what weight decay explains", explained("weight_decay")),
        range=(0, 1),
        kind="trained",
    ),
    ps.Claim(
        id="peak",
        sentence="Grokking is most frequent at intermediate weight decay",
        source=ps.Source(paper=STUDY, ours="one network in twelve", tolerance="one network of a decay", checked=True),
        effect=peak(lambda found: found.phase == "grokking", "grokking")(ps.at()),
        expected=ps.Expectation.at_least(1 / 12),
        control=ps.Control(
            "generalizing of any kind: does it have the same peak?",
            peak(lambda found: found.test_step.notnull(), "generalizing"),
        ),
        range=(-1, 1),
        kind="trained",
    ),
    ps.Claim(
        id="ends",
        sentence="Without weight decay, and at decay 1, networks generalize too if they are wide and have much data",
        source=ps.Source(paper=STUDY, ours="a quarter of them is the least that four networks show", checked=True),
        effect=rarer_of_both_ends(ps.at(weight_decay=[0.0, 1.0], width=[32, 64], train_fraction=[0.7, 0.9])),
        expected=ps.Expectation.at_least(0.25),
        control=ps.Control(
            "narrow networks with as much data", ps.at(weight_decay=[0.0, 1.0], width=16, train_fraction=[0.7, 0.9])
        ),
        range=(0, 1),
        kind="trained",
    ),
]


# %%
# The page
# --------


def figure(found):
    """Return the most frequent phase in each cell, a panel for each width."""
    shares = xr.concat([(found.phase == phase).mean("seed") for phase in PHASES], "phases")
    most = shares.argmax("phases").transpose("width", "weight_decay", "train_fraction")
    x, y = ps.figures.Axis("train fraction"), ps.figures.Axis("weight decay", "log")
    panels = [
        ps.figures.PhaseMap(f"width {width}", x, y, found.train_fraction, found.weight_decay, one.values, PHASES)
        for width, one in zip(AXES["width"], most, strict=True)
    ]
    caption = f"The most frequent phase of {found.sizes['seed']} seeds, addition modulo {P}."
    return ps.Figure("phases", "Phases of learning", caption, panels, claims=[claim.id for claim in CLAIMS])


def page(found, verdicts, path="redo.html"):
    """Write one HTML file with the verdicts and the figure."""
    question = "What decides whether a small network generalizes, and whether it does so late?"
    title = "Grokking phase diagrams, done again"
    told = ps.figures.Page("", title, question, [figure(found)], verdicts.to_json(), command="python redo.py")
    return ps.report.write_page(Path(path), told)


if __name__ == "__main__":
    data = trained(range(1000, 1007))
    found = phases(data).assign_attrs(data.attrs)
    found.to_netcdf("redo.nc")
    verdicts = ps.judge(CLAIMS, found)
    print(verdicts)
    print(page(found, verdicts))
