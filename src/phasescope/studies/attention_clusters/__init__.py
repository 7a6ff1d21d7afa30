"""Normalization and attention cluster tokens, and energies adapt to a context in more than two dimensions.

The second half of what ``associative-memory`` asks of Schaeffer et al. 2024, arXiv:2402.10202: there attention behind
normalization is shown to have the weights of a mixture on the sphere, an identity. Here tokens are moved by it, layer
after layer, as in Geshkovski et al. 2024, arXiv:2312.10794, at several temperatures, beside three rivals: no
normalization, values that are other tokens', and random ways of the same length. And transformers are trained, with
normalization and without, to give points in eight dimensions energies from the points before them.

Clusters are counted by linking tokens whose directions have a cosine of 0.99 or more.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.attention_clusters import claims, experiments, figures, settings

STUDY = Study(
    name="attention-clusters",
    title="Normalization and attention cluster tokens",
    question="Do normalization and attention cluster tokens, how many clusters are left, and does training use it?",
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
        "The paper's abstract alone was at hand. The dynamics are those of Geshkovski et al. 2024 with identities for "
        "queries, keys and values, in steps; trained attention has neither. Networks are small: two blocks of width "
        "32, and 50 updates."
    ),
)
