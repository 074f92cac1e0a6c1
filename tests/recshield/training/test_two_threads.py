"""Two threads train what one trains, to the last bit, and what compiled loops use beside Numba does what it says."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numba
import numpy as np
import pytest
import torch

from recshield.core.compiled import REORDERED, kernel
from recshield.core.halves import both
from recshield.core.lowlevel import aligned, meet, prefetch, release, wide
from recshield.data.interactions import Interactions
from recshield.training import epoch_triplets, kernels
from recshield.training.kernels import FactorTrainer
from recshield.training.passes import inverse_root

MODES = {
    "bpr": {},
    "l2": {"l2": 0.01},
    "apr": {"eps_user": 0.5, "eps_item": 0.5, "weight": 1.0},
    "apr, users alone": {"eps_user": 0.5, "weight": 1.0, "l2": 0.01},
    "adversarial only": {"eps_user": 0.5, "eps_item": 0.5, "weight": 1.0, "clean": 0.0},
    "random": {"eps_user": 0.5, "eps_item": 0.5, "weight": 1.0, "is_random": True},
    "dropout": {"drop": 0.3},
}


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def rows(n_users: int = 40, n_items: int = 30, each: int = 9) -> Interactions:
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.choice(n_items, each, replace=False) for _ in range(n_users)]).astype(np.int32)
    return Interactions(np.arange(0, n_users * each + 1, each), items, n_items)


def trained(width: int, settings: dict[str, float], threads: int, batch: int = 64) -> tuple[bytes, bytes, float]:
    torch.set_num_threads(threads)
    rng = np.random.default_rng(1)
    user, item = (rng.normal(0, 0.3, (n, width)).astype(np.float32) for n in (40, 30))
    trainer = FactorTrainer(user, item, batch, 0.05, 0.1, **settings)  # type: ignore[arg-type]
    losses = [trainer.epoch(epoch_triplets(rows(), 0, epoch), seed=epoch) for epoch in range(3)]
    trainer.write()
    return user.tobytes(), item.tobytes(), losses[-1]


@pytest.mark.parametrize("width", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("mode", MODES)
def test_two_threads_train_what_one_trains_to_the_last_bit(mode: str, width: int) -> None:
    one = trained(width, MODES[mode], 1)
    assert np.isfinite(np.frombuffer(one[0], np.float32)).all()
    for _ in range(3):
        assert trained(width, MODES[mode], 2) == one
    assert trained(width, MODES[mode], 8) == one


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_batches_of_any_size_are_the_same_on_two_threads(batch: int) -> None:
    assert trained(5, MODES["apr"], 2, batch) == trained(5, MODES["apr"], 1, batch)


@pytest.mark.parametrize("threads", [1, 2])
def test_slots_that_run_out_of_numbers_begin_again(threads: int) -> None:
    """An epoch of three batches and more whose slots have numbers for two, or for one only."""
    torch.set_num_threads(threads)
    found = []
    for largest in (2**31 - 1, 7 * 64, 1):
        user, item = (np.random.default_rng(n).normal(0, 0.3, (n, 5)).astype(np.float32) for n in (40, 30))
        trainer = FactorTrainer(user, item, 64, 0.05, 0.1, eps_user=0.5, eps_item=0.5, weight=1.0)
        trainer._largest = largest
        trainer.epoch(epoch_triplets(rows(), 0, 0))
        trainer.write()
        found.append((user.tobytes(), item.tobytes()))
        numbers = max(trainer._user_slots.max(), trainer._item_slots.max())
        assert numbers < max(largest, 3 * 64), "no larger number was given out"
        assert (numbers > 7 * 64) == (largest > 7 * 64), "and there would have been larger ones"
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 1000, 2, 32)])
def test_aligned_room_begins_with_a_line_of_the_cache(shape: tuple[int, ...]) -> None:
    for _ in range(5):
        held = aligned(*shape)
        assert held.ctypes.data % 64 == 0
        assert (held.shape, held.dtype, held.flags.c_contiguous) == (shape, np.float32, True)
        held[...] = 1.0


def test_tables_begin_with_a_line_of_the_cache() -> None:
    """Or epochs take half as long again: the threads share a line, and wide reads touch two."""
    for n_rows in range(1000, 1020):  # by chance, some would
        trainer = FactorTrainer(np.zeros((n_rows, 64), np.float32), np.zeros((30, 64), np.float32), 64, 0.05, 0.1)
        assert trainer._user_state.ctypes.data % 64 == trainer._item_state.ctypes.data % 64 == 0


def test_gradients_so_small_that_their_squares_underflow_move_rows_alike() -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        user, item = np.full((1, 4), 1e-25, np.float32), np.zeros((2, 4), np.float32)
        item[0], item[1] = 1e-25, -1e-25
        trainer = FactorTrainer(user, item, 1, 0.1, 1.0, eps_user=0.5, eps_item=0.5, weight=1.0)
        single = Interactions(np.array([0, 1]), np.array([0], np.int32), 2)
        trainer.epoch(epoch_triplets(single, 0, 0))
        trainer.write()
        found.append((user.tobytes(), item.tobytes()))
        assert np.abs(user).min() > 1e-3, "moved by a vector of length eps, and not by nothing"
    assert found[0] == found[1]


def test_draws_and_order_do_not_depend_on_threads() -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        held = epoch_triplets(rows(), 5, 2)
        found.append(tuple(part.tobytes() for part in (held.users, held.positives, held.negatives)))
    assert found[0] == found[1]


def test_an_inverse_root_is_right_to_the_rounding_of_float32() -> None:
    values = np.concatenate([np.geomspace(1e-37, 1e37, 20_001), np.linspace(0.1, 4, 20_001)]).astype(np.float32)
    found = np.array([inverse_root(value) for value in values], np.float64)
    assert np.abs(found * np.sqrt(values.astype(np.float64)) - 1).max() < 3e-7
    assert inverse_root(np.float32(0.0)) == pytest.approx(1e37**0.5, rel=1e-6)


def test_neither_thread_goes_on_before_the_other_has_come() -> None:
    counter, seen = np.zeros(1, np.int64), np.zeros((2, 1000), np.int64)
    steps = np.zeros(2, np.int64)

    @kernel(reorder=False)
    def walk(counter, steps, seen, own):
        meetings = 0
        for step in range(seen.shape[1]):
            steps[own] = step + 1
            meetings = meet(counter, meetings)
            seen[own, step] = steps[1 - own]
            meetings = meet(counter, meetings)

    both(lambda own: walk(counter, steps, seen, own))
    assert (seen == np.arange(1, 1001)).all()


def test_an_error_of_either_half_is_raised_and_both_have_ended() -> None:
    ended = []

    def work(part: int, failing: int) -> None:
        time.sleep(0.02 * part)
        ended.append(part)
        if part == failing:
            raise ValueError(f"half {part}")

    for failing in (0, 1):
        ended.clear()
        with pytest.raises(ValueError, match=f"half {failing}"):
            both(lambda part, failing=failing: work(part, failing))
        assert sorted(ended) == [0, 1]


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_half_that_never_comes_is_not_waited_for(failing: int, kind: type[BaseException]) -> None:
    """Ctrl-C may arrive before one half has begun, or while it is being compiled."""
    counter = np.zeros(1, np.int64)

    @kernel(reorder=False)
    def walk(counter, steps):
        meetings = 0
        for _ in range(steps):
            meetings = meet(counter, meetings)
        return meetings

    def work(part: int) -> None:
        if part == failing:
            time.sleep(0.05)
            raise kind("half")
        assert walk(counter, 1000) == 1000

    with pytest.raises(kind):
        both(work, lambda: release(counter))


def test_training_that_one_half_leaves_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer lets the other half go where a call of its kernel is interrupted."""
    real, calls = kernels._epoch, []

    def interrupted(*given: object) -> None:
        calls.append(given)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(kernels, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(4, {}, 2)
    assert len(calls) == 2


def test_what_is_asked_for_early_is_not_changed() -> None:
    held = np.arange(100, dtype=np.float32)

    @numba.njit
    def touch(held):
        for place in range(len(held)):
            prefetch(held, place)

    touch(held)
    assert (held == np.arange(100)).all()


def test_loops_may_use_the_widest_registers() -> None:
    @numba.njit(**REORDERED)
    def total(values):
        wide()
        found = np.float32(0)
        for place in range(len(values)):
            found += values[place]
        return found

    assert total(np.arange(100, dtype=np.float32)) == 4950
    assert all('"prefer-vector-width"="512"' in text for text in total.inspect_llvm().values())
