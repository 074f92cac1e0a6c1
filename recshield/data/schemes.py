"""Ways to part rows into training and test; each is a pure function of sorted arrays and of a generator.

Times, shares and folds are taken per user as Elliot does (Anelli et al. 2021, arXiv:2103.02590), with two differences:
a share never takes a user's last training row, and folds are dealt in random order instead of the order of the file.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData, BadValue
from recshield.core.specs import number
from recshield.data.rules import Rule, check_least, check_share, exact, read_rule

IsTest = NDArray[np.bool_]
_BEST = "best"
_WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Events:
    """Rows sorted by user, then by time; equal times keep file order.

    Attributes:
        users: (n_rows,) int64 from 0, ascending.
        items: (n_rows,) int64 from 0.
        times: (n_rows,) seconds, or None where the files have none.
        is_test: (n_rows,) bool where the files give a split, else None.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[Any] | None = None
    is_test: IsTest | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n_rows,) number of rows of each row's user."""
        counts = np.bincount(self.users)
        return counts[self.users]

    @property
    def places(self) -> NDArray[np.int64]:
        """(n_rows,) place of each row among its user's rows, from 0."""
        counts = np.bincount(self.users)
        return np.arange(len(self.users)) - (np.cumsum(counts) - counts)[self.users]

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return places in an order drawn for each user."""
        order = np.lexsort((rng.random(len(self.users)), self.users))
        drawn = np.empty(len(order), dtype=np.int64)
        drawn[order] = self.places
        return drawn


@dataclass(frozen=True)
class Scheme(Rule):
    """Says which rows are test rows."""

    @abstractmethod
    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Return (n_rows,) whether each row is a test row."""

    @abstractmethod
    def said(self, events: Events) -> str:
        """Return what was done, for people."""

    def needs_order(self) -> bool:
        """Return whether the order of a user's rows decides."""
        return False

    def folds(self) -> int:
        """Return how many splits there are."""
        return 1

    def draw(self, fold: int) -> int:
        """Return which draw a fold is part of."""
        return fold

    def n_needed(self) -> int:
        """Return the rows that a user needs to have a test row; 0 where that does not depend on it."""
        return 2


@dataclass(frozen=True)
class LeaveOneOut(Scheme):
    """The latest row of each user."""

    form = "leave-one-out"

    def needs_order(self) -> bool:
        """The latest row is taken."""
        return True

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Take the last place of each user with two rows."""
        last: IsTest = (events.places == events.sizes - 1) & (events.sizes >= 2)
        return last

    def said(self, events: Events) -> str:
        """Name the rule for equal times."""
        return "leave-one-out by time (equal times: the later row of the file is the later event)"


@dataclass(frozen=True)
class LeaveOut(Scheme):
    """The latest, or random, `n` rows of each user with more than `n`."""

    form = "leave-out:N[,random]"
    flags = {"random": "is_random"}  # noqa: RUF012 - declared in Rule
    n: int
    is_random: bool = False

    def __post_init__(self) -> None:
        check_least("split 'leave-out'", "n", self.n, 1)

    def needs_order(self) -> bool:
        """Random rows need no order."""
        return not self.is_random

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Take the last places, in order of time or of the draw."""
        places = events.shuffled(rng) if self.is_random else events.places
        return (places >= events.sizes - self.n) & (events.sizes > self.n)

    def said(self, events: Events) -> str:
        """Say which rows."""
        which = "random" if self.is_random else "latest"
        return f"the {which} {self.n} rows of each user with more are test rows"

    def n_needed(self) -> int:
        """One more than are taken."""
        return self.n + 1


