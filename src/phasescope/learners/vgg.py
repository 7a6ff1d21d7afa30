"""A small VGG: convolutions of 3 x 3 pixels one after the other, with ReLU and now and then a maximum over 2 x 2.

Simonyan and Zisserman 2015, arXiv:1409.1556, without the fully connected layers at its end; with batch normalization as
in the variant that is in common use. Convolution outputs are the preactivations between which Jacobians are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from phasescope.checks import anything, checked, flag
from phasescope.learners.sizes import size, sizes
from phasescope.vocabulary import BadInput

POOL = 0


class VGG(nn.Module):
    """Square images of one channel, flattened (B, side^2) float -> (B, outputs) logits.

    ``plan`` lists the channels of each convolution; 0 stands for a maximum over 2 x 2 pixels. Each convolution is
    followed by ReLU, with ``batch_norm`` by a normalization before it; the last features are averaged over the image.
    Raises ``BadInput`` for a plan that begins with a maximum, has negative channels, or shrinks the image to nothing.
    """

    @checked(self=anything, side=size, plan=sizes, outputs=size, batch_norm=flag)
    def __init__(
        self, side: int, plan: Sequence[int] = (16, 16, 0, 32, 32, 0, 64, 64), *, outputs: int = 10,
        batch_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if not plan or plan[0] == POOL or min(plan) < 0 or side < 2 ** list(plan).count(POOL):
            raise BadInput(
                f"plan is {list(plan)} for images of {side} x {side}: begin with channels, and halve no further than 1."
            )
        self.side, self.plan, self.outputs, self.batch_norm = side, tuple(plan), outputs, batch_norm
        layers: list[nn.Module] = []
        channels = 1
        for entry in plan:
            if entry == POOL:
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, entry, 3, padding=1))
            layers += [nn.BatchNorm2d(entry), nn.ReLU()] if batch_norm else [nn.ReLU()]
            channels = entry
        self.features = nn.Sequential(*layers)
        self.readout = nn.Linear(channels, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, outputs) of ``inputs`` (B, side^2)."""
        h = self.features(inputs.reshape(-1, 1, self.side, self.side))
        out: Tensor = self.readout(h.mean((2, 3)))
        return out

    def describe(self) -> dict[str, Any]:
        """Return everything that changes the network's numbers."""
        names = ("side", "outputs", "batch_norm")
        return {"learner": "VGG", "plan": list(self.plan), **{name: getattr(self, name) for name in names}}
