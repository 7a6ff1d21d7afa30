"""What does healing heal? The second half of what Gromov et al. 2024, arXiv:2403.17887, do to a pruned model.

A decoder without its nearest block of layers is trained a little, and so is the whole decoder, on the same samples in
the same order: what the whole one gains is getting used to the text, and is no healing. At the pocket scale a small
decoder of characters is trained, one per seed; at scale ``real`` a seed is a draw of text, and the model SmolLM2.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.healing import claims, experiments, figures, settings

STUDY = Study(
    name="healing",
    title="What does healing heal?",
    question="What does a little training bring back of a model without layers, beside the whole one's same training?",
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
        "The paper heals models of 2.7 to 70 billion parameters for 5,000 steps on 16 sequences of C4. Scale real "
        "heals one model of 135 million for 500 steps on two samples of 64 tokens of speeches, with low-rank adapters "
        "on the MLPs as the paper's, not in four bits; a seed is a draw of text and questions, so its intervals are "
        "over texts, not models. The pocket scale trains all weights of small decoders."
    ),
)
