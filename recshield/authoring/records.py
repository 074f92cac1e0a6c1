"""What the kit found last, kept beside the step store; a record counts for the sources it was made with, no others."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from recshield.core.compiled import cache_folder
from recshield.matrix.code import code_hash


@dataclass(frozen=True)
class Record:
    """How many of the checks that apply a plugin passed, and how many did not apply."""

    n_passed: int
    n_applied: int
    n_skipped: int


def _file(kind: str, name: str, module: str) -> Path:
    key = hashlib.blake2b(f"{kind}\0{name}\0{code_hash((module,))}".encode(), digest_size=12).hexdigest()
    return cache_folder() / "conformance" / f"{key}.json"


def note(kind: str, name: str, module: str, n_passed: int, n_applied: int, n_skipped: int) -> None:
    """Keep what was found; where nothing can be written, nothing is kept."""
    target = _file(kind, name, module)
    draft = target.with_name(f".{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"passed": n_passed, "applied": n_applied, "skipped": n_skipped}), encoding="utf-8")
        draft.replace(target)


def recorded(kind: str, name: str, module: str) -> Record | None:
    """Return what was found with the very sources that are installed now; None where nothing was."""
    try:
        held = json.loads(_file(kind, name, module).read_text(encoding="utf-8"))
        return Record(int(held["passed"]), int(held["applied"]), int(held["skipped"]))
    except (OSError, ValueError, KeyError, TypeError, ImportError):
        return None
