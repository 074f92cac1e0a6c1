"""What the training rows say of items and users: popularity, the short head, groups of users by activity."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recshield.core.settings import HEAD_PERCENT
from recshield.data.interactions import HeldOut, Interactions

#: Groups of evaluated users, least training rows first.
ACTIVITY = ("inactive", "medium", "active")


@dataclass(frozen=True)
class Background:
    """Made once per data set, the same for every cell; metrics of popularity and of groups read it.

    Attributes:
        train: the training rows of the data set, before any attack or defense.
        test: says which users are evaluated.
    """

    train: Interactions
    test: HeldOut

    @functools.cached_property
    def popularity(self) -> NDArray[np.int64]:
        """(n_items,) training rows per item, repeated rows included."""
        return self.train.popularity()

    @functools.cached_property
    def item_users(self) -> NDArray[np.int64]:
        """(n_items,) users with a training row of the item, each counted once."""
        return np.bincount(self.train.members[1], minlength=self.train.n_items)

    @functools.cached_property
    def n_training_users(self) -> int:
        """Number of users with a training row."""
        return int((np.diff(self.train.indptr) > 0).sum())

    @functools.cached_property
    def is_head(self) -> NDArray[np.bool_]:
        """(n_items,) whether an item is of the short head: the fewest items that make up 80 % of the training rows.

        Most training rows first, of equal ones the smallest item id first; the item that reaches 80 % is in the head.
        All others, those without a training row included, are the long tail.

        Source: Abdollahpouri et al. 2019, arXiv:1901.07555; the 80 % and the crossing item as in Elliot.
        """
        order = np.argsort(-self.popularity, kind="stable")
        reached = np.cumsum(self.popularity[order]) * 100 >= HEAD_PERCENT * len(self.train)
        is_head = np.zeros(self.train.n_items, np.bool_)
        is_head[order[: int(np.argmax(reached)) + 1]] = True
        return is_head

    @functools.cached_property
    def activity(self) -> NDArray[np.int64]:
        """(n_evaluated,) place in `ACTIVITY` of each evaluated user's third by training rows.

        Users stand in order of their training rows, of equal ones the smaller user number first; the user at place p
        of n (from 0) is in third 3 p // n.
        """
        rows = np.diff(self.train.indptr)[self.test.users]
        order = np.argsort(rows, kind="stable")
        thirds = np.empty(len(order), np.int64)
        thirds[order] = np.arange(len(order)) * len(ACTIVITY) // max(len(order), 1)
        return thirds
