"""AutoInit: critical initialization by Jacobian tuning. He, Doshi and Gromov 2022, arXiv:2206.13568.

A deep network trains when J, the mean squared Jacobian between adjacent blocks, is near 1. AutoInit multiplies each
weight by a scalar and moves the scalars until it is, whatever the network was drawn from. For ReLU networks the descent
is known exactly: when it converges, and at which learning rates.

The paper's text was not at hand: formulas are derived here, and where a claim says "derived here" its number is not
the paper's. Networks are deep fully connected ones in the standard parametrization, a VGG and a ResMLP, small enough
for two cores; images are scikit-learn's digits, at paper scale Fashion-MNIST. No image takes part in an initialization:
AutoInit and LSUV look at noise.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.autoinit import claims, experiments, figures, settings

STUDY = Study(
    name="autoinit",
    title="AutoInit: critical initialization by Jacobian tuning",
    question="Can a network be brought to criticality whatever its weights were drawn from, and does it then train?",
    paper=Paper(
        authors="Tianyu He, Darshil Doshi, Andrey Gromov",
        year=2022,
        title="AutoInit: Automatic Initialization via Jacobian Tuning",
        link="https://arxiv.org/abs/2206.13568",
        bibtex=(
            "@article{he2022autoinit,\n  title   = {AutoInit: Automatic Initialization via Jacobian Tuning},\n"
            "  author  = {He, Tianyu and Doshi, Darshil and Gromov, Andrey},\n"
            "  journal = {arXiv preprint arXiv:2206.13568},\n  year    = {2022}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The paper's text was not at hand; every formula and margin is derived here or measured elsewhere in this "
        "project. Learning rates are common to all initializations and were chosen by pilot runs with other seeds: "
        "each initialization might do better at a rate of its own."
    ),
)
