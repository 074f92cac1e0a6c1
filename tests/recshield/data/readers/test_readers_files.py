"""Which files a reader takes, and how the pair of a training and a test file is joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from recshield.core.errors import BadData
from recshield.data.readers import MovieLensCsv, MovieLensData, SplitPair

PAIRS = [("train.rating", "test.rating"), ("trainingset.tsv", "testset.tsv")]
each_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
SINGLES = [(MovieLensData, "u.data"), (MovieLensCsv, "ratings.csv")]
each_single = pytest.mark.parametrize(("reader", "name"), SINGLES)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("1\t2\t3\t4\n")


@each_single
def test_a_reader_finds_its_file_in_a_folder_and_by_itself(reader, name, tmp_path):
    assert reader().files(tmp_path) == ()
    assert reader().files(tmp_path / name) == ()
    touch(tmp_path, name, "another.txt")
    assert reader().files(tmp_path) == (tmp_path / name,)
    assert reader().files(tmp_path / name) == (tmp_path / name,)
    assert reader().files(tmp_path / "another.txt") == ()


@each_pair
def test_a_pair_is_found_in_a_folder_and_by_either_file(pair, tmp_path):
    assert SplitPair().files(tmp_path) == ()
    touch(tmp_path, *pair, "another.txt")
    both = tuple(tmp_path / name for name in pair)
    for path in (tmp_path, *both):
        assert SplitPair().files(path) == both
    assert SplitPair().files(tmp_path / "another.txt") == ()


@each_pair
@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_pair_names_the_missing_file_and_the_two_that_are_needed(pair, missing, tmp_path):
    touch(tmp_path, pair[1 - missing])
    with pytest.raises(BadData) as caught:
        SplitPair().files(tmp_path)
    expected = f"{tmp_path}: {pair[missing]} is missing; this format needs both of {', '.join(pair)}"
    assert str(caught.value) == expected


@each_pair
@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_pair_named_by_its_file_says_which_file_is_not_there(pair, missing, tmp_path):
    touch(tmp_path, pair[1 - missing])
    files = SplitPair().files(tmp_path / pair[1 - missing])
    with pytest.raises(BadData) as caught:
        SplitPair().read(files)
    assert str(caught.value) == f"{tmp_path / pair[missing]}: no such file; give a folder or file that exists"


@each_pair
def test_training_rows_stand_before_test_rows_and_are_told_apart(pair, tmp_path):
    (tmp_path / pair[0]).write_text("5\t6\t1\t70\n5\t7\t2\t60\n")
    (tmp_path / pair[1]).write_text("5\t9\t3\t50")
    table = SplitPair().read(SplitPair().files(tmp_path))
    assert table.users.tolist() == [5, 5, 5]
    assert table.items.tolist() == [6, 7, 9]
    assert table.ratings is not None
    assert table.ratings.tolist() == [1.0, 2.0, 3.0]
    assert table.times is not None
    assert table.times.tolist() == [70, 60, 50]
    assert table.is_test is not None
    assert table.is_test.tolist() == [False, False, True]


def test_single_files_give_no_split(tmp_path):
    touch(tmp_path, "u.data")
    assert MovieLensData().read((tmp_path / "u.data",)).is_test is None


@pytest.mark.real
def test_the_real_files_have_the_rows_that_their_publishers_state(real_data):
    # MovieLens 100K: 943 users, 1,682 items, ratings 1 to 5 (its README); latest-small of 2016: 671 and 9,066.
    table = MovieLensData().read(MovieLensData().files(real_data / "ml-100k"))
    assert (len(table), len(set(table.users.tolist())), len(set(table.items.tolist()))) == (100_000, 943, 1_682)
    assert table.ratings is not None
    assert (table.ratings.min(), table.ratings.max()) == (1.0, 5.0)
    table = MovieLensCsv().read(MovieLensCsv().files(real_data / "ml-latest-small"))
    assert (len(table), len(set(table.users.tolist())), len(set(table.items.tolist()))) == (100_004, 671, 9_066)


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "n_train", "n_test"), [("amazon-video", 256_094, 31_013), ("movielens-500", 73_371, 500)]
)
def test_the_real_pairs_have_the_rows_that_their_publishers_state(real_data, folder, n_train, n_test):
    table = SplitPair().read(SplitPair().files(real_data / folder))
    assert table.is_test is not None
    assert (int((~table.is_test).sum()), int(table.is_test.sum())) == (n_train, n_test)
