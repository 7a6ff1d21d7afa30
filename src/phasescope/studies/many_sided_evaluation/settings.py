"""The numbers of ``many-sided-evaluation`` at each scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from phasescope.vocabulary import BadInput, Fraction, Positive, Settings

Count = Annotated[int, Field(ge=1)]


class EvaluationSettings(Settings):
    """Sizes of the study. ``statements`` are learnt from, ``items`` of each kind and ``passages`` are asked.

    ``gone`` layers are left out of ``depth``. ``difference`` and ``disagree`` are those of pairs of made-up models, of
    which ``comparisons`` are drawn.
    """

    seeds: Count = 12
    depth: Annotated[int, Field(ge=4)] = 4
    width: Annotated[int, Field(ge=8)] = 48
    heads: Count = 4
    length: Annotated[int, Field(ge=24)] = 32
    batch: Count = 32
    steps: Count = 450
    rate: Positive = 6e-3
    statements: Annotated[int, Field(ge=100)] = 20_000
    items: Annotated[int, Field(ge=20)] = 100
    passages: Annotated[int, Field(ge=2)] = 150
    gone: Count = 2
    heal_steps: Count = 60
    heal_rate: Positive = 2e-3
    comparisons: Annotated[int, Field(ge=20)] = 400
    difference: Fraction = 0.05
    disagree: Fraction = 0.15

    def model_post_init(self, context: Any) -> None:
        """Refuse what has nothing to measure."""
        if self.gone > self.depth - 2 or self.width % self.heads or not 0 < self.difference <= self.disagree:
            raise BadInput(
                f"gone is {self.gone} of {self.depth} layers, width {self.width}, heads {self.heads}, difference "
                f"{self.difference}, disagree {self.disagree}: leave two layers, let heads divide the width, models "
                "disagreeing at least as often as they differ."
            )


SCALES = {
    "pocket": EvaluationSettings(),
    "paper": EvaluationSettings(
        depth=12, width=128, steps=10_000, statements=200_000, items=1000, passages=500, gone=4, heal_steps=500,
    ),
}  # fmt: skip
