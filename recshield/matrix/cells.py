"""Cells of the matrix: one system under one attack at one budget, as a value."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recshield.core import specs
from recshield.core.interfaces import LOSSES, Access
from recshield.matrix.budgets import Eps
from recshield.matrix.systems import Part, ResolvedSystem, resolve_attack

NOTHING = Eps(0.0)


@dataclass(frozen=True)
class Cell:
    """One figure to be measured.

    Attributes:
        system: model and defenses.
        seed: of training and attack draws.
        attack: None = the clean cell.
        target: surface or family that is perturbed.
        norm: of the budget.
        eps: of the budget, before it is resolved to raw units.
        goal: `degrade` or `degrade:oracle`.
        stage: when the attacker acts.
        fold: of the split, from 0; most splits have one.
        is_control: added for the audit; stands outside the main table.
    """

    system: ResolvedSystem
    seed: int
    attack: Part | None = None
    target: str = ""
    norm: str = ""
    eps: Eps = NOTHING
    goal: str = ""
    stage: str = "serve"
    fold: int = 0
    is_control: bool = dataclasses.field(default=False, compare=False)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that say what is measured (how it is spelled does not matter)."""
        content: dict[str, Any] = {"system": self.system.content(), "seed": self.seed, "fold": self.fold}
        if self.attack is not None:
            size = [self.norm, self.eps.value, self.eps.unit, self.eps.system]
            content |= {"attack": self.attack.content() | {"target": self.target}, "size": size}
            content |= {"goal": self.goal, "stage": self.stage}
            if self.attack.source:
                content["source"] = self.attack.source.content()
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def clean(self) -> Cell:
        """Return the same system without an attack."""
        return Cell(self.system, self.seed, fold=self.fold, is_control=self.is_control)

    @property
    def source(self) -> ResolvedSystem:
        """The system that the attack is made on."""
        return (self.attack.source if self.attack else None) or self.system

    @property
    def is_transfer(self) -> bool:
        """Whether the attack is made on another system than the one measured."""
        return self.source != self.system

    def with_system(self, system: ResolvedSystem) -> Cell:
        """Return the same attack on another system; on its own source it is no transfer any more."""
        attack = self.attack
        if attack and attack.source == system:
            attack = attack.made_on(None)
        return dataclasses.replace(self, system=system, attack=attack, is_control=True)

    def with_eps(self, eps: Eps) -> Cell:
        """Return the same attack at another size."""
        return dataclasses.replace(self, eps=eps, is_control=True)

    def with_attack(self, name: str) -> Cell:
        """Return another attack with its defaults at the same budget; it attacks the same loss where it has one."""
        part = resolve_attack(name, {})
        loss = self.attack.option("loss") if self.attack else None
        if loss in LOSSES[1:] and part.option("loss") is not None:
            options = tuple((key, loss if key == "loss" else value) for key, value in part.options)
            part = dataclasses.replace(part, options=options, text=f"{part.name}:loss={loss}")
        part = dataclasses.replace(part, stage=self.stage)
        if self.attack and self.attack.source and part.plugin().access != Access.DATA:  # else it sees no system
            part = part.made_on(self.attack.source)
        return dataclasses.replace(self, attack=part, is_control=True)

    def with_option(self, key: str, value: Any) -> Cell:
        """Return the same attack with another value of one of its options."""
        assert self.attack is not None
        options = tuple((name, value if name == key else held) for name, held in self.attack.options)
        spec = specs.parse(self.attack.text)
        kept = tuple((name, text) for name, text in spec.options if name != key)
        text = str(dataclasses.replace(spec, options=(*kept, (key, str(value)))))
        return dataclasses.replace(
            self, attack=dataclasses.replace(self.attack, options=options, text=text), is_control=True
        )

    def members(self) -> tuple[Cell, ...]:
        """Return the cells of an ensemble's members; empty for any other attack."""
        if self.attack is None:
            return ()
        return tuple(dataclasses.replace(self, attack=part, is_control=True) for part in self.attack.members)

    def __str__(self) -> str:
        fold = f", fold {self.fold}" if self.fold else ""
        if self.attack is None:
            return f"{self.system.name}, clean, seed {self.seed}{fold}"
        stage = "" if self.stage == "serve" else f", stage {self.stage}"
        return f"{self.system.name} under {self.attack.text} at {self.norm}:{self.eps}{stage}, seed {self.seed}{fold}"


#: What the audit asks for: role -> the other cell that it needs to judge a cell; less for a mere member of an ensemble.
Needs = Callable[[Cell, bool], Mapping[str, Cell]]


@dataclass(frozen=True)
class Skip:
    """A combination that cannot be, and why; decided before anything trains."""

    system: str
    attack: str
    reason: str
