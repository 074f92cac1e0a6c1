"""Candidates drawn for sampled ranking: for each test row its own, the same whoever is ranked."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.seeds import number
from recshield.data.interactions import HeldOut, Interactions

_STEP = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(inline="always")
def _mix(value: np.uint64) -> np.uint64:
    """Return splitmix64 of a counter (Steele et al. 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel(reorder=False)
def _draw(
    users: NDArray[np.int32],
    test_indptr: NDArray[np.int64],
    test_items: NDArray[np.int32],
    seen_indptr: NDArray[np.int64],
    seen_items: NDArray[np.int32],
    n_items: int,
    seed: np.uint64,
    drawn: NDArray[np.int32],
) -> None:
    """Fill each row with the first places of a shuffle (Fisher and Yates) of the user's candidates that are no test."""
    is_free = np.empty(n_items, np.bool_)
    pool = np.empty(n_items, np.int32)
    for row in range(len(users)):
        user = users[row]
        is_free[:] = True
        for place in range(seen_indptr[user], seen_indptr[user + 1]):
            is_free[seen_items[place]] = False
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            is_free[test_items[spot]] = False
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            n_free = 0
            for item in range(n_items):
                pool[n_free] = item
                n_free += int(is_free[item])
            own = _mix(seed + _STEP * (np.uint64(user) * np.uint64(0x100000000) + np.uint64(test_items[spot])))
            out = spot - test_indptr[0]
            for draw in range(drawn.shape[1]):
                if draw >= n_free:
                    drawn[out, draw] = -1
                    continue
                bits = _mix(own + np.uint64(draw + 1) * _STEP)
                share = np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)
                other = draw + np.int64(share * (n_free - draw))
                pool[draw], pool[other] = pool[other], pool[draw]
                drawn[out, draw] = pool[draw]


def draw_candidates(
    train: Interactions, test: HeldOut, n: int, data_seed: int, first: int = 0, last: int | None = None
) -> NDArray[np.int32]:
    """Return candidates to rank each test row among, drawn without replacement.

    They are drawn from the items that are neither a training nor a test item of the row's user. A draw depends on the
    seed, the user, the test item and those items alone; the first 99 of 999 are the draw of 99.

    Args:
        train: rows that are no candidates.
        test: rows to draw for.
        n: how many for each row.
        data_seed: of the draw.
        first: draw for the users from this place of `test.users` on,
        last: up to this one (default: all).

    Returns:
        (n_rows, n) int32 item ids; -1 where a user has fewer items left.

    Source: Krichene and Rendle 2020, doi:10.1145/3394486.3403226.
    """
    last = len(test.users) if last is None else min(last, len(test.users))
    indptr = test.indptr[first : last + 1]
    drawn = np.empty((int(indptr[-1] - indptr[0]), n), np.int32)
    seed = np.uint64(number(data_seed, "sampled candidates"))
    _draw(test.users[first:last], indptr, test.items, *train.members, train.n_items, seed, drawn)
    return drawn
