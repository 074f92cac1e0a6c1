"""Hashes of the sources and versions that a step's result depends on."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import inspect
from pathlib import Path


@functools.cache
def code_hash(plugins: tuple[str, ...]) -> str:
    """Return a hash of the versions and sources that a step's result can depend on."""
    total = hashlib.blake2b(digest_size=16)
    for name in ("torch", "numba", "numpy", "scipy", "pyarrow"):
        total.update(f"{name}=={importlib.metadata.version(name)};".encode())
    own = ("core", "data", "training", "evaluation", "matrix")
    for module in (*(f"recshield.{part}" for part in own), *plugins):
        total.update(_source(module).encode())
    return total.hexdigest()


@functools.cache
def _source(module: str) -> str:
    """Return a hash of the Python files of a module or package."""
    found = importlib.import_module(module)
    home = Path(inspect.getfile(found))
    files = sorted(home.parent.rglob("*.py")) if home.name == "__init__.py" else [home]
    total = hashlib.blake2b(digest_size=16)
    for file in files:
        total.update(file.relative_to(home.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()
