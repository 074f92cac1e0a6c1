"""What a report format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from recshield.report.content import Report


class ReportFormat(ABC):
    """One way to write a report; offered through the hook `recshield_reports`.

    Attributes:
        name: as `--format` takes it.
        suffix: of its file, with the dot.
        description: one line for `recshield plugins`.
        templates: folder with the user's own templates, which win over the format's; None = none.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    description: ClassVar[str]

    def __init__(self, templates: Path | None = None) -> None:
        self.templates = templates

    @abstractmethod
    def render(self, report: Report, folder: Path) -> str:
        """Return the text of the file, which recshield writes.

        Args:
            report: what it says; every text in it is untrusted.
            folder: where the file will lie; further files (figures) may be written there.
        """
