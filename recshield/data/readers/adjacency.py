"""The files of LightGCN: `train.txt` and `test.txt`, or one `train.txt`; each line is a user and the user's items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.core.settings import DATA_LINE_LENGTH
from recshield.data.delimited import Column, cell_fault
from recshield.data.plain import find, plain
from recshield.data.table import Reader, Table

_TRAIN, _TEST = "train.txt", "test.txt"
_MAX_ID = 2**62
_USER, _ITEM = Column("user", 0), Column("item", 1)

Numbers = NDArray[np.int64]


class Adjacency(Reader):
    """Users with their items, without times: rows have no order in time."""

    name = "adjacency"
    description = "train.txt + test.txt, or train.txt alone: user item item ... (spaces), no times"

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the pair, or train.txt alone, at `path`, a folder or either file."""
        if not path.is_dir() and find(path, _TRAIN) is None and find(path, _TEST) is None:
            return ()
        folder = path if path.is_dir() else path.parent
        train, test = find(folder, _TRAIN), find(folder, _TEST)
        if train is None and test is not None:
            raise BadData.at(
                folder, None, f"{_TRAIN} is missing", f"this format needs {_TRAIN}, with or without {_TEST}"
            )
        return tuple(file for file in (train, test) if file is not None)

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return the rows, training rows first."""
        users, items = read_lines(files[0], can_be_empty=True)
        if len(files) == 1:
            return Table(users, items, is_ordered=False)
        test_users, test_items = read_lines(files[1], can_be_empty=False)
        is_test = np.arange(len(users) + len(test_users)) >= len(users)
        return Table(
            np.concatenate([users, test_users]),
            np.concatenate([items, test_items]),
            is_test=is_test,
            is_ordered=False,
        )


def read_lines(path: Path, *, can_be_empty: bool) -> tuple[Numbers, Numbers]:
    """Return (users, items) of every row of a file of lines `user item item ...`.

    Args:
        path: the file, `.gz` or not.
        can_be_empty: a line may hold a user alone.

    Raises:
        BadData: missing, empty or malformed; names file and line.
    """
    with plain(path) as held:
        text = held.read_bytes()
    found = _read_fast(text, can_be_empty)
    if found is None:
        found = _read_slowly(text, path, can_be_empty)
    if not len(found[0]):
        raise BadData.at(path, None, "the file has no row", "a line is a user and the user's items")
    return found


def _read_fast(text: bytes, can_be_empty: bool) -> tuple[Numbers, Numbers] | None:
    """Split and convert whole columns; None where anything is in doubt."""
    if b"x" in text or b"X" in text:  # 0x10 would be read as 16
        return None
    try:
        lines = pa.array(text.split(b"\n"), pa.binary()).cast(pa.large_string())
        lines = pc.ascii_trim_whitespace(lines)
        lines = lines.filter(pc.not_equal(lines, ""))
        split = pc.ascii_split_whitespace(lines)
        values: Numbers = split.flatten().cast(pa.int64()).to_numpy()
    except (pa.ArrowException, ValueError):
        return None
    lengths = pc.list_value_length(split).to_numpy()
    if not len(values) or values.min() < 0 or values.max() > _MAX_ID:
        return None
    if not can_be_empty and lengths.min() < 2:
        return None
    is_user = np.zeros(len(values), dtype=bool)
    is_user[np.cumsum(lengths) - lengths] = True
    return np.repeat(values[is_user], lengths - 1), values[~is_user]


def _read_slowly(text: bytes, path: Path, can_be_empty: bool) -> tuple[Numbers, Numbers]:
    """Read line by line: find the first that is wrong."""
    users: list[int] = []
    items: list[int] = []
    for number, line in enumerate(text.decode("utf-8-sig", errors="replace").split("\n"), start=1):
        if len(line) > DATA_LINE_LENGTH:
            allowed = f"a line has at most {DATA_LINE_LENGTH} characters"
            raise BadData.at(path, number, "the line does not end", allowed)
        cells = line.split()
        for place, cell in enumerate(cells):
            fault = cell_fault(_ITEM if place else _USER, cell)
            if fault:
                raise BadData.at(path, number, *fault)
        if len(cells) == 1 and not can_be_empty:
            raise BadData.at(
                path, number, f"user {int(cells[0])} has no item", "a line is a user and at least one item"
            )
        if cells:
            users += [int(cells[0])] * (len(cells) - 1)
            items += [int(cell) for cell in cells[1:]]
    return np.array(users, np.int64), np.array(items, np.int64)
