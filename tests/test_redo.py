"""The page of someone's work done again: it quotes its script and its stored data, and the script runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import phasescope as ps

DOCS = Path(__file__).parents[1] / "docs"
spec = importlib.util.spec_from_file_location("gallery_redo", DOCS / "gallery" / "redo.py")
assert spec is not None
assert spec.loader is not None
gallery: Any = importlib.util.module_from_spec(spec)
sys.modules["gallery_redo"] = gallery
spec.loader.exec_module(gallery)
script = gallery.script()


def made_up(generalizes: Any, lag: Any) -> xr.Dataset:
    """Return phases of sixty networks and seven seeds by rules of decay, fraction, width and seed."""
    axes = {**script.AXES, "seed": range(1000, 1007)}
    shape = tuple(len(values) for values in axes.values())
    decay, fraction, width, seed = np.meshgrid(*axes.values(), indexing="ij")
    yes = np.broadcast_to(generalizes(decay, fraction, width, seed), shape)
    late = np.broadcast_to(lag(decay, fraction, width, seed), shape)
    phase = np.where(yes, np.where(late, "grokking", "comprehension"), "memorization")
    values = {"phase": (tuple(axes), phase), "test_step": (tuple(axes), np.where(yes, 900.0, np.nan))}
    return xr.Dataset(values, {name: list(places) for name, places in axes.items()})


def outcomes(found: xr.Dataset) -> dict[str, str]:
    return {verdict.id: verdict.verdict for verdict in ps.judge(script.CLAIMS, found)}


def test_the_page_quotes_its_script_and_what_is_stored() -> None:
    """Fails after a change of the script, its data or a claim: ``make gallery`` mends it."""
    page = gallery.PAGE.read_text("utf-8")
    assert gallery.filled(page, script, gallery.stored()) == page
    assert all(code in page for code in gallery.sections().values())
    assert len(gallery.sections()) == page.count("<!-- code: ")
    if gallery.DATA.is_file():
        assert gallery.PICTURE.stat().st_size < 200_000
        assert gallery.DATA.stat().st_size < 200_000


def test_shares_of_variance_are_those_of_an_analysis_of_variance() -> None:
    """A gate, f >= 0.7 and h >= 32, whose variance 2/9 is all between cells of f and h, 1/9 between fractions."""
    found = made_up(lambda d, f, h, s: (f >= 0.7) & (h >= 32), lambda d, f, h, s: True)
    whole = ps.at()
    assert script.explained("train_fraction", "width")(whole)(found) == pytest.approx(np.ones(7))
    assert script.explained("train_fraction")(whole)(found) == pytest.approx(np.full(7, 0.5))
    assert script.explained("width")(whole)(found) == pytest.approx(np.full(7, 0.25))
    assert script.explained("weight_decay")(whole)(found) == pytest.approx(np.zeros(7))


def test_each_claim_can_hold_fail_and_be_undone_by_its_control() -> None:
    gate = made_up(lambda d, f, h, s: (f >= 0.7) & (h >= 32), lambda d, f, h, s: (d > 0) & (d < 1))
    assert outcomes(gate) == {"gates": "holds", "peak": "holds", "ends": "holds"}
    decay = made_up(lambda d, f, h, s: d == 0.1, lambda d, f, h, s: True)
    # grokking has its peak where generalizing of any kind has it, as the control says
    assert outcomes(decay) == {"gates": "fails", "peak": "undecided", "ends": "fails"}
    data = made_up(lambda d, f, h, s: f >= 0.7, lambda d, f, h, s: d == 0)  # narrow ones generalize too
    assert outcomes(data) == {"gates": "holds", "peak": "fails", "ends": "undecided"}
    nothing = made_up(lambda d, f, h, s: False, lambda d, f, h, s: False)
    assert outcomes(nothing)["gates"] == "undecided"  # nothing varies


@pytest.mark.slow
def test_the_script_runs(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script, "P", 7)
    recipe = script.RECIPE.model_copy(update={"steps": 20, "records": 2, "first_record": 10})
    found = script.phases(script.trained(range(1000, 1007), recipe))
    assert found.phase.shape == (5, 4, 3, 7)
    assert len(ps.judge(script.CLAIMS, found)) == 3
    assert "Phases of learning" in script.page(found, ps.judge(script.CLAIMS, found)).read_text("utf-8")
