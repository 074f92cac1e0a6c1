"""The gradient of a loss over triplets of an inner-product model, as one native kernel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel

Matrix = NDArray[np.float32]

#: Losses of the score difference x that the kernel knows, by the number that it takes.
KINDS = {"bpr": 0, "linear": 1, "margin": 2, "top": 2}


@kernel(reorder=True)
def _triplet_gradient(
    user_table: Matrix,
    item_table: Matrix,
    users: NDArray[np.int64],
    positives: NDArray[np.int64],
    negatives: NDArray[np.int64],
    kind: int,
    to_users: Matrix,
    to_items: Matrix,
) -> float:
    total = 0.0
    for row in range(len(users)):
        user, liked, other = user_table[users[row]], item_table[positives[row]], item_table[negatives[row]]
        margin = np.float32(0.0)
        for k in range(len(user)):
            margin += user[k] * (liked[k] - other[k])
        slope = np.float32(1.0)
        if kind == 0:
            small = np.float32(math.exp(-abs(margin)))
            slope = np.float32(1.0) / (np.float32(1.0) + small)
            if margin > 0:
                slope = small * slope
            total += math.log1p(small) + max(-float(margin), 0.0)
        elif kind == 1:
            total -= float(margin)
        else:
            if margin < 0:  # clamped: nothing is left to win
                continue
            total -= float(margin)
        to_user, to_liked, to_other = to_users[users[row]], to_items[positives[row]], to_items[negatives[row]]
        for k in range(len(user)):
            to_user[k] -= slope * (liked[k] - other[k])
        for k in range(len(user)):
            to_liked[k] -= slope * user[k]
        for k in range(len(user)):
            to_other[k] += slope * user[k]
    return total


def triplet_gradient(
    user_table: Matrix,
    item_table: Matrix,
    users: NDArray[np.int64],
    positives: NDArray[np.int64],
    negatives: NDArray[np.int64],
    loss: str,
) -> tuple[float, Matrix, Matrix]:
    """Return the summed loss of triplets and its gradient with respect to both tables.

    Args:
        user_table: (n_users, width) float32.
        item_table: (n_items, width) float32.
        users: (n,) rows of the user table.
        positives: (n,) rows of the item table.
        negatives: (n,) rows of the item table.
        loss: a name of `KINDS`.

    Source: He et al. 2018 (APR), Eq. 13 and 14, for `bpr`; the other losses are linear in the score difference.
    """
    to_users, to_items = np.zeros_like(user_table), np.zeros_like(item_table)
    arguments = (user_table, item_table, users, positives, negatives, KINDS[loss], to_users, to_items)
    return float(_triplet_gradient(*arguments)), to_users, to_items
