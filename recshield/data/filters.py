"""Which rows count: thresholds on ratings, cores, cold users, duplicates; one after the other, each counted.

The definitions are those of Elliot (Anelli et al. 2021, arXiv:2103.02590, "prefiltering"; `duplicates` is not there).
With a split that the files give, a filter sees training and test rows together, and every row that is kept stays on
its side.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData, BadSpec
from recshield.core.settings import RATING_THRESHOLD
from recshield.data.ids import encode
from recshield.data.rules import Rule, check_least, read_rule
from recshield.data.table import Table

_RATING_FILTER = re.compile(r"ratings>=(-?\d+(?:\.\d+)?|user-average|global-average)")
_NAMED = re.compile(r"\s*[a-z][a-z-]*\s*(:|$)")
_MAX_ROWS = 2**31 - 1
_RATINGS_FORM = "ratings>=NUMBER, ratings>=user-average, ratings>=global-average"

Kept = NDArray[np.bool_]
#: From (n_items,) original ids to whether each item has an image.
AreThere = Callable[[NDArray[np.generic]], Kept]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """A table whose users and items are counted from 0.

    Attributes:
        users: (n_rows,) int64.
        items: (n_rows,) int64.
        ratings: (n_rows,) float32, or None.
        times: (n_rows,) seconds, or None.
        is_test: (n_rows,) bool, or None.
        have_images: (n_items,) bool, or None where nobody asks.
    """

    users: Codes
    items: Codes
    ratings: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | NDArray[np.float64] | None = None
    is_test: Kept | None = None
    have_images: Kept | None = None

    @classmethod
    def of(cls, table: Table, are_there: AreThere | None = None) -> Rows:
        """Return the rows of a table; `are_there` says which items have an image."""
        users = encode(table.users, table.user_ids)[1]
        item_ids, items = encode(table.items, table.item_ids)
        have_images = are_there(item_ids) if are_there else None
        return cls(users, items, table.ratings, table.times, table.is_test, have_images)


@dataclass(frozen=True)
class Filter(Rule):
    """Says which rows stay."""

    @abstractmethod
    def kept(self, rows: Rows) -> Kept:
        """Return (n_rows,) whether each row stays."""


@dataclass(frozen=True)
class RatingsAtLeast(Filter):
    """Keep rows rated at least a number, or at least the mean rating of the row's user or of all rows."""

    form = _RATINGS_FORM
    least: str

    def kept(self, rows: Rows) -> Kept:
        """Compare without rounding: rating x count against the sum, both exact in float64."""
        assert rows.ratings is not None
        if self.least == "user-average":
            sums = np.bincount(rows.users, weights=rows.ratings)
            counts = np.bincount(rows.users)
            above: Kept = rows.ratings.astype(np.float64) * counts[rows.users] >= sums[rows.users]
            return above
        if self.least == "global-average":
            whole: Kept = rows.ratings.astype(np.float64) * len(rows.ratings) >= rows.ratings.sum(dtype=np.float64)
            return whole
        plain: Kept = rows.ratings >= float(self.least)
        return plain


def _often(codes: Codes, is_kept: Kept, least: int) -> Kept:
    """Return the kept rows whose user (or item) has at least `least` kept rows."""
    counts = np.bincount(codes[is_kept], minlength=int(codes.max(initial=-1)) + 1)
    return is_kept & (counts[codes] >= least)


@dataclass(frozen=True)
class Core(Filter):
    """Drop users, then items, with fewer than `core` rows, until nothing changes or for `rounds` rounds."""

    form = "kcore:K[,rounds=N]"
    core: int
    rounds: int = 0  # until nothing changes

    def __post_init__(self) -> None:
        check_least("filter 'kcore'", "core", self.core, 1)
        check_least("filter 'kcore'", "rounds", self.rounds, 0)

    def kept(self, rows: Rows) -> Kept:
        """Iterate; the result until nothing changes does not depend on which side is first."""
        is_kept = np.ones(len(rows.users), dtype=bool)
        n_rounds = 0
        while self.rounds == 0 or n_rounds < self.rounds:
            before = int(is_kept.sum())
            is_kept = _often(rows.users, is_kept, self.core)
            is_kept = _often(rows.items, is_kept, self.core)
            n_rounds += 1
            if int(is_kept.sum()) == before:
                break
        return is_kept


@dataclass(frozen=True)
class UserCore(Filter):
    """Drop users with fewer than `core` rows, once."""

    form = "kcore-user:K"
    core: int

    def __post_init__(self) -> None:
        check_least("filter 'kcore-user'", "core", self.core, 1)

    def kept(self, rows: Rows) -> Kept:
        """Count the rows of each user."""
        return _often(rows.users, np.ones(len(rows.users), dtype=bool), self.core)


@dataclass(frozen=True)
class ItemCore(Filter):
    """Drop items with fewer than `core` rows, once."""

    form = "kcore-item:K"
    core: int

    def __post_init__(self) -> None:
        check_least("filter 'kcore-item'", "core", self.core, 1)

    def kept(self, rows: Rows) -> Kept:
        """Count the rows of each item."""
        return _often(rows.items, np.ones(len(rows.items), dtype=bool), self.core)


