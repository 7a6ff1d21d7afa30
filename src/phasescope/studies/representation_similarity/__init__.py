"""Which measures say rightly how alike two representations are? Kornblith et al. 2019, arXiv:1905.00414.

Measured where the truth is known. Clouds of points share a planted part of their dimensions: does each measure of
``ps.compare`` recover its size, and which read likeness where there is none? Networks of one architecture learn digits
from different seeds: is a layer most similar to the one at its own place, beside networks that were not trained,
networks that learnt random labels, and shuffled stimuli? A synthetic recording is made of a known layer, with a known
part of the variance and known noise: does ``ps.encode`` give both back and name the layer, and what would the layers
of another seed, or of the untrained network, have explained?
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.representation_similarity import claims, experiments, figures, settings

STUDY = Study(
    name="representation-similarity",
    title="Similarity of neural network representations",
    question="Which measures say rightly how alike two representations are, and where one layer answers to another?",
    paper=Paper(
        authors="Simon Kornblith, Mohammad Norouzi, Honglak Lee, Geoffrey Hinton",
        year=2019,
        title="Similarity of Neural Network Representations Revisited",
        link="https://arxiv.org/abs/1905.00414",
        bibtex=(
            "@inproceedings{kornblith2019similarity,\n"
            "  title     = {Similarity of Neural Network Representations Revisited},\n"
            "  author    = {Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey},\n"
            "  booktitle = {International Conference on Machine Learning},\n  year      = {2019}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The paper identifies layers of convolutional networks of ten layers on CIFAR-10; here they have five, or are "
        "perceptrons, and learn scikit-learn's digits. Of images a layer is read as the mean over positions. No "
        "recorded neurons are packaged: recordings are made of a network's layer."
    ),
)
