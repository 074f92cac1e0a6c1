"""Cache folders of a test's own, for runs and processes that must find no step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from recshield.core.settings import CACHE_VARIABLE


def fresh_cache(folder: Path) -> Path:
    """Make a cache folder that holds the kernels compiled so far and no step."""
    folder.mkdir()
    compiled = Path(os.environ[CACHE_VARIABLE]) / "numba"
    if compiled.is_dir():
        shutil.copytree(compiled, folder / "numba")
    return folder
