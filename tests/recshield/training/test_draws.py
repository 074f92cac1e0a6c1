"""Negative sampling: outside the training rows, uniform, named draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from recshield.core.seeds import number
from recshield.data.interactions import Interactions
from recshield.training import draw_negatives, draws, epoch_triplets


def interactions() -> Interactions:
    rng = np.random.default_rng(1)
    users, items = rng.integers(50, size=2_000), rng.zipf(1.5, size=2_000) % 60
    return Interactions.from_rows(users, items, 51, 60)  # user 50 has no row


def test_no_negative_is_a_training_item_of_its_user() -> None:
    train = interactions()
    for draw in range(20):
        negatives = draw_negatives(train, 5, "draw", draw)
        pairs = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
        assert not pairs & set(zip(train.users.tolist(), negatives.tolist(), strict=True))
        assert negatives.min() >= 0
        assert negatives.max() < 60


def test_negatives_are_uniform_over_what_is_left() -> None:
    users, items = np.zeros(20_000, np.int64), np.tile([0, 3, 4, 9], 5_000)
    train = Interactions.from_rows(users, items, 1, 10)
    counts = np.bincount(draw_negatives(train, 0, "uniform"), minlength=10)
    assert counts[[0, 3, 4, 9]].sum() == 0
    assert stats.chisquare(counts[[1, 2, 5, 6, 7, 8]]).pvalue > 1e-4


def test_a_user_with_every_item_gets_the_positive_itself() -> None:
    train = Interactions.from_rows(np.array([0, 0, 1]), np.array([0, 1, 0]), 2, 2)
    assert draw_negatives(train, 0, "x").tolist()[:2] == [0, 1]
    assert draw_negatives(train, 0, "x").tolist()[2] == 1


def test_items_that_may_be_no_negatives_are_never_drawn_and_the_others_are_uniform() -> None:
    users, items = np.zeros(20_000, np.int64), np.tile([0, 3, 4, 9], 5_000)
    warm = np.array([0, 2, 3, 5, 6, 8], np.int32)  # 4 and 9 are training items all the same
    train = Interactions.from_rows(users, items, 1, 10, warm)
    counts = np.bincount(draw_negatives(train, 0, "warm"), minlength=10)
    assert counts[[0, 1, 3, 4, 7, 9]].sum() == 0
    assert stats.chisquare(counts[[2, 5, 6, 8]]).pvalue > 1e-4


def test_where_every_item_may_be_a_negative_the_draw_is_the_same() -> None:
    train = interactions()
    listed = Interactions(train.indptr, train.items, train.n_items, np.arange(train.n_items, dtype=np.int32))
    assert np.array_equal(draw_negatives(train, 0, "a", 1), draw_negatives(listed, 0, "a", 1))


def test_a_user_with_every_item_that_may_be_drawn_gets_the_positive_itself() -> None:
    rows = np.array([0, 0, 0, 1]), np.array([0, 1, 3, 0])
    train = Interactions.from_rows(*rows, 2, 4, np.array([0, 1], np.int32))
    assert draw_negatives(train, 0, "x").tolist() == [0, 1, 3, 1]


def test_the_pairs_of_an_oracle_hold_no_negative_that_may_be_none() -> None:
    from recshield.data.interactions import HeldOut
    from recshield.matrix.victims import degrade_pairs, oracle_pairs

    warm = np.arange(0, 60, 2, dtype=np.int32)
    full = interactions()
    is_warm = full.items % 2 == 0
    train = Interactions.from_rows(full.users[is_warm], full.items[is_warm], 51, 60, warm)
    test = HeldOut.from_rows(full.users[~is_warm], full.items[~is_warm])
    for pairs in (degrade_pairs(train, 0), oracle_pairs(train, test, 0)):
        assert (pairs.negatives % 2 == 0).all()


def test_draws_depend_on_seed_and_names_alone() -> None:
    train = interactions()
    first = draw_negatives(train, 0, "a", 1)
    np.random.seed(3)  # noqa: NPY002 - the global state must not matter
    assert np.array_equal(first, draw_negatives(train, 0, "a", 1))
    assert not np.array_equal(first, draw_negatives(train, 0, "a", 2))
    assert not np.array_equal(first, draw_negatives(train, 1, "a", 1))


def test_an_epoch_holds_every_training_row_once_in_another_order() -> None:
    train = interactions()
    one, two = epoch_triplets(train, 0, 0), epoch_triplets(train, 0, 1)

    def rows(triplets: object) -> list[tuple[int, int]]:
        return sorted(zip(triplets.users.tolist(), triplets.positives.tolist(), strict=True))  # type: ignore[attr-defined]

    assert rows(one) == rows(two) == sorted(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert one.users.tolist() != two.users.tolist()
    assert one.negatives.tolist() != two.negatives.tolist()
    assert one.users.tolist() != train.users.tolist()


@pytest.mark.parametrize("n_seen", [1, 31, 32, 33, 64, 65, 200, 298, 299])
def test_a_negative_is_the_free_item_at_the_place_that_is_drawn_in_lists_of_any_length(n_seen: int) -> None:
    rng = np.random.default_rng(n_seen)
    seen = rng.choice(300, n_seen, replace=False)
    train = Interactions.from_rows(np.zeros(n_seen, np.int64), seen, 1, 300)
    free = np.setdiff1d(np.arange(300), seen)
    for turn in range(5):
        found = draw_negatives(train, turn, "x")
        with np.errstate(over="ignore"):
            bits = [
                draws.mix.py_func(np.uint64(number(turn, "x")) + np.uint64(row) * draws._STEP) for row in range(n_seen)
            ]
        places = [int(float(int(value) >> 11) / 2**53 * len(free)) for value in bits]
        assert found.tolist() == free[places].tolist()


@pytest.mark.parametrize("n_rows", [1, 2, 301])
def test_two_threads_draw_the_same_epoch(n_rows: int) -> None:
    rng = np.random.default_rng(0)
    train = Interactions.from_rows(rng.integers(9, size=n_rows), rng.integers(50, size=n_rows), 9, 50)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            found.append(epoch_triplets(train, 3, 4))
        finally:
            torch.set_num_threads(before)
    for name in ("users", "positives", "negatives"):
        assert (getattr(found[0], name) == getattr(found[1], name)).all()
