"""How the checks call an attack: what they name it, what it stands against, and with what it is called."""

from __future__ import annotations

from typing import Any

import torch

from recshield.core.interfaces import Attack, Goal
from recshield.core.norms import random_direction
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Delta, covers, family
from recshield.data.interactions import Dataset
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.testing.data import small_dataset
from recshield.testing.failures import applies_if
from recshield.testing.probes import as_served
from recshield.testing.reference import USER, TwoTables, trained_tables

#: Budgets that every attack is asked to keep; the reference model's rows have norms of about one.
BUDGETS = (Budget("l2", 0.5), Budget("linf", 0.1))
#: One of every norm that a budget can name.
EVERY_NORM = (*BUDGETS, Budget("l2-table", 2.0))


def said(attack: Attack) -> str:
    """Return how a message names an attack."""
    return f"attack '{attack.name}'"


def target_of(attack: Attack) -> str:
    """Return what the attack acts on; leave the check where it calls nothing, or acts where the model has nothing."""
    members = ", ".join(type(attack).members)
    applies_if(not members, f"{said(attack)} is an ensemble without a perturbation of its own; check {members}")
    target = attack.target or family(USER)
    has_surface = any(covers(target, name) for name in TwoTables.exposes)
    applies_if(has_surface, f"{said(attack)} acts on '{target}', which the reference model has not")
    return target


def against(
    attack: Attack, target: str = "", model: TwoTables | None = None, data: Dataset | None = None
) -> TrainedVictim:
    """Return a victim with exactly the access that the attack declares."""
    wanted = target or target_of(attack)
    train = (data or small_dataset()[0]).train
    served = as_served(model or trained_tables())
    return TrainedVictim(served, train, degrade_pairs(train, 0), Goal(), wanted, type(attack).access)


def perturb(attack: Attack, victim: Any, budget: Budget, seed: int = 0) -> Delta:
    """Call the attack as the framework does, which never calls an ensemble."""
    with torch.no_grad():
        return attack.perturb(victim, budget, generator(seed, "attack"))


def noise(victim: TrainedVictim, budget: Budget, draw: int) -> Delta:
    """Return a random perturbation that spends the whole budget on the rows of the goal."""
    delta = victim.zeros()
    for one in victim.surfaces:
        held, rows = delta[one.name], victim.rows[one.name]
        rng = generator(draw, "kit noise", one.name)
        held[rows] = budget.eps * random_direction(held[rows], one, budget.norm, rng)
    return delta
