"""What per_user.parquet says of a user beside rank and metrics: activity, test items of the head, kept lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recshield.evaluation.background import ACTIVITY, Background
from recshield.evaluation.ranking import Ranks

#: Columns that are no metric. activity: third by training rows; head_share: share of the user's test items that are of
#: the short head; overlap: share of the clean list that the attacked one holds, too, NaN where no lists are kept.
USER_COLUMNS = ("activity", "head_share", "overlap")


def groups(ranks: Ranks, background: Background) -> dict[str, Any]:
    """Return activity and head_share of the evaluated users; the same for every cell of a fold."""
    is_head = background.is_head[ranks.items].astype(np.float64)
    share = np.add.reduceat(is_head, ranks.indptr[:-1]) / np.diff(ranks.indptr)
    activity = pd.Categorical.from_codes(background.activity, pd.Index(ACTIVITY))
    return {"activity": activity, "head_share": share.astype(np.float32)}


def overlap(clean: NDArray[np.int32], attacked: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (n_users,) shares of the items of each clean list that the attacked list holds, too.

    Args:
        clean: (n_users, k) items, -1 beyond the user's last candidate.
        attacked: (n_users, k) items of the same users.
    """
    n_kept, n_listed = np.zeros(len(clean), np.int64), (clean >= 0).sum(axis=1)
    for place in range(clean.shape[1]):  # no table of users x k x k
        item = clean[:, place : place + 1]
        n_kept += ((attacked == item) & (item >= 0)).any(axis=1)
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float32] = (n_kept / n_listed).astype(np.float32)
    return shares
