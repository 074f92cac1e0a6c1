"""A contact sheet: some images of a data set as a model sees them, with what the items are, in one PNG."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recshield.core.errors import BadData, BadValue, OutputRefused
from recshield.core.seeds import number
from recshield.data.categories import Categories
from recshield.data.image_files import BadImage, ImageFiles
from recshield.data.image_store import ImageSource

_COLUMNS, _GAP, _LINE, _LINES = 8, 10, 13, 3
_PAPER, _INK = (255, 255, 255), (40, 40, 48)

#: Caption and (height, width, 3) pixels.
Picture = tuple[str, NDArray[np.uint8]]
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def check_sheet(out: Path, *, overwrites: bool) -> None:
    """Raise BadValue or OutputRefused where a sheet cannot be written to `out`."""
    if out.suffix.lower() != ".png":
        raise BadValue(f"'{out}' is no name for a contact sheet; it ends in .png")
    if out.exists() and not overwrites:
        raise OutputRefused(f"{out} is there already; name another file, or overwrite it with --force")
    if not out.absolute().parent.is_dir():
        raise OutputRefused(f"{out.absolute().parent} is no folder; make it first")


def ids_of(source: ImageSource) -> NDArray[np.generic]:
    """Return (n_items,) what the files of a folder call their items, for a folder that belongs to no data set."""
    return np.array(sorted(ImageFiles.of(Path(source.folder)).names), dtype=np.str_)


def some_pictures(
    source: ImageSource, item_ids: NDArray[np.generic], categories: Categories | None, n_items: int, data_seed: int = 0
) -> list[Picture]:
    """Return caption and image of items that have one, drawn with a seed, in the order of their ids.

    Args:
        source: of the images.
        item_ids: (n_catalogue,) original ids.
        categories: of the same items, or None.
        n_items: how many, at most.
        data_seed: of the draw.

    Raises:
        BadData: no item has an image, or a bad file is met and is not skipped.
    """
    places = np.flatnonzero(source.are_there(item_ids))
    if not len(places):
        where = source.folder or source.drawn_by
        raise BadData.at(where, None, f"none of the {len(item_ids)} items has an image", "name a folder with --images")
    rng = np.random.default_rng(number(data_seed, "contact sheet"))
    chosen = np.sort(rng.permutation(places)[:n_items])
    draw, made = source.drawer(), []
    for place in chosen:
        try:
            image = draw(item_ids[place])
        except BadImage:
            if not source.skips_bad:
                raise
            continue
        if image is not None:
            made.append((_caption(str(item_ids[place]), categories, int(place)), image))
    if not made:
        raise BadData.at(source.folder, None, f"all of {len(chosen)} images are bad", "name another with --images")
    return made


def _caption(item: str, categories: Categories | None, place: int) -> str:
    if categories is None:
        return item
    own = np.flatnonzero(categories.labels[place])
    return ": ".join([item, ", ".join(categories.names[one].rpartition(":")[2] for one in own)])


def sheet(pictures: Sequence[Picture]) -> Image.Image:
    """Return one image of all pictures with their captions below, enlarged by a whole number."""
    height, width = pictures[0][1].shape[:2]
    scale = max(1, 128 // max(height, width))
    step_x, step_y = max(width * scale, 96) + _GAP, height * scale + _LINES * _LINE + _GAP
    n_columns = min(_COLUMNS, len(pictures))
    n_rows = -(-len(pictures) // n_columns)
    whole = Image.new("RGB", (n_columns * step_x + _GAP, n_rows * step_y + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default()
    for place, (caption, pixels) in enumerate(pictures):
        x, y = _GAP + place % n_columns * step_x, _GAP + place // n_columns * step_y
        image = Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        whole.paste(image, (x, y))
        for line, text in enumerate(_wrapped(draw, font, caption, step_x - _GAP)):
            draw.text((x, y + height * scale + 1 + line * _LINE), text, fill=_INK, font=font)
    return whole


def _wrapped(draw: ImageDraw.ImageDraw, font: _Font, text: str, width: int) -> Iterable[str]:
    """Yield at most `_LINES` lines of a caption; what does not fit is cut."""
    # The font has no other letters; and a caption is one line of a stranger's file.
    words = "".join(one if one.isprintable() else " " for one in text).encode("latin-1", "replace").decode("latin-1")
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and draw.textlength(longer[:80], font=font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    for line in lines[:_LINES]:
        kept = line[:80]
        while kept and draw.textlength(kept, font=font) > width:
            kept = kept[:-1]
        yield kept


def save_sheet(pictures: Sequence[Picture], out: Path, *, overwrites: bool = False) -> None:
    """Write a contact sheet as PNG; whole or not at all.

    Raises:
        BadValue: the name does not end in .png.
        OutputRefused: the file is there already or cannot be written.
    """
    check_sheet(out, overwrites=overwrites)
    draft = out.with_name(f".{uuid.uuid4().hex[:8]}.png")
    try:
        sheet(pictures).save(draft, format="PNG")
        draft.replace(out)
    except OSError as error:
        raise OutputRefused(f"{out} cannot be written ({error.strerror or error}); name another file") from None
    finally:
        draft.unlink(missing_ok=True)
