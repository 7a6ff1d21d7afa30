"""A user's own modules: ``ps.train`` against what a careful user would write, on the same networks and batches.

    python benchmarks/any_module.py [--cases mlp4x64,cnn] [--networks 60] [--steps 300] [--rounds 3] [--total 2000]

The yardstick is two plain loops, one per core: one process each, one thread, AdamW's fused kernel, batches drawn
beforehand. Beside them stand ``torch.func.vmap`` and its compiled step at their best tiles, one process per core too,
and JAX's ``jit(scan)`` of vmapped networks where the module is a perceptron. Rates are after compiling; ours are the
difference of two runs, so that start-up and the choice of the engine fall out. ``--total STEPS`` adds whole scripts,
from the start of Python to the last step: ours with its choice, and the two loops.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

LR, BETAS, EPS, DECAY = 1e-3, (0.9, 0.999), 1e-8, 1e-2
CORES = 2


def perceptron(layers: int, width: int) -> nn.Module:
    parts: list[nn.Module] = [nn.Linear(64, width), nn.Tanh()]
    for _ in range(layers - 2):
        parts += [nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.c = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.a(x.view(-1, 1, 8, 8))), 2)
        return self.c(functional.max_pool2d(functional.relu(self.b(x)), 2).flatten(1))


class Transformer(nn.Module):
    def __init__(self, p: int = 23, d: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed, self.position = nn.Embedding(p, d), nn.Embedding(2, d)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.read = nn.Linear(d, p, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        t = self.embed(x) + self.position(torch.arange(2, device=x.device))
        n, length, d = t.shape
        q, k, v = self.qkv(t).view(n, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = torch.softmax(q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5, -1) @ v
        t = t + self.out(a.transpose(1, 2).reshape(n, length, d))
        t = t + self.down(functional.relu(self.up(t)))
        return self.read(t[:, -1])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.r, self.c = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.r(x.view(-1, 8, 8))[0][:, -1])


#: Name -> how to make the network, its data, its batch (None: all 1,078 rows, or all 264 pairs).
def decoder() -> nn.Module:
    """Return the decoder that the study in-context-modular trains, asked for the last answer of each sequence."""
    from phasescope.learners import Decoder

    return Decoder(16, 5, vectors=True, positions="none", mask="examples", activation="relu", init="torch")


CASES: dict[str, tuple[Callable[[], nn.Module], str, int | None]] = {
    "MLP 64-8-10, batch 32": (lambda: perceptron(2, 8), "digits", 32),
    "MLP 4 x 64, batch 128": (lambda: perceptron(4, 64), "digits", 128),
    "MLP 4 x 64, full batch": (lambda: perceptron(4, 64), "digits", None),
    "MLP 8 x 256, batch 128": (lambda: perceptron(8, 256), "digits", 128),
    "CNN, batch 128": (Convolution, "digits", 128),
    "transformer block, p = 23": (Transformer, "addition", None),
    "LSTM 64, length 8, batch 128": (Recurrent, "digits", 128),
    "decoder 2 x 64, 23 tokens, batch 32": (decoder, "context", 32),
}


ROWS = {"digits": 1078, "addition": 264, "context": 1024}


def data(kind: str) -> tuple[Tensor, Tensor]:
    """Return inputs and labels: pictures of digits or pairs of residues, as many as train, or all."""
    x, y = everything(kind)
    return x[: ROWS[kind]], y[: ROWS[kind]]


def everything(kind: str) -> tuple[Tensor, Tensor]:
    if kind == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    if kind == "context":
        from phasescope import Member
        from phasescope.ensemble import streams
        from phasescope.tasks import InContextLinear

        drawn = InContextLinear(5, n_tasks=18, readout=512).draw(Member({}, 0), streams(0))
        return torch.from_numpy(drawn.inputs), torch.from_numpy(drawn.labels[:, -1]).long()
    pairs = torch.cartesian_prod(torch.arange(23), torch.arange(23))
    return pairs, pairs.sum(1) % 23


def batches(rows: int, size: int | None, steps: int, seed: int) -> Tensor | None:
    """Return the rows (steps, batch) of all steps, or None for all rows in each."""
    if size is None:
        return None
    return torch.randint(rows, (steps, size), generator=torch.Generator().manual_seed(seed))


# -- what users write ---


def loop(make: Callable[[], nn.Module], x: Tensor, y: Tensor, size: int | None, networks: int) -> Callable[[int], None]:
    """One network after the other, torch's own fused AdamW."""
    nets = [make() for _ in range(networks)]
    optimizers = [
        torch.optim.AdamW(n.parameters(), lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY, fused=True) for n in nets
    ]

    def run(steps: int) -> None:
        for seed, (net, optimizer) in enumerate(zip(nets, optimizers, strict=True)):
            order = batches(len(x), size, steps, seed)
            for step in range(steps):
                rows, labels = (x, y) if order is None else (x[order[step]], y[order[step]])
                optimizer.zero_grad()
                functional.cross_entropy(net(rows), labels).backward()
                optimizer.step()

    return run


