"""Neighbourhood models against dense numpy, scikit-learn and hand calculations."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from recshield.core.errors import BadData, BadValue
from recshield.core.interfaces import Recommender
from recshield.core.seeds import generator
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.training import ModelLoss
from recshield_neighbours import ItemKNN, ItemKNNConfig, UserKNN, UserKNNConfig
from recshield_neighbours.similarity import nearest

USERS, ITEMS = 60, 40
Matrix = NDArray[np.float64]


def dataset(users: NDArray[np.integer], items: NDArray[np.integer], n_users: int, n_items: int) -> Dataset:
    train = Interactions.from_rows(users, items, n_users, n_items)
    return Dataset(DataInfo("toy", n_users, n_items, len(train)), train, np.arange(n_users), np.arange(n_items))


@pytest.fixture
def toy() -> Dataset:
    """Return rows with repeats; the last user and the last item have none."""
    rng = np.random.default_rng(0)
    return dataset(rng.integers(USERS - 1, size=500), rng.integers(ITEMS - 1, size=500), USERS, ITEMS)


def fitted(kind: type[Recommender], config: Any, data: Dataset) -> Recommender:
    model = kind(data.info, config, generator(0, "start"))
    model.fit(data, ModelLoss(), generator(0, "fit"))
    return model


def dense(data: Dataset) -> Matrix:
    held = np.zeros((data.info.n_users, data.info.n_items))
    held[data.train.users, data.train.items] = 1.0
    return held


def similarities_by_hand(rows: Matrix, similarity: str, shrink: float) -> Matrix:
    """Return the full similarity matrix, entry by entry from the definition."""
    held = np.zeros((len(rows), len(rows)))
    for one in range(len(rows)):
        for other in range(len(rows)):
            shared = float((rows[one] * rows[other]).sum())
            if one == other or shared == 0:
                continue
            if similarity == "cosine":
                whole = float(np.sqrt(rows[one].sum() * rows[other].sum()))
            else:
                whole = float(np.maximum(rows[one], rows[other]).sum())
            held[one, other] = shared / (whole + shrink)
    return held.astype(np.float32).astype(np.float64)


def cut_by_hand(full: Matrix, k: int) -> Matrix:
    """Keep the k largest of each row, the smallest id first among equals."""
    kept = np.zeros_like(full)
    for row, values in enumerate(full):
        for place in sorted(range(len(values)), key=lambda place: (-values[place], place))[:k]:
            kept[row, place] = values[place]
    return kept


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize("shrink", [0.0, 7.5])
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_itemknn_is_the_dense_computation(toy: Dataset, similarity: str, shrink: float, k: int) -> None:
    rows = dense(toy)
    weights = cut_by_hand(similarities_by_hand(rows.T, similarity, shrink), k)
    found = fitted(ItemKNN, ItemKNNConfig(k, shrink, similarity), toy).score(torch.arange(USERS))
    np.testing.assert_allclose(found.numpy(), rows @ weights.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize("shrink", [0.0, 7.5])
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_userknn_is_the_dense_computation(toy: Dataset, similarity: str, shrink: float, k: int) -> None:
    rows = dense(toy)
    weights = cut_by_hand(similarities_by_hand(rows, similarity, shrink), k)
    found = fitted(UserKNN, UserKNNConfig(k, shrink, similarity), toy).score(torch.arange(USERS))
    np.testing.assert_allclose(found.numpy(), weights @ rows, rtol=1e-5, atol=1e-6)


def test_cosine_neighbours_are_those_of_scikit_learn() -> None:
    rows = csr_array((np.random.default_rng(1).random((80, 300)) < 0.2).astype(np.float32))
    ids, values = nearest(rows, 10)
    distances, places = NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute").fit(rows).kneighbors(rows)
    np.testing.assert_allclose(values, 1 - distances[:, 1:], atol=1e-5)
    # Where the eleventh is strictly farther, the ten are the same set whatever the order of ties.
    clear = distances[:, 10] + 1e-6 < np.sort(similarity_distances(rows), axis=1)[:, 11]
    assert clear.sum() > 20
    for row in np.flatnonzero(clear):
        assert set(ids[row]) == set(places[row]) - {row}


def similarity_distances(rows: Any) -> Matrix:
    """Return cosine distances, a row's own included."""
    return 1 - similarities_by_hand(rows.toarray(), "cosine", 0.0) - np.eye(rows.shape[0])


