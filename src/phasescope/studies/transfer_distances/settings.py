"""The numbers of ``transfer-distances`` at each scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from phasescope.vocabulary import BadInput, Positive, Settings

DISTANCES = ("KL", "TV", "MMD")
SAME, RENAMED, OTHERS, RANDOM, MOVED, INVERTED = SOURCES = (
    "the same task", "classes renamed", "other digits", "random labels", "pixels moved", "inverted",
)  # fmt: skip
Count = Annotated[int, Field(ge=1)]


class DistanceSettings(Settings):
    """Sizes of the study. ``pairs`` of Gaussian tasks in ``dimension`` dimensions for each seed and depth.

    A target is learnt from ``samples`` samples, with ``noise`` (its std); ``draws`` samples of either task measure
    distances. Of digits ``labels`` are known in the target and ``source_labels`` in a source.
    """

    seeds: Count = 16
    dimension: Annotated[int, Field(ge=4)] = 16
    pairs: Annotated[int, Field(ge=8)] = 48
    depths: Annotated[tuple[Annotated[int, Field(ge=2, le=6)], ...], Field(min_length=1)] = (2, 3)
    samples: Count = 8
    noise: Positive = 0.3
    scale: Positive = 0.3
    rate: Positive = 0.02
    steps: Count = 2000
    draws: Annotated[int, Field(ge=20)] = 400
    width: Count = 64
    labels: Annotated[int, Field(ge=10)] = 20
    source_labels: Annotated[int, Field(ge=20)] = 400
    digit_rate: Positive = 3e-3
    digit_steps: Count = 300

    def model_post_init(self, context: Any) -> None:
        """Refuse a target that its samples tell wholly, and more labels than there are digits."""
        if self.samples >= self.dimension or self.labels + self.source_labels > 600:
            raise BadInput(
                f"samples is {self.samples} in {self.dimension} dimensions, labels {self.labels} and "
                f"{self.source_labels}: give fewer samples than dimensions, and 600 labels at most together."
            )


SCALES = {
    "pocket": DistanceSettings(),
    "paper": DistanceSettings(dimension=100, pairs=200, depths=(2, 3, 4), samples=50, steps=20_000, draws=2000),
}
