"""A hypothesis strategy for small valid data sets; needs hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies

from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.testing.pictures import tiny_visual


@strategies.composite
def datasets(
    draw: strategies.DrawFn, max_users: int = 8, max_items: int = 10, max_rows: int = 40, *, has_images: bool = False
) -> Dataset:
    """Draw a small data set that is valid, and often extreme.

    Users without a row, items that nobody has, users who have everything, one user, one item, rows that repeat: all of
    them occur; what a model does on any of them must be finite. There is at least one row.

    Args:
        draw: hypothesis passes it.
        max_users: at least 1.
        max_items: at least 1.
        max_rows: at least 1.
        has_images: with seeded images of 8 x 8 pixels and their features, for visual models.

    Returns:
        Training rows; they shrink to one user, one item and one row.
    """
    n_users = draw(strategies.integers(1, max_users))
    n_items = draw(strategies.integers(1, max_items))
    row = strategies.tuples(strategies.integers(0, n_users - 1), strategies.integers(0, n_items - 1))
    rows = np.array(draw(strategies.lists(row, min_size=1, max_size=max_rows)), dtype=np.int64)
    train = Interactions.from_rows(rows[:, 0], rows[:, 1], n_users, n_items)
    visual = tiny_visual(n_items) if has_images else None
    info = DataInfo("drawn", n_users, n_items, len(train), visual)
    return Dataset(info, train, np.arange(n_users), np.arange(n_items))
