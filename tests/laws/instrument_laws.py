"""Laws of single instruments: what participation and alignment must read of weights written by hand.

The laws of every instrument are ``phasescope.testing``'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from phasescope.testing.instruments import CASES as CASES
from phasescope.testing.instruments import INSTRUMENT_LAWS
from phasescope.testing.instruments import INVARIANCES as INVARIANCES
from phasescope.testing.instruments import SIZES as SIZES
from phasescope.testing.instruments import B as B
from phasescope.testing.instruments import Case as Case
from phasescope.testing.instruments import H as H
from phasescope.testing.instruments import N as N
from phasescope.testing.instruments import P as P
from phasescope.testing.instruments import S as S
from phasescope.testing.instruments import case as case
from phasescope.testing.instruments import law_batch_independence as law_batch_independence
from phasescope.testing.instruments import law_bounds as law_bounds
from phasescope.testing.instruments import law_cost as law_cost
from phasescope.testing.instruments import law_declares_neurons as law_declares_neurons
from phasescope.testing.instruments import law_invariances as law_invariances
from phasescope.testing.instruments import same as same
from phasescope.testing.instruments import tensors as tensors
from phasescope.testing.instruments import value_of as value_of
from phasescope.vocabulary import Instrument, Subject

LAWS = INSTRUMENT_LAWS


# -- laws of single instruments -------------------------------------------------------------------------------------------


def weights_only(embed: Any, readout: Any) -> Subject:
    """A Subject of one network (S, p, H), (K, H) for instruments that look at weights alone."""
    parameters = tensors({"embed": np.asarray(embed)[None], "readout": np.asarray(readout)[None]})
    nothing = torch.zeros(1, 1)

    def forbidden() -> Any:
        raise AssertionError("looks further than the weights")

    return Subject(parameters, *[nothing] * 7, "mse", *[forbidden] * 5)


def waves(p: int, frequencies: Any, phases: Any) -> np.ndarray[Any, Any]:
    """cos(2 pi k n / p + phi): (p, H)."""
    return np.asarray(np.cos(2 * np.pi * np.outer(np.arange(p), frequencies) / p + phases))


def law_participation_of_a_cosine_is_one(instrument: Instrument) -> None:
    """One cosine of any frequency and phase fills one rfft bin, so the ratio is 1 (with a full fft it would be 1/2)."""
    g = np.random.default_rng(0)
    for p in (5, 11, 23):
        k = np.arange(1, (p - 1) // 2 + 1)
        parts = [waves(p, k, g.uniform(0, 2 * np.pi, len(k))) for _ in range(3)]
        value = instrument(weights_only(np.stack(parts[:2]), parts[2])).value.numpy()
        assert np.allclose(value, 1, atol=1e-12), f"p = {p}: {value.min()}"


def law_participation_counts_the_constant(instrument: Instrument) -> None:
    """A constant beside a cosine of equal power is a second bin: the ratio of two equal powers is 1/2."""
    p, k = 11, np.array([2.0])
    wave = 1 / np.sqrt(1) * waves(p, k, 0.3) + 0.5  # |rfft|: p/2 at bin 2, p/2 at bin 0
    value = instrument(weights_only(np.stack([wave, wave]), wave)).value.numpy()
    assert np.allclose(value, 0.5, atol=1e-12), f"{value}"


def law_participation_of_noise(instrument: Instrument) -> None:
    """Gaussian weights: (p - 1)/2 complex bins and the constant's, exponential and chi-square powers, drawn as such."""
    g = np.random.default_rng(1)
    for p in (11, 23, 31):
        count = 40_000
        power = np.concatenate([g.exponential(size=(count, (p - 1) // 2)), g.chisquare(1, (count, 1))], 1)
        direct = (power**2).sum(1) / power.sum(1) ** 2
        value = instrument(weights_only(g.standard_normal((2, p, 2000)), g.standard_normal((p, 2000)))).value.numpy()
        # each neuron is a mean of three independent vectors
        error = np.hypot(direct.std() / np.sqrt(count), value.std() / np.sqrt(value.size))
        assert abs(value.mean() - direct.mean()) < 4 * error, f"p = {p}: {value.mean()} and {direct.mean()}"


def law_alignment_of_exact_weights_is_one(instrument: Instrument) -> None:
    """Weights that obey phi1 + phi2 = phi3 align to +1, and an error e of phi3 to cos(e): Gromov 2023, Eq. 12."""
    g = np.random.default_rng(2)
    p = 13
    for error in (0.0, 0.7, 2.0, np.pi):
        k = g.permutation(np.tile(np.arange(1, p), 2))  # above p/2 too: these fold back
        first, second = g.uniform(0, 2 * np.pi, (2, len(k)))
        embed = np.stack([waves(p, k, first), waves(p, k, second)])
        value = instrument(weights_only(embed, waves(p, k, first + second + error))).value.numpy()
        assert np.allclose(value, np.cos(error), atol=1e-9), f"error {error}: {value.mean()}"


def law_alignment_of_noise_is_nothing(instrument: Instrument) -> None:
    """Independent phases have no mean cosine: within 4 standard errors, 1 / sqrt(2 H) each."""
    g = np.random.default_rng(3)
    value = instrument(weights_only(g.standard_normal((2, 23, 4000)), g.standard_normal((23, 4000)))).value.numpy()
    assert abs(value.mean()) < 4 / np.sqrt(2 * 4000)


def hand_made(**changes: Any) -> Subject:
    """One network that answered four samples of three classes by hand; the last sample is in neither part."""
    logits = torch.tensor([[[2.0, 1, 0], [0, 3, 1], [0.5, 0, 4], [9, 0, 0]]], dtype=torch.float64)
    labels = torch.tensor([[0, 2, 2, 1]])
    parts = {
        "train": torch.tensor([[True, True, False, False]]),
        "test": torch.tensor([[False, False, True, False]]),
        "corrupted": torch.tensor([[False, True, False, False]]),
        "weights": torch.tensor([[1.0, 3.0, 2.0, 5.0]]),
        **changes,
    }
    losses = torch.tensor([[0.5, 1.5, 0.25, 7.0]])
    return Subject(
        {}, torch.zeros(1, 4, 2), labels, labels, parts["train"], parts["test"], parts["corrupted"], parts["weights"],
        "mse", lambda changed: logits, lambda: logits, lambda: losses, dict, lambda changed: losses.mean(1),
    )  # fmt: skip


HAND_MADE = {
    "train_accuracy": 1 / 4,  # the first of weight 1 is right, the second of weight 3 is wrong
    "test_accuracy": 1.0,
    "table_accuracy": (1 + 2) / 6,
    "train_loss": (1 * 0.5 + 3 * 1.5) / 4,
    "test_loss": 0.25,
    "table_loss": (1 * 0.5 + 3 * 1.5 + 2 * 0.25) / 6,
    "correct_logit": (1 * 2.0 + 3 * 1.0 + 2 * 4.0) / 6,
    "logit_margin": 4.0 - 0.5,
    # weights 1, 1, 3, 3, 2, 2: mean 11/12, squares 28.5 - 12 (11/12)^2, over 12 - 28/12 for an unbiased variance
    "wrong_logit_deviation": ((28.5 - 121 / 12) / (12 - 28 / 12)) ** 0.5,
}


def law_hand_made(instrument: Instrument) -> None:
    """Four samples worked out by hand: weights count, and rows outside both parts do not."""
    value = instrument(hand_made()).value.item()
    assert abs(value - HAND_MADE[instrument.name]) < 1e-12, f"{instrument.name}: {value}"
