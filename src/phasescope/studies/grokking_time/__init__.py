"""When a network will grok, from its first steps. Asked here; the networks are those of Gromov 2023, arXiv:2301.02679.

A two-layer quadratic network learns (n + m) mod p by AdamW, full batch, mean squared error, from a fraction of the
table of which some labels may be wrong. One seed is a whole grid of networks over modulus, weight decay, fraction and
corruption, two in each cell, no two of which share first weights or rows. Each is read in the first twentieth of the
budget, and its fate is forecast by models that saw none of its cell, or none of its modulus.

The models were fixed before any network was trained: ridge on the logarithm of the step and logistic regression, both
on scaled inputs, and gradient boosting. The seed is the unit: all scores are of one seed's networks alone.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.grokking_time import claims, experiments, figures, settings

STUDY = Study(
    name="grokking-time",
    title="When a network will grok, from its first steps",
    question="Can the step at which a network generalizes be told from the first twentieth of training?",
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
    notes=(
        "The question is ours; the paper gives the network. Curvature is not read: it costs more than the networks. "
        "Nothing is said of other tasks, losses or optimizers."
    ),
)
