"""MovieLens files: `u.data` (tabs), `ratings.dat` (double colons) and `ratings.csv` (commas, header)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recshield.data.delimited import Column, read_columns
from recshield.data.plain import find
from recshield.data.table import Reader, Table

_COLUMNS = (Column("user", 0), Column("item", 1), Column("rating", 2, is_whole=False), Column("timestamp", 3))


def _find(path: Path, name: str) -> tuple[Path, ...]:
    file = find(path, name)
    return (file,) if file else ()


def _read(file: Path, separator: str, header: str | None) -> Table:
    found = read_columns(file, _COLUMNS, separator, header)
    return Table(found["user"], found["item"], found["rating"].astype(np.float32), found["timestamp"].astype(np.int64))


class MovieLensData(Reader):
    """MovieLens 100K: user, item, rating, timestamp, separated by tabs, no header."""

    name = "movielens-data"
    description = "u.data: user, item, rating, timestamp (tabs)"

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return u.data at `path`."""
        return _find(path, "u.data")

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        return _read(files[0], "\t", None)


class MovieLensDat(Reader):
    """MovieLens 1M and 10M: user, item, rating, timestamp, separated by `::`, no header."""

    name = "movielens-dat"
    description = "ratings.dat: user::item::rating::timestamp"

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return ratings.dat at `path`."""
        return _find(path, "ratings.dat")

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        return _read(files[0], "::", None)


class MovieLensCsv(Reader):
    """MovieLens since 2016: a header, then user, item, rating, timestamp, separated by commas."""

    name = "movielens-csv"
    description = "ratings.csv: userId,movieId,rating,timestamp (commas, header)"

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return ratings.csv at `path`."""
        return _find(path, "ratings.csv")

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        return _read(files[0], ",", "userId,movieId,rating,timestamp")
