"""Run every check on every cell, and sum up each cell in one word."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from recshield.audit.check import FAIL, NOT_RUN, PASS, WARN, Check, Facts, Finding
from recshield.core.registry import registry
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results

UNPROVEN = "unproven"
_BADNESS = (PASS, WARN, NOT_RUN, FAIL)


def checks() -> list[Check]:
    """Return the installed checks in order of their numbers."""
    return sorted((made() for made in registry().found["check"].values()), key=lambda check: (check.number, check.name))


def needs(cell: Cell, is_member: bool = False) -> Mapping[str, Cell]:
    """Return every cell that some check judges this one by; an ensemble and its members share the checks."""
    asked = [check for check in checks() if check.of_members or not is_member]
    if cell.members():
        asked = [check for check in asked if not check.of_members]
    return {role: other for check in asked for role, other in check.needs(cell).items()}


def judge(results: Results) -> pd.DataFrame:
    """Return what every check finds on every attacked cell that was asked for.

    Returns:
        One row per cell and check that applies: cell, number, check, is_required, verdict, sentence, figures (JSON).
    """
    rows: list[dict[str, Any]] = []
    for facts in results.cells():
        if facts["is_control"]:
            continue
        for check in checks():
            found = _find(check, facts, results)
            if found is None:
                continue
            rows.append(
                {
                    "cell": facts["cell"],
                    "number": check.number,
                    "check": check.name,
                    "is_required": check.is_required,
                    "verdict": found.verdict,
                    "sentence": found.sentence,
                    "figures": json.dumps(found.figures, sort_keys=True),
                }
            )
    columns = ["cell", "number", "check", "is_required", "verdict", "sentence", "figures"]
    return pd.DataFrame(rows, columns=columns)


def _find(check: Check, facts: Facts, results: Results) -> Finding | None:
    """Return what a check finds on a cell, None where it does not apply."""
    if not (check.of_members and facts["members"]):
        return check.judge(facts, results) if check.applies(facts) else None
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
    for cell, found in verdicts.groupby("cell", sort=False):
        is_unproven = bool(((found["verdict"] == NOT_RUN) & found["is_required"]).any())
        words = set(found["verdict"])
        summary[str(cell)] = FAIL if FAIL in words else UNPROVEN if is_unproven else WARN if WARN in words else "pass"
    return summary
