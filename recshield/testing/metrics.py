"""Checks of a metric, run on ranks of small data: a sound ranking, a perfect one and the worst one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
import torch

from recshield.data.interactions import HeldOut
from recshield.evaluation.metrics import Metric
from recshield.evaluation.ranking import Ranks
from recshield.testing.data import small_dataset
from recshield.testing.declarations import (
    check_description_is_one_line,
    check_docstring_is_complete,
    check_name_can_be_written,
    said,
)
from recshield.testing.failures import applies_if, need
from recshield.testing.metric_rows import LENGTH, METRIC_ROW_CHECKS, k_of, needs_users, per_user, ranks_of
from recshield.testing.probes import as_served, disturbed_random_state, watched_random_state
from recshield.testing.reference import trained_tables

Kind = type[Metric]


def _sound() -> Ranks:
    """Return the ranks of the trained reference model, new each time: a metric may write into them."""
    data, test = small_dataset()
    return ranks_of(data, test, as_served(trained_tables()).score)


def _planted(sign: float) -> Ranks:
    """Return ranks with every test item first (1) or last (-1)."""
    data, test = small_dataset()
    scores = torch.rand((data.info.n_users, data.info.n_items), generator=torch.Generator().manual_seed(0))
    scores[torch.from_numpy(test.row_users).long(), torch.from_numpy(test.items).long()] = 2 * sign
    return ranks_of(data, test, lambda users: scores[users])


def check_is_a_metric(metric: Kind) -> None:
    """The class inherits `recshield.evaluation.Metric` and implements what it says: `per_user` or `overall`."""
    need(issubclass(metric, Metric), f"{said(metric)}: {metric.__name__} does not inherit recshield.evaluation.Metric")
    wanted = "per_user" if metric.has_per_user else "overall"
    need(
        getattr(metric, wanted) is not getattr(Metric, wanted),
        f"{said(metric)}: {wanted}() is missing, and has_per_user is {metric.has_per_user}; implement it",
    )


def check_one_value_per_user(metric: Kind) -> None:
    """`per_user` returns one float per evaluated user, none of them infinite; NaN leaves a user out."""
    needs_users(metric)
    ranks = _sound()
    held = per_user(metric, ranks)
    need(
        held.shape == ranks.users.shape and held.dtype == np.float64,
        f"{said(metric)}: per_user() returns {held.dtype} of shape {held.shape}; expected float64 of "
        f"{ranks.users.shape}, one per evaluated user",
    )
    need(not np.isinf(held).any(), f"{said(metric)}: per_user() returns an infinite value; NaN leaves a user out")


def check_figure_is_finite(metric: Kind) -> None:
    """The figure of a sound ranking is a finite number; that of a perfect or the worst one is not infinite."""
    for ranks, which in ((_sound(), "a sound"), (_planted(1), "a perfect"), (_planted(-1), "the worst")):
        value = metric().overall(ranks, k_of(metric))
        is_sound = bool(np.isfinite(value)) if which == "a sound" else not np.isinf(value)
        need(
            isinstance(value, float) and is_sound,
            f"{said(metric)}: the figure of {which} ranking is {value!r}; expected a finite float",
        )


def check_same_ranks_same_bits(metric: Kind) -> None:
    """Two calls return the same bits, whatever the global generators say, which stay as they were."""
    values = []
    for disturbance in (1, 2):
        with disturbed_random_state(disturbance), watched_random_state(said(metric)):
            values.append(metric().overall(_sound(), k_of(metric)))
    need(values[0] == values[1], f"{said(metric)}: two calls differ: {values[0]!r} and {values[1]!r}; draw nothing")


def check_ranks_are_not_changed(metric: Kind) -> None:
    """The metric does not write into the ranks, which every metric reads."""
    ranks = _sound()
    before = _hash(ranks)
    metric().overall(ranks, k_of(metric))
    need(_hash(ranks) == before, f"{said(metric)}: the ranks are changed; work on a copy")


def _hash(ranks: Ranks) -> str:
    held = [getattr(ranks, spot.name) for spot in dataclasses.fields(ranks)]
    arrays = [one for one in held if isinstance(one, np.ndarray)]
    return hashlib.blake2b(b"".join(one.tobytes() for one in arrays)).hexdigest()


def check_better_is_the_way_it_says(metric: Kind) -> None:
    """Where the metric says how high test items rank, a perfect ranking is better than the worst one.

    Prevents: a table in which the stronger attack looks like the weaker one.
    """
    applies_if(metric.is_accuracy, f"{said(metric)} is no measure of accuracy (is_accuracy = False)")
    best, worst = (metric().overall(_planted(sign), k_of(metric)) for sign in (1, -1))
    word = "higher" if metric.is_higher_better else "lower"
    need(
        best > worst if metric.is_higher_better else best < worst,
        f"{said(metric)} says that {word} is better, and gives {best:.6g} to a perfect ranking and {worst:.6g} to the "
        "worst one; look at is_higher_better",
    )


def check_k_is_read(metric: Kind) -> None:
    """With the test items in the middle of the lists, the K of the name makes a difference; without one it is 0."""
    applies_if(metric.is_cut, f"{said(metric)} has no K (is_cut = False)")
    ranks = _sound()
    found = {metric().overall(ranks, k) for k in (1, 5, LENGTH)}
    need(
        len(found) > 1,
        f"{said(metric)}: the figure is {found.pop():.6g} at K 1, 5 and 30; read it, or is_cut = False",
    )


def check_lists_are_asked_for(metric: Kind) -> None:
    """A metric that does not say `needs_lists` works on ranks without lists.

    Prevents: a metric that fails at the end of a run, when all is trained and attacked.
    """
    applies_if(not metric.needs_lists, f"{said(metric)} says needs_lists = True")
    bare = dataclasses.replace(_sound(), lists=None)
    value = metric().overall(bare, k_of(metric))
    whole = metric().overall(_sound(), k_of(metric))
    need(value == whole, f"{said(metric)}: without lists the figure is {value!r}, with them {whole!r}; say needs_lists")


def check_one_user(metric: Kind) -> None:
    """One user with one test item is enough for a figure."""
    data, test = small_dataset()
    alone = HeldOut.from_rows(test.row_users[:1], test.items[:1])
    value = metric().overall(ranks_of(data, alone, as_served(trained_tables()).score), k_of(metric))
    need(isinstance(value, float) and not np.isinf(value), f"{said(metric)}: the figure over one user is {value!r}")


#: Every check of a metric, in the order in which they run.
METRIC_CHECKS: tuple[Callable[..., None], ...] = (
    check_name_can_be_written,
    check_description_is_one_line,
    check_docstring_is_complete,
    check_is_a_metric,
    check_one_value_per_user,
    check_figure_is_finite,
    check_same_ranks_same_bits,
    check_ranks_are_not_changed,
    check_better_is_the_way_it_says,
    check_k_is_read,
    check_lists_are_asked_for,
    check_one_user,
    *METRIC_ROW_CHECKS,
)
