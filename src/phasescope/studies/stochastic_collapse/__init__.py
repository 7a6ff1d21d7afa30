"""Stochastic collapse: how noise draws training to simpler networks. Chen et al. 2023, arXiv:2306.04251.

A set that every mini-batch's gradient leaves unchanged, such as "this neuron is zero" or "these two neurons are equal",
attracts if the noise that vanishes on it is strong against the pull of the loss. The study goes from one number to a
network: a quartic loss, one neuron under label noise, a linear teacher and student, two neurons that become one, and
networks on real images whose learning rate stays large for a shorter or a longer time.

Sizes are the authors' where their code states them. The images are scikit-learn's digits and not CIFAR, the networks
fully connected, and the loss is the squared error, in which alone the noise of labels is what the theory assumes.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.stochastic_collapse import claims, experiments, figures, settings

STUDY = Study(
    name="stochastic-collapse",
    title="Stochastic collapse: noise that makes networks simpler",
    question="When does the noise of stochastic gradient descent make neurons vanish or become equal?",
    paper=Paper(
        authors="Feng Chen, Daniel Kunin, Atsushi Yamamura and Surya Ganguli",
        year=2023,
        title="Stochastic Collapse: How Gradient Noise Attracts SGD Dynamics Towards Simpler Subnetworks",
        link="https://arxiv.org/abs/2306.04251",
        bibtex=(
            "@inproceedings{chen2023stochastic,\n"
            "  title     = {Stochastic Collapse: How Gradient Noise Attracts {SGD} Dynamics Towards Simpler\n"
            "               Subnetworks},\n"
            "  author    = {Chen, Feng and Kunin, Daniel and Yamamura, Atsushi and Ganguli, Surya},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n  year      = {2023}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The paper's networks are a VGG-16 and a ResNet-18 on CIFAR; here they are fully connected and learn digits by "
        "squared error, because label noise on a cross-entropy does not vanish where logits saturate. At pocket scale "
        "their weight decay is four times the paper's, because they train for a shorter time, and they are trained on "
        "a fifth of the images, so that full batches are affordable."
    ),
)
