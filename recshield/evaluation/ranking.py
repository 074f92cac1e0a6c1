"""From scores to ranks: the only place in recshield where something is ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.core.errors import BadValue, NonFiniteScores
from recshield.core.factored import InnerProducts
from recshield.core.settings import DEVICE_RANKING_SCORES, DEVICE_RANKING_USERS, RANKING_USERS
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.background import Background

_HASH_SEED = 0x5EED
#: What looks at scores in passing: (place of the first user among the evaluated ones, (B, n_items) scores).
Watch = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Extras:
    """What is kept beside the full ranks.

    Attributes:
        list_length: of the lists of items ranked first; 0 = none are kept.
        samples: sizes of the draws of candidates that test rows are ranked among, too; ascending.
        data_seed: of those draws.
        is_within: whether test rows are ranked among the candidates of their own kind, too: cold items or warm ones.
    """

    list_length: int = 0
    samples: tuple[int, ...] = ()
    data_seed: int = 0
    is_within: bool = False

    def content(self) -> dict[str, Any]:
        """Return what it means, for keys; empty where nothing is kept."""
        lists = {"lists": self.list_length} if self.list_length else {}
        lists |= {"within": True} if self.is_within else {}
        return lists | ({"samples": list(self.samples), "data_seed": self.data_seed} if self.samples else {})

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Extras:
        """Return what `content` described."""
        samples, data_seed = tuple(content.get("samples", ())), content.get("data_seed", 0)
        return cls(content.get("lists", 0), samples, data_seed, content.get("within", False))


#: Full ranks alone.
NOTHING = Extras()


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
        lists: (n_evaluated, K) int32 items ranked first, -1 beyond the user's last candidate; None where not asked for.
        sampled: size of a draw -> (n_rows,) int32 number of drawn candidates whose score is at least the test item's.
        background: what the training rows say, for the metrics that read it.
        within: (n_rows, 2) int32 rank and candidates among the items with a training row, or, where the test item has
            none, among those without; None where not asked for.
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]
    candidates: NDArray[np.int32]
    score_hash: str = ""
    lists: NDArray[np.int32] | None = None
    sampled: Mapping[int, NDArray[np.int32]] = field(default_factory=dict)
    background: Background | None = None
    within: NDArray[np.int32] | None = None

    def first(self, k: int) -> NDArray[np.int32]:
        """Return the (n_evaluated, k) items ranked first, -1 beyond a user's last candidate, or raise BadValue."""
        if self.lists is None or self.lists.shape[1] < k:
            raise BadValue(f"no lists of {k} items were kept; a metric that reads them says `needs_lists = True`")
        return self.lists[:, :k]

    def known(self) -> Background:
        """Return what the training rows say, or raise BadValue."""
        if self.background is None:
            raise BadValue("these ranks came without their data; make them with `background=Background(train, test)`")
        return self.background


def rank(
    score: Callable[[Tensor], Tensor],
    train: Interactions,
    test: HeldOut,
    *,
    device: torch.device | None = None,
    is_hashed: bool = False,
    extras: Extras = NOTHING,
    chunk: int = RANKING_USERS,
    watch: Watch | None = None,
) -> Ranks:
    """Rank every test item among all items its user has no training row with.

    The rank is the number of other candidates whose score is at least the test item's: ties count against the model.
    A test item that repeats a training row of its user stays a candidate, for the user's other test items, too.

    Args:
        score: (B,) int64 users -> (B, n_items) float32 scores.
        train: rows to mask.
        test: rows to rank.
        device: where `score` wants its users, and where ranks are counted.
        is_hashed: also hash all scores, to compare two runs bit for bit.
        extras: lists and sampled ranks to keep, from the same scores. In the lists equal scores stand by item id.
        chunk: users scored at once (more on a GPU); memory is chunk x n_items scores. Inner products have chunks of
            their own, one on each thread that PyTorch may use; what comes out does not depend on how many those are.
        watch: is shown the scores of each chunk with the place of its first user in `test`; maybe on another thread.

    Returns:
        Ranks in the order of `test`.

    Raises:
        NonFiniteScores: a score is NaN or infinite.
    """
    if device is not None and device.type != "cpu":
        from recshield.evaluation.on_device import rank_on_device  # needs what stands here

        many = device_users(train.n_items) if chunk == RANKING_USERS else chunk
        return rank_on_device(score, train, test, device, is_hashed, extras, many, watch)
    from recshield.evaluation.tally import Tally, tally_products  # loads the compiler

    tally = Tally(train, test, extras, is_hashed=is_hashed, watch=watch)
    with torch.no_grad():
        if type(score) is InnerProducts and score.items.device.type == "cpu":
            tally_products(tally, score)
        else:
            for start in range(0, len(test.users), chunk):
                asked = torch.from_numpy(test.users[start : start + chunk].astype(np.int64))
                tally.add(start, len(asked), score(asked))
    return tally.ranks()


def device_users(n_items: int) -> int:
    """Return how many users are scored at once on a GPU."""
    return max(1, min(DEVICE_RANKING_USERS, DEVICE_RANKING_SCORES // max(n_items, 1)))


def hash_weights(n_items: int) -> NDArray[np.uint64]:
    """Return what the bits of each item's score are multiplied by in hashes."""
    return np.random.default_rng(_HASH_SEED).integers(1, 2**64, n_items, dtype=np.uint64)


def not_finite(user: int) -> NonFiniteScores:
    """Return the error of a user with a score that is none."""
    return NonFiniteScores(
        f"the scores of user {user} hold NaN or infinity, which would rank first; "
        "scores must be finite: look at the model's training, or lower its learning rate"
    )


def check_shape(scores: Tensor, n_users: int, n_items: int) -> None:
    """Raise NonFiniteScores unless there is a score for every user and item."""
    if tuple(scores.shape) != (n_users, n_items):
        raise NonFiniteScores(
            f"scores have the shape {tuple(scores.shape)}; for {n_users} users it must be ({n_users}, {n_items})"
        )


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


def first_items(
    score: Callable[[Tensor], Tensor],
    train: Interactions,
    k: int,
    device: torch.device,
    users: NDArray[np.integer] | None = None,
) -> NDArray[np.int32]:
    """Return the (n_users, k) items that each user's list shows first, training items left out, -1 beyond the last.

    Args:
        score: (B,) int64 users -> (B, n_items) float32 scores.
        train: rows to mask.
        k: length of the lists; shorter where there are fewer items.
        device: where `score` wants its users.
        users: whose lists; None = everybody's.
    """
    asked = np.arange(train.n_users, dtype=np.int32) if users is None else users.astype(np.int32)
    nothing = HeldOut(asked, np.zeros(len(asked) + 1, np.int64), np.empty(0, np.int32))
    count = min(k, train.n_items)
    return rank(score, train, nothing, device=device, extras=Extras(count)).first(count)
