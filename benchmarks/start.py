"""How long `import phasescope` and `phasescope --help` take beside a bare command: `python benchmarks/start.py` (20 s).

Of a process from its first line to the last: processor seconds and seconds on the clock, the quickest of ten, taken in
turn with bytecode. The design asks for less than 0.3 s of the import, and 0.4 s of `--help`.
"""

from __future__ import annotations

import subprocess
import sys

BARE = """
import typer
app = typer.Typer(help='A command.', pretty_exceptions_enable=False)
@app.command()
def run(study: str): 'Run.'
@app.command()
def show(study: str): 'Show.'
main = app
"""
WAYS = {
    "import phasescope": "import phasescope; main = list",
    "phasescope --help": "from phasescope.commands.cli import main",
    "a bare typer command": BARE,
}
PROCESS = """
import sys, time; sys.argv = ['phasescope', '--help']; started = time.perf_counter()
{}
try: main()
except SystemExit: pass
print(time.process_time(), time.perf_counter() - started, file=sys.stderr)
"""


def main() -> None:
    """Print the seconds of each, and how much of a bare command's processor time ours takes."""
    quickest = {name: (float("inf"), float("inf")) for name in WAYS}
    for name in [*WAYS] * 10:
        command = [sys.executable, "-c", PROCESS.format(WAYS[name])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        used, passed = map(float, done.stderr.split()[-2:])
        quickest[name] = (min(quickest[name][0], used), min(quickest[name][1], passed))
    for name, (used, passed) in quickest.items():
        print(f"{name:21} processor {used:.3f} s, clock {passed:.3f} s")
    _, ours, bare = (used for used, _ in quickest.values())
    print(f"--help over a bare command: {ours / bare:.2f}")


if __name__ == "__main__":
    main()
