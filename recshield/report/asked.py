"""Attacked cells as they were asked for: one per system, attack and place, over every seed and fold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Surface, goal, stage, norm and eps: what cells must share to be compared.
Place = tuple[str, str, str, str, str]
#: Name of the attack that every other one is held against.
NOISE = "noise"


@dataclass(frozen=True)
class Asked:
    """One attacked cell as it was asked for, over every seed and fold.

    Attributes:
        system: model and defenses as typed.
        attack: as typed.
        surface: that is perturbed.
        goal: of the attacker.
        stage: when the attacker acts.
        norm: of the budget.
        eps: as asked for.
        cells: one row of facts per seed and fold.
    """

    system: str
    attack: str
    surface: str
    goal: str
    stage: str
    norm: str
    eps: str
    cells: tuple[Mapping[str, Any], ...] = field(compare=False, repr=False)

    @property
    def first(self) -> Mapping[str, Any]:
        """The facts of the first seed."""
        return self.cells[0]

    @property
    def size(self) -> float:
        """Eps in raw units, the mean over seeds."""
        return float(np.mean([facts["eps"] for facts in self.cells]))

    @property
    def relative_size(self) -> float:
        """Eps over the mean clean norm of the attacked rows, the mean over seeds."""
        return float(np.mean([facts.get("relative_eps", math.nan) for facts in self.cells]))

    @property
    def is_noise(self) -> bool:
        """Whether it is the reference without any aim."""
        return str(self.first.get("attack_name", self.attack)) == NOISE

    @property
    def is_ensemble(self) -> bool:
        """Whether it is each user's worst over several attacks."""
        return bool(self.first["members"])

    @property
    def overspends(self) -> float:
        """How many times its budget it spent, where it was not held to it; else 0."""
        if bool(self.first.get("is_projected", True)):
            return 0.0
        spent = max(float(facts["measured_norm"]) for facts in self.cells)
        return spent / self.size if self.size else 0.0

    @property
    def at(self) -> Place:
        """What cells must share to be compared: surface, goal, stage, norm and eps."""
        return (self.surface, self.goal, self.stage, self.norm, self.eps)

    @property
    def budget(self) -> str:
        """The budget as a person writes it."""
        return f"{self.norm} {self.eps}"


def gathered(facts: Iterable[Mapping[str, Any]]) -> tuple[Asked, ...]:
    """Return attacked cells over their seeds and folds, in order; clean ones are left out."""
    grouped: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for one in facts:
        if one["attack"] != "none":
            keys = ("system", "attack", "surface", "goal", "stage", "norm", "eps_text")
            grouped.setdefault(tuple(str(one[key]) for key in keys), []).append(one)
    found = []
    for (system, attack, surface, goal, stage, norm, eps), held in grouped.items():
        found.append(Asked(system, attack, surface, goal, stage, norm, eps, tuple(held)))
    return tuple(found)
