"""What a reader returns, and the interfaces of readers and named data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.data.downloads import Download


@dataclass(frozen=True)
class Table:
    """Rows as they stand in the files, in file order, training rows before test rows where files give a split.

    Attributes:
        users: (n_rows,) original user ids.
        items: (n_rows,) original item ids.
        ratings: (n_rows,) float32, or None.
        times: (n_rows,) int64, or None where the order of rows is the order of time.
        is_test: (n_rows,) bool where the files give a split, else None.
        facts: what to tell the user, name -> text.
    """

    users: NDArray[np.generic]
    items: NDArray[np.generic]
    ratings: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | None = None
    is_test: NDArray[np.bool_] | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)

    def keep(self, kept: NDArray[np.bool_]) -> Table:
        """Return the rows where `kept` is true."""
        return Table(
            self.users[kept],
            self.items[kept],
            None if self.ratings is None else self.ratings[kept],
            None if self.times is None else self.times[kept],
            None if self.is_test is None else self.is_test[kept],
            self.facts,
        )


class Reader(ABC):
    """Reads one file format; `files` finds the files of a data set in a folder (or the file itself)."""

    name: ClassVar[str]
    description: ClassVar[str]

    @abstractmethod
    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the files to read at `path` (a folder or a file); empty where the format is another."""

    @abstractmethod
    def read(self, files: tuple[Path, ...]) -> Table:
        """Return the rows, or raise BadData naming file and line."""


class NamedData(ABC):
    """A data set with a name: a folder below `--data-dir`, or generated."""

    name: ClassVar[str]
    description: ClassVar[str]
    #: One line.
    licence: ClassVar[str]
    #: Where its text stands.
    licence_address: ClassVar[str] = ""
    #: Folder below the data directory; "" = generated, needs no files.
    folder: ClassVar[str] = ""
    #: Page of who publishes the files.
    publisher: ClassVar[str] = ""
    #: Addresses and expected files; empty = the files cannot be fetched.
    downloads: ClassVar[tuple[Download, ...]] = ()
    #: Name of the reader that its files are for; "" = the one that knows them.
    reader: ClassVar[str] = ""
    #: Columns of a file without header, comma separated, as the reader takes them.
    columns: ClassVar[str] = ""

    def generate(self) -> Table:
        """Return the rows of a generated data set."""
        raise BadData(
            f"data set '{self.name}' is read from files and cannot be generated; a generated one has no folder"
        )
