"""Validation rows: cut from the training rows, and only where something is selected."""

from __future__ import annotations

import numpy as np

from recshield.core.errors import BadData
from recshield.core.seeds import number
from recshield.core.settings import SELECT_LEAST_ROWS
from recshield.data.interactions import HeldOut, Interactions


def cut_validation(
    train: Interactions, data_seed: int, *, is_ordered: bool = True, least: int = SELECT_LEAST_ROWS
) -> tuple[Interactions, HeldOut]:
    """Return the training rows without one of every user with at least `least` of them, and the rows cut.

    Args:
        train: the rows of a user in order of time, if they have one.
        data_seed: of the draw where they have none.
        is_ordered: the latest row is cut; otherwise a random one, as the last is only the last in the file.
        least: fewest rows of a user who loses one.

    Raises:
        BadData: no user has as many.
    """
    counts = np.diff(train.indptr)
    place = counts - 1
    if not is_ordered:
        rng = np.random.default_rng(number(data_seed, "validation"))
        place = np.floor(rng.random(len(counts)) * counts).astype(np.int64)
    is_cut = np.zeros(len(train), dtype=bool)
    is_cut[(train.indptr[:-1] + place)[counts >= least]] = True
    if not is_cut.any():
        raise BadData(f"nothing can be selected: no user has {least} training rows; leave --select out")
    users, items = train.users, train.items
    rest = Interactions.from_rows(users[~is_cut], items[~is_cut], train.n_users, train.n_items, train.negatives)
    return rest, HeldOut.from_rows(users[is_cut], items[is_cut])
