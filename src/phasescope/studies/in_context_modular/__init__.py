"""Linear functions modulo p in context. He, Doshi, Das and Gromov 2024, arXiv:2406.02550.

A transformer sees examples (x, y, z) of z = (a x + b y) mod p and answers further questions (x, y). It is trained on a
pool of tasks (a, b). With few it knows those alone; with more it answers tasks that it never saw, reading them off the
examples: by the ratio of a question to an example, or by combining two. Both algorithms, and Bayes' rule with the pool
as its prior, are exact competitors on the same sequences.

At pocket scale each example is one bound token, beside its question, all inputs of a sequence differ, and p = 5; the
paper has three tokens for each number of an example, inputs drawn with replacement, p = 29, and pools of rectangles,
which the scales "middle" and "paper" keep but for the repeats.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.in_context_modular import claims, experiments, figures, sequences, settings

STUDY = Study(
    name="in-context-modular",
    title="Modular arithmetic in context",
    question="From how many tasks on does a network that learns functions modulo p in context solve unseen ones?",
    paper=Paper(
        authors="Tianyu He, Darshil Doshi, Aritra Das, Andrey Gromov",
        year=2024,
        title="Learning to grok: emergence of in-context learning and skill composition in modular arithmetic tasks",
        link="https://arxiv.org/abs/2406.02550",
        bibtex=(
            "@article{he2024learning,\n  title   = {Learning to grok: Emergence of in-context learning and skill "
            "composition in modular arithmetic tasks},\n  author  = {He, Tianyu and Doshi, Darshil and Das, Aritra "
            "and Gromov, Andrey},\n  journal = {arXiv preprint arXiv:2406.02550},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    choices=sequences.choices,
    mapped=experiments.mapped,
    orders=experiments.ORDERS,
    notes=(
        "The paper's text was not at hand: places in it are not checked, the authors' code was read. It has the task "
        "(0, 0) too, and draws inputs with replacement."
    ),
)
