"""Checks of a metric on users with one to three test items, on users with other names, and place by place."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.data.interactions import Dataset, HeldOut, Interactions
from recshield.evaluation.background import Background
from recshield.evaluation.metrics import Metric
from recshield.evaluation.ranking import Extras, Ranks, rank
from recshield.testing.data import small_dataset
from recshield.testing.declarations import said
from recshield.testing.failures import applies_if, need
from recshield.testing.probes import as_served
from recshield.testing.reference import trained_tables

Kind = type[Metric]
Score = Callable[[Tensor], Tensor]
#: Length of the lists: the whole catalogue of the small data.
LENGTH = 30
#: The K at which a metric is checked.
K = 10
#: How far two values of one user may lie apart.
AGREE = 1e-9
#: Test items of a user, at most.
_MOST = 3


def k_of(metric: Kind) -> int:
    """Return the K that a metric is asked at."""
    return K if metric.is_cut else 0


def ranks_of(data: Dataset, test: HeldOut, score: Score, background: HeldOut | None = None) -> Ranks:
    """Return the ranks of test rows, with the lists and with what the training rows say."""
    made = rank(score, data.train, test, extras=Extras(min(LENGTH, data.info.n_items)))
    return dataclasses.replace(made, background=Background(data.train, background or test))


def per_user(metric: Kind, ranks: Ranks) -> NDArray[np.float64]:
    """Return a metric's values of all evaluated users."""
    return np.asarray(metric().per_user(ranks, k_of(metric)))


def needs_users(metric: Kind) -> None:
    """Leave the check where a metric has no value per user."""
    applies_if(metric.has_per_user, f"{said(metric)} is one number over all users")


def several_rows() -> tuple[Dataset, HeldOut]:
    """Return the small data with one to three test items per user, neither sorted by item nor by their scores."""
    data, _ = small_dataset()
    rng = np.random.default_rng(0)
    users, items = [], []
    for user in range(data.info.n_users):
        had = data.train.items[data.train.indptr[user] : data.train.indptr[user + 1]]
        count = 1 + user % _MOST
        users += [user] * count
        items += rng.choice(np.setdiff1d(np.arange(data.info.n_items), had), count, replace=False).tolist()
    return data, HeldOut.from_rows(np.array(users), np.array(items))


def _need_alike(metric: Kind, one: NDArray[np.float64], other: NDArray[np.float64], sentence: str) -> None:
    apart = ~np.isclose(one, other, rtol=0, atol=AGREE, equal_nan=True)
    if apart.any():
        user = int(np.flatnonzero(apart)[0])
        need(False, f"{said(metric)}: user {user} has {one[user]:.6g} and {other[user]:.6g}; {sentence}")


def check_a_user_stands_alone(metric: Kind) -> None:
    """A user's value does not depend on who else is evaluated, also where users have several test items.

    Prevents: figures of groups of users that cannot be compared with those of all; a value read from another user's
    rows.
    """
    needs_users(metric)
    applies_if(metric.is_mean(), f"{said(metric)} has a figure of its own making, which may look at all users")
    score = as_served(trained_tables()).score
    for data, test in (small_dataset(), several_rows()):
        whole = per_user(metric, ranks_of(data, test, score))
        for place in (0, 1, 2, len(test.users) - 1):
            rows = slice(int(test.indptr[place]), int(test.indptr[place + 1]))
            alone = HeldOut.from_rows(test.row_users[rows], test.items[rows])
            value = float(per_user(metric, ranks_of(data, alone, score, test))[0])
            need(
                bool(np.isclose(value, whole[place], rtol=0, atol=AGREE, equal_nan=True)),
                f"{said(metric)}: user {place} has {value:.6g} alone and {whole[place]:.6g} among others; a user's "
                "value must not depend on the others; the user's rows lie between two values of `indptr`",
            )


