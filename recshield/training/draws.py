"""Negative sampling and the order of an epoch, each from its own named draw."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.halves import both
from recshield.core.seeds import number
from recshield.data.interactions import Interactions

_STEP = np.uint64(0x9E3779B97F4A7C15)
#: Members that are compared one and all, several at a time.
_SHORT = 32


@numba.njit(inline="always")
def mix(value: np.uint64) -> np.uint64:
    """Return splitmix64 of a counter (Steele et al. 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel(reorder=False)
def _draw_negatives(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    indptr: NDArray[np.int64],
    members: NDArray[np.int32],
    n_items: int,
    seed: np.uint64,
    start: int,
    stop: int,
    out: NDArray[np.int32],
) -> None:
    """Draw the negatives of the rows from `start` to `stop`."""
    for row in range(start, stop):
        first, last = indptr[users[row]], indptr[users[row] + 1]
        n_free = n_items - (last - first)
        if n_free <= 0:
            out[row] = items[row]
            continue
        bits = mix(seed + np.uint64(row) * _STEP)
        place = np.int64(np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0) * n_free)
        # The place-th item that is no member: members[first + k] - k free items stand before member k. Short lists are
        # counted whole, which no branch can be guessed wrong in; long ones are halved until they are short.
        low, high = first, last
        while high - low > _SHORT:
            middle = (low + high) >> 1
            if members[middle] - (middle - first) <= place:
                low = middle + 1
            else:
                high = middle
        count = np.int32(0)
        edge = np.int32(place + (low - first))
        for k in range(np.int32(high - low)):
            count += np.int32(members[low + k] - np.int32(k) <= edge)
        out[row] = place + (low - first) + count


@kernel(reorder=False)
def _take(
    columns: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
    order: NDArray[np.int32],
    start: int,
    stop: int,
    out: NDArray[np.int32],
) -> None:
    """Write the rows of an order, from `start` to `stop`, of three columns."""
    users, positives, negatives = columns
    for place in range(start, stop):
        row = order[place]
        out[0, place] = users[row]
        out[1, place] = positives[row]
        out[2, place] = negatives[row]


@kernel(reorder=False)
def _shuffle(order: NDArray[np.int32], seed: np.uint64) -> None:
    """Shuffle in place (Fisher and Yates)."""
    for last in range(len(order) - 1, 0, -1):
        bits = mix(seed + np.uint64(last) * _STEP)
        other = np.int64(np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0) * (last + 1))
        order[last], order[other] = order[other], order[last]


@dataclass(frozen=True)
class Triplets:
    """Rows (user, positive item, negative item), three int32 arrays of one length."""

    users: NDArray[np.int32]
    positives: NDArray[np.int32]
    negatives: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.users)


def draw_negatives(train: Interactions, seed: int, *names: str | int) -> NDArray[np.int32]:
    """Return one item per training row, uniform over the items outside the user's training rows.

    A user who has every item gets the positive itself: such a triplet has a zero gradient. Items that
    `train.negatives` leaves out are never drawn.

    Args:
        train: the training rows.
        seed: of the draw; `names` name it.
        names: the draw's own name.

    Returns:
        (len(train),) int32; each row's draw depends on seed, names and row number alone.
    """
    out = np.empty(len(train), np.int32)
    _draw_part(train, np.uint64(number(seed, *names)), 0, len(train), out)
    return out


def _draw_part(train: Interactions, bits: np.uint64, start: int, stop: int, out: NDArray[np.int32]) -> None:
    """Draw the negatives of some rows."""
    if train.negatives is None:
        _draw_negatives(train.users, train.items, *train.members, train.n_items, bits, start, stop, out)
        return
    indptr, members = train.eligible.members
    _draw_negatives(train.users, train.items, indptr, members, len(train.negatives), bits, start, stop, out)
    own, drawn = train.users[start:stop], out[start:stop]
    has_free = np.diff(indptr)[own] < len(train.negatives)
    out[start:stop] = np.where(has_free, train.negatives[np.where(has_free, drawn, 0)], train.items[start:stop])


def draw_order(n_rows: int, seed: int, epoch: int) -> NDArray[np.int32]:
    """Return the training rows of an epoch in random order."""
    order = np.arange(n_rows, dtype=np.int32)
    _shuffle(order, np.uint64(number(seed, "order", epoch)))
    return order


def epoch_triplets(train: Interactions, seed: int, epoch: int) -> Triplets:
    """Return every training row once, in random order, with a fresh negative each."""
    count, bits = len(train), np.uint64(number(seed, "negatives", epoch))
    negatives, out, order = np.empty(count, np.int32), np.empty((3, count), np.int32), np.empty(0, np.int32)
    halves = ((0, count // 2), (count // 2, count))
    _ = train.users, train.eligible.members  # made once, not by both threads

    def draw(part: int) -> None:
        nonlocal order
        if part:
            order = draw_order(count, seed, epoch)
        _draw_part(train, bits, *halves[part], negatives)

    def take(part: int) -> None:
        _take((train.users, train.items, negatives), order, *halves[part], out)

    for work in (draw, take):
        if torch.get_num_threads() > 1:
            both(work)
        else:
            work(0)
            work(1)
    return Triplets(out[0], out[1], out[2])
