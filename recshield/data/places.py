"""Where named data sets are looked for, and where fetched ones go."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from recshield.core.errors import OutputRefused
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE


def user_folder() -> Path:
    """Return the user's own folder of data sets: `data` below RECSHIELD_CACHE, else in the user data folder."""
    named = os.environ.get(CACHE_VARIABLE)
    top = Path(named).expanduser() if named else Path(platformdirs.user_data_dir("recshield", appauthor=False))
    return top / "data"


def search_folders(data_dir: str | None) -> tuple[Path, ...]:
    """Return the folders that are searched for a named data set, in order.

    Args:
        data_dir: the only one where it is given; otherwise the folder that RECSHIELD_DATA names, then the user's own.
    """
    if data_dir:
        return (Path(data_dir).expanduser(),)
    named = os.environ.get(DATA_VARIABLE)
    return (Path(named).expanduser(), user_folder()) if named else (user_folder(),)


def find_folder(folder: str, data_dir: str | None) -> Path | None:
    """Return the folder of a named data set, or None where no searched folder holds it."""
    return next((top / folder for top in search_folders(data_dir) if (top / folder).is_dir()), None)


def target_folder(data_dir: str | None) -> Path:
    """Return the first searched folder that can be written, or made; nothing is made.

    Raises:
        OutputRefused: none can.
    """
    tried = search_folders(data_dir)
    for top in tried:
        if is_writable(top):
            return top
    raise OutputRefused(
        f"{' and '.join(map(str, tried))} cannot be written; name another folder with --data-dir or {DATA_VARIABLE}"
    )


def is_writable(folder: Path) -> bool:
    """Return whether a folder can be written, or made; one without any write permission is left alone by root too."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not nearest.stat().st_mode & 0o222:
        return False
    return os.access(nearest, os.W_OK | os.X_OK)
