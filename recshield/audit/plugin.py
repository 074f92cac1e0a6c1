"""Registers recshield's own checks, exactly as a third party would."""

from __future__ import annotations

from recshield.audit.check import Check
from recshield.audit.controls import AttackWorks, CleanCost, NotScale
from recshield.audit.fairness import Leakage, SamePopulation
from recshield.audit.gradients import Converged, GradientsAlive, Saturates
from recshield.audit.pipeline import Adaptive, Deterministic, Realisable
from recshield.audit.power import Power
from recshield.audit.rivals import BlackBelowWhite, HeldOut, WorstCase
from recshield.audit.spending import BudgetKept, EpsZero, EqualBudget, Threat
from recshield.audit.strength import BeatsNoise, IterationHelps, Monotone
from recshield.core.hookspecs import hookimpl


@hookimpl
def recshield_checks() -> list[type[Check]]:
    """Return the checks."""
    return [
        Threat, BudgetKept, EqualBudget, EpsZero, Monotone, IterationHelps, BeatsNoise, CleanCost, AttackWorks,
        Leakage, SamePopulation, NotScale, Saturates, Converged, BlackBelowWhite, GradientsAlive, Deterministic,
        Adaptive, WorstCase, HeldOut, Realisable, Power,
    ]  # fmt: skip
