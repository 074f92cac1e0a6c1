"""`lightgcn` against dense matrix powers; its kept tables never change a score."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recshield.core.errors import BadData, BadValue
from recshield.core.interfaces import Batch
from recshield.core.seeds import generator
from recshield.core.surfaces import View
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.training import ModelLoss
from recshield_factor import LightGCN, LightGCNConfig
from recshield_factor.graph import Graph

USERS, ITEMS = 12, 9
USER, ITEM = "factors.user", "factors.item"


def dataset(pairs: list[tuple[int, int]], n_users: int = USERS, n_items: int = ITEMS) -> Dataset:
    users, items = np.array(pairs).T
    train = Interactions.from_rows(users, items, n_users, n_items)
    return Dataset(DataInfo("toy", n_users, n_items, len(train)), train, np.arange(1), np.arange(1))


def toy() -> Dataset:
    """Return rows with repeats; the last user and the last item have none."""
    rng = np.random.default_rng(0)
    return dataset([(int(rng.integers(USERS - 1)), int(rng.integers(ITEMS - 1))) for _ in range(40)])


def fitted(data: Dataset | None = None, epochs: int = 2, **settings: Any) -> LightGCN:
    held = data or toy()
    model = LightGCN(held.info, LightGCNConfig(**{"dims": 6, "batch": 16, **settings}), generator(0, "start"))
    model.fit(held, ModelLoss(), generator(0, "fit"), epochs)
    return model


def dense_mean(data: Dataset, n_layers: int) -> Tensor:
    """Return (1 / (K + 1)) (I + A + ... + A^K) of the normalised adjacency matrix of users and items together."""
    n_users, n_items = data.info.n_users, data.info.n_items
    edges = np.zeros((n_users + n_items, n_users + n_items))
    edges[data.train.users, n_users + data.train.items] = 1
    edges += edges.T
    degrees = edges.sum(axis=1)
    scale = np.zeros(len(degrees))
    scale[degrees > 0] = degrees[degrees > 0] ** -0.5
    adjacency = np.diag(scale) @ edges @ np.diag(scale)
    powers = [np.linalg.matrix_power(adjacency, layer) for layer in range(n_layers + 1)]
    return torch.from_numpy(sum(powers) / (n_layers + 1)).float()


def dense_tables(model: LightGCN, data: Dataset, delta: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    layer_0 = torch.cat([model.values(name) + delta.get(name, 0.0) for name in (USER, ITEM)])
    user, item = (dense_mean(data, model.config.layers) @ layer_0).split([data.info.n_users, data.info.n_items])
    return user, item


def random_delta(model: LightGCN, seed: int = 0) -> dict[str, Tensor]:
    return {one.name: torch.randn(one.shape, generator=generator(seed, one.name)) for one in model.surfaces}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("is_perturbed", [False, True])
def test_scores_are_those_of_dense_propagation(layers: int, is_perturbed: bool) -> None:
    model = fitted(layers=layers)
    delta = random_delta(model) if is_perturbed else {}
    user, item = dense_tables(model, toy(), delta)
    users = torch.tensor([4, 0, USERS - 1, 4])
    with torch.no_grad():
        torch.testing.assert_close(model.score(users, View(delta)), user[users] @ item.T, rtol=1e-4, atol=1e-6)


def test_loss_and_gradients_are_those_of_dense_propagation() -> None:
    model, data = fitted(l2=0.0), toy()
    delta = {name: held.requires_grad_() for name, held in random_delta(model).items()}
    batch = Batch(torch.tensor([0, 5, 5]), torch.tensor([1, 2, 8]), torch.tensor([3, 1, 2]))
    user, item = dense_tables(model, data, delta)
    margins = (user[batch.users] * (item[batch.positives] - item[batch.negatives])).sum(dim=1)
    wanted = -torch.nn.functional.logsigmoid(margins).sum()
    found = model.loss(batch, View(delta))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    leaves = [*delta.values(), *model.parameters()]
    ours, theirs = torch.autograd.grad(found, leaves), torch.autograd.grad(wanted, leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_penalty_is_half_the_squares_of_layer_0() -> None:
    model = fitted(l2=0.4)
    user, item = model.values(USER), model.values(ITEM)
    batch = Batch(torch.tensor([1, 1]), torch.tensor([0, 2]), torch.tensor([5, 0]))
    wanted = 0.2 * (2 * user[1].square().sum() + item[[0, 2, 5, 0]].square().sum())
    torch.testing.assert_close(model.penalty(batch), wanted)


@pytest.mark.parametrize(
    ("layers", "users", "items"),
    [(1, [0, 1, 4], [0, 4, 8]), (2, [0, 1, 4], [0, 1, 3, 4, 8]), (3, [0, 1, 2, 3, 4], [0, 1, 3, 4, 8])],
)
def test_rows_are_those_within_reach(layers: int, users: list[int], items: list[int]) -> None:
    """Two paths, read from triplet (0, 0, 4): item 8 - user 0, and item 0 - user 1 - item 1 - ... - user 4 - item 4."""
    path = [(user, item) for user in range(1, 5) for item in (user - 1, user)]
    away = [(5, 5), (6, 5), (6, 6)]
    data = dataset([(0, 8), *path, *away])
    found = fitted(data, layers=layers, epochs=0).rows(Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([4])))
    assert (found[USER].tolist(), found[ITEM].tolist()) == (users, items)
    near = (dense_mean(data, layers) > 0)[[0, USERS + 0, USERS + 4]].any(dim=0)
    assert (found[USER].tolist(), found[ITEM].tolist()) == tuple(
        part.nonzero()[:, 0].tolist() for part in near.split([USERS, ITEMS])
    )


def test_two_steps_of_backward_agree_with_dense_propagation() -> None:
    """The gradient of a gradient: propagation is linear, so that it can be differentiated again."""
    graph, data = fitted().graph, toy()
    user = torch.randn((USERS, 2), dtype=torch.float32, generator=generator(1)).requires_grad_()
    item = torch.randn((ITEMS, 2), dtype=torch.float32, generator=generator(2)).requires_grad_()

    def twice(tables: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        value = torch.cat(tables).pow(3).sum()
        first = torch.autograd.grad(value, [user, item], create_graph=True)
        return torch.autograd.grad(torch.cat(first).pow(2).sum(), [user, item])

    dense = (dense_mean(data, 3) @ torch.cat([user, item])).split([USERS, ITEMS])
    for one, other in zip(twice(graph.mean(user, item)), twice((dense[0], dense[1])), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# What is kept between two calls of `score`.


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each propagation."""
    calls: list[int] = []
    mean = Graph.mean

    def count(self: Graph, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        return mean(self, user, item)

    monkeypatch.setattr(Graph, "mean", count)
    return calls


def test_chunks_of_users_share_one_propagation(counted: list[int]) -> None:
    model = fitted(epochs=0)
    delta = random_delta(model)
    with torch.no_grad():
        for start in range(0, USERS, 4):
            model.score(torch.arange(start, start + 4))
        assert len(counted) == 1
        for start in range(0, USERS, 4):
            model.score(torch.arange(start, start + 4), View(delta))  # a new view each time, of the same values
    assert len(counted) == 2


def all_scores(model: LightGCN, view: View | None = None) -> Tensor:
    with torch.no_grad():
        return model.score(torch.arange(USERS), view or View())


def fresh_scores(model: LightGCN, view: View | None = None) -> Tensor:
    """Return the scores of a new model that holds the same state and has never scored anything."""
    other = LightGCN(model.data, model.config, generator(9, "start"))
    other.load_state_dict({name: held.clone() for name, held in model.state_dict().items()})
    return all_scores(other, view)


def _in_place(model: LightGCN) -> None:
    with torch.no_grad():
        model.values(ITEM).mul_(2)


def _past_the_version(model: LightGCN) -> None:
    model.values(ITEM).data.mul_(2)


def _through_numpy(model: LightGCN) -> None:
    model.values(USER).detach().numpy()[0] += 1


def _loaded(model: LightGCN) -> None:
    model.load_state_dict(
        {name: held + 1 if held.is_floating_point() else held for name, held in model.state_dict().items()}
    )


def _replaced(model: LightGCN) -> None:
    model.register_parameter("item", torch.nn.Parameter(model.values(ITEM).detach() + 1))


def _trained(model: LightGCN) -> None:
    model.fit(toy(), ModelLoss(), generator(1, "more"), 1)


def _other_rows(model: LightGCN) -> None:
    model.fit(dataset([(0, 1), (2, 3)]), ModelLoss(), generator(1, "more"), 0)


@pytest.mark.parametrize(
    "change", [_in_place, _past_the_version, _through_numpy, _loaded, _replaced, _trained, _other_rows]
)
def test_scores_follow_the_model_whatever_changes_it(change: Callable[[LightGCN], None]) -> None:
    model = fitted()
    before = all_scores(model)
    change(model)
    assert torch.equal(all_scores(model), fresh_scores(model))
    assert not torch.equal(all_scores(model), before)


def test_a_perturbation_never_stays_on_the_model() -> None:
    model = fitted()
    clean, delta = all_scores(model), random_delta(model)
    view = View(delta)
    attacked = all_scores(model, view)
    assert not torch.equal(attacked, clean)
    assert torch.equal(attacked, fresh_scores(model, view))
    assert torch.equal(all_scores(model), clean)
    assert torch.equal(all_scores(model, view), attacked)
    delta[USER].mul_(3)  # the same view and the same tensors, with other values
    assert torch.equal(all_scores(model, view), fresh_scores(model, view))
    assert not torch.equal(all_scores(model, view), attacked)
    assert torch.equal(
        all_scores(model, View({}, {}, {ITEM: (lambda values: values * 2,)})),
        fresh_scores(model, View({}, {}, {ITEM: (lambda values: values * 2,)})),
    )
    assert torch.equal(all_scores(model), clean)


def test_views_and_perturbations_are_not_kept_alive() -> None:
    model = fitted()
    delta = random_delta(model)
    held = [weakref.ref(one) for one in delta.values()]
    view = View(delta)
    watched = weakref.ref(view)
    all_scores(model, view)
    del view, delta
    gc.collect()
    assert watched() is None
    assert all(one() is None for one in held)


def test_nothing_is_kept_where_gradients_are_asked_for(counted: list[int]) -> None:
    model = fitted(epochs=0)
    all_scores(model)
    leaves = {name: torch.zeros_like(held).requires_grad_() for name, held in random_delta(model).items()}
    found = model.score(torch.arange(USERS), View(leaves))
    gradients = torch.autograd.grad(found.square().sum(), list(leaves.values()))
    assert all(bool((one != 0).any()) for one in gradients)
    assert len(counted) >= 2
    assert torch.equal(found.detach(), all_scores(model))


def test_what_is_kept_is_no_state_and_copies_do_not_share_it() -> None:
    model = fitted()
    names = set(model.state_dict())
    clean = all_scores(model)
    assert set(model.state_dict()) == names == {"user", "item", "row_offsets", "row_items"}
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.values(USER).add_(1)
    assert torch.equal(all_scores(model), clean)
    assert torch.equal(all_scores(other), fresh_scores(other))


def test_lightgcn_refuses_more_rows_than_it_was_built_for() -> None:
    data = toy()
    model = LightGCN(DataInfo("toy", USERS, ITEMS, 3), LightGCNConfig(), generator(0, "start"))
    with pytest.raises(
        BadData, match=r"^model 'lightgcn' was built for 3 training rows and is fitted to \d+; build it"
    ):
        model.fit(data, ModelLoss(), generator(0, "fit"), 1)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"layers": 0}, "layers is 0; it is at least 1"),
        ({"batch": 0}, "batch is 0; it is at least 1"),
        ({"lr": float("nan")}, "lr is nan; it is a finite number above 0"),
        ({"l2": -1.0}, "l2 is -1.0; it is a finite number of at least 0"),
    ],
)
def test_lightgcn_settings_are_checked(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadValue) as caught:
        LightGCNConfig(**settings)
    assert str(caught.value) == f"model 'lightgcn': {text}"
