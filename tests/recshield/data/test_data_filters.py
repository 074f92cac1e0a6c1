"""Filters: hand-made examples with known answers, the order they act in, and what is told of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recshield.core.errors import BadData, BadSpec, BadValue, UnknownName, UnknownOption
from recshield.data.catalogue import resolve
from recshield.data.filters import FILTERS, filter_rows
from recshield.data.table import Table

FORMS = (
    "ratings>=NUMBER, ratings>=user-average, ratings>=global-average, "
    "kcore:K[,rounds=N], kcore-user:K, kcore-item:K, cold-users:N, duplicates, images"
)


def table_of(rows: list[tuple], is_test: list[bool] | None = None) -> Table:
    """Return a table of (user, item, time, rating) rows, the last two optional."""
    filled = [(*row, *(0, 1.0)[len(row) - 2 :]) for row in rows]
    users, items, times, ratings = (np.array([row[place] for row in filled]) for place in range(4))
    held = None if is_test is None else np.array(is_test)
    return Table(users, items, ratings.astype(np.float32), times.astype(np.int64), held)


def pairs(table: Table) -> list[tuple[int, int]]:
    """Return the (user, item) pairs of a table."""
    return list(zip(table.users.tolist(), table.items.tolist(), strict=True))


RATED = [(1, 10, 1, 5.0), (1, 11, 2, 3.5), (1, 12, 3, 4.0), (2, 20, 1, 4.5), (2, 21, 2, 1.0)]


@pytest.mark.parametrize("text", ["ratings>=4", "ratings >= 4.0", " ratings>=4 "])
def test_a_filter_keeps_rows_of_at_least_its_rating_and_counts_them(text):
    kept = filter_rows(table_of(RATED), [text], facts := {})
    assert kept.items.tolist() == [10, 12, 20]
    assert facts == {f"filter {text}": "3 of 5 rows, 2 of 2 users, 3 of 5 items kept"}


def test_filters_act_one_after_the_other():
    kept = filter_rows(table_of(RATED), ["ratings>=3.5", "ratings>=4.5"], facts := {})
    assert kept.items.tolist() == [10, 20]
    assert facts == {
        "filter 1 ratings>=3.5": "4 of 5 rows, 2 of 2 users, 4 of 5 items kept",
        "filter 2 ratings>=4.5": "2 of 4 rows, 2 of 2 users, 2 of 4 items kept",
    }


def test_a_filter_keeps_every_column_in_step():
    kept = filter_rows(table_of(RATED, [False, True, False, True, False]), ["ratings>=4"], {})
    assert kept.users.tolist() == [1, 1, 2]
    assert kept.times.tolist() == [1, 3, 1]
    assert kept.ratings.tolist() == [5.0, 4.0, 4.5]
    assert kept.is_test.tolist() == [False, False, True]


def test_a_rating_that_binary_cannot_hold_passes_its_own_filter():
    assert len(filter_rows(table_of([(1, 10, 1, 3.3), (1, 11, 1, 3.2)]), ["ratings>=3.3"], {})) == 1


def test_without_a_filter_every_row_counts_and_that_is_said():
    kept = filter_rows(table_of(RATED), [], facts := {})
    assert len(kept) == 5
    expected = "every rating counts as an interaction (threshold 0); use --filter 'ratings>=4' for another"
    assert facts == {"ratings": expected}


@pytest.mark.parametrize("text", ["ratings>4", "rating>=4", "ratings>=", "ratings>=four", "users>=5", ""])
def test_an_unknown_filter_says_what_is_allowed(text):
    with pytest.raises(BadSpec) as caught:
        filter_rows(table_of(RATED), [text], {})
    assert str(caught.value) == f"filter '{text}' is not known; allowed: {FORMS}"


def test_a_filter_on_rows_without_ratings_is_an_error():
    with pytest.raises(BadData) as caught:
        filter_rows(Table(np.array([1]), np.array([2])), ["ratings>=4"], {})
    assert str(caught.value) == "filter 'ratings>=4' needs ratings, and these files have none; leave it out"


def test_a_filter_that_leaves_no_row_is_an_error():
    with pytest.raises(BadData) as caught:
        filter_rows(table_of(RATED), ["ratings>=6"], {})
    assert str(caught.value) == "no row is left after the filters; loosen them"


def test_a_users_average_is_that_of_the_user_and_equal_ratings_stay():
    # user 1: mean 3, user 2: mean 4.4 of equal ratings, user 3: one row
    rows = [(1, 10, 0, 2.0), (1, 11, 0, 3.0), (1, 12, 0, 4.0)]
    rows += [(2, 10, 0, 4.4), (2, 11, 0, 4.4), (2, 12, 0, 4.4), (3, 10, 0, 1.0)]
    kept = filter_rows(table_of(rows), ["ratings>=user-average"], facts := {})
    assert pairs(kept) == [(1, 11), (1, 12), (2, 10), (2, 11), (2, 12), (3, 10)]
    assert facts == {"filter ratings>=user-average": "6 of 7 rows, 3 of 3 users, 3 of 3 items kept"}


def test_the_global_average_is_that_of_all_rows():
    rows = [(1, 10, 0, 1.0), (1, 11, 0, 2.0), (2, 10, 0, 4.0), (2, 11, 0, 5.0)]  # mean 3
    assert pairs(filter_rows(table_of(rows), ["ratings>=global-average"], {})) == [(2, 10), (2, 11)]


#: The 2-core of these rows is users 1, 2 and items 10, 11: user 3 goes, so item 12 goes, so user 4 goes.
CHAIN = [(1, 10), (1, 11), (2, 10), (2, 11), (3, 12), (4, 12), (4, 13), (5, 13), (5, 14), (6, 14)]


def test_the_core_is_that_of_users_and_items_until_nothing_changes():
    kept = filter_rows(table_of(CHAIN), ["kcore:2"], facts := {})
    assert pairs(kept) == CHAIN[:4]
    assert facts["filter kcore:2"] == "4 of 10 rows, 2 of 6 users, 2 of 5 items kept"


def test_a_core_of_some_rounds_stops_there():
    # round 1: users 3 and 6 go, then items 12 and 14; round 2: users 4 and 5 go, then item 13
    assert pairs(filter_rows(table_of(CHAIN), ["kcore:2,rounds=1"], {})) == [*CHAIN[:4], (4, 13), (5, 13)]
    assert pairs(filter_rows(table_of(CHAIN), ["kcore:2,rounds=2"], {})) == CHAIN[:4]


def test_a_core_of_one_side_is_one_pass():
    assert pairs(filter_rows(table_of(CHAIN), ["kcore-user:2"], {})) == [row for row in CHAIN if row[0] not in (3, 6)]
    rows = [(1, 10), (2, 10), (1, 11), (3, 12)]
    assert pairs(filter_rows(table_of(rows), ["kcore-item:2"], {})) == rows[:2]


def test_cold_users_are_kept_and_the_others_go():
    rows = [(1, 10), (1, 11), (1, 12), (2, 10), (2, 11), (3, 10)]
    assert pairs(filter_rows(table_of(rows), ["cold-users:2"], {})) == rows[3:]


def test_of_duplicates_the_earliest_stays_with_its_rating():
    rows = [(1, 10, 5, 2.0), (1, 11, 1, 1.0), (1, 10, 3, 4.0), (2, 10, 9, 5.0), (1, 10, 3, 1.0)]
    kept = filter_rows(table_of(rows), ["duplicates"], {})
    assert pairs(kept) == [(1, 11), (1, 10), (2, 10)]
    assert kept.times.tolist() == [1, 3, 9]
    assert kept.ratings.tolist() == [1.0, 4.0, 5.0]


def test_of_duplicates_in_a_given_split_the_training_row_stays():
    kept = filter_rows(table_of([(1, 10, 9), (1, 11, 8), (1, 10, 1)], [False, False, True]), ["duplicates"], {})
    assert pairs(kept) == [(1, 10), (1, 11)]
    assert kept.is_test.tolist() == [False, False]


def test_a_filter_counts_training_and_test_rows_of_a_given_split_together():
    rows = [(1, 10), (1, 11), (2, 10), (1, 12), (2, 12)]
    kept = filter_rows(table_of(rows, [False, False, False, True, True]), ["kcore:2"], {})
    assert pairs(kept) == [(1, 10), (2, 10), (1, 12), (2, 12)]
    assert kept.is_test.tolist() == [False, False, True, True]


def test_the_order_of_filters_matters():
    rows = [(1, 10, 0, 5.0), (1, 11, 0, 1.0), (2, 10, 0, 5.0), (2, 12, 0, 5.0)]
    assert pairs(filter_rows(table_of(rows), ["ratings>=4", "kcore-user:2"], {})) == [(2, 10), (2, 12)]
    assert pairs(filter_rows(table_of(rows), ["kcore-user:2", "ratings>=4"], {})) == [(1, 10), (2, 10), (2, 12)]


def test_ten_filters_are_told_in_their_order():
    filter_rows(table_of([(1, 10)] * 3), ["kcore-user:1"] * 10, facts := {})
    assert sorted(facts)[0] == "filter 01 kcore-user:1"
    assert sorted(facts)[9] == "filter 10 kcore-user:1"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (
            "kcor:3",
            UnknownName,
            "no filter 'kcor'; did you mean 'kcore'? installed: cold-users, duplicates, images, kcore",
        ),
        ("kcore", BadSpec, "filter 'kcore' needs a value; write kcore:K[,rounds=N]"),
        ("kcore:", BadSpec, "filter 'kcore': 'kcore:' cannot be read; write kcore:K[,rounds=N]"),
        ("kcore:3,4", UnknownOption, "filter 'kcore' has no option '4'; options and defaults: core (required), rounds"),
        ("kcore:3,round=2", UnknownOption, "filter 'kcore' has no option 'round'; did you mean 'rounds'?"),
        ("kcore:3,rounds=2,rounds=3", BadSpec, "filter 'kcore': 'kcore:3,rounds=2,rounds=3' cannot be read"),
        ("kcore:0", BadValue, "filter 'kcore': core is 0; it is at least 1"),
        ("kcore:2.5", BadValue, "filter 'kcore', option 'core': '2.5' is not a whole number"),
        ("kcore:many", BadValue, "filter 'kcore', option 'core': 'many' is not a number"),
        ("cold-users:0", BadValue, "filter 'cold-users': most is 0; it is at least 1"),
        ("duplicates:1", UnknownOption, "filter 'duplicates' has no option '1'; options and defaults: none"),
    ],
)
def test_a_filter_that_cannot_be_is_an_error_before_anything_is_read(text, kind, said):
    with pytest.raises(kind) as caught:
        resolve("synthetic", filters=[text])
    assert str(caught.value).startswith(said)


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


@given(rows=ROWS, core=st.integers(1, 4))
def test_the_core_is_the_largest_set_in_which_everybody_has_enough(rows, core):
    slow = list(rows)
    while True:  # one row at a time, in any order
        poor = [
            (user, item)
            for user, item in slow
            if sum(user == other for other, _ in slow) < core or sum(item == other for _, other in slow) < core
        ]
        if not poor:
            break
        slow.remove(poor[-1])
    if not slow:
        return
    assert pairs(filter_rows(table_of(rows), [f"kcore:{core}"], {})) == slow


@pytest.mark.parametrize("text", ["ratings>=user-average", "ratings>=global-average", "kcore:2", "duplicates"])
@given(rows=ROWS, ratings=st.lists(st.sampled_from([0.5, 1.0, 3.3, 4.1]), min_size=40, max_size=40))
def test_a_filter_only_takes_rows_away_and_keeps_their_order(text, rows, ratings):
    full = table_of([(*row, when, ratings[when]) for when, row in enumerate(rows)])
    try:
        kept = filter_rows(full, [text], {})
    except BadData:
        return
    times = kept.times.tolist()
    assert times == sorted(times)
    assert pairs(kept) == [rows[when] for when in times]


def test_every_filter_says_how_it_is_written():
    for name, made in FILTERS.items():
        assert made.form.startswith(name)


@pytest.mark.real
def test_the_ten_core_of_movielens_100k_is_that_of_a_second_implementation(real_data):
    import pandas as pd

    frame = pd.read_csv(real_data / "ml-100k/u.data", sep="\t", names=["user", "item", "rating", "time"])
    before = 0
    while len(frame) != before:
        before = len(frame)
        frame = frame[frame.groupby("user")["item"].transform("size") >= 10]
        frame = frame[frame.groupby("item")["user"].transform("size") >= 10]
    source = resolve("ml-100k", str(real_data), ["kcore:10"])
    kept = filter_rows(source.read(), source.filters, {})
    assert pairs(kept) == list(zip(frame["user"], frame["item"], strict=True))
    assert len(kept) < 100_000