def side_by_side(
    make: Callable[[], nn.Module], x: Tensor, y: Tensor, size: int | None, networks: int, *, tile: int, compiled: bool
) -> Callable[[int], None]:
    """Tiles of networks by ``torch.func.vmap``, fused AdamW; ``compiled`` by ``torch.compile``."""
    nets = [make() for _ in range(networks)]
    base, names = nets[0], [name for name, _ in nets[0].named_parameters()]

    def loss(weights: list[Tensor], rows: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(base, dict(zip(names, weights, strict=True)), (rows,)), labels)

    def step_of(weights: list[Tensor], rows: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        gradients, value = vmap(grad_and_value(loss))(weights, rows, labels)
        return [g.contiguous() for g in gradients], value

    run_step = torch.compile(step_of, dynamic=False, fullgraph=True) if compiled else step_of
    groups = [nets[i : i + tile] for i in range(0, networks - networks % tile, tile)]
    stacks = [
        [torch.stack([p.detach() for p in ps]) for ps in zip(*[n.parameters() for n in g], strict=True)] for g in groups
    ]
    moments = [[[torch.zeros_like(p) for p in s] for s in stacks] for _ in range(2)]
    done = [0]

    def run(steps: int) -> None:
        for at, weights in enumerate(stacks):
            orders = [batches(len(x), size, steps, at * tile + i) for i in range(tile)]
            whole = (x.expand(tile, *x.shape).contiguous(), y.expand(tile, *y.shape).contiguous())
            order = None if orders[0] is None else torch.stack(orders, 1)  # type: ignore[arg-type]
            for step in range(steps):
                rows, labels = whole if order is None else (x[order[step]], y[order[step]])
                with torch.no_grad():
                    gradients, _ = run_step(weights, rows, labels)
                    count = [torch.tensor(float(done[0] + step + 1))] * len(weights)
                    torch._fused_adamw_(
                        weights, gradients, moments[0][at], moments[1][at], [], count, lr=LR, beta1=BETAS[0],
                        beta2=BETAS[1], weight_decay=DECAY, eps=EPS, amsgrad=False, maximize=False,
                    )  # fmt: skip
        done[0] += steps

    return run


def jax_scan(make: Callable[[], nn.Module], x: Tensor, y: Tensor, size: int | None, networks: int) -> Any:
    """``jit(scan)`` over the steps of vmapped perceptrons, AdamW written out."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import jax.numpy as jnp

    first = make()
    if not isinstance(first, nn.Sequential):
        return None
    nets = [first, *(make() for _ in range(networks - 1))]
    layers = len([m for m in first if isinstance(m, nn.Linear)])
    weights = [jnp.stack([p.detach().numpy() for p in ps]) for ps in zip(*[n.parameters() for n in nets], strict=True)]
    data_x, data_y = jnp.asarray(x.numpy()), jnp.asarray(y.numpy())

    def loss(ps: Any, rows: Any, labels: Any) -> Any:
        h = rows
        for layer in range(layers):
            h = h @ ps[2 * layer].T + ps[2 * layer + 1]
            h = jnp.tanh(h) if layer < layers - 1 else h
        return -jnp.take_along_axis(jax.nn.log_softmax(h), labels[:, None], 1).mean()

    take = jax.vmap(jax.grad(loss))

    def body(carry: Any, order: Any) -> Any:
        ps, ms, vs, k = carry
        rows, labels = (data_x, data_y) if order is None else (data_x[order], data_y[order])
        if order is None:
            gs = jax.vmap(jax.grad(loss), in_axes=(0, None, None))(ps, rows, labels)
        else:
            gs = take(ps, rows, labels)
        k = k + 1
        ms = [BETAS[0] * m + (1 - BETAS[0]) * g for m, g in zip(ms, gs, strict=True)]
        vs = [BETAS[1] * v + (1 - BETAS[1]) * g * g for v, g in zip(vs, gs, strict=True)]
        a, b = LR / (1 - BETAS[0] ** k), (1 - BETAS[1] ** k) ** -0.5
        ps = [p * (1 - LR * DECAY) - a * m / (jnp.sqrt(v) * b + EPS) for p, m, v in zip(ps, ms, vs, strict=True)]
        return (ps, ms, vs, k), None

    zeros = [jnp.zeros_like(p) for p in weights]
    state = [(weights, zeros, zeros, jnp.zeros(()))]
    whole = jax.jit(lambda s, o: jax.lax.scan(body, s, o)[0])
    whole_all = jax.jit(lambda s, n: jax.lax.scan(lambda c, _: body(c, None), s, None, n)[0], static_argnums=1)

    def run(steps: int) -> None:
        if size is None:
            state[0] = whole_all(state[0], steps)
        else:
            order = torch.stack([batches(len(x), size, steps, i) for i in range(networks)], 1)  # type: ignore[misc]
            state[0] = whole(state[0], jnp.asarray(order.numpy()))
        jax.block_until_ready(state[0])

    return run


# -- timing ---


def contestant(name: str, case: str, networks: int) -> Any:
    make, kind, size = CASES[case]
    x, y = data(kind)
    if name == "loops":
        return loop(make, x, y, size, networks)
    if name == "jax":
        return jax_scan(make, x, y, size, networks)
    kind_, tile = name.split(":")
    return side_by_side(make, x, y, size, networks, tile=min(int(tile), networks), compiled=kind_ == "compiled")


def worker(rank: int, gate: Any, out: Any, case: str, name: str, networks: int, steps: int, rounds: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    try:
        run = contestant(name, case, networks)
        if run is not None:
            run(steps if name == "jax" else 5)
    except Exception as error:
        run = None
        out.put((rank, f"{type(error).__name__}: {str(error)[:80]}"))
    for _ in range(rounds):
        gate.wait()
        begun = time.perf_counter()
        if run is not None:
            run(steps)
        gate.wait()
        if run is not None:
            out.put((rank, (time.perf_counter() - begun) / steps / networks / CORES))


def timed(case: str, name: str, networks: int, steps: int, rounds: int) -> float:
    """Return microseconds per network and step, every core busy, the median over rounds; NaN where it can not run."""
    context = multiprocessing.get_context("spawn")
    gate, out = context.Barrier(CORES), context.Queue()
    each = networks // CORES
    processes = [
        context.Process(target=worker, args=(rank, gate, out, case, name, each, steps, rounds)) for rank in range(CORES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = []
    while not out.empty():
        found.append(out.get()[1])
    times = [value for value in found if isinstance(value, float)]
    for value in found:
        if isinstance(value, str):
            print(f"    {name}: {value}", flush=True)
    return 1e6 * statistics.median(times) if times else float("nan")


def ours(case: str, networks: int, steps: int, engine: str = "auto") -> tuple[float, str]:
    """Return the seconds of one call of ``ps.train``, and the engine that it took."""
    import numpy as np

    import phasescope as ps

    make, kind, size = CASES[case]
    x, y = everything(kind)
    table = ps.tasks.Table(kind, x.numpy(), y.numpy(), int(y.max()) + 1, train_fraction=ROWS[kind] / len(x))
    recipe = ps.Recipe(
        optimizer="adamw", lr=LR, beta1=BETAS[0], beta2=BETAS[1], eps=EPS, weight_decay=DECAY, steps=steps, batch=size,
        loss="cross_entropy", records=2,
    )  # fmt: skip
    begun = time.perf_counter()
    found = ps.train(lambda member: make(), table, ps.Grid(seeds=networks), recipe, (), engine=engine, progress=False)  # type: ignore[arg-type]
    took = time.perf_counter() - begun
    assert np.isfinite(found["seconds"]).all()
    return took, str(found.attrs.get("engine", ""))


def rate(case: str, networks: int, steps: int, rounds: int) -> tuple[float, float, str]:
    """Return our microseconds per network and step, the seconds of start-up and choice, and the engine."""
    first, said = ours(case, networks, steps)
    times = []
    for _ in range(rounds):
        short, _ = ours(case, networks, max(steps // 5, 1))
        long, said = ours(case, networks, steps)
        times.append((long - short) / (steps - max(steps // 5, 1)) / networks)
    us = statistics.median(times)
    return 1e6 * us, first - us * steps * networks, said


def whole_script(what: str, case: str, networks: int, steps: int) -> float:
    """Return the seconds of a script from the start of Python to its end."""
    begun = time.perf_counter()
    here = [sys.executable, str(Path(__file__)), "--script", what, "--cases", case, "--total", str(steps)]
    if what == "ours":
        subprocess.run([*here, "--networks", str(networks)], check=True)
    else:
        both = [subprocess.Popen([*here, "--networks", str(networks // CORES)]) for _ in range(CORES)]
        assert all(process.wait() == 0 for process in both)
    return time.perf_counter() - begun


def script(what: str, case: str, networks: int, steps: int) -> None:
    if what == "ours":
        ours(case, networks, steps)
        return
    torch.set_num_threads(1)
    make, kind, size = CASES[case]
    loop(make, *data(kind), size, networks)(steps)


OTHERS = ("vmap:8", "vmap:30", "compiled:8", "compiled:30", "jax")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=";".join(CASES), help="names, separated by semicolons")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", default=",".join(OTHERS))
    parser.add_argument("--total", type=int, default=0)
    parser.add_argument("--json", default="")
    parser.add_argument("--script", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.script:
        return script(asked.script, asked.cases, asked.networks, asked.total)
    rows = []
    for case in asked.cases.split(";"):
        loops = [timed(case, "loops", asked.networks, asked.steps, asked.rounds)]
        mine, start, said = rate(case, asked.networks, asked.steps, asked.rounds)
        loops.append(timed(case, "loops", asked.networks, asked.steps, asked.rounds))
        others = {o: timed(case, o, asked.networks, asked.steps, asked.rounds) for o in asked.others.split(",") if o}
        row: dict[str, Any] = {"case": case, "loops us": statistics.mean(loops), "ours us": mine, "start-up s": start}
        row |= {"loops / ours": row["loops us"] / mine, "engine": said} | {f"{o} us": us for o, us in others.items()}
        known = [us for us in others.values() if us == us]
        row["best other / ours"] = min([row["loops us"], *known]) / mine
        if asked.total:
            row["total ours s"] = whole_script("ours", case, asked.networks, asked.total)
            row["total loops s"] = whole_script("loops", case, asked.networks, asked.total)
            row["total loops / ours"] = row["total loops s"] / row["total ours s"]
        rows.append(row)
        print(json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
