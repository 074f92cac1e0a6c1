"""The report as LaTeX with booktabs tables, its charts as PDF (and as SVG and PNG) beside it."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from recshield.report import pictures
from recshield.report.content import Inline, Name, Number, Phrase, Report, Table, Verdict
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
    if isinstance(part, Name):
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
    return sum(len(p.text if isinstance(p, Name | Number) else p.word if isinstance(p, Verdict) else p) for p in parts)


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
        made.filters |= {"phrase": phrase, "widths": widths, "size": size, "tables": flat.tables, "notes": flat.notes}
        made.filters |= {"typed": lambda text: phrase((Name(text),))}
        files: dict[str, list[str]] = {}
        for key, chart in flat.charts(report):
            for place, panel in enumerate(chart.panels):
                pictures.export(panel.spec, folder / "figures", f"{key}-{place}")
                files.setdefault(key, []).append(f"figures/{key}-{place}.pdf")
        return rendered(made, "report.tex.j2", report=report, files=files, images=flat.save_images(report, folder))
