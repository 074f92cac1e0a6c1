"""Small data for the checks: users with taste, and the smallest data that a model must survive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.testing.pictures import tiny_visual

_GROUPS = 3
_FAVOURITE = 0.8  # share of a user's rows that lie in the favourite group


def _dataset(name: str, users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_items: int) -> Dataset:
    train = Interactions.from_rows(users, items, n_users, n_items)
    info = DataInfo(name, n_users, n_items, len(train), tiny_visual(n_items))
    return Dataset(info, train, np.arange(n_users), np.arange(n_items))


def small_dataset(n_users: int = 40, n_items: int = 30, length: int = 8, seed: int = 0) -> tuple[Dataset, HeldOut]:
    """Return users who like one of three groups of items, the same rows each time.

    The last user has a test row but no training row, so that some rows of a user table are never read: a gradient
    divided by its own length is NaN there.

    Args:
        n_users: at least 2.
        n_items: at least four times `length`, so that every user has negatives.
        length: training rows of each user but the last.
        seed: of the draws.

    Returns:
        Training rows, and one test row per user.
    """
    rng = np.random.default_rng(seed)
    group = np.arange(n_items) % _GROUPS
    users, items, tests = [], [], []
    for user in range(n_users):
        weight = np.where(group == user % _GROUPS, _FAVOURITE, (1 - _FAVOURITE) / (_GROUPS - 1))
        drawn = rng.choice(n_items, size=length + 1, replace=False, p=weight / weight.sum())
        drawn = rng.permutation(drawn)  # so that the test row is not the least liked one
        kept = length if user < n_users - 1 else 0
        users.append(np.full(kept, user))
        items.append(drawn[:kept])
        tests.append(drawn[length])
    data = _dataset("kit", np.concatenate(users), np.concatenate(items), n_users, n_items)
    return data, HeldOut.from_rows(np.arange(n_users), np.array(tests))


def one_user_dataset() -> Dataset:
    """Return one user with three of six items."""
    return _dataset("one-user", np.zeros(3, np.int64), np.array([4, 0, 2]), 1, 6)


def one_item_dataset() -> Dataset:
    """Return four users and one item, which three of them have: no user with a row has a negative."""
    return _dataset("one-item", np.arange(3), np.zeros(3, np.int64), 4, 1)
