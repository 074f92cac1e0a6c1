"""The report as one HTML file that asks for nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path

from markupsafe import Markup

from recshield.report import pictures
from recshield.report.content import Chart, Estimate, Image, Matrix, MatrixRow, Report
from recshield.report.format import ReportFormat
from recshield.report.formats.templating import environment, rendered, source
from recshield.report.words import between, signed

#: Losses and gains from which on a cell has the next shade, as shares.
LOSSES = (0.01, 0.05, 0.15, 0.35, 0.65)
GAINS = (0.01, 0.05, 0.15)
#: Verdict -> sign; never the colour alone.
SIGNS = {"pass": "✓", "warn": "!", "unproven": "?", "not run": "?", "fail": "✕"}


class Html(ReportFormat):
    """One page, with its charts, styles and script inside."""

    name, suffix = "html", ".html"
    description = "one self-contained page: opens from disk, offline, on a phone and on paper"

    def render(self, report: Report, folder: Path) -> str:
        """Return the page; nothing else is written."""
        made = environment(self.templates)
        made.filters |= {"shade": shade, "badge": badge, "ends": ends, "repeats": repeats, "percent": signed,
                         "embedded": embedded}  # fmt: skip
        style, script = source("report.css"), source("report.js")
        policy = (
            f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )
        return rendered(
            made, "report.html.j2", report=report, policy=policy,
            style=Markup(style), script=Markup(script),  # noqa: S704 - files of recshield
            drawings=_drawings(report), choices=_choices(report), losses=LOSSES, gains=GAINS,
        )  # fmt: skip


def _hashed(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _drawings(report: Report) -> dict[str, list[Markup]]:
    """Return the drawings of every chart by `chapter-section-chart`."""
    found: dict[str, list[Markup]] = {}
    held = [(chapter.key, section) for chapter in report.chapters for section in chapter.sections]
    for chapter, section in held:
        for block in section.blocks:
            if isinstance(block, Chart):
                key = f"{chapter}-{section.key}-{block.key}"
                drawn = [pictures.svg(one.spec, f"{key}-{i}", one.alt) for i, one in enumerate(block.panels)]
                found[key] = [Markup(one) for one in drawn]  # noqa: S704 - cleaned by pictures.svg
    return found


def _choices(report: Report) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Return, by chapter, what the matrix can be filtered by: key, title, values; single values are no choice."""
    found: dict[str, list[tuple[str, str, list[str]]]] = {}
    for chapter in report.chapters:
        for section in chapter.sections:
            for block in section.blocks:
                if isinstance(block, Matrix):
                    found[chapter.key] = [one for one in _filters(block) if len(one[2]) > 1]
    return found


def _filters(matrix: Matrix) -> list[tuple[str, str, list[str]]]:
    def values(key: str) -> list[str]:
        return [value for value in dict.fromkeys(str(getattr(row, key)) for row in matrix.rows) if value]

    verdicts = dict.fromkeys(cell.verdict for row in matrix.rows for cell in row.cells if cell and cell.verdict)
    return [
        ("attack", "Attack", list(matrix.attacks)),
        ("surface", "Surface", values("surface")),
        ("goal", "Goal", values("goal")),
        ("stage", "Time", values("stage")),
        ("norm", "Norm", values("norm")),
        ("eps", "Eps", values("eps")),
        ("verdict", "Verdict", list(verdicts)),
    ]


def shade(estimate: Estimate, lower_is_better: tuple[str, ...] = ()) -> str:
    """Return the class of a cell's colour: `loss-0` to `loss-4`, `gain-0` to `gain-2`, `even`, or `none`."""
    change = -estimate.change if estimate.metric in lower_is_better else estimate.change
    if math.isnan(change):
        return "none"
    steps, kind = (LOSSES, "loss") if change < 0 else (GAINS, "gain")
    place = sum(abs(change) >= step for step in steps) - 1
    return f"{kind}-{place}" if place >= 0 else "even"


def badge(word: str) -> tuple[str, str]:
    """Return a verdict's class and its sign; an unknown word has the plain ones."""
    return (word.replace(" ", "-"), SIGNS[word]) if word in SIGNS else ("other", "")


def ends(estimate: Estimate) -> str:
    """Return the interval of a relative change, or ""."""
    return between(estimate.low, estimate.high)


def embedded(image: Image) -> str:
    """Return an image as a `data:` address."""
    return f"data:image/png;base64,{base64.b64encode(image.png).decode()}"


def repeats(rows: tuple[MatrixRow, ...], place: int) -> bool:
    """Return whether a row is of the same system as the one above it."""
    return place > 0 and rows[place].system == rows[place - 1].system
