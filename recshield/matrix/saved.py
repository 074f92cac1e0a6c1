"""A run as a folder: parquet tables, manifest, perturbations; written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open

from recshield.core import settings
from recshield.core.errors import BadData, OutputRefused
from recshield.evaluation.metrics import written
from recshield.matrix import pictures
from recshield.matrix.pictures import PICTURE_COLUMNS
from recshield.matrix.results import COLUMNS, CURVE_COLUMNS, Results
from recshield.matrix.sampling import write_sample

FORMAT = "recshield-run-3"
_TABLES = ("results", "per_user", "steps", "timings", "curves", "verdicts", "pictures")
_PICTURES = "pictures"
_PICTURE_NAME = re.compile(r"(clean|[0-9a-f]{12})-\d{1,10}\.png")
_CELL = re.compile(r"[0-9a-f]{12}")
#: Columns without which a table cannot be shown or judged.
_NEEDED: dict[str, tuple[str, ...]] = {
    "results": COLUMNS,
    "per_user": ("cell", "user", "rank"),
    "steps": (
        "cell", "clean_cell", "dataset", "system", "defense", "attack", "attack_steps", "surface", "goal", "stage",
        "norm", "eps", "eps_text", "seed", "is_control", "needs", "access", "raw_norm", "measured_norm", "goal_clean",
        "goal_value", "goal_values", "fold", "members", "n_bad_values", "unknown_surfaces", "state_before",
        "state_after", "selection", "score_hash", "population", "n_users",
    ),
    "curves": CURVE_COLUMNS,
    "pictures": PICTURE_COLUMNS,
    "timings": ("label", "seconds", "is_reused", "peak_host_bytes", "peak_device_bytes"),
    "verdicts": ("cell", "number", "check", "is_required", "verdict", "sentence", "figures"),
}  # fmt: skip


def check_target(out: Path) -> None:
    """Raise OutputRefused where a run cannot be written to `out`; nothing is written."""
    if out.exists() and not out.is_dir():
        raise OutputRefused(f"{out} is a file; name a folder for the run")
    if out.is_dir() and any(out.iterdir()) and not _is_run(out):
        raise OutputRefused(f"{out} is not empty and holds no run; name another folder, or empty it")
    if out.is_dir():
        known = {f"{name}.parquet" for name in _TABLES} | {"manifest.json", "perturbations", _PICTURES}
        others = sorted(path.name for path in out.iterdir() if path.name not in known)
        if others:
            raise OutputRefused(
                f"{out} holds a run and '{others[0]}', which would be lost; name another folder with --out"
            )
    nearest = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK) or (out.exists() and not os.access(out.absolute().parent, os.W_OK)):
        raise OutputRefused(f"{out} cannot be written (no permission for {nearest}); name another folder with --out")


def _is_run(folder: Path) -> bool:
    try:
        held = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and str(held.get("format", "")).startswith("recshield-run-")


def write(out: Path, results: Results, verdicts: pd.DataFrame, manifest: dict[str, Any]) -> Path:
    """Write a run; an earlier run at `out` is replaced."""
    check_target(out)
    out = out.absolute()
    mark = uuid.uuid4().hex[:8]
    draft, old = (out.with_name(f".{out.name}.{kind}-{mark}") for kind in ("new", "old"))
    try:
        draft.mkdir(parents=True)
        frames = (
            results.table, results.per_user, results.steps, results.timings, results.curves, verdicts, results.pictures
        )  # fmt: skip
        for name, frame in zip(_TABLES, frames, strict=True):
            frame.to_parquet(draft / f"{name}.parquet", index=False)
        (draft / "perturbations").mkdir()
        _write_perturbations(draft / "perturbations", results)
        pictures.write(draft / _PICTURES, results.picture_files)
        asked = {"metrics": list(results.metrics), "aggregates": list(results.aggregates)}
        text = json.dumps(manifest | asked, indent=1, sort_keys=True, default=str)
        (draft / "manifest.json").write_text(text + "\n", encoding="utf-8")
        if out.exists():
            out.rename(old)
        try:
            draft.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        raise OutputRefused(
            f"{out} cannot be written ({error.strerror or error}); name another folder with --out"
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    results.perturbations = _perturbations(out, results.steps)
    results.picture_files = _picture_files(out, results.pictures)
    return out


def _write_perturbations(folder: Path, results: Results) -> None:
    """Copy perturbations whole up to the limit of a run; beyond it, a seeded sample of rows and every row's norm."""
    left = settings.PERTURBATION_BYTES
    for cell, path in results.perturbations.items():
        size = path.stat().st_size
        target = folder / f"{cell}.safetensors"
        if size <= left or _is_sample(path):
            shutil.copyfile(path, target)
            left -= size
        else:
            facts = results.facts(cell)
            _write_sample(path, target, facts["norm"] if facts else "l2")


def _is_sample(path: Path) -> bool:
    with safe_open(str(path), framework="pt") as held:
        return any(name.startswith("sample/") for name in held.keys())  # noqa: SIM118 - safe_open is no dict


