"""The file formats: what they find, what they read, and that a fault names its file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from recshield.core.errors import BadData
from recshield.data.readers import MovieLensCsv, MovieLensDat, MovieLensData, SplitPair
from recshield.data.table import Reader, Table

HEADER = "userId,movieId,rating,timestamp"
MAX_ID = 4_611_686_018_427_387_904  # 2**62


@dataclass(frozen=True)
class Format:
    """How to write a file of one format, and the sound files that belong beside it."""

    reader: type[Reader]
    name: str
    separator: str = "\t"
    header: str = ""
    partner: str = ""

    def text(self, rows: list[str], newline: str = "\n", end: str | None = None) -> str:
        """Return the file's text; rows are written with | between cells."""
        lines = ([self.header] if self.header else []) + [row.replace("|", self.separator) for row in rows]
        return newline.join(lines) + (newline if end is None else end)

    def write(self, folder: Path, content: str | bytes) -> Path:
        """Write the file (and a sound partner) and return its path."""
        path = folder / self.name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if self.partner:
            (folder / self.partner).write_text("100\t200\t1\t5\n")
        return path

    def read(self, folder: Path) -> Table:
        """Return the rows, those of the partner left out."""
        made = self.reader()
        table = made.read(made.files(folder))
        return table.keep(table.users != 100)


FORMATS = [
    Format(MovieLensData, "u.data"),
    Format(MovieLensCsv, "ratings.csv", ",", HEADER),
    Format(SplitPair, "train.rating", partner="test.rating"),
    Format(SplitPair, "test.rating", partner="train.rating"),
    Format(SplitPair, "trainingset.tsv", partner="testset.tsv"),
    Format(SplitPair, "testset.tsv", partner="trainingset.tsv"),
    Format(MovieLensDat, "ratings.dat", "::"),
]
each_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
ROWS = ["3|0|4.5|881250949", "1|20|1|7", "3|20|0.5|0"]


def assert_read(table: Table) -> None:
    """Hold a table against ROWS."""
    assert table.users.tolist() == [3, 1, 3]
    assert table.items.tolist() == [0, 20, 20]
    assert table.ratings is not None
    assert table.ratings.tolist() == [4.5, 1.0, 0.5]
    assert table.times is not None
    assert table.times.tolist() == [881250949, 7, 0]
    assert (table.users.dtype, table.ratings.dtype, table.times.dtype) == (np.int64, np.float32, np.int64)


@each_format
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("has_end", [True, False])
def test_rows_are_read_in_file_order_whatever_ends_a_line(form, newline, has_end, tmp_path):
    form.write(tmp_path, form.text(ROWS, newline, None if has_end else ""))
    assert_read(form.read(tmp_path))


@each_format
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_blank_lines_are_skipped(form, newline, tmp_path):
    form.write(tmp_path, form.text([ROWS[0], "", *ROWS[1:], "", "  ", ""], newline))
    assert_read(form.read(tmp_path))


@each_format
def test_further_columns_are_left_alone(form, tmp_path):
    form.write(tmp_path, form.text([ROWS[0], ROWS[1] + "|more|words", ROWS[2]]))
    assert_read(form.read(tmp_path))


