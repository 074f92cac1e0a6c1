"""VBPR: a second vector per user for what images show, and biases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from recshield.core.factored import Factored, InnerProducts
from recshield.core.interfaces import Batch, Objective
from recshield.core.seeds import child
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.data.visual import FEATURES, IMAGES, Visual, lower_images
from recshield.training.triplets import bpr, gather, triplet_batches, truncated_normal
from recshield_visual import products
from recshield_visual.products import ITEM, USER
from recshield_visual.settings import VBPRConfig


class VBPR(Factored):
    """VBPR: scores are b_i + p_u . q_i + h_u . E c_i + b . c_i, with c_i the features of the item's image.

    Its surface `factors.user` holds p_u and h_u side by side. An item without a training row is no negative and has a
    zero id vector and a zero bias: its features alone speak for it.

    Source: He and McAuley 2016, arXiv:1510.01784, Eq. 4; Tang et al. 2019 (AMR), Eq. 2 and sections 4.1.2 and 4.1.3.
    """

    name = "vbpr"
    config_type = VBPRConfig
    exposes = (IMAGES, FEATURES, USER, ITEM)
    pass_size = 2**16
    config: VBPRConfig
    is_warm: Tensor

    def __init__(self, data: DataInfo, config: VBPRConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self._visual = products.need_visual(self.name, data)
        width, dims, std = self._visual.features.shape[1], config.dims, config.std
        seen = truncated_normal(data.n_users, dims, std, child(rng, USER, "visual"))
        self.user = torch.nn.Parameter(
            torch.cat([truncated_normal(data.n_users, dims, std, child(rng, USER)), seen], dim=1)
        )
        self.item = torch.nn.Parameter(truncated_normal(data.n_items, dims, std, child(rng, ITEM)))
        self.projection = torch.nn.Parameter(truncated_normal(dims, width, std, child(rng, "projection")))
        self.item_bias = torch.nn.Parameter(torch.zeros(data.n_items, 1))
        self.visual_bias = torch.nn.Parameter(torch.zeros(1, width))
        self.register_buffer("is_warm", torch.zeros((), dtype=torch.bool))
        self.surfaces = (
            *self._visual.surfaces(),
            products.factor_surface(USER, data.n_users, 2 * dims),
            products.factor_surface(ITEM, data.n_items, dims),
        )

    @property
    def visual(self) -> Visual:
        """Images, extractor and features, on the device of the weights."""
        if self._visual.features.device != self.user.device:
            self._visual = self._visual.to(self.user.device)
        return self._visual

    def values(self, surface: str) -> Tensor:
        """Return the table or the clean scaled features of a surface."""
        if surface == IMAGES:
            raise products.no_table_of_images(self.name)
        if surface == FEATURES:
            return self.visual.features
        return {USER: self.user, ITEM: self.item}[surface] if surface in (USER, ITEM) else super().values(surface)

    def blocks(self) -> Mapping[str, Tensor]:
        """Return the tables, the projection and the biases, whose norms `rescaled` takes over."""
        return {
            USER: self.user,
            ITEM: self.item,
            "projection": self.projection,
            "item_bias": self.item_bias,
            "visual_bias": self.visual_bias,
        }

    def user_vectors(self, users: Tensor | None, view: View) -> Tensor:
        """Return p_u, h_u and 1, which meets the biases."""
        both = products.read_rows(view, self.surfaces[2], self.user, users)
        return torch.cat([both, both.new_ones((len(both), 1))], dim=1)

    def item_vectors(self, items: Tensor | None, view: View) -> Tensor:
        """Return q_i, E c_i and b_i + b . c_i."""
        features = products.read_rows(view, self.surfaces[1], self.visual.features, items)
        own = products.read_rows(view, self.surfaces[3], self.item, items)
        bias = self.item_bias if items is None else gather(self.item_bias, items)
        seen = features @ torch.cat([self.projection, self.visual_bias]).T
        return torch.cat([own, seen[:, :-1], seen[:, -1:] + bias], dim=1)

    def products(self, view: View = CLEAN) -> InnerProducts:
        """Return the two sides of the scores."""
        return InnerProducts(lambda users: self.user_vectors(users, view), self.item_vectors(None, view))

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score differences."""
        return products.margins(self, self.data.n_items, batch, view)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the BPR loss summed over the batch (Eq. 3 without its regulariser)."""
        return bpr(self.margins(batch, view))

    def gradient(self, batch: Batch, view: View, loss: str) -> tuple[float, dict[str, Tensor]] | None:
        """Return the summed loss and its gradient, by way of those of user and item vectors."""
        found = products.vector_gradients(self, batch, view, loss)
        if found is None:
            return None
        value, to_users, to_items = found
        dims, weights = self.config.dims, torch.cat([self.projection, self.visual_bias]).detach()
        slopes = {
            USER: lambda: to_users[:, :-1],
            ITEM: lambda: to_items[:, :dims],
            FEATURES: lambda: to_items[:, dims:] @ weights,
        }
        return value, {name: slopes[name]() for name in view.delta}

    def penalty(self, batch: Batch) -> Tensor:
        """Return l2 times the squared norms that each triplet reads (Eq. 10, and q_j)."""
        if self.config.l2 == 0:
            return super().penalty(batch)
        items = [(table, rows) for table in (self.item, self.item_bias) for rows in (batch.positives, batch.negatives)]
        shared = [self.projection, self.visual_bias]
        return self.config.l2 * products.squares([(self.user, batch.users), *items], shared, len(batch))

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch, positive and negative alike."""
        return products.rows_read(batch)

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each that has a training row."""
        return triplet_batches(products.without_cold_negatives(data), rng, self.config.batch)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adagrad; the first fit starts from `warm` epochs of matrix factorisation."""
        if self.config.warm and not self.is_warm:
            dims = self.config.dims
            user, item = products.warm_up(self.user[:, :dims], self.item, self.config, data, rng)
            with torch.no_grad():
                self.user[:, :dims] = user
                self.item.copy_(item)
            self.is_warm.fill_(True)
            rng = child(rng, "after", "warm")
        count = self.config.epochs if epochs is None else epochs
        shared, own = (self.projection, self.visual_bias), (self.item, self.item_bias)
        products.fit_products(self, self.config, shared, own, data, objective, rng, count)

    def lower(self, view: View) -> View:
        """Return the view with images turned into features."""
        return lower_images(self.visual, self.surfaces[0], view)

    def categories(self, items: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_categories) class scores of the items' images as the view shows them."""
        return products.classes(self.visual, self.surfaces[0], items, view)
