"""The study ``grokking-time``: its parts are what their names say, and the study keeps the laws of all studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from phasescope.ensemble import streams
from phasescope.lab import run
from phasescope.studies.grokking_time import STUDY, networks, predicted, scores
from phasescope.studies.grokking_time.settings import (
    AXES,
    BOTH,
    CELL,
    COORDINATES,
    INPUTS,
    LINEAR,
    MEAN,
    MODELS,
    MODULUS,
    PERMUTED,
    READINGS,
    SPLITS,
    TREES,
    TWIN,
)
from phasescope.testing import check_results
from phasescope.vocabulary import BadInput, Member

SMALL = {
    "seeds": 2, "moduli": (5, 7), "decays": (1.0, 3.0), "fractions": (0.6, 0.9), "corruptions": (0.0, 0.1), "width": 8,
    "steps": 80, "early_records": 4, "records": 6, "probes": 4, "folds": 2, "trees": 2,
}  # fmt: skip
POCKET = STUDY.scales["pocket"]
SETTINGS = POCKET.model_copy(update=SMALL)
FEW = {"decays": (1.0,), "corruptions": (0.0,), "moduli": (5,)}
FIXED = {**SETTINGS.model_dump(), "window": SETTINGS.window}


@pytest.fixture(scope="module")
def trained() -> networks.Trained:
    return networks.networks(Member(FIXED, 3))


@pytest.mark.slow
def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    check_results(run(STUDY, out=tmp_path / "run", settings=SMALL))


def test_networks_stand_in_the_order_of_their_cells(trained: networks.Trained) -> None:
    cells = networks.cells(Member(FIXED, 3))
    np.testing.assert_array_equal(trained.coordinates, [cell[:4] for cell in cells])
    laid = networks.laid_out(Member(FIXED, 3), trained.coordinates.T)
    np.testing.assert_array_equal(laid[2, 0, 0, :, 0, 0], SMALL["fractions"])
    np.testing.assert_array_equal(laid[0, :, 1, 1, 1, 1], SMALL["moduli"])
    assert trained.readings.shape == (32, len(networks.READ)) and trained.curve.shape == (32, len(networks.CURVE_READ))
    assert np.isfinite(trained.readings).all() and np.isfinite(trained.curve).all()


def test_no_two_networks_are_alike_and_no_seed_shares_one(trained: networks.Trained) -> None:
    assert len(np.unique(trained.readings[:, 6])) == 32  # the norm of the weights, which are drawn
    other = networks.networks(Member({**FIXED, **FEW}, 4))
    assert not np.intersect1d(trained.readings[:, 6], other.readings[:, 6]).size


def test_first_steps_are_those_of_the_whole_run() -> None:
    """The window is trained apart: what is read there is of the very network whose step is told."""
    member = Member({**FIXED, **FEW, "steps": 20, "window": 20, "level": 0.2}, 3)
    again = networks.networks(member)
    near = again.already & np.isfinite(again.step)
    np.testing.assert_array_equal(again.already, np.isfinite(again.step))
    assert (again.step[near] <= 20).all()


def test_readings_by_hand() -> None:
    steps = np.array([0.0, 10, 20])
    rows = {"train_loss": [1, np.e, np.e**3], "test_loss": [1, 1, np.e], "weight_norm": [1, 2, 4],
            "gradient_norm": [1, 1, np.e], "mean_participation": [0.1, 0.2, 0.4], "train_accuracy": [0, 0.5, 1],
            "test_accuracy": [0, 0, 0.25]}  # fmt: skip
    early = xr.Dataset(
        {name: (("member", "step"), [values]) for name, values in rows.items()}
        | {"phase_alignment": (("member", "step", "neuron"), [[[0.0, 0], [0.2, 0], [0.5, 0.3]]])},
        {"step": steps},
    )
    found, curve = networks.read(early, np.array([np.inf]), np.array([[0.3, 0.6]]))
    expected = [np.log(20), 0, 0.5, 3, 1, 0.2, np.log(4), np.log(4), np.log(2), 1, 0.4, 0.3, 0.4, 0.4, 0.3, 0.6]
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    np.testing.assert_allclose(curve[0], [0.25, 1, 0.1], atol=1e-12)
    known, _ = networks.read(early, np.array([5.0]), np.zeros((1, 2)))
    np.testing.assert_allclose(known[0, :2], [np.log(5), 1])


def planted(noise: float = 0.0, own: float = 1.0) -> networks.Trained:
    """Return networks of the pocket's cells whose step follows their cell and, with weight ``own``, a reading."""
    member = Member({**POCKET.model_dump(), "window": 75}, 0)
    cells = np.array([cell[:4] for cell in networks.cells(member)], dtype=float)
    draw = np.random.default_rng(0)
    readings = draw.normal(size=(len(cells), len(networks.READ)))
    log = 2.5 - np.log10(cells[:, 0] / 20) - 2 * np.log10(cells[:, 2]) + own * readings[:, 4]
    step = 10 ** (log + noise * draw.normal(size=len(cells)))
    return networks.Trained(cells, readings, draw.normal(size=(len(cells), 3)), step, step, np.zeros(len(cells), bool))


def skill_of(trained: networks.Trained, inputs: str, model: str = LINEAR, split: str = CELL) -> float:
    member, rows = Member(POCKET.model_dump(), 0), np.ones(len(trained.step), bool)
    target = np.log10(trained.step)
    f, m = (predicted.forecast(trained, member, streams(0), split, model, name, rows, target)
            for name in (inputs, MEAN))  # fmt: skip
    return 1 - float(np.sum((target - f) ** 2) / np.sum((target - m) ** 2))


