"""The training loop of one member as one compiled call, and its cache on disk."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import sys
from pathlib import Path
from types import CodeType, FunctionType

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher

from phasescope.ensemble.subnormals import FLUSH, control_word, set_control_word

FASTMATH = {"contract", "nsz", "reassoc"}
SGD, ADAM, ADAMW = 0, 1, 2


def _names(code: CodeType) -> set[str]:
    """Global names in a code object and in the functions defined inside it."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*inner)


def sources_of(function) -> list[Path]:
    """Source files of a compiled function and of all compiled functions it reaches.

    Compiled functions and intrinsics are followed through the globals their code names; so a new
    helper file joins the fingerprint by being used.
    """
    files, seen, waiting = set(), set(), [function]
    while waiting:
        item = waiting.pop()
        code = getattr(item, "py_func", None) or getattr(item, "_defn", None) or item
        if not isinstance(code, FunctionType) or id(code) in seen:
            continue
        seen.add(id(code))
        files.add(Path(inspect.getsourcefile(code)))
        names = [code.__globals__.get(name) for name in _names(code.__code__)]
        cells = [cell.cell_contents for cell in code.__closure__ or ()]
        for value in names + cells:
            if hasattr(value, "py_func") or hasattr(value, "_defn") or isinstance(value, FunctionType):
                waiting.append(value)
    return sorted(f for f in files if "site-packages" not in f.parts)


def fingerprint(files: list[Path]) -> str:
    """Hash of the files' names and contents and of the compilers' versions."""
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    digest.update(repr(versions).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where compiled code is kept: $PHASESCOPE_CACHE, else the user's cache folder."""
    chosen = os.environ.get("PHASESCOPE_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        user = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        user = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return user / "phasescope"


def cached(python_function: FunctionType, files: list[Path], **options):
    """njit with a cache on disk that notices changes in any of `files`.

    numba's own check sees only the file of the function itself; a cached caller would keep old
    copies of the functions it calls.  Here the folder's name is the fingerprint of all the sources,
    so a change means a new folder.  numba reads CACHE_DIR only while it decorates, so the setting
    is put back at once.
    """
    folder = cache_folder() / f"{fingerprint(files)[:32]}-numba{numba.__version__}"
    before = numba.config.CACHE_DIR
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numba.config.CACHE_DIR = str(folder)
        return njit(cache=True, **options)(python_function)
    except (OSError, RuntimeError):  # nowhere to write: compile in every process
        return njit(**options)(python_function)
    finally:
        numba.config.CACHE_DIR = before


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy", inline="always")
def update(theta: np.ndarray, grad: np.ndarray, m: np.ndarray, v: np.ndarray, hyper: np.ndarray, t: int) -> None:
    """Step t (from 1) of SGD, Adam or AdamW as in torch.optim, in place; all (P,) of one dtype.

    hyper float64 [optimizer, lr, weight_decay, momentum, beta1, beta2, eps].  SGD keeps its
    momentum in m; its weight decay is decoupled, as AdamW's; Adam's is added to the gradient.
    """
    real = theta.dtype.type
    kind, lr, decay = hyper[0], hyper[1], hyper[2]
    keep = real(1) if kind == ADAM else real(1 - lr * decay)
    if kind == SGD:
        momentum, rate = real(hyper[3]) if t > 1 else real(0), real(lr)
        for k in range(theta.size):
            m[k] = momentum * m[k] + grad[k]
            theta[k] = keep * theta[k] - rate * m[k]
        return
    coupled = real(decay) if kind == ADAM else real(0)
    b1, b2 = real(hyper[4]), real(hyper[5])
    c1, c2 = real(1 - hyper[4]), real(1 - hyper[5])
    rate = real(lr / (1 - hyper[4] ** t))
    spread = real(1 / math.sqrt(1 - hyper[5] ** t))
    eps = real(hyper[6])
    for k in range(theta.size):
        g = grad[k] + coupled * theta[k]
        mk = b1 * m[k] + c1 * g
        vk = b2 * v[k] + c2 * g * g
        m[k] = mk
        v[k] = vk
        theta[k] = keep * theta[k] - rate * mk / (np.sqrt(vk) * spread + eps)


def _advance(
    theta,
    state,
    m,
    v,
    x,
    y,
    w,
    order,
    full_batch,
    shape,
    knobs,
    hyper,
    keys,
    t0,
    records,
    snap_theta,
    snap_state,
    losses,
    scratch,
    grad,
):
    """Steps t0+1 .. records[-1] of one member, in place; records[-1], or -t if step t diverged.

    theta, m, v, grad (P,), state (B,), w (N,), scratch: one dtype; x (N,S), y (N,) int32; order
    (n_steps or 1, n) int32: the batch of step t0+1+j is order[j], order[0] for all if full_batch;
    keys (n_steps or 1,): dropout keys.  After step records[i]: snap_theta[i] = theta,
    snap_state[i] = state, losses[i] = loss of that step, taken before its update.  A step whose loss
    is not finite is not taken (but batch norm's state has moved).  `gradient` is bound by
    `build_loop`.  Subnormal numbers count as zero in this call: see `subnormals`.
    """
    before = control_word()
    set_control_word(before | FLUSH)
    i, last = 0, records[-1]
    while i < records.size and records[i] <= t0:
        i += 1
    for t in range(t0 + 1, records[-1] + 1):
        j = t - t0 - 1
        rows = order[0] if full_batch else order[j]
        key = keys[j] if keys.size > 1 else keys[0]
        loss = gradient(theta, state, grad, x, y, w, rows, shape, knobs, key, scratch)  # noqa: F821
        if not math.isfinite(loss):
            last = -t
            break
        update(theta, grad, m, v, hyper, t)
        if records[i] == t:
            for k in range(theta.size):  # not snap_theta[i] = theta, whose error text takes a
                snap_theta[i, k] = theta[k]  # second to compile
            for k in range(state.size):
                snap_state[i, k] = state[k]
            losses[i] = loss
            i += 1
    set_control_word(before)
    return last


_loops: dict = {}


def build_loop(gradient: Dispatcher) -> Dispatcher:
    """The compiled `advance` (see `_advance`) around a compiled gradient of that signature.

    `gradient` becomes a *global* of the loop, not a variable of a closure: numba keys the cache
    of a closure on the pickled variables, and a pickled function is different in every process.
    """
    if gradient not in _loops:
        space = dict(_advance.__globals__, gradient=gradient)
        loop = FunctionType(_advance.__code__, space, "advance")
        origin = gradient.py_func
        loop.__doc__ = _advance.__doc__
        loop.__module__ = __name__
        loop.__qualname__ = f"advance_{origin.__module__.replace('.', '_')}_{origin.__qualname__}"
        files = sorted({*sources_of(gradient), *sources_of(loop)})
        _loops[gradient] = cached(loop, files, nogil=True, fastmath=FASTMATH, error_model="numpy")
    return _loops[gradient]
