"""What did happen: pure measurements of a Subject. No task, no theory, no disk."""

from phasescope.instruments.fourier import (
    dominant_frequency,
    frequency_census,
    mean_participation,
    participation,
    participation_in_basis,
    phase_alignment,
    phases,
)
from phasescope.instruments.logits import (
    correct_logit,
    logit_margin,
    table_accuracy,
    table_loss,
    test_accuracy,
    test_loss,
    train_accuracy,
    train_loss,
    wrong_logit_deviation,
)
from phasescope.instruments.norms import gradient_norm, weight_norm
from phasescope.instruments.twins import twin_share

LEARNING = (train_accuracy, test_accuracy, train_loss, test_loss)
ALL = (
    *LEARNING,
    table_accuracy,
    table_loss,
    correct_logit,
    wrong_logit_deviation,
    logit_margin,
    participation,
    mean_participation,
    dominant_frequency,
    phases,
    phase_alignment,
    frequency_census,
    weight_norm,
    gradient_norm,
    twin_share,
)

__all__ = [
    "ALL",
    "LEARNING",
    "correct_logit",
    "dominant_frequency",
    "frequency_census",
    "gradient_norm",
    "logit_margin",
    "mean_participation",
    "participation",
    "participation_in_basis",
    "phase_alignment",
    "phases",
    "table_accuracy",
    "table_loss",
    "test_accuracy",
    "test_loss",
    "train_accuracy",
    "train_loss",
    "twin_share",
    "weight_norm",
    "wrong_logit_deviation",
]
