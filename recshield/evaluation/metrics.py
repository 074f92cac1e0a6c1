"""What a metric is, the metrics of the first test item, and how metrics are written: `ndcg@100/users:active`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadSpec, BadValue, PluginFailed, RecshieldError, raised
from recshield.core.registry import registry
from recshield.evaluation import suffixes
from recshield.evaluation.ranking import Extras, Ranks

Values = NDArray[np.float64]


class Metric:
    """A number per evaluated user, whose mean is the figure; or, with `has_per_user = False`, one number over all.

    A subclass implements `per_user`, or sets `has_per_user = False` and implements `overall`. What it can read:
    `ranks.ranks` and the arrays beside it, `ranks.first(k)` where it says `needs_lists`, and `ranks.known()`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    #: Whether the name carries a K.
    is_cut: ClassVar[bool] = True
    #: Whether a higher value is better for the recommender.
    is_higher_better: ClassVar[bool] = True
    #: Whether it measures how high the test items rank; only such a metric can be the first or be sampled.
    is_accuracy: ClassVar[bool] = True
    #: Whether each user has a value.
    has_per_user: ClassVar[bool] = True
    #: Whether it reads the items ranked first, `ranks.first(k)`.
    needs_lists: ClassVar[bool] = False

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return (n_evaluated,) values, NaN for users who are not counted; `k` is 0 where the metric has no K."""
        raise BadValue(f"metric '{self.name}' has no value per user; it is one number over all users")

    def overall(self, ranks: Ranks, k: int) -> float:
        """Return the figure: the mean of the users' values unless a metric says otherwise."""
        return mean_of_counted(self.per_user(ranks, k))

    @classmethod
    def is_mean(cls) -> bool:
        """Return whether the figure is the mean of the users' values."""
        return cls.has_per_user and cls.overall is Metric.overall


def mean_of_counted(values: Values) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else math.nan


def per_user_sum(values: Values, indptr: NDArray[np.int64]) -> Values:
    """Return the sums of (n_rows,) values over each user's test rows."""
    totals: Values = np.add.reduceat(values, indptr[:-1])
    return totals


def _first_rank(ranks: Ranks) -> NDArray[np.int64]:
    first: NDArray[np.int64] = np.minimum.reduceat(ranks.ranks.astype(np.int64), ranks.indptr[:-1])
    return first


def relevant_above(ranks: Ranks) -> NDArray[np.int64]:
    """Return (n_rows,) how many other test items of the same user rank at or above each test item."""
    n_relevant = np.diff(ranks.indptr)
    users = np.repeat(np.arange(len(n_relevant)), n_relevant)
    keys = users * (int(ranks.candidates.max()) + 1) + ranks.ranks
    places: NDArray[np.int64] = np.searchsorted(np.sort(keys), keys, side="right")
    return places - ranks.indptr[:-1][users] - 1


class HitRatio(Metric):
    """1 where a test item is among the first K, else 0.

    Source: He et al. 2018, arXiv:1808.03908, section 4.1.2.
    """

    name = "hr"
    description = "hit ratio: share of users with a test item among the first K"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return 1 or 0 per user."""
        hits: Values = (_first_rank(ranks) < k).astype(np.float64)
        return hits


class Ndcg(Metric):
    """Discounted gain of the test items among the first K over the best possible.

    With one test item: ln 2 / ln(rank + 2) where rank < K, else 0.

    Source: He et al. 2018 (APR), arXiv:1808.03908, section 4.1.2; Jaervelin and Kekaelaeinen 2002; as in ranx.
    """

    name = "ndcg"
    description = "normalised discounted cumulative gain at K, binary relevance"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        held = ranks.ranks.astype(np.float64)
        gains = np.where(held < k, 1.0 / np.log2(held + 2.0), 0.0)
        n_relevant = np.diff(ranks.indptr)
        ideal = np.cumsum(1.0 / np.log2(np.arange(min(k, int(n_relevant.max()))) + 2.0))
        values: Values = per_user_sum(gains, ranks.indptr) / ideal[np.minimum(n_relevant, len(ideal)) - 1]
        return values


class Mrr(Metric):
    """One over the place of the first test item, 0 beyond K.

    Source: Voorhees 1999, the TREC-8 question answering track; as in ranx.
    """

    name = "mrr"
    description = "reciprocal of the place (from 1) of the first test item, 0 beyond K"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        first = _first_rank(ranks)
        return np.where(first < k, 1.0 / (first + 1.0), 0.0)


class Auc(Metric):
    """Share of the candidates outside the test rows that score below the test item (ties count against the model).

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747; Rendle et al. 2009 (BPR), arXiv:1205.2618.
    """

    name = "auc"
    description = "share of candidates outside the test rows that score below the test item; no K"
    is_cut = False

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user, the mean over the user's test items."""
        n_relevant = np.diff(ranks.indptr)
        users = np.repeat(np.arange(len(n_relevant)), n_relevant)
        # Of the candidates at or above a test item, those that are test items themselves do not count.
        n_above = ranks.ranks - relevant_above(ranks)
        others = np.maximum(ranks.candidates - n_relevant[users], 1)
        values: Values = per_user_sum(1.0 - n_above / others, ranks.indptr) / n_relevant
        return values


@dataclass(frozen=True)
class Figure:
    """What a metric says of one cell.

    Attributes:
        value: the figure; NaN over no user.
        n_users: how many users it is over.
        per_user: (n_evaluated,) values, NaN for users who are not counted; None where users have none.
    """

    value: float
    n_users: int
    per_user: Values | None


