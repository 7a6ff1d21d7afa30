"""The asymmetric maximum margin bias. Kunin, Yamamura, Ma and Ganguli 2023, arXiv:2210.03820.

Networks whose parameters enter with different powers are quasi-homogeneous: f(x; e^(a Lambda) theta) = e^a f(x; theta).
On separable data gradient flow then makes only the parameters with the highest rate small. Two balls, one of whose
coordinates carries a product of two weights, show what that costs: the margin falls to nothing where the other
coordinate is about to be dropped. The closed form of the balls is derived here.

The gradient flow of the exponential loss is integrated; its time is counted so that the loss's size drops out, which
leaves its path as it is. A circle of points stands for each ball; by symmetry the second ball adds nothing.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.asymmetric_margin import claims, experiments, figures, settings

STUDY = Study(
    name="asymmetric-margin",
    title="The asymmetric maximum margin bias",
    question="When parameters enter a network with different powers, which margin does gradient flow make large?",
    paper=Paper(
        authors="Daniel Kunin, Atsushi Yamamura, Chao Ma, Surya Ganguli",
        year=2023,
        title="The Asymmetric Maximum Margin Bias of Quasi-Homogeneous Neural Networks",
        link="https://arxiv.org/abs/2210.03820",
        bibtex=(
            "@inproceedings{kunin2023asymmetric,\n"
            "  title     = {The Asymmetric Maximum Margin Bias of Quasi-Homogeneous Neural Networks},\n"
            "  author    = {Kunin, Daniel and Yamamura, Atsushi and Ma, Chao and Ganguli, Surya},\n"
            "  booktitle = {International Conference on Learning Representations},\n  year      = {2023}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The closed form of the balls and the exponent of the normalized margin are derived here; the theorem's "
        "conditions are the paper's. Neural collapse is measured on four of scikit-learn's digits."
    ),
)
