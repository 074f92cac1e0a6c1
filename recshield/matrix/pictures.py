"""Attacked images to look at: which are kept of a cell, and how the ranks of their items changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from recshield.core.settings import PICTURES
from recshield.data import image_store
from recshield.evaluation.ranking import Ranks
from recshield.matrix.realised import PICTURE
from recshield.matrix.store import Entry

#: Columns of pictures.parquet; files stand in the folder `pictures` of the run.
PICTURE_COLUMNS = ("cell", "item", "row", "clean", "attacked", "n_tests", "rank_clean", "rank_attacked")


def seen(
    cell: str, clean: Ranks, attacked: Ranks, attack: Entry, item_ids: NDArray[np.generic]
) -> list[dict[str, Any]]:
    """Return rows of `PICTURE_COLUMNS` for some of the attacked images of a cell, test items first.

    Ranks count from 1 and are medians over the test rows of the item, NaN for an item without one.
    """
    kept = sorted(int(path.stem.removeprefix(PICTURE)) for path in attack.folder.glob(f"{PICTURE}*.png"))
    counts = np.bincount(clean.items, minlength=len(item_ids))
    first = sorted(kept, key=lambda row: (counts[row] == 0, row))[:PICTURES]
    rows = []
    for row in first:
        is_here = clean.items == row
        places = [
            float(np.median(ranks.ranks[is_here])) + 1 if is_here.any() else np.nan for ranks in (clean, attacked)
        ]
        rows.append(
            {"cell": cell, "item": str(item_ids[row]), "row": row, "n_tests": int(counts[row])}
            | {"clean": f"clean-{row}.png", "attacked": f"{cell}-{row}.png"}
            | dict(zip(("rank_clean", "rank_attacked"), places, strict=True))
        )
    return rows


def copy(rows: list[dict[str, Any]], attack: Entry, images: Entry, files: dict[str, Path | NDArray[np.uint8]]) -> None:
    """Note where the files of some rows come from: a path, or the pixels of a clean image."""
    pixels = image_store.load(images.folder).pixels
    for one in rows:
        files[one["attacked"]] = attack.file(f"{PICTURE}{one['row']}.png")
        files.setdefault(one["clean"], np.array(pixels[one["row"]]))


def write(folder: Path, files: dict[str, Path | NDArray[np.uint8]]) -> None:
    """Write picture files into the folder of a run."""
    if not files:
        return
    folder.mkdir()
    for name, source in files.items():
        if isinstance(source, Path):
            (folder / name).write_bytes(source.read_bytes())
        else:
            Image.fromarray(source).save(folder / name, format="PNG")


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with the columns of pictures.parquet."""
    return pd.DataFrame(rows, columns=list(PICTURE_COLUMNS))
