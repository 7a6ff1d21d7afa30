"""Loss and gradient of a two-layer network with one-hot inputs, for one member on one core.

    z[i,:] = sum_s U[s, x[i,s], :]     a = phi(z)     out = scale * a @ W.T

One-hot inputs turn the first layer into a sum of S rows of U, so only three products of
(rows x K x H) are left.  The rows of a step go through all stages in blocks, small enough that a
block's activations stay within the second-level cache between being made and being used.  Only
batch norm, whose statistics need all rows first, keeps the activations of the whole batch.

All intermediate rows have padded lengths (Hp, Kp: whole vectors, zeros at the end, aligned to
64 bytes) in `scratch`; U and W are copied there at the start of a step, which is cheap because
they are shorter than the batch by a factor of about p.

The order of every sum is fixed by (shape, n): by the block size, which depends on these alone.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
from numba import njit

from phasescope.learners.matmul import PADDING, address, multiply_at
from phasescope.learners.power_rows import (
    FASTMATH,
    POWER,
    _exp32,
    activate,
    add_row,
    clear_row,
    copy_row,
    fma_row,
    norm_back_row,
    norm_row,
    part,
    residual_row,
    spread_rows,
    square_row,
    subtract_row,
    times_row,
)

MSE, CROSS_ENTROPY = 0, 1
#: Integers that numba shall not take for literals: it would compile a callee once per literal.
NONE, ONE, ALONE = np.int64(0), np.int64(1), np.int64(-1)
BN_EPS, BN_MOMENTUM = 1e-5, 0.1

#: Sizes, then offsets into scratch (in elements).  `block` rows are worked on at a time, `kept`
#: rows of activations are stored (block, or all n with batch norm).
Plan = namedtuple("Plan", "S p K H Hp Kp n block kept u w wt du dw act slope dact norm out line size")


@njit(nogil=True, error_model="numpy")
def plan_of(shape, n):
    """The Plan for int64 shape [S, p, K, H, activation, degree, batchnorm, loss] and n rows."""
    S, p, K, H = shape[0], shape[1], shape[2], shape[3]
    Hp = (H + PADDING - 1) // PADDING * PADDING
    Kp = (K + PADDING - 1) // PADDING * PADDING
    block = min(n, max(32, min(128, 49152 // Hp // 8 * 8)))
    kept = n if shape[6] else block
    u = 0
    w = u + S * p * Hp
    wt = w + K * Hp
    du = wt + H * Kp
    dw = du + S * p * Hp
    act = dw + K * Hp
    slope = act + kept * Hp
    dact = slope + kept * Hp
    norm = dact + kept * Hp
    out = norm + (kept * Hp if shape[6] else 0)
    line = out + block * Kp
    size = line + Kp + 7 * Hp
    return Plan(S, p, K, H, Hp, Kp, n, block, kept, u, w, wt, du, dw, act, slope, dact, norm, out, line, size)


def scratch_size(shape: np.ndarray, n: int) -> int:
    """Elements of scratch (of theta's dtype) that `gradient` needs for batches of n rows."""
    return int(plan_of.py_func(np.asarray(shape, np.int64), int(n)).size) + 64


@part
def _copy_lines(scratch, P, theta, at, backward):
    """The lines of U and W (H long, one after the other) in theta to lines of Hp at `at`, or back."""
    zero, item = scratch.dtype.type(0), scratch.itemsize
    near, far = address(scratch) + item * at, address(theta)
    lines, whole = P.S * P.p + P.K, P.H // PADDING * PADDING
    if whole == P.H:  # no padding: a single long line
        lines, whole = 1, lines * whole
    for i in range(lines):
        a, b = near + i * item * P.Hp, far + i * item * P.H
        if backward:
            a, b = b, a
        copy_row(zero, whole, (a, b), ())
        if lines > 1 and P.H > PADDING:  # the last vector overlaps the one before
            last = (P.H - PADDING) * item
            copy_row(zero, PADDING, (a + last, b + last), ())
        elif P.H < PADDING:
            here = scratch[at + i * P.Hp : at + i * P.Hp + P.H]
            there = theta[i * P.H : i * P.H + P.H]
            for k in range(P.H):
                if backward:
                    there[k] = here[k]
                else:
                    here[k] = there[k]


@part
def _pack(theta, scratch, P, scale):
    """Copy U, W and scale * W.T into padded lines (zeros at the end) and clear dU and dW."""
    clear_row(scratch.dtype.type(0), P.act, (address(scratch),), ())
    _copy_lines(scratch, P, theta, P.u, False)
    to, step = scratch[P.wt : P.du], np.uintp(P.Kp)  # unsigned: no test for negative indices
    for q in range(P.K):
        line = scratch[P.w + q * P.Hp : P.w + q * P.Hp + P.H]
        place = np.uintp(q)
        for k in range(line.size):
            to[place] = scale * line[k]
            place += step


@part
def _dropout(scratch, P, z, mask, first, count, rate, key):
    """Multiply rows of z by a mask of 0 and 1/(1-rate), and keep the mask.

    The mask is a function of (key, position in the batch, neuron) alone (the splitmix64
    finalizer), so it is the same whatever the block size, thread or implementation.
    """
    one = scratch.dtype.type(1 / (1 - rate))
    zero = scratch.dtype.type(0)
    least = np.uint64(math.ceil(rate * 2.0**24))
    for i in range(count):
        start = np.uint64(key) + np.uint64((first + i) * P.H + 1) * np.uint64(0x9E3779B97F4A7C15)
        kept = scratch[mask + i * P.Hp : mask + (i + 1) * P.Hp]
        row = scratch[z + i * P.Hp : z + (i + 1) * P.Hp]
        for k in range(P.H):
            v = start + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15)
            v ^= v >> np.uint64(30)
            v *= np.uint64(0xBF58476D1CE4E5B9)
            v ^= v >> np.uint64(27)
            v *= np.uint64(0x94D049BB133111EB)
            v ^= v >> np.uint64(31)
            keep = one if (v >> np.uint64(40)) >= least else zero
            kept[k] = keep
            row[k] *= keep
        for k in range(P.H, P.Hp):
            kept[k] = 0


