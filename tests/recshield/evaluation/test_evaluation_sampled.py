"""Sampled ranking: what is drawn, ranks by brute force among the same draw, and the expectation from full ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from recshield.core.errors import BadSpec, BadValue
from recshield.data.catalogue import resolve
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import Extras, Ranks, rank
from recshield.evaluation.sampling import draw_candidates


class Small:
    """Thirty users, sixty items, one to three test items each, scores with ties."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.n_users, self.n_items = 30, 60
        rows = [(user, int(item)) for user in range(30) for item in rng.integers(0, 40, rng.integers(1, 40))]
        held = [(user, int(item)) for user in range(30) for item in rng.integers(0, 60, rng.integers(1, 4))]
        self.train = Interactions.from_rows(*(np.array(part) for part in zip(*rows, strict=True)), 30, 60)
        self.test = HeldOut.from_rows(*(np.array(part) for part in zip(*held, strict=True)))
        self.scores = rng.integers(0, 25, (30, 60)).astype(np.float32)

    def free(self, user: int) -> set[int]:
        """Return the items that are neither training nor test items of a user."""
        place = int(np.searchsorted(self.test.users, user))
        held = self.test.items[self.test.indptr[place] : self.test.indptr[place + 1]]
        return set(range(self.n_items)) - set(self.train.of(user).tolist()) - set(held.tolist())

    def ranks(self, *samples: int, **options) -> Ranks:
        """Rank with lists and the given draws under data seed 5."""
        table = torch.from_numpy(self.scores)
        return rank(lambda users: table[users], self.train, self.test, extras=Extras(0, samples, 5), **options)


def test_candidates_are_distinct_items_outside_training_and_test_rows_and_all_of_them_where_few_are_left():
    data = Small()
    drawn = draw_candidates(data.train, data.test, 45, 5)
    assert drawn.shape == (len(data.test), 45)
    shortened = 0
    for user, line in zip(data.test.row_users.tolist(), drawn.tolist(), strict=True):
        kept, free = [item for item in line if item >= 0], data.free(user)
        assert len(set(kept)) == len(kept) == min(45, len(free))
        assert set(kept) <= free
        assert line[len(kept) :] == [-1] * (45 - len(kept))
        shortened += len(free) < 45
    assert 0 < shortened < len(drawn)


def test_every_test_row_has_its_own_candidates_never_one_list_for_all_users():
    train = Interactions.from_rows(np.arange(50), np.zeros(50, np.int64), 50, 1000)
    test = HeldOut.from_rows(np.repeat(np.arange(50), 2), np.tile([1, 2], 50))
    drawn = draw_candidates(train, test, 99, 0)
    assert len({tuple(sorted(line)) for line in drawn.tolist()}) == 100
    shared = len(set(drawn[0].tolist()) & set(drawn[2].tolist()))
    assert shared < 30, "about ten of 99 are shared by chance"


def test_the_draw_hangs_on_data_seed_user_and_item_alone():
    data = Small()
    whole = draw_candidates(data.train, data.test, 20, 5)
    np.testing.assert_array_equal(whole, draw_candidates(data.train, data.test, 20, 5))
    np.testing.assert_array_equal(whole[:, :7], draw_candidates(data.train, data.test, 7, 5))
    start = int(data.test.indptr[11])
    np.testing.assert_array_equal(whole[start:], draw_candidates(data.train, data.test, 20, 5, 11))
    assert (whole != draw_candidates(data.train, data.test, 20, 6)).mean() > 0.5
    alone = HeldOut(data.test.users[3:4], data.test.indptr[3:5] - data.test.indptr[3],
                    data.test.items[data.test.indptr[3] : data.test.indptr[4]])  # fmt: skip
    rows = slice(data.test.indptr[3], data.test.indptr[4])
    np.testing.assert_array_equal(whole[rows], draw_candidates(data.train, alone, 20, 5))


def test_every_candidate_is_drawn_as_often_as_every_other():
    n_users, n_items, n = 4000, 41, 10
    train = Interactions.from_rows(np.arange(n_users), np.full(n_users, 40), n_users, n_items)
    test = HeldOut.from_rows(np.arange(n_users), np.full(n_users, 7))
    drawn = draw_candidates(train, test, n, 1)
    counts = np.bincount(drawn.ravel(), minlength=n_items)
    assert counts[[7, 40]].tolist() == [0, 0]
    # Without replacement the counts vary less than those of a multinomial draw, by (N - n) / (N - 1).
    free, mean = np.delete(counts, [7, 40]), n_users * n / 39
    spread = ((free - mean) ** 2).sum() / mean * 38 / 29
    assert stats.chi2.sf(spread, 38) > 1e-4
    first = np.bincount(drawn[:, 0], minlength=n_items)[np.delete(np.arange(n_items), [7, 40])]
    assert stats.chisquare(first).pvalue > 1e-4


@pytest.mark.parametrize("chunk", [1, 7, 128])
def test_sampled_ranks_are_those_of_a_brute_force_count_among_the_same_draw(chunk):
    data = Small()
    found = data.ranks(4, 30, chunk=chunk)
    drawn = draw_candidates(data.train, data.test, 30, 5)
    for row, (user, item) in enumerate(zip(data.test.row_users, data.test.items, strict=True)):
        for n in (4, 30):
            others = [int(other) for other in drawn[row][:n] if other >= 0]
            assert found.sampled[n][row] == sum(data.scores[user, other] >= data.scores[user, item] for other in others)
    assert (found.sampled[4] < found.sampled[30]).any()


