"""Which modular polynomials can be learnt at all? Doshi, He, Das and Gromov 2024, arXiv:2406.03495.

Weights are written down for sums of S terms (activation x^S), for products through the discrete logarithm, and for any
polynomial of two variables as experts: one product network per monomial, a softmax, one adder. Then two-layer quadratic
networks are trained on polynomials that are h(g1(n1) + g2(n2)) mod p, and on the same ones with a term added that they
should then be unable to learn (Hypothesis 5.1).

Training is the paper's: AdamW at 0.005 with weight decay 5, full batch, mean squared error. Its "Adam with weight decay
5" means the decoupled one; with the L2 term of plain Adam the network collapses, which is one of the claims. The paper
states neither the initial scale for S > 2 nor the number of steps.
"""

from __future__ import annotations

from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Paper, Study
from phasescope.studies.modular_polynomials import claims, experiments, figures, settings

STUDY = Study(
    name="modular-polynomials",
    title="Grokking modular polynomials",
    question="Which modular polynomials can a two-layer network learn at all, and which can be written down?",
    paper=Paper(
        authors="Darshil Doshi, Tianyu He, Aritra Das, Andrey Gromov",
        year=2024,
        title="Grokking modular polynomials",
        link="https://arxiv.org/abs/2406.03495",
        bibtex=(
            "@article{doshi2024grokking,\n  title   = {Grokking modular polynomials},\n"
            "  author  = {Doshi, Darshil and He, Tianyu and Das, Aritra and Gromov, Andrey},\n"
            "  journal = {arXiv preprint arXiv:2406.03495},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Eq. 6 prints the amplitude (2/(N-1))^(-1/3); the exponent must be +1/3, and a claim shows what the print "
        "does. "
        "The mean squared errors of the paper's Table 1 (App. B) do not follow from its printed formula."
    ),
    mapped=settings.mapped,
    orders=(at_the_end("test_accuracy"), at_the_end("train_accuracy")),
    inside=experiments.inside,
)
