"""One epoch of matrix factorisation with BPR, or BPR plus the adversarial term, as one native kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import REORDERED, kernel
from recshield.training.draws import Triplets, mix

Matrix = NDArray[np.float32]


_STEP = np.uint64(0x9E3779B97F4A7C15)
#: Squared lengths below this lose digits to underflow.
_TINY = np.float32(1e-30)
_inlined = numba.njit(**REORDERED)


@_inlined
def _number_rows(
    ids: NDArray[np.int32], slots: NDArray[np.int32], touched: NDArray[np.int32], places: NDArray[np.int32], count: int
) -> int:
    """Give each new id the next slot, write every id's slot to `places`, return the number of slots used."""
    for spot in range(len(ids)):
        row = ids[spot]
        slot = slots[row]
        if slot < 0:
            slot = count
            slots[row] = slot
            touched[slot] = row
            count += 1
        places[spot] = slot
    return count


@_inlined
def _gather(state: NDArray[np.float32], touched: NDArray[np.int32], first: int, last: int, rows: Matrix) -> None:
    for slot in range(first, last):
        source, goal = state[touched[slot], 0], rows[slot]
        for k in range(len(goal)):
            goal[k] = source[k]


@_inlined
def _bpr_pass(rows: Matrix, places: NDArray[np.int32], size: int, gradient: Matrix, reads: NDArray[np.int32]) -> float:
    """Add the gradient of the summed BPR loss at `rows` (Eq. 13 and 14) to `gradient`; return the loss."""
    total = 0.0
    for spot in range(size):
        u, i, j = places[0, spot], places[1, spot], places[2, spot]
        user, liked, other = rows[u], rows[i], rows[j]
        margin = np.float32(0.0)
        for k in range(len(user)):
            margin += user[k] * (liked[k] - other[k])
        # exp of a non-positive number cannot overflow
        small = np.float32(math.exp(-abs(margin)))
        slope = np.float32(1.0) / (np.float32(1.0) + small)
        if margin > 0:
            slope = small * slope
        total += math.log1p(small) + max(-float(margin), 0.0)
        to_user, to_liked, to_other = gradient[u], gradient[i], gradient[j]
        for k in range(len(user)):
            to_user[k] -= slope * (liked[k] - other[k])
        for k in range(len(user)):
            to_liked[k] -= slope * user[k]
        for k in range(len(user)):
            to_other[k] += slope * user[k]
        reads[u] += 1
        reads[i] += 1
        reads[j] += 1
    return total


@_inlined
def _bpr_pass_dropped(
    rows: Matrix,
    places: NDArray[np.int32],
    size: int,
    gradient: Matrix,
    reads: NDArray[np.int32],
    drop: float,
    seed: np.uint64,
) -> float:
    """Do the same with values dropped at random, each read of a row on its own, and the rest divided by 1 - drop."""
    total = 0.0
    width = rows.shape[1]
    kept = np.empty((3, width), np.float32)
    scale = np.float32(1.0 / (1.0 - drop))
    edge = np.uint64(drop * 9007199254740992.0)  # 2^53
    for spot in range(size):
        for role in range(3):
            row = rows[places[role, spot]]
            for k in range(width):
                bits = mix(seed + np.uint64((spot * 3 + role) * width + k) * _STEP) >> np.uint64(11)
                kept[role, k] = scale * row[k] if bits >= edge else np.float32(0.0)
        margin = np.float32(0.0)
        for k in range(width):
            margin += kept[0, k] * (kept[1, k] - kept[2, k])
        small = np.float32(math.exp(-abs(margin)))
        slope = np.float32(1.0) / (np.float32(1.0) + small)
        if margin > 0:
            slope = small * slope
        total += math.log1p(small) + max(-float(margin), 0.0)
        for role in range(3):
            to_row = gradient[places[role, spot]]
            for k in range(width):
                bits = mix(seed + np.uint64((spot * 3 + role) * width + k) * _STEP) >> np.uint64(11)
                if bits >= edge:
                    other = kept[1, k] - kept[2, k] if role == 0 else (kept[0, k] if role == 1 else -kept[0, k])
                    to_row[k] -= slope * scale * other
            reads[places[role, spot]] += 1
    return total


