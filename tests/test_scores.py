"""``ps.scores``: readings by their definitions, gradients by a second route, flipped labels found, nulls, the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from typer.testing import CliRunner

import phasescope as ps
from phasescope.data import found_area, rank_agreement, row_gradients
from phasescope.data.score_task import ALONE, READ, SHUFFLED, WITHOUT, Parts
from phasescope.data.scores import _at_levels
from phasescope.ensemble import streams
from phasescope.vocabulary import BadInput, Member

NET = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
RECIPE = ps.Recipe(lr=0.01, steps=200, batch=64, loss="cross_entropy", records=20)


def flipped_digits(rows: int = 300) -> tuple[Any, Any, Any]:
    digits, generator = load_digits(), np.random.default_rng(0)
    chosen = generator.permutation(len(digits.data))[:rows]
    x, y = digits.data[chosen] / 16, digits.target[chosen].copy()
    flipped = generator.choice(rows, rows // 10, replace=False)
    y[flipped] = (y[flipped] + generator.integers(1, 10, len(flipped))) % 10
    return x, y, flipped


@pytest.fixture(scope="module")
def scored() -> tuple[Any, Any]:
    x, y, flipped = flipped_digits()
    return ps.scores(NET, x, y, seeds=5, recipe=RECIPE, name="digits"), flipped


def test_flipped_labels_are_found(scored: Any) -> None:
    found, flipped = scored
    judged = found.judged(flipped)
    assert judged["el2n"][0] > 0.95 and judged["grand"][0] > 0.95 and judged["accessibility"][0] > 0.95
    assert judged["el2n"][1] > 0.7  # of as many suspects as were flipped; a guess finds 0.1
    assert found.agreement("el2n")[0] > 0.9
    other = np.random.default_rng(1).choice(300, 30, replace=False)
    assert abs(found.judged(other)["el2n"][0] - 0.5) < 0.2


def test_errors_of_what_was_judged_are_those_over_seeds(scored: Any) -> None:
    """The jackknife by its definition, with areas counted pair by pair; of one score only, by hand."""
    found, flipped = scored
    errors = found.judged_errors(flipped)
    each = found.data.el2n_each.values
    flags = np.isin(np.arange(each.shape[1]), flipped)
    left = []
    for seed in range(5):
        mean = each[np.arange(5) != seed].mean(0)
        gap = mean[flags][:, None] - mean[~flags]
        left.append([(gap > 0).mean() + 0.5 * (gap == 0).mean(), flags[np.argsort(-mean)[: len(flipped)]].mean()])
    expected = np.sqrt(4 / 5 * np.square(left - np.mean(left, 0)).sum(0))
    assert errors["el2n"] == pytest.approx(tuple(expected), abs=1e-12) and expected[0] > 0
    with pytest.raises(BadInput, match="row from 0 to 299"):
        found.judged_errors([300])


def test_all_scores_stand_in_the_data(scored: Any) -> None:
    found, _ = scored
    for key in ("el2n", "grand", "accessibility", "margin", "memorization"):
        each = found.data[f"{key}_each"].values
        assert np.allclose(found.data[key], each.mean(0))
        assert np.allclose(found.data[f"{key}_error"], each.std(0, ddof=1) / math.sqrt(5))
        assert found.data[key].attrs["units"] and found.data[key].attrs["source"]
    assert set(np.unique(found.data.memorization_each)) <= {-1, -0.5, 0, 0.5, 1}
    assert ((found.data.accessibility >= 0) & (found.data.accessibility <= 1)).all()
    assert "EL2N" in found.figure().panels[0].title and json.dumps(found.to_json(), allow_nan=False)
    assert found.suspects(5).tolist() == np.argsort(-found.data.el2n.values, kind="stable")[:5].tolist()


def test_disjoint_sets_share_an_order_only_where_the_data_have_one() -> None:
    """Labels at random: two networks on the same rows agree, on disjoint rows they do not; the null must be disjoint."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((240, 20)), generator.permutation(np.arange(240) % 4)  # balanced
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
    found = ps.scores(net, x, y, seeds=6, recipe=RECIPE)
    shared, _, apart, error = found.order()
    assert shared > 0.3 and abs(apart) < 3 * error < 0.25


