"""Whether popular and unpopular items are recommended alike: PopREO and PopRSP."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recshield.evaluation.metrics import Metric
from recshield.evaluation.ranking import Ranks


def _uneven(shown: NDArray[np.float64], possible: NDArray[np.float64]) -> float:
    """Return the standard deviation over the mean of two groups' probabilities; NaN where a group has no chance."""
    if not (possible > 0).all():
        return math.nan
    shares = shown / possible
    return float(shares.std() / shares.mean()) if shares.mean() > 0 else math.nan


class PopREO(Metric):
    """Ranking-based equal opportunity of head and tail: do their test items reach the first K alike?

    Per group, test items among the first K over test items; the figure is the standard deviation (n) of the two shares
    over their mean, 0 where they are equal, 1 where one group never gets there. Groups: as for `aplt`.

    Source: Zhu, Wang and Caverlee 2020, doi:10.1145/3397271.3401177, section 3.2 (REO@k); Elliot (PopREO).
    """

    name = "popreo"
    description = "inequality of head and tail in how often their test items are among the first K: 0 equal, 1 never"
    is_higher_better = False
    is_accuracy = False
    has_per_user = False

    def overall(self, ranks: Ranks, k: int) -> float:
        """Return a value in [0, 1], NaN where a group has no test item or none is hit."""
        is_head, is_hit = ranks.known().is_head[ranks.items], ranks.ranks < k
        shown = [float((is_hit & group).sum()) for group in (is_head, ~is_head)]
        return _uneven(np.array(shown), np.array([float(is_head.sum()), float((~is_head).sum())]))


class PopRSP(Metric):
    """Ranking-based statistical parity of head and tail: are their items shown alike?

    Per group, places among the first K over the items outside the user's training rows, both summed over users; the
    figure is as for `popreo`.

    Source: Zhu, Wang and Caverlee 2020, doi:10.1145/3397271.3401177, section 3.1 (RSP@k); Elliot (PopRSP).
    """

    name = "poprsp"
    description = "inequality of head and tail in how often their items are among the first K: 0 equal, 1 never"
    is_higher_better = False
    is_accuracy = False
    has_per_user = False
    needs_lists = True

    def overall(self, ranks: Ranks, k: int) -> float:
        """Return a value in [0, 1], NaN where no item of a group could be shown."""
        held = ranks.known()
        listed = ranks.first(k)
        n_head = float(((listed >= 0) & held.is_head[listed]).sum())
        shown = np.array([n_head, float((listed >= 0).sum()) - n_head])
        offsets, items = held.train.members
        is_head = np.concatenate([[0], np.cumsum(held.is_head[items])])
        starts, ends = offsets[ranks.users], offsets[ranks.users + 1]
        seen_head, seen = float((is_head[ends] - is_head[starts]).sum()), float((ends - starts).sum())
        total = np.array([float(held.is_head.sum()), float((~held.is_head).sum())]) * len(ranks.users)
        return _uneven(shown, total - np.array([seen_head, seen - seen_head]))
