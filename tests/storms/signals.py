"""SIGINT and SIGTERM at random moments of a command's life: exit code 3 and one sentence, soon, every time.

    python tests/storms/signals.py --count 20

Real processes of ``phasescope``; a moment is drawn uniformly over the life of an undisturbed run, and a run that was
complete before its signal came is told apart. A signal of the last moment may find all done: then 0 is right. One that
comes while Python itself starts, before it has read a line of Phasescope, meets nobody who could answer: it is counted,
another moment is drawn, and it is a fault only if it comes later than Python takes to start.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

from storm import EXE, arguments, table, verdict
from victims import TINY

MAPPED = ("--x", "weight_decay=0:20", "--y", "train_fraction=0.3:0.9", "--tolerance", "0.25")
COMMANDS = {
    "run": ["run", "grokking", *(f"--set={name}={value}" for name, value in TINY.items())],
    "map": ["map", "grokking", *MAPPED, *(f"--set={name}={TINY[name]}" for name in ("p", "width", "adam_steps"))],
    "show": ["show", "grokking"],
    "list": ["list"],
    "polynomial": ["polynomial", "n1*n2", "--p", "23"],
}
#: What a saboteur runs instead.
DEAF = {"deaf": ["-c", "import time; time.sleep(2)"]}
EARLY = "in Python's start"
#: How many seconds a command may take to end after its signal.
SOON = 5.0


def started(arguments: list[str], folder: str) -> subprocess.Popen[str]:
    """Start the command in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, *arguments] if arguments[0] == "-c" else [str(EXE), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def undisturbed(arguments: list[str]) -> float:
    """Return how long the command takes when nothing stops it."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        _, said = (run := started(arguments, folder)).communicate(timeout=300)
        if run.returncode != 0:
            raise SystemExit(f"{arguments[0]} fails undisturbed: {said[-300:]}")
        return time.monotonic() - began


def bare_start() -> float:
    """Return how long Python takes to start and end, with nothing of ours: the longest of three."""
    times = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)
        times.append(time.monotonic() - began)
    return max(times)


def struck(arguments: list[str], number: signal.Signals, delay: float, bare: float) -> tuple[str, str]:
    """Send the signal after ``delay`` seconds; return how it ended, and the fault if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        run = started(arguments, folder)
        try:
            run.communicate(timeout=delay)
            return "complete before", ""
        except subprocess.TimeoutExpired:
            run.send_signal(number)
        began = time.monotonic()
        try:
            _, said = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            return "hung", f"no end 60 s after {number.name} at {delay:.2f} s"
        took = time.monotonic() - began
    if run.returncode == 0:
        return "complete", ""
    lines = [line for line in said.splitlines() if line.startswith("phasescope: ")]
    if delay < bare and (run.returncode == -number or ("Traceback" in said and "/phasescope/" not in said)):
        return EARLY, ""
    if run.returncode != 3 or len(lines) != 1 or "interrupt" not in lines[0] or "Traceback" in said:
        return "wrong", f"{number.name} at {delay:.2f} s: exit code {run.returncode}, {said[-200:]!r}"
    return (
        ("3 and a sentence", "") if took <= SOON else ("late", f"{number.name} at {delay:.2f} s: {took:.1f} s to end")
    )


def main() -> int:
    """Run the storm and return its exit code."""
    parser = arguments(__doc__, 20)
    parser.add_argument("--saboteur", action="store_true", help="a command that knows nothing of signals")
    a = parser.parse_args()
    # a shell that runs this in the background ignores SIGINT, and children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    moments, faults = random.Random(a.seed), list[str]()
    rows: dict[str, Counter[str]] = {}
    bare = bare_start()
    for name, command in (DEAF if a.saboteur else COMMANDS).items():
        life = undisturbed(command)
        for number in (signal.SIGINT, signal.SIGTERM):
            row = rows.setdefault(f"{name} {number.name}", Counter())
            wanted = a.count if name == "run" else max(a.count // 4, 1)
            while row.total() - row[EARLY] < wanted:
                how, fault = struck(command, number, moments.uniform(0.0, life), bare)
                row[how] += 1
                faults += [f"{name}: {fault}"] if fault else []
        print(f"{name}: {life:.1f} s undisturbed", flush=True)
    table(
        f"signals (seed {a.seed})",
        ("3 and a sentence", "complete", "complete before", EARLY, "late", "wrong", "hung"),
        rows,
    )
    return verdict(faults)


if __name__ == "__main__":
    sys.exit(main())
