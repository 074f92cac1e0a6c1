"""Objectives are values: what a defense returns and a model matches on to use a fused kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Objective, Recommender
from recshield.core.surfaces import Budget
from recshield.training.victims import perturb_batch, randomise_batch


@dataclass(frozen=True)
class ModelLoss(Objective):
    """The model's own loss and regulariser."""


#: Ways to reach eps: the whole of it from the start, or growing over the epochs.
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Adversarial(Objective):
    """The base objective plus `weight` times the model's loss under a perturbation.

    Attributes:
        base: usually `ModelLoss()`.
        target: surface or family that is perturbed.
        budget: norm and eps of the perturbation, one norm per row that the batch reads.
        weight: lambda.
        steps: 1 = fast gradient method; more = projected ascent with steps of 2.5 eps / steps.
        is_random: the perturbation is a random direction of norm eps, not an adversarial one.
        is_alone: the base objective's loss is left out; its regulariser stays.
        schedule: a name of `SCHEDULES`; `linear` and `cosine` let eps grow from near 0 to eps over `epochs`.
        epochs: that the schedule is stretched over; beyond them eps is whole.

    Source: He et al. 2018 (APR), Eq. 4 to 11 and 15, 16: the perturbation maximises the loss summed over the batch, so
    a row that several triplets read has one vector. The regulariser stands outside both terms' perturbation. Random and
    alone: the two alternatives that Tang et al. 2019 (AMR), section 3.2, name.
    """

    base: Objective
    target: str
    budget: Budget
    weight: float
    steps: int = 1
    is_random: bool = False
    is_alone: bool = False
    schedule: str = "constant"
    epochs: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise BadValue(f"weight {self.weight} is not allowed; it is a finite number of at least 0")
        if self.steps < 1:
            raise BadValue(f"steps {self.steps} is not allowed; it is at least 1")
        if self.schedule not in SCHEDULES:
            raise BadValue(f"schedule '{self.schedule}' is not known; allowed: {', '.join(SCHEDULES)}")

    def share(self, epoch: int) -> float:
        """Return the share of eps that applies in an epoch, counted from 0."""
        if self.schedule == "constant" or epoch + 1 >= self.epochs:
            return 1.0
        done = (epoch + 1) / self.epochs
        return done if self.schedule == "linear" else (1 - math.cos(math.pi * done)) / 2


def evaluate(
    model: Recommender, objective: Objective, batch: Batch, rng: Generator | None = None, epoch: int = 0
) -> Tensor:
    """Return the objective of one batch, a scalar to minimise; the generic path that fused kernels are held to.

    Args:
        model: its loss is differentiated.
        objective: `ModelLoss()` or `Adversarial(...)`.
        batch: triplets.
        rng: of random directions; needed where the objective has them.
        epoch: counted from 0, for schedules.

    Raises:
        BadValue: an objective of a kind that is not known here.
    """
    if isinstance(objective, ModelLoss):
        return model.loss(batch) + model.penalty(batch)
    if isinstance(objective, Adversarial):
        budget = Budget(objective.budget.norm, objective.share(epoch) * objective.budget.eps)
        if objective.is_random:
            if rng is None:
                raise BadValue("an objective with random directions needs a generator; pass rng")
            view = randomise_batch(model, batch, objective.target, budget, rng)
        else:
            view = perturb_batch(model, batch, objective.target, budget, objective.steps)
        added = objective.weight * model.loss(batch, model.lower(view))
        if objective.is_alone:
            return added + model.penalty(batch)
        return evaluate(model, objective.base, batch, rng, epoch) + added
    raise BadValue(f"objective {type(objective).__name__} is not known; use ModelLoss or Adversarial")
