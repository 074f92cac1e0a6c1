"""Matrix factorisation with Bayesian personalised ranking."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.factored import Factored, InnerProducts
from recshield.core.interfaces import Batch, Objective
from recshield.core.seeds import child
from recshield.core.surfaces import CLEAN, Budget, Surface, View, covers
from recshield.data.interactions import DataInfo, Dataset
from recshield.training.draws import epoch_triplets
from recshield.training.gradients import Tables, triplet_gradient
from recshield.training.kernels import FactorTrainer
from recshield.training.loop import train
from recshield.training.objectives import Adversarial, ModelLoss
from recshield.training.progress import epoch_done
from recshield.training.triplets import truncated_normal

USER, ITEM = "factors.user", "factors.item"


@dataclass(frozen=True)
class MFConfig:
    """Settings of `mf`.

    Attributes:
        dims: width of both tables.
        std: standard deviation of the truncated normal (cut at two) that start values come from.
        batch: triplets per update.
        lr: Adagrad learning rate.
        accumulator: start value of Adagrad's sums of squares.
        l2: weight of the squared norms of the rows each triplet reads.
        dropout: share of the values of a vector that each read in training drops at random (the rest is scaled up).
        epochs: passes over the training rows.
        fused: use kernels of our own where they apply (native ones on the CPU, Triton's on a GPU); false = the generic
            autograd path.
    """

    dims: int = 64
    std: float = 0.01
    batch: int = 512
    lr: float = 0.05
    accumulator: float = 0.1
    l2: float = 0.0
    dropout: float = 0.0
    epochs: int = 300
    fused: bool = True

    def __post_init__(self) -> None:
        for name, least in (("dims", 1), ("batch", 1), ("epochs", 0)):
            if getattr(self, name) < least:
                raise BadValue(f"model 'mf': {name} is {getattr(self, name)}; it is at least {least}")
        for name in ("std", "lr", "accumulator"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise BadValue(f"model 'mf': {name} is {getattr(self, name)}; it is a finite number above 0")
        if not (math.isfinite(self.l2) and self.l2 >= 0):
            raise BadValue(f"model 'mf': l2 is {self.l2}; it is a finite number of at least 0")
        if not 0 <= self.dropout < 1:
            raise BadValue(f"model 'mf': dropout is {self.dropout}; it is at least 0 and below 1")


#: Of the fused trainers: batch, rate, accumulator, l2, eps of users and of items, weight, weight of the clean term.
Sizes = tuple[int, float, float, float, float | None, float | None, float, float]

#: Tables of more bytes are perturbed row by row where they are read, which takes longer and holds no copy.
_SUMMED_BYTES = 2**28


def _distinct(rows: Tensor, n_rows: int) -> Tensor:
    """Return each row once, ascending; marked where they are many, as sorting them takes longer."""
    if 8 * len(rows) < n_rows:
        found: Tensor = rows.unique()
        return found
    is_there = torch.zeros(n_rows, dtype=torch.bool, device=rows.device)
    is_there[rows] = True
    return is_there.nonzero()[:, 0]


def _nothing() -> None:
    """Write nothing: the result is where it should be."""


class MF(Factored):
    """Matrix factorisation with BPR: scores are inner products of user and item vectors.

    Source: Rendle et al. 2009 (BPR); He et al. 2018 (APR), Eq. 1 and 12 for the perturbed score.
    """

    name = "mf"
    config_type = MFConfig
    exposes = (USER, ITEM)
    config: MFConfig

    def __init__(self, data: DataInfo, config: MFConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self.user = torch.nn.Parameter(truncated_normal(data.n_users, config.dims, config.std, child(rng, USER)))
        self.item = torch.nn.Parameter(truncated_normal(data.n_items, config.dims, config.std, child(rng, ITEM)))
        self.surfaces = (
            Surface(USER, (data.n_users, config.dims), Budget("l2", 0.5)),
            Surface(ITEM, (data.n_items, config.dims), Budget("l2", 0.5)),
        )

    @property
    def pass_size(self) -> int:  # type: ignore[override]  # of the class in general, here of the tables
        """Triplets whose gradient is taken at once: the kernel adds it up in place, other passes make whole tables."""
        return 2**20 if self._has_kernel else max(2**18, 4 * (len(self.user) + len(self.item)))

    @property
    def _has_kernel(self) -> bool:
        return self.config.fused and self.user.device.type == "cpu"

    def values(self, surface: str) -> Tensor:
        """Return the table of a surface."""
        if surface not in (USER, ITEM):
            return super().values(surface)
        return self.user if surface == USER else self.item

    def products(self, view: View = CLEAN) -> InnerProducts:
        """Return rows of the two tables."""
        return InnerProducts(
            lambda users: view.read(self.surfaces[0], self.user[users], users), view.read(self.surfaces[1], self.item)
        )

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score differences (Eq. 12)."""
        user, item = self.surfaces
        vectors = view.read(user, self.user[batch.users], batch.users)
        positive = view.read(item, self.item[batch.positives], batch.positives)
        negative = view.read(item, self.item[batch.negatives], batch.negatives)
        if self.training and self.config.dropout:
            vectors, positive, negative = (
                torch.nn.functional.dropout(held, self.config.dropout) for held in (vectors, positive, negative)
            )
        return (vectors * (positive - negative)).sum(dim=1)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the BPR loss summed over the batch (Eq. 1 without its regulariser)."""
        return torch.nn.functional.softplus(-self.margins(batch, view)).sum()

    def gradient(self, batch: Batch, view: View, loss: str) -> tuple[float, dict[str, Tensor]] | None:
        """Return the summed loss and its gradient from the native kernel, on CPU."""
        found: dict[str, Tensor] = {}
        value = self.add_gradient(batch, view, loss, found, 1.0)
        return None if value is None else (value, found)

    def add_gradient(self, batch: Batch, view: View, loss: str, into: dict[str, Tensor], scale: float) -> float | None:
        """Add the gradient from the native kernel in place, on CPU; large perturbed tables are never made."""
        if not self._has_kernel or view.rows or view.filters:
            return None
        for name, held in view.delta.items():
            if name not in into:
                into[name] = torch.zeros_like(held)

        def both(tensors: Mapping[str, Tensor]) -> Tables:
            user, item = (tensors[name].detach().numpy() if name in tensors else None for name in (USER, ITEM))
            return user, item

        triplets = torch.stack([batch.users, batch.positives, batch.negatives]).numpy()
        clean = {USER: self.user, ITEM: self.item}
        if 4 * self.config.dims * (len(self.user) + len(self.item)) > _SUMMED_BYTES:
            return triplet_gradient(both(clean), triplets, loss or "bpr", both(into), scale, both(view.delta))
        perturbed = {one.name: view.read(one, clean[one.name]) for one in self.surfaces}
        return triplet_gradient(both(perturbed), triplets, loss or "bpr", both(into), scale)

    def penalty(self, batch: Batch) -> Tensor:
        """Return l2 times the squared norms of the rows each triplet reads."""
        if self.config.l2 == 0:
            return super().penalty(batch)
        read = (self.user[batch.users], self.item[batch.positives], self.item[batch.negatives])
        return self.config.l2 * torch.stack([rows.square().sum() for rows in read]).sum()

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch; an item that is positive and negative is one row."""
        items = torch.cat([batch.positives, batch.negatives])
        return {USER: _distinct(batch.users, len(self.user)), ITEM: _distinct(items, len(self.item))}

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each."""
        triplets = epoch_triplets(data.train, rng.initial_seed(), 0)
        columns = [torch.from_numpy(part).long() for part in (triplets.users, triplets.positives, triplets.negatives)]
        for users, positives, negatives in zip(*(column.split(self.config.batch) for column in columns), strict=True):
            yield Batch(users, positives, negatives)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adagrad; fused kernels where objective and device allow it, else the generic path."""
        count = self.config.epochs if epochs is None else epochs
        learn, write = self._learner(data, objective)
        if learn is None:
            settings = self.config
            optimizer = torch.optim.Adagrad(
                self.parameters(), lr=settings.lr, initial_accumulator_value=settings.accumulator
            )
            train(self, data, objective, optimizer, rng, count)
            return
        for epoch in range(count):
            own = child(rng, "epoch", epoch)
            learn(own, objective.share(epoch) if isinstance(objective, Adversarial) else 1.0)
            if not epoch_done(self, epoch + 1, count, write):
                break
        write()

    def _learner(
        self, data: Dataset, objective: Objective
    ) -> tuple[Callable[[Generator, float], None] | None, Callable[[], None]]:
        """Return what trains for an epoch, given its generator and its share of eps, and what writes down the result.

        None where no fused kernel does this objective here.
        """
        device, sizes = self.user.device, self._sizes(objective)
        added = objective if isinstance(objective, Adversarial) else None
        is_random, dropout = bool(added and added.is_random), self.config.dropout
        if sizes is None:
            return None, _nothing
        if self._has_kernel:
            trainer = FactorTrainer(
                self.user.detach().numpy(), self.item.detach().numpy(), *sizes, is_random=is_random, drop=dropout
            )

            def learn(own: Generator, share: float) -> None:
                drawn = epoch_triplets(data.train, own.initial_seed(), 0)
                trainer.epoch(drawn, share, child(own, "noise").initial_seed())

            return learn, trainer.write
        from recshield.training.on_device import DeviceTrainer, Sampler, fits  # of no use without a device

        if is_random or dropout or not len(data.train) or not fits(device):
            return None, _nothing
        sampler = Sampler(data.train, device)
        there = DeviceTrainer(self.user.detach(), self.item.detach(), len(data.train), *sizes)
        return lambda own, share: there.epoch(sampler.epoch(own.initial_seed()), share), _nothing

    def _sizes(self, objective: Objective) -> Sizes | None:
        """Return the settings of the fused trainers for BPR and BPR + one-step or random l2 term, else None."""
        settings = self.config
        added: Adversarial | None = None
        match objective:
            case ModelLoss():
                pass
            case Adversarial(base=ModelLoss(), budget=Budget(norm="l2"), steps=1) if not settings.dropout:
                added = objective
            case _:
                return None
        eps = {name: added.budget.eps if added and covers(added.target, name) else None for name in (USER, ITEM)}
        if not settings.fused or (added and added.weight and not any(eps.values())):
            return None
        weight, clean = added.weight if added else 0.0, 0.0 if added and added.is_alone else 1.0
        own = (settings.batch, settings.lr, settings.accumulator, settings.l2)
        return (*own, eps[USER], eps[ITEM], weight, clean)
