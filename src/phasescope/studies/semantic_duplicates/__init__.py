"""Near copies, and what is gained without them: SemDeDup. Abbas, Tirumala, Simig, Ganguli and Morcos 2023.

Rows whose near copies are known show whether ``ps.dedup`` does what the authors' code says. Copies of digits with
noise, brighter or moved, show which are found. Then networks learn images and paragraphs a share of which is repeated:
all of them, without near copies, without exact ones, and as many at random. What is learnt of data without copies, of
which the same rule keeps as small a share, says whether copies are the reason.

No test row is a near copy of a training row: those are left out, and the run ends if one stays. Images are learnt by
perceptrons, paragraphs of a made-up language by a decoder with one block; both at equal steps and at equal epochs.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.semantic_duplicates import claims, experiments, figures, settings

STUDY = Study(
    name="semantic-duplicates",
    title="SemDeDup: near copies, and what is gained without them",
    question="Which near copies are found, and is more learnt where these go than where as many random rows do?",
    paper=Paper(
        authors="Amro Abbas, Kushal Tirumala, Daniel Simig, Surya Ganguli, Ari S. Morcos",
        year=2023,
        title="SemDeDup: Data-efficient learning at web-scale through semantic deduplication",
        link="https://arxiv.org/abs/2303.09540",
        bibtex=(
            "@article{abbas2023semdedup,\n  title   = {SemDeDup: Data-efficient learning at web-scale through semantic "
            "deduplication},\n  author  = {Abbas, Amro and Tirumala, Kushal and Simig, D{\\'a}niel and Ganguli, Surya "
            "and Morcos, Ari S.},\n  journal = {arXiv preprint arXiv:2303.09540},\n  year    = {2023}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "Copies are planted, and many more of one row than of another; LAION, C4, CLIP and OPT are not asked. Real "
        "mail and speeches are measured where folders are named: `--set mail=FOLDER --set speeches=FOLDER`."
    ),
)
