"""The numbers of ``class-manifolds`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]

BALL, TUBE = (0.5, 0), (0.3, 24)  # radius over distance, and dimension of the subspace
SPACE = 64  # dimensions in which they lie
STEPS = (20, 200)  # of the climb towards them; the first is a rival: too few
UNTRAINED, TRAINED, AS_LOUD = "untrained", "trained", "untrained as trained"
SHUFFLED = "shuffled as trained"  # the trained network, the entries of each weight tensor in another order
FEW, RANDOM, TRUE, NARROW, EARLY, ENSEMBLE = "few images", "random labels", "true labels", "narrow", "early", "ensemble"
BOUNDARY, LOUD_BOUNDARY = "boundaries", "boundaries of untrained as trained"
PAIRS = {FEW: TRAINED, RANDOM: TRUE, NARROW: TRAINED, EARLY: TRAINED, ENSEMBLE: TRAINED}
"""What is compared: a network and the one that differs from it in one thing."""


def as_loud(name: str, other: str) -> str:
    """Return the name of a network whose logits are scaled to the spread that another's have."""
    return f"{name} as {other}"


class ClassManifoldSettings(Settings):
    """Sizes of the study. ``images``: a folder with Fashion-MNIST, or "fashion-mnist" for the one in the cache of
    ``phasescope data``; empty for scikit-learn's digits, on which only trained and untrained networks are compared.

    ``side`` is that of the images. ``samples`` train a network, ``few`` the small ones, ``labelled`` those whose labels
    are true or random, which are trained ``long`` steps. ``planes`` per class and dimension, ``climb`` steps in each.
    """

    seeds: Annotated[int, Field(ge=2)] = 12
    images: str = ""
    side: Annotated[int, Field(ge=4)] = 8
    samples: Annotated[int, Field(ge=100)] = 1200
    tests: Annotated[int, Field(ge=100)] = 500
    few: Annotated[int, Field(ge=20)] = 100
    labelled: Annotated[int, Field(ge=20)] = 600
    width: Count = 128
    narrow: Count = 16
    members: Annotated[int, Field(ge=2)] = 5
    steps: Count = 600
    early: Count = 60
    long: Count = 1500
    rate: Positive = 1e-3
    batch: Count = 128
    planes: Annotated[int, Field(ge=2)] = 8
    climb: Count = 150
    ball_planes: Annotated[int, Field(ge=2)] = 400

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks whose classes are cut, by name."""
        found = (UNTRAINED, TRAINED, AS_LOUD, SHUFFLED)
        if not self.images:
            return found
        rivals = {as_loud(other, name) for name, other in PAIRS.items()}
        return (*found, *PAIRS, TRUE, *sorted(rivals), BOUNDARY, LOUD_BOUNDARY)


SCALES = {
    "pocket": ClassManifoldSettings(),
    "middle": ClassManifoldSettings(
        images="fashion-mnist", side=14, samples=4000, tests=2000, few=250, labelled=1000
    ),
    "paper": ClassManifoldSettings(
        images="fashion-mnist", side=28, samples=60_000, tests=10_000, few=1000, labelled=10_000, width=1024,
        steps=20_000, long=100_000, early=500, planes=8, climb=300, members=10,
    ),
}  # fmt: skip
