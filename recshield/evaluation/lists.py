"""Lists of the items ranked first, without sorting whole rows of scores."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import kernel
from recshield.core.lowlevel import wide
from recshield.data.interactions import Interactions

#: Every which item is looked at to guess a threshold for the lists.
_STRIDE = 8


@kernel(reorder=False)
def _fill_lists(
    scores: NDArray[np.float32],
    users: NDArray[np.int32],
    test_indptr: NDArray[np.int64],
    test_items: NDArray[np.int32],
    seen_indptr: NDArray[np.int64],
    seen_items: NDArray[np.int32],
    best: NDArray[np.float32],
    lists: NDArray[np.int32],
) -> None:
    """Fill the items ranked first of a chunk of users; of equal scores the smallest item id stands first.

    A threshold that a few more than K items reach is read off every `_STRIDE`-th item: the smallest of its `best`
    scores. What reaches it is sorted; where that turns out to be fewer than K items, all candidates are.
    """
    wide()
    n_items, k = scores.shape[1], lists.shape[1]
    line = np.empty(n_items, np.float32)
    bits = line.view(np.uint32)
    keys = np.empty(n_items, np.uint64)
    is_over = np.zeros((n_items + 7) // 8 * 8, np.bool_)
    words = is_over.view(np.uint64)  # eight at a time
    lowest = np.float32(-np.inf)
    for row in range(scores.shape[0]):
        for item in range(n_items):
            line[item] = scores[row, item] + np.float32(0.0)  # minus zero becomes zero
        for place in range(seen_indptr[users[row]], seen_indptr[users[row] + 1]):
            line[seen_items[place]] = lowest
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            line[test_items[spot]] = scores[row, test_items[spot]] + np.float32(0.0)
        best[:] = lowest
        for item in range(0, n_items, _STRIDE):
            if line[item] > best[0]:
                place = 1
                while place < len(best) and best[place] < line[item]:
                    best[place - 1] = best[place]
                    place += 1
                best[place - 1] = line[item]
        least, n_held = best[0], 0
        for _ in range(2):
            n_held, n_equal = 0, 0
            for item in range(n_items):
                is_over[item] = line[item] >= least
            for word in range(len(words)):
                start = 8 * word
                for item in range(start, min(start + 8, n_items) if words[word] else start):
                    is_equal = line[item] == least
                    # Of those at the threshold, the K smallest ids are enough; masked items never count.
                    if line[item] > least or (is_equal and n_equal < k and least > lowest):
                        turn = np.uint32(0xFFFFFFFF) if bits[item] >> np.uint32(31) else np.uint32(0x80000000)
                        keys[n_held] = (np.uint64(bits[item] ^ turn) << np.uint64(32)) | np.uint64(0xFFFFFFFF - item)
                        n_held += 1
                        n_equal += is_equal
            if n_held >= k:
                break
            least = lowest
        keys[:n_held].sort()
        for place in range(k):
            key = keys[max(n_held - 1 - place, 0)] & np.uint64(0xFFFFFFFF)
            lists[row, place] = np.int64(0xFFFFFFFF) - np.int64(key) if place < n_held else -1


def fill_lists(
    scores: NDArray[np.float32],
    users: NDArray[np.int32],
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    train: Interactions,
    lists: NDArray[np.int32],
) -> None:
    """Fill the items ranked first of a chunk of users; of equal scores the smallest item id stands first.

    Args:
        scores: (B, n_items).
        users: (B,) whose they are.
        indptr: (B + 1,) where each user's test items stand in `items`.
        items: of all test rows.
        train: rows to mask; a test item stays.
        lists: (B, K) filled here, -1 beyond a user's last candidate.
    """
    mean = lists.shape[1] / _STRIDE  # four standard deviations more are enough nearly always
    n_best = math.ceil(mean + 4 * math.sqrt(mean)) + 1

    _fill_lists(scores, users, indptr, items, *train.members, np.empty(n_best, np.float32), lists)