def test_parts_are_what_they_are_called() -> None:
    x, y, _ = flipped_digits(100)
    task = Parts(ps.tasks.Table("digits", x, y, 10), 3)
    draws = {part: task.draw(Member({"part": part}, 3), streams(3)) for part in (-1, 0, 1, 2, 3, 4, 5, 6)}
    for without, alone in zip(WITHOUT, ALONE, strict=True):
        out, own = set(draws[without].train), set(draws[alone].train)
        assert not out & own and len(out | own) == 100 and len(own) in (33, 34)
        assert set(draws[without].test) == own
    assert len(set().union(*(set(draws[part].train) for part in ALONE))) == 100
    shuffled = draws[SHUFFLED].labels
    assert sorted(shuffled) == sorted(y) and (shuffled != y).mean() > 0.5
    assert np.array_equal(draws[0].labels, y) and len(draws[0].train) == 100


def test_readings_by_their_definitions() -> None:
    x, y, _ = flipped_digits(60)
    task, grid = ps.tasks.Table("digits", x, y, 10), ps.Grid({}, seeds=2)
    data = ps.measure(NET, task, grid, READ, loss="cross_entropy")
    weights = ps.train(NET, task, grid, ps.Recipe(steps=1, records=2, loss="cross_entropy"), keep=[0], progress=False)
    for seed in (0, 1):
        with torch.no_grad():
            w = {k: torch.from_numpy(v) for k, v in ps.final(weights, step=0, seed=seed).items()}
            z = torch.func.functional_call(NET, w, (torch.tensor(x, dtype=torch.float32),)).double().numpy()
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        one = np.eye(10)[y]
        assert np.allclose(data.row_distance.sel(seed=seed), np.linalg.norm(p - one, axis=1), atol=1e-5)
        margin = z[one == 1] - np.where(one == 1, -np.inf, z).max(1)
        assert np.allclose(data.row_margin.sel(seed=seed), margin, atol=1e-5)
        assert np.allclose(data.row_loss.sel(seed=seed), -np.log(p[one == 1]), atol=1e-5)
        assert np.array_equal(data.row_right.sel(seed=seed), z.argmax(1) == y)


def test_gradients_of_rows_by_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = torch.randn(11, 5, dtype=torch.float64), torch.arange(11) % 3
    rows = []
    for i in range(11):
        net.zero_grad()
        nn.functional.cross_entropy(net(x[i : i + 1]), y[i : i + 1]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    g = torch.stack(rows)
    weights = {name: p.detach().numpy() for name, p in net.named_parameters()}
    for numbers in (1 << 25, 100):
        monkeypatch.setattr("phasescope.data.gradients.NUMBERS", numbers)
        lengths, coherence = row_gradients(net, weights, x, y)
        assert torch.allclose(lengths, g.norm(dim=1))
        assert coherence == pytest.approx(float(11 * g.mean(0).square().sum() / g.square().sum(1).mean()))
    same = row_gradients(net, weights, x[:1].expand(7, -1), y[:1].expand(7))
    assert same[1] == pytest.approx(7)  # equal gradients: as many as there are
    with pytest.raises(BadInput, match="normalizes over the batch"):
        row_gradients(nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), weights, x, y)


def test_coherence_is_read_where_the_loss_is_matched() -> None:
    losses, values = np.array([2.0, 1.0, 0.5, 0.1]), [None, (0, 100.0), (0, 10.0), (0, 1.0)]
    found = _at_levels(losses, [1.0, 0.75, 0.5, 0.05, 3.0], lambda k: values[k] if values[k] else (0, 1e3))
    assert found[:3] == pytest.approx([100, math.sqrt(1000), 10])
    assert math.isnan(found[3]) and math.isnan(found[4])  # never reached; began below


