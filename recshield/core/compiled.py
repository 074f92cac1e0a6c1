"""Numba kernels that compile on first call and cache in a private folder of the user."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import platformdirs

from recshield.core.made_of import parts_of
from recshield.core.settings import CACHE_VARIABLE

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])
_lock = threading.Lock()
_observers: list[Callable[[str], contextlib.AbstractContextManager[Any]]] = []


def cache_folder() -> Path:
    """Return the folder of steps and compiled kernels: RECSHIELD_CACHE, else the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("recshield", appauthor=False))


def private_folder(path: Path) -> bool:
    """Make a folder with mode 0700 and say whether it is ours alone.

    Numba reads its cache with pickle, so a folder that somebody else could have written to must not be used.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = path.lstat()
        if not stat.S_ISDIR(held.st_mode):
            return False
        if not hasattr(os, "getuid"):
            return True
        if held.st_uid != os.getuid() or stat.S_IMODE(held.st_mode) & 0o022:
            return False
        path.chmod(0o700)
    except OSError:
        return False
    return True


#: Compiler options of a kernel: sums may be reordered (needed to vectorise them), but NaN and infinity stay what they
#: are; division follows IEEE 754, as the check for a zero divisor would keep loops from being vectorised.
REORDERED = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
#: The same without reordering.
EXACT = {"error_model": "numpy"}


def kernel(*, reorder: bool) -> Callable[[_Kernel], _Kernel]:
    """Return a decorator that compiles a function with Numba when it is first called.

    Args:
        reorder: let the compiler reorder float sums.
    """

    def decorate(function: _Kernel) -> _Kernel:
        made: list[Callable[..., Any]] = []

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            if not made:
                with _lock:
                    if not made:
                        made.append(_compile(function, REORDERED if reorder else EXACT))
            if not _observers:
                return made[0](*arguments)
            with _observers[-1](function.__name__):
                return made[0](*arguments)

        return cast("_Kernel", call)

    return decorate


def is_observed() -> bool:
    """Return whether a profiler looks on, which sees what happens on its own thread alone."""
    return bool(_observers)


@contextlib.contextmanager
def observed(around: Callable[[str], contextlib.AbstractContextManager[Any]]) -> Iterator[None]:
    """Run every call of a kernel inside `around(its name)`, for a profiler, which sees no compiled code."""
    _observers.append(around)
    try:
        yield
    finally:
        _observers.remove(around)


def _compile(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    import numba

    compiled = functools.partial(numba.njit, nogil=True, **options)
    folder = _folder(function, options)
    if folder is None:
        return cast("Callable[..., Any]", compiled()(function))
    before = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = str(folder)  # chosen when a function is decorated
        return cast("Callable[..., Any]", compiled(cache=True)(function))
    except RuntimeError:  # Numba caches nothing that has no file
        return cast("Callable[..., Any]", compiled()(function))
    finally:
        numba.config.CACHE_DIR = before


def _folder(function: Callable[..., Any], options: dict[str, Any]) -> Path | None:
    """Return where a kernel is cached, a folder for each thing that it can be made of; None where it cannot be.

    Numba's own keys know neither the options nor what is compiled into a kernel: an old one would be loaded.
    """
    parent = cache_folder() / "numba"
    if not private_folder(parent):
        return None
    written = sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in options.items())
    digest = hashlib.blake2b(repr(written).encode(), digest_size=8)
    try:
        for part in parts_of(function):
            digest.update(part)
    except Exception:  # what cannot be told from something else is compiled each time
        return None
    folder = parent / digest.hexdigest()
    return folder if private_folder(folder) else None