@part
def _first_layer(scratch, P, x, rows, first, count, slot, shape, knobs, key):
    """act and slope of the rows first..first+count of the batch, into places from `slot` on."""
    zero, item, base = scratch.dtype.type(0), scratch.itemsize, address(scratch)
    line = item * P.Hp
    act, slope = base + item * P.act + slot * line, base + item * P.slope + slot * line
    u = base + item * P.u
    rate = knobs[1]
    if P.S == 2 and shape[4] == POWER and shape[5] == 2 and rate == 0:
        v = u + P.p * line
        for i in range(count):
            row = rows[first + i]
            square_row(zero, P.Hp, (u + x[row, 0] * line, v + x[row, 1] * line, act + i * line, slope + i * line), ())
        return
    for i in range(count):
        row = rows[first + i]
        copy_row(zero, P.Hp, (act + i * line, u + x[row, 0] * line), ())
        for s in range(1, P.S):
            add_row(zero, P.Hp, (act + i * line, u + (s * P.p + x[row, s]) * line), ())
    a, b, m = P.act + slot * P.Hp, P.slope + slot * P.Hp, P.dact + slot * P.Hp
    size = count * P.Hp
    if rate > 0:
        _dropout(scratch, P, a, m, first, count, rate, key)
    activate(scratch[a : a + size], scratch[b : b + size], shape[4], shape[5])
    if rate > 0:
        times_row(zero, size, (base + item * b, base + item * m), ())


@part
def _squared_error(scratch, P, y, w, rows, first, count, scale, total):
    """Sum of w_i (out - onehot)^2 over a block; `out` becomes the gradient of the loss."""
    zero, item, base = scratch.dtype.type(0), scratch.itemsize, address(scratch)
    one = scratch.dtype.type(1)
    out, sums = base + item * P.out, base + item * P.line
    # A first loop of its own: a vector load just after a scalar store to it would stall.
    for i in range(count):
        scratch[P.out + i * P.Kp + y[rows[first + i]]] -= one
    clear_row(zero, P.Kp, (sums,), ())
    factor = 2 * scale / (P.K * total)
    for i in range(count):
        weight = w[rows[first + i]]
        residual_row(zero, P.Kp, (sums, out + i * item * P.Kp), (weight, scratch.dtype.type(factor * weight)))
    loss = 0.0
    for q in range(P.K):
        loss += scratch[P.line + q]
    return loss / P.K


