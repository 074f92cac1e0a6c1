"""Gradient attacks that share one loop over `steepest` and `project`: FGM, BIM, MIM, PGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import LOSSES, Access, Attack, Victim
from recshield.core.norms import ascended, fill_random, norm_of, random_inside
from recshield.core.seeds import child
from recshield.core.storage import by_rows
from recshield.core.surfaces import Budget, Delta

Moving = dict[str, Tensor]


def check_loss(owner: str, loss: str) -> None:
    """Raise BadValue where the loss is not one that a victim knows."""
    if loss not in LOSSES:
        raise BadValue(f"attack '{owner}': loss '{loss}' is not known; allowed: {', '.join(LOSSES[1:])}")


def check_steps(owner: str, steps: int, ratio: float, restarts: int = 1) -> None:
    """Raise BadValue where the numbers of an iterative attack are out of range."""
    if steps < 1 or restarts < 1 or not 0 < ratio < float("inf"):
        raise BadValue(
            f"attack '{owner}': steps and restarts are whole numbers of at least 1, ratio is a finite number above 0"
        )


def moved(victim: Victim, delta: Delta, direction: Delta, size: float, budget: Budget) -> Moving:
    """Return delta moved by `size` in the budget's steepest step along `direction`, inside budget and bounds."""
    return victim.legal(
        {one.name: ascended(delta[one.name], direction[one.name], size, one, budget) for one in victim.surfaces}
    )


def random_start(victim: Victim, budget: Budget, rng: Generator) -> Moving:
    """Return a perturbation uniform in the ball on the rows that the goal reads, zero elsewhere."""
    delta = victim.zeros()
    for one in victim.surfaces:
        fill_random(delta[one.name], victim.rows[one.name], one, budget, child(rng, one.name), random_inside)
    return victim.legal(delta)


@dataclass
class Best:
    """The iterate with the highest value so far."""

    delta: Moving
    value: float = -torch.inf

    def see(self, value: Tensor, delta: Moving) -> bool:
        """Keep an iterate that is better; return whether it is."""
        is_better = float(value) > self.value
        if is_better:
            self.value, self.delta = float(value), delta
        return is_better


def climb(
    victim: Victim,
    start: Moving,
    steps: int,
    size: float,
    budget: Budget,
    loss: str,
    best: Best,
    direct: Callable[[Delta], Delta] = lambda gradient: gradient,
) -> None:
    """Take `steps` projected steps from `start`; every iterate, the last one included, is shown to `best`.

    Args:
        victim: its goal's value rises.
        start: inside the budget.
        steps: at least 1.
        size: length of a step in the budget's norm.
        budget: what the iterates stay inside.
        loss: what is raised, as in `Victim.ascend`.
        best: keeps the iterate with the highest value.
        direct: from a gradient to the direction of the step.
    """
    delta = start
    for step in range(steps + 1):
        value, gradient = victim.ascend(delta, loss)
        best.see(value, delta)
        if step < steps:
            delta = moved(victim, delta, direct(gradient), size, budget)