def check_order_of_test_items_does_not_count(metric: Kind) -> None:
    """A user's value is the same in whatever order the user's test items stand.

    Prevents: a value read from the first or the last of several test items.
    """
    needs_users(metric)
    data, test = several_rows()
    score = as_served(trained_tables()).score
    turned = HeldOut.from_rows(test.row_users[::-1], test.items[::-1])
    one, other = (per_user(metric, ranks_of(data, held, score)) for held in (test, turned))
    _need_alike(metric, one, other, "the order of a user's test items must not count")


def check_names_of_users_do_not_count(metric: Kind) -> None:
    """Users who change their places keep their values.

    Prevents: a value that hangs on a user's number, as through a table indexed by place.
    """
    needs_users(metric)
    data, test = several_rows()
    score = as_served(trained_tables()).score
    place = np.random.default_rng(1).permutation(data.info.n_users)
    train = Interactions.from_rows(place[data.train.users], data.train.items, data.info.n_users, data.info.n_items)
    moved = HeldOut.from_rows(place[test.row_users], test.items)
    back = torch.from_numpy(np.argsort(place))
    other = per_user(metric, ranks_of(dataclasses.replace(data, train=train), moved, lambda users: score(back[users])))
    one = per_user(metric, ranks_of(data, test, score))
    _need_alike(metric, one, other[place], "the number of a user must not count")


def _at(place: int) -> Ranks:
    """Return ranks of one test item per user with exactly `place` candidates before it."""
    data, test = small_dataset()
    scores = torch.rand((data.info.n_users, data.info.n_items), generator=torch.Generator().manual_seed(0))
    for user, item in zip(test.row_users.tolist(), test.items.tolist(), strict=True):
        had = data.train.items[data.train.indptr[user] : data.train.indptr[user + 1]]
        others = torch.ones(data.info.n_items, dtype=torch.bool)
        others[torch.from_numpy(had).long()] = False
        others[item] = False
        order = scores[user][others].sort(descending=True).values
        scores[user, item] = 2.0 if place == 0 else (order[place - 1] + order[place]) / 2
    return ranks_of(data, test, lambda users: scores[users])


def _along(metric: Kind, places: Iterable[int]) -> list[float]:
    sign = 1 if metric.is_higher_better else -1
    return [sign * metric().overall(_at(place), k_of(metric)) for place in places]


def check_a_higher_place_is_never_worse(metric: Kind) -> None:
    """Where the metric says how high test items rank, no place is worse than the one after it.

    Prevents: a metric that rewards an attack for pushing an item down by a few places.
    """
    applies_if(metric.is_accuracy, f"{said(metric)} is no measure of accuracy (is_accuracy = False)")
    held = _along(metric, range(K + 1))
    for place, (here, after) in enumerate(itertools.pairwise(held)):
        need(
            here >= after - AGREE,
            f"{said(metric)}: test items in place {place + 2} are better than in place {place + 1}; a higher place is "
            "never worse",
        )


def check_k_cuts_after_k_places(metric: Kind) -> None:
    """Place K counts, and place K + 1 counts like the last one.

    Prevents: lists one longer or shorter than the K in the metric's name (`<= k` on ranks that start at 0).
    """
    applies_if(metric.is_cut, f"{said(metric)} has no K (is_cut = False)")
    applies_if(metric.is_accuracy, f"{said(metric)} is no measure of accuracy (is_accuracy = False)")
    inside, outside, last = _along(metric, (K - 1, K, 2 * K))
    need(
        abs(outside - last) <= AGREE,
        f"{said(metric)} at K {K}: test items in place {K + 1} count other than those in place {2 * K + 1}; the first "
        "K places are ranks 0 to K - 1",
    )
    need(
        inside > outside,
        f"{said(metric)} at K {K}: test items in place {K} are no better than those in place {K + 1}; the first K "
        "places are ranks 0 to K - 1",
    )


#: Checks of the rows of users, part of `METRIC_CHECKS`.
METRIC_ROW_CHECKS: tuple[Callable[..., None], ...] = (
    check_a_user_stands_alone,
    check_order_of_test_items_does_not_count,
    check_names_of_users_do_not_count,
    check_a_higher_place_is_never_worse,
    check_k_cuts_after_k_places,
)
