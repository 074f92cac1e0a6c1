"""The model `cml`: collaborative metric learning, users and items as points in a ball."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core import CLEAN, BadValue, Batch, Budget, Objective, Recommender, Surface, View, hookimpl
from recshield.core.seeds import child
from recshield.data import DataInfo, Dataset
from recshield.training.draws import epoch_triplets
from recshield.training.loop import train

USER, ITEM = "factors.user", "factors.item"


@dataclass(frozen=True)
class Config:
    """Options of `cml`.

    Attributes:
        dims: width of both tables.
        margin: by which a user's item is to be nearer than another one, in squared distance.
        batch: triplets per update.
        lr: learning rate of Adagrad.
        epochs: passes over the training rows.
    """

    dims: int = 32
    margin: float = 0.5
    batch: int = 512
    lr: float = 0.1
    epochs: int = 50

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise BadValue(f"model 'cml': margin is {self.margin}; it is above 0")


class CML(Recommender):
    """Scores are minus the squared distance of user and item, two points of the unit ball.

    A softplus of the margin stands in for the published hinge, whose gradient is zero for every triplet that the model
    has learned; without weights by rank, and without the covariance term.

    Source: Hsieh et al. 2017 (CML), doi:10.1145/3038912.3052639, Eq. 2 and 6.
    """

    name = "cml"
    config_type = Config
    exposes = (USER, ITEM)
    config: Config

    def __init__(self, data: DataInfo, config: Config, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self.user = self._table(data.n_users, child(rng, USER))
        self.item = self._table(data.n_items, child(rng, ITEM))
        self.surfaces = (
            Surface(USER, (data.n_users, config.dims), Budget("l2", 0.2)),
            Surface(ITEM, (data.n_items, config.dims), Budget("l2", 0.2)),
        )

    def _table(self, rows: int, rng: Generator) -> torch.nn.Parameter:
        drawn = torch.randn((rows, self.config.dims), generator=rng)
        return torch.nn.Parameter(0.5 * drawn / self.config.dims**0.5)

    def values(self, surface: str) -> Tensor:
        """Return the table of a surface."""
        tables = {USER: self.user, ITEM: self.item}
        return tables[surface] if surface in tables else super().values(surface)

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (len(users), n_items) scores, without a tensor of users x items x dims."""
        of_users, of_items = self.surfaces
        points = view.read(of_users, self.user[users], users)
        items = view.read(of_items, self.item)
        return 2 * points @ items.T - points.square().sum(dim=1)[:, None] - items.square().sum(dim=1)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the softened hinge summed over the batch."""
        return torch.nn.functional.softplus(self.config.margin - self.margins(batch, view)).sum()

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (len(batch),) squared distance to the negative minus that to the positive item."""
        of_users, of_items = self.surfaces
        points = view.read(of_users, self.user[batch.users], batch.users)
        near = view.read(of_items, self.item[batch.positives], batch.positives)
        far = view.read(of_items, self.item[batch.negatives], batch.negatives)
        return (points - far).square().sum(dim=1) - (points - near).square().sum(dim=1)

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch."""
        return {USER: batch.users.unique(), ITEM: torch.cat([batch.positives, batch.negatives]).unique()}

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each."""
        drawn = epoch_triplets(data.train, rng.initial_seed(), 0)
        columns = [torch.from_numpy(part).long() for part in (drawn.users, drawn.positives, drawn.negatives)]
        for parts in zip(*(column.split(self.config.batch) for column in columns), strict=True):
            self._into_the_ball()
            yield Batch(*parts)

    @torch.no_grad()
    def _into_the_ball(self) -> None:
        """Put points that have left the unit ball back onto it (section 3.3)."""
        for table in (self.user, self.item):
            table.div_(table.norm(dim=1, keepdim=True).clamp(min=1))

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adagrad; recshield's loop knows every objective that a defense can ask for."""
        optimizer = torch.optim.Adagrad(self.parameters(), lr=self.config.lr, initial_accumulator_value=0.1)
        count = self.config.epochs if epochs is None else epochs
        train(self, data, objective, optimizer, rng, count)
        if count:
            self._into_the_ball()


@hookimpl
def recshield_recommenders() -> list[type[Recommender]]:
    """Return the model."""
    return [CML]
