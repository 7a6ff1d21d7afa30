"""Linear regression in context. Raventos, Paul, Chen and Ganguli 2023, arXiv:2306.15063.

A transformer sees noisy examples (x, y) of y = w . x and answers each further x. It is trained on a pool of M tasks w.
Two rules are Bayes': ridge regression where w is Gaussian, and the discrete MMSE estimator where w is one of the pool.
The second is optimal for what the network was trained on. With enough tasks the network leaves it for the first, which
is worse on the pool and better on new tasks. Both rules answer the same sequences.

At pocket scale each example is one bound token beside its question, in four dimensions, and some tens of tasks are
enough; the paper has two tokens for each example, eight dimensions, and finds the change between 2^14 and 2^15 tasks.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.in_context_regression import claims, experiments, figures, sequences, settings

STUDY = Study(
    name="in-context-regression",
    title="Task diversity and regression in context",
    question="From how many tasks on does a network leave the Bayes rule of its own tasks for one that serves all?",
    paper=Paper(
        authors="Allan Raventos, Mansheej Paul, Feng Chen, Surya Ganguli",
        year=2023,
        title="Pretraining task diversity and the emergence of non-Bayesian in-context learning for regression",
        link="https://arxiv.org/abs/2306.15063",
        bibtex=(
            "@article{raventos2023pretraining,\n  title   = {Pretraining task diversity and the emergence of "
            "non-Bayesian in-context learning for regression},\n  author  = {Ravent{\\'o}s, Allan and Paul, Mansheej "
            "and Chen, Feng and Ganguli, Surya},\n  journal = {arXiv preprint arXiv:2306.15063},\n  year    = {2023}\n}"
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
        "The paper's text was not at hand: places in it are not checked, the authors' code was read. Its learning rate "
        "rises to the middle of training and falls from there; here it falls from a tenth of it on."
    ),
)
