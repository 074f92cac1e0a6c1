"""Fetch a named data set: licence, download or local archive, hashes, and a folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from recshield.core.errors import FetchFailed, OutputRefused
from recshield.data.archives import is_archive, unpack
from recshield.data.downloads import DataFile, Download
from recshield.data.places import find_folder, is_writable, target_folder
from recshield.data.table import NamedData
from recshield.data.transfer import Listener, Patience, Silence, transfer

#: Beside the data sets: what was accepted and found, locks, and drafts.
NOTES = ".recshield"


@dataclass(frozen=True)
class Consent:
    """What the user agrees to.

    Attributes:
        licence: the data set's licence.
        hashes: files that nobody recorded a hash of are taken as they are found, and recorded.
    """

    licence: bool = False
    hashes: bool = False


@dataclass(frozen=True)
class Fetched:
    """A data set that is here.

    Attributes:
        folder: with its files.
        is_new: it was fetched now.
        found: file name -> SHA-256 of files that were unverified until now.
        unchecked: files that were here already and could be held to no hash.
    """

    folder: Path
    is_new: bool
    found: dict[str, str] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()


@dataclass
class Note:
    """What is remembered of a data set beside its folder: the accepted licence, and the hashes that were found."""

    path: Path
    licence: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, top: Path, name: str) -> Note:
        """Return the note of a data set, empty where there is none."""
        path = top / NOTES / f"{name}.json"
        if not path.is_file():
            return cls(path)
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, dict(held["licence"]), {str(key): str(digest) for key, digest in held["sha256"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise FetchFailed(f"{path}: it cannot be read as a note on a data set; remove it and fetch again") from None

    def accepts(self, named: type[NamedData]) -> bool:
        """Return whether this very licence was accepted before."""
        return self.licence.get("licence") == named.licence

    def accept(self, named: type[NamedData]) -> None:
        """Remember that the licence was accepted today."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        self.licence = {"name": named.name, "licence": named.licence, "date": today}
        self.write()

    def accepted(self, file: DataFile) -> tuple[str, ...]:
        """Return the digests that a file may have: those of the catalogue, else the recorded one."""
        recorded = self.sha256.get(file.name)
        return file.sha256 or ((recorded,) if recorded else ())

    def write(self) -> None:
        """Write the note, whole or not at all."""
        draft = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:8]}")
        try:
            text = json.dumps({"licence": self.licence, "sha256": self.sha256}, indent=1, sort_keys=True)
            draft.write_text(text + "\n", encoding="utf-8")
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)


def is_verified(named: type[NamedData]) -> bool:
    """Return whether every file is held to a hash that was known before anything is fetched."""
    return all(download.is_verified for download in named.downloads)


def is_accepted(named: type[NamedData], data_dir: str | None = None) -> bool:
    """Return whether the licence of a data set was accepted before; nothing is written."""
    return Note.read(_top(named, data_dir), named.name).accepts(named)


def look(named: type[NamedData], data_dir: str | None = None) -> Fetched | None:
    """Return a data set that is here whole, its files checked, or None; nothing is written.

    Raises:
        FetchFailed: it cannot be fetched.
        OutputRefused: a file that stands there is another.
    """
    if not named.downloads:
        reason = "is generated" if not named.folder else f"has no address; its files come from {named.publisher}"
        raise FetchFailed(f"data set '{named.name}' {reason}, so there is nothing to fetch")
    folder = find_folder(named.folder, data_dir)
    if folder is None:
        return None
    missing, unchecked = _compare(named, folder, Note.read(folder.parent, named.name))
    if missing and not (is_writable(folder) and is_writable(folder.parent)):
        raise OutputRefused(f"{folder} lacks '{missing[0]}' and cannot be written; name another folder with --data-dir")
    return None if missing else Fetched(folder, False, unchecked=tuple(unchecked))


def _top(named: type[NamedData], data_dir: str | None) -> Path:
    folder = find_folder(named.folder, data_dir)
    return folder.parent if folder else target_folder(data_dir)


