"""Read delimited numbers fast, and on failure find the file and line that is wrong."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from recshield.core.errors import BadData
from recshield.core.settings import DATA_LINE_LENGTH
from recshield.data.plain import plain

_MAX_ID = 2**62
_MAX_NUMBER = float(np.finfo(np.float32).max)
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,5})?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One column: its name in messages and its place in the row; ids and times are whole numbers of at least 0."""

    name: str
    place: int
    is_whole: bool = True


def read_columns(
    path: Path, columns: Sequence[Column], separator: str, header: str | None = None
) -> dict[str, NDArray[Any]]:
    """Return the columns of a delimited file of numbers.

    Args:
        path: the file.
        columns: what to read.
        separator: one character, or one that stands twice (`::`).
        header: the first line that must stand there, or None.

    Raises:
        BadData: missing, empty or malformed; names file and line.
    """
    with plain(path) as held:
        if header is not None:
            _check_header(held, path, header)
        found = _read_fast(held, columns, separator, header)
        return _read_slowly(held, path, columns, separator, header) if found is None else found


def _read_fast(
    held: Path, columns: Sequence[Column], separator: str, header: str | None
) -> dict[str, NDArray[Any]] | None:
    """Read with all threads; None where anything is in doubt."""
    step = len(separator)  # the fast parser splits at one character: `::` leaves empty columns between the others
    names = {f"f{column.place * step}": column for column in columns}
    gaps = [f"f{place}" for place in range(1, max(column.place for column in columns) * step, step)] if step > 1 else []
    types = {name: pa.int64() if column.is_whole else pa.float64() for name, column in names.items()}
    try:
        table = csv.read_csv(
            held,
            csv.ReadOptions(skip_rows=0 if header is None else 1, autogenerate_column_names=True),
            csv.ParseOptions(delimiter=separator[0], quote_char=False),
            csv.ConvertOptions(
                column_types=types | dict.fromkeys(gaps, pa.string()),
                include_columns=[*names, *gaps],
                null_values=[],
            ),
        )
    except (pa.ArrowException, KeyError, ValueError):
        return None
    if not len(table) or _has_hexadecimal(held, len(header or "")):
        return None
    if not all(pc.all(pc.equal(table[gap], "")).as_py() for gap in gaps):
        return None
    found = {column.name: table[name].to_numpy() for name, column in names.items()}
    return found if _is_sound(found, columns) else None


def _check_header(held: Path, path: Path, header: str) -> None:
    with held.open(encoding="utf-8-sig", errors="replace") as lines:
        first = lines.readline(1000).strip()
    if first != header:
        raise BadData.at(path, 1, f"the header is {first!r}", f"it must be {header!r}")


def _has_hexadecimal(path: Path, start: int) -> bool:
    """Return whether an x stands behind the header: the fast parser takes 0x10 for 16."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return held.find(b"x", start) >= 0 or held.find(b"X", start) >= 0


def _is_sound(found: dict[str, NDArray[Any]], columns: Sequence[Column]) -> bool:
    for column in columns:
        values = found[column.name]
        if column.is_whole:
            if int(values.min()) < 0 or int(values.max()) > _MAX_ID:
                return False
        elif not bool((np.abs(values) <= _MAX_NUMBER).all()):  # false for NaN, too
            return False
    return True


def _read_slowly(
    held: Path, path: Path, columns: Sequence[Column], separator: str, header: str | None
) -> dict[str, NDArray[Any]]:
    """Read line by line: find the first line that is wrong, or read what the fast parser is too strict for."""
    needed = max(column.place for column in columns) + 1
    shown = {"\t": "tabs", ",": "commas", "|": "bars", " ": "spaces"}.get(separator, repr(separator))
    found: dict[str, list[float]] = {column.name: [] for column in columns}
    with held.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(bounded(lines, path), start=1):
            text = line.rstrip("\r\n")
            if not text.strip(" ") or (header is not None and number == 1):
                continue
            cells = text.split(separator)
            if len(cells) < needed:
                wrong = f"{len(cells)} column{'s' * (len(cells) != 1)}: {_short(text)}"
                raise BadData.at(path, number, wrong, f"a row has at least {needed}, separated by {shown}")
            for column in columns:
                fault = cell_fault(column, cells[column.place])
                if fault:
                    raise BadData.at(path, number, *fault)
                value = cells[column.place].strip(" \t")
                found[column.name].append(int(value) if column.is_whole else float(value))
    if not found[columns[0].name]:
        raise BadData.at(path, None, "the file has no row", "it needs at least one")
    return {
        column.name: np.array(found[column.name], np.int64 if column.is_whole else np.float64) for column in columns
    }


def bounded(lines: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a text, or raise BadData at one that is too long to be a row."""
    number = 0
    while line := lines.readline(DATA_LINE_LENGTH):
        number += 1
        if len(line) == DATA_LINE_LENGTH and not line.endswith("\n"):
            raise BadData.at(
                path, number, "the line does not end", f"a line has fewer than {DATA_LINE_LENGTH} characters"
            )
        yield line


def cell_fault(column: Column, text: str) -> tuple[str, str] | None:
    """Return what is wrong with a cell and what is allowed, or None."""
    plain = text.strip(" \t")
    if column.is_whole:
        if not _WHOLE.fullmatch(plain):
            return f"{column.name} is {_short(plain)}", "it must be a whole number"
        value = int(plain)
        if value < 0:
            return f"{column.name} is {value}", "it must be at least 0"
        return None if value <= _MAX_ID else (f"{column.name} is {value}", f"it must be at most {_MAX_ID}")
    if not _NUMBER.fullmatch(plain):
        return f"{column.name} is {_short(plain)}", "it must be a number"
    if math.isfinite(float(plain)) and abs(float(plain)) > _MAX_NUMBER:
        return f"{column.name} is {_short(plain)}", f"it must be at most {_MAX_NUMBER:.4g}"
    return None if math.isfinite(float(plain)) else (f"{column.name} is {_short(plain)}", "it must be a finite number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
