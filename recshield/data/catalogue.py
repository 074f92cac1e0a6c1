"""From the name or path a user types to training and test rows."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recshield.core.errors import BadData, UnknownName
from recshield.core.registry import registry
from recshield.core.settings import DATA_VARIABLE
from recshield.data.places import find_folder
from recshield.data.splits import Split, filter_rows, split_rows
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
    """

    name: str
    reader: str
    files: tuple[str, ...]
    fingerprint: str
    filters: tuple[str, ...] = ()

    def read(self) -> Table:
        """Return the rows as they stand in the files."""
        if not self.reader:
            table: Table = registry().get("dataset", self.name)().generate()
            return table
        read: Table = registry().get("reader", self.reader)().read(tuple(Path(file) for file in self.files))
        return read

    def check_unchanged(self) -> None:
        """Raise BadData where the files are no longer those that the fingerprint was taken of."""
        if self.files and _fingerprint([Path(file) for file in self.files]) != self.fingerprint:
            raise BadData.at(self.files[0], None, "the file changed while it was read", "run the same command again")

    def split(self) -> Split:
        """Return training and test rows."""
        table = self.read()
        facts = dict(table.facts)
        return split_rows(filter_rows(table, self.filters, facts), self.name, facts)


def resolve(text: str, data_dir: str | None = None, filters: Sequence[str] = ()) -> DataSource:
    """Return the source that a data set's name or a path means.

    Args:
        text: a name of `recshield datasets`, or a path to a folder or file.
        data_dir: folder that holds the named data sets; default: the variable RECSHIELD_DATA.
        filters: for example `ratings>=4`.

    Raises:
        UnknownName: neither a known name nor an existing path.
        BadData: the files are not there, or no reader knows them.
    """
    known = registry().found["dataset"]
    if text in known and not known[text].folder:
        return DataSource(text, "", (), f"generated:{text}", tuple(filters))
    path, is_there = _place(text)
    if text in known:
        path = _named_folder(known[text], data_dir)
    elif not is_there:
        if os.sep in text or text.startswith("."):
            raise BadData.at(
                path, None, "no such folder or file", "give a path that exists, or a name of `recshield datasets`"
            )
        raise UnknownName.among(
            "dataset", text, known, "a path to a folder or file works too; see `recshield datasets`"
        )
    name = text if text in known else path.resolve().name
    for reader_name, reader in sorted(registry().found["reader"].items()):
        files = reader().files(path)
        if files:
            return DataSource(
                name, reader_name, tuple(str(file.resolve()) for file in files), _fingerprint(files), tuple(filters)
            )
    formats = "; ".join(reader.description for reader in registry().found["reader"].values())
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
