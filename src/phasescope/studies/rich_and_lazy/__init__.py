"""Rich and lazy learning from unbalanced starts. Kunin, Raventos, Domine et al. 2024, arXiv:2406.06158.

Every layer's weights may be large or small. Gradient flow conserves the difference of their squares, delta, and with it
how a network learns: *upstream* (last layers large, the first learns faster), *balanced* or *downstream*. One linear
neuron is solved exactly; wide and deep linear networks end where a potential says; two-layer ReLU networks are trained
over scale and balance as the paper's Fig. 1 does. Modular addition asks whether an upstream start makes a network grok
sooner.

Neurons and ReLU networks are trained by full-batch gradient descent in float64. What is stated of gradient flow is
integrated: LSODA, or the methods of Runge and Kutta where a claim is about their accuracy.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.rich_and_lazy import claims, experiments, figures, settings

STUDY = Study(
    name="rich-and-lazy",
    title="Rich and lazy learning from unbalanced starts",
    question="How does the balance between layers decide whether a network learns features, and how fast?",
    paper=Paper(
        authors=(
            "Daniel Kunin, Allan Raventós, Clémentine Dominé, Feng Chen, David Klindt, Andrew Saxe, Surya Ganguli"
        ),
        year=2024,
        title="Get rich quick: exact solutions reveal how unbalanced initializations promote rapid feature learning",
        link="https://arxiv.org/abs/2406.06158",
        bibtex=(
            "@inproceedings{kunin2024get,\n  title     = {Get rich quick: exact solutions reveal how unbalanced "
            "initializations promote rapid feature learning},\n  author    = {Kunin, Daniel and Ravent{\\'o}s, Allan "
            "and Domin{\\'e}, Cl{\\'e}mentine and Chen, Feng and Klindt, David and Saxe, Andrew and Ganguli, Surya},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n  year      = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The closed form of a(t), the flow of a wide network's function and the potential of a deep one are derived "
        "here. The hyperbolic entropy decides the end of a wide network exactly only where the data share singular "
        "vectors; the flow of the function is exact always. The paper's experiments on modular arithmetic are known "
        "from its abstract alone: network, sizes and tolerances there are ours."
    ),
)
