"""Neighbourhood models: `itemknn`, `userknn`."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Recommender
from recshield_neighbours.models import ItemKNN, ItemKNNConfig, UserKNN, UserKNNConfig

__all__ = ["ItemKNN", "ItemKNNConfig", "UserKNN", "UserKNNConfig"]


@hookimpl
def recshield_recommenders() -> list[type[Recommender]]:
    """Return the models."""
    return [ItemKNN, UserKNN]
