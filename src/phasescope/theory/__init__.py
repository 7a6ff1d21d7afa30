"""What must happen: exact predictions in float64. No training, no random numbers of its own."""

from phasescope.theory.chance import chance_level, majority_share, pure_participation, random_participation
from phasescope.theory.label_corruption import (
    HIGH_ACCURACY,
    PHASES,
    corruption_phase,
    full_inversion_accuracy,
    has_partial_inversion,
    zero_function_loss,
)
from phasescope.theory.modular_addition import (
    addition_weights,
    composed_addition_weights,
    correct_logit_factor,
    expected_accuracy,
    expected_squared_error,
    one_branch_accuracy,
    unit_logit_scale,
    width_needed,
    wrong_logit_deviation,
)

__all__ = [
    "HIGH_ACCURACY",
    "PHASES",
    "addition_weights",
    "chance_level",
    "composed_addition_weights",
    "correct_logit_factor",
    "corruption_phase",
    "expected_accuracy",
    "expected_squared_error",
    "full_inversion_accuracy",
    "has_partial_inversion",
    "majority_share",
    "one_branch_accuracy",
    "pure_participation",
    "random_participation",
    "unit_logit_scale",
    "width_needed",
    "wrong_logit_deviation",
    "zero_function_loss",
]
