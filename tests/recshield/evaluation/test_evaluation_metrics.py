"""Metrics against ranx, scikit-learn and hand calculation; names and their errors."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recshield.core.errors import BadSpec, BadValue, UnknownName
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import Ranks, rank

CUTS = (1, 3, 10, 50)
RANX = {
    "hr": "hit_rate", "ndcg": "ndcg", "mrr": "mrr", "recall": "recall", "precision": "precision", "map": "map", "f1": "f1",
}  # fmt: skip


def ranks_of(places: list[list[int]], n_candidates: int = 100) -> Ranks:
    """Return ranks made by hand: one list of places (0 = first) per user."""
    indptr = np.cumsum([0, *map(len, places)]).astype(np.int64)
    flat = np.array([place for own in places for place in own], np.int32)
    users = np.arange(len(places), dtype=np.int32)
    return Ranks(users, indptr, np.arange(len(flat), dtype=np.int32), flat, np.full(len(flat), n_candidates, np.int32))


def values(metric: str, ranks: Ranks) -> list[float]:
    return MetricAtK.parse(metric).per_user(ranks).tolist()


class Drawn:
    """Scores, training and test rows drawn at random; one to four test items a user."""

    def __init__(self, n_users: int = 30, n_items: int = 25, is_tied: bool = False, most: int = 4) -> None:
        rng = np.random.default_rng(5)
        drawn = rng.integers(0, 4, (n_users, n_items)) if is_tied else rng.permuted(
            np.tile(np.arange(n_items), (n_users, 1)), axis=1
        )  # fmt: skip
        self.scores = drawn.astype(np.float32)
        order = rng.permuted(np.tile(np.arange(n_items), (n_users, 1)), axis=1)
        self.seen = [set(order[user, : rng.integers(0, 10)].tolist()) for user in range(n_users)]
        self.held = [order[user, 10 : 10 + rng.integers(1, most + 1)].tolist() for user in range(n_users)]
        self.n_items = n_items

    def ranks(self) -> Ranks:
        """Rank the test rows."""
        train = [(user, item) for user, items in enumerate(self.seen) for item in items]
        test = [(user, item) for user, items in enumerate(self.held) for item in items]
        table = torch.from_numpy(self.scores)
        seen = Interactions.from_rows(*(np.array(column) for column in zip(*train, strict=True)), len(table), 25)
        held = HeldOut.from_rows(*(np.array(column) for column in zip(*test, strict=True)))
        return rank(lambda users: table[users], seen, held)

    def candidates(self, user: int) -> dict[int, float]:
        """Return the score of every item outside the user's training rows."""
        return {item: float(self.scores[user, item]) for item in range(self.n_items) if item not in self.seen[user]}


#: Without compiling: ranx compiles for half a minute where its cache is empty.
ASK_RANX = """
import json, sys, ranx
names, *asked = json.load(sys.stdin)
found = [ranx.evaluate(ranx.Qrels(q), ranx.Run(r), names, return_mean=False) for q, r in asked]
print(json.dumps([{name: values.tolist() for name, values in one.items()} for one in found]))
"""


def as_ranx(drawn: Drawn, penalty: float) -> tuple[dict, dict]:
    """Return relevant items and scores; test items lose `penalty`, which breaks ties of whole numbers against them."""
    relevant = {f"u{user:03}": {str(item): 1 for item in held} for user, held in enumerate(drawn.held)}
    scores = {
        f"u{user:03}": {str(item): score - penalty * (item in held) for item, score in drawn.candidates(user).items()}
        for user, held in enumerate(drawn.held)
    }
    return relevant, scores