def test_what_is_planted_is_found_where_it_is_and_nowhere_else() -> None:
    trained = planted(0.05)
    assert skill_of(trained, BOTH) > 0.97
    assert skill_of(trained, BOTH, split=MODULUS) > 0.9
    assert skill_of(trained, READINGS) < 0.9 and skill_of(trained, COORDINATES) < 0.4
    assert skill_of(trained, TWIN) < 0  # the other network's readings tell nothing of this one
    assert skill_of(trained, PERMUTED) < 0.05
    assert abs(skill_of(planted(0.0, 0.0), COORDINATES) - 1) < 1e-3


def test_twins_are_exchanged() -> None:
    np.testing.assert_array_equal(predicted.twins(np.arange(6)), [1, 0, 3, 2, 5, 4])
    np.testing.assert_array_equal(predicted.twins(predicted.twins(np.ones((4, 2)))), np.ones((4, 2)))
    trained = planted()
    fitted, asked = predicted.columns(trained, TWIN, CELL)
    np.testing.assert_array_equal(asked[:, :14], fitted[:, :14])
    np.testing.assert_array_equal(asked[0, 14:], trained.readings[1])


def test_the_law_finds_the_exponents_that_were_planted() -> None:
    draw = np.random.default_rng(1)
    p, decay, noise = draw.choice([13.0, 17, 23, 31], 4000), draw.choice([0.3, 1, 3], 4000), draw.choice([0, 0.1], 4000)
    fraction = draw.uniform(0.2, 0.95, 4000)
    log = np.log(0.5) - 0.7 * np.log(p / 20) - 0.05 * np.log(decay) + 2 * noise
    chance = 1 / (1 + np.exp(-(np.log(fraction) - log) / 0.06))
    grokked = draw.random(4000) < chance
    found = predicted.law(np.column_stack([p, decay, fraction, noise]), grokked)
    np.testing.assert_allclose(found, [-0.7, -0.05, 2, 0.5, 0.06], rtol=0.12)
    assert np.isnan(predicted.law(np.ones((5, 4)), np.ones(5, bool))).all()


def test_the_power_law_is_least_squares() -> None:
    trained = planted(0.0, 0.0)
    np.testing.assert_allclose(predicted.power_law(trained.coordinates, trained.step), [-1, 0, 0], atol=1e-9)
    assert np.isnan(predicted.power_law(trained.coordinates, np.full(len(trained.step), np.inf))).all()


def made(**values: np.ndarray) -> xr.Dataset:
    coords = {"held": list(SPLITS), "model": list(MODELS), "inputs": list(INPUTS)}
    dims = ("seed", "held", "model", "inputs", *AXES)
    return xr.Dataset(
        {name: (dims if v.ndim == len(dims) else ("seed", *AXES), v) for name, v in values.items()}, coords
    )


def test_scores_by_hand() -> None:
    """Four networks of two cells: one never grokked, one was there already; two are scored."""
    step = np.array([100.0, 1000, np.inf, np.nan]).reshape(1, 1, 1, 2, 1, 2)
    forecasts = np.full((1, 2, 2, len(INPUTS), 1, 1, 2, 1, 2), np.nan)
    mean, both = INPUTS.index(MEAN), INPUTS.index(BOTH)
    forecasts[0, 0, 0, mean, 0, 0, 0, 0] = 2.5
    forecasts[0, 0, 1, both, 0, 0, 0, 0] = [2.0, 2.5]
    chance = np.full_like(forecasts, np.nan)
    chance[0, 0, 1, both].ravel()[:] = 0
    chance[0, 0, 1, both] = np.array([0.9, 0.2, 0.3, np.nan]).reshape(1, 1, 2, 1, 2)
    data = made(step=step, log_step=forecasts, chance=chance)
    assert float(scores.gain(BOTH, TREES, MEAN).read(data)[0]) == pytest.approx(1 - 0.25 / 0.5)
    assert float(scores.in_order(BOTH, TREES).read(data)[0]) == 1
    assert float(scores.in_order(MEAN, LINEAR).read(data)[0]) == 0.5
    assert float(scores.told(BOTH, TREES).read(data)[0]) == 0.75
    assert float(scores.gain(BOTH, TREES, BOTH).read(data)[0]) == 0  # the better model is itself
    assert np.isnan(scores.gain(BOTH, TREES, MEAN, MODULUS).read(data)[0])


def test_the_distance_from_the_boundary_by_hand() -> None:
    seed = xr.Dataset(
        {"law": (("seed", "term"), [[-1.0, -0.5, 2.0, 0.5, 0.1]]), "step": (AXES, np.ones((1, 1, 1, 1, 2)))},
        {"term": ["modulus", "decay", "corruption", "middle", "width"], "modulus": [40], "decay": [4.0],
         "fraction": [0.25], "corrupted": [0.0], "twin": [0, 1]},
    )  # fmt: skip
    np.testing.assert_allclose(scores.over_critical(seed), [[2, 2]])


def test_too_many_networks_are_refused() -> None:
    many = {**FIXED, "fractions": tuple(np.linspace(0.1, 0.9, 9000).tolist())}
    with pytest.raises(BadInput, match="65,536 or fewer"):
        networks.networks(Member(many, 0))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"twins": 3}, {"moduli": (23,)}, {"early": 0.0}, {"decays": (0.0, 1.0)}):
        with pytest.raises(BadInput):
            type(SETTINGS)(**wrong)  # type: ignore[arg-type]
