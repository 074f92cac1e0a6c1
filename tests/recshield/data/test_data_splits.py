"""From rows to training and test: leave-one-out by time, given splits, filters, and what is told of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recshield.core.errors import BadData
from recshield.data.catalogue import resolve
from recshield.data.splits import Split, split_rows
from recshield.data.table import Table


def table_of(rows: list[tuple], is_test: list[bool] | None = None) -> Table:
    """Return a table of (user, item, time, rating) rows, the last two optional."""
    filled = [(*row, *(0, 1.0)[len(row) - 2 :]) for row in rows]
    users, items, times, ratings = (np.array([row[place] for row in filled]) for place in range(4))
    held = None if is_test is None else np.array(is_test)
    return Table(users, items, ratings.astype(np.float32), times.astype(np.int64), held)


def train_rows(split: Split) -> dict[int, list[int]]:
    """Return the training items of every user, in original ids."""
    train = split.dataset.train
    ids, items = split.dataset.user_ids.tolist(), split.dataset.item_ids
    return {ids[user]: items[train.of(user)].tolist() for user in range(train.n_users)}


def test_rows(split: Split) -> dict[int, list[int]]:
    """Return the test items of every evaluated user, in original ids."""
    found: dict[int, list[int]] = {}
    for user, item in zip(split.test.row_users, split.test.items, strict=True):
        found.setdefault(split.dataset.user_ids[user].item(), []).append(split.dataset.item_ids[item].item())
    return found


test_rows.__test__ = False  # type: ignore[attr-defined]


def test_the_last_event_of_every_user_is_its_test_row():
    split = split_rows(table_of([(1, 10, 5), (2, 20, 9), (1, 11, 7), (2, 21, 3), (1, 12, 6)]), "toy", {})
    assert train_rows(split) == {1: [10, 12], 2: [21]}
    assert test_rows(split) == {1: [11], 2: [20]}


def test_of_equal_times_the_later_row_of_the_file_is_the_later_event():
    rows = [(1, 10, 5), (2, 20, 1), (1, 11, 5), (2, 21, 1), (1, 12, 4), (1, 13, 5)]
    split = split_rows(table_of(rows), "toy", facts := {})
    assert train_rows(split) == {1: [12, 10, 11], 2: [20]}
    assert test_rows(split) == {1: [13], 2: [21]}
    assert facts["split"] == "leave-one-out by time (equal times: the later row of the file is the later event)"


def test_without_times_the_order_of_rows_is_the_order_of_time():
    split = split_rows(Table(np.array([1, 2, 1, 2]), np.array([10, 20, 11, 21])), "toy", {})
    assert train_rows(split) == {1: [10], 2: [20]}
    assert test_rows(split) == {1: [11], 2: [21]}


def test_a_user_with_one_row_keeps_it_in_training_and_is_counted():
    split = split_rows(table_of([(1, 10, 1), (2, 20, 1), (2, 21, 2), (3, 10, 1)]), "toy", facts := {})
    assert train_rows(split) == {1: [10], 2: [20], 3: [10]}
    assert test_rows(split) == {2: [21]}
    assert facts["too short"] == "2 users with one row keep it in training and have no test row"


def test_no_user_too_short_is_not_mentioned():
    split_rows(table_of([(1, 10, 1), (1, 11, 2)]), "toy", facts := {})
    assert "too short" not in facts


def test_users_with_one_row_each_leave_no_test_row():
    with pytest.raises(BadData) as caught:
        split_rows(table_of([(1, 10), (2, 20)]), "toy", {})
    expected = "no test row is left after the split; leave-one-out needs a user with at least two rows"
    assert str(caught.value) == expected


def test_ids_are_counted_over_training_and_test_together_and_original_ids_are_kept():
    rows = [(70, 500), (30, 900), (70, 100)]
    split = split_rows(table_of(rows, [False, False, True]), "toy", {})
    info = split.dataset.info
    assert (info.name, info.n_users, info.n_items, info.n_interactions) == ("toy", 2, 3, 2)
    assert split.dataset.user_ids.tolist() == [30, 70]
    assert split.dataset.item_ids.tolist() == [100, 500, 900]
    assert split.test.items.tolist() == [0]
    assert split.test.users.tolist() == [1]


def test_a_given_split_is_kept_and_times_order_the_training_rows_only():
    rows = [(1, 10, 9), (1, 11, 2), (2, 20, 1), (1, 12, 1), (2, 21, 0), (2, 22, 5)]
    split = split_rows(table_of(rows, [False, False, False, True, True, True]), "toy", facts := {})
    assert train_rows(split) == {1: [11, 10], 2: [20]}
    assert test_rows(split) == {1: [12], 2: [21, 22]}
    assert facts["split"] == "as the files give it"


def test_a_given_split_may_hold_a_test_user_and_a_test_item_without_a_training_row():
    split = split_rows(table_of([(1, 10), (1, 11), (2, 10)], [False, True, True]), "toy", facts := {})
    assert train_rows(split) == {1: [10], 2: []}
    assert facts["cold users"] == "1 evaluated users have no training row"
    assert facts["cold items"] == "1 test rows are of an item without a training row"
    assert facts["size"] == "2 users, 2 items, 1 training rows, 2 test rows of 2 users"


def test_a_test_row_that_repeats_a_training_row_is_counted():
    split_rows(table_of([(1, 10, 1), (1, 11, 2), (1, 10, 3), (2, 10, 1), (2, 11, 2)]), "toy", facts := {})
    assert facts["repeated"] == "1 test rows repeat a training row of their user; they stay candidates"


def test_an_ordinary_split_mentions_nothing_cold_or_repeated():
    split_rows(table_of([(1, 10, 1), (1, 11, 2), (2, 11, 1), (2, 10, 2)]), "toy", facts := {})
    assert set(facts) == {"split", "size"}


@pytest.mark.parametrize(("is_test", "kind"), [(True, "training"), (False, "test")])
def test_a_given_split_with_one_side_empty_is_an_error(is_test, kind):
    with pytest.raises(BadData, match=f"no {kind} row is left after the split; "):
        split_rows(table_of([(1, 10), (1, 11)], [is_test, is_test]), "toy", {})


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=2, max_size=40)


def slow_split(rows: list[tuple[int, int, int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Return training and test items of every user by sorting a list of its events (Python's sort is stable)."""
    train: dict[int, list[int]] = {}
    test: dict[int, list[int]] = {}
    for user in sorted({user for user, _, _ in rows}):
        events = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        items = [item for _, item, _ in events]
        train[user] = items[:-1] if len(items) > 1 else items
        if len(items) > 1:
            test[user] = items[-1:]
    return train, test


