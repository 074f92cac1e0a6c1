"""The effect of an attack: after minus before, per user, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from recshield.core.settings import CONFIDENCE, LEAST_USERS


@dataclass(frozen=True)
class Interval:
    """A mean with a two-sided interval.

    Attributes:
        mean: over users and seeds, or a relative change of such means.
        low: lower end.
        high: upper end.
        n_users: users that count.
        n_seeds: seeds.
    """

    mean: float
    low: float
    high: float
    n_users: int
    n_seeds: int = 1

    @property
    def is_below_zero(self) -> bool:
        """Whether the whole interval is below zero; never over a handful of users."""
        return self.n_users >= LEAST_USERS and self.high < 0

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is above zero; never over a handful of users."""
        return self.n_users >= LEAST_USERS and self.low > 0


def difference(after: NDArray[np.floating], before: NDArray[np.floating], confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of after - before over the same users, with its normal interval.

    Args:
        after: (n_users,) values.
        before: (n_users,) values of the same users in the same order.
        confidence: two-sided.

    Raises:
        ValueError: the two have different lengths.
    """
    if after.shape != before.shape:
        raise ValueError(f"paired values differ in shape: {after.shape} and {before.shape}")
    values = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    width = float(special.ndtri(0.5 + confidence / 2)) * error
    return Interval(mean, mean - width, mean + width, len(values))


def relative_change(attacked: float, clean: float) -> float:
    """Return attacked / clean - 1, or NaN where clean is 0."""
    return attacked / clean - 1.0 if clean else math.nan
