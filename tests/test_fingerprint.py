"""The law of identity: whatever changes a number changes the fingerprint, and nothing else need. Each way has a saboteur."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import decimal
import functools
import importlib
import io
import multiprocessing
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import types
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
import scipy
import torch
import torch.nn.functional as F
from torch import nn

import phasescope
from phasescope.identity import files_of, fingerprint, surroundings
from phasescope.instruments import ALL
from phasescope.learners import PowerMLP
from phasescope.vocabulary import BadInput

FACTOR = 2.0
TABLE = np.arange(3.0)
RULES: dict[str, Any] = {"power": 2}


def by_global(x: Any) -> Any:
    return FACTOR * x


def by_array(x: Any) -> Any:
    return TABLE * x


def by_rule(x: Any) -> Any:
    return x ** RULES["power"]


def helper(x: Any) -> Any:
    return x + 1


def by_helper(x: Any) -> Any:
    return helper(x)


def by_inner(x: Any) -> Any:
    return (lambda z: helper(z))(x)


def scaled(factor: float) -> Callable[[Any], Any]:
    return lambda x: factor * x


def defaulted(factor: float) -> Callable[..., Any]:
    def f(x: Any, by: float = factor) -> Any:
        return by * x

    return f


def keyword(factor: float) -> Callable[..., Any]:
    def f(x: Any, *, by: float = factor) -> Any:
        return by * x

    return f


def coded(body: str) -> Any:
    space: dict[str, Any] = {"__name__": "a_users_module", "np": np, "torch": torch}
    exec(textwrap.dedent(body), space)
    return space


def made(constant: int) -> types.ModuleType:
    """A user's module; its name is in no file."""
    module = types.ModuleType("a_users_module")
    module.CONSTANT = constant  # type: ignore[attr-defined]
    return module


def holding(module: Any) -> Callable[[Any], Any]:
    return lambda x: module.CONSTANT * x


class Slotted:
    __slots__ = ("__hidden", "gain")

    def __init__(self, gain: float, hidden: int = 0) -> None:
        self.gain, self.__hidden = gain, hidden


class Net(nn.Module):
    def __init__(self, gain: Any = 1.0, act: Any = torch.tanh, **more: Any) -> None:
        super().__init__()
        self.gain, self.act, self.inner = gain, act, nn.Sequential(nn.Linear(4, 3))
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.gain * self.act(self.inner(x))
        return out


def deep(value: Any) -> nn.Module:
    net = Net()
    net.inner[0].factor = value
    return net


def hooked(factor: float) -> nn.Module:
    net = Net()
    net.inner.register_forward_hook(lambda m, i, out: factor * out)
    return net


def with_class(**attributes: Any) -> Any:
    return type("Made", (nn.Module,), {"__module__": __name__, **attributes})()


class Tied(nn.Module):
    """Three layers, two of which share their weights, or the memory of them."""

    def __init__(self, tie: str, memory: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(3, 3, bias=False) for _ in "abc")
        one, other = (getattr(self, name) for name in tie)
        other.weight = nn.Parameter(one.weight.data) if memory else one.weight


class Named(np.ndarray):
    gain: float


def gained(gain: float, array: Any = None) -> Any:
    held = np.zeros(3).view(Named) if array is None else array
    held.gain = gain
    return held


def named(held: Any, name: str, value: Any) -> Any:
    setattr(held, name, value)
    return held


def weight_hooked(factor: float) -> nn.Module:
    net = Net()
    net.inner[0].weight.register_hook(scaled(factor))
    return net


def weight_gained(gain: float) -> nn.Module:
    net = Net()
    gained(gain, net.inner[0].weight)
    return net


def quiet(make: Callable[..., Any], *arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*arguments)


def weighted(weight: torch.Tensor) -> nn.Module:
    net = nn.Linear(*reversed(weight.shape), bias=False)
    net.weight = nn.Parameter(weight)
    return net


@functools.cache
def annotated(value: Any) -> type:
    return type("Made", (), {"__module__": __name__, "__annotations__": {"x": value}})


