"""The experiments of ``attention-clusters``."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.attention_clusters.context import learnt
from phasescope.studies.attention_clusters.flow import flow
from phasescope.studies.attention_clusters.settings import DYNAMICS, NORMS, SHOWN, ClusterSettings
from phasescope.vocabulary import Grid


def experiments(s: ClusterSettings) -> dict[str, Simulation]:
    """Return the study's simulations by name."""
    at = {"layer": [round(part * s.layers) for part in SHOWN]}
    given = {"given": range(s.length + 1)}
    fractions = ("adapted", "mismatched", "memory")
    numbers = ("likeness", "likeness_other", "own", "own_untrained")
    return {
        "flow": Simulation(
            "tokens on the sphere, moved by attention and by its rivals",
            flow,
            Grid({"beta": s.betas, "dynamics": DYNAMICS}, seeds=s.seeds),
            (Quantity("clusters", "clusters", "arXiv:2312.10794", ("layer",), at),),
            s.model_dump(include={"draws", "tokens", "sphere", "layers", "stride"}),
            s.draws * s.layers * s.tokens**2,
        ),
        "learnt": Simulation(
            "energies learnt in context",
            learnt,
            Grid({"norm": NORMS}, seeds=s.seeds),
            (
                *(Quantity(name, "1", "arXiv:2402.10202", ("given",), given) for name in fractions),
                *(Quantity(name, "1", "arXiv:2402.10202") for name in numbers),
            ),
            s.model_dump(include={"dimension", "length", "updates", "batch", "width", "blocks", "tests"}),
            s.updates * s.batch * s.blocks * s.width,
            kind="trained",
        ),
    }
