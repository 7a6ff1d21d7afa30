"""Tests of the native kernel: pytest -q test_kernel.py"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import phasescope
from phasescope.ensemble import native
from phasescope.ensemble.native import build_loop
from phasescope.learners import power_kernel
from phasescope.learners.matmul import PADDING, multiply, padded
from phasescope.learners.power_kernel import gradient, scratch_size

ADVANCE = build_loop(gradient)
#: From the cache: a process that needs the gradient alone need not compile it either.
GRADIENT = native.cached(
    gradient.py_func, native.sources_of(gradient), nogil=True, fastmath=power_kernel.FASTMATH, error_model="numpy"
)
ORDER = [
    "theta",
    "state",
    "m",
    "v",
    "x",
    "y",
    "w",
    "order",
    "full_batch",
    "shape",
    "knobs",
    "hyper",
    "keys",
    "t0",
    "records",
    "snap_theta",
    "snap_state",
    "losses",
    "scratch",
    "grad",
]


# ---------------------------------------------------------------- products
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "m,t,n", [(1, 1, 1), (7, 5, 17), (11, 64, 11), (13, 300, 40), (97, 31, 120), (23, 600, 100), (3, 0, 5)]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_multiply(dtype, m, t, n, transposed):
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(s).astype(dtype) for s in ((m, t), (t, padded(n)), (m, padded(n))))
    if transposed:
        wide = np.zeros((t, m + 3), dtype)
        wide[:, :m] = a.T
        a = wide.T[:m]
    exact = a.astype("f8") @ b.astype("f8")
    scale = np.abs(a).astype("f8") @ np.abs(b).astype("f8") + np.abs(c)
    out = np.full_like(c, np.nan)
    multiply(out, a, b, False)
    eps = 30 * np.finfo(dtype).eps
    assert (np.abs(out - exact) <= eps * scale).all()
    total = c.copy()
    multiply(total, a, b, True)
    assert (np.abs(total - exact - c) <= eps * scale).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_do_not_depend_on_company(dtype):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((50, 70)).astype(dtype), rng.standard_normal((70, 8 * PADDING)).astype(dtype)
    whole = np.empty((50, 8 * PADDING), dtype)
    multiply(whole, a, b, False)
    for first, last in ((0, 1), (3, 14), (20, 50), (7, 12)):
        part = np.empty((last - first, 8 * PADDING), dtype)
        multiply(part, a[first:last], b, False)
        assert part.tobytes() == whole[first:last].tobytes()


def test_multiply_refuses_bad_shapes():
    z = np.zeros
    with pytest.raises(ValueError):
        multiply(z((2, PADDING + 1)), z((2, 3)), z((3, PADDING + 1)), False)
    with pytest.raises(ValueError):
        multiply(z((2, PADDING)), z((2, 3)), z((4, PADDING)), False)


# ---------------------------------------------------------------- gradient
def mask_of(key, n, H, rate):
    with np.errstate(over="ignore"):
        v = np.uint64(key) + (np.arange(n * H, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        v ^= v >> np.uint64(30)
        v *= np.uint64(0xBF58476D1CE4E5B9)
        v ^= v >> np.uint64(27)
        v *= np.uint64(0x94D049BB133111EB)
        v ^= v >> np.uint64(31)
    u = (v >> np.uint64(40)).astype(float) * 2.0**-24
    return torch.from_numpy((u >= rate) / (1 - rate)).reshape(n, H)


def problem(
    S=2,
    p=5,
    K=7,
    H=9,
    N=30,
    n=41,
    act=0,
    degree=2,
    bn=0,
    loss=0,
    rate=0.0,
    scale=0.7,
    seed=0,
    dtype="f8",
    weighted=True,
):
    rng = np.random.default_rng(seed)
    shape = np.array([S, p, K, H, act, degree, bn, loss], np.int64)
    size = S * p * H + K * H + 2 * H * bn
    q = dict(
        theta=rng.standard_normal(size) * 0.6,
        x=rng.integers(0, p, (N, S)).astype(np.int32),
        y=rng.integers(0, K, N).astype(np.int32),
        w=rng.random(N) + 0.1 if weighted else np.ones(N),
        rows=rng.integers(0, N, n).astype(np.int32),
        shape=shape,
        knobs=np.array([scale, rate]),
        state=np.r_[rng.standard_normal(H), rng.random(H) + 0.5] if bn else np.zeros(0),
        key=np.uint64(2**63 + 12345 + seed),
    )
    for k in ("theta", "w", "state"):
        q[k] = q[k].astype(dtype)
    q["scratch"] = np.full(scratch_size(shape, n), np.nan, dtype)
    q["grad"] = np.full(size, np.nan, dtype)
    return q


def run(q):
    return GRADIENT(
        q["theta"],
        q["state"],
        q["grad"],
        q["x"],
        q["y"],
        q["w"],
        q["rows"],
        q["shape"],
        q["knobs"],
        q["key"],
        q["scratch"],
    )


def torch_loss(q, theta, state, rows, key):
    S, p, K, H, act, degree, bn, kind = (int(v) for v in q["shape"])
    U, rest = theta[: S * p * H].view(S, p, H), theta[S * p * H :]
    W = rest[: K * H].view(K, H)
    x, y, w = (torch.from_numpy(q[k])[torch.from_numpy(rows).long()] for k in ("x", "y", "w"))
    z = sum(U[s][x[:, s].long()] for s in range(S))
    if q["knobs"][1] > 0:
        z = z * mask_of(key, len(rows), H, q["knobs"][1]).to(z.dtype)
    a = z**degree if act == 0 else torch.relu(z) if act == 1 else torch.nn.functional.gelu(z)
    if bn:
        a = torch.nn.functional.batch_norm(
            a, state[:H], state[H:], rest[K * H : K * H + H], rest[K * H + H :], training=True
        )
    out = q["knobs"][0] * a @ W.T
    if kind == 0:
        each = ((out - torch.nn.functional.one_hot(y.long(), K)) ** 2).mean(1)
    else:
        each = torch.nn.functional.cross_entropy(out, y.long(), reduction="none")
    return (w * each).sum() / w.sum()


CASES = [
    dict(),
    dict(degree=3),
    dict(degree=5, scale=0.1),
    dict(act=1),
    dict(act=2),
    dict(loss=1),
    dict(act=1, loss=1, S=1),
    dict(S=3),
    dict(S=3, act=2, loss=1, K=33),
    dict(S=1, K=3),
    dict(H=64, K=16, n=300, N=200),
    dict(rate=0.3),
    dict(rate=0.5, act=2, loss=1, S=3, n=200),
    dict(bn=1),
    dict(bn=1, act=1, loss=1, n=150),
    dict(bn=1, act=2, rate=0.2, S=3, n=257, H=33),
    dict(bn=1, S=1, degree=4),
    dict(n=1, N=1),
    dict(p=13, K=97, H=100, n=169, weighted=False),
    dict(H=700, n=65),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_is_autograd(case):
    q = problem(**case)
    theta = torch.from_numpy(q["theta"].copy()).requires_grad_()
    state = torch.from_numpy(q["state"].copy())
    expected = torch_loss(q, theta, state, q["rows"], q["key"])
    expected.backward()
    loss = run(q)
    assert abs(loss - expected.item()) <= 1e-12 * max(1, abs(loss))
    assert np.abs(q["grad"] - theta.grad.numpy()).max() <= 1e-12 * max(1, np.abs(q["grad"]).max())
    if q["state"].size:
        assert np.abs(q["state"] - state.numpy()).max() <= 1e-12 * max(1, np.abs(q["state"]).max())


@pytest.mark.parametrize("case", CASES[:16:3], ids=str)
def test_gradient_float32(case):
    exact, q = problem(**case), problem(**case, dtype="f4")
    a, b = run(exact), run(q)
    assert abs(a - b) < 1e-4 * abs(a)
    assert np.abs(exact["grad"] - q["grad"]).max() < 1e-4 * np.abs(exact["grad"]).max()


def test_float32_exp_and_gelu_are_accurate():
    from numba import njit

    from phasescope.learners.power_rows import _exp32, activate

    x = -np.logspace(-8, 1.93, 20001).astype("f4")

    @njit
    def each(x):
        return np.array([_exp32(v) for v in x])

    assert np.abs(each(x) / np.exp(x.astype("f8")) - 1).max() < 3e-7
    assert (
        each(np.array([0, -100, -np.inf], "f4")).tolist() == [1, 0, 0] and np.isnan(each(np.array([np.nan], "f4")))[0]
    )
    z = np.linspace(-12, 12, 4001).astype("f4")
    act, slope = z.copy(), np.empty_like(z)
    activate(act, slope, 2, 0)
    exact = torch.from_numpy(z.astype("f8")).requires_grad_()
    out = torch.nn.functional.gelu(exact)
    out.sum().backward()
    assert np.abs(act - out.detach().numpy()).max() < 2e-6 and np.abs(slope - exact.grad.numpy()).max() < 2e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("case", [dict(), dict(act=1), dict(act=2), dict(loss=1), dict(bn=1)], ids=str)
def test_divergence_shows(bad, case):
    q = problem(**case, dtype="f4")
    q["theta"][:] = bad
    if bad == 1e30 and case:
        return
    assert not np.isfinite(run(q))


# ---------------------------------------------------------------- training
def member(seed=0, steps=50, optimizer=2, records=(), full=False, dtype="f8", hyper=None, **case):
    q = problem(seed=seed, dtype=dtype, **case)
    rng = np.random.default_rng(seed + 99)
    n = 21
    q["order"] = rng.integers(0, len(q["y"]), (1 if full else steps, n)).astype(np.int32)
    q["keys"] = rng.integers(0, 2**63, steps).astype(np.uint64)
    q.update(
        m=np.zeros_like(q["theta"]),
        v=np.zeros_like(q["theta"]),
        full_batch=full,
        t0=0,
        hyper=np.array(hyper or [optimizer, 0.01, 0.1, 0.9, 0.9, 0.98, 1e-8]),
        records=np.array(records or [steps], np.int64),
    )
    r = len(q["records"])
    q.update(
        snap_theta=np.zeros((r, q["theta"].size), dtype),
        snap_state=np.zeros((r, q["state"].size), dtype),
        losses=np.zeros(r),
        scratch=np.zeros(scratch_size(q["shape"], n), dtype),
    )
    return q


def advance(q):
    return ADVANCE(*(q[k] for k in ORDER))


@pytest.mark.parametrize("optimizer", [0, 1, 2])
@pytest.mark.parametrize("case", [dict(), dict(bn=1, loss=1, act=1), dict(rate=0.2, full=True)], ids=str)
def test_fifty_steps_are_torch(optimizer, case):
    q = member(optimizer=optimizer, records=[1, 7, 50], **case)
    _, lr, wd, mom, b1, b2, eps = q["hyper"]
    theta = torch.from_numpy(q["theta"].copy()).requires_grad_()
    state = torch.from_numpy(q["state"].copy())
    opt = [
        lambda: torch.optim.SGD([theta], lr, mom),
        lambda: torch.optim.Adam([theta], lr, (b1, b2), eps, wd),
        lambda: torch.optim.AdamW([theta], lr, (b1, b2), eps, wd),
    ][optimizer]()
    seen = []
    for t in range(50):
        opt.zero_grad()
        loss = torch_loss(q, theta, state, q["order"][0 if q["full_batch"] else t], q["keys"][t])
        loss.backward()
        if optimizer == 0:
            with torch.no_grad():
                theta *= 1 - lr * wd
        opt.step()
        if t + 1 in (1, 7, 50):
            seen.append((theta.detach().numpy().copy(), state.numpy().copy(), loss.item()))
    assert advance(q) == 50
    for i, (th, st, loss) in enumerate(seen):
        assert np.abs(q["snap_theta"][i] - th).max() < 1e-10
        assert abs(q["losses"][i] - loss) < 1e-10
        if st.size:
            assert np.abs(q["snap_state"][i] - st).max() < 1e-10
    assert (q["theta"] == q["snap_theta"][-1]).all()


CONFIGS = [dict(dtype="f4"), dict(dtype="f4", bn=1, rate=0.3, act=2, loss=1), dict(dtype="f8", act=1, full=True)]


@pytest.mark.parametrize("case", CONFIGS, ids=str)
def test_bits_do_not_depend_on_threads(case):
    def trained(threads):
        members = [member(seed=i, **case) for i in range(8)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(advance, members))
        return [(q["theta"].tobytes(), q["m"].tobytes(), q["state"].tobytes(), q["losses"].tobytes()) for q in members]

    assert trained(1) == trained(2) == trained(2)


@pytest.mark.parametrize("case", CONFIGS, ids=str)
def test_two_calls_are_one(case):
    whole, parts = member(records=[20, 50], **case), member(records=[20], **case)
    assert advance(whole) == 50 and advance(parts) == 20
    full = parts["full_batch"]
    parts.update(
        t0=20, records=np.array([50]), order=parts["order"] if full else parts["order"][20:], keys=parts["keys"][20:]
    )
    parts["scratch"][:] = np.nan
    first = parts["snap_theta"].copy(), parts["losses"].copy()
    assert advance(parts) == 50
    for k in ("theta", "m", "v", "state"):
        assert parts[k].tobytes() == whole[k].tobytes()
    assert first[0].tobytes() == whole["snap_theta"][:1].tobytes() and first[1][0] == whole["losses"][0]
    assert parts["losses"][0] == whole["losses"][1]


def test_alignment_of_scratch_changes_nothing():
    a, b = problem(dtype="f4"), problem(dtype="f4")
    b["scratch"] = np.zeros(b["scratch"].size + 3, "f4")[3:]
    assert run(a) == run(b) and a["grad"].tobytes() == b["grad"].tobytes()


def test_divergence_stops_the_loop():
    q = member(hyper=[0, 1e6, 0, 0.9, 0.9, 0.98, 1e-8], dtype="f4", full=True)
    t = advance(q)
    assert -50 < t < -1


# ---------------------------------------------------------------- the cache
SCRIPT = """
import sys
sys.path.insert(0, TESTS)
import test_kernel as t
q = t.member(dtype='f4'); t.advance(q)
print(sum(t.ADVANCE.stats.cache_hits.values()), q['theta'].tobytes().hex()[:40])
"""


@pytest.mark.slow
def test_cache_serves_other_processes_and_sees_edits(tmp_path):
    """A compiled copy of a kernel that was edited since would train another network than the source says."""
    package = Path(phasescope.__file__).parent
    shutil.copytree(package, tmp_path / "phasescope", ignore=shutil.ignore_patterns("__pycache__"))
    env = dict(os.environ, PHASESCOPE_CACHE=str(tmp_path / "cache"), PYTHONPATH=str(tmp_path))
    script = SCRIPT.replace("TESTS", repr(str(Path(__file__).parent)))

    def fresh():
        out = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        hits, bits = out.stdout.split()
        return int(hits), bits

    first, second = fresh(), fresh()
    assert first[0] == 0
    assert second == (1, first[1])
    kernel = tmp_path / "phasescope" / "learners" / "matmul.py"
    stamp = kernel.stat()
    text = kernel.read_text()
    assert "bld.fadd(old, new[i][j])" in text
    kernel.write_text(text.replace("bld.fadd(old, new[i][j])", "bld.fsub(old, new[i][j])"))
    os.utime(kernel, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # even with the old date
    third = fresh()
    assert third[0] == 0
    assert third[1] != first[1]
