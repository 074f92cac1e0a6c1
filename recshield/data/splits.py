"""From rows to training and test: sorted by user and time, parted by a scheme, counted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.core.seeds import number
from recshield.data.events import Events, Scheme
from recshield.data.ids import encode
from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.data.schemes import ColdItems, Given, KFold, LeaveOneOut, check_fold
from recshield.data.table import Table


@dataclass(frozen=True)
class Split:
    """A data set ready to train on, its test rows, and what was done to get there.

    Attributes:
        dataset: training rows; all that plugins see.
        test: the test rows.
        facts: name -> text, in the order of the work.
        is_ordered: the rows of a user stand in order of time.
    """

    dataset: Dataset
    test: HeldOut
    facts: dict[str, str]
    is_ordered: bool = True


def split_rows(
    table: Table, name: str, facts: dict[str, str], scheme: Scheme | None = None, data_seed: int = 0, fold: int = 0
) -> Split:
    """Return training and test rows.

    Ids are counted over training and test together. Ties in time keep the order of the file, so the later row is the
    later event.

    Args:
        table: the rows.
        name: of the data set.
        facts: gets what was done, name -> text.
        scheme: None = the split that the files give, else leave-one-out by time.
        data_seed: of what is drawn.
        fold: which of the scheme's splits.

    Raises:
        BadData: no training row or no test row is left; the scheme needs times that are not there.
        BadValue: the scheme has no such fold.
    """
    check_fold(scheme, fold)
    user_ids, users = encode(table.users, table.user_ids)
    item_ids, items = encode(table.items, table.item_ids)
    # lexsort is stable: equal times keep file order
    order = np.lexsort((users,) if table.times is None else (table.times, users))
    times = None if table.times is None else table.times[order]
    given = None if table.is_test is None else table.is_test[order]
    events = Events(users[order], items[order], times, given)
    chosen = scheme or (LeaveOneOut() if given is None else Given())
    _check_order(table, chosen)
    rng = np.random.default_rng(number(data_seed, "split", chosen.draw(fold)))
    is_test = chosen.is_test(events, rng, fold)
    _tell(chosen, events, fold, facts)
    if not is_test.any():
        raise BadData(f"no test row is left after the split; {_advice(chosen)}")
    if is_test.all():
        raise BadData("no training row is left after the split; give rows that are not test rows")
    made = _made(events, is_test, chosen, (user_ids, item_ids), name, facts)
    return dataclasses.replace(made, is_ordered=table.times is not None or table.is_ordered)


def _check_order(table: Table, scheme: Scheme) -> None:
    if scheme.needs_order() and table.times is None and not table.is_ordered:
        raise BadData(
            f"split '{scheme.form}' needs the order of time, and these rows have neither times nor an order; "
            "use a random one, for example --split leave-out:1,random or --split random:0.2"
        )


def _advice(scheme: Scheme) -> str:
    if isinstance(scheme, LeaveOneOut):
        return "leave-one-out needs a user with at least two rows"
    return "loosen the filters or use another --split"


def _tell(scheme: Scheme, events: Events, fold: int, facts: dict[str, str]) -> None:
    """Note what was done, and which users were too short for it."""
    text = scheme.said(events)
    if scheme.folds() > 1:
        text += f"; this is number {fold + 1} of {scheme.folds()}"
    if events.is_test is not None and not isinstance(scheme, Given):
        text += "; the split that the files give is set aside"
    facts["split"] = text
    counts = np.bincount(events.users)
    n_short = int((counts < scheme.n_needed()).sum())
    if not n_short:
        return
    if isinstance(scheme, KFold):
        facts["too short"] = f"{n_short} users with fewer than {scheme.k} rows have no test row in some folds"
    elif scheme.n_needed() == 2:
        facts["too short"] = f"{n_short} users with one row keep it in training and have no test row"
    else:
        least = scheme.n_needed()
        facts["too short"] = f"{n_short} users with fewer than {least} rows keep them in training and have no test row"


def _made(
    events: Events,
    is_test: NDArray[np.bool_],
    scheme: Scheme,
    ids: tuple[NDArray[np.generic], NDArray[np.generic]],
    name: str,
    facts: dict[str, str],
) -> Split:
    """Return the split as arrays; items that a scheme holds out are no negatives."""
    user_ids, item_ids = ids
    users, items = events.users, events.items
    negatives = None
    if isinstance(scheme, ColdItems):
        negatives = np.unique(items[~is_test]).astype(np.int32)
        facts["held out"] = f"{len(item_ids) - len(negatives)} of {len(item_ids)} items have no training row"
    train = Interactions.from_rows(users[~is_test], items[~is_test], len(user_ids), len(item_ids), negatives)
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
    keys = np.sort(train.users.astype(np.int64) * train.n_items + train.items)
    test_keys = test.row_users.astype(np.int64) * train.n_items + test.items
    found = np.minimum(np.searchsorted(keys, test_keys), len(keys) - 1)
    n_repeated = int((keys[found] == test_keys).sum())
    if n_cold_users:
        facts["cold users"] = f"{n_cold_users} evaluated users have no training row"
    if n_cold_rows:
        facts["cold items"] = f"{n_cold_rows} test rows are of an item without a training row"
    if n_repeated:
        facts["repeated"] = f"{n_repeated} test rows repeat a training row of their user; they stay candidates"
