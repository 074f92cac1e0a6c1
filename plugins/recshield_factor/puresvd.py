"""PureSVD: the truncated singular value decomposition of the 0/1 matrix of interactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.factored import Factored, InnerProducts
from recshield.core.interfaces import Batch, Objective
from recshield.core.seeds import child
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.training.loop import train
from recshield.training.objectives import ModelLoss
from recshield.training.triplets import bpr, check_settings, triplet_batches, truncated_normal
from recshield_factor.mf import ITEM, USER
from recshield_factor.triplets import factor_surfaces, read_triplets, triplet_rows

#: Standard deviation of the values before any fit; the closed form replaces them.
_START = 0.01


@dataclass(frozen=True)
class PureSVDConfig:
    """Settings of `puresvd`.

    Attributes:
        dims: singular vectors kept.
        batch: triplets per update where training goes on by gradient (under a defense).
        lr: Adagrad learning rate there.
        accumulator: start value of Adagrad's sums of squares there.
    """

    dims: int = 50
    batch: int = 512
    lr: float = 0.05
    accumulator: float = 0.1

    def __post_init__(self) -> None:
        check_settings("puresvd", self, {"dims": 1, "batch": 1}, ("lr", "accumulator"), 0.0)


class PureSVD(Factored):
    """PureSVD: scores are R Q Q', with Q the leading right singular vectors of the 0/1 matrix R of training rows.

    The tables are `factors.user` = R Q and `factors.item` = Q. Trained in closed form; a defense that goes on from the
    trained model (`continue`, `advreg`) goes on by BPR with Adagrad, and BPR is also the loss that attacks raise: the
    paper has neither.

    Source: Cremonesi et al. 2010 (doi:10.1145/1864708.1864721), section 3.4, Eq. 5 and 6; 50 factors as there.
    """

    name = "puresvd"
    config_type = PureSVDConfig
    exposes = (USER, ITEM)
    config: PureSVDConfig

    def __init__(self, data: DataInfo, config: PureSVDConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        self.user = torch.nn.Parameter(truncated_normal(data.n_users, config.dims, _START, child(rng, USER)))
        self.item = torch.nn.Parameter(truncated_normal(data.n_items, config.dims, _START, child(rng, ITEM)))
        self.surfaces = factor_surfaces(data, config.dims)

    def values(self, surface: str) -> Tensor:
        """Return the table of a surface."""
        if surface not in (USER, ITEM):
            return super().values(surface)
        return self.user if surface == USER else self.item

    def products(self, view: View = CLEAN) -> InnerProducts:
        """Return rows of the two tables (Eq. 6)."""
        return InnerProducts(
            lambda users: view.read(self.surfaces[0], self.user[users], users), view.read(self.surfaces[1], self.item)
        )

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score differences."""
        vectors, positive, negative = read_triplets(self, batch, view)
        return (vectors * (positive - negative)).sum(dim=1)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the BPR loss summed over the batch."""
        return bpr(self.margins(batch, view))

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch."""
        return triplet_rows(batch)

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each."""
        return triplet_batches(data, rng, self.config.batch)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Decompose where `epochs` is None; else go on from the present weights by BPR with Adagrad.

        Raises:
            BadValue: `epochs` is None and the objective is not the model's own loss.
        """
        if epochs is not None:
            settings = self.config
            optimizer = torch.optim.Adagrad(
                self.parameters(), lr=settings.lr, initial_accumulator_value=settings.accumulator
            )
            train(self, data, objective, optimizer, rng, epochs)
            return
        if not isinstance(objective, ModelLoss):
            raise BadValue(
                f"model 'puresvd' is fitted in closed form, which has no place for {type(objective).__name__}; use a "
                "defense that goes on from the trained model for a number of epochs, such as advreg"
            )
        offsets, items = data.train.members
        shape = (data.info.n_users, data.info.n_items)
        ratings = csr_array((np.ones(len(items)), items, offsets), shape=shape)
        vectors = right_vectors(ratings, self.config.dims, child(rng, "start vector"))
        with torch.no_grad():
            self.item.copy_(torch.from_numpy(vectors))
            self.user.copy_(torch.from_numpy(ratings @ vectors))


def right_vectors(ratings: Any, dims: int, rng: Generator) -> NDArray[np.float64]:
    """Return the leading right singular vectors, the largest singular value first.

    The entry of largest magnitude of each vector is positive (the first, where several are as large). Vectors whose
    singular value is zero up to rounding are arbitrary, and zero here.

    Args:
        ratings: (n_users, n_items) sparse matrix.
        dims: vectors to return; those beyond the smaller side are zero.
        rng: draws the start vector of the Lanczos iteration.

    Returns:
        (n_items, dims).
    """
    n_users, n_items = ratings.shape
    found = np.zeros((n_items, dims))
    if ratings.nnz == 0:
        return found
    smaller = min(n_users, n_items)
    if dims >= smaller:  # the dense matrix is no larger than the tables
        _, values, rows = np.linalg.svd(ratings.toarray(), full_matrices=False)
    else:
        start = torch.rand(smaller, generator=rng, dtype=torch.float64).numpy() + 0.5
        _, values, rows = svds(ratings, k=dims, v0=start, return_singular_vectors="vh", solver="arpack")
    order = np.argsort(-values, kind="stable")[:dims]
    order = order[values[order] > values.max() * max(n_users, n_items) * np.finfo(np.float64).eps]
    vectors = rows[order].T
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(order))]
    found[:, : len(order)] = vectors * np.sign(largest)
    return found
