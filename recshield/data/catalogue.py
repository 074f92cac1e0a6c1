"""From the name or path a user types to training and test rows."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData, BadValue, UnknownName
from recshield.core.registry import registry
from recshield.core.settings import DATA_SEED, DATA_VARIABLE
from recshield.data import category_files
from recshield.data.categories import Categories
from recshield.data.category_files import align, read_categories
from recshield.data.filters import WithImage, filter_rows, read_filter
from recshield.data.image_store import ImageSource
from recshield.data.places import find_folder
from recshield.data.roles import Columns, columns_texts, read_columns_option
from recshield.data.schemes import read_scheme
from recshield.data.side import Side
from recshield.data.splits import Split, split_rows
from recshield.data.table import NamedData, Table


@dataclass(frozen=True)
class DataSource:
    """Rows that can be read, identified by content.

    Attributes:
        name: as printed: the data set's name, or the last part of the path.
        reader: reader name, or "" for a generated data set.
        files: what the reader reads.
        fingerprint: hash of the files' bytes, or the name for generated data; and hash of the file of categories.
        filters: row filters, in order.
        scheme: how training and test rows are parted, as `--split` takes it; "" = as the files give it, else
            leave-one-out.
        columns: `ROLE=NAME` of the columns that the user named.
        images: of the items, or None.
        categories: file that names the items' categories; "" = none, or the generated data set's own.
    """

    name: str
    reader: str
    files: tuple[str, ...]
    fingerprint: str
    filters: tuple[str, ...] = ()
    scheme: str = ""
    columns: tuple[str, ...] = ()
    images: ImageSource | None = None
    categories: str = ""

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> DataSource:
        """Return the source whose fields a step's specification holds."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in held.items()
        }
        if fields.get("images") is not None:
            fields["images"] = ImageSource.from_json(fields["images"])
        return cls(**fields)

    def content(self) -> dict[str, Any]:
        """Return what decides about rows and categories, wherever the files lie: for the key of a step."""
        held = dataclasses.asdict(self)
        held["files"] = [Path(file).name for file in self.files]
        held["categories"] = Path(self.categories).name
        # Images decide about rows only where a filter asks which items have one.
        held["images"] = self.images.fingerprint if self.images and self._asks_for_images() else None
        return held

    def read(self) -> Table:
        """Return the rows as they stand in the files."""
        if not self.reader:
            table: Table = registry().get("dataset", self.name)().generate()
            return table
        reader = registry().get("reader", self.reader)(read_columns_option(self.columns))
        read: Table = reader.read(tuple(Path(file) for file in self.files))
        return read

    def check_unchanged(self) -> None:
        """Raise BadData where the files are no longer those that the fingerprint was taken of."""
        rows = [Path(file) for file in self.files]
        if _fingerprint(self.name, rows, self.categories) != self.fingerprint:
            file = (*self.files, self.categories)[0]
            raise BadData.at(file, None, "the file changed while it was read", "run the same command again")
        if self.images and self._asks_for_images():
            self.images.check_unchanged()

    def _asks_for_images(self) -> bool:
        return any(isinstance(read_filter(text), WithImage) for text in self.filters)

    def folds(self) -> int:
        """Return how many splits of training and test rows there are."""
        scheme = read_scheme(self.scheme)
        return scheme.folds() if scheme else 1

    def split(self, data_seed: int = DATA_SEED, fold: int = 0) -> Split:
        """Return training and test rows, and the categories of their items.

        Args:
            data_seed: of what the split draws.
            fold: which of `folds()` splits.
        """
        table = self.read()
        facts = dict(table.facts)
        table = filter_rows(table, self.filters, facts, self.images.are_there if self.images else None)
        made = split_rows(table, self.name, facts, read_scheme(self.scheme), data_seed, fold)
        categories = self.categories_of(made.dataset.item_ids, made.facts)
        return dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, categories=categories))

    def categories_of(self, item_ids: NDArray[np.generic], facts: dict[str, str] | None = None) -> Categories | None:
        """Return the categories of some items, None where the data set has none; what was found goes to `facts`."""
        if self.categories:
            return align(read_categories(Path(self.categories)), item_ids, self.categories, facts)
        held = {} if self.reader else registry().get("dataset", self.name)().categories()
        return align(held, item_ids, self.name, facts) if held else None


