"""Ranks of test items among the candidates of their own kind: items with a training row, or items without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel


@kernel(reorder=False)
def count_within(
    scores: NDArray[np.float32],
    users: NDArray[np.int32],
    test_indptr: NDArray[np.int64],
    test_items: NDArray[np.int32],
    seen_indptr: NDArray[np.int64],
    seen_items: NDArray[np.int32],
    is_cold: NDArray[np.bool_],
    within: NDArray[np.int32],
) -> None:
    """Fill (n_rows, 2) ranks and candidates of a chunk's test rows among the candidates of the test item's kind.

    As in full ranking: ties count against the model, and a training row leaves the candidates unless its item is a
    test item of the user, too.
    """
    n_items = scores.shape[1]
    for row in range(scores.shape[0]):
        line = scores[row]
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            item = test_items[spot]
            own, kind = line[item], is_cold[item]
            n_above, n_all = -1, 0
            for other in range(n_items):
                if is_cold[other] == kind:
                    n_all += 1
                    n_above += int(line[other] >= own)
            for place in range(seen_indptr[users[row]], seen_indptr[users[row] + 1]):
                seen = seen_items[place]
                is_test = False
                for rival in range(test_indptr[row], test_indptr[row + 1]):
                    is_test = is_test or test_items[rival] == seen
                if is_cold[seen] == kind and not is_test:
                    n_all -= 1
                    n_above -= int(line[seen] >= own)
            within[spot, 0] = n_above
            within[spot, 1] = n_all
