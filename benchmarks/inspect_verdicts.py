"""How often ``ps.inspect`` is right: verdicts on networks known to be good or bad, and intervals on exact Jacobians.

    python benchmarks/inspect_verdicts.py [--store benchmarks/inspect_verdicts.json] [--part verdicts,intervals]

*verdicts*: the forty networks of ``_known.py``, three draws each. A good one is judged wrongly where the verdict is
ordered or chaotic, or dead units are reported; a bad one where it is critical and no dead units are. Undecided counts
apart. *intervals*: chi_J of every block of small networks, and J from the first block to the last at many seeds of the
probes, against explicit Jacobians. What is done is stored after each network, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

import phasescope as ps
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_norm

DRAWS = 3
NETWORKS, PROBE_SEEDS = 60, 40  # of the intervals over the depth: 2,400 of them
WIDTH, SAMPLES = 10, 6  # small enough that a Jacobian can be written out


def verdicts(rows: dict[str, Any], save: Callable[[], None]) -> None:
    from _known import BAD, GOOD

    for kind, cases in (("good", GOOD), ("bad", BAD)):
        for name, make in cases.items():
            if name in rows:
                continue
            row: dict[str, Any] = {"kind": kind, "verdicts": [], "dead": [], "log": [], "relative": []}
            for draw in range(DRAWS):
                torch.manual_seed(draw)
                net, batch = make()
                try:
                    found = ps.inspect(net.train(), batch, seed=draw)
                except ps.BadInput as error:
                    row["verdicts"].append(f"refused: {error}")
                    continue
                row["verdicts"].append(found.verdict)
                row["dead"].append(any("dead" in finding.what for finding in found.findings))
                row["log"].append(found.total.log.value)
                row["relative"].append(found.relative)
                row["blocks"] = f"{len(found.blocks)} {found.blocks[0]}"
            rows[name] = row
            logs = [[round(value, 1) for value in row[key]] for key in ("log", "relative")]
            print(
                f"{kind} {name:52s} {row['verdicts']} dead {row['dead']} log J {logs[0]}, judged {logs[1]}", flush=True
            )
            save()


class Block(nn.Module):
    """One of the kinds of block whose Jacobians are written out."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.act = {"tanh": nn.Tanh(), "gelu": nn.GELU()}.get(kind.split()[0], nn.ReLU())
        self.norm = {"batch": nn.BatchNorm1d(WIDTH), "layer": nn.LayerNorm(WIDTH)}.get(kind.split()[1], nn.Identity())
        self.linear, self.skip = nn.Linear(WIDTH, WIDTH), "skip" in kind

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        out = self.linear(self.act(self.norm(h)))
        return h + out if self.skip else out


KINDS = tuple(
    f"{phi} {norm}{skip}"
    for phi in ("relu", "tanh", "gelu")
    for norm in ("none", "batch", "layer")
    for skip in ("", " skip")
)


def small(index: int) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(index)
    depth = 3 + index % 6
    kind = KINDS[index % len(KINDS)]
    return nn.Sequential(*(Block(kind) for _ in range(depth))), torch.randn(SAMPLES, WIDTH)


def intervals(rows: dict[str, Any], save: Callable[[], None]) -> None:
    """Fill in, per small network, whether each block's chi_J and each J over the depth lies inside its interval."""
    for index in range(NETWORKS):
        if str(index) in rows:
            continue
        net, x = small(index)
        names = [str(i) for i in range(len(net))]  # type: ignore[arg-type]
        with passage(net, x, names) as found:
            places = found.names
            exact = [exact_partial_norm(found, a, b) for a, b in pairwise(places)]
            whole = exact_partial_norm(found, places[0], places[-1])
        blocks, depth = [], []
        for seed in range(PROBE_SEEDS):
            read = ps.inspect(net, x, blocks=names, seed=1000 * index + seed)
            depth.append(read.total.low <= whole <= read.total.high)
            if seed == 0:
                blocks += [r.chi.low <= e <= r.chi.high for r, e in zip(read.rows[1:], exact, strict=True)]
        rows[str(index)] = {"kind": KINDS[index % len(KINDS)], "blocks": blocks, "depth": sum(depth), "of": len(depth)}
        save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--part", default="verdicts,intervals")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept = json.loads(asked.store.read_text()) if asked.store.is_file() else {}
    for part, run in (("verdicts", verdicts), ("intervals", intervals)):
        if part in asked.part.split(","):
            run(kept.setdefault(part, {}), lambda: asked.store.write_text(json.dumps(kept, indent=1) + "\n") and None)
    told(kept)


def told(kept: dict[str, Any]) -> None:
    for kind, wrong in (("good", ("ordered", "chaotic")), ("bad", ("critical",))):
        rows = [row for row in kept.get("verdicts", {}).values() if row["kind"] == kind]
        read = [(v, d) for row in rows for v, d in zip(row["verdicts"], row["dead"], strict=False)]
        off = sum((v in wrong or d) if kind == "good" else (v in wrong and not d) for v, d in read)
        open_ = sum(v == "undecided" for v, _ in read)
        print(f"{kind}: {off} of {len(read)} wrong, {open_} undecided")
    rows = list(kept.get("intervals", {}).values())
    blocks = [inside for row in rows for inside in row["blocks"]]
    if rows:
        depth, of = sum(row["depth"] for row in rows), sum(row["of"] for row in rows)
        print(f"chi_J inside for {sum(blocks)} of {len(blocks)} blocks; J over the depth inside for {depth} of {of}")


if __name__ == "__main__":
    main()
