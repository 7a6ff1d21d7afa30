"""The figures of the study ``hard-examples``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasescope.figures import Axis, Curves, Figure, Line
from phasescope.lab.drawing import BANDS, Data, over
from phasescope.lab.measures import Measure, at
from phasescope.lab.readings import band
from phasescope.studies.hard_examples.settings import (
    FLIPPED,
    FULL,
    KINDS,
    MINI,
    PAIRS,
    RANDOM,
    SCORES,
    SHUFFLED,
    TRUE,
    HardExampleSettings,
)


def figures(data: Data, s: HardExampleSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_scores(data, s), _orders(data), _pruned(data, s), _coherence(data, s))


def _scores(data: Data, s: HardExampleSettings) -> Figure:
    cell = data["scores"].sel(labels=FLIPPED)

    def point(name: str, reading: str) -> Line:
        place = np.array([SCORES.index(name) + 1.0])
        return band(name, cell[reading].sel(score=name).expand_dims("at", -1), place, joined=False)

    panels = [
        Curves(title, Axis("score", limits=(0.5, len(SCORES) + 0.5)), Axis(title, limits=(0, 1.02)),
            [point(name, reading) for name in SCORES])
        for title, reading in (("area under the curve", "area"), ("precision among as many rows", "precision"))
    ]  # fmt: skip
    return Figure(
        "scores", f"How well scores find the {s.flips:.0%} of labels that are wrong",
        "Points: medians over seeds, bars from the least to the largest. The last two scores need no network.",
        panels, ("wrong-labels-found", "networks-beat-class-means", "halves-agree", "one-network-is-few"),
    )  # fmt: skip


def _orders(data: Data) -> Figure:
    def points(labels: str, role: str) -> Line:
        found = data["orders"].agreement.sel(labels=labels)
        return band(f"{labels} labels", found, np.arange(1.0, len(PAIRS) + 1), role=role, joined=False)

    panel = Curves("agreement", Axis("pair", limits=(0.5, len(PAIRS) + 0.5)), Axis("rank correlation"),
                   [points(TRUE, "measured"), points(SHUFFLED, "control")])  # fmt: skip
    named = "; ".join(f"{i + 1}: {pair}" for i, pair in enumerate(PAIRS))
    return Figure(
        "orders", "On rows that both train on, two networks agree even where nothing orders rows",
        f"Points: medians over seeds, bars from the least to the largest. {named}.", [panel],
        ("order-is-the-datas", "shared-rows-agree-anyhow", "one-beginning-adds"),
    )  # fmt: skip


def _pruned(data: Data, s: HardExampleSettings) -> Figure:
    def dropped(kind: str) -> Measure:
        return Measure(lambda cell: cell["accuracy"].sel(dropped=kind))

    def panel(title: str, labels: str) -> Curves:
        cell = at("pruned", labels=labels)
        shown = {f"drop the {kind}" if kind != RANDOM else "drop at random": (dropped(kind), cell)
                 for kind in KINDS if not kind.endswith("again")}  # fmt: skip
        return over(title, data, Axis("share that is dropped"), s.drops, Axis("test accuracy", limits=(0, 1.02)), shown)

    return Figure(
        "pruned", "Which rows may go depends on whether labels are right, and on how many go",
        f"{BANDS} Mean over {s.fresh} fresh networks for each selection.",
        [panel("labels are right", TRUE), panel(f"{s.flips:.0%} are wrong", FLIPPED)],
        ("hardest-are-wrong", "easy-half-goes", "hard-rows-alone-fail"),
    )  # fmt: skip


def _coherence(data: Data, s: HardExampleSettings) -> Figure:
    def read(reading: str, given: str) -> Measure:
        return Measure(lambda cell: cell[reading].sel(given=given))

    def panel(reading: str, batches: str, x: Axis, places: Sequence[float]) -> Curves:
        cell = at("coherence", batches=batches)
        words = "at one loss" if reading == "matched" else "at one step"
        return over(f"{words}, {batches}", data, x, places, Axis("m-coherence", "log"),
                    {"true labels": (read(reading, TRUE), cell)},
                    control={"shuffled labels": (read(reading, SHUFFLED), cell)})  # fmt: skip

    loss, step = Axis("training loss"), Axis("step", "log")
    return Figure(
        "coherence", "Coherence of gradients says something of labels at one loss, not at one step",
        f"{BANDS} N |mean g|^2 / mean |g|^2 over {s.coherent} training rows.",
        [panel("matched", FULL, loss, s.levels), panel("equal", FULL, step, s.equal),
         panel("matched", MINI, loss, s.levels), panel("equal", MINI, step, s.equal)],
        ("coherence-at-one-loss", "reversed-at-one-step"),
    )  # fmt: skip