@dataclass(frozen=True)
class FGM(Attack):
    """One step of steepest ascent from the clean point, as long as the budget allows.

    Attributes:
        loss: what is raised: `bpr`, `linear`, `margin` or `top`; empty = the model's own loss.
        direction: empty = the steepest in the budget's norm; `sign` = the gradient's sign, scaled to the budget.

    Source: He et al. 2018 (APR), Eq. 3 and 8 (l2); Goodfellow et al. 2015, arXiv:1412.6572 (linf: the sign).
    """

    loss: str = ""
    direction: str = ""

    name = "fgm"
    aliases = ("fgsm",)
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        check_loss(self.name, self.loss)
        if self.direction not in ("", "sign"):
            raise BadValue(f"attack 'fgm': direction '{self.direction}' is not known; allowed: sign, or leave it out")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return eps times the direction of the gradient at zero."""
        start = victim.zeros()
        _, gradient = victim.ascend(start, self.loss)
        if self.direction == "sign":
            gradient = {name: by_rows(torch.sign, held) for name, held in gradient.items()}
        return moved(victim, start, gradient, budget.eps, budget)


@dataclass(frozen=True)
class BIM(Attack):
    """Basic iterative method: projected steps from the clean point; the iterate with the highest value is kept.

    Attributes:
        steps: gradient steps.
        ratio: step size in units of eps / steps.
        loss: what is raised: `bpr`, `linear`, `margin` or `top`; empty = the model's own loss.

    Source: Kurakin et al. 2017, arXiv:1607.02533, section 2.2; there the last iterate is taken, with sign steps (linf).
    """

    steps: int = 10
    ratio: float = 2.5
    loss: str = ""

    name = "bim"
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        check_loss(self.name, self.loss)
        check_steps(self.name, self.steps, self.ratio)

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best iterate."""
        best = Best(victim.zeros())
        climb(victim, victim.zeros(), self.steps, self.ratio * budget.eps / self.steps, budget, self.loss, best)
        return best.delta


def _over_length(gradient: Tensor, budget: Budget) -> Tensor:
    """Return a gradient over its l1 norm, per row (per table where the budget spans it); zero where it is zero."""

    def divided(held: Tensor) -> Tensor:
        flat = held.reshape(1 if norm_of(budget.norm).is_whole else len(held), -1)
        length = flat.abs().sum(dim=1, keepdim=True)
        return (flat / torch.where(length > 0, length, torch.ones_like(length))).reshape(held.shape)

    return divided(gradient) if norm_of(budget.norm).is_whole else by_rows(divided, gradient)


@dataclass(frozen=True)
class MIM(Attack):
    """Momentum iterative method: steps along a running sum of gradients, each divided by its l1 norm per row.

    Attributes:
        steps: gradient steps from the clean point.
        decay: of the running sum (mu in the paper).
        ratio: step size in units of eps / steps.
        loss: what is raised: `bpr`, `linear`, `margin` or `top`; empty = the model's own loss.

    Source: Dong et al. 2018, arXiv:1710.06081, Algorithm 1, where one input has one budget, as here one row has. The
    iterate with the highest value is kept; there it is the last one.
    """

    steps: int = 10
    decay: float = 1.0
    ratio: float = 2.5
    loss: str = ""

    name = "mim"
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        check_loss(self.name, self.loss)
        check_steps(self.name, self.steps, self.ratio)
        if not 0 <= self.decay < float("inf"):
            raise BadValue(f"attack 'mim': decay is {self.decay}; it is a finite number of at least 0")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best iterate."""
        running = victim.zeros()

        def direct(gradient: Delta) -> Delta:
            for name, held in gradient.items():
                step = _over_length(held, budget)
                running[name] = by_rows(lambda sums, one: self.decay * sums + one, running[name], step)
            return running

        best = Best(victim.zeros())
        size = self.ratio * budget.eps / self.steps
        climb(victim, victim.zeros(), self.steps, size, budget, self.loss, best, direct)
        return best.delta


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient ascent from a random start inside the ball; the iterate with the highest value is kept.

    Attributes:
        steps: gradient steps from each start.
        restarts: random starts.
        ratio: step size in units of eps / steps (ten steps of 0.1 eps lose to one of eps).
        loss: what is raised: `bpr`, `linear`, `margin` or `top`; empty = the model's own loss.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """

    steps: int = 10
    restarts: int = 1
    ratio: float = 2.5
    loss: str = ""

    name = "pgd"
    access = Access.DATA | Access.GRADIENTS

    def __post_init__(self) -> None:
        check_loss(self.name, self.loss)
        check_steps(self.name, self.steps, self.ratio, self.restarts)

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best iterate over all steps of all restarts."""
        best = Best(victim.zeros())
        for restart in range(self.restarts):
            start = random_start(victim, budget, child(rng, "start", restart))
            climb(victim, start, self.steps, self.ratio * budget.eps / self.steps, budget, self.loss, best)
        return best.delta
