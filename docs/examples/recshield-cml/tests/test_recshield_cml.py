"""The model keeps the guarantees that every built-in one keeps, and its scores are the distances of its source."""

import pytest
import torch
from recshield_cml import CML, Config

from recshield.core import BadValue, seeds
from recshield.testing import RecommenderTests, run_checks, small_dataset
from recshield.training.objectives import ModelLoss


class TestCML(RecommenderTests):
    recommender = CML
    config = Config(dims=8, batch=64)


def trained():
    data, _ = small_dataset()
    model = CML(data.info, Config(dims=8, batch=64, epochs=20), seeds.generator(0, "start"))
    model.fit(data, ModelLoss(), seeds.generator(0, "fit"))
    return model.eval().requires_grad_(False), data


def test_scores_are_minus_the_squared_distances():
    model, data = trained()
    users = torch.arange(data.info.n_users)
    assert torch.allclose(model.score(users), -torch.cdist(model.user, model.item).square(), atol=1e-5)


def test_every_point_lies_in_the_unit_ball():
    model, _ = trained()
    for table in (model.user, model.item):
        assert float(table.norm(dim=1).max()) <= 1 + 1e-6


def test_users_are_nearer_to_their_items_than_to_others():
    model, data = trained()
    scores = model.score(torch.arange(data.info.n_users))
    own = scores[torch.from_numpy(data.train.users).long(), torch.from_numpy(data.train.items).long()]
    assert float(own.mean()) > float(scores.mean())


def test_a_margin_of_nothing_is_refused():
    with pytest.raises(BadValue, match="margin is 0.0; it is above 0"):
        Config(margin=0.0)


def test_importing_does_no_work():
    assert all(found.passed for found in run_checks("module", "recshield_cml"))
