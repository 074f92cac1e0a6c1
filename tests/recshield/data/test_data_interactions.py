"""Interactions and held-out rows as compressed arrays, against dictionaries."""

from __future__ import annotations

import numpy as np
import pytest

from recshield.data.interactions import HeldOut, Interactions

#: (user, item) in file order; user 1 has no row, user 3 repeats item 4, item 2 and 5 have no row.
ROWS = [(3, 4), (0, 1), (3, 0), (2, 3), (0, 4), (3, 4), (0, 0)]


def columns(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([user for user, _ in rows]), np.array([item for _, item in rows])


@pytest.fixture
def train() -> Interactions:
    return Interactions.from_rows(*columns(ROWS), n_users=4, n_items=6)


def test_the_rows_of_a_user_keep_their_order(train):
    assert [train.of(user).tolist() for user in range(4)] == [[1, 4, 0], [], [3], [4, 0, 4]]
    assert train.indptr.tolist() == [0, 3, 3, 4, 7]
    assert train.items.tolist() == [1, 4, 0, 3, 4, 0, 4]
    assert (train.items.dtype, train.indptr.dtype) == (np.int32, np.int64)


def test_sizes_count_users_and_items_without_a_row(train):
    assert (len(train), train.n_users, train.n_items) == (7, 4, 6)


def test_every_row_has_its_user(train):
    assert train.users.tolist() == [0, 0, 0, 2, 3, 3, 3]


def test_members_are_the_distinct_items_in_ascending_order(train):
    indptr, items = train.members
    assert indptr.tolist() == [0, 3, 3, 4, 6]
    assert items.tolist() == [0, 1, 4, 3, 0, 4]
    assert (indptr.dtype, items.dtype) == (np.int64, np.int32)


def test_popularity_counts_rows_also_repeated_ones(train):
    assert train.popularity().tolist() == [2, 1, 0, 1, 3, 0]


@pytest.mark.parametrize("seed", range(10))
def test_compressed_rows_agree_with_a_dictionary(seed):
    rng = np.random.default_rng(seed)
    n_users, n_items, n_rows = int(rng.integers(1, 9)), int(rng.integers(1, 9)), int(rng.integers(0, 60))
    users, items = rng.integers(0, n_users, n_rows), rng.integers(0, n_items, n_rows)
    expected: dict[int, list[int]] = {user: [] for user in range(n_users)}
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        expected[user].append(item)
    train = Interactions.from_rows(users, items, n_users, n_items)
    indptr, members = train.members
    for user, held in expected.items():
        assert train.of(user).tolist() == held
        assert members[indptr[user] : indptr[user + 1]].tolist() == sorted(set(held))
    assert train.popularity().tolist() == [items.tolist().count(item) for item in range(n_items)]


def test_no_rows_are_no_rows():
    train = Interactions.from_rows(np.zeros(0, np.int64), np.zeros(0, np.int64), n_users=2, n_items=3)
    assert (len(train), train.n_users, train.popularity().tolist()) == (0, 2, [0, 0, 0])
    assert [part.tolist() for part in train.members] == [[0, 0, 0], []]


def test_held_out_rows_are_grouped_by_user_in_ascending_order():
    test = HeldOut.from_rows(*columns(ROWS))
    assert test.users.tolist() == [0, 2, 3]
    assert test.indptr.tolist() == [0, 3, 4, 6]
    assert test.items.tolist() == [1, 4, 0, 3, 4, 0], "the row that stands twice counts once"
    assert test.row_users.tolist() == [0, 0, 0, 2, 3, 3]
    assert len(test) == 6
    assert (test.users.dtype, test.indptr.dtype, test.items.dtype) == (np.int32, np.int64, np.int32)
