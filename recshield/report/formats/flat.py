"""A matrix as plain tables, for formats in which nothing can be opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recshield.report.content import (
    Chart,
    Gallery,
    Image,
    Matrix,
    MatrixCell,
    MatrixRow,
    Name,
    Phrase,
    Report,
    Table,
    Verdict,
)
from recshield.report.words import figure, moved

DASH = "\N{EN DASH}"


def tables(matrix: Matrix) -> Iterator[Table]:
    """Yield a table per metric: a row per system and budget, a column per attack."""
    for place, metric in enumerate(matrix.metrics):
        rows: list[tuple[Phrase, ...]] = []
        for row in matrix.rows:
            budget = _budget(matrix, row) if row.norm else (DASH,)
            cells = tuple(_cell(cell, place) for cell in row.cells)
            rows.append(((Name(row.system),), budget, (figure(row.clean[place].clean),), *cells))
        columns = ("system", "budget", "clean", *matrix.attacks)
        numeric = (False, False, True, *(True,) * len(matrix.attacks))
        caption = f"Relative change of {metric}, its interval in per cent, and the verdict."
        yield Table(f"matrix-{place}", caption, columns, numeric, tuple(rows))


def _budget(matrix: Matrix, row: MatrixRow) -> Phrase:
    """Return a row's budget, and whatever else of its place differs between rows."""
    attacked = [one for one in matrix.rows if one.norm]
    kinds = [kind for kind in ("surface", "goal", "stage") if len({getattr(one, kind) for one in attacked}) > 1]
    said: Phrase = (Name(f"{row.norm} {row.eps}"),)
    for place, kind in enumerate(kinds):
        said += (" on " if kind == "surface" else ", " if place else " for ", Name(getattr(row, kind)))
    return said


def _cell(cell: MatrixCell | None, place: int) -> Phrase:
    if cell is None:
        return (DASH,)
    differs = " (differs by seed)" if cell.is_flipping else ""
    return (*moved(cell.estimates[place]), " ", Verdict(cell.verdict), differs)


def notes(matrix: Matrix) -> tuple[Phrase, ...]:
    """Return what a reader must know about some attacks."""
    held = zip(matrix.attacks, matrix.notes, strict=True)
    return tuple((Name(attack), f": {note}.") for attack, note in held if note)


def save_images(report: Report, folder: Path) -> dict[str, list[list[str]]]:
    """Write all images to `figures/`; return their names by `chapter-section-gallery`, a list per shot."""
    found: dict[str, list[list[str]]] = {}
    for chapter in report.chapters:
        for section in chapter.sections:
            for block in (one for one in section.blocks if isinstance(one, Gallery)):
                key = f"{chapter.key}-{section.key}-{block.key}"
                found[key] = [
                    [_saved(image, folder, f"{key}-{place}-{side}") for side, image in enumerate(shot.images)]
                    for place, shot in enumerate(block.shots)
                ]
    return found


def _saved(image: Image, folder: Path, stem: str) -> str:
    target = folder / "figures" / f"{stem}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(image.png)
    return f"figures/{target.name}"


def charts(report: Report) -> Iterator[tuple[str, Chart]]:
    """Yield every chart with a key unique within the report."""
    for chapter in report.chapters:
        for section in chapter.sections:
            for block in section.blocks:
                if isinstance(block, Chart):
                    yield f"{chapter.key}-{section.key}-{block.key}", block
