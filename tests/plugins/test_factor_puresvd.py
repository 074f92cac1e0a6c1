"""`puresvd` against numpy's dense decomposition, at every shape of data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recshield.core.errors import BadValue
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.testing import small_dataset
from recshield.training import Adversarial, ModelLoss
from recshield_factor import PureSVD, PureSVDConfig


def dataset(ratings: NDArray[np.integer]) -> Dataset:
    users, items = np.nonzero(ratings)
    train = Interactions.from_rows(users, items, *ratings.shape)
    return Dataset(DataInfo("toy", *ratings.shape, len(train)), train, np.arange(1), np.arange(1))


def random_ratings(n_users: int, n_items: int, seed: int = 0) -> NDArray[np.integer]:
    return (np.random.default_rng(seed).random((n_users, n_items)) < 0.2).astype(np.int64)


def fitted(data: Dataset, seed: int = 0, **settings: Any) -> PureSVD:
    model = PureSVD(data.info, PureSVDConfig(**settings), generator(seed, "start"))
    model.fit(data, ModelLoss(), generator(seed, "fit"))
    return model.requires_grad_(False)


def scores(model: PureSVD) -> NDArray[np.float32]:
    found: NDArray[np.float32] = model.score(torch.arange(model.data.n_users)).numpy()
    return found


@pytest.mark.parametrize("shape", [(50, 30), (30, 50), (40, 40)])
@pytest.mark.parametrize("dims", [1, 7, 29])
def test_scores_are_the_best_approximation_of_that_rank(shape: tuple[int, int], dims: int) -> None:
    """U S V' cut to `dims` is the nearest matrix of that rank (Eckart and Young), whatever the signs."""
    ratings = random_ratings(*shape)
    left, values, right = np.linalg.svd(ratings.astype(np.float64), full_matrices=False)
    wanted = (left[:, :dims] * values[:dims]) @ right[:dims]
    np.testing.assert_allclose(scores(fitted(dataset(ratings), dims=dims)), wanted, atol=2e-6)


def test_tables_are_ordered_orthonormal_and_of_fixed_sign() -> None:
    ratings = random_ratings(60, 35)
    model = fitted(dataset(ratings), dims=6)
    item, user = model.item.double().numpy(), model.user.double().numpy()
    np.testing.assert_allclose(item.T @ item, np.eye(6), atol=1e-6)
    np.testing.assert_allclose(user, ratings @ item, atol=1e-5)
    values = np.linalg.svd(ratings.astype(np.float64), compute_uv=False)[:6]
    np.testing.assert_allclose(np.linalg.norm(user, axis=0), values, rtol=1e-5)
    assert (item[np.abs(item).argmax(axis=0), np.arange(6)] > 0).all()


def test_the_start_vector_does_not_matter_beyond_rounding() -> None:
    data = dataset(random_ratings(60, 35))
    one, again, other = fitted(data, dims=6), fitted(data, dims=6), fitted(data, seed=5, dims=6)
    assert torch.equal(one.item, again.item)
    assert torch.equal(one.user, again.user)
    np.testing.assert_allclose(one.item.numpy(), other.item.numpy(), atol=1e-5)


@pytest.mark.parametrize("dims", [4, 20, 50])
def test_vectors_beyond_the_rank_are_zero(dims: int) -> None:
    """Two kinds of users make a matrix of rank 2, which any number of factors from 2 on reproduces."""
    ratings = np.zeros((30, 24), np.int64)
    ratings[:20, :9] = 1
    ratings[20:, 9:12] = 1
    model = fitted(dataset(ratings), dims=dims)
    np.testing.assert_allclose(scores(model), ratings, atol=1e-6)
    assert (model.item[:, 2:] == 0).all()
    assert (model.user[:, 2:] == 0).all()


def test_data_without_rows_give_zeros() -> None:
    assert (scores(fitted(dataset(np.zeros((5, 4), np.int64)))) == 0).all()


def test_a_row_that_stands_twice_counts_once() -> None:
    data = dataset(random_ratings(30, 20))
    users, items = data.train.users, data.train.items
    train = Interactions.from_rows(np.concatenate([users, users]), np.concatenate([items, items]), 30, 20)
    doubled = Dataset(DataInfo("toy", 30, 20, len(train)), train, np.arange(1), np.arange(1))
    assert torch.equal(fitted(data, dims=5).item, fitted(doubled, dims=5).item)


def test_the_closed_form_has_no_place_for_another_objective() -> None:
    data, _ = small_dataset()
    model = PureSVD(data.info, PureSVDConfig(), generator(0, "start"))
    with pytest.raises(BadValue) as caught:
        model.fit(data, Adversarial(ModelLoss(), "factors", Budget("l2", 0.5), 1.0), generator(0, "fit"))
    assert str(caught.value) == (
        "model 'puresvd' is fitted in closed form, which has no place for Adversarial; use a defense that goes on from "
        "the trained model for a number of epochs, such as advreg"
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"dims": 0}, "dims is 0; it is at least 1"),
        ({"batch": 0}, "batch is 0; it is at least 1"),
        ({"lr": 0.0}, "lr is 0.0; it is a finite number above 0"),
        ({"accumulator": float("inf")}, "accumulator is inf; it is a finite number above 0"),
    ],
)
def test_puresvd_settings_are_checked(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadValue) as caught:
        PureSVDConfig(**settings)
    assert str(caught.value) == f"model 'puresvd': {text}"
