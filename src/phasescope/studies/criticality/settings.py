"""The numbers of ``criticality`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

Count = Annotated[int, Field(ge=1)]


class CriticalitySettings(Settings):
    """Sizes of the study.

    ``width``, ``depth``, ``nets``: the networks whose J is followed over depth, ``nets`` per seed; ``layers`` and
    ``deep_nets`` where powers of depth are sought, ``wide`` and ``wide_nets`` where what finite width adds would be
    taken for a deviation; ``samples`` inputs each. ``chi_*`` and ``diagram_*``: the phase
    diagrams that are judged and the finer ones that are drawn, chi_J from ``chi_layer`` to the next. ``batch_*``:
    BatchNorm. ``tangent_*``: the tangent kernel. ``architecture_*``: MLP-Mixer and ResNets. ``train_*``: trained
    networks, on the digits, or on Fashion-MNIST where ``folder`` names its files. Seeds below ``first_seed`` were for
    pilots.
    """

    width: Count = 500
    depth: Annotated[int, Field(ge=4)] = 40
    nets: Count = 12
    layers: Annotated[int, Field(ge=8)] = 100
    deep_nets: Count = 4
    wide: Count = 2000
    wide_nets: Count = 2
    samples: Count = 4
    seeds: Count = 14
    first_seed: Annotated[int, Field(ge=0)] = 20
    chi_width: Count = 500
    chi_layer: Annotated[int, Field(ge=2)] = 45
    chi_nets: Count = 3
    chi_probes: Count = 5
    chi_weights: Annotated[int, Field(ge=3)] = 8
    chi_biases: Annotated[int, Field(ge=2)] = 5
    diagram_weights: Annotated[int, Field(ge=3)] = 15
    diagram_biases: Annotated[int, Field(ge=2)] = 9
    diagram_nets: Count = 3
    batch_width: Count = 256
    batch_layers: Annotated[int, Field(ge=8)] = 24
    batch_samples: Annotated[int, Field(ge=2)] = 64
    batch_nets: Count = 4
    tangent_width: Count = 300
    tangent_layers: Annotated[int, Field(ge=2)] = 12
    tangent_nets: Count = 8
    architecture_width: Count = 64
    architecture_depth: Annotated[int, Field(ge=4)] = 16
    architecture_samples: Annotated[int, Field(ge=2)] = 4
    architecture_nets: Count = 3
    train_width: Count = 96
    train_depths: tuple[Count, ...] = (10, 40)
    train_steps: Annotated[int, Field(ge=2)] = 120
    train_batch: Count = 64
    train_seeds: Count = 14
    train_samples: Count = 70_000
    rates: tuple[Positive, ...] = (0.01, 0.03)
    folder: str = ""

    def from_first(self, count: int) -> tuple[int, ...]:
        """Return ``count`` seeds."""
        return tuple(range(self.first_seed, self.first_seed + count))


SCALES = {
    "pocket": CriticalitySettings(),
    "paper": CriticalitySettings(
        seeds=32,
        train_seeds=32,
        architecture_width=128,
        architecture_depth=50,
        train_width=500,
        train_depths=(12, 24, 48),
        train_steps=2340,
        train_batch=256,
        rates=(0.001, 0.003, 0.01, 0.03, 0.1),
    ),
}
