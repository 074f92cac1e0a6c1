"""Validation rows: cut from the training rows, and only where something is selected."""

from __future__ import annotations

import numpy as np

from recshield.core.errors import BadData
from recshield.core.settings import SELECT_LEAST_ROWS
from recshield.data.interactions import HeldOut, Interactions


def cut_latest(train: Interactions, least: int = SELECT_LEAST_ROWS) -> tuple[Interactions, HeldOut]:
    """Return the training rows without the latest of every user with at least `least` of them, and those rows.

    Raises:
        BadData: no user has as many.
    """
    counts = np.diff(train.indptr)
    is_cut = np.zeros(len(train), dtype=bool)
    is_cut[train.indptr[1:][counts >= least] - 1] = True
    if not is_cut.any():
        raise BadData(f"nothing can be selected: no user has {least} training rows; leave --select out")
    users, items = train.users, train.items
    rest = Interactions.from_rows(users[~is_cut], items[~is_cut], train.n_users, train.n_items, train.negatives)
    return rest, HeldOut.from_rows(users[is_cut], items[is_cut])
