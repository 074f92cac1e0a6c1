"""Unpack a bundle that may come from a stranger: plain, uncompressed members with known names, and nothing else."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from recshield.bundles.about import ABOUT, ABOUT_BYTES, MEMBER
from recshield.core.errors import BadData
from recshield.core.settings import ARCHIVE_MEMBERS

_PIECE = 1 << 20
_ADVICE = "nothing of it is used; get the bundle again from who made it"


def unpack(archive: Path, folder: Path) -> list[str]:
    """Write the members of a bundle into a folder, and return the names of those that are damaged.

    recshield stores members as they are, so a bundle never unpacks to more than its own size.

    Args:
        archive: what `recshield bundle` wrote.
        folder: exists and is empty.

    Raises:
        BadData: no such file, no zip archive, a path that leads out, a link, a name that no bundle has, a member that
            stands twice, is compressed or encrypted, members that are together larger than the archive.
    """
    try:
        with zipfile.ZipFile(archive) as held:
            members = held.infolist()
            _check(archive, members)
            return [member.filename for member in members if not _copied(held, member, folder)]
    except FileNotFoundError:
        raise BadData.at(archive, None, "no such file", "give what `recshield bundle` wrote") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
        raise BadData.at(archive, None, f"it is no zip archive, or a damaged one ({error})", _ADVICE) from None


def _check(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > ARCHIVE_MEMBERS:
        raise BadData.at(archive, None, f"it has {len(members)} members, more than {ARCHIVE_MEMBERS}", _ADVICE)
    seen: set[str] = set()
    for member in members:
        wrong = _wrong(member)
        if member.filename in seen:
            wrong = "stands in it twice"
        if wrong:
            raise BadData.at(archive, None, f"'{member.filename}' {wrong}", _ADVICE)
        seen.add(member.filename)
    if ABOUT not in seen:
        raise BadData.at(archive, None, f"it holds no {ABOUT}", "give what `recshield bundle` wrote")
    total, size = sum(member.file_size for member in members), archive.stat().st_size
    if total > size:
        wrong = f"its members unpack to {total} bytes, more than its own {size}"
        raise BadData.at(archive, None, wrong, _ADVICE)


def _wrong(member: zipfile.ZipInfo) -> str:
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        return "leads out of the folder it is unpacked into"
    if kind not in (0, stat.S_IFREG):
        return "is a link, a device or a folder"
    if MEMBER.fullmatch(name) is None:
        return "is no file of a bundle"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        return "is compressed, which recshield never does: it may unpack to any size"
    if name == ABOUT and member.file_size > ABOUT_BYTES:
        return f"is larger than {ABOUT_BYTES} bytes"
    return ""


def _copied(held: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> bool:
    """Write one member; return whether its checksum is right."""
    target = folder / member.filename
    target.parent.mkdir(exist_ok=True)
    try:
        with held.open(member) as source, target.open("xb") as out:
            while piece := source.read(_PIECE):
                out.write(piece)
    except zipfile.BadZipFile as error:
        if "CRC" not in str(error):
            raise
        return False
    return True
