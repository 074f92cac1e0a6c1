"""A sheet of attacked images: clean, attacked, difference amplified, rank before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from recshield.core.errors import BadValue, OutputRefused
from recshield.matrix.results import Results
from recshield.report.attacked_images import AMPLIFIED, amplified, read_pair
from recshield.report.text import plain

#: Largest picture in a sheet.
_SIDE = 128
_MARGIN, _LINE, _PER_CELL = 8, 12, 4
_CAPTION = 200
#: Most rows of a sheet.
_ROWS = 48


def _fitted(image: Image.Image) -> Image.Image:
    factor = _SIDE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)


def _caption(row: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    ranks = "no test row" if not row["n_tests"] else f"rank {row['rank_clean']:g} -> {row['rank_attacked']:g}"
    size = f"{facts['norm']} {facts['eps_text']}, seed {facts['seed']}"
    lines = [facts["system"], f"{facts['attack']} on {facts['surface']}", size, f"item {row['item']}", ranks]
    return [plain(str(line))[:40] for line in lines]


def sheet(results: Results) -> tuple[Image.Image, int]:
    """Return the sheet and how many attacked images it shows; a few of each cell, test items first.

    Raises:
        BadValue: the run holds no attacked image.
        BadData: one of its picture files is no picture of an item.
    """
    rows = results.pictures.groupby("cell", sort=False).head(_PER_CELL).to_dict("records")[:_ROWS]
    if not rows:
        raise BadValue("the run holds no attacked image; attack item_images, for example --attacks fgsm@item_images")
    height, width = _SIDE + _MARGIN, 3 * (_SIDE + _MARGIN) + _CAPTION
    made = Image.new("RGB", (width + _MARGIN, len(rows) * height + 2 * _MARGIN + _LINE), "white")
    pen, font = ImageDraw.Draw(made), ImageFont.load_default(_LINE)
    for place, title in enumerate(("clean", "attacked, 8 bits", f"difference x {AMPLIFIED}")):
        pen.text((_MARGIN + place * (_SIDE + _MARGIN), _MARGIN // 2), title, "black", font)
    for place, row in enumerate(rows):
        top = 2 * _MARGIN + _LINE + place * height
        both = read_pair(*(results.picture_files[str(row[kind])] for kind in ("clean", "attacked")))
        for column, one in enumerate((*both, amplified(*both))):
            made.paste(_fitted(Image.fromarray(one)), (_MARGIN + column * (_SIDE + _MARGIN), top))
        facts = results.facts(str(row["cell"])) or {}
        for line, text in enumerate(_caption({str(key): held for key, held in row.items()}, facts)):
            pen.text((_MARGIN + 3 * (_SIDE + _MARGIN), top + line * (_LINE + 4)), text, "black", font)
    return made, len(rows)


def save_sheet(results: Results, out: Path) -> int:
    """Write the sheet as a PNG file; return how many attacked images it shows.

    Raises:
        BadValue: the run holds no attacked image, or the name is not that of a PNG file.
        OutputRefused: not writable.
    """
    if out.suffix.lower() != ".png":
        raise BadValue(f"'{out}' is no name of a PNG file; let it end in .png")
    made, count = sheet(results)
    try:
        draft = out.with_name(f".{out.name}.new")
        made.save(draft, format="PNG")
        draft.replace(out)
    except OSError as error:
        raise OutputRefused(f"{out} cannot be written ({error.strerror or error}); name another file") from None
    return count
