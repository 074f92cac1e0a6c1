"""What the visual models share: scores are inner products of user vectors and item vectors that read features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Objective, Recommender
from recshield.core.seeds import child
from recshield.core.settings import IMAGE_CHUNK
from recshield.core.surfaces import Budget, Surface, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.data.visual import FEATURES, IMAGES, Visual
from recshield.training.draws import epoch_triplets
from recshield.training.gradients import triplet_gradient
from recshield.training.kernels import FactorTrainer
from recshield.training.loop import train
from recshield.training.triplets import gather
from recshield_visual.settings import VBPRConfig

USER, ITEM = "factors.user", "factors.item"


class Products(Protocol):
    """The two sides of a score; `None` = all rows in order."""

    def user_vectors(self, users: Tensor | None, view: View) -> Tensor:
        """Return (len(users), width) vectors as the view shows them."""

    def item_vectors(self, items: Tensor | None, view: View) -> Tensor:
        """Return (len(items), width) vectors as the view shows them."""


def need_visual(model: str, data: DataInfo) -> Visual:
    """Return images, extractor and features, or raise BadValue where the data set has no images."""
    if data.visual is None:
        raise BadValue(
            f"model '{model}' reads the images of items, and '{data.name}' has none; choose a data set with images, or "
            "a model without"
        )
    return data.visual


def factor_surface(name: str, rows: int, width: int) -> Surface:
    """Return the surface of a table, one norm per row."""
    return Surface(name, (rows, width), Budget("l2", 0.5))


def no_table_of_images(model: str) -> BadValue:
    """Return the error that says where images are."""
    return BadValue(f"model '{model}' holds no table of '{IMAGES}'; read them in chunks from data.visual.images")


def read_rows(view: View, surface: Surface, table: Tensor, rows: Tensor | None) -> Tensor:
    """Return rows of a surface as the view shows them; None = all.

    Raises:
        BadValue: the view still holds images, which scores and losses would not see.
    """
    if IMAGES in view.delta or IMAGES in view.filters:
        raise BadValue("scores and losses read features; pass the view through the model's lower() first")
    return view.read(surface, table if rows is None else gather(table, rows), rows)


def margins(model: Products, n_items: int, batch: Batch, view: View) -> Tensor:
    """Return (B,) scores of the positives minus those of the negatives.

    Where a batch reads more items than there are, each item's vector is computed once.
    """
    if 2 * len(batch) > n_items:
        items = model.item_vectors(None, view)
        difference = gather(items, batch.positives) - gather(items, batch.negatives)
    else:
        both = model.item_vectors(torch.cat([batch.positives, batch.negatives]), view)
        difference = both[: len(batch)] - both[len(batch) :]
    return (model.user_vectors(batch.users, view) * difference).sum(dim=1)


def rows_read(batch: Batch) -> Mapping[str, Tensor]:
    """Return the users of the batch, and its items, positive or negative, as rows of every surface of items."""
    items = torch.cat([batch.positives, batch.negatives]).unique()
    return {IMAGES: items, FEATURES: items, USER: batch.users.unique(), ITEM: items}


def vector_gradients(model: Products, batch: Batch, view: View, loss: str) -> tuple[float, Tensor, Tensor] | None:
    """Return the summed loss and its gradient with respect to user vectors and item vectors, from the native kernel.

    None where it does not apply: on a device, or for a view that covers some rows or filters.
    """
    if batch.users.device.type != "cpu" or view.rows or view.filters:
        return None
    with torch.no_grad():
        sides = [held.contiguous().numpy() for held in (model.user_vectors(None, view), model.item_vectors(None, view))]
    triplets = torch.stack([batch.users, batch.positives, batch.negatives]).numpy()
    to_users, to_items = np.zeros_like(sides[0]), np.zeros_like(sides[1])
    value = triplet_gradient((sides[0], sides[1]), triplets, loss or "bpr", (to_users, to_items))
    return value, torch.from_numpy(to_users), torch.from_numpy(to_items)


def squares(read: Sequence[tuple[Tensor, Tensor]], shared: Sequence[Tensor], n: int) -> Tensor:
    """Return the squared norms of the (table, rows) that n triplets read, and n times those of shared weights."""
    parts = [gather(table, rows).square().sum() for table, rows in read]
    return torch.stack([*parts, *(n * held.square().sum() for held in shared)]).sum()


def cold_items(data: Dataset) -> Tensor:
    """Return the items without a training row."""
    return torch.from_numpy(np.flatnonzero(data.train.popularity() == 0))


def without_cold_negatives(data: Dataset) -> Dataset:
    """Return the data with negatives drawn from items that have a training row (AMR, section 4.1.2)."""
    if data.train.negatives is not None or len(cold_items(data)) == 0:
        return data
    warm = np.flatnonzero(data.train.popularity() > 0).astype(np.int32)
    return dataclasses.replace(data, train=dataclasses.replace(data.train, negatives=warm))


def warm_up(user: Tensor, item: Tensor, config: VBPRConfig, data: Dataset, rng: Generator) -> tuple[Tensor, Tensor]:
    """Return the tables after `config.warm` epochs of matrix factorisation; the draws are those of `mf`.

    Args:
        user: (n_users, dims) start values.
        item: (n_items, dims) start values.
        config: rates, batch and regulariser.
        data: training rows.
        rng: that `fit` was given.
    """
    tables = [held.detach().cpu().contiguous().clone() for held in (user, item)]
    settings = (config.batch, config.lr, config.accumulator, config.l2)
    trainer = FactorTrainer(tables[0].numpy(), tables[1].numpy(), *settings)
    for epoch in range(config.warm):
        trainer.epoch(epoch_triplets(data.train, child(rng, "epoch", epoch).initial_seed(), 0))
    trainer.write()
    return tables[0].to(user.device), tables[1].to(item.device)


def fit_products(
    model: Recommender,
    config: VBPRConfig,
    visual: tuple[torch.nn.Parameter, ...],
    by_item: tuple[torch.nn.Parameter, ...],
    data: Dataset,
    objective: Objective,
    rng: Generator,
    epochs: int,
) -> None:
    """Train with Adagrad on the generic path; an item without a training row has zeros for its own and is not drawn.

    Args:
        model: trained in place.
        config: rates.
        visual: what is multiplied with features; it has a rate of its own.
        by_item: tables with one row per item.
        data: training rows.
        objective: what is minimised.
        rng: of the epochs.
        epochs: how many.
    """
    cold = cold_items(data).to(visual[0].device)
    with torch.no_grad():
        for table in by_item:
            table[cold] = 0.0
    tables = [held for held in model.parameters() if not any(held is one for one in visual)]
    groups = [{"params": tables, "lr": config.lr}, {"params": list(visual), "lr": config.lr_visual}]
    optimizer = torch.optim.Adagrad(groups, initial_accumulator_value=config.accumulator, fused=True)
    train(model, without_cold_negatives(data), objective, optimizer, rng, epochs)


def classes(visual: Visual, surface: Surface, items: Tensor, view: View) -> Tensor:
    """Return (B, n_categories) class scores of items' images as the view shows them, in chunks."""
    parts = items.split(IMAGE_CHUNK)
    return torch.cat([visual.extractor.classes(view.read(surface, visual.images.read(one), one)) for one in parts])