def test_a_sampled_metric_is_the_mean_over_a_users_rows_of_each_row_alone():
    # Ranks among the draw: user 0 has 0 and 2, user 1 has 5.
    ranks = Ranks(
        np.array([0, 1], np.int32), np.array([0, 2, 3]), np.array([1, 2, 3], np.int32), np.array([9, 9, 9], np.int32),
        np.array([100, 100, 100], np.int32), sampled={10: np.array([0, 2, 5], np.int32)},
    )  # fmt: skip
    expected = {
        "hr@1": [0.5, 0.0], "ndcg@3": [0.75, 0.0], "mrr@10": [(1 + 1 / 3) / 2, 1 / 6], "auc": [0.9, 0.5],
        "recall@3": [1.0, 0.0], "precision@3": [1 / 3, 0.0], "map@10": [(1 + 1 / 3) / 2, 1 / 6], "f1@3": [0.5, 0.0],
    }  # fmt: skip
    for name, values in expected.items():
        assert MetricAtK.parse(f"{name}/sampled:10").per_user(ranks).tolist() == pytest.approx(values), name


def test_where_everything_is_drawn_the_sampled_rank_of_one_test_item_is_the_full_one():
    data = Small()
    single = HeldOut.from_rows(data.test.users, data.test.items[data.test.indptr[:-1]])
    table = torch.from_numpy(data.scores)
    found = rank(lambda users: table[users], data.train, single, extras=Extras(0, (59,), 5))
    np.testing.assert_array_equal(found.sampled[59], found.ranks)
    for name in ("ndcg@5", "hr@5", "auc"):
        sampled = MetricAtK.parse(f"{name}/sampled:59").per_user(found)
        np.testing.assert_allclose(sampled, MetricAtK.parse(name).per_user(found), rtol=1e-12)


@pytest.mark.real
@pytest.mark.parametrize("n", [99, 999])
def test_on_ml_100k_the_sampled_ranks_have_the_hypergeometric_mean_of_the_full_ones(real_data, n):
    split = resolve("ml-100k", str(real_data)).split()
    scores = torch.from_numpy(split.dataset.train.popularity()).float()
    extras = Extras(0, (n,), 0)
    found = rank(lambda users: scores.expand(len(users), -1), split.dataset.train, split.test, extras=extras)
    others, above = found.candidates - 1.0, found.ranks.astype(np.float64)
    drawn = np.minimum(n, others)
    share = above / others
    variance = drawn * share * (1 - share) * (others - drawn) / np.maximum(others - 1, 1)
    gap = float(found.sampled[n].sum() - (drawn * share).sum())
    assert abs(gap) < 5 * math.sqrt(variance.sum())
    assert variance.sum() > 1000, "enough is left to chance for the check to mean something"
    exact = stats.hypergeom(others.astype(int), found.ranks, drawn.astype(int))
    # The expected hit ratio at 10 of each user, by the distribution of its sampled rank.
    chances = exact.cdf(9)
    hits = MetricAtK.parse(f"hr@10/sampled:{n}").measure(found).value * len(chances)
    assert abs(hits - chances.sum()) < 5 * math.sqrt((chances * (1 - chances)).sum())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "ndcg@10/sampled",
            "metric 'ndcg@10/sampled': sampled needs the number of candidates, at least 1; write sampled:999",
        ),
        (
            "hr@5/sampled:0",
            "metric 'hr@5/sampled:0': sampled needs the number of candidates, at least 1; write sampled:999",
        ),
        (
            "hr@5/sampled:1e3",
            "metric 'hr@5/sampled:1e3': sampled needs the number of candidates, at least 1; write sampled:999",
        ),
        ("hr@100/sampled:99", "metric 'hr@100/sampled:99': K is 100, but 99 candidates are drawn; K is at most 99"),
        (
            "arp@10/sampled:99",
            "metric 'arp@10/sampled:99': arp is no accuracy metric, so it cannot be sampled; write arp@10",
        ),
        (
            "efd@10/sampled:99",
            "metric 'efd@10/sampled:99': efd is no accuracy metric, so it cannot be sampled; write efd@10",
        ),
        ("gini@10/sampled:99", "metric 'gini@10/sampled:99': gini is one number over all users; write gini@10"),
    ],
)
def test_what_cannot_be_sampled_is_an_error(text, sentence):
    with pytest.raises(BadSpec) as caught:
        MetricAtK.parse(text)
    assert str(caught.value) == sentence


def test_more_candidates_than_the_catalogue_holds_are_an_error():
    MetricAtK.parse("ndcg@10/sampled:999").check_catalogue(1000)
    with pytest.raises(BadValue) as caught:
        MetricAtK.parse("ndcg@10/sampled:999").check_catalogue(999)
    assert str(caught.value) == (
        "ndcg@10/sampled:999: 999 candidates, but the data set has 999 items; at most 998 candidates can be drawn"
    )
