"""From rows to training and test: filters on ratings, the files' split, leave-one-out by time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData, BadSpec
from recshield.core.settings import RATING_THRESHOLD
from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.data.table import Table

_RATING_FILTER = re.compile(r"ratings>=(-?\d+(?:\.\d+)?)")
_MAX_ROWS = 2**31 - 1


@dataclass(frozen=True)
class Split:
    """A data set ready to train on, its test rows, and what was done to get there.

    Attributes:
        dataset: training rows; all that plugins see.
        test: the test rows.
        facts: name -> text, in the order of the work.
    """

    dataset: Dataset
    test: HeldOut
    facts: dict[str, str]


def filter_rows(table: Table, filters: Sequence[str], facts: dict[str, str]) -> Table:
    """Return the rows that pass `ratings>=X` filters; counts go to `facts`."""
    for text in filters:
        match = _RATING_FILTER.fullmatch(text.replace(" ", ""))
        if not match:
            raise BadSpec(f"filter '{text}' is not known; allowed: ratings>=NUMBER, for example ratings>=4")
        if table.ratings is None:
            raise BadData(f"filter '{text}' needs ratings, and these files have none; leave it out")
        kept = table.ratings >= float(match[1])
        facts[f"filter {text}"] = f"{int(kept.sum())} of {len(table)} rows kept"
        table = table.keep(kept)
    if not filters and table.ratings is not None and bool((table.ratings < RATING_THRESHOLD).any()):
        kept = table.ratings >= RATING_THRESHOLD
        facts["below the threshold"] = f"{int((~kept).sum())} ratings below {RATING_THRESHOLD:g} do not count"
        table = table.keep(kept)
    if not filters:
        facts["ratings"] = "every rating counts as an interaction (threshold 0); use --filter 'ratings>=4' for another"
    if len(table) == 0:
        raise BadData("no row is left after the filters; loosen them")
    if len(table) > _MAX_ROWS:
        raise BadData(f"{len(table)} rows are too many; at most {_MAX_ROWS} fit 32-bit ids")
    return table


def _last_of_each(users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which row is the last of its user, for rows sorted by user."""
    is_last = np.ones(len(users), dtype=bool)
    is_last[:-1] = users[1:] != users[:-1]
    return is_last


def split_rows(table: Table, name: str, facts: dict[str, str]) -> Split:
    """Return training and test rows: the split that the files give, else leave-one-out by time.

    Ids are counted over training and test together. Ties in time keep the order of the file, so the later row is the
    later event. A user with a single row keeps it in training, has no test row, and is counted.

    Raises:
        BadData: no training row or no test row is left.
    """
    user_ids, users = np.unique(table.users, return_inverse=True)
    item_ids, items = np.unique(table.items, return_inverse=True)
    times = np.zeros(len(table), dtype=np.int64) if table.times is None else table.times
    order = np.lexsort((times, users))  # lexsort is stable: equal times keep file order
    users, items = users[order], items[order]
    if table.is_test is not None:
        is_test = table.is_test[order]
        facts["split"] = "as the files give it"
    else:
        n_rows = np.bincount(users, minlength=len(user_ids))
        is_test = _last_of_each(users) & (n_rows[users] >= 2)
        n_short = int((n_rows < 2).sum())
        facts["split"] = "leave-one-out by time (equal times: the later row of the file is the later event)"
        if n_short:
            facts["too short"] = f"{n_short} users with one row keep it in training and have no test row"
    if not is_test.any():
        raise BadData("no test row is left after the split; leave-one-out needs a user with at least two rows")
    if is_test.all():
        raise BadData("no training row is left after the split; give rows that are not test rows")
    train = Interactions.from_rows(users[~is_test], items[~is_test], len(user_ids), len(item_ids))
    test = HeldOut.from_rows(users[is_test], items[is_test])
    _count(train, test, facts)
    info = DataInfo(name, len(user_ids), len(item_ids), len(train))
    return Split(Dataset(info, train, user_ids, item_ids), test, facts)


def _count(train: Interactions, test: HeldOut, facts: dict[str, str]) -> None:
    sizes = np.diff(train.indptr)
    popularity = train.popularity()
    facts["size"] = (
        f"{train.n_users} users, {train.n_items} items, {len(train)} training rows, "
        f"{len(test)} test rows of {len(test.users)} users"
    )
    n_cold_users = int((sizes[test.users] == 0).sum())
    n_cold_rows = int((popularity[test.items] == 0).sum())
    keys = train.users.astype(np.int64) * train.n_items + train.items
    test_keys = test.row_users.astype(np.int64) * train.n_items + test.items
    n_repeated = int(np.isin(test_keys, keys).sum())
    if n_cold_users:
        facts["cold users"] = f"{n_cold_users} evaluated users have no training row"
    if n_cold_rows:
        facts["cold items"] = f"{n_cold_rows} test rows are of an item without a training row"
    if n_repeated:
        facts["repeated"] = f"{n_repeated} test rows repeat a training row of their user; they stay candidates"
