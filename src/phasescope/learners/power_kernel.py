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

from phasescope.learners.matmul import PADDING, address, multiply_at, row_operation, vector_fma

#: 'nnan' and 'ninf' are left out on purpose: a diverging run has to show as NaN or inf.
FASTMATH = {"contract", "nsz", "reassoc"}
POWER, RELU, GELU = 0, 1, 2
MSE, CROSS_ENTROPY = 0, 1
#: Integers that numba shall not take for literals: it would compile a callee once per literal.
NONE, ONE, ALONE = np.int64(0), np.int64(1), np.int64(-1)
BN_EPS, BN_MOMENTUM = 1e-5, 0.1

#: Sizes, then offsets into scratch (in elements).  `block` rows are worked on at a time, `kept`
#: rows of activations are stored (block, or all n with batch norm).
Plan = namedtuple("Plan", "S p K H Hp Kp n block kept u w wt du dw act slope dact norm out line size")


part = njit(nogil=True, inline="always", fastmath=FASTMATH, error_model="numpy")


@njit(nogil=True, error_model="numpy")
def plan_of(shape, n):
    """The Plan for int64 shape [S, p, K, H, activation, degree, batchnorm, loss] and n rows."""
    S, p, K, H = shape[0], shape[1], shape[2], shape[3]
    Hp = (H + PADDING - 1) // PADDING * PADDING
    Kp = (K + PADDING - 1) // PADDING * PADDING
    block = min(n, max(32, min(128, 32768 // Hp // 8 * 8)))
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
    size = line + 6 * (Hp + Kp)
    return Plan(S, p, K, H, Hp, Kp, n, block, kept, u, w, wt, du, dw, act, slope, dact, norm, out,
                line, size)


def scratch_size(shape: np.ndarray, n: int) -> int:
    """Elements of scratch (of theta's dtype) that `gradient` needs for batches of n rows."""
    return int(plan_of.py_func(np.asarray(shape, np.int64), int(n)).size) + 64


def _square(b, row, numbers):
    """a = z*z and phi' = 2z for z = u + v (rows: 0 u, 1 v, 2 a, 3 phi')."""
    z = b.fadd(row[0], row[1])
    return {2: b.fmul(z, z), 3: b.fadd(z, z)}


def _spread(b, row, numbers):
    """du += dz and dv += dz for dz = phi' * da (rows: 0 du, 1 dv, 2 phi', 3 da).

    The two are stored one after the other, so du and dv have to be different rows.
    """
    dz = b.fmul(row[2], row[3])
    return {0: b.fadd(row[0], dz), 1: b.fadd(row[1], dz)}


def _residual(b, row, numbers):
    """sum += w e e and e *= c for rows (0 sum, 1 e) and numbers (w, c)."""
    e = row[1]
    return {0: vector_fma(b, b.fmul(numbers[0], e), e, row[0]), 1: b.fmul(numbers[1], e)}


square_row = row_operation(4, 0, _square)
spread_rows = row_operation(4, 0, _spread)
residual_row = row_operation(2, 2, _residual)
add_row = row_operation(2, 0, lambda b, row, numbers: {0: b.fadd(row[0], row[1])})
copy_row = row_operation(2, 0, lambda b, row, numbers: {0: row[1]})


@part
def _pack(theta, scratch, P, scale):
    """Copy U, W and scale * W.T into padded rows and clear the sums dU, dW."""
    for i in range(P.S * P.p + P.K):  # U and W follow one another in theta and in scratch
        a, b = P.u + i * P.Hp, i * P.H
        for k in range(P.H):
            scratch[a + k] = theta[b + k]
        for k in range(P.H, P.Hp):
            scratch[a + k] = 0
    first = P.S * P.p * P.H
    for k in range(P.H):
        row = P.wt + k * P.Kp
        for q in range(P.K):
            scratch[row + q] = scale * theta[first + q * P.H + k]
        for q in range(P.K, P.Kp):
            scratch[row + q] = 0
    for k in range(P.du, P.act):
        scratch[k] = 0


@part
def _unpack(grad, scratch, P):
    """Copy dU and dW from their padded rows to grad."""
    for i in range(P.S * P.p + P.K):
        a, b = P.du + i * P.Hp, i * P.H
        for k in range(P.H):
            grad[b + k] = scratch[a + k]


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
        for k in range(P.H):
            v = start + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15)
            v ^= v >> np.uint64(30)
            v *= np.uint64(0xBF58476D1CE4E5B9)
            v ^= v >> np.uint64(27)
            v *= np.uint64(0x94D049BB133111EB)
            v ^= v >> np.uint64(31)
            keep = one if (v >> np.uint64(40)) >= least else zero
            scratch[mask + i * P.Hp + k] = keep
            scratch[z + i * P.Hp + k] *= keep
        for k in range(P.H, P.Hp):
            scratch[mask + i * P.Hp + k] = 0


@part
def _activate(act, slope, kind, degree):
    """In place: act = phi(act) and slope = phi'(act), flat arrays of equal length."""
    real = act.dtype.type
    if kind == POWER:
        for k in range(act.size):
            slope[k] = act[k]
        for _ in range(degree - 2):
            for k in range(act.size):
                slope[k] *= act[k]
        d = real(degree)
        for k in range(act.size):
            act[k] *= slope[k]
            slope[k] *= d
    elif kind == RELU:
        for k in range(act.size):
            # NaN is passed on, as torch does: it has to reach the loss.
            slope[k] = real(1) if act[k] > 0 else real(0)
            act[k] = real(0) if act[k] <= 0 else act[k]
    else:
        half, root = real(0.5), real(math.sqrt(0.5))
        density = real(1 / math.sqrt(2 * math.pi))
        for k in range(act.size):
            z = act[k]
            below = half + half * math.erf(z * root)
            slope[k] = below + z * density * math.exp(-half * z * z)
            act[k] = z * below


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
            square_row(zero, P.Hp, (u + x[row, 0] * line, v + x[row, 1] * line,
                                    act + i * line, slope + i * line), ())
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
    _activate(scratch[a:a + size], scratch[b:b + size], shape[4], shape[5])
    if rate > 0:
        for k in range(size):
            scratch[b + k] *= scratch[m + k]


@part
def _squared_error(scratch, P, y, w, rows, first, count, scale, total):
    """Sum of w_i (out - onehot)^2 over a block; `out` becomes the gradient of the loss."""
    zero, item, base = scratch.dtype.type(0), scratch.itemsize, address(scratch)
    one = scratch.dtype.type(1)
    out, sums = base + item * P.out, base + item * P.line
    # A first loop of its own: a vector load just after a scalar store to it would stall.
    for i in range(count):
        scratch[P.out + i * P.Kp + y[rows[first + i]]] -= one
    for q in range(P.Kp):
        scratch[P.line + q] = 0
    factor = 2 * scale / (P.K * total)
    for i in range(count):
        weight = w[rows[first + i]]
        residual_row(zero, P.Kp, (sums, out + i * item * P.Kp),
                     (weight, scratch.dtype.type(factor * weight)))
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
        row = scratch[P.out + i * P.Kp:P.out + i * P.Kp + P.K]
        weight = w[rows[first + i]]
        label = y[rows[first + i]]
        high = row[0]
        for q in range(1, P.K):
            high = max(high, row[q])
        target = row[label] - high
        mass = real(0)
        for q in range(P.K):
            row[q] = math.exp(row[q] - high)
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
    multiply_at(zero, base + item * (P.dact + slot * Hp), Hp, out, Kp, ONE, base + item * P.w, Hp,
                count, Hp, P.K, NONE)
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
def _column_sum(scratch, P, target, part, left, right):
    """scratch[target+k] = sum_i left[i,k] (times right[i,k] unless right < 0), in two levels.

    Sums of 64 rows are added up: a single chain of thousands of float32 would lose digits.
    """
    for k in range(P.Hp):
        scratch[target + k] = 0
    for i0 in range(0, P.n, 64):
        for k in range(P.Hp):
            scratch[part + k] = 0
        for i in range(i0, min(P.n, i0 + 64)):
            a, b = left + i * P.Hp, right + i * P.Hp
            if right >= 0:
                for k in range(P.Hp):
                    scratch[part + k] += scratch[a + k] * scratch[b + k]
            else:
                for k in range(P.Hp):
                    scratch[part + k] += scratch[a + k]
        for k in range(P.Hp):
            scratch[target + k] += scratch[part + k]


@part
def _normalise(theta, state, scratch, P):
    """Batch norm forward: act becomes (act - mean)/sd, norm = gamma * act + beta.

    `state` (mean, then variance, H each) is moved as torch.nn.BatchNorm1d does it.
    """
    H, Hp, n = P.H, P.Hp, P.n
    real = scratch.dtype.type
    gamma = (P.S * P.p + P.K) * H
    mean, part, sd = P.line + P.Kp, P.line + P.Kp + Hp, P.line + P.Kp + 2 * Hp
    _column_sum(scratch, P, mean, part, P.act, ALONE)
    for k in range(Hp):
        scratch[mean + k] /= real(n)
    for i in range(n):
        for k in range(H):
            scratch[P.act + i * Hp + k] -= scratch[mean + k]
    _column_sum(scratch, P, sd, part, P.act, P.act)
    move, unbiased = real(BN_MOMENTUM), real(1 / max(n - 1, 1))
    for k in range(H):
        state[k] += move * (scratch[mean + k] - state[k])
        state[H + k] += move * (scratch[sd + k] * unbiased - state[H + k])
        scratch[sd + k] = real(1) / np.sqrt(scratch[sd + k] / real(n) + real(BN_EPS))
    for i in range(n):
        a, b = P.act + i * Hp, P.norm + i * Hp
        for k in range(H):
            scratch[a + k] *= scratch[sd + k]
            scratch[b + k] = theta[gamma + k] * scratch[a + k] + theta[gamma + H + k]
        for k in range(H, Hp):
            scratch[b + k] = 0


@part
def _normalise_back(theta, grad, scratch, P):
    """Batch norm backward: dact from the gradient in norm to that in act; dgamma, dbeta in grad."""
    H, Hp = P.H, P.Hp
    gamma = (P.S * P.p + P.K) * H
    part, sd = P.line + P.Kp + Hp, P.line + P.Kp + 2 * Hp
    dgamma, dbeta = sd + Hp, sd + 2 * Hp
    _column_sum(scratch, P, dgamma, part, P.dact, P.act)
    _column_sum(scratch, P, dbeta, part, P.dact, ALONE)
    share = scratch.dtype.type(1 / P.n)
    for i in range(P.n):
        a, d = P.act + i * Hp, P.dact + i * Hp
        for k in range(H):
            inner = scratch[dbeta + k] + scratch[a + k] * scratch[dgamma + k]
            scratch[d + k] = theta[gamma + k] * scratch[sd + k] * (scratch[d + k] - share * inner)
    for k in range(H):
        grad[gamma + k] = scratch[dgamma + k]
        grad[gamma + H + k] = scratch[dbeta + k]


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def gradient(theta, state, grad, x, y, w, rows, shape, knobs, key, scratch):
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
    scratch = scratch[lead:lead + P.size]  # whole vectors on whole cache lines
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
            _normalise_back(theta, grad, scratch, P)
        for first in range(0, n, P.block):
            count = min(P.block, n - first)
            slot = first if batchnorm else NONE
            if turn == 0:
                _first_layer(scratch, P, x, rows, first, count, slot, shape, knobs, key)
            if turn == last // 2:
                loss += _second_layer(scratch, P, y, w, rows, first, count, slot, shape, knobs, total)
            if turn == last:
                _spread_block(scratch, P, x, rows, first, count, slot)
    _unpack(grad, scratch, P)
    return loss / total
