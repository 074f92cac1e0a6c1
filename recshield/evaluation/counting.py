"""Ranks of test items, counted in one pass over the scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.lowlevel import wide

#: Scores that are looked at again for every test item of a user, while they are in the processor's first cache.
_BLOCK = 4096
#: Counts of a block are whole numbers in float32: exact, and as wide as scores, where Numba's integers are twice that.
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@kernel(reorder=True)
def count_ranks(
    scores: NDArray[np.float32],
    users: NDArray[np.int32],
    test_indptr: NDArray[np.int64],
    test_items: NDArray[np.int32],
    seen_indptr: NDArray[np.int64],
    seen_items: NDArray[np.int32],
    ranks: NDArray[np.int32],
    candidates: NDArray[np.int32],
) -> int:
    """Fill ranks and candidates for a chunk of users; return the first row with a non-finite score, or -1."""
    wide()
    n_items, n_most = scores.shape[1], 0
    for row in range(scores.shape[0]):
        n_most = max(n_most, test_indptr[row + 1] - test_indptr[row])
    above = np.zeros(n_most, np.int64)
    for row in range(scores.shape[0]):
        line = scores[row]
        user = users[row]
        start, stop = test_indptr[row], test_indptr[row + 1]
        if start == stop:
            continue
        above[:] = 0
        for first in range(0, n_items, _BLOCK):
            block = line[first : min(first + _BLOCK, n_items)]
            n_bad = np.float32(0.0)
            for place in range(len(block)):
                n_bad += _ZERO if abs(block[place]) <= np.float32(3.4028235e38) else _ONE
            if n_bad > 0:
                return row
            for spot in range(start, stop):
                own, count = line[test_items[spot]], np.float32(0.0)
                for place in range(len(block)):
                    count += _ONE if block[place] >= own else _ZERO
                above[spot - start] += np.int64(count)
        for spot in range(start, stop):
            own, n_above = line[test_items[spot]], above[spot - start]
            n_masked = 0
            for place in range(seen_indptr[user], seen_indptr[user + 1]):
                seen = seen_items[place]
                is_test = False
                for rival in range(test_indptr[row], test_indptr[row + 1]):
                    is_test = is_test or test_items[rival] == seen
                if not is_test:
                    n_masked += 1
                    n_above -= np.int64(line[seen] >= own)
            ranks[spot] = n_above - 1
            candidates[spot] = n_items - n_masked
    return -1
