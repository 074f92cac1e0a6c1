"""Intervals and paired tests over users and seeds, as the report needs them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from recshield.core.settings import CONFIDENCE

Values = NDArray[np.float64]

#: How intervals are made, in words that stand in the report.
METHOD = (
    f"{100 * CONFIDENCE:.0f} % intervals are normal ones over users and, where there are several, over seeds "
    "(relative changes: of the ratio of means, by the delta method)"
)


@dataclass(frozen=True)
class Interval:
    """A mean over users and seeds, and the interval around it."""

    mean: float
    low: float
    high: float
    n_users: int
    n_seeds: int


@dataclass(frozen=True)
class Paired:
    """A mean difference over users, its interval, its size in standard deviations, and two tests of it."""

    mean: float
    low: float
    high: float
    effect_size: float
    t_p: float
    wilcoxon_p: float
    n_users: int


def _width(spread: Values, confidence: float) -> float:
    """Return half an interval around the mean of (n_seeds, n_users) values: users and seeds are both drawn."""
    n_seeds, n_users = spread.shape
    variance = float(spread.mean(axis=0).var(ddof=1)) / n_users if n_users > 1 else math.inf
    if n_seeds > 1:
        variance += float(spread.mean(axis=1).var(ddof=1)) / n_seeds
    return float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt(variance)


def interval(values: Values, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of (n_seeds, n_users) values with its interval."""
    mean = float(values.mean())
    width = _width(values, confidence)
    return Interval(mean, mean - width, mean + width, values.shape[1], values.shape[0])


def relative_interval(clean: Values, attacked: Values, confidence: float = CONFIDENCE) -> Interval:
    """Return attacked over clean minus 1, of the means of two (n_seeds, n_users) arrays, with its interval."""
    base = float(clean.mean())
    if not base:
        return Interval(math.nan, math.nan, math.nan, clean.shape[1], clean.shape[0])
    change = float(attacked.mean()) / base - 1
    width = _width((attacked - (1 + change) * clean) / base, confidence)
    return Interval(change, change - width, change + width, clean.shape[1], clean.shape[0])


def paired(one: Values, other: Values, confidence: float = CONFIDENCE) -> Paired:
    """Compare two (n_seeds, n_users) arrays of the same users: one minus other, each user's mean over seeds."""
    difference = one.mean(axis=0) - other.mean(axis=0)
    mean, spread, n_users = float(difference.mean()), float(difference.std(ddof=1)), len(difference)
    if not difference.any():
        return Paired(0.0, 0.0, 0.0, 0.0, 1.0, 1.0, n_users)
    width = float(stats.norm.ppf(0.5 + confidence / 2)) * spread / math.sqrt(n_users)
    size = mean / spread if spread else math.copysign(math.inf, mean)
    t_p = float(stats.ttest_1samp(difference, 0.0).pvalue) if spread else 0.0
    rank_p = float(stats.wilcoxon(difference).pvalue)
    return Paired(mean, mean - width, mean + width, size, t_p, rank_p, n_users)


def holm(p_values: Sequence[float]) -> Values:
    """Return p values corrected for their number, after Holm 1979."""
    if not len(p_values):
        return np.zeros(0)
    return np.asarray(multipletests(np.asarray(p_values, np.float64), method="holm")[1], np.float64)
