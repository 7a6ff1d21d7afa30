"""The laws of an instrument: what any ``phasescope.vocabulary.Instrument`` must do to be trusted.

Each law takes the instrument and raises ``AssertionError`` with a sentence. The subjects are two-layer one-hot networks
of B = 3 members with p = 7, H = 6, in float64, read on 49 samples with unequal weights, of which 12 are in neither part::

    for law in LAWS:
        law(my_instrument)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble.reading import subject
from phasescope.learners import PowerMLP
from phasescope.vocabulary import Instrument, Reading, Subject

B, P, H, S, N = 3, 7, 6, 2, 49
SIZES = {"neuron": H, "vector": S + 1, "frequency": P // 2}
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A batch of networks with what they are read on: all that a Subject is made from."""

    parameters: Tensors
    data: Tensors
    loss: str = "mse"

    def subject(self) -> Subject:
        module = PowerMLP(P, H).double()
        state = {name: b.expand(self.size, *b.shape).clone() for name, b in module.named_buffers()}
        return subject(module, self.parameters, state, self.data, self.loss)

    @property
    def size(self) -> int:
        return len(self.parameters["embed"])

    def with_parameters(self, change: Callable[[str, Tensor], Tensor]) -> Case:
        return replace(self, parameters={name: change(name, value) for name, value in self.parameters.items()})

    def with_data(self, change: Callable[[str, Tensor], Tensor]) -> Case:
        return replace(self, data={name: change(name, value) for name, value in self.data.items()})


def case(seed: int = 0, size: float = 0.4, loss: str = "mse") -> Case:
    """Random networks, each with its own split, corrupted labels and weights."""
    g = np.random.default_rng(seed)
    rows = np.stack(np.meshgrid(np.arange(P), np.arange(P), indexing="ij"), -1).reshape(N, 2).astype(np.int32)
    part = np.stack([g.permutation(np.repeat([0, 1, 2], [20, 17, 12])) for _ in range(B)])
    data = {
        "inputs": np.stack([rows] * B),
        "labels": g.integers(0, P, (B, N)).astype(np.int32),
        "truth": np.stack([(rows.sum(1) % P).astype(np.int32)] * B),
        "weights": g.uniform(0.5, 2.0, (B, N)),
        "train": part == 0,
        "test": part == 1,
        "corrupted": (part == 0) & (g.random((B, N)) < 0.4),
    }
    weights = {"embed": size * g.standard_normal((B, S, P, H)), "readout": size * g.standard_normal((B, P, H))}
    return Case(_tensors(weights), _tensors(data), loss)


def _tensors(arrays: Mapping[str, Any]) -> Tensors:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def value_of(instrument: Instrument, chosen: Case) -> np.ndarray[Any, Any]:
    """What a store would keep of the reading: NaN where it is not valid."""
    reading = instrument(chosen.subject())
    value = reading.value.double()
    return (value if reading.valid is None else value.masked_fill(~reading.valid, torch.nan)).detach().numpy()


CASES = (case(0), case(1, loss="cross_entropy"), case(2, size=3.0))


def _same(found: Any, expected: Any, sentence: str, tolerance: float = 1e-9) -> None:
    scale = max(1.0, float(np.max(np.abs(np.where(np.isnan(expected), 0.0, expected)), initial=0.0)))
    assert np.allclose(found, expected, rtol=0, atol=tolerance * scale, equal_nan=True), sentence


# -- laws of every instrument ---------------------------------------------------------------------------------------------


def law_shape(instrument: Instrument) -> None:
    """A reading is (B, dims), and so are its mask and its error: results are labelled by these dims."""
    for chosen in CASES:
        reading = instrument(chosen.subject())
        assert isinstance(reading, Reading), f"{instrument.name} returns {type(reading).__name__}"
        expected = (B, *(SIZES[dim] for dim in instrument.dims))
        for name in ("value", "valid", "error"):
            part = getattr(reading, name)
            assert part is None or tuple(part.shape) == expected, f"{instrument.name}: {name} has shape {part.shape}"
        assert reading.valid is None or reading.valid.dtype == torch.bool


def law_bounds(instrument: Instrument) -> None:
    """No reading leaves the declared bounds: a plot's axis and a claim's margin rest on them."""
    low, high = instrument.bounds
    assert low < high
    for chosen in CASES:
        value = value_of(instrument, chosen)
        value = value[~np.isnan(value)]
        assert ((value >= low - 1e-12) & (value <= high + 1e-12)).all(), f"{instrument.name} leaves [{low}, {high}]"


def law_batch_independence(instrument: Instrument) -> None:
    """A network reads the same in any company: members leave the batch, and their readings may not move."""
    for chosen in CASES:
        together = value_of(instrument, chosen)
        for i in range(B):
            one = chosen.with_parameters(lambda _, v, i=i: v[i : i + 1]).with_data(lambda _, v, i=i: v[i : i + 1])
            _same(value_of(instrument, one)[0], together[i], f"{instrument.name} depends on its company", 1e-12)


