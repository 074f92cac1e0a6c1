"""What factor models trained on triplets with BPR share: their surfaces, and the rows that a batch reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recshield.core.interfaces import Batch, Recommender
from recshield.core.surfaces import Budget, Surface, View
from recshield.data.interactions import DataInfo
from recshield.training.triplets import gather
from recshield_factor.mf import ITEM, USER


def factor_surfaces(data: DataInfo, width: int) -> tuple[Surface, Surface]:
    """Return the surfaces of a user table and an item table, one norm per row."""
    budget = Budget("l2", 0.5)
    return Surface(USER, (data.n_users, width), budget), Surface(ITEM, (data.n_items, width), budget)


def triplet_rows(batch: Batch) -> Mapping[str, Tensor]:
    """Return the users and items of the batch; an item that is positive and negative is one row."""
    return {USER: batch.users.unique(), ITEM: torch.cat([batch.positives, batch.negatives]).unique()}


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
