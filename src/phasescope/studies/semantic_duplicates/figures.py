"""The figures of the study ``semantic-duplicates``, described in building blocks."""

from __future__ import annotations

from collections.abc import Sequence

from phasescope.figures import Axis, Curves, Figure
from phasescope.lab.drawing import BANDS, Data, curves, over
from phasescope.lab.measures import at
from phasescope.studies.semantic_duplicates.settings import (
    ALL,
    BRIGHTNESS,
    EXACT,
    HARD,
    NOISE,
    RANDOM,
    SHIFT,
    STRENGTHS,
    DuplicateSettings,
)


def figures(data: Data, s: DuplicateSettings) -> Sequence[Figure]:
    """Return the study's figures."""
    return (_planted(data, s), _learnt(data, s))


def _planted(data: Data, s: DuplicateSettings) -> Figure:
    def panel(change: str, unit: str) -> Curves:
        cell = at("planted", change=change)
        return over(change, data, Axis(unit, "log"), STRENGTHS[change], Axis("share", limits=(-0.02, 1.02)),
                    {"recall": ("recall", cell), "precision": ("precision", cell)},
                    control={"recall by hash": ("hash_recall", cell),
                             "precision by hash": ("hash_precision", cell)})  # fmt: skip

    return Figure(
        "planted", f"Planted copies of digits that the cosine of pixels finds at epsilon {s.epsilon:g}",
        f"{BANDS} Dashed: rows with the bits of an earlier one, brighter than the mean or not.",
        [panel(NOISE, "noise, of the range"), panel(BRIGHTNESS, "brighter by, of the range"),
         panel(SHIFT, "moved by, pixels")],
        ("noisy-copies-found", "brighter-copies-found", "shifted-copies-missed"),
    )  # fmt: skip


def _learnt(data: Data, s: DuplicateSettings) -> Figure:
    def panel(title: str, name: str, reading: str, y: Axis, kept: Sequence[str], drawn: Sequence[str]) -> Curves:
        return curves(title, data, y, {what: (reading, at(name, stays=what)) for what in kept},
                      control={what: (reading, at(name, stays=what)) for what in drawn})  # fmt: skip

    accuracy, loss = Axis("test accuracy", limits=(0, 1.02)), Axis("test loss, nats")
    return Figure(
        "learnt", "What networks learn of what stays",
        f"{BANDS} Equal steps. Dashed: as many random rows as stay without near copies.",
        [panel("images with copies", "images", "test_accuracy", accuracy, (ALL, EXACT, HARD), (RANDOM,)),
         panel("images without", "clean_images", "test_accuracy", accuracy, (ALL, HARD), (RANDOM,)),
         panel("paragraphs with copies", "text", "test_loss", loss, (ALL, EXACT, HARD), (RANDOM,)),
         panel("paragraphs without", "clean_text", "test_loss", loss, (ALL, HARD), (RANDOM,))],
        ("images-beat-random", "images-keep-accuracy", "order-does-not-matter", "text-gains", "text-beats-exact",
         "text-beats-random"),
    )  # fmt: skip
