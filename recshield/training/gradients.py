"""The gradient of a loss over triplets of an inner-product model, as one native kernel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.errors import BadValue
from recshield.core.lowlevel import prefetch
from recshield.training.passes import inlined

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
#: Of users and of items; None where there is none.
Tables = tuple[Matrix | None, Matrix | None]

#: Losses of the score difference x that the kernel knows, by the number that it takes.
KINDS = {"bpr": 0, "linear": 1, "margin": 2, "top": 2}
#: Triplets whose rows are asked for before they are read, and floats in a cache line.
_AHEAD, _LINE = 8, 16


@inlined
def _ask(table: Matrix, row: int) -> None:
    """Ask for a row."""
    place = np.int64(row) * table.shape[1]
    for k in range(0, table.shape[1], _LINE):
        prefetch(table, place + k)


@inlined
def _slope(margin: np.float32, kind: int) -> tuple[np.float32, float]:
    """Return minus the derivative of the loss in the score difference, and the loss."""
    if kind == 0:
        # exp of a non-positive number cannot overflow
        small = np.float32(math.exp(-abs(margin)))
        slope = np.float32(1.0) / (np.float32(1.0) + small)
        return small * slope if margin > 0 else slope, math.log1p(small) + max(-float(margin), 0.0)
    if kind == 2 and margin < 0:  # clamped; what is not a number is not below 0, and stays
        return np.float32(0.0), 0.0
    return np.float32(1.0), -float(margin)


@kernel(reorder=True)
def _triplet_gradient(
    user_table: Matrix,
    item_table: Matrix,
    user_delta: Matrix,
    item_delta: Matrix,
    triplets: Rows,
    kind: int,
    scale: np.float32,
    to_users: Matrix,
    to_items: Matrix,
) -> float:
    """Add a gradient in place; a perturbation or a gradient of one row stands for none, and is read or written there.

    No branch asks whether they are there: in a loop with branches Numba counts the references to each row.
    """
    users, positives, negatives = triplets[0], triplets[1], triplets[2]
    width = user_table.shape[1]
    user, liked, other = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    moves_user, moves_item = min(len(user_delta) - 1, 1), min(len(item_delta) - 1, 1)
    wants_user, wants_item = min(len(to_users) - 1, 1), min(len(to_items) - 1, 1)
    total = 0.0
    for place in range(len(users)):
        u, i, j = users[place], positives[place], negatives[place]
        if place + _AHEAD < len(users):
            next_i, next_j = positives[place + _AHEAD], negatives[place + _AHEAD]
            _ask(item_table, next_i)
            _ask(item_table, next_j)
            _ask(item_delta, next_i * moves_item)
            _ask(item_delta, next_j * moves_item)
            _ask(to_items, next_i * wants_item)
            _ask(to_items, next_j * wants_item)
        held, added = user_table[u], user_delta[u * moves_user]
        for k in range(width):
            user[k] = held[k] + added[k]
        held, added = item_table[i], item_delta[i * moves_item]
        for k in range(width):
            liked[k] = held[k] + added[k]
        held, added = item_table[j], item_delta[j * moves_item]
        for k in range(width):
            other[k] = held[k] + added[k]
        margin = np.float32(0.0)
        for k in range(width):
            margin += user[k] * (liked[k] - other[k])
        slope, loss = _slope(margin, kind)
        total += loss
        if slope == 0:  # nothing is left to win
            continue
        slope *= scale
        goal = to_users[u * wants_user]
        for k in range(width):
            goal[k] -= slope * (liked[k] - other[k])
        goal = to_items[i * wants_item]
        for k in range(width):
            goal[k] -= slope * user[k]
        goal = to_items[j * wants_item]
        for k in range(width):
            goal[k] += slope * user[k]
    return total


def triplet_gradient(
    tables: Tables, triplets: Rows, loss: str, into: Tables, scale: float = 1.0, delta: Tables = (None, None)
) -> float:
    """Add `scale` times the gradient of the summed loss of triplets to tables in place, and return the summed loss.

    Args:
        tables: (n_users, width) and (n_items, width) float32, of users and of items.
        triplets: (3, n) rows of users, of the items that they have, and of items that they have not.
        loss: a name of `KINDS`.
        into: like `tables`; None where no gradient is wanted.
        scale: of what is added.
        delta: like `tables`, added to them; None = nothing.

    Raises:
        BadValue: a perturbation or a gradient is not like its table, beyond which compiled code would read and write.

    Source: He et al. 2018 (APR), Eq. 13 and 14, for `bpr`; the other losses are linear in the score difference.
    """
    users, items = tables
    assert users is not None
    assert items is not None
    for one, table in zip((*delta, *into), (users, items) * 2, strict=True):
        if one is not None and (one.shape != table.shape or one.dtype != table.dtype):
            found, wanted = f"{one.dtype} of shape {one.shape}", f"{table.dtype} of shape {table.shape}"
            raise BadValue(f"a perturbation is {found}; its surface is {wanted}")
    held = [np.zeros((1, users.shape[1]), np.float32) if one is None else one for one in (*delta, *into)]
    more = (triplets, KINDS[loss], np.float32(scale))
    return float(_triplet_gradient(users, items, held[0], held[1], *more, held[2], held[3]))
