"""Grokking modular arithmetic. Gromov 2023, arXiv:2301.02679.

A two-layer quadratic network learns (n + m) mod p from a fraction of the p x p table. It first memorizes, and later,
all at once, generalizes. Its weights can be written down: cosines of all frequencies whose phases obey one constraint.

Gradient descent runs in the paper's mean-field parametrization (f = W2 (W1 x)^2 / (D N), weights N(0, 1)), full batch,
mean squared error, at the learning rate 10^6 (p/97)^3 (N/500); the paper states neither the rate nor the width. AdamW
and mini-batches run in the plain parametrization of arXiv:2310.13061, App. A.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.grokking import claims, experiments, figures, settings

STUDY = Study(
    name="grokking",
    title="Grokking modular arithmetic",
    question="When does a network that has memorized a sum modulo p come to know it, and what has it learnt?",
    paper=Paper(
        authors="Andrey Gromov",
        year=2023,
        title="Grokking modular arithmetic",
        link="https://arxiv.org/abs/2301.02679",
        bibtex=(
            "@article{gromov2023grokking,\n  title   = {Grokking modular arithmetic},\n  author  = {Gromov, Andrey},\n"
            "  journal = {arXiv preprint arXiv:2301.02679},\n  year    = {2023}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    mapped=experiments.mapped,
    orders=experiments.ORDERS,
    inside=experiments.inside,
    notes=(
        "The paper states neither learning rate nor width of its runs; the rate here is the rule of those who repeated "
        "it. Where a claim's source says that the number is derived here, ours or our pilot's, it is not the paper's."
    ),
)
