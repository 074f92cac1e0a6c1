"""The report as data: JSON with everything, CSV with the matrix."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

from recshield.report.content import Matrix, MatrixRow, Name, Number, Report, Verdict
from recshield.report.format import ReportFormat
from recshield.report.text import plain

FORMAT = "recshield-report-1"
#: Beginnings that a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Json(ReportFormat):
    """Everything, for programs: sections, blocks and charts as the other formats show them."""

    name, suffix = "json", ".json"
    description = "everything as one JSON object, figures in full"

    def render(self, report: Report, folder: Path) -> str:
        """Return the object; nothing else is written."""
        return json.dumps({"format": FORMAT} | _value(report), indent=1, allow_nan=False, ensure_ascii=True) + "\n"


def _value(held: Any) -> Any:
    """Return JSON values; a block says its kind, a name, number or verdict what it is; NaN is null."""
    if isinstance(held, Name):
        return {"name": held.text}
    if isinstance(held, Number):
        return {"value": _value(held.value), "text": held.text}
    if isinstance(held, Verdict):
        return {"verdict": held.word}
    if dataclasses.is_dataclass(held) and not isinstance(held, type):
        fields = {one.name: _value(getattr(held, one.name)) for one in dataclasses.fields(held)}
        return {"kind": type(held).__name__.lower()} | fields
    if isinstance(held, dict):
        return {str(key): _value(value) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return [_value(one) for one in held]
    if isinstance(held, bytes):
        return base64.b64encode(held).decode()
    if isinstance(held, float):
        return held if math.isfinite(held) else None
    return held


class Csv(ReportFormat):
    """The matrix, for a spreadsheet."""

    name, suffix = "csv", ".csv"
    description = "the matrix: a row per cell and metric; text that a spreadsheet would run is quoted"

    def render(self, report: Report, folder: Path) -> str:
        """Return the table; nothing else is written."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        figures = ("clean", "attacked", "change", "low", "high", "n_users", "n_seeds")
        head = ("run", "system", "surface", "goal", "stage", "norm", "eps", "attack", "metric")
        writer.writerow((*head, *figures, "verdict", "differs_by_seed"))
        for chapter in report.chapters:
            for block in (block for section in chapter.sections for block in section.blocks):
                if isinstance(block, Matrix):
                    for row in block.rows:
                        writer.writerows(_lines(chapter.title, block, row, figures))
        return text.getvalue()


def _lines(chapter: str, matrix: Matrix, row: MatrixRow, figures: tuple[str, ...]) -> list[list[Any]]:
    """Return the clean system (attack `none`) and its cells, a line per metric."""
    head = [_text(one) for one in (chapter, row.system, row.surface, row.goal, row.stage, row.norm, row.eps)]
    held: list[tuple[str, Any, str, bool]] = [("none", own, "", False) for own in row.clean]
    for attack, cell in zip(matrix.attacks, row.cells, strict=True):
        if cell is not None:
            held += [(attack, own, cell.verdict, cell.is_flipping) for own in cell.estimates]
    lines = []
    for attack, own, verdict, is_flipping in held:
        values = (getattr(own, name) for name in figures)
        shown = ["" if isinstance(value, float) and math.isnan(value) else repr(value) for value in values]
        lines.append([*head, _text(attack), _text(own.metric), *shown, _text(verdict), "yes" if is_flipping else "no"])
    return lines


def _text(value: str) -> str:
    """Return text that no spreadsheet runs."""
    held = plain(value)
    return f"'{held}" if held.startswith(_FORMULA) else held
