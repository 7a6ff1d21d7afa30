"""The effective dimension of class manifolds. Fort, Cubuk, Ganguli and Schoenholz 2022, arXiv:2210.05546.

Where in the space of inputs is a classifier sure of a class? Random planes of d dimensions, through inputs of other
classes, are climbed towards the class; d* is the dimension at which the best probability is one half on average, and
D - d* the effective dimension of the region. For balls and tubes the law is known exactly. On digits a trained network
is set beside an untrained one, on Fashion-MNIST beside networks that learnt less, longer, wrongly or together.

A network that is only louder, its logits larger, is surer everywhere. So each comparison has as its control the other
network with its logits scaled to the same spread.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.class_manifolds import claims, experiments, figures, settings

STUDY = Study(
    name="class-manifolds",
    title="The effective dimension of class manifolds",
    question="How large must a random plane be to meet the region where a network is sure of a class, and why?",
    paper=Paper(
        authors="Stanislav Fort, Ekin Dogus Cubuk, Surya Ganguli, Samuel S. Schoenholz",
        year=2022,
        title=(
            "What does a deep neural network confidently perceive? The effective dimension of high certainty class "
            "manifolds and their low confidence boundaries"
        ),
        link="https://arxiv.org/abs/2210.05546",
        bibtex=(
            "@article{fort2022what,\n  title   = {What does a deep neural network confidently perceive? The effective "
            "dimension of high certainty class manifolds and their low confidence boundaries},\n"
            "  author  = {Fort, Stanislav and Cubuk, Ekin Dogus and Ganguli, Surya and Schoenholz, Samuel S.},\n"
            "  journal = {arXiv preprint arXiv:2210.05546},\n  year    = {2022}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Of the paper only abstract and authors' notebook were opened. Networks are small perceptrons; ResNets, Vision "
        "Transformers, initialization, the dataset and robustness to corruption are not asked. Pixels are not kept in "
        "their range. At the pocket scale, on digits, four claims are judged; the others need Fashion-MNIST, which "
        "`phasescope data fashion-mnist` fetches, and `--scale middle`."
    ),
)
