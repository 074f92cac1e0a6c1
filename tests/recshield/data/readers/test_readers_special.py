"""Parquet, RecBole's files, sequences and adjacency lines: what they read, what each fault says, which comes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from recshield.core import settings
from recshield.core.errors import BadData
from recshield.data.catalogue import DataSource, resolve
from recshield.data.ids import encode
from recshield.data.table import Table


def source_of(folder: Path, name: str, content: str | bytes, **options: object) -> DataSource:
    """Write a file and return its source."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return resolve(str(folder / name), **options)  # type: ignore[arg-type]


def ids(table: Table) -> tuple[list[object], list[object]]:
    """Return the original ids of every row."""
    users, items = encode(table.users, table.user_ids), encode(table.items, table.item_ids)
    return users[0][users[1]].tolist(), items[0][items[1]].tolist()


def fault_of(folder: Path, name: str, content: str | bytes, **options: object) -> str:
    """Return what reading a file says, its folder left out."""
    with pytest.raises(BadData) as caught:
        source_of(folder, name, content, **options).read()
    return str(caught.value).replace(f"{folder}/", "")


CSV = "userId,sku,stars,ts\n7,A-1,4.5,100\n12,B,1,50\n7,A-1,3,75\n"

# Parquet


def columnar(folder: Path, **columns: object) -> str:
    """Write a Parquet file and return its path."""
    parquet.write_table(pa.table(columns), folder / "a.parquet")
    return str(folder / "a.parquet")


def test_parquet_takes_numbers_texts_timestamps_and_dictionaries(tmp_path):
    path = columnar(
        tmp_path,
        user=pa.array(["b", "a", "b"]).dictionary_encode(),
        item=pa.array([3, 1, 2], pa.int16()),
        stars=pa.array([1, 2, 3], pa.int8()),
        date=pa.array([1, 0, 2], pa.timestamp("ms", "UTC")),
    )
    table = resolve(path).read()
    assert ids(table) == (["b", "a", "b"], [3, 1, 2])
    assert table.ratings.tolist() == [1.0, 2.0, 3.0]
    assert table.times.tolist() == [0.001, 0.0, 0.002]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"user": [1.5], "item": [1]}, "a.parquet: the column 'user' for user is of type double; ids are whole numbers or text"),
        ({"user": [1], "item": [[1]]}, "a.parquet: the column 'item' for item is of type list<"),
        ({"user": [1], "item": [1], "stars": ["x"]}, "a.parquet: the column 'stars' for rating is of type string; ratings are numbers"),
        ({"user": [1], "item": [1], "ts": [True]}, "a.parquet: the column 'ts' for time is of type bool; times are numbers"),
        ({"user": [1, None], "item": [1, 2]}, "a.parquet, row 2: user is missing; every row has one"),
        ({"user": ["a", None], "item": [1, 2]}, "a.parquet, row 2: user is missing; every row has one"),
        ({"user": [1, -1], "item": [1, 2]}, "a.parquet, row 2: user is -1; it must be at least 0"),
        ({"user": [1, 2**62 + 1], "item": [1, 2]}, f"a.parquet, row 2: user is {2**62 + 1}; it must be at most {2**62}"),
        ({"user": [1], "item": [1], "stars": [float("nan")]}, "a.parquet, row 1: rating is 'nan'; it must be a finite number"),
        ({"user": [1], "item": [1], "ts": [float("inf")]}, "a.parquet, row 1: time is inf; it must be a finite number"),
        ({"user": pa.array([], pa.int64()), "item": pa.array([], pa.int64())}, "a.parquet: the file has no row"),
        ({"who": [1], "item": [1]}, "a.parquet: no column is known to be the user; name it with --columns user=NAME"),
    ],
)  # fmt: skip
def test_a_parquet_file_with_wrong_types_or_values_says_so(columns, said, tmp_path):
    with pytest.raises(BadData) as caught:
        resolve(columnar(tmp_path, **columns)).read()
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(said)


