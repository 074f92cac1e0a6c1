"""Ranks counted where the scores are: the same numbers as those of the native loops, without waiting for the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from waiting import waits_of

from recshield.core.errors import NonFiniteScores
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation import on_device
from recshield.evaluation.on_device import rank_on_device
from recshield.evaluation.ranking import Extras, Ranks, rank

CPU = torch.device("cpu")
EVERYTHING = Extras(list_length=4, samples=(3, 6), data_seed=5, is_within=True)


def world(seed: int, n_values: int) -> tuple[torch.Tensor, Interactions, HeldOut]:
    """Return scores with many ties and both zeros, training rows, and test rows of which some repeat training rows."""
    rng = np.random.default_rng(seed)
    n_users, n_items = int(rng.integers(2, 15)), int(rng.integers(3, 40))
    scores = rng.integers(-n_values, n_values, (n_users, n_items)).astype(np.float32)
    scores[scores == 0] *= rng.choice([-1.0, 1.0], int((scores == 0).sum()))
    train = Interactions.from_rows(rng.integers(0, n_users, 60), rng.integers(0, n_items, 60), n_users, n_items)
    rows = sorted({(int(rng.integers(n_users)), int(rng.integers(n_items))) for _ in range(25)})
    test = HeldOut.from_rows(*(np.array([row[place] for row in rows]) for place in (0, 1)))
    return torch.from_numpy(scores), train, test


def assert_same(found: Ranks, wanted: Ranks) -> None:
    for name in ("users", "items", "ranks", "candidates", "lists", "within"):
        assert_array_equal(getattr(found, name), getattr(wanted, name), name)
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert found.score_hash == wanted.score_hash
    assert found.sampled.keys() == wanted.sampled.keys()
    for n, counts in wanted.sampled.items():
        assert_array_equal(found.sampled[n], counts, str(n))


@pytest.mark.parametrize("n_values", [1, 3, 10**6])
@pytest.mark.parametrize("seed", range(12))
def test_all_that_is_counted_equals_the_native_loops(seed, n_values):
    scores, train, test = world(seed, n_values)
    chunk = seed % 5 + 1
    found = rank_on_device(lambda users: scores[users], train, test, CPU, True, EVERYTHING, chunk)
    assert_same(found, rank(lambda users: scores[users], train, test, is_hashed=True, extras=EVERYTHING))


@pytest.mark.parametrize("seed", range(12))
def test_one_test_item_for_every_user(seed):
    scores, train, _ = world(seed, 3)
    rng, every = np.random.default_rng(seed), np.arange(len(scores))
    test = HeldOut.from_rows(every, rng.integers(0, scores.shape[1], len(every)))
    found = rank_on_device(lambda users: scores[users], train, test, CPU, True, EVERYTHING, 3)
    assert_same(found, rank(lambda users: scores[users], train, test, is_hashed=True, extras=EVERYTHING))


def test_lists_longer_than_there_are_items_end_with_none():
    scores, train, test = world(0, 3)
    extras = Extras(list_length=scores.shape[1] + 3)
    found = rank_on_device(lambda users: scores[users], train, test, CPU, False, extras, 4)
    assert_array_equal(found.lists, rank(lambda users: scores[users], train, test, extras=extras).lists)
    assert (found.lists[:, -3:] == -1).all()


def test_lists_of_users_without_test_rows():
    scores, train, _ = world(1, 3)
    nothing = HeldOut(
        np.arange(len(scores), dtype=np.int32), np.zeros(len(scores) + 1, np.int64), np.empty(0, np.int32)
    )
    found = rank_on_device(lambda users: scores[users], train, nothing, CPU, False, Extras(3), 2)
    assert_array_equal(found.lists, rank(lambda users: scores[users], train, nothing, extras=Extras(3)).lists)
    assert found.ranks.shape == (0,)


def test_nobody_to_rank():
    scores, train, _ = world(1, 3)
    nobody = HeldOut(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32))
    found = rank_on_device(lambda users: scores[users], train, nobody, CPU, True, EVERYTHING, 2)
    assert_same(found, rank(lambda users: scores[users], train, nobody, is_hashed=True, extras=EVERYTHING))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_none_are_refused_and_name_the_first_user(value):
    scores, train, test = world(2, 3)
    scores[test.users[1:3]] = scores[test.users[1:3]].index_fill(1, torch.tensor([0]), value)
    with pytest.raises(NonFiniteScores, match=f"the scores of user {test.users[1]} hold NaN or infinity"):
        rank_on_device(lambda users: scores[users], train, test, CPU, False, Extras(), 2)


def test_scores_of_another_shape_are_refused():
    scores, train, test = world(2, 3)
    with pytest.raises(NonFiniteScores, match="scores have the shape"):
        rank_on_device(lambda users: scores[users, 1:], train, test, CPU, False, Extras(), 2)


def test_the_scores_of_a_model_are_left_as_they_are():
    scores, train, _ = world(3, 3)
    before = scores.clone()
    every = torch.arange(len(scores))
    held = HeldOut.from_rows(every.numpy(), np.zeros(len(every), np.int64))
    rank_on_device(lambda users: scores[: len(users)], train, held, CPU, True, EVERYTHING, len(scores))
    assert torch.equal(scores, before)


def test_the_host_waits_for_no_chunk():
    scores, train, test = world(4, 3)
    assert waits_of(lambda: scores.max().item()) == ["_local_scalar_dense"]  # it can be heard
    extras = Extras(list_length=4, samples=(3,), is_within=True)
    assert waits_of(lambda: rank_on_device(lambda users: scores[users], train, test, CPU, True, extras, 2)) == []


def test_the_kernel_counts_what_plain_operations_count():
    pytest.importorskip("triton", reason="there is no Triton")
    assert on_device._difference(torch.device("cuda" if torch.cuda.is_available() else "cpu")) == 0


def test_ranks_are_the_same_with_the_kernel(monkeypatch):
    pytest.importorskip("triton", reason="there is no Triton")
    monkeypatch.setattr(on_device, "trusted", lambda *_arguments: not torch.cuda.is_available())
    scores, train, _ = world(7, 3)
    every = np.arange(len(scores))
    test = HeldOut.from_rows(every, every % scores.shape[1])
    found = rank_on_device(lambda users: scores[users], train, test, CPU, True, EVERYTHING, 3)
    assert_same(found, rank(lambda users: scores[users], train, test, is_hashed=True, extras=EVERYTHING))


def test_ranks_of_a_device_other_than_the_cpu_are_counted_there(monkeypatch):
    scores, train, test = world(5, 3)
    asked = []
    monkeypatch.setattr(on_device, "rank_on_device", lambda *arguments: asked.append((arguments[3], arguments[6])))
    rank(lambda users: scores[users], train, test, device=torch.device("cuda", 0))
    assert asked == [(torch.device("cuda", 0), 1024)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_ranks_on_a_gpu_are_those_of_the_cpu():
    scores, train, test = world(6, 3)
    there = scores.cuda()
    found = rank(lambda users: there[users], train, test, device=there.device, is_hashed=True, extras=EVERYTHING)
    assert_same(found, rank(lambda users: scores[users], train, test, is_hashed=True, extras=EVERYTHING))
