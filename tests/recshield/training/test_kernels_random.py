"""The kernel's random directions and dropped values: their distribution, and single updates in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from recshield.training import Triplets, passes
from recshield.training.kernels import FactorTrainer

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
EPS = np.float32(0.5)


def mix(value: int) -> int:
    """Return splitmix64 in Python's own integers (Steele et al. 2014)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & WORD
    return value ^ (value >> 31)


def directions(n_rows: int, width: int, seed: int = 1) -> np.ndarray:
    rows = np.zeros((n_rows, width), np.float32)
    passes.perturb_randomly(rows, np.empty(width, np.float32), 0, 0, n_rows, EPS, np.uint64(mix(seed)))
    return rows.astype(np.float64)


def test_gaussian_values_are_standard_normal_and_uncorrelated() -> None:
    width = 7
    drawn = np.empty((20_000, width), np.float32)
    for place, row in enumerate(drawn):
        passes.gaussian(row, np.uint64(mix(place)))
    for column in drawn.T:
        assert stats.kstest(column, "norm").pvalue > 0.001
    # sd of a correlation over 20 000 draws is 0.007
    assert np.abs(np.corrcoef(drawn.T) - np.eye(width)).max() < 0.032
    assert np.abs(np.corrcoef(drawn.T**2) - np.eye(width)).max() < 0.032


@pytest.mark.parametrize("width", [1, 2, 5, 64])
def test_a_random_direction_has_exactly_the_norm_eps(width: int) -> None:
    assert np.linalg.norm(directions(3000, width), axis=1) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_random_directions_are_uniform_on_the_sphere(width: int) -> None:
    """A coordinate t of a uniform unit vector in d dimensions has (1 + t) / 2 ~ Beta((d-1)/2, (d-1)/2)."""
    found = directions(20_000, width) / 0.5
    law = stats.beta((width - 1) / 2, (width - 1) / 2)
    skew = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0]
    for column in [*found.T, *(found @ skew).T]:  # along the axes and along any other
        assert stats.kstest((1 + column) / 2, law.cdf).pvalue > 0.001
    assert np.abs(found.mean(axis=0)).max() < 4.5 / math.sqrt(width * 20_000)
    assert found.T @ found / 20_000 == pytest.approx(np.eye(width) / width, abs=0.015)


def test_rows_are_independent_of_one_another_and_of_other_batches() -> None:
    """The cosine of two independent directions has the law of one coordinate."""
    width = 6
    law = stats.beta((width - 1) / 2, (width - 1) / 2)
    one, other = directions(10_000, width, 1) / 0.5, directions(10_000, width, 2) / 0.5
    for cosines in ((one[:-1] * one[1:]).sum(axis=1), (one * other).sum(axis=1)):
        assert stats.kstest((1 + cosines) / 2, law.cdf).pvalue > 0.001
    assert len(np.unique(one.round(6), axis=0)) == 10_000


P = np.array([0.5, -0.25, 0.75])
Q = np.array([[0.25, 0.5, -0.5], [-1.0, 0.5, 0.25]])
TRIPLET = Triplets(*(np.array([value], np.int32) for value in (0, 0, 1)))


def trained(seed: int, **settings: object) -> tuple[np.ndarray, np.ndarray, float]:
    user, item = P[None].astype(np.float32), Q.astype(np.float32)
    trainer = FactorTrainer(user, item, 4, 0.05, 0.1, **settings)  # type: ignore[arg-type]
    loss = trainer.epoch(TRIPLET, seed=seed)
    trainer.write()
    return user[0], item, loss


