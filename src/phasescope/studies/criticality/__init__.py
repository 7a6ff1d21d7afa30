"""Critical initialization of deep networks. Doshi, He and Gromov 2023, arXiv:2111.12143.

How a gradient passes through a deep network before it is trained: the averaged partial Jacobian norm J^{l0,l} grows by
chi_J per layer. Where chi_J is 1 deep networks can be trained; with LayerNorm on preactivations and residual strength
mu = 1 that is everywhere. Networks are h^{l+1} = sigma_w W phi(h^l) + sigma_b b + mu h^l, W ~ N(0, 1/N), b ~ N(0, 1),
with a first layer of sigma_w = 1, on random inputs of mean square 1, as in the authors' code.

Everything but the trained networks is measured on fresh weights, and set beside the recurrences of infinite width
(``theory.criticality.Block``). J is an average over networks: it is averaged before its logarithm is taken.
"""

from __future__ import annotations

from phasescope.lab.readings import at_the_end
from phasescope.lab.study import Paper, Study
from phasescope.studies.criticality import claims, experiments, figures, settings

STUDY = Study(
    name="criticality",
    title="Critical initialization of deep networks",
    question="How must a deep network be initialized for gradients to pass through it, and when does it not matter?",
    paper=Paper(
        authors="Darshil Doshi, Tianyu He and Andrey Gromov",
        year=2023,
        title="Critical Initialization of Wide and Deep Neural Networks using Partial Jacobians: General Theory and "
        "Applications",
        link="https://arxiv.org/abs/2111.12143",
        bibtex=(
            "@inproceedings{doshi2023critical,\n"
            "  title     = {Critical Initialization of Wide and Deep Neural Networks using Partial Jacobians:\n"
            "               General Theory and Applications},\n"
            "  author    = {Doshi, Darshil and He, Tianyu and Gromov, Andrey},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n  year      = {2023}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    mapped=experiments.mapped,
    orders=(at_the_end("test_accuracy"), at_the_end("train_accuracy")),
    notes=(
        "Only the paper's abstract and its authors' code were at hand: the recurrences, and the numbers that follow "
        "from them, were derived here. Networks of finite width deviate from them by 1/N per layer."
    ),
)
