"""Controls: what a defended system would be without the part that is claimed to help."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from recshield.core.errors import BadValue
from recshield.core.interfaces import Defense, Recommender, System


@dataclass(frozen=True)
class Continue(Defense):
    """Go on training the undefended model as long as a defense would, with a fresh optimiser and no added term.

    Attributes:
        epochs: more epochs after the undefended training.
    """

    epochs: int = 200

    name = "continue"
    warm_start = True

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise BadValue(f"defense 'continue': epochs is {self.epochs}; it is at least 0")


@dataclass(frozen=True)
class Rescaled(Defense):
    """Scale each table of the model to the mean row norm of another system's; no training.

    For inner products this leaves every ranking as it is (up to float rounding), so what robustness it shows at a
    fixed eps is scale alone.

    Attributes:
        like: the system whose norms are taken over.
    """

    like: System

    name = "rescaled"

    def serve(self, model: Recommender) -> Recommender:
        """Return a scaled copy of the model."""
        scaled = copy.deepcopy(model)
        names = [one.name for one in model.surfaces if one.name in {other.name for other in self.like.model.surfaces}]
        if not names:
            raise BadValue(f"'rescaled:like={self.like.spec}' shares no surface with model '{model.name}'")
        with torch.no_grad():
            for name in names:
                wanted = self.like.model.values(name).norm(dim=-1).mean()
                table = scaled.values(name)
                present = table.norm(dim=-1).mean()
                if not (present > 0 and wanted > 0):
                    raise BadValue(f"'rescaled:like={self.like.spec}': the rows of '{name}' have no norm to scale")
                table.mul_(wanted / present)
        return scaled
