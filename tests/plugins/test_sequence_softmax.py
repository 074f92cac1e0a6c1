"""The fused cross-entropy against all items, beside torch's own operations."""

from __future__ import annotations

import math

import pytest
import torch

from recshield_sequence import softmax
from recshield_sequence.softmax import weighted_logsumexp


def drawn(scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return 11 states, a table of 37 items and weights; some scores are beyond what exp can hold."""
    rng = torch.Generator().manual_seed(0)
    states, table = torch.randn((11, 5), generator=rng) * scale, torch.randn((37, 5), generator=rng) * scale
    return states.requires_grad_(), table.requires_grad_(), torch.arange(11.0)


@pytest.mark.parametrize("held", [1, 37 * 4, 2**20], ids=["a row at a time", "four rows", "all at once"])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_value_and_gradients_are_those_of_logsumexp(monkeypatch: pytest.MonkeyPatch, held: int, scale: float) -> None:
    monkeypatch.setattr(softmax, "_SCORES", held)
    states, table, weights = drawn(scale)
    wanted = ((states.double() @ table.double().T).logsumexp(dim=1) * weights).sum()
    found = weighted_logsumexp(states, table, weights)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    by_hand = torch.autograd.grad(3 * wanted, (states, table))
    for got, want in zip(torch.autograd.grad(3 * found, (states, table)), by_hand, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("which", [0, 1])
def test_one_gradient_alone_is_the_same(which: int) -> None:
    states, table, weights = drawn()
    wanted = torch.autograd.grad(weighted_logsumexp(states, table, weights), (states, table))[which]
    leaves = [states.detach(), table.detach()]
    leaves[which].requires_grad_()
    weighted_logsumexp(leaves[0], leaves[1], weights).backward()
    grown = leaves[which].grad
    assert grown is not None
    assert torch.equal(grown, wanted)
    assert leaves[1 - which].grad is None


def test_no_rows_cost_nothing() -> None:
    _, table, _ = drawn()
    assert weighted_logsumexp(torch.empty(0, 5), table, torch.empty(0)).item() == 0


@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])
def test_scores_far_apart_give_the_sum_and_the_gradients_of_double_precision(spread: float) -> None:
    rng = torch.Generator().manual_seed(4)
    states, table = torch.randn((9, 16), generator=rng), torch.randn((400, 16), generator=rng) * spread / 4
    weights = torch.rand(9, generator=rng)
    leaves = [held.clone().requires_grad_() for held in (states, table)]
    found = weighted_logsumexp(leaves[0], leaves[1], weights)
    found.backward()
    exact = [held.double().requires_grad_() for held in (states, table)]
    wanted = (weights.double() * (exact[0] @ exact[1].T).logsumexp(dim=1)).sum()
    wanted.backward()
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)
    for leaf, one in zip(leaves, exact, strict=True):
        assert leaf.grad is not None
        assert one.grad is not None
        assert (leaf.grad - one.grad).abs().max() < 1e-4 * one.grad.abs().max()


def test_items_far_below_the_best_count_for_nothing_and_leave_no_denormal_number() -> None:
    table = torch.tensor([[0.0], [-79.0], [-81.0], [-95.0], [-200.0]], requires_grad=True)
    weighted_logsumexp(torch.ones(1, 1), table, torch.ones(1)).backward()
    assert table.grad is not None
    assert table.grad[0].item() == 1.0
    assert table.grad[1].item() == pytest.approx(math.exp(-79), rel=1e-4)
    assert table.grad[2:].tolist() == [[0.0], [0.0], [0.0]]