@pytest.fixture(scope="module")
def from_ranx() -> dict[str, tuple[Drawn, dict[str, list[float]]]]:
    """Return drawn data, without and with ties, and what ranx makes of them per user."""
    drawn = {"untied": Drawn(), "tied": Drawn(is_tied=True, most=1)}
    names = [f"{name}@{k}" for name in RANX.values() for k in CUTS]
    asked = [names, as_ranx(drawn["untied"], 0.0), as_ranx(drawn["tied"], 0.5)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK_RANX],
        input=json.dumps(asked), capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(drawn, zip(drawn.values(), json.loads(done.stdout), strict=True), strict=True))


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize("name", RANX)
def test_without_ties_metrics_agree_with_ranx_for_several_test_items_and_any_k(from_ranx, name, k):
    drawn, theirs = from_ranx["untied"]
    np.testing.assert_allclose(values(f"{name}@{k}", drawn.ranks()), theirs[f"{RANX[name]}@{k}"], rtol=1e-12)


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize("name", RANX)
def test_with_ties_metrics_agree_with_ranx_where_ties_are_broken_against_the_model(from_ranx, name, k):
    drawn, theirs = from_ranx["tied"]
    np.testing.assert_allclose(values(f"{name}@{k}", drawn.ranks()), theirs[f"{RANX[name]}@{k}"], rtol=1e-12)


def test_the_auc_of_one_test_item_is_that_of_scikit_learn():
    drawn = Drawn(most=1)
    for user, value in enumerate(values("auc", drawn.ranks())):
        scores = drawn.candidates(user)
        truth = [item in drawn.held[user] for item in scores]
        assert value == pytest.approx(roc_auc_score(truth, list(scores.values())), rel=1e-12)


def test_the_auc_with_ties_is_that_of_scikit_learn_with_ties_broken_against_the_model():
    drawn = Drawn(is_tied=True, most=1)
    for user, value in enumerate(values("auc", drawn.ranks())):
        truth, scores = zip(
            *[(item in drawn.held[user], score - 0.5 * (item in drawn.held[user]))
              for item, score in drawn.candidates(user).items()], strict=True,
        )  # fmt: skip
        assert value == pytest.approx(roc_auc_score(truth, scores), rel=1e-12)


def test_the_auc_of_several_test_items_is_that_of_scikit_learn():
    drawn = Drawn()
    for user, value in enumerate(values("auc", drawn.ranks())):
        scores = drawn.candidates(user)
        truth = [item in drawn.held[user] for item in scores]
        assert value == pytest.approx(roc_auc_score(truth, list(scores.values())), rel=1e-12)


def test_hit_ratio_by_hand():
    ranks = ranks_of([[0], [4], [5], [9, 4], [7, 6]])
    assert values("hr@5", ranks) == [1.0, 1.0, 0.0, 1.0, 0.0]
    assert values("hr@1", ranks) == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_ndcg_of_one_test_item_is_ln_2_over_ln_of_rank_plus_2():
    ranks = ranks_of([[0], [1], [2], [9], [10]])
    expected = [1.0, math.log(2) / math.log(3), 0.5, math.log(2) / math.log(11), 0.0]
    assert values("ndcg@10", ranks) == pytest.approx(expected, rel=1e-14)


def test_ndcg_of_several_test_items_by_hand():
    # Places 1 and 3 of a user with two items: (1 + 1/2) over (1 + 1/log2 3).
    second = 1 / math.log2(3)
    ranks = ranks_of([[2, 0], [0, 1], [1, 0, 2], [0, 50], [50, 60]])
    expected = [1.5 / (1 + second), 1.0, 1.0, 1 / (1 + second), 0.0]
    assert values("ndcg@10", ranks) == pytest.approx(expected, rel=1e-14)


def test_the_ideal_of_ndcg_holds_no_more_items_than_k():
    ranks = ranks_of([[0, 1, 2], [1, 5, 6]])
    second = 1 / math.log2(3)
    assert values("ndcg@2", ranks) == pytest.approx([1.0, second / (1 + second)], rel=1e-14)
    assert values("ndcg@1", ranks) == [1.0, 0.0]


def test_reciprocal_rank_by_hand():
    assert values("mrr@5", ranks_of([[0], [4], [5], [3, 1], [9, 7]])) == [1.0, 0.2, 0.0, 0.5, 0.0]


