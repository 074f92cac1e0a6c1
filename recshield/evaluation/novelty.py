"""Novelty of what was hit: expected free discovery and expected popularity complement."""

from __future__ import annotations

import numpy as np

from recshield.evaluation.metrics import Metric, Values, per_user_sum
from recshield.evaluation.ranking import Ranks


def _discounted(ranks: Ranks, k: int, of_item: Values) -> Values:
    """Return the discounted novelty of each user's hits over the sum of the discounts of the whole list."""
    held = ranks.ranks.astype(np.float64)
    gains = np.where(held < k, of_item[ranks.items] / np.log2(held + 2.0), 0.0)
    discounts = np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))
    lengths = np.minimum(ranks.candidates[ranks.indptr[:-1]], k)
    values: Values = per_user_sum(gains, ranks.indptr) / discounts[lengths - 1]
    return values


class FreeDiscovery(Metric):
    """Expected free discovery: C sum_k disc(k) rel(i_k) (-log2 p(i_k | seen)), in bits.

    disc(k) = 1 / log2(k + 1) for places k from 1 to K, C = 1 / sum_k disc(k), rel = 1 for a test item of the user and
    else 0. p(i | seen) is the item's share of all (user, item) pairs of the training rows; an item without any counts
    as the rarest that has one. Places are the ranks, in which ties count against the model.

    Source: Vargas and Castells 2011, doi:10.1145/2043932.2043955; discount and novelty as in Elliot.
    """

    name = "efd"
    description = "expected free discovery: rank-discounted -log2 of the popularity of the test items in the first K"
    is_accuracy = False

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return bits per user, 0 without a hit."""
        seen = ranks.known().item_users
        rarest = seen[seen > 0].min(initial=len(ranks.known().train))
        return _discounted(ranks, k, -np.log2(np.maximum(seen, rarest) / seen.sum()))


class PopularityComplement(Metric):
    """Expected popularity complement: C sum_k disc(k) rel(i_k) (1 - p(seen | i_k)), in [0, 1].

    p(seen | i) is the share of the users with a training row who have one of the item. C, disc, rel and places are
    those of `efd`.

    Source: Vargas and Castells 2011, doi:10.1145/2043932.2043955; discount and novelty as in Elliot.
    """

    name = "epc"
    description = "expected popularity complement: rank-discounted 1 - popularity of the test items in the first K"
    is_accuracy = False

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user, 0 without a hit."""
        known = ranks.known()
        return _discounted(ranks, k, 1.0 - known.item_users / max(known.n_training_users, 1))
