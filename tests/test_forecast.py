"""What ``ps.inspect`` expects of a network: its signs, its coefficients, its words, and the study that they come from."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import phasescope as ps
from phasescope.ensemble.streams import initialized, streams
from phasescope.inspection import forecast as told
from phasescope.inspection.forecast import OUTCOMES, Model, _outside, forecast
from phasescope.inspection.signs import SIGNS, Tangent, foretold, normalizes, signs_of, tangent_of
from phasescope.instruments.neural_tangent_kernel import tangent_kernel
from phasescope.lab import load
from phasescope.studies.initialization_forecast import STUDY, fitting, scoring
from phasescope.studies.initialization_forecast.measuring import inner, measure_network
from phasescope.studies.initialization_forecast.networks import Network, drawing
from phasescope.studies.initialization_forecast.settings import FAMILIES, RATES, ForecastSettings
from phasescope.testing import check_study
from phasescope.vocabulary import BadInput, Member

TABLE = Path(__file__).parents[1] / "benchmarks" / "forecast_fit.csv"
STORED = Path(__file__).parents[1] / "docs" / "gallery" / "stored" / "initialization-forecast"
X = torch.randn(24, 12, generator=torch.Generator().manual_seed(1))


def chain(depth: int = 4, gain: float = 1.0) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(*(part for _ in range(depth) for part in (nn.Linear(12, 12), nn.Tanh())), nn.Linear(12, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net


def rows() -> list[dict[str, str]]:
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


# -- signs -------------------------------------------------------------------------------------------------------------


def test_the_tangent_kernel_is_that_of_jacobians() -> None:
    net = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1))
    exact = tangent_kernel(net, X)
    found = tangent_of(net, X, streams(0)("test"), probes=100)
    assert found.pairs == pytest.approx(float(exact.mean()), rel=1e-5)  # of one output a shared sign squares to 1
    assert found.own == pytest.approx(float(exact.diagonal().mean()), rel=0.15)
    assert found.output == pytest.approx(float(net(X).double().square().mean().detach()))


def test_of_several_outputs_the_mean_counts() -> None:
    net = nn.Linear(12, 5)
    found = tangent_of(net, X, streams(0)("test"), probes=2)
    assert found.pairs == pytest.approx(float(tangent_kernel(net, X).mean()), rel=1e-5)


def test_signs_are_the_readings() -> None:
    net = chain()
    read = ps.inspect(net, X, advice=False, forecast=False)
    signs = signs_of(read, normalizes(net), Tangent(10.0, 20.0, 0.01))
    assert set(signs) == set(SIGNS) and signs["tangent"] == 1.0 and signs["shared"] == 0.5 and signs["output"] == -2
    assert signs["shrinks"] == pytest.approx(math.log1p(-read.relative)) and signs["grows"] == 0.0
    assert signs["kernel"] == pytest.approx(math.log10(read.rows[-1].kernel)) and signs["depth"] == math.log2(3)
    assert read.forecast is None


def test_normalizations_are_known_by_name() -> None:
    class RMSNormOfMine(nn.Module):
        pass

    assert normalizes(nn.Sequential(nn.Linear(2, 2), RMSNormOfMine())) and not normalizes(chain())


# -- fits --------------------------------------------------------------------------------------------------------------


def test_the_logistic_fit_is_that_of_scikit_learn() -> None:
    generator = streams(0)("fit")
    x = generator.standard_normal((200, 4))
    y = (x[:, 0] + 0.5 * generator.standard_normal(200) > 0).astype(int) + (x[:, 1] > 0.7)
    ours = fitting.logistic(np.concatenate([np.ones((200, 1)), x], 1), y, 3, 1.0)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, y)
    odds = np.exp(ours[:, 0] + x @ ours[:, 1:].T)
    assert odds / odds.sum(1, keepdims=True) == pytest.approx(theirs.predict_proba(x), abs=1e-4)


def test_outcomes_and_rates() -> None:
    good, bad = 0.9, 0.1
    large = np.array([bad, bad, bad, good, good, bad])
    small, warm, none = np.array([bad, good, *[bad] * 4]), np.array([*[bad] * 5, good]), np.full(6, bad)
    both = np.stack([large, small, warm, none])
    assert fitting.outcomes(both).tolist() == [0, 1, 1, 2]
    assert fitting.log_rates(both)[:2].tolist() == [math.log2(RATES[4]), math.log2(RATES[1])]
    assert np.isnan(fitting.log_rates(both)[2:]).all()
    assert fitting.riches(both[[0, 3]], np.array([0.9, 0.9]))[0] == 1


def test_balanced_accuracy_of_guessing_is_a_third() -> None:
    truth = np.array([0] * 90 + [1] * 9 + [2])
    assert scoring.balanced(truth, np.zeros(100, int)) == pytest.approx(1 / 3)
    assert scoring.balanced(truth, truth) == 1.0 and math.isnan(scoring.balanced(truth[:0], truth[:0]))


def test_the_coefficients_are_those_of_the_table() -> None:
    table = rows()
    again = json.loads(json.dumps(fitting.fitted(table)))
    kept = dict(told.shipped())
    assert {k: v for k, v in again.items() if k != "models"} == {k: v for k, v in kept.items() if k != "models"}
    signs = fitting.columns_of(table)
    for name in again["models"]:
        one, other = (Model.from_json(each["models"][name]) for each in (again, kept))
        assert one.chances(signs) == pytest.approx(other.chances(signs), abs=1e-4, nan_ok=True)
        assert one.log_rate(signs) == pytest.approx(other.log_rate(signs), abs=1e-4, nan_ok=True)
        assert one.rich_chance(signs) == pytest.approx(other.rich_chance(signs), abs=1e-4, nan_ok=True)


def test_the_record_is_that_of_its_networks() -> None:
    """Of the stored run once it is judged, before that of the table."""
    record = told.record()
    if record["judged"]:
        columns = fitting.measured_columns(load(STORED).data["networks"])
    else:
        columns = fitting.columns_of(rows())
    assert record["networks"] == len(columns["family"])
    for name in fitting.INPUTS:
        assert scoring.accuracy_of(columns, name) == pytest.approx(record["balanced accuracy"][name][0], abs=1e-3)
    assert record["better than J alone"] == (record["lead"]["J alone"][1] > 0)
    assert record["tells rich"] == (record["rich [95 %]"][1] > 0.5)


def test_a_family_is_forecast_without_itself() -> None:
    columns = fitting.columns_of(rows())
    family = FAMILIES[3]
    changed = {**columns, "accuracy": np.where((columns["family"] == family)[:, None], 0.0, columns["accuracy"])}
    for data in (columns, changed):
        found = fitting.fit(data, fitting.INPUTS["J alone"], data["family"] != family)
        assert found.chances(columns) == pytest.approx(
            scoring.stored()[family]["J alone"].chances(columns), abs=1e-4, nan_ok=True
        )


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        fitting.columns_of([])


# -- what is said ------------------------------------------------------------------------------------------------------


def record(monkeypatch: pytest.MonkeyPatch, better: bool) -> None:
    monkeypatch.setattr(told, "record", lambda: {"better than J alone": better, "tells rich": better})


def test_the_words_are_the_same_everywhere() -> None:
    found = ps.inspect(chain(), X, advice=False)
    assert found.forecast is not None
    said = str(found.forecast)
    assert said in str(found) and found.to_json()["forecast"]["said"] == said
    assert said.replace("&", "&amp;") in found._repr_html_() or "&" in said
    assert sum(found.forecast.chances.values()) == pytest.approx(1.0)
    assert found.forecast.outcome == max(found.forecast.chances, key=found.forecast.chances.__getitem__)
    json.dumps(found.to_json())


def test_without_a_lead_over_j_it_is_j_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ps.inspect(chain(), X, advice=False, forecast=False)
    signs = signs_of(read, False, Tangent())
    record(monkeypatch, better=False)
    alone = forecast(signs, 1000)
    assert alone.rests_on == "J alone" and "J alone" in str(alone) and not alone.missing
    record(monkeypatch, better=True)
    missing = forecast(signs, 1000)
    assert missing.missing == ("tangent", "output", "shared") and not missing.outcome and math.isnan(missing.rate)
    assert str(missing).startswith("No forecast") and missing.to_json()["rate"] is None


def test_what_lies_outside_of_the_record_is_said() -> None:
    inside = ps.inspect(chain(), X, advice=False).forecast
    outside = ps.inspect(chain(60), X, advice=False).forecast
    assert inside is not None and outside is not None
    assert any("59 blocks" in part for part in outside.outside) and "Outside of that record" in str(outside)
    covered = {"grows": (0.0, 3.0), "shrinks": (0.0, 2.0), "kernel": (-1.0, 1.0)}
    signs = {"grows": 0.0, "shrinks": math.log(101.0), "kernel": 2.0}
    assert _outside(signs, 1, covered) == (
        "log J -100 without the signal's own change of scale (-6.39 to 19.1)",
        "kernel at the end 100 (0.1 to 10)",
    )
    assert not any("blocks" in part for part in inside.outside)


def test_of_much_larger_networks_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ps.inspect(chain(), X, advice=False, forecast=False)
    monkeypatch.setattr(told, "LARGER", read.parameters / told.shipped()["covered"]["parameters"][1] / 2)
    assert "as large as" in str(foretold(read, chain(), X))


def test_chances_are_monotone_where_they_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    record(monkeypatch, better=False)
    read = ps.inspect(chain(), X, advice=False, forecast=False)
    signs = signs_of(read, False, Tangent())
    hopeless = forecast({**signs, "shrinks": math.log1p(150.0), "grows": 0.0}, 1000)
    good = forecast({**signs, "shrinks": 0.5, "grows": 0.0}, 1000)
    assert good.chances[OUTCOMES[2]] < hopeless.chances[OUTCOMES[2]] and hopeless.outcome == OUTCOMES[2]


# -- the study ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_and_is_read(family: str) -> None:
    net = initialized(Network(drawing(family, 12, streams(3)(family))), 3)
    x = torch.randn(6, 64, generator=torch.Generator().manual_seed(0))
    assert net(x).shape == (6, 10)
    assert ps.inspect(net, x, probes=2, advice=False, forecast=False).blocks


def test_ntk_weights_have_their_variance_and_are_divided_in_the_forward_pass() -> None:
    drawn = drawing("tanh MLP", 12, streams(0)("x"))
    nets = {}
    for kind in ("standard", "ntk"):
        settings = {**drawn.__dict__, "parametrization": kind, "width": 48, "bias": 0.0}
        nets[kind] = initialized(Network(type(drawn)(**settings)), 0)
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    assert nets["ntk"](x).detach().numpy() == pytest.approx(nets["standard"](x).detach().numpy(), rel=1e-3, abs=1e-5)
    ntk, standard = (nets[kind].readout.weight.detach() for kind in ("ntk", "standard"))
    assert float(ntk.std() / standard.std()) == pytest.approx(48**0.5)


def member(**other: Any) -> Member:
    s = ForecastSettings(steps=4, rows=200, deepest=10)
    return Member({"family": "ReLU MLP", "draw": 0, **s.model_dump(), **other}, 7)


def test_a_network_is_read_and_trained_at_every_rate() -> None:
    found = measure_network(member(), streams(7))
    assert found["accuracy"].shape == found["loss"].shape == (len(RATES) + 1,)
    assert np.isfinite(found["signs"]).all() and len(found["signs"]) == len(SIGNS)
    again = measure_network(member(), streams(7))
    assert all(np.array_equal(found[key], again[key], equal_nan=True) for key in found)
    assert inner(member()) != inner(member(draw=1)) != inner(member(family="CNN"))


@pytest.mark.slow
def test_the_study_keeps_every_law(tmp_path: Path) -> None:
    check_study(STUDY, tmp_path, settings={"seeds": 2, "networks": 1, "steps": 4, "rows": 200, "deepest": 10})
