"""Models without personalisation: popularity and chance, the two floors of every table."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from recshield.core.interfaces import Objective, Recommender
from recshield.core.seeds import number
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset

_STEP, _FIRST, _SECOND = (
    value - (1 << 64) if value >= 1 << 63 else value
    for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class Popular(Recommender):
    """Ranks items by their number of training rows (ItemPop of the APR paper, section 4.1.3)."""

    name = "popular"
    counts: Tensor

    def __init__(self, data: DataInfo, config: Any, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self.register_buffer("counts", torch.zeros(data.n_items))

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Count; nothing is drawn or minimised."""
        self.counts.copy_(torch.from_numpy(data.train.popularity()))

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return the same (B, n_items) counts for everybody."""
        return self.counts.expand(len(users), -1)


class Random(Recommender):
    """Ranks items at random, the same way each time it is asked.

    Source: the level of chance; a baseline of He and McAuley 2016 (VBPR), arXiv:1510.01784 (RAND).
    """

    name = "random"
    key: Tensor

    def __init__(self, data: DataInfo, config: Any, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self.register_buffer("key", torch.tensor(number(rng.initial_seed(), "random")))

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Do nothing: there is nothing to learn."""

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_items) numbers in [0, 1), a hash of seed, user and item."""
        items = torch.arange(self.data.n_items, device=users.device)
        bits = (users[:, None] * self.data.n_items + items) * _STEP + self.key
        bits = (bits ^ ((bits >> 30) & ((1 << 34) - 1))) * _FIRST  # the mask makes the shift a logical one
        bits = (bits ^ ((bits >> 27) & ((1 << 37) - 1))) * _SECOND
        return ((bits ^ (bits >> 31)) & 0xFFFFFF).float() / 0x1000000
