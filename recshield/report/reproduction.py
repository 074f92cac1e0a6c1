"""The command that computes a run, or one cell of it, again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from recshield.core import settings
from recshield.report.text import plain

#: Key of a manifest's request -> option of `recshield matrix`; lists are joined, or the option is repeated.
_JOINED = {"models": "--models", "attacks": "--attacks", "defenses": "--defenses", "metrics": "--metrics"}
_REPEATED = {"filters": "--filter", "budget": "--budget", "goal": "--goal", "set": "--set"}
_SINGLE = {
    "split": "--split", "data_seed": "--data-seed", "device": "--device", "threads": "--threads",
    "controls": "--controls", "select": "--select", "every": "--every", "patience": "--patience", "curve": "--curve",
}  # fmt: skip
#: Options that say nothing at these values, or where they are empty or 0.
_USUAL = {"data_seed": settings.DATA_SEED, "threads": settings.THREADS}


def command(request: Mapping[str, Any], **only: Sequence[str]) -> str:
    """Return a shell command for a request; `only` replaces parts of it, for example its models.

    The data set must be found where the command runs: options of the data folder are not part of a run.
    """
    held = {**request, **only}
    words = ["recshield", "matrix"]
    if held.get("dataset"):
        words += ["--dataset", str(held["dataset"])]
    columns = held.get("columns") or []
    if columns:
        words += [
            "--columns",
            ",".join("=".join(map(str, one)) if isinstance(one, list) else str(one) for one in columns),
        ]
    for key, option in _JOINED.items():
        if held.get(key):
            words += [option, ",".join(str(one) for one in held[key])]
    for key, option in _REPEATED.items():
        words += [word for one in held.get(key) or [] for word in (option, str(one))]
    if held.get("seeds"):
        words += ["--seeds", ",".join(str(seed) for seed in held["seeds"])]
    is_selecting = bool(held.get("select"))
    for key, option in _SINGLE.items():
        is_idle = key in ("every", "patience") and not is_selecting
        if held.get(key) and not is_idle and held[key] != _USUAL.get(key):
            words += [option, str(held[key])]
    return " ".join(shlex.quote(plain(word)) for word in words)
