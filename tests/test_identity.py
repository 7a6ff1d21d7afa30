"""What a stored record is found by: a task's own numbers as much as those that a grid sets."""

from __future__ import annotations

import importlib.util
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from phasescope.ensemble import train
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.marks import TORCHS_LAYERS, learner_marks
from phasescope.ensemble.streams import initialized
from phasescope.identity import fingerprint
from phasescope.instruments import LEARNING
from phasescope.learners import PowerMLP
from phasescope.store import Store
from phasescope.tasks import Sampler, Table, addition
from phasescope.vocabulary import BadInput, Draw, Grid, Instrument, Member, Reading, Recipe

RECIPE = Recipe(steps=12, records=3)


def trained(store: Store, task: Any, **axes: Any) -> Any:
    data = train(PowerMLP(7, 8), task, Grid({k: (v,) for k, v in axes.items()}), RECIPE, LEARNING, keeper=store)
    return data.train_loss.values.ravel()


@pytest.mark.parametrize("changed", [{"train_fraction": 0.7}, {"corruption": 0.4}])
def test_a_task_of_other_numbers_is_another_record(tmp_path: Path, changed: dict[str, float]) -> None:
    """Found by the table alone, the second experiment of a study would be handed the first one's networks."""
    with Store(tmp_path / "run") as store:
        first, second = trained(store, addition(7)), trained(store, addition(7, **changed))
        assert (first != second).any()
        assert members_of(store) == 2


def members_of(store: Any) -> int:
    """Return how many members are kept: what is kept beside them is the choice of an engine."""
    return sum("seed" in identity for identity, _ in store.records())


def test_a_number_is_the_same_in_the_task_and_in_the_grid(tmp_path: Path) -> None:
    with Store(tmp_path / "run") as store:
        own = trained(store, addition(7, corruption=0.4))
        assert (trained(store, addition(7), corruption=0.4) == own).all()
        assert members_of(store) == 1


# -- a user's own code gets its own numbers -----------------------------------------------------------------------------------


class Net(nn.Module):
    """A user's network; ``gain`` and ``act`` are seen in no parameter and in no printed form."""

    def __init__(self, gain: float = 1.0, act: Any = torch.tanh) -> None:
        super().__init__()
        self.gain, self.act, self.hidden, self.out = gain, act, nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.gain * self.out(self.act(self.hidden(x)))
        return out


def points(shift: float = 0.0) -> Table:
    x = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32) + shift
    return Table("points", x, np.arange(30) % 3, 3)


def curve(learner: Any, task: Any = None, grid: Grid | None = None, watch: Any = LEARNING, **how: Any) -> Any:
    recipe = how.pop("recipe", Recipe(steps=6, records=3, batch=how.pop("batch", None)))
    return train(learner, task or points(), grid or Grid(), recipe, watch, device="cpu", **how)


SWEEPS: dict[str, tuple[str, list[Any], Any, Any]] = {
    "an attribute": ("gain", [0.1, 1.0, 3.0], lambda m: Net(m["gain"]), None),
    "a function": ("act", ["tanh", "relu"], lambda m: Net(act=getattr(torch, m["act"])), None),
    "a lambda": ("by", [1.0, 2.0], lambda m: Net(act=lambda z: float(m["by"]) * z), None),
    "a task's data": ("shift", [0.0, 1.0], lambda m: Net(), lambda m: points(float(m["shift"]))),
}


@pytest.mark.parametrize("what", SWEEPS)
def test_each_cell_of_a_sweep_is_the_network_trained_alone(what: str) -> None:
    name, values, learner, task = SWEEPS[what]
    swept = curve(learner, task, Grid({name: values}))
    for value in values:
        member = Member({name: value}, 0)
        alone = curve(learner(member), task and task(member))
        np.testing.assert_allclose(swept.train_loss.sel({name: value}), alone.train_loss, atol=1e-5)
    assert len(np.unique(swept.train_loss.values[:, 0, -1])) == len(values)


SCALE = 1.0


def sampled(g: np.random.Generator, n: int) -> Any:
    x = g.standard_normal((n, 4)).astype(np.float32)
    return SCALE * x, (x[:, 0] > 0).astype(int)


class Reads:
    """A task that is exactly the protocol, and reads a file that its code does not name."""

    name, knobs, classes = "reads", {"train_fraction": 0.5}, 2

    def __init__(self, file: Path) -> None:
        self.file = file

    def draw(self, member: Member, generators: Any) -> Draw:
        x = np.load(self.file)
        order = generators("data").permutation(len(x))
        count = int(float(member.get("train_fraction", 0.5)) * len(x))
        labels = (x[:, 0] > 0).astype(int)
        return Draw(x, labels, labels, np.sort(order[:count]), np.sort(order[count:]), np.ones(len(x)))

    def describe(self) -> dict[str, str]:
        return {"task": "reads"}


