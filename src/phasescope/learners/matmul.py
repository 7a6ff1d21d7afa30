"""Small dense products, fast on one core, with bits that do not depend on the row count.

Why not BLAS: the products of a small network are tall and thin (thousands of rows, 11..500
columns).  A library call packs its operands on every call, starts threads as it likes, and the
OpenBLAS within SciPy's wheels takes some newer CPUs for older ones.  Here one *register tile*
(a few rows times a few vectors of C held in registers for the whole inner sum) is written
directly as LLVM vector code, so that the same source gives AVX-512, AVX2 or NEON code.

Every element of C is one chain  acc = fma(a, b, acc)  over l = 0 .. t-1, started at zero, and
then either stored or added to C.  The tile in which a row happens to fall changes nothing in that
chain, so the bits of row i of C are a function of row i of A, of B, and (with ``accumulate``)
of row i of C.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


def _vector_bits() -> tuple[int, int]:
    """(bits of a vector register, number of vector registers) of the machine compiled for."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512vl"):
        return 512, 32
    if features.get("avx"):
        return 256, 16
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        return 128, 32
    return 128, 16


VECTOR_BITS, REGISTERS = _vector_bits()
#: Columns come in whole vectors: n must be a multiple of this (16 with AVX-512, for both dtypes).
PADDING: int = VECTOR_BITS // 32
#: Vectors across a tile (at most) and its rows (at most): 8 x 3 = 24 accumulators of 32 registers,
#: or 4 x 3 = 12 of 16; the rest holds one row of B and one broadcast element of A.
WIDTH: int = 3
#: Inner sums longer than this are made in pieces, so that a panel of B stays in the first cache.
DEPTH: int = 256
#: Vectors of a row treated at a time: all loads come before the first store.
UNROLL: int = 4
HEIGHT: int = 8 if REGISTERS == 32 else 4
#: Rows of the extra tile of one vector: 8 x 1 loads
#: nine times for eight FMA and so waits for its loads.
TALL: int = 2 * HEIGHT


def padded(n: int) -> int:
    """The least multiple of PADDING that is >= n (a plain Python helper)."""
    return -(-n // PADDING) * PADDING


def lanes(dtype: types.Type) -> int:
    """Elements of `dtype` in one vector register."""
    return VECTOR_BITS // dtype.bitwidth


@intrinsic
def address(typingctx, array):
    """Address of an array's first element as an integer, taken at run time (so it caches)."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.intp(array), codegen


def vector_fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a * b + c, fused where the machine can (the backend decides once for a target)."""
    kind = {"float": "f32", "double": "f64"}[str(c.type.element)]
    fn = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(c.type, [c.type] * 3), f"llvm.fmuladd.v{c.type.count}{kind}"
    )
    return builder.call(fn, [a, b, c])


def splat(builder: ir.IRBuilder, value: ir.Value, n: int) -> ir.Value:
    """The vector (value, .., value) of n elements."""
    undefined = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), n), [0] * n))


