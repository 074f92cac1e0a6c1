"""The effect of an attack: paired differences and their normal interval, against scipy and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from recshield.evaluation.effect import difference, relative_change


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("n_users", [2, 3, 500])
def test_the_interval_is_the_normal_one_of_scipy(n_users, confidence):
    rng = np.random.default_rng(n_users)
    before, after = rng.random(n_users), rng.random(n_users)
    found = difference(after, before, confidence)
    low, high = stats.norm.interval(confidence, loc=(after - before).mean(), scale=stats.sem(after - before))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert found.mean == pytest.approx((after - before).mean(), rel=1e-12)
    assert found.n_users == n_users


def test_the_difference_by_hand():
    # Differences -1, 0, 1, 4: mean 1, standard deviation sqrt(14/3), standard error sqrt(7/6).
    found = difference(np.array([0.0, 1.0, 2.0, 6.0]), np.array([1.0, 1.0, 1.0, 2.0]))
    width = 1.959963984540054 * math.sqrt(7 / 6)
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, 1.0 - width, 1.0 + width), rel=1e-12)


def test_a_handful_of_users_is_never_significant():
    found = difference(np.zeros(19), np.ones(19))
    assert found.high < 0
    assert not found.is_below_zero
    assert difference(np.zeros(20), np.ones(20)).is_below_zero


def test_the_difference_is_after_minus_before():
    low, high = np.tile([0.1, 0.2, 0.1], 7), np.tile([0.9, 0.8, 0.9], 7)
    found = difference(low, high)
    assert found.is_below_zero
    assert not found.is_above_zero
    turned = difference(high, low)
    assert turned.is_above_zero
    assert not turned.is_below_zero
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_the_interval_covers_the_truth_in_95_of_100_draws():
    rng = np.random.default_rng(0)
    n_draws, n_users, truth = 4_000, 200, -0.03
    covered = 0
    for _ in range(n_draws):
        before = rng.random(n_users)
        found = difference(before + rng.normal(truth, 0.2, n_users), before)
        covered += found.low <= truth <= found.high
    # Three standard errors of a share of 0.95 over the draws, plus what the normal interval lacks at 200 users.
    assert covered / n_draws == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / n_draws) + 0.003)


def test_without_an_effect_one_draw_in_20_excludes_zero():
    rng = np.random.default_rng(1)
    found = [difference(rng.normal(0, 1, 200), np.zeros(200)) for _ in range(4_000)]
    share = np.mean([effect.is_below_zero or effect.is_above_zero for effect in found])
    assert share == pytest.approx(0.05, abs=0.014)


def test_equal_values_have_an_effect_of_exactly_zero():
    same = np.random.default_rng(2).random(50)
    found = difference(same, same.copy())
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert not found.is_below_zero
    assert not found.is_above_zero


def test_one_user_says_nothing_of_the_others():
    found = difference(np.array([0.0]), np.array([1.0]))
    assert (found.mean, found.low, found.high) == (-1.0, -math.inf, math.inf)
    assert not found.is_below_zero


def test_single_precision_values_are_subtracted_in_double():
    after, before = np.array([0.3, 0.6], np.float32), np.array([0.1, 0.1], np.float32)
    expected = (float(after[0]) - float(before[0]) + float(after[1]) - float(before[1])) / 2
    assert difference(after, before).mean == pytest.approx(expected, rel=1e-15)


def test_values_of_different_users_are_an_error():
    with pytest.raises(ValueError, match=r"paired values differ in shape: \(3,\) and \(2,\)"):
        difference(np.zeros(3), np.zeros(2))


@pytest.mark.parametrize(
    ("attacked", "clean", "expected"), [(0.05, 0.1, -0.5), (0.1, 0.1, 0.0), (0.3, 0.1, 2.0), (0.0, 0.2, -1.0)]
)
def test_the_relative_change_by_hand(attacked, clean, expected):
    assert relative_change(attacked, clean) == pytest.approx(expected)


@pytest.mark.parametrize("attacked", [0.0, 0.5])
def test_the_relative_change_of_a_clean_zero_is_nan(attacked):
    assert math.isnan(relative_change(attacked, 0.0))
