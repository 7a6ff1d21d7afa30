"""A storm of bad input at public doors: each is to end in a value or in one sentence, soon, and never in a raw error.

Every input is a function of seed, family and number alone. A family runs in a child of its own, the command line in a
child for every input; ``process`` starts real processes. ``--family`` runs one family, ``--only`` one of its inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bad_doors import FAMILIES
from bad_values import words
from sabotage import SABOTEURS

import phasescope
import phasescope.commands.cli
from phasescope.errors import BadInput

LONGEST = 450
KINDS = ("answer", "sentence", "own error", "long sentence", "raw error", "slow")
SECONDS = 5.0
SLOW = {"settings": 20.0, "process": 15.0}  # a plan of honest settings takes seconds, and so does a start of Python
DEAF = 60.0  # compiled code hears no alarm: so long after its input began, a child dies of it
SHARES = {"grid": 1200, "recipe": 1200, "table": 1250, "claims": 1000, "theory": 1700, "instruments": 1100,
          "polynomial": 1000, "settings": 600, "readings": 300, "representation": 600, "evaluation": 600, "command": 500, "process": 150}  # fmt: skip
IMPORTED = ("phasescope.commands.polynomial", "phasescope.commands.doctor", "phasescope.commands.inspect", "phasescope.commands.compare", "phasescope.commands.encode",
            "phasescope.commands.profile", "phasescope.commands.layers",
            "phasescope.commands.prune", "phasescope.report.told", "phasescope.report.writer", "torch._dynamo", "sympy",
            "transformers", "sklearn.datasets", "sklearn.feature_extraction.text", "phasescope.lab.staged", "rich.table")  # fmt: skip
MEMORY = 12 * 2**30
Found = tuple[str, str, str]  # kind, the call, and for a fault what went wrong and where


class TooSlow(BaseException):
    """The alarm that ends an input that takes too long; no ``except Exception`` keeps it."""


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise ``TooSlow`` after so many seconds."""

    def ring(number: int, frame: Any) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def dice(seed: int, family: str, number: int) -> random.Random:
    """Return the generator of one input."""
    return random.Random(f"{seed}/{family}/{number}")


def place(error: BaseException) -> str:
    """Return the innermost line of phasescope that an error passed."""
    lines = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
    ours = [line.split("/src/phasescope/", 1)[1] for line in lines if "/src/phasescope/" in line]
    return ours[-1] if ours else f"no line of phasescope, {Path(lines[-1]).name}"


def called(family: str, seed: int, number: int) -> Found:
    """Do one input of a family in this process; return how it ended."""
    text, started = "(while it was made)", time.monotonic()
    try:
        with alarm(SLOW.get(family, SECONDS)):
            call = FAMILIES[family](dice(seed, family, number))
            text = call.text
            call.function(*call.args, **call.kwargs)
        kind, fault = "answer", ""
    except BadInput as error:
        kind, fault = ("sentence", "") if len(str(error)) <= LONGEST else ("long sentence", str(error))
    except TooSlow as error:
        kind, fault = "slow", f"slow | {place(error)} | {time.monotonic() - started:.1f} s"
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:200]
        kind, fault = "raw error", f"{type(error).__name__} | {place(error)} | {first}"
        told = [f.filename for f in traceback.extract_tb(error.__traceback__)]
        ours = [name for name in told if "/phasescope/" in name or name.endswith("bad_doors.py")]
        if ours[-1].endswith("bad_doors.py"):
            kind = "own error"  # raised by the function that a user wrote: it is raised as it is
    return kind, text, fault


def told(code: int | None, said: str) -> tuple[str, str]:
    """Return how a command ended, by its exit code (None: it was too slow) and what it said on stderr."""
    if code is None:
        return "slow", "slow | a command |"
    if "Traceback (most recent call last)" in said:
        ours = re.findall(r'src/phasescope/(\S+)", line (\d+)', said)
        return (
            "raw error",
            f"{':'.join(ours[-1]) if ours else 'no line of phasescope'} | {said.strip().splitlines()[-1][:250]}",
        )
    if code == 0:
        return "answer", ""
    sentence = next((line for line in said.splitlines() if line.startswith("phasescope: ")), "")
    if code != 2 or not sentence:
        return "raw error", f"exit code {code} | no sentence | {said.strip()[-250:]}"
    return ("sentence", "") if len(sentence) <= LONGEST else ("long sentence", sentence)


def forked(family: str, seed: int, number: int) -> Found:
    """Give words to the command line in a forked child; return how it ended."""
    asked = words(dice(seed, family, number))
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/said", "w+b") as said:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.chdir(folder)
                os.dup2(said.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_RDWR), 1)
                sys.argv = ["phasescope", *asked]
                phasescope.commands.cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = None
        try:
            with alarm(SECONDS):
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except TooSlow:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        said.seek(0)
        kind, fault = told(code, said.read().decode(errors="replace"))
    return kind, _written(asked), fault


