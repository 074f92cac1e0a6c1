"""VBPR as the AMR paper trains it: one vector per user, an item's own vector plus its projected features."""

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
from recshield.training.triplets import bpr, triplet_batches, truncated_normal
from recshield_visual import products
from recshield_visual.products import ITEM, USER
from recshield_visual.settings import VBPRAMRConfig


class VBPRAMR(Factored):
    """VBPR with one vector per user: scores are p_u . (q_i + E c_i), with c_i the features of the item's image.

    An item without a training row is no negative and has a zero id vector: its features alone speak for it.

    Source: Tang et al. 2019 (AMR), Eq. 4, 10 and sections 4.1.2 and 4.1.3.
    """

    name = "vbpr-amr"
    config_type = VBPRAMRConfig
    exposes = (IMAGES, FEATURES, USER, ITEM)
    pass_size = 2**17
    config: VBPRAMRConfig
    is_warm: Tensor

    def __init__(self, data: DataInfo, config: VBPRAMRConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self._visual = products.need_visual(self.name, data)
        width, dims, std = self._visual.features.shape[1], config.dims, config.std
        self.user = torch.nn.Parameter(truncated_normal(data.n_users, dims, std, child(rng, USER)))
        self.item = torch.nn.Parameter(truncated_normal(data.n_items, dims, std, child(rng, ITEM)))
        self.projection = torch.nn.Parameter(truncated_normal(dims, width, std, child(rng, "projection")))
        self.register_buffer("is_warm", torch.zeros((), dtype=torch.bool))
        self.surfaces = (
            *self._visual.surfaces(),
            products.factor_surface(USER, data.n_users, dims),
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
        """Return the tables and the projection, whose norms `rescaled` takes over."""
        return {USER: self.user, ITEM: self.item, "projection": self.projection}

    def user_vectors(self, users: Tensor | None, view: View) -> Tensor:
        """Return p_u."""
        return products.read_rows(view, self.surfaces[2], self.user, users)

    def item_vectors(self, items: Tensor | None, view: View) -> Tensor:
        """Return q_i + E c_i (Eq. 4; Eq. 5 under a view of features)."""
        features = products.read_rows(view, self.surfaces[1], self.visual.features, items)
        return products.read_rows(view, self.surfaces[3], self.item, items) + features @ self.projection.T

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
        slopes = {USER: lambda: to_users, ITEM: lambda: to_items, FEATURES: lambda: to_items @ self.projection.detach()}
        return value, {name: slopes[name]() for name in view.delta}

    def penalty(self, batch: Batch) -> Tensor:
        """Return l2 times the squared norms that each triplet reads (Eq. 10, and q_j)."""
        if self.config.l2 == 0:
            return super().penalty(batch)
        read = [(self.user, batch.users), (self.item, batch.positives), (self.item, batch.negatives)]
        return self.config.l2 * products.squares(read, [self.projection], len(batch))

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch, positive and negative alike."""
        return products.rows_read(batch)

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each that has a training row."""
        return triplet_batches(products.without_cold_negatives(data), rng, self.config.batch)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adagrad; the first fit starts from `warm` epochs of matrix factorisation."""
        if self.config.warm and not self.is_warm:
            user, item = products.warm_up(self.user, self.item, self.config, data, rng)
            with torch.no_grad():
                self.user.copy_(user)
                self.item.copy_(item)
            self.is_warm.fill_(True)
            rng = child(rng, "after", "warm")
        count = self.config.epochs if epochs is None else epochs
        products.fit_products(self, self.config, (self.projection,), (self.item,), data, objective, rng, count)

    def lower(self, view: View) -> View:
        """Return the view with images turned into features."""
        return lower_images(self.visual, self.surfaces[0], view)

    def categories(self, items: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_categories) class scores of the items' images as the view shows them."""
        return products.classes(self.visual, self.surfaces[0], items, view)
