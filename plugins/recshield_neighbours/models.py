"""Neighbourhood models on implicit feedback: sums of similarities of what stands near, nothing trained by gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Generator, Tensor

from recshield.core.errors import BadData, BadValue
from recshield.core.interfaces import Objective, Recommender
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset
from recshield_neighbours.similarity import SIMILARITIES, nearest, ones

_BUFFERS = ("neighbours", "similarities", "row_offsets", "row_items")


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of `itemknn`.

    Attributes:
        k: neighbours of each item.
        shrink: added to the similarity's denominator; takes more from similarities that rest on few users.
        similarity: `cosine` or `jaccard`.
    """

    k: int = 100
    shrink: float = 0.0
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        _check("itemknn", self.k, self.shrink, self.similarity)


@dataclass(frozen=True)
class UserKNNConfig:
    """Settings of `userknn`.

    Attributes:
        k: neighbours of each user.
        shrink: added to the similarity's denominator; takes more from similarities that rest on few items.
        similarity: `cosine` or `jaccard`.
    """

    k: int = 100
    shrink: float = 0.0
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        _check("userknn", self.k, self.shrink, self.similarity)


def _check(model: str, k: int, shrink: float, similarity: str) -> None:
    if k < 1:
        raise BadValue(f"model '{model}': k is {k}; it is at least 1")
    if not (math.isfinite(shrink) and shrink >= 0):
        raise BadValue(f"model '{model}': shrink is {shrink}; it is a finite number of at least 0")
    if similarity not in SIMILARITIES:
        raise BadValue(f"model '{model}': similarity '{similarity}' is not known; allowed: {', '.join(SIMILARITIES)}")


class _Matrices:
    """Sparse matrices made from the buffers of a model, made anew when a buffer was written to or replaced."""

    def __init__(self, is_transposed: bool = False) -> None:
        self._is_transposed = is_transposed
        self._key: tuple[tuple[Tensor, int], ...] = ()
        self._rows: Any = None
        self._weights: Any = None

    def of(self, model: Recommender) -> tuple[Any, Any]:
        """Return the training rows (n_users, n_items) and the similarities (n, n).

        Row i of the similarities holds the neighbours of i; column i where they are transposed.
        """
        held = [model.get_buffer(name) for name in _BUFFERS]
        key = tuple((one, one._version) for one in held)
        is_same = len(key) == len(self._key) and all(
            one is other and version == former for (one, version), (other, former) in zip(key, self._key, strict=True)
        )
        if not is_same:
            ids, values, offsets, items = (one.cpu().numpy() for one in held)
            self._rows = ones(offsets, items[: offsets[-1]], model.data.n_items)
            is_held = values > 0
            places = np.concatenate([[0], np.cumsum(is_held.sum(axis=1))])
            weights = csr_array((values[is_held], ids[is_held], places), shape=(len(ids), len(ids)))
            self._weights, self._key = weights.T.tocsr() if self._is_transposed else weights, key
        return self._rows, self._weights


def _register(model: Recommender, n_rows: int, k: int) -> None:
    """Give the model its state, of sizes that follow from the data's alone."""
    model.register_buffer("neighbours", torch.zeros((n_rows, k), dtype=torch.int32))
    model.register_buffer("similarities", torch.zeros((n_rows, k)))
    model.register_buffer("row_offsets", torch.zeros(model.data.n_users + 1, dtype=torch.int64))
    model.register_buffer("row_items", torch.zeros(model.data.n_interactions, dtype=torch.int32))


def _remember(model: Recommender, data: Dataset) -> Any:
    """Store the distinct training rows in the model and return them as a sparse matrix (users, items)."""
    offsets, items = data.train.members
    if len(items) > model.data.n_interactions:
        raise BadData(
            f"model '{model.name}' was built for {model.data.n_interactions} training rows and is fitted to "
            f"{len(items)}; build it from the info of the data that it is fitted to"
        )
    padded = np.zeros(model.data.n_interactions, np.int32)
    padded[: len(items)] = items
    model.get_buffer("row_offsets").copy_(torch.from_numpy(offsets))
    model.get_buffer("row_items").copy_(torch.from_numpy(padded))
    return ones(offsets, items, data.info.n_items, np.int32)


def _fit(model: Recommender, rows: Any) -> None:
    """Find the neighbours of each row and store them."""
    settings = model.config
    ids, values = nearest(rows, settings.k, settings.similarity, settings.shrink)
    model.get_buffer("neighbours").copy_(torch.from_numpy(ids))
    model.get_buffer("similarities").copy_(torch.from_numpy(values))


def _dense(scores: Any, users: Tensor) -> Tensor:
    return torch.from_numpy(scores.toarray().astype(np.float32, copy=False)).to(users.device)


class ItemKNN(Recommender):
    """Item neighbourhoods: an item scores the sum of its similarities to those of its neighbours that the user has.

    Ratings are 0/1 here, and the sum is not divided by the similarities of all neighbours, as is usual where items are
    ranked and no rating is predicted (Cremonesi et al. 2010, section 3.2). Scores are computed on the CPU.

    Source: Sarwar et al. 2001 (doi:10.1145/371920.372071), sections 3.1.1 and 3.2.1; Dacrema et al. 2019 for `shrink`.
    """

    name = "itemknn"
    config_type = ItemKNNConfig

    def __init__(self, data: DataInfo, config: ItemKNNConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        _register(self, data.n_items, config.k)
        self._matrices = _Matrices(is_transposed=True)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Find each item's neighbours among the items; nothing is drawn or minimised, whatever `epochs` says."""
        _fit(self, _remember(self, data).T.tocsr())

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_items) sums of similarities."""
        rows, weights = self._matrices.of(self)
        return _dense(rows[users.cpu().numpy()] @ weights, users)


class UserKNN(Recommender):
    """User neighbourhoods: an item scores the sum of the similarities of the user's neighbours who have it.

    Ratings are 0/1 here, and the sum is not divided by the similarities of all neighbours, which would leave a user's
    ranking as it is. Scores are computed on the CPU.

    Source: Breese et al. 1998, arXiv:1301.7363, section 2.1 (vector similarity); Dacrema et al. 2019 for `shrink`.
    """

    name = "userknn"
    config_type = UserKNNConfig

    def __init__(self, data: DataInfo, config: UserKNNConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        _register(self, data.n_users, config.k)
        self._matrices = _Matrices()

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Find each user's neighbours among the users; nothing is drawn or minimised, whatever `epochs` says."""
        _fit(self, _remember(self, data))

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_items) sums of similarities."""
        rows, weights = self._matrices.of(self)
        return _dense(weights[users.cpu().numpy()] @ rows, users)