def fetch(
    named: type[NamedData],
    data_dir: str | None = None,
    consent: Consent | None = None,
    local: Path | None = None,
    listener: Listener | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Bring a named data set here, unless it is here already; another process that fetches it is waited for.

    Args:
        named: class of the data set.
        data_dir: folder that it goes below; default: RECSHIELD_DATA where that can be written, else the user's own.
        consent: to the licence and to unverified files.
        local: an archive (or the one file) that is taken instead of what stands at the address.
        listener: hears of the progress.
        patience: of the downloads.

    Raises:
        FetchFailed: not to be fetched, not agreed to, not reachable, or not what is expected.
        OutputRefused: no folder can be written, or files that stand there are others.
    """
    here = look(named, data_dir)
    if here is not None:
        return here
    listener = listener or Silence()
    top = _top(named, data_dir)
    try:
        (top / NOTES).mkdir(parents=True, exist_ok=True)
        with _locked(top, named.name, listener), _draft(top, named.name) as draft:
            work = _Work(named, top, Note.read(top, named.name), consent or Consent(), draft)
            return work.run(local, listener, patience or Patience())
    except OSError as error:
        raise OutputRefused(
            f"{top}: the data set cannot be written ({error.strerror or error}); name another folder with --data-dir"
        ) from None


def _files(named: type[NamedData]) -> list[DataFile]:
    return [file for download in named.downloads for file in download.files]


def _compare(named: type[NamedData], folder: Path, note: Note) -> tuple[list[str], list[str]]:
    """Return which files are missing in the folder, and which are there without a hash to hold them to."""
    missing, unchecked = [], []
    for file in _files(named):
        path, accepted = folder / file.name, note.accepted(file)
        if not path.exists():
            missing.append(file.name)
        elif not accepted:
            unchecked.append(file.name)
        elif sha256_of(path) not in accepted:
            raise OutputRefused(
                f"{path} is another file than that of data set '{named.name}' (its SHA-256 differs); "
                "move it away and fetch again, or name another folder with --data-dir"
            )
    return missing, unchecked


@contextlib.contextmanager
def _locked(top: Path, name: str, listener: Listener) -> Iterator[None]:
    lock = FileLock(str(top / NOTES / f"{name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        listener.waiting(name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _draft(top: Path, name: str) -> Iterator[Path]:
    """Give an empty folder beside the data sets; drafts of killed processes go first (the lock is held)."""
    for left in (top / NOTES).glob(f"{name}.draft-*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = top / NOTES / f"{name}.draft-{os.getpid()}"
    (draft / "files").mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@dataclass
class _Work:
    """One data set on its way into one folder, under its lock."""

    named: type[NamedData]
    top: Path
    note: Note
    consent: Consent
    draft: Path

    @property
    def folder(self) -> Path:
        return self.top / self.named.folder

    def run(self, local: Path | None, listener: Listener, patience: Patience) -> Fetched:
        missing, unchecked = _compare(self.named, self.folder, self.note)
        if not missing:
            return Fetched(self.folder, False, unchecked=tuple(unchecked))
        self._check_consent()
        if local is None:
            for download in self.named.downloads:
                self._download(download, listener, patience)
        else:
            self._take(local)
        unverified = {file.name for file in self._unverified() if file.name not in self.note.sha256}
        found = self._check_files()
        self.note.sha256.update(found)
        self.note.write()
        self._place(missing)
        return Fetched(self.folder, True, {name: found[name] for name in sorted(unverified)})

    def _check_consent(self) -> None:
        name = self.named.name
        if not self.note.accepts(self.named):
            if not self.consent.licence:
                raise FetchFailed(
                    f"data set '{name}' comes under a licence: {self.named.licence} "
                    f"({self.named.licence_address or self.named.publisher}); accept it with --accept-licence"
                )
            self.note.accept(self.named)
        if not self.consent.hashes and any(not self.note.accepted(file) for file in self._unverified()):
            raise FetchFailed(
                f"data set '{name}' is unverified: nobody recorded a SHA-256 of its files; take what is found, and be "
                "held to it from then on, with --accept-hash"
            )

    def _unverified(self) -> list[DataFile]:
        return [
            file
            for download in self.named.downloads
            if not download.sha256
            for file in download.files
            if not file.sha256
        ]

    def _download(self, download: Download, listener: Listener, patience: Patience) -> None:
        if not download.address:
            raise FetchFailed(
                f"data set '{self.named.name}' is no longer published at an address that recshield knows "
                f"(see {self.named.publisher}); name a copy with --from"
            )
        target = self.draft / (Path(urlsplit(download.address).path).name or "download")
        digest = transfer(download.address, target, download.limit, listener, patience)
        if download.sha256 and digest != download.sha256:
            raise FetchFailed(_differs(download.address, digest, (download.sha256,)))
        if download.is_archive:
            unpack(target, download.files, self.draft / "files")
        else:
            target.rename(self.draft / "files" / download.files[0].name)

    def _take(self, local: Path) -> None:
        """Take the files from a local archive, or from the one file that the data set consists of."""
        files = _files(self.named)
        if not local.is_file():
            raise FetchFailed(f"{local}: no such file; give an archive that holds {_names(files)}")
        limit = sum(download.limit for download in self.named.downloads)
        if local.stat().st_size > limit:
            raise FetchFailed(f"{local}: it is larger than {limit} bytes, which this data set never is")
        if is_archive(local):
            unpack(local, files, self.draft / "files", by_name=True)
        elif len(files) == 1:
            shutil.copyfile(local, self.draft / "files" / files[0].name)
        else:
            raise FetchFailed(f"{local}: it is no zip or tar; give an archive that holds {_names(files)}")
        self._check_archive(local)

    def _check_archive(self, local: Path) -> None:
        """Hold a local file to the download's hash where its members have none of their own."""
        for download in self.named.downloads:
            known = all(self.note.accepted(file) for file in download.files)
            if download.sha256 and not known and (digest := sha256_of(local)) != download.sha256:
                raise FetchFailed(_differs(str(local), digest, (download.sha256,)))

    def _check_files(self) -> dict[str, str]:
        found = {}
        for file in _files(self.named):
            digest = sha256_of(self.draft / "files" / file.name)
            accepted = self.note.accepted(file)
            if accepted and digest not in accepted:
                raise FetchFailed(_differs(f"{file.name} of data set '{self.named.name}'", digest, accepted))
            found[file.name] = digest
        return found

    def _place(self, missing: list[str]) -> None:
        """Move the files where they belong; a folder that is new appears whole."""
        if not self.folder.exists():
            (self.draft / "files").rename(self.folder)
            return
        for name in missing:
            (self.draft / "files" / name).rename(self.folder / name)


def _names(files: list[DataFile]) -> str:
    return ", ".join(file.name for file in files)


def _differs(what: str, digest: str, accepted: tuple[str, ...]) -> str:
    return (
        f"{what}: its SHA-256 is {digest}, expected {' or '.join(accepted)}; nothing is kept: the download was changed "
        "on its way or by its publisher"
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
