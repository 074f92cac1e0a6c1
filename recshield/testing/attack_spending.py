"""Checks of what an attack makes of its budget and of what it may remember; also of attacks without gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch

from recshield.core.interfaces import Access, Attack
from recshield.core.norms import measure
from recshield.core.seeds import generator
from recshield.core.settings import BUDGET_TOLERANCE
from recshield.core.surfaces import Budget, Delta
from recshield.testing.attack_calls import BUDGETS, EVERY_NORM, against, perturb, said, target_of
from recshield.testing.data import small_dataset
from recshield.testing.failures import applies_if, need
from recshield.testing.reference import TwoTables, TwoTablesConfig

#: Share of eps that the most perturbed row of a wide table has to reach.
_SPENT = 0.6
#: Width at which a row of l2 norm eps has values of at most about a third of eps, whichever way it points.
_WIDTH = 64
#: Users of a table that is too large to be handled whole by those who work in blocks of some hundred rows.
_MANY = 640
#: Models on all of which an attack that looks at them must not return the same.
_OTHERS = 8
#: By how much an attack may lower what it should raise; relative, the mean of the seeds.
_HARMLESS, _SEEDS = 0.01, 3


def _wide_tables(seed: int) -> TwoTables:
    """Return tables of random values: no direction is worth much more than another."""
    data, _ = small_dataset()
    return TwoTables(data.info, TwoTablesConfig(dims=_WIDTH, std=0.3), generator(seed, "kit wide"))


def check_spends_the_budget(attack: Attack) -> None:
    """On wide tables the most perturbed row of every surface comes near eps, in every norm.

    Prevents: linf handled as if it were l2, one of two tables with a share of eps, or an attack that returns zeros,
    quoted as what a budget can do.
    """
    target_of(attack)
    for budget in EVERY_NORM:
        victim = against(attack, model=_wide_tables(0))
        delta = perturb(attack, victim, budget)
        for one in (spot for spot in victim.surfaces if spot.name in delta):
            spent = float(measure(delta[one.name], one, budget.norm).max())
            need(
                spent >= _SPENT * budget.eps,
                f"{said(attack)} spends at most {spent:.3g} of {budget.norm}:{budget.eps:g} on '{one.name}', {_WIDTH} "
                "wide; use the budget in the norm it names, or excuse this check where small perturbations are what "
                "the attack is about",
            )


def check_does_not_help_the_model(attack: Attack) -> None:
    """The loss that is attacked does not fall by more than 1 %, the mean over three seeds; also without gradients.

    Prevents: an inverted sign in an attack that only asks, which nothing else would show.
    """
    target_of(attack)
    loss = getattr(attack, "loss", "")
    for budget in BUDGETS:
        reached, clean = [], 0.0
        for seed in range(_SEEDS):
            victim = against(attack)
            clean = float(victim.value(victim.zeros(), loss))
            reached.append(float(victim.value(perturb(attack, victim, budget, seed), loss)))
        mean = sum(reached) / len(reached)
        need(
            mean >= clean * (1 - _HARMLESS),
            f"{said(attack)} at {budget.norm}:{budget.eps:g} lowers the loss it attacks from {clean:.6g} to "
            f"{mean:.6g}, the mean of {_SEEDS} seeds; it works for the model, so look at the sign",
        )


def check_norm_stays_within_eps_on_larger_tables(attack: Attack) -> None:
    """The budget holds on every row of tables of several hundred rows, too.

    Prevents: an attack that works in blocks and adds what it spends on each.
    """
    applies_if(type(attack).projected, f"{said(attack)} says projected = False and is labelled so in every table")
    target_of(attack)
    data, _ = small_dataset(n_users=_MANY, n_items=_MANY // 2)
    for budget in EVERY_NORM:
        model = TwoTables(data.info, TwoTablesConfig(std=0.3), generator(0, "kit large"))
        victim = against(attack, model=model, data=data)
        delta = perturb(attack, victim, budget)
        for one in (spot for spot in victim.surfaces if spot.name in delta):
            largest = float(measure(delta[one.name], one, budget.norm).max())
            need(
                largest <= budget.eps * (1 + BUDGET_TOLERANCE),
                f"{said(attack)} spends {largest:.6g} on '{one.name}' with {one.shape[0]} rows; the budget is "
                f"{budget.norm}:{budget.eps:g}",
            )


def check_calls_share_nothing(attack: Attack) -> None:
    """What is returned for one model does not depend on which others were attacked before, nor at which budget.

    Prevents: a cache or a warm start that carries one cell's perturbation into the next.
    """
    target_of(attack)
    asks = bool(type(attack).access & ~Access.DATA)
    first = _called(attack, 0, 1.0)
    # An attack that chooses between two directions may choose alike on two models, hardly on nine.
    is_alike = all(_is_same(first, _called(attack, 1 + other, 1.0)) for other in range(_OTHERS if asks else 1))
    half = _called(attack, 0, 0.5)
    again = _called(attack, 0, 1.0)
    need(
        _is_same(first, again),
        f"{said(attack)} returns something else for the same model, budget and seed after it attacked others; "
        "keep nothing from one call to the next",
    )
    need(
        not (asks and is_alike) and not _is_same(first, half),
        f"{said(attack)} returns the same perturbation for another {'budget' if _is_same(first, half) else 'model'}; "
        "keep nothing from one call to the next, and use what the victim answers",
    )


def check_asks_no_more_than_its_queries(attack: Attack) -> None:
    """An attack with an option `queries` asks for at most so many answers of each user.

    Prevents: two attacks side by side at one budget of answers, of which one takes twice as many.
    """
    queries = getattr(attack, "queries", None)
    applies_if(isinstance(queries, int), f"{said(attack)} has no option 'queries'")
    for budget in BUDGETS:
        victim = against(attack)
        perturb(attack, victim, budget)
        asked, allowed = victim.notes.n_queries, int(queries or 0) * victim.data.n_users
        need(
            asked <= allowed,
            f"{said(attack)} asks for {asked:,} answers where queries={queries} allows {allowed:,}, so many of each "
            "user; count the clean answers, too",
        )


def _called(attack: Attack, seed: int, share: float) -> Delta:
    budget = Budget(BUDGETS[0].norm, BUDGETS[0].eps * share)
    return perturb(attack, against(attack, model=_wide_tables(seed)), budget)


def _is_same(one: Delta, other: Delta) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


#: Checks of the budget and of the memory of an attack, part of `ATTACK_CHECKS`.
ATTACK_SPENDING_CHECKS: tuple[Callable[[Attack], None], ...] = (
    check_spends_the_budget,
    check_norm_stays_within_eps_on_larger_tables,
    check_calls_share_nothing,
    check_does_not_help_the_model,
    check_asks_no_more_than_its_queries,
)
