"""The study ``corrupted-labels``: its claims, the readings they rest on, and what must not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasescope import lab
from phasescope.ensemble import streams, train
from phasescope.figures import PhaseMap
from phasescope.lab import study_named
from phasescope.lab.measures import at, end
from phasescope.report.figures import render
from phasescope.studies.corrupted_labels.experiments import phase
from phasescope.studies.corrupted_labels.neurons import between, memorizing, pruned, waves
from phasescope.studies.corrupted_labels.rows import ROWS, neurons_at_end, phases, truth_level, truth_tolerance
from phasescope.studies.corrupted_labels.settings import SCALES, CorruptedLabelsSettings
from phasescope.testing import check_results
from phasescope.theory import label_corruption
from phasescope.verdict import Control, judge
from phasescope.vocabulary import BadInput, Grid, Member, Scatter

STUDY = study_named("corrupted-labels")
TINY: dict[str, Any] = {
    "p": 7, "width": 16, "seeds": 2, "steps": 30, "decay_steps": 30, "forget_steps": 30, "other_steps": 30,
    "dropout_steps": 30, "norm_p": 7, "norm_width": 12, "norm_steps": 30, "batch": 8, "deep_p": 7, "deep_width": 8,
    "deep_seeds": 2, "deep_steps": 12, "token_p": 7, "token_width": 8, "token_seeds": 2, "token_steps": 12,
    "fractions": [0.3, 0.7], "corruptions": [0.0, 0.3], "decays": [0.0, 5.0], "diagram_steps": 20,
    "diagrams": ["decay", "dropout", "relu", "cross_entropy"], "records": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The study at tiny scale; it need not support a claim."""
    return lab.run("corrupted-labels", out=Path(tmp_path_factory.mktemp("tiny")) / "run", device="cpu", **TINY)


@pytest.mark.parametrize("scale", SCALES)
def test_settings_are_consistent(scale: str) -> None:
    s = SCALES[scale]
    known = (s.p, s.width, s.train_fraction, s.corruption) in ROWS
    assert known == (scale == "paper"), "the authors print numbers at their own size alone"
    assert s.low < s.middle < s.train_fraction
    assert 0 < s.partial < s.full < s.forget
    assert label_corruption.has_partial_inversion(s.corruption)
    assert all(e.title.strip() for e in STUDY.experiments(s).values())


@pytest.mark.parametrize("scale", SCALES)
def test_every_experiment_has_the_steps_that_the_settings_give_it(scale: str) -> None:
    """Not those that a recipe has when nobody says: this happened."""
    s = SCALES[scale]
    experiments = STUDY.experiments(s)
    expected = {
        "plain": s.steps, "memorizing": s.steps, "middle": s.steps, "decay": s.decay_steps, "random": s.decay_steps,
        "forgetting": s.forget_steps, "relu": s.other_steps, "cross_entropy": s.other_steps,
        "dropout": s.dropout_steps, "batch_norm": s.norm_steps, "batches": s.norm_steps, "noise_norm": s.norm_steps,
        "deep": s.deep_steps, "diagram_decay": s.diagram_steps,
    }  # fmt: skip
    assert {name: experiments[name].recipe.steps for name in expected} == expected  # type: ignore[union-attr]


def test_the_paper_scale_is_the_papers() -> None:
    s = SCALES["paper"]
    assert (s.p, s.width, s.train_fraction, s.corruption, s.rate) == (97, 500, 0.5, 0.35, 0.01)
    assert (len(s.fractions), len(s.corruptions)) == (17, 19)
    assert s.decays == (0, 5, 15, 20) and s.dropouts == (0.3, 0.6, 0.9)
    assert truth_level(s) == pytest.approx(1 - 0.35 * 96 / 97)


