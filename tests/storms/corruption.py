"""Damage to what a run has kept: every question is answered with the right data, with absence, or with a sentence.

    python tests/storms/corruption.py --count 1000
    python tests/storms/corruption.py --count 20 --saboteur      # must find faults

What was not damaged must still be there.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import contextlib
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sabotage import SABOTEURS
from storm import (
    LONGEST,
    arguments,
    arrays_of,
    scratch,
    table,
    verdict,
)

import phasescope as ps
from phasescope.store import Store, address
from phasescope.vocabulary import BadInput

IDENTITIES = [{"seed": seed, "lr": 0.1} for seed in range(6)]
STATES = [{"tile": seed} for seed in range(2)]
#: What may come of one question to a damaged store.
OUTCOMES = ("right", "absent", "sentence", "wrong", "raw")

# -- damages -----------------------------------------------------------------------------------------------------------


def _bytes(change: Callable[[bytearray, random.Random], Any]) -> Callable[[Path, random.Random, list[Path]], None]:
    """Return a damage that changes some bytes of a file."""

    def damage(path: Path, r: random.Random, others: list[Path]) -> None:
        content = bytearray(path.read_bytes())
        change(content, r)
        path.write_bytes(content)

    return damage


def _flip(content: bytearray, r: random.Random) -> None:
    content[r.randrange(len(content))] ^= 1 << r.randrange(8)


def _zeros(content: bytearray, r: random.Random) -> None:
    at = r.randrange(len(content))
    content[at : at + r.choice((1, 8, 512, 4096))] = bytes(min(512, len(content) - at))


def _folder(path: Path, r: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.mkdir()


def _swap(path: Path, r: random.Random, others: list[Path]) -> None:
    other = r.choice(others)
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)


def _loop(path: Path, r: random.Random, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: dict[str, Callable[[Path, random.Random, list[Path]], None]] = {
    "a bit flipped": _bytes(_flip),
    "a byte changed": _bytes(lambda c, r: c.__setitem__(r.randrange(len(c)), r.randrange(256))),
    "zeros": _bytes(_zeros),
    "cut": _bytes(lambda c, r: c.__delitem__(slice(r.randrange(len(c)), None))),
    "longer": _bytes(lambda c, r: c.extend(r.randbytes(r.choice((1, 64, 5000))))),
    "emptied": _bytes(lambda c, r: c.clear()),
    "other words": _bytes(lambda c, r: c.__setitem__(slice(None), b'{"format": 1, "hash": null}\n')),
    "its middle lost": _bytes(lambda c, r: c.__delitem__(slice(len(c) // 3, len(c) // 2))),
    "swapped": _swap,
    "another's copy": lambda path, r, others: path.write_bytes(r.choice(others).read_bytes()),
    "removed": lambda path, r, others: path.unlink(),
    "a folder in its place": _folder,
    "a link to itself": _loop,
}


def damaged(folder: Path, r: random.Random) -> tuple[str, list[Path]]:
    """Damage one to three files of a store; return the kinds and the files."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "store.lock")
    kinds, hit = [], []
    for path in r.sample(files, r.choice((1, 1, 2, 3))):
        if not path.is_file() or not path.stat().st_size:
            continue
        kind = r.choice(list(DAMAGES))
        others = [p for p in files if p.is_file() and not p.is_symlink() and p != path]
        before = {p: p.read_bytes() for p in others}
        DAMAGES[kind](path, r, others)
        kinds.append(kind)
        hit += [path, *(p for p in others if p.read_bytes() != before[p])]
    return " + ".join(sorted(kinds)), hit


# -- what a store answers ----------------------------------------------------------------------------------------------


def made(folder: Path) -> dict[str, Any]:
    """Fill a store with records, states and results; return what it must answer, by question."""
    numbers = np.random.default_rng(0)
    with Store(folder) as store:
        for identity in IDENTITIES:
            store.save(identity, {"loss": numbers.random(50), "w": numbers.random((3, 4))}, {"fate": "generalized"})
        for state in STATES:
            store.save_checkpoint(state, {"theta": numbers.random(20)}, {"done": 3})
        data = ps.Grid({"lr": [0.1]}, seeds=6)
        import xarray as xr

        results = xr.Dataset({"loss": (data.dims, numbers.random(data.shape))}, coords=data.coords)
        store.save_results(results, [{"id": "a", "outcome": "holds"}], {"study": "none"})
        return {name: question(store) for name, question in questions().items()}