def _write_sample(path: Path, target: Path, norm: str) -> None:
    with safe_open(str(path), framework="pt") as held:
        metadata = held.metadata() or {}
        values = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118 - safe_open is no dict
    spanned = {name: tuple(json.loads(metadata.get(name, "[-1]"))) for name in values}
    write_sample(values, spanned, norm, target, metadata)


def _perturbations(folder: Path, steps: pd.DataFrame) -> dict[str, Path]:
    found = {}
    for cell in steps["cell"]:
        path = folder / "perturbations" / f"{cell}.safetensors"
        if path.is_file():
            found[str(cell)] = path
    return found


def _picture_files(folder: Path, rows: pd.DataFrame) -> dict[str, Path | NDArray[np.uint8]]:
    """Return the picture files of a run, or raise BadData where a name is none of ours or a file is not there."""
    found: dict[str, Path | NDArray[np.uint8]] = {}
    for name in sorted({*rows["clean"], *rows["attacked"]}):
        path = folder / _PICTURES / str(name)
        if not _PICTURE_NAME.fullmatch(str(name)) or not path.is_file() or path.is_symlink():
            raise BadData.at(folder, None, f"its picture '{name}' is not there", "run the matrix again")
        found[str(name)] = path
    return found


def _table(path: Path) -> pd.DataFrame:
    """Return a table of a run, which may come from a stranger: its size and columns are looked at first."""
    try:
        described = pq.ParquetFile(path).metadata
        size = sum(described.row_group(group).total_byte_size for group in range(described.num_row_groups))
        if size > settings.RUN_TABLE_BYTES or described.num_rows > settings.RUN_TABLE_ROWS:
            raise BadData.at(
                path, None, f"it holds {described.num_rows} rows, {size} bytes", "a table of a run is smaller"
            )
        frame = pd.read_parquet(path)
    except BadData:
        raise
    except Exception as error:  # parquet readers raise many kinds on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData.at(path, None, f"cannot be read ({reason})", "run the matrix again") from None
    lacking = [name for name in _NEEDED.get(path.stem, ()) if name not in frame.columns]
    if lacking:
        raise BadData.at(path, None, f"column {lacking[0]} is missing", "run the matrix again")
    return frame


def _check_means(folder: Path, table: pd.DataFrame, per_user: pd.DataFrame, aggregates: Collection[str]) -> None:
    """Raise BadData where a figure is not the mean of its users' values, over as many users as it says.

    Aggregates such as coverage cannot be verified from what is saved: their lists are not.
    """
    numbers = per_user.select_dtypes("number").columns.difference(["user"])
    grouped = per_user.groupby("cell", observed=True)[list(numbers)]
    means, counts = grouped.mean(), grouped.count()
    for row in table.to_dict("records"):
        name = written(str(row["metric"]), row["k"])
        if name in aggregates:
            continue
        shown = float(row["clean"] if row["attack"] == "none" else row["attacked"])
        held = float(means[name].get(row["cell"], math.nan)) if name in means.columns else math.nan
        n_users = int(counts[name].get(row["cell"], 0)) if name in counts.columns else -1
        is_empty = n_users == 0 and math.isnan(shown)
        is_mean = is_empty or math.isclose(shown, held, rel_tol=1e-9, abs_tol=1e-12)
        if not is_mean or row["n_users"] != n_users:
            what = "over as many users as it says" if is_mean else "the mean of its users' values"
            wrong = f"{name} of cell {row['cell']} is not {what}"
            raise BadData.at(folder / "results.parquet", None, wrong, "the run was changed: run the matrix again")


def read(folder: Path) -> tuple[Results, pd.DataFrame, dict[str, Any]]:
    """Return results, verdicts and manifest of a saved run.

    Raises:
        BadData: not a run, or a table is missing, damaged or lacks columns.
    """
    if not _is_run(folder):
        raise BadData.at(folder, None, "this is not a run", "give a folder that `recshield matrix --out` wrote")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest["format"] != FORMAT:
        raise BadData.at(folder, None, f"its format is {manifest['format']}", f"this version reads {FORMAT}")
    frames = {name: _table(folder / f"{name}.parquet") for name in _TABLES}
    cells = set(frames["steps"]["cell"])
    if not all(_CELL.fullmatch(str(cell)) for cell in cells) or not cells <= set(frames["per_user"]["cell"].unique()):
        raise BadData.at(folder, None, "its tables do not belong together", "run the matrix again")
    metrics = manifest.get("metrics")
    aggregates = manifest.get("aggregates", [])
    is_named = isinstance(metrics, list) and isinstance(aggregates, list) and bool(metrics)
    if (
        not is_named
        or metrics[0] in aggregates
        or not set(metrics) - set(aggregates) <= set(frames["per_user"].columns)
    ):
        raise BadData.at(
            folder / "manifest.json", None, "its metrics are not those of the tables", "run the matrix again"
        )
    _check_means(folder, frames["results"], frames["per_user"], aggregates)
    results = Results(
        frames["results"],
        frames["per_user"],
        frames["steps"],
        frames["timings"],
        tuple(metrics),
        frames["curves"],
        _perturbations(folder, frames["steps"]),
        tuple(aggregates),
        frames["pictures"],
        _picture_files(folder, frames["pictures"]),
    )
    return results, frames["verdicts"], manifest
