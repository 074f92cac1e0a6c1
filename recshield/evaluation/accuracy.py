"""Accuracy of several test items per user: recall, precision, average precision, F1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recshield.evaluation.metrics import Metric, Values, per_user_sum, relevant_above
from recshield.evaluation.ranking import Ranks


def _hits(ranks: Ranks, k: int) -> Values:
    return per_user_sum((ranks.ranks < k).astype(np.float64), ranks.indptr)


def _n_relevant(ranks: Ranks) -> NDArray[np.int64]:
    return np.diff(ranks.indptr)


class Recall(Metric):
    """Share of a user's R test items that are among the first K: hits / R.

    Source: Gunawardana, Shani and Yogev 2022, doi:10.1007/978-1-0716-2197-4_15; as in Elliot, ranx and TREC.
    """

    name = "recall"
    description = "share of the user's test items among the first K"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        return _hits(ranks, k) / _n_relevant(ranks)


class Precision(Metric):
    """Share of the first K that are test items: hits / K, also where the user has fewer than K test items.

    Source: as for `Recall`.
    """

    name = "precision"
    description = "share of the first K that are test items of the user"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        return _hits(ranks, k) / k


class MeanAveragePrecision(Metric):
    """Precision at the place of each test item among the first K, summed and divided by the user's R test items.

    A test item at rank r (from 0) adds h / (r + 1), where h test items of the user have rank at most r. Beyond K a test
    item adds 0 and still counts in R, so that R > K cannot reach 1. Elliot's MAP is another figure, the mean of
    precision at 1 to K.

    Source: Voorhees and Harman 2005, TREC; as in ranx and trec_eval (map_cut).
    """

    name = "map"
    description = "mean average precision at K: precision at each test item among the first K, over all test items"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        gains = np.where(ranks.ranks < k, (relevant_above(ranks) + 1.0) / (ranks.ranks + 1.0), 0.0)
        return per_user_sum(gains, ranks.indptr) / _n_relevant(ranks)


class F1(Metric):
    """Harmonic mean of precision and recall at K, 2 hits / (K + R); 0 without a hit.

    The mean over users of each user's F1, not the F1 of the means.

    Source: van Rijsbergen 1979; as in Elliot (F1) and ranx.
    """

    name = "f1"
    description = "harmonic mean of precision and recall at K"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        return 2.0 * _hits(ranks, k) / (k + _n_relevant(ranks))
