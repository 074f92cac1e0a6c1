"""Peak memory of this process and of a device, and milliseconds by a device's own clock."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path
from typing import Any

import torch


def reset(device: str) -> None:
    """Start anew; where the system cannot, the peak is that of the process so far."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def read(device: str) -> dict[str, int]:
    """Return `peak_host_bytes` and `peak_device_bytes` since `reset`."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        host = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    held = torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else 0
    return {"peak_host_bytes": host, "peak_device_bytes": held}


def mark(device: str) -> Any:
    """Return where a CUDA device stands now, None on another."""
    if not device.startswith("cuda"):
        return None
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event, device


def milliseconds(since: Any) -> float | None:
    """Return the milliseconds of the device since a mark, when all its work up to now is done; None without one."""
    if since is None:
        return None
    start, device = since
    end = torch.cuda.Event(enable_timing=True)
    end.record(torch.cuda.current_stream(device))
    end.synchronize()
    return float(start.elapsed_time(end))
