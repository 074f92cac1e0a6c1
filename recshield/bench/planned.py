"""What a prepared run will cost: the estimate of its plan, with the size of its data."""

from __future__ import annotations

from collections.abc import Sequence

from recshield.bench.estimating import Estimate, estimate
from recshield.bench.figures import BenchFile, Size
from recshield.bench.running import data_digest
from recshield.matrix.loading import load_data
from recshield.run import Prepared


def planned(prepared: Prepared, timed: Sequence[BenchFile], jobs: int = 1) -> Estimate | None:
    """Return how long the steps that are not done yet take; None where nothing is known of the data's size.

    Args:
        prepared: a request with its plan.
        timed: benchmarks to go by.
        jobs: processes.
    """
    size = _size(prepared, timed)
    if size is None:
        return None
    missing = [key for key in prepared.plan.steps if prepared.store.get(key) is None]
    return estimate(prepared.plan, missing, size, timed, jobs)


def _size(prepared: Prepared, timed: Sequence[BenchFile]) -> Size | None:
    """Return the size of the data: as split before, else as a benchmark of the same data found it."""
    entry = prepared.store.get(prepared.plan.data_keys[0])
    if entry is not None:
        data, _ = load_data(entry)
        return Size(users=data.info.n_users, items=data.info.n_items, rows=data.info.n_interactions)
    digest = data_digest(prepared)
    same = [file.size for file in timed if file.request.get("data") == digest]
    return same[0] if same else None
