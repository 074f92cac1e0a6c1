"""The embedded default data: seeded users with taste, generated in well under two seconds."""

from __future__ import annotations

import numpy as np

from recshield.data.table import NamedData, Table

_SEED = 20_180_708
_USERS, _ITEMS, _GROUPS = 1_200, 800, 12


class Synthetic(NamedData):
    """Users who like one or two of twelve groups of items, and popular items within them.

    A user's events are drawn without replacement from a softmax over group affinity plus item popularity (a Zipf law
    whose top is the same in every group, so that popularity alone is a weak guide). Group membership is soft.
    """

    name = "synthetic"
    description = f"generated, {_USERS} users with taste, {_ITEMS} items in {_GROUPS} groups; the embedded default"
    licence = "CC0-1.0"

    def generate(self) -> Table:
        """Return the rows, in order of time within each user."""
        rng = np.random.default_rng(_SEED)
        group = rng.integers(_GROUPS, size=_ITEMS)
        popularity = -0.6 * np.log1p(rng.permutation(_ITEMS))
        membership = np.eye(_GROUPS)[group] + 0.15 * rng.random((_ITEMS, _GROUPS))
        taste = np.zeros((_USERS, _GROUPS))
        rows = np.arange(_USERS)
        taste[rows, rng.integers(_GROUPS, size=_USERS)] = 4.5
        taste[rows, rng.integers(_GROUPS, size=_USERS)] += 2.5
        scores = taste @ membership.T + popularity
        # The k largest of score + Gumbel noise are k draws without replacement, in order.
        scores += rng.gumbel(size=scores.shape)
        lengths = rng.integers(8, 32, size=_USERS)
        ranked = np.argsort(-scores, axis=1)[:, : lengths.max()]
        kept = np.arange(lengths.max()) < lengths[:, None]
        # In random order, so that the test row is not the least liked one.
        ranked = np.take_along_axis(ranked, np.argsort(np.where(kept, rng.random(ranked.shape), 2.0), axis=1), axis=1)
        users = np.repeat(rows, lengths)
        times = np.concatenate([np.arange(length) for length in lengths])
        return Table(users, ranked[kept], np.ones(len(users), np.float32), times.astype(np.int64))
