"""Delimited text with a header: read with all threads, and on a fault line by line, to name the line."""

from __future__ import annotations

import csv as slow_csv
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from recshield.core.errors import BadData
from recshield.core.settings import DATA_LINE_LENGTH
from recshield.data.convert import RowFault, short, to_table
from recshield.data.plain import plain
from recshield.data.table import Table

_WORDS = {"\t": "tabs", ",": "commas", "|": "bars", ";": "semicolons"}
_IDS = ("user", "item")
_BLOCK = 4 << 20

#: Header -> role -> place of its column; raises BadData.
FindRoles = Callable[[Sequence[str]], Mapping[str, int]]


def read_text_table(
    path: Path, separator: str, quote: str | None, find_roles: FindRoles, n_head: int = 1
) -> tuple[Table, list[str]]:
    """Return the rows of a text table and the names in its header, or their places, from 1, where it has none.

    Args:
        path: the file, `.gz` or not.
        separator: one character.
        quote: what a cell with a separator in it stands between, or None.
        find_roles: says which columns to read.
        n_head: 1 where the first row is a header, else 0.

    Raises:
        BadData: missing, empty or malformed; names file and line.
    """
    with plain(path) as held:
        _, header = next(_lines(held, path, separator, quote), (1, []))
        width = len(header)
        header = header if n_head else [str(place + 1) for place in range(width)]
        roles = find_roles(header)
        columns = _read_fast(held, separator, quote, roles, width, n_head)
        if columns is None:
            columns = _read_slowly(held, path, separator, quote, roles, width, n_head)
        if not len(columns["user"]):
            raise BadData.at(path, None, "the file has no row", "it needs at least one")
        try:
            return to_table(columns, {}), header
        except RowFault as fault:
            line = _line_of(fault.row + n_head, held, path, separator, quote)
            raise BadData.at(path, line, fault.wrong, fault.allowed) from None


def guess_separator(head: bytes) -> str:
    """Return what separates the cells of a table: the most frequent in its first line, a comma if there is none."""
    first = head.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    return max(_WORDS, key=lambda one: (first.count(one), one == ","))


def _read_fast(
    held: Path, separator: str, quote: str | None, roles: Mapping[str, int], width: int, n_head: int
) -> dict[str, pa.ChunkedArray] | None:
    """Read with all threads, as texts; None where anything is in doubt."""
    has_quotes = quote is not None and _holds(held, quote.encode())
    names = [f"f{place}" for place in range(width)]
    kinds = {
        names[place]: pa.dictionary(pa.int32(), pa.string()) if role in _IDS else pa.string()
        for role, place in roles.items()
    }
    try:
        table = csv.read_csv(
            held,
            csv.ReadOptions(column_names=names, skip_rows=n_head, block_size=_BLOCK),
            csv.ParseOptions(
                delimiter=separator, quote_char=quote if has_quotes else False, newlines_in_values=has_quotes
            ),
            csv.ConvertOptions(
                column_types=kinds, include_columns=list(kinds), null_values=[], strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, KeyError, ValueError):
        return None
    return {role: table[names[place]] for role, place in roles.items()}


def _holds(held: Path, what: bytes) -> bool:
    with held.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(what) >= 0


def _texts(held: Path, path: Path, place: list[int]) -> Iterator[str]:
    """Yield lines as text, their number in `place`; name the first that is too long or no UTF-8."""
    with held.open("rb") as stream:
        while line := stream.readline(DATA_LINE_LENGTH):
            place[0] += 1
            if len(line) == DATA_LINE_LENGTH and not line.endswith(b"\n"):
                allowed = f"a line has fewer than {DATA_LINE_LENGTH} characters"
                raise BadData.at(path, place[0], "the line does not end", allowed)
            try:
                text = line.decode("utf-8-sig" if place[0] == 1 else "utf-8")
            except UnicodeDecodeError:
                raise BadData.at(path, place[0], "bytes that are not UTF-8", "save the file as UTF-8") from None
            if "\0" in text:
                raise BadData.at(path, place[0], "a zero byte", "the file must be text; save it as UTF-8")
            yield text


def _lines(held: Path, path: Path, separator: str, quote: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, its cells and the line it begins in; the header is the first."""
    place, start = [0], 1
    texts = _texts(held, path, place)
    before = slow_csv.field_size_limit(DATA_LINE_LENGTH)
    try:
        reader = slow_csv.reader(texts, delimiter=separator, quotechar=quote, quoting=0 if quote else 3, strict=True)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, cells
            start = place[0] + 1
    except slow_csv.Error:
        allowed = f"a quoted cell begins and ends with {quote}, and quotes within it are doubled"
        raise BadData.at(path, start, "a quoted cell that is not closed, or goes on behind its end", allowed) from None
    finally:
        slow_csv.field_size_limit(before)


def _read_slowly(
    held: Path, path: Path, separator: str, quote: str | None, roles: Mapping[str, int], width: int, n_head: int
) -> dict[str, pa.ChunkedArray]:
    """Read row by row: find the first that is wrong, or read what the fast parser is too strict for."""
    found: dict[str, list[str]] = {role: [] for role in roles}
    for number, (line, cells) in enumerate(_lines(held, path, separator, quote)):
        if number < n_head:
            continue
        if len(cells) != width:
            wrong = f"{len(cells)} column{'s' * (len(cells) != 1)}: {short(separator.join(cells))}"
            word, first = _WORDS.get(separator, repr(separator)), "header" if n_head else "first"
            raise BadData.at(path, line, wrong, f"a row has {width} like the {first}, separated by {word}")
        for role, place in roles.items():
            found[role].append(cells[place])
    return {role: pa.chunked_array([pa.array(values, pa.large_string())]) for role, values in found.items()}


def _line_of(row: int, held: Path, path: Path, separator: str, quote: str | None) -> int | None:
    for number, (line, _) in enumerate(_lines(held, path, separator, quote)):
        if number == row:
            return line
    return None
