"""What compiled loops need beside Numba: two threads that meet, and memory by the lines of the cache."""

from __future__ import annotations

import math
import os
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from recshield.core.compiled import REORDERED

#: Looks at the counter before the processor is offered to other threads.
_SPINS = 2000
#: Bytes that processors may fetch together: two lines of the cache, of 64 bytes each.
_PAIR = 128
_give_way = types.ExternalFunction("sched_yield" if os.name == "posix" else "SwitchToThread", types.int32())


@intrinsic
def _arrive(typing: Any, counter: Any) -> Any:  # noqa: ARG001
    """Add one to the counter, an int64 array of one element, so that what was written before is seen."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", held.data, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return types.int64(counter), generate


@intrinsic
def _look(typing: Any, counter: Any) -> Any:  # noqa: ARG001
    """Return the counter, and see all that was written before the others added to it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(held.data, "acquire", 8)

    return types.int64(counter), generate


@intrinsic
def prefetch(typing: Any, array: Any, place: Any) -> Any:  # noqa: ARG001
    """Bring the cache line of an element, named by its place in memory order, near the processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        number = ir.IntType(32)
        address = builder.bitcast(builder.gep(held.data, [arguments[1]]), ir.PointerType(ir.IntType(8)))
        wanted = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, wanted, "llvm.prefetch.p0i8")
        # For reading, to keep in all caches, data: as fast as for writing, where no other thread has the line.
        builder.call(call, [address, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.none(array, place), generate


@intrinsic
def wide(typing: Any) -> Any:  # noqa: ARG001
    """Let the loops of a kernel use the widest registers of the processor.

    LLVM takes half of them on Intel's, for the sake of code beside the loops.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        # llvmlite's own `add` knows no attribute with a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


@numba.njit(**REORDERED)
def meet(counter: Any, meetings: int) -> int:
    """Wait until both threads have come to this meeting, and return its number; `meetings` came before it."""
    _arrive(counter)
    wanted = 2 * (meetings + 1)
    spins = 0
    while _look(counter) < wanted:
        spins += 1
        if spins > _SPINS:
            _give_way()
    return meetings + 1


def aligned(*shape: int) -> NDArray[np.float32]:
    """Return float32 room that begins with a line of the cache, its values unknown.

    NumPy's own mostly begins in the middle of one: every wide read then touches two lines, and where two threads write
    one part each, they share the line between.
    """
    size = 4 * math.prod(shape)
    held = np.empty(size + _PAIR, np.uint8)
    first = -held.ctypes.data % _PAIR
    return held[first : first + size].view(np.float32).reshape(shape)


def release(counter: NDArray[np.int64]) -> None:
    """Let the other half pass all its meetings: this one comes to none of them any more."""
    counter[0] = 2**62
