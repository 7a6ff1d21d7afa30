"""The numbers of ``initialization-forecast`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Settings

Count = Annotated[int, Field(ge=1)]

FAMILIES = (
    "tanh MLP", "ReLU MLP", "GELU MLP", "sigmoid MLP", "residual MLP", "pre-norm MLP", "post-norm MLP",
    "LayerNorm MLP", "BatchNorm MLP", "CNN", "transformer",
)  # fmt: skip
RATES = (2.0**-10, 2.0**-8, 2.0**-6, 2.0**-4, 2.0**-2)  # of SGD with momentum 0.9: factors of 4
ORDINARY = 2.0**-2
"""The least rate that is not called small: 0.25, of SGD with momentum 0.9. It parts those that train in halves."""
WARMED = 2.0**-4
"""The rate that is also tried with a warm-up over half of the budget."""
LEVEL = 0.7
"""The test accuracy that a network must reach within the budget to be said to train."""
RICH = 0.5
"""How far, as one minus the cosine of their Gram matrices, features must have moved for learning to be called rich."""


class ForecastSettings(Settings):
    """Sizes of the study: every seed draws ``networks`` new networks of each family, and trains each at every rate.

    ``deepest``: layers of the deepest plain networks; convolutional ones and transformers are at most a fifth and a
    tenth as deep. ``steps``, ``batch``: of every training, on four in five of ``rows`` images. ``probes``: random
    vectors of a Jacobian, which is read on ``samples`` of them.
    """

    seeds: Count = 10
    networks: Count = 3
    deepest: Annotated[int, Field(ge=10)] = 40
    steps: Annotated[int, Field(ge=4)] = 60
    batch: Count = 64
    probes: Annotated[int, Field(ge=2)] = 4
    samples: Annotated[int, Field(ge=8)] = 64
    rows: Annotated[int, Field(ge=200, le=1797)] = 600


SCALES = {
    "pocket": ForecastSettings(),
    "paper": ForecastSettings(seeds=32, networks=12, steps=1000, samples=128, rows=1797),
}
