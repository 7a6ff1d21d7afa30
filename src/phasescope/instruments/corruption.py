"""Readings of wrong labels: what became of the training samples whose label was drawn again.

*Corrupted* are the samples whose label was drawn again, also where it came out right: 1/K of them. Memorizing shows in
``corrupted_accuracy``, understanding in ``corrected_accuracy``: the network says what the label should have been.
"""

from __future__ import annotations

from torch import Tensor

from phasescope.instruments.logits import INFINITY, mean_over, right
from phasescope.vocabulary import Instrument, Reading, Subject

PAPER = "Doshi et al. 2023, arXiv:2310.13061"
SYMMETRIES = ("neuron permutation", "sample permutation")


def _classes(labels: Tensor) -> Tensor:
    # targets of real numbers (B, N, K) name the class of their largest entry
    return labels.argmax(-1) if labels.ndim == 3 else labels.long()


def _corrupted(s: Subject) -> Tensor:
    return s.train & s.corrupted


def _corrected(s: Subject) -> Reading:
    return mean_over(s.logits().argmax(-1) == _classes(s.truth), _corrupted(s), s.weights)


def _wrong(s: Subject) -> Tensor:
    return _corrupted(s) & (_classes(s.labels) != _classes(s.truth))


def _logit_of(labels: Tensor, s: Subject) -> Reading:
    chosen = s.logits().gather(-1, _classes(labels)[..., None])[..., 0]
    return mean_over(chosen, _wrong(s), s.weights)


corrupted_accuracy = Instrument(
    "corrupted_accuracy", lambda s: mean_over(right(s), _corrupted(s), s.weights), "1",
    f"share of corrupted training samples answered with the label that they were given; {PAPER}, Sec. 2.1, Fig. 6",
    "forward", (0.0, 1.0), "1/K", (), SYMMETRIES,
)  # fmt: skip
corrected_accuracy = Instrument(
    "corrected_accuracy", _corrected, "1",
    f"share of corrupted training samples answered with their true label; {PAPER}, Sec. 2", "forward", (0.0, 1.0),
    "1/K", (), SYMMETRIES,
)  # fmt: skip
uncorrupted_accuracy = Instrument(
    "uncorrupted_accuracy", lambda s: mean_over(right(s), s.train & ~s.corrupted, s.weights), "1",
    f"share of the other training samples answered with their label; {PAPER}, Sec. 2.1, Fig. 6", "forward", (0.0, 1.0),
    "1/K", (), SYMMETRIES,
)  # fmt: skip
accidental_share = Instrument(
    "accidental_share", lambda s: mean_over(_classes(s.labels) == _classes(s.truth), _corrupted(s), s.weights),
    "1", f"share of corrupted training samples whose new label is the true one; {PAPER}, Sec. 1.1", "weights",
    (0.0, 1.0), "1/K", (), SYMMETRIES,
)  # fmt: skip
given_logit = Instrument(
    "given_logit", lambda s: _logit_of(s.labels, s), "logit",
    f"mean logit of the wrong label that a corrupted training sample was given; {PAPER}, Fig. 23", "forward",
    (-INFINITY, INFINITY), "0", (), SYMMETRIES,
)  # fmt: skip
true_logit = Instrument(
    "true_logit", lambda s: _logit_of(s.truth, s), "logit",
    f"mean logit of the true label of a corrupted training sample whose label is wrong; {PAPER}, Fig. 23", "forward",
    (-INFINITY, INFINITY), "0", (), SYMMETRIES,
)  # fmt: skip
