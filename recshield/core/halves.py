"""Work done as two halves, one beside the other on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


def both(work: Callable[[int], object], give_up: Callable[[], None] = lambda: None) -> None:
    """Call `work(0)` here and `work(1)` in a thread beside it, and return when both are done.

    Args:
        work: compiled code that lets the other half run (`nogil`), where the two meet.
        give_up: is called where one half ends with an error, Ctrl-C among them, for the other not to wait for it.

    Raises:
        BaseException: that of either half.
    """
    raised: list[BaseException] = []

    def second() -> None:
        try:
            work(1)
        except BaseException as error:  # raised again below
            raised.append(error)
            give_up()

    beside = threading.Thread(target=second, name="recshield half", daemon=True)
    try:
        beside.start()
        work(0)
    except BaseException:
        give_up()
        raise
    finally:
        if beside.is_alive():
            beside.join()
    if raised:
        raise raised[0]
