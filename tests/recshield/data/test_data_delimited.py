"""The fast reader of delimited numbers against a slow one, on drawn text and on drawn bytes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recshield.core import settings as defaults
from recshield.core.errors import BadData
from recshield.data.delimited import Column, read_columns

#: Bad as ids, good as ratings.
FINE_RATINGS = ("-1", "1.5", "99999999999999999999")
COLUMNS = (Column("user", 0), Column("item", 1), Column("rating", 2, is_whole=False))
GOOD = {"0": 0, "7": 7, "12": 12, " 3": 3, "5 ": 5, "+4": 4, "9007199254740993": 9007199254740993}
BAD = ["", "x", "-1", "1.5", "nan", "1 2", "--1", "99999999999999999999", "0x1", "1-", "é"]
CELLS = st.one_of(st.sampled_from(sorted(GOOD)), st.sampled_from(sorted(GOOD)), st.sampled_from(BAD))
ROWS = st.lists(st.one_of(st.just([]), st.lists(CELLS, min_size=1, max_size=5), st.tuples(*[CELLS] * 3)), max_size=6)


def slow_fault(rows: list[list[str]]) -> int | None:
    """Return the number of the first wrong line, by the rules written down once more; None = all are sound."""
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        if len(row) < 3 or not {row[0], row[1]} <= set(GOOD) or row[2] not in (*GOOD, *FINE_RATINGS):
            return number
    return None


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, newline=st.sampled_from(["\n", "\r\n"]), has_end=st.booleans())
def test_reading_agrees_with_a_slow_reader_line_by_line(tmp_path_factory, rows, newline, has_end):
    rows = [list(row) for row in rows if not row or "".join(row).strip()]
    path = tmp_path_factory.mktemp("drawn") / "drawn.csv"
    path.write_bytes((newline.join(",".join(row) for row in rows) + (newline if has_end else "")).encode())
    wrong, kept = slow_fault(rows), [row for row in rows if row]
    if wrong is None and kept:
        found = read_columns(path, COLUMNS, ",")
        assert found["user"].tolist() == [GOOD[row[0]] for row in kept]
        assert found["item"].tolist() == [GOOD[row[1]] for row in kept]
        np.testing.assert_allclose(found["rating"], [float(row[2]) for row in kept], rtol=1e-15)
        return
    with pytest.raises(BadData) as caught:
        read_columns(path, COLUMNS, ",")
    where = f"{path}, line {wrong}: " if wrong is not None else f"{path}: the file "
    assert str(caught.value).startswith(where)


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=30).map(lambda junk: b"1,2,3\n" + junk)))
def test_any_bytes_are_sound_rows_or_bad_data(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("drawn") / "drawn.csv"
    path.write_bytes(content)
    fault, found = "", {}
    try:
        found = read_columns(path, COLUMNS, ",")
    except BadData as error:
        fault = str(error)
    assert bool(found) != fault.startswith(str(path))
    if found:
        assert len({len(values) for values in found.values()}) == 1
        assert min(found["user"].min(), found["item"].min()) >= 0
        assert np.isfinite(found["rating"]).all()


def test_columns_are_read_from_their_places_in_any_order(tmp_path):
    (tmp_path / "wide").write_text("a|1|b|2\nc|3|d|4\n")
    found = read_columns(tmp_path / "wide", (Column("item", 3), Column("user", 1)), "|")
    assert {name: values.tolist() for name, values in found.items()} == {"item": [2, 4], "user": [1, 3]}


def test_another_separator_is_named_in_words(tmp_path):
    (tmp_path / "wide").write_text("1|2\n")
    with pytest.raises(BadData, match=r"line 1: 2 columns: '1\|2'; a row has at least 3, separated by bars"):
        read_columns(tmp_path / "wide", COLUMNS, "|")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "large").write_text("1,2,3\n" * 3)
    monkeypatch.setattr(defaults, "DATA_FILE_BYTES", 17)
    with pytest.raises(BadData) as caught:
        read_columns(tmp_path / "large", COLUMNS, ",")
    assert str(caught.value) == f"{tmp_path}/large: the file has 18 bytes; at most 17 are read"


def test_a_folder_in_place_of_the_file_is_no_such_file(tmp_path):
    with pytest.raises(BadData, match="no such file; give a folder or file that exists"):
        read_columns(tmp_path, COLUMNS, ",")


def read(tmp_path, content: str):
    (tmp_path / "toy").write_text(content, encoding="utf-8")
    return read_columns(tmp_path / "toy", COLUMNS, "\t")


@pytest.mark.parametrize("content", ["1\t2\tTrue\n1\t3\tFalse\n", "True\t2\t3\n", "1\tFALSE\t3\n"])
def test_words_for_truth_are_no_numbers(tmp_path, content):
    with pytest.raises(BadData, match="line 1: "):
        read(tmp_path, content)


def test_an_id_written_as_a_decimal_does_not_change_the_others(tmp_path):
    try:
        found = read(tmp_path, "9007199254740993\t2\t3\n1.0\t2\t3\n")
    except BadData:
        return
    assert found["user"].tolist() == [9007199254740993, 1]


def test_a_fault_below_a_byte_order_mark_is_put_on_its_own_line(tmp_path):
    with pytest.raises(BadData, match="line 2: item is 'x'"):
        read(tmp_path, "\ufeff1\t2\t3\n1\tx\t3\n")


@pytest.mark.parametrize("row", ["\t\t", "1_0\t2\t3", "1\t2\t1_0", "\N{ARABIC-INDIC DIGIT THREE}\t2\t3", "\f"])
def test_what_only_pandas_refuses_is_named_with_its_line(tmp_path, row):
    with pytest.raises(BadData, match="line 2: "):
        read(tmp_path, f"1\t2\t3\n{row}\n1\t2\t3\n")


def test_a_fault_is_named_without_a_warning_of_numpy(tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(BadData, match="line 1: user is 'inf'; it must be a whole number"):
            read(tmp_path, "inf\t2\t3\n")
    assert told == []
