"""Ctrl-C ends a block of work, whatever the code that it meets makes of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from recshield.core.interrupts import interruptible


@pytest.fixture(autouse=True)
def ordinary_signal() -> Iterator[None]:
    """Give SIGINT Python's own handler: a test run in the background is started with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "the handler is put back"
    signal.signal(signal.SIGINT, before)


def swallowed() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return


def turned_into_another_error() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("no compiled object yet") from None


def test_work_without_ctrl_c_is_left_alone() -> None:
    with interruptible() as stop_if_asked:
        stop_if_asked()
    with pytest.raises(RuntimeError, match="of its own"), interruptible():
        raise RuntimeError("of its own")


def test_ctrl_c_is_raised_where_it_arrives() -> None:
    parts = []

    def work() -> None:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
            parts.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not parts


def test_what_was_swallowed_ends_the_work_at_its_next_part_or_at_its_end() -> None:
    parts = []

    def work() -> None:
        with interruptible() as stop_if_asked:
            swallowed()
            parts.append("one")
            stop_if_asked()
            parts.append("two")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert parts == ["one"]
    with pytest.raises(KeyboardInterrupt), interruptible():
        swallowed()


def test_what_became_another_error_is_ctrl_c_again() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        turned_into_another_error()


def test_a_block_inside_a_block_shares_what_came() -> None:
    parts = []

    def work() -> None:
        with interruptible() as outer:
            with interruptible():
                swallowed()
            parts.append("inner left")
            outer()
            parts.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert parts == ["inner left"]


def test_another_handler_and_another_thread_are_left_alone() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    with interruptible() as stop_if_asked:
        signal.raise_signal(signal.SIGINT)
        stop_if_asked()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert heard == [signal.SIGINT]

    def elsewhere() -> None:
        with interruptible() as stop_if_asked:
            stop_if_asked()
            heard.append(0)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert heard == [signal.SIGINT, 0]
