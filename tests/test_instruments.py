"""Instruments: the law suite over all of them, closed forms, and what they say where they can not answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from laws import instrument_laws as laws
from phasescope import instruments
from phasescope.ensemble.reading import read, subject
from phasescope.instruments import fourier, norms
from phasescope.instruments import logits as answers
from phasescope.instruments.fourier import participation_in_basis
from phasescope.learners import PowerMLP
from phasescope.subjects import public
from phasescope.theory import modular_addition
from phasescope.vocabulary import BadInput, Instrument, Reading

NAMED = {instrument.name: instrument for instrument in instruments.ALL}
LOG = participation_in_basis([pow(3, i, 7) for i in range(6)], "log")  # 3 is a primitive root mod 7


@pytest.mark.parametrize("instrument", [*instruments.ALL, LOG], ids=lambda i: i.name)
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: object, instrument: Instrument) -> None:
    law(instrument)  # type: ignore[operator]


def test_all_is_all() -> None:
    """The suite runs over ALL, so ALL must hold every public instrument once."""
    found = [value for value in public("phasescope.instruments").values() if isinstance(value, Instrument)]
    assert sorted(i.name for i in found) == sorted(NAMED)
    assert len(NAMED) == len(instruments.ALL)


@pytest.mark.parametrize("name", laws.HAND_MADE)
def test_hand_made(name: str) -> None:
    laws.law_hand_made(NAMED[name])


@pytest.mark.parametrize("name", ["participation", "mean_participation"])
def test_participation(name: str) -> None:
    laws.law_participation_of_a_cosine_is_one(NAMED[name])
    laws.law_participation_counts_the_constant(NAMED[name])


def test_participation_of_noise() -> None:
    laws.law_participation_of_noise(fourier.participation)


@pytest.mark.parametrize(("p", "measured"), [(97, 0.0404), (59, 0.0654), (31, 0.1206), (23, 0.158), (11, 0.300)])
def test_participation_of_noise_is_the_one_measured_elsewhere(p: int, measured: float) -> None:
    """Values of an independent script: shared/facts/grokking_modular.md, 0.1-(4)."""
    g = np.random.default_rng(5)
    value = fourier.participation(laws.weights_only(g.standard_normal((2, p, 3000)), g.standard_normal((p, 3000))))
    assert float(value.value.mean()) == pytest.approx(measured, rel=0.015)


def test_alignment() -> None:
    laws.law_alignment_of_exact_weights_is_one(fourier.phase_alignment)
    laws.law_alignment_of_noise_is_nothing(fourier.phase_alignment)


def test_phases_are_read_as_written() -> None:
    """The argument at frequency k is phi itself for k < p/2, in (-pi, pi]."""
    g, p = np.random.default_rng(0), 11
    k = np.arange(1, 6)
    written = g.uniform(-np.pi, np.pi, (3, 5))
    parts = list(laws.waves(p, k, phi) for phi in written)
    found = fourier.phases(laws.weights_only(np.stack(parts[:2]), parts[2])).value[0].numpy()
    assert np.allclose(found, written, atol=1e-9)


@pytest.mark.parametrize("p", [5, 12, 13])
def test_frequencies_are_counted(p: int) -> None:
    """Frequency k and p - k are one; multiples of p are constants, which have no frequency and are not counted."""
    width = 2 * p + 1
    embed, readout = modular_addition.addition_weights(p, width, np.random.default_rng(0))
    seen = laws.weights_only(embed, readout)
    expected = [min(k % p, p - k % p) for k in range(1, width + 1)]
    found = read([fourier.dominant_frequency, fourier.frequency_census], seen)
    frequency = np.nan_to_num(found["dominant_frequency"][0], nan=0.0)
    assert frequency.tolist() == expected
    assert found["frequency_census"][0].tolist() == [expected.count(k) for k in range(1, p // 2 + 1)]


def test_log_basis_sees_multiplication() -> None:
    """Characters of the multiplicative group are pure in the discrete logarithm and noise in the raw index."""
    p, root, width = 31, 3, 15  # 3 is a primitive root mod 31
    powers = [pow(root, i, p) for i in range(p - 1)]
    assert sorted(powers) == list(range(1, p))
    log = {n: i for i, n in enumerate(powers)}
    g = np.random.default_rng(0)
    parts = []
    for phase in g.uniform(0, 2 * np.pi, (3, width)):
        part = np.zeros((p, width))
        for n in range(1, p):
            part[n] = np.cos(2 * np.pi * np.arange(1, width + 1) * log[n] / (p - 1) + phase)
        parts.append(part)
    seen = laws.weights_only(np.stack(parts[:2]), parts[2])
    assert np.allclose(participation_in_basis(powers, "log")(seen).value.numpy(), 1, atol=1e-12)
    raw = fourier.participation(seen).value.numpy()
    # all characters but the quadratic one (frequency 15) have flat raw spectra: Gauss sums have one modulus
    assert raw.max() < 0.2


def test_norms() -> None:
    """3-4-5, over all parameters together."""
    embed, readout = np.zeros((2, 3, 2)), np.zeros((3, 2))
    embed[1, 2, 0], readout[0, 1] = 3.0, -4.0
    assert norms.weight_norm(laws.weights_only(embed, readout)).value.item() == 5.0


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_gradient_norm_is_the_finite_difference(loss: str) -> None:
    """Central differences of the training loss in every direction, float64: one batch of all shifted networks."""
    chosen = laws.case(4, loss=loss)
    one = laws.Case({n: v[:1] for n, v in chosen.parameters.items()}, {n: v[:1] for n, v in chosen.data.items()}, loss)
    count = sum(value.numel() for value in one.parameters.values())
    step = 1e-5 * torch.cat([torch.eye(count, dtype=torch.float64), -torch.eye(count, dtype=torch.float64)])
    shifted, begin = {}, 0
    for name, value in one.parameters.items():
        part = step[:, begin : begin + value.numel()].reshape(2 * count, *value.shape[1:])
        shifted[name], begin = value + part, begin + value.numel()
    many = laws.Case(shifted, {n: v.expand(2 * count, *v.shape[1:]) for n, v in one.data.items()}, loss)
    up, down = answers.train_loss(many.subject()).value.split(count)
    found = norms.gradient_norm(one.subject()).value.item()
    assert found == pytest.approx(float(((up - down) / 2e-5).norm()), rel=1e-7)


def test_losses_are_the_literal_ones() -> None:
    """MSE is the mean over samples and outputs of one-hot targets; cross-entropy is in nats. A double loop in numpy."""
    for loss in ("mse", "cross_entropy"):
        chosen = laws.case(6, loss=loss)
        seen = chosen.subject()
        logits, labels = seen.logits().numpy(), chosen.data["labels"].numpy()
        for b in range(laws.B):
            top, total = 0.0, 0.0
            for n in range(laws.N):
                row, hot = logits[b, n], np.eye(laws.P)[labels[b, n]]
                each = ((row - hot) ** 2).mean() if loss == "mse" else np.log(np.exp(row).sum()) - row[labels[b, n]]
                weight = float(chosen.data["weights"][b, n] * chosen.data["train"][b, n])
                top, total = top + weight * each, total + weight
            assert answers.train_loss(seen).value[b].item() == pytest.approx(top / total, rel=1e-12)


def test_an_empty_part_is_not_valid() -> None:
    """Without test rows there is no test accuracy: NaN in the results, never 0."""
    nobody = torch.zeros(1, 4, dtype=torch.bool)
    seen = laws.hand_made(test=nobody)
    watch = [answers.test_accuracy, answers.test_loss, answers.logit_margin, answers.train_accuracy]
    found = read(watch, seen)
    assert all(np.isnan(found[name]).all() for name in ("test_accuracy", "test_loss", "logit_margin"))
    assert found["train_accuracy"].item() == 0.25


def test_dead_and_constant_neurons_are_not_valid() -> None:
    """A neuron of zeros has no participation and no frequency, one of constants no frequency; the others still read."""
    embed, readout = (x.copy() for x in modular_addition.addition_weights(7, 4, np.random.default_rng(0)))
    embed[..., 0] = readout[..., 0] = 0.0
    embed[..., 1] = readout[..., 1] = 0.3
    names = ["participation", "mean_participation", "dominant_frequency", "phase_alignment", "frequency_census"]
    found = read([NAMED[name] for name in names], laws.weights_only(embed, readout))
    assert np.isnan(found["participation"][0]).tolist() == [True, False, False, False]
    assert found["mean_participation"][0] == pytest.approx(1.0)
    for name in ("dominant_frequency", "phase_alignment"):
        assert np.isnan(found[name][0]).tolist() == [True, True, False, False]
    assert found["frequency_census"].sum() == 2


def test_networks_without_one_hot_layers_are_refused_with_their_parameters() -> None:
    seen = laws.hand_made()
    with pytest.raises(BadInput, match="Fourier readings need 'embed'"):
        fourier.participation(seen)
    with pytest.raises(BadInput, match="outputs K = 3 and p = 5 differ"):
        fourier.phases(laws.weights_only(np.ones((2, 5, 4)), np.ones((3, 4))))


def test_an_error_is_stored_beside_its_value() -> None:
    noisy = Instrument(
        "noisy", lambda s: Reading(torch.tensor([1.0]), error=torch.tensor([0.5])), "1", "here", "weights", (0, 2), "0"
    )
    found = read([noisy], laws.hand_made())
    assert (found["noisy"].item(), found["noisy_error"].item()) == (1.0, 0.5)


def test_float_targets_have_no_accuracy() -> None:
    """The largest of several real numbers is no answer, and of one no question."""
    seen = laws.hand_made()
    targets = torch.tensor([[[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    seen = type(seen)(**{**vars(seen), "labels": targets, "truth": targets})
    for instrument in (answers.train_accuracy, answers.test_accuracy, answers.table_accuracy):
        found = instrument(seen)
        assert found.valid is not None and not found.valid.any() and found.value.isnan().all()


def test_readings_of_one_draw_shared_by_all_are_those_of_copies() -> None:
    """The fused engine reads many records of a member on one set of samples, passed as an expanded view."""
    chosen = laws.case(7)
    module = PowerMLP(laws.P, laws.H).double()
    state = {name: b.expand(laws.B, *b.shape).clone() for name, b in module.named_buffers()}
    first = {name: value[0] for name, value in chosen.data.items()}
    views = {name: value.expand(laws.B, *value.shape) for name, value in first.items()}
    copies = {name: value.clone() for name, value in views.items()}
    shared, apart = (subject(module, chosen.parameters, state, data, "mse") for data in (views, copies))
    for instrument in instruments.ALL:
        a, b = (read([instrument], seen)[instrument.name] for seen in (shared, apart))
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12, equal_nan=True), instrument.name
