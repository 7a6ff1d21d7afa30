"""Which examples are hard, and what scores say of them. Paul, Ganguli and Dziugaite 2021, arXiv:2107.07075.

Scores of single training rows, averaged over networks that begin elsewhere, are said to find wrong labels and to name
what may be thrown away. Here they are measured beside what would say the same without them: the loss at the end,
distances to class means, random rows, labels in another order, networks that share rows or first weights.

Images are scikit-learn's digits at pocket scale, and Fashion-MNIST beyond. Networks have one hidden layer of ReLU and
learn by AdamW in mini-batches; those whose gradients are read for coherence learn by SGD with momentum.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.hard_examples import claims, experiments, figures, settings

STUDY = Study(
    name="hard-examples",
    title="Hard examples: wrong labels, the order of learning, and what may be dropped",
    question="What do scores of single examples say that simpler readings, or chance, would not?",
    paper=Paper(
        authors="Mansheej Paul, Surya Ganguli, Gintare Karolina Dziugaite",
        year=2021,
        title="Deep learning on a data diet: finding important examples early in training",
        link="https://arxiv.org/abs/2107.07075",
        bibtex=(
            "@article{paul2021deep,\n  title   = {Deep learning on a data diet: finding important examples early in "
            "training},\n  author  = {Paul, Mansheej and Ganguli, Surya and Dziugaite, Gintare Karolina},\n"
            "  journal = {arXiv preprint arXiv:2107.07075},\n  year    = {2021}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Of the papers the abstracts were opened. Networks are small perceptrons; convolutional networks, CIFAR-10, "
        "forgetting and leaving single rows out are not asked. `ps.scores` reads the same scores of your own network."
    ),
)