@part
def _cross_entropy(scratch, P, y, w, rows, first, count, scale, total):
    """Sum of w_i ce_i over a block; `out` becomes the gradient of the loss."""
    real = scratch.dtype.type
    loss = 0.0
    for i in range(count):
        row = scratch[P.out + i * P.Kp : P.out + i * P.Kp + P.K]
        weight = w[rows[first + i]]
        label = y[rows[first + i]]
        high = row[0]
        for q in range(1, P.K):
            high = max(high, row[q])
        target = row[label] - high
        mass = real(0)
        if scratch.itemsize == 4:
            for q in range(P.K):
                row[q] = _exp32(row[q] - high)
        else:
            for q in range(P.K):
                row[q] = math.exp(row[q] - high)
        for q in range(P.K):
            mass += row[q]
        loss += weight * (math.log(mass) - target)
        factor = real(scale * weight / total)
        share = factor / mass
        for q in range(P.K):
            row[q] *= share
        row[label] -= factor
    return loss


@part
def _second_layer(scratch, P, y, w, rows, first, count, slot, shape, knobs, total):
    """Loss of a block, its part of dW (added), and dact."""
    zero, item, base = scratch.dtype.type(0), scratch.itemsize, address(scratch)
    act = base + item * ((P.norm if shape[6] else P.act) + slot * P.Hp)
    out, Hp, Kp = base + item * P.out, P.Hp, P.Kp
    multiply_at(zero, out, Kp, act, Hp, ONE, base + item * P.wt, Kp, count, Kp, P.H, NONE)
    if shape[7] == MSE:
        loss = _squared_error(scratch, P, y, w, rows, first, count, knobs[0], total)
    else:
        loss = _cross_entropy(scratch, P, y, w, rows, first, count, knobs[0], total)
    multiply_at(zero, base + item * P.dw, Hp, out, ONE, Kp, act, Hp, P.K, Hp, count, ONE)
    multiply_at(
        zero,
        base + item * (P.dact + slot * Hp),
        Hp,
        out,
        Kp,
        ONE,
        base + item * P.w,
        Hp,
        count,
        Hp,
        P.K,
        NONE,
    )
    return loss


@part
def _spread_block(scratch, P, x, rows, first, count, slot):
    """dU[s, x[i,s]] += slope_i * dact_i for the rows of a block."""
    zero, item, base = scratch.dtype.type(0), scratch.itemsize, address(scratch)
    line = item * P.Hp
    slope, dact = base + item * P.slope + slot * line, base + item * P.dact + slot * line
    du = base + item * P.du
    spare = base + item * (P.line + P.Kp)
    for i in range(count):
        row = rows[first + i]
        s = 0
        while s < P.S:  # inputs in pairs; the last of an odd number is paired with a spare row
            one = du + (s * P.p + x[row, s]) * line
            two = du + ((s + 1) * P.p + x[row, s + 1]) * line if s + 1 < P.S else spare
            spread_rows(zero, P.Hp, (one, two, slope + i * line, dact + i * line), ())
            s += 2


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _column_sum(zero, P, item, to, part, left, right):
    """Line `to` = sum_i left[i] (times right[i] unless right < 0) over all n rows, in two levels.

    Sums of 64 rows are added up: a single chain of thousands of float32 would lose digits.
    """
    line = item * P.Hp
    clear_row(zero, P.Hp, (to,), ())
    for i0 in range(0, P.n, 64):
        clear_row(zero, P.Hp, (part,), ())
        for i in range(i0, min(P.n, i0 + 64)):
            if right >= 0:
                fma_row(zero, P.Hp, (part, left + i * line, right + i * line), ())
            else:
                add_row(zero, P.Hp, (part, left + i * line), ())
        add_row(zero, P.Hp, (to, part), ())


