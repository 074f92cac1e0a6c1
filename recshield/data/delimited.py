"""Read delimited numbers fast, and on failure find the file and line that is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.core.settings import DATA_FILE_BYTES

_MAX_ID = 2**62


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
        separator: one character.
        header: the first line that must stand there, or None.

    Raises:
        BadData: missing, empty or malformed; names file and line.
    """
    _check_file(path)
    try:
        frame = pd.read_csv(
            path,
            sep=separator,
            header=None,
            skiprows=0 if header is None else 1,
            usecols=[column.place for column in columns],
            dtype={column.place: np.int64 if column.is_whole else np.float64 for column in columns},
            engine="c",
            quoting=3,
            na_filter=False,
            skip_blank_lines=True,
            encoding="utf-8",
        )
    except (ValueError, OverflowError, pd.errors.ParserError):
        frame = None
    if header is not None:
        _check_header(path, header)
    if frame is not None and len(frame):
        found = {column.name: frame[column.place].to_numpy() for column in columns}
        if _is_sound(found, columns):
            return found
    raise _first_fault(path, columns, separator, header)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise BadData.at(path, None, "no such file", "give a folder or file that exists")
    size = path.stat().st_size
    if size == 0:
        raise BadData.at(path, None, "the file is empty", "it needs at least one row")
    if size > DATA_FILE_BYTES:
        raise BadData.at(path, None, f"the file has {size} bytes", f"at most {DATA_FILE_BYTES} are read")


def _check_header(path: Path, header: str) -> None:
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline(1000).strip()
    if first != header:
        raise BadData.at(path, 1, f"the header is {first!r}", f"it must be {header!r}")


def _is_sound(found: dict[str, NDArray[Any]], columns: Sequence[Column]) -> bool:
    for column in columns:
        values = found[column.name]
        if column.is_whole:
            if int(values.min()) < 0 or int(values.max()) > _MAX_ID:
                return False
        elif not bool(np.isfinite(values).all()):
            return False
    return True


def _first_fault(path: Path, columns: Sequence[Column], separator: str, header: str | None) -> BadData:
    """Return the error for the first line that is wrong."""
    width = max(column.place for column in columns) + 1
    shown = {"\t": "tabs", ",": "commas", "|": "bars"}.get(separator, repr(separator))
    n_rows = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if not text.strip() or (header is not None and number == 1):
                continue
            n_rows += 1
            cells = text.split(separator)
            if len(cells) < width:
                wrong = f"{len(cells)} column{'s' * (len(cells) != 1)}: {_short(text)}"
                return BadData.at(path, number, wrong, f"a row has at least {width}, separated by {shown}")
            for column in columns:
                fault = _cell_fault(column, cells[column.place].strip())
                if fault:
                    return BadData.at(path, number, *fault)
    if n_rows == 0:
        return BadData.at(path, None, "the file has no row", "it needs at least one")
    return BadData.at(path, None, "the file cannot be parsed", f"write plain numbers in UTF-8, separated by {shown}")


def _cell_fault(column: Column, text: str) -> tuple[str, str] | None:
    if column.is_whole:
        try:
            value = int(text)
        except ValueError:
            return f"{column.name} is {_short(text)}", "it must be a whole number"
        if value < 0:
            return f"{column.name} is {value}", "it must be at least 0"
        return None if value <= _MAX_ID else (f"{column.name} is {value}", f"it must be at most {_MAX_ID}")
    try:
        is_finite = math.isfinite(float(text))
    except ValueError:
        return f"{column.name} is {_short(text)}", "it must be a number"
    return None if is_finite else (f"{column.name} is {_short(text)}", "it must be a finite number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
