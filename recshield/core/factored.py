"""Recommenders whose scores are inner products, which a ranking multiplies itself, on as many threads as it has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recshield.core.interfaces import Recommender
from recshield.core.surfaces import CLEAN, View


@dataclass(frozen=True)
class InnerProducts:
    """Scores of users for all items; both sides show what one view shows.

    Attributes:
        vectors: (B,) int64 users -> (B, d) their vectors.
        items: (n_items, d) vectors of the items.
    """

    vectors: Callable[[Tensor], Tensor]
    items: Tensor

    def __call__(self, users: Tensor) -> Tensor:
        """Return (B, n_items) scores."""
        return self.vectors(users) @ self.items.T


def inherits_score(model: Recommender, score: Callable[..., Tensor]) -> bool:
    """Return whether a model's `score` is that method of a base class: no subclass has its own, nor has the model."""
    return type(model).score is score and "score" not in vars(model)


class Factored(Recommender):
    """A recommender whose scores are inner products: it says `products` and inherits `score`.

    A subclass that has a `score` of its own is ranked by that, as any other recommender is.
    """

    @abstractmethod
    def products(self, view: View = CLEAN) -> InnerProducts:
        """Return the two sides of every score as the view shows them; the items' side is made once, here."""

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_items) inner products."""
        return self.products(view)(users)

    def scoring(self, view: View = CLEAN) -> Callable[[Tensor], Tensor]:
        """Return the inner products, unless `score` was overridden."""
        if not inherits_score(self, Factored.score):
            return super().scoring(view)
        with torch.no_grad():
            return self.products(view)