@dataclass(frozen=True)
class ColdUsers(Filter):
    """Keep users with at most `most` rows."""

    form = "cold-users:N"
    most: int

    def __post_init__(self) -> None:
        check_least("filter 'cold-users'", "most", self.most, 1)

    def kept(self, rows: Rows) -> Kept:
        """Count the rows of each user."""
        cold: Kept = np.bincount(rows.users)[rows.users] <= self.most
        return cold


@dataclass(frozen=True)
class Duplicates(Filter):
    """Keep the earliest row of each user and item; training rows are earlier than test rows that the files give."""

    form = "duplicates"

    def kept(self, rows: Rows) -> Kept:
        """Sort by side and time; equal times keep file order."""
        n_rows = len(rows.users)
        sides = np.zeros(n_rows, dtype=bool) if rows.is_test is None else rows.is_test
        order = np.lexsort((sides,) if rows.times is None else (rows.times, sides))
        pairs = rows.users * (int(rows.items.max(initial=0)) + 1) + rows.items
        first = order[np.unique(pairs[order], return_index=True)[1]]
        is_kept = np.zeros(n_rows, dtype=bool)
        is_kept[first] = True
        return is_kept


@dataclass(frozen=True)
class WithImage(Filter):
    """Keep rows of items that have an image file."""

    form = "images"

    def kept(self, rows: Rows) -> Kept:
        """Look the items up."""
        assert rows.have_images is not None
        pictured: Kept = rows.have_images[rows.items]
        return pictured


#: Every filter but those on ratings, by name.
FILTERS: dict[str, type[Filter]] = {
    "kcore": Core,
    "kcore-user": UserCore,
    "kcore-item": ItemCore,
    "cold-users": ColdUsers,
    "duplicates": Duplicates,
    "images": WithImage,
}


def read_filter(text: str) -> Filter:
    """Return the filter that a text means, or raise BadSpec, UnknownName, UnknownOption or BadValue."""
    match = _RATING_FILTER.fullmatch(text.replace(" ", ""))
    if match:
        return RatingsAtLeast(match[1])
    if not _NAMED.match(text):
        forms = ", ".join(one.form for one in FILTERS.values())
        raise BadSpec(f"filter '{text}' is not known; allowed: {_RATINGS_FORM}, {forms}")
    made: Filter = read_rule("filter", text, FILTERS, f"{_RATINGS_FORM}, ")
    return made


def filter_rows(
    table: Table, filters: Sequence[str], facts: dict[str, str], are_there: AreThere | None = None
) -> Table:
    """Return the rows that pass every filter, in the order given; counts go to `facts`.

    Args:
        table: the rows.
        filters: as `--filter` takes them.
        facts: gets the counts.
        are_there: which items have an image; None = the data set has no images.

    Raises:
        BadData: a filter needs ratings or images and there are none; no row is left; there are too many rows.
    """
    made = [read_filter(text) for text in filters]
    if not any(isinstance(one, RatingsAtLeast) for one in made):
        table = _above_threshold(table, facts)
    width = len(str(len(made)))
    for number, (text, one) in enumerate(zip(filters, made, strict=True), start=1):
        if isinstance(one, RatingsAtLeast) and table.ratings is None:
            raise BadData(f"filter '{text}' needs ratings, and these files have none; leave it out")
        if isinstance(one, WithImage) and are_there is None:
            raise BadData(f"filter '{text}' needs images, and this data set has none; name their folder with --images")
        rows = Rows.of(table, are_there if isinstance(one, WithImage) else None)
        kept = one.kept(rows)
        place = f"{number:0{width}d} " if len(made) > 1 else ""
        facts[f"filter {place}{text}"] = _counted(rows, kept)
        table = table.keep(kept)
        if len(table) == 0:
            break
    if len(table) == 0:
        raise BadData("no row is left after the filters; loosen them")
    if len(table) > _MAX_ROWS:
        raise BadData(f"{len(table)} rows are too many; at most {_MAX_ROWS} fit 32-bit ids")
    return table


def _above_threshold(table: Table, facts: dict[str, str]) -> Table:
    """Return the rows that count where no filter speaks of ratings."""
    if table.ratings is None:
        return table
    kept = table.ratings >= RATING_THRESHOLD
    if not kept.all():
        facts["below the threshold"] = f"{int((~kept).sum())} ratings below {RATING_THRESHOLD:g} do not count"
        table = table.keep(kept)
    facts["ratings"] = "every rating counts as an interaction (threshold 0); use --filter 'ratings>=4' for another"
    return table


def _counted(rows: Rows, kept: Kept) -> str:
    """Return rows, users and items before and after."""
    users, items = (
        f"{np.count_nonzero(np.bincount(codes[kept]))} of {int(codes.max(initial=-1)) + 1}"
        for codes in (rows.users, rows.items)
    )
    return f"{int(kept.sum())} of {len(kept)} rows, {users} users, {items} items kept"
