"""Checks of an attack, run against a small trained model, `reference.TwoTables`. Each takes the attack itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from recshield.core.errors import AccessDenied
from recshield.core.interfaces import Access, Attack
from recshield.core.norms import measure
from recshield.core.settings import BUDGET_TOLERANCE
from recshield.core.surfaces import Budget, Delta, covers
from recshield.matrix.victims import TrainedVictim
from recshield.testing.attack_calls import BUDGETS, EVERY_NORM, against, noise, perturb, said, target_of
from recshield.testing.attack_limits import ATTACK_LIMIT_CHECKS
from recshield.testing.attack_spending import ATTACK_SPENDING_CHECKS
from recshield.testing.data import small_dataset
from recshield.testing.declarations import METHOD_CHECKS
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.probes import (
    disturbed_random_state,
    fingerprint,
    named_systems,
    need_frozen,
    need_reprint,
    unchanged_model,
    watched_random_state,
)
from recshield.testing.reference import ITEM, USER, trained_tables

#: A budget at which the projection hardly ever acts, and one at which it always does.
_SIZES = (0.2, 5.0)
#: Draws of noise that an attack with gradients must beat, each of them.
_NOISE_DRAWS = 3
#: Scale of weights at which the model is so sure that every gradient underflows.
_CONFIDENT = 1000.0


def _each_delta(attack: Attack) -> list[tuple[Budget, TrainedVictim, Delta]]:
    found = []
    for budget in BUDGETS:
        victim = against(attack)
        found.append((budget, victim, perturb(attack, victim, budget)))
    return found


def check_options_are_a_frozen_dataclass(attack: Attack) -> None:
    """An attack is an immutable value whose fields are its parameters, so that a step's key describes it."""
    need_frozen(type(attack), said(attack))


def check_options_reprint(attack: Attack) -> None:
    """The attack prints as a specification that reads back as an equal attack."""
    need_reprint(attack, attack.name, said(attack))


def check_calls_only_what_it_declares(attack: Attack) -> None:
    """The attack calls what its `access` includes and the public names of `Victim`, and nothing else.

    Prevents: a threat model that the code does not keep; a surrogate or rank-only attack that looks at gradients.
    """
    for budget in BUDGETS:
        try:
            perturb(attack, _Narrow(against(attack)), budget)
        except AccessDenied as error:
            raise CheckFailed(f"{said(attack)} goes beyond its access ({type(attack).access}): {error}") from error


class _Narrow:
    """A victim that has the names of the protocol and no others."""

    _NAMES = ("surfaces", "goal", "data", "rows", "zeros", "legal", "rankings", "scores", "ascend")

    def __init__(self, victim: TrainedVictim) -> None:
        self.__dict__["held"] = victim

    def __getattribute__(self, name: str) -> Any:
        narrow = object.__getattribute__(self, "_NAMES")
        if name in narrow:
            return getattr(object.__getattribute__(self, "held"), name)
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise AccessDenied(f"'{name}' is not part of recshield.core.Victim; allowed: {', '.join(narrow)}")


def check_delta_fits_the_surfaces(attack: Attack) -> None:
    """Each perturbation names a surface of the victim and has its shape, and at least one comes back."""
    for _, victim, delta in _each_delta(attack):
        shapes = {one.name: one.shape for one in victim.surfaces}
        need(bool(delta), f"{said(attack)} returns no perturbation; return one for each of {', '.join(shapes)}")
        for name, held in delta.items():
            need(
                isinstance(held, Tensor) and tuple(held.shape) == shapes.get(name) and held.is_floating_point(),
                f"{said(attack)} returns {tuple(getattr(held, 'shape', ()))} for '{name}'; expected float tensors of "
                f"{shapes}",
            )


def check_respects_its_target(attack: Attack) -> None:
    """Against one surface of a family, the attack perturbs that surface alone.

    Prevents: an attack on users that moves items too and is reported as an attack on users.
    """
    for target in (name for name in (USER, ITEM) if covers(target_of(attack), name)):
        delta = perturb(attack, against(attack, target), BUDGETS[0])
        need(
            set(delta) == {target},
            f"{said(attack)} against '{target}' returns {', '.join(delta) or 'nothing'}; expected '{target}' alone",
        )


def check_budget_zero_returns_zero(attack: Attack) -> None:
    """A budget of zero gives a perturbation of exactly zero, in every norm.

    Prevents: an attacked figure that differs from the clean one without any attack.
    """
    for budget in BUDGETS:
        delta = perturb(attack, against(attack), Budget(budget.norm, 0.0))
        is_zero = all(bool((held == 0).all()) for held in delta.values())
        need(is_zero, f"{said(attack)} with {budget.norm} eps 0 returns values that are not zero")


def check_norm_stays_within_eps(attack: Attack) -> None:
    """No row (in `l2-table`: no table) of what comes back is larger than eps, in every norm, at small and large eps.

    Prevents: one norm for single steps and another for many at the same eps, six times the budget (MSAP, Elliot).
    """
    applies_if(type(attack).projected, f"{said(attack)} says projected = False and is labelled so in every table")
    for budget in [Budget(one.norm, one.eps * size) for one in EVERY_NORM for size in _SIZES]:
        victim = against(attack)
        delta = perturb(attack, victim, budget)
        for one in victim.surfaces:
            if one.name not in delta:
                continue
            largest = float(measure(delta[one.name], one, budget.norm).max())
            need(
                largest <= budget.eps * (1 + BUDGET_TOLERANCE),
                f"{said(attack)} spends {largest:.6g} on {'all' if budget.norm == 'l2-table' else 'a row'} of "
                f"'{one.name}'; the budget is "
                f"{budget.norm}:{budget.eps:g}",
            )


