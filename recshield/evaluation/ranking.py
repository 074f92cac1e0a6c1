"""From scores to ranks: the only place in recshield where something is ranked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.core.compiled import kernel
from recshield.core.errors import NonFiniteScores
from recshield.core.settings import RANKING_USERS
from recshield.data.interactions import HeldOut, Interactions

_HASH_SEED = 0x5EED


@dataclass(frozen=True)
class Ranks:
    """Where each test item stands among its user's candidates (all items outside the training rows).

    Attributes:
        users: (n_evaluated,) int32.
        indptr: (n_evaluated + 1,) int64 into the arrays below.
        items: (n_rows,) int32 test items.
        ranks: (n_rows,) int32 number of other candidates whose score is at least the test item's (0 = first).
        candidates: (n_rows,) int32 number of candidates, the test item included.
        score_hash: hash over every score of every evaluated user, or "" where it was not asked for.
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]
    candidates: NDArray[np.int32]
    score_hash: str = ""


@kernel(reorder=False)
def _count_ranks(
    scores: NDArray[np.float32],
    users: NDArray[np.int32],
    test_indptr: NDArray[np.int64],
    test_items: NDArray[np.int32],
    seen_indptr: NDArray[np.int64],
    seen_items: NDArray[np.int32],
    ranks: NDArray[np.int32],
    candidates: NDArray[np.int32],
) -> int:
    """Fill ranks and candidates for a chunk of users; return the first row with a non-finite score, or -1."""
    n_items = scores.shape[1]
    for row in range(scores.shape[0]):
        line = scores[row]
        user = users[row]
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            item = test_items[spot]
            own = line[item]
            n_above = np.int32(0)
            n_bad = np.int32(0)
            for other in range(n_items):
                value = line[other]
                n_above += np.int32(value >= own)
                n_bad += np.int32(not (abs(value) <= np.float32(3.4028235e38)))
            if n_bad > 0:
                return row
            n_masked = 0
            for place in range(seen_indptr[user], seen_indptr[user + 1]):
                seen = seen_items[place]
                is_test = False
                for rival in range(test_indptr[row], test_indptr[row + 1]):
                    is_test = is_test or test_items[rival] == seen
                if not is_test:
                    n_masked += 1
                    n_above -= np.int32(line[seen] >= own)
            ranks[spot] = n_above - 1
            candidates[spot] = n_items - n_masked
    return -1


@kernel(reorder=False)
def _hash_rows(bits: NDArray[np.uint32], weights: NDArray[np.uint64], rows: NDArray[np.uint64]) -> None:
    """Fill one multilinear 64-bit hash per row of scores, given as their bits."""
    for row in range(bits.shape[0]):
        total = np.uint64(0)
        for item in range(bits.shape[1]):
            total += np.uint64(bits[row, item]) * weights[item]
        rows[row] = total


def rank(
    score: Callable[[Tensor], Tensor],
    train: Interactions,
    test: HeldOut,
    *,
    device: torch.device | None = None,
    is_hashed: bool = False,
    chunk: int = RANKING_USERS,
) -> Ranks:
    """Rank every test item among all items its user has no training row with.

    The rank is the number of other candidates whose score is at least the test item's: ties count against the model.
    A test item that repeats a training row of its user stays a candidate, for the user's other test items, too.

    Args:
        score: (B,) int64 users -> (B, n_items) float32 scores.
        train: rows to mask.
        test: rows to rank.
        device: where `score` wants its users.
        is_hashed: also hash all scores, to compare two runs bit for bit.
        chunk: users scored at once; memory is chunk x n_items scores.

    Returns:
        Ranks in the order of `test`.

    Raises:
        NonFiniteScores: a score is NaN or infinite.
    """
    ranks, candidates = np.empty(len(test), np.int32), np.empty(len(test), np.int32)
    weights = np.random.default_rng(_HASH_SEED).integers(1, 2**64, train.n_items, dtype=np.uint64)
    digest = hashlib.blake2b(digest_size=16)
    with torch.no_grad():
        for start in range(0, len(test.users), chunk):
            users = test.users[start : start + chunk]
            asked = torch.from_numpy(users.astype(np.int64)).to(device or torch.device("cpu"))
            scores = _as_array(score(asked), len(users), train.n_items)
            indptr = test.indptr[start : start + chunk + 1]
            bad = _count_ranks(scores, users, indptr, test.items, *train.members, ranks, candidates)
            if bad >= 0:
                raise NonFiniteScores(
                    f"the scores of user {users[bad]} hold NaN or infinity, which would rank first; "
                    "scores must be finite: look at the model's training, or lower its learning rate"
                )
            if is_hashed:
                rows = np.empty(len(users), np.uint64)
                _hash_rows(scores.view(np.uint32), weights, rows)
                digest.update(rows.tobytes())
    return Ranks(test.users, test.indptr, test.items, ranks, candidates, digest.hexdigest() if is_hashed else "")


def _as_array(scores: Tensor, n_users: int, n_items: int) -> NDArray[Any]:
    if tuple(scores.shape) != (n_users, n_items):
        raise NonFiniteScores(
            f"scores have the shape {tuple(scores.shape)}; for {n_users} users it must be ({n_users}, {n_items})"
        )
    array = scores.detach().to("cpu", torch.float32).contiguous().numpy()
    return np.ascontiguousarray(array)


def top(scores: Tensor, masked: list[NDArray[np.int32]], k: int) -> Tensor:
    """Return the (B, k) item ids ranked first, masked items last; equal scores rank by item id, smallest first.

    Args:
        scores: (B, n_items).
        masked: one array of item ids per row.
        k: length of the list, at most n_items.
    """
    held = scores.clone()
    for row, items in enumerate(masked):
        held[row, torch.from_numpy(items.astype(np.int64)).to(held.device)] = -torch.inf
    return held.sort(dim=1, descending=True, stable=True).indices[:, :k]
