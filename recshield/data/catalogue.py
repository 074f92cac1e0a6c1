"""From the name or path a user types to training and test rows."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recshield.core.errors import BadData, BadValue, UnknownName
from recshield.core.registry import registry
from recshield.core.settings import DATA_SEED, DATA_VARIABLE
from recshield.data.filters import filter_rows, read_filter
from recshield.data.places import find_folder
from recshield.data.roles import Columns, columns_texts, read_columns_option
from recshield.data.schemes import read_scheme
from recshield.data.splits import Split, split_rows
from recshield.data.table import NamedData, Table


@dataclass(frozen=True)
class DataSource:
    """Rows that can be read, identified by content.

    Attributes:
        name: as printed: the data set's name, or the last part of the path.
        reader: reader name, or "" for a generated data set.
        files: what the reader reads.
        fingerprint: hash of the files' bytes, or of the name for generated data.
        filters: row filters, in order.
        scheme: how training and test rows are parted, as `--split` takes it; "" = as the files give it, else
            leave-one-out.
        columns: `ROLE=NAME` of the columns that the user named.
    """

    name: str
    reader: str
    files: tuple[str, ...]
    fingerprint: str
    filters: tuple[str, ...] = ()
    scheme: str = ""
    columns: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> DataSource:
        """Return the source whose fields a step's specification holds."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in held.items()
        }
        return cls(**fields)

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
        if self.files and _fingerprint([Path(file) for file in self.files]) != self.fingerprint:
            raise BadData.at(self.files[0], None, "the file changed while it was read", "run the same command again")

    def folds(self) -> int:
        """Return how many splits of training and test rows there are."""
        scheme = read_scheme(self.scheme)
        return scheme.folds() if scheme else 1

    def split(self, data_seed: int = DATA_SEED, fold: int = 0) -> Split:
        """Return training and test rows.

        Args:
            data_seed: of what the split draws.
            fold: which of `folds()` splits.
        """
        table = self.read()
        facts = dict(table.facts)
        table = filter_rows(table, self.filters, facts)
        return split_rows(table, self.name, facts, read_scheme(self.scheme), data_seed, fold)


def resolve(
    text: str,
    data_dir: str | None = None,
    filters: Sequence[str] = (),
    scheme: str = "",
    columns: Columns = (),
) -> DataSource:
    """Return the source that a data set's name or a path means.

    Args:
        text: a name of `recshield datasets`, or a path to a folder or file.
        data_dir: folder that holds the named data sets; default: the variable RECSHIELD_DATA.
        filters: for example `ratings>=4`, in order.
        scheme: for example `temporal:0.2`; "" = as the files give it, else leave-one-out.
        columns: role -> name of its column, or `user=uid,item=sku`; forces the readers of tables.

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
        return DataSource(text, "", (), f"generated:{text}", *rest)
    path, is_there = _place(text)
    if text in known:
        path = _named_folder(known[text], data_dir)
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
    return DataSource(name, reader, tuple(str(file.resolve()) for file in files), _fingerprint(files), *rest)


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


def _fingerprint(files: Sequence[Path]) -> str:
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
