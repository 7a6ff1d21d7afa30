"""The study ``grokking``: its claims, the readings they rest on, and what must not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasescope import lab
from phasescope.ensemble import streams
from phasescope.lab import study_named
from phasescope.lab.readings import crossing, peak_step, value_at
from phasescope.lab.study import join, split
from phasescope.studies.grokking.experiments import gaussian_weights
from phasescope.studies.grokking.settings import SCALES
from phasescope.testing import check_results
from phasescope.vocabulary import BadInput

STUDY = study_named("grokking")


def curve(values: Any, steps: Any = None) -> xr.DataArray:
    table = np.atleast_2d(np.asarray(values, dtype=float))
    at = np.arange(table.shape[1]) * 10 if steps is None else steps
    return xr.DataArray(table, dims=("seed", "step"), coords={"seed": range(len(table)), "step": at})


def test_crossing() -> None:
    """Interpolated between records, the first record where it begins above, inf where never; NaN after release."""
    found = crossing(curve([[0, 0.5, 1, 1], [1, 0, 0, 1], [0, 0.1, 0.2, 0.3], [0, 1, np.nan, np.nan]]), 0.75)
    assert found.values.tolist() == [15.0, 0.0, np.inf, 7.5]
    assert found.dims == ("seed",)
    uneven = crossing(curve([0, 0, 1], steps=[0, 1, 100]), 0.5)
    assert uneven.values.tolist() == [50.5]


def test_peak_step() -> None:
    assert peak_step(curve([[1, 5, 2], [3, 2, np.nan]])).values.tolist() == [10.0, 0.0]


def test_value_at() -> None:
    steps = xr.DataArray([5.0, np.inf, 25.0], dims="seed", coords={"seed": range(3)})
    found = value_at(curve([[0, 1, 2], [0, 1, 2], [0, 4, np.nan]]), steps)
    assert found.values[0] == 0.5
    assert np.isnan(found.values[1])
    assert found.values[2] == 4.0  # after release the last reading stands


def test_join_and_split_are_inverse() -> None:
    one = xr.Dataset({"a": ("step", [1.0, 2.0])}, coords={"step": [0, 5]})
    two = xr.Dataset({"a": (("step", "neuron"), np.ones((3, 2)))}, coords={"step": [0, 1, 2]})
    back = split(join({"x": one, "x2": two}))
    assert list(back) == ["x", "x2"] and back["x"].identical(one) and back["x2"].identical(two)


def test_files_from_before_a_reading_had_one_name_are_read() -> None:
    """At the end alone it was called end.<name>; of one that was watched too, the curve has its last reading."""
    old = {"curve": ("step", [1.0, 2.0]), "end.curve": 2.0, "end.alone": 3.0}
    found = split(join({"x": xr.Dataset(old, coords={"step": [0, 5]})}))["x"]
    assert set(found.data_vars) == {"curve", "alone"} and found.alone == 3 and found["curve"].dims == ("step",)
    ended = xr.Dataset({"end.x": ("seed", [1.0, 2.0])}, {"seed": [0, 1], "fate": ("seed", ["memorized", "diverged"])})
    np.testing.assert_array_equal(split(join({"e": ended}))["e"].x, [1.0, np.nan])


@pytest.mark.parametrize("scale", SCALES)
def test_settings_are_consistent(scale: str) -> None:
    s = SCALES[scale]
    assert {s.low, s.middle, s.high} <= set(s.fractions)
    assert s.rate == pytest.approx(1e6 * (s.p / 97) ** 3 * s.width / 500)
    experiments = STUDY.experiments(s)
    assert all(e.title.strip() for e in experiments.values())


def test_the_gaussian_control_has_the_size_of_the_exact_weights() -> None:
    from phasescope.theory import modular_addition

    noise, exact = (
        gaussian_weights(31, 400, streams(0)("a")),
        modular_addition.addition_weights(31, 400, streams(0)("b")),
    )
    for a, b in zip(noise, exact, strict=True):
        assert np.sqrt((a**2).mean()) == pytest.approx(np.sqrt((b**2).mean()), rel=0.03)


def test_its_results_obey_the_laws(tiny_results: Any) -> None:
    check_results(tiny_results)


def test_unknown_things_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="did you mean 'grokking'"):
        lab.run("groking")
    with pytest.raises(BadInput, match="did you mean 'pocket'"):
        lab.run("grokking", "poket")
    with pytest.raises(BadInput, match="did you mean 'width'"):
        lab.run("grokking", widht=3)
