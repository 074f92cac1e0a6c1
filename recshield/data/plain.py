"""Text files as they are or compressed with gzip: what is there, and its bytes, with a bound on both."""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from recshield.core import settings
from recshield.core.errors import BadData

_CHUNK = 1 << 20


def find(path: Path, name: str) -> Path | None:
    """Return the file called `name`, or `name.gz`, at `path` (a folder or the file itself), or None."""
    for wanted in (name, f"{name}.gz"):
        file = path / wanted if path.is_dir() else path
        if file.name == wanted and file.exists():
            return file
    return None


def stem(path: Path) -> str:
    """Return the lower-case name of a file without `.gz`."""
    return path.name.lower().removesuffix(".gz")


def check(path: Path) -> None:
    """Raise BadData where a file is not there, may not be read, is empty or too large."""
    if not path.is_file():
        raise BadData.at(path, None, "no such file", "give a folder or file that exists")
    if not os.access(path, os.R_OK):
        raise BadData.at(path, None, "the file may not be read", "give yourself permission to read it")
    size = path.stat().st_size
    if size == 0:
        raise BadData.at(path, None, "the file is empty", "it needs at least one row")
    if size > settings.DATA_FILE_BYTES:
        raise BadData.at(path, None, f"the file has {size} bytes", f"at most {settings.DATA_FILE_BYTES} are read")


@contextlib.contextmanager
def plain(path: Path) -> Iterator[Path]:
    """Give a file with the text of `path`: itself, or what a `.gz` unpacks to, kept for as long as the block runs.

    Raises:
        BadData: missing, empty or too large; a `.gz` that is damaged, cut short, or unpacks to too much.
    """
    check(path)
    if path.suffix.lower() != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="recshield-") as folder:
        held = Path(folder) / "text"
        _unpack(path, held)
        yield held


def _unpack(path: Path, target: Path) -> None:
    n_bytes = 0
    try:
        with gzip.open(path, "rb") as packed, target.open("wb") as unpacked:
            while piece := packed.read(_CHUNK):
                n_bytes += len(piece)
                if n_bytes > settings.DATA_FILE_BYTES:
                    raise BadData.at(
                        path, None, "the file unpacks to too much", f"at most {settings.DATA_FILE_BYTES} bytes are read"
                    )
                unpacked.write(piece)
    except EOFError:
        raise BadData.at(path, None, "the gzip file is cut short", "fetch or write it again") from None
    except (gzip.BadGzipFile, zlib.error):
        raise BadData.at(
            path, None, "this is no sound gzip file", "fetch it again, or take .gz from its name if it is plain text"
        ) from None
    if n_bytes == 0:
        raise BadData.at(path, None, "the file is empty", "it needs at least one row")


def head(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of a text file's content, fewer where it is shorter or damaged; b"" where unreadable."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            return stream.read(size)
    except (OSError, EOFError, zlib.error):
        return b""
