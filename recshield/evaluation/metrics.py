"""Metrics of one user's test items, from ranks; a name carries its K: `ndcg@100`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadSpec, BadValue
from recshield.core.registry import registry
from recshield.evaluation.ranking import Ranks

Values = NDArray[np.float64]


class Metric(ABC):
    """One number per evaluated user; higher is better for the recommender."""

    name: ClassVar[str]
    description: ClassVar[str]
    #: Whether the name carries a K.
    is_cut: ClassVar[bool] = True

    @abstractmethod
    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return (n_evaluated,) values; `k` is 0 where the metric has no K."""


def _per_user_sum(values: Values, indptr: NDArray[np.int64]) -> Values:
    totals: Values = np.add.reduceat(values, indptr[:-1])
    return totals


def _first_rank(ranks: Ranks) -> NDArray[np.int64]:
    first: NDArray[np.int64] = np.minimum.reduceat(ranks.ranks.astype(np.int64), ranks.indptr[:-1])
    return first


class HitRatio(Metric):
    """1 where a test item is among the first K, else 0."""

    name = "hr"
    description = "hit ratio: share of users with a test item among the first K"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return 1 or 0 per user."""
        hits: Values = (_first_rank(ranks) < k).astype(np.float64)
        return hits


class Ndcg(Metric):
    """Discounted gain of the test items among the first K over the best possible.

    With one test item: ln 2 / ln(rank + 2) where rank < K, else 0 (He et al. 2018, section 4.1.2).
    """

    name = "ndcg"
    description = "normalised discounted cumulative gain at K, binary relevance"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        held = ranks.ranks.astype(np.float64)
        gains = np.where(held < k, 1.0 / np.log2(held + 2.0), 0.0)
        n_relevant = np.diff(ranks.indptr)
        ideal = np.cumsum(1.0 / np.log2(np.arange(min(k, int(n_relevant.max()))) + 2.0))
        values: Values = _per_user_sum(gains, ranks.indptr) / ideal[np.minimum(n_relevant, len(ideal)) - 1]
        return values


class Mrr(Metric):
    """One over the place of the first test item, 0 beyond K."""

    name = "mrr"
    description = "reciprocal of the place (from 1) of the first test item, 0 beyond K"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        first = _first_rank(ranks)
        return np.where(first < k, 1.0 / (first + 1.0), 0.0)


class Auc(Metric):
    """Share of the candidates outside the test rows that score below the test item (ties count against the model)."""

    name = "auc"
    description = "share of candidates outside the test rows that score below the test item; no K"
    is_cut = False

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user, the mean over the user's test items."""
        n_relevant = np.diff(ranks.indptr)
        users = np.repeat(np.arange(len(n_relevant)), n_relevant)
        # Of the candidates at or above a test item, those that are test items themselves do not count.
        keys = users * (int(ranks.candidates.max()) + 1) + ranks.ranks
        relevant_above = np.searchsorted(np.sort(keys), keys, side="right") - ranks.indptr[:-1][users] - 1
        others = np.maximum(ranks.candidates - n_relevant[users], 1)
        values: Values = _per_user_sum(1.0 - (ranks.ranks - relevant_above) / others, ranks.indptr) / n_relevant
        return values


@dataclass(frozen=True)
class MetricAtK:
    """A metric and its K, written `ndcg@100` or `auc`."""

    name: str
    k: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.k}" if self.k else self.name

    def per_user(self, ranks: Ranks) -> Values:
        """Return (n_evaluated,) values."""
        metric: Metric = registry().get("metric", self.name)()
        return metric.per_user(ranks, self.k)

    @classmethod
    def parse(cls, text: str) -> MetricAtK:
        """Return the metric that `ndcg@100` names (case does not matter).

        Raises:
            UnknownName: no such metric.
            BadSpec: K is missing, superfluous or not a whole number of at least 1.
        """
        name, at, cut = text.strip().lower().partition("@")
        metric = registry().get("metric", name)
        if metric.is_cut and not re.fullmatch(r"[1-9]\d*", cut):
            raise BadSpec(f"metric '{text}' needs K, a whole number of at least 1; write {name}@100")
        if not metric.is_cut and at:
            raise BadSpec(f"metric '{name}' has no K; write {name}")
        return cls(name, int(cut) if cut else 0)

    def check_catalogue(self, n_items: int) -> None:
        """Raise BadValue where K is larger than the catalogue."""
        if self.k > n_items:
            raise BadValue(f"{self}: K is {self.k}, but the data set has {n_items} items; K is at most {n_items}")
