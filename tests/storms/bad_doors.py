"""Bad inputs of ``bad_input``, family by family: each a call of a public door, drawn from a generator."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

import phasescope as ps
from phasescope import instruments, losses, tasks
from phasescope.ensemble import streams
from phasescope.instruments.logits import train_loss
from phasescope.lab import bench as _lab
from phasescope.lab import study_named, study_points
from phasescope.subjects import public
from phasescope.theory.criticality import Block
from phasescope.verdict import decide, estimate, interval, judge
from phasescope.vocabulary import Draw

sys.path.insert(0, str(Path(__file__).parents[1]))
from bad_values import NAMES, NUMBERS, TEXTS, Call, array, value, values, word

from test_theory_domains import CALLS, THEORY

# -- families ----------------------------------------------------------------------------------------------------------


def grid(rng: random.Random) -> Call:
    """Return a grid, a scatter, a member, a span or a place of it."""
    axes = {rng.choice(NAMES): values(rng) for _ in range(rng.randrange(3))}
    knobs = {rng.choice(NAMES): value(rng) for _ in range(rng.randrange(3))}
    seeds = rng.choice((1, value(rng), values(rng)))
    good = [ps.Member({"lr": 0.1}, 0), ps.Member({"lr": 0.2}, 1)]
    axis = f"{rng.choice(NAMES)}={rng.choice(NUMBERS)}:{rng.choice(NUMBERS[:26])}{rng.choice(('', ':log', ':int', ':lg', ':'))}"
    plain, count = rng.choice((*NUMBERS[:20],)), value(rng)
    span = ps.Span("lr", 0.5, 8.0, rng.choice(("linear", "log")))
    return rng.choice((
        Call("ps.Grid", ps.Grid, (axes if rng.random() < 0.9 else value(rng),), {"seeds": seeds}),
        Call("list(ps.Grid)", lambda a, s: list(ps.Grid(a, seeds=s))[:3], ({"lr": values(rng)}, seeds)),
        Call("ps.Member", ps.Member, (knobs if rng.random() < 0.9 else value(rng), value(rng))),
        Call("ps.Scatter", ps.Scatter, (rng.choice((values(rng), [*good, ps.Member({"a": 1}, 0)], iter(good), good[0])),)),
        Call("ps.Span", ps.Span, (rng.choice(NAMES), value(rng), plain, word(rng)) if rng.random() < 0.5 else ("lr", plain, value(rng))),
        Call("ps.Span.parse", ps.Span.parse, (axis if rng.random() < 0.9 else value(rng),)),
        Call("Span.values", span.values, (count if not (isinstance(count, int) and 10**6 >= count > 1000) else 5,)),
        Call("Span.at", span.at, (array(rng), rng.choice((5, value(rng))))),
    ))  # fmt: skip


def recipe(rng: random.Random) -> Call:
    """Return a recipe of which one to three numbers are odd, or one that has an unknown name."""
    known = list(ps.Recipe.model_fields)
    changes = {rng.choice(known): value(rng) for _ in range(rng.randrange(1, 4))}
    for name in ("optimizer", "loss", "dtype"):
        if name in changes or rng.random() < 0.1:
            changes[name] = word(rng)
    if rng.random() < 0.15:
        changes[rng.choice(("learning_rate", "wieght_decay", "Lr", "größe", "seeds", "x" * 900))] = value(rng)
    return Call("ps.Recipe", ps.Recipe, (), changes)


class Odd(nn.Module):
    """A network that goes wrong as ``way`` says."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.layer = way, nn.Linear(2, 3)
        if way == "integer parameter":
            self.count = nn.Parameter(torch.arange(3), requires_grad=False)
        if way == "nan parameter":
            nn.init.constant_(self.layer.bias, float("nan"))
        if way == "frozen":
            self.requires_grad_(False)
        if way == "lazy":
            self.layer = nn.LazyLinear(3)  # type: ignore[assignment]
        if way == "meta":
            self.to("meta")
        if way == "half":
            self.half()

    def forward(self, x: Any) -> Any:
        """Return outputs (N, 3), or what ``way`` makes of them."""
        out = self.layer(x)
        ways = {"tuple": lambda: (out, out), "none": lambda: None, "one row": lambda: out[:1], "sum": lambda: out.sum(),
                "wide": lambda: torch.cat([out, out], 1), "flat": lambda: out.flatten(), "integer": lambda: out.argmax(1),
                "float": lambda: float(out.sum()), "numpy": lambda: out.detach().numpy(), "detached": lambda: out.detach(),
                "raises": lambda: [][1], "complex": lambda: out + 1j, "nan": lambda: out / 0 - out / 0,
                "batch": lambda: out - out.mean(0), "random": lambda: out + torch.rand(3), "branch": lambda: out if out.sum() > 0 else -out}  # fmt: skip
        return ways.get(self.way, lambda: out)()


