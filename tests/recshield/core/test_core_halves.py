"""Work in several threads ends together, whatever ends it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from recshield.core import halves
from recshield.core.halves import both, together
from recshield.core.threads import threads


def alone() -> bool:
    """Return whether no part is left; a thread whose work is done takes a moment to go."""
    for _ in range(100):
        if not [one for one in threading.enumerate() if one.name == "recshield part"]:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_part_is_done_once(n: int) -> None:
    done: list[int] = []
    together(n, done.append)
    assert sorted(done) == list(range(n))


@pytest.mark.parametrize("broken", [0, 1])
def test_an_error_of_either_half_ends_both_and_is_raised(broken: int) -> None:
    is_over = threading.Event()

    def work(half: int) -> None:
        if half == broken:
            raise ValueError("broken")
        assert is_over.wait(20), "was never told to give up"

    with pytest.raises(ValueError, match="broken"):
        both(work, is_over.set)
    assert alone()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt; a test run in the background is started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("where", ["at work", "while waiting"])
def test_ctrl_c_waits_for_the_threads_to_end(where: str) -> None:
    is_over, ended = threading.Event(), threading.Event()

    def work(part: int) -> None:
        if part == 1:
            time.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            assert is_over.wait(20), "was never told to give up"
            time.sleep(0.2)
            ended.set()
        elif where == "at work":
            while not is_over.is_set():
                time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        together(2, work, is_over.set)
    assert ended.is_set()
    assert alone()


def test_a_part_whose_start_was_interrupted_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    done, may_begin = list[int](), threading.Event()

    class Late(threading.Thread):
        def __init__(self, part: threading.Thread) -> None:
            super().__init__(name="recshield part", daemon=True)
            self._part = part

        def run(self) -> None:
            assert may_begin.wait(20)
            self._part.run()

    def start(part: threading.Thread) -> None:
        Late(part).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(halves._Part, "start", start)
    with pytest.raises(KeyboardInterrupt):
        both(done.append)
    may_begin.set()
    assert alone()
    assert done == []


def test_operations_have_one_thread_inside_and_as_many_as_before_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with threads(1):
            assert torch.get_num_threads() == 1
            raise ValueError("broken")

    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="broken"):
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
