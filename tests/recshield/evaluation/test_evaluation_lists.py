"""The lists of items ranked first, against a plain sort: ties, masks, short lists, chunks, agreement with the ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recshield.core.errors import BadValue
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.metrics import MetricAtK, extras_for
from recshield.evaluation.ranking import Extras, Ranks, rank, top


def ranked(scores, train, test, k, **options) -> Ranks:
    """Rank with a table of scores, train and test given as (user, item) rows."""
    table = torch.as_tensor(np.asarray(scores), dtype=torch.float32)
    rows = [np.array([row[place] for row in train], np.int64) for place in (0, 1)]
    held = [np.array([row[place] for row in test], np.int64) for place in (0, 1)]
    seen = Interactions.from_rows(*rows, *table.shape)
    return rank(lambda users: table[users], seen, HeldOut.from_rows(*held), extras=Extras(k), **options)


def slow_lists(scores: np.ndarray, train: set, test: list, k: int) -> list[list[int]]:
    """Return what a plain sort puts first: highest score, then smallest id, candidates only, -1 behind the last."""
    found = []
    for user in sorted({user for user, _ in test}):
        masked = {item for owner, item in train if owner == user} - {item for owner, item in test if owner == user}
        order = sorted(set(range(scores.shape[1])) - masked, key=lambda item: (-scores[user, item], item))
        found.append((order + [-1] * k)[:k])
    return found


@pytest.mark.parametrize("n_values", [1, 3, 1000])
@pytest.mark.parametrize("seed", range(12))
def test_lists_are_those_of_a_plain_sort_with_ties_masks_and_short_lists(seed, n_values):
    rng = np.random.default_rng(seed)
    n_users, n_items = int(rng.integers(1, 9)), int(rng.integers(2, 90))
    k = int(rng.integers(1, n_items + 1))
    scores = rng.integers(-n_values, n_values, (n_users, n_items)).astype(np.float32)
    train = list(zip(rng.integers(0, n_users, 60).tolist(), rng.integers(0, n_items, 60).tolist(), strict=True))
    # Test rows are drawn over all items, so some repeat a training row of their user.
    test = sorted({(int(rng.integers(n_users)), int(rng.integers(n_items))) for _ in range(12)})
    found = ranked(scores, train, test, k, chunk=int(rng.integers(1, 10)))
    assert found.lists.dtype == np.int32
    assert found.lists.tolist() == slow_lists(scores, set(train), test, k)


@pytest.mark.parametrize("k", [1, 10, 100, 2500])
@pytest.mark.parametrize("shape", ["normal", "ascending", "descending", "few values", "one value", "every 8th is best"])
def test_lists_of_a_large_catalogue_are_those_of_a_plain_sort(shape, k):
    rng = np.random.default_rng(1)
    n_items = 3000
    drawn = {
        "normal": rng.normal(size=n_items),
        "ascending": np.arange(n_items),
        "descending": -np.arange(n_items),
        "few values": rng.integers(0, 5, n_items),
        "one value": np.zeros(n_items),
        # What is looked at to guess a threshold misleads: the guess is too high.
        "every 8th is best": rng.normal(size=n_items) + 10.0 * (np.arange(n_items) % 8 == 0),
    }[shape]
    scores = np.stack([drawn, drawn[::-1]]).astype(np.float32)
    train = [(user, int(item)) for user in (0, 1) for item in rng.integers(0, n_items, 300)]
    test = [(0, 5), (1, 7)]
    assert ranked(scores, train, test, k).lists.tolist() == slow_lists(scores, set(train), test, k)


def test_lists_are_those_of_the_sort_that_attacks_see():
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 30, (6, 200)).astype(np.float32)
    train = [(user, int(item)) for user in range(6) for item in rng.integers(0, 100, 20)]
    masked = [np.unique(np.array([item for owner, item in train if owner == user], np.int32)) for user in range(6)]
    found = ranked(scores, train, [(user, 150) for user in range(6)], 50)
    assert found.lists.tolist() == top(torch.from_numpy(scores), masked, 50).tolist()


def test_minus_zero_stands_beside_zero():
    assert ranked([[-0.0, 0.0, -0.0, 1.0]], [(0, 3)], [(0, 1)], 4).lists.tolist() == [[0, 1, 2, -1]]


def test_without_ties_lists_and_ranks_agree_on_who_is_a_hit_and_where():
    rng = np.random.default_rng(2)
    n_users, n_items, k = 40, 60, 12
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=np.float32), (n_users, 1)), axis=1)
    train = [(int(rng.integers(n_users)), int(rng.integers(n_items))) for _ in range(400)]
    test = sorted({(user, int(item)) for user in range(n_users) for item in rng.integers(0, n_items, 3)})
    found = ranked(scores, train, test, k)
    assert 0 < (found.ranks < k).sum() < len(found.ranks)
    for row, user in enumerate(np.repeat(np.arange(n_users), np.diff(found.indptr))):
        places = np.flatnonzero(found.lists[user] == found.items[row])
        assert places.tolist() == ([found.ranks[row]] if found.ranks[row] < k else [])


def test_asking_for_lists_changes_neither_ranks_nor_hash():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(9, 30))
    train, test = [(user, user) for user in range(9)], [(user, user + 10) for user in range(9)]
    plain, listed = (ranked(scores, train, test, k, is_hashed=True) for k in (0, 7))
    assert plain.lists is None
    np.testing.assert_array_equal(plain.ranks, listed.ranks)
    np.testing.assert_array_equal(plain.candidates, listed.candidates)
    assert plain.score_hash == listed.score_hash != ""


def test_lists_are_kept_only_for_metrics_that_need_them_and_as_long_as_the_longest():
    parsed = [MetricAtK.parse(text) for text in ("ndcg@100", "efd@50", "coverage@10", "gini@20", "hr@5/sampled:99")]
    assert extras_for(parsed, 7) == Extras(20, (99,), 7)
    assert extras_for(parsed[:2], 7) == Extras()
    assert Extras().content() == {}
    for extras in (Extras(), Extras(20), Extras(0, (9, 99), 3), Extras(5, (9,), 3)):
        assert Extras.of(extras.content()) == extras


def test_a_longer_list_than_was_kept_is_an_error():
    found = ranked([[3.0, 2.0, 1.0]], [(0, 2)], [(0, 0)], 2)
    assert found.first(1).tolist() == [[0]]
    with pytest.raises(BadValue) as caught:
        found.first(3)
    assert str(caught.value) == "no lists of 3 items were kept; a metric that reads them says `needs_lists = True`"


@pytest.mark.real
def test_lists_of_popularity_on_ml_100k_are_those_of_a_plain_sort(real_data):
    from recshield.data.catalogue import resolve

    split = resolve("ml-100k", str(real_data)).split()
    train, test = split.dataset.train, split.test
    counts = train.popularity()
    scores = torch.from_numpy(counts).float()
    found = rank(lambda users: scores.expand(len(users), -1), train, test, extras=Extras(100)).lists
    order = np.lexsort((np.arange(len(counts)), -counts))
    for row in range(0, len(test.users), 37):
        masked = np.setdiff1d(train.of(test.users[row]), test.items[test.indptr[row] : test.indptr[row + 1]])
        assert found[row].tolist() == order[~np.isin(order, masked)][:100].tolist()
