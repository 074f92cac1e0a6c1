"""Each check of an attack catches the bug planted for it, and a sound attack passes them all."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
import torch

from recshield.core.errors import PerturbationLeak
from recshield.core.interfaces import Access, Attack, System
from recshield.core.norms import random_direction, steepest
from recshield.core.seeds import child
from recshield.testing import attacks as checks
from recshield.testing import run_checks
from recshield.testing.attack_limits import ATTACK_LIMIT_CHECKS
from recshield.testing.attack_spending import ATTACK_SPENDING_CHECKS
from recshield.testing.declarations import METHOD_CHECKS
from recshield.testing.failures import CheckFailed, NotApplicable
from recshield.testing.kit import name_of
from recshield.testing.reference import ITEM, reference_system


@dataclass(frozen=True)
class Ascent(Attack):
    """One step of steepest ascent: what the bugs below are planted in.

    Attributes:
        loss: that is raised.

    Source: own.
    """

    loss: str = ""

    name = "ascent"
    access = Access.DATA | Access.GRADIENTS

    def perturb(self, victim, budget, rng):
        _, gradient = victim.ascend(victim.zeros(), self.loss)
        return {one.name: budget.eps * steepest(gradient[one.name], one, budget.norm) for one in victim.surfaces}


class NoDataclass(Attack):
    name = "plain"
    access = Access.GRADIENTS

    def perturb(self, victim, budget, rng):
        return victim.zeros()


@dataclass
class CanChange(NoDataclass):
    steps: int = 1


class LooseSubclass(Ascent):
    def __init__(self, steps=1):
        object.__setattr__(self, "steps", steps)


@dataclass(frozen=True)
class TakesATuple(Ascent):
    sizes: tuple[float, ...] = (0.1, 0.2)


@dataclass(frozen=True)
class TakesNoneOrANumber(Ascent):
    size: float | None = None


class CallsMoreThanItDeclares(Ascent):
    access = Access.DATA


class ReachesForTheModel(Ascent):
    def perturb(self, victim, budget, rng):
        victim._model.score(torch.tensor([0]))
        return super().perturb(victim, budget, rng)


class AsksTheFrameworksOwnQuestion(Ascent):
    def perturb(self, victim, budget, rng):
        victim.value(victim.zeros(), "")
        return super().perturb(victim, budget, rng)


class Transposed(Ascent):
    def perturb(self, victim, budget, rng):
        return {name: held.T for name, held in super().perturb(victim, budget, rng).items()}


class NamesNoSurface(Ascent):
    def perturb(self, victim, budget, rng):
        return {name.upper(): held for name, held in super().perturb(victim, budget, rng).items()}


class ReturnsNothing(Ascent):
    def perturb(self, victim, budget, rng):
        return {}


class AlwaysMovesItems(Ascent):
    def perturb(self, victim, budget, rng):
        return {ITEM: torch.zeros(30, 8), **super().perturb(victim, budget, rng)}


class StartsAtAFixedSize(Ascent):
    def perturb(self, victim, budget, rng):
        return {name: held + 1e-6 for name, held in super().perturb(victim, budget, rng).items()}


class OwnsItsNorm(Ascent):
    def perturb(self, victim, budget, rng):
        _, gradient = victim.ascend(victim.zeros(), self.loss)
        return {name: budget.eps * held.sign() for name, held in gradient.items()}


class LabelledAsUnprojected(OwnsItsNorm):
    projected = False


class DividesByTheLength(Ascent):
    def perturb(self, victim, budget, rng):
        _, gradient = victim.ascend(victim.zeros(), self.loss)
        return {name: budget.eps * held / held.norm(dim=1, keepdim=True) for name, held in gradient.items()}


class DividesByTheLengthOfRowsRead(Ascent):
    def perturb(self, victim, budget, rng):
        _, gradient = victim.ascend(victim.zeros(), self.loss)
        delta = victim.zeros()
        for name, rows in victim.rows.items():
            held = gradient[name][rows]
            delta[name][rows] = budget.eps * held / held.norm(dim=1, keepdim=True)
        return delta


class NoiseOnEveryRow(Ascent):
    def perturb(self, victim, budget, rng):
        delta = victim.zeros()
        for one in victim.surfaces:
            drawn = random_direction(delta[one.name], one, budget.norm, child(rng, one.name))
            delta[one.name] += budget.eps * drawn
        return delta


class LeavesItselfOnTheModel(Ascent):
    def perturb(self, victim, budget, rng):
        delta = super().perturb(victim, budget, rng)
        for name, held in delta.items():
            victim._model.values(name).data.add_(held)
        return delta


class LeavesTheModelInTrainingMode(Ascent):
    def perturb(self, victim, budget, rng):
        victim._model.train()
        return super().perturb(victim, budget, rng)


@dataclass(frozen=True)
class ChangesItsSurrogate(Ascent):
    surrogate: System | None = None

    def perturb(self, victim, budget, rng):
        self.surrogate.model.user.data.mul_(1.1)
        return super().perturb(victim, budget, rng)


class WritesIntoTheRows(Ascent):
    def perturb(self, victim, budget, rng):
        for rows in victim.rows.values():
            rows.clamp_(max=3)
        return super().perturb(victim, budget, rng)


class SortsTheTrainingRows(Ascent):
    def perturb(self, victim, budget, rng):
        victim.data.items.sort()
        return super().perturb(victim, budget, rng)


class SeedsTheGlobalGenerator(Ascent):
    def perturb(self, victim, budget, rng):
        torch.manual_seed(0)
        return super().perturb(victim, budget, rng)


class CountsItsRuns(Ascent):
    count = itertools.count(1)

    def perturb(self, victim, budget, rng):
        return {name: held / next(self.count) for name, held in super().perturb(victim, budget, rng).items()}


class DrawsFromTheGlobalGenerator(Ascent):
    def perturb(self, victim, budget, rng):
        return {name: held * torch.rand(()) for name, held in super().perturb(victim, budget, rng).items()}


class WrongSign(Ascent):
    def perturb(self, victim, budget, rng):
        return {name: -held for name, held in super().perturb(victim, budget, rng).items()}


class NoiseThatCallsItselfAnAttack(Ascent):
    def perturb(self, victim, budget, rng):
        delta = victim.zeros()
        victim.ascend(delta)
        for one in victim.surfaces:
            held, rows = delta[one.name], victim.rows[one.name]
            held[rows] = budget.eps * random_direction(held[rows], one, budget.norm, child(rng, one.name))
        return delta


#: (check, bug, words of the message that name what is wrong)
BUGS = [
    (checks.check_options_are_a_frozen_dataclass, NoDataclass(), "NoDataclass is not a frozen dataclass"),
    (checks.check_options_are_a_frozen_dataclass, CanChange(), "CanChange is not a frozen dataclass"),
    (checks.check_options_are_a_frozen_dataclass, LooseSubclass(), "LooseSubclass is not a frozen dataclass"),
    (checks.check_options_reprint, TakesATuple(), "sizes=((0.1, 0.2))"),
    (checks.check_options_reprint, TakesNoneOrANumber(), "size=None"),
    (checks.check_calls_only_what_it_declares, CallsMoreThanItDeclares(), "needs GRADIENTS"),
    (checks.check_calls_only_what_it_declares, ReachesForTheModel(), "'_model' is not part of recshield.core.Victim"),
    (checks.check_calls_only_what_it_declares, AsksTheFrameworksOwnQuestion(), "'value' is not part of"),
    (checks.check_delta_fits_the_surfaces, Transposed(), "returns (8, 40) for 'factors.user'"),
    (checks.check_delta_fits_the_surfaces, NamesNoSurface(), "for 'FACTORS.USER'"),
    (checks.check_delta_fits_the_surfaces, ReturnsNothing(), "returns no perturbation"),
    (checks.check_respects_its_target, AlwaysMovesItems(), "expected 'factors.user' alone"),
    (checks.check_budget_zero_returns_zero, StartsAtAFixedSize(), "with l2 eps 0 returns values that are not zero"),
    (checks.check_norm_stays_within_eps, OwnsItsNorm(), "the budget is l2:0.1"),
    (checks.check_delta_is_finite, DividesByTheLength(), "against a trained model returns NaN"),
    (checks.check_delta_is_finite, DividesByTheLengthOfRowsRead(), "whose gradients underflow returns NaN"),
    (checks.check_stays_on_the_rows_of_the_goal, NoiseOnEveryRow(), "rows of 'factors.user' that the goal does not"),
    (checks.check_model_is_not_changed, LeavesItselfOnTheModel(), "model's state_dict and clean scores"),
    (checks.check_model_is_not_changed, LeavesTheModelInTrainingMode(), "model's training mode"),
    (checks.check_model_is_not_changed, ChangesItsSurrogate(surrogate=reference_system()), "model's state_dict"),
    (checks.check_victim_is_not_changed, WritesIntoTheRows(), "data or rows"),
    (checks.check_victim_is_not_changed, SortsTheTrainingRows(), "data or rows"),
    (checks.check_global_random_state_untouched, SeedsTheGlobalGenerator(), "the global random state of torch"),
    (checks.check_same_seed_same_bits, CountsItsRuns(), "two runs with one seed differ"),
    (checks.check_same_seed_same_bits, DrawsFromTheGlobalGenerator(), "two runs with one seed differ"),
    (checks.check_raises_the_goal, WrongSign(), "expected it to rise"),
    (checks.check_beats_noise, NoiseThatCallsItselfAnAttack(), "expected more than noise"),
]


@pytest.mark.parametrize(
    ("check", "bug", "words"), BUGS, ids=[f"{name_of(row[0])}-{type(row[1]).__name__}" for row in BUGS]
)
def test_a_check_of_an_attack_catches_its_planted_bug(check, bug, words):
    with pytest.raises(CheckFailed) as caught:
        check(bug)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"attack '{bug.name}'")


def test_every_check_of_an_attack_has_a_planted_bug():
    assert {check for check, _, _ in BUGS} == set(checks.ATTACK_CHECKS) - {
        *METHOD_CHECKS,
        *ATTACK_LIMIT_CHECKS,
        *ATTACK_SPENDING_CHECKS,
    }


def imperfect(attack):
    """Return the checks that an attack fails or that do not apply to it; CUDA and answers aside."""
    aside = ("no CUDA device", "no option 'queries'")
    outcomes = [one for one in run_checks("attack", attack) if not any(words in one.message for words in aside)]
    return [one.name for one in outcomes if not (one.passed and one.applies)]


@pytest.mark.parametrize("loss", ["", "bpr", "linear", "margin"])
def test_a_sound_attack_passes_every_check(loss):
    assert imperfect(Ascent(loss)) == []


def test_a_changed_model_is_a_perturbation_leak():
    with pytest.raises(PerturbationLeak):
        checks.check_model_is_not_changed(LeavesItselfOnTheModel())


def test_an_attack_that_says_it_is_not_projected_is_labelled_and_not_failed():
    with pytest.raises(NotApplicable, match="labelled"):
        checks.check_norm_stays_within_eps(LabelledAsUnprojected())


class OnImages(Ascent):
    target = "item_images"


def test_an_attack_on_a_surface_that_the_reference_model_has_not_is_said_not_to_apply():
    with pytest.raises(NotApplicable, match="'item_images', which the reference model has not"):
        checks.check_raises_the_goal(OnImages())


class OnItems(Ascent):
    """On items alone. Source: own."""

    target = ITEM


def test_an_attack_on_one_surface_is_checked_on_that_one():
    assert imperfect(OnItems()) == ["finds_a_planted_weakness"]  # which lies in the users


def test_what_an_attack_without_gradients_reaches_is_not_judged():
    with pytest.raises(NotApplicable, match="uses no gradient"):
        checks.check_beats_noise(CallsMoreThanItDeclares())