WAYS = ("tuple", "none", "one row", "sum", "wide", "flat", "integer", "float", "numpy", "detached", "raises", "complex",
        "nan", "batch", "random", "branch", "integer parameter", "nan parameter", "frozen", "lazy", "meta", "half", "")  # fmt: skip


def trained(rng: random.Random) -> Call:
    """Return a training of two steps in which the network, the task, the grid or the recipe is odd."""
    good = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    table = tasks.Table("t", good, np.arange(12) % 3, 3)
    odd = rng.choice(("learner", "learner", "task", "grid", "options", "sampler", "watch", "draw"))
    learner: Any = Odd(rng.choice(WAYS) if odd == "learner" else "")
    if odd == "learner" and rng.random() < 0.3:
        made = rng.choice((nn.Linear(5, 3), nn.Linear(2, 4), nn.Linear(2, 2), nn.Identity(), nn.Sequential(), Odd, value(rng),
                           lambda m: None, lambda m: m["nothing"], lambda: 1, nn.BatchNorm1d(2), nn.Embedding(3, 3),
                           nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), nn.LSTM(2, 3), nn.Conv2d(1, 3, 3)))  # fmt: skip
        learner = made
    task: Any = table
    if odd == "task":
        task = rng.choice((value(rng), lambda m: None, lambda m: m["nothing"], lambda m: table.labels, table.inputs, tasks.Table,
                           tasks.Table("t", good[:, :1], np.arange(12) % 3, 3), tasks.Table("t", np.arange(24).reshape(12, 2), np.arange(12) % 3, 3)))  # fmt: skip
    if odd == "draw":
        parts = [good, np.arange(12) % 3, np.arange(12) % 3, np.arange(6), np.arange(6, 12), np.ones(12)]
        parts[rng.randrange(6)] = array(rng)
        task = Drawing(Draw(*parts))
    if odd == "sampler":
        sample = rng.choice(
            (lambda g, n: (array(rng), array(rng)), lambda g, n: None, lambda g: 1, lambda g, n: (good, 0))
        )
        task = tasks.Sampler("s", sample, 3, readout_size=4)
    cells = ps.Grid({rng.choice(NAMES): values(rng)}) if odd == "grid" else ps.Grid()
    options: dict[str, Any] = {"device": "cpu", "workers": 1}
    if odd == "options":
        name = rng.choice(("device", "engine", "workers", "tile", "checkpoint_every", "watch", "at_end", "keeper", "progress", "out"))  # fmt: skip
        few = {"workers": (0, -1, "2", 1.5, None, True), "out": (0, "", " ", b"x", [], {}, __file__, "/dev/null/x")}
        options[name] = rng.choice(few[name]) if name in few else value(rng)
    if odd == "watch":
        options[rng.choice(("watch", "at_end"))] = rng.choice((instruments.ALL, (max,), [lambda s: s.nothing], (lambda s: 1,), "train_loss", [None], (train_loss,) * 2))  # fmt: skip
    how = ps.Recipe(steps=2, records=2, batch=rng.choice((None, 2, 100)), loss=rng.choice(("mse", "cross_entropy")))
    call = Call(f"ps.train[{getattr(learner, 'way', '')}; {odd}]", ps.train, (learner, task, cells, how), options)
    return call


