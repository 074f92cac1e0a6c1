"""Ways to part rows: hand-made examples, and what holds of every split of every data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recshield.core.errors import BadData, BadSpec, BadValue, UnknownName, UnknownOption
from recshield.data.catalogue import DataSource, resolve
from recshield.data.schemes import SCHEMES, read_scheme
from recshield.data.splits import Split, split_rows
from recshield.data.table import Table

Row = tuple[int, int, int]  # user, item, time


def table_of(rows: list[Row], is_test: list[bool] | None = None) -> Table:
    """Return a table of (user, item, time) rows."""
    users, items, times = (np.array([row[place] for row in rows]) for place in range(3))
    return Table(users, items, None, times.astype(np.int64), None if is_test is None else np.array(is_test))


def part(table: Table, scheme: str, seed: int = 0, fold: int = 0, facts: dict[str, str] | None = None) -> Split:
    """Split a table."""
    return split_rows(table, "toy", {} if facts is None else facts, read_scheme(scheme), seed, fold)


def sides(split: Split) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return training and test (user, item) pairs in original ids, in the order in which they are held."""
    data = split.dataset
    train = zip(data.user_ids[data.train.users].tolist(), data.item_ids[data.train.items].tolist(), strict=True)
    users, items = data.user_ids[split.test.row_users].tolist(), data.item_ids[split.test.items].tolist()
    return list(train), list(zip(users, items, strict=True))


def held_out(rows: list[Row], scheme: str, seed: int = 0, fold: int = 0) -> list[tuple[int, int]]:
    """Return the test pairs of a split."""
    return sides(part(table_of(rows), scheme, seed, fold))[1]


#: User 1 has five rows, user 2 has three, user 3 has one; the item tells the time.
ROWS: list[Row] = [
    (1, 10, 0),
    (2, 11, 1),
    (1, 12, 2),
    (1, 13, 3),
    (2, 14, 4),
    (1, 15, 5),
    (3, 16, 6),
    (2, 17, 7),
    (1, 18, 8),
]


def test_leave_out_takes_the_latest_rows_of_users_with_more():
    part(table_of(ROWS), "leave-out:3", facts=(facts := {}))
    assert held_out(ROWS, "leave-out:3") == [(1, 13), (1, 15), (1, 18)]
    assert held_out(ROWS, "leave-out:2") == [(1, 15), (1, 18), (2, 14), (2, 17)]
    assert held_out(ROWS, "leave-out:1") == held_out(ROWS, "leave-one-out") == held_out(ROWS, "")
    assert facts["too short"] == "2 users with fewer than 4 rows keep them in training and have no test row"


def test_a_share_of_a_users_latest_rows_is_rounded_up_and_leaves_one():
    # all but floor(5 x 0.8) = 1 of user 1, all but floor(3 x 0.8) = 1 of user 2; 0.9 leaves one row of each
    assert held_out(ROWS, "temporal:0.2") == [(1, 18), (2, 17)]
    assert held_out(ROWS, "temporal:0.4") == [(1, 15), (1, 18), (2, 14), (2, 17)]
    assert held_out(ROWS, "temporal:0.9") == [(1, 12), (1, 13), (1, 15), (1, 18), (2, 14), (2, 17)]


@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_share_of_thirty_rows_is_exact(tenths):
    # in floats 30 x (1 - 0.9) is 2.9999...
    rows = [(1, item, item) for item in range(30)]
    assert len(held_out(rows, f"temporal:0.{tenths}")) == 3 * tenths
    assert len(held_out(rows, f"random:0.{tenths}")) == 3 * tenths


def test_a_share_of_all_rows_begins_at_one_timestamp():
    # the latest third of nine rows: those from time 6 on; user 3 has no training row then
    part(table_of(ROWS), "temporal:1/3,global", facts=(facts := {}))
    assert held_out(ROWS, "temporal:1/3,global") == [(1, 18), (2, 17), (3, 16)]
    assert facts["split"].startswith("rows at or after 6, where the latest 0.333333 of all begin")
    assert facts["cold users"] == "1 evaluated users have no training row"


def test_rows_at_or_after_a_timestamp_are_test_rows():
    assert held_out(ROWS, "timestamp:5") == [(1, 15), (1, 18), (2, 17), (3, 16)]
    assert held_out(ROWS, "timestamp:4.5") == held_out(ROWS, "timestamp:5")


