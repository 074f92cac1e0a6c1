"""Timing of what a matrix is made of: an epoch of training, an attack, a full ranking, the features of images."""

from __future__ import annotations

from recshield.bench.comparing import Change, compare
from recshield.bench.estimating import Estimate, estimate
from recshield.bench.figures import BenchFile, Figure, Size, TimedPart, read, write
from recshield.bench.kept import keep, kept
from recshield.bench.planned import planned
from recshield.bench.profiling import Profile, write_profiles
from recshield.bench.running import bench

__all__ = [
    "BenchFile",
    "Change",
    "Estimate",
    "Figure",
    "Profile",
    "Size",
    "TimedPart",
    "bench",
    "compare",
    "estimate",
    "keep",
    "kept",
    "planned",
    "read",
    "write",
    "write_profiles",
]
