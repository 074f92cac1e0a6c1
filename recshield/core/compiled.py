"""Numba kernels that compile on first call and cache in a private folder of the user."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from numbers import Number
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import platformdirs

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


def _sources(names: dict[str, Any], seen: dict[str, None]) -> Iterator[bytes]:
    """Yield the sources that kernels of a module can be made of: its own, and those of what compiled code it names.

    Args:
        names: what the module names.
        seen: the files that were there before, to which its own is added.
    """
    import numba

    file = names.get("__file__")
    if file is None or file in seen:
        return
    seen[file] = None
    yield Path(file).read_bytes()
    for name, value in sorted(names.items()):
        if isinstance(value, Number | str) and not name.startswith("__"):
            yield f"{name}={value!r};".encode()  # imported or not: a kernel keeps what it was compiled with
        elif isinstance(value, numba.core.dispatcher.Dispatcher):
            yield from _sources(value.py_func.__globals__, seen)
        elif type(value).__name__ == "_Intrinsic":
            yield from _sources(value._defn.__globals__, seen)
        elif isinstance(value, ModuleType) and value.__name__.split(".")[0] not in ("numba", "llvmlite"):
            held = vars(value)
            if any(isinstance(one, numba.core.dispatcher.Dispatcher) for one in held.values()):
                yield from _sources(held, seen)


def _compile(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    import numba

    # Numba's own keys know the kernel's file alone: neither the options nor what is compiled into it.
    written = repr(
        sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in options.items())
    )
    made_of = hashlib.blake2b(written.encode(), digest_size=8)
    for part in _sources(function.__globals__, {}):
        made_of.update(part)
    folder = cache_folder() / "numba" / made_of.hexdigest()
    is_private = private_folder(folder.parent) and private_folder(folder)
    before = numba.config.CACHE_DIR
    try:
        if is_private:
            numba.config.CACHE_DIR = str(folder)  # chosen when a function is decorated
        return cast("Callable[..., Any]", numba.njit(cache=is_private, nogil=True, **options)(function))
    finally:
        numba.config.CACHE_DIR = before
