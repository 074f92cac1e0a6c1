"""What sequence models share: histories, surfaces, losses and scores; a model adds how it encodes a history."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import embedding, softplus

from recshield.core.errors import BadData, BadValue
from recshield.core.factored import Factored, InnerProducts
from recshield.core.interfaces import Batch, Objective
from recshield.core.seeds import child
from recshield.core.settings import TOP_ITEMS
from recshield.core.surfaces import CLEAN, Budget, Surface, View
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.evaluation.ranking import first_items
from recshield.training.loop import train
from recshield_sequence.batches import ListBatch, SequenceBatch, goal_histories, ranges, training_batches
from recshield_sequence.dropping import Dropper
from recshield_sequence.packing import Packed, pack
from recshield_sequence.softmax import weighted_logsumexp

SEQUENCE, NEGATIVE, TARGET, ITEM = "sequence", "sequence.negative", "items.target", "factors.item"

#: Users in a batch of clean lists.
_LISTED_USERS = 1024


class SequenceConfig(Protocol):
    """Settings that every sequence model has."""

    @property
    def dims(self) -> int:
        """Width of the item table."""

    @property
    def length(self) -> int:
        """Positions that are read, the most recent ones."""

    @property
    def dropout(self) -> float:
        """Share of values dropped in training."""

    @property
    def std(self) -> float:
        """Standard deviation of the start values of tables."""

    @property
    def batch(self) -> int:
        """Users per update."""

    @property
    def lr(self) -> float:
        """Adam learning rate."""

    @property
    def epochs(self) -> int:
        """Passes over the users."""


def check_settings(model: str, config: SequenceConfig) -> None:
    """Raise BadValue where a setting that every sequence model has is out of range."""
    for name, least in (("dims", 1), ("length", 1), ("batch", 1), ("epochs", 0)):
        if getattr(config, name) < least:
            raise BadValue(f"model '{model}': {name} is {getattr(config, name)}; it is at least {least}")
    for name in ("std", "lr"):
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) > 0):
            raise BadValue(f"model '{model}': {name} is {getattr(config, name)}; it is a finite number above 0")
    if not 0 <= config.dropout < 1:
        raise BadValue(f"model '{model}': dropout is {config.dropout}; it is at least 0 and below 1")


class Sequential(Factored):
    """A model that encodes a user's history and scores items by inner products with the item table.

    The surface `sequence` has one vector per training row (occurrence), added to the item's vector where the row is
    input and, in training, where it is target; `sequence.negative` one per negative sampled for it. `items.target` has
    one vector per item, added on the target side alone; its gradient is taken through every use of the item, as in the
    published code of SAO. The last two exist in training only.

    Source: Manotumruksa and Yilmaz 2020 (SAO), Eq. 4, 5 and 9; Kang and McAuley 2018 (SASRec), arXiv:1808.09781.
    """

    exposes = (SEQUENCE, ITEM)
    exposes_in_training = (NEGATIVE, TARGET)
    config: SequenceConfig
    row_offsets: Tensor
    row_items: Tensor

    def __init__(self, data: DataInfo, config: SequenceConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        drawn = torch.randn((data.n_items, config.dims), generator=child(rng, ITEM)) * config.std
        self.item = torch.nn.Parameter(drawn)
        self.register_buffer("row_offsets", torch.zeros(data.n_users + 1, dtype=torch.int64))
        self.register_buffer("row_items", torch.zeros(data.n_interactions, dtype=torch.int32))
        per_row, per_item = (data.n_interactions, config.dims), (data.n_items, config.dims)
        budget = Budget("l2", 0.5)
        self.sequence = Surface(SEQUENCE, per_row, budget)
        self.negative = Surface(NEGATIVE, per_row, budget, stages=())
        self.target = Surface(TARGET, per_item, budget, stages=())
        self.table = Surface(ITEM, per_item, budget)
        self.surfaces = (self.sequence, self.table, self.negative, self.target)

    @abstractmethod
    def encode(self, packed: Packed, vectors: Tensor, drop: Dropper) -> Tensor:
        """Return (packed.size, dims) what each position says of the next item; nothing behind it may matter.

        Args:
            packed: the histories.
            vectors: (len(packed.rows), dims) item vectors of their rows.
            drop: dropout, in training.
        """

    def values(self, surface: str) -> Tensor:
        """Return the item table, or the item vector of every training row."""
        if surface in (ITEM, TARGET):
            return self.item
        if surface in (SEQUENCE, NEGATIVE):
            return embedding(self.row_items.long(), self.item)
        return super().values(surface)

    # histories

    def histories(self, users: Tensor) -> tuple[Tensor, Packed]:
        """Return which of the users have a history, and what is read of it to score (the most recent rows)."""
        offsets, wanted = self.row_offsets.cpu().numpy(), users.cpu().numpy()
        known = np.flatnonzero(offsets[wanted + 1] > offsets[wanted])
        packed = pack(*ranges(offsets, wanted[known], self.config.length, is_training=False))
        return torch.from_numpy(known).to(users.device), packed.to(users.device)

    def _items(self, rows: Tensor) -> Tensor:
        return self.row_items[rows].long()

    def last(self, users: Tensor, view: View) -> Tensor:
        """Return (len(users), dims) what the last position says; zeros for a user without a history."""
        known, packed = self.histories(users)
        states = self.item.new_zeros((len(users), self.config.dims))
        if not len(known):
            return states
        items = self._items(packed.rows)
        vectors = view.read(self.table, embedding(items, self.item), items)
        vectors = view.read(self.sequence, vectors, packed.rows)
        hidden = self.encode(packed, vectors, Dropper(0.0, 0, users.device))
        return states.index_copy(0, known, hidden[packed.last])

    # scores and losses

    def products(self, view: View = CLEAN) -> InnerProducts:
        """Return what the last positions say, zeros for a user without a history, and the item table."""
        return InnerProducts(lambda users: self.last(users, view), view.read(self.table, self.item))

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score differences, at the last position or where the batch says."""
        liked, other = self._both(batch, view)
        return liked - other

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the binary cross-entropy of positives and negatives, summed over the batch (Eq. 5).

        For a `ListBatch` the cross-entropy of its items against all items (softmax), summed over its rows.
        """
        if isinstance(batch, ListBatch):
            return self._list_loss(batch, view)
        liked, other = self._both(batch, view)
        return softplus(-liked).sum() + softplus(other).sum()

    def _list_loss(self, batch: ListBatch, view: View) -> Tensor:
        users, places, counts = batch.users.unique_consecutive(return_inverse=True, return_counts=True)
        states, table = self.last(users, view), view.read(self.table, self.item)
        whole = weighted_logsumexp(states, table, counts.to(states.dtype))
        # Not picked out of the scores of all items: the gradient of a pick is a table of zeros as large as they are.
        listed = embedding(places, states) * embedding(batch.positives, table)
        return whole - listed.sum()

    def _both(self, batch: Batch, view: View) -> tuple[Tensor, Tensor]:
        """Return (B,) scores of the positives and of the negatives."""
        if isinstance(batch, SequenceBatch):
            return self._along(batch, view)
        users, places = batch.users.unique(return_inverse=True)
        states = embedding(places, self.last(users, view))
        items = torch.cat([batch.positives, batch.negatives])
        liked, other = view.read(self.table, embedding(items, self.item), items).split(len(batch))
        return (states * liked).sum(dim=1), (states * other).sum(dim=1)

    def _along(self, batch: SequenceBatch, view: View) -> tuple[Tensor, Tensor]:
        """Return the same at the positions that the batch names, as training reads them (Eq. 9)."""
        packed, inputs = batch.packed, self._items(batch.packed.rows)
        items = torch.cat([inputs, batch.positives, batch.negatives])
        # One look-up, so that the gradient of the table is made once.
        read = view.read(self.table, embedding(items, self.item), items)
        vectors, liked, other = read.split([len(inputs), len(batch), len(batch)])
        vectors = view.read(self.sequence, vectors, packed.rows)
        if batch.targets is not None:
            liked = view.read(self.sequence, liked, batch.targets)
            other = view.read(self.negative, other, batch.targets)
            liked = view.read(self.target, liked, batch.positives)
            other = view.read(self.target, other, batch.negatives)
            vectors = self._felt(vectors, inputs, view)
        share = self.config.dropout if self.training else 0.0
        hidden = self.encode(packed, vectors, Dropper(share, batch.seed, vectors.device))
        states = embedding(batch.places, hidden)
        return (states * liked).sum(dim=1), (states * other).sum(dim=1)

    def _felt(self, vectors: Tensor, items: Tensor, view: View) -> Tensor:
        """Return inputs as they are, through which the gradient of `items.target` flows all the same.

        The published code of SAO takes the gradient with respect to the whole item table, inputs included, and adds
        the perturbation to the targets alone.
        """
        if TARGET not in view.delta or not view.delta[TARGET].requires_grad:
            return vectors
        added = view.read(self.target, torch.zeros_like(vectors), items)
        return vectors + (added - added.detach())

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the occurrences and items that the loss reads; those behind the model's length are not read."""
        if not isinstance(batch, SequenceBatch):
            return self._rows_at_last(batch)
        rows = batch.packed.rows
        named = torch.cat([batch.positives, batch.negatives])
        found = {ITEM: torch.cat([self._items(rows), named]).unique()}
        if batch.targets is None:
            return {SEQUENCE: rows.unique(), **found}
        return {
            SEQUENCE: torch.cat([rows, batch.targets]).unique(),
            NEGATIVE: batch.targets.unique(),
            TARGET: named.unique(),
            **found,
        }

    def _rows_at_last(self, batch: Batch) -> Mapping[str, Tensor]:
        users = batch.users.unique()
        known, packed = self.histories(users)
        rows = packed.rows.unique()
        if isinstance(batch, ListBatch) and len(known):
            return {SEQUENCE: rows, ITEM: torch.arange(self.data.n_items, device=rows.device)}
        is_known = torch.isin(batch.users, users[known])
        named = torch.cat([batch.positives[is_known], batch.negatives[is_known]])
        return {SEQUENCE: rows, ITEM: torch.cat([self._items(rows), named]).unique()}

    # training

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every user with at least two rows once, in random order."""
        return training_batches(data.train, self.config.length, self.config.batch, rng)

    def goal_batches(self, train: Interactions, data_seed: int) -> Sequence[tuple[Batch, int]]:
        """Return the training loss of all histories, and the cross-entropy of every user's clean list.

        The last row of a history is never an input of the training loss; scores read it, and so do the lists.
        """
        histories = goal_histories(train, self.config.length, self.config.batch, data_seed)
        n_triplets = sum(len(batch) for batch in histories)
        lists = self._list_batches(train)
        n_listed = sum(len(batch) for batch in lists)
        return [*((batch, n_triplets) for batch in histories), *((batch, n_listed) for batch in lists)]

    def _list_batches(self, train: Interactions) -> list[ListBatch]:
        known = np.flatnonzero(np.diff(train.indptr) > 0)
        lists = first_items(self.scoring(), train, TOP_ITEMS, self.item.device)
        found = []
        for start in range(0, len(known), _LISTED_USERS):
            users = known[start : start + _LISTED_USERS]
            is_shown = lists[users] >= 0
            owners = torch.from_numpy(users.repeat(is_shown.sum(axis=1))).long()
            items = torch.from_numpy(lists[users][is_shown]).long()
            found.append(ListBatch(owners, items, items.new_empty(0)))
        return found

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Remember the histories, then train with Adam (beta2 0.98, as published)."""
        self.remember(data)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr, betas=(0.9, 0.98), fused=True)
        train(self, data, objective, optimizer, rng, self.config.epochs if epochs is None else epochs)

    def remember(self, data: Dataset) -> None:
        """Store the training rows, which scores are read from.

        Raises:
            BadData: there are more of them than the model was built for.
        """
        held = len(self.row_items)
        if len(data.train) > held:
            raise BadData(
                f"model '{self.name}' was built for {held} training rows and is fitted to {len(data.train)}; build it "
                "from the info of the data that it is fitted to"
            )
        padded = np.zeros(held, np.int32)
        padded[: len(data.train)] = data.train.items
        self.row_offsets.copy_(torch.from_numpy(data.train.indptr))
        self.row_items.copy_(torch.from_numpy(padded))
