"""Multi-step adversarial perturbations as they were published, outside the budget that they name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.norms import steepest
from recshield.core.seeds import child
from recshield.core.storage import by_rows
from recshield.core.surfaces import Budget, Delta
from recshield_gradient.ascent import check_loss, check_steps, random_start


@dataclass(frozen=True)
class MSAP(Attack):
    """Multi-step perturbation as published: steps of l2 length per row, each value clipped to eps on its own.

    A row of 64 values may so reach 8 eps: the published comparison with a single step of l2 norm eps is between unequal
    budgets. It is not projected, and labelled; `bim` and `pgd` are the same attacks inside the budget.

    Attributes:
        steps: gradient steps.
        ratio: length of a step in units of eps.
        start: `clean` (the paper's MSAP-BIM) or `random` (MSAP-PGD).
        loss: what is raised: `bpr`, `linear`, `margin` or `top`; empty = the model's own loss.

    Source: Anelli et al. 2021 (MSAP), section 2; steps of eps / 4 as in the authors' code. Elliot has the same.
    """

    steps: int = 25
    ratio: float = 0.25
    start: str = "clean"
    loss: str = ""

    name = "msap"
    access = Access.DATA | Access.GRADIENTS
    projected = False

    def __post_init__(self) -> None:
        check_loss(self.name, self.loss)
        check_steps(self.name, self.steps, self.ratio)
        if self.start not in ("clean", "random"):
            raise BadValue(f"attack 'msap': start '{self.start}' is not known; allowed: clean, random")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the last iterate, whatever its norm."""
        delta = victim.zeros() if self.start == "clean" else random_start(victim, budget, child(rng, "start"))
        for _ in range(self.steps):
            _, gradient = victim.ascend(delta, self.loss)
            for one in victim.surfaces:
                step = steepest(gradient[one.name], one, "l2")
                delta[one.name] = by_rows(partial(_clipped, size=self.ratio, eps=budget.eps), delta[one.name], step)
            delta = victim.legal(delta)
        return delta


def _clipped(delta: Tensor, step: Tensor, size: float, eps: float) -> Tensor:
    return (delta + size * eps * step).clamp(-eps, eps)
