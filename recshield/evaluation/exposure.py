"""What the lists of all users hold together: coverage, concentration, popularity and the long tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recshield.evaluation.metrics import Metric, Values
from recshield.evaluation.ranking import Ranks


def exposure(ranks: Ranks, k: int) -> NDArray[np.int64]:
    """Return (n_items,) how many evaluated users have each item among their first K."""
    listed = ranks.first(k)
    return np.bincount(listed[listed >= 0], minlength=ranks.known().train.n_items)


def _list_mean(ranks: Ranks, k: int, of_item: Values) -> Values:
    """Return (n_evaluated,) means of a number per item over each user's list; NaN for an empty list."""
    listed = ranks.first(k)
    held = np.where(listed >= 0, of_item[listed], 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        means: Values = held / (listed >= 0).sum(axis=1)
    return means


class Coverage(Metric):
    """Item coverage: distinct items in the lists of all evaluated users, over the items of the catalogue.

    The catalogue holds the items of training and test rows. Elliot's ItemCoverage is the count without the division.

    Source: Herlocker et al. 2004, doi:10.1145/963770.963772 (catalogue coverage); Elliot (ItemCoverage).
    """

    name = "coverage"
    description = "share of the catalogue that is among the first K of some evaluated user"
    is_accuracy = False
    has_per_user = False
    needs_lists = True

    def overall(self, ranks: Ranks, k: int) -> float:
        """Return a value in [0, 1]."""
        return float((exposure(ranks, k) > 0).mean())


class UserCoverage(Metric):
    """Share of evaluated users who can be given a full list: at least K items outside their training rows.

    Elliot counts the users with at least one recommended item (UserCoverage: here K = 1) or with at least K
    (UserCoverageAtN); this is the count over the evaluated users. Whether an item is relevant plays no part: that is
    `hr`. A model that scores every item covers all users whom the catalogue leaves K candidates.

    Source: Gunawardana, Shani and Yogev 2022, doi:10.1007/978-1-0716-2197-4_15 (user coverage); Elliot.
    """

    name = "user-coverage"
    description = "share of evaluated users whose list holds K items"
    is_accuracy = False
    needs_lists = True

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return 1 or 0 per user."""
        return (ranks.first(k)[:, -1] >= 0).astype(np.float64)


class Gini(Metric):
    """Gini index of the items' shares of all list places: 0 where all are equal, 1 where one item has all.

    1 / (n - 1) sum_j (2 j - n - 1) p(i_j), items i_1 to i_n of the whole catalogue in order of growing share p of the
    list places. Elliot prints 1 minus this.

    Source: Gunawardana, Shani and Yogev 2022, doi:10.1007/978-1-0716-2197-4_15 (diversity of sales); Elliot's formula.
    """

    name = "gini"
    description = "Gini index of how often each item of the catalogue is among the first K: 0 equal, 1 one item only"
    is_higher_better = False
    is_accuracy = False
    has_per_user = False
    needs_lists = True

    def overall(self, ranks: Ranks, k: int) -> float:
        """Return a value in [0, 1]."""
        shown = np.sort(exposure(ranks, k)).astype(np.float64)
        n_items = len(shown)
        weights = 2.0 * np.arange(1, n_items + 1) - n_items - 1
        return float(weights @ shown / shown.sum() / (n_items - 1)) if n_items > 1 else 0.0


class Entropy(Metric):
    """Shannon entropy of the items' shares p of all list places, in bits: -sum_i p(i) log2 p(i).

    Source: Gunawardana, Shani and Yogev 2022, doi:10.1007/978-1-0716-2197-4_15; Elliot (SEntropy, which takes log2).
    """

    name = "entropy"
    description = "Shannon entropy in bits of how often each item is among the first K"
    is_accuracy = False
    has_per_user = False
    needs_lists = True

    def overall(self, ranks: Ranks, k: int) -> float:
        """Return a value in [0, log2 n_items]."""
        shown = exposure(ranks, k)
        shares = shown[shown > 0] / shown.sum()
        return float(-(shares * np.log2(shares)).sum()) + 0.0  # no minus zero


class AveragePopularity(Metric):
    """Average recommendation popularity: the mean number of training rows of the items in a user's list.

    Source: Yin et al. 2012, arXiv:1205.6700; Abdollahpouri et al. 2019, arXiv:1901.07555; Elliot (ARP).
    """

    name = "arp"
    description = "average recommendation popularity: mean number of training rows of the first K"
    is_higher_better = False
    is_accuracy = False
    needs_lists = True

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return training rows per user."""
        return _list_mean(ranks, k, ranks.known().popularity.astype(np.float64))


class LongTailShare(Metric):
    """Average percentage of long-tail items: the share of a user's list outside the short head, in [0, 1].

    The short head is the most popular items that make up 80 % of the training rows (`Background.is_head`).

    Source: Abdollahpouri et al. 2019, arXiv:1901.07555; Elliot (APLT).
    """

    name = "aplt"
    description = "average share of long-tail items (outside the head that makes up 80 % of the rows) in the first K"
    is_accuracy = False
    needs_lists = True

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return a value in [0, 1] per user."""
        return _list_mean(ranks, k, (~ranks.known().is_head).astype(np.float64))


class LongTailCoverage(Metric):
    """Average coverage of long-tail items: 1 / |U| sum_u sum_{i in L_u} [i is of the long tail], a number of items.

    By this formula it is a mean over users of a count: K times `aplt` where every list is full. Long tail: as `aplt`.

    Source: Abdollahpouri et al. 2019, arXiv:1901.07555; Elliot (ACLT).
    """

    name = "aclt"
    description = "average number of long-tail items (outside the head that makes up 80 % of the rows) in the first K"
    is_accuracy = False
    needs_lists = True

    def per_user(self, ranks: Ranks, k: int) -> Values:
        """Return 0 to K items per user."""
        listed = ranks.first(k)
        counts: Values = ((listed >= 0) & ~ranks.known().is_head[listed]).sum(axis=1).astype(np.float64)
        return counts
