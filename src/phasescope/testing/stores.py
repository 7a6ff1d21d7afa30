"""The laws of a keeper: what any implementation of ``phasescope.vocabulary.Keeper`` must do to be trusted.

Each law takes ``make``, which opens (or makes) the keeper of a folder and is a context manager, and an empty
folder. It returns None or raises ``AssertionError`` with a sentence. ``make`` must be importable by its
module and name, for one law writes from a process that it kills::

    for law in STORE_LAWS:
        law(MyStore, fresh_folder())
"""

from __future__ import annotations

import importlib
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.vocabulary import Array, Keeper

Make = Callable[[Path], AbstractContextManager[Keeper]]

IDENTITY: dict[str, Any] = {
    "task": {"name": "addition", "p": 23, "corruption": None},
    "recipe": {"lr": 0.1, "betas": (0.9, 0.98), "overtime": float("inf"), "nesterov": False},
    "member": {"seed": 0, "weight_decay": 1e-300, "width": 128},
    "code": ["a", "b"],
}
FACTS: dict[str, Any] = {
    "fate": "generalized",
    "step": 12,
    "seconds": 0.25,
    "more": {"seen": [1, 2.5, None, True]},
}
ARRAYS: dict[str, Array] = {
    "double": np.array([[0.1, -0.0, np.nan], [np.inf, -np.inf, 5e-324]]),
    "single": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "scalar": np.array(2.5, dtype=np.float32),
    "empty": np.zeros((0, 3), dtype=np.float64),
    "integers": np.array([-(2**63), 2**63 - 1]),
    "small": np.array([-128, 127], dtype=np.int8),
    "truth": np.array([[True], [False]]),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "every other": np.arange(10, dtype=np.int32)[::2],
}


def differences(found: Any, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> str:
    """Return what differs between what was loaded and what was saved, bit by bit; '' if nothing."""
    if found is None:
        return "it is absent"
    if set(found[0]) != set(arrays):
        return f"its arrays are {sorted(found[0])}, not {sorted(arrays)}"
    for name, array in arrays.items():
        loaded = found[0][name]
        if not isinstance(loaded, np.ndarray) or (loaded.dtype, loaded.shape) != (array.dtype, array.shape):
            return f"array {name!r} came back as {loaded!r}"
        if loaded.tobytes() != array.tobytes():
            return f"array {name!r} came back with other bits"
    return "" if found[1] == facts else f"its facts are {found[1]}, not {facts}"


def law_same_bits(make: Make, root: Path) -> None:
    """Any shape and dtype comes back bit for bit, now and after the keeper was closed and opened again."""
    with make(root) as keeper:
        keeper.save(IDENTITY, ARRAYS, FACTS)
        keeper.save({"empty": True}, {}, {})
        now = keeper.load(IDENTITY)
    with make(root) as keeper:
        later, empty = keeper.load(IDENTITY), keeper.load({"empty": True})
    for found in (now, later):
        assert not differences(found, ARRAYS, FACTS), f"a record changed: {differences(found, ARRAYS, FACTS)}"
    assert empty == ({}, {}), f"a record of nothing came back as {empty}"


def law_own_copies(make: Make, root: Path) -> None:
    """What is kept does not follow later changes of what was saved or loaded."""
    mine = {"a": np.arange(5.0)}
    with make(root) as keeper:
        keeper.save(IDENTITY, mine, FACTS)
        mine["a"] += 1
        found = keeper.load(IDENTITY)
        assert found is not None, "a record is absent after it was saved"
        found[0]["a"][:] = 7
        wrong = differences(keeper.load(IDENTITY), {"a": np.arange(5.0)}, FACTS)
        assert not wrong, f"a record followed a change of the caller's array: {wrong}"


def law_order_of_keys(make: Make, root: Path) -> None:
    """An identity is the same whatever the order of its keys, its tuples or lists, and numpy's or Python's
    numbers."""
    same: dict[str, Any] = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else tuple(value)
        for key, value in IDENTITY.items()
    }
    same = dict(reversed(same.items()))
    same["recipe"]["betas"] = [np.float64(0.9), 0.98]
    same["member"]["width"] = np.int64(128)
    with make(root) as keeper:
        keeper.save(IDENTITY, ARRAYS, FACTS)
        assert keeper.load(same) is not None, "an identity in another order is another identity"


