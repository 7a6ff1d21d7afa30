"""The experiments of ``hard-examples``: each trains ensembles for one seed, and reads scores of rows off them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.hard_examples.measures import (
    measure_coherence,
    measure_orders,
    measure_pruned,
    measure_scores,
)
from phasescope.studies.hard_examples.settings import (
    FLIPPED,
    FULL,
    HALVES,
    KINDS,
    MINI,
    PAIRS,
    SCORES,
    SHUFFLED,
    TRUE,
    TWO,
    HardExampleSettings,
)
from phasescope.vocabulary import Grid

COHERENCE = "Chatterjee and Zielinski, arXiv:2008.01217: N |mean g|^2 / mean |g|^2"


def experiments(s: HardExampleSettings) -> dict[str, Simulation]:
    """Return the study's experiments by name."""
    data = ("images", "side", "samples", "tests", "flips", "width", "rate", "batch", "records", "early")

    def trained(
        title: str, measure: Callable[..., Any], axis: str, places: tuple[str, ...], quantities: tuple[Quantity, ...],
        *names: str,
    ) -> Simulation:  # fmt: skip
        fixed = {name: getattr(s, name) for name in (*data, *names)}
        return Simulation(title, measure, Grid({axis: places}, seeds=s.seeds), quantities, fixed, kind="trained")

    by = {"score": SCORES}
    sizes: dict[str, Any] = {"drop": s.drops, "dropped": KINDS}
    given: dict[str, Any] = {"given": (TRUE, SHUFFLED)}
    return {
        "scores": trained(
            "scores of rows, some of them with wrong labels", measure_scores, "labels", (FLIPPED, SHUFFLED),
            (Quantity("area", "1", "area under the curve, for labels that were changed", ("score",), by),
             Quantity("precision", "1", "share of changed labels among as many rows", ("score",), by),
             Quantity("agreement", "1", "Spearman correlation of EL2N over rows", ("between",),
                      {"between": (HALVES, TWO)})),
            "networks", "steps",
        ),
        "orders": trained(
            "the order in which two networks learn rows", measure_orders, "labels", (TRUE, SHUFFLED),
            (Quantity("agreement", "1", "Spearman correlation of accessibility over rows", ("compared",),
                      {"compared": PAIRS}),), "pair", "order_steps",
        ),
        "pruned": trained(
            "networks that learn what a score leaves", measure_pruned, "labels", (TRUE, FLIPPED),
            (Quantity("accuracy", "1", "held-out images, mean over fresh networks", ("drop", "dropped"), sizes),
             Quantity("whole", "1", "the same of networks that learn all rows")),
            "networks", "fresh", "pruned_steps", "drops",
        ),
        "coherence": trained(
            "coherence of gradients, of true and of shuffled labels", measure_coherence, "batches", (FULL, MINI),
            (Quantity("matched", "1", COHERENCE, ("given", "level"), {**given, "level": s.levels}),
             Quantity("equal", "1", COHERENCE, ("given", "after"), {**given, "after": s.equal}),
             Quantity("loss", "nats", "training loss there", ("given", "after"), {**given, "after": s.equal})),
            "coherent", "coherent_networks", "wide", "descent", "descent_rate", "descent_records", "levels", "equal",
        ),
    }  # fmt: skip
