"""The report as LaTeX with booktabs tables, its charts as PDF (and as SVG and PNG) beside it."""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from recshield.report import pictures
from recshield.report.content import Inline, Matrix, Name, Number, Phrase, Report, Table, Verdict
from recshield.report.format import ReportFormat
from recshield.report.formats import flat
from recshield.report.formats.templating import Safe, environment, rendered
from recshield.report.text import plain

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "-": "{-}", "[": "{[}", "]": "{]}", "!": "{!}", "?": "{?}", ",": "{,}",
    "\N{MINUS SIGN}": r"\ensuremath{-}", "\N{MULTIPLICATION SIGN}": r"\ensuremath{\times}", "\N{EN DASH}": "--",
    "\N{NO-BREAK SPACE}": "~",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{REPLACEMENT CHARACTER}": r"\textbf{?}",
}  # fmt: skip
#: Characters after which a long name may break.
_BREAKS = set("+:,=@-_./ ")
#: Names of at most so many characters stay whole.
_SHORT_NAME = 12
#: A part of a phrase that ends the line.
_LINE = "\n"
#: Size of type -> its characters that fit into a line; a table takes the first that its columns fit into.
_SIZES = {"scriptsize": 104, "tiny": 132}


def _character(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if ord(char) < 128:
        return char
    # Letters of Latin alphabets are what the usual fonts have; others are named by their number.
    return char if ord(char) < 0x180 and unicodedata.category(char)[0] == "L" else f"{{[}}U+{ord(char):04X}{{]}}"


def escape(text: str) -> str:
    """Return text that LaTeX sets as it is: no command, no group, no ligature."""
    return "".join(_character(char) for char in plain(text))


def _inline(part: Inline) -> str:
    if part == _LINE:
        return r"\linebreak{}"
    if isinstance(part, Name):
        if len(part.text) <= _SHORT_NAME:
            return rf"\texttt{{\mbox{{{escape(part.text)}}}}}"
        held = "".join(_character(char) + (r"\allowbreak{}" if char in _BREAKS else "") for char in plain(part.text))
        return rf"\texttt{{{held}}}"
    if isinstance(part, Number):
        return escape(part.text)
    if isinstance(part, Verdict):
        return rf"\textsc{{{escape(part.word or 'not judged')}}}"
    return escape(part)


def phrase(parts: Phrase) -> Safe:
    """Return a phrase as LaTeX."""
    return Safe("".join(_inline(part) for part in parts).strip())


def _length(parts: Phrase) -> int:
    """Return how many characters the longest line of a phrase has; names are set in wider type."""
    lines = [0.0]
    for part in parts:
        if part == _LINE:
            lines.append(0.0)
        elif isinstance(part, Name):
            lines[-1] += 1.2 * len(part.text)
        else:
            lines[-1] += len(
                part.text if isinstance(part, Number) else part.word if isinstance(part, Verdict) else part
            )
    return math.ceil(max(lines))


def _stacked(matrix: Matrix) -> Iterator[Table]:
    """Yield the tables of a matrix; in a cell the change, its interval and the verdict each have a line."""
    for table in flat.tables(matrix):
        rows = [(*row[:3], *(_lines(said) for said in row[3:])) for row in table.rows]
        yield dataclasses.replace(table, rows=tuple(rows))


def _lines(said: Phrase) -> Phrase:
    found: list[Inline] = []
    for part in said:
        is_apart = isinstance(part, str) and part.startswith(" ")
        found += [_LINE, *filter(None, [part.strip()])] if is_apart and isinstance(part, str) else [part]
    return tuple(found)


def _lengths(table: Table) -> list[int]:
    """Return how many characters each column wants: most of its texts on one line, the words of its title whole."""
    wanted = []
    for place, title in enumerate(table.columns):
        lengths = sorted(_length(row[place]) for row in table.rows) or [1]
        word = max((len(one) for one in re.split(r"[\s-]", title)), default=1)
        wanted.append(min(max(lengths[int(0.9 * (len(lengths) - 1))] + 1, word + 2, 5), 46))
    return wanted


def size(table: Table) -> Safe:
    """Return the size of type that a table is set in."""
    wanted = sum(_lengths(table))
    return Safe(next((name for name, line in _SIZES.items() if wanted <= line), list(_SIZES)[-1]))


def widths(table: Table) -> Safe:
    """Return the columns of a longtable, each with a share of the line by the length of its texts."""
    wanted, line = _lengths(table), _SIZES[str(size(table))]
    whole = max(sum(wanted), line)
    columns = []
    for length, is_number in zip(wanted, table.numeric, strict=True):
        side = "raggedleft" if is_number else "raggedright"
        share = length / whole
        columns.append(rf">{{\{side}\arraybackslash}}p{{\dimexpr {share:.4f}\linewidth-2\tabcolsep\relax}}")
    return Safe("".join(columns))


class Latex(ReportFormat):
    """A document for a paper's appendix."""

    name, suffix = "latex", ".tex"
    description = "LaTeX with booktabs tables; charts as PDF, SVG and PNG files in figures/"

    def render(self, report: Report, folder: Path) -> str:
        """Return the document; charts go to figures/."""
        made = environment(
            self.templates, escape, block_start_string="<%", block_end_string="%>", variable_start_string="<<",
            variable_end_string=">>", comment_start_string="<#", comment_end_string="#>",
        )  # fmt: skip
        made.filters |= {"phrase": phrase, "widths": widths, "size": size, "tables": _stacked, "notes": flat.notes}
        made.filters |= {"typed": lambda text: phrase((Name(text),))}
        files: dict[str, list[str]] = {}
        for key, chart in flat.charts(report):
            for place, panel in enumerate(chart.panels):
                pictures.export(panel.spec, folder / "figures", f"{key}-{place}")
                files.setdefault(key, []).append(f"figures/{key}-{place}.pdf")
        return rendered(made, "report.tex.j2", report=report, files=files, images=flat.save_images(report, folder))
