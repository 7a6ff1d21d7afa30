"""Encoding of measured responses: a planted layer is found, ceilings are those of the noise, files are read as they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from phasescope.commands.cli import app
from phasescope.representation import encode, read_responses
from phasescope.representation.encode_ceiling import correlations, measured, split_half
from phasescope.representation.encode_ridge import Ridge
from phasescope.vocabulary import BadInput

G = np.random.default_rng(5)
NOISE, REPEATS = 1.5, 6


def network(seed: int, inputs: Any, depth: int = 4) -> list[Any]:
    g, layers = np.random.default_rng(seed), [inputs]
    for _ in range(depth):
        layers.append(np.tanh(1.5 * layers[-1] @ g.normal(size=(30, 30)) / 30**0.5))
    return layers


INPUTS = G.normal(size=(240, 30))
LAYERS = {f"layer {i}": rows for i, rows in enumerate(network(1, INPUTS))}
SIGNAL = LAYERS["layer 2"] @ G.normal(size=(30, 16))
SIGNAL /= SIGNAL.std(0)
RESPONSES = SIGNAL + NOISE * G.normal(size=(REPEATS, 240, 16))


def test_a_synthetic_brain_names_its_layer_and_its_ceiling() -> None:
    """Responses are a projection of layer 2 with known noise; other layers, another network and shuffles are rivals."""
    other = {f"layer {i}": rows for i, rows in enumerate(network(2, INPUTS))}
    found = encode(LAYERS, RESPONSES, baseline=other, draws=6)
    assert found.data.attrs["best"] == "layer 2" and found.data.attrs["lead"] > found.data.attrs["lead_error"] > 0
    top = 1 / math.sqrt(1 + NOISE**2 / REPEATS)
    assert float(found.data.ceiling.median()) == pytest.approx(top, abs=0.02)
    best = found.data.sel(layer="layer 2")
    assert 0.9 < float(best.normalized_median) <= 1.02
    assert float(best.predictivity) == pytest.approx(top * float(best.normalized_median), abs=0.02)
    assert float(best.z) > 10 and abs(float(best.null_mean)) < 0.1
    assert float(best.gain) > 5 * float(best.gain_error) > 0
    assert float(found.data.untrained.sel(layer="layer 0")) == float(found.data.predictivity.sel(layer="layer 0"))
    assert "layer 2 predicts best" in str(found) and "untrained" in str(found)
    json.dumps(found.to_json(), allow_nan=False)
    assert len(found.figure().panels) == 2


def test_unrelated_features_explain_nothing() -> None:
    found = encode(G.normal(size=(240, 30)), RESPONSES, draws=20)
    assert abs(float(found.data.z[0])) < 4 and "not above shuffled" in found.summary()


def test_reliability_is_that_of_the_noise_and_of_all_split_halves() -> None:
    found = measured(torch.from_numpy(RESPONSES))
    assert float(found.reliability.mean()) == pytest.approx(1 / (1 + NOISE**2 / REPEATS), abs=0.02)
    orders = [torch.from_numpy(G.permutation(REPEATS)) for _ in range(30)]
    halves = torch.stack([split_half(torch.from_numpy(RESPONSES), order) for order in orders]).mean(0)
    np.testing.assert_allclose(found.reliability, halves, atol=0.02)


def test_noise_alone_has_no_ceiling() -> None:
    found = encode(INPUTS, G.normal(size=(3, 240, 8)), draws=2)
    assert int(found.data.attrs["reliable"]) < 4
    lone = encode(INPUTS, SIGNAL, draws=2)
    assert not np.isfinite(lone.data.ceiling).any() and "no repeats" in str(lone)
    assert "gain" not in lone.data


@pytest.mark.parametrize(("repeats", "stimuli"), [(2, 40), (2, 100), (5, 60)])
def test_of_units_of_noise_one_in_forty_has_a_ceiling(repeats: int, stimuli: int) -> None:
    """The spread of a reliability of few stimuli is large: a fixed bound lets a third of them through."""
    noise = torch.from_numpy(np.random.default_rng(5).standard_normal((repeats, stimuli, 4000)))
    found = measured(noise)
    assert float(torch.isfinite(found.ceiling).double().mean()) == pytest.approx(0.025, abs=0.01)
    assert float((found.reliability > 0.1).double().mean()) > 0.15
    clear = measured(noise + 2 * torch.from_numpy(np.random.default_rng(6).standard_normal((stimuli, 4000))))
    assert float(torch.isfinite(clear.ceiling).double().mean()) > 0.99
    assert float(clear.reliability.mean()) == pytest.approx(4 / (4 + 1 / repeats), abs=0.02)


def test_missing_repeats_count_for_nothing() -> None:
    some = RESPONSES.copy()
    some[4:, ::2] = np.nan
    full, part = measured(torch.from_numpy(RESPONSES)), measured(torch.from_numpy(some))
    np.testing.assert_allclose(part.mean[1::2], full.mean[1::2])
    assert float(part.reliability.mean()) == pytest.approx(1 / (1 + NOISE**2 * (1 / 4 + 1 / 6) / 2), abs=0.03)


def test_left_out_errors_are_those_of_refits() -> None:
    x, y = torch.from_numpy(INPUTS[:30, :4]), torch.from_numpy(SIGNAL[:30, :3])
    ridge = Ridge(x)
    penalty, errors = ridge.penalties[6], []
    for i in range(30):
        kept = torch.arange(30) != i
        a, b = x[kept].mean(0), y[kept].mean(0)
        square = (x[kept] - a).T @ (x[kept] - a) + penalty * torch.eye(4, dtype=x.dtype)
        weights = torch.linalg.solve(square, (x[kept] - a).T @ (y[kept] - b))
        errors.append((y[i] - b - (x[i] - a) @ weights).square())
    centred = y - y.mean(0)
    np.testing.assert_allclose(ridge._left_out(centred, ridge.u.T @ centred, penalty), torch.stack(errors).mean(0))


def test_invariances() -> None:
    turn = np.linalg.qr(G.normal(size=(30, 30)))[0]
    plain = encode(INPUTS, RESPONSES, draws=0).data
    moved = encode(1e3 * INPUTS @ turn + 5, RESPONSES * np.arange(1, 17) + 7, draws=0).data
    np.testing.assert_allclose(moved.r, plain.r, atol=1e-8)
    np.testing.assert_allclose(moved.ceiling, plain.ceiling, rtol=1e-8)
    short = encode(INPUTS.astype(np.float32), torch.from_numpy(RESPONSES).float(), draws=0).data
    np.testing.assert_allclose(short.r, plain.r, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_short_floats_are_read_as_the_numbers_they_are(kind: torch.dtype) -> None:
    short, answer = torch.from_numpy(INPUTS).to(kind), torch.from_numpy(SIGNAL).to(kind)
    found, exact = (encode(x, y, draws=0).data.r for x, y in ((short, answer), (short.double(), answer.double())))
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_stimuli_that_are_shown_twice_are_held_out_together_or_remembered() -> None:
    """A stimulus in training and test is remembered: groups say so, and then noise explains nothing."""
    features, answer = G.normal(size=(60, 80)), G.normal(size=(60, 4))
    twice = [np.concatenate([x, x]) for x in (features, answer)]
    apart = encode(*twice, draws=0).data.predictivity.item()
    held = encode(*twice, groups=np.tile(np.arange(60), 2), draws=0).data.predictivity.item()
    assert apart > 0.6 > 0.35 > abs(held)


def test_groups_are_held_out_together() -> None:
    """Frames of a film that are nearly the same: apart, what is memorized counts; together, it does not."""
    film = np.repeat(np.arange(40), 6)
    own = G.normal(size=(40, 60))[film] + 0.01 * G.normal(size=(240, 60))
    answer = G.normal(size=(40, 5))[film] + 0.01 * G.normal(size=(240, 5))
    loose = encode(own, answer, draws=0).data.predictivity.item()
    tight = encode(own, answer, groups=film, draws=0).data.predictivity.item()
    assert loose > 0.9 and abs(tight) < 0.35


def test_modules_are_read_at_their_places() -> None:
    torch.manual_seed(0)
    trained, untrained = (
        nn.Sequential(*[p for _ in range(3) for p in (nn.Linear(30, 30), nn.Tanh())], nn.Linear(30, 4))
        for _ in range(2)
    )
    inputs = torch.from_numpy(INPUTS).float()
    answer = trained[:3](3 * inputs).detach() @ torch.randn(30, 6)
    found = encode(trained, answer, 3 * inputs, baseline=untrained, draws=2).data
    assert found.layer.values.tolist() == ["input", "0", "2", "4"]
    assert found.attrs["best"] == "2" and float(found.gain.sel(layer="2")) > 0.1
    assert abs(float(found.gain.sel(layer="input"))) < 1e-9
    with pytest.raises(BadInput, match="there is no batch"):
        encode(trained, answer)


def test_edges() -> None:
    twice = np.concatenate([INPUTS, INPUTS, np.ones((240, 3))], 1)
    np.testing.assert_allclose(encode(twice, SIGNAL, draws=0).data.r, encode(INPUTS, SIGNAL, draws=0).data.r, atol=1e-6)
    assert float(encode(G.normal(size=(24, 200)), SIGNAL[:24], draws=0).data.predictivity[0]) < 0.5
    assert float(encode(np.ones((240, 3)), SIGNAL, draws=0).data.predictivity[0]) == 0
    x = torch.zeros(20, 1)
    assert float(correlations(x, torch.arange(20.0)[:, None], [torch.arange(20)])) == 0


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", responses=RESPONSES, other=INPUTS)
    np.testing.assert_array_equal(read_responses(tmp_path / "a.npz"), RESPONSES)
    rows = [(s, r) for r in range(2) for s in range(30)]
    lines = ["stimulus,one,two"] + [f"{100 - s},{RESPONSES[r, s, 0]!r},{RESPONSES[r, s, 1]!r}" for s, r in rows]
    (tmp_path / "b.csv").write_text("\n".join(lines).replace("np.float64(", "").replace(")", ""))
    np.testing.assert_array_equal(read_responses(tmp_path / "b.csv"), RESPONSES[:2, :30, :2][:, ::-1])
    uneven = np.concatenate([np.arange(30), [0]])
    np.savez(tmp_path / "c.npz", responses=RESPONSES[0, uneven], stimulus=uneven)
    assert np.isnan(read_responses(tmp_path / "c.npz")[1, 1:]).all()
    np.savez(tmp_path / "f.npz", **{name.replace(" ", ""): rows for name, rows in LAYERS.items()})
    found = encode(tmp_path / "f.npz", tmp_path / "a.npz", draws=0)
    assert found.data.attrs["best"] == "layer2"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: encode(INPUTS[:19], SIGNAL[:19]), "at least 20 rows"),
        (lambda p: encode(INPUTS, SIGNAL[:100]), "240 rows and responses 100 stimuli"),
        (lambda p: encode(INPUTS, np.ones((240, 2))), "unit 0 gives all stimuli the same"),
        (lambda p: encode(INPUTS, SIGNAL * np.nan), "not finite in row 0"),
        (lambda p: encode(INPUTS, SIGNAL, folds=1), "folds is 1"),
        (lambda p: encode(INPUTS, SIGNAL, groups=np.arange(240) // 100), "3 groups of stimuli and 5 folds"),
        (lambda p: encode(INPUTS, SIGNAL, groups=np.arange(7)), "one whole number for each of 240"),
        (lambda p: encode({}, SIGNAL), "no layers"),
        (lambda p: read_responses(p / "none.npz"), "no file"),
        (lambda p: read_responses(Path(__file__)), "no file of responses"),
        (lambda p: (p / "w.csv").write_text("a,b\n1,x\n") and read_responses(p / "w.csv"), "words in 'b'"),
        (lambda p: (p / "w.npz").write_bytes(b"PK") and read_responses(p / "w.npz"), "can not be read"),
    ],
)
def test_refusals(call: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        call(tmp_path)


# -- the command ---------------------------------------------------------------------------------------------


def written_files(folder: Any) -> list[str]:
    np.savez(folder / "layers.npz", one=INPUTS, two=LAYERS["layer 2"])
    np.save(folder / "recording.npy", RESPONSES)
    np.save(folder / "untrained.npy", INPUTS[:, :5])
    (folder / "groups.csv").write_text("film\n" + "\n".join(str(i // 4) for i in range(240)) + "\n")
    return ["encode", "layers.npz", "recording.npy", "--draws", "3"]


def test_the_command_tells_what_the_call_does(tmp_path: Any, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = written_files(tmp_path)
    app([*words, "--baseline", "untrained.npy", "--groups", "groups.csv", "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    films = np.arange(240) // 4
    found = encode("layers.npz", "recording.npy", baseline=INPUTS[:, :5], groups=films, draws=3)
    assert document == {**document, **json.loads(json.dumps(found.to_json()))}
    assert document["complete"] and [row["layer"] for row in document["layers"]] == ["one", "two"]
    folder = tmp_path / "runs" / "encode-layers-recording"
    assert (folder / "report.html").is_file() and json.loads((folder / "encoding.json").read_text()) == found.to_json()
    app([*words, "--out", "mine"], standalone_mode=False)
    told = capsys.readouterr().out
    assert told.startswith(str(encode("layers.npz", "recording.npy", draws=3)).split("\n\n")[0])
    assert (tmp_path / "mine" / "encoding.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["layers.npz", "nowhere.csv"], "no file nowhere.csv"),
        (["nowhere.npz", "recording.npy"], "no file nowhere.npz"),
        (["broken.npz", "recording.npy"], "broken.npz can not be read"),
        (["layers.npz", "broken.npz"], "broken.npz can not be read"),
        (["untrained.txt", "recording.npy"], "no file of responses"),
        (["layers.npz", "recording.npy", "--groups", "half.csv"], "one column of whole numbers"),
        (["layers.npz", "recording.npy", "--groups", "layers.npz"], "call one of them 'groups'"),
        (["layers.npz", "recording.npy", "--folds", "1"], "folds is 1"),
        (["layers.npz", "recording.npy", "--baseline", "short.npy"], "baseline 0 have 30 rows"),
    ],
)
def test_bad_files_are_one_sentence_and_leave_nothing(
    words: list[str], said: str, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    written_files(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    (tmp_path / "untrained.txt").write_text("1")
    (tmp_path / "half.csv").write_text("film\n" + "0.5\n" * 240)
    np.save(tmp_path / "short.npy", INPUTS[:30])
    with pytest.raises(BadInput, match=rf"^[^\n]*{said}[^\n]*\.$"):
        app(["encode", *words, "--draws", "2"], standalone_mode=False)
    assert not (tmp_path / "runs").exists()


def test_a_file_of_presentations_is_no_layer(tmp_path: Any) -> None:
    """An array that says which stimulus a row is of is not read as features."""
    np.savez(tmp_path / "layers.npz", one=INPUTS[::-1], two=INPUTS[::-1], stimulus=np.arange(240)[::-1])
    found = encode(tmp_path / "layers.npz", RESPONSES, draws=0).data
    assert found.layer.values.tolist() == ["one", "two"]
    np.testing.assert_allclose(found.predictivity, encode(INPUTS, RESPONSES, draws=0).data.predictivity.item())


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e-310, 1e307])
def test_any_unit_of_features_and_of_each_response_reads_the_same(size: float) -> None:
    plain = encode(INPUTS, RESPONSES, draws=0).data
    sizes = np.where(np.arange(RESPONSES.shape[-1]) % 2, 1.0, size)
    within = 1e-9 if size > 1e-300 else 1e-3  # subnormal numbers have few digits
    for found in (encode(INPUTS * size, RESPONSES, draws=0), encode(INPUTS, RESPONSES * sizes, draws=0)):
        np.testing.assert_allclose(found.data.r, plain.r, atol=within)
        np.testing.assert_allclose(found.data.ceiling, plain.ceiling, atol=within)


def test_features_that_are_the_same_for_all_stimuli_explain_nothing() -> None:
    rounded = (np.full((240, 3), 0.1) * (1 + 1e-7 * (np.arange(240) % 2)[:, None])).astype(np.float32)
    for same in (np.full((240, 3), 0.1), rounded):
        np.testing.assert_allclose(encode(same, RESPONSES, draws=0).data.r, 0, atol=1e-12)


def test_places_of_a_module_can_be_named() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(INPUTS.shape[1], 8), torch.nn.ReLU(), torch.nn.Linear(8, 6))
    batch = torch.from_numpy(INPUTS).float()
    found = encode(module, RESPONSES, batch, places=["0", "2"], draws=0)
    assert found.data.layer.values.tolist() == ["input", "0", "2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("1,2\n" + "3,4\n" * 240, "no header"),
        (",a\n" + "0,1\n" * 240, "column 1 of .* has no name"),
        ("Stimulus,a\n" + "0,1\n" * 240, "column 'Stimulus': call one column 'stimulus'"),
        ("stimulus,stimulus\n" + "0,1\n" * 240, "call one column 'stimulus'"),
    ],
)
def test_tables_that_would_be_read_otherwise_than_meant(words: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(words)
    with pytest.raises(BadInput, match=said):
        encode(INPUTS, tmp_path / "table.csv", draws=0)


def test_no_file_is_advised_to_be_opened_unsafely(tmp_path: Path) -> None:
    (tmp_path / "junk.npy").write_bytes(b"junk" * 40)
    with pytest.raises(BadInput, match=r"never opened\.$"):
        encode(INPUTS, tmp_path / "junk.npy")
