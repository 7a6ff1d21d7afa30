"""Row operations and activations of ``power_kernel``: what happens to whole rows of vectors, one call each."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from phasescope.learners.matmul import row_operation, vector_fma

#: 'nnan' and 'ninf' are left out on purpose: a diverging run has to show as NaN or inf.
FASTMATH = {"contract", "nsz", "reassoc"}
POWER, RELU, GELU = 0, 1, 2

#: Pieces of `gradient` are inlined before LLVM sees them: as functions of their own each would be
#: optimised and assembled again at every level that reaches it (18 s of compiling, not 7).
#: error_model: numba's test for division by zero would keep loops with / from being vectorised.
part = njit(nogil=True, inline="always", fastmath=FASTMATH, error_model="numpy")


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


def _norm(b, row, numbers):
    """a *= 1/sd and norm = gamma * a + beta (rows: 0 a, 1 norm, 2 1/sd, 3 gamma, 4 beta)."""
    a = b.fmul(row[0], row[2])
    return {0: a, 1: vector_fma(b, row[3], a, row[4])}


def _norm_back(b, row, numbers):
    """d = g (d - (mean d + a mean(d a))) (rows: 0 d, 1 a, 2 g = gamma/sd, 3 mean(d a), 4 mean d)."""
    inner = vector_fma(b, row[1], row[3], row[4])
    return {0: b.fmul(row[2], b.fsub(row[0], inner))}


norm_row = row_operation(5, 0, _norm)
norm_back_row = row_operation(5, 0, _norm_back)
fma_row = row_operation(3, 0, lambda b, row, numbers: {0: vector_fma(b, row[1], row[2], row[0])})
subtract_row = row_operation(2, 0, lambda b, row, numbers: {0: b.fsub(row[0], row[1])})
square_row = row_operation(4, 0, _square)
spread_rows = row_operation(4, 0, _spread)
residual_row = row_operation(2, 2, _residual)
add_row = row_operation(2, 0, lambda b, row, numbers: {0: b.fadd(row[0], row[1])})
times_row = row_operation(2, 0, lambda b, row, numbers: {0: b.fmul(row[0], row[1])})
clear_row = row_operation(1, 0, lambda b, row, numbers: {0: row.zero})
copy_row = row_operation(2, 0, lambda b, row, numbers: {0: row[1]})


@part
def _exp32(x):
    """exp(x) of a float32 x <= 0 without branches, so that loops over it become vector code."""
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    s = np.float32(1 / 720) + r * np.float32(1 / 5040)
    s = np.float32(1 / 24) + r * (np.float32(1 / 120) + r * s)
    s = np.float32(1) + r * (np.float32(1) + r * (np.float32(0.5) + r * (np.float32(1 / 6) + r * s)))
    power = (np.int32(max(n, np.float32(-127))) + np.int32(127)) << np.int32(23)
    # Not clamped with min/max: NaN has to come through.
    return s * np.int32(power).view(np.float32) if not x < np.float32(-87) else np.float32(0)


@part
def _below32(x, e):
    """The normal distribution function at x, given e = exp(-x*x/2); float32, error below 2e-7.

    Abramowitz and Stegun 7.1.26 for erfc: e times a polynomial in t, so no digits cancel in the
    tail.
    """
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911 * 0.7071067811865476) * abs(x))
    s = np.float32(-0.5 * 1.453152027) + t * np.float32(0.5 * 1.061405429)
    s = np.float32(-0.5 * 0.284496736) + t * (np.float32(0.5 * 1.421413741) + t * s)
    tail = e * t * (np.float32(0.5 * 0.254829592) + t * s)
    return np.float32(1) - tail if x > 0 else tail


@part
def activate(act, slope, kind, degree):
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
    elif act.itemsize == 4:
        for k in range(act.size):
            z = act[k]
            e = _exp32(np.float32(-0.5) * z * z)
            below = _below32(z, e)
            slope[k] = below + z * np.float32(1 / math.sqrt(2 * math.pi)) * e
            act[k] = z * below
    else:
        half, root = real(0.5), real(math.sqrt(0.5))
        density = real(1 / math.sqrt(2 * math.pi))
        for k in range(act.size):
            z = act[k]
            below = half + half * math.erf(z * root)
            slope[k] = below + z * density * math.exp(-half * z * z)
            act[k] = z * below
