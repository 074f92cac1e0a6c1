"""Ranks counted where the scores are: the counterpart of the native loops in `ranking`, for scores on a GPU.

Nothing is read back before the last chunk, so that the device never waits for the host. What is counted are whole
numbers: for equal scores both ways give the same ranks, lists and hashes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.core.devices import trusted
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.ranking import Extras, Ranks, Watch, check_shape, hash_weights, not_finite

_LOWEST = -torch.inf
_WORD = 0xFFFFFFFF


def _ragged(indptr: NDArray[np.int64], lines: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each value of the chosen lines of a ragged array stands, and the number of values in each line."""
    sizes = indptr[lines + 1] - indptr[lines]
    before = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(indptr[lines] - before, sizes), sizes


class _Held:
    """What the device holds for all chunks: rows count the evaluated users, spots the test rows.

    Attributes:
        seen_rows: row of each training item of an evaluated user that is none of the user's test items.
        seen_items: the item.
        seen_before: on the host, number of them before each row.
        spot_rows: row of each spot.
        spot_items: its item.
        candidates: on the host, (n_spots,) number of candidates.
        is_one_each: whether every row has one spot.
        is_cold: of each item, whether it has no training row.
    """

    def __init__(self, device: torch.device, train: Interactions, test: HeldOut) -> None:
        self.test = test
        indptr, members = train.members
        rows = np.arange(len(test.users))
        places, sizes = _ragged(indptr, test.users)
        of_seen, of_spots = np.repeat(rows, sizes), np.repeat(rows, np.diff(test.indptr))
        is_masked = ~np.isin(of_seen * train.n_items + members[places], of_spots * train.n_items + test.items)
        of_seen, seen = of_seen[is_masked], members[places][is_masked]
        self.seen_before = np.searchsorted(of_seen, np.arange(len(rows) + 1))
        self.candidates = (train.n_items - np.diff(self.seen_before))[of_spots].astype(np.int32)
        self.is_one_each = len(of_spots) == len(rows) and bool((of_spots == rows).all())

        def put(numbers: NDArray[Any]) -> Tensor:
            return torch.from_numpy(numbers.astype(np.int64)).to(device)

        self.seen_rows, self.seen_items = put(of_seen), put(seen)
        self.spot_rows, self.spot_items = put(of_spots), put(test.items)
        self.is_cold = torch.from_numpy(train.popularity() == 0).to(device)


def _is_finite(scores: Tensor) -> Tensor:
    """Return for each line whether every score is finite: NaN makes both ends of its line NaN."""
    least, most = torch.aminmax(scores, dim=1)
    return least.isfinite() & most.isfinite()


