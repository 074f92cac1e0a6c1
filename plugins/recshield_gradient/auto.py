"""Attacks without numbers to tune: APGD, which halves its own steps, and the ensemble `auto`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.norms import ascended, project
from recshield.core.seeds import child
from recshield.core.storage import by_rows
from recshield.core.surfaces import Budget, Delta
from recshield_gradient.ascent import Best, Moving, check_loss, check_steps, random_start

#: Share of steps between two checkpoints that must raise the value, else the step is halved (rho).
_RISING = 0.75
#: Weight of the plain step against the momentum (alpha).
_PLAIN = 0.75


def checkpoints(steps: int) -> list[int]:
    """Return the steps at which the step size is looked at, 0 first.

    Source: Croce and Hein 2020, arXiv:2003.01690, section 3.1: p_0 = 0, p_1 = 0.22 and
    p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), each times the number of steps, rounded up.
    """
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return sorted({math.ceil(round(share * steps, 9)) for share in shares if share <= 1})


@dataclass(frozen=True)
class APGD(Attack):
    """Projected gradient ascent that halves its step where it stalls, with momentum, and keeps the best iterate.

    The first start is the clean point: the first step is then the fast gradient method, and the result never below it.

    Attributes:
        steps: gradient steps from each start.
        restarts: starts; those after the first are random inside the ball.
        loss: what is raised: `bpr`, `linear`, `margin` or `top`; empty = the model's own loss.

    Source: Croce and Hein 2020 (AutoAttack), arXiv:2003.01690, Algorithm 1. There each input has its own step size;
    here one loss is the mean over all triplets that share the rows, so there is one step size.
    """

    steps: int = 20
    restarts: int = 1
    loss: str = ""

    name = "apgd"
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        check_loss(self.name, self.loss)
        check_steps(self.name, self.steps, 1.0, self.restarts)

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best iterate over all steps of all starts."""
        best = Best(victim.zeros())
        for restart in range(self.restarts):
            start = random_start(victim, budget, child(rng, "start", restart)) if restart else victim.zeros()
            self._climb(victim, start, budget, best)
        return best.delta

    def _climb(self, victim: Victim, start: Moving, budget: Budget, overall: Best) -> None:
        own = Best(start)
        size = 2 * budget.eps
        value, gradient = victim.ascend(start, self.loss)
        own.see(value, start)
        last, here, best_gradient = start, start, gradient
        looks = checkpoints(self.steps)
        spans = {later: later - earlier for earlier, later in pairwise(looks)}
        n_rising, was_halved, before, best_before = 0, False, float(value), own.value
        for step in range(1, self.steps + 1):
            following = _step(victim, here, last, gradient, size, budget, is_first=step == 1)
            value, gradient = victim.ascend(following, self.loss)
            n_rising += float(value) > before
            last, here, before = here, following, float(value)
            if own.see(value, here):
                best_gradient = gradient
            if step in spans:
                is_stuck = not was_halved and own.value <= best_before
                was_halved = n_rising < _RISING * spans[step] or is_stuck
                if was_halved:
                    size /= 2
                    here = own.delta  # the momentum of the next step is taken from where it came, as in the paper
                    gradient, before = best_gradient, own.value
                n_rising, best_before = 0, own.value
        if own.value > overall.value:
            overall.value, overall.delta = own.value, own.delta


def _step(
    victim: Victim, here: Moving, last: Moving, gradient: Delta, size: float, budget: Budget, *, is_first: bool
) -> Moving:
    found = {}
    for one in victim.surfaces:
        name = one.name
        plain = ascended(here[name], gradient[name], size, one, budget)
        if not is_first:
            plain = victim.legal({name: plain})[name]
            plain = project(by_rows(_mixed, plain, here[name], last[name]), one, budget)
        found[name] = plain
    return victim.legal(found)


def _mixed(plain: Tensor, here: Tensor, last: Tensor) -> Tensor:
    return here + _PLAIN * (plain - here) + (1 - _PLAIN) * (here - last)


@dataclass(frozen=True)
class Auto(Attack):
    """Ensemble without parameters: each user's worst over APGD and single steps on two losses, and three noise draws.

    The figure to quote for a system. It is a worst case over users, not one perturbation that could be made. The single
    steps are there because the loss is not the metric: what reaches less of it may take more from a ranking.

    Source: Croce and Hein 2020 (AutoAttack), arXiv:2003.01690, section 5: the worst case per point over an ensemble.
    """

    name = "auto"
    access = Access.DATA | Access.GRADIENTS
    members = ("fgm", "fgm:loss=top", "apgd", "apgd:loss=top", "noise", "noise:draw=1", "noise:draw=2")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Raise BadValue: the members perturb, each in its own cell."""
        raise BadValue(f"attack 'auto' has no perturbation of its own; its members are {', '.join(self.members)}")
