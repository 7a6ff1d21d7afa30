"""Numbers too small for a full mantissa, which processors handle a hundred times slower: read and set the mode.

Weights that decay to nothing, squares of vanishing gradients in Adam's second moment, and exponentials of very wrong
logits all pass through 1e-38 .. 1e-45, where float32 has *subnormal* numbers. Measured on a network that forgets
(p = 59, width 300, weight decay 20; arXiv:2310.13061, App. E): its first 600 steps took 1 s, steps 900 to 1200 over a
minute. The compiled loop therefore has its own thread take such numbers for zero while it trains, and puts the thread's
mode back after. Zero in place of less than 1.2e-38 changes no digit of a number above 1e-30.
"""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ARCHITECTURE = llvm.get_process_triple().split("-")[0]
X86, ARM = ARCHITECTURE in ("x86_64", "i386", "i686"), ARCHITECTURE in ("aarch64", "arm64")
#: Bits of the control word that flush: FTZ and DAZ of MXCSR, FZ of FPCR; elsewhere none, and nothing is changed.
FLUSH = 0x8040 if X86 else 1 << 24 if ARM else 0


@intrinsic
def control_word(typingctx):
    """The calling thread's floating-point control word, int64; 0 where it is not known how to read it."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        if X86:
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            kind = ir.FunctionType(ir.VoidType(), [slot.type])
            store = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.stmxcsr")
            builder.call(store, [slot])
            return builder.zext(builder.load(slot), word)
        if ARM:
            kind = ir.FunctionType(word, [])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.get.fpcr"), [])
        return word(0)

    return types.int64(), codegen


@intrinsic
def set_control_word(typingctx, value):
    """Set the calling thread's floating-point control word to what ``control_word`` returned, or with FLUSH added."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        if X86:
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), slot)
            kind = ir.FunctionType(ir.VoidType(), [slot.type])
            load = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.ldmxcsr")
            builder.call(load, [slot])
        elif ARM:
            kind = ir.FunctionType(ir.VoidType(), [word])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.set.fpcr"), [args[0]])
        return context.get_dummy_value()

    return types.void(types.int64), codegen
