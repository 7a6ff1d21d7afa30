"""The rivals of ``ensemble.py``: a plain torch loop, torch.func.vmap, and JAX; all start from the same weights.

Each contestant is ``contestant(count) -> (seconds, network_steps, weights)``: ``count`` steps of each of its networks,
timed by itself, the weights of the first network after them. Everything before the first step is outside the clock.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

Weights = tuple[np.ndarray, np.ndarray]
Contestant = Callable[[int], tuple[float, int, Weights]]

#: Seconds after which a torch rival's turn ends early: with two threads on a busy machine a step can take 0.1 s.
LONGEST = 2.0
LR, DECAY, BETA1, BETA2, EPS = 0.01, 0.1, 0.9, 0.98, 1e-8


@dataclass(frozen=True)
class Problem:
    """Addition mod ``p`` with all p * p rows training, ``width`` quadratic neurons: ``weights[i]`` starts network i."""

    p: int
    width: int
    weights: list[Weights] = field(repr=False)

    @property
    def inputs(self) -> np.ndarray:
        """All pairs (p * p, 2) int32."""
        return np.indices((self.p, self.p), dtype=np.int32).reshape(2, -1).T.copy()

    @property
    def targets(self) -> np.ndarray:
        """One-hot sums (p * p, p) float32."""
        return np.eye(self.p, dtype=np.float32)[self.inputs.sum(1) % self.p]

    def loss(self, weights: Weights) -> float:
        """Return the mean squared error in float64, the judge of whether all contestants trained the same."""
        (u, v), w = (part.astype(np.float64) for part in weights)
        out = (u[self.inputs[:, 0]] + v[self.inputs[:, 1]]) ** 2 @ w.T
        return float(np.mean((out - self.targets) ** 2))


# -- (a) and (b): torch ---


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch ``count`` threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _net_class() -> Any:
    import torch
    from torch import nn

    class Net(nn.Module):
        """The network as anybody would write it: one-hot inputs (N, 2 p) through two linear layers without biases."""

        def __init__(self, p: int, width: int) -> None:
            super().__init__()
            self.first = nn.Linear(2 * p, width, bias=False)
            self.second = nn.Linear(width, p, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return the logits (N, p)."""
            return self.second(self.first(x).square())

    return Net


def torch_parts(problem: Problem, weights: Weights) -> tuple[Any, Any, Any]:
    """Return the module with ``weights``, the one-hot inputs (N, 2 p), and the targets (N, p)."""
    import torch

    net = _net_class()(problem.p, problem.width)
    with torch.no_grad():
        net.first.weight.copy_(torch.from_numpy(weights[0].reshape(2 * problem.p, -1).T.copy()))
        net.second.weight.copy_(torch.from_numpy(weights[1]))
    hot = np.eye(problem.p, dtype=np.float32)[problem.inputs].reshape(len(problem.inputs), -1)
    return net, torch.from_numpy(hot), torch.from_numpy(problem.targets)


def _back(problem: Problem, first: Any, second: Any) -> Weights:
    embed = first.detach().numpy().T.reshape(2, problem.p, problem.width).copy()
    return embed, second.detach().numpy().copy()


def loop(problem: Problem, threads: int, *, fused: bool = False) -> Contestant:
    """(a) One network at a time: ``nn.Linear`` and ``torch.optim.AdamW``.

    ``fused=True`` turns on AdamW's own fused kernel, which is not torch's default.
    """

    def run(count: int) -> tuple[float, int, Weights]:
        import torch
        from torch.nn import functional

        net, x, y = torch_parts(problem, problem.weights[0])
        rule = torch.optim.AdamW(
            net.parameters(), LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY, fused=fused or None
        )
        with torch_threads(threads):
            start, seconds, done = time.perf_counter(), 0.0, 0
            while done < count and (done < 10 or seconds < LONGEST):
                rule.zero_grad()
                functional.mse_loss(net(x), y).backward()
                rule.step()
                done, seconds = done + 1, time.perf_counter() - start
        return seconds, done, _back(problem, net.first.weight, net.second.weight)

    return run


