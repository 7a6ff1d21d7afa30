"""Dropout whose mask is a pure function of a key: the same bits in any batch, on any device, compiled or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phasescope.checks import anything, checked, number


def _logical_shift(value: Tensor, bits: int) -> Tensor:
    # torch has no unsigned shift: clear the copies of the sign bit that the arithmetic one drags in
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >= 1 << 63 else constant


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return float32 uniforms in [0, 1) of ``shape`` from an int64 ``key``.

    Counter-based: the splitmix64 finalizer of ``key + (i + 1) * golden ratio`` (Steele, Lea & Flood 2014, OOPSLA,
    "Fast splittable pseudorandom number generators", Fig. 15-16), its 24 highest bits.
    """
    count = 1
    for length in shape:
        count *= length
    value = key + (torch.arange(count, device=key.device, dtype=torch.int64) + 1) * _signed(0x9E3779B97F4A7C15)
    value = (value ^ _logical_shift(value, 30)) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ _logical_shift(value, 27)) * _signed(0x94D049BB133111EB)
    value = value ^ _logical_shift(value, 31)
    return (_logical_shift(value, 40).to(torch.float32) * 2.0**-24).reshape(shape)


class KeyedDropout(nn.Module):
    """Dropout with inverse scaling; ``rate`` and ``key`` are buffers, so that both may differ per member and step.

    The ensemble sets ``key`` before each step. Use it in place of ``nn.Dropout`` in modules that an ensemble trains.
    """

    rate: Tensor
    key: Tensor

    @checked(self=anything, rate=number(0, 1, open_high=True))
    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(float(rate), dtype=torch.float64))
        self.register_buffer("key", torch.tensor(0, dtype=torch.int64))
        self.always_off = rate == 0.0

    def set_rate(self, rate: float) -> None:
        """Set the rate, in place."""
        self.rate.fill_(rate)
        self.always_off = rate == 0.0

    def forward(self, values: Tensor) -> Tensor:
        """Zero each of ``values`` (N, H) with probability ``rate`` while training, scale the rest by 1 / (1 - rate)."""
        if not self.training or self.always_off:
            return values
        keep = uniform(self.key, tuple(values.shape)) >= self.rate
        return values * (keep / (1.0 - self.rate)).to(values.dtype)
