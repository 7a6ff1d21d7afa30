"""Associative memory and probabilistic modelling. Schaeffer et al. 2024, arXiv:2402.10202.

An associative memory falls down an energy; a probabilistic model climbs a likelihood. The study asks where the two are
one: the clustering memory and the Gaussian mixture, new memories and the Chinese restaurant process, explicit
assignments and the evidence lower bound, kernel density estimators and modern Hopfield networks, pre-norm attention and
clustering on the sphere. One network is trained: energies that adapt to the points in its context.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.associative_memory import claims, experiments, figures, settings

STUDY = Study(
    name="associative-memory",
    title="Associative memory and probabilistic modelling",
    question="Where is falling down a memory's energy the same as climbing a model's likelihood, and what follows?",
    paper=Paper(
        authors=(
            "Rylan Schaeffer, Nika Zahedi, Mikail Khona, Dhruv Pai, Sang Truong, Yilun Du, Mitchell Ostrow, "
            "Sarthak Chandra, Andres Carranza, Ila Rani Fiete, Andrey Gromov, Sanmi Koyejo"
        ),
        year=2024,
        title="Bridging Associative Memory and Probabilistic Modeling",
        link="https://arxiv.org/abs/2402.10202",
        bibtex=(
            "@article{schaeffer2024bridging,\n  title   = {Bridging Associative Memory and Probabilistic Modeling},\n"
            "  author  = {Schaeffer, Rylan and Zahedi, Nika and Khona, Mikail and Pai, Dhruv and Truong, Sang and Du, "
            "Yilun and Ostrow, Mitchell and Chandra, Sarthak and Carranza, Andres and Fiete, Ila Rani and Gromov, "
            "Andrey and Koyejo, Sanmi},\n  journal = {arXiv preprint arXiv:2402.10202},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Of the final paper only abstract and summaries were at hand; equations are those of the authors' workshop "
        "paper (Associative Memory Under the Probabilistic Lens, 2023) or derived here, as each claim's source says. "
        "Two misprints of that paper are put right, and their consequences shown: the covariance of the mixture is "
        "I/(2 beta), not 2 I/beta, and the energy with a creation term needs the Gaussians' normalizers."
    ),
)
