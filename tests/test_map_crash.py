"""``kill -9`` of a phase map in the middle: the same call completes it with the bits of an unbroken one.

One helper process imports torch once and forks a child per map, as in ``test_crash.py``. A kill falls when a drawn
number of networks is kept, since moments by the clock miss the map on a machine that others use too. Hundreds of
kills at random moments: ``make storm``.
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
from phasescope.instruments import LEARNING
from phasescope.store import Store

root, engine, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.out = torch.nn.Embedding(5, 8), torch.nn.Linear(8, 5)
    def forward(self, x):
        return self.out(torch.relu(self.embed(x).sum(1)))

learner = ps.learners.PowerMLP(5, 8) if engine == "fused" else Small()
recipe = ps.Recipe(steps=60, lr=0.03, records=4)
mine = ps.Experiment("mine", learner, ps.tasks.addition(5), ps.Grid(), recipe, LEARNING)

def drawn(folder, name):
    found = ps.phase_map(
        mine, x="train_fraction=0.2:0.9", y="lr=0.0003:0.03:log", by="train_accuracy", tolerance=1 / 8, out=folder,
        device="cpu", workers=2,
    )
    with Store(folder, read_only=True) as store:
        assert store.health()["corrupt_records"] == store.health()["checkpoints"] == 0
        assert len(store.records()) == found.data.sizes["network"], "a network was trained twice, or lost"
    assert ps.lab.load(folder).data.identical(found.data)
    np.savez(name, **{str(n): v.values for n, v in found.data.variables.items() if n != "network_seconds"})

def child(work):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(100, exit=True)
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

# the helper itself never trains: to fork a process whose thread pools have run is to inherit their locks
assert finish(child(lambda: drawn(root / "warm", root / "warm.npz"))) == 0
assert finish(child(lambda: drawn(root / "unbroken", root / "unbroken.npz"))) == 0
expected = dict(np.load(root / "unbroken.npz"))
networks = len(expected["network_row"])
folder, name = root / "run", root / "run.npz"
first, second = sorted(random.Random(seed).sample(range(1, networks // 2), 2))
for kept in (first, second):  # the second kill strikes a map that was killed before
    pid = child(lambda: drawn(folder, name))
    while len(list(folder.glob("records/*/*.safetensors"))) < kept:
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the map ended before it was killed"
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    assert finish(pid) == -signal.SIGKILL
    with Store(folder, read_only=True) as store:
        assert kept <= len(store.records()) < networks, "the kill did not meet a half-drawn map"
assert finish(child(lambda: drawn(folder, name))) == 0, "the rerun failed"
found = dict(np.load(name))
assert found.keys() == expected.keys()
for key, value in expected.items():
    assert value.tobytes() == found[key].tobytes(), f"{key} has other bits"
"""


@pytest.mark.slow  # 40 s; tests/test_crash.py kills a study's run by default
@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_two_kills_of_one_map(tmp_path: Path, engine: str) -> None:
    """Which places are asked for follows from the networks alone, and each of them is kept whole or not at all."""
    done = subprocess.run(
        [sys.executable, "-c", HELPER, str(tmp_path), engine, "1"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