class Drawing:
    """A task of one draw, as a user writes it."""

    name, classes, knobs = "drawing", 3, {}

    def __init__(self, drawn: Draw) -> None:
        self.drawn = drawn

    def draw(self, member: Any, generators: Any) -> Draw:
        """Return the draw."""
        return self.drawn

    def describe(self) -> dict[str, Any]:
        """Return the name."""
        return {"task": self.name}


def table(rng: random.Random) -> Call:
    """Return a table, a sampler, a function of tasks, or a training of two steps."""
    if rng.random() < 0.4:
        return trained(rng)
    share = {"train_fraction": rng.choice((0.5, value(rng))), "corruption": rng.choice((0.0, value(rng)))}
    labels = rng.choice((array(rng), np.arange(4) % 2, [0, 1, 2, 5]))
    odd = [x if not isinstance(x, int) or abs(x) < 100 or abs(x) > 10**8 else 5 for x in (value(rng), value(rng))]
    size, formulas = (
        rng.choice((5, odd[0])),
        (lambda n, m: n + m, lambda n: n, lambda n, m: None, lambda n, m: n / m, lambda n, m: [1]),
    )
    formula = rng.choice((*formulas, lambda n, m: "a", lambda n, m: n**0.5, lambda n, m: n + float("nan"), value(rng)))
    draw = lambda d, f: tasks.LinearTarget(3, 0.9, 0.1).draw(ps.Member({"gamma": d, "angle": f}, 0), streams(0))  # noqa: E731
    return rng.choice((
        Call("Table", tasks.Table, (rng.choice(("t", "t", value(rng))), array(rng), labels, rng.choice((3, value(rng)))), share),
        Call("Table", tasks.Table, ("t", np.ones((4, 2)), labels, rng.choice((3, value(rng)))), share),
        Call("Sampler", tasks.Sampler, ("s", rng.choice((lambda g, n: 1, value(rng))), rng.choice((3, value(rng))), value(rng))),
        Call("addition", tasks.addition, (size,), {"arity": rng.choice((2, odd[1])), **share}),
        *(Call(f.__name__, f, (size,), share) for f in (tasks.subtraction, tasks.multiplication, tasks.division)),
        Call("function", tasks.function, (5, formula), share),
        Call("LinearTarget", tasks.LinearTarget, (size if not isinstance(size, float) else 3, value(rng), value(rng), value(rng))),
        Call("LinearTarget.draw", draw, (value(rng), value(rng))),
        Call("GaussianMixture", tasks.GaussianMixture, (size if not isinstance(size, float) else 3, value(rng), value(rng))),
        Call("InContextLinear", tasks.InContextLinear, (rng.choice((5, odd[0])), value(rng)), {"alpha": value(rng), "readout": 2}),
        Call("InContextRegression", tasks.InContextRegression, (rng.choice((3, odd[0])), value(rng)), {"noise": value(rng)}),
        Call("target_direction", tasks.target_direction, (rng.choice((3, odd[0])), value(rng))),
        Call("images", tasks.images, ("i", array(rng), array(rng)), {"train_fraction": rng.choice((0.8, value(rng)))}),
        Call("fashion_mnist", tasks.fashion_mnist, ("/nowhere",), {"size": rng.choice((28, value(rng)))}),
        Call("emoji", tasks.emoji, ("/nowhere",), {"size": rng.choice((16, odd[0]))}),
    ))  # fmt: skip


