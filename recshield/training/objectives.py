"""Objectives are values: what a defense returns and a model matches on to use a fused kernel."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Objective, Recommender
from recshield.core.surfaces import Budget
from recshield.training.victims import perturb_batch


@dataclass(frozen=True)
class ModelLoss(Objective):
    """The model's own loss and regulariser."""


@dataclass(frozen=True)
class Adversarial(Objective):
    """The base objective plus `weight` times the model's loss under an adversarial perturbation.

    Attributes:
        base: usually `ModelLoss()`.
        target: surface or family that is perturbed.
        budget: norm and eps of the perturbation, one norm per row that the batch reads.
        weight: lambda.
        steps: 1 = fast gradient method; more = projected ascent with steps of 2.5 eps / steps.

    Source: He et al. 2018 (APR), Eq. 4 to 11 and 15, 16: the perturbation maximises the loss summed over the batch, so
    a row that several triplets read has one vector. The regulariser stands outside both terms' perturbation.
    """

    base: Objective
    target: str
    budget: Budget
    weight: float
    steps: int = 1

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise BadValue(f"weight {self.weight} is not allowed; it is at least 0")
        if self.steps < 1:
            raise BadValue(f"steps {self.steps} is not allowed; it is at least 1")


def evaluate(model: Recommender, objective: Objective, batch: Batch) -> Tensor:
    """Return the objective of one batch, a scalar to minimise; the generic path that fused kernels are held to.

    Raises:
        BadValue: an objective of a kind that is not known here.
    """
    if isinstance(objective, ModelLoss):
        return model.loss(batch) + model.penalty(batch)
    if isinstance(objective, Adversarial):
        clean = evaluate(model, objective.base, batch)
        view = perturb_batch(model, batch, objective.target, objective.budget, objective.steps)
        return clean + objective.weight * model.loss(batch, view)
    raise BadValue(f"objective {type(objective).__name__} is not known; use ModelLoss or Adversarial")