def test_coherence_is_said_of_all_seeds_or_missing(scored: Any) -> None:
    found, _ = scored
    data = found.data.copy(deep=True)
    data["coherence"][:], data["coherence_shuffled"][:] = 2.0, math.nan
    data["coherence"][1, -1] = math.nan
    first, *_, last = replace(found, data=data).coherence_lines()
    assert first == "at loss 0.6: labels 2 ± 0, shuffled labels missing (0 of 5 seeds fall to this loss)"
    assert "labels missing (4 of 5 seeds" in last and "2 ±" not in last
    data["coherence"][:] = math.nan
    assert replace(found, data=data).coherence_lines() == []


def test_area_and_agreement_by_pairs() -> None:
    generator = np.random.default_rng(0)
    values, flags = generator.integers(0, 9, 60).astype(float), generator.random(60) < 0.3
    pairs = values[flags][:, None] - values[~flags][None]
    assert found_area(values, flags) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert rank_agreement(np.array([1.0, 2, 3, np.nan]), np.array([9.0, 5, 1, 0])) == -1
    assert math.isnan(rank_agreement(np.ones(4), np.arange(4.0)))


def test_what_was_never_right_is_not_forgotten() -> None:
    import xarray as xr

    from phasescope.data.scores import _row_scores

    right = np.zeros((2, 1, 5, 3))
    right[0, 0, :, 0] = [0, 1, 0, 1, 0]  # two falls after the first record
    right[0, 0, :, 1] = [1, 0, 0, 0, 0]  # right by accident before it learnt
    right[0, 0, :, 2] = [0, 1, 1, 1, 1]
    data = xr.Dataset(
        {f"row_{key}": (("part", "seed", "step", "row"), right) for key in ("right", "distance", "margin", "loss")},
        {"part": [0, -1], "seed": [0], "step": [0, 1, 2, 3, 4]},
    )
    found = _row_scores(data, ps.Recipe(steps=4), 0.5)
    assert found["forgetting"][0].tolist()[0] == 2 and math.isnan(found["forgetting"][0, 1])
    assert found["accessibility"][0].tolist() == [0.5, 0, 1] and found["forgetting"][0, 2] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": 1}, "at least 2"), ({"early": 0}, "early is 0"), ({"levels": [-1]}, "level of the loss is -1"),
        ({"y": np.zeros((40, 2))}, "one class"), ({"y": np.arange(39) % 3}, "one label per input"),
        ({"recipe": ps.Recipe()}, "cross_entropy"), ({"recipe": ps.Recipe(loss="cross_entropy", records=10_000, steps=10**6), "seeds": 900}, "GiB"),
    ],
)  # fmt: skip
def test_refusals(change: dict[str, Any], said: str) -> None:
    given = {"X": np.random.default_rng(0).standard_normal((40, 64)), "y": np.arange(40) % 3, "seeds": 2} | change
    with pytest.raises(BadInput, match=said):
        ps.scores(NET, **given)