FAULTS = [
    ("7|8", "2 columns: {line!r}; a row has at least 4, separated by {separators}"),
    ("7|8|3", "3 columns: {line!r}; a row has at least 4, separated by {separators}"),
    ("7", "1 column: '7'; a row has at least 4, separated by {separators}"),
    ("7;8;3;4", "1 column: '7;8;3;4'; a row has at least 4, separated by {separators}"),
    ("cat|8|3|4", "user is 'cat'; it must be a whole number"),
    ("7|cat|3|4", "item is 'cat'; it must be a whole number"),
    ("7|8|good|4", "rating is 'good'; it must be a number"),
    ("7|8|3|today", "timestamp is 'today'; it must be a whole number"),
    ("7||3|4", "item is ''; it must be a whole number"),
    ("7|8||4", "rating is ''; it must be a number"),
    ("7|8.5|3|4", "item is '8.5'; it must be a whole number"),
    ('"7"|8|3|4', "user is '\"7\"'; it must be a whole number"),
    ("-7|8|3|4", "user is -7; it must be at least 0"),
    ("7|-1|3|4", "item is -1; it must be at least 0"),
    ("7|8|3|-4", "timestamp is -4; it must be at least 0"),
    ("7|8|nan|4", "rating is 'nan'; it must be a finite number"),
    ("7|8|NaN|4", "rating is 'NaN'; it must be a finite number"),
    ("7|8|inf|4", "rating is 'inf'; it must be a finite number"),
    ("7|8|-inf|4", "rating is '-inf'; it must be a finite number"),
    ("7|8|1e400|4", "rating is '1e400'; it must be a finite number"),
    ("7|99999999999999999999|3|4", f"item is 99999999999999999999; it must be at most {MAX_ID}"),
    (f"{2**63}|8|3|4", f"user is {2**63}; it must be at most {MAX_ID}"),
    (f"{2**62 + 1}|8|3|4", f"user is {2**62 + 1}; it must be at most {MAX_ID}"),
    ("word " * 20 + "|8|3|4", "user is '" + ("word " * 20)[:57] + "...'; it must be a whole number"),
]


def assert_fault(form: Format, folder: Path, path: Path, line: int, fault: str, row: str) -> None:
    """See that reading says `fault` of this file and line."""
    shown = {"\t": "tabs", ",": "commas", "::": "'::'"}[form.separator]
    expected = fault.format(line=row.replace("|", form.separator), separators=shown)
    with pytest.raises(BadData) as caught:
        form.read(folder)
    assert str(caught.value) == f"{path}, line {line}: {expected}"


@each_format
@pytest.mark.parametrize(("row", "fault"), FAULTS, ids=[row[:24] for row, _ in FAULTS])
def test_a_fault_names_file_and_line_and_what_is_allowed(form, row, fault, tmp_path):
    # The fault stands fourth, after a blank line.
    path = form.write(tmp_path, form.text([ROWS[0], ROWS[1], "", row, ROWS[2]]))
    assert_fault(form, tmp_path, path, 4 + bool(form.header), fault, row)


@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
@pytest.mark.parametrize(("row", "fault"), FAULTS, ids=[row[:24] for row, _ in FAULTS])
def test_of_two_faults_the_first_is_named(form, row, fault, tmp_path):
    path = form.write(tmp_path, form.text([ROWS[0], row, ROWS[1], "x|x|x|x"]))
    assert_fault(form, tmp_path, path, 2 + bool(form.header), fault, row)


@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("row", "fault"), [FAULTS[1], FAULTS[5], FAULTS[15]])
def test_a_fault_in_a_last_line_without_an_end_is_found(form, newline, row, fault, tmp_path):
    path = form.write(tmp_path, form.text([*ROWS, row], newline, end=""))
    assert_fault(form, tmp_path, path, 4 + bool(form.header), fault, row)


@each_format
def test_a_fault_in_the_first_row_is_found(form, tmp_path):
    path = form.write(tmp_path, form.text(["7|8|3", *ROWS]))
    assert_fault(form, tmp_path, path, 1 + bool(form.header), FAULTS[1][1], "7|8|3")


@each_format
def test_the_largest_id_is_read_exactly(form, tmp_path):
    form.write(tmp_path, form.text([f"{MAX_ID}|9007199254740993|3|4"]))
    table = form.read(tmp_path)
    assert (table.users.tolist(), table.items.tolist()) == ([MAX_ID], [9007199254740993])


@each_format
def test_an_empty_file_says_so(form, tmp_path):
    path = form.write(tmp_path, b"")
    with pytest.raises(BadData) as caught:
        form.read(tmp_path)
    assert str(caught.value) == f"{path}: the file is empty; it needs at least one row"


