"""Learning from labels that are partly wrong. Doshi, Das, He, Gromov 2023, arXiv:2310.13061.

A two-layer quadratic network learns (n + m) mod p from a fraction of the table, where a share xi of the training labels
is drawn again at random. It may memorize the wrong labels, understand the rule and correct them, or do both at once,
with different neurons: a neuron's inverse participation ratio in Fourier space says which it is, and
pruning proves it.

The plain parametrization of the paper's App. A, AdamW with learning rate 0.01 and betas (0.9, 0.98), full batch, mean
squared error. Pocket scale is p = 59, width 300, 0.7 of the table, xi = 0.3; the paper's is p = 97, width 500, 0.5,
xi = 0.35. The paper trains for 2000 steps, the authors' notebook, whose numbers are compared, for 1000 and 500.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.corrupted_labels import claims, experiments, figures, settings

STUDY = Study(
    name="corrupted-labels",
    title="To grok or not to grok: labels that are partly wrong",
    question="When labels are partly wrong, does a network memorize, understand, or both?",
    paper=Paper(
        authors="Darshil Doshi, Aritra Das, Tianyu He, Andrey Gromov",
        year=2023,
        title="To grok or not to grok: disentangling generalization and memorization on corrupted algorithmic datasets",
        link="https://arxiv.org/abs/2310.13061",
        bibtex=(
            "@article{doshi2023grok,\n  title   = {To grok or not to grok: disentangling generalization and "
            "memorization on corrupted algorithmic datasets},\n  author  = {Doshi, Darshil and Das, Aritra and He, "
            "Tianyu and Gromov, Andrey},\n  journal = {arXiv preprint arXiv:2310.13061},\n  year    = {2023}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Expected are the bounds of the paper's Table 2, what theory derives, and at the paper's size what the "
        "authors' notebook prints. Where none of these says a number, it is ours or our pilot's: its source says so."
    ),
    mapped=experiments.mapped,
    orders=experiments.ORDERS,
    inside=experiments.inside,
)
