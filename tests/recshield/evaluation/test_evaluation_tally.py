"""Inner products are multiplied and counted on several threads, and rank as any other scores do."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
import torch

from recshield.core.compiled import observed
from recshield.core.errors import NonFiniteScores
from recshield.core.factored import InnerProducts
from recshield.core.settings import PRODUCT_USERS
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation import tally
from recshield.evaluation.ranking import Extras, rank

N_USERS, N_ITEMS, WIDTH = 300, 90, 4
EVERYTHING = Extras(7, (5, 20), 3, is_within=True)


@pytest.fixture(autouse=True)
def threads():
    """Yield a setter of PyTorch's threads, and set them back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def rows(seed=0):
    rng = np.random.default_rng(seed)
    train = Interactions(
        np.arange(N_USERS + 1) * 6, rng.integers(0, N_ITEMS // 2, 6 * N_USERS, dtype=np.int32), N_ITEMS
    )
    asked = np.sort(rng.permutation(N_USERS)[:250]).repeat(2)
    return train, HeldOut.from_rows(asked, rng.integers(0, N_ITEMS, len(asked)))


def sides(seed=0):
    """Return whole numbers, whose products are exact whatever the order of their sums, with many ties."""
    drawn = torch.Generator().manual_seed(seed)
    users, items = (torch.randint(-3, 4, (n, WIDTH), generator=drawn).float() for n in (N_USERS, N_ITEMS))
    return users, items


def products(users, items):
    return InnerProducts(lambda asked: users[asked], items)


def same(one, other):
    assert np.array_equal(one.ranks, other.ranks)
    assert np.array_equal(one.candidates, other.candidates)
    assert np.array_equal(one.lists, other.lists)
    assert np.array_equal(one.within, other.within)
    assert all(np.array_equal(held, other.sampled[n]) for n, held in one.sampled.items())
    assert one.score_hash == other.score_hash != ""


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 2**22])
def test_ranks_of_inner_products_are_those_of_their_scores(monkeypatch, threads, n_threads, block):
    monkeypatch.setattr(tally, "_VECTOR_VALUES", block)
    (train, test), (users, items) = rows(), sides()
    threads(n_threads)
    found = rank(products(users, items), train, test, is_hashed=True, extras=EVERYTHING)
    same(found, rank(lambda asked: users[asked] @ items.T, train, test, is_hashed=True, extras=EVERYTHING))
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("scores", [1, 20 * N_ITEMS])
def test_the_size_of_a_chunk_of_many_items_changes_nothing(monkeypatch, threads, scores):
    (train, test), (users, items) = rows(), sides()
    threads(2)
    whole = rank(products(users, items), train, test, is_hashed=True, extras=EVERYTHING)
    monkeypatch.setattr(tally, "PRODUCT_SCORES", scores)
    monkeypatch.setattr(tally, "LEAST_PRODUCT_USERS", 1)
    same(whole, rank(products(users, items), train, test, is_hashed=True, extras=EVERYTHING))


def test_scores_of_real_numbers_do_not_depend_on_the_number_of_threads(threads):
    (train, test), drawn = rows(), torch.Generator().manual_seed(0)
    users, items = torch.randn((N_USERS, 64), generator=drawn), torch.randn((N_ITEMS, 64), generator=drawn)
    hashes = set()
    for n_threads in (1, 2, 4):
        threads(n_threads)
        hashes.add(rank(products(users, items), train, test, is_hashed=True).score_hash)
    assert len(hashes) == 1


def test_vectors_are_asked_for_in_order_on_the_thread_that_ranks_and_without_gradients(threads):
    (train, test), (users, items) = rows(), sides()
    asked = []

    def vectors(some):
        assert threading.current_thread() is threading.main_thread()
        assert not torch.is_grad_enabled()
        asked.extend(some.tolist())
        return users[some]

    threads(2)
    rank(InnerProducts(vectors, items.requires_grad_()), train, test)
    assert asked == test.users.tolist()


