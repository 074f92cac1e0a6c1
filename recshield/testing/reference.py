"""The model that attacks and defenses are checked on: two tables, an inner product, BPR, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core.interfaces import Batch, Objective, Recommender, System
from recshield.core.seeds import child, generator
from recshield.core.surfaces import CLEAN, Budget, Surface, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.testing.data import small_dataset
from recshield.training.draws import epoch_triplets
from recshield.training.loop import train
from recshield.training.objectives import ModelLoss

USER, ITEM = "factors.user", "factors.item"


@dataclass(frozen=True)
class TwoTablesConfig:
    """Settings of `two-tables`.

    Attributes:
        dims: width of both tables.
        std: standard deviation of the start values.
        batch: triplets per update.
        lr: Adagrad learning rate.
        epochs: passes over the training rows.
    """

    dims: int = 8
    std: float = 0.1
    batch: int = 64
    lr: float = 0.05
    epochs: int = 30


def _start(rows: int, settings: TwoTablesConfig, rng: Generator) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn((rows, settings.dims), generator=rng) * settings.std)


class TwoTables(Recommender):
    """Scores are inner products of user and item vectors, trained with BPR on the generic path.

    Source: Rendle et al. 2009, arXiv:1205.2618.
    """

    name = "two-tables"
    config_type = TwoTablesConfig
    exposes = (USER, ITEM)
    config: TwoTablesConfig

    def __init__(self, data: DataInfo, config: TwoTablesConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self.user = _start(data.n_users, config, child(rng, USER))
        self.item = _start(data.n_items, config, child(rng, ITEM))
        self.surfaces = (
            Surface(USER, (data.n_users, config.dims), Budget("l2", 0.5)),
            Surface(ITEM, (data.n_items, config.dims), Budget("l2", 0.5)),
        )

    def values(self, surface: str) -> Tensor:
        """Return the table of a surface."""
        if surface not in (USER, ITEM):
            return super().values(surface)
        return self.user if surface == USER else self.item

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_items) inner products."""
        vectors = view.read(self.surfaces[0], self.user[users], users)
        return vectors @ view.read(self.surfaces[1], self.item).T

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the BPR loss summed over the batch."""
        return torch.nn.functional.softplus(-self.margins(batch, view)).sum()

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score of the positive minus score of the negative item."""
        user, item = self.surfaces
        vectors = view.read(user, self.user[batch.users], batch.users)
        positive = view.read(item, self.item[batch.positives], batch.positives)
        negative = view.read(item, self.item[batch.negatives], batch.negatives)
        return (vectors * (positive - negative)).sum(dim=1)

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch."""
        return {USER: batch.users.unique(), ITEM: torch.cat([batch.positives, batch.negatives]).unique()}

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each."""
        drawn = epoch_triplets(data.train, rng.initial_seed(), 0)
        columns = [torch.from_numpy(part).long() for part in (drawn.users, drawn.positives, drawn.negatives)]
        for parts in zip(*(column.split(self.config.batch) for column in columns), strict=True):
            yield Batch(*parts)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adagrad on the generic path."""
        optimizer = torch.optim.Adagrad(self.parameters(), lr=self.config.lr, initial_accumulator_value=0.1)
        train(self, data, objective, optimizer, rng, self.config.epochs if epochs is None else epochs)


def untrained_tables(data: Dataset) -> TwoTables:
    """Return the reference model at its start values."""
    return TwoTables(data.info, TwoTablesConfig(), generator(0, "start"))


@functools.cache
def _trained_state() -> dict[str, Tensor]:
    data, _ = small_dataset()
    model = untrained_tables(data)
    model.fit(data, ModelLoss(), generator(0, "fit"))
    return model.state_dict()


def trained_tables() -> TwoTables:
    """Return the reference model trained on `small_dataset()`; a fresh copy each time, trained once per process."""
    data, _ = small_dataset()
    model = untrained_tables(data)
    model.load_state_dict(_trained_state())
    return model


def reference_system() -> System:
    """Return the trained reference model as a system, for attacks and defenses that name one."""
    model = trained_tables().eval()
    return System("two-tables", model.requires_grad_(False))
