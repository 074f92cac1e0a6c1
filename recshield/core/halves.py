"""Work done in several parts, each on a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


def together(n: int, work: Callable[[int], object], give_up: Callable[[], None] = lambda: None) -> None:
    """Call `work(0)` here and `work(1)` to `work(n - 1)` in threads beside it, and return when all are done.

    Args:
        n: at least 1.
        work: compiled code that lets the other parts run (`nogil`), where they meet.
        give_up: is called where one part ends with an error, Ctrl-C among them, for the others not to wait for it.

    Raises:
        BaseException: that of `work(0)`, else that of the first part to end with one.
    """
    shared = _Shared()
    beside = [_Part(number, work, give_up, shared) for number in range(1, n)]
    try:
        for one in beside:
            one.start()
        work(0)
        for one in beside:
            one.is_done.wait()
    except BaseException:
        give_up()
        # Nobody knows whether a thread whose start was interrupted will ever run: from here on none begins.
        _outlast(shared.shut())
        raise
    if shared.raised:
        raise shared.raised[0]


class _Shared:
    """What parts share: the errors that ended them, and whether one that has not begun yet still may."""

    def __init__(self) -> None:
        self.raised: list[BaseException] = []
        self._lock, self._is_shut = threading.Lock(), False
        self._begun: list[_Part] = []

    def begin(self, part: _Part) -> bool:
        """Count a part as begun, unless it is too late; return whether it is not."""
        with self._lock:
            if not self._is_shut:
                self._begun.append(part)
            return not self._is_shut

    def shut(self) -> list[_Part]:
        """Let no other part begin, and return those that have."""
        with self._lock:
            self._is_shut = True
            return self._begun


class _Part(threading.Thread):
    """One part on a thread."""

    def __init__(
        self, number: int, work: Callable[[int], object], give_up: Callable[[], None], shared: _Shared
    ) -> None:
        super().__init__(name="recshield part", daemon=True)
        self._number, self._work, self._give_up, self._shared = number, work, give_up, shared
        self.is_done = threading.Event()

    def run(self) -> None:
        """Do the part."""
        try:
            if self._shared.begin(self):
                self._work(self._number)
        except BaseException as error:  # raised again by who waits
            self._shared.raised.append(error)
            self._give_up()
        finally:
            self.is_done.set()


def _outlast(parts: list[_Part]) -> None:
    """Wait for parts to end, Ctrl-C or not: a thread that outlives its caller meets an interpreter that is gone.

    Not by `join`: in Python 3.11 it takes a thread for ended when Ctrl-C interrupts it.
    """
    for one in parts:
        while not one.is_done.is_set():
            with contextlib.suppress(BaseException):  # one of them is on its way already
                one.is_done.wait()


def both(work: Callable[[int], object], give_up: Callable[[], None] = lambda: None) -> None:
    """Do as `together` with two halves."""
    together(2, work, give_up)
