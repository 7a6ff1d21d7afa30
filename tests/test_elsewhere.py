"""Work that is done elsewhere: the same bits, nothing twice, and what becomes of workers and runs that are lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import phasescope.ensemble.run as running
from phasescope import lab
from phasescope.commands.options import workers_of
from phasescope.ensemble import Progress, Quantity, Simulation, measure, simulate, train
from phasescope.ensemble import executors as named
from phasescope.ensemble.errands import Elsewhere, Errand, bundled, packed, run_errands, unbundled, unpacked
from phasescope.ensemble.executors import executor_named
from phasescope.instruments import LEARNING
from phasescope.learners import PowerMLP
from phasescope.store import Store
from phasescope.tasks import Table, addition
from phasescope.vocabulary import BadInput, Generators, Grid, Interrupted, Member, Recipe

KINDS = ("fused", "stacked", "looped")


class Losing(Executor):
    """An executor of one worker that loses what was submitted at the turns ``lost``, done or not."""

    def __init__(self, *lost: int) -> None:
        self.lost, self.turn, self.elsewhere = lost, 0, None

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.turn += 1
        future: Future[Any] = Future()
        found = fn(*args, **kwargs)
        if self.turn in self.lost:
            future.set_exception(BrokenExecutor("the worker is gone"))
        else:
            future.set_result(found)
        return future


class Counting(Store):
    """A store that counts how often each record is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.saved: list[str] = []

    def save(self, identity: Any, arrays: Any, facts: Any) -> None:
        self.saved.append(repr(identity))
        super().save(identity, arrays, facts)


def trained(kind: str, **how: Any) -> xr.Dataset:
    """Train six small networks by an engine: with slices of no length there is a state after every group of records."""
    recipe = Recipe(steps=40, records=6, batch=8, lr=0.01, loss="cross_entropy")
    if kind == "fused":
        grid = Grid({"weight_decay": (0.0, 0.1)}, seeds=3)
        return train(PowerMLP(5, 8), addition(5), grid, recipe, LEARNING, device="cpu", engine="fused", **how)
    x = np.random.default_rng(0).standard_normal((30, 4))
    task = Table("points", x, (x[:, 0] > 0).astype(int), 2, train_fraction=0.7)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    grid = Grid({"lr": (0.01, 0.1)}, seeds=3)
    engine: Any = kind
    return train(net, task, grid, recipe, LEARNING, device="cpu", engine=engine, tile=3 if kind == "stacked" else None,
                 **how)  # fmt: skip


def same(one: xr.Dataset, other: xr.Dataset) -> bool:
    return bool(one.drop_vars("seconds").identical(other.drop_vars("seconds")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), lambda: Losing(2, 5)])
