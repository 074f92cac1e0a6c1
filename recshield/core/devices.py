"""Kernels of our own on devices: used where a small run of them equals the CPU, else left out with a warning."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import torch

_lock = threading.Lock()
_verdicts: dict[tuple[str, str], bool] = {}


def trusted(
    kernels: str, device: torch.device, difference: Callable[[torch.device], float], tolerance: float = 0.0
) -> bool:
    """Return whether kernels may be used on a device; they are tried once in a process, and where they fail it is said.

    Args:
        kernels: what they do, for the warning.
        device: not the CPU; kernels are for CUDA devices alone.
        difference: runs something small with them on the device, and returns how far that is from the CPU's result.
        tolerance: largest difference that is allowed.

    Raises:
        OutOfMemoryError: the device is full.
    """
    if device.type != "cuda":
        return False
    key = (kernels, str(device))
    with _lock:
        if key not in _verdicts:
            reason = _fault(device, difference, tolerance)
            _verdicts[key] = not reason
            if reason:
                warnings.warn(
                    f"the kernels of {kernels} are not used on '{device}', which takes longer: {reason}",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return _verdicts[key]


def _fault(device: torch.device, difference: Callable[[torch.device], float], tolerance: float) -> str:
    """Return why kernels cannot be used, or nothing."""
    try:
        found = difference(device)
    except torch.cuda.OutOfMemoryError:  # says nothing of the kernels, and would meet what comes next
        raise
    except Exception as error:  # a compiler of any version, on any device: whatever it is, there is another way
        said = str(error).strip().splitlines()
        return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    # What is not a number is not within the tolerance.
    return "" if found <= tolerance else f"they differ by {found:.3g} from the CPU, where {tolerance:g} is allowed"
