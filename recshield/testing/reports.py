"""Checks of a report format, run on the reports of small real runs."""

from __future__ import annotations

import copy
import dataclasses
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from recshield.report.content import Report
from recshield.report.format import ReportFormat
from recshield.testing.declarations import (
    check_description_is_one_line,
    check_docstring_is_complete,
    check_name_can_be_written,
    said,
)
from recshield.testing.failures import need
from recshield.testing.probes import watched_random_state
from recshield.testing.small_runs import clean_run, report_of, small_report

Kind = type[ReportFormat]
_ESCAPE = "\x1b[31mred\x1b[0m"


def _rendered(report_format: Kind, report: Report) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return report_format().render(report, Path(folder))


def check_suffix_is_one_of_a_file(report_format: Kind) -> None:
    """The suffix is a dot and letters, as it ends a file's name."""
    suffix = getattr(report_format, "suffix", "")
    need(
        bool(re.fullmatch(r"\.[a-z0-9]+(\.[a-z0-9]+)?", suffix)),
        f"{said(report_format)}: suffix is {suffix!r}; write a dot and small letters, such as '.txt'",
    )


def check_the_main_figures_are_there(report_format: Kind) -> None:
    """The text names every system and every attack of the run."""
    text = _rendered(report_format, small_report())
    missing = [name for name in ("mf", "noise", "fgm") if name not in text]
    need(
        not missing,
        f"{said(report_format)}: the text does not name {', '.join(missing)}; write every row",
    )


def check_a_run_without_attacks_is_written(report_format: Kind) -> None:
    """A run of clean systems alone gives a text, too."""
    text = _rendered(report_format, report_of(clean_run()))
    need(
        "popular" in text,
        f"{said(report_format)}: the text of a run without attacks names no system",
    )


def check_same_report_same_bytes(report_format: Kind) -> None:
    """Two renderings of one report are the same bytes, and the global random state stays as it was."""
    with watched_random_state(said(report_format)):
        first, again = (_rendered(report_format, small_report()) for _ in range(2))
    need(first == again, f"{said(report_format)}: two renderings of one report differ; write no time and draw nothing")


def check_the_report_is_not_changed(report_format: Kind) -> None:
    """Rendering leaves the report as it was: other formats write the same one."""
    report = small_report()
    before = copy.deepcopy(report)
    _rendered(report_format, report)
    need(repr(report) == repr(before), f"{said(report_format)}: render() changes the report; work on a copy")


def check_control_characters_stay_out(report_format: Kind) -> None:
    """Escape sequences in a name do not reach the file: every text in a report is untrusted.

    Prevents: a data set's or plugin's name that drives the reader's terminal.
    """
    text = _rendered(report_format, dataclasses.replace(small_report(), title=_ESCAPE))
    need(
        "\x1b" not in text,
        f"{said(report_format)}: an escape sequence of the title stands in the text; pass what comes from the report "
        "through recshield.report.text.plain",
    )


#: Every check of a report format, in the order in which they run.
REPORT_CHECKS: tuple[Callable[..., None], ...] = (
    check_name_can_be_written,
    check_description_is_one_line,
    check_docstring_is_complete,
    check_suffix_is_one_of_a_file,
    check_the_main_figures_are_there,
    check_a_run_without_attacks_is_written,
    check_same_report_same_bytes,
    check_the_report_is_not_changed,
    check_control_characters_stay_out,
)
