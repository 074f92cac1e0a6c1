"""What a named data set says of its files: where they are published and what they must hash to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from recshield.core.errors import BadValue
from recshield.core.settings import DOWNLOAD_BYTES, UNPACKED_BYTES

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w][\w.-]*")


def _check_digest(owner: str, digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise BadValue(f"{owner}: '{digest}' is no SHA-256; write 64 hexadecimal digits in lower case")


@dataclass(frozen=True)
class DataFile:
    """One file of a named data set.

    Attributes:
        name: in the data set's folder.
        member: its path in the archive; "" where the download is the file itself.
        sha256: digests that are accepted (one release may be in circulation with two kinds of line ends); empty
            where nobody recorded one.
        limit: most bytes that are written for it.
    """

    name: str
    member: str = ""
    sha256: tuple[str, ...] = ()
    limit: int = UNPACKED_BYTES

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadValue(f"file name '{self.name}' is not plain; allowed: letters, digits, '.', '-' and '_'")
        for digest in self.sha256:
            _check_digest(self.name, digest)


@dataclass(frozen=True)
class Download:
    """One address, and the files that come from it.

    Attributes:
        address: http or https; "" where the publisher no longer offers the files: they come from `--from FILE` alone.
        files: the archive's members that are kept, or the one file that stands at the address.
        sha256: of what stands at the address; "" where nobody recorded it.
        recorded_by: where `sha256` was found; "" where it was computed for recshield.
        limit: most bytes that are taken from the address.
    """

    address: str
    files: tuple[DataFile, ...]
    sha256: str = ""
    recorded_by: str = ""
    limit: int = DOWNLOAD_BYTES

    def __post_init__(self) -> None:
        if self.address and (
            urlsplit(self.address).scheme not in ("http", "https") or not urlsplit(self.address).netloc
        ):
            raise BadValue(f"address '{self.address}' cannot be fetched; write http://... or https://...")
        if self.sha256:
            _check_digest(self.address, self.sha256)
        if not self.is_archive and len(self.files) != 1:
            raise BadValue(f"address '{self.address}' is no archive, so it holds one file; {len(self.files)} are named")

    @property
    def is_archive(self) -> bool:
        """Whether files are unpacked from what stands at the address."""
        return any(file.member for file in self.files)

    @property
    def is_verified(self) -> bool:
        """Whether every file is held to a hash that was known before."""
        return bool(self.sha256) or all(file.sha256 for file in self.files)
