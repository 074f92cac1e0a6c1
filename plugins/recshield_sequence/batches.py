"""Batches of histories: what training and the goal of an attack are the loss of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from recshield.core.interfaces import Batch
from recshield.core.seeds import child, number
from recshield.core.settings import DEGRADE_DRAWS
from recshield.data.interactions import Interactions
from recshield.training.draws import draw_negatives
from recshield_sequence.packing import Numbers, Packed, pack


@dataclass(frozen=True)
class SequenceBatch(Batch):
    """Histories, and triplets of a user, the item that came next at some position and a negative.

    Attributes:
        packed: the histories that are read.
        places: (n,) int64 position from which each triplet is predicted.
        targets: (n,) int64 training row of each positive, whose perturbations its target side reads too; None where
            perturbations reach the input side alone, as they do after training.
        seed: of the values that dropout drops in training.
    """

    packed: Packed
    places: Tensor
    targets: Tensor | None = None
    seed: int = 0

    def to(self, device: torch.device) -> SequenceBatch:
        """Return the batch on `device`."""
        moved = [held.to(device) for held in (self.users, self.positives, self.negatives)]
        targets = None if self.targets is None else self.targets.to(device)
        packed, places = self.packed.to(device), self.places.to(device)
        return SequenceBatch(moved[0], moved[1], moved[2], packed, places, targets, self.seed)


@dataclass(frozen=True)
class ListBatch(Batch):
    """Rows (user, item of the user's clean list), sorted by user; every other item is a negative, so none are named."""

    def to(self, device: torch.device) -> ListBatch:
        """Return the batch on `device`."""
        return ListBatch(self.users.to(device), self.positives.to(device), self.negatives.to(device))


def ranges(indptr: Numbers, users: Numbers, length: int, *, is_training: bool) -> tuple[Numbers, Numbers]:
    """Return the first row and the row behind the last that the model reads of each user's history.

    In training the last row of a history is a target alone, and never an input.
    """
    ends = indptr[users + 1] - int(is_training)
    return np.maximum(indptr[users], ends - length), ends


def training_batches(
    train: Interactions, length: int, size: int, rng: Generator, width: int = 0
) -> Iterator[SequenceBatch]:
    """Yield every user with at least two rows once, in random order, with a fresh negative per row.

    Args:
        train: training rows.
        length: positions that the model reads, the most recent ones.
        size: users per batch.
        rng: of the order, the negatives and dropout.
        width: as in `pack`: 0 = trimmed.
    """
    negatives = draw_negatives(train, rng.initial_seed(), "negatives", 0)
    usable = torch.from_numpy(np.flatnonzero(np.diff(train.indptr) > 1))
    order = torch.randperm(len(usable), generator=child(rng, "order"))
    for place, start in enumerate(range(0, len(usable), size)):
        users = usable[order[start : start + size]]
        starts, ends = ranges(train.indptr, users.numpy(), length, is_training=True)
        packed = pack(starts, ends, width)
        targets = packed.rows + 1
        seed = number(rng.initial_seed(), "dropout", place)
        yield _predicted(train, packed, targets, [negatives], targets, seed)


def goal_histories(train: Interactions, length: int, size: int, data_seed: int) -> list[SequenceBatch]:
    """Return the training loss of every history as `degrade` attacks it: negatives drawn once, the input side alone.

    Args:
        train: training rows.
        length: positions that the model reads.
        size: users per batch.
        data_seed: of the negatives.
    """
    negatives = [draw_negatives(train, data_seed, "degrade", draw) for draw in range(DEGRADE_DRAWS)]
    users = np.flatnonzero(np.diff(train.indptr) > 1)
    found = []
    for start in range(0, len(users), size):
        packed = pack(*ranges(train.indptr, users[start : start + size], length, is_training=True))
        found.append(_predicted(train, packed, packed.rows + 1, negatives))
    return found


def _predicted(
    train: Interactions,
    packed: Packed,
    rows: Tensor,
    negatives: list[NDArray[np.int32]],
    targets: Tensor | None = None,
    seed: int = 0,
) -> SequenceBatch:
    """Return histories that predict at each position the row behind it, once for each draw of negatives."""
    held = rows.numpy()
    users = torch.from_numpy(train.users[held]).long().repeat(len(negatives))
    positives = torch.from_numpy(train.items[held]).long().repeat(len(negatives))
    drawn = torch.from_numpy(np.concatenate([draw[held] for draw in negatives])).long()
    return SequenceBatch(users, positives, drawn, packed, packed.places.repeat(len(negatives)), targets, seed)
