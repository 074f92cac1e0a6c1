"""The embedded data: the same everywhere, made in no time, sound."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recshield.data.catalogue import resolve
from recshield.data.synthetic import Synthetic
from recshield.data.table import Table


@pytest.fixture(scope="module")
def table() -> Table:
    return Synthetic().generate()


def test_two_calls_give_the_same_rows(table):
    again = Synthetic().generate()
    for name in ("users", "items", "ratings", "times"):
        np.testing.assert_array_equal(getattr(table, name), getattr(again, name))


def test_the_global_generator_plays_no_part_and_is_left_alone(table):
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(Synthetic().generate().items, table.items)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_rows_are_made_in_under_two_seconds():
    start = time.process_time()
    Synthetic().generate()
    assert time.process_time() - start < 2.0


def test_every_user_has_at_least_8_rows(table):
    _, counts = np.unique(table.users, return_counts=True)
    assert len(counts) == 1_200
    assert counts.min() >= 8


def test_no_user_has_an_item_twice(table):
    assert len(np.unique(np.stack([table.users, table.items]), axis=1).T) == len(table)


def test_the_rows_of_a_user_stand_in_order_of_time_from_0(table):
    for user in (0, 1, 599, 1_199):
        own = table.times[table.users == user]
        assert own.tolist() == list(range(len(own)))


def test_items_are_those_that_the_description_counts(table):
    assert "1200 users" in Synthetic.description
    assert "800 items" in Synthetic.description
    assert table.items.min() >= 0
    assert table.items.max() < 800


def test_taste_says_more_than_chance(table):
    # Two users who share an item share more of their other items than two users drawn at random.
    held = np.zeros((1_200, 800))
    held[table.users, table.items] = 1
    common = held @ held.T
    rng = np.random.default_rng(0)
    item = int(np.argsort(held.sum(axis=0))[600])
    fans = np.flatnonzero(held[:, item])
    among_fans = np.mean([common[a, b] - 1 for a in fans for b in fans if a < b])
    strangers = rng.integers(1_200, size=(5_000, 2))
    among_all = np.mean([common[a, b] for a, b in strangers if a != b])
    assert among_fans > 1.5 * among_all


def test_every_user_gives_one_test_row():
    split = resolve("synthetic").split()
    assert split.test.users.tolist() == list(range(1_200))
    assert len(split.test) == 1_200
    assert "too short" not in split.facts
