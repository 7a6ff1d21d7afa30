"""SIGKILL at random moments of every kind of run: nothing finished is lost, and the resumed run has the same bits.

A warm parent forks the run into an empty folder, kills it, looks at the folder, and starts it again, until it is
complete; then everything it leaves is compared, bit by bit, with what an undisturbed run left. With ``--fresh`` every
run is an interpreter of its own, as a user's is: forks of one parent have in common where things lie in memory, the order
of sets, and what torch has loaded.

    python tests/storms/kills.py --count 1000            # under an hour on two cores
    python tests/storms/kills.py --count 20 --fresh --only train-fused train-stacked   # an interpreter for each run
    python tests/storms/kills.py --count 6 --only train-fused --saboteur lost      # must find faults
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sabotage import SABOTEURS
from storm import (
    TEMPORARY,
    arguments,
    child,
    differences,
    ended,
    fresh,
    import_all,
    killed,
    last_line,
    records_of,
    scratch,
    table,
    verdict,
)
from victims import VICTIMS, Victim

from phasescope.store import Store

#: A run that takes so many seconds hangs.
PATIENCE = 300.0
#: After so many kills a run is left in peace, so that every round ends with a comparison.
MOST_KILLS = 12
#: How many of the kills wait until the run writes a file.
AIMED = 0.2
#: How the kills are shared among the victims, in parts of a thousand.
SHARES = {"train-fused": 250, "train-stacked": 250, "simulate": 130, "map-fused": 110, "map-stacked": 110, "study": 150}
PHASES = (
    "before the first record", "between records", "checkpoint in place", "writing", "after the last record",
    "judging", "report",
)  # fmt: skip


@dataclass
class Undisturbed:
    """What a run leaves when nothing stops it, how long it takes, and how long when everything is kept already."""

    arrays: Mapping[str, Any]
    records: int
    seconds: float
    again: float


@dataclass
class Tally:
    """What one victim went through: kills by phase, rounds that were compared, and faults."""

    phases: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    faults: list[str] = field(default_factory=list)


def work(victim: Victim, folder: Path, saboteur: str) -> None:
    """Run the victim and leave its arrays beside the folder."""
    SABOTEURS[saboteur]()
    np.savez(folder.with_suffix(".npz"), **victim.work(folder))
    if folder.name.startswith("warm"):
        (folder.parent / "modules.json").write_text(json.dumps(list(sys.modules)))


#: What an interpreter of its own does: told where the storms are, the victim's name, its folder, and the saboteur's name.
ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
import kills, torch
from pathlib import Path
torch.set_num_threads(1)
kills.work(next(v for v in kills.VICTIMS if v.name == sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
"""


def start(victim: Victim, folder: Path, saboteur: str = "", alone: bool = False) -> int:
    """Start a child that does ``work``: a fork, or an interpreter of its own."""
    said = folder.with_suffix(".said")
    if alone:
        return fresh(ALONE, (str(Path(__file__).parent), victim.name, str(folder), saboteur), said)
    return child(lambda: work(victim, folder, saboteur), said)


def undisturbed(victim: Victim, root: Path, alone: bool) -> Undisturbed:
    """Run the victim twice into one folder without disturbing it; the first child of all warms caches on disk."""
    times = []
    for name in ("warm", "peace", "peace"):
        if not alone:
            import_all(root / "modules.json")  # what the first child imported, no later one must
        began, folder = time.monotonic(), root / f"{name}-{victim.name}"
        code = ended(start(victim, folder, alone=alone), PATIENCE)
        if code != 0:
            raise SystemExit(f"{victim.name} fails undisturbed ({code}): {last_line(folder.with_suffix('.said'))}")
        times.append(time.monotonic() - began)
    return Undisturbed(loaded(folder), len(records_of(folder)), times[1], times[2])


