"""What a measure step learns from the scores in passing: whether they repeat, and those of the test items."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recshield.data.interactions import HeldOut

#: Users whose scores are compared.
_REPEATED = 16


def first_scores(score: Callable[[Tensor], Tensor], test: HeldOut, device: torch.device) -> Tensor:
    """Return the scores of the first evaluated users, to be compared bit for bit before and after a ranking.

    Args:
        score: (B,) users -> (B, n_items) scores.
        test: says who is evaluated.
        device: where scores want their users.
    """
    users = torch.from_numpy(test.users[:_REPEATED].astype(np.int64)).to(device)
    with torch.no_grad():
        return score(users).clone()


class Watched:
    """Looks at scores in passing, chunk by chunk, in any order: the scores of the test items are kept.

    Args:
        test: says who is evaluated, and with what.
    """

    def __init__(self, test: HeldOut) -> None:
        self._test = test
        self._held: dict[int, Tensor] = {}

    def __call__(self, first: int, scores: Tensor) -> None:
        """Keep what a chunk says of its test items; on a device nothing is read back."""
        offsets = torch.from_numpy(self._test.indptr[first : first + len(scores) + 1])
        items = torch.from_numpy(self._test.items[int(offsets[0]) : int(offsets[-1])]).long()
        rows = torch.repeat_interleave(torch.arange(len(scores)), offsets.diff())
        self._held[first] = scores.detach()[rows.to(scores.device), items.to(scores.device)]

    def facts(self) -> dict[str, Any]:
        """Return mean_score and score_spread (standard deviation) of the test items."""
        parts = [self._held[first] for first in sorted(self._held)]
        held = torch.cat(parts).double().cpu().numpy() if parts else np.zeros(0)
        if not len(held):
            return {"mean_score": 0.0, "score_spread": 0.0}
        return {"mean_score": float(held.mean()), "score_spread": math.sqrt(float(held.var()))}
