"""Registers recshield's own report formats, exactly as a third party would."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.report.format import ReportFormat
from recshield.report.formats.data import Csv, Json
from recshield.report.formats.html import Html
from recshield.report.formats.latex import Latex
from recshield.report.formats.markdown import Markdown


@hookimpl
def recshield_reports() -> list[type[ReportFormat]]:
    """Return the formats."""
    return [Html, Markdown, Latex, Json, Csv]
