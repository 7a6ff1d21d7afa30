"""Simulations: labelled, resumable, the same bits in any company."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasescope.ensemble import Quantity, Simulation, simulate
from phasescope.store import Store
from phasescope.vocabulary import BadInput, Generators, Grid, Member


def walk(member: Member, generators: Generators) -> Mapping[str, Any]:
    steps = generators("walk").standard_normal(int(member["length"])) * member["scale"]
    return {"path": np.cumsum(steps), "end": steps.sum()}


def measured_otherwise(member: Member, generators: Generators) -> Mapping[str, Any]:
    return {"path": 0.0}


QUANTITIES = (Quantity("path", "m", "test", ("time",)), Quantity("end", "m", "test"))


def walks(**fixed: Any) -> Simulation:
    return Simulation("walks", walk, Grid({"length": (3, 5)}, seeds=4), QUANTITIES, {"scale": 2.0, **fixed})


def test_quantities_are_labelled_and_padded() -> None:
    data = simulate(walks())
    assert data.path.dims == ("length", "seed", "time") and data.path.attrs["units"] == "m"
    assert np.isnan(data.path.sel(length=3).values[:, 3:]).all()
    last = data.path.sel(length=5).isel(time=-1)
    np.testing.assert_allclose(last, data.end.sel(length=5))


def test_bits_do_not_depend_on_company_or_workers() -> None:
    alone = simulate(Simulation("walks", walk, Grid({"length": (5,)}, seeds=[2]), QUANTITIES, {"scale": 2.0}))
    for workers in (1, 3):
        among = simulate(walks(), workers=workers).sel(length=5, seed=2)
        np.testing.assert_array_equal(among.path, alone.path[0, 0])


def test_a_member_in_the_store_is_not_measured_again(tmp_path: Path) -> None:
    with Store(tmp_path / "run") as store:
        seen: list[int] = []
        first, again, other = (
            simulate(w, keeper=store, on_progress=lambda progress: seen.append(progress.reused))
            for w in (walks(), walks(), walks(scale=3.0))
        )
        assert again.identical(first) and not other.identical(first)
        assert (seen[0], max(seen), seen[-1]) == (0, 8, 0)


def held(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Short steps in Python alone: two threads of one process wait for each other."""
    total = 0.0
    for step in generators("walk").standard_normal(300_000).tolist():
        total += step
    return {"sum": total, "process": os.getpid()}


@pytest.mark.parametrize("refusal", ["", "its module is another one there"])
def test_members_that_wait_for_one_another_go_on_in_processes(refusal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["phasescope.ensemble.simulate"]  # the package has a function of that name
    monkeypatch.setattr(module, "LONG", 0.0)
    if refusal:
        monkeypatch.setattr(module, "refused_by", lambda elsewhere, check, *arguments: refusal)
    quantities = (Quantity("sum", "1", "test"), Quantity("process", "1", "test"))
    simulation = Simulation("steps", held, Grid({}, seeds=8), quantities)
    found = simulate(simulation, workers=2)
    here = found.process.values == os.getpid()
    assert here.any() and here.all() == bool(refusal)
    alone = simulate(simulation, workers=1)
    assert (alone.process.values == os.getpid()).all()
    np.testing.assert_array_equal(found["sum"], alone["sum"])


def test_what_is_refused() -> None:
    with pytest.raises(BadInput, match="plain function"):
        Simulation("walks", lambda member, generators: {}, Grid(), QUANTITIES)
    with pytest.raises(BadInput, match=r"measured \['path'\]"):
        simulate(Simulation("walks", measured_otherwise, Grid(), QUANTITIES))
    with pytest.raises(BadInput, match="'path' has shape"):
        simulate(Simulation("walks", measured_otherwise, Grid(), QUANTITIES[:1]))
