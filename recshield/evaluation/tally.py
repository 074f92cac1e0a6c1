"""What a ranking on the processor counts from the scores of a few users at a time, and keeps."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.core.compiled import is_observed, kernel
from recshield.core.errors import NonFiniteScores
from recshield.core.factored import InnerProducts
from recshield.core.halves import together
from recshield.core.settings import (
    ALL_PRODUCT_SCORES,
    LEAST_PRODUCT_USERS,
    PRODUCT_SCORES,
    PRODUCT_USERS,
    RANKING_USERS,
)
from recshield.core.threads import threads
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.counting import count_ranks
from recshield.evaluation.lists import fill_lists
from recshield.evaluation.ranking import Extras, Ranks, Watch, check_shape, hash_weights, not_finite
from recshield.evaluation.sampling import draw_candidates
from recshield.evaluation.within import count_within

#: Users whose scores a processor's second cache holds, as a rule.
_NEAR = 16
#: Users at least, with zeros, in a product.
_ALIKE = 8
#: Users' vectors that are held at once, in values.
_VECTOR_VALUES = 2**22


@kernel(reorder=False)
def _count_drawn(
    scores: NDArray[np.float32],
    test_indptr: NDArray[np.int64],
    test_items: NDArray[np.int32],
    drawn: NDArray[np.int32],
    n_drawn: int,
    ranks: NDArray[np.int32],
) -> None:
    """Fill the ranks of a chunk's test rows among the first `n_drawn` of their drawn candidates."""
    for row in range(scores.shape[0]):
        for spot in range(test_indptr[row], test_indptr[row + 1]):
            own, n_above = scores[row, test_items[spot]], 0
            for other in drawn[spot - test_indptr[0], :n_drawn]:
                n_above += int(other >= 0 and scores[row, other] >= own)
            ranks[spot] = n_above


@kernel(reorder=False)
def _hash_rows(bits: NDArray[np.uint32], weights: NDArray[np.uint64], rows: NDArray[np.uint64]) -> None:
    """Fill one multilinear 64-bit hash per row of scores, given as their bits."""
    for row in range(bits.shape[0]):
        total = np.uint64(0)
        for item in range(bits.shape[1]):
            total += np.uint64(bits[row, item]) * weights[item]
        rows[row] = total


class Tally:
    """Ranks and what is kept beside them; several threads may add chunks, each chunk once.

    Args:
        train: rows to mask.
        test: rows to rank.
        extras: what is kept beside full ranks.
        is_hashed: also hash all scores.
        watch: is shown every chunk.
    """

    def __init__(
        self, train: Interactions, test: HeldOut, extras: Extras, *, is_hashed: bool, watch: Watch | None
    ) -> None:
        self.train, self.test, self._extras, self._watch = train, test, extras, watch
        self._ranks, self._candidates = np.empty(len(test), np.int32), np.empty(len(test), np.int32)
        self._lists = np.empty((len(test.users), extras.list_length), np.int32)
        self._sampled = {n: np.empty(len(test), np.int32) for n in extras.samples}
        self._within = np.empty((len(test), 2), np.int32) if extras.is_within else None
        self._is_cold = train.popularity() == 0
        self._weights = hash_weights(train.n_items) if is_hashed else None
        self._hashes = np.empty(len(test.users) if is_hashed else 0, np.uint64)
        self._members = train.members  # here, as it is made when it is first asked for

    def add(self, start: int, n_users: int, scores: Tensor) -> None:
        """Count a chunk: (n_users, n_items) scores of the evaluated users from place `start` on.

        Raises:
            NonFiniteScores: a score is NaN or infinite, or the scores are not those of all items.
        """
        users = self.test.users[start : start + n_users]
        check_shape(scores, len(users), self.train.n_items)
        held = np.ascontiguousarray(scores.detach().to("cpu", torch.float32).contiguous().numpy())
        indptr = self.test.indptr[start : start + len(users) + 1]
        # Where lists are wanted, of a few users at a time: their scores are still near when they are read again.
        near = _NEAR if self._extras.list_length else len(users)
        for first in range(0, len(users), near):
            few = slice(first, first + near)
            part = held[few], users[few], indptr[first : first + near + 1], self.test.items
            bad = count_ranks(*part, *self._members, self._ranks, self._candidates)
            if bad >= 0:
                raise not_finite(int(users[first + bad]))
            if self._extras.list_length:
                fill_lists(*part, self.train, self._lists[start + first : start + first + len(part[1])])
        if self._weights is not None:
            _hash_rows(held.view(np.uint32), self._weights, self._hashes[start : start + len(users)])
        self._add_extras(start, held, indptr)
        if self._watch is not None:
            self._watch(start, scores)

    def _add_extras(self, start: int, held: NDArray[np.float32], indptr: NDArray[np.int64]) -> None:
        users = self.test.users[start : start + len(held)]
        if self._within is not None:
            count_within(held, users, indptr, self.test.items, *self._members, self._is_cold, self._within)
        if self._sampled:
            most = max(self._sampled)
            drawn = draw_candidates(self.train, self.test, most, self._extras.data_seed, start, start + len(users))
            for n, counts in self._sampled.items():
                _count_drawn(held, indptr, self.test.items, drawn, n, counts)

    def ranks(self) -> Ranks:
        """Return everything, after every chunk was added."""
        hashed = "" if self._weights is None else hashlib.blake2b(self._hashes.tobytes(), digest_size=16).hexdigest()
        kept = self._lists if self._extras.list_length else None
        test, counted = self.test, (self._ranks, self._candidates)
        return Ranks(test.users, test.indptr, test.items, *counted, hashed, kept, self._sampled, None, self._within)


