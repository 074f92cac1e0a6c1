"""`neumf` against the paper's network written down plainly with torch's own layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch
from recshield.core.seeds import generator
from recshield.core.surfaces import View
from recshield.data.interactions import DataInfo
from recshield_factor import NeuMF, NeuMFConfig, neumf

USERS, ITEMS = 11, 17
CONFIG = NeuMFConfig(dims=5, layers="8-7-6-3", std=0.8)


def model(config: NeuMFConfig = CONFIG) -> NeuMF:
    made = NeuMF(DataInfo("toy", USERS, ITEMS, 1), config, generator(3, "start"))
    with torch.no_grad():
        for place, bias in enumerate(made.biases):
            bias.copy_(torch.randn(len(bias), generator=generator(4, place)))
    return made


class Plain(torch.nn.Module):
    """NeuMF, Eq. 8 to 12, for pairs of a user and an item; nothing is split or shared."""

    def __init__(self, made: NeuMF, user: Tensor, item: Tensor) -> None:
        super().__init__()
        self.dims = made.config.dims
        self.user = torch.nn.Embedding.from_pretrained(user, freeze=False)
        self.item = torch.nn.Embedding.from_pretrained(item, freeze=False)
        layers: list[torch.nn.Module] = []
        for weight, bias in zip(made.weights, made.biases, strict=True):
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            layers += [layer, torch.nn.ReLU()]
        self.perceptron = torch.nn.Sequential(*layers)
        self.output = torch.nn.Linear(made.output.shape[1], 1, bias=False)
        self.output.load_state_dict({"weight": made.output})

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        user, item = self.user(users), self.item(items)
        product = user[:, : self.dims] * item[:, : self.dims]
        hidden = self.perceptron(torch.cat([user[:, self.dims :], item[:, self.dims :]], dim=1))
        found: Tensor = self.output(torch.cat([product, hidden], dim=1)).squeeze(1)
        return found


def delta(made: NeuMF) -> dict[str, Tensor]:
    return {one.name: torch.randn(one.shape, generator=generator(5, one.name)) for one in made.surfaces}


@pytest.mark.parametrize("is_perturbed", [False, True])
@pytest.mark.parametrize("limit", [1, 200, 1 << 18])
def test_scores_are_those_of_the_plain_network(is_perturbed: bool, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neumf, "_HIDDEN_VALUES", limit)
    made = model()
    moved = delta(made) if is_perturbed else {}
    tables = [made.values(one.name).detach() + moved.get(one.name, 0.0) for one in made.surfaces]
    plain = Plain(made, *tables)
    users = torch.tensor([3, 0, 10, 3])
    wanted = torch.stack([plain(user.expand(ITEMS), torch.arange(ITEMS)) for user in users])
    torch.testing.assert_close(made.score(users, View(moved)), wanted, rtol=1e-5, atol=1e-5)


def test_margins_and_gradients_are_those_of_the_plain_network() -> None:
    made = model()
    plain = Plain(made, made.values("factors.user").detach().clone(), made.values("factors.item").detach().clone())
    batch = Batch(torch.tensor([1, 1, 4]), torch.tensor([0, 2, 2]), torch.tensor([5, 0, 16]))
    wanted = plain(batch.users, batch.positives) - plain(batch.users, batch.negatives)
    torch.testing.assert_close(made.margins(batch), wanted, rtol=1e-5, atol=1e-5)
    made.loss(batch).backward()
    (-torch.nn.functional.logsigmoid(wanted).sum()).backward()
    torch.testing.assert_close(made.values("factors.user").grad, plain.user.weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.values("factors.item").grad, plain.item.weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.output.grad, plain.output.weight.grad, rtol=1e-4, atol=1e-5)


def test_one_row_holds_both_parts_of_an_embedding() -> None:
    assert [one.shape for one in model().surfaces] == [(USERS, 5 + 4), (ITEMS, 5 + 4)]


def test_hidden_values_held_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    relu = torch.relu
    monkeypatch.setattr(neumf, "_HIDDEN_VALUES", 300)
    monkeypatch.setattr(neumf.torch, "relu", lambda values: sizes.append(values.numel()) or relu(values))
    model().score(torch.arange(10))
    assert len(sizes) > ITEMS / (300 // 70)
    assert max(sizes) <= 300


def test_penalty_is_l2_times_the_squares_of_the_rows_read() -> None:
    made = model(NeuMFConfig(dims=5, layers="8-7-6-3", std=0.8, l2=0.3))
    user, item = made.values("factors.user"), made.values("factors.item")
    batch = Batch(torch.tensor([1, 1]), torch.tensor([0, 2]), torch.tensor([5, 0]))
    wanted = 0.3 * (2 * user[1].square().sum() + item[[0, 2, 5, 0]].square().sum())
    torch.testing.assert_close(made.penalty(batch), wanted)


_LAYERS = "it is two or more whole numbers above 0, the first even, such as 64-32-16"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"dims": 0}, "dims is 0; it is at least 1"),
        ({"epochs": -1}, "epochs is -1; it is at least 0"),
        ({"std": -0.1}, "std is -0.1; it is a finite number above 0"),
        ({"l2": -1.0}, "l2 is -1.0; it is a finite number of at least 0"),
        ({"layers": "64"}, f"layers is '64'; {_LAYERS}"),
        ({"layers": "63-32"}, f"layers is '63-32'; {_LAYERS}"),
        ({"layers": "64-0"}, f"layers is '64-0'; {_LAYERS}"),
        ({"layers": "64x32"}, f"layers is '64x32'; {_LAYERS}"),
    ],
)
def test_neumf_settings_are_checked(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadValue) as caught:
        NeuMFConfig(**settings)
    assert str(caught.value) == f"model 'neumf': {text}"