def claims(rng: random.Random) -> Call:
    """Return an expectation, a control, a claim, an interval or a judgement of a small dataset."""
    data = xr.Dataset({"loss": ("seed", np.arange(4.0))}, {"seed": range(4)})
    effects = (lambda d: d["loss"], lambda d: d["los"], lambda d: d.nothing, lambda d: d["loss"].sel(seed=9), lambda d: array(rng),
               lambda d: d["loss"].isel(step=0), lambda d: None, lambda d: "a", lambda d: d["loss"] / 0, lambda d: [], lambda d: {},
               lambda d: 1 / 0, lambda d: d["loss"].values.reshape(3, 3), lambda d: d["loss"].mean("step"), lambda d: d["loss"].values[7], lambda: 1)  # fmt: skip
    seen, other = rng.choice(effects), rng.choice(effects)
    expected = rng.choice((ps.Expectation.at_least(0.5), value(rng)) if rng.random() < 0.2 else (ps.Expectation(0, 2),))
    statistic = word(rng) if rng.random() < 0.3 else rng.choice(("median", "mean", "proportion"))

    def judged(effect: Any, opposed: Any, alpha: Any, statistic: str, results: Any) -> Any:
        one = ps.Claim("a", "s", ps.Source(ours="s"), effect, ps.Expectation(0, 2), ps.Control("c", opposed), statistic)  # type: ignore[arg-type]
        return judge([one], results, alpha)

    two = [value(rng), value(rng)]
    name = rng.choice(("near", "between", "at_least", "at_most"))
    some, known = array(rng), rng.choice((0.95, value(rng)))
    return rng.choice((
        Call("Expectation", ps.Expectation, (*two, rng.choice(("", "x", value(rng))))),
        Call(f"Expectation.{name}", getattr(ps.Expectation, name), tuple(two if name in ("near", "between") else two[:1])),
        Call("Control", ps.Control, (rng.choice(("c", word(rng))), rng.choice((max, value(rng))))),
        Call("Claim", ps.Claim, (rng.choice(("a", word(rng))), "s", rng.choice(("s", word(rng))), rng.choice((max, value(rng))), expected, rng.choice((ps.Control("c", max), value(rng))), statistic)),
        *[Call("judge", judged, (seen, other, rng.choice((0.05, value(rng))), statistic, rng.choice((data, data, data, xr.Dataset(), value(rng)))))] * 3,
        Call("judge", judge, (values(rng), data)),
        Call("interval", interval, (some, statistic, known, np.random.default_rng(0))),
        Call("estimate", estimate, (some, statistic)),
        Call("decide", decide, (ps.Expectation(0, 1), (rng.choice(NUMBERS), rng.choice(NUMBERS)), (0.0, rng.choice(NUMBERS)))),
    ))  # fmt: skip


def readings(rng: random.Random) -> Call:
    """Return what is asked of a run: of a dataset that has lost a part, has an odd one, or is asked for odd numbers."""
    g, dims = np.random.default_rng(0), ("lr", "seed", "step")
    names = ("train_accuracy", "test_accuracy", "train_loss", "softmax_collapse", "sharpness")
    data = xr.Dataset(
        {name: (dims, g.random((2, 3, 4))) for name in names}, {"lr": [0.1, 2.0], "step": [0, 1, 10, 100]}
    )
    fates = np.array(["diverged", "memorized", "generalized", "out of steps", "memorized", "odd"]).reshape(2, 3)
    steps = g.integers(0, 101, (2, 3))
    data = data.assign(fate_step=(dims[:2], steps)).assign_coords(fate=(dims[:2], fates), last_step=(dims[:2], steps))
    part = rng.choice((*names, "fate", "last_step", "fate_step", "step", "lr"))
    odd: Any = rng.choice((
        lambda: data, lambda: data.drop_vars(part), lambda: data[[part]] if part in data.data_vars else data.drop_vars(names[0]),
        lambda: data.isel(step=slice(0, rng.randrange(2))), lambda: data.isel(step=-1), lambda: data.isel(lr=0, seed=1),
        lambda: data.isel(seed=slice(0, 0)), lambda: data.transpose(*rng.sample(dims, 3)), lambda: data * np.nan,
        lambda: data.assign({part: data[part].astype(rng.choice((str, object, bool, int)))}), lambda: data.sortby("step", ascending=False),
        lambda: data.assign({part: rng.choice((0, "a", np.inf, -1))}), lambda: data.stack(member=("lr", "seed")), lambda: value(rng),
        lambda: data.rename(step="time"), lambda: data.expand_dims(again=2), lambda: data[names[0]], xr.Dataset,
    ))()  # fmt: skip
    levels = rng.choice(((0.9, 0.9), value(rng), (value(rng), 0.9), values(rng)))
    how = rng.choice((None, value(rng), ps.Recipe(optimizer="sgd"), ps.Recipe(loss="cross_entropy", weight_decay=40.0)))
    lag = rng.choice((1000, 0, value(rng)))
    return rng.choice(
        (Call("ps.stages", ps.stages, (odd, levels), {"lag": lag}), Call("ps.diagnosis", ps.diagnosis, (odd, how)))
    )