def _n_test(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return how many rows a share takes: all but floor(size x (1 - share)), and one row at least stays."""
    part = 1 - exact(share)
    if part.denominator > 10**9:
        part = part.limit_denominator(10**9)
    taken: NDArray[np.int64] = np.minimum(sizes - sizes * part.numerator // part.denominator, sizes - 1)
    return taken


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
            return events.places >= events.sizes - _n_test(events.sizes, self.share)
        return _from(events, self._start(events))

    def _start(self, events: Events) -> Any:
        times = np.sort(_times(events, self.form))
        n_test = int(_n_test(np.array([len(times)]), self.share)[0])
        return times[len(times) - max(n_test, 1)]

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


@dataclass(frozen=True)
class RandomShare(Scheme):
    """A random share of each user's rows, drawn `repeats` times."""

    form = "random:SHARE[,repeats=N]"
    share: float
    repeats: int = 1

    def __post_init__(self) -> None:
        check_share("split 'random'", self.share)
        check_least("split 'random'", "repeats", self.repeats, 1)

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Take the last places of the draw."""
        return events.shuffled(rng) >= events.sizes - _n_test(events.sizes, self.share)

    def said(self, events: Events) -> str:
        """Name the share."""
        return f"a random {self.share:g} of each user's rows are test rows"

    def folds(self) -> int:
        """Return the repeats."""
        return self.repeats


@dataclass(frozen=True)
class KFold(Scheme):
    """Each user's rows are dealt to k folds in random order; each fold is the test rows once."""

    form = "kfold:K"
    k: int

    def __post_init__(self) -> None:
        check_least("split 'kfold'", "k", self.k, 2)

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Deal; each user's first card goes to a random fold, so that the folds are of one size."""
        first = rng.integers(self.k, size=int(events.users.max(initial=-1)) + 1)
        taken: IsTest = (events.shuffled(rng) + first[events.users]) % self.k == fold
        return taken

    def said(self, events: Events) -> str:
        """Name k."""
        return f"each user's rows are dealt at random to {self.k} folds; one fold is the test rows"

    def folds(self) -> int:
        """Return k."""
        return self.k

    def draw(self, fold: int) -> int:
        """All folds are dealt at once."""
        return 0

    def n_needed(self) -> int:
        """A row in every fold."""
        return self.k


@dataclass(frozen=True)
class ColdItems(Scheme):
    """A random share of the items has no training row: all their rows are test rows."""

    form = "cold:SHARE"
    share: float

    def __post_init__(self) -> None:
        check_share("split 'cold'", self.share)

    def cold(self, n_items: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the items that are held out; at least one is, and at least one is not."""
        n_cold = min(max(round(n_items * exact(self.share)), 1), n_items - 1)
        return np.sort(rng.permutation(n_items)[:n_cold])

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Take every row of a cold item."""
        n_items = int(events.items.max(initial=-1)) + 1
        is_cold = np.zeros(n_items, dtype=bool)
        is_cold[self.cold(n_items, rng)] = True
        return is_cold[events.items]

    def said(self, events: Events) -> str:
        """Name the share."""
        return f"a random {self.share:g} of the items are held out; they are no negatives, and stay candidates"

    def n_needed(self) -> int:
        """It looks at items."""
        return 0


@dataclass(frozen=True)
class Given(Scheme):
    """The split that the files give."""

    form = "given"

    def is_test(self, events: Events, rng: np.random.Generator, fold: int) -> IsTest:
        """Return what the files say."""
        if events.is_test is None:
            raise BadData("split 'given' needs files that give a split, and these do not; use --split leave-one-out")
        return events.is_test

    def said(self, events: Events) -> str:
        """Say so."""
        return "as the files give it"

    def n_needed(self) -> int:
        """The files say."""
        return 0


#: Every split by name.
SCHEMES: dict[str, type[Scheme]] = {
    "leave-one-out": LeaveOneOut,
    "leave-out": LeaveOut,
    "temporal": Temporal,
    "timestamp": Timestamp,
    "random": RandomShare,
    "kfold": KFold,
    "cold": ColdItems,
    "given": Given,
}


def read_scheme(text: str) -> Scheme | None:
    """Return the split that a text means, or None for "": given where the files give one, else leave-one-out.

    Raises:
        BadSpec: it cannot be read.
        UnknownName: no such split.
        UnknownOption: the split has no such option.
        BadValue: a value outside what is allowed.
    """
    made: Scheme | None = read_rule("split", text, SCHEMES) if text else None
    return made


def check_fold(scheme: Scheme | None, fold: int) -> None:
    """Raise BadValue where a split has no such fold."""
    n_folds = scheme.folds() if scheme else 1
    if not 0 <= fold < n_folds:
        raise BadValue(f"fold {fold} is not there; this split has {n_folds}, counted from 0")
