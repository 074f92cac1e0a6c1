"""Fast gradient method and projected gradient ascent: one loop over `steepest` and `project`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.norms import project, random_inside, steepest
from recshield.core.seeds import child
from recshield.core.surfaces import Budget, Delta

_LOSSES = ("", "bpr", "linear", "margin")


def _check_loss(owner: str, loss: str) -> None:
    if loss not in _LOSSES:
        raise BadValue(f"attack '{owner}': loss '{loss}' is not known; allowed: bpr, linear, margin")


def _step(victim: Victim, delta: Delta, gradient: Delta, size: float, budget: Budget) -> dict[str, Tensor]:
    """Return delta moved by `size` in the direction that raises the goal most, projected into the budget."""
    return {
        one.name: project(delta[one.name] + size * steepest(gradient[one.name], one, budget.norm), one, budget)
        for one in victim.surfaces
    }


def _random_start(victim: Victim, budget: Budget, rng: Generator) -> dict[str, Tensor]:
    """Return a perturbation uniform in the ball on the rows that the goal reads, zero elsewhere."""
    delta = victim.zeros()
    for surface in victim.surfaces:
        held, rows = delta[surface.name], victim.rows[surface.name]
        held[rows] = budget.eps * random_inside(held[rows], surface, budget.norm, child(rng, surface.name))
    return delta


@dataclass(frozen=True)
class FGM(Attack):
    """One step of steepest ascent from the clean point, as long as the budget allows.

    Attributes:
        loss: what is raised: `bpr`, `linear` or `margin`; empty = the model's own loss.

    Source: He et al. 2018 (APR), Eq. 3 and 8 (l2); Goodfellow et al. 2015, arXiv:1412.6572 (linf: the sign).
    """

    loss: str = ""

    name = "fgm"
    aliases = ("fgsm",)
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        _check_loss(self.name, self.loss)

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return eps times the steepest direction of the gradient at zero."""
        start = victim.zeros()
        _, gradient = victim.ascend(start, self.loss)
        return _step(victim, start, gradient, budget.eps, budget)


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient ascent from a random start inside the ball; the iterate with the highest value is kept.

    Attributes:
        steps: gradient steps from each start.
        restarts: random starts.
        ratio: step size in units of eps / steps (ten steps of 0.1 eps lose to one of eps).
        loss: what is raised: `bpr`, `linear` or `margin`; empty = the model's own loss.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """

    steps: int = 10
    restarts: int = 1
    ratio: float = 2.5
    loss: str = ""

    name = "pgd"
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        _check_loss(self.name, self.loss)
        if self.steps < 1 or self.restarts < 1 or not self.ratio > 0:
            raise BadValue("attack 'pgd': steps and restarts are whole numbers of at least 1, ratio is above 0")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best iterate over all steps of all restarts."""
        best_value, best = torch.tensor(-torch.inf), victim.zeros()
        size = self.ratio * budget.eps / self.steps
        for restart in range(self.restarts):
            delta = _random_start(victim, budget, child(rng, "start", restart))
            for step in range(self.steps + 1):
                value, gradient = victim.ascend(delta, self.loss)
                if value > best_value:
                    best_value, best = value, delta
                if step < self.steps:
                    delta = _step(victim, delta, gradient, size, budget)
        return best
