"""Checks of what an attack makes of its budget and of what it remembers, on attacks that ask and see no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from recshield.core.interfaces import Access, Attack
from recshield.core.norms import random_direction
from recshield.core.seeds import child
from recshield.core.surfaces import Budget
from recshield.testing import attack_spending as spending
from recshield.testing import run_checks
from recshield.testing.failures import CheckFailed
from recshield.testing.kit import name_of
from recshield.testing.reference import ITEM, USER


@dataclass(frozen=True)
class Asks(Attack):
    """Moves against what makes the items of the first list score high, found by asking for scores. Source: own."""

    name = "asks"
    access = Access.DATA | Access.SCORES

    def perturb(self, victim, budget, rng):
        delta = {}
        for one in victim.surfaces:
            drawn = random_direction(victim.zeros()[one.name], one, budget.norm, child(rng, one.name))
            drawn = self.turned(victim, one, drawn) * budget.eps
            held = victim.zeros()[one.name]
            held[victim.rows[one.name]] = drawn[victim.rows[one.name]]
            delta[one.name] = held
        return delta

    def turned(self, victim, one, drawn):
        return drawn * self.sign(victim, one.name, drawn)

    def sign(self, victim, name, drawn):
        users = torch.arange(min(16, len(victim.data.indptr) - 1))
        clean = victim.scores(users, victim.zeros())
        moved = victim.scores(users, {**victim.zeros(), name: drawn * 1e-2})
        top = clean.topk(min(3, clean.shape[1])).indices
        margin = [held.gather(1, top).mean() - held.mean() for held in (clean, moved)]
        return -1.0 if margin[1] > margin[0] else 1.0


class SpendsATenth(Asks):
    def turned(self, victim, one, drawn):
        return 0.1 * super().turned(victim, one, drawn)


class ReturnsZeros(Asks):
    def turned(self, victim, one, drawn):
        return 0.0 * super().turned(victim, one, drawn)


class SpendsLittleOnItems(Asks):
    def turned(self, victim, one, drawn):
        return super().turned(victim, one, drawn) * (0.1 if one.name == ITEM else 1.0)


class DividesTheTableByItsRows(Asks):
    def perturb(self, victim, budget, rng):
        delta = super().perturb(victim, budget, rng)
        if budget.norm != "l2-table":
            return delta
        return {name: held / len(held) for name, held in delta.items()}


@dataclass(frozen=True)
class AsksTwiceAsOften(Asks):
    """Counts one of its two answers. Source: own.

    Attributes:
        queries: answers of each user.
    """

    queries: int = 1

    def perturb(self, victim, budget, rng):
        everyone = torch.arange(victim.data.n_users)
        for _ in range(self.queries):
            victim.scores(everyone, victim.zeros())
        return super().perturb(victim, budget, rng)


class TakesLinfForL2(Asks):
    def turned(self, victim, one, drawn):
        return super().turned(victim, one, drawn / drawn.norm(dim=-1, keepdim=True).clamp_min(1e-12))


class SpendsTenfoldOnLargeTables(Asks):
    def turned(self, victim, one, drawn):
        return super().turned(victim, one, drawn) * (10 if one.shape[0] > 500 else 1)


class KeepsItsFirstAnswer(Asks):
    held: ClassVar[dict] = {}

    def perturb(self, victim, budget, rng):
        key = tuple(one.shape for one in victim.surfaces)
        if key not in self.held:
            self.held[key] = super().perturb(victim, Budget(budget.norm, 1.0), rng)
        return {name: budget.eps * one for name, one in self.held[key].items()}


class GoesOnWhereItStopped(Asks):
    last: ClassVar[dict] = {}

    def turned(self, victim, one, drawn):
        mixed = super().turned(victim, one, drawn) + self.last.get(drawn.shape, 0.0)
        self.last[drawn.shape] = mixed / mixed.norm(dim=-1, keepdim=True).clamp_min(1.0)
        return self.last[drawn.shape]


class WorksForTheModel(Asks):
    def perturb(self, victim, budget, rng):
        scores = victim.scores(torch.arange(len(victim.data.indptr) - 1), victim.zeros())
        del scores
        held = victim._model
        delta = victim.zeros()
        users, items = held.values(USER), held.values(ITEM)
        for one in victim.surfaces:
            wanted = (users if one.name == USER else items).sign()
            size = budget.eps if budget.norm == "linf" else budget.eps / one.shape[-1] ** 0.5
            delta[one.name][victim.rows[one.name]] = size * wanted[victim.rows[one.name]]
        return delta


#: (check, bug, words of the message that name what is wrong)
BUGS = [
    (spending.check_spends_the_budget, SpendsATenth(), "of l2:0.5 on 'factors.user', 64 wide"),
    (spending.check_spends_the_budget, ReturnsZeros(), "spends at most 0 of l2:0.5"),
    (spending.check_spends_the_budget, TakesLinfForL2(), "of linf:0.1 on 'factors.user'"),
    (spending.check_spends_the_budget, SpendsLittleOnItems(), "of l2:0.5 on 'factors.item'"),
    (spending.check_spends_the_budget, DividesTheTableByItsRows(), "of l2-table:2 on 'factors.user'"),
    (
        spending.check_asks_no_more_than_its_queries,
        AsksTwiceAsOften(),
        "where queries=1 allows 40, so many of each user",
    ),
    (
        spending.check_norm_stays_within_eps_on_larger_tables,
        SpendsTenfoldOnLargeTables(),
        "on 'factors.user' with 640 rows; the budget is l2:0.5",
    ),
    (spending.check_calls_share_nothing, KeepsItsFirstAnswer(), "returns the same perturbation for another model"),
    (spending.check_calls_share_nothing, GoesOnWhereItStopped(), "after it attacked others"),
    (spending.check_does_not_help_the_model, WorksForTheModel(), "it works for the model, so look at the sign"),
]


@pytest.mark.parametrize(
    ("check", "bug", "words"), BUGS, ids=[f"{name_of(row[0])}-{type(row[1]).__name__}" for row in BUGS]
)
def test_a_check_of_the_budget_catches_its_planted_bug(check, bug, words):
    with pytest.raises(CheckFailed) as caught:
        check(bug)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"attack '{bug.name}'")


def test_every_check_of_the_budget_has_a_planted_bug():
    assert {check for check, _, _ in BUGS} == set(spending.ATTACK_SPENDING_CHECKS)


def test_a_sound_attack_that_asks_passes_every_check():
    aside = ("no CUDA device", "no option 'queries'", "uses no gradient")
    outcomes = run_checks("attack", Asks())
    assert [one.name for one in outcomes if not one.passed] == []
    assert [one.name for one in outcomes if not (one.applies or any(words in one.message for words in aside))] == []
