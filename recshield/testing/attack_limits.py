"""Checks of an attack at the edges: a planted weakness, the smallest data, types of numbers, devices."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recshield.core.errors import in_one_line
from recshield.core.interfaces import Access, Attack
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Delta, View, covers
from recshield.data.interactions import Dataset
from recshield.testing.attack_calls import against, perturb, said, target_of
from recshield.testing.data import one_item_dataset, one_user_dataset, small_dataset
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.reference import USER, TwoTables, TwoTablesConfig, trained_tables, untrained_tables

#: Width of the tables with a planted weakness, of which it takes up three: noise spends its budget on the rest.
_WIDTH, _GROUPS = 64, 3
#: How strongly items hang on the weak dimensions; no user relies on them.
_WEAKNESS = 20.0
#: A tenth of it does not turn the order of items round, a whole one does.
_BUDGETS = (Budget("l2", 0.1), Budget("linf", 0.1))
#: Relative difference of what an attack reaches on two devices.
_DEVICE_SLACK = 0.01


def planted_tables() -> TwoTables:
    """Return a model that ranks every user's group first by a margin of 1, and has a weakness.

    Each item lies far out in a dimension of its group, where every user stands at 0: a small step of a user there
    turns the order round.
    """
    data, _ = small_dataset()
    model = TwoTables(data.info, TwoTablesConfig(dims=_WIDTH), generator(0, "start"))
    users, items = (torch.arange(count) % _GROUPS for count in (data.info.n_users, data.info.n_items))
    with torch.no_grad():
        model.user.zero_()
        model.item.zero_()
        model.user[torch.arange(len(users)), users] = 1.0
        model.item[torch.arange(len(items)), items] = 1.0
        model.item[torch.arange(len(items)), _GROUPS + items] = _WEAKNESS
    return model


def _margin(model: TwoTables, delta: Delta) -> float:
    """Return by how much users score their own group above the others, the mean over users with training rows."""
    with torch.no_grad():
        scores = model.score(torch.arange(model.data.n_users), View(dict(delta)))
    is_own = (torch.arange(model.data.n_users) % _GROUPS)[:, None] == torch.arange(model.data.n_items) % _GROUPS

    def mean(kept: Tensor) -> Tensor:
        return (scores * kept).sum(dim=1) / kept.sum(dim=1)

    return float((mean(is_own) - mean(~is_own))[:-1].mean())


def check_finds_a_planted_weakness(attack: Attack) -> None:
    """An attack with gradients finds the one weak place of a model and turns its ranking round.

    Prevents: an attack that raises the loss a little and is quoted as if nothing stronger fitted into the budget.
    """
    has_gradients = bool(type(attack).access & Access.GRADIENTS)
    applies_if(has_gradients, f"{said(attack)} uses no gradient, so what it must find is not known here")
    applies_if(covers(target_of(attack), USER), f"{said(attack)} does not act on '{USER}'")
    data, _ = small_dataset()
    for budget in _BUDGETS:
        model = planted_tables()
        reached = _margin(model, perturb(attack, against(attack, USER, model, data), budget))
        need(
            reached < 0,
            f"{said(attack)} at {budget.norm}:{budget.eps:g} moves the planted margin from 1 to {reached:.3g}; "
            "the whole budget along the gradient turns it below 0, so look at how much of it is spent, and where",
        )


def _survives(attack: Attack, data: Dataset) -> None:
    model = untrained_tables(data)
    try:
        delta = perturb(attack, against(attack, target_of(attack), model, data), _BUDGETS[0])
    except Exception as error:
        raise CheckFailed(f"{said(attack)} fails on {data.info.name} data: {in_one_line(error)}") from error
    is_finite = all(bool(held.isfinite().all()) for held in delta.values())
    need(is_finite, f"{said(attack)} returns values that are not finite on {data.info.name} data")


def check_one_user_data(attack: Attack) -> None:
    """A data set of one user is enough to attack."""
    target_of(attack)
    _survives(attack, one_user_dataset())


def check_one_item_data(attack: Attack) -> None:
    """A data set of one item, in which nothing can be won, is no error."""
    target_of(attack)
    _survives(attack, one_item_dataset())


def check_delta_has_the_dtype_of_the_surface(attack: Attack) -> None:
    """The perturbation has the type of number that the model computes with.

    Prevents: twice the memory, or scores at another precision than the clean ones they are held against.
    """
    data, _ = small_dataset()
    victim = against(attack, target_of(attack), trained_tables(), data)
    wanted = {name: held.dtype for name, held in victim.zeros().items()}
    for name, held in perturb(attack, victim, _BUDGETS[0]).items():
        need(
            held.dtype == wanted.get(name, held.dtype),
            f"{said(attack)} returns {held.dtype} for '{name}'; expected {wanted.get(name)}, as in victim.zeros()",
        )


def check_cuda_reaches_what_the_cpu_reaches(attack: Attack) -> None:
    """On a CUDA device the perturbation lies there and reaches what it reaches on the CPU, within 1 %."""
    applies_if(torch.cuda.is_available(), "there is no CUDA device")
    data, _ = small_dataset()
    values = []
    for device in ("cpu", "cuda"):
        victim = against(attack, target_of(attack), trained_tables().to(device), data)
        delta = perturb(attack, victim, _BUDGETS[0])
        places = {held.device.type for held in delta.values()}
        need(places == {device}, f"{said(attack)} on {device} returns tensors on {', '.join(places)}")
        values.append(float(victim.value(delta, getattr(attack, "loss", ""))))
    need(
        abs(values[1] - values[0]) <= _DEVICE_SLACK * abs(values[0]),
        f"{said(attack)} reaches {values[0]:.6g} on the CPU and {values[1]:.6g} on CUDA; draw on the CPU",
    )


#: Checks at the edges, part of `ATTACK_CHECKS`.
ATTACK_LIMIT_CHECKS: tuple[Callable[[Attack], None], ...] = (
    check_finds_a_planted_weakness,
    check_one_user_data,
    check_one_item_data,
    check_delta_has_the_dtype_of_the_surface,
    check_cuda_reaches_what_the_cpu_reaches,
)