def test_the_same_bits_and_nothing_twice(
    kind: str, make: Callable[[], Executor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LEAST", 0.0)
    told: list[Progress] = []
    with Counting(tmp_path) as store, make() as executor:
        there = trained(kind, executor=executor, keeper=store, checkpoint_every=0, on_progress=told.append)
        assert same(there, trained(kind, workers=1))
        records = [identity for identity in store.saved if "surroundings" in identity and "watch" in identity]
        assert len(records) == len(set(records)) == 6
    assert told[-1].finished == 6
    assert told[-1].steps_done == told[-1].steps == 6 * 40
    if isinstance(executor, Losing):
        assert executor.turn > 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after,elsewhere", [(2, True), (3, True), (3, False)])
def test_a_driver_that_ends_keeps_what_came_back(
    kind: str, after: int, elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after some slices: the next call goes on from states, here or elsewhere, with the same bits."""
    monkeypatch.setattr(running, "LEAST", 0.0)
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        if len(told) == after:
            raise KeyboardInterrupt

    with Store(tmp_path) as store, pytest.raises(Interrupted, match="of 6 members finished"):
        trained(kind, executor=Losing(), keeper=store, checkpoint_every=0, on_progress=stop, workers=1)
    before = told[-1].steps_done
    with Store(tmp_path) as store:
        who = Losing() if elsewhere else None
        again = trained(kind, executor=who, keeper=store, on_progress=told.append, workers=1)
    assert same(again, trained(kind, workers=1))
    last = told[-1]
    assert before > 0 and last.finished == 6
    assert last.steps_done == last.steps == 40 * (6 - last.reused)


# -- simulations and readings -----------------------------------------------------------------------------------------


def walk(member: Member, generators: Generators) -> dict[str, Any]:
    draw = generators("walk")
    path = draw.standard_normal(int(member["length"])).cumsum()
    return {"path": path, "turn": np.exp(1j * path[-1])}


def broken(member: Member, generators: Generators) -> dict[str, Any]:
    class Own(Exception):  # no other process knows it
        def __init__(self, one: Any, two: Any) -> None:
            super().__init__(one)

    if member.seed == 1:
        raise Own("far off", 2)
    return {"path": np.zeros(2), "turn": 0.0}


QUANTITIES = [Quantity("path", "1", "here", ("time",)), Quantity("turn", "1", "here")]
WALKS = Simulation("Walks", walk, Grid({"length": [3, 4]}, seeds=3), QUANTITIES)


def test_simulations_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["phasescope.ensemble.simulate"], "SECONDS", 0.0)
    with ThreadPoolExecutor(2) as pool:
        assert simulate(WALKS, executor=pool).identical(simulate(WALKS))
    last: list[Progress] = []
    found = simulate(WALKS, executor=Losing(1, 3), on_progress=last.append)
    assert found.identical(simulate(WALKS))
    assert found["turn"].dtype.kind == "c"
    assert last[-1].finished == last[-1].steps_done == 6


def test_an_error_comes_back_with_its_traceback_and_its_member() -> None:
    wrong = Simulation("Walks", broken, Grid({"length": [3]}, seeds=3), QUANTITIES)
    with pytest.raises(RuntimeError, match="Own: far off") as caught:
        simulate(wrong, executor=Losing())
    notes = "\n".join(caught.value.__notes__)
    assert "raised while measuring Member(knobs={'length': 3}, seed=1)" in notes
    assert 'raise Own("far off", 2)' in notes


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.calls = nn.Linear(4, 2), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 8:
            raise KeyError("lost key")
        return self.a(x)  # type: ignore[no-any-return]


def test_a_network_that_fails_in_training() -> None:
    """Python's own errors are of their class, as they are where training is done here."""
    x = np.random.default_rng(0).standard_normal((30, 4))
    task = Table("points", x, (x[:, 0] > 0).astype(int), 2, train_fraction=0.7)
    recipe = Recipe(steps=4, batch=8, loss="cross_entropy")
    for executor in (None, Losing()):
        with pytest.raises(KeyError, match="lost key") as caught:
            train(Failing(), task, Grid(seeds=1), recipe, LEARNING, device="cpu", engine="looped", executor=executor)
        assert "raised while training Member(knobs={}, seed=0)" in "\n".join(caught.value.__notes__)
    assert 'raise KeyError("lost key")' in "\n".join(caught.value.__notes__)


def test_readings_elsewhere() -> None:
    how: tuple[Any, ...] = (PowerMLP(5, 8), addition(5), Grid(seeds=5), LEARNING)
    assert (
        measure(*how, executor=Losing(2))
        .drop_vars("seconds", errors="ignore")
        .identical(measure(*how).drop_vars("seconds", errors="ignore"))
    )


def test_another_function_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasescope.ensemble.slices.fingerprint", lambda thing, **how: "another")
    with pytest.raises(BadInput, match="not the same in the process"):
        simulate(WALKS, executor=Losing())


# -- errands ----------------------------------------------------------------------------------------------------------


def nothing() -> None:
    pass


def counted(name: str, done: list[str]) -> bytes:
    done.append(name)
    return packed({}, {"name": name})


def errand(name: str, taken: list[str], function: Any = counted, slices: int = 1) -> Errand:
    def take(arrays: Any, facts: Any) -> tuple[Any, ...] | None:
        taken.append(facts["name"])
        return (name, []) if taken.count(name) < slices else None

    return Errand(function, (name, []), take, f"doing {name}")


def test_only_repeated_loss_of_the_same_piece_counts() -> None:
    taken: list[str] = []
    some = Losing(1, 2, 4, 5, 7, 8)  # each slice is lost twice, then done
    run_errands(Elsewhere(lambda: some, 1), [errand("a", taken, slices=3)], nothing)
    assert taken == ["a"] * 3
    some = Losing(1, 2, 3)
    with pytest.raises(BadInput, match=r"lost 3 times in the same piece of work, doing a \(the worker is gone\)"):
        run_errands(Elsewhere(lambda: some, 1), [errand("a", taken)], nothing)


class Pool(Executor):
    """A pool of processes, as it behaves: what is at the ``poison`` breaks it, and with it all that is in it."""

    def __init__(self, poison: str) -> None:
        self.poison, self.broken = poison, False
        self.pending: list[Any] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.broken:
            raise BrokenExecutor("it broke")
        future: Future[Any] = Future()
        self.pending.append((future, fn, args))
        Timer(0.05, self.work).start()
        return future

    def work(self) -> None:
        pending, self.pending = self.pending, []
        self.broken |= any(args[1] == self.poison for _, _, args in pending)
        for future, function, args in pending:
            if self.broken:
                future.set_exception(BrokenExecutor("killed"))
            else:
                future.set_result(function(*args))


def test_whoever_breaks_a_pool_is_found_and_the_others_are_not_blamed() -> None:
    taken: list[str] = []
    pools: list[Pool] = []

    def pool() -> Executor:
        if not pools or pools[-1].broken:
            pools.append(Pool("poison"))
        return pools[-1]

    errands = [errand(name, taken) for name in ("a", "b", "poison", "c")]
    with pytest.raises(BadInput, match="doing poison"):
        run_errands(Elsewhere(pool, 2, together=True), errands, nothing)
    assert all(one.lost == 0 for one in errands if one.about != "doing poison")
    # lost once in company, which is not counted, and three times alone
    assert len(pools) in (4, 5)  # once more where it breaks before anyone heard


def test_an_executor_that_refuses() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(BadInput, match=r"takes no more work \(cannot schedule new futures after shutdown\)"):
        simulate(WALKS, executor=pool)


def test_a_pool_that_is_shut_down_on_the_way_does_not_keep_one_waiting() -> None:
    """Its futures are cancelled, and nobody who waits for them is told."""
    pool = ThreadPoolExecutor(1)
    pool.submit(time.sleep, 0.2)
    told: list[int] = []

    def tell() -> None:
        told.append(1)
        pool.shutdown(wait=False, cancel_futures=True)
        assert len(told) < 20, "it waits for ever"

    with pytest.raises(BadInput, match="takes no more work"):
        run_errands(Elsewhere(lambda: pool, 1), [errand("a", [])], tell)


def test_what_gives_no_futures_is_no_executor() -> None:
    with pytest.raises(BadInput, match=r"submit of the executor gives 5, no concurrent.futures.Future"):
        simulate(WALKS, executor=SimpleNamespace(submit=lambda function, *arguments: 5))


def test_what_runs_is_ended_and_what_came_back_is_taken() -> None:
    """Ctrl-C: the pool is stopped at once, and a result that is there is not thrown away."""
    taken: list[str] = []
    ends: list[str] = []
    futures: list[Future[Any]] = []

    class Slow(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_running_or_notify_cancel()
            futures.append(future)
            return future

    def tell() -> None:
        futures[0].set_result(counted("a", []))
        raise KeyboardInterrupt

    slow = Slow()
    with pytest.raises(KeyboardInterrupt):
        run_errands(
            Elsewhere(lambda: slow, 2, stop=lambda: ends.append("stopped")),
            [errand("a", taken), errand("b", taken), errand("c", taken)],
            tell,
        )
    assert taken == ["a"]
    assert ends == ["stopped"]
    assert len(futures) == 2


def test_bytes_carry_what_is_measured() -> None:
    values: dict[str, Any] = {
        "c": np.array([1 + 2j, np.nan]), "z": np.array(3 - 1j, dtype=np.complex64), "b": np.array(True),
        "none": np.zeros((0, 3)), "i": np.arange(3, dtype=np.int8)[::-1],
    }  # fmt: skip
    back = unbundled(*unpacked(bundled({"0": (values, {"x": 1})}, steps=3)))["0"]
    for name, value in values.items():
        np.testing.assert_array_equal(back[0][name], value)
        assert back[0][name].dtype == value.dtype
    assert back[1] == {"x": 1}


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["rey", "ray:/", "ray://host", "dask", 3, Executor, object()])
def test_executors_that_nobody_knows(asked: Any) -> None:
    with pytest.raises(BadInput, match=r"executor is .*: give 'processes', 'ray', 'ray://host:10001', 'slurm', or a"):
        executor_named(asked)


@pytest.mark.parametrize("asked,package", [("ray", "ray"), ("ray://a:1", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_named_with_its_extra(asked: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "find_spec", lambda name: None)
    extra = "slurm" if asked == "slurm" else "ray"
    with pytest.raises(BadInput, match=rf"package {package} is not installed: pip install 'phasescope\[{extra}\]'"):
        executor_named(asked)


def test_no_device_elsewhere() -> None:
    with pytest.raises(BadInput, match="device is 'cuda'"):
        train(nn.Linear(2, 2), addition(5), Grid(seeds=1), Recipe(steps=1), device="cuda", executor=Losing())


def test_workers_of_a_command() -> None:
    assert workers_of(None) == {}
    assert workers_of("3") == {"workers": 3}
    assert workers_of("ray://a:1") == {"executor": "ray://a:1"}
    for wrong in ("0", "-1", "1.5"):
        with pytest.raises(BadInput, match="--workers is"):
            workers_of(wrong)


def test_a_map_elsewhere() -> None:
    recipe = Recipe(steps=30, lr=0.03, records=3)
    mine = lab.Experiment("mine", PowerMLP(5, 8), addition(5), Grid(), recipe, LEARNING)
    ways: dict[str, Any] = {"x": "train_fraction=0.3:0.9", "y": "lr=0.001:0.1:log", "tolerance": 0.5, "seeds": 1}
    here, there = (lab.phase_map(mine, by="train_accuracy", executor=who, **ways) for who in (None, Losing(1)))
    assert here.data.drop_vars("network_seconds").identical(there.data.drop_vars("network_seconds"))


@pytest.mark.slow
def test_a_study_elsewhere(tmp_path: Path, tiny: dict[str, Any], tiny_results: Any) -> None:
    executor = Losing(1)
    found = lab.run("grokking", out=tmp_path / "run", executor=executor, **tiny)
    assert executor.turn > 1
    for name, data in tiny_results.data.items():
        assert data.drop_vars("seconds", errors="ignore").identical(found[name].drop_vars("seconds", errors="ignore"))


# -- real ones --------------------------------------------------------------------------------------------------------


def killed_once(name: str, marks: str) -> bytes:
    """Kill the process that does this the first time it is done."""
    mark = Path(marks) / name
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return packed({}, {"name": name})


def killer(name: str, marks: str) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def slept(name: str, marks: str) -> bytes:
    time.sleep(60)
    return packed({}, {"name": name})


def sent(function: Any, names: str, folder: Path, taken: list[str]) -> list[Errand]:
    def take(arrays: Any, facts: Any) -> None:
        taken.append(facts["name"])

    return [Errand(function, (name, str(folder)), take, f"doing {name}") for name in names]


@pytest.mark.slow
def test_processes_that_are_killed(tmp_path: Path) -> None:
    """Each worker dies once, and all is done; one that always dies is named; Ctrl-C ends what runs at once."""
    taken: list[str] = []
    run_errands(executor_named("processes", 2), sent(killed_once, "abc", tmp_path, taken), nothing)
    assert sorted(taken) == ["a", "b", "c"]
    errands = sent(killed_once, "abc", tmp_path, taken) + sent(killer, "z", tmp_path, taken)
    with pytest.raises(BadInput, match="doing z"):
        run_errands(executor_named("processes", 2), errands, nothing)

    def tell() -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_errands(executor_named("processes", 2), sent(slept, "abc", tmp_path, taken), tell)
    assert time.monotonic() - begun < 20


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_plain_pool_of_processes(start: str) -> None:
    width = 5
    grid, recipe = Grid(seeds=2), Recipe(steps=3, records=2, batch=8, loss="cross_entropy")
    task = Table("rows", np.eye(20, 4, dtype=np.float32), np.arange(20) % 3, 3)
    make = lambda member: nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3))  # noqa: E731
    here = train(make, task, grid, recipe, LEARNING, engine="looped", device="cpu")
    with ProcessPoolExecutor(1, mp_context=get_context(start)) as pool:
        there = train(make, task, grid, recipe, LEARNING, engine="looped", executor=pool)
    assert same(here, there)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of submitit's, and of its processes, which it does not wait for
def test_slurm_by_submitits_local_executor(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    from phasescope.ensemble.on_slurm import SlurmArrays

    arrays = SlurmArrays(tmp_path / "jobs", 2, cluster="local", silent=8.0)
    taken: list[str] = []
    run_errands(arrays.elsewhere, sent(killed_once, "abc", tmp_path, taken), nothing)
    assert sorted(taken) == ["a", "b", "c"]
    assert same(trained("looped", executor=arrays), trained("looped", workers=1))
    with pytest.raises(RuntimeError, match="Own: far off"):
        simulate(Simulation("Walks", broken, Grid({"length": [3]}, seeds=3), QUANTITIES), executor=arrays)
    assert not list((tmp_path / "jobs").rglob("*.safetensors"))


@pytest.mark.slow
def test_no_slurm_here() -> None:
    pytest.importorskip("submitit")
    with pytest.raises(BadInput, match="Slurm can not be used here"):
        executor_named("slurm")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray on two nodes of this machine, the second of which can be killed."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # workers find this file by it
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "node_ip_address": "127.0.0.2", "include_dashboard": False, "object_store_memory": 10**8}
    found = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=found.address, _node_ip_address="127.0.0.2", log_to_driver=False, logging_level="error")
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's
@pytest.mark.parametrize("kind", ["fused", "looped"])
def test_a_node_of_ray_that_is_killed(cluster: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = cluster.add_node(num_cpus=1, node_ip_address="127.0.0.3", object_store_memory=10**8)
    cluster.wait_for_nodes()
    monkeypatch.setattr(running, "LEAST", 0.0)
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.steps_done and not killed:
            killed.append(progress.steps_done)
            cluster.remove_node(node, allow_graceful=False)

    there = trained(kind, executor="ray", workers=2, checkpoint_every=0, on_progress=kill)
    assert killed and killed[0] < 6 * 40
    assert same(there, trained(kind, workers=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_tells_errors_and_lost_workers(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Own: far off"):
        simulate(Simulation("Walks", broken, Grid({"length": [3]}, seeds=3), QUANTITIES), executor="ray")
    taken: list[str] = []
    run_errands(executor_named("ray"), sent(killed_once, "ab", tmp_path, taken), nothing)
    assert sorted(taken) == ["a", "b"]
    with pytest.raises(BadInput, match="doing z"):
        run_errands(executor_named("ray"), sent(killer, "z", tmp_path, taken), nothing)
    with pytest.raises(BadInput, match="connected to another Ray cluster"):
        executor_named("ray://127.0.0.1:9")


@pytest.mark.slow
def test_nobody_answers_at_an_address() -> None:
    ray = pytest.importorskip("ray")
    if not ray.is_initialized():
        with pytest.raises(BadInput, match=r"nobody answers at ray://127.0.0.1:9"):
            executor_named("ray://127.0.0.1:9")
