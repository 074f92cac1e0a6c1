"""Controls: what a defended system would be without the part that is claimed to help."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from recshield.core.errors import BadValue
from recshield.core.interfaces import Defense, Objective, Recommender, System
from recshield.core.surfaces import Budget
from recshield.training.objectives import Adversarial
from recshield_advreg.regularisation import check


@dataclass(frozen=True)
class Continue(Defense):
    """Go on training the undefended model as long as a defense would, with a fresh optimiser and no added term.

    Attributes:
        epochs: more epochs after the undefended training.

    Source: the comparison of He et al. 2018 (APR), arXiv:1808.03908, section 4.2: MF-BPR trained on against APR.
    """

    epochs: int = 200

    name = "continue"
    warm_start = True

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise BadValue(f"defense 'continue': epochs is {self.epochs}; it is at least 0")


@dataclass(frozen=True)
class NoiseRegularisation(Defense):
    """Go on training with the loss under random perturbations added: `advreg` without its adversary.

    Attributes:
        eps: norm of each perturbed row, raw units.
        weight: of the added term.
        epochs: more epochs after the undefended training, with a fresh optimiser.
        norm: `l2` or `linf` per row, or `l2-table`.
        schedule: `constant`, or `linear` or `cosine`: eps grows from near 0 to its value over the epochs.

    Source: Tang et al. 2019 (AMR), section 3.2: random perturbations, "less effective than our maximizing player".
    """

    eps: float = 0.5
    weight: float = 1.0
    epochs: int = 200
    norm: str = "l2"
    schedule: str = "constant"

    name = "noisereg"
    warm_start = True

    def __post_init__(self) -> None:
        check(self.name, self.norm, self.epochs)
        self.objective(Objective(), "")

    def objective(self, base: Objective, target: str) -> Objective:
        """Return the base objective plus the loss under random directions on `target`."""
        budget = Budget(self.norm, self.eps)
        return Adversarial(
            base, target, budget, self.weight, is_random=True, schedule=self.schedule, epochs=self.epochs
        )


@dataclass(frozen=True)
class AdversarialOnly(Defense):
    """Go on training with the loss under the adversarial perturbation alone; the clean loss is left out.

    Attributes:
        eps: norm of each perturbed row, raw units.
        epochs: more epochs after the undefended training, with a fresh optimiser.
        norm: `l2` or `linf` per row, or `l2-table`.
        steps: 1 = fast gradient method.
        schedule: `constant`, or `linear` or `cosine`: eps grows from near 0 to its value over the epochs.

    Source: Tang et al. 2019 (AMR), section 3.2: to "optimize only the adversarial regularizer".
    """

    eps: float = 0.5
    epochs: int = 200
    norm: str = "l2"
    steps: int = 1
    schedule: str = "constant"

    name = "advonly"
    warm_start = True

    def __post_init__(self) -> None:
        check(self.name, self.norm, self.epochs)
        self.objective(Objective(), "")

    def objective(self, base: Objective, target: str) -> Objective:
        """Return the loss under the adversarial perturbation on `target`, and the base's regulariser."""
        budget = Budget(self.norm, self.eps)
        return Adversarial(
            base, target, budget, 1.0, self.steps, is_alone=True, schedule=self.schedule, epochs=self.epochs
        )


@dataclass(frozen=True)
class Rescaled(Defense):
    """Scale each table of the model to the mean row norm of another system's; no training.

    For the product of two tables this leaves every ranking as it is (up to float rounding), so what robustness it shows
    at a fixed eps is scale alone. Where scores are sums of products, as those of visual models, rankings may change.

    Attributes:
        like: the system whose norms are taken over.

    Source: own; the control of check 23 (SCALE).
    """

    like: System

    name = "rescaled"

    def serve(self, model: Recommender) -> Recommender:
        """Return a scaled copy of the model."""
        scaled = copy.deepcopy(model)
        tables, wanted = scaled.blocks(), self.like.model.blocks()
        names = [name for name in tables if name in wanted]
        if not names:
            raise BadValue(f"'rescaled:like={self.like.spec}' shares no surface with model '{model.name}'")
        with torch.no_grad():
            for name in names:
                goal = wanted[name].norm(dim=-1).mean()
                present = tables[name].norm(dim=-1).mean()
                if present == goal == 0:  # a table that neither training has moved
                    continue
                if not (present > 0 and goal > 0):
                    raise BadValue(f"'rescaled:like={self.like.spec}': the rows of '{name}' have no norm to scale")
                tables[name].mul_(goal / present)
        return scaled