def update(held: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return one step of Adagrad."""
    return held - 0.05 * gradient / np.sqrt(0.1 + gradient**2)


def bpr(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    x = float(p @ (q[0] - q[1]))
    slope = 1 / (1 + math.exp(x))
    return -slope * (q[0] - q[1]), np.stack([-slope * p, slope * p]), math.log1p(math.exp(-x))


def noise_by_hand(slot: int, own: int, width: int) -> np.ndarray:
    seed, values = mix((own + slot * STEP) & WORD), []
    for pair in range((width + 1) // 2):
        bits = mix((seed + (pair + 1) * STEP) & WORD)
        radius = math.sqrt(-2 * math.log(((bits >> 40) + 1) / 16777217))
        angle = 2 * math.pi * ((bits >> 8) & 0xFFFFFF) / 2**24
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    drawn = np.array(values[:width])
    return 0.5 * drawn / np.linalg.norm(drawn)


@pytest.mark.parametrize("clean", [1.0, 0.0])
def test_one_update_under_random_directions_is_that_by_hand(clean: float) -> None:
    seed, weight = 12345, 2.0
    own = mix(seed)
    d_user, d_item = noise_by_hand(0, own, 3), np.stack([noise_by_hand(slot, own, 3) for slot in (1, 2)])
    clean_p, clean_q, loss = bpr(P, Q)
    moved_p, moved_q, _ = bpr(P + d_user, Q + d_item)
    user, item, told = trained(seed, eps_user=0.5, eps_item=0.5, weight=weight, clean=clean, is_random=True)
    assert told == pytest.approx(loss, abs=1e-6)
    assert user == pytest.approx(update(P, clean * clean_p + weight * moved_p), abs=1e-5)
    assert item == pytest.approx(update(Q, clean * clean_q + weight * moved_q), abs=1e-5)


def kept_by_hand(own: int, role: int, drop: float) -> np.ndarray:
    """Return the factor of each value of the first triplet's user (0), positive (1) or negative item (2)."""
    bits = [mix((own + (role * 3 + k) * STEP) & WORD) >> 11 for k in range(3)]
    return np.array([one / 2**53 >= drop for one in bits]) / (1 - drop)


def test_one_update_with_dropped_values_is_that_by_hand() -> None:
    seed, drop = 7, 0.4
    while True:  # a draw in which every vector loses some value and keeps some
        factors = [kept_by_hand(mix(seed), role, drop) for role in range(3)]
        if all(0 < factor.sum() < 3 / (1 - drop) for factor in factors):
            break
        seed += 1
    to_p, to_q, loss = bpr(factors[0] * P, np.stack(factors[1:]) * Q)
    user, item, told = trained(seed, drop=drop)
    assert told == pytest.approx(loss, abs=1e-6)
    assert user == pytest.approx(update(P, factors[0] * to_p), abs=1e-5)
    assert item == pytest.approx(update(Q, np.stack(factors[1:]) * to_q), abs=1e-5)
    assert np.abs(user - trained(seed)[0]).max() > 1e-3


def test_dropping_nothing_is_no_dropping_bit_for_bit() -> None:
    plain = trained(0)
    for seed in (1, 2):
        user, item, loss = trained(seed, drop=0.0)
        assert np.array_equal(user, plain[0])
        assert np.array_equal(item, plain[1])
        assert loss == plain[2]
    # The path that drops, with a share too small to drop anything, is the same arithmetic.
    user, item, loss = trained(1, drop=1e-18)
    assert user == pytest.approx(plain[0], abs=1e-6)
    assert item == pytest.approx(plain[1], abs=1e-6)


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_kept_values_are_scaled_so_that_their_mean_stays(drop: float) -> None:
    """With items of zeros every slope is 1/2: the positive's gradient is -1/2 mask_item mask_user user, of mean -1/2."""
    size, width = 20_000, 4
    rows = np.zeros((2, 3, 1, width), np.float32)
    rows[0, 0] = 1.0
    places = np.repeat(np.arange(3, dtype=np.int32)[:, None], size, axis=1)
    read = (rows, rows, *places)
    gradient, reads = np.zeros((3, width), np.float32), np.zeros(3, np.int32)
    parts, slope, dropped = np.zeros((2, size), np.float32), np.zeros(size, np.float32), (drop, np.uint64(mix(3)))
    passes.margins_dropped(read, 0, width, *dropped, parts[0])
    assert passes.slopes(parts, 0, size, slope) == pytest.approx(size * math.log(2))
    passes.gradients_dropped(read, 0, places, slope, width, *dropped, gradient)
    passes.count_reads(places, size, 3, reads)
    # Each product of two masks is 1 / (1 - drop)^2 with probability (1 - drop)^2, else 0.
    spread = 0.5 * math.sqrt(1 / (1 - drop) ** 2 - 1) / math.sqrt(size)
    for sign, row in ((-1, 1), (1, 2)):
        assert np.abs(gradient[row] / size - sign * 0.5).max() < 4.5 * spread
    assert (gradient[0] == 0).all()
    assert reads.tolist() == [size] * 3


@pytest.mark.parametrize(
    "settings", [{"drop": 0.5}, {"eps_user": 0.5, "eps_item": 0.5, "weight": 1.0, "is_random": True}]
)
def test_another_batch_drops_and_moves_otherwise(settings: dict) -> None:
    """Two triplets of other rows with the same values, which nothing but what is drawn can tell apart."""
    user, item = np.tile(np.float32(P), (2, 1)), np.repeat(np.float32(Q), 2, axis=0)
    trainer = FactorTrainer(user, item, 1, 0.05, 0.1, **settings)
    trainer.epoch(Triplets(*(np.array(rows, np.int32) for rows in ([0, 1], [0, 1], [2, 3]))), seed=4)
    trainer.write()
    assert np.abs(user[0] - user[1]).max() > 1e-3
    assert np.abs(item[0] - item[1]).max() > 1e-3


def test_another_epoch_drops_and_moves_otherwise() -> None:
    for settings in ({"drop": 0.5}, {"eps_user": 0.5, "eps_item": 0.5, "weight": 1.0, "is_random": True}):
        outcomes = {trained(seed, **settings)[0].tobytes() for seed in range(6)}
        assert len(outcomes) > 1
        assert trained(3, **settings)[0].tobytes() == trained(3, **settings)[0].tobytes()
