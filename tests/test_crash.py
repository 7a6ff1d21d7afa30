"""``kill -9`` in the middle: the rerun completes with the bits of an unbroken run, and the store stays readable.

A fresh process must find what another one kept, so one kill is met by a second interpreter. For the others one helper process imports torch once and forks a child per run, so that a killed run costs about a second. A kill
falls when a drawn number of records or a state is kept, since moments by the clock miss the run on a machine that
others use too. Hundreds of kills at random moments: ``make storm``.
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


OWN = """
import numpy as np, torch
from torch import nn
import phasescope as ps
from phasescope.vocabulary import Draw

TOLD = {told!r}

class Compiled(ps.learners.PowerMLP):
    def initialize(self, generator):
        super().initialize(generator)
        with torch.no_grad():
            self.readout.mul_(0.5)

class Plain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed, self.out = nn.Embedding(5, width), nn.Linear(width, 5)

    def forward(self, x):
        h = torch.fft.rfft(self.embed(x).sum(1)).abs()
        return self.out(nn.functional.pad(nn.functional.gelu(h), (0, self.out.in_features - h.shape[-1])))

class Sums:
    name, knobs, classes = "sums", {{"train_fraction": 0.6}}, 5

    def draw(self, member, generators):
        rows = np.array([(a, b) for a in range(5) for b in range(5)])
        order, count = generators("data").permutation(25), int(25 * float(member.get("train_fraction", 0.6)))
        labels = rows.sum(1) % 5
        return Draw(rows, labels, labels, np.sort(order[:count]), np.sort(order[count:]), np.ones(25))

    def describe(self):
        return {{"task": "sums"}}

def spread(seen):
    import torch._numpy  # which puts itself into torch's own space
    with open(TOLD, "a") as told:  # a line whenever a network is read, so that no training goes unseen
        told.write("read\\n")
    return ps.Reading(seen.logits().flatten(1).std(1))

def trained(engine, keeper):
    recipe, own = ps.Recipe(steps=6, records=3, lr=0.01), ps.instrument(spread, unit="1", source="here")
    how = dict(device="cpu", workers=1, tile=1, keeper=keeper)
    users = {{"fused": lambda m: Compiled(5, int(m["width"])), "stacked": lambda m: Plain(int(m["width"]))}}[engine]
    found = [
        ps.train(ps.learners.PowerMLP(5, 8), ps.tasks.addition(5), ps.Grid(seeds=2), recipe, [own], **how),
        ps.train(users, Sums(), ps.Grid({{"width": [4, 8]}}, seeds=2), recipe, [own], engine=engine, **how),
    ]
    return [v.values.tobytes() for d in found for n, v in d.variables.items() if n != "seconds"]
"""
KILLED = """
import os, signal, sys
import own, phasescope as ps

class Dying(ps.Store):
    def save(self, *record):
        super().save(*record)
        if len(self.records()) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

own.trained(sys.argv[2], Dying(sys.argv[1]))
"""
FRESH = """
import sys
import torch, torch._numpy, phasescope as ps
import own
from pathlib import Path

def lines():
    return len(Path(own.TOLD).read_text().split())

if sys.argv[2] == "stacked":
    import torch._dynamo  # all that the killed process loaded while it trained
sys.stdin.readline()
killed = lines()
kept = {p: p.stat() for p in Path(sys.argv[1]).glob("records/??/*")}
with ps.Store(sys.argv[1]) as store:
    assert len(store.records()) == len(kept) == 4
    found, resumed = own.trained(sys.argv[2], store), lines()
    assert len(store.records()) == 6
for path, stat in kept.items():
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns), "trained again"
assert own.trained(sys.argv[2], None) == found, "other bits"
whole = lines() - resumed
assert resumed == whole and 0 < killed < whole, (killed, resumed, whole)
"""


@pytest.mark.parametrize("engine", ["fused", pytest.param("stacked", marks=pytest.mark.slow)])
def test_a_fresh_process_resumes_and_trains_nothing_again(engine: str, tmp_path: Path) -> None:
    """Members of our network and of a user's own one, whose module, task and instrument stand in a file.

    The killed process loads parts of torch while it trains, the fresh one has loaded them before it begins: neither
    that, nor what lies where in memory, may change by what a record is found.
    """
    (tmp_path / "own.py").write_text(OWN.format(told=str(tmp_path / "told")))
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "run"), engine],
            cwd=tmp_path, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for code in (KILLED, FRESH)
    ]  # fmt: skip
    try:
        told = [process.communicate("go\n", timeout=300)[1] for process in started]
        assert [process.returncode for process in started] == [-9, 0], "\n".join(told)[-3000:]
    finally:
        for process in started:
            process.kill()
