"""What will become of a network, read before it is trained: a forecast with a record.

Criticality, correlations of inputs, dead units, normalization and the tangent kernel are each said to tell whether an
initialization trains. Here they are read off networks of eleven families, drawn at random in depth (2 to 40), width (24
to 48), variances and parametrization, and then every network is trained by SGD with momentum 0.9 on scikit-learn's
digits, at five rates and once with a warm-up. What came of it is one of three outcomes: it *trains* (test accuracy 0.7
at a rate of 0.25), it does so *only with small rates or warm-up*
(0.06 or less), or it *does not*. A network's learning is
*rich* where its last features have moved.

**What is judged are fixed coefficients.** They were fitted to networks of development seeds, once for each family
without it, and are stored with this study (``held_out.json``); a judging seed draws new networks, and each is forecast
by the coefficients that know neither its seed nor its family. The rivals are fitted to the same networks in the same
way: J alone, the norm of the gradient alone, and depth, skips and normalization without any reading. The unit of
replication is the seed: one number for all networks that it draws.
"""

from __future__ import annotations

from phasescope.lab.study import Paper, Study
from phasescope.studies.initialization_forecast import claims, experiments, figures, settings

STUDY = Study(
    name="initialization-forecast",
    title="Will it train? A forecast from the initialization",
    question="Do readings of an untrained network foretell what training makes of it, in families never seen?",
    paper=Paper(
        authors="Samuel S. Schoenholz, Justin Gilmer, Surya Ganguli, Jascha Sohl-Dickstein",
        year=2017,
        title="Deep Information Propagation",
        link="https://arxiv.org/abs/1611.01232",
        bibtex=(
            "@inproceedings{schoenholz2017deep,\n  title     = {Deep Information Propagation},\n"
            "  author    = {Schoenholz, Samuel S. and Gilmer, Justin and Ganguli, Surya and Sohl-Dickstein, Jascha},\n"
            "  booktitle = {International Conference on Learning Representations},\n  year      = {2017}\n}"
        ),
    ),
    scales=settings.SCALES,
    experiments=experiments.experiments,
    claims=claims.claims,
    figures=figures.figures,
    choices=figures.choices,
    notes=(
        "The paper asks of plain tanh networks whether the depth to which signals propagate bounds the depth that "
        "trains; the forecast, its families and its thresholds are ours. Small networks, one data set, one optimizer: "
        "what the coefficients are worth elsewhere is not known."
    ),
)
