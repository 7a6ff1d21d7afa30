"""Does a distance between two tasks tell what one is worth to the other? Tahir et al. 2024, arXiv:2410.08194.

The paper's first statement: no distance between distributions tells whether transfer helps, and the overlap of
features does. ``transfer-phase-diagram`` shows it at one pair of tasks, in a formula. Here distances are measured, KL,
TV and MMD, over many pairs of Gaussian tasks that deep linear networks of two and three layers learn one after the
other, and over six sources for a real target, five handwritten digits from few labels.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.transfer_distances import claims, experiments, figures, settings

STUDY = Study(
    name="transfer-distances",
    title="Distances between tasks, and what one is worth to the other",
    question="Does a distance between two tasks tell how much one helps to learn the other, or do their features?",
    paper=Paper(
        authors="Javan Tahir, Surya Ganguli, Grant M. Rotskoff",
        year=2024,
        title="Features are fate: a theory of transfer learning in high-dimensional regression",
        link="https://arxiv.org/abs/2410.08194",
        bibtex=(
            "@article{tahir2024features,\n  title   = {Features are fate: a theory of transfer learning in "
            "high-dimensional regression},\n  author  = {Tahir, Javan and Ganguli, Surya and Rotskoff, Grant M.},\n"
            "  journal = {arXiv preprint arXiv:2410.08194},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "What correlates over pairs of tasks depends on which pairs are drawn: here lengths, noises and inputs of "
        "sources vary beside their directions. A distance that falls with the overlap tells of it, so what counts is "
        "what either says beyond the other. Of digits there are six sources to a seed."
    ),
)