def replaced(rng: random.Random, name: str, found: Any) -> Any:
    """Return what stands in the place of the good argument ``found``."""
    if isinstance(found, np.ndarray | torch.Tensor | list | tuple | range) and rng.random() < 0.85:
        return array(rng) if rng.random() < 0.7 else values(rng)
    if isinstance(found, str):
        return word(rng)
    if isinstance(found, int) and not isinstance(found, bool) and rng.random() < 0.3:
        return rng.choice((found + 1, -found, found * 1000, 4, 6, 9, 997, 999_983, found + 0.5, float(found)))
    if callable(found) and rng.random() < 0.7:
        return rng.choice((lambda x: x / 0, lambda x: x * np.nan, lambda x: 1.0, lambda x: x[:1], lambda x: None, np.exp, lambda x: "a", lambda: 0))  # fmt: skip
    return value(rng)


def theoretical(rng: random.Random) -> Call:
    """Return a function of theory with one to three arguments out of its domain."""
    classes = {
        "Block": {"activation": "tanh", "weight_variance": 1.5, "bias_variance": 0.1, "norm": "none", "residual": 0.1},
        "TransformerBlock": {"attention": 0.3, "mlp": 0.3, "weight_scale": 1.5, "score_scale": 1.0, "tokens": 8.0},
    }
    name = rng.choice(sorted({**CALLS, **classes}))
    given = dict({**CALLS, **classes}[name])
    for argument in rng.sample(sorted(given), min(len(given), rng.choice((1, 1, 1, 2, 3)))):
        found = given[argument]
        odd = (Block(rng.choice(("relu", "tanh", "erf", "gelu")), rng.choice((1e-70, 0.1, 5.0, 1e9, 1e70)), rng.choice((0.0, 0.1, 1e70)), residual=rng.choice((0.0, 0.5, 1.0)))
               if isinstance(found, Block) and rng.random() < 0.8 else replaced(rng, argument, found))  # fmt: skip
        given[argument] = odd
    return Call(f"theory.{name}", THEORY[name], (), given)


def instrumental(rng: random.Random) -> Call:
    """Return an instrument of points, or a loss, with odd points."""
    rooms = {"instruments": public("phasescope.instruments"), "losses": {n: getattr(losses, n) for n in losses.__all__}}
    functions = [
        (room, name, function)
        for room, names in rooms.items()
        for name, function in names.items()
        if inspect.isfunction(function)
        and name not in ("passage", "untouched", "independence", "participation_in_basis", "pruning")
    ]
    given: dict[str, Any] = {}
    while not given:
        room, name, function = rng.choice(functions)
        parameters = inspect.signature(function).parameters
        if "found" in parameters or "function" in parameters or "blocks" in parameters or "module" in parameters:
            continue
        good = np.random.default_rng(1).normal(size=(9, 3))
        for argument, p in parameters.items():
            if "Points" in str(p.annotation):
                given[argument] = array(rng) if rng.random() < 0.7 else good
            elif p.default is p.empty or rng.random() < 0.5:
                given[argument] = value(rng)
    return Call(f"{room}.{name}", function, (), given)