def test_every_chunk_is_shown_once_with_its_place(threads):
    (train, test), (users, items) = rows(), sides()
    seen = {}

    def watch(first, scores):
        assert first not in seen
        seen[first] = scores.clone()

    threads(2)
    rank(products(users, items), train, test, watch=watch)
    together = torch.cat([seen[first] for first in sorted(seen)])
    assert torch.equal(together, users[torch.from_numpy(test.users).long()] @ items.T)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_of_several_users_without_finite_scores_the_first_is_named(threads, n_threads):
    (train, test), (users, items) = rows(), sides()
    threads(n_threads)
    for place in (3, 70, 140, 249):
        users[test.users[place:]] = torch.nan
        with pytest.raises(NonFiniteScores, match=f"the scores of user {test.users[place]} hold"):
            rank(products(users, items), train, test)
        users = sides()[0]
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("place", [0, 64, 128])
def test_what_a_watcher_raises_ends_the_ranking_and_leaves_the_threads_as_they_were(threads, place):
    (train, test), (users, items) = rows(), sides()

    def watch(first, _):
        if first == place:
            raise KeyboardInterrupt

    threads(2)
    with pytest.raises(KeyboardInterrupt):
        rank(products(users, items), train, test, watch=watch)
    assert torch.get_num_threads() == 2


def test_vectors_of_another_shape_are_an_error():
    (train, test), (users, items) = rows(), sides()
    with pytest.raises(NonFiniteScores) as caught:
        rank(products(users[:, :3], items), train, test)
    assert str(caught.value) == "the vectors of users have the shape (128, 3); for 128 users it must be (128, 4)"
    with pytest.raises(NonFiniteScores) as caught:
        rank(products(users, items[1:]), train, test)
    assert str(caught.value) == "the vectors of items have the shape (89, 4); for 90 items it must be (90, 4)"


def test_equal_items_tie_for_a_user_who_is_ranked_alone():
    train, test = rows()
    drawn = torch.Generator().manual_seed(0)
    users, items = torch.randn((N_USERS, 64), generator=drawn), torch.randn((N_ITEMS, 64), generator=drawn)
    items[1::2] = items[::2]
    for count in (1, 2, 65):
        some = HeldOut(test.users[:count], test.indptr[: count + 1], test.items[: test.indptr[count]])
        shown = []
        rank(products(users, items), train, some, watch=lambda _, scores, shown=shown: shown.append(scores))
        assert all(torch.equal(scores[:, ::2], scores[:, 1::2]) for scores in shown)


def test_other_products_than_inner_ones_are_ranked_by_what_they_return():
    class Shifted(InnerProducts):
        def __call__(self, asked):
            return super().__call__(asked) + torch.arange(N_ITEMS)

    (train, test), (users, items) = rows(), sides()
    shifted = Shifted(lambda asked: users[asked], items)
    same(
        rank(shifted, train, test, is_hashed=True, extras=EVERYTHING),
        rank(lambda asked: shifted(asked), train, test, is_hashed=True, extras=EVERYTHING),
    )


def test_autocast_reaches_no_thread(threads):
    (train, test), drawn = rows(), torch.Generator().manual_seed(0)
    users, items = torch.randn((N_USERS, 64), generator=drawn), torch.randn((N_ITEMS, 64), generator=drawn)
    threads(2)
    plain = rank(products(users, items), train, test, is_hashed=True).score_hash
    with torch.autocast("cpu"):
        assert rank(products(users, items), train, test, is_hashed=True).score_hash == plain


def test_a_profiler_sees_all_of_a_ranking(threads):
    (train, test), (users, items) = rows(), sides()
    seen = []

    @contextlib.contextmanager
    def around(name):
        assert threading.current_thread() is threading.main_thread()
        seen.append(name)
        yield

    threads(2)
    with observed(around):
        rank(products(users, items), train, test)
    assert seen.count("count_ranks") == -(-len(test.users) // PRODUCT_USERS)


def test_nobody_to_rank_is_no_error():
    train, _ = rows()
    nobody = HeldOut(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32))
    assert len(rank(products(*sides()), train, nobody, extras=Extras(5)).ranks) == 0
