"""``kill -9`` in the middle: the rerun completes with the bits of an unbroken run, and the store stays readable.

One helper process imports torch once and forks a child per run, so that a killed run costs about a second. A kill
falls when a drawn number of records or a state is kept, since moments by the clock miss the run on a machine that
others use too. Hundreds of kills at random moments: ``make storm``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HELPER = """
import faulthandler, os, random, signal, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
import phasescope as ps
from phasescope.instruments import LEARNING, mean_participation
from phasescope.store import Store

root, seed = Path(sys.argv[1]), int(sys.argv[2])

def train(store):
    grid = ps.Grid({"weight_decay": [0.0, 1.0], "momentum": [0.0, 0.9]}, seeds=2)
    recipe = ps.Recipe(optimizer="sgd", lr=0.5, steps=300, records=15, batch=40, patience=20.0)
    task, learner = ps.tasks.addition(11, train_fraction=0.8), ps.learners.PowerMLP(11, 32, dropout=0.1)
    watch = (*LEARNING, mean_participation)
    data = ps.train(learner, task, grid, recipe, watch, keeper=store, device="cpu", workers=2, checkpoint_every=0.0)
    return {str(n): v.values for n, v in data.data_vars.items() if n != "seconds"}

def whole(folder, name):
    with Store(folder) as store:
        found = train(store)
        assert len(store.records()) == 8
        health = store.health()
        assert (health["corrupt_records"], health["checkpoints"], health["records"]) == (0, 0, 8), health
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
assert finish(child(lambda: whole(root / "unbroken", root / "unbroken.npz"))) == 0
expected = dict(np.load(root / "unbroken.npz"))
drawn, met = random.Random(seed), {"records": False, "checkpoints": False}
for kind in met:
    folder, name, least = root / kind, root / f"{kind}.npz", drawn.randrange(1, 3)
    pid = child(lambda: whole(folder, name))
    while len(list(folder.glob(f"{kind}/**/*.safetensors"))) < least:
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), f"the run ended before {least} {kind} were kept"
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    assert finish(pid) == -signal.SIGKILL
    with Store(folder, read_only=True) as store:
        met[kind] = len(store.records()) < 8 if kind == "records" else store.health()["checkpoints"] > 0
    assert finish(child(lambda: whole(folder, name))) == 0, f"{kind}: the rerun failed"
    found = dict(np.load(name))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert value.tobytes() == found[key].tobytes(), f"{kind}: {key} has other bits"
assert all(met.values()), f"a kill did not meet a half-finished run: {met}"
"""


def test_two_kills(tmp_path: Path) -> None:
    """A record is absent or whole, and a state goes on from where it was: no kill can be seen in the results."""
    done = subprocess.run(
        [sys.executable, "-c", HELPER, str(tmp_path), "1"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
