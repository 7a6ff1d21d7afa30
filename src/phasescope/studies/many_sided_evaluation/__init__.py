"""What does pruning cost besides the loss? Many-sided evaluation, after Liang et al. 2022 (HELM), arXiv:2211.09110.

A decoder of words learns a small language with four kinds of questions. It is asked whole, without every block of one
or two layers, healed, and given the steps of the healing while whole, all on the same items: accuracy, the worst case
over a question and its mild mix, calibration, and bits per byte. Made-up pairs of models, whose true difference is
known, say whether intervals of paired differences hold and whether the items that are said to be needed suffice.

HELM ranks thirty models on forty-two scenarios; these rankings can not be checked here.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.many_sided_evaluation import claims, experiments, figures, settings

STUDY = Study(
    name="many-sided-evaluation",
    title="Many sides of a language model, whole and without layers",
    question="What does leaving out layers cost besides the loss, and how many items tell two models apart?",
    paper=Paper(
        authors="Percy Liang, Rishi Bommasani, Tony Lee, and others",
        year=2022,
        title="Holistic Evaluation of Language Models",
        link="https://arxiv.org/abs/2211.09110",
        bibtex=(
            "@article{liang2022holistic,\n  title   = {Holistic Evaluation of Language Models},\n  author  = {Liang, "
            "Percy and Bommasani, Rishi and Lee, Tony and others},\n  journal = {arXiv preprint arXiv:2211.09110},\n  "
            "year    = {2022}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Not checkable here: HELM's rankings of thirty models, its scenarios, bias, toxicity and fairness. The decoder "
        "has 0.2 million parameters and a language of 100 words; chains, whose answer stands in the question, may stay "
        "at chance and then do not count."
    ),
)
