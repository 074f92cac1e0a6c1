"""What a reader returns, and the interfaces of readers and named data sets."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.data.downloads import Download

#: Key in a Parquet file's metadata: b"none" where rows have no order in time.
ORDER_KEY = b"recshield.order"


@dataclass(frozen=True)
class Table:
    """Rows as they stand in the files, in file order, training rows before test rows where files give a split.

    Attributes:
        users: (n_rows,) original user ids, or places in `user_ids`.
        items: (n_rows,) original item ids, or places in `item_ids`.
        ratings: (n_rows,) float32, or None.
        times: (n_rows,) int64, or float64 where some are no whole numbers, or None where the files have none.
        is_test: (n_rows,) bool where the files give a split, else None.
        facts: what to tell the user, name -> text.
        user_ids: distinct original ids where `users` counts them (ids that are text), else None.
        item_ids: the same of items.
        is_ordered: without times, the order of rows is the order of time.
    """

    users: NDArray[np.generic]
    items: NDArray[np.generic]
    ratings: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | NDArray[np.float64] | None = None
    is_test: NDArray[np.bool_] | None = None
    facts: dict[str, str] = field(default_factory=dict)
    user_ids: NDArray[np.generic] | None = None
    item_ids: NDArray[np.generic] | None = None
    is_ordered: bool = True

    def __len__(self) -> int:
        return len(self.users)

    def keep(self, kept: NDArray[np.bool_]) -> Table:
        """Return the rows where `kept` is true."""
        return dataclasses.replace(
            self,
            users=self.users[kept],
            items=self.items[kept],
            ratings=None if self.ratings is None else self.ratings[kept],
            times=None if self.times is None else self.times[kept],
            is_test=None if self.is_test is None else self.is_test[kept],
        )


class Reader(ABC):
    """Reads one file format; `files` finds the files of a data set in a folder (or the file itself).

    Attributes:
        columns: role -> name of its column, as the user gave them; only formats that take columns are given any.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    #: Readers are asked in ascending order, those with one file name of their own first; equals by name.
    priority: ClassVar[int] = 100
    #: Whether the user can name the columns.
    takes_columns: ClassVar[bool] = False

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self.columns = dict(columns or {})

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
    #: Columns of its one table, as `--columns` names them; "" = a format whose reader knows the files.
    columns: ClassVar[str] = ""
    #: Folder of `<item id>.jpg|jpeg|png|webp` below the data set's own; "" = none.
    image_folder: ClassVar[str] = ""
    #: Height and width of the stored images; a generated data set that sets it draws them itself.
    image_size: ClassVar[tuple[int, int] | None] = None
    #: Extractor of image features, as a model's option names it; "" = the general default.
    extractor: ClassVar[str] = ""
    #: File of the items' categories in the data set's folder; "" = none.
    category_file: ClassVar[str] = ""

    @classmethod
    def table_name(cls) -> str:
        """Return the name of its one table, "" where a reader finds the files."""
        names = [file.name for download in cls.downloads for file in download.files]
        return names[0] if cls.columns and len(names) == 1 else ""

    def generate(self) -> Table:
        """Return the rows of a generated data set."""
        raise BadData(
            f"data set '{self.name}' is read from files and cannot be generated; a generated one has no folder"
        )

    def draw(self, item: int | str) -> NDArray[np.uint8]:
        """Return the (height, width, 3) RGB image of an item of a generated data set, `image_size` large."""
        raise BadData(f"data set '{self.name}' draws no images; a generated one with `image_size` does")

    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """Return the categories of a generated data set's items: item id as text -> names."""
        return {}