def law_pure(instrument: Instrument) -> None:
    """Reading twice reads the same, and leaves what it looked at as it was."""
    for chosen in CASES:
        before = {name: value.clone() for name, value in {**chosen.parameters, **chosen.data}.items()}
        first, second = value_of(instrument, chosen), value_of(instrument, chosen)
        assert np.array_equal(first, second, equal_nan=True), f"{instrument.name} is not repeatable"
        after = {**chosen.parameters, **chosen.data}
        assert all(torch.equal(value, after[name]) for name, value in before.items()), f"{instrument.name} writes"


def law_cost(instrument: Instrument) -> None:
    """An instrument asks for no more than its declared cost: "weights" sees no logits, "forward" no gradients."""

    def forbidden(*_: Any) -> Any:
        raise AssertionError(f"{instrument.name} costs more than {instrument.cost!r}")

    seen = CASES[0].subject()
    if instrument.cost == "weights":
        seen = replace(seen, logits=forbidden, sample_losses=forbidden)
    if instrument.cost != "backward":
        seen = replace(seen, gradients=forbidden)
    instrument(seen)


def _neurons(instrument: Instrument, chosen: Case) -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    before, after = (
        value_of(instrument, chosen),
        value_of(instrument, chosen.with_parameters(lambda _, v: v[..., order])),
    )
    if "neuron" in instrument.dims:
        before = before.take(order.numpy(), 1 + instrument.dims.index("neuron"))
    _same(after, before, f"{instrument.name} depends on the order of neurons")


def _scale(instrument: Instrument, chosen: Case) -> None:
    after = value_of(instrument, chosen.with_parameters(lambda _, v: 3.7 * v))
    _same(after, value_of(instrument, chosen), f"{instrument.name} depends on the scale of the weights")


def _shift(instrument: Instrument, chosen: Case) -> None:
    def turn(name: str, value: Tensor) -> Tensor:
        if name == "readout":
            return value.roll(3, 1)
        return torch.stack([value[:, 0].roll(1, 1), value[:, 1].roll(-2, 1)], 1)

    after = value_of(instrument, chosen.with_parameters(turn))
    _same(after, value_of(instrument, chosen), f"{instrument.name} depends on where counting begins")


def _samples(instrument: Instrument, chosen: Case) -> None:
    order = torch.from_numpy(np.random.default_rng(9).permutation(N))
    after = value_of(instrument, chosen.with_data(lambda _, v: v[:, order]))
    _same(after, value_of(instrument, chosen), f"{instrument.name} depends on the order of samples")


INVARIANCES: Mapping[str, Callable[[Instrument, Case], None]] = {
    "neuron permutation": _neurons,
    "weight scale": _scale,
    "cyclic shift": _shift,
    "sample permutation": _samples,
}


def law_invariances(instrument: Instrument) -> None:
    """Every declared symmetry holds, and is one that this suite knows how to test: a promise is a tested promise."""
    for name in instrument.invariances:
        assert name in INVARIANCES, f"{instrument.name} declares {name!r}, which no law tests"
        for chosen in CASES:
            INVARIANCES[name](instrument, chosen)


def law_declares_neurons(instrument: Instrument) -> None:
    """The order of neurons means nothing in a fully connected layer, so every instrument must be blind to it."""
    assert "neuron permutation" in instrument.invariances, f"{instrument.name} does not promise to be blind to neurons"
    law_invariances(instrument)


def law_sample_readings_ignore_their_order(instrument: Instrument) -> None:
    """What looks at samples is a mean over them, so their order means nothing."""
    if instrument.cost != "weights":
        assert "sample permutation" in instrument.invariances


def law_says_what_it_is(instrument: Instrument) -> None:
    """Unit, source and null value are told to readers of every plot."""
    for text in (instrument.name, instrument.unit, instrument.source, instrument.null):
        assert text.strip()
    assert set(instrument.dims) <= set(SIZES), f"{instrument.name} has dims {instrument.dims} that no law knows"


LAWS = (
    law_shape,
    law_bounds,
    law_batch_independence,
    law_pure,
    law_cost,
    law_invariances,
    law_declares_neurons,
    law_sample_readings_ignore_their_order,
    law_says_what_it_is,
)


# -- laws of single instruments -------------------------------------------------------------------------------------------


def weights_only(embed: Any, readout: Any) -> Subject:
    """A Subject of one network (S, p, H), (K, H) for instruments that look at weights alone."""
    parameters = _tensors({"embed": np.asarray(embed)[None], "readout": np.asarray(readout)[None]})
    nothing = torch.zeros(1, 1)

    def forbidden() -> Any:
        raise AssertionError("looks further than the weights")

    return Subject(parameters, *[nothing] * 7, "mse", forbidden, forbidden, forbidden, forbidden)


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
        "mse", lambda changed: logits, lambda: logits, lambda: losses, dict,
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