def test_equal_similarities_go_to_the_smaller_id() -> None:
    """Rows 0 to 5 are one and the same, so each row's neighbours are the smallest ids other than its own."""
    ids, values = nearest(csr_array(np.ones((6, 2), np.float32)), 3)
    assert ids.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    np.testing.assert_array_equal(values, np.ones((6, 3), np.float32))


def test_rows_that_share_nothing_are_no_neighbours() -> None:
    ids, values = nearest(csr_array(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], np.float32)), 2)
    np.testing.assert_allclose(values, [[1 / np.sqrt(2), 0], [1 / np.sqrt(2), 0], [0, 0]], rtol=1e-6)
    assert ids.tolist() == [[1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("entries", [1, 37, 500, 10**9])
def test_the_size_of_blocks_does_not_matter(entries: int) -> None:
    rows = csr_array((np.random.default_rng(2).random((70, 30)) < 0.15).astype(np.float32))
    whole, cut = nearest(rows, 7), nearest(rows, 7, entries=entries)
    np.testing.assert_array_equal(whole[0], cut[0])
    np.testing.assert_array_equal(whole[1], cut[1])


def test_memory_is_that_of_a_block() -> None:
    """All 3,000 rows share a column: 9,000,000 similarities, 36 MB as float32, of which a block holds 65,536."""
    held = np.zeros((3000, 4), np.float32)
    held[:, 0] = 1
    held[np.arange(3000), 1 + np.arange(3000) % 3] = 1
    rows = csr_array(held)
    tracemalloc.start()
    nearest(rows, 5, entries=1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_row_that_stands_twice_counts_once(toy: Dataset) -> None:
    users, items = toy.train.users, toy.train.items
    doubled = dataset(np.concatenate([users, users]), np.concatenate([items, items]), USERS, ITEMS)
    for kind, config in ((ItemKNN, ItemKNNConfig()), (UserKNN, UserKNNConfig())):
        one, other = (fitted(kind, config, data).score(torch.arange(USERS)) for data in (toy, doubled))
        assert torch.equal(one, other)


def test_a_second_fit_is_seen_by_scores(toy: Dataset) -> None:
    """What is derived from the buffers must follow them."""
    fewer = dataset(toy.train.users[::2], toy.train.items[::2], USERS, ITEMS)
    for kind, config in ((ItemKNN, ItemKNNConfig()), (UserKNN, UserKNNConfig())):
        model = fitted(kind, config, toy)
        before = model.score(torch.arange(USERS))
        state = {name: held.clone() for name, held in model.state_dict().items()}
        model.fit(fewer, ModelLoss(), generator(0, "fit"))
        after = model.score(torch.arange(USERS))
        alone = kind(toy.info, config, generator(0, "start"))
        alone.fit(fewer, ModelLoss(), generator(0, "fit"))
        assert torch.equal(after, alone.score(torch.arange(USERS)))
        assert not torch.equal(after, before)
        model.load_state_dict(state)
        assert torch.equal(model.score(torch.arange(USERS)), before)


def test_more_rows_than_the_model_was_built_for_are_refused(toy: Dataset) -> None:
    model = ItemKNN(DataInfo("toy", USERS, ITEMS, 10), ItemKNNConfig(), generator(0, "start"))
    n_rows = len(toy.train.members[1])
    with pytest.raises(BadData, match=f"^model 'itemknn' was built for 10 training rows and is fitted to {n_rows}; "):
        model.fit(toy, ModelLoss(), generator(0, "fit"))


@pytest.mark.parametrize(("kind", "name"), [(ItemKNNConfig, "itemknn"), (UserKNNConfig, "userknn")])
def test_settings_are_checked(kind: Any, name: str) -> None:
    for options, text in (
        ({"k": 0}, "k is 0; it is at least 1"),
        ({"shrink": -1.0}, "shrink is -1.0; it is a finite number of at least 0"),
        ({"shrink": float("nan")}, "shrink is nan; it is a finite number of at least 0"),
        ({"similarity": "pearson"}, "similarity 'pearson' is not known; allowed: cosine, jaccard"),
    ):
        with pytest.raises(BadValue) as caught:
            kind(**options)
        assert str(caught.value) == f"model '{name}': {text}"
