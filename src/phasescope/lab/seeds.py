"""Which seeds a study's experiments have, what they can decide, and what kind of thing a claim is about."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import xarray as xr

from phasescope.checks import shown
from phasescope.errors import BadInput
from phasescope.lab.study import Work
from phasescope.verdict import Claim, Measured, seeds_needed
from phasescope.vocabulary import Grid, Kind

JUDGING, UNTIL = 1000, 10_000
"""The first of the seeds that claims are judged on at one look, and of those that are added until they are decided."""
KINDS = get_args(Kind)
log = logging.getLogger("phasescope")


def seeded(experiments: Mapping[str, Work], first: int) -> Mapping[str, Work]:
    """Return the experiments with their seeds moved up by ``first``: those that claims are judged on.

    With 0, development seeds, they are returned as they are. Raises ``BadInput`` where a study's own seeds are not
    below 1000, and where an experiment is none.
    """
    for name, e in experiments.items():
        missing = [part for part in ("grid", "kind", "with_seeds", "plan", "leaves", "run") if not hasattr(e, part)]
        if missing or e.kind not in KINDS:
            what = f"has no {', '.join(missing)}" if missing else f"is of the kind {shown(e.kind)}"
            raise BadInput(
                f"the experiment {name!r} {what}: give a ps.Experiment, a ps.Simulation, or what has the methods of "
                f"phasescope.lab.study.Work, of a kind {', '.join(KINDS)}."
            )
        most = max(_seeds(e), default=0)
        if isinstance(e.grid, Grid) and most >= JUDGING:
            raise BadInput(
                f"the experiment {name!r} has the seed {most}: give a study seeds below {JUDGING}, those of "
                "development; from there on they are for judging."
            )
    return {name: _moved(e, [first + seed for seed in _seeds(e)]) if first else e for name, e in experiments.items()}


def _moved(e: Work, seeds: Sequence[int]) -> Work:
    """Return an experiment with other seeds; itself where its members are listed one by one."""
    if not isinstance(e.grid, Grid):
        return e
    found = e.with_seeds(seeds)
    if not hasattr(found, "plan"):
        raise BadInput(f"with_seeds of {e.title!r} returns {shown(found)}: return the experiment with those seeds.")
    return found


def unmoved(experiments: Mapping[str, Work]) -> list[str]:
    """Return the experiments whose seeds are their own: they could not be moved to the judging seeds."""
    return [name for name, e in experiments.items() if min(_seeds(e), default=0) < JUDGING]


def _seeds(e: Work) -> Sequence[int]:
    return e.grid.seed_values if isinstance(e.grid, Grid) else [member.seed for member in e.grid]


def widened(e: Work, data: xr.Dataset) -> Work:
    """Return an experiment with the seeds that its data have."""
    found = data["seed"].values.tolist() if "seed" in data.dims else []
    return e.with_seeds(found) if found and isinstance(e.grid, Grid) and list(e.grid.seed_values) != found else e


def at_look(experiments: Mapping[str, Work], names: Collection[str], n: int) -> dict[str, Work]:
    """Return the experiments of these names with ``n`` seeds; one of a single seed, as theory is, keeps it."""
    found = {}
    for name, e in experiments.items():
        seeds = _seeds(e)
        if not names or name in names:
            more = [max(seeds) + 1 + i for i in range(n - len(seeds))]
            found[name] = _moved(e, [*seeds, *more][:n]) if len(seeds) > 1 else e
    return found


def experiments_of(claims: Sequence[Claim]) -> set[str]:
    """Return the experiments that claims and their controls look at; none where a plain function looks at all."""
    effects: list[Any] = [effect for claim in claims for effect in (claim.effect, claim.control.effect)]
    if not all(isinstance(effect, Measured) for effect in effects):
        return set()
    named = {cell.experiment for effect in effects for cell in effect.cells}
    return set() if "" in named else named


def kinds(claims: Sequence[Claim], experiments: Mapping[str, Work]) -> list[Claim]:
    """Return the claims, each with its kind: that of the experiments that its effect is measured in, unless given."""
    found = []
    for claim in claims:
        cells = claim.effect.cells if isinstance(claim.effect, Measured) else ()
        seen = [experiments[cell.experiment].kind for cell in cells if cell.experiment in experiments]
        kind: Any = max(seen, key=KINDS.index, default="")
        found.append(claim if claim.kind or not kind else replace(claim, kind=kind))
    return found


def seeds_of(claim: Claim, experiments: Mapping[str, Work]) -> int:
    """Return how many seeds a claim will be judged on, or its control where that has fewer; 0 for a plain function.

    An experiment of one seed, as theory is, counts where there is no other.
    """
    found = [len(_seeds(experiments[name])) for name in experiments_of([claim]) if name in experiments]
    return min([n for n in found if n > 1] or found, default=0)


def decidable(claims: Sequence[Claim], experiments: Mapping[str, Work]) -> None:
    """Say in the log which claims so many seeds can not decide, before anything is run."""
    needed = seeds_needed(max(len(claims), 1))
    few: dict[int, int] = {}
    for claim in claims:
        n = seeds_of(claim, experiments) or needed
        if claim.statistic == "median" and not claim.deterministic and n < needed:
            few[n] = few.get(n, 0) + 1
    if few:
        said = " and ".join(f"{count} at {n} seeds" for n, count in sorted(few.items()))
        log.warning(
            f"{sum(few.values())} of {len(claims)} claims can not be decided ({said}): claims that are judged together "
            f"need {needed} seeds or more; give more, or --until decided."
        )