METHOD = "class A:\n    {}\n    def f(self, x): return {} * x\na = A()"

# each pair acts differently, in one way that a user can change a number
DIFFERENT: dict[str, Callable[[], tuple[Any, Any]]] = {
    "a constant": lambda: (lambda x: 2 * x, lambda x: 3 * x),
    "an operation": lambda: (lambda x: 2 * x, lambda x: 2 + x),
    "minus zero": lambda: (lambda x: x * 0.0, lambda x: x * -0.0),
    "true for one": lambda: (lambda x: x * 1, lambda x: x * True),
    "a constant set": lambda: (lambda x: x in {1, 2}, lambda x: x in {1, 3}),
    "an inner function": lambda: (lambda x: (lambda z: z)(x), lambda x: (lambda z: -z)(x)),
    "a closure": lambda: (scaled(1.0), scaled(2.0)),
    "a default": lambda: (defaulted(1.0), defaulted(2.0)),
    "a keyword's default": lambda: (keyword(1.0), keyword(2.0)),
    "an attribute asked": lambda: (lambda x: np.sin(x), lambda x: np.cos(x)),
    "a name called": lambda: (lambda x: abs(x), lambda x: round(x)),
    "a partial": lambda: (functools.partial(helper, 1), functools.partial(helper, 2)),
    "a method's object": lambda: (Net(1.0).forward, Net(2.0).forward),
    "a number": lambda: (Net(1.0), Net(2.0)),
    "an integer for a float": lambda: (Net(1.0), Net(1)),
    "a string": lambda: (Net(act="relu"), Net(act="tanh")),
    "a tuple": lambda: (Net((1, 2)), Net((2, 1))),
    "a list in a dict": lambda: (Net({"a": [1]}), Net({"a": [2]})),
    "the order of a dict": lambda: (Net({"a": 1, "b": 2}), Net({"b": 2, "a": 1})),
    "a set": lambda: (Net({1, 2}), Net({1, 3})),
    "nan": lambda: (Net(float("nan")), Net(0.0)),
    "an array": lambda: (Net(np.zeros(3)), Net(np.array([0.0, 0.0, 1e-30]))),
    "an array's dtype": lambda: (Net(np.zeros(3, np.float32)), Net(np.zeros(3, np.int32))),
    "an array's shape": lambda: (Net(np.zeros((2, 3))), Net(np.zeros((3, 2)))),
    "a tensor": lambda: (Net(torch.zeros(3)), Net(torch.ones(3))),
    "a bfloat16 tensor": lambda: (Net(torch.zeros(3).bfloat16()), Net(torch.ones(3).bfloat16())),
    "a function": lambda: (Net(act=torch.tanh), Net(act=torch.relu)),
    "a lambda": lambda: (Net(act=lambda z: z), Net(act=lambda z: 0 * z)),
    "a function's closure": lambda: (Net(act=scaled(1.0)), Net(act=scaled(2.0))),
    "a submodule's attribute": lambda: (deep(1), deep(2)),
    "a submodule": lambda: (Net(more=nn.ReLU()), Net(more=nn.GELU())),
    "a submodule's setting": lambda: (Net(more=nn.LeakyReLU(0.1)), Net(more=nn.LeakyReLU(0.2))),
    "heads of attention": lambda: (nn.TransformerEncoderLayer(8, 1), nn.TransformerEncoderLayer(8, 4)),
    "the norm's place": lambda: (
        nn.TransformerEncoderLayer(8, 1, norm_first=True), nn.TransformerEncoderLayer(8, 1, norm_first=False)
    ),
    "a hook": lambda: (hooked(1.0), hooked(2.0)),
    "any hook": lambda: (Net(), hooked(1.0)),
    "a buffer's shape": lambda: (Net(more=nn.Linear(2, 3)), Net(more=nn.Linear(2, 4))),
    "a frozen parameter": lambda: (Net(), Net().requires_grad_(False)),
    "an own forward": lambda: (Net(), Net(forward=lambda x: x)),
    "a class attribute": lambda: (with_class(gain=1), with_class(gain=2)),
    "a method": lambda: (with_class(f=lambda self: 1), with_class(f=lambda self: 2)),
    "a static method": lambda: (with_class(f=staticmethod(lambda: 1)), with_class(f=staticmethod(lambda: 2))),
    "a property": lambda: (with_class(f=property(lambda s: 1)), with_class(f=property(lambda s: 2))),
    "a slot": lambda: (Slotted(1.0), Slotted(2.0)),
    "a private slot": lambda: (Slotted(1.0, 1), Slotted(1.0, 2)),
    "a base class": lambda: tuple(
        coded(f"class B:\n    k = {k}\nclass A(B): pass\na = A()")["a"] for k in (1, 2)
    ),
    "a method that a method calls": lambda: tuple(
        coded(METHOD.format(f"def g(self): return {k}", "self.g()"))["a"] for k in (1, 2)
    ),
    "a function's function": lambda: tuple(
        coded(f"def g(x): return {k} * x\ndef f(x): return g(x)")["f"] for k in (1, 2)
    ),
    "a function two calls away": lambda: tuple(
        coded(f"def h(): return {k}\ndef g(x): return h()\ndef f(x): return g(x)")["f"] for k in (1, 2)
    ),
    "a cached function": lambda: (functools.lru_cache(scaled(1.0)), functools.lru_cache(scaled(2.0))),
    "a namespace": lambda: (Net(types.SimpleNamespace(a=1)), Net(types.SimpleNamespace(a=2))),
    "a module that a closure holds": lambda: (holding(made(1)), holding(made(2))),
    "a module that is an attribute": lambda: (Net(made(1)), Net(made(2))),
    "a text stream's content": lambda: (Net(io.StringIO("a")), Net(io.StringIO("b"))),
    "an argument's name in the exact network": lambda: (PowerMLP(5, 4), PowerMLP(5, 4, activation="relu")),
    "which weights are tied": lambda: (Tied("ab"), Tied("bc")),
    "which weights share memory": lambda: (Tied("ab", memory=True), Tied("ac", memory=True)),
    "weights that share memory": lambda: (Tied("ab", memory=True), Tied("aa")),
    "a weight's order in memory": lambda: (weighted(torch.ones(8, 16)), weighted(torch.ones(16, 8).t())),
    "channels last": lambda: (nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)),
    "an array's order in memory": lambda: (Net(np.ones((2, 3))), Net(np.ones((3, 2)).T)),
    "a mask": lambda: tuple(Net(np.ma.array([1.0, 2.0], mask=[0, k])) for k in (0, 1)),
    "an attribute of an array": lambda: (Net(gained(1.0)), Net(gained(3.0))),
    "an attribute of a tensor": lambda: tuple(Net(gained(k, torch.ones(2))) for k in (1.0, 3.0)),
    "an attribute of a weight": lambda: (weight_gained(1.0), weight_gained(3.0)),
    "a hook on a weight": lambda: (weight_hooked(1.0), weight_hooked(3.0)),
    "a sparse tensor": lambda: (Net(torch.eye(3)), Net(torch.eye(3).to_sparse())),
    "nested tensors": lambda: tuple(Net(quiet(torch.nested.nested_tensor, [torch.full((2,), k)])) for k in (1.0, 3.0)),
    "a scale of integers": lambda: tuple(
        Net(quiet(torch.quantize_per_tensor, torch.zeros(2), k, 0, torch.qint8)) for k in (1.0, 3.0)
    ),
    "a network that says it is compiled": lambda: tuple(Net(k, _orig_mod=nn.Linear(2, 2)) for k in (1, 3)),
    "what a wrapper stands for": lambda: tuple(named(lambda x: x, "__wrapped__", scaled(k)) for k in (1.0, 3.0)),
    "a wrapper that says it is compiled": lambda: tuple(
        named(scaled(k), "_torchdynamo_orig_callable", helper) for k in (1.0, 3.0)
    ),
    "a class of classes": lambda: tuple(
        coded(f"class M(type): gain = {k}\nclass A(metaclass=M): pass\na = A()")["a"] for k in (1, 3)
    ),
    "a property of classes": lambda: tuple(
        coded(f"class M(type):\n    @property\n    def gain(cls): return {k}\nclass A(metaclass=M): pass\na = A()")["a"]
        for k in (1, 3)
    ),
    "a value in an annotation": lambda: (annotated(typing.Annotated[int, 1]), annotated(typing.Annotated[int, 3])),
    "a field's metadata": lambda: tuple(
        dataclasses.make_dataclass("Made", [("x", int, dataclasses.field(default=0, metadata={"gain": k}))])
        for k in (1, 3)
    ),
    "an integer of many digits": lambda: (Net(10**5000), Net(10**5000 + 1)),
    "integers of many digits": lambda: (Net({10**5000: (10**5000,)}), Net({10**5000: (10**5000 + 1,)})),
    "a constant of many digits": lambda: tuple(coded(f"def f(): return {hex(k)}")["f"] for k in (10**5000, 10**5000 + 1)),
    "categories": lambda: (Net(pd.Categorical(["a", "b"])), Net(pd.Categorical(["b", "a"]))),
}  # fmt: skip


