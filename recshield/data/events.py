"""Rows in order of user and time, and what a way to part them is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recshield.data.rules import Rule, exact

IsTest = NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """Rows sorted by user, then by time; equal times keep file order.

    Attributes:
        users: (n_rows,) int64 from 0, ascending.
        items: (n_rows,) int64 from 0.
        times: (n_rows,) seconds, or None where the files have none.
        is_test: (n_rows,) bool where the files give a split, else None.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[Any] | None = None
    is_test: IsTest | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n_rows,) number of rows of each row's user."""
        counts = np.bincount(self.users)
        return counts[self.users]

    @property
    def places(self) -> NDArray[np.int64]:
        """(n_rows,) place of each row among its user's rows, from 0."""
        counts = np.bincount(self.users)
        return np.arange(len(self.users)) - (np.cumsum(counts) - counts)[self.users]

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return places in an order drawn for each user."""
        order = np.lexsort((rng.random(len(self.users)), self.users))
        drawn = np.empty(len(order), dtype=np.int64)
        drawn[order] = self.places
        return drawn


@dataclass(frozen=True)
class Scheme(Rule):
    """Says which rows are test rows."""

    @abstractmethod
    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Return (n_rows,) whether each row is a test row."""

    @abstractmethod
    def said(self, events: Events) -> str:
        """Return what was done, for people."""

    def needs_order(self) -> bool:
        """Return whether the order of a user's rows decides."""
        return False

    def folds(self) -> int:
        """Return how many splits there are."""
        return 1

    def draw(self, fold: int) -> int:
        """Return which draw a fold is part of."""
        return fold

    def n_needed(self) -> int:
        """Return the rows that a user needs to have a test row; 0 where that does not depend on it."""
        return 2


def n_test(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return how many rows a share takes: all but floor(size x (1 - share)), and one row at least stays."""
    part = 1 - exact(share)
    if part.denominator > 10**9:
        part = part.limit_denominator(10**9)
    taken: NDArray[np.int64] = np.minimum(sizes - sizes * part.numerator // part.denominator, sizes - 1)
    return taken
