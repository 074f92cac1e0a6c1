"""A model behind a filter of its images: the filter is part of every view that is lowered, all else is the model's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.factored import inherits_score
from recshield.core.interfaces import Batch, Objective, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import Dataset
from recshield.data.visual import IMAGES

Filter = Callable[[Tensor], Tensor]


class Filtered(Recommender):
    """Adds its filter to the images of a view, behind those that are there, and delegates everything to the model.

    Scores and losses read features: without `lower`, which makes them of filtered images, they are the model's own.
    """

    def __init__(self, model: Recommender, defense: str, apply: Filter) -> None:
        """Wrap a model.

        Args:
            model: with a surface of images.
            defense: its name, for the error.
            apply: from (B, 3, height, width) pixels to pixels.

        Raises:
            BadValue: the model reads no images.
        """
        if all(one.name != IMAGES for one in model.surfaces):
            raise BadValue(
                f"defense '{defense}' filters images, and model '{model.name}' reads none; choose a model with the "
                f"surface '{IMAGES}'"
            )
        super().__init__(model.data, model.config, generator(0))  # nothing is drawn
        self.model, self.apply_filter = model, apply
        self.surfaces = model.surfaces
        self.eval()

    # What is a class attribute of others is the wrapped model's here: a property in place of an attribute is what mypy
    # calls an incompatible override.
    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the model."""
        return self.model.name

    @property
    def exposes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Surfaces of the model."""
        return self.model.exposes

    @property
    def pass_size(self) -> int:  # type: ignore[override]
        """Triplets per pass, those of the model."""
        return self.model.pass_size

    def _filtered(self, view: View) -> View:
        mine = (*view.filters.get(IMAGES, ()), self.apply_filter)
        return dataclasses.replace(view, filters={**view.filters, IMAGES: mine})

    def lower(self, view: View) -> View:
        """Return the view with filtered images turned into features; a clean view is filtered, too."""
        return self.model.lower(self._filtered(view))

    def categories(self, items: Tensor, view: View = CLEAN) -> Tensor:
        """Return class scores of filtered images."""
        return self.model.categories(items, self._filtered(view))

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train the model."""
        self.model.fit(data, objective, rng, epochs)

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return the model's scores for a lowered view."""
        return self.model.score(users, view)

    def scoring(self, view: View = CLEAN) -> Callable[[Tensor], Tensor]:
        """Return the model's scores for a lowered view, unless `score` was overridden."""
        return self.model.scoring(view) if inherits_score(self, Filtered.score) else super().scoring(view)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the model's loss for a lowered view."""
        return self.model.loss(batch, view)

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the model's margins for a lowered view."""
        return self.model.margins(batch, view)

    def gradient(self, batch: Batch, view: View, loss: str) -> tuple[float, dict[str, Tensor]] | None:
        """Return the model's gradient for a lowered view."""
        return self.model.gradient(batch, view, loss)

    def penalty(self, batch: Batch) -> Tensor:
        """Return the model's penalty."""
        return self.model.penalty(batch)

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield the model's batches."""
        return self.model.batches(data, rng)

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the rows that the model reads."""
        return self.model.rows(batch)

    def values(self, surface: str) -> Tensor:
        """Return the model's clean values."""
        return self.model.values(surface)

    def blocks(self) -> Mapping[str, Tensor]:
        """Return the model's blocks."""
        return self.model.blocks()