def loaded(folder: Path) -> dict[str, Any]:
    """Return what a finished child left, in its order."""
    with np.load(folder.with_suffix(".npz")) as arrays:
        return {name: arrays[name] for name in arrays.files}


def phase_of(victim: Victim, folder: Path, records: int, expected: Undisturbed) -> str:
    """Say where a kill fell, from what it left in the folder."""
    if any(folder.rglob(TEMPORARY)):
        return "writing"
    if any(folder.glob("checkpoints/*.safetensors")):
        return "checkpoint in place"
    if not records:
        return "before the first record"
    if records < expected.records:
        return "between records"
    if victim.kind != "study":
        return "after the last record"
    return "report" if (folder / "results.safetensors").exists() else "judging"


def moment(victim: Victim, expected: Undisturbed, kept: int, moments: random.Random) -> float:
    """Return after how many seconds to kill: anywhere in what is left, or, half of the times, while members are made.

    What a run does beside its members comes before them, but for a study, which judges and draws after them.
    """
    undone = 1 - min(kept / max(expected.records, 1), 1.0)
    making = undone * max(expected.seconds - expected.again, 0) + 0.1 * expected.again
    before = 0.0 if victim.kind == "study" else 0.8 * expected.again
    if moments.random() < 0.5:
        return moments.uniform(before, before + making)
    return moments.uniform(0, making + 0.9 * expected.again)


def until_kept(pid: int, folder: Path, least: int) -> int | None:
    """Wait until ``least`` records are kept: most of an interpreter's life goes into imports, which the clock would meet."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and len(list(folder.glob("records/??/*.safetensors"))) < least:
        code = ended(pid, 0.002)
        if code is not None:
            return code
    return None


def until_it_writes(pid: int, folder: Path) -> int | None:
    """Wait a moment for a temporary file: a write is short, and chance alone meets few of them."""
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        # checkpoints and files of the run are written here, new folders of records need no look
        if any(folder.glob(TEMPORARY)) or any(folder.glob(f"*/{TEMPORARY}")):
            return None
        code = ended(pid, 0)
        if code is not None:
            return code
    return None


def missing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what became of records that were finished before: lost, or written again."""
    lost = sum(key not in now for key in before)
    again = sum(key in now and now[key] != value for key, value in before.items())
    return [
        *([f"{lost} finished records lost"] if lost else []),
        *([f"{again} finished records written again"] if again else []),
    ]


def damaged(folder: Path) -> list[str]:
    """Return what a reader finds wrong in a folder that a kill has just left."""
    if not (folder / "store.json").exists():
        return []
    with Store(folder, read_only=True) as store:
        bad = store.health()["corrupt_records"]
    return [f"{bad} damaged records after a kill"] if bad else []


def round_of(victim: Victim, folder: Path, expected: Undisturbed, moments: random.Random, kills: int, a: Any) -> Tally:
    """Kill one run at most ``kills`` times, let it finish, and compare."""
    tally, kept = Tally(), {}
    for left in range(kills, -1, -1):
        pid = start(victim, folder, a.saboteur, a.fresh)
        if a.fresh and left and len(kept) < expected.records:
            code = until_kept(pid, folder, moments.randint(len(kept) + 1, expected.records))
        else:
            code = ended(pid, moment(victim, expected, len(kept), moments) if left else PATIENCE)
        if code is None and left and moments.random() < AIMED:
            code = until_it_writes(pid, folder)
        if code is None:
            code = killed(pid)
            if not left:
                tally.faults.append("the last rerun hangs")
        now = records_of(folder)
        tally.faults += missing(kept, now)
        kept = now
        if code >= 0:
            break
        tally.phases[phase_of(victim, folder, len(now), expected)] += 1
        tally.faults += damaged(folder)
    tally.rounds = 1
    if code != 0:
        return Tally(
            tally.phases, 1, [*tally.faults, f"a rerun ends with {code}: {last_line(folder.with_suffix('.said'))}"]
        )
    tally.faults += differences(loaded(folder), expected.arrays)
    stale = len(list(folder.rglob(TEMPORARY)))
    tally.faults += [f"{stale} stale temporary files"] if stale else []
    if len(kept) != expected.records:
        tally.faults.append(f"{len(kept)} records instead of {expected.records}")
    return tally