@_inlined
def _gaussian(row: NDArray[np.float32], seed: np.uint64) -> None:
    """Fill a row with standard normal values (Box and Muller 1958), each pair a function of the seed alone."""
    for pair in range((len(row) + 1) // 2):
        bits = mix(seed + np.uint64(pair + 1) * _STEP)
        # Two 24-bit uniforms of one draw, the first one never 0.
        radius = np.float32((bits >> np.uint64(40)) + np.uint64(1)) * np.float32(1.0 / 16777217.0)
        radius = np.sqrt(np.float32(-2.0) * np.log(radius))
        angle = np.float32((bits >> np.uint64(8)) & np.uint64(0xFFFFFF)) * np.float32(2.0 * math.pi / 16777216.0)
        row[2 * pair] = radius * np.cos(angle)
        if 2 * pair + 1 < len(row):
            row[2 * pair + 1] = radius * np.sin(angle)


@_inlined
def _perturb_randomly(
    rows: Matrix, noise: NDArray[np.float32], first: int, last: int, eps: np.float32, seed: np.uint64
) -> None:
    """Move each row by eps in a direction of its own, uniform on the sphere; `noise` is room for one row."""
    for slot in range(first, last):
        _gaussian(noise, mix(seed + np.uint64(slot) * _STEP))
        length = np.float32(0.0)
        for k in range(len(noise)):
            length += noise[k] * noise[k]
        factor = eps / np.float32(math.sqrt(length))
        for k in range(len(noise)):
            rows[slot, k] += factor * noise[k]


@_inlined
def _perturb_tiny(row: NDArray[np.float32], slope: NDArray[np.float32], eps: np.float32) -> None:
    """Do the same where the squares of the gradient underflow."""
    largest = np.float32(0.0)
    for k in range(len(row)):
        largest = max(largest, abs(slope[k]))
    if largest > 0:
        length = np.float32(0.0)
        for k in range(len(row)):
            length += (slope[k] / largest) * (slope[k] / largest)
        for k in range(len(row)):
            row[k] += eps * (slope[k] / largest) / np.float32(math.sqrt(length))


@_inlined
def _perturb(rows: Matrix, gradient: Matrix, first: int, last: int, eps: np.float32) -> None:
    """Move each row by eps along its summed gradient (Eq. 8 and 15); a row with a zero gradient stays."""
    for slot in range(first, last):
        row, slope = rows[slot], gradient[slot]
        length = np.float32(0.0)
        for k in range(len(row)):
            length += slope[k] * slope[k]
        if length > _TINY:
            factor = eps / np.float32(math.sqrt(length))
            for k in range(len(row)):
                row[k] += factor * slope[k]
        else:
            _perturb_tiny(row, slope, eps)


@_inlined
def _adagrad(
    state: NDArray[np.float32],
    slots: NDArray[np.int32],
    touched: NDArray[np.int32],
    first: int,
    last: int,
    gradient: Matrix,
    second: Matrix,
    reads: NDArray[np.int32],
    rate: np.float32,
    clean: np.float32,
    weight: np.float32,
    l2: np.float32,
) -> None:
    """Update the touched rows and free their slots: equal to dense Adagrad, as untouched rows have no gradient."""
    for slot in range(first, last):
        place = touched[slot]
        row, total, one, two = state[place, 0], state[place, 1], gradient[slot], second[slot]
        shrink = np.float32(2.0) * l2 * np.float32(reads[slot])
        for k in range(len(row)):
            step = clean * one[k] + weight * two[k] + shrink * row[k]
            held = total[k] + step * step
            total[k] = held
            row[k] -= rate * step / np.float32(math.sqrt(held))
        slots[place] = -1


@kernel(reorder=True)
def _epoch(
    user_state: NDArray[np.float32],
    item_state: NDArray[np.float32],
    users: NDArray[np.int32],
    positives: NDArray[np.int32],
    negatives: NDArray[np.int32],
    user_slots: NDArray[np.int32],
    item_slots: NDArray[np.int32],
    batch: int,
    rate: np.float32,
    l2: np.float32,
    is_adversarial: bool,
    eps_user: np.float32,
    eps_item: np.float32,
    clean: np.float32,
    weight: np.float32,
    is_random: bool,
    drop: float,
    seed: np.uint64,
) -> float:
    """Train one epoch in place; return the summed BPR loss of its batches, each before its update.

    A state is (rows, 2, width): the table and Adagrad's sums of squares side by side, as a row needs both.
    The slots of a batch number the rows it touches, users first; `user_slots` and `item_slots` hold -1 between batches.
    """
    batch = min(batch, len(users))
    shape = (3 * batch, user_state.shape[2])
    rows = np.empty(shape, np.float32)
    gradient, second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    reads, scratch = np.zeros(3 * batch, np.int32), np.zeros(3 * batch, np.int32)
    noise = np.empty(shape[1], np.float32)
    touched, places = np.empty(3 * batch, np.int32), np.empty((3, batch), np.int32)
    total = 0.0
    for start in range(0, len(users), batch):
        stop = min(start + batch, len(users))
        size = stop - start
        n_users = _number_rows(users[start:stop], user_slots, touched, places[0], 0)
        n_rows = _number_rows(positives[start:stop], item_slots, touched, places[1], n_users)
        n_rows = _number_rows(negatives[start:stop], item_slots, touched, places[2], n_rows)
        _gather(user_state, touched, 0, n_users, rows)
        _gather(item_state, touched, n_users, n_rows, rows)
        gradient[:n_rows] = 0
        reads[:n_rows] = 0
        own = mix(seed + np.uint64(start) * _STEP)
        if drop > 0:
            total += _bpr_pass_dropped(rows, places, size, gradient, reads, drop, own)
        else:
            total += _bpr_pass(rows, places, size, gradient, reads)
        if is_adversarial:
            if is_random:
                _perturb_randomly(rows, noise, 0, n_users, eps_user, own)
                _perturb_randomly(rows, noise, n_users, n_rows, eps_item, own)
            else:
                _perturb(rows, gradient, 0, n_users, eps_user)
                _perturb(rows, gradient, n_users, n_rows, eps_item)
            second[:n_rows] = 0
            _bpr_pass(rows, places, size, second, scratch)
        _adagrad(user_state, user_slots, touched, 0, n_users, gradient, second, reads, rate, clean, weight, l2)
        _adagrad(item_state, item_slots, touched, n_users, n_rows, gradient, second, reads, rate, clean, weight, l2)
    return total


@dataclass
class FactorTrainer:
    """Mini-batch Adagrad on two tables, fused; exactly the generic path's arithmetic up to float rounding.

    Attributes:
        user_table: (n_users, width) float32 start values; `write` puts the trained ones here.
        item_table: (n_items, width) float32 start values; `write` puts the trained ones here.
        batch: triplets per update; the last, smaller batch of an epoch is used too.
        rate: Adagrad learning rate.
        accumulator: start value of Adagrad's sums of squares.
        l2: weight of the squared norms of the rows each triplet reads.
        eps_user: norm of the adversarial vector of each user row; None = no adversarial term.
        eps_item: the same for item rows.
        weight: of the adversarial term.
        clean: weight of the clean term.
        is_random: the added term's vectors are random directions, not adversarial ones.
        drop: share of values dropped at random in each read of a row; only without an added term.

    Source: He et al. 2018 (APR), Eq. 8, 11, 13 to 16.
    """

    user_table: Matrix
    item_table: Matrix
    batch: int
    rate: float
    accumulator: float
    l2: float = 0.0
    eps_user: float | None = None
    eps_item: float | None = None
    weight: float = 0.0
    clean: float = 1.0
    is_random: bool = False
    drop: float = 0.0
    _user_state: NDArray[np.float32] = field(init=False)
    _item_state: NDArray[np.float32] = field(init=False)
    _user_slots: NDArray[np.int32] = field(init=False)
    _item_slots: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self._user_state, self._item_state = self._state(self.user_table), self._state(self.item_table)
        self._user_slots = np.full(len(self.user_table), -1, np.int32)
        self._item_slots = np.full(len(self.item_table), -1, np.int32)

    def _state(self, table: Matrix) -> NDArray[np.float32]:
        return np.stack([table, np.full_like(table, self.accumulator)], axis=1)

    def write(self) -> None:
        """Write what was learnt into the two tables."""
        self.user_table[:] = self._user_state[:, 0]
        self.item_table[:] = self._item_state[:, 0]

    def epoch(self, triplets: Triplets, share: float = 1.0, seed: int = 0) -> float:
        """Train on the triplets in their order; return the summed BPR loss, each batch before its update.

        Args:
            triplets: of one epoch.
            share: of each eps that applies in this epoch.
            seed: of this epoch's random directions and dropped values.
        """
        is_adversarial = self.eps_user is not None or self.eps_item is not None
        return float(
            _epoch(
                self._user_state,
                self._item_state,
                triplets.users,
                triplets.positives,
                triplets.negatives,
                self._user_slots,
                self._item_slots,
                self.batch,
                np.float32(self.rate),
                np.float32(self.l2),
                is_adversarial,
                np.float32(share * (self.eps_user or 0.0)),
                np.float32(share * (self.eps_item or 0.0)),
                np.float32(self.clean),
                np.float32(self.weight),
                self.is_random,
                self.drop,
                np.uint64(seed),
            )
        )
