"""Is a difference more than chance: spread over seeds, paired tests over users, effect sizes, many tests at once.

Intervals stand in `bootstrap`, and are here by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recshield.core.settings import CONFIDENCE
from recshield.evaluation.bootstrap import interval, intervals, relative_interval, relative_intervals
from recshield.evaluation.effect import Interval

__all__ = [
    "Interval", "Paired", "Spread", "benjamini_hochberg", "holm", "interval", "intervals", "paired",
    "relative_interval", "relative_intervals", "seed_means", "spread",
]  # fmt: skip

Values = NDArray[np.float64]

#: Spread over mean of differences that are all the same but for float rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Spread:
    """Figures of several seeds.

    Attributes:
        mean: over the seeds.
        std: sample standard deviation (n - 1), NaN for one seed.
        least: smallest figure.
        largest: largest figure.
        n_seeds: how many.
    """

    mean: float
    std: float
    least: float
    largest: float
    n_seeds: int


def seed_means(values: NDArray[np.floating]) -> Values:
    """Return (n_seeds,) means over the users that count of (n_seeds, n_users) values; NaN where none does."""
    table = np.atleast_2d(np.asarray(values, np.float64))
    is_counted = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        means: Values = np.where(is_counted, table, 0.0).sum(axis=1) / is_counted.sum(axis=1)
    return means


def spread(figures: NDArray[np.floating] | Sequence[float]) -> Spread:
    """Return mean and spread of one figure per seed."""
    held = np.asarray(figures, np.float64)
    std = float(held.std(ddof=1)) if len(held) > 1 else math.nan
    return Spread(float(held.mean()), std, float(held.min()), float(held.max()), len(held))


@dataclass(frozen=True)
class Paired:
    """What two systems or attacks differ by on the same users: b - a.

    Attributes:
        difference: mean of b - a.
        t: statistic of the paired t-test; NaN where no user differs.
        p_t: its two-sided p; 1 where no user differs.
        w: statistic of the Wilcoxon signed-rank test, over the users who differ.
        p_w: its two-sided p; 1 where no user differs.
        d_z: Cohen's effect size for pairs, mean over sample standard deviation of b - a; 0 where no user differs.
        rank_biserial: (rank sum of users with b above a - that of users below) over the whole rank sum, -1 to 1.
        n: users that count.
    """

    difference: float
    t: float
    p_t: float
    w: float
    p_w: float
    d_z: float
    rank_biserial: float
    n: int

    def is_significant(self, alpha: float = 1 - CONFIDENCE) -> bool:
        """Whether the t-test alone, without any correction, finds a difference."""
        return self.p_t < alpha


def paired(a: NDArray[np.floating], b: NDArray[np.floating]) -> Paired:
    """Return the paired tests of b against a over the same users; a user who is NaN in either does not count.

    Users who do not differ are left out of the signed-rank test, as Wilcoxon did.

    Args:
        a: (n_users,) values, over several seeds each user's mean.
        b: (n_users,) values of the same users in the same order.

    Raises:
        ValueError: the two differ in shape.

    Source: Wilcoxon 1945, doi:10.2307/3001968; Kerby 2014, doi:10.2466/11.IT.3.1 (matched-pairs rank-biserial);
    Cohen 1988 (d_z).
    """
    if a.shape != b.shape:
        raise ValueError(f"paired values differ in shape: {a.shape} and {b.shape}")
    differences = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    differences = differences[~np.isnan(differences)]
    n_users, changed = len(differences), differences[differences != 0]
    if not len(changed):
        return Paired(0.0 if n_users else math.nan, math.nan, 1.0, 0.0, 1.0, 0.0, 0.0, n_users)
    mean, std = float(differences.mean()), float(differences.std(ddof=1)) if n_users > 1 else 0.0
    if std > _ROUNDING * abs(mean):
        tested = stats.ttest_1samp(differences, 0.0)
        t, p_t, d_z = float(tested.statistic), float(tested.pvalue), mean / std
    else:  # one user, or all differ by the same amount: no spread to judge by
        t, p_t, d_z = math.nan, math.nan if n_users < 2 else 0.0, math.copysign(math.inf, mean)
    ranked = stats.wilcoxon(changed)
    ranks = stats.rankdata(np.abs(changed))
    balance = float((np.sign(changed) * ranks).sum() / ranks.sum())
    return Paired(mean, t, p_t, float(ranked.statistic), float(ranked.pvalue), d_z, balance, n_users)


def holm(p_values: NDArray[np.floating] | Sequence[float]) -> Values:
    """Return p-values corrected so that the chance of any false finding among them stays below alpha.

    A NaN is no test: it stays NaN and does not count.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    return _corrected(p_values, "holm")


def benjamini_hochberg(p_values: NDArray[np.floating] | Sequence[float]) -> Values:
    """Return p-values corrected so that the expected share of false findings among the findings stays below alpha.

    A NaN is no test: it stays NaN and does not count.

    Source: Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    return _corrected(p_values, "fdr_bh")


def _corrected(p_values: NDArray[np.floating] | Sequence[float], method: str) -> Values:
    from statsmodels.stats.multitest import multipletests  # takes a second to load

    given = np.asarray(p_values, np.float64)
    is_test = ~np.isnan(given)
    found = np.full(given.shape, np.nan)
    if is_test.any():
        found[is_test] = multipletests(given[is_test], method=method)[1]
    return found