@dataclass(frozen=True)
class MetricAtK:
    """A metric, its K, and what stands behind a slash: `ndcg@100`, `auc`, `hr@10/users:active`."""

    name: str
    k: int = 0
    suffix: str = ""

    def __str__(self) -> str:
        return written(self.column, self.k)

    @property
    def column(self) -> str:
        """What stands in the column `metric` of a table, beside `k`: `ndcg/sampled:999`."""
        return f"{self.name}/{self.suffix}" if self.suffix else self.name

    @property
    def label(self) -> str:
        """What a reader must know before comparing its figures, or ""."""
        return suffixes.label(self.suffix)

    @property
    def plugin(self) -> type[Metric]:
        """The metric's class."""
        return registry().get("metric", self.name)

    def per_user(self, ranks: Ranks) -> Values:
        """Return (n_evaluated,) values; NaN for users who are not counted."""
        metric = self.plugin()
        return suffixes.per_user(lambda part: metric.per_user(part, self.k), ranks, self.suffix)

    def measure(self, ranks: Ranks) -> Figure:
        """Return the figure over all evaluated users that count.

        Raises:
            PluginFailed: the metric raised something of its own.
        """
        try:
            return self._measured(ranks)
        except RecshieldError:
            raise
        except Exception as error:  # a plugin may raise anything
            advice = "leave it out of --metrics: finished steps are kept"
            raise PluginFailed(f"metric '{self.name}' raised {raised(error)}; {advice}") from error

    def _measured(self, ranks: Ranks) -> Figure:
        if not self.plugin.has_per_user:
            return Figure(self.plugin().overall(ranks, self.k), len(ranks.users), None)
        values = self.per_user(ranks)
        value = mean_of_counted(values) if self.plugin.is_mean() else self.plugin().overall(ranks, self.k)
        return Figure(value, int((~np.isnan(values)).sum()), values)

    @classmethod
    def parse(cls, text: str) -> MetricAtK:
        """Return the metric that `ndcg@100` or `ndcg@10/users:active` names (case does not matter).

        Raises:
            UnknownName: no such metric.
            BadSpec: K is missing, superfluous or not a whole number of at least 1; the suffix is unknown, or none that
                this metric can have.
        """
        head, slash, suffix = text.strip().lower().partition("/")
        name, at, cut = head.partition("@")
        metric = registry().get("metric", name)
        if metric.is_cut and not re.fullmatch(r"[1-9]\d*", cut):
            raise BadSpec(f"metric '{text}' needs K, a whole number of at least 1; write {name}@100")
        if not metric.is_cut and at:
            raise BadSpec(f"metric '{name}' has no K; write {name}")
        made = cls(name, int(cut) if cut else 0, suffixes.read(text, suffix) if slash else "")
        made._check_suffix()
        return made

    def _check_suffix(self) -> None:
        kind, size, metric = suffixes.kind(self.suffix), suffixes.sample_size(self.suffix), self.plugin
        plain = written(self.name, self.k)
        if kind and not metric.is_mean():
            raise BadSpec(f"metric '{self}': {self.name} is one number over all users; write {plain}")
        if kind in ("items", "among") and metric.needs_lists:
            raise BadSpec(f"metric '{self}': {self.name} reads lists, not test items; write {plain}")
        if kind == "sampled" and (metric.needs_lists or not metric.is_accuracy):
            raise BadSpec(f"metric '{self}': {self.name} is no accuracy metric, so it cannot be sampled; write {plain}")
        if size and self.k > size:
            raise BadSpec(f"metric '{self}': K is {self.k}, but {size} candidates are drawn; K is at most {size}")

    def check_main(self) -> None:
        """Raise BadValue where it cannot be the first metric: verdicts compare all users by their accuracy."""
        plain = MetricAtK(self.name, self.k)
        example = plain if self.plugin.is_accuracy and self.plugin.is_mean() else "ndcg@10"
        reason = ""
        if not self.plugin.is_accuracy:
            reason = "it does not measure how high the test items rank"
        elif not self.plugin.is_mean():
            reason = "it is no mean of a value per user"
        elif suffixes.kind(self.suffix) in ("users", "items", "among"):
            reason = "it does not count all users"
        if reason:
            said = f"{self} cannot be the first metric, by which verdicts are judged"
            raise BadValue(f"{said}: {reason}; put {example} first")

    def check_catalogue(self, n_items: int) -> None:
        """Raise BadValue where K, or the number of drawn candidates, is larger than the catalogue."""
        if self.k > n_items:
            raise BadValue(f"{self}: K is {self.k}, but the data set has {n_items} items; K is at most {n_items}")
        size = suffixes.sample_size(self.suffix)
        if size >= n_items:
            allowed = f"at most {n_items - 1} candidates can be drawn"
            raise BadValue(f"{self}: {size} candidates, but the data set has {n_items} items; {allowed}")


def written(column: str, k: int) -> str:
    """Return a metric as people write it from the columns `metric` and `k`: `ndcg/sampled:999`, 10 -> `ndcg@10/...`."""
    name, slash, suffix = column.partition("/")
    return (f"{name}@{k}" if k else name) + slash + suffix


def extras_for(metrics: Sequence[MetricAtK], data_seed: int) -> Extras:
    """Return what must be kept beside the full ranks for these metrics."""
    length = max((metric.k for metric in metrics if metric.plugin.needs_lists), default=0)
    sizes = {suffixes.sample_size(metric.suffix) for metric in metrics} - {0}
    is_within = any(suffixes.kind(metric.suffix) == "among" for metric in metrics)
    return Extras(length, tuple(sorted(sizes)), data_seed if sizes else 0, is_within)
