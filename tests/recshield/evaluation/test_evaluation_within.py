"""Cold and warm items apart: ranks among the candidates of the test item's own kind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recshield.core.errors import BadSpec, BadValue
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.background import Background
from recshield.evaluation.metrics import MetricAtK, extras_for
from recshield.evaluation.ranking import Ranks, rank

N_USERS, N_ITEMS, N_WARM = 12, 40, 25


def drawn(seed: int) -> tuple[Interactions, HeldOut, np.ndarray]:
    """Return training rows of the first 25 items only, test rows of all, one repeating a training row, and scores."""
    rng = np.random.default_rng(seed)
    users, items = np.repeat(np.arange(N_USERS), 6), rng.integers(0, N_WARM, 6 * N_USERS)
    items[:N_WARM] = np.arange(N_WARM)
    train = Interactions.from_rows(users, items, N_USERS, N_ITEMS)
    rows = [np.unique(rng.integers(0, N_ITEMS, 4)) for _ in range(N_USERS)]
    rows[3] = np.unique(np.append(rows[3], train.of(3)[0]))
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    test = HeldOut(np.arange(N_USERS, dtype=np.int32), indptr, np.concatenate(rows).astype(np.int32))
    return train, test, rng.integers(0, 9, (N_USERS, N_ITEMS)).astype(np.float32)  # many ties


def ranked(seed: int, metrics: list[MetricAtK]) -> Ranks:
    train, test, scores = drawn(seed)
    held = torch.from_numpy(scores)
    found = rank(lambda users: held[users], train, test, extras=extras_for(metrics, 0), chunk=5)
    return dataclasses.replace(found, background=Background(train, test))


@pytest.mark.parametrize("kind", ["cold", "warm"])
@pytest.mark.parametrize("name", ["auc", "ndcg@5", "hr@3", "recall@5"])
def test_it_is_the_metric_on_the_items_of_that_kind_alone(name: str, kind: str) -> None:
    """The same metric on a data set from which the items of the other kind are deleted."""
    metric = MetricAtK.parse(f"{name}/among:{kind}")
    for seed in range(5):
        train, test, scores = drawn(seed)
        kept = np.arange(N_WARM, N_ITEMS) if kind == "cold" else np.arange(N_WARM)
        place = np.full(N_ITEMS, -1)
        place[kept] = np.arange(len(kept))
        is_kept = place[train.items] >= 0
        less = Interactions.from_rows(train.users[is_kept], place[train.items[is_kept]], N_USERS, len(kept))
        rows = [place[test.items[test.indptr[u] : test.indptr[u + 1]]] for u in range(N_USERS)]
        rows = [row[row >= 0] for row in rows]
        users = np.array([u for u in range(N_USERS) if len(rows[u])], np.int32)
        indptr = np.concatenate([[0], np.cumsum([len(rows[u]) for u in users])])
        part = HeldOut(users, indptr, np.concatenate([rows[u] for u in users]).astype(np.int32))
        held = torch.from_numpy(scores[:, kept].copy())
        wanted = MetricAtK.parse(name).per_user(rank(lambda asked, held=held: held[asked], less, part))
        found = metric.measure(ranked(seed, [metric]))
        np.testing.assert_allclose(found.per_user[users], wanted)
        assert found.n_users == len(users)
        assert np.isnan(np.delete(found.per_user, users)).all()


def test_full_ranking_is_the_same_with_and_without() -> None:
    plain, more = ranked(0, []), ranked(0, [MetricAtK.parse("auc/among:cold")])
    assert plain.within is None
    np.testing.assert_array_equal(plain.ranks, more.ranks)
    np.testing.assert_array_equal(plain.candidates, more.candidates)


def test_what_reads_lists_or_comes_first_cannot_be_taken_among_some_items() -> None:
    with pytest.raises(BadSpec, match="metric 'arp@5/among:cold': arp reads lists, not test items; write arp@5"):
        MetricAtK.parse("arp@5/among:cold")
    with pytest.raises(BadValue, match=r"auc/among:cold cannot be the first metric.*it does not count all users"):
        MetricAtK.parse("auc/among:cold").check_main()
    with pytest.raises(BadSpec, match=r"no suffix 'among:could'; did you mean 'among:cold'\?"):
        MetricAtK.parse("auc/among:could")