def check_delta_is_finite(attack: Attack) -> None:
    """Every value is finite, also for rows without a gradient and against a model whose gradients underflow.

    Prevents: NaN from a gradient divided by its own length.
    """
    confident = trained_tables()
    with torch.no_grad():
        confident.user.mul_(_CONFIDENT)
    for budget in BUDGETS:
        for model, which in ((None, "a trained model"), (confident, "a model whose gradients underflow")):
            delta = perturb(attack, against(attack, model=model), budget)
            for name, held in delta.items():
                is_finite = bool(held.isfinite().all())
                need(is_finite, f"{said(attack)} against {which} returns NaN or infinite values for '{name}'")


def check_stays_on_the_rows_of_the_goal(attack: Attack) -> None:
    """Rows that the goal never reads get no perturbation.

    Prevents: a mean norm and a count of attacked rows that include rows on which nothing can be won.
    """
    for budget, victim, delta in _each_delta(attack):
        for name, held in delta.items():
            rest = held.index_fill(0, victim.rows[name], 0.0)
            need(
                bool((rest == 0).all()),
                f"{said(attack)} ({budget.norm}) perturbs rows of '{name}' that the goal does not read; stay on "
                "victim.rows",
            )


def check_model_is_not_changed(attack: Attack) -> None:
    """The victim's model, and every system that a field names, is the same before and after.

    Prevents: a perturbation left on the model, from which the next attack or the clean figure starts (MSAP, Elliot).

    Raises:
        LeakFound: both a CheckFailed and a PerturbationLeak.
    """
    for budget in BUDGETS:
        model = trained_tables()
        victim = against(attack, model=model)
        with ExitStack() as watched:
            for held in (model, *named_systems(attack).values()):
                watched.enter_context(unchanged_model(held, said(attack)))
            perturb(attack, victim, budget)


def check_victim_is_not_changed(attack: Attack) -> None:
    """The training rows and the rows of the goal are the same before and after; all attacks share them."""
    for budget in BUDGETS:
        data, _ = small_dataset()
        victim = against(attack, data=data)
        before = (fingerprint(data), _hash(victim.rows))
        perturb(attack, victim, budget)
        need(
            (fingerprint(data), _hash(victim.rows)) == before,
            f"{said(attack)} writes into the victim's data or rows; work on a copy",
        )


def _hash(tensors: Mapping[str, Tensor]) -> str:
    return hashlib.blake2b(b"".join(held.numpy().tobytes() for held in tensors.values())).hexdigest()


def check_global_random_state_untouched(attack: Attack) -> None:
    """The attack leaves the generators of torch, numpy and random as they were."""
    for budget in BUDGETS:
        victim = against(attack)
        with watched_random_state(said(attack)):
            perturb(attack, victim, budget)


def check_same_seed_same_bits(attack: Attack) -> None:
    """Two runs with one seed return the same bits, whatever the global generators say and whatever ran before."""
    for budget in BUDGETS:
        found = []
        for disturbance in (1, 2):
            with disturbed_random_state(disturbance):
                found.append(perturb(attack, against(attack), budget))
        one, other = found
        is_same = set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)
        need(is_same, f"{said(attack)}: two runs with one seed differ; every draw must come from the generator given")


def _gradient_only(attack: Attack) -> None:
    has_gradients = bool(type(attack).access & Access.GRADIENTS)
    applies_if(has_gradients, f"{said(attack)} uses no gradient, so what it must reach is not known here")


def check_raises_the_goal(attack: Attack) -> None:
    """An attack with gradients raises what it attacks above the clean value, in both norms.

    Prevents: an inverted sign, with which the attack helps the model (Elliot AMF, Cornac AMR).
    """
    _gradient_only(attack)
    loss = getattr(attack, "loss", "")
    for budget, victim, delta in _each_delta(attack):
        clean, reached = victim.value(victim.zeros(), loss), victim.value(delta, loss)
        need(
            reached > clean,
            f"{said(attack)} at {budget.norm}:{budget.eps:g} moves the loss it attacks from {clean:.6g} to "
            f"{reached:.6g}; expected it to rise",
        )


def check_beats_noise(attack: Attack) -> None:
    """An attack with gradients reaches a higher value than noise of the same norm on the same rows.

    Prevents: zero or stale gradients, which leave a random start (ARLib DLAttack).
    """
    _gradient_only(attack)
    loss = getattr(attack, "loss", "")
    for budget, victim, delta in _each_delta(attack):
        reached = victim.value(delta, loss)
        best = max(victim.value(noise(victim, budget, draw), loss) for draw in range(_NOISE_DRAWS))
        need(
            reached > best,
            f"{said(attack)} at {budget.norm}:{budget.eps:g} reaches {reached:.6g}, noise of the same norm "
            f"{best:.6g}; expected more than noise",
        )


#: Every check of an attack, in the order in which they run.
ATTACK_CHECKS: tuple[Callable[[Attack], None], ...] = (
    *METHOD_CHECKS,
    check_options_are_a_frozen_dataclass,
    check_options_reprint,
    check_calls_only_what_it_declares,
    check_delta_fits_the_surfaces,
    check_respects_its_target,
    check_budget_zero_returns_zero,
    check_norm_stays_within_eps,
    check_delta_is_finite,
    check_stays_on_the_rows_of_the_goal,
    check_model_is_not_changed,
    check_victim_is_not_changed,
    check_global_random_state_untouched,
    check_same_seed_same_bits,
    check_raises_the_goal,
    check_beats_noise,
    *ATTACK_LIMIT_CHECKS,
    *ATTACK_SPENDING_CHECKS,
)
