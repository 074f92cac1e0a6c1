"""The step of iterative attacks with one l2 norm a row, fused: each row is read once and written once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel

Matrix = NDArray[np.float32]
#: Of infinity as a float32.
_INFINITE = np.int32(0x7F800000)


@kernel(reorder=True)
def ascend_rows(delta: Matrix, direction: Matrix, size: np.float32, eps: np.float32, out: Matrix) -> None:
    """Write delta moved by `size` along each row's direction and shrunk to a norm of at most `eps`.

    Values are divided by the largest of their row before they are squared, as gradients of means over millions of rows
    underflow. A row whose direction is zero is not moved.

    Args:
        delta: (rows, width).
        direction: (rows, width).
        size: l2 length of the step.
        eps: largest l2 norm.
        out: (rows, width).
    """
    width = delta.shape[1]
    step = np.empty(width, np.float32)
    bits, moved_bits = direction.view(np.int32), out.view(np.int32)
    for row in range(len(delta)):
        before, along, after = delta[row], direction[row], out[row]
        # The largest by its bits, as whole numbers are compared several at a time; what is not a number has larger bits
        # than all others, and is passed over.
        most = np.int32(0)
        for k in range(width):
            most = max(most, np.int32(bits[row, k] & np.int32(0x7FFFFFFF)))
        largest = np.int32(most).view(np.float32)
        if most > _INFINITE:
            largest = np.float32(0.0)
            for k in range(width):
                largest = max(largest, abs(along[k]))
        if not largest > 0:
            largest = np.float32(1.0)
        squares = np.float32(0.0)
        for k in range(width):
            step[k] = along[k] / largest
            squares += step[k] * step[k]
        length = np.float32(math.sqrt(squares)) if squares > 0 else np.float32(1.0)
        for k in range(width):
            after[k] = before[k] + size * (step[k] / length)
        most = np.int32(0)
        for k in range(width):
            most = max(most, np.int32(moved_bits[row, k] & np.int32(0x7FFFFFFF)))
        largest = np.int32(most).view(np.float32)
        if most > _INFINITE:
            largest = np.float32(0.0)
            for k in range(width):
                largest = max(largest, abs(after[k]))
        if not largest > 0:
            continue
        squares = np.float32(0.0)
        for k in range(width):
            share = after[k] / largest
            squares += share * share
        length = np.float32(math.sqrt(squares)) * largest
        if length > eps:
            factor = eps / length
            for k in range(width):
                after[k] *= factor
