"""Ctrl-C that ends what it should end, wherever it arrives."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class _Remembered:
    """A handler of SIGINT that raises as Python's own does, and remembers that the signal came."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt

    def stop_if_asked(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C came."""
        if self.came:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C end the block with KeyboardInterrupt, whatever the code that it meets makes of it.

    The signal is raised in whichever line runs. A callback from C, a `__del__` or a plugin may swallow it there, and a
    compiler may turn it into an error of its own, by which the step would count as failed.

    Yields:
        A function that raises KeyboardInterrupt where Ctrl-C came; long work calls it between its parts.

    Raises:
        KeyboardInterrupt: at the end of the block, where Ctrl-C came inside it.
    """
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, _Remembered):
        yield before.stop_if_asked
        return
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    remembered = _Remembered()
    signal.signal(signal.SIGINT, remembered)
    try:
        yield remembered.stop_if_asked
    except Exception:
        remembered.stop_if_asked()
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    remembered.stop_if_asked()