def test_a_damaged_or_swollen_parquet_file_says_so(tmp_path, monkeypatch):
    path = Path(columnar(tmp_path, user=np.zeros(50_000, int), item=np.zeros(50_000, int)))
    monkeypatch.setattr(settings, "DATA_FILE_BYTES", 200_000)
    with pytest.raises(
        BadData, match=r"a\.parquet: 50000 rows that unpack to \d+ bytes; at most 200000 bytes are read"
    ):
        resolve(str(path)).read()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadData, match=r"a\.parquet: this is no sound Parquet file \(.*\); write it again"):
        resolve(str(path)).read()


# RecBole


def test_recbole_headers_carry_types_and_further_columns_are_left_alone(tmp_path):
    content = (
        'item_id:token\tprice:float\tuser_id:token\ttimestamp:float\trating:float\nx\t1\tu\t7.5\t3\n"y\t2\tu\t8\t4\n'
    )
    table = source_of(tmp_path, "a.inter", content).read()
    assert ids(table) == (["u", "u"], ["x", '"y'])
    assert table.times.tolist() == [7.5, 8.0]
    assert table.ratings.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "user_id\titem_id\n1\t2\n",
            "line 1: the header holds 'user_id'; each name carries token, token_seq, float or",
        ),
        (
            "user_id:token\tprice:float\n1\t2\n",
            "line 1: the header has no 'item_id:token'; it must hold one; it holds: user_id",
        ),
        (
            "user_id:float\titem_id:token\n1\t2\n",
            "line 1: the header holds 'user_id:float'; it must be 'user_id:token'",
        ),
        (
            "user_id:token\tuser_id:token\titem_id:token\n1\t2\t3\n",
            "line 1: the header holds 'user_id' twice; each name",
        ),
        ("user_id:token\titem_id:token\n1\n", "line 2: 1 column: '1'; a row has 2 like the header, separated by tabs"),
        ("user_id:token\titem_id:token\trating:float\n1\t2\tx\n", "line 2: rating is 'x'; it must be a number"),
    ],
)
def test_a_fault_in_a_recbole_file_is_named(content, said, tmp_path):
    assert fault_of(tmp_path, "a.inter", content).startswith(f"a.inter, {said}")


# ratings.dat, sequences and adjacency


def test_what_stands_between_two_colons_is_not_skipped(tmp_path):
    said = "ratings.dat, line 2: 3 columns: '1:9:2::3::4'; a row has at least 4, separated by '::'"
    assert fault_of(tmp_path, "ratings.dat", "1::2::3::4\n1:9:2::3::4\n") == said
    assert fault_of(tmp_path, "ratings.dat", "1:9:2::3::4\n") == said.replace("line 2", "line 1")


def test_the_order_of_lines_is_the_order_of_time_in_a_sequence_file(tmp_path):
    split = source_of(tmp_path, "beauty.txt", "1 5\n1 3\n2 9\n1 4\n2 8\n").split()
    assert split.dataset.item_ids[split.test.items].tolist() == [4, 8]
    assert (
        fault_of(tmp_path, "beauty.txt", "1 5\n1\n")
        == "beauty.txt, line 2: 1 column: '1'; a row has at least 2, separated by spaces"
    )
    assert (
        fault_of(tmp_path, "beauty.txt", "1 5\n1 x\n") == "beauty.txt, line 2: item is 'x'; it must be a whole number"
    )


