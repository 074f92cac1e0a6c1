"""Original ids: numbers or texts, counted from 0 in ascending order, and kept as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Array = NDArray[Any]


def encode(values: Array, names: Array | None = None) -> tuple[Array, NDArray[np.int64]]:
    """Return the distinct ids in ascending order and the place of each row's id among them.

    Args:
        values: (n_rows,) ids, or places in `names`.
        names: the ids that `values` count, or None where `values` are the ids.

    Returns:
        (n_ids,) ids, as `np.unique` orders them, and (n_rows,) int64 places.
    """
    if names is not None:
        used, codes = encode(values)
        ids, places = np.unique(names[used], return_inverse=True)
        return ids, places[codes].astype(np.int64)
    if values.dtype.kind in "iu" and len(values):
        least, most = int(values.min()), int(values.max())
        if least >= 0 and most < 4 * len(values) + 1_000:
            present = np.bincount(values, minlength=most + 1) > 0
            return np.flatnonzero(present).astype(values.dtype), (np.cumsum(present) - 1)[values]
    if values.dtype.kind == "U":
        held = pa.array(values).dictionary_encode()
        names = held.dictionary.to_numpy(zero_copy_only=False).astype(np.str_)
        return encode(held.indices.to_numpy(), names)
    ids, codes = np.unique(values, return_inverse=True)
    return ids, codes.astype(np.int64)


def pack(name: str, ids: Array) -> dict[str, Array]:
    """Return ids as arrays of numbers that can be stored: themselves, or the bytes of texts and where each begins."""
    if ids.dtype.kind in "iu":
        return {name: ids.astype(np.int64)}
    held = pa.array(ids.astype(np.str_), pa.large_string())
    _, offsets, text = held.buffers()
    starts = np.frombuffer(offsets, np.int64)[: len(ids) + 1]
    return {f"{name}.starts": starts, f"{name}.utf8": np.frombuffer(text or b"", np.uint8)[: starts[-1]]}


def unpack(name: str, held: dict[str, Array]) -> Array:
    """Return the ids that `pack` stored."""
    if name in held:
        return held[name]
    starts, text = held[f"{name}.starts"], held[f"{name}.utf8"]
    made = pa.LargeStringArray.from_buffers(len(starts) - 1, pa.py_buffer(starts), pa.py_buffer(text))
    return np.asarray(made.to_numpy(zero_copy_only=False).astype(np.str_))