def tally_products(tally: Tally, score: InnerProducts) -> None:
    """Add the inner products of all evaluated users, chunk by chunk, on as many threads as PyTorch may use.

    A thread multiplies a chunk and counts it while it is near. The users' vectors are asked for before, in order and on
    this thread alone: a model need not know of threads. Under a profiler everything is done on this thread.

    Raises:
        NonFiniteScores: as `Tally.add`; of several users the first.
    """
    width, users = score.items.shape[-1], tally.test.users
    _check_side("items", score.items, tally.train.n_items, width)
    across = score.items.T
    if len(users) > RANKING_USERS:  # once: each product of a few users would turn it again
        across = across.contiguous()
    n_threads = 1 if is_observed() else torch.get_num_threads()
    block = RANKING_USERS * max(1, _VECTOR_VALUES // max(RANKING_USERS * width, 1))
    for first in range(0, len(users), block):
        parts = []
        for asked in torch.from_numpy(users[first : first + block].astype(np.int64)).split(RANKING_USERS):
            parts.append(score.vectors(asked))
            _check_side("users", parts[-1], len(asked), width)
        with threads(1):
            _add_products(tally, torch.cat(parts), across, first, n_threads)


def _check_side(whose: str, vectors: Tensor, rows: int, width: int) -> None:
    if tuple(vectors.shape) != (rows, width):
        raise NonFiniteScores(
            f"the vectors of {whose} have the shape {tuple(vectors.shape)}; "
            f"for {rows} {whose} it must be {(rows, width)}"
        )


def _product(vectors: Tensor, items: Tensor) -> Tensor:
    """Return (B, n_items) products; of one user as of many, since a vector is multiplied in another order of sums."""
    missing = max(_ALIKE - len(vectors), 0)
    return (
        (torch.nn.functional.pad(vectors, (0, 0, 0, missing)) @ items)[: len(vectors)] if missing else vectors @ items
    )


def _add_products(tally: Tally, vectors: Tensor, items: Tensor, first: int, n_threads: int) -> None:
    """Add the inner products of users' vectors, the first of which has place `first`, and of (d, n_items) items."""
    n_items = max(items.shape[1], 1)
    size = max(LEAST_PRODUCT_USERS, min(PRODUCT_USERS, PRODUCT_SCORES // n_items))
    starts = range(0, len(vectors), size)
    left = iter(starts)
    errors: dict[int, NonFiniteScores] = {}
    is_over = threading.Event()

    def work(_: int) -> None:
        torch.set_num_threads(1)  # each thread has a number, gradients and autocast of its own
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            # What was taken is finished, so that of several errors the first is among those found.
            while not is_over.is_set() and (start := next(left, None)) is not None:
                try:
                    few = vectors[start : start + size]
                    tally.add(first + start, len(few), _product(few, items))
                except NonFiniteScores as error:
                    errors[start] = error
                    is_over.set()

    n_parts = min(n_threads, len(starts), ALL_PRODUCT_SCORES // (size * n_items))
    together(max(1, n_parts), work, is_over.set)
    if errors:
        raise errors[min(errors)]
