"""Unpack the expected files of an archive that may come from a stranger; nothing in its headers is trusted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from recshield.core.errors import FetchFailed
from recshield.core.settings import ARCHIVE_MEMBERS, ARCHIVE_RATIO, UNPACKED_BYTES
from recshield.data.downloads import DataFile

_PIECE = 1 << 18
_GZIP, _BZIP2, _XZ = _COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
#: What damaged archives raise.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError)


def _plain(stream: IO[bytes]) -> Any:
    """Return the decompressed stream, told by its first bytes."""
    start = stream.read(6)
    stream.seek(0)
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=stream)
    if start.startswith(_BZIP2):
        return bz2.BZ2File(stream)
    return lzma.LZMAFile(stream) if start.startswith(_XZ) else stream


class _Meter:
    """Counts what an archive unpacks to, and stops it where it is out of proportion."""

    def __init__(self, archive: Path, files: Sequence[DataFile]) -> None:
        self._archive = archive
        in_proportion = ARCHIVE_RATIO * max(archive.stat().st_size, 4096)
        self._left = min(in_proportion, UNPACKED_BYTES + sum(file.limit for file in files))

    def count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise FetchFailed(
                f"{self._archive.name}: it unpacks to more than {ARCHIVE_RATIO} times its own size, or than its data "
                "set can hold; nothing is kept"
            )


class _Counted(io.RawIOBase):
    """A decompressed stream of which every byte is counted, those that are skipped included."""

    def __init__(self, stream: IO[bytes], meter: _Meter) -> None:
        self._stream = stream
        self._meter = meter

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(_PIECE if size < 0 else size)
        self._meter.count(len(piece))
        return piece


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or a tar, compressed or not, by its first bytes: nothing of it is parsed."""
    with path.open("rb") as stream:
        start = stream.read(512)
    is_tar = start.startswith(_COMPRESSED) or start[257:262] == b"ustar"
    return is_tar or zipfile.is_zipfile(path)


def unpack(archive: Path, files: Sequence[DataFile], folder: Path, *, by_name: bool = False) -> None:
    """Write the expected members of a zip or tar archive into a folder.

    Args:
        archive: zip, tar, tar.gz, tar.bz2 or tar.xz, told by its content.
        files: what is expected; everything else is left in the archive.
        folder: exists, and holds none of the files.
        by_name: take a member of the file's name wherever it stands in the archive.

    Raises:
        FetchFailed: a path leads out of the folder, a member is a link or a device, a member is missing, stands twice
            or is too large, there are too many members, or the archive is damaged or out of proportion.
    """
    wanted = {file.name if by_name else file.member or file.name: file for file in files}
    taken: set[str] = set()
    try:
        walk = _zip_members if zipfile.is_zipfile(archive) else _tar_members
        for n_members, (name, opened) in enumerate(walk(archive, _Meter(archive, files)), start=1):
            if n_members > ARCHIVE_MEMBERS:
                raise FetchFailed(f"{archive.name}: it has more than {ARCHIVE_MEMBERS} members; nothing is kept")
            _check_path(archive, name)
            key = PurePosixPath(name).name if by_name else str(PurePosixPath(name))
            if opened is None or key not in wanted:
                continue
            if key in taken:
                raise FetchFailed(f"{archive.name}: '{key}' stands in it twice; nothing is kept")
            taken.add(key)
            _write(archive, opened(), folder / wanted[key].name, wanted[key].limit)
    except _DAMAGED as error:
        raise FetchFailed(f"{archive.name}: it is damaged or no archive ({error}); fetch it again") from None
    missing = sorted(set(wanted) - taken)
    if missing:
        raise FetchFailed(f"{archive.name}: '{missing[0]}' is not in it; expected: {', '.join(wanted)}")


_Members = Iterator[tuple[str, Callable[[], IO[bytes]] | None]]


def _zip_members(archive: Path, meter: _Meter) -> _Members:
    """Give name and opener of each member, None for a folder."""
    with zipfile.ZipFile(archive) as held:
        for member in held.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_plain(archive, member.filename)
            if member.flag_bits & 0x1:
                raise FetchFailed(f"{archive.name}: '{member.filename}' is encrypted; nothing is kept")
            yield member.filename, None if member.is_dir() else _zip_opener(held, member, meter)


def _zip_opener(held: zipfile.ZipFile, member: zipfile.ZipInfo, meter: _Meter) -> Callable[[], IO[bytes]]:
    return lambda: _counted(held.open(member), meter)


def _tar_members(archive: Path, meter: _Meter) -> _Members:
    """Give name and opener of each member, None for a folder; the stream is read once, from front to back."""
    with archive.open("rb") as stream, tarfile.open(fileobj=_counted(_plain(stream), meter), mode="r|") as held:
        for member in held:
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _not_plain(archive, member.name)
            yield member.name, None if member.isdir() else _tar_opener(held, member)


def _tar_opener(held: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = held.extractfile(member)
        assert stream is not None  # a regular member
        return stream

    return opened


def _counted(stream: IO[bytes], meter: _Meter) -> IO[bytes]:
    return _Counted(stream, meter)  # type: ignore[return-value]  # it reads, which is all that is asked of it


def _not_plain(archive: Path, name: str) -> FetchFailed:
    return FetchFailed(f"{archive.name}: '{name}' is a link, a device or sparse; nothing is kept")


def _check_path(archive: Path, name: str) -> None:
    windows = PureWindowsPath(name)
    leads_out = ".." in PurePosixPath(name).parts or ".." in windows.parts
    if leads_out or PurePosixPath(name).is_absolute() or windows.drive or windows.root or "\0" in name:
        raise FetchFailed(f"{archive.name}: '{name}' leads out of the folder it is unpacked into; nothing is kept")


def _write(archive: Path, stream: IO[bytes], target: Path, limit: int) -> None:
    left = limit
    with target.open("xb") as out:
        while piece := stream.read(_PIECE):
            left -= len(piece)
            if left < 0:
                said = f"'{target.name}' is larger than {limit} bytes, which this data set never is; nothing is kept"
                raise FetchFailed(f"{archive.name}: {said}")
            out.write(piece)
