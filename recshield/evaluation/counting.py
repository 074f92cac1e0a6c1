"""Ranks of test items, counted in one pass over the scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.lowlevel import wide


@kernel(reorder=False)
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
    n_items = scores.shape[1]
    for row in range(scores.shape[0]):
        line = scores[row]
        user = users[row]
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            item = test_items[spot]
            own = line[item]
            n_above = np.int32(0)
            n_bad = np.int32(0)
            for other in range(n_items):
                value = line[other]
                n_above += np.int32(value >= own)
                n_bad += np.int32(not (abs(value) <= np.float32(3.4028235e38)))
            if n_bad > 0:
                return row
            n_masked = 0
            for place in range(seen_indptr[user], seen_indptr[user + 1]):
                seen = seen_items[place]
                is_test = False
                for rival in range(test_indptr[row], test_indptr[row + 1]):
                    is_test = is_test or test_items[rival] == seen
                if not is_test:
                    n_masked += 1
                    n_above -= np.int32(line[seen] >= own)
            ranks[spot] = n_above - 1
            candidates[spot] = n_items - n_masked
    return -1
