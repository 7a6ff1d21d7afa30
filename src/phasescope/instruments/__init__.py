"""What did happen: pure measurements of a Subject. No task, no theory, no disk."""

from phasescope.instruments.collapse import NeuralCollapse, neural_collapse
from phasescope.instruments.corruption import (
    accidental_share,
    corrected_accuracy,
    corrupted_accuracy,
    given_logit,
    true_logit,
    uncorrupted_accuracy,
)
from phasescope.instruments.fourier import (
    dominant_frequency,
    embed_participation,
    frequency_census,
    mean_participation,
    participation,
    participation_in_basis,
    phase_alignment,
    phases,
)
from phasescope.instruments.independent_neurons import (
    independence,
    independent_neurons,
    independent_share,
    neuron_groups,
    neuron_vectors,
)
from phasescope.instruments.intrinsic_dimension import IntrinsicDimension, distinct, likelihood_dimension, two_nn
from phasescope.instruments.isotropy import effective_rank, isoscore, outlier_dimensions, participation_ratio
from phasescope.instruments.jacobian_profile import jacobian_profile, push_forward
from phasescope.instruments.kernel_distance import kernel_distance, pattern_distance, tangent_kernel
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
from phasescope.instruments.manifolds import alignment, capacity_error, spectral_flatness, uniformity
from phasescope.instruments.norms import gradient_norm, norm_correlation, norm_scale, weight_norm
from phasescope.instruments.partial_jacobian import (
    exact_partial_jacobian,
    exact_partial_norm,
    kernel_slope,
    partial_jacobians,
    signs,
    transfer,
)
from phasescope.instruments.passage import INPUT, Passage, passage, untouched
from phasescope.instruments.pruning import pruning
from phasescope.instruments.signal import (
    Activity,
    batch_variances,
    dead_shares,
    gradient_norms,
    kernels,
    mean_cosine,
    sample_cosines,
    token_cosines,
)
from phasescope.instruments.similarity import linear_cka, neighbour_overlap
from phasescope.instruments.twins import twin_share

LEARNING = (train_accuracy, test_accuracy, train_loss, test_loss)

CORRUPTION = (corrupted_accuracy, corrected_accuracy, uncorrupted_accuracy)

ALL = (
    *LEARNING,
    *CORRUPTION,
    accidental_share,
    given_logit,
    true_logit,
    table_accuracy,
    table_loss,
    correct_logit,
    wrong_logit_deviation,
    logit_margin,
    participation,
    mean_participation,
    embed_participation,
    dominant_frequency,
    phases,
    phase_alignment,
    frequency_census,
    weight_norm,
    gradient_norm,
    norm_scale,
    norm_correlation,
    twin_share,
    independent_share,
)

__all__ = [
    "ALL",
    "CORRUPTION",
    "INPUT",
    "LEARNING",
    "Activity",
    "IntrinsicDimension",
    "NeuralCollapse",
    "Passage",
    "accidental_share",
    "alignment",
    "batch_variances",
    "capacity_error",
    "correct_logit",
    "corrected_accuracy",
    "corrupted_accuracy",
    "dead_shares",
    "distinct",
    "dominant_frequency",
    "effective_rank",
    "embed_participation",
    "exact_partial_jacobian",
    "exact_partial_norm",
    "frequency_census",
    "given_logit",
    "gradient_norm",
    "gradient_norms",
    "independence",
    "independent_neurons",
    "independent_share",
    "isoscore",
    "jacobian_profile",
    "kernel_distance",
    "kernel_slope",
    "kernels",
    "likelihood_dimension",
    "linear_cka",
    "logit_margin",
    "mean_cosine",
    "mean_participation",
    "neighbour_overlap",
    "neural_collapse",
    "neuron_groups",
    "neuron_vectors",
    "norm_correlation",
    "norm_scale",
    "outlier_dimensions",
    "partial_jacobians",
    "participation",
    "participation_in_basis",
    "participation_ratio",
    "passage",
    "pattern_distance",
    "phase_alignment",
    "phases",
    "pruning",
    "push_forward",
    "sample_cosines",
    "signs",
    "spectral_flatness",
    "table_accuracy",
    "table_loss",
    "tangent_kernel",
    "test_accuracy",
    "test_loss",
    "token_cosines",
    "train_accuracy",
    "train_loss",
    "transfer",
    "true_logit",
    "twin_share",
    "two_nn",
    "uncorrupted_accuracy",
    "uniformity",
    "untouched",
    "weight_norm",
    "wrong_logit_deviation",
]
