"""Adversarial regularisation: APR on factors, AMR on item features, SAO on sequences are this one defense."""

from __future__ import annotations

from dataclasses import dataclass

from recshield.core.errors import BadValue
from recshield.core.interfaces import Defense, Objective
from recshield.core.norms import norm_of
from recshield.core.surfaces import Budget
from recshield.training.objectives import Adversarial


def check(owner: str, norm: str, epochs: int) -> None:
    """Raise an error where the norm is unknown or the epochs are negative."""
    norm_of(norm)
    if epochs < 0:
        raise BadValue(f"defense '{owner}': epochs is {epochs}; it is at least 0")


@dataclass(frozen=True)
class AdversarialRegularisation(Defense):
    """Go on training the undefended model with the loss under an adversarial perturbation added.

    Attributes:
        eps: norm of each perturbed row, raw units.
        weight: of the added term (lambda).
        epochs: more epochs after the undefended training, with a fresh optimiser.
        norm: `l2` or `linf` per row, or `l2-table`.
        steps: 1 = fast gradient method, as in the papers.
        schedule: `constant`, or `linear` or `cosine`: eps grows from near 0 to its value over the epochs.

    Source: He et al. 2018 (APR), Eq. 4 to 11, Algorithm 1.
    """

    eps: float = 0.5
    weight: float = 1.0
    epochs: int = 200
    norm: str = "l2"
    steps: int = 1
    schedule: str = "constant"

    name = "advreg"
    warm_start = True

    def __post_init__(self) -> None:
        check(self.name, self.norm, self.epochs)
        self.objective(Objective(), "")  # the objective checks eps, weight, steps and schedule

    def objective(self, base: Objective, target: str) -> Objective:
        """Return the base objective plus the adversarial term on `target`."""
        budget = Budget(self.norm, self.eps)
        return Adversarial(base, target, budget, self.weight, self.steps, schedule=self.schedule, epochs=self.epochs)
