"""Reports of runs: terminal, progress, and documents in the formats that plugins offer."""

from recshield.report.content import Report
from recshield.report.format import ReportFormat

__all__ = ["Report", "ReportFormat"]