def resolve(
    text: str,
    data_dir: str | None = None,
    filters: Sequence[str] = (),
    scheme: str = "",
    columns: Columns = (),
    side: Side = Side(),  # noqa: B008 - frozen
) -> DataSource:
    """Return the source that a data set's name or a path means.

    Args:
        text: a name of `recshield datasets`, or a path to a folder or file.
        data_dir: folder that holds the named data sets; default: the variable RECSHIELD_DATA.
        filters: for example `ratings>=4`, in order.
        scheme: for example `temporal:0.2`; "" = as the files give it, else leave-one-out.
        columns: role -> name of its column, or `user=uid,item=sku`; forces the readers of tables.
        side: images and categories, where they are others than the data set's own.

    Raises:
        UnknownName: neither a known name nor an existing path; no such filter or split.
        BadSpec: a filter or split that cannot be read.
        BadData: the files are not there, or no reader knows them.
    """
    for one in filters:
        read_filter(one)
    read_scheme(scheme)
    named = columns_texts(columns)
    rest = (tuple(filters), scheme, named)
    known = registry().found["dataset"]
    if text in known and not known[text].folder:
        if named:
            raise BadValue(f"data set '{text}' has no columns to name; leave --columns out")
        return _with_side(DataSource(text, "", (), "", *rest), side, known[text], None)
    path, is_there = _place(text)
    folder = None
    if text in known:
        path = folder = _named_folder(known[text], data_dir)
        if not named and known[text].table_name():
            path, named = path / known[text].table_name(), columns_texts(known[text].columns)
            rest = (tuple(filters), scheme, named)
    elif not is_there:
        if os.sep in text or text.startswith("."):
            raise BadData.at(
                path, None, "no such folder or file", "give a path that exists, or a name of `recshield datasets`"
            )
        raise UnknownName.among(
            "dataset", text, known, "a path to a folder or file works too; see `recshield datasets`"
        )
    name = text if text in known else path.resolve().name
    reader, files = _reader(path, read_columns_option(named))
    source = DataSource(name, reader, tuple(str(file.resolve()) for file in files), "", *rest)
    return _with_side(source, side, known.get(text), folder)


def _with_side(source: DataSource, side: Side, named: type[NamedData] | None, folder: Path | None) -> DataSource:
    """Return the source with its images and categories, and the fingerprint of all but the images."""
    categories = side.find_categories(named, folder)
    fingerprint = _fingerprint(source.name, [Path(file) for file in source.files], categories)
    images = side.find_images(named, folder)
    return dataclasses.replace(source, fingerprint=fingerprint, images=images, categories=categories)


def _reader(path: Path, columns: dict[str, str]) -> tuple[str, tuple[Path, ...]]:
    """Return the first reader, in order of priority, that knows the files, and the files."""
    readers = sorted(registry().found["reader"].items(), key=lambda one: (one[1].priority, one[0]))
    if columns:
        readers = [(name, reader) for name, reader in readers if reader.takes_columns]
    for name, reader in readers:
        files = reader(columns).files(path)
        if files:
            return name, files
    formats = "; ".join(reader.description for _, reader in readers)
    raise BadData.at(path, None, "no reader knows these files", f"allowed: {formats}")


def _place(text: str) -> tuple[Path, bool]:
    """Return the path that a text means, and whether something is there."""
    try:
        path = Path(text).expanduser()
        return path, bool(text.strip()) and path.exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, no such user, a zero byte
        return Path("-"), False


def _named_folder(named: type[NamedData], data_dir: str | None) -> Path:
    found = find_folder(named.folder, data_dir)
    if found is not None:
        return found
    place = f"a folder '{named.folder}', and name the folder above it with --data-dir or {DATA_VARIABLE}"
    if not named.downloads:
        raise BadData(f"data set '{named.name}' is not here; fetch it from {named.publisher}, put it in {place}")
    order = f"recshield datasets fetch {named.name}" + (f" --data-dir {shlex.quote(data_dir)}" if data_dir else "")
    raise BadData(
        f"data set '{named.name}' is not here; run `{order}`, or put the files of {named.publisher} in {place}"
    )


def _fingerprint(name: str, files: Sequence[Path], categories: str) -> str:
    rows = _hash(files) if files else f"generated:{name}"
    return f"{rows}+{category_files.fingerprint(Path(categories))}" if categories else rows


def _hash(files: Sequence[Path]) -> str:
    total = hashlib.blake2b(digest_size=16)
    for file in files:
        if not file.is_file():
            raise BadData.at(file, None, "no such file", "give a folder or file that exists")
        try:
            with file.open("rb") as stream:
                total.update(file.name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise BadData.at(
                file, None, f"cannot be read ({error.strerror})", "give a file that you may read"
            ) from None
    return total.hexdigest()
