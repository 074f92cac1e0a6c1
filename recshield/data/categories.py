"""Categories of items as side information: genres, kinds of garment, colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Categories:
    """Which categories an item belongs to; it may be several or none.

    Attributes:
        names: of the categories; one that belongs to a group is written `GROUP:NAME` (`colour:red`).
        labels: (n_items, n_categories) whether an item belongs to a category.
    """

    names: tuple[str, ...]
    labels: NDArray[np.bool_]
