"""The experiments of ``transfer-distances``: Gaussian tasks with deep linear networks, and digits."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.transfer_distances.gaussian import deep
from phasescope.studies.transfer_distances.images import real
from phasescope.studies.transfer_distances.settings import DISTANCES, SOURCES, DistanceSettings
from phasescope.vocabulary import Grid

PAPER = "arXiv:2410.08194"


def experiments(s: DistanceSettings) -> dict[str, Simulation]:
    """Return the study's simulations by name."""
    numbers = {"dimension", "pairs", "samples", "noise", "scale", "rate", "steps", "draws"}
    by_pair, pairs = ("pair",), {"pair": range(s.pairs)}
    source, sources = ("source",), {"source": list(SOURCES)}
    return {
        "deep": Simulation(
            "deep linear networks that learn a source, then a target",
            deep,
            Grid({"depth": s.depths}, seeds=s.seeds),
            (
                *(Quantity(name, "1", f"{PAPER}, excess risk", by_pair, pairs) for name in ("anew", "tuned", "probe")),
                Quantity("overlap", "1", f"{PAPER}, Sec. 3: |cosine| of the feature learnt and the target", by_pair,
                         pairs),
                Quantity("distance", "nats, 1, 1", "KL, total variation, squared MMD (Gretton et al. 2012, Eq. 3)",
                         ("measure", "pair"), {"measure": list(DISTANCES), **pairs}),
                Quantity("missed", "1", "the largest error of a source's slope"),
            ),
            s.model_dump(include=numbers),
            float(s.pairs * s.dimension**3 * s.steps * 3),
            kind="trained",
        ),
        "digits": Simulation(
            "five digits from few labels, after six sources",
            real,
            Grid(seeds=s.seeds),
            (
                Quantity("anew", "1", "accuracy of a network that begins anew"),
                Quantity("gain", "1", "accuracy after the source less that", source, sources),
                Quantity("overlap", "1", "instruments.similarity.linear_cka with features that all labels teach",
                         source, sources),
                Quantity("distance", "1", "squared MMD of images and labels (Gretton et al. 2012, Eq. 3)", source,
                         sources),
            ),
            s.model_dump(include={"width", "labels", "source_labels", "digit_rate", "digit_steps"}),
            float(s.width * 64 * s.source_labels * s.digit_steps * 20),
            kind="trained",
        ),
    }  # fmt: skip