def test_adjacency_lines_are_a_user_and_the_users_items(tmp_path):
    (tmp_path / "test.txt").write_text("0 4\n1 1 2\n")
    source = source_of(tmp_path, "train.txt", "0 1  2 \r\n\n2\n1 3\n")
    table = source.read()
    assert (source.reader, [Path(file).name for file in source.files]) == ("adjacency", ["train.txt", "test.txt"])
    assert table.users.tolist() == [0, 0, 1, 0, 1, 1]
    assert table.items.tolist() == [1, 2, 3, 4, 1, 2]
    assert table.is_test.tolist() == [False] * 3 + [True] * 3
    assert source.split().facts["split"] == "as the files give it"
    (tmp_path / "test.txt").unlink()
    assert resolve(str(tmp_path)).read().is_test is None


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("0 1\n0 x\n", "0 1\n", "train.txt, line 2: item is 'x'; it must be a whole number"),
        ("0 1\n-2 1\n", "0 1\n", "train.txt, line 2: user is -2; it must be at least 0"),
        ("0 1\n2 1 0x10\n", "0 1\n", "train.txt, line 2: item is '0x10'; it must be a whole number"),
        ("0 1\n2 1.5\n", "0 1\n", "train.txt, line 2: item is '1.5'; it must be a whole number"),
        (f"0 {2**62 + 1}\n", "0 1\n", f"train.txt, line 1: item is {2**62 + 1}; it must be at most {2**62}"),
        ("0 1\n", "0 1\n\n3\n", "test.txt, line 3: user 3 has no item; a line is a user and at least one item"),
        ("\n\n", "0 1\n", "train.txt: the file has no row; a line is a user and the user's items"),
        ("5\n", "0 1\n", "train.txt: the file has no row; a line is a user and the user's items"),
        ("0 1\n", "", "test.txt: the file is empty; it needs at least one row"),
        (
            b"0 1\n0 \xff\n",
            "0 1\n",
            "train.txt, line 2: item is '\N{REPLACEMENT CHARACTER}'; it must be a whole number",
        ),
    ],
)
def test_a_fault_in_adjacency_lines_is_named(train, test, said, tmp_path):
    (tmp_path / "test.txt").write_text(test)
    assert fault_of(tmp_path, "train.txt", train) == said


def test_a_test_file_alone_is_half_a_data_set(tmp_path):
    with pytest.raises(
        BadData, match=r"train\.txt is missing; this format needs train\.txt, with or without test\.txt"
    ):
        source_of(tmp_path, "test.txt", "0 1\n")


def test_the_first_reader_by_priority_takes_a_folder_and_several_tables_need_a_name(tmp_path):
    for name, content in (
        ("a.csv", CSV),
        ("b.parquet", "x"),
        ("c.inter", "x"),
        ("d.txt", "1 2\n"),
        ("train.txt", "0 1\n"),
    ):
        (tmp_path / name).write_text(content)
    for name, reader in (
        ("train.txt", "adjacency"),
        ("c.inter", "recbole"),
        ("d.txt", "sequence-text"),
        ("a.csv", "table-text"),
    ):
        assert resolve(str(tmp_path)).reader == reader
        (tmp_path / name).unlink()
    assert resolve(str(tmp_path)).reader == "table-parquet"
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "movies.csv").write_text(CSV)
    with pytest.raises(BadData, match=r"several tables: a\.csv, movies\.csv; name the file to read"):
        resolve(str(tmp_path))


@pytest.mark.real
def test_the_real_ratings_are_the_same_through_the_general_reader(real_data):
    folder = real_data / "ml-latest-small"
    own = resolve(str(folder)).split()
    general = resolve(str(folder / "ratings.csv"), columns="user=userId,item=movieId,time=timestamp,rating=rating")
    assert (resolve(str(folder)).reader, general.reader) == ("movielens-csv", "table-text")
    split = general.split()
    assert np.array_equal(split.dataset.train.items, own.dataset.train.items)
    assert np.array_equal(split.test.items, own.test.items)
    assert np.array_equal(split.dataset.user_ids, own.dataset.user_ids)


@pytest.mark.real
def test_gowalla_has_the_rows_that_its_readme_counts(real_data):
    table = resolve(str(real_data / "gowalla")).read()
    assert (int((~table.is_test).sum()), int(table.is_test.sum())) == (719_081, 217_242)
    assert (len(set(table.users.tolist())), len(set(table.items.tolist()))) == (29_858, 40_981)