def _at_least(scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Do as `at_least` with plain operations."""
    return (scores >= own[:, None]).sum(dim=1), _is_finite(scores)


def _difference(device: torch.device) -> float:
    """Return how many lines the kernel counts otherwise than plain operations: a few, with ties and bad scores."""
    from recshield.evaluation.triton_kernels import count  # not everybody has triton

    scores = torch.arange(5 * 2500).remainder(7).reshape(5, 2500).float()
    scores[1, 2499], scores[2, 0], scores[3, 1030] = torch.nan, torch.inf, -torch.inf
    own = torch.tensor([3.0, 0.0, 6.0, 7.0, -1.0])
    above, bad = (held.cpu() for held in count(scores.to(device), own.to(device)))
    wanted, is_finite = _at_least(scores, own)
    return float((above != wanted).sum() + ((bad == 0) != is_finite).sum())


def at_least(scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each line how many scores are at least its own, and whether all are finite.

    Args:
        scores: (B, n_items) float32, contiguous.
        own: (B,) float32.
    """
    if not trusted("ranking", scores.device, _difference):
        return _at_least(scores, own)
    from recshield.evaluation.triton_kernels import count

    above, bad = count(scores, own)
    return above, bad == 0


class _Chunk:
    """The scores of a few users, and the test rows (spots) among them."""

    def __init__(self, held: _Held, scores: Tensor, first: int) -> None:
        self._held, self._scores = held, scores
        last = first + len(scores)
        spots = slice(int(held.test.indptr[first]), int(held.test.indptr[last]))
        seen = slice(int(held.seen_before[first]), int(held.seen_before[last]))
        self._rows, self._items = held.spot_rows[spots] - first, held.spot_items[spots]
        self._seen = held.seen_rows[seen] - first, held.seen_items[seen]
        self._own = scores[self._rows, self._items]

    @functools.cached_property
    def _candidates(self) -> Tensor:
        """The scores, those of masked items at minus infinity."""
        return self._scores.index_put(self._seen, self._scores.new_full((), _LOWEST))

    def count(self, is_counted: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return for each spot how many of its user's candidates count; as many spots at once as there are users."""
        every = torch.arange(len(self._rows), device=self._rows.device)
        parts = [
            is_counted(self._candidates[self._rows[one]], one).sum(dim=1) for one in every.split(len(self._scores))
        ]
        return torch.cat(parts) if parts else every

    def ranks(self) -> tuple[Tensor, Tensor]:
        """Return the spots' ranks among all candidates, and for each user whether every score is finite."""
        if not self._held.is_one_each:
            ranks = self.count(lambda line, spots: line >= self._own[spots, None]) - 1
            return ranks, _is_finite(self._scores)
        # One spot a user, as under leave-one-out: counted over all items, then what is masked is taken off again.
        above, is_finite = at_least(self._scores, self._own)
        rows, items = self._seen
        is_above = self._scores[rows, items] >= self._own[rows]
        return above.index_add_(0, rows, is_above.to(above.dtype), alpha=-1) - 1, is_finite

    def within(self) -> Tensor:
        """Return (spots, 2) ranks and candidates among the items of the test item's kind: cold ones or warm ones."""
        is_cold = self._held.is_cold

        def is_alike(spots: Tensor) -> Tensor:
            return is_cold[None] == is_cold[self._items[spots], None]

        ranks = self.count(lambda line, spots: is_alike(spots) & (line >= self._own[spots, None])) - 1
        sizes = self.count(lambda line, spots: is_alike(spots) & (line > _LOWEST))
        return torch.stack([ranks, sizes], dim=1)

    def among(self, drawn: Tensor) -> Tensor:
        """Return the spots' ranks among the items drawn for each, (spots, n), -1 for none."""
        others = self._scores[self._rows[:, None], drawn.clamp(min=0)]
        return ((drawn >= 0) & (others >= self._own[:, None])).sum(dim=1)

    def lists(self, length: int) -> Tensor:
        """Return (rows, length) items ranked first, equal scores by item id, -1 beyond the last candidate.

        Score and id make one whole number, so that no two items are equal and the whole line need not be sorted.
        """
        n_items = self._candidates.shape[1]
        bits = (self._candidates + 0.0).view(torch.int32)  # minus zero becomes zero
        ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
        keys = (ascending << 32) + (_WORD - torch.arange(n_items, device=bits.device))
        items = _WORD - (keys.topk(min(length, n_items), dim=1).values & _WORD)
        items = torch.where(self._candidates.gather(1, items) > _LOWEST, items, -1)
        return torch.nn.functional.pad(items, (0, length - items.shape[1]), value=-1)


def _hash(scores: Tensor, weights: Tensor) -> Tensor:
    """Return one multilinear 64-bit hash per row; products and sums wrap."""
    return ((scores.view(torch.int32).long() & _WORD) * weights).sum(dim=1)


def rank_on_device(
    score: Callable[[Tensor], Tensor],
    train: Interactions,
    test: HeldOut,
    device: torch.device,
    is_hashed: bool,
    extras: Extras,
    chunk: int,
    watch: Watch | None = None,
) -> Ranks:
    """Do as `rank`, on the device of the scores; arguments as there.

    Raises:
        NonFiniteScores: a score is NaN or infinite, or the scores are not as many as users and items.
    """
    held = _Held(device, train, test)
    users = torch.from_numpy(test.users.astype(np.int64)).to(device)
    weights = torch.from_numpy(hash_weights(train.n_items if is_hashed else 0).view(np.int64)).to(device)
    columns: dict[str, list[Tensor]] = {}

    def keep(name: str, part: Tensor) -> None:
        columns.setdefault(name, []).append(part)

    with torch.no_grad():
        for start in range(0, len(test.users), chunk):
            asked = users[start : start + chunk]
            scores = score(asked)
            check_shape(scores, len(asked), train.n_items)
            scores = scores.detach().to(device, torch.float32).contiguous()
            if is_hashed:
                keep("hash", _hash(scores, weights))
            if watch is not None:
                watch(start, scores)
            one = _Chunk(held, scores, start)
            for name, part in zip(("ranks", "finite"), one.ranks(), strict=True):
                keep(name, part.int())
            if extras.list_length:
                keep("lists", one.lists(extras.list_length).int())
            if extras.is_within:
                keep("within", one.within().int())
            if extras.samples:
                from recshield.evaluation.sampling import draw_candidates  # loads the compiler

                drawn = draw_candidates(train, test, max(extras.samples), extras.data_seed, start, start + chunk)
                sent = torch.from_numpy(drawn.astype(np.int64))
                there = (sent.pin_memory() if device.type == "cuda" else sent).to(device, non_blocking=True)
                for n in extras.samples:
                    keep(f"sampled {n}", one.among(there[:, :n]).int())
            del one, scores  # before the next ones are made
    return _as_ranks({name: torch.cat(parts).cpu().numpy() for name, parts in columns.items()}, held, is_hashed, extras)


def _as_ranks(found: dict[str, NDArray[Any]], held: _Held, is_hashed: bool, extras: Extras) -> Ranks:
    """Return what came back from the device; nothing did where nobody was ranked."""
    test = held.test
    is_bad = (found["finite"] == 0) & (np.diff(test.indptr) > 0) if found else np.zeros(0, np.bool_)
    if is_bad.any():
        raise not_finite(int(test.users[int(np.argmax(is_bad))]))

    def column(name: str, *more: int) -> NDArray[np.int32]:
        result: NDArray[np.int32] = found.get(name, np.empty((0, *more), np.int32))
        return result

    digest = hashlib.blake2b(found["hash"].tobytes() if "hash" in found else b"", digest_size=16)
    return Ranks(
        test.users,
        test.indptr,
        test.items,
        column("ranks"),
        held.candidates,
        digest.hexdigest() if is_hashed else "",
        column("lists", extras.list_length) if extras.list_length else None,
        {n: column(f"sampled {n}") for n in extras.samples},
        None,
        column("within", 2) if extras.is_within else None,
    )
