"""One epoch of matrix factorisation with BPR, or BPR plus the adversarial term, as one native kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.halves import both
from recshield.core.lowlevel import aligned, meet, release
from recshield.training import passes
from recshield.training.draws import Triplets, mix

Matrix = NDArray[np.float32]
#: What the threads tell each other: parts of score differences, slopes, parts of squared lengths, meetings.
_Shared = tuple[Matrix, NDArray[np.float32], Matrix, NDArray[np.int64]]


@passes.inlined
def _slope(
    read: passes.Read,
    places: NDArray[np.int32],
    gradient: NDArray[np.float32],
    n_rows: int,
    shared: _Shared,
    totals: NDArray[np.float64],
    meetings: int,
    first: int,
    last: int,
    drawn: tuple[int, float, np.uint64],
    kept: np.float32,
    weight: np.float32,
) -> int:
    """Make `gradient` `kept` times itself plus `weight` times that of the rows read; return the meetings so far.

    Each thread adds up its columns of every score difference, then takes the slopes of half of them.
    """
    parts, slope, _, counter = shared
    users, items, user_ids, positives, negatives = read
    size, is_shared = len(user_ids), last - first == 1
    width, drop, seed = drawn
    for half in range(first, last):
        if drop > 0:
            passes.margins_dropped(read, half, width, drop, seed, parts[half])
        else:
            passes.margins(users[half], items[half], user_ids, positives, negatives, parts[half])
    if is_shared:
        meetings = meet(counter, meetings)
    for half in range(first, last):
        totals[half] += passes.slopes(parts, half * size // 2, (half + 1) * size // 2, slope)
    if is_shared:
        meetings = meet(counter, meetings)
    for half in range(first, last):
        if kept != 1:
            passes.scale(gradient[half], n_rows, kept)
        if drop > 0:
            passes.gradients_dropped(read, half, places, slope, width, drop, seed, gradient[half])
        else:
            passes.gradients(
                users[half], items[half], user_ids, positives, negatives, places, slope, weight, gradient[half]
            )
    return meetings


@passes.inlined
def _perturb(
    user_state: NDArray[np.float32],
    item_state: NDArray[np.float32],
    touched: NDArray[np.int32],
    n_users: int,
    n_rows: int,
    gradient: NDArray[np.float32],
    shared: _Shared,
    meetings: int,
    first: int,
    last: int,
    eps_user: np.float32,
    eps_item: np.float32,
    rows: NDArray[np.float32],
) -> int:
    """Write rows, moved along their gradients by the whole row's length, to their slots; return the meetings so far."""
    _, _, squares, counter = shared
    for half in range(first, last):
        passes.lengths(gradient[half], n_rows, squares[half])
    if last - first == 1:
        meetings = meet(counter, meetings)
    for half in range(first, last):
        passes.perturb(user_state, half, touched, 0, n_users, gradient, squares, eps_user, rows)
        passes.perturb(item_state, half, touched, n_users, n_rows, gradient, squares, eps_item, rows)
    return meetings


@passes.inlined
def _perturb_randomly(
    user_state: NDArray[np.float32],
    item_state: NDArray[np.float32],
    touched: NDArray[np.int32],
    n_users: int,
    n_rows: int,
    seed: np.uint64,
    noise: NDArray[np.float32],
    first: int,
    last: int,
    eps_user: np.float32,
    eps_item: np.float32,
    rows: NDArray[np.float32],
) -> None:
    """Write rows, moved in random directions, to their slots."""
    for half in range(first, last):
        own, column = rows[half, :, 0], half * rows.shape[3]
        passes.gather(user_state, half, touched, 0, n_users, rows)
        passes.gather(item_state, half, touched, n_users, n_rows, rows)
        passes.perturb_randomly(own, noise, column, 0, n_users, eps_user, seed)
        passes.perturb_randomly(own, noise, column, n_users, n_rows, eps_item, seed)


