"""``ps.compare``: planted twins are found, layers identified, models given back; arrays, lists and modules alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.commands.cli import app
from phasescope.instruments.similarity import linear_cka
from phasescope.vocabulary import BadInput

G = np.random.default_rng(11)
MEASURES = ["cka", "cka_biased", "cca", "svcca", "procrustes", "rsa", "neighbours", "relative", "retrieval"]


def layers(count: int = 5, stimuli: int = 120) -> list[Any]:
    rows = [G.normal(size=(stimuli, 12))]
    for _ in range(count - 1):
        rows.append(np.tanh(1.5 * rows[-1] @ G.normal(size=(12, 12)) / 12**0.5))
    return rows


LAYERS = layers()
TWINS = [rows @ np.linalg.qr(G.normal(size=(12, 12)))[0] + 0.2 * G.normal(size=rows.shape) for rows in LAYERS]
STRANGERS = layers()


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(8, 8), nn.Tanh())], nn.Linear(8, 3))


def test_planted_twins_and_strangers() -> None:
    twin = ps.compare(LAYERS[2], TWINS[2], draws=40)
    stranger = ps.compare(LAYERS[2], STRANGERS[2], draws=40)
    assert list(twin.data.measure.values) == MEASURES
    for name in MEASURES:
        mine, theirs = twin.data.sel(measure=name).squeeze(), stranger.data.sel(measure=name).squeeze()
        assert float(mine.z) > 8 and abs(float(theirs.z)) < 4, name
        assert abs(float(theirs.corrected)) < 0.15 < 0.3 < float(mine.corrected) <= 1, name
    assert twin.data.cka.item() == pytest.approx(float(linear_cka(LAYERS[2], TWINS[2])), rel=1e-9)
    assert ": related" in twin.summary() or ": alike" in twin.summary()
    assert "not above chance" in stranger.summary()


def test_layers_are_identified_and_strangers_are_not() -> None:
    found = ps.compare(LAYERS, TWINS, measures=["cka"], names=("one", "two")).data
    assert found.attrs["identified"] == 1 and found.attrs["p"] < 0.05 and found.attrs["order"] > 0.999
    assert found.best.values.tolist() == [str(i) for i in range(5)]
    assert found.attrs["p"] == pytest.approx(1 / 120, abs=4e-3)  # one matching of five layers is the right one
    shuffled = ps.compare(LAYERS, [x[G.permutation(120)] for x in TWINS], measures="cka").data
    assert shuffled.attrs["identified"] < 0.7 and float(abs(shuffled.cka_z).max()) < 8
    swapped = ps.compare(LAYERS, TWINS[::-1], measures=["cka"]).data
    assert swapped.attrs["order"] < -0.999 and swapped.attrs["identified"] == pytest.approx(0.2)


def test_matrix_is_that_of_single_pairs_and_other_depths_are_taken() -> None:
    found = ps.compare({"x": LAYERS[0], "y": LAYERS[1]}, TWINS[:4], measures=["cka", "cca"]).data
    for i, a in enumerate(LAYERS[:2]):
        for j, b in enumerate(TWINS[:4]):
            assert float(found.cka[i, j]) == pytest.approx(float(linear_cka(a, b)), rel=1e-9)
            assert float(found.cka_biased[i, j]) == pytest.approx(float(linear_cka(a, b, unbiased=False)), rel=1e-9)
    assert math.isnan(found.attrs["identified"])
    assert found.layer_a.values.tolist() == ["x", "y"]


def test_models_are_compared_by_place_and_given_back() -> None:
    one, two, inputs = network(0).train(), network(1), torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in one.state_dict().items()}
    state = torch.random.get_rng_state()
    found = ps.compare(one, one, inputs, measures=["cka", "procrustes"])
    assert torch.equal(state, torch.random.get_rng_state()) and one.training
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())
    assert float(found.data.cka.values.diagonal().min()) == pytest.approx(1)
    assert "the same" in {row[-1] for row in found.table()[1]}
    different = ps.compare(one, two, inputs, measures=["cka"], names=("one", "two"))
    assert float(different.data.cka[-1, -1]) < 0.9 and "one and two" in str(different)
    assert not any(part._forward_hooks for part in one.modules())


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, again = (ps.compare(LAYERS[:2], TWINS[:2], draws=20, seed=3) for _ in range(2))
    assert first.data.identical(again.data)
    other = ps.compare(LAYERS[:2], TWINS[:2], draws=20, seed=4).data
    assert float(other.null_mean.sel(measure="procrustes")[0]) != float(
        first.data.null_mean.sel(measure="procrustes")[0]
    )


def test_a_comparison_that_was_stopped_goes_on(tmp_path: Any, monkeypatch: Any) -> None:
    """Stopped after each pair in turn, the numbers are those of a call that was not; another question is asked anew."""
    plain = ps.compare(LAYERS[:3], TWINS[:3], draws=5)
    room, done = ps.compare.__globals__, []
    measure = room["MEASURES"]["rsa"]

    def stops(*given: Any) -> Any:
        done.append(len(done))
        if len(done) % 2 == 0:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setitem(room["MEASURES"], "rsa", stops)
    for _ in range(2):  # each call does one pair of the three, and is stopped in the next
        with pytest.raises(KeyboardInterrupt):
            ps.compare(LAYERS[:3], TWINS[:3], draws=5, out=tmp_path / "run")
    found = ps.compare(LAYERS[:3], TWINS[:3], draws=5, out=tmp_path / "run")
    assert len(done) == 5 and found.data.identical(plain.data)
    monkeypatch.setitem(room["MEASURES"], "rsa", lambda *given: pytest.fail("asked again"))
    monkeypatch.setitem(room, "all_pairs", lambda *given: pytest.fail("read again"))
    assert ps.compare(LAYERS[:3], TWINS[:3], draws=5, out=tmp_path / "run").data.identical(plain.data)
    monkeypatch.undo()
    other = ps.compare(LAYERS[:3], TWINS[:3], draws=6, out=tmp_path / "run").data
    assert other.identical(ps.compare(LAYERS[:3], TWINS[:3], draws=6).data)


def test_what_is_told() -> None:
    found = ps.compare(LAYERS, TWINS, draws=4, names=("one", "two"))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(document["pairs"]) == 5 * 9 and document["best"] == ["0", "1", "2", "3", "4"]
    assert [panel.title for panel in found.figure().panels] == [
        "Every pair of layers", "At the same depth", "At the best match"
    ]  # fmt: skip
    assert "<pre>" in found._repr_html_()
    assert "best match" in str(found)
    few = ps.compare(G.normal(size=(20, 30)), G.normal(size=(20, 3)), draws=4)
    assert "cca: with at least as many dimensions as stimuli" in str(few) and "no reading" in str(few)


def test_a_place_that_is_the_same_for_all_stimuli_is_told() -> None:
    one = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 8))
    nn.init.zeros_(one[2].weight)
    found = ps.compare(one, one, torch.randn(20, 8), places=["0", "2"], measures=["cka"])
    assert found.data.layer_a.values.tolist() == ["input", "0"]
    assert any("Not compared" in note and "a 2" in note for note in found.notes)


def test_the_command_tells_the_same(tmp_path: Any, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine19.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def one():\n    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))\n"
    )
    np.save(tmp_path / "batch.npy", G.normal(size=(40, 4)).astype("float32"))
    words = ["compare", "mine19:one", "mine19:one", "--batch", "batch.npy", "--draws", "3", "--out", "run", "--json"]
    app(words, standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] and document["samples"] == 40 and document["b"] == "mine19:one (2)"
    assert (tmp_path / "run" / "report.html").is_file() and (tmp_path / "run" / "comparison.json").is_file()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ps.compare(LAYERS[0][:7], TWINS[0][:7]), "at least 8 rows"),
        (lambda: ps.compare(LAYERS[0], TWINS[0][:90]), "90 and 120 rows: give the same stimuli"),
        (lambda: ps.compare(LAYERS[0], np.ones((120, 2))), "rows of b are the same"),
        (lambda: ps.compare(LAYERS, TWINS, measures=["ckaa"]), "no measure 'ckaa'; did you mean 'cka'"),
        (lambda: ps.compare(LAYERS, TWINS, draws=1), "draws is 1"),
        (lambda: ps.compare(LAYERS, {}), "b has no layers"),
        (lambda: ps.compare(network(0), LAYERS[0]), "a is a module, and there is no batch"),
        (lambda: ps.compare(network(0), network(0), torch.randn(20, 8), by="word"), "by is 'word'"),
        (lambda: ps.compare([LAYERS[0], LAYERS[1][:60]], LAYERS[0]), "layers of a have from 60 to 120 rows"),
        (lambda: ps.compare(LAYERS[0], "words"), "b"),
        (lambda: ps.compare(None, LAYERS[0]), "a"),
    ],
)
def test_refusals(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call()


def test_a_null_that_is_rounding_alone_has_no_z() -> None:
    """Stimuli that are all equally far apart are as like to any others in each order: the spread is of rounding."""
    found = ps.compare(np.eye(40), np.random.default_rng(0).standard_normal((40, 6)), draws=20).data
    exact = found.sel(measure=["cka_biased", "cca", "procrustes"])
    assert (exact.null_sd < 1e-6).all() and exact.z.isnull().all()


def test_a_kernel_of_which_rounding_leaves_nothing_has_no_cka() -> None:
    """Stimuli that are all equally far apart, as one-hot codes: the unbiased CKA is 0 / 0 there, not infinite."""
    codes = np.eye(40)
    found = ps.compare(codes, codes[:, ::-1], draws=5)
    assert math.isnan(found.data.cka.item()) and "no unbiased CKA" in found.summary()
    assert not np.isinf(found.data.z.values).any() and not np.isinf(found.data.value.values).any()
    assert math.isnan(found.data.corrected.sel(measure="procrustes").item())
    with pytest.raises(BadInput, match="equally far"):
        linear_cka(codes, codes)
    clouds = [G.normal(size=(40, 5)), codes, G.normal(size=(40, 5))]
    several = ps.compare(clouds, clouds, draws=5, measures=["cka"])
    assert several.data.best.values[[0, 2]].tolist() == ["0", "2"]
    assert several.data.attrs["identified"] == 1
    json.dumps(several.to_json(), allow_nan=False)


@pytest.mark.parametrize("far", [1e3, 1e5, 1e8])
def test_one_stimulus_far_from_all_others_is_named(far: float) -> None:
    """The second route is the kernel without its diagonal in longer floats; where float64 has lost it, no number."""
    x = G.normal(size=(60, 5))
    y = x + G.normal(size=(60, 5))
    x[7], y[7] = x[7] + far, y[7] + far
    found = ps.compare(x, y, draws=5, measures=["cka", "cka_biased", "procrustes"])
    assert any("stimulus 7 has" in note for note in found.notes)
    kernels = []
    for rows in (x, y):
        rows = rows.astype(np.longdouble)
        rows = (rows - rows.mean(0)) / far
        kernel = rows @ rows.T
        np.fill_diagonal(kernel, 0)
        sums = kernel.sum(1)
        kernel = kernel - (sums[:, None] + sums) / 58 + sums.sum() / (59 * 58)
        np.fill_diagonal(kernel, 0)
        kernels.append(kernel)
    a, b = kernels
    exact = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    value = found.data.cka.item()
    assert math.isnan(value) if far == 1e8 else value == pytest.approx(exact, abs=1e-5)
    near = ps.compare(x[8:], y[8:], draws=5, measures=["cka"])
    assert not any("stimulus" in note for note in near.notes)