def _tile_function(module: ir.Module, scalar: ir.Type, rows: int, vecs: int, n: int) -> ir.Function:
    """The LLVM function of one register tile: C[rows, vecs*n] (+)= A[rows, t] @ B[t, vecs*n].

    Arguments: pointers, and strides in elements
    (c, ldc, a, row stride, column stride, b, ldb, t, add).  It is `internal`, so that the linker
    keeps one copy for each compiled numba function and nothing has to be found by name later.
    """
    i64, ptr = ir.IntType(64), ir.PointerType()
    vector = ir.VectorType(scalar, n)
    name = f"phasescope_tile_{scalar}_{rows}x{vecs}"
    if name in module.globals:
        return module.globals[name]
    fn = ir.Function(module, ir.FunctionType(ir.VoidType(), [ptr, i64, ptr, i64, i64, ptr, i64, i64, i64]), name)
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    pc, ldc, pa, ra, ca, pb, ldb, t, add = fn.args
    entry, loop, done, plus, end = (fn.append_basic_block(k) for k in ["entry", "loop", "done", "plus", "end"])
    bld = ir.IRBuilder(entry)
    size = scalar.intrinsic_name
    width = {"f32": 4, "f64": 8}[size]

    def at(base, offset):
        return bld.gep(base, [offset], source_etype=scalar)

    row_a = [at(pa, bld.mul(ra, i64(i))) for i in range(rows)]
    zero = ir.Constant(vector, [0.0] * n)
    bld.cbranch(bld.icmp_signed(">", t, i64(0)), loop, end)

    bld.position_at_end(loop)
    at_l, ia, ib = (bld.phi(i64) for _ in range(3))
    acc = [[bld.phi(vector) for _ in range(vecs)] for _ in range(rows)]
    right = [bld.load(at(pb, bld.add(ib, i64(j * n))), typ=vector, align=width) for j in range(vecs)]
    new = []
    for i in range(rows):
        left = splat(bld, bld.load(at(row_a[i], ia), typ=scalar), n)
        new.append([vector_fma(bld, left, right[j], acc[i][j]) for j in range(vecs)])
    l1, ia1, ib1 = bld.add(at_l, i64(1)), bld.add(ia, ca), bld.add(ib, ldb)
    for phi, later in ((at_l, l1), (ia, ia1), (ib, ib1)):
        phi.add_incoming(i64(0), entry)
        phi.add_incoming(later, loop)
    for i in range(rows):
        for j in range(vecs):
            acc[i][j].add_incoming(zero, entry)
            acc[i][j].add_incoming(new[i][j], loop)
    bld.cbranch(bld.icmp_signed("<", l1, t), loop, done)

    bld.position_at_end(done)
    target = [[at(pc, bld.add(bld.mul(ldc, i64(i)), i64(j * n))) for j in range(vecs)] for i in range(rows)]
    first = bld.icmp_signed("==", add, i64(0))
    store_block = fn.append_basic_block("store")
    bld.cbranch(first, store_block, plus)
    bld.position_at_end(store_block)
    for i in range(rows):
        for j in range(vecs):
            bld.store(new[i][j], target[i][j], align=width)
    bld.branch(end)
    bld.position_at_end(plus)
    for i in range(rows):
        for j in range(vecs):
            old = bld.load(target[i][j], typ=vector, align=width)
            bld.store(bld.fadd(old, new[i][j]), target[i][j], align=width)
    bld.branch(end)
    bld.position_at_end(end)
    bld.ret_void()
    return fn


@intrinsic
def _tile(typingctx, zero, rows, vecs, c, c0, ldc, a, a0, ra, ca, b, b0, ldb, t, add):
    """Run the tile of `rows` x `vecs` vectors at c + c0, a + a0, b + b0 (offsets in elements)."""
    word = types.int64
    signature = types.void(zero, *[word] * 14)

    def codegen(context, builder, signature, args):
        scalar = context.get_value_type(signature.args[0])
        n, i64, ptr = lanes(signature.args[0]), ir.IntType(64), ir.PointerType()
        _, rows, vecs, c, c0, ldc, a, a0, ra, ca, b, b0, ldb, t, add = args
        start = [
            builder.gep(builder.inttoptr(base, ptr), [offset], source_etype=scalar)
            for base, offset in ((c, c0), (a, a0), (b, b0))
        ]
        arguments = [start[0], ldc, start[1], ra, ca, start[2], ldb, t, add]
        after = builder.append_basic_block("tiled")
        switch = builder.switch(builder.add(builder.mul(vecs, i64(256)), rows), after)
        sizes = [(r, v) for v in range(1, WIDTH + 1) for r in range(1, HEIGHT + 1)]
        for r, v in [*sizes, (TALL, 1)]:
            block = builder.append_basic_block(f"tile{r}x{v}")
            switch.add_case(i64(v * 256 + r), block)
            builder.position_at_end(block)
            builder.call(_tile_function(builder.module, scalar, r, v, n), arguments)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, codegen


