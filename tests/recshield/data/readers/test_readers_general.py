"""Text tables with named or recognised columns, packed or not: what they read, and what each fault says."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_columns_are_recognised_by_their_names_and_that_is_told(tmp_path):
    table = source_of(tmp_path, "shop.csv", CSV).read()
    assert ids(table) == ([7, 12, 7], ["A-1", "B", "A-1"])
    assert table.ratings.tolist() == [4.5, 1.0, 3.0]
    assert table.times.tolist() == [100, 50, 75]
    told = "user=userId, item=sku, rating=stars, time=ts; recognised by their names, --columns names others"
    assert table.facts == {"columns": told}


@pytest.mark.parametrize("separator", ["\t", ";", "|"])
def test_the_separator_is_the_most_frequent_in_the_header(separator, tmp_path):
    table = source_of(tmp_path, "shop.csv", CSV.replace(",", separator)).read()
    assert ids(table) == ([7, 12, 7], ["A-1", "B", "A-1"])


def test_named_columns_win_over_usual_names_and_over_a_format(tmp_path):
    content = "user,buyer,item,when\n1,x,10,3\n2,y,11,4\n"
    named = {"columns": "user=buyer,time=when"}
    for name in ("ratings.csv", "u.data", "shop.log"):
        source = source_of(tmp_path, name, content, **named)
        assert source.reader == "table-text"
        table = source.read()
        assert ids(table) == (["x", "y"], [10, 11])
        assert table.times.tolist() == [3, 4]
        assert table.facts["columns"].startswith("user=buyer, item=item, time=when; recognised")
    assert source_of(tmp_path, "ratings.csv", CSV).reader == "movielens-csv"


def test_without_times_the_order_of_rows_is_said_to_be_the_order_of_time(tmp_path):
    table = source_of(tmp_path, "a.csv", "user,item\n1,2\n1,3\n").read()
    assert table.times is None
    assert table.facts["time"] == "no column of times: the order of the rows is taken for the order of time"
    assert table.facts["columns"].endswith("; no rating and no time")


def test_quoted_cells_may_hold_separators_quotes_and_line_ends(tmp_path):
    content = 'user,item,note\n"a,b",1,"x ""y""\nz"\nc,2,\n\n"d",3,plain\n'
    table = source_of(tmp_path, "a.csv", content).read()
    assert ids(table) == (["a,b", "c", "d"], [1, 2, 3])


def test_a_fault_behind_a_cell_of_two_lines_is_put_on_its_own_line(tmp_path):
    content = 'user,item,note\n1,2,"a\nb"\n1,,"c\nd"\n'
    assert fault_of(tmp_path, "a.csv", content) == "a.csv, line 4: item is empty; every row has one"


def test_a_cell_of_two_lines_may_lie_on_the_edge_of_a_block(tmp_path, monkeypatch):
    from recshield.data import text_tables

    monkeypatch.setattr(text_tables, "_BLOCK", 64)
    rows = [(user, f'"i\n{user},7"') for user in range(100)]
    content = "user,item\n" + "".join(f"{user},{item}\n" for user, item in rows)
    source = source_of(tmp_path, "a.csv", content)
    monkeypatch.setattr(text_tables, "_read_slowly", None)  # the fast path reads it
    assert ids(source.read()) == (list(range(100)), [f"i\n{user},7" for user in range(100)])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["7", "12", "7"], [7, 12, 7]),
        (["007", "7", "12"], ["007", "7", "12"]),
        (["7", "x", "12"], ["7", "x", "12"]),
        ([str(2**62), "1", "0"], [2**62, 1, 0]),
        (["118220804931692931234", "1", "0"], ["118220804931692931234", "1", "0"]),
        ([" 7 ", "7", "a b "], ["7", "7", "a b"]),
        (["\xe9", "\u65e5\u672c", "a"], ["\xe9", "\u65e5\u672c", "a"]),
    ],
)
def test_ids_are_numbers_only_where_that_loses_nothing(texts, expected, tmp_path):
    table = source_of(tmp_path, "a.csv", "user,item\n" + "".join(f"{text},1\n" for text in texts)).read()
    assert ids(table)[0] == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["3", "10", "0"], [3, 10, 0]),
        (["1.5", "2", "1e1"], [1.5, 2.0, 10.0]),
        (["2024-01-01", "2024-01-02", "1970-01-01"], [1704067200, 1704153600, 0]),
        (
            ["2024-01-01T00:00:00Z", "2024-01-01T02:00:00+02:00", "2024-01-01T00:00:01Z"],
            [1704067200, 1704067200, 1704067201],
        ),
        (["2024-01-01 00:00:00.5", "2024-01-01 00:00:01", "2024-01-01"], [1704067200.5, 1704067201.0, 1704067200.0]),
    ],
)
def test_times_are_seconds_or_iso_dates(texts, expected, tmp_path):
    table = source_of(tmp_path, "a.csv", "user,item,time\n" + "".join(f"1,2,{text}\n" for text in texts)).read()
    assert table.times.tolist() == expected
    assert table.times.dtype == (np.int64 if all(isinstance(one, int) for one in expected) else np.float64)


HEADER_FAULTS = [
    ("a,b,c\n1,2,3\n", "a.csv, line 1: no column is known to be the user; name it with --columns user=NAME; columns: 'a', 'b', 'c'"),
    ("user,b\n1,2\n", "a.csv, line 1: no column is known to be the item; name it with --columns item=NAME; columns: 'user', 'b'"),
    ("user,uid,item\n1,2,3\n", "a.csv, line 1: the user could be 'user' or 'uid'; say which with --columns user=NAME; columns: 'user', 'uid', 'item'"),
    ("user,item,item\n1,2,3\n", "a.csv, line 1: the column 'item' stands twice; each name stands once"),
    ("1,2\n3,4\n", "a.csv, line 1: no column is known to be the user; name it with --columns user=NAME; columns: '1', '2'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), HEADER_FAULTS)
def test_a_header_that_does_not_say_enough_is_an_error_with_its_columns(content, said, tmp_path):
    assert fault_of(tmp_path, "a.csv", content) == said


def test_a_named_column_that_is_not_there_or_has_two_roles_is_an_error(tmp_path):
    said = fault_of(tmp_path, "a.csv", CSV, columns="user=who")
    assert said == "a.csv, line 1: there is no column 'who' for user; columns: 'userId', 'sku', 'stars', 'ts'"
    said = fault_of(tmp_path, "a.csv", CSV, columns="user=sku,item=sku")
    assert said.startswith("a.csv, line 1: one column has two roles; name one column for each; columns: 'userId', ")


FAULTS = [
    ("7", "1 column: '7'; a row has 4 like the header, separated by commas"),
    ("7,8,3,4,5", "5 columns: '7,8,3,4,5'; a row has 4 like the header, separated by commas"),
    (",8,3,4", "user is empty; every row has one"),
    ("7,  ,3,4", "item is empty; every row has one"),
    ("7,8,good,4", "rating is 'good'; it must be a number"),
    ("7,8,,4", "rating is ''; it must be a number"),
    ("7,8,0x10,4", "rating is '0x10'; it must be a number"),
    ("7,8,nan,4", "rating is 'nan'; it must be a finite number"),
    ("7,8,-inf,4", "rating is '-inf'; it must be a finite number"),
    ("7,8,1e39,4", "rating is '1e39'; it must be at most 3.403e+38"),
    ("7,8,3,soon", "time is 'soon'; it must be seconds since 1970 or an ISO 8601 date"),
    ("7,8,3,-4", "time is -4; it must be a finite number of at least 0"),
    ("7,8,3,", "time is ''; it must be seconds since 1970 or an ISO 8601 date"),
    ("7,8,3,2024-01-01", "time is '2024-01-01'; it must be seconds since 1970 or an ISO 8601 date"),
    ("-7,8,3,4", "user is -7; it must be at least 0"),
    ('7,"8,3,4', 'a quoted cell that is not closed, or goes on behind its end; a quoted cell begins and ends with "'),
    ("7,\xe98,3,4".encode("latin-1"), "bytes that are not UTF-8; save the file as UTF-8"),
    (b"7,\0,3,4", "a zero byte; the file must be text; save it as UTF-8"),
    ("x" * 513 + ",8,3,4", "user is too long; at most 512 characters"),
]


@pytest.mark.parametrize(("row", "said"), FAULTS, ids=[str(row)[:20] for row, _ in FAULTS])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_fault_names_file_and_line_behind_blank_and_quoted_lines(row, said, name, tmp_path):
    before = b'user,item,rating,time\n1,2,3,4\n\n"1",2,"3",4\n'
    content = before + (row if isinstance(row, bytes) else row.encode()) + b"\n1,2,3,4\n"
    found = fault_of(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert found.startswith(f"{name}, line 5: {said}")


def test_of_several_faults_the_first_row_is_named(tmp_path):
    content = "user,item,rating,time\n1,2,3,4\n1,2,3,x\n1,2,y,4\n"
    assert fault_of(tmp_path, "a.csv", content).startswith("a.csv, line 3: time is 'x'")


def test_dates_and_a_word_among_them_are_named(tmp_path):
    content = "user,item,time\n1,2,2024-01-01\n1,2,2024-13-01\n"
    assert fault_of(tmp_path, "a.csv", content).startswith(
        "a.csv, line 3: time is '2024-13-01'; it must be an ISO 8601 date"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.csv.gz: the file is empty; it needs at least one row"),
        (gzip.compress(b""), "a.csv.gz: the file is empty; it needs at least one row"),
        (gzip.compress(b"user,item\n"), "a.csv.gz: the file has no row; it needs at least one"),
        (gzip.compress(CSV.encode() * 99)[:-12], "a.csv.gz: the gzip file is cut short; fetch or write it again"),
        (CSV, "a.csv.gz: this is no sound gzip file; fetch it again, or take .gz from its name if it is plain text"),
        (gzip.compress(CSV.encode())[:-8] + bytes(8), "a.csv.gz: this is no sound gzip file; fetch it again"),
        (gzip.compress(b"0" * 300_000), "a.csv.gz: the file unpacks to too much; at most 200000 bytes are read"),
    ],
    ids=["empty", "empty within", "no row", "cut", "plain", "damaged", "bomb"],
)
def test_a_packed_file_that_is_not_sound_says_so(content, said, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "DATA_FILE_BYTES", 200_000)
    assert fault_of(tmp_path, "a.csv.gz", content).startswith(said)


@pytest.mark.parametrize(
    ("name", "content", "n_rows"),
    [
        ("u.data", "1\t2\t3\t4\n", 1),
        ("ratings.dat", "1::2::3::4\n5::6::7::8\n", 2),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,2,3,4\n", 1),
        ("a.inter", "user_id:token\titem_id:token\n1\tx\n", 1),
        ("beauty.txt", "1 2\n1 3\n", 2),
        ("train.txt", "0 1 2\n", 2),
        ("a.tsv", "user\titem\n1\t2\n", 1),
    ],
)
def test_every_text_format_may_be_packed(name, content, n_rows, tmp_path):
    plain = source_of(tmp_path, name, content)
    (tmp_path / name).unlink()
    packed = source_of(tmp_path, f"{name}.gz", gzip.compress(content.encode()))
    assert packed.reader == plain.reader == resolve(str(tmp_path)).reader
    assert len(packed.read()) == n_rows


def test_a_line_that_does_not_end_is_refused(tmp_path, monkeypatch):
    from recshield.data import delimited, text_tables

    for module in (delimited, text_tables):
        monkeypatch.setattr(module, "DATA_LINE_LENGTH", 40)
    said = "line 2: the line does not end; a line has fewer than 40 characters"
    assert fault_of(tmp_path, "a.csv", "user,item\n" + "1" * 50 + "\n") == f"a.csv, {said}"
    assert fault_of(tmp_path, "u.data", "1\t2\t3\t4\n" + "1" * 50 + "\n") == f"u.data, {said}"


@given(content=st.one_of(st.binary(max_size=80), st.text('1a,"\n\r\t. -:', max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_named(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    source = source_of(folder, "a.csv", b"user,item,rating,time\n" + content)
    fault = ""
    try:
        table = source.read()
    except BadData as error:
        fault = str(error)
    if fault:
        assert fault.startswith(f"{folder}/a.csv")
        return
    assert len(table) > 0
    assert np.isfinite(table.ratings).all()


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)


@given(rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12))
def test_what_pythons_csv_writes_is_read_back(rows, tmp_path_factory):
    import csv
    import io

    out = io.StringIO()
    csv.writer(out).writerows(
        [("note", "user", "item"), *((note, f"u{user}", f"i{item}") for note, user, item in rows)]
    )
    table = source_of(tmp_path_factory.mktemp("csv"), "a.csv", out.getvalue()).read()
    assert ids(table) == ([f"u{row[1]}".strip() for row in rows], [f"i{row[2]}".strip() for row in rows])
