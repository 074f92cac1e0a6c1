"""The attack `nesterov`: momentum that looks ahead before it takes the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core import Access, Attack, BadValue, Budget, Delta, Surface, Victim, hookimpl
from recshield.core.norms import ascended, project, steepest


@dataclass(frozen=True)
class Nesterov(Attack):
    """Ascent along a sum of past gradients, each taken where the sum is about to lead.

    Attributes:
        steps: at least 1; each is 1 / steps of the budget long.
        decay: of the sum of past gradients (mu), at least 0; 0 = plain steps.

    Source: Lin et al. 2020 (NI-FGSM), arXiv:1908.06281, Eq. 6 to 8. There a gradient is divided by its l1 norm over the
    image; here by the mean absolute value over the rows that have one, so that decay means the same for any number of
    rows, and the step is the steepest one in the budget's norm, the sign for linf.
    """

    steps: int = 10
    decay: float = 1.0

    name = "nesterov"
    access = Access.GRADIENTS

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadValue(f"attack 'nesterov': steps is {self.steps}; it is at least 1")
        if not self.decay >= 0:
            raise BadValue(f"attack 'nesterov': decay is {self.decay}; it is at least 0")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the perturbation of every surface of the victim."""
        delta, memory = victim.zeros(), victim.zeros()
        size = budget.eps / self.steps
        for _ in range(self.steps):
            ahead = {
                one.name: self._ahead(delta[one.name], memory[one.name], size, one, budget) for one in victim.surfaces
            }
            _, gradient = victim.ascend(victim.legal(ahead))
            for one in victim.surfaces:
                memory[one.name] = self.decay * memory[one.name] + normalised(gradient[one.name])
                delta[one.name] = ascended(delta[one.name], memory[one.name], size, one, budget)
            delta = victim.legal(delta)
        return delta

    def _ahead(self, delta: Tensor, memory: Tensor, size: float, surface: Surface, budget: Budget) -> Tensor:
        """Return where the sum of past gradients is about to lead (Eq. 6)."""
        moved = delta + size * self.decay * steepest(memory, surface, budget.norm)
        return project(moved, surface, budget)


def normalised(gradient: Tensor) -> Tensor:
    """Return a gradient over its mean absolute value where it is not zero; zeros stay zeros."""
    alive = gradient[gradient != 0].abs()
    return gradient / alive.mean() if len(alive) else torch.zeros_like(gradient)


@hookimpl
def recshield_attacks() -> list[type[Attack]]:
    """Return the attack."""
    return [Nesterov]
