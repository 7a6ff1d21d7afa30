"""Is model collapse inevitable? Gerstgrasser et al. 2024, arXiv:2404.01413.

A generative model is fitted to data, samples, and is fitted again. If its samples replace the data, its error grows
without bound; if they accumulate beside the data, it stays bounded. Linear models, Gaussians and density estimators are
compared with exact theory; a character model on real text, a variational autoencoder and a diffusion model on real
images are fed their own samples by the same loop, ``feedback_loop``, which takes any model.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.model_collapse import claims, experiments, figures, settings

STUDY = Study(
    name="model-collapse",
    title="Is model collapse inevitable?",
    question="When models are fitted to their own samples, does their error grow without bound?",
    paper=Paper(
        authors=(
            "Matthias Gerstgrasser, Rylan Schaeffer, Apratim Dey, Rafael Rafailov, Henry Sleight, John Hughes, "
            "Tomasz Korbak, Rajashree Agrawal, Dhruv Pai, Andrey Gromov, Daniel A. Roberts, Diyi Yang, "
            "David L. Donoho, Sanmi Koyejo"
        ),
        year=2024,
        title="Is Model Collapse Inevitable? Breaking the Curse of Recursion by Accumulating Real and Synthetic Data",
        link="https://arxiv.org/abs/2404.01413",
        bibtex=(
            "@article{gerstgrasser2024collapse,\n  title   = {Is Model Collapse Inevitable? Breaking the Curse of "
            "Recursion by Accumulating Real and Synthetic Data},\n  author  = {Gerstgrasser, Matthias and Schaeffer, "
            "Rylan and Dey, Apratim and Rafailov, Rafael and Sleight, Henry and Hughes, John and Korbak, Tomasz and "
            "Agrawal, Rajashree and Pai, Dhruv and Gromov, Andrey and Roberts, Daniel A. and Yang, Diyi and Donoho, "
            "David L. and Koyejo, Sanmi},\n  journal = {arXiv preprint arXiv:2404.01413},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The paper's models are language models on TinyStories, GeoDiff on molecules and a VAE on faces; here they are "
        "a trigram model on Python's language reference (or a text of yours), and a VAE and a diffusion model on "
        "scikit-learn's digits, all really trained. The paper's full text was not at hand: sources say what is derived."
    ),
)
