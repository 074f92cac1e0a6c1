"""A learning curve: metrics and norms of the tables every few epochs, the best state, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from recshield.core.interfaces import Recommender
from recshield.data.interactions import HeldOut, Interactions
from recshield.data.visual import IMAGES
from recshield.evaluation.measuring import measure_all
from recshield.evaluation.metrics import MetricAtK


class Curve:
    """Looks at a model every few epochs.

    Attributes:
        rows: one per look: epoch, value of each metric, sum of squares and mean row norm of each surface but images.
        best_value: highest value of the first metric.
        best_epoch: where it was reached first; None before the first look at an epoch.
        best_state: the model's state there, where it is kept.
    """

    def __init__(
        self,
        train: Interactions,
        held_out: HeldOut,
        metrics: Sequence[MetricAtK],
        every: int,
        device: str,
        data_seed: int,
        patience: int = 0,
        *,
        keeps_best: bool = False,
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.best_value = -math.inf
        self.best_epoch: int | None = None
        self.best_state: dict[str, torch.Tensor] = {}
        self._train, self._held_out, self._metrics = train, held_out, metrics
        self._every, self._device, self._patience, self._keeps_best = every, device, patience, keeps_best
        self._n_worse, self._data_seed = 0, data_seed

    def wants(self, epoch: int, epochs: int) -> bool:
        """Return whether it looks after an epoch: every few, and after the last."""
        return epoch % self._every == 0 or epoch == epochs

    def look(self, model: Recommender, epoch: int) -> bool:
        """Measure the model; return whether training goes on."""
        device = torch.device(self._device)
        found = measure_all(model.scoring(), self._train, self._held_out, self._metrics, device, self._data_seed)
        values = {name: figure.value for name, figure in found.items()}
        with torch.no_grad():
            # Of images there is no table, and training does not change them.
            tables = {one.name: model.values(one.name).double() for one in model.surfaces if one.name != IMAGES}
            norms = {f"sum of squares {name}": float(held.square().sum()) for name, held in tables.items()}
            norms |= {
                f"mean row norm {name}": float(held.flatten(1).norm(dim=1).mean()) for name, held in tables.items()
            }
        self.rows.append({"epoch": epoch, "metrics": values, "norms": norms})
        value = values[str(self._metrics[0])]
        if value > self.best_value:
            self.best_value, self._n_worse = value, 0
            self.best_epoch = epoch or None
            if self._keeps_best:
                self.best_state = {key: held.detach().cpu().clone() for key, held in model.state_dict().items()}
        else:
            self._n_worse += 1
        return not self._patience or self._n_worse < self._patience
