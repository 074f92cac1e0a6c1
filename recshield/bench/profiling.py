"""Where the time of a run goes: a trace of every piece of its work, and the operations that took longest."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from recshield.bench.pieces import Piece, Scene
from recshield.bench.running import pieces
from recshield.core.compiled import observed
from recshield.core.errors import OutputRefused
from recshield.core.threads import threads
from recshield.run import Prepared

#: The table of operations; a folder that holds it is a profile, and may be replaced by another.
OPERATIONS = "operations.csv"
Heard = Callable[["Profile"], None]


@dataclass(frozen=True)
class Profile:
    """One call of one piece of work.

    Attributes:
        name: kind, system and attack.
        operations: one row each: `operation`, `calls`, `cpu_ms` and `device_ms` (without the operations inside it),
            longest first.
        trace: file name of the trace.
    """

    name: str
    operations: pd.DataFrame
    trace: str


def check_folder(folder: Path) -> None:
    """Raise OutputRefused where a profile cannot be written, or would replace something else."""
    if folder.exists() and not (folder / OPERATIONS).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputRefused(f"{folder} is there and holds no profile; name another folder with --out")


def write_profiles(prepared: Prepared, folder: Path, heard: Heard | None = None) -> tuple[list[Profile], list[str]]:
    """Profile one epoch of every system, its ranking, its features and every attack; each has run once before.

    Args:
        prepared: a request whose data, images and features are there.
        folder: of the traces (Chrome's format, for Perfetto) and the table; made whole, or not at all.
        heard: is told each profile as soon as it is there.

    Returns:
        The profiles, and what could not be profiled, and why.

    Raises:
        OutputRefused: the folder cannot be written, or holds something else.
    """
    check_folder(folder)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler's own messages go to the terminal
    asked = prepared.plan.request
    draft = folder.absolute().with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    found: list[Profile] = []
    skipped: list[str] = []
    try:
        draft.mkdir(parents=True)
        with threads(asked.threads):
            for piece in pieces(Scene(prepared, prepared.plan.data_keys[0]), skipped):
                made = _profiled(piece, len(found), draft, asked.device)
                found.append(made)
                if heard:
                    heard(made)
        tables = [one.operations.assign(work=one.name, trace=one.trace) for one in found]
        columns = ["work", "operation", "calls", "cpu_ms", "device_ms", "trace"]
        table = pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)
        table.to_csv(draft / OPERATIONS, index=False)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as error:
        why = error.strerror or error
        raise OutputRefused(f"{folder} cannot be written ({why}); name another folder with --out") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return found, skipped


def _profiled(piece: Piece, number: int, folder: Path, device: str) -> Profile:
    name = " ".join(filter(None, (piece.kind, piece.system, piece.attack)))
    piece.ready()()
    work = piece.ready()
    on_cuda = device.startswith("cuda")
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]) as held:
        with observed(record_function):
            work()
        if on_cuda:
            torch.cuda.synchronize(device)
    trace = f"{number:02d}-{re.sub(r'[^A-Za-z0-9.=-]+', '-', name)[:80]}.json.gz"
    held.export_chrome_trace(str(folder / trace))
    rows = [
        {
            "operation": one.key,
            "calls": one.count,
            "cpu_ms": one.self_cpu_time_total / 1e3,
            "device_ms": one.self_device_time_total / 1e3,
        }
        for one in held.key_averages()
    ]
    table = pd.DataFrame(rows, columns=["operation", "calls", "cpu_ms", "device_ms"])
    order = (table["device_ms"] if on_cuda else table["cpu_ms"]).sort_values(ascending=False, kind="stable").index
    return Profile(name, table.loc[order].reset_index(drop=True), trace)
