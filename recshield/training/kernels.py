"""One epoch of matrix factorisation with BPR, or BPR plus the adversarial term, as one native kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.halves import both
from recshield.core.lowlevel import meet, release
from recshield.training import passes
from recshield.training.draws import Triplets, mix

Matrix = NDArray[np.float32]
#: What the threads tell each other: parts of score differences, slopes, parts of squared lengths, meetings.
_Shared = tuple[Matrix, NDArray[np.float32], Matrix, NDArray[np.int64]]


@passes.inlined
def _slope(
    rows: NDArray[np.float32],
    places: NDArray[np.int32],
    size: int,
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
    """Make `gradient` `kept` times itself plus `weight` times the gradient at `rows`; return the meetings so far.

    Each thread adds up its columns of every score difference, then takes the slopes of half of them.
    """
    width, drop, seed = drawn
    parts, slope, _, counter = shared
    is_shared = last - first == 1
    for half in range(first, last):
        if drop > 0:
            column = half * rows.shape[2]
            passes.margins_dropped(rows[half], places, size, column, width, drop, seed, parts[half])
        else:
            passes.margins(rows[half], places, size, parts[half])
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
            column = half * rows.shape[2]
            passes.gradients_dropped(rows[half], places, size, slope, column, width, drop, seed, gradient[half])
        else:
            passes.gradients(rows[half], places, size, slope, weight, gradient[half])
    return meetings


@passes.inlined
def _perturb(
    rows: NDArray[np.float32],
    gradient: NDArray[np.float32],
    shared: _Shared,
    meetings: int,
    first: int,
    last: int,
    n_users: int,
    n_rows: int,
    eps_user: np.float32,
    eps_item: np.float32,
) -> int:
    """Move rows along their gradients, each by the length of the whole row's; return the meetings so far."""
    _, _, squares, counter = shared
    for half in range(first, last):
        passes.lengths(gradient[half], n_rows, squares[half])
    if last - first == 1:
        meetings = meet(counter, meetings)
    for half in range(first, last):
        passes.perturb(rows, gradient, squares, half, 0, n_users, eps_user)
        passes.perturb(rows, gradient, squares, half, n_users, n_rows, eps_item)
    return meetings


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
) -> None:
    """Train the halves `first` to `last` of the columns for one epoch, in place; add the summed BPR loss to `totals`.

    A state is (rows, 2, 2, half of the width): of each half the table and Adagrad's sums of squares side by side.
    The slots of a batch number the rows it touches, users first; `user_slots` and `item_slots` hold -1 between batches.
    Where only one half is asked for, another thread does the other, with the same arrays but slots of its own.
    """
    one = np.float32(1.0)
    moved = np.zeros(2)  # the loss of the perturbed rows, which nobody asks for
    noise = np.empty(width, np.float32)
    reads = np.zeros(3 * batch, np.int32)
    touched, places = np.empty(3 * batch, np.int32), np.empty((3, batch), np.int32)
    meetings = 0
    for start in range(0, len(users), batch):
        stop = min(start + batch, len(users))
        size = stop - start
        n_users = passes.number_rows(users[start:stop], user_slots, touched, places[0], 0)
        n_rows = passes.number_rows(positives[start:stop], item_slots, touched, places[1], n_users)
        n_rows = passes.number_rows(negatives[start:stop], item_slots, touched, places[2], n_rows)
        if l2 > 0:
            passes.count_reads(places, size, n_rows, reads)
        own = mix(seed + np.uint64(start) * passes.STEP)
        for half in range(first, last):
            passes.gather(user_state, half, touched, 0, n_users, rows[half])
            passes.gather(item_state, half, touched, n_users, n_rows, rows[half])
            gradient[half, :n_rows] = 0
        drawn = (width, drop, own)
        meetings = _slope(rows, places, size, gradient, n_rows, shared, totals, meetings, first, last, drawn, one, one)
        if is_adversarial:
            if is_random:
                for half in range(first, last):
                    column = half * user_state.shape[3]
                    passes.perturb_randomly(rows[half], noise, column, 0, n_users, eps_user, own)
                    passes.perturb_randomly(rows[half], noise, column, n_users, n_rows, eps_item, own)
            else:
                more = (n_users, n_rows, eps_user, eps_item)
                meetings = _perturb(rows, gradient, shared, meetings, first, last, *more)
            added = (drawn, clean, weight)
            meetings = _slope(rows, places, size, gradient, n_rows, shared, moved, meetings, first, last, *added)
        for half in range(first, last):
            passes.adagrad(user_state, half, touched, 0, n_users, gradient[half], reads, rate, l2)
            passes.adagrad(item_state, half, touched, n_users, n_rows, gradient[half], reads, rate, l2)
        passes.free_rows(user_slots, touched, 0, n_users)
        passes.free_rows(item_slots, touched, n_users, n_rows)


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
        self._user_slots = np.full((2, len(self.user_table)), -1, np.int32)
        self._item_slots = np.full((2, len(self.item_table)), -1, np.int32)

    def _state(self, table: Matrix) -> NDArray[np.float32]:
        half = (table.shape[1] + 1) // 2
        state = np.empty((len(table), 2, 2, half), np.float32)
        state[:, :, 0] = 0
        state[:, :, 1] = self.accumulator
        state[:, 0, 0], state[:, 1, 0, : table.shape[1] - half] = table[:, :half], table[:, half:]
        return state

    def write(self) -> None:
        """Write what was learnt into the two tables."""
        for table, state in ((self.user_table, self._user_state), (self.item_table, self._item_state)):
            half = state.shape[3]
            table[:, :half], table[:, half:] = state[:, 0, 0], state[:, 1, 0, : table.shape[1] - half]

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
        rows, gradient = np.empty((2, 3 * batch, half), np.float32), np.empty((2, 3 * batch, half), np.float32)
        shared = (np.empty((2, batch), np.float32), np.empty(batch, np.float32), np.empty((2, 3 * batch), np.float32),
                  np.zeros(1, np.int64))  # fmt: skip
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
            )

        if threads == 2:
            both(run, lambda: release(shared[-1]))
        else:
            run(0)
        return float(totals.sum())