def vmapped(problem: Problem, members: int, threads: int) -> Contestant:
    """(b) ``members`` stacked modules under ``vmap(grad)``, one fused (the fastest) AdamW over the stack."""

    def run(count: int) -> tuple[float, int, Weights]:
        import torch
        from torch.func import functional_call, grad, stack_module_state, vmap
        from torch.nn import functional

        nets, x, y = [], None, None
        for weights in problem.weights[:members]:
            net, x, y = torch_parts(problem, weights)
            nets.append(net)
        stacked, _ = stack_module_state(nets)

        def loss(parameters: Any) -> Any:
            return functional.mse_loss(functional_call(nets[0], parameters, (x,)), y)

        gradient = vmap(grad(loss))
        rule = torch.optim.AdamW(stacked.values(), LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY, fused=True)
        with torch_threads(threads):
            start, seconds, done = time.perf_counter(), 0.0, 0
            while done < count and (done < 10 or seconds < LONGEST):
                for parameter, slope in zip(stacked.values(), gradient(stacked).values(), strict=True):
                    parameter.grad = slope
                rule.step()
                done, seconds = done + 1, time.perf_counter() - start
        return seconds, done * members, _back(problem, stacked["first.weight"][0], stacked["second.weight"][0])

    return run


# -- (c): JAX, in a process of its own ---


@cache
def _compiled(p: int, width: int, members: int, count: int, gather: bool) -> Callable[[Any], Any]:
    import jax
    import jax.numpy as jnp

    problem = Problem(p, width, [])
    x, y = problem.inputs, problem.targets
    hot = [np.eye(p, dtype=np.float32)[x[:, s]] for s in (0, 1)]

    def loss(theta: Any) -> Any:
        (u, v), w = theta
        z = u[x[:, 0]] + v[x[:, 1]] if gather else hot[0] @ u + hot[1] @ v
        return jnp.mean((z**2 @ w.T - y) ** 2)

    def step(carry: Any, t: Any) -> Any:
        theta, m, v = carry
        slope = jax.grad(loss)(theta)
        m = jax.tree.map(lambda a, b: BETA1 * a + (1 - BETA1) * b, m, slope)
        v = jax.tree.map(lambda a, b: BETA2 * a + (1 - BETA2) * b * b, v, slope)
        c1, c2 = 1 - BETA1**t, 1 - BETA2**t
        theta = jax.tree.map(
            lambda a, b, c: a * (1 - LR * DECAY) - LR * (b / c1) / (jnp.sqrt(c / c2) + EPS), theta, m, v
        )
        return (theta, m, v), None

    def train(theta: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, theta)
        return jax.lax.scan(step, (theta, zeros, zeros), jnp.arange(1.0, count + 1))[0][0]

    return jax.jit(jax.vmap(train) if members > 1 else train)


def _serve(pipe: Any) -> None:
    """Answer requests (lanes, p, width, members, count, gather, embed, readout) until told None."""
    from concurrent.futures import ThreadPoolExecutor

    import jax

    pipe.send(jax.__version__)
    warm: set[tuple[Any, ...]] = set()
    while (asked := pipe.recv()) is not None:
        lanes, *key, embed, readout = asked
        train = _compiled(*key)
        theta = jax.device_put((embed, readout) if key[2] > 1 else (embed[0], readout[0]))

        def race(pool: ThreadPoolExecutor, train: Any = train, starts: Any = (theta,) * lanes) -> Any:
            return jax.block_until_ready(list(pool.map(train, starts)))

        with ThreadPoolExecutor(lanes) as pool:
            if (lanes, *key) not in warm:
                race(pool)
                warm.add((lanes, *key))
            start = time.perf_counter()
            found = race(pool)[0]
            seconds = time.perf_counter() - start
        weights = tuple(np.asarray(part[0] if key[2] > 1 else part) for part in found)
        pipe.send((seconds, lanes * key[2] * key[3], weights))


class Jax:
    """A process that runs JAX, so that its threads and torch's do not meet. Raises ``ImportError`` without JAX."""

    def __init__(self) -> None:
        import importlib.util

        if importlib.util.find_spec("jax") is None:
            raise ImportError("JAX is not installed (pip install 'phasescope[bench]'): its columns are left out.")
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.version = self.pipe.recv()

    def contestant(self, problem: Problem, members: int, gather: bool, lanes: int = 1) -> Contestant:
        """(c) ``jit(scan)`` of one network, or vmapped over ``members``, in ``lanes`` Python threads at once.

        The first call of a count compiles, outside the clock.
        """

        def run(count: int) -> tuple[float, int, Weights]:
            embed, readout = (np.stack(part) for part in zip(*problem.weights[:members], strict=True))
            self.pipe.send((lanes, problem.p, problem.width, members, count, gather, embed, readout))
            return self.pipe.recv()

        return run

    def close(self) -> None:
        """End the process."""
        self.pipe.send(None)
        self.process.join(10)
