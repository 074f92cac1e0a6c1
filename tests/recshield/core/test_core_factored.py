"""Models whose scores are inner products are ranked by them, unless somebody gave them other scores."""

from __future__ import annotations

import types

import pytest
import torch

from recshield.core.factored import Factored, InnerProducts
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo
from recshield_factor import MF, MFConfig

USERS = torch.tensor([2, 0, 2])


class Shifted(MF):
    def score(self, users, view=CLEAN):
        return super().score(users, view) + torch.arange(self.data.n_items)


class Shifts:
    def score(self, users, view=CLEAN):
        return super().score(users, view) + 1


class MixedIn(Shifts, MF):
    pass


def made(kind=MF):
    return kind(DataInfo("drawn", 5, 7, 11), MFConfig(dims=3), generator(0, "start"))


def test_a_model_of_inner_products_is_ranked_by_them_without_gradients():
    model = made()
    scoring = model.scoring(View({"factors.item": torch.ones(7, 3)}))
    assert isinstance(scoring, InnerProducts)
    assert not scoring.items.requires_grad
    assert torch.equal(scoring(USERS), model.user[USERS] @ (model.item + 1).T)
    assert model.score(USERS).requires_grad


@pytest.mark.parametrize("kind", [Shifted, MixedIn])
def test_a_score_of_its_own_is_what_a_model_is_ranked_by(kind):
    model = made(kind)
    scoring = model.scoring()
    assert not isinstance(scoring, InnerProducts)
    assert torch.equal(scoring(USERS), model.score(USERS))
    assert not torch.equal(scoring(USERS), made().score(USERS))


def test_a_score_that_was_put_on_one_model_is_what_it_is_ranked_by():
    model = made()
    model.score = types.MethodType(lambda _, users, view=CLEAN: torch.zeros(len(users), 7), model)
    assert torch.equal(model.scoring()(USERS), torch.zeros(3, 7))


def test_products_have_to_be_written():
    with pytest.raises(TypeError, match="products"):
        Factored(DataInfo("drawn", 5, 7, 11), None, generator(0, "start"))
