"""The graph of users and items: normalised, propagated along, and how far a row's influence reaches."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor


@dataclass(frozen=True)
class Graph:
    """Edges between users and items, each weighted by 1 / sqrt(degree of the user * degree of the item).

    Attributes:
        to_users: (n_users, n_items) sparse CSR.
        to_items: its transpose, sparse CSR.
        n_layers: steps of propagation.
    """

    to_users: Tensor
    to_items: Tensor
    n_layers: int

    @classmethod
    def of_rows(
        cls, offsets: NDArray[np.int64], items: NDArray[np.int32], n_items: int, n_layers: int, device: torch.device
    ) -> Graph:
        """Return the graph of distinct rows, given as each user's offsets into `items`."""
        n_users = len(offsets) - 1
        degrees, popularity = np.diff(offsets), np.bincount(items, minlength=n_items)
        product = np.repeat(degrees, degrees).astype(np.float64) * popularity[items]
        held = csr_array(((1 / np.sqrt(product)).astype(np.float32), items, offsets), shape=(n_users, n_items))
        return cls(_tensor(held, device), _tensor(held.T.tocsr(), device), n_layers)

    def mean(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean over the layers of both tables, differentiable.

        Args:
            user: (n_users, width) layer 0.
            item: (n_items, width) layer 0.

        Source: He et al. 2020 (LightGCN), Eq. 3, 4 and 8 with alpha = 1 / (n_layers + 1).
        """
        made: tuple[Tensor, Tensor] = _Mean.apply(user, item, self)
        return made

    def _mean(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        users, items = user.clone(), item.clone()
        for _ in range(self.n_layers):
            user, item = self.to_users @ item, self.to_items @ user
            users += user
            items += item
        return users / (self.n_layers + 1), items / (self.n_layers + 1)

    def reach(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sorted users and items within `n_layers` steps of those given, they themselves included."""
        near_users = torch.zeros(self.to_users.shape[0], device=users.device)
        near_items = torch.zeros(self.to_users.shape[1], device=users.device)
        near_users[users], near_items[items] = 1.0, 1.0
        for _ in range(self.n_layers):
            users, items = self.to_users @ near_items, self.to_items @ near_users
            near_users, near_items = ((near_users + users) > 0).float(), ((near_items + items) > 0).float()
        return near_users.nonzero()[:, 0], near_items.nonzero()[:, 0]


class _Mean(torch.autograd.Function):
    """The mean over layers. The adjacency matrix is symmetric, so the gradient is propagated by the same map."""

    @staticmethod
    def forward(ctx: Any, user: Tensor, item: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        ctx.graph = graph
        return graph._mean(user, item)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        user, item = gradients
        return (*ctx.graph.mean(user, item), None)


def _tensor(held: Any, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            torch.from_numpy(held.indptr.astype(np.int64)),
            torch.from_numpy(held.indices.astype(np.int64)),
            torch.from_numpy(held.data),
            size=held.shape,
            device=device,
            check_invariants=True,  # the arrays may come from a file
        )
