"""``kill -9`` of a phase map at random moments: the same call completes it with the bits of an unbroken one.

One helper process imports torch once and forks a child per map, as in ``test_crash.py``.
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

root, engine, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

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
    assert ps.studies.load(folder).data.identical(found.data)
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
started = time.monotonic()
assert finish(child(lambda: drawn(root / "unbroken", root / "unbroken.npz"))) == 0
seconds = time.monotonic() - started
expected = dict(np.load(root / "unbroken.npz"))
moments, partial = random.Random(seed), 0
folder, name = root / "run", root / "run.npz"
for i in range(kills):
    if i % 2 == 0:  # every second kill strikes a map that was killed before
        folder, name = root / f"run{i}", root / f"run{i}.npz"
    pid = child(lambda: drawn(folder, name))
    time.sleep(moments.uniform(0.1, 0.95) * seconds)
    os.kill(pid, signal.SIGKILL)
    finish(pid)
    if (folder / "store.json").exists():
        with Store(folder, read_only=True) as store:
            partial += 0 < len(store.records()) < len(expected["network_row"])
    if i % 2 and i < kills - 1:
        assert finish(child(lambda: drawn(folder, name))) == 0, f"kill {i}: the rerun failed"
        found = dict(np.load(name))
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert value.tobytes() == found[key].tobytes(), f"kill {i}: {key} has other bits"
assert finish(child(lambda: drawn(folder, name))) == 0, "the last rerun failed"
found = dict(np.load(name))
assert all(value.tobytes() == found[key].tobytes() for key, value in expected.items()), "the last rerun has other bits"
print(partial)
"""


def law_survives_kills(folder: Path, engine: str, kills: int, seed: int) -> None:
    """Which places are asked for follows from the networks alone, and each of them is kept whole or not at all."""
    done = subprocess.run(
        [sys.executable, "-c", HELPER, str(folder), engine, str(kills), str(seed)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= 1, "no kill met a half-drawn map"


def test_two_kills_of_one_map(tmp_path: Path) -> None:
    law_survives_kills(tmp_path, "fused", 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_twelve_kills(tmp_path: Path, engine: str) -> None:
    law_survives_kills(tmp_path, engine, 12, 2)
