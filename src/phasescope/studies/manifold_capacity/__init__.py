"""Maximum manifold capacity representations. Schaeffer et al. 2024, arXiv:2406.09366; Yerxa et al. 2023.

Each of P data is seen in K views; their unit-norm embeddings are averaged, and the nuclear norm of the P x D matrix of
these centroids is made large. The percent error is what is missing from the bound sqrt(P min(P, D)).

Three worlds: embeddings drawn uniformly, where the error is known exactly; free embeddings that follow the gradient,
where it is known too (derived here); and encoders trained by Adam, on noisy views of Gaussian data (our pilot's
world: 64 inputs, noise 0.5, an MLP with batch normalization) and on augmented real images with a linear probe.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.manifold_capacity import claims, experiments, figures, settings

STUDY = Study(
    name="manifold-capacity",
    title="Maximum manifold capacity representations",
    question="What limits the capacity of embeddings, and why is it worst when there are as many data as dimensions?",
    paper=Paper(
        authors="Rylan Schaeffer, Victor Lecomte, Dhruv Pai, Andres Carranza, Berivan Isik, et al.",
        year=2024,
        title="Towards an Improved Understanding and Utilization of Maximum Manifold Capacity Representations",
        link="https://arxiv.org/abs/2406.09366",
        bibtex=(
            "@article{schaeffer2024mmcr,\n"
            "  title   = {Towards an Improved Understanding and Utilization of Maximum Manifold Capacity "
            "Representations},\n"
            "  author  = {Schaeffer, Rylan and Lecomte, Victor and Pai, Dhruv Bhandarkar and others},\n"
            "  journal = {arXiv preprint arXiv:2406.09366},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The paper trains ResNets on STL-10 and compares image-text pairs with CLIP; here are multilayer perceptrons "
        "on Gaussian data, on small grey images, and (pairs=emoji) on pictures of 16 x 16 pixels with their names. "
        "The exponents of its scaling laws are not known to us; we ask only whether the laws are straight."
    ),
)
