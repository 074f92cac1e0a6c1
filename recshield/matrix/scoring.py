"""What a measure step learns from the scores in passing: whether they repeat, and those of the test items."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recshield.data.interactions import HeldOut


class Watched:
    """A scoring function that is asked for the evaluated users in order, chunk by chunk, and watched.

    Args:
        score: (B,) users -> (B, n_items) scores.
        test: says who is evaluated, and with what.
    """

    def __init__(self, score: Callable[[Tensor], Tensor], test: HeldOut) -> None:
        self._score, self._test = score, test
        self._is_repeatable: bool | None = None
        self._n_users, self._total, self._squares = 0, 0.0, 0.0

    def __call__(self, users: Tensor) -> Tensor:
        """Return the scores of the next chunk of users."""
        scores = self._score(users)
        if self._is_repeatable is None:
            again = self._score(users)
            self._is_repeatable = bool(torch.equal(scores, again))
        self._see(scores)
        return scores

    def _see(self, scores: Tensor) -> None:
        """Sum the scores of the chunk's test items."""
        first, last = self._n_users, self._n_users + len(scores)
        offsets = torch.from_numpy(self._test.indptr[first : last + 1])
        items = torch.from_numpy(self._test.items[int(offsets[0]) : int(offsets[-1])]).long()
        rows = torch.repeat_interleave(torch.arange(len(scores)), offsets.diff())
        held = scores.detach()[rows.to(scores.device), items.to(scores.device)].double()
        self._total += float(held.sum())
        self._squares += float(held.square().sum())
        self._n_users = last

    def facts(self) -> dict[str, Any]:
        """Return what was seen: is_repeatable, mean_score and score_spread (standard deviation) of the test items."""
        n_rows = max(len(self._test), 1)
        mean = self._total / n_rows
        spread = math.sqrt(max(self._squares / n_rows - mean**2, 0.0))
        return {"is_repeatable": bool(self._is_repeatable), "mean_score": mean, "score_spread": spread}
