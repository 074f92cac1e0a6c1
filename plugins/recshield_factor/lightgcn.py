"""LightGCN: factors propagated along the graph of users and items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from recshield.core.errors import BadData
from recshield.core.factored import Factored, InnerProducts
from recshield.core.interfaces import Batch, Objective
from recshield.core.seeds import child
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.training.loop import train
from recshield.training.triplets import bpr, check_settings, gather, triplet_batches
from recshield_factor.graph import Graph
from recshield_factor.mf import ITEM, USER
from recshield_factor.triplets import factor_surfaces, squares

Tables = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LightGCNConfig:
    """Settings of `lightgcn`.

    Attributes:
        dims: width of both tables.
        layers: steps of propagation.
        std: standard deviation of the normal that start values come from.
        batch: triplets per update; each update propagates through the whole graph.
        lr: Adam learning rate.
        l2: weight of half the squared norms of the rows of layer 0 of each triplet.
        epochs: passes over the training rows.
    """

    dims: int = 64
    layers: int = 3
    std: float = 0.1
    batch: int = 2048
    lr: float = 0.001
    l2: float = 1e-4
    epochs: int = 300

    def __post_init__(self) -> None:
        least = {"dims": 1, "layers": 1, "batch": 1, "epochs": 0}
        check_settings("lightgcn", self, least, ("std", "lr"), self.l2)


class LightGCN(Factored):
    """LightGCN: scores are inner products of tables averaged over three steps of propagation along the training rows.

    The surfaces are the tables before propagation (layer 0), the model's only parameters, so a perturbed row moves all
    that lie within `layers` steps of it. Trained with BPR and Adam; a row that stands twice is one edge; the penalty is
    half the squared norms, as in the published code. The paper goes on to 1,000 epochs with early stopping.

    Source: He et al. 2020, arXiv:2002.02126, Eq. 3 to 8 and 15; section 4.1.2 for the settings.
    """

    name = "lightgcn"
    pass_size = 2**18  # a pass propagates through the whole graph, however few triplets it has
    config_type = LightGCNConfig
    exposes = (USER, ITEM)
    config: LightGCNConfig
    row_offsets: Tensor
    row_items: Tensor

    def __init__(self, data: DataInfo, config: LightGCNConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        for name, n_rows in (("user", data.n_users), ("item", data.n_items)):
            drawn = torch.randn((n_rows, config.dims), generator=child(rng, f"factors.{name}")) * config.std
            self.register_parameter(name, torch.nn.Parameter(drawn))
        self.register_buffer("row_offsets", torch.zeros(data.n_users + 1, dtype=torch.int64))
        self.register_buffer("row_items", torch.zeros(data.n_interactions, dtype=torch.int32))
        self.surfaces = factor_surfaces(data, config.dims)
        self._graph: tuple[tuple[Tensor, int], tuple[Tensor, int], Graph] | None = None
        self._served: tuple[Graph, Tables, Tables] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over: not what is derived from parameters and buffers."""
        return self.__dict__ | {"_graph": None, "_served": None}

    def values(self, surface: str) -> Tensor:
        """Return the table of a surface (layer 0)."""
        if surface not in (USER, ITEM):
            return super().values(surface)
        return self.get_parameter("user" if surface == USER else "item")

    @property
    def graph(self) -> Graph:
        """The graph of the rows that the model was fitted to, made anew when the buffers were written or replaced."""
        offsets, items = self.row_offsets, self.row_items
        if self._graph is not None:
            *held, graph = self._graph
            pairs = zip(held, (offsets, items), strict=True)
            if all(one is now and version == now._version for (one, version), now in pairs):
                return graph
        host = offsets.cpu().numpy(), items.cpu().numpy()
        graph = Graph.of_rows(
            host[0], host[1][: host[0][-1]], self.data.n_items, self.config.layers, self.row_items.device
        )
        self._graph = ((offsets, offsets._version), (items, items._version), graph)
        return graph

    def _layer_0(self, view: View) -> Tables:
        user, item = self.surfaces
        return view.read(user, self.values(USER)), view.read(item, self.values(ITEM))

    def _propagated(self, view: View) -> Tables:
        """Return both tables after propagation, for scores.

        Scores are asked for in chunks of users. Where no gradient is asked for, the tables of the last call are used
        again if layer 0, as the view shows it, still holds the same values: the comparison is by value, so that no
        perturbation and no changed weight can be missed, and it costs a small part of the propagation (gowalla: 3 of
        155 ms).
        """
        graph, tables = self.graph, self._layer_0(view)
        if torch.is_grad_enabled():
            return graph.mean(*tables)
        if self._served is not None:
            known, before, after = self._served
            if known is graph and all(torch.equal(one, now) for one, now in zip(before, tables, strict=True)):
                return after
        after = graph.mean(*tables)
        self._served = (graph, (tables[0].clone(), tables[1].clone()), after)
        return after

    def products(self, view: View = CLEAN) -> InnerProducts:
        """Return rows of the propagated tables (Eq. 5)."""
        user, item = self._propagated(view)
        return InnerProducts(lambda users: user[users], item)

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score differences."""
        user, item = self.graph.mean(*self._layer_0(view))
        difference = gather(item, batch.positives) - gather(item, batch.negatives)
        return (gather(user, batch.users) * difference).sum(dim=1)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the BPR loss summed over the batch (Eq. 15 without its regulariser)."""
        return bpr(self.margins(batch, view))

    def penalty(self, batch: Batch) -> Tensor:
        """Return l2 / 2 times the squared norms of the rows of layer 0 of each triplet."""
        return self.config.l2 / 2 * squares(self, batch) if self.config.l2 else super().penalty(batch)

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return every row within `layers` steps of the batch: all that its loss reads, in most data nearly all."""
        users, items = self.graph.reach(batch.users, torch.cat([batch.positives, batch.negatives]))
        return {USER: users, ITEM: items}

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each."""
        return triplet_batches(data, rng, self.config.batch)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Store the graph of the training rows, then train with Adam."""
        self._remember(data)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr, fused=True)
        train(self, data, objective, optimizer, rng, self.config.epochs if epochs is None else epochs)

    def _remember(self, data: Dataset) -> None:
        offsets, items = data.train.members
        if len(items) > len(self.row_items):
            raise BadData(
                f"model 'lightgcn' was built for {len(self.row_items)} training rows and is fitted to {len(items)}; "
                "build it from the info of the data that it is fitted to"
            )
        padded = np.zeros(len(self.row_items), np.int32)
        padded[: len(items)] = items
        self.row_offsets.copy_(torch.from_numpy(offsets))
        self.row_items.copy_(torch.from_numpy(padded))
        self._served = None
