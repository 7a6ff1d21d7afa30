"""Draw healing.png and print its table: a shortened model that is healed, beside the whole one given the same steps.

python docs/images/draw_healing.py runs/prune-healed/prune.json runs/prune-longer/prune.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import phasescope as ps
from phasescope.figures import Axis, Curves, Figure, Line

WINDOW = 25  # steps of one point


def main() -> None:
    """Both runs drew the same samples in the same order, so that the difference is paired step by step."""
    healed, whole = (json.loads(Path(path).read_text("utf-8")) for path in sys.argv[1:3])
    losses = [np.array(one["training"]).reshape(-1, WINDOW) for one in (healed, whole)]
    steps = (np.arange(len(losses[0])) + 0.5) * WINDOW
    above = losses[0] - losses[1]
    error = above.std(1, ddof=1) / np.sqrt(WINDOW)
    for i in range(0, len(steps), 2):
        print(f"steps {WINDOW * i + 1}-{WINDOW * (i + 1)}: {above[i].mean():.3f} ± {error[i]:.3f}")
    print(f"the last 100: {above[-4:].mean():.3f} ± {above[-4:].std(ddof=1) / 10:.3f}")
    names = ("without six layers, healed", "whole, the same steps")
    lines = [Line(name, steps, one.mean(1)) for name, one in zip(names, losses, strict=True)]
    gap = Line(
        "difference, ± 2 standard errors", steps, above.mean(1), above.mean(1) - 2 * error, above.mean(1) + 2 * error
    )
    panels = [
        Curves("Loss of the steps", Axis("step"), Axis("nats per token"), lines),
        Curves("What the missing layers cost", Axis("step"), Axis("nats per token", limits=(0.0, 0.6)), [gap]),
    ]
    Path(__file__).with_name("healing.png").write_bytes(ps.report.png(Figure("healing", "", "", panels)))


if __name__ == "__main__":
    main()
