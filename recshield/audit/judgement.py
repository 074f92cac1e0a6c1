"""Run every check on every cell, and sum up each cell in one word."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from recshield.audit.check import FAIL, NOT_RUN, PASS, WARN, Check, Facts, Finding
from recshield.core.errors import PluginFailed, raised
from recshield.core.registry import registry
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results

UNPROVEN = "unproven"
#: What stands in place of a cell where a finding is about the run as a whole.
RUN = ""
#: From sound to not, as a reader should take them.
WORDS = (PASS, WARN, UNPROVEN, FAIL)
_BADNESS = (PASS, WARN, NOT_RUN, FAIL)


def checks() -> list[Check]:
    """Return the installed checks in order of their numbers."""
    return sorted((made() for made in registry().found["check"].values()), key=lambda check: (check.number, check.name))


def needs(cell: Cell, is_member: bool = False) -> Mapping[str, Cell]:
    """Return every cell that some check judges this one by; an ensemble and its members share the checks."""
    asked = [check for check in checks() if check.of_members or not is_member]
    if cell.members():
        asked = [check for check in asked if not check.of_members]
    return {role: other for check in asked for role, other in _asked(check, check.needs, cell).items()}


def further_needs(cell: Cell, is_member: bool = False) -> Mapping[str, Cell]:
    """Return the cells that `--audit full` adds to those of `needs`."""
    asked = [check for check in checks() if check.of_members or not is_member]
    if cell.members():
        asked = [check for check in asked if not check.of_members]
    return {role: other for check in asked for role, other in _asked(check, check.further_needs, cell).items()}


def _asked(check: Check, ask: Callable[[Cell], Mapping[str, Cell]], cell: Cell) -> Mapping[str, Cell]:
    """Return the cells that a check asks for; a stranger's that raises is named before anything is computed."""
    try:
        return ask(cell)
    except Exception as error:
        if not _owner(check):
            raise
        advice = "mend it, uninstall it, or leave it out with RECSHIELD_PLUGINS"
        raise PluginFailed(f"{_raised(check, error)} when asked which cells it needs; {advice}") from error


def _owner(check: Check) -> str:
    """Return the package that a check comes from, "" for recshield's own."""
    source = registry().sources.get(("check", check.name))
    name = source.distribution if source is not None else type(check).__module__
    return "" if name == "recshield" or name.startswith("recshield.") else name


def _raised(check: Check, error: Exception) -> str:
    return f"check '{check.name}' of {_owner(check)} raised {raised(error)}"


def judge(results: Results) -> pd.DataFrame:
    """Return what every check finds on every attacked cell that was asked for, and on the run as a whole.

    Returns:
        One row per cell and check that applies: cell (`RUN` for the run), number, check, is_required, verdict,
        sentence, figures (JSON).
    """
    installed, rows = checks(), []
    for facts in results.cells():
        if facts["is_control"]:
            continue
        for check in installed:
            found = _find(check, facts, results)
            if found is not None:
                rows.append(_row(facts["cell"], check, found))
    columns = ["cell", "number", "check", "is_required", "verdict", "sentence", "figures"]
    by_cell = summarise(pd.DataFrame(rows, columns=columns))
    for check in installed:
        try:
            found = check.judge_run(results, by_cell)
        except Exception as error:
            if not _owner(check):
                raise
            found = Finding(NOT_RUN, f"not run: {_raised(check, error)}")
        if found is not None:
            rows.append(_row(RUN, check, found))
    return pd.DataFrame(rows, columns=columns)


def _row(cell: str, check: Check, found: Finding) -> dict[str, Any]:
    return {
        "cell": cell,
        "number": check.number,
        "check": check.name,
        "is_required": check.is_required and cell != RUN,
        "verdict": found.verdict,
        "sentence": found.sentence,
        "figures": json.dumps(found.figures, sort_keys=True),
    }


def _find(check: Check, facts: Facts, results: Results) -> Finding | None:
    """Return what a check finds on a cell, None where it does not apply."""
    if not (check.of_members and facts["members"]):
        try:
            return check.judge(facts, results) if check.applies(facts) else None
        except Exception as error:  # a stranger's check must not take the run with it
            if not _owner(check):
                raise
            return Finding(NOT_RUN, f"not run: {_raised(check, error)}")
    found = []
    for cell in facts["members"]:
        member = results.facts(cell)
        if member is None:
            found.append(Finding(NOT_RUN, f"not run: the member {cell} is missing from the run"))
            continue
        one = _find(check, member, results)
        if one is not None:
            found.append(dataclasses.replace(one, sentence=f"{member['attack']}: {one.sentence}"))
    if not found:
        return None
    telling = [one for one in found if one.is_broken or one.verdict == NOT_RUN]
    if check.of_members == "worst" or telling:
        return max(telling or found, key=lambda one: _BADNESS.index(one.verdict))
    return min(found, key=lambda one: _BADNESS.index(one.verdict))


def summarise(verdicts: pd.DataFrame) -> dict[str, str]:
    """Return cell -> verdict: fail, else unproven (a required check was not run), else warn, else pass."""
    summary = {}
    for cell, found in verdicts[verdicts["cell"] != RUN].groupby("cell", sort=False):
        is_unproven = bool(((found["verdict"] == NOT_RUN) & found["is_required"]).any())
        words = set(found["verdict"])
        summary[str(cell)] = FAIL if FAIL in words else UNPROVEN if is_unproven else WARN if WARN in words else "pass"
    return summary


def reached(verdicts: pd.DataFrame, level: str) -> list[str]:
    """Return the cells, `RUN` for the run as a whole, whose verdict is at least as bad as one of `WORDS[1:]`."""
    worst = summarise(verdicts)
    whole = set(verdicts[verdicts["cell"] == RUN]["verdict"])
    worst |= {RUN: FAIL if FAIL in whole else WARN if WARN in whole else PASS}
    least = WORDS.index(level)
    return [cell for cell, word in worst.items() if WORDS.index(word) >= least]
