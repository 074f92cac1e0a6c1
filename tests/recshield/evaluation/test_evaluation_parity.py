"""PopREO and PopRSP by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.background import Background
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import Ranks


def four(ranks: list[int], lists: list[list[int]]) -> Ranks:
    """Return two users: item 0 has four of five rows and is the head; items 1, 2 and 3 are the tail."""
    train = Interactions.from_rows(np.array([0, 1, 2, 3, 0]), np.array([0, 0, 0, 0, 1]), 6, 4)
    test = HeldOut.from_rows(np.array([0, 4, 4, 5]), np.array([2, 0, 1, 0]))
    held = Background(train, test)
    assert held.is_head.tolist() == [True, False, False, False]
    n_rows = len(test.items)
    return Ranks(
        test.users, test.indptr, test.items, np.array(ranks, np.int32), np.full(n_rows, 4, np.int32),
        lists=np.array(lists, np.int32), background=held,
    )  # fmt: skip


def test_popreo_is_the_spread_of_the_two_hit_rates_over_their_mean() -> None:
    """Test items: 2 of the head (users 4 and 5), both hit; 2 of the tail, one hit. Rates 1 and 0.5."""
    found = four([0, 0, 3, 0], [[2], [0], [0]])
    assert MetricAtK.parse("popreo@1").measure(found).value == pytest.approx(0.25 / 0.75)
    assert MetricAtK.parse("popreo@4").measure(found).value == 0
    assert math.isnan(MetricAtK.parse("popreo@1").measure(four([3, 3, 3, 3], [[2], [0], [0]])).value)


def test_poprsp_is_the_spread_of_the_two_shares_of_places_over_their_mean() -> None:
    """Places: 2 of the head, 1 of the tail. Candidates of users 0, 4, 5: head 0 + 1 + 1, tail 2 + 3 + 3 = 8."""
    found = four([0, 0, 3, 0], [[2], [0], [0]])
    shares = np.array([2 / 2, 1 / 8])
    assert MetricAtK.parse("poprsp@1").measure(found).value == pytest.approx(shares.std() / shares.mean())
    even = four([0, 0, 3, 0], [[2, 3], [-1, -1], [-1, -1]])
    assert MetricAtK.parse("poprsp@2").measure(even).value == pytest.approx(1), "the head is never shown"


def test_neither_can_be_the_first_metric_nor_has_it_values_per_user() -> None:
    for name in ("popreo@5", "poprsp@5"):
        metric = MetricAtK.parse(name).plugin
        assert not metric.is_higher_better
        assert not metric.is_mean()
