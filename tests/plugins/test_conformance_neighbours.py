"""The models of `recshield_neighbours` run the conformance kit."""

from __future__ import annotations

from recshield.testing import RecommenderTests
from recshield_neighbours import ItemKNN, ItemKNNConfig, UserKNN, UserKNNConfig


class TestItemKNN(RecommenderTests):
    recommender = ItemKNN


class TestItemKNNWithFewNeighbours(RecommenderTests):
    recommender = ItemKNN
    config = ItemKNNConfig(k=3, shrink=10.0, similarity="jaccard")


class TestUserKNN(RecommenderTests):
    recommender = UserKNN


class TestUserKNNWithFewNeighbours(RecommenderTests):
    recommender = UserKNN
    config = UserKNNConfig(k=3, shrink=10.0, similarity="jaccard")
