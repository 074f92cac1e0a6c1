"""Hears where a device would make the host wait for it, on the CPU."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils._python_dispatch import TorchDispatchMode

#: Operations whose result the host must see before it goes on.
READ_BACK = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique", "is_nonzero", "equal")


class _Listening(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name.startswith(READ_BACK):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def waits_of(work: Callable[[], object]) -> list[str]:
    """Return the operations within `work` that would wait for a device."""
    with _Listening() as heard:
        work()
    return heard.found
