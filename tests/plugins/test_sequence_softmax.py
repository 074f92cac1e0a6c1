"""The fused cross-entropy against all items, beside torch's own operations."""

from __future__ import annotations

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
