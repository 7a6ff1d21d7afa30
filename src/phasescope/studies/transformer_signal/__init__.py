"""Signal propagation in transformers at initialization. Cowsik, Nebabu, Qi and Ganguli 2024, arXiv:2403.02579.

Tokens that start in general position either collapse to one direction (ordered) or stay apart (chaotic), as two numbers
of the initialization say: lambda_a, the growth of the angle between tokens per block, and lambda_g, that of gradients.
The network is single-head attention without mask and a tanh perceptron, each on a normalized branch. The paper's text
was not at hand, and which skip connection it uses is not settled: "preserving", sqrt(1 - alpha^2) x + alpha Branch(LN
x), and "reset", x set to size 1 and then x + alpha Branch(x), are both measured. lambda_g is read as the growth of the
gradient's token mean, which wins at large depth; that this is the paper's is a guess.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.transformer_signal import claims, experiments, figures, settings

STUDY = Study(
    name="transformer-signal",
    title="Signal propagation in transformers",
    question="Which initializations keep a deep transformer's tokens apart, and do these train?",
    paper=Paper(
        authors="Aditya Cowsik, Tamra Nebabu, Xiao-Liang Qi and Surya Ganguli",
        year=2024,
        title="Geometric dynamics of signal propagation predict trainability of transformers",
        link="https://arxiv.org/abs/2403.02579",
        bibtex=(
            "@article{cowsik2024geometric,\n"
            "  title   = {Geometric dynamics of signal propagation predict trainability of transformers},\n"
            "  author  = {Cowsik, Aditya and Nebabu, Tamra and Qi, Xiao-Liang and Ganguli, Surya},\n"
            "  journal = {arXiv preprint arXiv:2403.02579},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    mapped=experiments.mapped,
    orders=experiments.ORDERS,
    notes=(
        "The paper's text was not at hand: formulas were derived here from its model, and which normalization of the "
        "skip connection it uses is not settled, so two are measured. Claims about training are exploratory: one "
        "optimizer, one rate, a small width and few steps."
    ),
)
