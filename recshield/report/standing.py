"""Who stands where under attack: the places that systems are compared at, and the worst attack on each.

A place is a surface, a goal, a stage, a norm and an eps. Figures of different places are never ranked together: lengths
of embeddings say nothing about grey levels, and whoever knows the test rows wants something else than who does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recshield.report.asked import Asked, Place
from recshield.report.content import Name, Phrase
from recshield.report.reading import Reading

#: Checks whose failure means that a figure is not what it says, so that it ranks nothing.
_SPOIL = ("BUDGET", "EPS0", "LEAKAGE", "SAME POPULATION")


@dataclass(frozen=True)
class Standing:
    """One attacked system at one place.

    Attributes:
        system: as typed.
        single: the worst single attack, None where none counts.
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


def largest(reading: Reading) -> list[Place]:
    """Return the places that stand for the run, those of most systems first.

    For each surface, goal, stage and norm that is the budget at which most systems can be ranked, of several the
    largest, and further ones until every system that was attacked there stands in one.
    """
    systems: dict[Place, set[str]] = {}
    ranked: dict[Place, set[str]] = {}
    sizes: dict[Place, float] = {}
    for asked in reading.asked:
        systems.setdefault(asked.at, set()).add(asked.system)
        sizes[asked.at] = max(sizes.get(asked.at, 0.0), asked.size)
        ranked.setdefault(asked.at, set()).update([asked.system] if counts(reading, asked) else [])
    chosen: list[Place] = []
    for ground in dict.fromkeys(at[:4] for at in systems):
        held = [at for at in systems if at[:4] == ground]
        left = set().union(*(systems[at] for at in held))
        while left:
            best = max(held, key=lambda at: (len(ranked[at] & left), len(systems[at] & left), sizes[at]))
            chosen.append(best)
            left -= systems[best]
    return sorted(chosen, key=lambda at: -len(systems[at]))


def places(reading: Reading) -> list[Place]:
    """Return all places: those of `largest`, then the others from large budgets to small ones."""
    first = largest(reading)
    sizes: dict[Place, float] = {}
    for asked in reading.asked:
        sizes[asked.at] = max(sizes.get(asked.at, 0.0), asked.size)
    grounds = list(dict.fromkeys(at[:4] for at in first))
    rest = [at for at in sizes if at not in first]
    return [*first, *sorted(rest, key=lambda at: (grounds.index(at[:4]), -sizes[at]))]


def standings(reading: Reading, at: Place) -> list[Standing]:
    """Return every attacked system at one place, the one that loses least first, those that nothing ranks last."""
    found = []
    for system in reading.systems:
        own = [asked for asked in reading.asked if asked.system == system and asked.at == at]
        aimed = [asked for asked in own if not asked.is_noise and counts(reading, asked)]
        single = max((asked for asked in aimed if not asked.is_ensemble), key=reading.loss, default=None)
        overall = max(aimed, key=reading.loss, default=None)
        if own:
            found.append(Standing(system, single, overall, reading.noise(system, at)))
    return sorted(found, key=lambda one: _lost(reading, one))


def _lost(reading: Reading, one: Standing) -> float:
    asked = one.overall or one.noise
    return reading.loss(asked) if asked else math.inf


def placed(reading: Reading, at: Place) -> Phrase:
    """Return a place as prose needs it after `at`: its budget, and whatever else the run has several of."""
    surface, goal, stage, norm, eps = at
    said: Phrase = (Name(f"{norm} {eps}"),)
    if "surface" in reading.differing:
        said += (" on ", Name(surface))
    held = [Name(part) for part, kind in ((goal, "goal"), (stage, "stage")) if kind in reading.differing]
    if held:
        said += (" (", held[0], *((", ", held[1]) if len(held) > 1 else ()), ")")
    return said


def place_text(reading: Reading, at: Place) -> str:
    """Return `placed` as plain text, for titles."""
    return "".join(part.text if isinstance(part, Name) else str(part) for part in placed(reading, at))


def spot(reading: Reading, asked: Asked) -> Phrase:
    """Return `SYSTEM under ATTACK at PLACE`."""
    return (Name(asked.system), " under ", Name(asked.attack), " at ", *placed(reading, asked.at))


def unattacked(reading: Reading) -> Sequence[str]:
    """Return the systems that no attack, not even noise, was aimed at."""
    attacked = {asked.system for asked in reading.asked}
    return [system for system in reading.systems if system not in attacked]
