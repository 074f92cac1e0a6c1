"""What models trained on triplets with BPR share: batches, the rows a batch reads, gathering, the loss of a margin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Recommender
from recshield.core.surfaces import Budget, Surface, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.training.draws import epoch_triplets
from recshield_factor.mf import ITEM, USER


def factor_surfaces(data: DataInfo, width: int) -> tuple[Surface, Surface]:
    """Return the surfaces of a user table and an item table, one norm per row."""
    budget = Budget("l2", 0.5)
    return Surface(USER, (data.n_users, width), budget), Surface(ITEM, (data.n_items, width), budget)


def triplet_batches(data: Dataset, rng: Generator, size: int) -> Iterator[Batch]:
    """Yield every training row once, in random order, with a fresh negative each."""
    triplets = epoch_triplets(data.train, rng.initial_seed(), 0)
    columns = [torch.from_numpy(part).long() for part in (triplets.users, triplets.positives, triplets.negatives)]
    for users, positives, negatives in zip(*(column.split(size) for column in columns), strict=True):
        yield Batch(users, positives, negatives)


def triplet_rows(batch: Batch) -> Mapping[str, Tensor]:
    """Return the users and items of the batch; an item that is positive and negative is one row."""
    return {USER: batch.users.unique(), ITEM: torch.cat([batch.positives, batch.negatives]).unique()}


def gather(table: Tensor, rows: Tensor) -> Tensor:
    """Return (len(rows), width) rows of a table; the gradient of a row that repeats is summed in a fixed order."""
    return torch.nn.functional.embedding(rows, table)


def read_triplets(model: Recommender, batch: Batch, view: View) -> tuple[Tensor, Tensor, Tensor]:
    """Return the user, positive and negative rows of a batch as the view shows them, (len(batch), width) each."""
    user, item = model.surfaces
    users, items = model.values(USER), model.values(ITEM)
    return (
        view.read(user, gather(users, batch.users), batch.users),
        view.read(item, gather(items, batch.positives), batch.positives),
        view.read(item, gather(items, batch.negatives), batch.negatives),
    )


def squares(model: Recommender, batch: Batch) -> Tensor:
    """Return the squared norms of the clean rows each triplet reads, summed."""
    return torch.stack([rows.square().sum() for rows in read_triplets(model, batch, View())]).sum()


def bpr(margins: Tensor) -> Tensor:
    """Return the sum of -ln sigmoid(margin) (Rendle et al. 2009, arXiv:1205.2618, BPR-Opt)."""
    return torch.nn.functional.softplus(-margins).sum()


def check_settings(model: str, config: object, least: Mapping[str, int], positive: tuple[str, ...], l2: float) -> None:
    """Raise BadValue unless whole numbers reach their least value, others are above 0 and `l2` is at least 0."""
    for name, low in least.items():
        if getattr(config, name) < low:
            raise BadValue(f"model '{model}': {name} is {getattr(config, name)}; it is at least {low}")
    for name in positive:
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) > 0):
            raise BadValue(f"model '{model}': {name} is {getattr(config, name)}; it is a finite number above 0")
    if not (math.isfinite(l2) and l2 >= 0):
        raise BadValue(f"model '{model}': l2 is {l2}; it is a finite number of at least 0")