@given(pairs=PAIRS, data=st.data())
def test_every_row_is_accounted_for_and_the_split_is_that_of_a_slow_one(pairs, data):
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    rows = [(*pair, when) for pair, when in zip(pairs, times, strict=True)]
    train, test = slow_split(rows)
    if not test:
        return
    split = split_rows(table_of(rows), "toy", {})
    assert train_rows(split) == train
    assert test_rows(split) == test
    assert len(split.dataset.train) + len(split.test) == len(rows)
    held = [(user, item) for side in (train_rows(split), test_rows(split)) for user in side for item in side[user]]
    assert sorted(held) == sorted(pairs)


@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=2, max_size=40, unique=True))
def test_no_test_row_stands_in_training(pairs):
    rows = [(*pair, when) for when, pair in enumerate(pairs)]
    if not slow_split(rows)[1]:
        return
    split = split_rows(table_of(rows), "toy", {})
    train = train_rows(split)
    assert not any(item in train[user] for user, items in test_rows(split).items() for item in items)


@given(pairs=PAIRS, data=st.data())
def test_the_order_of_rows_does_not_matter_where_times_differ(pairs, data):
    times = data.draw(st.permutations(range(len(pairs))))
    rows = [(*pair, when) for pair, when in zip(pairs, times, strict=True)]
    if not slow_split(rows)[1]:
        return
    first = split_rows(table_of(rows), "toy", {})
    second = split_rows(table_of(data.draw(st.permutations(rows))), "toy", {})
    assert train_rows(first) == train_rows(second)
    assert test_rows(first) == test_rows(second)


@pytest.mark.real
def test_the_video_data_are_split_as_their_readme_counts_them(real_data):
    split = resolve("amazon-video", str(real_data)).split()
    info = split.dataset.info
    assert (info.n_users, info.n_items, info.n_interactions, len(split.test)) == (31_013, 23_715, 256_094, 31_013)
    assert split.facts["cold users"] == "30 evaluated users have no training row"
    assert split.facts["cold items"] == "863 test rows are of an item without a training row"
