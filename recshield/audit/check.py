"""What a check is, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from recshield.evaluation.effect import Interval, difference, relative_change
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results

Facts = Mapping[str, Any]

PASS, WARN, FAIL, NOT_RUN = "pass", "warn", "fail", "not run"


@dataclass(frozen=True)
class Finding:
    """What a check found on one cell: a verdict, one sentence, and the figures behind it.

    `is_broken`: the perturbation does not do what its attack is there for; no other member of an ensemble excuses it.
    """

    verdict: str
    sentence: str
    figures: dict[str, float] = field(default_factory=dict)
    is_broken: bool = False


class Check(ABC):
    """One credibility check; reads finished results, never a training loop's word.

    Attributes:
        number: as in the documentation of the audit.
        name: upper case.
        description: what must hold.
        is_required: a cell where it applies but could not run is `unproven`.
        of_members: for the cell of an ensemble, `worst` or `best`: that finding among its members (it is about single
            perturbations; a broken one counts before all others); "" = the cell is judged itself.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    description: ClassVar[str]
    is_required: ClassVar[bool] = False
    of_members: ClassVar[str] = ""

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the other cells it judges this one by; the planner adds them.

        Keys are `NAME.role`, with the check's own name: `other(facts, results, role)` finds the cell again.
        """
        return {}

    def further_needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the cells that it needs, too, to look closer; only `--audit full` has the planner add them."""
        return {}

    def applies(self, facts: Facts) -> bool:
        """Return whether it says anything about an attacked cell."""
        return True

    def judge_run(self, results: Results, verdicts: Mapping[str, str]) -> Finding | None:
        """Return what it finds on the run as a whole, from the verdict of each cell; None: nothing to say."""
        return None

    @abstractmethod
    def judge(self, facts: Facts, results: Results) -> Finding:
        """Return what it finds; `not run` where it lacks another cell."""

    def other(self, facts: Facts, results: Results, role: str) -> dict[str, Any] | None:
        """Return the cell that plays one of its roles, or None."""
        return results.other(facts, f"{self.name}.{role}")


def missing(what: str) -> Finding:
    """Return the finding of a check that lacks a cell."""
    return Finding(NOT_RUN, f"not run: {what} is missing; add it, or leave --controls at auto")


def not_planned(what: str) -> Finding:
    """Return the finding of a check that lacks a cell which only `--audit full` plans."""
    return Finding(NOT_RUN, f"not run: {what} is missing; --audit full adds it")


def effect(facts: Facts, results: Results) -> Interval:
    """Return the change of the main metric from clean to attacked, over users."""
    return difference(results.values(facts["cell"]), results.values(facts["clean_cell"]))


def relative(facts: Facts, results: Results) -> float:
    """Return the relative change of the main metric."""
    return relative_change(
        float(results.values(facts["cell"]).mean()), float(results.values(facts["clean_cell"]).mean())
    )


def gain(one: Facts, other: Facts, results: Results) -> Interval:
    """Return how much less of its own clean figure `one` loses than `other`, over users (above zero: less)."""

    def losses(facts: Facts) -> Any:
        clean = results.values(facts["clean_cell"])
        return (results.values(facts["cell"]) - clean) / max(float(clean.mean()), np.finfo(np.float64).tiny)

    return difference(losses(one), losses(other))


def percent(value: float) -> str:
    """Return a share as a signed percentage with one decimal."""
    return f"{100 * value:+.1f} %"