@each_format
def test_a_file_of_blank_lines_or_a_header_alone_has_no_row(form, tmp_path):
    for rows in ([], ["", "  ", ""]):
        path = form.write(tmp_path, form.text(rows) or "\n")
        with pytest.raises(BadData) as caught:
            form.read(tmp_path)
        assert str(caught.value) == f"{path}: the file has no row; it needs at least one"


@each_format
def test_a_missing_file_says_so(form, tmp_path):
    path = form.write(tmp_path, "")
    files = form.reader().files(tmp_path)
    path.unlink()
    with pytest.raises(BadData) as caught:
        form.reader().read(files)
    assert str(caught.value) == f"{path}: no such file; give a folder or file that exists"


@pytest.mark.parametrize(
    "first",
    ["user,item,rating,timestamp", "userId,movieId,rating", "1,2,3,4", "", HEADER.replace(",", "\t"), "us\xe9r"],
)
def test_a_wrong_header_names_line_1_and_the_header_that_must_stand_there(first, tmp_path):
    (tmp_path / "ratings.csv").write_text(f"{first}\n1,2,3,4\n", encoding="utf-8")
    with pytest.raises(BadData) as caught:
        MovieLensCsv().read((tmp_path / "ratings.csv",))
    assert str(caught.value) == f"{tmp_path}/ratings.csv, line 1: the header is {first!r}; it must be {HEADER!r}"


def test_a_header_alone_without_an_end_has_no_row(tmp_path):
    (tmp_path / "ratings.csv").write_text(HEADER)
    with pytest.raises(BadData, match=r"ratings\.csv: the file has no row; it needs at least one"):
        MovieLensCsv().read((tmp_path / "ratings.csv",))


def read_or_fault(form: Format, folder: Path) -> Table | str:
    """Return the rows, or the text of the error."""
    try:
        return form.read(folder)
    except BadData as error:
        return str(error)


@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
def test_bytes_that_are_not_utf_8_are_named_with_their_line(form, tmp_path):
    content = form.text([*ROWS, "7|caf\xe9|3|4"]).encode("latin-1")
    path = form.write(tmp_path, content)
    with pytest.raises(BadData) as caught:
        form.read(tmp_path)
    line = 4 + bool(form.header)
    assert (
        str(caught.value) == f"{path}, line {line}: item is 'caf\N{REPLACEMENT CHARACTER}'; it must be a whole number"
    )


@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
def test_bytes_that_are_not_utf_8_in_a_column_nobody_reads_are_no_traceback(form, tmp_path):
    path = form.write(tmp_path, form.text([*ROWS, "7|8|3|4|caf\xe9"]).encode("latin-1"))
    found = read_or_fault(form, tmp_path)
    assert str(path) in found if isinstance(found, str) else len(found) == 4


@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
def test_a_byte_order_mark_is_read_over_or_named_in_line_1(form, tmp_path):
    path = form.write(tmp_path, form.text(ROWS).encode("utf-8-sig"))
    found = read_or_fault(form, tmp_path)
    if isinstance(found, str):
        assert form.header
        assert found == f"{path}, line 1: the header is '\\ufeff{HEADER}'; it must be '{HEADER}'"
    else:
        assert_read(found)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
def test_other_encodings_are_bad_data(form, encoding, tmp_path):
    path = form.write(tmp_path, form.text(ROWS).encode(encoding))
    with pytest.raises(BadData) as caught:
        form.read(tmp_path)
    assert str(caught.value).startswith(f"{path}, line 1: ")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("form", FORMATS[:3], ids=lambda form: form.name)
def test_a_rating_too_large_for_float32_is_bad_data(form, tmp_path):
    path = form.write(tmp_path, form.text([*ROWS, "7|8|1e300|4"]))
    with pytest.raises(BadData) as caught:
        form.read(tmp_path)
    assert str(caught.value).startswith(f"{path}, line {4 + bool(form.header)}: rating is ")
