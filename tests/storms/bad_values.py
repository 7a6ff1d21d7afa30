"""The values that ``bad_doors`` gives to public doors, and the words that ``bad_input`` gives to the command line.

Most are plausible: out of range, contradictory, huge, tiny, not finite, empty, ragged, of another shape, near-miss
names; at most a fifth are of a wrong type.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from phasescope.errors import shown
from phasescope.lab import study_points
from phasescope.vocabulary import Grid

NUMBERS: tuple[Any, ...] = (
    -1, 0, 1, 2, 3, 7, 23, -0.5, 0.5, 1.5, 0.0, -0.0, 1.0, float("nan"), float("inf"), -float("inf"), 1e-300, 5e-324,
    1e-12, 1e18, 1e38, 1e300, 10**9, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, -(10**400), np.float32(0.3),
    np.int64(-7), np.float64("nan"), np.uint8(200), np.float16(65504), torch.tensor(2.5), torch.tensor(3), 1 - 1e-17,
    np.nextafter(1.0, 2.0), 1e75, 1e76, 1e154, 1e-160,
)  # fmt: skip
WRONG: tuple[Any, ...] = (
    None, True, False, "", "seven", "0.1", "nan", "ünïcödé \u202e\U0001f9ea", "a\x00b", b"x", 1j, [], [1], {}, {"a": 1},
    (), object(), max, np.array([]), np.array("x"), np.array(None), range(0), {1, 2}, float, "x" * 5000,
)  # fmt: skip
NAMES = (
    "lr", "lR", "weight_decay", "weight-decay", "wieght_decay", "seed", "step", "member", "", " ", "train_fraction",
    "größe", "a b", "a.b", "x" * 3000, "\n", "fate", "final", "p", "width", "steps", "batch", "\ud800", "__class__",
)  # fmt: skip
WORDS = ("adam", "Adam", "sgd ", "adamW", "mse", "MSE", "cross-entropy", "float16", "float64", "median", "mode", "log",
         "linear", "int", "integer", "auto", "cuda:9", "tpu", "", "none", "ünïcödé", "relu", "rleu", "gelu", "tanh")  # fmt: skip
TEXTS = (
    "n1+n2", "n1^2*n2", "(4*n1 + n2^2)^3", "n1^", "n1^^2", "(n1", "n1)", "", " ", "n0", "n10", "x+y", "2n1", "n1^-1",
    "n1^0.5", "n1**2", "n1^99999999999", "(n1+n2+n3+n4)^40", "9" * 5000, "n1/n2", "n1*n2*n3*n4*n5*n6", "−n1", "n1²",
    "n١", "1e5", "0", "-1", "n1-n1", "(" * 300 + "n1" + ")" * 300, "n1^1000", "(2*n1)^1000", "n9", "+" * 4000 + "n1",
    "n1\x00", "n1;n2", "N1+n2", "--n1", "n1^n2", "23*n1", "n1 n2", "\ud800", "((n1+1)^30)^30", "*".join(["n1"] * 1200),
)  # fmt: skip


@dataclass
class Call:
    """A function and what it is called with; ``text`` is how a fault quotes it."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        words = [_quoted(a) for a in self.args] + [f"{k}={_quoted(v)}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(words)})"


def _quoted(value: Any) -> str:
    if getattr(value, "__name__", "") == "<lambda>":
        code = value.__code__
        return f"<lambda {' '.join(map(str, (*code.co_names, *code.co_consts)))[:60]}>"
    if isinstance(value, np.ndarray | torch.Tensor) and getattr(value, "ndim", 0):
        words = f"{type(value).__name__} {value.dtype} {tuple(value.shape)}"
        return f"<{words} {' '.join(str(value.tolist()).split())[:80]}>"
    if isinstance(value, Grid):
        return f"Grid({_quoted(dict(value.axes))}, {shown(value.seeds)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_quoted(v)}" for k, v in value.items())[:200] + "}"
    return " ".join(shown(value).encode("utf-8", "replace").decode().split())


# -- values ------------------------------------------------------------------------------------------------------------


def value(rng: random.Random) -> Any:
    """Return a number, or one time in eight something that is none."""
    return rng.choice(WRONG) if rng.random() < 0.12 else rng.choice(NUMBERS)


def word(rng: random.Random) -> Any:
    """Return a word, mostly a near miss."""
    return value(rng) if rng.random() < 0.12 else rng.choice(WORDS)


def values(rng: random.Random) -> Any:
    """Return a list of numbers in one of the forms that Python has for it: empty, doubled, ragged, of other axes."""
    some = [rng.choice(NUMBERS[:20]) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5)))]
    form = rng.randrange(12)
    if form == 0:
        return value(rng)
    if form == 1:
        return [*some, rng.choice(WRONG)]
    if form == 2:
        return [some, [1.0]]
    if form == 3:
        return np.array(some, dtype=float)
    if form == 4:
        return torch.zeros(rng.choice(((0,), (3,), (1, 2))))
    return {5: tuple(some), 6: range(rng.randrange(-2, 5)), 7: ["a", "b", "a"], 8: [True, 1]}.get(form, some)


