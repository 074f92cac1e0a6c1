"""The logarithm of a softmax's denominator over all items, and its gradient, without a table of scores kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Scores at a time: on the CPU what its cache holds, so that the passes over them are cheap; elsewhere 256 MiB.
_SCORES, _SCORES_ELSEWHERE = 2**20, 2**26


#: Differences to the largest score below which an item counts for nothing: what it adds is 2e-35 of the whole at most,
#: and numbers much below that are denormal, which processors take a hundred times as long for.
_LEAST, _NOTHING = -80.0, 1.9e-35


class _LogSumExp(torch.autograd.Function):
    """Weighted sum of log-sum-exp; its gradients are made in the forward pass, while the scores are at hand."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, weights: Tensor) -> Tensor:
        """Return the sum; see `weighted_logsumexp`."""
        n_scores = _SCORES if states.device.type == "cpu" else _SCORES_ELSEWHERE
        step = max(1, n_scores // max(len(table), 1))
        room = states.new_empty((min(step, len(states)), len(table)))
        of_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        of_table = torch.zeros_like(table) if ctx.needs_input_grad[1] else None
        total = states.new_zeros(())
        for start in range(0, len(states), step):
            part = slice(start, start + step)
            some, share = states[part], weights[part]
            scores = torch.mm(some, table.T, out=room[: len(some)])
            largest = scores.amax(dim=1, keepdim=True)
            scores.sub_(largest).clamp_(min=_LEAST).exp_()
            whole = torch.nn.functional.threshold(scores, _NOTHING, 0.0, inplace=True).sum(dim=1, keepdim=True)
            total += share @ (whole.log() + largest)[:, 0]
            scale = share[:, None] / whole
            if of_states is not None:
                of_states[part] = (scores @ table).mul_(scale)
            if of_table is not None:
                of_table.addmm_(scores.T, some * scale)
        ctx.gradients = of_states, of_table
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients times that of the sum."""
        of_states, of_table = (None if held is None else held * gradients[0] for held in ctx.gradients)
        return of_states, of_table, None


def weighted_logsumexp(states: Tensor, table: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over rows b of weights_b * log sum_i exp <states_b, table_i>.

    On the CPU about a million scores are held at a time. Differentiable once, with respect to states and table.

    Args:
        states: (n, d).
        table: (n_items, d).
        weights: (n,), without a gradient.
    """
    found: Tensor = _LogSumExp.apply(states, table, weights)
    return found
