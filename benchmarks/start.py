"""How long `phasescope --help` takes beside a bare typer command: `python benchmarks/start.py` (20 s).

Processor seconds of a process from its first line to the last, the quickest of ten, taken in turn with bytecode.
Idle cores: 0.16 s against 0.13; the design asks for less than 0.4 s.
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
PROCESS = """
import sys, time; sys.argv = ['phasescope', '--help']
{}
try: main()
except SystemExit: print(time.process_time(), file=sys.stderr)
"""


def main() -> None:
    """Print both times and their ratio."""
    quickest = dict.fromkeys(("from phasescope.commands.cli import main", BARE), float("inf"))
    for made in [*quickest] * 10:
        done = subprocess.run([sys.executable, "-c", PROCESS.format(made)], capture_output=True, text=True, check=True)
        quickest[made] = min(quickest[made], float(done.stderr.split()[-1]))
    ours, bare = quickest.values()
    print(f"phasescope --help {ours:.3f} s, a bare typer command {bare:.3f} s, ratio {ours / bare:.2f}")


if __name__ == "__main__":
    main()
