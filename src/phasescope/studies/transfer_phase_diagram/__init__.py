"""Scratch, linear transfer and fine-tuning. Tahir, Ganguli and Rotskoff 2024, arXiv:2410.08194.

A deep linear network learns a source task wholly, then a target at an angle to it from gamma samples per dimension. Its
risk is known exactly, for a network that begins anew (the minimum-norm solution), for one whose last layer alone learns
on the source's feature, and for one that is tuned as a whole. Whether transfer helps depends on angle, amount of data
and noise, and on no distance between the two tasks.

Trained networks: full-batch gradient descent in float64, first weights alpha N(0, 1) / sqrt(d); the source is learnt
on the population loss, which endless data are. Theory is for gradient flow; finite steps of fine-tuning unbalance the
layers in proportion to the learning rate, so its risk is extrapolated from two rates to none. Everything else is a
solution in closed form on drawn samples.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.transfer_phase_diagram import claims, experiments, figures, settings

STUDY = Study(
    name="transfer-phase-diagram",
    title="Scratch, linear transfer and fine-tuning in deep linear networks",
    question="When does a network that knows a source task learn a target better than one that begins anew?",
    paper=Paper(
        authors="Javan Tahir, Surya Ganguli, Grant M. Rotskoff",
        year=2024,
        title="Features are fate: a theory of transfer learning in high-dimensional regression",
        link="https://arxiv.org/abs/2410.08194",
        bibtex=(
            "@article{tahir2024features,\n  title   = {Features are fate: a theory of transfer learning in "
            "high-dimensional regression},\n  author  = {Tahir, Javan and Ganguli, Surya and Rotskoff, Grant M.},\n"
            "  journal = {arXiv preprint arXiv:2410.08194},\n  year    = {2024}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    notes=(
        "The printed Theorem 3.9 takes a fine-tuned network to keep the source outside the data's span as it is. "
        "The balance of the layers scales it by c, the root of c^4 - a c^2 - b = 0; c is 1 without noise, and 1.22 at "
        "noise 1 and half a sample per dimension. Both are measured here."
    ),
)
