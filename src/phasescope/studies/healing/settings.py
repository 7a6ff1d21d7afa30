"""The numbers of ``healing`` at each scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from phasescope.vocabulary import BadInput, Positive, Settings

WHOLE, NEAREST, READOUT = "whole", "nearest", "readout alone"
BEFORE, AFTER = "before", "after"
PARTS = 20  # of the steps, over which training losses are averaged
Count = Annotated[int, Field(ge=1)]


class HealingSettings(Settings):
    """Sizes of the study. ``model`` is ``smollm2`` or a folder of Hugging Face; "": a small decoder is trained.

    ``gone`` layers are left out, and ``heal_steps`` are what all models are given. ``text`` is healed on and
    ``elsewhere`` is not, names of data sets or files, of a real model only: a small one reads Python's reference.
    ``tests`` samples are held out of each, and ``questions`` of each kind asked.
    """

    seeds: Count = 12
    model: str = ""
    text: str = ""
    elsewhere: str = ""
    depth: Annotated[int, Field(ge=4)] = 6
    width: Annotated[int, Field(ge=8)] = 64
    heads: Count = 2
    steps: Count = 2000
    rate: Positive = 3e-3
    length: Annotated[int, Field(ge=16)] = 64
    batch: Count = 16
    tests: Annotated[int, Field(ge=8)] = 128
    gone: Count = 2
    heal_steps: Annotated[int, Field(ge=PARTS)] = 200
    heal_batch: Count = 16
    heal_rate: Positive = 1e-3
    rank: Count = 64
    questions: Annotated[int, Field(ge=10)] = 64

    def model_post_init(self, context: Any) -> None:
        """Refuse what has nothing to measure."""
        if not self.model and (self.gone > self.depth - 2 or self.width % self.heads):
            raise BadInput(
                f"gone is {self.gone} of {self.depth} layers, width {self.width}, heads {self.heads}: leave two layers "
                "or more, and let heads divide the width."
            )
        if self.model and not (self.text and self.elsewhere and self.text != self.elsewhere):
            raise BadInput(
                f"text is {self.text!r}, elsewhere {self.elsewhere!r}: name two different texts for a real model, such "
                "as english and moby-dick."
            )


SCALES = {
    "pocket": HealingSettings(),
    "real": HealingSettings(
        seeds=9, model="smollm2", text="english", elsewhere="moby-dick", tests=32, gone=6, heal_steps=500, heal_batch=2,
        heal_rate=3e-4,
    ),
    "paper": HealingSettings(
        model="smollm2", text="english", elsewhere="moby-dick", length=512, tests=200, gone=6, heal_steps=5000,
        heal_rate=3e-4, questions=196,
    ),
}  # fmt: skip