def row_operation(pointers: int, scalars: int, body):
    """An intrinsic that runs `body` along rows, one vector at a time, without aliasing checks.

    The intrinsic is called as f(zero, count, p1, .., s1, ..): `pointers` addresses of rows (as
    integers) and `scalars` numbers of the dtype of `zero`, count a multiple of PADDING.
    body(builder, rows, numbers) -> {index of pointer: vector to store there}.  LLVM would
    vectorise the plain loop as well, but tests at run time whether the rows overlap and runs a
    scalar remainder, which for rows of 64 elements costs more than the work itself.
    """

    @intrinsic
    def operation(typingctx, zero, count, addresses, numbers):
        signature = types.void(zero, types.int64, types.UniTuple(types.int64, pointers), types.UniTuple(zero, scalars))

        def codegen(context, builder, signature, args):
            scalar, n = context.get_value_type(signature.args[0]), lanes(signature.args[0])
            vector, i64 = ir.VectorType(scalar, n), ir.IntType(64)
            width = 4 if n * 32 == VECTOR_BITS else 8
            base = [builder.inttoptr(v, ir.PointerType()) for v in cgutils.unpack_tuple(builder, args[2], pointers)]
            numbers = [splat(builder, v, n) for v in cgutils.unpack_tuple(builder, args[3], scalars)]
            whole = builder.and_(args[1], i64(-n * UNROLL))
            for first, last, vecs in ((i64(0), whole, UNROLL), (whole, args[1], 1)):
                with cgutils.for_range_slice(builder, first, last, i64(n * vecs), inc=True) as (k, _):
                    at = [
                        [builder.gep(p, [builder.add(k, i64(j * n))], source_etype=scalar) for p in base]
                        for j in range(vecs)
                    ]
                    new = [body(builder, _Rows(builder, places, vector, width), numbers) for places in at]
                    for places, values in zip(at, new, strict=True):
                        for index, value in values.items():
                            builder.store(value, places[index], align=width)
            return context.get_dummy_value()

        return signature, codegen

    return operation


class _Rows:
    """rows[i] loads the current vector of row i (only rows that are asked for are read)."""

    def __init__(self, builder, at, vector, width):
        self.builder, self.at, self.vector, self.width = builder, at, vector, width
        self.zero = ir.Constant(vector, [0.0] * vector.count)

    def __getitem__(self, index):
        return self.builder.load(self.at[index], typ=self.vector, align=self.width)


@intrinsic
def _lanes(typingctx, zero):
    """Elements of the dtype of `zero` in one vector register, a compile-time constant."""
    return types.int64(zero), lambda context, builder, signature, args: ir.IntType(64)(lanes(signature.args[0]))


@njit(nogil=True, error_model="numpy")
def multiply_at(zero, c, ldc, a, ra, ca, b, ldb, m, n, t, add):
    """C (m,n) (+)= A (m,t) @ B (t,n) given as addresses and strides counted in elements.

    Element (i,l) of A is at a + i*ra + l*ca; rows of B and C are contiguous and start ldb and ldc
    apart.  `zero` is 0 of the dtype (it chooses the code), n a multiple of PADDING, t >= 1.
    """
    size = _lanes(zero)
    vecs = n // size
    panels = (vecs + WIDTH - 1) // WIDTH
    done = 0
    while done < t:
        depth = min(DEPTH, t - done)
        j = 0
        for panel in range(panels):
            # Sizes are levelled (11 rows: 6 + 5): a narrow tile cannot hide the latency of FMA.
            width = vecs // panels + (1 if panel < vecs % panels else 0)
            i = 0
            while i < m:
                left = m - i
                tall = width == 1 and left >= TALL
                height = TALL if tall else left // ((left + HEIGHT - 1) // HEIGHT)
                _tile(
                    zero,
                    height,
                    width,
                    c,
                    i * ldc + j,
                    ldc,
                    a,
                    i * ra + done * ca,
                    ra,
                    ca,
                    b,
                    done * ldb + j,
                    ldb,
                    depth,
                    add or done,
                )
                i += height
            j += width * size
        done += depth


@njit(nogil=True, error_model="numpy")
def multiply(C: np.ndarray, A: np.ndarray, B: np.ndarray, accumulate: bool) -> None:
    """C (m,n) = A (m,t) @ B (t,n), or += with `accumulate`; one dtype, float32 or float64.

    A may have any strides (a transposed view, say).  Rows of B and C are contiguous, and n is a
    multiple of PADDING (zero columns of B give zero columns of C).
    """
    m, n = C.shape
    t = A.shape[1]
    if A.shape[0] != m or B.shape[0] != t or B.shape[1] != n or n % PADDING:
        raise ValueError("multiply: shapes do not fit, or n is not a multiple of PADDING")
    if t == 0 or m == 0 or n == 0:
        if not accumulate:
            C[:] = 0
        return
    size = C.itemsize
    if C.strides[1] != size or B.strides[1] != size:
        raise ValueError("multiply: rows of B and C must be contiguous")
    multiply_at(
        C.dtype.type(0),
        address(C),
        C.strides[0] // size,
        address(A),
        A.strides[0] // size,
        A.strides[1] // size,
        address(B),
        B.strides[0] // size,
        m,
        n,
        t,
        1 if accumulate else 0,
    )
