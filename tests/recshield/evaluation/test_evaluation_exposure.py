"""Exposure, popularity, novelty and groups, by hand on four users, against scipy, and where everything is equal.

Training rows, five items, four users (user 3 has item 0 twice):

    user 0: 0 1      user 1: 0      user 2: 0 1      user 3: 0 0 2

Rows per item 5 2 1 0 0, eight in all; users per item 4 2 1 0 0, seven pairs. 80 % of eight rows are 6.4, which items 0
and 1 reach together (7): they are the head, items 2, 3 and 4 the tail. Test items and candidates, best first:

    user 0: test 2     ranking 2 3 4        user 2: test 3     ranking 4 3 2
    user 1: test 1, 3  ranking 1 2 3 4      user 3: test 4     ranking 1 3 4
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from recshield.core.errors import BadSpec, BadValue
from recshield.core.registry import registry
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.background import Background
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import Extras, Ranks, rank

TRAIN = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 0), (3, 2)]
TEST = [(0, 2), (1, 1), (1, 3), (2, 3), (3, 4)]
RANKINGS = [[2, 3, 4], [1, 2, 3, 4], [4, 3, 2], [1, 3, 4]]


def data_of(train: list[tuple[int, int]], test: list[tuple[int, int]], n_users: int, n_items: int) -> Background:
    seen = Interactions.from_rows(*(np.array(part) for part in zip(*train, strict=True)), n_users, n_items)
    return Background(seen, HeldOut.from_rows(*(np.array(part) for part in zip(*test, strict=True))))


@pytest.fixture(scope="module")
def four() -> Ranks:
    """Return the ranks of the example."""
    known = data_of(TRAIN, TEST, 4, 5)
    scores = torch.zeros(4, 5)
    for user, ranking in enumerate(RANKINGS):
        for place, item in enumerate(ranking):
            scores[user, item] = 10.0 - place
    return with_data(rank(lambda users: scores[users], known.train, known.test, extras=Extras(5)), known)


def with_data(ranks: Ranks, known: Background) -> Ranks:
    return dataclasses.replace(ranks, background=known)


def made_of(lists: list[list[int]], n_items: int) -> Ranks:
    """Return ranks that hold nothing but lists."""
    known = data_of([(0, 0)], [(user, 0) for user in range(len(lists))], len(lists), n_items)
    empty = np.zeros(len(lists), np.int32)
    return Ranks(
        known.test.users, known.test.indptr, known.test.items, empty, empty, "", np.array(lists, np.int32), {}, known
    )


def value(metric: str, ranks: Ranks) -> float:
    return MetricAtK.parse(metric).measure(ranks).value


def values(metric: str, ranks: Ranks) -> list[float]:
    return MetricAtK.parse(metric).per_user(ranks).tolist()


def test_the_lists_of_the_example_are_as_written(four):
    assert four.lists.tolist() == [[*ranking, -1, -1][:5] for ranking in RANKINGS]


def test_coverage_by_hand(four):
    # Items 1, 2, 3 and 4 of five are in some list of two; 1, 2 and 4 in some list of one.
    assert value("coverage@2", four) == 4 / 5
    assert value("coverage@1", four) == 3 / 5


def test_user_coverage_by_hand(four):
    # Users 0, 2 and 3 have three candidates, user 1 four.
    assert [value(f"user-coverage@{k}", four) for k in (1, 3, 4, 5)] == [1.0, 1.0, 0.25, 0.0]
    assert values("user-coverage@4", four) == [0.0, 1.0, 0.0, 0.0]


def test_gini_by_hand(four):
    # Places in lists of two, items in order of growing share: 0 1 2 2 3 of 8; weights -4 -2 0 2 4 over 5 - 1.
    assert value("gini@2", four) == pytest.approx((-2 * 1 + 0 * 2 + 2 * 2 + 4 * 3) / 8 / 4, rel=1e-14)


def test_entropy_by_hand(four):
    # Shares 1/8, 1/4, 1/4 and 3/8: 3/8 + 1/2 + 1/2 + 3/8 log2(8/3).
    assert value("entropy@2", four) == pytest.approx(1.375 + 0.375 * math.log2(8 / 3), rel=1e-14)


def test_average_popularity_by_hand(four):
    # Rows per item 5 2 1 0 0: lists 2 3, 1 2, 4 3 and 1 3.
    assert values("arp@2", four) == [0.5, 1.5, 0.0, 1.0]
    assert value("arp@2", four) == 0.75
    # Short lists are divided by their own length: users 0, 2 and 3 have three items, user 1 four.
    assert values("arp@5", four) == pytest.approx([1 / 3, 3 / 4, 1 / 3, 2 / 3])


def test_the_long_tail_by_hand(four):
    # Tail items 2, 3, 4 in the lists 2 3, 1 2, 4 3 and 1 3: two, one, two, one.
    assert values("aplt@2", four) == [1.0, 0.5, 1.0, 0.5]
    assert (value("aplt@2", four), value("aclt@2", four)) == (0.75, 1.5)
    assert values("aclt@5", four) == [3.0, 3.0, 3.0, 2.0]
    assert values("aplt@5", four) == pytest.approx([1.0, 3 / 4, 1.0, 2 / 3])


def test_free_discovery_by_hand(four):
    # Pairs per item 4 2 1 0 0 of 7; items 3 and 4 count as the rarest. Hits: item 2 at place 1, item 1 at place 1,
    # item 3 at place 2, none.
    norm = 1 + 1 / math.log2(3)
    expected = [math.log2(7) / norm, math.log2(7 / 2) / norm, math.log2(7) / math.log2(3) / norm, 0.0]
    assert values("efd@2", four) == pytest.approx(expected, rel=1e-14)
    assert value("efd@2", four) == pytest.approx(sum(expected) / 4, rel=1e-14)


def test_popularity_complement_by_hand(four):
    # Of four users two have item 1, one has item 2, none item 3.
    norm = 1 + 1 / math.log2(3)
    assert values("epc@2", four) == pytest.approx([0.75 / norm, 0.5 / norm, 1 / math.log2(3) / norm, 0.0], rel=1e-14)
    # At 4, user 0 has a list of three: its norm is that of three places.
    three, both = 1 + 1 / math.log2(3) + 1 / 2, 1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    assert values("epc@4", four)[:2] == pytest.approx([0.75 / three, (0.5 + 1.0 / 2) / both], rel=1e-14)


def test_groups_of_users_by_hand(four):
    # Rows per user 2 1 2 3: user 1, then 0, 2 and 3 (of equal ones 0 before 2); places 0 1 2 3 are in thirds 0 0 1 2.
    assert four.known().activity.tolist() == [0, 0, 1, 2]
    found = {group: MetricAtK.parse(f"hr@2/users:{group}").measure(four) for group in ("inactive", "medium", "active")}
    assert {group: (one.value, one.n_users) for group, one in found.items()} == {
        "inactive": (1.0, 2), "medium": (1.0, 1), "active": (0.0, 1),
    }  # fmt: skip
    np.testing.assert_array_equal(found["medium"].per_user, [np.nan, np.nan, 1.0, np.nan])
    assert value("arp@2/users:inactive", four) == 1.0


def test_groups_of_items_by_hand(four):
    # Only user 1 has a test item of the head (item 1); its tail item 3 is at place 3, alone in what counts.
    head, tail = (MetricAtK.parse(f"ndcg@3/items:{group}").measure(four) for group in ("head", "tail"))
    assert (head.value, head.n_users, tail.n_users) == (1.0, 1, 4)
    np.testing.assert_array_equal(head.per_user, [np.nan, 1.0, np.nan, np.nan])
    assert tail.per_user.tolist() == pytest.approx([1.0, 0.5, 1 / math.log2(3), 0.5])
    assert values("recall@2/items:tail", four) == [1.0, 0.0, 1.0, 0.0]
    assert values("recall@2", four) == [1.0, 0.5, 1.0, 0.0]


def test_a_group_of_nobody_has_no_figure():
    known = data_of([(0, 0), (1, 0), (1, 0)], [(0, 1), (1, 1)], 2, 3)
    ranks = rank(lambda users: torch.arange(3.0).expand(len(users), -1), known.train, known.test)
    found = MetricAtK.parse("hr@1/items:head").measure(with_data(ranks, known))
    assert math.isnan(found.value)
    assert found.n_users == 0


@pytest.mark.parametrize("n_users", [1, 2, 3, 7, 300])
def test_thirds_of_users_are_as_equal_as_they_can_be_and_ordered(n_users):
    rng = np.random.default_rng(n_users)
    rows = [(user, 0) for user in range(n_users) for _ in range(rng.integers(1, 6))]
    known = data_of(rows, [(user, 1) for user in range(n_users)], n_users, 2)
    sizes = np.bincount(known.activity, minlength=3)
    assert sizes.max() - sizes.min() <= 1
    counts = np.bincount([user for user, _ in rows])
    order = sorted(range(n_users), key=lambda user: (counts[user], user))
    assert (np.diff(known.activity[order]) >= 0).all()


def test_only_evaluated_users_are_divided_into_thirds():
    known = data_of([(0, 0), (1, 0), (1, 0), (2, 0), (3, 0), (3, 0), (3, 0)], [(1, 1), (2, 1), (3, 1)], 4, 2)
    assert known.activity.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("counts", "head"),
    [
        ([4, 4, 1, 1], [0, 1]),  # eight of ten rows are 80 %
        ([1, 4, 1, 4], [1, 3]),
        ([79, 21], [0, 1]),
        ([80, 20], [0]),
        ([2, 2, 2, 2, 2], [0, 1, 2, 3]),  # equal ones by item id
        ([3, 0, 0], [0]),
    ],
)
def test_the_head_is_the_fewest_items_that_make_up_80_percent_of_the_rows(counts, head):
    rows = [(0, item) for item, n in enumerate(counts) for _ in range(n)]
    assert np.flatnonzero(data_of(rows, [(0, 0)], 1, len(counts)).is_head).tolist() == head


@pytest.mark.parametrize("seed", range(4))
def test_entropy_and_gini_are_those_of_second_implementations(seed):
    rng = np.random.default_rng(seed)
    lists = [rng.choice(50, 10, replace=False, p=rng.dirichlet(np.ones(50) + 0.1)).tolist() for _ in range(40)]
    ranks = made_of(lists, 50)
    counts = np.bincount(np.ravel(lists), minlength=50)
    assert value("entropy@10", ranks) == pytest.approx(stats.entropy(counts, base=2), rel=1e-12)
    # Gini as half the mean absolute difference over the mean, for a population made unbiased by n / (n - 1).
    gaps = np.abs(counts[:, None] - counts[None, :]).mean()
    assert value("gini@10", ranks) == pytest.approx(gaps / (2 * counts.mean()) * 50 / 49, rel=1e-12)
    assert value("coverage@10", ranks) == len(set(np.ravel(lists))) / 50


def test_equal_and_one_sided_exposure():
    equal = made_of([[0, 1], [2, 3], [4, 5], [6, 7]], 8)
    assert [value(f"{name}@2", equal) for name in ("coverage", "gini", "entropy")] == [1.0, 0.0, 3.0]
    single = made_of([[3], [3], [3]], 8)
    assert [value(f"{name}@1", single) for name in ("coverage", "gini", "entropy")] == [1 / 8, 1.0, 0.0]


def test_a_list_is_cut_at_the_metrics_own_k():
    ranks = made_of([[0, 1, 2], [0, 1, 3]], 4)
    assert [value(f"coverage@{k}", ranks) for k in (1, 2, 3)] == [0.25, 0.5, 1.0]


def test_an_aggregate_has_no_value_per_user_and_counts_all_users(four):
    found = MetricAtK.parse("gini@2").measure(four)
    assert (found.n_users, found.per_user) == (4, None)
    with pytest.raises(BadValue, match="metric 'gini' has no value per user; it is one number over all users"):
        MetricAtK.parse("gini@2").per_user(four)


@pytest.mark.parametrize(
    ("text", "column", "k", "written"),
    [
        ("NDCG@100/Users:Active", "ndcg/users:active", 100, "ndcg@100/users:active"),
        ("hr@5/items:tail", "hr/items:tail", 5, "hr@5/items:tail"),
        ("auc/sampled:99", "auc/sampled:99", 0, "auc/sampled:99"),
        ("user-coverage@10", "user-coverage", 10, "user-coverage@10"),
    ],
)
def test_a_suffix_is_part_of_the_written_name(text, column, k, written):
    parsed = MetricAtK.parse(text)
    assert (parsed.column, parsed.k, str(parsed)) == (column, k, written)
    assert MetricAtK.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ndcg@5/users:activ", "metric 'ndcg@5/users:activ': no suffix 'users:activ'; did you mean 'users:active'? allowed"
         " behind the slash: users:active, users:medium, users:inactive, items:head, items:tail, among:cold, among:warm, sampled:N"),
        ("ndcg@5/", "metric 'ndcg@5/': no suffix ''; allowed behind the slash: users:active, users:medium, users:inactive,"
         " items:head, items:tail, among:cold, among:warm, sampled:N"),
        ("coverage@5/users:active", "metric 'coverage@5/users:active': coverage is one number over all users; write coverage@5"),
        ("aplt@5/items:tail", "metric 'aplt@5/items:tail': aplt reads lists, not test items; write aplt@5"),
        ("ndcg/users:active", "metric 'ndcg/users:active' needs K, a whole number of at least 1; write ndcg@100"),
    ],
)  # fmt: skip
def test_a_wrong_suffix_is_an_error_with_the_nearest_one(text, sentence):
    with pytest.raises(BadSpec) as caught:
        MetricAtK.parse(text)
    assert str(caught.value) == sentence


def test_every_metric_and_its_direction_stand_in_the_page_of_metrics():
    text = (Path(__file__).resolve().parents[3] / "docs/metrics.md").read_text(encoding="utf-8")
    rows = {
        line.split("`")[1].split("@")[0]: line
        for line in text.splitlines()
        if line.startswith("| `") and "`/" not in line
    }
    own = {name: made for name, made in registry().found["metric"].items() if made.__module__.startswith("recshield.")}
    assert set(rows) == set(own)
    for name, made in own.items():
        assert f"| {'higher' if made.is_higher_better else 'lower'} |" in rows[name], name
    assert {name for name, made in own.items() if not made.is_higher_better} == {"gini", "arp", "popreo", "poprsp"}


def test_the_metric_of_the_page_of_metrics_works(plant, four):
    text = (Path(__file__).resolve().parents[3] / "docs/metrics.md").read_text(encoding="utf-8")
    space: dict = {"__name__": "metrics_page"}
    exec(text.split("```python\n")[1].split("```")[0], space)
    (made,) = space["recshield_metrics"]()
    plant("metric", made)
    # First test items at ranks 0, 0, 1 and 2 of 3, 4, 3 and 3 candidates.
    assert values("depth", four) == pytest.approx([0.0, 0.0, 1 / 3, 2 / 3])
