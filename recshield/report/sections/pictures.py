"""Section: attacked images as they would lie on a disk, beside the clean ones and what differs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from recshield.report.asked import Asked
from recshield.report.attacked_images import AMPLIFIED, amplified, png, psnr, read_pair, ssim
from recshield.report.content import Block, Bullets, Gallery, Image, Name, Number, Phrase, Section, Shot
from recshield.report.reading import Reading
from recshield.report.standing import places, spot
from recshield.report.words import SPACE, number_word, plain_number

#: Most images, most of one cell, and most bytes of all files; the longer side of an image that is shown.
_SHOWN, _PER_CELL, _BYTES, _SIDE = 18, 4, 700 * 1024, 160
_COLUMNS = ("clean", "attacked, 8 bits", f"difference \N{MULTIPLICATION SIGN} {AMPLIFIED}")
Row = Mapping[Any, Any]


def build(reading: Reading) -> Section | None:
    """Return the section, None where no pixels were attacked.

    Raises:
        BadData: a picture file of the run is no picture of an item.
    """
    cells = _cells(reading)
    if not cells:
        return None
    shots, n_bytes = [], 0
    for asked, row in _chosen(cells):
        one = _shot(reading, asked, row)
        n_bytes += sum(len(image.png) for image in one.images)
        if n_bytes > _BYTES:
            break
        shots.append(one)
    n_kept = sum(len(rows) for _, rows in cells)
    lead = (
        f"Attacked images to look at, test items first: {len(shots)} of {number_word(n_kept, 'image')} that the run "
        "keeps. The attacked image was rounded to 8 bits, saved as PNG and read again."
    )
    caption = (
        f"The difference is multiplied by {AMPLIFIED} around mid-grey and cut. PSNR and SSIM are of the 8-bit images; "
        "ranks are medians over the test rows of the item, the first being 1."
    )
    blocks: list[Block] = [Gallery("images", caption, _COLUMNS, tuple(shots))] if shots else []
    return Section("pictures", "Pictures", lead, (Bullets(tuple(_seen(reading, asked) for asked, _ in cells)), *blocks))


def _cells(reading: Reading) -> list[tuple[Asked, list[Row]]]:
    """Return the cells that were asked for with the pictures of their first seed that has some."""
    by_cell = {
        str(cell): held.to_dict("records") for cell, held in reading.results.pictures.groupby("cell", sort=False)
    }
    found: list[tuple[Asked, list[Row]]] = []
    order = {at: place for place, at in enumerate(places(reading))}
    for asked in sorted(reading.asked, key=lambda one: order[one.at]):
        rows = next((by_cell[str(one["cell"])] for one in asked.cells if str(one["cell"]) in by_cell), None)
        if rows:
            found.append((asked, list(rows)))
    return found


def _chosen(cells: list[tuple[Asked, list[Row]]]) -> Iterator[tuple[Asked, Row]]:
    """Yield the pictures to show: of every cell alike many, of the largest budgets first."""
    kept = cells[:_SHOWN]
    each = min(max(_SHOWN // len(kept), 1), _PER_CELL)
    for asked, rows in kept:
        for row in rows[:each]:
            yield asked, row


def _seen(reading: Reading, asked: Asked) -> Phrase:
    """Return how visible the change of all attacked images of a cell is, means over seeds."""
    table = reading.results.table
    own = table[table["cell"].isin([facts["cell"] for facts in asked.cells])]
    n_images = round(sum(int(facts.get("n_attacked_images", 0)) for facts in asked.cells) / len(asked.cells))
    quality = _quality(float(own["psnr"].mean()), float(own["ssim"].mean()))
    return (*spot(reading, asked), f": {number_word(n_images, 'attacked image')}, on average ", *quality, ".")


def _quality(noise: float, similar: float) -> Phrase:
    """Return `PSNR 36.8 dB, SSIM 0.901`."""
    level = "the same picture" if math.isinf(noise) else "PSNR unknown" if math.isnan(noise) else ""
    said: Phrase = (level,) if level else ("PSNR ", Number(noise, f"{noise:.1f}{SPACE}dB"))
    return said if math.isnan(similar) else (*said, ", SSIM ", Number(similar, f"{similar:.3f}"))


def _shot(reading: Reading, asked: Asked, row: Row) -> Shot:
    files = reading.results.picture_files
    both = read_pair(files[str(row["clean"])], files[str(row["attacked"])])
    item, where = str(row["item"]), f"{asked.system} under {asked.attack} at {asked.budget}"
    noise, similar = psnr(*both), ssim(*both)
    level = int(abs(both[1].astype(int) - both[0].astype(int)).max())
    alts = (
        f"item {item}, clean",
        f"item {item}, attacked: {where}",
        f"item {item}, difference of the two, {AMPLIFIED} times; at most {level} of 255 levels",
    )
    images = zip(alts, (*both, amplified(*both)), strict=True)
    made = tuple(Image(alt, *png(pixels, _SIDE)) for alt, pixels in images)
    facts: list[Phrase] = [spot(reading, asked), _quality(noise, similar), (f"at most {level} of 255 levels",)]
    if int(row["n_tests"]):
        ranks = (plain_number(float(row["rank_clean"])), " to ", plain_number(float(row["rank_attacked"])))
        facts.append(("rank ", *ranks))
    else:
        facts.append(("no test row",))
    height, width = both[0].shape[:2]
    if max(height, width) > _SIDE:
        facts.append((f"shown smaller than {width} x {height}",))
    return Shot(("item ", Name(item)), tuple(facts), made)
