"""Readings of wrong labels: what became of the training samples whose label was drawn again.

*Corrupted* are the samples whose label was drawn again, also where it came out right: 1/K of them. Memorizing shows in
``corrupted_accuracy``, understanding in ``corrected_accuracy``: the network says what the label should have been.
"""

from __future__ import annotations

from torch import Tensor

from phasescope.instruments.logits import INFINITY, accuracy, mean_over, no_classes
from phasescope.vocabulary import Instrument, Reading, Subject

__all__ = [
    "CORRUPTION",
    "accidental_share",
    "corrected_accuracy",
    "corrupted_accuracy",
    "given_logit",
    "true_logit",
    "uncorrupted_accuracy",
]

PAPER = "Doshi et al. 2023, arXiv:2310.13061"
SYMMETRIES = ("neuron permutation", "sample permutation")


def _corrupted(s: Subject) -> Tensor:
    return s.train & s.corrupted


def _accidental(s: Subject) -> Reading:
    return no_classes(s) or mean_over(s.labels == s.truth, _corrupted(s), s.weights)


def _logit_of(labels: Tensor, s: Subject) -> Reading:
    if (nothing := no_classes(s)) is not None:
        return nothing
    chosen = s.logits().gather(-1, labels.long()[..., None])[..., 0]
    return mean_over(chosen, _corrupted(s) & (s.labels != s.truth), s.weights)


corrupted_accuracy = Instrument(
    "corrupted_accuracy", lambda s: accuracy(s, _corrupted(s)), "1",
    f"fraction of corrupted training samples answered with the label that they were given; {PAPER}, Sec. 2.1, Fig. 6",
    "forward", (0.0, 1.0), "1/K", (), SYMMETRIES,
)  # fmt: skip
corrected_accuracy = Instrument(
    "corrected_accuracy", lambda s: accuracy(s, _corrupted(s), s.truth), "1",
    f"fraction of corrupted training samples answered with their true label; {PAPER}, Sec. 2", "forward", (0.0, 1.0),
    "1/K", (), SYMMETRIES,
)  # fmt: skip
uncorrupted_accuracy = Instrument(
    "uncorrupted_accuracy", lambda s: accuracy(s, s.train & ~s.corrupted), "1",
    f"fraction of other training samples answered with their label; {PAPER}, Sec. 2.1, Fig. 6", "forward", (0.0, 1.0),
    "1/K", (), SYMMETRIES,
)  # fmt: skip
accidental_share = Instrument(
    "accidental_share", _accidental, "1",
    f"fraction of corrupted training samples whose new label is the true one; {PAPER}, Sec. 1.1", "weights",
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

CORRUPTION = (corrupted_accuracy, corrected_accuracy, uncorrupted_accuracy)
