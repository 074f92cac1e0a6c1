"""Timing of what a matrix is made of: an epoch of training, an attack, a full ranking, the features of images."""

from __future__ import annotations

from recshield.bench.comparing import Change, compare
from recshield.bench.figures import BenchFile, Figure, read, write
from recshield.bench.running import bench

__all__ = ["BenchFile", "Change", "Figure", "bench", "compare", "read", "write"]
