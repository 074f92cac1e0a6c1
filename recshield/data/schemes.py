"""Ways to part rows into training and test; each is a pure function of sorted arrays and of a generator.

Times, shares and folds are taken per user as Elliot does (Anelli et al. 2021, arXiv:2103.02590), with two differences:
a share never takes a user's last training row, and folds are dealt in random order instead of the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData, BadValue
from recshield.data.events import Events, IsTest, Scheme, n_test
from recshield.data.rules import check_least, check_share, exact, read_rule
from recshield.data.timed import Temporal, Timestamp


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
        return events.shuffled(rng) >= events.sizes - n_test(events.sizes, self.share)

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
