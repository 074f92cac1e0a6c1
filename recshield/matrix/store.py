"""The content-keyed store: a key that is present is done, whoever computed it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from recshield.core.compiled import cache_folder
from recshield.core.errors import OutputRefused, StoreDamaged
from recshield.core.settings import CACHE_VARIABLE, STALE_SECONDS

_META = "meta.json"


@dataclass(frozen=True)
class Entry:
    """One finished step: its folder and what was noted about it."""

    key: str
    folder: Path
    facts: dict[str, Any]
    timing: dict[str, Any]

    def file(self, name: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / name


@dataclass
class Store:
    """Finished steps on disk, safe for several processes; entries are verified before they are trusted.

    Attributes:
        root: folder of the store.
        damaged: keys of entries that did not match their hashes and were removed.
    """

    root: Path
    damaged: list[str] = field(default_factory=list)
    _sound: set[str] = field(default_factory=set)

    @classmethod
    def default(cls) -> Store:
        """Return the store in the user's cache folder, or below RECSHIELD_CACHE.

        Raises:
            OutputRefused: the folder cannot be made.
        """
        root = cache_folder() / "store"
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_writable = os.access(root, os.W_OK)
        except OSError:
            is_writable = False
        if not is_writable:
            raise OutputRefused(
                f"the store {root} cannot be written; name another folder with the variable {CACHE_VARIABLE}"
            )
        store = cls(root)
        store._sweep()
        return store

    def _folder(self, key: str) -> Path:
        return self.root / "steps" / key[:2] / key

    def _sweep(self) -> None:
        """Remove what killed processes left behind long ago."""
        for left in (self.root / "unfinished").glob("*"):
            with contextlib.suppress(OSError):  # another process may be faster
                if time.time() - left.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)

    def get(self, key: str) -> Entry | None:
        """Return a finished step, or None; a damaged entry counts as absent, and `put` replaces it."""
        folder = self._folder(key)
        if not (folder / _META).is_file():
            return None
        try:
            entry = self._read(key, folder)
        except (StoreDamaged, OSError, ValueError, KeyError, TypeError):
            self.damaged.append(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / _META)  # when it was last used, for `recshield cache prune`
        return entry

    def need(self, key: str) -> Entry:
        """Return a finished step, or raise StoreDamaged."""
        entry = self.get(key)
        if entry is None:
            raise StoreDamaged(f"step {key} is not in the store {self.root}; run the same command again to rebuild it")
        return entry

    def is_damaged(self, key: str) -> bool:
        """Return whether a step is there and does not match its recorded hashes; every file is hashed again."""
        folder = self._folder(key)
        self._sound.discard(key)
        try:
            self._read(key, folder)
        except (StoreDamaged, OSError, ValueError, KeyError, TypeError, AttributeError):
            return folder.is_dir()  # else another process has just removed it
        return False

    def forget(self, key: str) -> bool:
        """Remove a step whose lock the caller holds, and say whether it was there; it leaves by one rename."""
        self._sound.discard(key)
        aside = self.root / "unfinished" / f"{key}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._folder(key).rename(aside)
        except FileNotFoundError:  # another process was faster
            return False
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def _read(self, key: str, folder: Path) -> Entry:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        if key not in self._sound:
            if meta["key"] != key or meta.pop("digest") != _meta_digest(meta):
                raise StoreDamaged(f"{folder / _META} does not match its recorded hash, or belongs to another key")
            for name, digest in meta["files"].items():
                if Path(name).name != name or _digest(folder / name) != digest:
                    raise StoreDamaged(f"{folder / name} does not match its recorded hash")
            self._sound.add(key)
        return Entry(key, folder, dict(meta["facts"]), dict(meta["timing"]))

    def lock(self, key: str) -> FileLock:
        """Return the lock that a process holds while it computes a step."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(str(folder / f"{key}.lock"))

    def put(self, key: str, compute: Callable[[Path], tuple[dict[str, Any], dict[str, Any]]]) -> Entry:
        """Compute a step into the store unless it is there; another process that computes it is waited for.

        Args:
            key: of the step.
            compute: writes files into the folder it is given and returns (facts, timing), both JSON.

        Returns:
            The entry; it appears whole or not at all.
        """
        with self.lock(key):
            found = self.get(key)
            if found is not None:
                return found
            draft = self.root / "unfinished" / f"{key}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            draft.mkdir(parents=True)
            try:
                facts, timing = compute(draft)
                files = {file.name: _digest(file) for file in sorted(draft.iterdir())}
                meta = {"key": key, "files": files, "facts": facts, "timing": timing}
                meta = json.loads(json.dumps(meta))
                text = json.dumps(meta | {"digest": _meta_digest(meta)}, sort_keys=True)
                (draft / _META).write_text(text, encoding="utf-8")
                folder = self._folder(key)
                folder.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            return self.need(key)


def _meta_digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
