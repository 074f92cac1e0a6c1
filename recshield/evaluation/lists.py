"""Lists of the items ranked first, without sorting whole rows of scores."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import EXACT, kernel
from recshield.core.lowlevel import wide
from recshield.data.interactions import Interactions

#: Every which item is looked at to guess a threshold for the lists.
_STRIDE = 8


@numba.njit(**EXACT)
def _reaching(
    line: NDArray[np.float32], least: np.float32, is_over: NDArray[np.bool_], found: NDArray[np.int32]
) -> int:
    """Write the items whose score is at least the threshold, and return how many; `is_over` is room in whole words."""
    wide()
    for item in range(len(line)):
        is_over[item] = line[item] >= least
    words, count = is_over.view(np.uint64), 0  # eight at a time
    for word in range(len(words)):
        if words[word]:
            for item in range(8 * word, min(8 * word + 8, len(line))):
                if is_over[item]:
                    found[count] = item
                    count += 1
    return count


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
    found = np.empty(n_items, np.int32)
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
        least = best[0]
        n_found = _reaching(line, least, is_over, found)
        if n_found < k and least > lowest:
            least = lowest
            n_found = _reaching(line, least, is_over, found)
        n_held = n_equal = 0
        for place in range(n_found):
            item = found[place]
            value = line[item]
            if value == least:
                # Of those at the threshold, the K smallest ids are enough; masked items never count.
                n_equal += 1
                if n_equal > k or value == lowest:
                    continue
            turn = np.uint32(0xFFFFFFFF) if bits[item] >> np.uint32(31) else np.uint32(0x80000000)
            keys[n_held] = (np.uint64(bits[item] ^ turn) << np.uint64(32)) | np.uint64(0xFFFFFFFF - item)
            n_held += 1
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
