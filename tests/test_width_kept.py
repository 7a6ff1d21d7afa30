"""A check's networks are kept in a folder: the same call goes on, another one's are not taken for its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import phasescope as ps
from phasescope.store import Store
from phasescope.vocabulary import BadInput
from phasescope.width import coordinates, rates

X = np.random.default_rng(0).standard_normal((32, 8))
Y = np.random.default_rng(1).standard_normal((32, 1))
SGD = ps.Recipe(optimizer="sgd", lr=0.1, steps=2, loss="mse", records=2)
SIZES = (4, 8, 16)


def one(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False))


def other(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width, bias=False), nn.Tanh(), nn.Linear(width, 1, bias=False))


def check(builder: Any = one, data: Any = (X, Y), recipe: ps.Recipe = SGD, **more: Any) -> Any:
    return ps.coordinate_check(builder, data, widths=SIZES, recipe=recipe, **{"seeds": 2, **more}).data


def moved(builder: Any = one, data: Any = (X, Y), recipe: ps.Recipe = SGD, **more: Any) -> Any:
    more = {"rates": [0.01, 0.02, 0.04], "widths": SIZES[:2], "seeds": 2, **more}
    return ps.transfer(builder, data, recipe=recipe, **more).data


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was trained since the list was cleared."""
    said: list[Any] = []
    read, final = coordinates._read, rates._final
    monkeypatch.setattr(coordinates, "_read", lambda *who: (said.append(who[1:]), read(*who))[1])
    monkeypatch.setattr(rates, "_final", lambda *who: (said.append(who[1:3]), final(*who))[1])
    return said


