"""The report as Markdown (GitHub's tables), its charts as SVG files beside it."""

from __future__ import annotations

import html
import re
from pathlib import Path

from recshield.report import pictures
from recshield.report.content import Inline, Name, Number, Phrase, Report, Verdict
from recshield.report.format import ReportFormat
from recshield.report.formats import flat
from recshield.report.formats.templating import Safe, environment, rendered
from recshield.report.text import plain

_SPECIAL = re.compile(r"([\\`*_\[\]~#$!:@|])")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no link that makes itself."""
    held = _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", html.escape(plain(text), quote=False).replace("&", "\0"))
    return held.replace("\0", "&")


def _inline(part: Inline) -> str:
    if isinstance(part, Name):
        # A code span ends at its own backticks, and a table's cell at a bar: those stand as entities.
        held = plain(part.text)
        return f"`{held}`" if held.strip() and not re.search(r"[`|]", held) else f"<code>{escape(held)}</code>"
    if isinstance(part, Number):
        return escape(part.text)
    if isinstance(part, Verdict):
        return f"**{escape(part.word or 'not judged')}**"
    return escape(part)


def phrase(parts: Phrase) -> Safe:
    """Return a phrase as Markdown, on one line."""
    return Safe("".join(_inline(part) for part in parts).strip())


class Markdown(ReportFormat):
    """Text for a repository or a wiki."""

    name, suffix = "markdown", ".md"
    description = "Markdown with tables; charts as SVG files in figures/"

    def render(self, report: Report, folder: Path) -> str:
        """Return the text; charts go to figures/."""
        made = environment(self.templates, escape)
        made.filters |= {"phrase": phrase, "tables": flat.tables, "notes": flat.notes, "fence": fence}
        files: dict[str, list[str]] = {}
        for key, chart in flat.charts(report):
            for place, panel in enumerate(chart.panels):
                target = folder / "figures" / f"{key}-{place}.svg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(pictures.svg(panel.spec, f"{key}-{place}", panel.alt), encoding="utf-8")
                files.setdefault(key, []).append(f"figures/{target.name}")
        return rendered(made, "report.md.j2", report=report, files=files, images=flat.save_images(report, folder))


def fence(text: str) -> Safe:
    """Return text as a code block; its fence is longer than any run of backticks inside."""
    held = plain(text)
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", held)), default=0))
    return Safe(f"{ticks}text\n{held}\n{ticks}")
