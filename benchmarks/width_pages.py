"""The numbers and pictures of docs/width.md.

python benchmarks/width_pages.py [--only check,first,optimizers,transfer,depth] [--out docs/images]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

import phasescope as ps
from phasescope.papers.statements.infinite_width import Tower, falling
from phasescope.report import png

DIGITS = load_digits()
ROWS = ps.streams(0)("rows").permutation(len(DIGITS.data))
DATA = (DIGITS.data[ROWS] / 8 - 1, DIGITS.target[ROWS])


def layers(width: int, depth: int = 6) -> nn.Module:
    """A plain network with torch's own first weights: ``depth`` hidden layers of ReLU."""
    parts: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(depth - 1):
        parts += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def small(width: int) -> nn.Module:
    """The same with two hidden layers."""
    return layers(width, 2)


def few(count: int) -> tuple[Any, Any]:
    """Return the first ``count`` samples."""
    return DATA[0][:count], DATA[1][:count]


def check(out: Path) -> None:
    """Six layers, five widths, Adam: standard beside mu-P."""
    begun = time.perf_counter()
    found = ps.coordinate_check(layers, few(256), parametrization="mup", name="six layers")
    print(f"{time.perf_counter() - begun:.1f} s\n{found}\n", flush=True)
    (out / "width.png").write_bytes(png(found.figure(), 100))


def first_step() -> None:
    """One step of SGD at a constant rate, one hidden layer without biases, noise: slopes of three parametrizations."""
    generator = ps.streams(0)("noise")
    data = (generator.standard_normal((32, 8)), generator.standard_normal((32, 1)))

    def one(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(8, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False))

    recipe = ps.Recipe(optimizer="sgd", lr=0.1, steps=1, loss="mse", records=2)
    for parametrization in ("mup", "ntk"):
        print(
            ps.coordinate_check(one, data, parametrization=parametrization, recipe=recipe, seeds=16), "\n", flush=True
        )


def optimizers() -> None:
    """Two layers, three optimizers, mu-P beside the builder as it is: verdicts."""
    for name, lr in (("sgd", 0.1), ("adam", 0.001), ("muon", 0.02)):
        recipe = ps.Recipe(optimizer=name, lr=lr, steps=3, loss="cross_entropy", records=2)  # type: ignore[arg-type]
        found = ps.coordinate_check(
            small, few(128), widths=(32, 64, 128, 256, 512), parametrization="mup", recipe=recipe, seeds=12
        )
        assert found.control is not None
        for one in (found.control, found):
            slopes = "  ".join(f"{row.layer} {row.change} {row.change.wide:+.2f} {row.verdict}" for row in one.rows)
            print(f"{name:5} {one.data.attrs['parametrization']:6} {one.own:10} {one.regime:17}", slopes, flush=True)


def transfer(out: Path) -> None:
    """Two layers, four widths, Adam, 60 steps: the best rate moves in the standard parametrization, not in mu-P."""
    rates = [2.0**k for k in np.arange(-12, -2.5, 0.5)]
    recipe = ps.Recipe(optimizer="adam", lr=0.001, steps=60, loss="cross_entropy", records=2)
    figures = []
    for parametrization in ("given", "mup"):
        begun = time.perf_counter()
        found = ps.transfer(
            small, few(256), widths=(32, 64, 128, 256, 512), rates=rates, recipe=recipe, seeds=6,
            parametrization=parametrization, name="two layers",
        )  # fmt: skip
        print(f"{time.perf_counter() - begun:.1f} s\n{found}\n", flush=True)
        figures.append(found.figure())
    panels = [figure.panels[0] for figure in figures] + [figures[0].panels[1], figures[1].panels[1]]
    joint = ps.Figure("transfer", "Does the rate transfer?", "Two layers, Adam, 60 steps, 6 seeds.", panels)
    (out / "transfer.png").write_bytes(png(joint, 100))


def over_depths() -> None:
    """Residual networks of four depths, Adam, 30 steps: as given, and with branches and rates divided."""
    rates = [2.0 ** (k / 2) for k in range(-20, -5)]
    recipe = ps.Recipe(optimizer="adam", lr=0.001, steps=30, loss="cross_entropy", records=2)
    common: dict[str, Any] = {"depths": (4, 8, 16, 32), "rates": rates, "seeds": 12, "recipe": recipe}
    print(ps.transfer(lambda depth: Tower(depth, 1.0, 64, 10), few(128), name="as given", **common), flush=True)
    divided = ps.transfer(
        lambda depth: Tower(depth, depth**-0.5, 64, 10), few(128), name="divided", **common,
        optimizer=lambda module, depth, rate: falling(module, depth / 4, rate),
    )  # fmt: skip
    print(divided, flush=True)


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="check,first,optimizers,transfer,depth")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    asked = parser.parse_args()
    only = asked.only.split(",")
    if "check" in only:
        check(asked.out)
    if "first" in only:
        first_step()
    if "optimizers" in only:
        optimizers()
    if "transfer" in only:
        transfer(asked.out)
    if "depth" in only:
        over_depths()


if __name__ == "__main__":
    main()
