"""Ranks against a slow count, refusals of bad scores, and the hash of scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recshield.core.errors import NonFiniteScores
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import Ranks, rank, top

LARGEST = float(np.finfo(np.float32).max)


def interactions(rows: list[tuple[int, int]], n_users: int, n_items: int) -> Interactions:
    users, items = (np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1))
    return Interactions.from_rows(users, items, n_users, n_items)


def held_out(rows: list[tuple[int, int]]) -> HeldOut:
    users, items = (np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1))
    return HeldOut.from_rows(users, items)


def ranks_of(scores, train, test, **options) -> Ranks:
    """Rank with a table of scores, train and test given as (user, item) rows."""
    table = torch.as_tensor(scores, dtype=torch.float32)
    seen = interactions(train, *table.shape)
    return rank(lambda users: table[users], seen, held_out(test), **options)


def slow_ranks(scores: np.ndarray, train: set, test: HeldOut) -> list[tuple[int, int]]:
    """Return (rank, candidates) of every test row, counted item by item."""
    found = []
    # A test row that repeats a training row stays a candidate, for the user's other test rows, too.
    masked = train - set(zip(test.row_users.tolist(), test.items.tolist(), strict=True))
    for user, item in zip(test.row_users.tolist(), test.items.tolist(), strict=True):
        others = [other for other in range(scores.shape[1]) if other != item and (user, other) not in masked]
        at_least = sum(bool(scores[user, other] >= scores[user, item]) for other in others)
        found.append((at_least, len(others) + 1))
    return found


def pairs_of(ranks: Ranks) -> list[tuple[int, int]]:
    return list(zip(ranks.ranks.tolist(), ranks.candidates.tolist(), strict=True))


@pytest.mark.parametrize("n_values", [2, 4, 1000])
@pytest.mark.parametrize("seed", range(15))
def test_ranks_are_those_of_a_slow_count_with_ties_masks_and_several_test_items(seed, n_values):
    rng = np.random.default_rng(seed)
    n_users, n_items = int(rng.integers(1, 12)), int(rng.integers(2, 15))
    scores = rng.integers(-n_values, n_values, (n_users, n_items)).astype(np.float32)
    train = list(zip(rng.integers(0, n_users, 30).tolist(), rng.integers(0, n_items, 30).tolist(), strict=True))
    # Test rows are drawn over all items, so some repeat a training row of their user.
    test = sorted({(int(rng.integers(n_users)), int(rng.integers(n_items))) for _ in range(20)})
    ranks = ranks_of(scores, train, test, chunk=int(rng.integers(1, 14)))
    assert pairs_of(ranks) == slow_ranks(scores, set(train), held_out(test))


def test_two_test_items_of_which_one_repeats_a_training_row_take_two_places():
    ranks = ranks_of([[5.0, 9.0, 1.0, 0.0]], [(0, 1)], [(0, 0), (0, 1)])
    assert ranks.ranks.tolist() == [1, 0]
    assert [MetricAtK.parse(name).per_user(ranks).tolist() for name in ("ndcg@3", "auc")] == [[1.0], [1.0]]


def test_ranks_by_hand():
    scores = [[5.0, 3.0, 3.0, 1.0, 9.0]]
    # Item 4 is masked. Item 0 leads; 1 and 2 tie, and each counts against the other; 3 is last of four.
    ranks = ranks_of(scores, [(0, 4)], [(0, 0), (0, 1), (0, 2), (0, 3)])
    assert pairs_of(ranks) == [(0, 4), (2, 4), (2, 4), (3, 4)]


def test_ties_count_against_the_model():
    ranks = ranks_of(np.zeros((1, 6)), [(0, 5)], [(0, 2)])
    assert pairs_of(ranks) == [(4, 5)]


def test_a_test_item_that_repeats_a_training_row_stays_a_candidate():
    scores = [[1.0, 2.0, 3.0, 4.0]]
    ranks = ranks_of(scores, [(0, 1), (0, 3), (0, 1)], [(0, 1)])
    assert pairs_of(ranks) == [(1, 3)]


def test_a_user_without_a_training_row_is_ranked_among_all_items():
    ranks = ranks_of([[0.0] * 4, [4.0, 3.0, 2.0, 1.0]], [(0, 0)], [(1, 2)])
    assert pairs_of(ranks) == [(2, 4)]


def test_a_user_who_has_everything_else_in_training_ranks_its_test_item_first():
    assert pairs_of(ranks_of([[9.0, 8.0, 0.0]], [(0, 0), (0, 1)], [(0, 2)])) == [(0, 1)]


def test_ranks_stand_in_the_order_of_the_test_rows():
    test = held_out([(2, 1), (0, 3), (2, 0)])
    ranks = rank(lambda users: torch.zeros(len(users), 4), interactions([(0, 0)], 3, 4), test)
    assert ranks.users.tolist() == [0, 2]
    assert ranks.indptr.tolist() == [0, 1, 3]
    assert ranks.items.tolist() == [3, 1, 0]
    assert (ranks.ranks.dtype, ranks.candidates.dtype) == (np.int32, np.int32)


def test_only_evaluated_users_are_scored_in_order_and_without_gradients():
    asked: list[torch.Tensor] = []
    weight = torch.ones(1, requires_grad=True)

    def score(users):
        asked.append(users)
        made = weight * torch.zeros(len(users), 4)
        assert not made.requires_grad
        return made

    rank(score, interactions([(0, 0)], 9, 4), held_out([(7, 1), (3, 2), (5, 3)]), chunk=2)
    assert [users.tolist() for users in asked] == [[3, 5], [7]]
    assert {users.dtype for users in asked} == {torch.int64}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_the_size_of_a_chunk_changes_nothing(chunk):
    scores = np.random.default_rng(0).integers(0, 5, (7, 6)).astype(np.float32)
    test = [(user, user % 6) for user in range(7)]
    whole = ranks_of(scores, [(0, 1), (6, 2)], test, is_hashed=True)
    parts = ranks_of(scores, [(0, 1), (6, 2)], test, is_hashed=True, chunk=chunk)
    assert pairs_of(parts) == pairs_of(whole)
    assert parts.score_hash == whole.score_hash


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("item", [0, 1, 2, 3], ids=["masked", "test", "other", "last"])
@pytest.mark.parametrize("chunk", [1, 2, 128])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_user(bad, item, chunk):
    scores = np.ones((4, 4), np.float32)
    scores[2, item] = bad
    with pytest.raises(NonFiniteScores) as caught:
        ranks_of(scores, [(user, 0) for user in range(4)], [(user, 1) for user in range(4)], chunk=chunk)
    assert str(caught.value) == (
        "the scores of user 2 hold NaN or infinity, which would rank first; "
        "scores must be finite: look at the model's training, or lower its learning rate"
    )


def test_a_score_beyond_float32_is_not_finite():
    table = torch.full((1, 3), 1e39, dtype=torch.float64)
    with pytest.raises(NonFiniteScores, match="the scores of user 0 hold NaN or infinity"):
        rank(lambda users: table[users], interactions([(0, 0)], 1, 3), held_out([(0, 1)]))


def test_the_largest_and_the_smallest_floats_are_scores_like_others():
    scores = [[LARGEST, -LARGEST, 1e-45, 0.0]]
    ranks = ranks_of(scores, [], [(0, 0), (0, 1), (0, 2), (0, 3)])
    assert ranks.ranks.tolist() == [0, 3, 1, 2]


def test_minus_zero_ties_with_zero():
    assert pairs_of(ranks_of([[-0.0, 0.0]], [], [(0, 0), (0, 1)])) == [(1, 2), (1, 2)]


@pytest.mark.parametrize("shape", [(2, 3), (1, 4), (3, 4), (8,), (2, 4, 1)])
def test_scores_of_another_shape_are_an_error(shape):
    with pytest.raises(NonFiniteScores) as caught:
        rank(lambda users: torch.zeros(shape), interactions([(0, 0)], 2, 4), held_out([(0, 1), (1, 1)]))
    assert str(caught.value) == f"scores have the shape {shape}; for 2 users it must be (2, 4)"


def test_scores_that_do_not_lie_in_one_piece_are_ranked_alike():
    table = torch.arange(12.0).reshape(4, 3)
    test = held_out([(0, 1), (1, 2), (2, 0)])
    train = interactions([(0, 0)], 3, 4)
    strided = rank(lambda users: table.T[users.tolist()[0] : users.tolist()[-1] + 1], train, test)
    assert pairs_of(strided) == slow_ranks(table.T.numpy(), {(0, 0)}, test)


def hash_of(scores: np.ndarray, test: list[tuple[int, int]]) -> str:
    return ranks_of(scores, [(0, 0)], test, is_hashed=True).score_hash


def test_there_is_no_hash_unless_it_is_asked_for():
    assert ranks_of(np.zeros((1, 2)), [], [(0, 0)]).score_hash == ""


@pytest.mark.parametrize("bit", [0, 1, 22, 23, 31])
@pytest.mark.parametrize("item", range(4))
def test_the_hash_changes_with_one_bit_of_one_score_masked_or_not(item, bit):
    scores = np.random.default_rng(1).random((3, 4)).astype(np.float32)
    test = [(0, 1), (1, 2), (2, 3)]
    flipped = scores.copy()
    flipped.view(np.uint32)[0, item] ^= np.uint32(1) << np.uint32(bit)
    assert hash_of(scores, test) != hash_of(flipped, test)
    assert hash_of(scores, test) == hash_of(scores.copy(), test)


def test_the_hash_changes_where_two_scores_or_two_users_change_places():
    scores = np.random.default_rng(1).random((2, 4)).astype(np.float32)
    test = [(0, 1), (1, 1)]
    assert len({hash_of(made, test) for made in (scores, scores[::-1].copy(), scores[:, ::-1].copy())}) == 3


def test_top_lists_the_best_first_ties_by_item_id_and_masked_items_last():
    scores = torch.tensor([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    masked = [np.array([1], np.int32), np.zeros(0, np.int32)]
    assert top(scores, masked, 3).tolist() == [[2, 3, 0], [0, 1, 2]]
    assert top(scores, masked, 4)[0].tolist() == [2, 3, 0, 1]
    assert scores[0, 1] == 3.0


def test_many_equal_scores_are_listed_by_item_id():
    drawn = np.random.default_rng(3).integers(0, 3, (2, 3000))
    listed = top(torch.from_numpy(drawn.astype(np.float32)), [np.zeros(0, np.int32)] * 2, 2000)
    for user in range(2):
        assert listed[user].tolist() == sorted(range(3000), key=lambda item: (-drawn[user, item], item))[:2000]


def test_without_ties_an_item_stands_in_the_list_where_its_rank_says():
    rng = np.random.default_rng(2)
    scores = torch.from_numpy(rng.permuted(np.tile(np.arange(9, dtype=np.float32), (5, 1)), axis=1))
    train = interactions([(0, 3), (1, 8), (1, 2), (4, 0)], 5, 9)
    test = held_out([(user, 5) for user in range(5)])
    ranks = rank(lambda users: scores[users], train, test)
    listed = top(scores, [train.of(user) for user in range(5)], 9)
    assert [listed[user, place].item() for user, place in enumerate(ranks.ranks)] == [5] * 5
