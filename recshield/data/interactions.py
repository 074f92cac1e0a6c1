"""Interactions as compact arrays, and what is known of a data set."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recshield.data.categories import Categories

if TYPE_CHECKING:
    from recshield.data.visual import Visual

Ids = NDArray[np.int32]
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class DataInfo:
    """Sizes of a data set; all that a model needs to be built.

    Attributes:
        name: as printed.
        n_users: users, those without a training row included.
        n_items: items of training and test together.
        n_interactions: training rows.
        visual: images, extractor and features; None where the model reads none.
    """

    name: str
    n_users: int
    n_items: int
    n_interactions: int
    visual: Visual | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Interactions:
    """Who interacted with what, as compressed rows in order of time.

    Attributes:
        indptr: (n_users + 1,) int64; the rows of user u are `indptr[u]:indptr[u + 1]`.
        items: (n_rows,) int32 item of each row; a user's rows stand in order of time and may repeat an item.
        n_items: size of the catalogue.
        negatives: (n_warm,) int32 ascending items that may be drawn as negatives, or None where every item may be;
            whoever makes interactions from others hands it on.
    """

    indptr: Offsets
    items: Ids
    n_items: int
    negatives: Ids | None = None

    @classmethod
    def from_rows(
        cls,
        users: NDArray[np.integer],
        items: NDArray[np.integer],
        n_users: int,
        n_items: int,
        negatives: Ids | None = None,
    ) -> Interactions:
        """Return the interactions of (user, item) rows; the rows of one user keep their order."""
        order = np.argsort(users, kind="stable")
        indptr = np.zeros(n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users, minlength=n_users), out=indptr[1:])
        return cls(indptr, items[order].astype(np.int32), n_items, negatives)

    def with_rows(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Interactions:
        """Return these rows and more; the new rows of a user stand behind the old ones."""
        return Interactions.from_rows(
            np.concatenate([self.users, users]),
            np.concatenate([self.items, items]),
            self.n_users,
            self.n_items,
            self.negatives,
        )

    @property
    def n_users(self) -> int:
        """Number of users, those without a row included."""
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.items)

    @functools.cached_property
    def users(self) -> Ids:
        """(n_rows,) int32 user of each row."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    @functools.cached_property
    def members(self) -> tuple[Offsets, Ids]:
        """The distinct items of each user in ascending order, for lookups: (n_users + 1,) offsets and the items."""
        shape, entries = (self.n_users, self.n_items), np.ones(len(self.items), np.int8)
        held = csr_matrix((entries, self.items.copy(), self.indptr), shape=shape)
        held.sum_duplicates()  # sorts in place: beside the copy it needs a byte a row
        return held.indptr.astype(np.int64), held.indices.astype(np.int32, copy=False)

    @functools.cached_property
    def eligible(self) -> Interactions:
        """The rows of items that may be negatives, items counted among those: for draws where some items may not."""
        if self.negatives is None:
            return self
        place = np.full(self.n_items, -1, dtype=np.int32)
        place[self.negatives] = np.arange(len(self.negatives), dtype=np.int32)
        is_kept = place[self.items] >= 0
        return Interactions.from_rows(
            self.users[is_kept], place[self.items[is_kept]], self.n_users, len(self.negatives)
        )

    def popularity(self) -> NDArray[np.int64]:
        """Return (n_items,) rows per item."""
        return np.bincount(self.items, minlength=self.n_items)

    def of(self, user: int) -> Ids:
        """Return the items of one user in order of time."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]


@dataclass(frozen=True)
class Dataset:
    """What plugins receive: training rows, never test rows.

    Attributes:
        info: sizes.
        train: the training rows.
        user_ids: (n_users,) original ids, for output.
        item_ids: (n_items,) original ids, for output.
        categories: of the items; None where the data set has none.
    """

    info: DataInfo
    train: Interactions
    user_ids: NDArray[np.generic]
    item_ids: NDArray[np.generic]
    categories: Categories | None = None


@dataclass(frozen=True)
class HeldOut:
    """Test rows, grouped by user; only the framework's measure step holds them.

    Attributes:
        users: (n_evaluated,) int32 users with at least one test row, ascending.
        indptr: (n_evaluated + 1,) int64 into `items`.
        items: (n_rows,) int32 test items.
    """

    users: Ids
    indptr: Offsets
    items: Ids

    @classmethod
    def from_rows(cls, users: NDArray[np.integer], items: NDArray[np.integer]) -> HeldOut:
        """Return the test rows grouped by user; a row that stands twice counts once."""
        width = int(items.max(initial=0)) + 1
        first = np.sort(np.unique(users.astype(np.int64) * width + items, return_index=True)[1])
        users, items = users[first], items[first]
        order = np.argsort(users, kind="stable")
        evaluated, counts = np.unique(users, return_counts=True)
        indptr = np.zeros(len(evaluated) + 1, dtype=np.int64)
        np.cumsum(counts, out=indptr[1:])
        return cls(evaluated.astype(np.int32), indptr, items[order].astype(np.int32))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def row_users(self) -> Ids:
        """(n_rows,) int32 user of each test row."""
        return np.repeat(self.users, np.diff(self.indptr))
