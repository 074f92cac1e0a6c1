"""Look after the cache: how large it is, what may go, and what is damaged; safe beside running processes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from recshield.core.compiled import cache_folder
from recshield.core.errors import BadValue
from recshield.data.places import user_folder
from recshield.matrix.store import Store

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_NAMES = {"numba": "kernels"}


@dataclass(frozen=True)
class Held:
    """A finished step on disk.

    Attributes:
        key: of the step.
        kind: data, train, attack or measure; "unknown" where it is not noted.
        size: bytes.
        age: seconds since it was written or last used.
    """

    key: str
    kind: str
    size: int
    age: float


@dataclass(frozen=True)
class Pruned:
    """What pruning did, or would do: steps that went, and steps that a running process holds."""

    gone: tuple[Held, ...]
    in_use: tuple[Held, ...]
    kernel_bytes: int = 0


def read_age(text: str) -> float:
    """Return the seconds that a text such as `30d` or `12h` means, or raise BadValue."""
    match = _AGE.fullmatch(text.strip().lower())
    if not match:
        raise BadValue(f"age '{text}' cannot be read; write a number and s, m, h, d or w: 30d, 12h")
    return float(match[1]) * _SECONDS[match[2]]


def read_size(text: str) -> int:
    """Return the bytes that a text such as `10GB` or `500M` means (powers of 1024), or raise BadValue."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise BadValue(f"size '{text}' cannot be read; write a number and B, KB, MB, GB or TB: 10GB, 500MB")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def entries(store: Store) -> list[Held]:
    """Return the finished steps, those used last first."""
    now, found = time.time(), []
    for folder in (store.root / "steps").glob("*/*"):
        with contextlib.suppress(OSError):  # another process may have removed it
            age = now - (folder / "meta.json").stat().st_mtime
            found.append(Held(folder.name, _kind(folder), _bytes(folder), max(age, 0.0)))
    return sorted(found, key=lambda held: (held.age, held.key))


def _kind(folder: Path) -> str:
    try:
        return str(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["timing"]["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size if not path.is_dir() else 0
    return total


def sizes(store: Store) -> list[tuple[str, int, int, float | None]]:
    """Return (kind, number, bytes, age of the oldest in seconds or None) of everything in the cache."""
    steps = entries(store)
    rows: list[tuple[str, int, int, float | None]] = []
    for kind in sorted({held.kind for held in steps}):
        of_kind = [held for held in steps if held.kind == kind]
        rows.append(
            (f"steps: {kind}", len(of_kind), sum(held.size for held in of_kind), max(held.age for held in of_kind))
        )
    data, others = user_folder(), set(_folders(cache_folder())) - {"store", "data"}
    for name in sorted(others):
        folder = cache_folder() / name
        rows.append((_NAMES.get(name, name), _n_files(folder), _bytes(folder), None))
    if data.is_dir():
        rows.append(("data sets", len(_folders(data)), _bytes(data), None))
    return rows


def _folders(top: Path) -> list[str]:
    return [path.name for path in top.glob("*") if path.is_dir() and not path.name.startswith(".")]


def _n_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def chosen(store: Store, older_than: float | None, keep: int | None, *, everything: bool) -> list[Held]:
    """Return the steps that a request to prune means, the oldest first.

    Args:
        store: the steps.
        older_than: seconds; steps that were not used since go.
        keep: bytes; the steps used last that fit into them stay, the others go.
        everything: all steps.

    Raises:
        BadValue: nothing is asked for.
    """
    if older_than is None and keep is None and not everything:
        raise BadValue("nothing is named that may go; write --older-than 30d, --keep 10GB or --all")
    going, total = [], 0
    for held in entries(store):
        total += held.size
        is_old = older_than is not None and held.age > older_than
        if everything or is_old or (keep is not None and total > keep):
            going.append(held)
    return going[::-1]


def prune(store: Store, going: list[Held], *, kernels: bool = False, is_dry: bool = False) -> Pruned:
    """Remove steps, except those whose lock a running process holds.

    Args:
        store: the steps.
        going: what `chosen` returned.
        kernels: remove the compiled kernels and the tables given from Python, too; they are made again when needed.
        is_dry: say what would go, and remove nothing.
    """
    gone: list[Held] = []
    in_use: list[Held] = []
    for held in going:
        with _free(store.lock(held.key)) as is_free:
            if not is_free:
                in_use.append(held)
            elif is_dry or store.forget(held.key):
                gone.append(held)
    rest = sum(_prune_folder(name, is_dry=is_dry) for name in ("numba", "frames")) if kernels else 0
    return Pruned(tuple(gone), tuple(in_use), rest)


@contextlib.contextmanager
def _free(lock: FileLock) -> Iterator[bool]:
    """Hold a lock if nobody else does, and say whether that was so."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _prune_folder(name: str, *, is_dry: bool) -> int:
    """Remove a folder of the cache by one rename, and return its bytes."""
    folder = cache_folder() / name
    if not folder.is_dir():
        return 0
    size, aside = _bytes(folder), folder.with_name(f"{name}.old-{uuid.uuid4().hex[:8]}")
    if not is_dry:
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return size


def verify(store: Store, *, repairs: bool = False) -> tuple[int, list[str], list[str]]:
    """Hash every step again.

    Args:
        store: the steps.
        repairs: remove damaged ones; they are computed again when they are needed.

    Returns:
        Number of steps, keys of damaged ones, keys of damaged ones that were removed (a step whose lock another
        process holds is left to that process).
    """
    fresh = Store(store.root)
    keys = sorted(folder.name for folder in (store.root / "steps").glob("*/*") if folder.is_dir())
    damaged = [key for key in keys if fresh.is_damaged(key)]
    removed = []
    for key in damaged if repairs else ():
        with _free(store.lock(key)) as is_free:
            if is_free and fresh.is_damaged(key) and store.forget(key):
                removed.append(key)
    return len(keys), damaged, removed