@kernel(reorder=True)
def _epoch(
    user_state: NDArray[np.float32],
    item_state: NDArray[np.float32],
    users: NDArray[np.int32],
    positives: NDArray[np.int32],
    negatives: NDArray[np.int32],
    user_slots: NDArray[np.int32],
    item_slots: NDArray[np.int32],
    rows: NDArray[np.float32],
    gradient: NDArray[np.float32],
    shared: _Shared,
    totals: NDArray[np.float64],
    first: int,
    last: int,
    batch: int,
    width: int,
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
    largest: int,
) -> None:
    """Train the halves `first` to `last` of the columns for one epoch, in place; add the summed BPR loss to `totals`.

    A state is (2, rows, 2, half of the width): of each half the rows, each with Adagrad's sums of squares beside it.
    The slots of a batch number the rows it touches, users first. `user_slots` and `item_slots` are room for them, with
    numbers up to `largest`; `rows`, (2, slots, 1, half of the width), is room for perturbed rows.
    Where only one half is asked for, another thread does the other, with the same arrays but slots of its own.
    """
    one = np.float32(1.0)
    moved = np.zeros(2)  # the loss of the perturbed rows, which nobody asks for
    noise = np.empty(width, np.float32)
    reads = np.zeros(3 * batch, np.int32)
    touched, places = np.empty(3 * batch, np.int32), np.empty((3, batch), np.int32)
    meetings, base = 0, 0
    user_slots[:], item_slots[:] = -1, -1
    for start in range(0, len(users), batch):
        stop = min(start + batch, len(users))
        size = stop - start
        if base > largest - 3 * batch:
            user_slots[:], item_slots[:], base = -1, -1, 0
        n_users = passes.number_rows(users[start:stop], user_slots, base, touched, places[0], 0)
        n_rows = passes.number_rows(positives[start:stop], item_slots, base, touched, places[1], n_users)
        n_rows = passes.number_rows(negatives[start:stop], item_slots, base, touched, places[2], n_rows)
        base += 3 * batch
        if l2 > 0:
            passes.count_reads(places, size, n_rows, reads)
        own = mix(seed + np.uint64(start) * passes.STEP)
        for half in range(first, last):
            passes.near(user_state, half, touched, 0, n_users, gradient[half])
            passes.near(item_state, half, touched, n_users, n_rows, gradient[half])
        drawn, who = (width, drop, own), (first, last)
        read = (user_state, item_state, users[start:stop], positives[start:stop], negatives[start:stop])
        meetings = _slope(read, places, gradient, n_rows, shared, totals, meetings, *who, drawn, one, one)
        if is_adversarial:
            held = (user_state, item_state, touched, n_users, n_rows)
            if is_random:
                _perturb_randomly(*held, own, noise, *who, eps_user, eps_item, rows)
            else:
                meetings = _perturb(*held, gradient, shared, meetings, *who, eps_user, eps_item, rows)
            read = (rows, rows, places[0, :size], places[1, :size], places[2, :size])
            meetings = _slope(read, places, gradient, n_rows, shared, moved, meetings, *who, drawn, clean, weight)
        for half in range(first, last):
            passes.adagrad(user_state, half, touched, 0, n_users, gradient[half], reads, rate, l2)
            passes.adagrad(item_state, half, touched, n_users, n_rows, gradient[half], reads, rate, l2)


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
    _largest: int = field(init=False, default=np.iinfo(np.int32).max)
    _user_state: NDArray[np.float32] = field(init=False)
    _item_state: NDArray[np.float32] = field(init=False)
    _user_slots: NDArray[np.int32] = field(init=False)
    _item_slots: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self._user_state, self._item_state = self._state(self.user_table), self._state(self.item_table)
        self._user_slots = np.full((2, len(self.user_table)), -1, np.int32)
        self._item_slots = np.full((2, len(self.item_table)), -1, np.int32)

    def _state(self, table: Matrix) -> NDArray[np.float32]:
        half = (table.shape[1] + 1) // 2
        state = aligned(2, len(table), 2, half)
        state[:, :, 0] = 0
        state[:, :, 1] = self.accumulator
        state[0, :, 0], state[1, :, 0, : table.shape[1] - half] = table[:, :half], table[:, half:]
        return state

    def write(self) -> None:
        """Write what was learnt into the two tables."""
        for table, state in ((self.user_table, self._user_state), (self.item_table, self._item_state)):
            half = state.shape[3]
            table[:, :half], table[:, half:] = state[0, :, 0], state[1, :, 0, : table.shape[1] - half]

    def epoch(self, triplets: Triplets, share: float = 1.0, seed: int = 0) -> float:
        """Train on the triplets in their order; return the summed BPR loss, each batch before its update.

        Args:
            triplets: of one epoch.
            share: of each eps that applies in this epoch.
            seed: of this epoch's random directions and dropped values.
        """
        threads = min(2, torch.get_num_threads())
        batch = max(min(self.batch, len(triplets)), 1)
        half = self._user_state.shape[3]
        rows, gradient = aligned(2, 3 * batch, 1, half), aligned(2, 3 * batch, half)
        shared = (aligned(2, batch), aligned(batch), aligned(2, 3 * batch), np.zeros(1, np.int64))
        totals = np.zeros(2)

        def run(first: int) -> None:
            _epoch(
                self._user_state,
                self._item_state,
                triplets.users,
                triplets.positives,
                triplets.negatives,
                self._user_slots[first],
                self._item_slots[first],
                rows,
                gradient,
                shared,
                totals,
                first,
                first + 1 if threads == 2 else 2,
                batch,
                self.user_table.shape[1],
                np.float32(self.rate),
                np.float32(self.l2),
                self.eps_user is not None or self.eps_item is not None,
                np.float32(share * (self.eps_user or 0.0)),
                np.float32(share * (self.eps_item or 0.0)),
                np.float32(self.clean),
                np.float32(self.weight),
                self.is_random,
                self.drop,
                np.uint64(seed),
                self._largest,
            )

        if threads == 2:
            both(run, lambda: release(shared[-1]))
        else:
            run(0)
        return float(totals.sum())