def law_every_leaf(make: Make, root: Path) -> None:
    """An identity that differs in any leaf, by however little, is another identity."""
    with make(root) as keeper:
        keeper.save(IDENTITY, ARRAYS, FACTS)
        for other in neighbours(IDENTITY):
            assert keeper.load(other) is None, f"{other} found the record of {IDENTITY}"
            assert keeper.load_checkpoint(other) is None, f"{other} found a checkpoint"


def neighbours(value: Any) -> Iterator[Any]:
    """Yield copies of nested data in which one leaf is changed or one key gone."""
    if isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
            yield from ({**value, key: changed} for changed in neighbours(value[key]))
    elif isinstance(value, list | tuple):
        yield [*value, None]
        for i, item in enumerate(value):
            yield from ([*value[:i], changed, *value[i + 1 :]] for changed in neighbours(item))
    elif isinstance(value, float) and np.isfinite(value):
        yield math.nextafter(value, 0.0 if value else 1.0)
        yield -value
    else:
        yield f"{value} "
        yield not value


def law_latest_counts(make: Make, root: Path) -> None:
    """A record saved again is the new one, with none of the old one's arrays."""
    with make(root) as keeper:
        keeper.save(IDENTITY, ARRAYS, FACTS)
        keeper.save(IDENTITY, {"new": np.ones(2)}, {"fate": "diverged"})
    with make(root) as keeper:
        wrong = differences(keeper.load(IDENTITY), {"new": np.ones(2)}, {"fate": "diverged"})
    assert not wrong, f"a record saved twice is not the latest: {wrong}"


def law_checkpoints(make: Make, root: Path) -> None:
    """Checkpoints replace one another, can be dropped (also twice), and are no records."""
    with make(root) as keeper:
        keeper.drop_checkpoint(IDENTITY)
        keeper.save_checkpoint(IDENTITY, ARRAYS, FACTS)
        assert keeper.load(IDENTITY) is None, "a checkpoint passed for a record"
        keeper.save_checkpoint(IDENTITY, {"x": np.zeros(3)}, {"step": 2})
        keeper.save(IDENTITY, ARRAYS, FACTS)
    with make(root) as keeper:
        wrong = differences(keeper.load_checkpoint(IDENTITY), {"x": np.zeros(3)}, {"step": 2})
        assert not wrong, f"a checkpoint is not the latest: {wrong}"
        keeper.drop_checkpoint(IDENTITY)
        keeper.drop_checkpoint(IDENTITY)
        assert keeper.load_checkpoint(IDENTITY) is None, "a dropped checkpoint is still there"
        assert keeper.load(IDENTITY) is not None, "dropping a checkpoint took the record along"


def law_failed_write(make: Make, root: Path) -> None:
    """A write that the system stops midway raises, and the old record and checkpoint stand."""
    old, new = {"x": np.arange(8.0)}, {"x": np.arange(16_384.0)}
    with make(root) as keeper:
        keeper.save(IDENTITY, old, FACTS)
        keeper.save_checkpoint(IDENTITY, old, FACTS)
        for save in (keeper.save, keeper.save_checkpoint):
            try:
                with largest_file(65_536):
                    save(IDENTITY, new, {})
            except (OSError, ValueError):
                continue
            raise AssertionError(f"{save.__name__} said nothing when the system stopped its write")
    with make(root) as keeper:
        for load in (keeper.load, keeper.load_checkpoint):
            wrong = differences(load(IDENTITY), old, FACTS)
            assert not wrong, f"{load.__name__} after a write that failed midway: {wrong}"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse every write beyond ``size`` bytes of a file, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def law_damage_is_seen(make: Make, root: Path) -> None:
    """A file cut short or with one bit turned gives no record rather than a wrong one."""
    arrays = {"x": np.arange(200.0)}
    with make(root) as keeper:
        keeper.save(IDENTITY, arrays, FACTS)
    file = max((path for path in root.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 60))
    damaged = [whole[:place] for place in places]
    damaged += [whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :] for place in places]
    for content in damaged:
        file.write_bytes(content)
        with make(root) as keeper:
            found = keeper.load(IDENTITY)
        assert found is None or not differences(found, arrays, FACTS), "a damaged file passed for a record"
        file.write_bytes(whole)