def strike(victim: Victim, root: Path, expected: Undisturbed, kills: int, seed: str, a: Any) -> Tally:
    """Kill the victim ``kills`` times in all, in as many rounds as that takes."""
    moments, whole = random.Random(seed), Tally()
    while (left := kills - whole.phases.total()) > 0:
        folder = root / f"{victim.name}-{seed.replace(':', '-')}-{whole.rounds}"
        found = round_of(victim, folder, expected, moments, min(left, MOST_KILLS), a)
        whole.phases.update(found.phases)
        whole.rounds += 1
        whole.faults += [f"{victim.name}: {fault}" for fault in found.faults]
        if a.saboteur and whole.faults:
            break
    return whole


def lane(number: int, lanes: int, plan: Mapping[str, int], root: Path, calm: Mapping[str, Undisturbed], a: Any) -> None:
    """Do this lane's share of every victim's kills and leave the tallies as JSON."""
    told = {}
    for victim in VICTIMS:
        if victim.name in plan:
            share = (plan[victim.name] + number) // lanes
            seed = f"{a.seed}:{victim.name}:{number}"
            tally = strike(victim, root, calm[victim.name], share, seed, a)
            told[victim.name] = [tally.phases, tally.rounds, tally.faults]
    (root / f"lane{number}.json").write_text(json.dumps(told))


def planned(count: int, only: Sequence[str]) -> dict[str, int]:
    """Share ``count`` kills among the chosen victims."""
    chosen = {name: share for name, share in SHARES.items() if not only or name in only}
    return {name: max(round(count * share / sum(chosen.values())), 1) for name, share in chosen.items()}


def main() -> int:
    """Run the storm and return its exit code."""
    parser = arguments(__doc__, 1000)
    parser.add_argument("--only", nargs="*", default=[], choices=[v.name for v in VICTIMS], help="these victims alone")
    parser.add_argument("--fresh", action="store_true", help="every run is an interpreter of its own, not a fork")
    parser.add_argument("--lanes", type=int, default=min(os.cpu_count() or 1, 2), help="runs at a time")
    parser.add_argument(
        "--saboteur",
        default="",
        choices=("", "lost", "again", "drift", "stale"),
        help="a wrong store, which must be found out",
    )
    a = parser.parse_args()
    torch.set_num_threads(1)
    plan, began = planned(a.count, a.only), time.monotonic()
    rows: dict[str, Counter[str]] = {name: Counter() for name in plan}
    faults: list[str] = []
    with scratch("kills") as root:
        calm = {v.name: undisturbed(v, root, a.fresh) for v in VICTIMS if v.name in plan}
        for name, c in calm.items():
            print(f"{name}: {c.records} records, {c.seconds:.2f} s undisturbed, {c.again:.2f} s where all is kept")
        said = [root / f"lane{n}.said" for n in range(a.lanes)]
        pids = [child(lambda n=n: lane(n, a.lanes, plan, root, calm, a), said[n]) for n in range(a.lanes)]
        for n, pid in enumerate(pids):
            if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
                faults.append(f"the storm itself broke: {said[n].read_text()[-2000:]}")
                continue
            for name, (phases, rounds, found) in json.loads((root / f"lane{n}.json").read_text()).items():
                rows[name].update({**phases, "kills": sum(phases.values()), "compared": rounds})
                faults += found
    table(f"SIGKILLs by the phase in which they fell (seed {a.seed})", (*PHASES, "kills", "compared"), rows)
    print(f"{time.monotonic() - began:.0f} s")
    return verdict(faults)


if __name__ == "__main__":
    sys.exit(main())