def law_difference(way: str, told: Callable[..., str] = fingerprint) -> None:
    """What acts differently has another fingerprint, and what is made twice alike the same."""
    one, other = DIFFERENT[way]()
    assert told(one, weights=False) != told(other, weights=False), way
    assert told(one, weights=False) == told(DIFFERENT[way]()[0], weights=False), way


@pytest.mark.parametrize("way", DIFFERENT)
def test_what_acts_differently_has_another_fingerprint(way: str) -> None:
    law_difference(way)


# files of a user's, in which @@ is 1 or 3; what is asked for is ``main.f``
LAB = {"lab/__init__.py": "", "lab/consts.py": "GAIN = @@"}
FILES: dict[str, dict[str, str]] = {
    "a part imported later": {**LAB, "main.py": "import lab\ndef f():\n    from lab.consts import GAIN\n    return GAIN"},
    "a package imported later": {**LAB, "main.py": "def f():\n    from lab.consts import GAIN\n    return GAIN"},
    "a module of a package": {**LAB, "main.py": "def f():\n    from lab import consts\n    return consts.GAIN"},
    "a dotted import later": {**LAB, "main.py": "def f():\n    import lab.consts\n    return lab.consts.GAIN"},
    "a relative import later": {
        **LAB, "lab/net.py": "def f():\n    from . import consts\n    return consts.GAIN", "main.py": "from lab.net import f",
    },
    "what a later import imports": {
        "helper.py": "from consts import GAIN\ndef g(): return GAIN", "consts.py": "GAIN = @@",
        "main.py": "def f():\n    from helper import g\n    return g()",
    },
    "what a later import imports beside it": {
        **LAB, "lab/helper.py": "def g():\n    from .consts import GAIN\n    return GAIN",
        "main.py": "def f():\n    from lab.helper import g\n    return g()",
    },
    "a module that makes its names": {
        "cfg.py": "_V = dict(gain=@@)\ndef __getattr__(n): return _V[n]", "main.py": "import cfg\ndef f(): return cfg.gain",
    },
    "a module that makes its names, handed on": {
        "cfg.py": "def __getattr__(n): return @@",
        "main.py": "import cfg\ndef f(): return getattr(cfg, 'gain')",
    },
    "a package that loads its parts when asked": {
        **LAB, "lab/__init__.py": "import importlib\ndef __getattr__(n): return importlib.import_module('lab.' + n)",
        "main.py": "import lab\ndef f(): return lab.consts.GAIN",
    },
    "a file with the name of one of Python's": {
        "sched.py": "CFG = {'gain': @@}", "main.py": "import sched\ndef f(): return sched.CFG['gain']",
    },
    "a module of another class": {
        "cfg.py": "import sys, types\nclass M(types.ModuleType):\n    @property\n    def gain(self): return @@\n"
        "sys.modules[__name__].__class__ = M",
        "main.py": "import cfg\ndef f(): return cfg.gain",
    },
}  # fmt: skip


