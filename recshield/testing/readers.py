"""Checks of a reader; those that read need a sample, a file or folder in the format."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recshield.core.errors import BadData, in_one_line
from recshield.data.table import Reader
from recshield.testing.declarations import (
    check_description_is_one_line,
    check_docstring_is_complete,
    check_name_can_be_written,
    said,
)
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.named_data import need_rows, table_hash
from recshield.testing.probes import watched_random_state

Kind = type[Reader]
_GARBAGE = b"\xff\xfe{\x00 this is no row of any format\n"


@contextmanager
def _copied(reader: Kind, sample: Path | None) -> Iterator[Path]:
    """Give the block a copy of the sample; leave the check where there is none."""
    applies_if(sample is not None, f"{said(reader)} needs a sample in its format; name one in ReaderTests.sample")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / Path(sample or "").name
        copy = shutil.copytree if Path(sample or "").is_dir() else shutil.copyfile
        copy(Path(sample or ""), target)
        yield target


def _files(reader: Kind, path: Path) -> tuple[Path, ...]:
    found = reader().files(path)
    need(
        isinstance(found, tuple) and all(isinstance(one, Path) for one in found),
        f"{said(reader)}: files() returns {found!r}; expected a tuple of paths",
    )
    return found


def check_other_files_are_left_alone(reader: Kind) -> None:
    """An empty folder, a folder with a picture and a path that is not there are none of this format.

    Prevents: a reader that takes other readers' files, or ends the search with an exception.
    """
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        (folder / "empty").mkdir()
        (folder / "other").mkdir()
        (folder / "other" / "cover.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
        for path in (folder / "empty", folder / "other", folder / "other" / "cover.png", folder / "not-here"):
            found = _files(reader, path)
            need(found == (), f"{said(reader)}: files() claims {path.name}, which is not its format; return ()")


def check_finds_its_sample(reader: Kind, sample: Path | None = None) -> None:
    """The sample is recognised, and the files named are there."""
    with _copied(reader, sample) as path:
        found = _files(reader, path)
        need(bool(found), f"{said(reader)}: files() does not recognise its sample {path.name}")
        need(all(one.is_file() for one in found), f"{said(reader)}: files() names files that are not there: {found}")


def check_reads_rows(reader: Kind, sample: Path | None = None) -> None:
    """The sample's rows have columns that fit each other, and the global random state stays as it was."""
    with _copied(reader, sample) as path, watched_random_state(said(reader)):
        need_rows(reader().read(_files(reader, path)), f"{said(reader)}: read()")


def check_reads_the_same_each_time(reader: Kind, sample: Path | None = None) -> None:
    """Two readings of one file give the same rows, and the files stay as they were."""
    with _copied(reader, sample) as path:
        files = _files(reader, path)
        before = [hashlib.blake2b(one.read_bytes()).hexdigest() for one in files]
        first, again = (table_hash(reader().read(files)) for _ in range(2))
        need(first == again, f"{said(reader)}: two readings of one file differ")
        after = [hashlib.blake2b(one.read_bytes()).hexdigest() for one in files]
        need(after == before, f"{said(reader)}: read() changes the files; leave them as they are")


def check_a_damaged_file_is_bad_data(reader: Kind, sample: Path | None = None) -> None:
    """A file with garbage at its end, and an empty one, are BadData that names the file.

    Prevents: rows lost without a word; a traceback where a sentence is due.
    """
    for damage in (lambda held: held + _GARBAGE, lambda _: b""):
        with _copied(reader, sample) as path:
            first = _files(reader, path)[0]
            first.write_bytes(damage(first.read_bytes()))
            try:
                table = reader().read(_files(reader, path) or (first,))
            except BadData as error:
                need(
                    first.name in str(error),
                    f"{said(reader)}: the message on a damaged file does not name {first.name}: {error}",
                )
                continue
            except Exception as error:
                raise CheckFailed(
                    f"{said(reader)}: a damaged file raises {in_one_line(error)}; raise BadData.at(...)"
                ) from error
            raise CheckFailed(f"{said(reader)}: a damaged file gives {len(table)} rows; raise BadData.at(...)")


#: Every check of a reader, in the order in which they run.
READER_CHECKS: tuple[Callable[..., None], ...] = (
    check_name_can_be_written,
    check_description_is_one_line,
    check_docstring_is_complete,
    check_other_files_are_left_alone,
    check_finds_its_sample,
    check_reads_rows,
    check_reads_the_same_each_time,
    check_a_damaged_file_is_bad_data,
)