def law_the_record_is_its_own() -> None:
    """The same store, the same names, other code: never the numbers of before; and the same code: the record."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "run") as store:
        first = [curve(Net(gain), keeper=store).train_loss.values.ravel()[-1] for gain in (0.5, 2.0, 0.5)]
        assert first[0] == first[2] != first[1]
        assert members_of(store) == 2


def test_the_record_is_its_own() -> None:
    law_the_record_is_its_own()


def test_a_changed_global_of_a_sampler_is_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Sampler("sampled", sampled, 3, readout_size=16)
    with Store(tmp_path / "run") as store:
        before = curve(Net(), task, keeper=store, batch=4).train_loss.values
        monkeypatch.setitem(globals(), "SCALE", 10.0)
        after = curve(Net(), task, keeper=store, batch=4).train_loss.values
        assert (before != after).any() and members_of(store) == 2


def test_a_changed_file_of_a_task_is_other_data(tmp_path: Path) -> None:
    file, x = tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    with Store(tmp_path / "run") as store:
        for factor in (1, 2, 1):
            np.save(file, factor * x)
            curve(Net(), Reads(file), keeper=store)
        assert members_of(store) == 2


def test_a_task_that_is_exactly_the_protocol_trains_with_splits_of_any_size(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32))
    data = curve(Net(), Reads(tmp_path / "x.npy"), Grid({"train_fraction": [0.25, 0.5]}, seeds=2))
    assert np.isfinite(data.test_accuracy).all() and data.test_accuracy.shape[:2] == (2, 2)


def test_a_changed_instrument_is_read_anew(tmp_path: Path) -> None:
    def mine(factor: float) -> Instrument:
        return Instrument(
            "mine", lambda s: Reading(factor * s.weights.sum(-1)), "1", "a test", "weights", (0, 9e9), "0"
        )

    with Store(tmp_path / "run") as store:
        found = [curve(Net(), watch=(mine(f),), keeper=store).mine.values.ravel()[-1] for f in (1.0, 3.0)]
    assert found[1] == 3 * found[0]


class Shared(nn.Module):
    """Its gain stands on the class: the second member's would be the first one's too."""

    gain = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = type(self).gain * self.out(x)
        return out


def test_members_that_share_what_differs_are_refused() -> None:
    def made(m: Member) -> nn.Module:
        Shared.gain = float(m["gain"])
        return Shared()

    with pytest.raises(BadInput, match="share something that was changed"):
        curve(made, grid=Grid({"gain": [1.0, 2.0]}))

    data = np.zeros((30, 4), np.float32)

    def told(m: Member) -> Table:
        data[:] = float(m["by"])
        return Table("shared", data, np.arange(30) % 3, 3)

    with pytest.raises(BadInput, match="of one member changed"):
        curve(Net(), told, Grid({"by": [1.0, 2.0]}))


def test_a_task_of_moods_is_refused() -> None:
    class Moody(Reads):
        def draw(self, member: Member, generators: Any) -> Draw:
            moods.append(1)
            x = np.full((8, 4), float(len(moods)), np.float32)
            return Draw(x, np.arange(8) % 2, np.arange(8) % 2, np.arange(4), np.arange(4, 8), np.ones(8))

    moods: list[int] = []
    with pytest.raises(BadInput, match="other data when asked twice"):
        curve(Net(), Moody(Path("none")))


def test_a_subclass_with_its_own_forward_is_not_trained_by_the_compiled_step_of_its_parent() -> None:
    class Skips(PowerMLP):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(inputs)

    assert PowerMLP(5, 4).fused() is not None and Skips(5, 4).fused() is None
    doubled, plain = (curve(kind(5, 4), addition(5)).train_loss.values.ravel() for kind in (Skips, PowerMLP))
    assert abs(doubled[0] - plain[0]) > 1e-4
    changed = PowerMLP(5, 4, batch_norm=True)
    assert changed.fused() is not None and changed.norm is not None
    changed.norm.eps = 0.1
    assert changed.fused() is None


def test_what_is_frozen_stays_as_it_was_given() -> None:
    for frozen in ("hidden", "out"):
        net = Net()
        part = getattr(net, frozen).requires_grad_(False)
        data = curve(net, grid=Grid(seeds=2), recipe=Recipe(steps=6, records=3, weight_decay=1.0))
        assert (data[f"final.{frozen}.weight"].values == part.weight.detach().numpy()).all()
    with pytest.raises(BadInput, match="no parameter that learns"):
        curve(Net().requires_grad_(False))


ARGUMENTS = {nn.Bilinear: (3, 4, 5), nn.GroupNorm: (2, 4), nn.LayerNorm: (4,), nn.RMSNorm: (4,)}


@pytest.mark.parametrize("layer", TORCHS_LAYERS)
def test_what_torch_draws_anew_needs_no_look(layer: Any) -> None:
    sizes = ARGUMENTS.get(layer, (4, 6, 3) if "Conv" in layer.__name__ else (4, 6))
    one, other = (layer(*sizes) for _ in range(2))
    with torch.no_grad():
        for part in other.parameters():
            part.fill_(float("nan"))
    drawn = [dict(initialized(net, 3).named_parameters()) for net in (one, other)]
    assert drawn[0].keys() == drawn[1].keys() <= {"weight", "bias"}
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())
    assert learner_marks(one, one) == learner_marks(other, other)


def test_first_weights_that_no_seed_draws_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def mark(change: Callable[[nn.Module], Any]) -> str:
        net = nn.Sequential(nn.Linear(3, 4))
        with torch.no_grad():
            net[0].weight.fill_(0.5)
            change(net)
        return learner_marks(net, net)[0]

    def held(value: float) -> Callable[[nn.Module], Any]:
        return lambda net: net[0].register_parameter("scale", nn.Parameter(torch.tensor(value)))

    def kept(value: float) -> Callable[[nn.Module], Any]:
        def change(net: nn.Module) -> None:
            net[0].reset_parameters = lambda: None
            net[0].weight.fill_(value)

        return change

    def normed(value: float) -> Callable[[nn.Module], Any]:
        return lambda net: weight_norm(net[0]).parametrizations.weight.original1.fill_(value)

    def frozen(value: float) -> Callable[[nn.Module], Any]:
        return lambda net: net[0].weight.fill_(value).requires_grad_(False)

    for change in (held, kept, normed, frozen):
        assert mark(change(1.0)) != mark(change(2.0)), change.__name__
    usual = mark(lambda net: None)
    assert mark(lambda net: net[0].weight.fill_(2.0)) == usual, "torch draws it anew"
    for value in (0.1, 0.2):
        monkeypatch.setattr(nn.init, "kaiming_uniform_", lambda weight, a=0.0, v=value: nn.init.constant_(weight, v))
        other = mark(lambda net: None)
        assert other != usual, "torch's own way of drawing was replaced"
        usual = other


def test_a_method_that_another_library_adds_to_all_modules_is_no_other_network(monkeypatch) -> None:
    """transformers adds one when it makes its first model; one that stands in the place of torch's is another matter."""
    usual = fingerprint(nn.ReLU)
    monkeypatch.setattr(nn.Module, "smart_apply", xr.where, raising=False)
    assert fingerprint(nn.ReLU) == usual
    for name in ("apply", "extra_repr", "_apply"):
        monkeypatch.setattr(nn.Module, name, xr.where)
        assert fingerprint(nn.ReLU) != usual, f"{name} of torch's was replaced"
        usual = fingerprint(nn.ReLU)