def representation(rng: random.Random) -> Call:
    """Return a comparison of representations, or an encoding, with odd arrays or options."""
    good = np.random.default_rng(2).normal(size=(24, 3))

    def cloud() -> Any:
        return rng.choice((good, good, good[:, :1], array(rng), value(rng), [good, array(rng)], {"a": good}, {"a": array(rng)}, nn.Linear(3, 2)))  # fmt: skip

    options = {name: value(rng) for name in ("draws", "seed", "points") if rng.random() < 0.2}
    options.setdefault("draws", 2)
    if isinstance(options["draws"], int) and options["draws"] > 50:
        options["draws"] = 3
    folds = {name: value(rng) for name in ("folds", "groups", "baseline") if rng.random() < 0.2}
    room = ps.representation
    return rng.choice((
        Call("ps.compare", ps.compare, (cloud(), cloud()), {**options, **({"measures": value(rng)} if rng.random() < 0.2 else {})}),
        Call("ps.compare", ps.compare, (nn.Linear(3, 2), nn.Linear(3, 3), cloud()), {"by": word(rng), "draws": 2}),
        Call("ps.encode", ps.encode, (cloud(), rng.choice((cloud(), good))), {"draws": options["draws"], **folds}),
        Call("ps.class_dimension", ps.class_dimension, (rng.choice((nn.Linear(3, 2), cloud())), cloud(), rng.choice((np.arange(24) % 2, array(rng)))), {"steps": 2, "repeats": 2, **({"dims": value(rng)} if rng.random() < 0.2 else {}), **({"null": value(rng)} if rng.random() < 0.2 else {})}),
        Call("ps.encode", ps.encode, (rng.choice((__file__, "/nowhere.npz", "/nowhere.csv", "/tmp", "")), good), {"draws": 2}),
        Call("ps.profile", ps.profile, (rng.choice((nn.Linear(3, 2), cloud())), cloud()), {name: value(rng) for name in ("points", "by", "places") if rng.random() < 0.2}),
        Call("canonical_correlations", room.canonical_correlations, (cloud(), cloud())),
        Call("shape_distance", room.shape_distance, (cloud(), cloud())),
        Call("relative_codes", room.relative_codes, (cloud(), cloud())),
        Call("stitch", room.stitch, (cloud(), cloud(), rng.choice((np.arange(24) % 2, value(rng), array(rng)))), {"anchors": rng.choice((3, value(rng)))}),
        Call("read_responses", room.read_responses, (rng.choice((value(rng), __file__, "/nowhere.npz", "/tmp")),)),
    ))  # fmt: skip