@pytest.mark.parametrize("name", ["corruption", "norm_corruption", "deep_corruption"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_corruption_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadInput, match=f"^{name} is {value}"):
        CorruptedLabelsSettings(**{name: value})


def test_its_results_obey_the_laws(results: Any) -> None:
    check_results(results)


@pytest.mark.parametrize(("left_out", "name"), [("deep_seeds", "deep"), ("token_seeds", "tokens")])
def test_a_network_without_seeds_is_left_out(left_out: str, name: str) -> None:
    s = CorruptedLabelsSettings(**{**SCALES["paper"].model_dump(), left_out: 0})
    assert name not in STUDY.experiments(s)
    assert not any(claim.id.startswith(f"{name}-") for claim in STUDY.claims(s))
    assert name in STUDY.experiments(SCALES["paper"])


def test_other_batches_see_as_many_samples_at_the_papers_rate() -> None:
    """App. A.1: steps 2000 * 256 / b, rate 0.01 sqrt(b / 256): at b = 64 the 8000 steps at 0.005 of the main run."""
    found = STUDY.experiments(SCALES["paper"])
    for size in (8, 32, 256):
        recipe = found[f"batch_norm_{size}"].recipe
        assert recipe is not None and recipe.batch == size
        assert recipe.steps * size == 8000 * 64
        assert abs(recipe.lr - 0.01 * (size / 256) ** 0.5) < 1e-12


def test_what_the_authors_print_is_expected_at_their_size_alone(results: Any) -> None:
    whole = CorruptedLabelsSettings(**{**SCALES["paper"].model_dump(), "corruption": 0.3})
    for scale in (SCALES["pocket"], results.settings, whole):
        assert not {"coexistence-train", "coexistence-test"} & {claim.id for claim in STUDY.claims(scale)}
    assert {"coexistence-train", "coexistence-test"} <= {claim.id for claim in STUDY.claims(SCALES["paper"])}


def test_the_tolerance_of_the_truth_is_four_deviations_of_the_labels_that_are_right_by_accident() -> None:
    s = CorruptedLabelsSettings(p=31, train_fraction=0.5, corruption=0.4)
    drawn = round(0.5 * 31**2) * 0.4
    right = streams(0)("labels").binomial(drawn, 1 / 31, 20_000) / round(0.5 * 31**2)
    assert truth_tolerance(s) == pytest.approx(4 * right.std(), rel=0.03)


def test_a_control_that_shows_the_effect_lets_nothing_hold(results: Any) -> None:
    claims = STUDY.claims(results.settings)
    broken = [replace(claim, control=Control("the effect itself", claim.effect)) for claim in claims]
    assert all(verdict["verdict"] != "holds" for verdict in judge(broken, results.data).to_json())


def test_readings_come_from_the_run_that_they_name(results: Any) -> None:
    s, data = results.settings, results.data
    decays = {"coexistence": 0.0, "partial": s.partial, "full": s.full, "forgetting": s.forget}
    for name, cell in phases(s).items():
        assert cell.of(data).weight_decay == cell.knobs["weight_decay"] == decays[name]
        expected = results[cell.experiment].train_accuracy.sel(weight_decay=decays[name]).isel(step=-1)
        assert (end("train_accuracy")(cell)(data) == expected).all()
    whole = pruned("highest", 0.0, "corrupted")(phases(s)["coexistence"])
    assert np.allclose(whole(data), end("corrupted_accuracy")(phases(s)["coexistence"])(data))
    along = results["plain"].participation.sel(weight_decay=0.0).isel(step=-1)
    assert (neurons_at_end.read(phases(s)["coexistence"].of(data)) == along).all()
    alone = results["random"].participation.sel(weight_decay=0.0)
    assert (neurons_at_end.read(at("random", weight_decay=0.0).of(data)) == alone).all()


def test_shares_add_up_to_one() -> None:
    ratio = xr.DataArray([[0.1, 0.2, 0.3, 0.5, 0.6, 0.05]], dims=("seed", "neuron"))
    found = [share(ratio).item() for share in (memorizing, between, waves)]
    assert found == pytest.approx([2 / 6, 3 / 6, 1 / 6])


def test_orders_read_a_grid_and_scattered_members_alike(results: Any) -> None:
    """A phase map hands over either: the same networks have the same phase."""
    experiment = STUDY.mapped(results.settings)  # type: ignore[misc]
    axes = {"weight_decay": (0.0, 8.0), "train_fraction": (0.3, 0.8), "corruption": (0.0, 0.4), "dropout": (0.0, 0.5)}
    grid = Grid(axes, seeds=2)
    how = (experiment.recipe, experiment.watch)
    whole = train(experiment.learner, experiment.task, grid, *how)
    some = Scatter([Member(m.knobs, m.seed) for m in reversed(list(grid))])
    apart = train(experiment.learner, experiment.task, some, *how)
    for order in STUDY.orders:
        on_grid, alone = order.read(whole), order.read(apart)
        assert on_grid.dims == grid.dims and alone.dims == ("member",)
        assert np.array_equal(on_grid.values.ravel()[::-1], alone.values, equal_nan=True), order.name
    found = phase(whole)
    assert found.dtype == np.int64 and set(np.unique(found)) <= set(range(len(label_corruption.PHASES)))


def test_the_map_has_the_knobs_that_its_phase_needs() -> None:
    """Without an axis of its own, corruption is the study's; so a map over other knobs has it too."""
    for s in SCALES.values():
        experiment = STUDY.mapped(s)  # type: ignore[misc]
        assert experiment.grid.coords["corruption"] == [s.corruption]
        assert all(len(values) == 1 for values in experiment.grid.axes.values())
    assert STUDY.orders[0].name == "phase" and STUDY.orders[0].phases == label_corruption.PHASES


def test_phase_reads_what_training_left() -> None:
    """Three networks: one that forgot, one that was never good, one that left the batch early."""
    test = [[0.0, 0.95, 0.1], [0.0, 0.2, 0.1], [0.0, 0.99, np.nan]]
    data = xr.Dataset(
        {"test_accuracy": (("seed", "step"), test), "train_accuracy": (("seed", "step"), test)},
        coords={"seed": range(3), "step": [0, 1, 2]},
    ).expand_dims(corruption=[0.3])
    found = [label_corruption.PHASES[i] for i in phase(data).values[0]]
    assert found == ["forgetting", "confusion", "coexistence"]


def test_figures_are_made_from_the_data(results: Any) -> None:
    figures = STUDY.figures(results.data, results.settings)
    assert len({figure.id for figure in figures}) == len(figures) >= 8
    ids = {claim.id for claim in STUDY.claims(results.settings)}
    assert all(set(figure.claims) <= ids for figure in figures)
    for figure in figures:
        for panel in figure.panels:
            if isinstance(panel, PhaseMap):
                assert panel.values.shape == (len(panel.y_values), len(panel.x_values))
    assert render(figures[0])["png"].startswith(b"\x89PNG")


def test_phase_maps_have_corruption_upwards_and_fraction_to_the_right(results: Any) -> None:
    figure = {f.id: f for f in STUDY.figures(results.data, results.settings)}["diagram-decay"]
    panel, found = figure.panels[1], results["diagram_decay"].isel(weight_decay=1)
    for y, xi in enumerate(panel.y_values):
        for x, fraction in enumerate(panel.x_values):
            cell = found.sel(corruption=xi, train_fraction=fraction)
            train_end, test = cell.train_accuracy.isel(step=-1).median(), cell.test_accuracy.median("seed")
            expected = label_corruption.corruption_phase(train_end, test.isel(step=-1), xi, test.max())
            assert panel.values[y, x] == expected
