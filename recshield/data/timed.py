"""Splits by time: the latest share, of each user or of all, and a fixed or the best timestamp."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.core.specs import number
from recshield.data.events import Events, IsTest, Scheme, n_test
from recshield.data.rules import check_least, check_share

_BEST = "best"
_WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Temporal(Scheme):
    """The latest share of each user's rows, or of all rows by one timestamp."""

    form = "temporal:SHARE[,global]"
    flags = {"global": "is_global"}  # noqa: RUF012
    share: float
    is_global: bool = False

    def needs_order(self) -> bool:
        """The latest rows are taken."""
        return True

    def __post_init__(self) -> None:
        check_share("split 'temporal'", self.share)

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Take the last places of each user, or the rows at or after the time at which the latest share begins."""
        if not self.is_global:
            return events.places >= events.sizes - n_test(events.sizes, self.share)
        return _from(events, self._start(events))

    def _start(self, events: Events) -> Any:
        times = np.sort(_times(events, self.form))
        n_latest = int(n_test(np.array([len(times)]), self.share)[0])
        return times[len(times) - max(n_latest, 1)]

    def said(self, events: Events) -> str:
        """Name the share and, where there is one, the timestamp."""
        if self.is_global:
            return (
                f"rows at or after {self._start(events)}, where the latest {self.share:g} of all begin, are test rows"
            )
        return f"the latest {self.share:g} of each user's rows are test rows"

    def n_needed(self) -> int:
        """One stays, one is taken; across users it does not depend on it."""
        return 0 if self.is_global else 2


def _times(events: Events, form: str) -> NDArray[Any]:
    if events.times is None:
        raise BadData(f"split '{form}' needs timestamps, and these files have none; use --split random:0.2")
    return events.times


def _from(events: Events, start: Any) -> IsTest:
    taken: IsTest = _times(events, "timestamp") >= start
    return taken


def best_timestamp(events: Events, below: int, over: int) -> Any:
    """Return the time that the most users have rows on both sides of.

    Among the times that occur, the one with the most users who have at least `below` rows before it and at least
    `over` rows at or after it; of several, the latest.

    Source: Anelli et al. 2019, "Local Popularity and Time in top-N Recommendation" (ECIR), with 15 and 5 rows; Elliot,
    whose defaults of 1 and 1 are taken here, settles ties so (`splitting_best_timestamp`).
    """
    times = _times(events, "timestamp:best")
    moments = np.unique(times)
    counts = np.bincount(events.users)
    starts = np.cumsum(counts) - counts
    is_long = counts >= below + over
    first = np.searchsorted(moments, times[starts[is_long] + below - 1], side="right")
    last = np.searchsorted(moments, times[starts[is_long] + counts[is_long] - over], side="right")
    change = np.zeros(len(moments) + 1, dtype=np.int64)
    wide = last > first
    np.add.at(change, first[wide], 1)
    np.add.at(change, last[wide], -1)
    n_users = np.cumsum(change)[:-1]
    if n_users.max(initial=0) == 0:
        raise BadData(
            f"no timestamp has {below} rows before it and {over} from it on for any user; "
            "lower below= and over=, or use another split"
        )
    return moments[np.flatnonzero(n_users == n_users.max())[-1]]


@dataclass(frozen=True)
class Timestamp(Scheme):
    """Rows at or after a time, or after the best one."""

    form = f"timestamp:SECONDS or timestamp:{_BEST}[,below=N][,over=N]"
    start: str
    below: int = 1
    over: int = 1

    def __post_init__(self) -> None:
        check_least("split 'timestamp'", "below", self.below, 1)
        check_least("split 'timestamp'", "over", self.over, 1)
        if self.start != _BEST:
            number(self.start, "split 'timestamp'")

    def _start(self, events: Events) -> Any:
        if self.start == _BEST:
            return best_timestamp(events, self.below, self.over)
        return int(self.start) if _WHOLE.fullmatch(self.start) else number(self.start, "split 'timestamp'")

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Compare."""
        return _from(events, self._start(events))

    def said(self, events: Events) -> str:
        """Name the timestamp and, where it was searched for, its rule."""
        text = f"rows at or after {self._start(events)} are test rows"
        if self.start != _BEST:
            return text
        return f"{text} (the latest time with the most users who have {self.below} rows before it, {self.over} from it)"

    def n_needed(self) -> int:
        """It looks across users."""
        return 0
