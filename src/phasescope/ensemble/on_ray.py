"""Work on a Ray cluster: each piece is a task of one processor."""

from __future__ import annotations

import os
import socket
import sys
from collections import OrderedDict
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from phasescope.ensemble.errands import Elsewhere
from phasescope.vocabulary import BadInput

LOOPBACK = "127.0.0.2"  # 127.0.0.1 is replaced by the address that the network knows
KEPT = 4096  # large arguments that the cluster remembers


class RayTasks(Executor):
    """The cluster that this process is connected to, as an executor: ``submit`` makes a task of one processor."""

    def __init__(self) -> None:
        import ray

        self.ray: Any = ray
        self.put: OrderedDict[int, tuple[Any, Any]] = OrderedDict()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of ``fn(*args)``; a task whose worker or node is lost raises ``BrokenExecutor``.

        The second argument is sent once: it is the first of an errand's function.
        """
        few = [self._sent(value) if place == 1 else value for place, value in enumerate(args)]
        task = self.ray.remote(max_retries=0, num_cpus=1)(fn)
        try:
            reference = task.remote(*few, **kwargs)
        except (self.ray.exceptions.RaySystemError, ConnectionError) as error:
            raise BrokenExecutor(f"Ray does not answer: {error}") from error
        found: Future[Any] = Future()
        found.add_done_callback(lambda future: self._cancel(reference) if future.cancelled() else None)
        reference.future().add_done_callback(lambda future: self._pass_on(future, found))
        return found

    def _sent(self, value: Any) -> Any:
        """Return the cluster's reference of a value, which is put there when it is first seen."""
        if id(value) not in self.put:
            self.put[id(value)] = (value, self.ray.put(value))
        self.put.move_to_end(id(value))
        while len(self.put) > KEPT:
            self.put.popitem(last=False)
        return self.put[id(value)][1]

    def _pass_on(self, future: Future[Any], found: Future[Any]) -> None:
        if not found.set_running_or_notify_cancel():
            return
        error = future.exception()
        if error is None:
            found.set_result(future.result())
            return
        e = self.ray.exceptions
        lost = (
            e.WorkerCrashedError, e.NodeDiedError, e.ObjectLostError, e.OutOfMemoryError, e.LocalRayletDiedError,
            e.RaySystemError, ConnectionError,
        )  # fmt: skip
        said = " ".join(str(error).split())
        if isinstance(error, e.RayTaskError) and isinstance(error, e.RaySystemError):  # what was sent can not be opened
            error = BadInput(f"a worker of Ray can not begin: {said[-160:]} (is the same code installed there?).")
        elif isinstance(error, lost):
            self.put.clear()  # what was put may be lost too
            error = BrokenExecutor(f"{type(error).__name__}: {said}")
        found.set_exception(error)

    def _cancel(self, reference: Any) -> None:
        self.ray.cancel(reference, force=True)


_CONNECTED: list[str] = []  # the address that this process gave to Ray


def on_ray(asked: str, workers: int | None) -> Elsewhere:
    """Return the cluster that "ray" or "ray://host:port" names: ``workers`` tasks at a time, or one for each CPU.

    Raises ``BadInput`` where nobody answers, and where this process is connected to another cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if not ray.is_initialized():
        _connect(asked if asked != "ray" else os.environ.get("RAY_ADDRESS", ""))
    elif asked not in ("ray", *_CONNECTED):
        raise BadInput(f"executor is {asked!r}, and this process is connected to another Ray cluster: ray.shutdown().")
    tasks = RayTasks()
    several = workers or max(int(tasks.ray.cluster_resources().get("CPU", 1)), 1)
    return Elsewhere(lambda: tasks, several)


def _connect(address: str) -> None:
    """Connect this process to a cluster, or start one of this machine alone where no address is given."""
    import ray

    if address.startswith("ray://"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:  # Ray itself goes on trying for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise BadInput(f"nobody answers at {address} ({error}): give that of a Ray client server.") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address:
            ray.init(address, **quiet)
        else:
            found = os.pathsep.join(part or os.getcwd() for part in sys.path)  # modules beside a script too
            quiet["runtime_env"] = {"env_vars": {"PYTHONPATH": found}}
            ray.init(include_dashboard=False, _node_ip_address=LOOPBACK, **quiet)
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadInput(f"Ray can not be reached at {address or 'this machine'}: {said}") from error
    _CONNECTED[:] = [address]
