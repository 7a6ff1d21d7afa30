"""The laws of an instrument: what any ``phasescope.vocabulary.Instrument`` must do to be trusted.

Each law takes the instrument and raises ``AssertionError`` with a sentence. The subjects are two-layer one-hot networks
of B = 3 members with p = 7, H = 6, in float64, read on 49 samples with unequal weights; 12 are in neither part::

    check_instrument(my_instrument)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phasescope.ensemble.reading import subject
from phasescope.ensemble.streams import streams
from phasescope.learners import PowerMLP
from phasescope.vocabulary import Instrument, Reading, Subject, as_instrument

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
        """Return what an instrument is shown."""
        module = PowerMLP(P, H).double()
        parameters, data = ({k: v.clone() for k, v in part.items()} for part in (self.parameters, self.data))
        state = {name: b.expand(self.size, *b.shape).clone() for name, b in module.named_buffers()}
        return subject(module, parameters, state, data, self.loss)

    @property
    def size(self) -> int:
        """The number of networks."""
        return len(self.parameters["embed"])

    def with_parameters(self, change: Callable[[str, Tensor], Tensor]) -> Case:
        """Return the same with each parameter changed."""
        return replace(self, parameters={name: change(name, value) for name, value in self.parameters.items()})

    def with_data(self, change: Callable[[str, Tensor], Tensor]) -> Case:
        """Return the same with each array of the data changed."""
        return replace(self, data={name: change(name, value) for name, value in self.data.items()})


def case(seed: int = 0, size: float = 0.4, loss: str = "mse") -> Case:
    """Random networks, each with its own split, corrupted labels and weights."""
    g = streams(seed)("laws")
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
    return Case(tensors(weights), tensors(data), loss)


def tensors(arrays: Mapping[str, Any]) -> Tensors:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def value_of(instrument: Instrument, chosen: Case) -> np.ndarray[Any, Any]:
    """What a store would keep of the reading: NaN where it is not valid."""
    reading = instrument(chosen.subject())
    value = reading.value.double()
    return (value if reading.valid is None else value.masked_fill(~reading.valid, torch.nan)).detach().numpy()


CASES = (case(0), case(1, loss="cross_entropy"), case(2, size=3.0))


def same(found: Any, expected: Any, sentence: str, tolerance: float = 1e-9) -> None:
    """Raise ``AssertionError`` with the sentence where two readings differ."""
    scale = max(1.0, float(np.max(np.abs(np.where(np.isnan(expected), 0.0, expected)), initial=0.0)))
    assert np.allclose(found, expected, rtol=0, atol=tolerance * scale, equal_nan=True), sentence


# -- laws of every instrument -----------------------------------------------------------------


def law_shape(instrument: Instrument) -> None:
    """A reading is (B, dims), and so are its mask and its error: results are labelled by these dims."""
    unknown = [dim for dim in instrument.dims if dim not in SIZES]
    assert not unknown, f"{instrument.name} has dims {unknown} that no law knows: they know {', '.join(SIZES)}"
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

            def alone(_: str, value: Tensor, i: int = i) -> Tensor:
                return value[i : i + 1]

            one = chosen.with_parameters(alone).with_data(alone)
            same(value_of(instrument, one)[0], together[i], f"{instrument.name} depends on its company", 1e-12)


def law_pure(instrument: Instrument) -> None:
    """Reading twice reads the same, and leaves what it looked at as it was."""
    for chosen in CASES:
        seen = chosen.subject()
        held = {**seen.parameters, **{name: getattr(seen, name) for name in ("inputs", "labels", "truth", "weights")}}
        before = {name: value.clone() for name, value in held.items()}
        first, second = (instrument(seen).value.detach().clone() for _ in range(2))
        assert all(torch.equal(value, held[name]) for name, value in before.items()), f"{instrument.name} writes"
        assert torch.equal(first.nan_to_num(), second.nan_to_num()), f"{instrument.name} is not repeatable"


def law_cost(instrument: Instrument) -> None:
    """An instrument asks for no more than its declared cost: "weights" sees no logits, "forward" no gradients."""

    def forbidden(*_: Any) -> Any:
        raise AssertionError(f"{instrument.name} costs more than {instrument.cost!r}")

    seen = CASES[0].subject()
    if instrument.cost == "weights":
        seen = replace(seen, logits=forbidden, sample_losses=forbidden)
    if instrument.cost != "backward":
        seen = replace(seen, gradients=forbidden, training_loss=forbidden)
    instrument(seen)


def _neurons(instrument: Instrument, chosen: Case) -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    before, after = (
        value_of(instrument, chosen),
        value_of(instrument, chosen.with_parameters(lambda _, v: v[..., order])),
    )
    if "neuron" in instrument.dims:
        before = before.take(order.numpy(), 1 + instrument.dims.index("neuron"))
    same(after, before, f"{instrument.name} depends on the order of neurons")


def _scale(instrument: Instrument, chosen: Case) -> None:
    after = value_of(instrument, chosen.with_parameters(lambda _, v: 3.7 * v))
    same(after, value_of(instrument, chosen), f"{instrument.name} depends on the scale of the weights")


def _shift(instrument: Instrument, chosen: Case) -> None:
    def turn(name: str, value: Tensor) -> Tensor:
        if name == "readout":
            return value.roll(3, 1)
        return torch.stack([value[:, 0].roll(1, 1), value[:, 1].roll(-2, 1)], 1)

    after = value_of(instrument, chosen.with_parameters(turn))
    same(after, value_of(instrument, chosen), f"{instrument.name} depends on where counting begins")


def _samples(instrument: Instrument, chosen: Case) -> None:
    order = torch.from_numpy(streams(9)("laws").permutation(N))
    after = value_of(instrument, chosen.with_data(lambda _, v: v[:, order]))
    same(after, value_of(instrument, chosen), f"{instrument.name} depends on the order of samples")


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


INSTRUMENT_LAWS = (
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


HOUSE = (law_declares_neurons, law_sample_readings_ignore_their_order)
"""Laws that the instruments of the house keep besides: what they are blind to is declared."""


def check_instrument(instrument: Instrument) -> None:
    """Hold an instrument of your own to the laws of every instrument. Raises ``AssertionError`` with a sentence.

    It is shown two-layer networks on residues (``PowerMLP(7, 6)``, parameters ``embed`` and ``readout``); its own
    dimensions may be "neuron", "vector" and "frequency". It may promise the invariances "neuron permutation", "weight
    scale", "cyclic shift" and "sample permutation".
    """
    instrument = as_instrument(instrument)
    for law in INSTRUMENT_LAWS:
        if law not in HOUSE:
            law(instrument)
