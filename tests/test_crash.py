"""``kill -9`` at random moments: every rerun completes with the bits of an unbroken run, and the store stays readable.

One helper process imports torch once and forks a child per run, so that a killed run costs about a second.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HELPER = """
import faulthandler, os, random, signal, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
import phasescope as ps
from phasescope.instruments import LEARNING, mean_participation
from phasescope.store import Store

root, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def train(store):
    grid = ps.Grid({"weight_decay": [0.0, 1.0], "momentum": [0.0, 0.9]}, seeds=5)
    recipe = ps.Recipe(optimizer="sgd", lr=0.5, steps=600, records=30, batch=40, patience=20.0)
    task, learner = ps.tasks.addition(11, train_fraction=0.8), ps.learners.PowerMLP(11, 32, dropout=0.1)
    watch = (*LEARNING, mean_participation)
    data = ps.train(learner, task, grid, recipe, watch, keeper=store, device="cpu", workers=2, checkpoint_every=0.0)
    return {str(n): v.values for n, v in data.data_vars.items() if n != "seconds"}

def whole(folder, name):
    with Store(folder) as store:
        found = train(store)
        assert len(store.records()) == 20
        health = store.health()
        assert (health["corrupt_records"], health["checkpoints"], health["records"]) == (0, 0, 20), health
    np.savez(name, **found)

def child(work):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(100, exit=True)  # a hang shows where, and fails
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return pid

def finish(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def warm():
    with Store(root / "warm") as store:
        train(store)

# the helper itself never trains: to fork a process whose thread pools have run is to inherit their locks
assert finish(child(warm)) == 0
started = time.monotonic()
assert finish(child(lambda: whole(root / "unbroken", root / "unbroken.npz"))) == 0
seconds = time.monotonic() - started
expected = dict(np.load(root / "unbroken.npz"))
moments, killed, partial = random.Random(seed), 0, 0
for i in range(kills):
    folder, name = root / f"run{i}", root / f"run{i}.npz"
    pid = child(lambda: whole(folder, name))
    time.sleep(moments.uniform(0.02, 0.95) * seconds)
    os.kill(pid, signal.SIGKILL)
    killed += finish(pid) == -signal.SIGKILL
    if (folder / "store.json").exists():
        with Store(folder, read_only=True) as store:
            partial += 0 < len(store.records()) < 20 or store.health()["checkpoints"] > 0
    assert finish(child(lambda: whole(folder, name))) == 0, f"kill {i}: the rerun failed"
    found = dict(np.load(name))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert value.tobytes() == found[key].tobytes(), f"kill {i}: {key} has other bits"
print(f"{killed} {partial}")
"""


def law_survives_kills(folder: Path, kills: int, seed: int) -> None:
    """A record is absent or whole, and a state goes on from where it was: no kill can be seen in the results."""
    done = subprocess.run(
        [sys.executable, "-c", HELPER, str(folder), str(kills), str(seed)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    killed, partial = map(int, done.stdout.split())
    assert killed >= kills / 2, "most kills came too late to cut anything"
    assert partial >= 1, "no kill met a half-finished run"


def test_four_kills(tmp_path: Path) -> None:
    law_survives_kills(tmp_path, 4, 1)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    law_survives_kills(tmp_path, 20, 2)
