"""Which dimension tells what: of the data, of representations, of the objective, of the function. Asked here.

Perceptrons with two hidden layers of ReLU learn scikit-learn's digits in 4 x 4 pixels, by AdamW with full batches. One
seed has one network in each cell of width, number of rows, corruption of labels and weight decay. Of each network
eleven dimensions are read, and three outcomes: test accuracy, the share of weights that can be pruned, and how much of
the first task a second one takes.

A dimension and an outcome are ranked over the networks of the seed; what size and training loss tell of either is
taken out, by a forecast that was fitted to other cells; the rest is correlated. The seed is the unit. That eleven
dimensions are tried is counted: the largest correlation is compared with the largest where outcomes are permuted.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.dimensions import claims, experiments, figures, settings

STUDY = Study(
    name="dimensions",
    title="Which dimension tells generalization, pruning and forgetting",
    question="Which of the dimensions that are defined for a network tells what becomes of it, beyond size and loss?",
    paper=Paper(
        authors="Chunyuan Li, Heerad Farkhoor, Rosanne Liu, Jason Yosinski",
        year=2018,
        title="Measuring the intrinsic dimension of objective landscapes",
        link="https://arxiv.org/abs/1804.08838",
        bibtex=(
            "@article{li2018measuring,\n  title   = {Measuring the intrinsic dimension of objective landscapes},\n"
            "  author  = {Li, Chunyuan and Farkhoor, Heerad and Liu, Rosanne and Yosinski, Jason},\n"
            "  journal = {arXiv preprint arXiv:1804.08838},\n  year    = {2018}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The question is ours; the paper gives one of the dimensions. Networks are small, and correlations are no "
        "causes. Pieces of decision regions are counted on planes through three rows, not in the whole space."
    ),
)
