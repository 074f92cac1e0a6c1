"""Bundles to change by hand: taken apart, edited, and put together again with or without the right hashes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

Files = dict[str, bytes]


def opened(archive: Path) -> Files:
    with zipfile.ZipFile(archive) as held:
        return {name: held.read(name) for name in held.namelist()}


def rehash(files: Files) -> None:
    """Write the right hashes into the description, as a forger would."""
    about = json.loads(files["bundle.json"])
    about["files"] = {
        name: {"bytes": len(held), "sha256": hashlib.sha256(held).hexdigest()}
        for name, held in files.items()
        if name != "bundle.json"
    }
    for held in about["trained"]:
        if held["file"] in files:
            held["digest"] = hashlib.sha256(files[held["file"]]).hexdigest()
    files["bundle.json"] = json.dumps(about).encode()


def zipped(files: Files, target: Path, change: Callable[[zipfile.ZipInfo], None] | None = None) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for name, held in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            if change:
                change(info)
            archive.writestr(info, held)
    return target


def table(files: Files, name: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(files[f"{name}.parquet"]))


def put_table(files: Files, name: str, frame: pd.DataFrame) -> None:
    held = io.BytesIO()
    frame.to_parquet(held, index=False)
    files[f"{name}.parquet"] = held.getvalue()
