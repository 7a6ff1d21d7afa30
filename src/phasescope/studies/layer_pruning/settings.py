"""The numbers of ``layer-pruning`` at each scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from phasescope.vocabulary import BadInput, Positive, Settings

Count = Annotated[int, Field(ge=1)]


class LayerSettings(Settings):
    """Sizes of the study. ``text`` and ``real_text`` name a file, a folder or a data set; "" is Python's reference.

    ``depth`` 0 leaves the small decoder out. ``model`` is a folder of Hugging Face or ``smollm2``, and "" for none;
    ``counts`` are how many of its layers are left out, ``heal_layers`` how many before it is healed.
    """

    seeds: Count = 12
    text: str = ""
    depth: Annotated[int, Field(ge=0)] = 12
    width: Annotated[int, Field(ge=8)] = 64
    heads: Count = 2
    length: Annotated[int, Field(ge=8)] = 64
    batch: Count = 16
    steps: Count = 500
    rate: Positive = 3e-3
    samples: Annotated[int, Field(ge=2)] = 64
    points: Annotated[int, Field(ge=32)] = 400
    heal_steps: Count = 80
    heal_rate: Positive = 1e-3
    model: str = ""
    real_text: str = "english"
    real_length: Annotated[int, Field(ge=32)] = 128
    real_samples: Annotated[int, Field(ge=6)] = 12
    counts: tuple[Count, ...] = (1, 3, 6, 10, 15)
    heal_layers: Count = 6
    real_heal_steps: Count = 8
    real_heal_batch: Count = 2
    real_heal_rate: Positive = 1e-3
    rank: Count = 16
    questions: Annotated[int, Field(ge=4)] = 24

    def model_post_init(self, context: Any) -> None:
        """Refuse what has nothing to measure."""
        if self.depth == 0 and not self.model:
            raise BadInput("depth is 0 and model is '': keep the small decoder (depth >= 6) or name a model.")
        if 0 < self.depth < 6 or self.width % self.heads or (self.model and len(self.counts) < 3):
            raise BadInput(
                f"depth is {self.depth}, width {self.width}, heads {self.heads}, counts {self.counts}: give 6 layers "
                "or more, heads that divide the width, and at least three counts."
            )


SCALES = {
    "pocket": LayerSettings(),
    "smollm2": LayerSettings(seeds=11, depth=0, model="smollm2"),
    "paper": LayerSettings(
        steps=20_000, model="smollm2", real_length=2048, real_samples=1000, real_heal_steps=5000, real_heal_batch=16,
        real_heal_rate=3e-4, rank=64, heal_layers=9, questions=200,
    ),
}  # fmt: skip
