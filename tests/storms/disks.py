"""Disks that are full or can not be written: one sentence, nothing half written, and the same bits when there is room.

    python tests/storms/disks.py --count 20      # disks on which is trained; only root can make small ones

A disk of a few KiB stops a run at a place that its size decides; then the disk grows and the same run is started again.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sabotage import SABOTEURS
from storm import (
    EXE,
    LONGEST,
    TEMPORARY,
    arguments,
    arrays_of,
    child,
    differences,
    ended,
    last_line,
    scratch,
    table,
    verdict,
)
from victims import RUN, TIMINGS, train_fused

import phasescope as ps
from phasescope.vocabulary import BadInput


@contextlib.contextmanager
def disk(size: str) -> Iterator[Path]:
    """Give a small disk of memory."""
    place = Path(tempfile.mkdtemp(prefix="storm-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
        place.rmdir()


def remounted(place: Path, how: str) -> None:
    """Change a disk: more room, or read-only."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def command(*words: str) -> tuple[int, str]:
    """Run a command in a real process; return its exit code and what it said of errors."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([str(EXE), *words], cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr.strip()


def complaint(code: int, said: str, word: str) -> list[str]:
    """Return what is wrong with how a command ended that could not write: it must say so in one sentence, code 2."""
    lines = said.splitlines()
    sentence = lines[-1] if lines and lines[-1].startswith("phasescope: ") else ""
    if code == 2 and "Traceback" not in said and 0 < len(sentence) <= LONGEST and word in sentence:
        return []
    return [f"exit code {code}, said {said[-160:]!r}"]


def full_in_process(root: Path, kibibytes: int) -> tuple[str, list[str]]:
    """Train into a disk of so many KiB, give it room, train again: a sentence, then the bits of a peaceful run."""

    def trained(folder: Path, out: Path) -> None:
        try:
            np.savez(out, **train_fused(folder))
        except OSError as error:
            if "room" not in str(error):
                raise
            os._exit(9)
        except BadInput:
            os._exit(9)

    def once(folder: Path, name: str) -> int | None:
        return ended(child(lambda: trained(folder, root / f"{name}.npz"), root / f"{name}.said"), 120)

    if not (root / "peace.npz").exists() and once(root / "peace", "peace") != 0:
        raise SystemExit(f"the storm can not begin: {last_line(root / 'peace.said')}")
    with disk(f"{kibibytes}k") as place:
        code = once(place / "run", "full")
        if code not in (0, 9):
            return "raw", [f"training on a disk of {kibibytes} KiB ends with {code}: {last_line(root / 'full.said')}"]
        stale = list(place.rglob(TEMPORARY))
        remounted(place, "size=64m")
        faults = [f"{len(stale)} temporary files stay on a full disk"] if stale else []
        if once(place / "run", "room") != 0:
            return "raw", [*faults, f"with room again, training ends with {last_line(root / 'room.said')}"]
    with np.load(root / "room.npz") as found, np.load(root / "peace.npz") as peace:
        faults += differences(dict(found), dict(peace))
    return "sentence" if code == 9 else "fits", faults


def full_in_commands(root: Path, sizes: list[str]) -> tuple[Counter[str], list[str]]:
    """Run ``grokking`` on small disks by real processes, then with room, then on the disk made read-only."""
    counted: Counter[str] = Counter()
    faults: list[str] = []
    code, said = command(*RUN, "--out", str(root / "calm"))
    if code:
        raise SystemExit(f"the storm can not begin: {said[-300:]}")
    calm = arrays_of(ps.load(root / "calm").data, TIMINGS)
    for size in sizes:
        with disk(size) as place:
            code, said = command(*RUN, "--out", str(place / "run"))
            counted["fits" if code == 0 else "sentence"] += 1
            faults += [f"run on a disk of {size}: {c}" for c in complaint(code, said, "room")] if code else []
            faults += [f"run on a disk of {size}: a temporary file stays"] if any(place.rglob(TEMPORARY)) else []
            remounted(place, "size=64m")
            code, said = command(*RUN, "--out", str(place / "run"))
            if code:
                faults.append(f"run with room again after {size}: exit code {code}, said {said[-160:]!r}")
                continue
            faults += [
                f"after a full disk of {size}: {d}"
                for d in differences(arrays_of(ps.load(place / "run").data, TIMINGS), calm)
            ]
            if size == sizes[-1]:
                counted["read-only"] += 1
                faults += read_only(place, root)
    return counted, faults


def read_only(place: Path, root: Path) -> list[str]:
    """Ask commands of a finished run on a disk that can not be written: what only reads works, the rest is a sentence."""
    remounted(place, "ro")
    faults = []
    for words in (["explore", str(place / "run"), "--out", str(root / "page.html")], ["doctor", str(place / "run")]):
        code, said = command(*words)
        faults += [f"{words[0]} of a read-only run: exit code {code}, said {said[-160:]!r}"] if code else []
    code, said = command(*RUN, "--out", str(place / "other"))
    return faults + [f"run into a read-only folder: {c}" for c in complaint(code, said, "")]


def main() -> int:
    """Run the storm and return its exit code."""
    parser = arguments(__doc__, 20)
    parser.add_argument(
        "--saboteur", action="store_true", help="a writer that leaves its half-written file on a full disk"
    )
    a = parser.parse_args()
    if os.geteuid() != 0:
        print("full and read-only disks: skipped, for only root can make small disks")
        return 0
    torch.set_num_threads(1)
    if a.saboteur:
        SABOTEURS["littering"]()
    began, sizes, faults = time.monotonic(), random.Random(a.seed), []
    counted: Counter[str] = Counter()
    with scratch("disks") as root:
        for _ in range(a.count):
            outcome, found = full_in_process(root, sizes.randrange(8, 400, 4))
            counted[outcome] += 1
            faults += found
        # commands run in processes of their own, where no saboteur is
        by_command, found = (Counter[str](), []) if a.saboteur else full_in_commands(root, ["64k", "400k", "1500k"])
    table("full disks", ("fits", "sentence", "read-only", "raw"), {"training": counted, "commands": by_command})
    print(f"{time.monotonic() - began:.0f} s")
    return verdict([*faults, *found])


if __name__ == "__main__":
    sys.exit(main())