def test_command_keeps_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phasescope.commands.cli import app
    from phasescope.commands.scores import read_examples

    x, y, flipped = flipped_digits(80)
    np.savez(tmp_path / "data.npz", X=x, y=y, flipped=flipped)
    np.savez(tmp_path / "bad.npz", X=x)
    np.save(tmp_path / "one.npy", x)
    (tmp_path / "my_scored_net.py").write_text(
        "from torch import nn\n\ndef made():\n    return nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["scores", "my_scored_net:made", "--data", "data.npz", "--seeds", "2", "--steps", "20", "--json"]
    for _ in range(2):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.exception
        document = json.loads(done.stdout)
        assert len(document["rows"]["el2n"]) == 80 and len(document["suspects"]) == 20
        judged = document["judged"]["el2n"]
        assert 0 <= judged["precision"] <= 1 and judged["AUC"] > 0.5 and judged["AUC error"] >= 0
    assert (tmp_path / "runs" / "scores-my_scored_net-made" / "report.html").exists()
    for option, value in (("--steps", "0"), ("--batch", "0"), ("--rate", "nan")):
        refused = CliRunner().invoke(app, [*words[:4], option, value])
        assert isinstance(refused.exception, BadInput) and f"{option} is " in str(refused.exception)
    for name, said in (
        (None, "no --data"),
        ("bad.npz", "no 'y'"),
        ("one.npy", "one array, and no 'X'"),
        ("my_scored_net.py", "no arrays"),
    ):
        with pytest.raises(BadInput, match=said):
            read_examples(tmp_path / name if name else None)


def test_orders_are_compared_between_two_seeds() -> None:
    """Networks of one seed begin alike: were they compared with each other, these would agree by 1."""
    import xarray as xr

    from phasescope.data.scores import _orders

    generator = np.random.default_rng(0)
    own = np.repeat(generator.random((1, 2, 1, 900)), 2, 2)  # a seed's own order, the same in all its networks
    data = {
        name: xr.Dataset(
            {"row_right": (("part", "seed", "step", "row"), np.repeat(own, len(parts), 0))},
            {"part": list(parts), "seed": [0, 1], "step": [0, 1]},
        )
        for name, parts in (("full", (0, -1)), ("parts", (*WITHOUT, *ALONE)))
    }
    shared, apart = _orders(data["full"], data["parts"], 0)
    assert np.abs(shared).max() < 0.2 and np.abs(apart).max() < 0.2


def test_command_looks_at_its_words_before_it_trains_and_passes_on_no_advice_on_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasescope.commands import scores as command

    monkeypatch.setattr(command, "load_model", lambda name: pytest.fail("it went on to the model"))
    np.savez(tmp_path / "data.npz", X=np.zeros((9, 2)), y=np.arange(9) % 3)
    np.savez(tmp_path / "objects.npz", X=np.array([{}], dtype=object), y=np.arange(1))
    np.savez(tmp_path / "one.npz", X=np.zeros((9, 2)), y=3)
    np.savez(tmp_path / "far.npz", X=np.zeros((9, 2)), y=np.arange(9) % 3, flipped=[9])
    asked = command.Asked("a:b", tmp_path / "data.npz", 2, 20, 0.01, 64, 20, "el2n", tmp_path)
    for change, said in (({"by": "hardness"}, "--by is 'hardness'"), ({"suspects": 0}, "--suspects"),
                         ({"data": tmp_path / "far.npz"}, "flipped rows"),
                         ({"data": tmp_path / "one.npz"}, r"y has the shape \(\)")):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            command.scored(replace(asked, **change), print)
    with pytest.raises(BadInput, match="Python objects") as refused:
        command.read_examples(tmp_path / "objects.npz")
    assert "allow_pickle" not in str(refused.value)


def test_networks_that_diverged_are_left_out_and_nothing_is_made_up() -> None:
    x, y, flipped = flipped_digits(60)

    def begin(member: Member) -> nn.Module:
        net = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
        if member.seed == 1 or (member.seed == 2 and member["part"] == WITHOUT[0]):
            with torch.no_grad():
                net[2].weight.mul_(1e37)
        return net

    recipe = ps.Recipe(optimizer="sgd", lr=0.1, steps=10, loss="cross_entropy", records=10)
    found = ps.scores(begin, x, y, seeds=4, recipe=recipe)
    for by in ("el2n", "grand", "accessibility", "forgetting", "margin"):
        gone = np.isnan(found.data[f"{by}_each"].values).all(1)
        assert gone[1] and (by == "forgetting" or not gone[[0, 2, 3]].any()), by
    assert np.isnan(found.data.memorization_each.values).all(1).tolist() == [False, True, True, False]
    assert np.isfinite(found.data.margin.values).all() and "nan" not in str(found)
    missing = replace(found, data=found.data.assign(grand=found.data.grand * math.nan))
    assert missing.suspects(5, "grand").tolist() == [] and np.isnan(missing.judged(flipped)["grand"]).all()
    unknown = replace(found, data=found.data.assign(memorization=found.data.memorization * math.nan))
    assert "an unknown share of rows" in unknown.summary()
    with pytest.raises(BadInput, match="lower the learning rate"):
        ps.scores(NET, x, y, seeds=2, recipe=recipe.model_copy(update={"lr": 1e30}))


def test_a_file_of_one_array_is_told_so(tmp_path: Path) -> None:
    from phasescope.commands.scores import read_examples

    np.save(tmp_path / "one.npy", np.ones((3, 2)))
    with pytest.raises(BadInput, match="one array, and no"):
        read_examples(tmp_path / "one.npy")
