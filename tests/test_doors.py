"""Doors: what comes in wrong is told in one sentence, and what can be taken is taken as it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import phasescope as ps
from phasescope.checks import as_labels, as_points, nearest, numbers
from phasescope.commands.cli import app
from phasescope.door import ended
from phasescope.inspection.batches import users_code
from phasescope.store import Store
from phasescope.verdict.numbers import pack
from phasescope.vocabulary import BadInput, Generators, Grid, Member

X = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
Y = np.arange(6) % 2
TENSOR = torch.from_numpy(X)
HIDDEN = np.zeros(X.shape, bool)
HIDDEN[3, 1] = True


def inputs(values: Any) -> Any:
    return ps.tasks.Table("m", values, Y, 2).inputs


# -- data ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        lambda: inputs(np.ma.array(X, mask=HIDDEN)),
        lambda: inputs([np.ma.array(row, mask=hidden) for row, hidden in zip(X, HIDDEN, strict=True)]),
        lambda: ps.tasks.Table("m", X, np.ma.array(Y, mask=HIDDEN[:, 1]), 2),
        lambda: numbers("x", np.ma.array(X, mask=HIDDEN)),
        lambda: as_points("points", np.ma.array(X, mask=HIDDEN)),
        lambda: Grid({"lr": np.ma.array([0.1, 0.2, 0.3, 0.4], mask=[0, 0, 0, 1])}),  # type: ignore[dict-item]
    ],
)
def test_masked_entries_are_refused_by_row(read: Callable[[], Any]) -> None:
    with pytest.raises(BadInput, match=r"row 3.*masked"):
        read()


def test_a_mask_that_hides_nothing_is_none() -> None:
    np.testing.assert_array_equal(inputs(np.ma.array(X)), X)


@pytest.mark.parametrize(
    "tensor",
    [
        TENSOR.to_sparse(),
        torch._neg_view(-TENSOR),
        TENSOR.clone().requires_grad_(),
        [row.clone().requires_grad_() for row in TENSOR],
        [[number.clone().requires_grad_() for number in row] for row in TENSOR],
    ],
)
def test_tensors_of_any_layout_are_taken(tensor: Any) -> None:
    np.testing.assert_array_equal(inputs(tensor), X)
    np.testing.assert_array_equal(numbers("x", tensor), X)


@pytest.mark.filterwarnings("ignore")  # torch calls such tensors a prototype
@pytest.mark.parametrize("read", [inputs, lambda t: numbers("x", t), lambda t: as_points("points", t)])
def test_tensors_without_numbers_are_refused(read: Callable[[Any], Any]) -> None:
    rows = torch.nested.nested_tensor([TENSOR[0], TENSOR[1]])
    for kind, tensor in {"meta": TENSOR.to("meta"), "nested": rows, "quantized": _quantized()}.items():
        with pytest.raises(BadInput, match=f"a {kind} tensor"):
            read(tensor)
    with pytest.raises(BadInput, match="a meta tensor"):
        as_labels("labels", torch.zeros(2).to("meta"), count=2)


def _quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(TENSOR, 0.1, 0, torch.qint8)  # type: ignore[no-any-return]


# -- simulations ---------------------------------------------------------------------------------------------------------

ONE = (ps.Quantity("v", "1", "test"),)


def last_digits(member: Member, generators: Generators) -> Mapping[str, Any]:
    return {"v": int(member["n"]) % 1000}


def nothing(member: Member, generators: Generators) -> Any:
    return None


def ragged(member: Member, generators: Generators) -> Any:
    return {"v": [[1, 2], [3]]}


def words(member: Member, generators: Generators) -> Any:
    return {"v": "much"}


def with_gradient(member: Member, generators: Generators) -> Any:
    return {"v": torch.tensor(2.0, requires_grad=True)}


def of_one(member: Member) -> Any:
    return {"v": 1.0}


def failing(member: Member, generators: Generators) -> Any:
    raise KeyError("mine")


def lengths(member: Member, generators: Generators) -> Any:
    return {"a": np.zeros(3), "b": np.zeros(4)}


def test_whole_numbers_beyond_floats_are_told_apart(tmp_path: Path) -> None:
    """2^60 and 2^60 + 1 are one float, and were one record."""
    for place, made in enumerate(
        (
            lambda n: ps.Simulation("t", last_digits, Grid({"n": [n]}), ONE),
            lambda n: ps.Simulation("t", last_digits, Grid(), ONE, {"n": n}),
        )
    ):
        with Store(tmp_path / str(place)) as store:
            found = [ps.simulate(made(n), keeper=store).v.item() for n in (2**60, 2**60 + 1)]
        assert found == [2**60 % 1000, (2**60 + 1) % 1000]


def test_a_whole_float_and_its_integer_are_one_member(tmp_path: Path) -> None:
    reused = []
    with Store(tmp_path) as store:
        for n in (3, 3.0):
            simulation = ps.Simulation("t", last_digits, Grid({"n": [n]}), ONE)
            ps.simulate(simulation, keeper=store, on_progress=lambda p: reused.append(p.reused))
    assert (reused[0], reused[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (nothing, "returned None: return a mapping"),
        (ragged, "'v' of 't' is ragged"),
        (words, "'v' of 't' is 'much': give a number"),
        (of_one, "must be a function of .member, generators."),
    ],
)
def test_what_measure_must_give(measure: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        ps.simulate(ps.Simulation("t", measure, Grid(), ONE))


def test_measures_own_exception_is_passed_on() -> None:
    with pytest.raises(KeyError, match="mine"):
        ps.simulate(ps.Simulation("t", failing, Grid(), ONE))


def test_gradients_are_left_out() -> None:
    assert ps.simulate(ps.Simulation("t", with_gradient, Grid(), ONE)).v.item() == 2.0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ps.simulate(None), "simulation is None"),  # type: ignore[arg-type]
        (lambda: ps.Simulation("t", lengths, {"a": 1}, ONE), "grid is {'a': 1}"),  # type: ignore[arg-type]
        (lambda: ps.Simulation("t", lengths, Grid(), ["v"]), r"quantities is \['v'\]"),  # type: ignore[list-item]
        (lambda: ps.Simulation("t", lengths, Grid(), ONE[0]), "quantities is Quantity"),  # type: ignore[arg-type]
        (lambda: ps.Simulation("t", lengths, Grid({"v": [1]}), ONE), "'v' twice"),
        (lambda: ps.Quantity("v", "1", "test", "time"), "dims of 'v'"),  # type: ignore[arg-type]
        (lambda: ps.simulate(_walk(), workers="2"), "workers is '2'"),  # type: ignore[arg-type]
        (lambda: ps.simulate(_walk(), keeper="s"), "keeper is 's'"),  # type: ignore[arg-type]
        (lambda: ps.simulate(_walk()), "'b' has 4 entries along 'x', which has 3"),
    ],
)
def test_what_simulations_refuse(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        call()


def _walk() -> ps.Simulation:
    return ps.Simulation("t", lengths, Grid(), [ps.Quantity(name, "1", "test", ("x",)) for name in "ab"])


# -- final parameters ----------------------------------------------------------------------------------------------------


def test_an_axis_may_begin_with_a_parameters_name() -> None:
    """The axis weight_decay is none of the parameter weight."""
    dims = ("weight_decay", "seed", "weight_0", "weight_1")
    places = {"weight_decay": [0.0, 0.1], "seed": [0, 1]}
    data = xr.Dataset({"final.weight": (dims, np.zeros((2, 2, 2, 4)))}, places)
    assert ps.final(data, weight_decay=0.1, seed=1)["weight"].shape == (2, 4)
    for cell in ({}, {"seed": 0}, {"weight_decay": 0.1}):
        with pytest.raises(BadInput, match="more than one value"):
            ps.final(data, **cell)
    with pytest.raises(BadInput, match="no weights were kept"):
        ps.final(data, weight_decay=0.1, seed=0, step=2)
    for wrong in ({"weight_0": 1}, {"seed": [0, 1]}, {"seed": slice(0, 1)}):
        with pytest.raises(BadInput, match="there is no member"):
            ps.final(data, **{"weight_decay": 0.1, "seed": 0, **wrong})
    with pytest.raises(BadInput, match="no final parameters"):
        ps.final(3)  # type: ignore[arg-type]


# -- studies and maps ----------------------------------------------------------------------------------------------------

MAP = {"what": "grokking", "x": "weight_decay=0:1", "y": "train_fraction=0.2:0.8"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"x": None, "y": None}, "axis is None"),
        ({"x": ("lr", 0, 1)}, r"axis is \('lr', 0, 1\)"),
        ({"what": None}, "what is mapped is None"),
        ({"what": lambda: 1}, "what is mapped is the function"),
        ({"settings": [1]}, r"settings is \[1\]: give a mapping"),
        ({"settings": {1: 2}}, "settings is {1: 2}"),
        ({"scale": []}, r"there is no scale \[\]"),
        ({"by": ""}, "there is no order parameter ''"),
        ({"tolerance": "x"}, "tolerance is 'x'"),
        ({"seeds": True}, "seeds is True"),
        ({"on_progress": 3}, "on_progress is 3"),
        ({"out": 3}, "out is 3: give the path"),
        ({"out": ""}, "out is '': give the path"),
    ],
)
def test_what_phase_map_refuses(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        ps.phase_map(**{**MAP, **changed})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"study": None}, "the study is None"),
        ({"study": ps.Study}, "the study is the class Study"),
        ({"settings": 3}, "settings is 3"),
        ({"seeds": "3"}, "seeds is '3': give a whole number from 1"),
        ({"scale": []}, r"there is no scale \[\]"),
        ({"on_progress": 3}, "on_progress is 3"),
        ({"out": 3}, "out is 3"),
        ({"out": " "}, "out is ' '"),
    ],
)
def test_what_run_refuses(given: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=sentence):
        ps.run(**{"study": "grokking", **given})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ps.load(""), "directory is ''"),
        (lambda: ps.Experiment("t", nn.Linear(4, 2), inputs, 3), "the grid of 't' is 3"),  # type: ignore[arg-type]
        (lambda: ps.Experiment("t", nn.Linear(4, 2), inputs, Grid(), 3), "the recipe of 't'"),  # type: ignore[arg-type]
        (lambda: ps.Experiment("t", nn.Linear(4, 2), inputs, Grid(), watch=3), "watch of 't'"),  # type: ignore[arg-type]
        (lambda: ps.OrderParameter("o", 3), "read of the order parameter 'o' is 3"),  # type: ignore[arg-type]
        (lambda: ps.OrderParameter("o", np.asarray, level="x"), "the level of 'o'"),  # type: ignore[arg-type]
        (lambda: ps.OrderParameter("o", np.asarray, phases=3), "the phases of 'o'"),  # type: ignore[arg-type]
    ],
)
def test_what_the_parts_of_studies_refuse(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        make()


# -- models of one's own -------------------------------------------------------------------------------------------------

FACTORIES = """
from torch import nn
def lost(): return {}["hidden"]
def chain(): return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
class Breaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x): 1 / 0
def breaks(): return Breaks()
def named(*, width): return chain()
"""


def told_by_inspect(capsys: Any, model: str, batch: str, *more: str) -> str:
    """Return the one sentence with which the command ends in code 2."""
    assert ended(lambda: int(app(["inspect", model, "--batch", batch, *more], standalone_mode=False) or 0)) == 2
    said: str = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("model", "batch", "more", "sentence"),
    [
        ("doors_made:lost", "good.npy", [], "doors_made:lost raises KeyError: 'hidden' (doors_made.py, line 3)"),
        ("doors_made:breaks", "good.npy", [], "raises ZeroDivisionError: division by zero (doors_made.py, line 9)"),
        ("doors_made:named", "good.npy", [], "needs width"),
        ("doors_syntax:lost", "good.npy", [], "raises SyntaxError"),
        ("doors_exit:lost", "good.npy", [], "raises SystemExit: 3 (doors_exit.py, line 1)"),
        ("doors_made:chain", "empty.npy", [], "empty.npy is no array of numbers"),
        ("doors_made:chain", "cut.npy", [], "cut.npy is no array of numbers"),
        ("doors_made:chain", "nan.npy", [], "the batch holds nan in row 3"),
        ("doors_made:chain", "good.npy", ["--out", ""], "'--out': it is empty"),
    ],
)
def test_the_command_names_the_users_own_error(
    tmp_path: Path, monkeypatch: Any, capsys: Any, model: str, batch: str, more: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doors_made.py").write_text(FACTORIES)
    (tmp_path / "doors_syntax.py").write_text("def lost(:\n")
    (tmp_path / "doors_exit.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npy").write_bytes(b"PK\x03\x04")
    np.save("good.npy", X)
    np.save("nan.npy", np.where(HIDDEN, np.nan, X))
    before = {path.name for path in tmp_path.iterdir()}
    assert sentence in told_by_inspect(capsys, model, batch, *more)
    assert {path.name for path in tmp_path.iterdir()} - before <= {"__pycache__"}
    monkeypatch.delitem(sys.modules, "doors_made", raising=False)


def chain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


def test_arrays_and_other_precisions_are_inspected() -> None:
    net, exact = chain(), ps.inspect(chain(), TENSOR).total
    for batch in (X, X.astype("float64"), TENSOR.double(), (X,), {"input": X.astype(">f8")}, np.ma.array(X)):
        assert ps.inspect(net, batch).total == exact
    assert ps.autoinit(nn.Sequential(nn.Linear(4, 4)), X.astype("float64"), blocks=["0"]).converged


def test_models_are_inspected_on_finite_numbers() -> None:
    for batch, sentence in (
        (np.where(HIDDEN, np.nan, X), "the batch holds nan in row 3"),
        (np.where(HIDDEN, np.inf, X), "the batch holds inf in row 3"),
        ({"input": np.where(HIDDEN, np.nan, X)}, "'input' of the batch holds nan in row 3"),
        (np.ma.array(X, mask=HIDDEN), "row 3 is masked"),
        (np.array(["a"]), "the batch is an array of type <U1"),
        (TENSOR.to("meta"), "a meta tensor"),
    ):
        with pytest.raises(BadInput, match=sentence):
            ps.inspect(chain(), batch)


def test_a_fault_of_ours_is_not_called_the_users() -> None:
    """What fails in a file of ours, called by the user's, is raised as it is."""
    with pytest.raises(TypeError), users_code("m:f", always=False):
        nearest("lr", 3)  # type: ignore[arg-type]


# -- claims of one's own ---------------------------------------------------------------------------------------------------


def test_claims_are_judged_without_more_ado() -> None:
    data = xr.Dataset({"v": ("seed", [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.0])})
    control = ps.Control("nothing", lambda d: 0 * d.v)
    claims = [ps.Claim("one", "v is one.", ps.Source(ours="test"), lambda d: d.v, ps.Expectation.near(1, 0.5), control)]
    verdicts = ps.judge(claims, data)
    assert [verdict["verdict"] for verdict in verdicts.to_json()] == ["holds"]
    assert verdicts.to_json() == ps.judge(claims, data, 0.05).to_json()
    with pytest.raises(BadInput, match="data is 3"):
        ps.judge(claims, 3)  # type: ignore[arg-type]


def test_json_has_no_negative_zero() -> None:
    assert str(pack(-0.0)) == "0.0"


@pytest.mark.slow
def test_the_tutorials_example_runs(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text("utf-8")
    found = re.search(r"## Judge a claim.*?```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    assert [verdict["verdict"] for verdict in names["verdicts"].to_json()] == ["holds"]
    assert "learns" in capsys.readouterr().out
