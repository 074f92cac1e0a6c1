"""Who stands where under attack: the budget that systems are compared at, and the worst attack on each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recshield.report.reading import Asked, Reading

#: Checks whose failure means that a figure is not what it says, so that it ranks nothing.
_SPOIL = ("BUDGET", "EPS0", "LEAKAGE", "SAME POPULATION")


@dataclass(frozen=True)
class Standing:
    """One system at one budget.

    Attributes:
        system: as typed.
        single: the worst single attack.
        overall: the worst of all, an ensemble included.
        noise: the reference.
    """

    system: str
    single: Asked | None
    overall: Asked | None
    noise: Asked | None


def counts(reading: Reading, asked: Asked) -> bool:
    """Return whether a cell may be ranked: held to its budget, and not spoiled by what the audit found."""
    found = [row for facts in asked.cells for row in reading.found.get(str(facts["cell"]), [])]
    is_spoiled = any(row["verdict"] == "fail" and row["check"] in _SPOIL for row in found)
    return asked.overspends <= 1 and not is_spoiled and not math.isnan(reading.loss(asked))


def places(reading: Reading) -> list[tuple[str, str, str, str, str]]:
    """Return what cells can be compared at, that of most systems first, larger budgets first."""
    systems: dict[tuple[str, str, str, str, str], set[str]] = {}
    sizes: dict[tuple[str, str, str, str, str], float] = {}
    for asked in reading.asked:
        systems.setdefault(asked.at, set()).add(asked.system)
        sizes[asked.at] = max(sizes.get(asked.at, 0.0), asked.size)
    return sorted(systems, key=lambda at: (-len(systems[at]), -sizes[at]))


def standings(reading: Reading, at: Sequence[str]) -> list[Standing]:
    """Return every attacked system at one place, the one that loses least first."""
    found = []
    for system in reading.systems:
        own = [asked for asked in reading.asked if asked.system == system and asked.at == tuple(at)]
        aimed = [asked for asked in own if not asked.is_noise and counts(reading, asked)]
        noise = next((asked for asked in own if asked.is_noise), None)
        single = max((asked for asked in aimed if not asked.is_ensemble), key=reading.loss, default=None)
        overall = max(aimed, key=reading.loss, default=None)
        if single or overall or noise:
            found.append(Standing(system, single, overall, noise))
    return sorted(found, key=lambda one: _lost(reading, one))


def _lost(reading: Reading, one: Standing) -> float:
    asked = one.overall or one.noise
    return reading.loss(asked) if asked else math.inf