def test_the_best_timestamp_is_the_latest_with_the_most_users_on_both_sides():
    # users 1 and 2 have rows on both sides from time 2 to 7; of these times 7 is the latest
    part(table_of(ROWS), "timestamp:best", facts=(facts := {}))
    assert held_out(ROWS, "timestamp:best") == [(1, 18), (2, 17)]
    assert facts["split"].startswith("rows at or after 7 are test rows (the latest time with the most users")
    # two rows from it on: user 1 up to 5, user 2 up to 4
    assert held_out(ROWS, "timestamp:best,over=2") == [(1, 15), (1, 18), (2, 14), (2, 17), (3, 16)]
    with pytest.raises(BadData, match="no timestamp has 9 rows before it and 1 from it on for any user; lower below="):
        held_out(ROWS, "timestamp:best,below=9")


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 6)), min_size=2, max_size=30),
    below=st.integers(1, 3),
    over=st.integers(1, 3),
)
def test_the_best_timestamp_is_that_of_a_count_over_all_of_them(rows, below, over):
    def n_users(start: int) -> int:
        sizes = [
            (
                sum(who == user and when < start for who, _, when in rows),
                sum(who == user and when >= start for who, _, when in rows),
            )
            for user in {who for who, _, _ in rows}
        ]
        return sum(before >= below and after >= over for before, after in sizes)

    best = max({when for _, _, when in rows}, key=lambda when: (n_users(when), when))
    text = f"timestamp:best,below={below},over={over}"
    if n_users(best) == 0:
        with pytest.raises(BadData):
            held_out(rows, text)
        return
    expected = {(user, item) for user, item, when in rows if when >= best}
    assert set(held_out(rows, text)) == expected


def test_items_that_are_held_out_have_no_training_row_and_are_no_negatives():
    rows = [(user, item, item) for user in range(20) for item in range(10)]
    split = part(table_of(rows), "cold:0.2", facts=(facts := {}))
    popularity = split.dataset.train.popularity()
    assert (popularity == 0).sum() == 2
    assert split.dataset.train.negatives.tolist() == np.flatnonzero(popularity).tolist()
    assert set(split.test.items.tolist()) == set(np.flatnonzero(popularity == 0).tolist())
    assert split.dataset.info.n_items == 10
    assert facts["held out"] == "2 of 10 items have no training row"
    assert part(table_of(rows), "random:0.2").dataset.train.negatives is None


def test_the_first_repeat_is_the_split_without_repeats():
    assert held_out(ROWS, "random:0.4") == held_out(ROWS, "random:0.4,repeats=3", fold=0)
    drawn = [tuple(held_out(ROWS, "random:0.4,repeats=9", fold=fold)) for fold in range(9)]
    assert len(set(drawn)) > 3


def test_an_explicit_split_sets_the_given_one_aside_and_says_so():
    table = table_of([(1, 10, 1), (1, 11, 2), (1, 12, 3)], [True, False, False])
    assert sides(part(table, "given"))[1] == [(1, 10)]
    assert sides(part(table, "leave-one-out", facts=(facts := {})))[1] == [(1, 12)]
    assert facts["split"].endswith("; the split that the files give is set aside")
    with pytest.raises(BadData, match="split 'given' needs files that give a split, and these do not; use --split"):
        part(table_of(ROWS), "given")


@pytest.mark.parametrize("text", ["", "leave-one-out", "leave-out:2", "temporal:0.2"])
def test_rows_without_any_order_are_not_split_by_time(text):
    table = Table(np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), is_ordered=False)
    with pytest.raises(
        BadData, match="needs the order of time, and these rows have neither times nor an order; use a random"
    ):
        part(table, text)
    assert len(part(table, "leave-out:1,random").test) == 2


@pytest.mark.parametrize("text", ["temporal:0.2,global", "timestamp:5", "timestamp:best"])
def test_a_timestamp_cannot_be_had_from_rows_without_times(text):
    with pytest.raises(BadData, match=r"needs timestamps, and these files have none; use --split random:0\.2"):
        part(Table(np.array([1, 1]), np.array([1, 2])), text)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (
            "kfolds:5",
            UnknownName,
            "no split 'kfolds'; did you mean 'kfold'? installed: cold, given, kfold, leave-one-out",
        ),
        ("0.2", BadSpec, "split '0.2' cannot be read; allowed: leave-one-out, leave-out:N[,random], temporal:SHARE"),
        ("kfold", BadSpec, "split 'kfold' needs a value; write kfold:K"),
        ("kfold:1", BadValue, "split 'kfold': k is 1; it is at least 2"),
        ("leave-out:0", BadValue, "split 'leave-out': n is 0; it is at least 1"),
        ("random:1", BadValue, "split 'random': the share is 1; it lies between 0 and 1, for example 0.2"),
        ("random:nan", BadValue, "split 'random', option 'share': 'nan' is not a finite number"),
        ("random:0.2,repeats=0", BadValue, "split 'random': repeats is 0; it is at least 1"),
        ("random:0.2,repeat=5", UnknownOption, "split 'random' has no option 'repeat'; did you mean 'repeats'?"),
        ("temporal:0.2,globl", UnknownOption, "split 'temporal' has no option 'globl'; did you mean 'global'?"),
        ("timestamp:bset", BadValue, "split 'timestamp': 'bset' is not a number"),
        ("given:1", UnknownOption, "split 'given' has no option '1'; options and defaults: none"),
    ],
)
def test_a_split_that_cannot_be_is_an_error_before_anything_is_read(text, kind, said):
    with pytest.raises(kind) as caught:
        resolve("synthetic", scheme=text)
    assert str(caught.value).startswith(said)


def test_a_fold_that_is_not_there_is_an_error():
    with pytest.raises(BadValue, match="fold 5 is not there; this split has 5, counted from 0"):
        part(table_of(ROWS), "kfold:5", fold=5)
    with pytest.raises(BadValue, match="fold 1 is not there; this split has 1, counted from 0"):
        part(table_of(ROWS), "", fold=1)


