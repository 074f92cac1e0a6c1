"""Histories of different lengths side by side: blocks of like lengths, trimmed to the longest of each block."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: A block holds lengths of at most a quarter more than its shortest.
_GROWTH = 4

Numbers = NDArray[np.int64]


def edges(length: int) -> Numbers:
    """Return the ascending upper ends of the ranges of lengths that share a block; the last is at least `length`."""
    found = [1]
    while found[-1] < length:
        found.append(found[-1] + max(1, found[-1] // _GROWTH))
    return np.array(found, dtype=np.int64)


@dataclass(frozen=True)
class Packed:
    """Histories laid out in blocks, each history at the start of its line, padding behind it.

    Attention is causal and everything else acts on one position alone, so what stands behind a history cannot reach it.

    Attributes:
        rows: (n,) int64 training row (occurrence) of each position that holds one.
        places: (n,) int64 where it stands among all positions, padding included.
        ages: (n,) int64 how many later rows the history has; 0 = the most recent.
        last: (n_histories,) int64 place of each history's most recent row, in the order given.
        shapes: (histories, positions) of each block.
    """

    rows: Tensor
    places: Tensor
    ages: Tensor
    last: Tensor
    shapes: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Number of positions, padding included."""
        return sum(lines * width for lines, width in self.shapes)

    def to(self, device: torch.device) -> Packed:
        """Return the same on `device`."""
        moved = [held.to(device) for held in (self.rows, self.places, self.ages, self.last)]
        return Packed(moved[0], moved[1], moved[2], moved[3], self.shapes)


def pack(starts: Numbers, ends: Numbers, width: int = 0) -> Packed:
    """Return histories that are ranges of training rows, in blocks of like lengths.

    Args:
        starts: (n_histories,) first row of each.
        ends: (n_histories,) row behind its last; every history has at least one row.
        width: 0 = trimmed; else every history is padded to this many positions, in one block.
    """
    lengths = ends - starts
    order = np.argsort(lengths, kind="stable")
    sorted_lengths = lengths[order]
    longest = int(sorted_lengths[-1]) if len(order) else 0
    shapes: list[tuple[int, int]] = []
    widths = np.full(len(order), width, dtype=np.int64)
    if width:
        shapes = [(len(order), width)]
    else:
        cuts = np.searchsorted(sorted_lengths, edges(longest), side="right")
        for first, behind in itertools.pairwise([0, *cuts.tolist()]):
            if behind > first:
                widths[first:behind] = sorted_lengths[behind - 1]
                shapes.append((behind - first, int(sorted_lengths[behind - 1])))
    firsts = np.cumsum(widths) - widths
    before = np.cumsum(sorted_lengths) - sorted_lengths
    within = np.arange(int(sorted_lengths.sum())) - np.repeat(before, sorted_lengths)
    last = np.empty(len(order), dtype=np.int64)
    last[order] = firsts + sorted_lengths - 1
    arrays = (
        np.repeat(starts[order], sorted_lengths) + within,
        np.repeat(firsts, sorted_lengths) + within,
        np.repeat(sorted_lengths, sorted_lengths) - 1 - within,
        last,
    )
    rows, places, ages, ends_at = (torch.from_numpy(held) for held in arrays)
    return Packed(rows, places, ages, ends_at, tuple(shapes))