def array(rng: random.Random) -> Any:
    """Return an array that is odd in shape, in type, or in one entry."""
    shape = rng.choice(((0,), (1,), (3,), (0, 3), (3, 0), (1, 1), (4, 3), (5, 2), (2, 2), (2, 3, 4), (4, 1, 3), (2, 2, 2, 2), ()))  # fmt: skip
    made = np.random.default_rng(rng.randrange(1000)).normal(size=shape)
    form = rng.randrange(16)
    if form < 5 and made.size:
        made.flat[rng.randrange(made.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e300, 1e154, 1e-300, -1.0))
    elif form < 7:
        made = made * rng.choice((0.0, 1e38, 1e300, 1e-300, 1e-160, 1e76))
    elif form == 7:
        return np.rint(made * 3).astype(rng.choice((np.int64, np.uint8, np.uint64, np.int8, bool)))
    elif form == 8:
        return made.astype(rng.choice((np.float16, np.float32, ">f8", complex, object, str, np.longdouble)))
    elif form == 9:
        return rng.choice(([[1, 2], [3]], [], [[]], [1, "a"], [[None]], [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]))
    elif form == 10:
        return torch.as_tensor(made).to(rng.choice((torch.float16, torch.bfloat16, torch.int64, torch.float32)))
    elif form == 11:
        return value(rng)
    return made


def words(rng: random.Random) -> list[str]:
    """Return words for the command line that can train nothing: at least one of them is surely wrong, or no run."""
    number = str(rng.choice(NUMBERS))[:500]
    odd = rng.choice([str(w) for w in (*WORDS, *NAMES, *WRONG)] + [number] * 9)[:3000].replace("\x00", "0")
    studies = [*study_points(), "grokkin", "", "Grokking", "ünïcödé", "../x"]
    study = rng.choice(studies)
    name = rng.choice(("p", "seeds", "width", "steps", "nothing", "fractions", "lr", ""))
    changes = [f"--set={name}={rng.choice((odd, number, '[1,', '[]', '{}', 'null', '1e999', '[[[', '9' * 5000))}"]
    end = rng.choice(
        (
            ["--device=tpu"],
            ["--scale=pockets"],
            ["--scale", odd],
            ["--seeds=0"],
            [f"--seeds={odd}x"],
            ["--nope"],
            ["--set", "p"],
        )
    )
    span = f"{rng.choice(('p', 'weight_decay', odd))}={odd}:{number}{rng.choice(('', ':log', ':x'))}"
    folder = rng.choice(("/nowhere", "/dev/null", "/etc", ".", "", odd, "/proc/self/mem", "~", "a" * 300, "/tmp"))
    return rng.choice((
        ["run", study, *changes, *end], ["run", study, *changes, *changes, *end], ["run", *end], ["run", study, *end, "--json"],
        ["map", study, f"--x={span}", f"--y={rng.choice((span, 'p=5:7:int'))}", *changes, *end], ["map", study, *end],
        ["map", study, "--x=p=5:7:int", f"--y={span}", f"--tolerance={odd}", f"--confidence={number}", f"--cells={number}", "--device=tpu"],
        ["show", study if study not in study_points() else odd], ["explore", folder], ["report", folder], ["explore", folder, "--out", folder],
        ["data", f"x{odd}"], ["doctor", "/nowhere/" + odd], ["inspect", folder], ["inspect", f"{odd}:{name}"], ["inspect", "torch.nn:Linear", "--batch", folder],
        ["inspect", "os:getcwd", f"--probes={number}", f"--seed={odd}"], ["layers", folder, f"--samples={number}", f"--tokens={odd}"],
        ["compare", folder, odd], ["compare", "os:getcwd", f"{odd}:{name}", "--batch", folder, f"--draws={number}"],
        ["profile", folder], ["profile", f"{odd}:{name}", "--batch", folder, f"--points={number}"],
        ["profile", "os:getcwd", f"--by={odd}"], ["encode", folder, odd], ["encode", odd, folder, f"--folds={number}"],
        ["encode", __file__, folder, "--baseline", odd, f"--draws={number}"], ["encode", folder, folder, "--groups", folder],
        ["prune", folder, f"--layers={number}", "--out", folder], ["prune", folder], ["polynomial", rng.choice(TEXTS).replace("\x00", "0"), f"--p={rng.choice((5, 6, 1, number))}"],
        ["polynomial", odd, "--json"], ["polynomial", "n1+n2", f"--seeds={number}"], [odd], [odd, odd], ["--" + odd], ["list", odd], [],
    ))  # fmt: skip