def test_a_script_that_is_imported_later_has_the_same_networks(tmp_path) -> None:
    """It is ``__main__`` when it runs, and has its file's name afterwards."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n\n\nclass Mine(nn.Linear):\n    wide = 3\n\n\n"
        "def loss(logits, labels):\n    return (logits - labels) ** 2\n"
    )
    found = []
    for name in ("mine", "theirs"):
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        recipe = Recipe(steps=2, records=2, loss=module.loss)
        found += [(jobs(module.Mine(2, 2), Table("t", np.eye(2), [0, 1], 2), Grid(), recipe, [], []))[0].identity]
    assert found[0] == found[1] and found[0]["learner"]["name"] == "Mine"


def test_a_network_keeps_its_precision_or_is_refused() -> None:
    with pytest.raises(BadInput, match='is float64, and the recipe trains in float32: give the recipe dtype="float64"'):
        curve(Net().double())
    with pytest.raises(BadInput, match=r"is bfloat16, .* call \.float\(\)"):
        curve(Net().bfloat16())
    kept = curve(Net().double(), recipe=Recipe(steps=2, records=2, dtype="float64"))
    assert kept["final.out.weight"].dtype == np.float64


def test_randomness_in_forward_is_refused() -> None:
    for draw in (torch.randn_like, lambda z: z * float(np.random.rand()), lambda z: z * random.random()):  # noqa: NPY002
        with pytest.raises(BadInput, match="draws random numbers in forward"):
            curve(Net(act=draw))
