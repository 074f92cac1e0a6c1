"""DUIF: users meet the projected features of images, and nothing else of an item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from recshield.core.factored import Factored, InnerProducts
from recshield.core.interfaces import Batch, Objective
from recshield.core.seeds import child, generator
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.data.visual import FEATURES, IMAGES, Visual, lower_images
from recshield.training.triplets import bpr, triplet_batches, truncated_normal
from recshield_visual import products
from recshield_visual.products import ITEM, USER
from recshield_visual.settings import DUIFConfig


class DUIF(Factored):
    """Features alone: scores are p_u . E c_i, with c_i the features of the item's image.

    With `warm`, users start from the vectors of matrix factorisation (AMR, section 4.1.3).

    Source: Geng et al. 2015 (DUIF); Tang et al. 2019 (AMR), section 2.1 and 4.1.3, for BPR as its loss.
    """

    name = "duif"
    config_type = DUIFConfig
    exposes = (IMAGES, FEATURES, USER)
    pass_size = 2**17
    config: DUIFConfig
    is_warm: Tensor

    def __init__(self, data: DataInfo, config: DUIFConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self._visual = products.need_visual(self.name, data)
        width, dims, std = self._visual.features.shape[1], config.dims, config.std
        self.user = torch.nn.Parameter(truncated_normal(data.n_users, dims, std, child(rng, USER)))
        self._start = rng.initial_seed()
        self.projection = torch.nn.Parameter(truncated_normal(dims, width, std, child(rng, "projection")))
        self.register_buffer("is_warm", torch.zeros((), dtype=torch.bool))
        self.surfaces = (*self._visual.surfaces(), products.factor_surface(USER, data.n_users, dims))

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
        return self.user if surface == USER else super().values(surface)

    def blocks(self) -> Mapping[str, Tensor]:
        """Return the table and the projection, whose norms `rescaled` takes over."""
        return {USER: self.user, "projection": self.projection}

    def user_vectors(self, users: Tensor | None, view: View) -> Tensor:
        """Return p_u."""
        return products.read_rows(view, self.surfaces[2], self.user, users)

    def item_vectors(self, items: Tensor | None, view: View) -> Tensor:
        """Return E c_i."""
        return products.read_rows(view, self.surfaces[1], self.visual.features, items) @ self.projection.T

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
        slopes = {USER: lambda: to_users, FEATURES: lambda: to_items @ self.projection.detach()}
        return value, {name: slopes[name]() for name in view.delta}

    def penalty(self, batch: Batch) -> Tensor:
        """Return l2 times the squared norms that each triplet reads (Eq. 10)."""
        if self.config.l2 == 0:
            return super().penalty(batch)
        return self.config.l2 * products.squares([(self.user, batch.users)], [self.projection], len(batch))

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch, positive and negative alike."""
        return {name: held for name, held in products.rows_read(batch).items() if name in self.exposes}

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each that has a training row."""
        return triplet_batches(products.without_cold_negatives(data), rng, self.config.batch)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adagrad; the first fit starts from `warm` epochs of matrix factorisation."""
        if self.config.warm and not self.is_warm:
            settings, start = self.config, generator(self._start, ITEM)
            item = truncated_normal(self.data.n_items, settings.dims, settings.std, start)
            user, _ = products.warm_up(self.user, item, settings, data, rng)
            with torch.no_grad():
                self.user.copy_(user)
            self.is_warm.fill_(True)
            rng = child(rng, "after", "warm")
        count = self.config.epochs if epochs is None else epochs
        products.fit_products(self, self.config, (self.projection,), (), data, objective, rng, count)

    def lower(self, view: View) -> View:
        """Return the view with images turned into features."""
        return lower_images(self.visual, self.surfaces[0], view)

    def categories(self, items: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_categories) class scores of the items' images as the view shows them."""
        return products.classes(self.visual, self.surfaces[0], items, view)