def questions() -> dict[str, Callable[[Store], Any]]:
    """Return what is asked of every store: each record and state, the results, and the list of records."""
    asked: dict[str, Callable[[Store], Any]] = {}
    for n, identity in enumerate(IDENTITIES):
        asked[f"record {n}"] = lambda store, identity=identity: told(store.load(identity))
    for n, state in enumerate(STATES):
        asked[f"state {n}"] = lambda store, state=state: told(store.load_checkpoint(state))
    asked["results"] = lambda store: told_results(store.load_results())
    asked["list"] = lambda store: sorted(json.dumps(entry, sort_keys=True) for entry in store.records())
    return asked


def told(found: Any) -> Any:
    """Return arrays and facts so that they can be compared bit by bit."""
    return found and ({n: (v.dtype.str, v.shape, v.tobytes()) for n, v in found[0].items()}, found[1])


def told_results(found: Any) -> Any:
    """Return results so that they can be compared bit by bit."""
    if found is None:
        return None
    data, *others = found
    return {n: (v.dtype.str, v.shape, v.tobytes()) for n, v in arrays_of(data).items()}, others


def answered(name: str, question: Callable[[], Any], expected: Any) -> tuple[str, str]:
    """Ask, and say what came: one of ``OUTCOMES``, and what was said."""
    try:
        found = question()
    except BadInput as error:
        return (
            ("sentence", str(error))
            if len(str(error)) <= LONGEST
            else ("raw", f"a sentence of {len(str(error))} characters")
        )
    except Exception as error:
        return "raw", f"{type(error).__name__}: {str(error)[:120]}"
    if found == expected:
        return "right", ""
    if name == "list" and found is not None and set(found) <= set(expected):
        return "absent", ""
    return ("absent", "") if found is None else ("wrong", "data that were never kept")


def storm_of_damages(count: int, seed: int, root: Path) -> tuple[dict[str, Counter[str]], list[str]]:
    """Damage copies of one store; ask a reader, a writer, and a writer after repair."""
    expected, rows, faults = made(root / "whole"), {}, []
    for number in range(count):
        r, folder = random.Random(f"{seed}:{number}"), root / f"copy{number}"
        shutil.copytree(root / "whole", folder, symlinks=True)
        kinds, hit = damaged(folder, r)
        counted = rows.setdefault(kinds if " + " not in kinds else "several", Counter(stores=0))
        counted["stores"] += 1
        for role in ("reader", "writer", "repaired"):
            for name, outcome, said in consulted(folder, role, expected):
                counted[outcome] += 1
                if outcome in ("wrong", "raw"):
                    faults.append(f"{role}, {name.split()[0]}: {outcome}, {said} (after {kinds})")
        faults += [f"{fault} (after {kinds})" for fault in spared(folder, root / "whole", hit, expected)]
        shutil.rmtree(folder)
    return rows, faults


def consulted(folder: Path, role: str, expected: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Open a store as a reader or a writer, ask everything, and yield question, outcome, and what was said."""
    store: list[Store] = []
    outcome, said = answered("open", lambda: store.append(Store(folder, read_only=role == "reader")), None)
    if outcome != "right":
        yield "open", outcome, said
        return
    with store[0] as opened:
        if role == "repaired":
            yield "repair", *answered("repair", lambda: opened.repair() and None, None)
        yield "health", *answered("health", lambda: opened.health() and None, None)
        for name, question in questions().items():
            yield name, *answered(name, lambda question=question: question(opened), expected[name])


def spared(folder: Path, whole: Path, hit: list[Path], expected: dict[str, Any]) -> list[str]:
    """Return the records that were not damaged and are no longer there, where the store still opens."""
    touched = {path.relative_to(folder) for path in hit}
    with contextlib.suppress(BadInput), Store(folder, read_only=True) as store:
        lost = 0
        for n, identity in enumerate(IDENTITIES):
            mine = next(whole.glob(f"records/??/{address(identity)}.safetensors"))
            if mine.relative_to(whole) not in touched:
                lost += told(store.load(identity)) != expected[f"record {n}"]
        return [f"{lost} records lost that nobody damaged"] if lost else []
    return []


def main() -> int:
    """Run the storm and return its exit code."""
    parser = arguments(__doc__, 1000)
    parser.add_argument("--saboteur", action="store_true", help="a store that does not look at checksums")
    a = parser.parse_args()
    if a.saboteur:
        SABOTEURS["trusting"]()
    began = time.monotonic()
    with scratch("corruption") as root:
        rows, faults = storm_of_damages(a.count, a.seed, root)
    table(
        f"damaged stores, asked as a reader, a writer and after repair (seed {a.seed})",
        ("stores", *OUTCOMES),
        dict(sorted(rows.items())),
    )
    print(f"{time.monotonic() - began:.0f} s")
    return verdict(faults)


if __name__ == "__main__":
    sys.exit(main())
