"""The nearest rows of a sparse 0/1 matrix, block by block: never a matrix of all rows against all rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: Similarities by name.
SIMILARITIES = ("cosine", "jaccard")
#: Most similarities held at once (one row's, where that is more); about 70 bytes each while they are sorted.
BLOCK_ENTRIES = 1 << 21


def nearest(
    rows: Any, k: int, similarity: str = "cosine", shrink: float = 0.0, entries: int = BLOCK_ENTRIES
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the k most similar other rows of each row, most similar first; of equal ones the smallest id first.

    Two rows that share no column are no neighbours. Similarities are compared as the float32 values returned.

    Args:
        rows: (n, columns) scipy CSR array of ones, no entry twice.
        k: neighbours of each row.
        similarity: `cosine`: shared / (sqrt(size * size) + shrink); `jaccard`: shared / (size of the union + shrink).
        shrink: at least 0; takes more from similarities that rest on few columns.
        entries: similarities held at once.

    Returns:
        (n, k) ids and (n, k) similarities; where a row has fewer neighbours, id 0 with similarity 0.

    Source: Dacrema et al. 2019, arXiv:1907.06902, section 3.2 (the shrink term stands in the denominator).
    """
    n_rows = rows.shape[0]
    ids, values = np.zeros((n_rows, k), np.int32), np.zeros((n_rows, k), np.float32)
    sizes = np.diff(rows.indptr).astype(np.int64)
    columns = rows.T.tocsr()
    for start, end in _blocks(rows, columns, entries):
        shared = (rows[start:end] @ columns).tocsr()
        shared.sort_indices()
        row = np.repeat(np.arange(end - start), np.diff(shared.indptr))
        is_other = shared.indices != row + start
        row, other, common = row[is_other], shared.indices[is_other], shared.data[is_other].astype(np.float64)
        value = _similarity(common, sizes[row + start], sizes[other], similarity, shrink)
        chosen, place = _first(row, value, k)
        ids[row[chosen] + start, place] = other[chosen]
        values[row[chosen] + start, place] = value[chosen]
    return ids, values


def _similarity(
    common: NDArray[np.float64], size: NDArray[np.int64], other: NDArray[np.int64], similarity: str, shrink: float
) -> NDArray[np.float32]:
    whole = np.sqrt((size * other).astype(np.float64)) if similarity == "cosine" else size + other - common
    return (common / (whole + shrink)).astype(np.float32)


def _first(row: NDArray[np.int64], value: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which entries are among the first k of their row by falling value, and the place of each there.

    Entries come with rows ascending and ids ascending within a row, so a stable sort leaves ties to the smaller id.
    """
    # The bits of floats that are not negative rise with them: row and falling value fit into one integer.
    key = (row << 32) | (0xFFFFFFFF - value.view(np.uint32).astype(np.int64))
    order = np.argsort(key, kind="stable")
    sizes = np.bincount(row)
    place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    is_first = place < k
    return order[is_first], place[is_first]


def _blocks(rows: Any, columns: Any, entries: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of blocks of rows whose products hold at most `entries` values, or one row."""
    lengths = np.diff(columns.indptr).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths[rows.indices])])
    most = np.minimum(np.diff(ends[rows.indptr]), rows.shape[0])  # a row's product has at most this many entries
    total = np.cumsum(most)
    start, done = 0, 0
    while start < len(total):
        end = max(int(np.searchsorted(total, done + entries, side="right")), start + 1)
        yield start, end
        start, done = end, int(total[end - 1])


def ones(indptr: NDArray[np.integer], indices: NDArray[np.integer], n_columns: int, dtype: type = np.float32) -> Any:
    """Return a CSR array of ones from its offsets and column ids."""
    shape = (len(indptr) - 1, n_columns)
    return csr_array((np.ones(len(indices), dtype), indices, indptr), shape=shape)