@part
def _normalise(theta, state, scratch, P):
    """Batch norm forward: act becomes (act - mean)/sd, norm = gamma * act + beta.

    `state` (mean, then variance, H each) is moved as torch.nn.BatchNorm1d does it.
    """
    H, Hp, n, real = P.H, P.Hp, P.n, scratch.dtype.type
    zero, item, base = real(0), scratch.itemsize, address(scratch)
    act, norm, line = base + item * P.act, base + item * P.norm, item * P.Hp
    first = P.line + P.Kp  # lines: mean, a partial sum, 1/sd, gamma, beta
    lines = scratch[first : first + 5 * Hp]
    mean, partial, sd = base + item * first, base + item * first + line, base + item * first + 2 * line
    for k in range(lines.size):
        lines[k] = 0
    gamma = theta[(P.S * P.p + P.K) * H :]
    for k in range(H):
        lines[3 * Hp + k] = gamma[k]
        lines[4 * Hp + k] = gamma[H + k]
    _column_sum(zero, P, item, mean, partial, act, ALONE)
    for k in range(Hp):
        lines[k] /= real(n)
    for i in range(n):
        subtract_row(zero, Hp, (act + i * line, mean), ())
    _column_sum(zero, P, item, sd, partial, act, act)
    move, unbiased = real(BN_MOMENTUM), real(1 / max(n - 1, 1))
    for k in range(H):
        square = lines[2 * Hp + k]
        state[k] += move * (lines[k] - state[k])
        state[H + k] += move * (square * unbiased - state[H + k])
        lines[2 * Hp + k] = real(1) / np.sqrt(square / real(n) + real(BN_EPS))
    for i in range(n):
        norm_row(zero, Hp, (act + i * line, norm + i * line, sd, sd + line, sd + 2 * line), ())


@part
def _normalise_back(grad, scratch, P):
    """Batch norm backward: dact from the gradient in norm to that in act; dgamma, dbeta in grad."""
    H, Hp, real = P.H, P.Hp, scratch.dtype.type
    zero, item, base = real(0), scratch.itemsize, address(scratch)
    act, dact, line = base + item * P.act, base + item * P.dact, item * P.Hp
    first = P.line + P.Kp + 2 * Hp  # lines: 1/sd, gamma, beta (done with), dgamma, dbeta
    lines, at = scratch[first : first + 5 * Hp], base + item * first
    dgamma, dbeta = at + 3 * line, at + 4 * line
    _column_sum(zero, P, item, dgamma, at + 2 * line, dact, act)
    _column_sum(zero, P, item, dbeta, at + 2 * line, dact, ALONE)
    target, share = grad[(P.S * P.p + P.K) * H :], real(1 / P.n)
    for k in range(H):
        target[k] = lines[3 * Hp + k]
        target[H + k] = lines[4 * Hp + k]
    for k in range(Hp):
        lines[k] *= lines[Hp + k]
        lines[3 * Hp + k] *= share
        lines[4 * Hp + k] *= share
    for i in range(P.n):
        norm_back_row(zero, Hp, (dact + i * line, act + i * line, at, dgamma, dbeta), ())


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def gradient(
    theta: np.ndarray,
    state: np.ndarray,
    grad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    rows: np.ndarray,
    shape: np.ndarray,
    knobs: np.ndarray,
    key: int,
    scratch: np.ndarray,
) -> float:
    """Loss (float64) of one batch; grad (P,) is overwritten, state moved if there is batch norm.

    theta, grad (P,): U (S,p,H), W (K,H), then with batch norm gamma (H), beta (H); float32 or
    float64.  state: running mean (H) and variance (H), or empty.  x (N,S) int32, y (N,) int32,
    w (N,) of theta's dtype; rows (n,) int32 picks the batch.  shape int64
    [S, p, K, H, activation, degree, batchnorm, loss]; knobs float64 [scale, dropout rate]; key: the
    integer key of this step's dropout mask; scratch: `scratch_size(shape, n)` of theta's dtype.
    """
    n = rows.size
    P = plan_of(shape, n)
    lead = (64 - address(scratch) % 64) % 64 // scratch.itemsize
    scratch = scratch[lead : lead + P.size]  # whole vectors on whole cache lines
    total = 0.0
    for i in range(n):
        total += w[rows[i]]
    _pack(theta, scratch, P, scratch.dtype.type(knobs[0]))
    loss = 0.0
    batchnorm = shape[6] != 0
    last = 2 if batchnorm else 0  # with batch norm every stage waits for all rows
    for turn in range(last + 1):
        if turn == 1:
            _normalise(theta, state, scratch, P)
        elif turn == 2:
            _normalise_back(grad, scratch, P)
        for first in range(0, n, P.block):
            count = min(P.block, n - first)
            slot = first if batchnorm else NONE
            if turn == 0:
                _first_layer(scratch, P, x, rows, first, count, slot, shape, knobs, key)
            if turn == last // 2:
                loss += _second_layer(scratch, P, y, w, rows, first, count, slot, shape, knobs, total)
            if turn == last:
                _spread_block(scratch, P, x, rows, first, count, slot)
    _copy_lines(scratch, P, grad, P.du, True)
    return loss / total
