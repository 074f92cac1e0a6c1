"""Intervals cover what they say, tests and corrections are scipy's and those worked by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats as reference
from statsmodels.stats.weightstats import DescrStatsW

from recshield.evaluation.stats import (
    benjamini_hochberg,
    holm,
    interval,
    intervals,
    paired,
    relative_interval,
    relative_intervals,
    seed_means,
    spread,
)


def covered(n_seeds: int, n_users: int, seed_effect: float, *, is_skewed: bool = False, trials: int = 500) -> float:
    """Return how often the interval holds the true mean, 0, of users and seeds that are crossed at random."""
    rng, hits = np.random.default_rng(7), 0
    for trial in range(trials):
        users = rng.exponential(size=n_users) - 1 if is_skewed else rng.normal(size=n_users)
        values = users + rng.normal(size=(n_seeds, n_users)) + seed_effect * rng.normal(size=(n_seeds, 1))
        found = interval(values, resamples=500, seed=trial)
        hits += found.low <= 0 <= found.high
    return hits / trials


@pytest.mark.parametrize(
    ("n_seeds", "n_users", "seed_effect", "is_skewed"),
    [(1, 200, 0.0, False), (1, 200, 0.0, True), (5, 200, 0.0, False), (5, 200, 0.1, False), (5, 100, 0.5, True)],
)
def test_an_interval_of_95_percent_covers_the_mean_in_93_to_97_percent(
    n_seeds, n_users, seed_effect, is_skewed
) -> None:
    assert 0.93 <= covered(n_seeds, n_users, seed_effect, is_skewed=is_skewed) <= 0.97


def test_the_relative_interval_covers_the_true_change() -> None:
    rng, hits = np.random.default_rng(8), 0
    for trial in range(500):
        clean = np.maximum(1 + rng.normal(size=150), 0)
        attacked = 0.8 * clean + 0.2 * rng.normal(size=150)
        found = relative_interval(clean, attacked, resamples=500, seed=trial)
        hits += found.low <= -0.2 <= found.high
    assert 0.93 <= hits / 500 <= 0.97


def test_users_that_seeds_share_are_counted_once() -> None:
    """Ten seeds that are all alike say no more than one; drawing users within each would shrink it by sqrt(10)."""
    one = np.random.default_rng(0).normal(size=400)
    alone, ten = interval(one), interval(np.tile(one, (10, 1)))
    assert (ten.low, ten.high, ten.mean) == pytest.approx((alone.low, alone.high, alone.mean))
    assert (alone.n_seeds, ten.n_seeds, ten.n_users) == (1, 10, 400)


def test_over_many_users_the_interval_is_the_normal_one() -> None:
    values = np.random.default_rng(1).exponential(size=5000)
    low, high = DescrStatsW(values).tconfint_mean(alpha=0.1)
    found = interval(values, confidence=0.9, resamples=4000)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)


def test_it_agrees_with_the_bootstrap_of_scipy_up_to_its_widening() -> None:
    values = np.random.default_rng(2).exponential(size=300)
    theirs = reference.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, random_state=0)
    held, ours = theirs.confidence_interval, interval(values, resamples=4000)
    widened = reference.t.ppf(0.975, 299) / reference.norm.ppf(0.975) * math.sqrt(300 / 299)
    assert ours.low == pytest.approx(values.mean() + widened * (held.low - values.mean()), abs=0.006)
    assert ours.high == pytest.approx(values.mean() + widened * (held.high - values.mean()), abs=0.006)


def test_the_spread_of_seeds_is_the_t_interval_where_users_do_not_differ() -> None:
    """Users who are all alike leave the seeds alone: five figures, their t interval, reached by their percentiles."""
    figures = np.array([0.30, 0.31, 0.28, 0.33, 0.29])
    found = interval(np.tile(figures[:, None], (1, 50)), resamples=20_000)
    width = reference.t.ppf(0.975, 4) * figures.std(ddof=1) / math.sqrt(5)
    assert found.mean == pytest.approx(0.302)
    assert found.high - found.low == pytest.approx(2 * width, rel=0.12)


def test_a_relative_change_is_that_of_the_means_and_its_pairs_narrow_it() -> None:
    rng = np.random.default_rng(3)
    clean = rng.exponential(size=(3, 500))
    found = relative_interval(clean, 0.7 * clean)
    assert (found.mean, found.low, found.high) == pytest.approx((-0.3, -0.3, -0.3))
    assert found.is_below_zero
    apart = relative_interval(clean, 0.7 * clean[:, ::-1])
    assert apart.high - apart.low > 0.05


def test_users_who_are_not_counted_change_nothing() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(2, 100))
    wider = np.concatenate([values, np.full((2, 30), np.nan)], axis=1)
    one, other = interval(values), interval(wider)
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high), rel=1e-12)
    assert one.n_users == other.n_users == 100
    clean = np.where(rng.random(130) < 0.2, np.nan, 1.0)
    assert relative_interval(clean, np.ones(130)).n_users == int((~np.isnan(clean)).sum())


def test_no_user_and_one_user_have_no_interval() -> None:
    nobody = interval(np.full((1, 3), np.nan))
    assert nobody.n_users == 0
    assert math.isnan(nobody.mean)
    assert math.isnan(nobody.low)
    one = interval(np.array([[np.nan, 2.0]]))
    assert (one.mean, one.low, one.high) == (2.0, -math.inf, math.inf)
    assert math.isnan(relative_interval(np.zeros(5), np.ones(5)).mean)


def test_several_intervals_at_once_are_those_one_by_one_and_a_seed_repeats_them() -> None:
    rng = np.random.default_rng(5)
    many = [rng.normal(size=(2, 80)), rng.normal(size=(2, 80)), np.where(rng.random(80) < 0.5, np.nan, 1.0)]
    for found, one in zip(intervals(many, seed=3), many, strict=True):
        alone = interval(one, seed=3)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), rel=1e-12)
        assert (found.mean, found.n_users) == (alone.mean, alone.n_users)
    assert interval(many[0], seed=3) == interval(many[0], seed=3) != interval(many[0], seed=4)
    pairs = [(many[0] + 5, many[1] + 4), (many[1] + 5, many[0] + 3)]
    for found, pair in zip(relative_intervals(pairs), pairs, strict=True):
        assert found.low == pytest.approx(relative_interval(*pair).low, rel=1e-12)


def test_a_thousand_resamples_of_the_users_of_amazon_video_take_under_a_second() -> None:
    values = np.random.default_rng(6).normal(size=(1, 31_013))
    start = time.process_time()
    interval(values, resamples=1000, seed=123)
    assert time.process_time() - start < 2  # 0.7 s on an idle core; the bound leaves room for a busy one


def test_pairs_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="paired values differ in shape"):
        relative_interval(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="paired values differ in shape"):
        paired(np.ones(3), np.ones(4))


def test_paired_tests_are_those_of_scipy() -> None:
    rng = np.random.default_rng(9)
    a = rng.exponential(size=200).round(1)
    b = (a + rng.normal(0.1, 0.5, 200)).round(1)
    found = paired(a, b)
    t_test, ranked = reference.ttest_rel(b, a), reference.wilcoxon(b, a)
    assert (found.t, found.p_t) == pytest.approx((t_test.statistic, t_test.pvalue))
    assert (found.w, found.p_w) == pytest.approx((ranked.statistic, ranked.pvalue))
    assert found.n == 200


def test_effect_sizes_are_those_worked_by_hand() -> None:
    """Differences 1, -2, 3, 4 (one user does not differ): d_z over five, rank sums 8 and 2 of 10."""
    a, b = np.zeros(5), np.array([1.0, -2.0, 3.0, 4.0, 0.0])
    found = paired(a, b)
    assert found.difference == pytest.approx(1.2)
    assert found.d_z == pytest.approx(1.2 / math.sqrt((0.04 + 10.24 + 3.24 + 7.84 + 1.44) / 4))
    assert found.rank_biserial == pytest.approx((1 + 3 + 4 - 2) / 10)
    assert found.w == 2
    assert found.p_w == pytest.approx(6 / 16)  # rank sums at most 2, either sign: {}, {1}, {2} of 16 subsets, twice


def test_the_same_figures_differ_by_nothing() -> None:
    found = paired(np.ones(4), np.ones(4))
    assert (found.difference, found.p_t, found.p_w, found.d_z, found.rank_biserial) == (0, 1, 1, 0, 0)
    assert paired(np.array([np.nan, 1.0]), np.array([1.0, 2.0])).n == 1


def test_holm_and_benjamini_hochberg_are_those_worked_by_hand() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005, np.nan]
    np.testing.assert_allclose(holm(p_values), [0.03, 0.06, 0.06, 0.02, np.nan])
    np.testing.assert_allclose(benjamini_hochberg(p_values), [0.02, 0.04, 0.04, 0.02, np.nan])
    assert np.isnan(holm([np.nan])).all()


def test_seeds_have_a_mean_and_a_spread() -> None:
    np.testing.assert_array_equal(seed_means(np.array([[1.0, 3.0, np.nan], [2.0, 2.0, np.nan]])), [2.0, 2.0])
    found = spread([1.0, 2.0, 3.0])
    assert (found.mean, found.std, found.least, found.largest, found.n_seeds) == (2, 1, 1, 3, 3)
    assert math.isnan(spread([1.0]).std)
