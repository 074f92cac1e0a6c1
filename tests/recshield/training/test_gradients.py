"""The native gradient of triplets beside autograd: perturbed, scaled, added to what is there, or not wanted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import embedding, softplus

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch
from recshield.core.seeds import generator
from recshield.core.surfaces import View
from recshield.data.interactions import DataInfo
from recshield.matrix.victims import loss_of
from recshield.training.gradients import triplet_gradient
from recshield_factor import MF, MFConfig, mf

LOSSES = {
    "bpr": lambda x: softplus(-x),
    "linear": lambda x: -x,
    "margin": lambda x: -x.clamp(min=0),
}
WIDTHS = (1, 7, 16, 33)


def drawn(width: int, count: int = 300) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return tables of 9 users and 13 items, a perturbation of each, and triplets that read every row often."""
    rng = torch.Generator().manual_seed(width)
    tables = [torch.randn((rows, width), generator=rng) for rows in (9, 13, 9, 13)]
    return tables, torch.stack([torch.randint(rows, (count,), generator=rng) for rows in (9, 13, 13)])


def by_autograd(tables: list[torch.Tensor], triplets: torch.Tensor, loss: str) -> tuple[float, list[torch.Tensor]]:
    leaves = [one.double().requires_grad_() for one in tables]
    users, liked, other = (embedding(ids, leaves[place]) for ids, place in zip(triplets, (0, 1, 1), strict=True))
    total = LOSSES[loss]((users * (liked - other)).sum(dim=1)).sum()
    return total.item(), list(torch.autograd.grad(total, leaves))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient_at_perturbed_tables(loss: str, width: int) -> None:
    (user, item, moved_user, moved_item), triplets = drawn(width)
    value, wanted = by_autograd([user + moved_user, item + moved_item], triplets, loss)
    into = torch.ones_like(user), torch.full_like(item, -2.0)
    held = [one.numpy() for one in (user, item, *into, moved_user, moved_item)]
    found = triplet_gradient((held[0], held[1]), triplets.numpy(), loss, (held[2], held[3]), 0.25, (held[4], held[5]))
    assert found == pytest.approx(value, rel=1e-5)
    for got, want, start in zip(into, wanted, (1.0, -2.0), strict=True):
        torch.testing.assert_close(got.double(), start + 0.25 * want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attacked", [0, 1])
def test_one_side_alone(attacked: int) -> None:
    tables, triplets = drawn(16)
    moved = [one + tables[2 + place] if place == attacked else one for place, one in enumerate(tables[:2])]
    value, wanted = by_autograd(moved, triplets, "bpr")
    goal = np.zeros_like(tables[attacked].numpy())
    delta = tables[2 + attacked].numpy()
    sides = [(delta, None), (None, delta)][attacked], [(goal, None), (None, goal)][attacked]
    found = triplet_gradient((tables[0].numpy(), tables[1].numpy()), triplets.numpy(), "bpr", sides[1], 1.0, sides[0])
    assert found == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(torch.from_numpy(goal).double(), wanted[attacked], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", ["factors", "factors.user", "factors.item"])
def test_large_tables_are_perturbed_where_they_are_read_to_the_same_bits(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MF(DataInfo("some", 9, 13, 300), MFConfig(dims=16, std=1.0), generator(0)).requires_grad_(False)
    tables, triplets = drawn(16)
    names = [one.name for one in model.surfaces]
    view = View({name: tables[2 + names.index(name)] for name in names if name.startswith(target)})
    batch, found = Batch(*triplets), []
    for largest in (mf._SUMMED_BYTES, 0):
        monkeypatch.setattr(mf, "_SUMMED_BYTES", largest)
        into = {name: torch.ones_like(held) for name, held in view.delta.items()}
        found.append((model.add_gradient(batch, view, "", into, 0.5), into))
    assert found[0][0] == found[1][0] == pytest.approx(loss_of(model, batch, view, "").item(), rel=1e-5)
    for name in view.delta:
        assert torch.equal(found[0][1][name], found[1][1][name])
        assert not torch.equal(found[0][1][name], torch.ones_like(view.delta[name]))


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_a_number_stays_so(loss: str) -> None:
    (user, item, *_), triplets = drawn(16)
    user[0, 3] = torch.nan
    goal = np.zeros_like(user.numpy())
    assert np.isnan(triplet_gradient((user.numpy(), item.numpy()), triplets.numpy(), loss, (goal, None)))


@pytest.mark.parametrize("largest", [0, 2**28], ids=["where it is read", "as a table"])
@pytest.mark.parametrize("shape", [(1, 16), (12, 16), (14, 16), (13, 8)])
def test_a_perturbation_of_another_shape_is_an_error_and_never_read(
    shape: tuple[int, int], largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mf, "_SUMMED_BYTES", largest)
    model = MF(DataInfo("some", 9, 13, 300), MFConfig(dims=16), generator(0)).requires_grad_(False)
    _, triplets = drawn(16)
    with pytest.raises((BadValue, RuntimeError), match=r"shape|size"):
        model.add_gradient(Batch(*triplets), View({"factors.item": torch.zeros(shape)}), "", {}, 1.0)
