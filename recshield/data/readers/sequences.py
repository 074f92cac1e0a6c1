"""The text files of SASRec: a user and an item per line, the order of lines is the order of time."""

from __future__ import annotations

import re
from pathlib import Path

from recshield.data.delimited import Column, read_columns
from recshield.data.plain import head, stem
from recshield.data.table import Reader, Table

_COLUMNS = (Column("user", 0), Column("item", 1))
_LINE = re.compile(rb"[0-9]{1,19} [0-9]{1,19}\r?(\n|$)")


class SequenceText(Reader):
    """`user item` per line, whole numbers, one space between."""

    name = "sequence-text"
    description = "*.txt: user and item (a space), the order of lines is the order of time"
    priority = 300

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the one `*.txt` at `path` whose first line is a user and an item."""
        candidates = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [file for file in candidates if file.is_file() and stem(file).endswith(".txt") and _fits(file)]
        return tuple(found) if len(found) == 1 else ()

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        found = read_columns(files[0], _COLUMNS, " ")
        facts = {"time": "the order of the lines is the order of time"}
        return Table(found["user"], found["item"], facts=facts)


def _fits(file: Path) -> bool:
    return _LINE.match(head(file)) is not None