def law_survives_kill(
    make: Make, root: Path, moments: int = 20, check: Callable[[Any], None] = lambda keeper: None
) -> None:
    """A writer killed at random moments leaves a keeper that opens, and that has all whose saving had
    returned.

    ``check`` may look at the opened keeper after each kill.
    """
    from phasescope.ensemble.streams import streams  # not above: the writer that is killed needs no torch

    chance, known, latest, last = streams(0)("laws"), set[int](), -1, -1
    for start, acknowledged in _killed_writers(make, root, [chance.uniform(0, 0.06) for _ in range(moments)]):
        known |= set(acknowledged)
        last = max([last, *acknowledged])
        with make(root) as keeper:
            for i in known:
                wrong: str | None = differences(keeper.load({"member": i}), content(i), {"i": i})
                assert not wrong, f"record {i} after a kill: {wrong}"
            for load in (keeper.load, keeper.load_checkpoint):
                found = load({"replaced": True})
                assert last < 0 or found is not None, f"{load.__name__}: what was replaced when killed is gone"
                latest = found[1]["i"] if found else -1
                assert latest >= last or latest >= start, f"{load.__name__}: {latest} came back after {last}"
                wrong = found and differences(found, content(latest), {"i": latest})
                assert not wrong, f"what was replaced when killed: {wrong}"
            check(keeper)
    assert len(known) >= moments // 2, f"only {len(known)} records were saved in {moments} runs"


def content(i: int) -> dict[str, Array]:
    """Return arrays that can be told from those of any other ``i``; 36 kB."""
    return {"weights": np.full((300, 30), i, dtype=np.float32), "steps": np.arange(i, i + 10)}


def _killed_writers(make: Make, root: Path, delays: list[float]) -> Iterator[tuple[int, list[int]]]:
    """Yield, for each delay, the first number of a writer killed after it and the numbers it had saved."""
    command = [sys.executable, __file__, f"{make.__module__}:{make.__qualname__}", str(root)]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for turn, delay in enumerate(delays):
            nursery.stdin.write(f"{turn * 100_000}\n")
            nursery.stdin.flush()
            process = int(nursery.stdout.readline())
            lines = [nursery.stdout.readline()] if turn % 2 else []  # every other one lives to its first word
            assert lines not in (["dead\n"], [""]), "a writer died by itself"
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
            lines += iter(nursery.stdout.readline, "dead\n")
            yield turn * 100_000, [int(line) for line in lines]


def _nursery(factory: str, root: str) -> None:
    """Start a writer for each line of standard input, tell its process id, and tell when it is dead."""
    module, _, name = factory.partition(":")
    make = getattr(importlib.import_module(module), name)
    assert "torch" not in sys.modules, "a store needs no torch"
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            _write_forever(make, Path(root), int(line))
        os.waitpid(process, 0)
        os.write(1, b"dead\n")


def _write_forever(make: Make, root: Path, start: int) -> None:
    """Save records and replace a record and a checkpoint, telling each number when it is kept."""
    os.write(1, f"{os.getpid()}\n".encode())
    with make(root) as keeper:
        for i in count(start):
            for save in (keeper.save, keeper.save_checkpoint):
                save({"replaced": True}, content(i), {"i": i})
            keeper.save({"member": i}, content(i), {"i": i})
            os.write(1, f"{i}\n".encode())


STORE_LAWS: tuple[Callable[[Make, Path], None], ...] = (
    law_same_bits,
    law_own_copies,
    law_order_of_keys,
    law_every_leaf,
    law_latest_counts,
    law_checkpoints,
    law_failed_write,
    law_damage_is_seen,
    law_survives_kill,
)

if __name__ == "__main__":
    _nursery(*sys.argv[1:])
