"""The loss `top`: its pairs by brute force, its value and gradient by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recshield.core.interfaces import Access, Goal
from recshield.core.seeds import generator
from recshield.core.settings import TOP_DRAWS, TOP_ITEMS
from recshield.data.interactions import DataInfo, Interactions
from recshield.matrix.victims import GoalPairs, TrainedVictim, degrade_pairs, top_pairs
from recshield_factor import MF, MFConfig

USERS, ITEMS, DIMS = 15, 40, 4


def toy() -> tuple[MF, Interactions]:
    """Return a model and rows; the last two users have none, and one row stands twice."""
    rng = np.random.default_rng(1)
    users, items = rng.integers(USERS - 2, size=70), rng.integers(ITEMS, size=70)
    users, items = np.append(users, users[0]), np.append(items, items[0])
    train = Interactions.from_rows(users, items, USERS, ITEMS)
    model = MF(DataInfo("toy", USERS, ITEMS, len(train)), MFConfig(dims=DIMS, std=0.7), generator(0, "start"))
    return model.requires_grad_(False), train


def shown(model: MF, train: Interactions, user: int) -> list[int]:
    """Return the ten items with the highest clean scores that the user has no row with, best first."""
    scores = (model.user[user] @ model.item.T).tolist()
    free = [item for item in range(ITEMS) if item not in set(train.of(user).tolist())]
    return sorted(free, key=lambda item: -scores[item])[:10]


def pairs_of(model: MF, train: Interactions, data_seed: int = 0) -> GoalPairs:
    return top_pairs(model, train, data_seed, torch.device("cpu"))


def victim(model: MF, train: Interactions) -> TrainedVictim:
    access = Access.DATA | Access.GRADIENTS
    return TrainedVictim(model, train, degrade_pairs(train, 0), Goal(), "factors", access)


def test_the_positives_are_each_users_first_ten_outside_the_training_rows() -> None:
    model, train = toy()
    pairs = pairs_of(model, train)
    assert TOP_ITEMS == 10
    for user in range(USERS):
        assert pairs.positives[pairs.users == user].tolist() == shown(model, train, user)


def test_the_negatives_are_uniform_outside_the_list_and_the_training_rows() -> None:
    model, train = toy()
    counts = np.zeros((USERS, ITEMS))
    for data_seed in range(200):
        pairs = pairs_of(model, train, data_seed)
        assert pairs.negatives.shape == (TOP_DRAWS, USERS * TOP_ITEMS)
        for draw in pairs.negatives:
            np.add.at(counts, (pairs.users.numpy(), draw.numpy()), 1)
    for user in range(USERS):
        barred = {*shown(model, train, user), *train.of(user).tolist()}
        allowed = [item for item in range(ITEMS) if item not in barred]
        assert counts[user, sorted(barred)].sum() == 0
        expected = counts[user].sum() / len(allowed)
        # chi-square with len(allowed) - 1 degrees of freedom: mean k, standard deviation sqrt(2 k)
        statistic = float(((counts[user, allowed] - expected) ** 2 / expected).sum())
        freedom = len(allowed) - 1
        assert abs(statistic - freedom) < 4.5 * np.sqrt(2 * freedom)


def test_the_draws_are_the_same_for_every_attack_and_change_with_the_data_seed() -> None:
    model, train = toy()
    one, again, other = pairs_of(model, train, 3), pairs_of(model, train, 3), pairs_of(model, train, 4)
    assert torch.equal(one.negatives, again.negatives)
    assert not torch.equal(one.negatives, other.negatives)


def test_value_and_gradient_are_those_of_the_margin_over_the_pairs() -> None:
    model, train = toy()
    held, pairs = victim(model, train), pairs_of(model, train)
    delta = {
        "factors.user": 0.3 * torch.randn((USERS, DIMS), generator=generator(0, "u")),
        "factors.item": 0.3 * torch.randn((ITEMS, DIMS), generator=generator(0, "i")),
    }
    p = (model.user + delta["factors.user"]).double().numpy()
    q = (model.item + delta["factors.item"]).double().numpy()
    total, to_p, n_pairs = 0.0, np.zeros_like(p), pairs.negatives.numel()
    n_beaten = 0
    for draw in pairs.negatives.tolist():
        for u, i, j in zip(pairs.users.tolist(), pairs.positives.tolist(), draw, strict=True):
            x = float(p[u] @ (q[i] - q[j]))
            total -= max(x, 0.0) / n_pairs
            to_p[u] -= (x > 0) * (q[i] - q[j]) / n_pairs
            n_beaten += x <= 0
    assert 0.05 < n_beaten / n_pairs < 0.95, "both branches must be there"
    value, gradient = held.ascend(delta, "top")
    assert float(value) == pytest.approx(total, abs=1e-6)
    assert held.value(delta, "top") == pytest.approx(total, abs=1e-6)
    read = held.rows["factors.user"].numpy()
    assert gradient["factors.user"].numpy()[read] == pytest.approx(to_p[read], abs=1e-6)
    # The last two users have no training row: the goal never reads them, so nothing may move them.
    assert read.max() < USERS - 2
    assert np.abs(to_p[USERS - 2 :]).max() > 1e-3
    assert bool((gradient["factors.user"][USERS - 2 :] == 0).all())


def test_the_list_is_the_clean_one_whatever_the_perturbation() -> None:
    model, train = toy()
    held = victim(model, train)
    # A perturbation that turns every user around puts each clean first item last: the loss is then near its top, 0.
    turned = {"factors.user": -2 * model.user, "factors.item": torch.zeros((ITEMS, DIMS))}
    assert held.value(held.zeros(), "top") < -0.1
    assert held.value(turned, "top") == pytest.approx(0, abs=1e-7)
