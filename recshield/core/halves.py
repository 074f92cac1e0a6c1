"""Work done in several parts, each on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def together(n: int, work: Callable[[int], object], give_up: Callable[[], None] = lambda: None) -> None:
    """Call `work(0)` here and `work(1)` to `work(n - 1)` in threads beside it, and return when all are done.

    Args:
        n: at least 1.
        work: compiled code that lets the other parts run (`nogil`), where they meet.
        give_up: is called where one part ends with an error, Ctrl-C among them, for the others not to wait for it.

    Raises:
        BaseException: that of a part; of several the first to end.
    """
    raised: list[BaseException] = []

    def part(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # raised again below
            raised.append(error)
            give_up()

    beside = [
        threading.Thread(target=part, args=(number,), name="recshield part", daemon=True) for number in range(1, n)
    ]
    try:
        for thread in beside:
            thread.start()
        work(0)
    except BaseException:
        give_up()
        raise
    finally:
        for thread in beside:
            if thread.is_alive():
                thread.join()
    if raised:
        raise raised[0]


def both(work: Callable[[int], object], give_up: Callable[[], None] = lambda: None) -> None:
    """Do as `together` with two halves."""
    together(2, work, give_up)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep PyTorch's operations on the thread that asks for them, here and in threads that are started inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