def test_a_source_knows_its_folds_and_splits_by_them():
    assert [resolve("synthetic", scheme=text).folds() for text in ("", "kfold:4", "random:0.2,repeats=3")] == [1, 4, 3]
    source = resolve("synthetic", scheme="kfold:4")
    parts = [source.split(1, fold) for fold in range(4)]
    assert sum(len(one.test) for one in parts) == len(source.read())
    assert DataSource.from_json({**vars(source), "filters": [], "columns": []}) == source


def test_every_split_says_how_it_is_written():
    for name, made in SCHEMES.items():
        assert made.form.startswith(name)


# what holds of every split

EVERY = ["leave-one-out", "leave-out:2", "leave-out:1,random", "temporal:0.3", "temporal:0.3,global", "timestamp:12"]
EVERY += ["timestamp:best", "random:0.3", "random:0.3,repeats=2", "kfold:3", "cold:0.3"]
each = pytest.mark.parametrize("scheme", EVERY)
UNIQUE = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=3, max_size=40, unique=True)


def timed(pairs: list[tuple[int, int]], data: st.DataObject) -> list[Row]:
    """Return rows with times that all differ."""
    times = data.draw(st.permutations(range(len(pairs))))
    return [(*pair, when) for pair, when in zip(pairs, times, strict=True)]


def part_or_none(rows: list[Row], scheme: str, seed: int = 0, fold: int = 0) -> Split | None:
    """Return the split, or None where it leaves one side empty."""
    try:
        return part(table_of(rows), scheme, seed, fold)
    except BadData:
        return None


@each
@given(pairs=UNIQUE, data=st.data())
def test_every_row_is_on_one_side_and_training_keeps_the_order_of_time(scheme, pairs, data):
    rows = timed(pairs, data)
    split = part_or_none(rows, scheme)
    if split is None:
        return
    train, test = sides(split)
    assert sorted(train + test) == sorted(pairs)
    when = {(user, item): time for user, item, time in rows}
    for user in {user for user, _ in train}:
        times = [when[pair] for pair in train if pair[0] == user]
        assert times == sorted(times)


@each
@given(pairs=UNIQUE, data=st.data(), seed=st.integers(0, 3))
def test_a_split_is_seeded_and_independent_of_the_order_of_rows(scheme, pairs, data, seed):
    rows = timed(pairs, data)
    first, second = part_or_none(rows, scheme, seed), part_or_none(data.draw(st.permutations(rows)), scheme, seed)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert sides(first) == sides(second)


@pytest.mark.parametrize("scheme", [text for text in EVERY if text[:4] in ("leav", "temp", "time")])
@given(pairs=UNIQUE, data=st.data())
def test_a_split_by_time_trains_on_nothing_later_than_it_tests(scheme, pairs, data):
    if "random" in scheme:
        return
    rows = timed(pairs, data)
    split = part_or_none(rows, scheme)
    if split is None:
        return
    when = {(user, item): time for user, item, time in rows}
    train, test = sides(split)
    is_global = "global" in scheme or scheme.startswith("timestamp")
    for user, item in test:
        assert all(when[pair] < when[user, item] for pair in train if is_global or pair[0] == user)


@given(pairs=UNIQUE, data=st.data(), k=st.integers(2, 4), seed=st.integers(0, 3))
def test_the_folds_part_the_rows(pairs, data, k, seed):
    rows = timed(pairs, data)
    splits = [part_or_none(rows, f"kfold:{k}", seed, fold) for fold in range(k)]
    if any(split is None for split in splits):
        return
    dealt = [pair for split in splits for pair in sides(split)[1]]
    assert sorted(dealt) == sorted(pairs)
    for user in {user for user, _ in pairs}:
        sizes = [sum(pair[0] == user for pair in sides(split)[1]) for split in splits]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("scheme", ["leave-out:1,random", "random:0.3", "kfold:3", "cold:0.3"])
def test_another_seed_is_another_split(scheme):
    rows = [(user, item, item) for user in range(9) for item in range(30)]
    assert len({tuple(held_out(rows, scheme, seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("scheme", ["leave-out:1,random", "random:0.3", "kfold:3"])
def test_random_rows_are_uniform_over_a_users_rows(scheme):
    rows = [(user, item, item) for user in range(3_000) for item in range(3)]
    counts = np.bincount([item for _, item in held_out(rows, scheme)], minlength=3)
    assert counts.sum() == 3_000
    assert abs(counts - 1_000).max() < 130  # five standard deviations of a binomial


@pytest.mark.real
def test_gowalla_is_split_as_its_files_give_it_and_not_by_time(real_data):
    split = resolve(str(real_data / "gowalla")).split()
    info = split.dataset.info
    assert (info.n_users, info.n_items, info.n_interactions, len(split.test)) == (29_858, 40_981, 719_081, 217_242)
    with pytest.raises(BadData, match="needs the order of time"):
        resolve(str(real_data / "gowalla"), scheme="leave-one-out").split()