def told_of_files(way: str, value: int) -> str:
    """The fingerprint of ``main.f`` where the files stand in a folder and nothing of them was loaded before."""
    names = {name.split("/")[0].removesuffix(".py") for name in FILES[way]}
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in names}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES[way].items():
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_text(text.replace("@@", str(value)))
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            return fingerprint(importlib.import_module("main").f)
        finally:
            sys.path.remove(folder)
            for name in [name for name in sys.modules if name.split(".")[0] in names]:
                del sys.modules[name]
            sys.modules.update(before)


@pytest.mark.parametrize("way", FILES)
def test_a_constant_in_a_file_counts_however_it_is_reached(way: str) -> None:
    assert told_of_files(way, 1) != told_of_files(way, 3)
    assert told_of_files(way, 1) == told_of_files(way, 1)


# what can be put into a library, and what then acts differently
PUT: dict[str, tuple[Any, str, Any, Any, Any]] = {
    "a number on a class of torch's": (nn.Linear, "gain", 1, 3, nn.Linear(1, 1)),
    "a tuple on a class of torch's": (nn.Linear, "gain", (1,), (3,), nn.Linear(1, 1)),
    "a tensor on a class of torch's": (nn.Module, "gain", torch.ones(1), torch.zeros(1), nn.Linear(1, 1)),
    "a rule on a class of torch's": (nn.Linear, "rule", {"gain": 1}, {"gain": 3}, nn.Linear(1, 1)),
    "another class's method": (nn.ReLU, "forward", nn.Tanh.forward, nn.GELU.forward, nn.ReLU()),
    "a dictionary in torch": (torch, "cfg", {"gain": 1}, {"gain": 3}, lambda: torch.cfg["gain"]),  # type: ignore[attr-defined]
    "a namespace in torch": (
        torch, "cfg", types.SimpleNamespace(a=1), types.SimpleNamespace(a=3), lambda: torch.cfg.a,  # type: ignore[attr-defined]
    ),
    "a dictionary in a part of torch": (F, "cfg", {"gain": 1}, {"gain": 3}, lambda: F.cfg["gain"]),  # type: ignore[attr-defined]
    "a dictionary in Python's": (sys, "cfg", {"gain": 1}, {"gain": 3}, lambda: sys.cfg["gain"]),  # type: ignore[attr-defined]
    "a built-in function": (np, "abs", np.sin, np.cos, lambda x: np.abs(x)),
    "a function of torch": (torch, "tanh", torch.relu, torch.sigmoid, lambda x: torch.tanh(x)),
    "a partial in torch": (torch, "tanh", functools.partial(pow, 1), functools.partial(pow, 3), lambda x: torch.tanh(x)),
}  # fmt: skip


