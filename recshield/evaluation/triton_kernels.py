"""Counting of scores as a Triton kernel: one pass over the scores, where plain operations take three."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit
def _count(scores, own, above, bad, n_items, block: tl.constexpr):
    """Count in one line the scores of at least its `own`, and those that are not finite."""
    line = tl.program_id(0).to(tl.int64)
    limit = tl.load(own + line)
    columns = tl.arange(0, block)
    n_above = tl.zeros([block], dtype=tl.int32)
    n_bad = tl.zeros([block], dtype=tl.int32)
    for first in range(0, n_items, block):
        value = tl.load(scores + line * n_items + first + columns, mask=first + columns < n_items, other=0.0)
        is_there = tl.where(first + columns < n_items, 1, 0)
        n_above += tl.where(value >= limit, is_there, 0)
        n_bad += tl.where(tl.abs(value) <= 3.4028234663852886e38, 0, is_there)
    tl.store(above + line, tl.sum(n_above, axis=0))
    tl.store(bad + line, tl.sum(n_bad, axis=0))


def count(scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each line how many scores are at least `own`, and how many are NaN or infinite.

    Args:
        scores: (B, n_items) float32, contiguous.
        own: (B,) float32.

    Returns:
        Two (B,) int32 tensors.
    """
    above, bad = (torch.empty(len(scores), dtype=torch.int32, device=scores.device) for _ in range(2))
    with torch.cuda.device_of(scores):
        _count[(len(scores),)](scores, own, above, bad, scores.shape[1], block=_BLOCK, enable_fp_fusion=True)
    return above, bad
