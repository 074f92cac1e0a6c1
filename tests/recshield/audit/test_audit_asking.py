"""Attacks that ask: chance is held against what they learn, and their answers are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from test_audit_planted import found, run
from torch import Generator

from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.surfaces import Budget, Delta

Plant = Callable[[str, type], None]


@dataclass(frozen=True)
class AsksInVain(Attack):
    """Asks once, and moves hardly anything by the answer."""

    name = "asks-in-vain"
    access = Access.DATA | Access.SCORES

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        users = torch.arange(4)
        sign = float(victim.scores(users, victim.zeros()).sum().sign())
        delta = victim.zeros()
        for one in victim.surfaces:
            delta[one.name][victim.rows[one.name]] = sign * budget.eps / 1000
        return delta


@dataclass(frozen=True)
class AsksTooOften(AsksInVain):
    """Allows itself one answer, and takes more."""

    queries: int = 1

    name = "asks-too-often"

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        for _ in range(3):
            victim.scores(torch.arange(victim.data.n_users), victim.zeros())
        return super().perturb(victim, budget, rng)


def test_an_attack_that_asks_and_is_weaker_than_noise_fails(plant: Plant) -> None:
    plant("attack", AsksInVain)
    finding = found(run("asks-in-vain", budget="l2:2"), "NOISE", "asks-in-vain")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].endswith(
        "for noise of norm 2; its answers are too few, or say too little, no worst case"
    )


def test_an_attack_that_asks_more_than_it_says_is_over_its_budget(plant: Plant) -> None:
    plant("attack", AsksTooOften)
    finding = found(run("asks-too-often"), "BUDGET", "asks-too-often")
    assert finding["verdict"] == "fail"
    assert finding["sentence"] == "the attack asked for 3,604 answers, 3.00 x the 1,200 that its queries allow"