@pytest.mark.parametrize("way", PUT)
def test_what_is_put_into_a_library_is_noticed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, one, other, acts = PUT[way]
    seen = []
    for value in (one, other, one):
        monkeypatch.setattr(owner, name, value, raising=False)
        seen.append(fingerprint(acts))
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.parametrize(
    "owner, name, one, other",
    [
        (F, "gelu", lambda x, **how: 1 * x, lambda x, **how: 3 * x),
        (nn.init, "kaiming_uniform_", *(functools.partial(nn.init.uniform_, b=b) for b in (1.0, 3.0))),
        (torch.Tensor, "relu", lambda x: x, lambda x: 3 * x),
        (torch.Tensor, "__rsub__", lambda x, y: x, lambda x, y: 3 * x),
        *((nn.modules.module, f"_global_{w}_hooks", *({7: scaled(k)} for k in (1.0, 3.0)))
          for w in ("forward", "forward_pre", "backward", "parameter_registration")),
        (decimal.getcontext(), "prec", 5, 7),
        (mpmath.mp, "dps", 3, 4),
    ],
)  # fmt: skip
def test_what_is_changed_around_all_networks_is_noticed(
    owner: Any, name: str, one: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = surroundings(), []
    with monkeypatch.context() as patch:
        for value in (one, other):
            patch.setattr(owner, name, value, raising=False)
            seen.append(surroundings())
    assert before not in seen and seen[0] != seen[1]
    assert surroundings() == before


def test_what_lies_around_is_told_fast() -> None:
    surroundings()
    start = time.process_time()
    for _ in range(100):
        surroundings()
    assert time.process_time() - start < 1  # a hundredth of that where nothing else runs


@pytest.mark.parametrize(
    "function, name, value",
    [
        (by_global, "FACTOR", 3.0),
        (by_array, "TABLE", np.arange(3.0)[::-1].copy()),
        (by_rule, "RULES", {"power": 3}),
        (by_helper, "helper", lambda x: x - 1),
        (by_inner, "helper", lambda x: x - 1),
        (by_helper, "helper", np.sin),
    ],
)
def test_a_global_that_is_changed_is_noticed(
    function: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(function)
    monkeypatch.setitem(globals(), name, value)
    assert fingerprint(function) != before


def test_what_is_changed_in_place_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(by_array), fingerprint(by_rule)
    monkeypatch.setitem(RULES, "power", 5)
    TABLE[1] = 7
    try:
        assert fingerprint(by_array) != before[0] and fingerprint(by_rule) != before[1]
    finally:
        TABLE[1] = 1


def test_a_patched_library_and_a_patched_house_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    net, ours = nn.Linear(2, 2), PowerMLP(5, 4)
    uses = lambda x: torch.nn.functional.relu(x)  # noqa: E731
    before = [fingerprint(x, weights=False) for x in (net, ours, uses)]
    for owner, name in ((nn.Linear, "forward"), (PowerMLP, "forward"), (torch.nn.functional, "relu")):
        monkeypatch.setattr(owner, name, lambda *a: 0)
    after = [fingerprint(x, weights=False) for x in (net, ours, uses)]
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_weights_count_where_they_are_asked_for() -> None:
    one = nn.Linear(3, 2)
    other = nn.Linear(3, 2)
    assert fingerprint(one, weights=False) == fingerprint(other, weights=False)
    assert fingerprint(one) != fingerprint(other)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) == fingerprint(other)


def test_a_user_s_module_is_followed_by_what_is_asked_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_to_follow.py").write_text("K = 2\ndef g(x): return K * x\ndef idle(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_to_follow  # type: ignore[import-not-found]

    f = coded("def f(x):\n    import mine_to_follow\n    return mine_to_follow.g(x)")["f"]
    g = coded("def f(x):\n    from mine_to_follow import g\n    return g(x)")["f"]
    before = fingerprint(f), fingerprint(g)
    mine_to_follow.K = 3
    assert fingerprint(f) != before[0] and fingerprint(g) != before[1]


class Alive:
    def __init__(self, **held: Any) -> None:
        self.held = held


class Told(Alive):
    def describe(self) -> dict[str, Any]:
        return {"version": self.held["version"]}


blindly = exec

LIVE: dict[str, Callable[[], Any]] = {
    "an open file": lambda: open(__file__),  # noqa: SIM115
    "a lock": threading.Lock,
    "an iterator that runs": lambda: (i for i in range(3)),
    "a random generator": lambda: np.random.default_rng(0),
    "numpy's old generator": lambda: np.random.RandomState(0),
    "torch's generator": torch.Generator,
    "a meta tensor": lambda: torch.zeros(2, device="meta"),
    "a scripted network": lambda: _scripted(),
    "a thread": lambda: threading.Thread(),
    "a lock of processes": multiprocessing.Lock,
    "a C function": lambda: ctypes.CDLL(None).abs,
    "a function as a ufunc": lambda: np.frompyfunc(helper, 1, 1),
    "an operator": lambda: lambda x: torch.ops.a_users.mul(x),
    "operators by a name": lambda: lambda x, name: getattr(torch.ops, name)(x),
    "a text that is run": lambda: lambda x: eval("FACTOR * x"),
    "a text that is run, aliased": lambda: lambda x: blindly("FACTOR = x"),
    "all globals": lambda: lambda x: globals()["FACTOR"] * x,
    "another's globals": lambda: lambda x: helper.__globals__["FACTOR"] * x,
    "all modules": lambda: lambda x: sys.modules["lab"].GAIN * x,
    "a module by a name": lambda: lambda name: importlib.import_module(name).GAIN,
    "all subclasses": lambda: lambda x: Alive.__subclasses__()[0].gain * x,
}


def _scripted() -> Any:
    return quiet(torch.jit.script, nn.Linear(1, 1))


@pytest.mark.parametrize("what", LIVE)
def test_what_can_not_be_told_is_refused_with_the_mend(what: str) -> None:
    live = LIVE[what]()
    try:
        for holder in (Alive(it=live), lambda x: live, [live]):
            with pytest.raises(BadInput, match=r"(?s)can not be told.*; \w+") as refused:
                fingerprint(holder)
            assert len(str(refused.value)) < 400
        if not isinstance(live, nn.Module):
            assert fingerprint(Told(it=live, version=1)) != fingerprint(Told(it=live, version=2))
    finally:
        if hasattr(live, "close"):
            live.close()


def by_loading() -> Any:
    import colorsys

    return colorsys.rgb_to_hls


def by_loading_a_part() -> Any:
    from xml.dom import pulldom

    return pulldom.parse


def by_a_part_that_loads_itself() -> Any:
    return scipy.cluster.vq


@pytest.mark.parametrize(
    "function, module",
    [(by_loading, "colorsys"), (by_loading_a_part, "xml.dom.pulldom"), (by_a_part_that_loads_itself, "scipy.cluster")],
)
def test_what_a_library_has_loaded_meanwhile_says_nothing(
    function: Callable[[], Any], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed after it had loaded a part is taken up by a process that has not."""
    home, _, part = module.rpartition(".")
    monkeypatch.delitem(sys.modules, module, raising=False)
    if home in sys.modules:
        monkeypatch.delitem(vars(sys.modules[home]), part, raising=False)
    before = fingerprint(function)
    assert function() is not None and module in sys.modules
    assert fingerprint(function) == before


@pytest.mark.parametrize(
    "fails", ["", "raise RuntimeError('not today')", "raise SystemExit(1)", "import no_such_thing"]
)
def test_a_file_that_is_imported_by_and_by_is_told_the_same(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own file, imported where a function runs: the same before and after, and another when it changed."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def told(gain: int) -> tuple[str, str]:
        for name in ("by_and_by", "later"):
            sys.modules.pop(name, None)
        (tmp_path / "later.py").write_text(f"gain = {gain}\n{fails}\n")
        (tmp_path / "by_and_by.py").write_text("def f():\n    import later\n    return later.gain\n")
        importlib.invalidate_caches()
        f = importlib.import_module("by_and_by").f
        before = fingerprint(f)
        if not fails:
            assert f() == gain
        return before, fingerprint(f)

    one, other = told(1), told(300)
    assert one[0] == one[1] and other[0] == other[1] and one != other
    for name in ("by_and_by", "later"):
        sys.modules.pop(name, None)


def test_it_is_the_same_in_a_fresh_process() -> None:
    """Another order of hashing, of sets and of memory: the same fingerprint."""
    code = """
    import sys, types; sys.path[:0] = %r
    import numpy as np, torch
    from torch import nn
    import test_fingerprint as t
    from phasescope.identity import fingerprint
    things = [make()[0] for name, make in t.DIFFERENT.items()]
    print([t.told_of_files(way, 1) for way in t.FILES], t.surroundings())
    print([fingerprint(acts, weights=False) for _, _, _, _, acts in list(t.PUT.values())[:4]])
    held = types.SimpleNamespace(_original_object_hash=hash("text"), rate=1)  # as transformers' settings of generation
    print(fingerprint(held), fingerprint(held) != fingerprint(types.SimpleNamespace(rate=2)))
    print([fingerprint(thing, weights=False) for thing in things], fingerprint({"a", "b", "c", ("d", 1)}, lambda x: x in {"p", "q", "r"}))
    """
    places = [str(Path(__file__).parent), str(Path(phasescope.__file__).parent.parent)]
    seen = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code) % (places,)],
            capture_output=True, text=True, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1


def test_every_instrument_of_ours_has_its_own() -> None:
    assert len({fingerprint(i) for i in ALL}) == len(ALL)


ROOMS_BY_SUBJECT = ("theory", "instruments")


def test_the_house_is_followed_by_its_imports() -> None:
    """A study that initializes with autoinit depends on it; the engine depends on no study, no report and no theory."""
    study = {file.name for file in files_of("phasescope.studies.autoinit.networks")}
    assert {"autoinit.py", "autoinit_jacobians.py", "vgg.py"} <= study
    grokking = {file.name for file in files_of("phasescope.studies.grokking") if file.parent.name in ROOMS_BY_SUBJECT}
    assert {"modular_addition.py", "fourier.py", "logits.py", "norms.py"} <= grokking
    assert not {"transformer_signal.py", "isotropy.py"} & grokking  # what it does not use may change
    for room in ROOMS_BY_SUBJECT:  # its names are fetched when they are used: any of its files may be meant
        reached = {file for file in files_of(f"phasescope.{room}") if file.parent.name == room}
        assert reached == set(next(iter(reached)).parent.glob("*.py"))
    engine = {file.parent.name for file in files_of("phasescope.ensemble.train")}
    assert engine == {"phasescope", "ensemble", "identity"}
    assert "adapters.py" in {file.name for file in files_of("phasescope.studies.layer_pruning.model")}


def test_a_class_made_in_a_function_is_the_same_where_it_is_sent() -> None:
    """What carries it to other processes drops the part of its name that says where it was made."""

    class Local(nn.Linear):
        pass

    here = fingerprint(Local, Local(2, 2), weights=False)
    Local.__qualname__ = "Local"
    assert fingerprint(Local, Local(2, 2), weights=False) == here


def test_a_function_of_torchs_is_the_same_after_it_was_called() -> None:
    from torch.utils.checkpoint import checkpoint

    before = fingerprint(checkpoint)
    checkpoint(torch.sin, torch.ones(1, requires_grad=True), use_reentrant=False)
    assert hasattr(checkpoint.__wrapped__, "__dynamo_disable"), "torch keeps it elsewhere"
    assert fingerprint(checkpoint) == before


def test_networks_are_the_same_after_something_was_compiled() -> None:
    from torch._dynamo.mutation_guard import install_generation_tagging_init

    kept = {name: vars(nn.Module)[name] for name in ("__init__", "__setstate__") if name in vars(nn.Module)}
    before = fingerprint(nn.Linear(2, 2), weights=False)
    try:
        nn.Module.___needs_generation_tag_patch = True  # type: ignore[attr-defined]
        install_generation_tagging_init()
        assert nn.Module.__init__ is not kept["__init__"], "torch notes it elsewhere"
        assert fingerprint(nn.Linear(2, 2), weights=False) == before
    finally:
        for name, value in kept.items():
            setattr(nn.Module, name, value)
        del nn.Module.___needs_generation_tag_patch  # type: ignore[attr-defined]


def test_a_class_is_the_same_after_one_of_it_was_copied() -> None:
    class Own:
        number = 1

    before = fingerprint(Own(), Own)
    copy.deepcopy(Own())
    assert "__slotnames__" in vars(Own), "Python keeps it elsewhere"
    assert fingerprint(Own(), Own) == before


def test_a_variable_of_the_shell_counts_where_code_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def asks() -> float:
        return float(os.environ.get("PHASESCOPE_GAIN", "1"))

    def gets() -> Any:
        return [os.getenv("PHASESCOPE_GAIN") for _ in range(2)]

    def other() -> str | None:
        return os.getenv("PHASESCOPE_OTHER")

    before = [fingerprint(f) for f in (asks, gets, other)]
    monkeypatch.setenv("PHASESCOPE_GAIN", "3")
    after = [fingerprint(f) for f in (asks, gets, other)]
    assert [a != b for a, b in zip(before, after, strict=True)] == [True, True, False]