def started(family: str, seed: int, number: int) -> Found:
    """Start a real process with these words, now and then in a poor terminal; return how it ended."""
    rng = dice(seed, family, number)
    asked = words(rng)
    poor = rng.choice(({}, {}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"TERM": "dumb", "COLUMNS": "1"}, {"COLUMNS": "x"}, {"PYTHONWARNINGS": "error"}, {"HOME": "/nowhere"}))  # fmt: skip
    given = [
        os.fsencode(word.encode("utf-8", "replace").decode()) + rng.choice((b"", b"", b"", b"\xff")) for word in asked
    ]
    code, said = None, b""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([sys.executable, "-m", "phasescope", *given], cwd=folder, env={**os.environ, **poor}, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=SLOW[family])  # fmt: skip
        code, said = done.returncode, done.stderr
    kind, fault = told(code, said.decode(errors="replace"))
    return kind, f"{' '.join(f'{k}={v}' for k, v in poor.items())} {_written(given)}".strip(), fault


def _written(asked: list[str] | list[bytes]) -> str:
    return "phasescope " + " ".join(
        repr(word) if len(word) < 120 else f"{word[:60]!r}...{len(word)} letters" for word in asked
    )


def warm() -> None:
    """Train one network, so that what the first training imports and compiles counts against no input."""
    data = phasescope.tasks.Table("t", np.eye(4, 2, dtype=np.float32), [0, 1, 0, 1], 2)
    how = phasescope.Recipe(steps=2, records=2)
    phasescope.train(torch.nn.Linear(2, 2), data, phasescope.Grid(), how, device="cpu", workers=1)


def family_of(family: str, seed: int, numbers: range) -> list[Found]:
    """Do the inputs ``numbers`` of a family in a forked child, which may die of one of them; return how each ended."""
    do: Callable[[str, int, int], Found] = {"command": forked, "process": started}.get(family, called)
    found: list[Found] = []
    while len(found) < len(numbers):
        ear, mouth = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ear)
            warnings.simplefilter("ignore")
            np.seterr(all="ignore")
            if family in ("table", "settings"):
                warm()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            with os.fdopen(mouth, "w", encoding="utf-8", errors="replace") as pipe:
                for number in numbers[len(found) :]:
                    faulthandler.dump_traceback_later(DEAF, exit=True)
                    print(json.dumps((number, *do(family, seed, number))), file=pipe, flush=True)
            os._exit(0)
        os.close(mouth)
        with os.fdopen(ear, encoding="utf-8", errors="replace") as pipe:
            for line in pipe:
                number, kind, text, fault = json.loads(line)
                found.append((kind, text, f"{fault} | number {number}" if fault else ""))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if len(found) < len(numbers):
            number = numbers[len(found)]
            found.append(("raw error", f"number {number}", f"the process died | exit code {code} |"))
    return found


def report(found: dict[str, list[Found]]) -> int:
    """Print counts by family, and each distinct fault once with its shortest input; return the number of faults."""
    print(f"\n{'family':12}", *(f"{kind:>14}" for kind in KINDS))
    counts = {family: Counter(kind for kind, _, _ in ended) for family, ended in found.items()}
    for family, row in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{family:12}", *(f"{row[kind]:14}" for kind in KINDS))
    shortest: dict[tuple[str, ...], tuple[str, str]] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    for family, ended in found.items():
        for kind, text, fault in ended:
            if kind in ("answer", "sentence", "own error"):
                continue
            key = (family, kind, text.split("(")[0]) if kind == "slow" else (family, kind, *fault.split(" | ")[:2])
            seen[key] += 1
            if key not in shortest or len(text) < len(shortest[key][0]):
                shortest[key] = (text, fault)
    for key, (text, fault) in shortest.items():
        print(f"\n{key[0]}, {key[1]} x{seen[key]}: {fault}\n    {text[:600].encode('utf-8', 'replace').decode()}")
    print(f"\n{sum(seen.values())} faults, {len(seen)} distinct")
    return sum(seen.values())


def main() -> int:
    """Run the storm; return 1 where an input ended in a raw error, a long sentence, or too late."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same storm")
    parser.add_argument(
        "--count", type=int, default=sum(SHARES.values()), help="how many inputs in all, or of --family"
    )
    parser.add_argument("--family", choices=list(SHARES), nargs="+", help="these families alone, --count of each")
    parser.add_argument("--only", type=int, help="one input of --family, by its number")
    parser.add_argument("--saboteur", action="store_true", help="grids that raise or hang: they must be found out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.saboteur:
        SABOTEURS["grids"]()
    for name in IMPORTED:  # a child of a warm parent waits for no import
        importlib.import_module(name)
    found = {}
    for family, share in SHARES.items():
        if asked.family and family not in asked.family:
            continue
        count = asked.count if asked.family else max(1, round(share * asked.count / sum(SHARES.values())))
        if asked.family is None and family == "process":
            count = share if asked.count >= 2000 else count
        begun = time.monotonic()
        found[family] = family_of(
            family, asked.seed, range(count) if asked.only is None else range(asked.only, asked.only + 1)
        )
        print(f"{family}: {len(found[family])} inputs, {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if report(found) else 0


if __name__ == "__main__":
    sys.exit(main())
