"""Readings of one-hot networks in Fourier space: participation, frequencies, phases.

They look at parameters ``embed`` (B, S, p, H) and ``readout`` (B, K, H) along their p and K axes, neuron by neuron.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phasescope.checks import sequence, text, whole
from phasescope.vocabulary import BadInput, Instrument, Reading, Subject

__all__ = [
    "dominant_frequency",
    "embed_participation",
    "frequency_census",
    "mean_participation",
    "participation",
    "participation_in_basis",
    "phase_alignment",
    "phases",
]

PARTICIPATION_SOURCE = (
    "sum |a|^4 / (sum |a|^2)^2 over rfft magnitudes a with DC, mean over the S input vectors and the readout; "
    "Gromov 2023, arXiv:2301.02679, Eqs. 20-21; Doshi et al. 2023, arXiv:2310.13061, Eqs. 3-4"
)


def _vectors(s: Subject) -> tuple[Tensor, Tensor]:
    if "embed" not in s.parameters or "readout" not in s.parameters:
        raise BadInput(
            f"the network has parameters {', '.join(s.parameters)}: Fourier readings need 'embed' (S, p, H) and "
            "'readout' (K, H), as in phasescope.learners.PowerMLP."
        )
    return s.parameters["embed"].double(), s.parameters["readout"].double()


def _finite(s: Subject) -> Tensor:
    """Return where (B,) all vectors are finite: neurons of others have no frequencies to count, and no mean."""
    embed, readout = _vectors(s)
    return embed.isfinite().flatten(1).all(1) & readout.isfinite().flatten(1).all(1)


def _ratio(vectors: Tensor) -> Tensor:
    # the ratio does not depend on the largest entry, which is taken out so that fourth powers stay floats; 0/0 is NaN
    power = torch.fft.rfft(vectors / vectors.abs().amax(-2, keepdim=True), dim=-2).abs().square()
    ratio: Tensor = power.square().sum(-2) / power.sum(-2).square()
    return ratio


def _participation(s: Subject) -> Reading:
    embed, readout = _vectors(s)
    ratios = torch.cat([_ratio(embed), _ratio(readout)[:, None]], dim=1)
    return Reading(ratios.mean(1), valid=torch.isfinite(ratios).all(1))


def _mean_participation(s: Subject) -> Reading:
    return Reading(torch.nanmean(_participation(s).value, dim=-1), valid=_finite(s))


participation = Instrument(
    "participation", _participation, "1", PARTICIPATION_SOURCE, "weights", (0.0, 1.0),
    "about 4/(p+1) for Gaussian weights, p > 20", ("neuron",),
    ("neuron permutation", "weight scale", "cyclic shift"),
)  # fmt: skip
mean_participation = Instrument(
    "mean_participation", _mean_participation, "1", "mean over neurons of: " + PARTICIPATION_SOURCE, "weights",
    (0.0, 1.0), "about 4/(p+1) for Gaussian weights, p > 20", (),
    ("neuron permutation", "weight scale", "cyclic shift"),
)  # fmt: skip


def _embed_participation(s: Subject) -> Reading:
    if "embed" not in s.parameters:
        raise BadInput(
            f"the network has parameters {', '.join(s.parameters)}: the participation of input weights needs 'embed' "
            "(S, p, H), as in phasescope.learners."
        )
    ratios = _ratio(s.parameters["embed"].double())
    return Reading(ratios.mean(1), valid=torch.isfinite(ratios).all(1))


embed_participation = Instrument(
    "embed_participation", _embed_participation, "1",
    "sum |a|^4 / (sum |a|^2)^2 over rfft magnitudes a with DC, mean over the S input vectors alone: for networks whose "
    "first layer does not meet the readout; Doshi et al. 2023, arXiv:2310.13061, Sec. 2.2, Fig. 7", "weights",
    (0.0, 1.0), "about 4/(p+1) for Gaussian weights, p > 20", ("neuron",),
    ("neuron permutation", "weight scale", "cyclic shift"),
)  # fmt: skip


def participation_in_basis(order: list[int], name: str) -> Instrument:
    """Return the participation ratio with rows taken in ``order``: the powers of a primitive root give the log basis.

    Multiplication is periodic in the discrete logarithm: pass ``[g**i % p for i in range(p - 1)]``, which leaves out 0.
    """
    text("name", name)
    places = [whole(0, 10**6)("a row", row) for row in sequence("order", order, 10**6)]
    index = torch.tensor(places)

    def measure(s: Subject) -> Reading:
        embed, readout = _vectors(s)
        ratios = torch.cat([_ratio(embed[:, :, index]), _ratio(readout[:, index])[:, None]], dim=1)
        return Reading(ratios.mean(1), valid=torch.isfinite(ratios).all(1))

    return Instrument(
        f"participation_{name}", measure, "1", PARTICIPATION_SOURCE + f"; rows in {name} order", "weights", (0.0, 1.0),
        "about 4/(p+1) for Gaussian weights, p > 20", ("neuron",), ("neuron permutation", "weight scale"),
    )  # fmt: skip


def _spectrum(s: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """Return the complex amplitudes (B, S + 1, F, H) without DC, up to a scale of each neuron's own, the strongest
    bin (B, H) of their joint power, and whether that bin stands above rounding (a neuron of constant vectors has no
    frequency).
    """
    embed, readout = _vectors(s)
    if readout.shape[1] != embed.shape[2]:
        raise BadInput(f"outputs K = {readout.shape[1]} and p = {embed.shape[2]} differ: phases need K = p.")
    vectors = torch.cat([embed, readout[:, None]], dim=1)
    largest = vectors.abs().amax((1, 2), keepdim=True)  # of a neuron, whose phases do not depend on it
    spectrum = torch.fft.rfft(vectors / torch.where(largest > 0, largest, 1.0), dim=-2)
    power = spectrum.abs().square().sum(1)
    strength, strongest = power[:, 1:].max(1)
    return spectrum[..., 1:, :], strongest, strength > 1e-10 * power.sum(1)


def _dominant(s: Subject) -> Reading:
    _, strongest, valid = _spectrum(s)
    return Reading((strongest + 1).double(), valid=valid)


dominant_frequency = Instrument(
    "dominant_frequency", _dominant, "1/p", "strongest nonzero rfft bin of the joint power of all vectors of a neuron",
    "weights", (1.0, float("inf")), "uniform over 1 .. (p-1)/2", ("neuron",),
    ("neuron permutation", "weight scale", "cyclic shift"),
)  # fmt: skip


def _phases(s: Subject) -> Reading:
    amplitudes, strongest, valid = _spectrum(s)
    index = strongest[:, None, None].expand(-1, amplitudes.shape[1], 1, -1)
    angles = amplitudes.gather(2, index)[:, :, 0].angle()
    return Reading(angles, valid=valid[:, None].expand_as(angles))


phases = Instrument(
    "phases", _phases, "rad", "argument of each vector's rfft at the neuron's dominant frequency, readout last",
    "weights", (-torch.pi, torch.pi), "uniform", ("vector", "neuron"), ("neuron permutation", "weight scale"),
)  # fmt: skip


def _alignment(s: Subject) -> Reading:
    angle, valid = _phases(s).value, _spectrum(s)[2]
    return Reading(torch.cos(angle[:, :-1].sum(1) - angle[:, -1]), valid=valid)


phase_alignment = Instrument(
    "phase_alignment", _alignment, "1",
    "cos(phi_1 + ... + phi_S - phi_readout) at the dominant frequency; Gromov 2023, arXiv:2301.02679, Eq. 12, Fig. 3",
    "weights", (-1.0, 1.0), "mean 0 for independent phases", ("neuron",), ("neuron permutation", "weight scale"),
)  # fmt: skip


def _census(s: Subject) -> Reading:
    amplitudes, strongest, valid = _spectrum(s)
    bins = torch.arange(amplitudes.shape[2], device=strongest.device)
    counts = ((strongest[..., None] == bins) & valid[..., None]).double().sum(1)
    return Reading(counts, valid=_finite(s)[:, None].expand_as(counts))


frequency_census = Instrument(
    "frequency_census", _census, "neurons", "number of neurons whose dominant frequency is 1, 2, ..., floor(p/2)",
    "weights", (0.0, float("inf")), "H / floor(p/2) each", ("frequency",),
    ("neuron permutation", "weight scale", "cyclic shift"),
)  # fmt: skip