@pytest.mark.parametrize("ask", [check, moved])
def test_a_call_goes_on_where_it_stopped(ask: Any, tmp_path: Path, trained: list[Any]) -> None:
    alone = ask()
    whole = len(trained)
    trained.clear()

    def stop(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(ps.Interrupted, match="what was finished is kept, and the same call resumes"):
        ask(out=tmp_path / "kept", on_progress=stop)
    assert len(trained) == 3
    again = ask(out=tmp_path / "kept")
    assert len(trained) == whole and again.identical(alone)
    assert ask(out=tmp_path / "kept").identical(alone) and len(trained) == whole
    more = ask(out=tmp_path / "kept", seeds=3)
    assert len(trained) == whole * 3 // 2 and more.isel(seed=[0, 1])["seed"].size == 2
    with pytest.raises(ps.Interrupted, match="nothing is kept without a store"):
        ask(on_progress=stop)


@pytest.mark.parametrize("ask", [check, moved])
def test_what_is_another_s_is_not_taken(ask: Any, tmp_path: Path, trained: list[Any]) -> None:
    ask(out=tmp_path / "kept")
    others: list[dict[str, Any]] = [
        {"builder": other}, {"data": (X + 1, Y)}, {"data": (X, Y + 1)}, {"parametrization": "ntk"},
        {"parametrization": "ntk", "base": 2}, {"recipe": SGD.model_copy(update={"momentum": 0.5})},
        {"recipe": SGD.model_copy(update={"steps": 3})},
    ]  # fmt: skip
    for change in others:
        trained.clear()
        found = ask(**change)
        count = len(trained)
        kept = ask(**change, out=tmp_path / "kept")
        # a parametrization's control is the builder as it is, which is known
        known = 6 if ask is check and "parametrization" in change and "base" not in change else 0
        assert kept.identical(found) and len(trained) == 2 * count - known, change


def test_own_optimizers_rates_and_test_sets_are_told_apart(tmp_path: Path, trained: list[Any]) -> None:
    import torch

    def plain(module: nn.Module, size: int, rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(module.parameters(), rate)

    def heavy(module: nn.Module, size: int, rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(module.parameters(), rate, momentum=0.9)

    for more in ({"optimizer": plain}, {"optimizer": heavy}, {"test": (X[:5], Y[:5])}, {"test": (X[:6], Y[:6])}):
        trained.clear()
        assert moved(**more, out=tmp_path / "kept").identical(moved(**more)) and len(trained) == 24
    trained.clear()
    moved(out=tmp_path / "kept", rates=[0.01, 0.02, 0.04])
    moved(out=tmp_path / "kept", rates=[0.005, 0.01, 0.02, 0.04])
    assert len(trained) == 12 + 4


def test_what_can_not_be_told_or_kept_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:

        def builder(width: int) -> nn.Module:
            file.write("built")
            return one(width)

        with pytest.raises(BadInput, match="live object"):
            check(builder, out=tmp_path / "kept")
        check(builder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BadInput, match="mine"):
        check(out=tmp_path / "mine")


def test_an_interrupted_command_says_what_it_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import os, signal\nfrom torch import nn\ndef build(width):\n    if width == 16:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n        import time; time.sleep(5)\n"
        "    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 1))\n"
    )
    np.savez(tmp_path / "data.npz", X=X.astype(np.float32), y=Y.astype(np.float32))
    words = ["width", "mine:build", "--data", "data.npz", "--widths", "4,8,16", "--seeds", "2"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    run = subprocess.run(
        [sys.executable, "-m", "phasescope", *words], cwd=tmp_path, capture_output=True, text=True, env=env
    )
    assert run.returncode == 3, run.stderr
    assert "what was finished is kept, and the same command resumes" in run.stderr
    with Store(tmp_path / "runs" / "width-mine-build", read_only=True) as store:
        assert len(store.records()) == 4


def test_a_command_that_keeps_nothing_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from phasescope import errors

    monkeypatch.setattr(errors._State, "kept", False)
    nothing = "interrupted; nothing new was kept, and the same command begins where this one did."
    with Store(tmp_path / "kept") as store:
        store.write("report.html", "a page is no work that a command goes on with")
    assert errors.interruption() == nothing
    with Store(tmp_path / "kept") as store:
        store.save({"seed": 0}, {}, {})
    assert errors.interruption() != nothing
    monkeypatch.setattr(errors._State, "kept", False)
    with Store(tmp_path / "kept", read_only=True) as store:
        assert store.load({"seed": 0}) is not None
    assert errors.interruption() == nothing
    with Store(tmp_path / "kept") as store:
        assert store.load({"seed": 1}) is None and errors.interruption() == nothing
        assert store.load({"seed": 0}) is not None
    assert errors.interruption() == "interrupted; what was finished is kept, and the same command resumes."


class Read:
    """A builder that reads how it begins, and in which mode, from a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, width: int) -> nn.Module:
        import torch

        scale, mode = self.file.read_text().split()
        net = nn.Sequential(nn.Linear(8, width), nn.Dropout(0.5), nn.Linear(width, 1)).train(mode == "train")
        with torch.no_grad():
            net[0].weight.mul_(float(scale))
        return net


@pytest.mark.parametrize("ask", [check, moved])
def test_what_a_builder_reads_elsewhere_counts(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[Any]
) -> None:
    (tmp_path / "begin.txt").write_text("1 train")
    builder = Read(tmp_path / "begin.txt")
    first = ask(builder, out=tmp_path / "kept")
    for text in ("3 train", "1 eval"):
        (tmp_path / "begin.txt").write_text(text)
        found = ask(builder, out=tmp_path / "kept")
        assert not found.identical(first) and found.identical(ask(builder)), text
    (tmp_path / "begin.txt").write_text("1 train")
    trained.clear()
    assert ask(builder, out=tmp_path / "kept").identical(first) and not trained


@pytest.mark.parametrize("ask", [check, moved])
def test_networks_that_do_not_come_again_are_not_kept(ask: Any, tmp_path: Path) -> None:
    from phasescope.width.kept import can_be_kept

    asked = {"times": 0}

    def builder(width: int) -> nn.Module:
        asked["times"] += 1
        return nn.Sequential(one(width), nn.Linear(1, 1), *[nn.Identity()] * (asked["times"] % 2))

    with pytest.raises(BadInput, match="made another network when it was asked again"):
        ask(builder, out=tmp_path / "kept")
    assert can_be_kept(one, 4) and not can_be_kept(builder, 4)


def test_layers_that_work_in_place_are_read_before_them() -> None:
    def builder(width: int, inplace: bool = False) -> nn.Module:
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(inplace), nn.Linear(width, 1))

    assert check(lambda width: builder(width, True), name="x").identical(check(builder, name="x"))


def test_labels_that_are_left_out_count_nothing() -> None:
    """The loss at the end is torch's, over the labels that count; arrays that can not be written are read as others."""
    import copy
    import warnings

    import torch

    labels = np.where(np.arange(32) < 9, -100, np.arange(32) % 3)
    labels.setflags(write=False)
    begun: list[nn.Module] = []

    def builder(width: int) -> nn.Module:
        begun.append(nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 3)))
        return copy.deepcopy(begun[-1])

    recipe = SGD.model_copy(update={"loss": "cross_entropy", "steps": 4})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = moved(builder, (X, labels), recipe)["loss"].values.ravel()
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(labels)
    rates = np.broadcast_to(np.array([0.01, 0.02, 0.04])[:, None], (2, 3, 2)).ravel()
    for loss, rate, net in zip(found, rates, begun, strict=True):
        optimizer = torch.optim.SGD(net.parameters(), rate)
        for _ in range(4):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        assert loss == pytest.approx(nn.functional.cross_entropy(net(x), y).item(), rel=1e-5)