class _Letters:
    """A tokenizer of letters, for the doors of ``ps.evaluate``."""

    eos_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [min(ord(c), 127) for c in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def evaluation(rng: random.Random) -> Call:
    """Return an evaluation of a tiny decoder with one odd argument, or a comparison of odd scores."""
    from phasescope.lab.speaker import SpeakerConfig
    from phasescope.studies.layer_pruning.gpt import SmallGPT

    room = ps.evaluation
    scores = (rng.choice((np.arange(9) % 2, array(rng), value(rng))) for _ in range(2))
    items = [room.Item(f"{k} is", ("a", "b"), k % 2) for k in range(12)]
    quiz = room.Scenario("quiz", items=tuple(items))
    good: dict[str, Any] = {
        "models": {"a": (SmallGPT(SpeakerConfig(128, 1, 8, 2, 300)), _Letters())}, "scenarios": [quiz],
        "metrics": ["accuracy", "ece"], "limit": 4,
    }  # fmt: skip
    odd = rng.choice(
        ("models", "scenarios", "metrics", "limit", "shots", "draws", "seed", "perturbations", "batch", "device")
    )
    good[odd] = value(rng)
    return rng.choice((
        Call("ps.evaluate", ps.evaluate, (), good),
        Call("ps.evaluate", ps.evaluate, (), good),
        Call("ps.paired", ps.paired, tuple(scores)),
        Call("items_needed", room.items_needed, (value(rng), rng.choice((0.1, value(rng))))),
        Call("power_of", room.power_of, (value(rng), rng.choice((0.1, value(rng))), 0.2)),
        Call("calibration_error", room.calibration_error, (rng.choice((np.full(12, 0.5), array(rng))), array(rng))),
        Call("selective_area", room.selective_area, (array(rng), array(rng))),
        Call("worst_case", room.worst_case, (array(rng),)),
        Call("Item", room.Item, (rng.choice(("a", value(rng))), rng.choice((("b", "c"), value(rng))), value(rng))),
        Call("Scenario", room.Scenario, (rng.choice(("a", value(rng))), value(rng))),
        Call("read_task", room.read_task, (rng.choice((value(rng), __file__, "/nowhere.json", "/tmp", "")),)),
    ))  # fmt: skip


def polynomial(rng: random.Random) -> Call:
    """Return a text to be read as a polynomial, its table, or what the command says of it."""
    from phasescope.commands import polynomial as _polynomial

    text = rng.choice(TEXTS)
    if rng.random() < 0.5:
        text = "".join(
            rng.choice(("n1", "n2", "n3", "+", "-", "*", "^", "(", ")", "2", "13", " ", "n", "x", "^2", "0"))
            for _ in range(rng.randrange(1, 12))
        )
    if rng.random() < 0.08:
        text = value(rng)
    p = rng.choice((2, 3, 5, 7, 4, 6, 1, value(rng)))
    p = 5 if isinstance(p, int) and 7 < p < 10**6 else p
    return rng.choice((
        Call("parse", tasks.parse, (text,)),
        Call("polynomial_table", tasks.polynomial_table, (p, text), {"arity": rng.choice((None, 2, value(rng)))}),
        Call("examined", _polynomial.examined, (text, p), {"train_too": False, "seeds": rng.choice((1, 1, value(rng)))}),
    ))  # fmt: skip


def changed(rng: random.Random, found: Any) -> Any:
    """Return what a setting might be changed to."""
    if isinstance(found, bool):
        return rng.choice((not found, "maybe", 2))
    if isinstance(found, int | float) and rng.random() < 0.8:
        odd = rng.choice(
            (
                0,
                1,
                2,
                found + 1,
                -found,
                found / 2,
                found * 10,
                found * 1e6,
                4,
                6,
                10**12,
                "31",
                "",
                float("nan"),
                1e-300,
                0.999,
            )
        )
        return (
            int(odd)
            if isinstance(found, int) and isinstance(odd, float) and np.isfinite(odd) and rng.random() < 0.8
            else odd
        )
    if isinstance(found, list | tuple) and rng.random() < 0.85:
        some = list(found)
        return rng.choice(([], some[:1], some[::-1], some + some[:1], [*some, -1], [*some, float("inf")], [some], some * 900, [0], [0.0, 1.0], some[-1:], [2], "0.5", ["a"]))  # fmt: skip
    return word(rng) if isinstance(found, str) and rng.random() < 0.8 else value(rng)


def settings(rng: random.Random) -> Call:
    """Return the plan of a study of which one to three settings are odd: nothing is trained."""
    name = rng.choice(sorted(study_points()))
    study = study_named(name)
    scale = "pocket"
    known = study.scales[scale].model_dump()
    changes = {k: changed(rng, known[k]) for k in rng.sample(sorted(known), min(len(known), rng.choice((1, 1, 2, 3))))}
    if "seeds" in known:
        changes.setdefault("seeds", 2)
    if rng.random() < 0.05:
        changes[rng.choice(NAMES)] = value(rng)

    def plan(study_name: str, scale: str, changes: dict[str, Any]) -> int:
        numbers = _lab.settings_of(study, scale, changes)
        experiments, asked, jobs = _lab._planned(study, numbers, study.scales[scale], "cpu", 1)
        _lab.rehearse(asked, study.figures, experiments, jobs, numbers, study.scales[scale])
        return len(jobs)

    return Call("plan", plan, (name, scale if rng.random() < 0.97 else word(rng), changes))


FAMILIES: dict[str, Callable[[random.Random], Call]] = {
    "grid": grid, "recipe": recipe, "table": table, "claims": claims, "theory": theoretical,
    "instruments": instrumental, "polynomial": polynomial, "settings": settings,
    "readings": readings, "representation": representation, "evaluation": evaluation,
}  # fmt: skip
