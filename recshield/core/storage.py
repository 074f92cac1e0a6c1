"""Tensors too large for memory: mapped to files that vanish with the process, and worked on in chunks of rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from recshield.core.compiled import cache_folder
from recshield.core.settings import CHUNK_BYTES, MAPPED_BYTES


def _is_large(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.numel() * tensor.element_size() >= MAPPED_BYTES


def zeros(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return float32 zeros; on CPU and from `MAPPED_BYTES` on, mapped to a file that has no name any more."""
    count = 1
    for size in shape:
        count *= size
    if device.type != "cpu" or 4 * count < MAPPED_BYTES:
        return torch.zeros(shape, device=device)
    folder = cache_folder() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    number, path = tempfile.mkstemp(dir=folder)
    try:
        os.ftruncate(number, 4 * count)
        held = torch.from_file(path, shared=True, size=count, dtype=torch.float32)
    finally:
        os.close(number)
        Path(path).unlink()
    return held.view(shape)


def chunks(tensor: Tensor) -> Iterator[slice]:
    """Yield slices of rows that hold about `CHUNK_BYTES` each; one slice for a tensor that is not large.

    The slices depend on the shape alone, so that what is drawn chunk by chunk is the same on every machine.
    """
    n_rows = len(tensor)
    if tensor.numel() * tensor.element_size() < MAPPED_BYTES:
        yield slice(0, n_rows)
        return
    step = max(1, CHUNK_BYTES * n_rows // (tensor.numel() * tensor.element_size()))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def by_rows(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return `function(*tensors)` for a function that works on each row for itself, at the memory of a few rows.

    Args:
        function: from tensors with the same rows to one of the first one's shape.
        tensors: all with the same number of rows.
    """
    first = tensors[0]
    if not _is_large(first):
        return function(*tensors)
    found = zeros(tuple(first.shape), first.device)
    for part in chunks(first):
        found[part] = function(*(tensor[part] for tensor in tensors))
    return found


def copy(tensor: Tensor) -> Tensor:
    """Return a copy that shares nothing with the tensor."""
    return by_rows(lambda held: held.detach().clone(), tensor)


def split(tensor: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Return some rows of a tensor in pieces that hold at most `CHUNK_BYTES` once they are gathered."""
    row_bytes = tensor.element_size() * tensor.numel() // max(len(tensor), 1)
    pieces: tuple[Tensor, ...] = rows.split(max(1, CHUNK_BYTES // max(row_bytes, 1)))
    return pieces
