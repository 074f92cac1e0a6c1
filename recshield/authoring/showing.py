"""Conformance and plugins as a terminal and as JSON show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from recshield.authoring import checking
from recshield.authoring.checking import Conformance, Subject
from recshield.report.text import plain, safe
from recshield.testing import CheckOutcome

_STYLES = {"pass": "green", "fail": "bold red", "skip": "dim"}


def word(outcome: CheckOutcome) -> str:
    """Return `pass`, `fail` or `skip`."""
    if not outcome.applies:
        return "skip"
    return "pass" if outcome.passed else "fail"


def _table(subject: Subject, outcomes: Sequence[CheckOutcome]) -> Table:
    n_checks = checking.n_checks(subject)
    done = f"{len(outcomes)} of {n_checks} check{'s' if n_checks > 1 else ''}"
    table = Table(title=safe(f"{subject.label}: {done}", "bold"), title_justify="left", box=None, pad_edge=False)
    for title in ("check", "", "what was found"):
        table.add_column(title, overflow="fold")
    for one in outcomes:
        found = word(one)
        message = one.message.removeprefix("not applicable: ")
        table.add_row(safe(one.name), safe(found, _STYLES[found]), safe(message))
    return table


def show_while_checking(console: Console, subjects: Sequence[Subject]) -> list[Conformance]:
    """Run the kit on each subject, print each check as soon as it is done, and what it comes to."""
    found = []
    for subject in subjects:
        outcomes: list[CheckOutcome] = []
        with Live(_table(subject, outcomes), console=console, transient=True, auto_refresh=False) as live:
            for one in checking.each(subject):
                outcomes.append(one)
                live.update(_table(subject, outcomes), refresh=console.is_terminal)
        console.print(_table(subject, outcomes))
        found.append(checking.concluded(subject, outcomes))
        words = [word(one) for one in outcomes]
        counts = ", ".join(f"{words.count(name)} {name}" for name in ("pass", "fail", "skip"))
        console.print(safe(f"{subject.label}: {counts}", "green" if found[-1].passed else "bold red"), soft_wrap=True)
        console.print()
    return found


def as_json(found: Sequence[Conformance]) -> str:
    """Return what was found, one object per subject."""
    rows: list[dict[str, Any]] = [
        {
            "kind": one.subject.kind,
            "name": one.subject.name,
            "options": dict(one.subject.options),
            "source": f"{one.subject.source.distribution} {one.subject.source.version}",
            "passed": one.passed,
            "checks": [
                {"name": held.name, "outcome": word(held), "message": plain(held.message)} for held in one.outcomes
            ],
        }
        for one in found
    ]
    return json.dumps(rows, indent=1)
