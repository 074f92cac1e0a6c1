"""Repeated timing of one piece of work, and what a device can do at best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from recshield.matrix import peaks

Work = Callable[[], object]
#: Bytes that the copy for the roofline reads, and the side of the square matrices of its product.
COPIED, SIDE = 2**28, 2048
#: How often the copy and the product are timed; the best counts.
_TRIES = 5


@dataclass(frozen=True)
class Timing:
    """Seconds of every repeat, and the peak memory over them.

    Attributes:
        seconds: one per repeat, in the order in which they ran.
        peak_host_bytes: of the whole process, what lies there already included.
        peak_device_bytes: of tensors on the CUDA device; 0 on CPU.
    """

    seconds: tuple[float, ...]
    peak_host_bytes: int
    peak_device_bytes: int


def once(work: Work, device: str) -> float:
    """Return the seconds of one call: by CUDA events where the device is one, else by the wall clock."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    start, mark = time.perf_counter(), peaks.mark(device)
    work()
    told = peaks.milliseconds(mark)
    return time.perf_counter() - start if told is None else told / 1e3


def timed(ready: Callable[[], Work], repeats: int, device: str) -> Timing:
    """Call once to warm up, then `repeats` times; `ready` returns what is called, new each time, outside the timing."""
    ready()()
    peaks.reset(device)
    seconds = tuple(once(ready(), device) for _ in range(repeats))
    return Timing(seconds, **peaks.read(device))


@dataclass(frozen=True)
class Roofline:
    """What the device does at best, in float32 and with the threads of the run.

    Attributes:
        bytes_per_s: read and written by a copy.
        flops_per_s: multiplications and additions of a matrix product.
    """

    bytes_per_s: float
    flops_per_s: float

    def seconds(self, moved: float, flops: float) -> float:
        """Return the seconds for so many bytes moved and operations done: the larger of the two."""
        return max(moved / self.bytes_per_s, flops / self.flops_per_s)


def roofline(device: str) -> Roofline:
    """Measure a copy and a matrix product."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    square = torch.ones((SIDE, SIDE), device=device)
    copy = timed(lambda: lambda: target.copy_(source), _TRIES, device)
    product = timed(lambda: lambda: square @ square, _TRIES, device)
    return Roofline(2 * COPIED / min(copy.seconds), 2 * SIDE**3 / min(product.seconds))
