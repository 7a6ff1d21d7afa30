"""Which layers can go? Gromov et al. 2024, arXiv:2403.17887, *The unreasonable ineffectiveness of the deeper layers*.

Angular distances between the inputs of layers say which block of a decoder changes its state least; it is left out, and
the loss is read before and after some healing. A small decoder of characters is trained here, one per seed, and every
block of it is left out. At scale ``smollm2`` a real language model is read, one draw of text per seed, and asked for
capitals. The geometry of the states between the layers is read from the same models.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.layer_pruning import claims, experiments, figures, settings

STUDY = Study(
    name="layer-pruning",
    title="Which layers can go?",
    question="Which layers of a language model can be left out, what is lost, and what does healing bring back?",
    paper=Paper(
        authors="Andrey Gromov, Kushal Tirumala, Hassan Shapourian, Paolo Glorioso, Daniel A. Roberts",
        year=2024,
        title="The Unreasonable Ineffectiveness of the Deeper Layers",
        link="https://arxiv.org/abs/2403.17887",
        bibtex=(
            "@article{gromov2024unreasonable,\n  title   = {The Unreasonable Ineffectiveness of the Deeper Layers},\n"
            "  author  = {Gromov, Andrey and Tirumala, Kushal and Shapourian, Hassan and Glorioso, Paolo and Roberts, "
            "Daniel A.},\n  journal = {arXiv preprint arXiv:2403.17887},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The paper prunes models of 2.7 to 70 billion parameters. The pocket scale trains decoders of 0.6 million "
        "parameters on characters, for too few steps to converge; scale smollm2 reads one real model of 135 million, "
        "where a seed is a draw of text and of questions, so its intervals are over texts, not models. Times of "
        "passes depend on the machine."
    ),
)
