"""Checks of an audit check, run on the cells of a small real run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from recshield.audit import WORDS, Check, Finding
from recshield.audit.check import NOT_RUN, PASS
from recshield.core.errors import in_one_line
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results
from recshield.testing.declarations import (
    check_description_is_one_line,
    check_docstring_is_complete,
    said,
)
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.probes import watched_random_state
from recshield.testing.small_runs import judged_run

Kind = type[Check]


def _results() -> Results:
    return judged_run()[1].results


def _judged(check: Kind) -> list[tuple[Mapping[str, Any], Any]]:
    """Return every attacked cell that the check applies to, and what it finds there."""
    results, made = _results(), check()
    found: list[tuple[Mapping[str, Any], Any]] = [
        (facts, made.judge(facts, results)) for facts in results.cells() if made.applies(facts)
    ]
    applies_if(bool(found), f"{said(check)} applies to no cell of a run of noise, fgsm, pgd and search on mf and amf")
    return found


def _fingerprint(results: Results) -> list[int]:
    tables = (results.table, results.per_user, results.steps, results.timings)
    return [int(pd.util.hash_pandas_object(held.astype(str)).sum()) for held in tables]


def check_has_a_number_and_a_name(check: Kind) -> None:
    """The number is a whole one from 1 on, the name upper case: both stand in tables of verdicts."""
    number, name = getattr(check, "number", None), str(check.name)
    need(
        isinstance(number, int) and number >= 1 and name == name.upper(),
        f"{said(check)}: number {number!r} and name '{name}'; use a whole number from 100 on and an upper-case name",
    )


def check_applies_says_yes_or_no(check: Kind) -> None:
    """`applies` is a bool on every attacked cell."""
    made = check()
    for facts in _results().cells():
        answer = made.applies(facts)
        need(isinstance(answer, bool), f"{said(check)}: applies() returns {answer!r}; expected True or False")


def check_findings_are_sentences(check: Kind) -> None:
    """`judge` returns a Finding with a known verdict, one sentence and figures that are numbers."""
    for _, found in _judged(check):
        need(isinstance(found, Finding), f"{said(check)}: judge() returns {type(found).__name__}; expected a Finding")
        known = sorted({*WORDS, NOT_RUN} - {""})
        need(
            found.verdict in known,
            f"{said(check)}: verdict '{found.verdict}' is unknown; allowed: {', '.join(known)}",
        )
        is_line = bool(found.sentence.strip()) and "\n" not in found.sentence
        need(is_line, f"{said(check)}: the sentence is {found.sentence!r}; say in one line what was found")
        wrong = [name for name, value in found.figures.items() if not isinstance(value, float)]
        need(not wrong, f"{said(check)}: figure {wrong[:1]} is no float; figures are numbers")


def check_same_cell_same_finding(check: Kind) -> None:
    """Two calls find the same, and the global random state stays as it was."""
    with watched_random_state(said(check)):
        first, again = (_judged(check) for _ in range(2))
    is_same = [repr(found) for _, found in first] == [repr(found) for _, found in again]
    need(is_same, f"{said(check)}: two calls of judge() on one cell differ; keep no state and draw nothing")


def check_results_are_not_changed(check: Kind) -> None:
    """Judging changes no table: every check reads the same figures."""
    results = _results()
    before = _fingerprint(results)
    _judged(check)
    check().judge_run(results, {})
    need(_fingerprint(results) == before, f"{said(check)}: the results are changed; work on a copy")


def check_a_missing_cell_is_not_run(check: Kind) -> None:
    """Where it looks for the other cells that it needs and finds none, a check does not pass a cell: `not run`.

    Prevents: a run that stops, or a cell that passes, because something was left out.
    """
    made, results = check(), _results()
    cells = [cell for cell in judged_run()[0].plan.cells if cell.attack is not None]
    applies_if(any(made.needs(cell) for cell in cells), f"{said(check)} needs no other cell")
    for facts, _ in _judged(check):
        bare = _Bare(facts)
        try:
            found = made.judge(bare, results)
        except Exception as error:
            raise CheckFailed(
                f"{said(check)}: without the cells it needs, judge() raises {in_one_line(error)}; return missing(...)"
            ) from error
        need(
            found.verdict != PASS or not bare.is_asked,
            f"{said(check)}: without the cells it needs, the verdict is '{found.verdict}'; expected '{NOT_RUN}'",
        )


class _Bare(dict[str, Any]):
    """Facts of a cell without the cells it needs; notes whether somebody looked for them."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__({**facts, "needs": {}})
        self.is_asked = False

    def __getitem__(self, key: str) -> Any:
        self.is_asked |= key == "needs"
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.is_asked |= key == "needs"
        return super().get(key, default)


def check_needs_are_cells(check: Kind) -> None:
    """`needs` and `further_needs` name other cells by role, the same ones each time."""
    made = check()
    for cell in (one for one in judged_run()[0].plan.cells if one.attack is not None):
        for ask in (made.needs, made.further_needs):
            held, again = ask(cell), ask(cell)
            is_sound = isinstance(held, Mapping) and all(
                isinstance(role, str) and isinstance(one, Cell) for role, one in held.items()
            )
            need(is_sound, f"{said(check)}: {ask.__name__}() returns {held!r}; expected role -> Cell")
            is_same = {role: one.id for role, one in held.items()} == {role: one.id for role, one in again.items()}
            need(is_same, f"{said(check)}: two calls of {ask.__name__}() differ; plans must repeat")


#: Every check of an audit check, in the order in which they run.
AUDIT_CHECKS: tuple[Callable[..., None], ...] = (
    check_description_is_one_line,
    check_docstring_is_complete,
    check_has_a_number_and_a_name,
    check_applies_says_yes_or_no,
    check_needs_are_cells,
    check_findings_are_sentences,
    check_same_cell_same_finding,
    check_results_are_not_changed,
    check_a_missing_cell_is_not_run,
)
