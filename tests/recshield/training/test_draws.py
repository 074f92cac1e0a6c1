"""Negative sampling: outside the training rows, uniform, named draws."""

from __future__ import annotations

import numpy as np
from scipy import stats

from recshield.data.interactions import Interactions
from recshield.training import draw_negatives, epoch_triplets


def interactions() -> Interactions:
    rng = np.random.default_rng(1)
    users, items = rng.integers(50, size=2_000), rng.zipf(1.5, size=2_000) % 60
    return Interactions.from_rows(users, items, 51, 60)  # user 50 has no row


def test_no_negative_is_a_training_item_of_its_user() -> None:
    train = interactions()
    for draw in range(20):
        negatives = draw_negatives(train, 5, "draw", draw)
        pairs = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
        assert not pairs & set(zip(train.users.tolist(), negatives.tolist(), strict=True))
        assert negatives.min() >= 0
        assert negatives.max() < 60


def test_negatives_are_uniform_over_what_is_left() -> None:
    users, items = np.zeros(20_000, np.int64), np.tile([0, 3, 4, 9], 5_000)
    train = Interactions.from_rows(users, items, 1, 10)
    counts = np.bincount(draw_negatives(train, 0, "uniform"), minlength=10)
    assert counts[[0, 3, 4, 9]].sum() == 0
    assert stats.chisquare(counts[[1, 2, 5, 6, 7, 8]]).pvalue > 1e-4


def test_a_user_with_every_item_gets_the_positive_itself() -> None:
    train = Interactions.from_rows(np.array([0, 0, 1]), np.array([0, 1, 0]), 2, 2)
    assert draw_negatives(train, 0, "x").tolist()[:2] == [0, 1]
    assert draw_negatives(train, 0, "x").tolist()[2] == 1


def test_draws_depend_on_seed_and_names_alone() -> None:
    train = interactions()
    first = draw_negatives(train, 0, "a", 1)
    np.random.seed(3)  # noqa: NPY002 - the global state must not matter
    assert np.array_equal(first, draw_negatives(train, 0, "a", 1))
    assert not np.array_equal(first, draw_negatives(train, 0, "a", 2))
    assert not np.array_equal(first, draw_negatives(train, 1, "a", 1))


def test_an_epoch_holds_every_training_row_once_in_another_order() -> None:
    train = interactions()
    one, two = epoch_triplets(train, 0, 0), epoch_triplets(train, 0, 1)

    def rows(triplets: object) -> list[tuple[int, int]]:
        return sorted(zip(triplets.users.tolist(), triplets.positives.tolist(), strict=True))  # type: ignore[attr-defined]

    assert rows(one) == rows(two) == sorted(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert one.users.tolist() != two.users.tolist()
    assert one.negatives.tolist() != two.negatives.tolist()
    assert one.users.tolist() != train.users.tolist()