def test_auc_by_hand():
    # 11 candidates, so ten others: first, last, in the middle; of two test items, each has nine others that are none,
    # two of them above the first, three above the second.
    expected = [1.0, 0.0, 0.6, 1 - 2.5 / 9]
    assert values("auc", ranks_of([[0], [10], [4], [2, 4]], n_candidates=11)) == pytest.approx(expected)


def test_auc_without_another_candidate_is_1():
    assert values("auc", ranks_of([[0]], n_candidates=1)) == [1.0]


@pytest.mark.parametrize("metric", ["hr", "ndcg", "mrr"])
def test_a_k_beyond_the_list_cuts_nothing_and_a_larger_k_is_never_worse(metric):
    drawn = Drawn()
    ranks = drawn.ranks()
    by_k = [np.array(values(f"{metric}@{k}", ranks)) for k in (25, 26, 1_000_000)]
    np.testing.assert_array_equal(by_k[0], by_k[1])
    np.testing.assert_array_equal(by_k[0], by_k[2])
    single = Drawn(most=1).ranks()
    grown = [np.array(values(f"{metric}@{k}", single)) for k in (1, 2, 5, 10, 25)]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(grown))


@pytest.mark.parametrize("metric", ["hr@5", "ndcg@5", "mrr@5", "auc"])
def test_every_metric_is_between_0_and_1_and_best_for_the_best_rank(metric):
    found = values(metric, ranks_of([[place] for place in range(100)]))
    assert found[0] == 1.0
    assert found[-1] == 0.0
    assert found == sorted(found, reverse=True)


def test_a_test_row_that_stands_twice_counts_once():
    train = Interactions.from_rows(np.array([0]), np.array([3]), 1, 4)
    twice = HeldOut.from_rows(np.array([0, 0]), np.array([1, 1]))
    ranks = rank(lambda users: torch.tensor([[0.0, 9.0, 1.0, 2.0]]), train, twice)
    assert values("ndcg@10", ranks) == [1.0]


@pytest.mark.parametrize(
    ("text", "name", "k", "written"),
    [("ndcg@100", "ndcg", 100, "ndcg@100"), (" HR@5 ", "hr", 5, "hr@5"), ("Auc", "auc", 0, "auc")],
)
def test_a_metric_is_written_with_its_k_in_any_case(text, name, k, written):
    parsed = MetricAtK.parse(text)
    assert (parsed.name, parsed.k, str(parsed)) == (name, k, written)
    assert MetricAtK.parse(str(parsed)) == parsed


def test_an_unknown_metric_is_an_error_with_the_nearest_one():
    with pytest.raises(UnknownName) as caught:
        MetricAtK.parse("ndgc@100")
    text = str(caught.value)
    assert text.startswith("no metric 'ndgc'; did you mean 'ndcg'? installed: ")
    assert {"auc", "hr", "mrr", "ndcg"} <= set(text.split("installed: ")[1].split(". see")[0].split(", "))
    assert text.endswith(". see `recshield plugins`")


@pytest.mark.parametrize("text", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@ten", "ndcg@05", "ndcg@1@2"])
def test_a_metric_without_a_proper_k_is_an_error(text):
    with pytest.raises(BadSpec) as caught:
        MetricAtK.parse(text)
    assert str(caught.value) == f"metric '{text}' needs K, a whole number of at least 1; write ndcg@100"


@pytest.mark.parametrize("text", ["auc@10", "AUC@"])
def test_a_k_for_a_metric_that_has_none_is_an_error(text):
    with pytest.raises(BadSpec) as caught:
        MetricAtK.parse(text)
    assert str(caught.value) == "metric 'auc' has no K; write auc"


def test_a_k_beyond_the_catalogue_is_an_error_and_the_whole_catalogue_is_not():
    with pytest.raises(BadValue) as caught:
        MetricAtK.parse("hr@101").check_catalogue(100)
    assert str(caught.value) == "hr@101: K is 101, but the data set has 100 items; K is at most 100"
    MetricAtK.parse("hr@100").check_catalogue(100)
    MetricAtK.parse("auc").check_catalogue(1)
